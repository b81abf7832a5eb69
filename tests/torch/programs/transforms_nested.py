# Function transforms within one another: vmap with its randomness, in_dims and out_dims, derivatives of derivatives.
import torch
from torch.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    stack_module_state,
    vjp,
    vmap,
)
from reproducible import attempt


x = torch.arange(12.0).reshape(3, 4) / 10
v = torch.tensor([1.0, -1.0, 2.0, 0.5])
A = torch.arange(24.0).reshape(2, 3, 4) / 7
f = lambda t: (t.sin() * v).sum()
attempt("grad", lambda: grad(f)(v))
attempt("grad of grad", lambda: grad(lambda t: grad(f)(t).pow(2).sum())(v))
attempt("vmap grad", lambda: vmap(grad(f))(x))
attempt("vmap vmap", lambda: vmap(vmap(torch.dot))(A, A.flip(0)))
attempt("in_dims", lambda: vmap(torch.dot, in_dims=(1, None))(x.T, v))
attempt("in_dims 1", lambda: vmap(lambda a, b: a * b, in_dims=(0, 1))(x, x.T))
attempt("out_dims", lambda: vmap(lambda a: (a, a * 2), out_dims=(1, 0))(x))
attempt("out_dims -1", lambda: vmap(lambda a: a[:, None] * a, out_dims=-1)(x).shape)
attempt("dict", lambda: vmap(lambda d: d["a"] @ d["b"][0], in_dims=({"a": 0, "b": [None]},))({"a": x, "b": [v]}))
attempt("chunk", lambda: vmap(f, chunk_size=2)(x))
attempt("chunk jac", lambda: jacrev(lambda t: t**3, chunk_size=1)(v).diagonal())
attempt("scalar out", lambda: vmap(lambda a: torch.tensor(3.0))(x))
attempt("sizes", lambda: vmap(torch.add)(torch.ones(2), torch.ones(3)))
attempt("no tensor", lambda: vmap(lambda a: a)(3.0))
attempt("no dims", lambda: vmap(lambda a: a, in_dims=None)(x))
attempt("bad in_dims", lambda: vmap(torch.add, in_dims=(0,))(x, x))
attempt("out of range", lambda: vmap(torch.sin, in_dims=2)(x))
attempt("item", lambda: vmap(lambda a: a.sum().item())(x))
attempt("if", lambda: vmap(lambda a: a if a.sum() > 0 else -a)(x))
attempt("nonzero", lambda: vmap(torch.nonzero)(x))
attempt("inplace", lambda: vmap(lambda a: a.add_(1))(x.clone()))
attempt("inplace unbatched", lambda: vmap(lambda a: v.clone().add_(a))(x))
attempt("out not tensor", lambda: vmap(lambda a: 3)(x))
attempt("index", lambda: vmap(lambda a, i: a[i])(x, torch.tensor([0, 3, 1])))
attempt("where", lambda: vmap(lambda a: torch.where(a > 0.5, a, -a))(x))
attempt("scatter", lambda: vmap(lambda a, i: a.scatter(0, i, 9.0))(x, torch.tensor([[0], [1], [2]])))
attempt("cat", lambda: vmap(lambda a: torch.cat([a, v]))(x).shape)
attempt("sort", lambda: vmap(lambda a: a.sort(descending=True).indices)(x))
attempt("linalg", lambda: vmap(torch.linalg.det)(torch.eye(3).expand(2, 3, 3) * 2))
attempt("conv", lambda: vmap(torch.nn.functional.conv1d, (0, None))(torch.ones(2, 1, 3, 5), torch.ones(2, 3, 2)).shape)
attempt("einsum", lambda: vmap(lambda a, b: torch.einsum("i,j->ij", a, b))(x, x).sum())
attempt("view", lambda: vmap(lambda a: a.view(2, 2).T.reshape(-1))(x))
attempt("size", lambda: vmap(lambda a: a * a.shape[0] + a.dim() + a.numel())(x))
for mode in ("error", "same", "different"):

    def noise(a, mode=mode):
        torch.manual_seed(0)
        out = vmap(lambda a: a * 0 + torch.randn(4), randomness=mode)(x)
        return bool((out[0] == out[1]).all()), bool((out[0] == out[2]).all()), tuple(out.shape)

    attempt("random " + mode, lambda: noise(x))
    attempt("dropout " + mode, lambda: vmap(lambda a: torch.nn.functional.dropout(a, 0.5), randomness=mode)(x).shape)
    attempt("rand_like " + mode, lambda: vmap(torch.rand_like, randomness=mode)(x).shape)
    attempt("randperm " + mode, lambda: vmap(lambda a: torch.randperm(4), randomness=mode)(x).sort(1).values)
attempt("bad mode", lambda: vmap(f, randomness="none")(x))
attempt("jacrev", lambda: jacrev(lambda t: t.outer(t).sum(0))(v))
attempt("jacfwd", lambda: jacfwd(lambda t: t.cumsum(0) ** 2)(v))
attempt("jac two", lambda: jacrev(lambda a, b: a * b, argnums=(0, 1))(v, v + 1))
attempt("jac aux", lambda: jacfwd(lambda a: (a**2, a.sum()), has_aux=True)(v))
attempt("jac dict", lambda: jacrev(lambda d: {"o": d["p"] ** 2})({"p": v})["o"]["p"].diagonal())
attempt("jac jac", lambda: jacfwd(jacfwd(lambda t: t.prod()))(v))
attempt("jac rev fwd", lambda: jacrev(jacfwd(lambda t: t.exp().prod()))(v / 4))
attempt("hessian", lambda: hessian(lambda t: t.pow(3).sum() + t[0] * t[1])(v))
attempt(
    "hessian two", lambda: [h.shape for row in hessian(lambda a, b: (a * b).sum(), argnums=(0, 1))(v, v) for h in row]
)
attempt("vmap hessian", lambda: vmap(hessian(lambda t: t.prod()))(x).sum((1, 2)))
attempt("vjp", lambda: (lambda o, g: (o, g(torch.ones(4))))(*vjp(lambda t: t.tanh(), v)))
attempt("vjp aux", lambda: vjp(lambda t: (t.sum(), t.max()), v, has_aux=True)[2])
attempt("vjp shape", lambda: vjp(torch.sin, v)[1](torch.ones(3)))
attempt("jvp", lambda: jvp(lambda t, u: (t * u, t + u), (v, v), (torch.ones(4), torch.zeros(4))))
attempt("jvp shape", lambda: jvp(torch.sin, (v,), (torch.ones(3),)))
attempt("jvp count", lambda: jvp(torch.add, (v, v), (v,)))
attempt("linearize", lambda: (lambda o, l: (o, l(torch.ones(4)), l(v)))(*linearize(lambda t: t.sin() ** 2, v)))
attempt("grad_and_value", lambda: grad_and_value(lambda t: (f(t), t * 2), has_aux=True)(v))
attempt("argnums", lambda: grad(lambda a, b: (a * b).sum(), argnums=1)(v, v * 2))
attempt("argnums neg", lambda: grad(lambda a, b: (a * b**2).sum(), argnums=-1)(v, v))
attempt("argnums bad", lambda: grad(f, argnums=1)(v))
attempt("not scalar", lambda: grad(torch.sin)(v))
attempt("integers", lambda: grad(lambda t: t.sum())(torch.arange(3)))
attempt("unused", lambda: grad(lambda t: torch.ones(()))(v))
attempt("no_grad inside", lambda: grad(lambda t: (t * t.detach()).sum())(v))


def quiet(t):
    with torch.no_grad():
        c = t * 2
    return (c * t).sum()


attempt("no_grad block", lambda: grad(quiet)(v))
w = v.clone().requires_grad_()
attempt("outer grad", lambda: torch.autograd.grad(grad(lambda t: (t**3 * w).sum())(v).sum(), w)[0])
attempt("mutate captured", lambda: grad(lambda t: (w.detach().clone().mul_(2) * t).sum())(v))
attempt("jvp of vmap of grad", lambda: jvp(vmap(grad(lambda t: t.sin().sum())), (x,), (torch.ones(3, 4),))[1])
attempt("grad of vmap", lambda: grad(lambda t: vmap(lambda a: (a * t).sum())(x).pow(2).sum())(v))
attempt("vmap jvp", lambda: vmap(lambda a, t: jvp(torch.sin, (a,), (t,))[1])(x, torch.ones(3, 4)))
attempt("newton", lambda: v - torch.linalg.solve(hessian(lambda t: (t**4).sum())(v), grad(lambda t: (t**4).sum())(v)))
net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
with torch.no_grad():
    for i, p in enumerate(net.parameters()):
        p.copy_(torch.arange(p.numel()).reshape(p.shape) / 10 - i / 5)
params = dict(net.named_parameters())
loss = lambda p, a, y: ((functional_call(net, p, (a,)) - y) ** 2).mean()
each = vmap(grad(loss), (None, 0, 0))(params, x, torch.ones(3))
print({k: (tuple(g.shape), round(g.sum().item(), 4)) for k, g in each.items()})
mean = grad(loss)(params, x, torch.ones(3, 1))
print(all(torch.allclose(each[k].mean(0), mean[k], atol=1e-6) for k in each))
models = [torch.nn.Linear(4, 2) for _ in range(3)]
stacked, buffers = stack_module_state(models)
base = torch.nn.Linear(4, 2, device="meta")
print(
    torch.allclose(
        vmap(lambda p, b: functional_call(base, (p, b), (x,)))(stacked, buffers), torch.stack([m(x) for m in models])
    )
)
ntk = lambda a, b: sum(
    (
        jacrev(lambda p: functional_call(net, p, (a,)))(params)[k].flatten(1)
        @ jacrev(lambda p: functional_call(net, p, (b,)))(params)[k].flatten(1).T
        for k in params
    )
)
attempt("ntk", lambda: vmap(vmap(ntk, (None, 0)), (0, None))(x[:2], x)[..., 0, 0])
