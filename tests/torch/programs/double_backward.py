# Double backward with custom functions: the tutorial's ways to save inputs, outputs and intermediates.
import torch, numpy as np
from torch.autograd import Function


def show(*values):
    """print without the graph behind the tensors: its nodes have names of their own."""
    print(*[v.detach() if isinstance(v, torch.Tensor) else v for v in values])


def raises(kind, fn, word=""):
    try:
        fn()
    except kind as e:
        return True, word in str(e)
    except Exception as e:
        return "other", type(e).__name__
    return "none"


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, grad_out):
        (x,) = ctx.saved_tensors
        return grad_out * 2 * x


x = torch.rand(3, 3, requires_grad=True, dtype=torch.double)
show(torch.autograd.gradcheck(Square.apply, x), torch.autograd.gradgradcheck(Square.apply, x))


class Exp(Function):
    @staticmethod
    def forward(ctx, x):
        result = torch.exp(x)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, grad_out):
        (result,) = ctx.saved_tensors
        return result * grad_out


show(torch.autograd.gradcheck(Exp.apply, x), torch.autograd.gradgradcheck(Exp.apply, x))


class Sinh(Function):
    @staticmethod
    def forward(ctx, x):
        expx = torch.exp(x)
        expnegx = torch.exp(-x)
        ctx.save_for_backward(expx, expnegx)
        return (expx - expnegx) / 2, expx, expnegx

    @staticmethod
    def backward(ctx, grad_out, _grad_out_exp, _grad_out_negexp):
        expx, expnegx = ctx.saved_tensors
        grad_input = grad_out * (expx + expnegx) / 2
        grad_input = grad_input + _grad_out_exp * expx
        grad_input = grad_input - _grad_out_negexp * expnegx
        return grad_input


def sinh(x):
    return Sinh.apply(x)[0]


show(torch.autograd.gradcheck(sinh, x), torch.autograd.gradgradcheck(sinh, x))


class SinhBad(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.expx = torch.exp(x)
        ctx.expnegx = torch.exp(-x)
        return (ctx.expx - ctx.expnegx) / 2

    @staticmethod
    def backward(ctx, g):
        return g * (ctx.expx + ctx.expnegx) / 2


show(
    torch.autograd.gradcheck(SinhBad.apply, x),
    raises(RuntimeError, lambda: torch.autograd.gradgradcheck(SinhBad.apply, x)),
)


def cube_forward(x):
    return x**3


def cube_backward(g, x):
    return g * 3 * x**2


def cube_backward_backward(g, s, x):
    return g * s * 6 * x


def cube_backward_backward_grad_out(g, x):
    return g * 3 * x**2


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return cube_forward(x)

    @staticmethod
    def backward(ctx, grad_out):
        (x,) = ctx.saved_tensors
        return CubeBackward.apply(grad_out, x)


class CubeBackward(Function):
    @staticmethod
    def forward(ctx, grad_out, x):
        ctx.save_for_backward(x, grad_out)
        return cube_backward(grad_out, x)

    @staticmethod
    def backward(ctx, grad_out):
        x, sav_grad_out = ctx.saved_tensors
        return cube_backward_backward_grad_out(grad_out, x), cube_backward_backward(grad_out, sav_grad_out, x)


show(torch.autograd.gradcheck(Cube.apply, x), torch.autograd.gradgradcheck(Cube.apply, x))


class NumpySort(Function):
    generate_vmap_rule = False

    @staticmethod
    def forward(x, dim):
        x = x.detach().numpy()
        ind = np.argsort(x, axis=dim)
        ind_inv = np.argsort(ind, axis=dim)
        result = np.take_along_axis(x, ind, axis=dim)
        return torch.tensor(result), torch.tensor(ind), torch.tensor(ind_inv)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, dim = inputs
        _, ind, ind_inv = output
        ctx.mark_non_differentiable(ind, ind_inv)
        ctx.save_for_backward(ind, ind_inv)
        ctx.dim = dim

    @staticmethod
    def backward(ctx, grad_output, _0, _1):
        ind, ind_inv = ctx.saved_tensors
        return NumpyTake.apply(grad_output, ind_inv, ind, ctx.dim), None


class NumpyTake(Function):
    @staticmethod
    def forward(x, ind, ind_inv, dim):
        return torch.tensor(np.take_along_axis(x.detach().numpy(), ind.numpy(), dim))

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ind, ind_inv, dim = inputs
        ctx.save_for_backward(ind, ind_inv)
        ctx.dim = dim

    @staticmethod
    def backward(ctx, g):
        ind, ind_inv = ctx.saved_tensors
        return NumpyTake.apply(g, ind_inv, ind, ctx.dim), None, None, None


t = torch.tensor([[3.0, 1.0, 2.0], [0.5, -1.0, 4.0]], requires_grad=True)
s, i, j = NumpySort.apply(t, 1)
show(s, i, j, i.requires_grad)
(s * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
show(t.grad)


class MyCube(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x**3, 3 * x**2

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0], output[1])
        ctx.save_for_forward(inputs[0], output[1])

    @staticmethod
    def backward(ctx, g, gd):
        x, dx = ctx.saved_tensors
        return g * dx + gd * 6 * x

    @staticmethod
    def jvp(ctx, xt):
        x, dx = ctx.saved_tensors
        return xt * dx, xt * 6 * x


def my_cube(x):
    return MyCube.apply(x)[0]


v = torch.tensor([1.0, 2.0, 3.0])
show(
    torch.func.vmap(torch.func.grad(my_cube))(v),
    torch.func.vmap(torch.func.grad(torch.func.grad(my_cube)))(v),
    torch.func.jvp(my_cube, (v,), (torch.ones(3),)),
    torch.func.jacfwd(my_cube)(v),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx, x, y):
        return x + y

    @staticmethod
    def backward(ctx, g):
        return g


p = torch.ones(2, requires_grad=True)
show(raises(RuntimeError, lambda: Wrong.apply(p, p).sum().backward(), "returned an incorrect number of gradients"))


class NoBack(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2


show(raises(NotImplementedError, lambda: NoBack.apply(p).sum().backward()))


class Raising(Function):
    @staticmethod
    def forward(ctx, x):
        raise ValueError("my own words")


show(raises(ValueError, lambda: Raising.apply(p), "my own words"))


class RaisingBack(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        raise KeyError("gone")


show(raises(KeyError, lambda: RaisingBack.apply(p).sum().backward(), "gone"))
show(
    raises(RuntimeError, lambda: Square()(p)),
    raises(NotImplementedError, lambda: Function.apply(p)),
    raises(TypeError, lambda: Square.apply()),
)


class InPlace(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, g):
        return g * 2


b = p * 1
c = InPlace.apply(b)
show(c is b, b.grad_fn.name().endswith("InPlaceBackward"), c)
c.sum().backward()
show(p.grad)
show(raises(RuntimeError, lambda: InPlace.apply(p), "leaf"))


class Materialize(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x.clone(), x.clone()

    @staticmethod
    def backward(ctx, a, b):
        show(a is None, b is None)
        return a if b is None else b


Materialize.apply(p)[0].sum().backward()
needs = []


class Checks(Function):
    @staticmethod
    def forward(ctx, a, b, c, flag=True):
        ctx.save_for_backward(a, b)
        return a * b + c

    @staticmethod
    def backward(ctx, g):
        needs.append(ctx.needs_input_grad)
        a, b = ctx.saved_tensors
        return g * b, g * a if ctx.needs_input_grad[1] else None, g if ctx.needs_input_grad[2] else None, None


Checks.apply(p, torch.ones(2), p).sum().backward()
Checks.apply(p, torch.ones(2), 3.0, False).sum().backward()
o = Checks.apply(p, p, p)
o.sum().backward()
show(needs)
show(raises(RuntimeError, lambda: o.sum().backward(), "second time"), type(o.grad_fn).__name__, o.grad_fn.name())


class Dead(Function):
    @staticmethod
    def forward(ctx, x):
        y = x * 1
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]


d = Dead.apply(p)
d.mul_(1) if False else None
e = Dead.apply(p)
with torch.no_grad():
    e.add_(1)
show(raises(RuntimeError, lambda: e.sum().backward(), "modified by an inplace operation"))
show(Square.apply(p).requires_grad, Square.apply(p.detach()).requires_grad, Square.__name__)


class BadShape(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, g):
        return torch.ones(7)


show(raises(RuntimeError, lambda: BadShape.apply(p).sum().backward(), "invalid gradient"))


class NotTensor(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, g):
        return 3.0


show(raises((RuntimeError, TypeError), lambda: NotTensor.apply(p).sum().backward()))
