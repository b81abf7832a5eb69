# Jacobians, Hessians, hvp, vhp: composing function transforms.
import torch
import torch.nn.functional as F
from functools import partial
from torch.func import vmap, vjp, jvp, jacrev, jacfwd, hessian, grad, grad_and_value


def show(*values):
    """print without the graph behind the tensors: its nodes have names of their own."""
    print(*[v.detach() if isinstance(v, torch.Tensor) else v for v in values])


def predict(weight, bias, x):
    return F.linear(x, weight, bias).tanh()


D = 4
w = torch.linspace(-1, 1, D * D).reshape(D, D)
b = torch.linspace(0, 1, D)
x = torch.linspace(-0.5, 0.5, D)


def compute_jac(xp):
    return torch.stack([torch.autograd.grad(predict(w, b, xp), xp, vec)[0] for vec in torch.eye(D)])


xp = x.clone().requires_grad_()
jac = compute_jac(xp)
show(jac.shape, jac[0])
_, vjp_fn = vjp(partial(predict, w, b), x)
(ft_jac,) = vmap(vjp_fn)(torch.eye(D))
show(torch.allclose(ft_jac, jac))
show(torch.allclose(jacrev(predict, argnums=2)(w, b, x), jac), torch.allclose(jacfwd(predict, argnums=2)(w, b, x), jac))
jw, jb = jacrev(predict, argnums=(0, 1))(w, b, x)
show(jw.shape, jb.shape, jw.sum(), jb.diagonal())
hess = hessian(predict, argnums=2)(w, b, x)
show(hess.shape, hess[0])
h2 = jacfwd(jacfwd(predict, argnums=2), argnums=2)(w, b, x)
h3 = jacrev(jacrev(predict, argnums=2), argnums=2)(w, b, x)
show(torch.allclose(hess, h2, atol=1e-6), torch.allclose(hess, h3, atol=1e-6))
X = torch.linspace(-1, 1, 3 * D).reshape(3, D)
cb = vmap(jacrev(predict, argnums=2), in_dims=(None, None, 0))(w, b, X)
show(cb.shape)


def predict_with_output_summed(weight, bias, x):
    return predict(weight, bias, x).sum(0)


b2 = jacrev(predict_with_output_summed, argnums=2)(w, b, X).movedim(1, 0)
show(torch.allclose(cb, b2))
bh = vmap(hessian(predict, argnums=2), in_dims=(None, None, 0))(w, b, X)
show(bh.shape, bh.sum())


def hvp(f, primals, tangents):
    return jvp(grad(f), primals, tangents)[1]


f = lambda x: x.sin().sum()
t = torch.linspace(0, 1, 5)
show(hvp(f, (t,), (torch.ones(5),)), -t.sin())


def hvp_revrev(f, primals, tangents):
    _, vjp_fn = vjp(grad(f), *primals)
    return vjp_fn(*tangents)


show(hvp_revrev(f, (t,), (torch.ones(5),)))
show(grad(lambda x: torch.sin(x))(torch.tensor(1.0)), grad(grad(lambda x: torch.sin(x)))(torch.tensor(1.0)))
g, (val, aux) = grad_and_value(lambda x: ((x**3).sum(), x * 2), has_aux=True)(t)
show(g, val, aux)
show(grad(lambda d: d["a"] * d["b"] ** 2)({"a": torch.tensor(2.0), "b": torch.tensor(3.0)}))
out, fn, aux = (
    vjp(lambda x, y: (x * y, x + y), t, t * 2, has_aux=True)[0:3]
    if False
    else (*vjp(lambda x, y: (x * y, x.sum()), t, t * 2), None)
)
show(out, fn((torch.ones(5), torch.tensor(1.0))))
show(jvp(lambda x, y: x * y, (t, t), (torch.ones(5), torch.zeros(5))))
show(
    jacrev(lambda x: {"a": x**2, "b": x.sum()})(t)["a"].shape,
    jacfwd(lambda x, y: (x * y, x.sum()), argnums=(0, 1))(t, t)[0][1].diag(),
)
show(jacrev(lambda x: x**2, chunk_size=2)(t).diag(), jacfwd(lambda x: (x**2, x), has_aux=True)(t)[1])


def raises(kind, fn):
    try:
        fn()
    except kind:
        return True
    except Exception as e:
        return "other"
    return "none"


show(
    raises(RuntimeError, lambda: grad(lambda x: x * 2)(t)),
    raises(RuntimeError, lambda: grad(lambda x: 3.0)(t)),
    raises(RuntimeError, lambda: jvp(lambda x: x, (t,), (torch.ones(4),))),
    raises(RuntimeError, lambda: jvp(lambda x: x, t, t)),
    raises(RuntimeError, lambda: vjp_fn(torch.ones(9))),
    raises(RuntimeError, lambda: jacrev(lambda x: x, argnums=3)(t)),
    raises(RuntimeError, lambda: grad(lambda x: (x.sum(), 1, 2))(t)),
)
from torch.func import linearize

o, lin = linearize(lambda x: x.sin(), t)
show(o, lin(torch.ones(5)))
x0 = torch.tensor([1.2, -0.8])
ros = lambda p: (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
for i in range(8):
    x0 = x0 - torch.linalg.solve(hessian(ros)(x0), grad(ros)(x0))
show(x0, ros(x0) < 1e-8)


def laplacian(f, x):
    return hessian(f)(x).trace()


show(vmap(partial(laplacian, lambda p: p[0] ** 2 * p[1] + p[1] ** 3))(torch.tensor([[1.0, 2.0], [3.0, 4.0]])))
