# Functions of one's own in every mode: backward, jvp, vmap, setup_context, in place, several outputs, wrong returns.
import torch
from torch.autograd import Function, forward_ad as fwAD, gradcheck, gradgradcheck
from reproducible import kind


def attempt(name, fn):
    try:
        print(name, fn())
    except Exception as error:
        print(name, kind(error))


class Cube(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        (x,) = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return t * 3 * x**2


class ScaledSum(Function):
    @staticmethod
    def forward(ctx, a, b, scale, flag=None):
        ctx.save_for_backward(a, b)
        ctx.scale = scale
        ctx.set_materialize_grads(False)
        return (a + b) * scale, (a - b)

    @staticmethod
    def backward(ctx, g, h):
        print("  needs", ctx.needs_input_grad, "none", g is None, h is None)
        left = None if g is None else g * ctx.scale
        total = left if h is None else h if left is None else left + h
        other = None if left is None and h is None else (left if left is not None else 0) - (h if h is not None else 0)
        return total, other, None, None


class Top(Function):
    @staticmethod
    def forward(ctx, x, k):
        values, places = x.topk(k)
        ctx.mark_non_differentiable(places)
        ctx.save_for_backward(places)
        ctx.shape = x.shape
        return values, places

    @staticmethod
    def backward(ctx, g, none):
        (places,) = ctx.saved_tensors
        return torch.zeros(ctx.shape, dtype=g.dtype).scatter(-1, places, g), None


class AddOne_(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.add_(1)

    @staticmethod
    def backward(ctx, g):
        return g


class Once(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x.exp()


class Vmapped(Function):
    @staticmethod
    def forward(x, y):
        return x @ y

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g @ y.mT, x.mT @ g

    @staticmethod
    def vmap(info, in_dims, x, y):
        print("  vmap", info.batch_size, info.randomness)
        x = x.movedim(in_dims[0], 0) if in_dims[0] is not None else x.expand(info.batch_size, *x.shape)
        y = y.movedim(in_dims[1], 0) if in_dims[1] is not None else y.expand(info.batch_size, *y.shape)
        return torch.bmm(x, y), 0


x = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64, requires_grad=True)
y = Cube.apply(x)
print(y, y.grad_fn.name(), type(y.grad_fn).__name__)
(g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
print(g, torch.autograd.grad(g.sum(), x)[0])
print(gradcheck(Cube.apply, x), gradgradcheck(Cube.apply, x), gradcheck(Cube.apply, x, check_forward_ad=True))
with fwAD.dual_level():
    dual = fwAD.make_dual(x.detach(), torch.ones(3, dtype=torch.float64))
    out = fwAD.unpack_dual(Cube.apply(dual))
    print(out.primal, out.tangent)
    print(fwAD.unpack_dual(dual * dual.sin()).tangent, fwAD.unpack_dual(x.detach()).tangent)
attempt("jvp", lambda: torch.func.jvp(Cube.apply, (x.detach(),), (torch.ones(3, dtype=torch.float64),)))
attempt("vmap", lambda: torch.vmap(Cube.apply)(torch.arange(6.0).reshape(2, 3)))
attempt(
    "vmap grad", lambda: torch.vmap(torch.func.grad(lambda v: Cube.apply(v).sum()))(torch.arange(6.0).reshape(2, 3))
)
attempt("jacrev", lambda: torch.func.jacrev(Cube.apply)(torch.arange(3.0)))
attempt("jacfwd", lambda: torch.func.jacfwd(Cube.apply)(torch.arange(3.0)))
attempt("hessian", lambda: torch.func.hessian(lambda v: Cube.apply(v).sum())(torch.arange(3.0)))
attempt(
    "vmap own",
    lambda: torch.vmap(Vmapped.apply, in_dims=(None, 2))(torch.ones(2, 3), torch.arange(24.0).reshape(3, 2, 4)),
)
attempt(
    "vmap own grad",
    lambda: torch.vmap(torch.func.grad(lambda a, b: Vmapped.apply(a, b).sum()), (0, None))(
        torch.ones(2, 2, 3), torch.ones(3, 2)
    ),
)

a = torch.ones(2, requires_grad=True)
b = torch.ones(2)
p, q = ScaledSum.apply(a, b, 3.0)
p.sum().backward()
print(a.grad)
p, q = ScaledSum.apply(a, b.clone().requires_grad_(), 2.0, "x")
q.sum().backward()
print(a.grad, p.requires_grad, q.requires_grad)
p, q = ScaledSum.apply(b, b, 2.0)
print(p.requires_grad, p.grad_fn)

v, places = Top.apply(x, 2)
print(v, places, places.requires_grad)
v.sum().backward()
print(x.grad)

base = torch.zeros(3, requires_grad=True)
z = base * 2
w = AddOne_.apply(z)
print(w is z, z.grad_fn.name(), z._version)
(w**2).sum().backward()
print(base.grad)
attempt("dirty leaf", lambda: AddOne_.apply(torch.zeros(2, requires_grad=True)))
e = Once.apply(x)
(first,) = torch.autograd.grad(e.sum(), x, create_graph=True)
attempt("once twice", lambda: torch.autograd.grad(first.sum(), x))


class Wrong(Function):
    how = "count"

    @staticmethod
    def forward(ctx, x, y):
        return x * y

    @staticmethod
    def backward(ctx, g):
        return {
            "count": (g,),
            "extra": (g, g, None),
            "extra tensor": (g, g, g),
            "shape": (g[:1], g),
            "type": (1.0, g),
            "sum": (g, g.expand(4, 3)),
            "none": (None, g),
            "single": g,
        }[Wrong.how]


for how in ("count", "extra", "extra tensor", "shape", "type", "sum", "none", "single"):
    Wrong.how = how
    s, t = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)

    def go():
        Wrong.apply(s, t).sum().backward()
        return s.grad, t.grad

    attempt("wrong " + how, go)
attempt("instance", lambda: Cube()(x))
attempt(
    "no backward",
    lambda: type("N", (Function,), {"forward": staticmethod(lambda ctx, x: x * 2)}).apply(x).sum().backward(),
)
attempt(
    "non tensor",
    lambda: type("N", (Function,), {"forward": staticmethod(lambda ctx, x: (x * 2, 5, "a"))}).apply(x.detach()),
)
attempt("saved twice", lambda: (lambda out: (out.sum().backward(), out.sum().backward()))(Cube.apply(x)))
attempt("saved attr", lambda: [t.shape for t in Cube.apply(x).grad_fn.saved_tensors])
attempt(
    "identity",
    lambda: (lambda t: (t is x, t.grad_fn is not None, t.data_ptr() == x.data_ptr()))(
        type(
            "I", (Function,), {"forward": staticmethod(lambda ctx, x: x), "backward": staticmethod(lambda ctx, g: g)}
        ).apply(x)
    ),
)
attempt(
    "view",
    lambda: (lambda t: t.shape)(
        type(
            "V",
            (Function,),
            {"forward": staticmethod(lambda ctx, x: x.view(3, 1)), "backward": staticmethod(lambda ctx, g: g.view(3))},
        ).apply(x)
    ),
)
