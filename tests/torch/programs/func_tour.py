# torch.func: transforms that compose.
import torch
from torch.func import grad, grad_and_value, vjp, jvp, vmap, jacrev, jacfwd, hessian, functional_call, linearize
torch.manual_seed(0)
f = lambda x: (x.sin() * x).sum()
x = torch.tensor([0.5, 1.0, -2.0])
print(grad(f)(x), grad_and_value(f)(x), grad(grad(lambda t: t ** 3))(torch.tensor(2.0)), grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(x, x + 1))
print(grad(lambda t: ((t ** 2).sum(), {"aux": t * 2}), has_aux=True)(x))
out, pull = vjp(lambda t: t ** 2, x); print(out, pull(torch.ones(3)))
print(jvp(torch.sin, (x,), (torch.ones(3),)), jacrev(lambda t: t[:2] * t[2])(x), jacfwd(lambda t: t[:2] * t[2])(x), hessian(lambda t: (t ** 2).prod())(x))
print(vmap(torch.dot)(torch.arange(6.0).view(2, 3), torch.ones(2, 3)), vmap(torch.dot, in_dims=(1, None))(torch.arange(6.0).view(3, 2), torch.ones(3)), vmap(lambda t: t * 2, out_dims=1)(torch.arange(6.0).view(2, 3)))
print(vmap(vmap(torch.mul))(torch.ones(2, 3), torch.arange(6.0).view(2, 3)), vmap(lambda d: d["a"] + d["b"], in_dims=({"a": 0, "b": None},))({"a": torch.arange(3.0), "b": torch.tensor(1.0)}))
print(vmap(grad(f))(torch.stack([x, x * 2])), vmap(jacrev(torch.exp))(torch.ones(2, 2)), jacfwd(jacrev(lambda t: (t ** 3).sum()))(x), vmap(lambda t: t.sum(), chunk_size=2)(torch.ones(5, 3)))
w = {"weight": torch.ones(1, 3), "bias": torch.zeros(1)}
lin = torch.nn.Linear(3, 1)
loss = lambda p, a, b: ((functional_call(lin, p, (a,)) - b) ** 2).mean()
X, Y = torch.arange(6.0).view(2, 3), torch.ones(2, 1)
print(grad(loss)(w, X, Y)); print(vmap(grad(loss), in_dims=(None, 0, 0))(w, X, Y)["weight"].shape, {k: v.tolist() for k, v in vmap(grad(loss), in_dims=(None, 0, 0))(w, X, Y).items()})
models = [torch.nn.Linear(2, 2) for _ in range(3)]
params, buffers = torch.func.stack_module_state(models)
print({k: tuple(v.shape) for k, v in params.items()}, len(buffers))
base = torch.nn.Linear(2, 2).to("meta")
print(vmap(lambda p, b, t: functional_call(base, (p, b), (t,)), in_dims=(0, 0, None))(params, buffers, torch.ones(1, 2)).shape)
print(vmap(lambda t: torch.where(t > 0, t, -t))(x), vmap(lambda t: t.clone().fill_(1))(x), vmap(torch.linalg.inv)(torch.eye(2).repeat(3, 1, 1) * 2)[0], vmap(lambda t: t.view(-1).sum())(torch.ones(2, 2, 2)), vmap(lambda t: torch.cat([t, t]))(torch.ones(2, 1)), vmap(lambda i, t: t[i], (0, None))(torch.tensor([0, 2]), x), vmap(lambda t: torch.zeros(2).add(t))(x))
def attempt(g):
    try: return g()
    except Exception: return "raised"
print(attempt(lambda: vmap(lambda t: t.item())(x)), attempt(lambda: vmap(lambda t: t if t > 0 else -t)(x)), attempt(lambda: vmap(torch.randn_like)(x)), attempt(lambda: vmap(torch.add)(torch.ones(2), torch.ones(3))), attempt(lambda: grad(lambda t: t * 2)(x)), attempt(lambda: vmap(lambda t: t, in_dims=3)(x)), attempt(lambda: vmap(lambda t: 1.0)(x)), attempt(lambda: jvp(torch.sin, (x,), (torch.ones(2),))), attempt(lambda: vmap(lambda t: t)(torch.tensor(1.0))), attempt(lambda: vmap(torch.nonzero)(torch.ones(2, 2))))
print(vmap(torch.randn_like, randomness="different")(x).shape, vmap(lambda t: torch.rand(1), randomness="same")(x).unique().numel())
o, lin_f = linearize(torch.sin, x); print(o, lin_f(torch.ones(3)))
g = torch.func.functionalize(lambda t: t.clone().add_(1)); print(g(x))
y = torch.ones(2, requires_grad=True); z = vmap(lambda t: t * t)(y).sum(); z.backward(); print(y.grad)
print(jacrev(lambda d: d["p"] * d["q"])({"p": x, "q": x}), jacrev(lambda a, b: a * b, argnums=(0, 1))(x[:2], x[1:]))
ggn = lambda p: (jacrev(lambda t: t.tanh())(p).T @ jacrev(lambda t: t.tanh())(p)); print(ggn(x))
print(vjp(lambda a, b: (a * b, a + b), x, x)[1]((torch.ones(3), torch.ones(3))), jvp(lambda a, b: a @ b, (torch.eye(2), torch.ones(2)), (torch.ones(2, 2), torch.zeros(2))))
import torch.autograd.forward_ad as fwAD
with fwAD.dual_level():
    d = fwAD.make_dual(x, torch.ones(3)); print(fwAD.unpack_dual(d.exp() * 2))
