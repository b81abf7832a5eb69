# Gradients: leaves, accumulation, graphs, modes, and the messages' classes.
import torch

def attempt(f):
    try:
        return f()
    except Exception:
        return "raised"

x = torch.tensor([1.0, 2, 3], requires_grad=True)
y = (x * x).sum()
print(y, y.grad_fn.name() if hasattr(y.grad_fn, "name") else "", x.is_leaf, y.is_leaf, y.requires_grad, x.grad)
y.backward(); print(x.grad)
(x * 2).sum().backward(); print(x.grad)
x.grad.zero_(); print(x.grad, x.grad.requires_grad)
x.grad = None
z = x * 2; z.retain_grad(); (z ** 2).sum().backward(); print(z.grad, x.grad, z.retains_grad)
v = torch.tensor([1.0, 0.5, 2]); w = torch.tensor([1.0, 1, 1], requires_grad=True); (w * 3).backward(v); print(w.grad)
print(attempt(lambda: (w * 3).backward()), attempt(lambda: torch.ones(2).sum().backward()), attempt(lambda: y.backward()), attempt(lambda: w.add_(1)), attempt(lambda: w[0:1].mul_(2)), attempt(lambda: torch.tensor([1], requires_grad=True)), attempt(lambda: (w * 2).requires_grad_(False)), attempt(lambda: w.numpy()), attempt(lambda: (w * 2).grad))
with torch.no_grad():
    a = w * 2; b = w.view(3, 1); c = w.detach()
    print(a.requires_grad, b.requires_grad, c.requires_grad, torch.is_grad_enabled(), b)
    w.add_(1); w -= 1
    with torch.enable_grad(): print((w * 2).requires_grad)
print(w, torch.is_grad_enabled())
@torch.no_grad()
def f(t): return t * 2
print(f(w).requires_grad)
with torch.set_grad_enabled(False): print((w * 1).requires_grad)
with torch.inference_mode(): t = torch.ones(2) * 2; print(t.is_inference(), t.requires_grad)
print(attempt(lambda: w[:2] * t), t.clone().add_(1))
# higher order
s = torch.tensor(2.0, requires_grad=True); c = s ** 4
g1, = torch.autograd.grad(c, s, create_graph=True); g2, = torch.autograd.grad(g1, s, create_graph=True); g3, = torch.autograd.grad(g2, s)
print(g1, g2, g3)
print(torch.autograd.grad(s * 2, [s, w], allow_unused=True), attempt(lambda: torch.autograd.grad(s * 2, w)), torch.autograd.grad(s * 2, [s, w], allow_unused=True, materialize_grads=True))
print(torch.autograd.functional.jacobian(lambda t: t ** 2, torch.tensor([1.0, 2])), torch.autograd.functional.hessian(lambda t: (t ** 3).sum(), torch.tensor([1.0, 2])), torch.autograd.functional.vjp(lambda t: t * 2, torch.ones(2), torch.ones(2)), torch.autograd.functional.jvp(lambda t: t ** 2, torch.ones(2), torch.ones(2)), torch.autograd.functional.hvp(lambda t: (t ** 3).sum(), torch.ones(2), torch.ones(2)))
# through indexing, where, max, sort, clamp, abs at zero
p = torch.tensor([3.0, -1, 0, 2], requires_grad=True)
for fn in (lambda t: t[[0, 0, 2]].sum(), lambda t: t.max(), lambda t: t.abs().sum(), lambda t: t.clamp(0, 2).sum(), lambda t: t.sort().values[0] * 2, lambda t: torch.where(t > 0, t * 2, t * 3).sum(), lambda t: t.relu().sum(), lambda t: t.cumsum(0)[-1], lambda t: t.prod(), lambda t: t.norm(), lambda t: t.std(), lambda t: t.median(), lambda t: t.logsumexp(0), lambda t: t.topk(2).values.sum(), lambda t: (t.sign() * t).sum(), lambda t: t.round().sum(), lambda t: t.view(2, 2).trace(), lambda t: torch.stack([t, t]).amax(), lambda t: t.floor().sum() + t.sum(), lambda t: t.unfold(0, 2, 1).prod(1).sum(), lambda t: t.pow(2).mean().sqrt(), lambda t: t.repeat(2, 3).sum(), lambda t: t.flip(0).dot(torch.arange(4.0)), lambda t: t.masked_fill(t < 0, 9).sum(), lambda t: t.gather(0, torch.tensor([1, 1])).sum(), lambda t: t.scatter(0, torch.tensor([1]), t[:1] * 5).sum(), lambda t: t.index_add(0, torch.tensor([0, 0]), t[:2]).sum(), lambda t: torch.outer(t, t).sum(), lambda t: t.diff().pow(2).sum(), lambda t: t.softmax(0)[0], lambda t: t.sinc().sum(), lambda t: t.min(), lambda t: t.amin(), lambda t: torch.maximum(t, torch.zeros(4)).sum(), lambda t: t.norm(1), lambda t: t.norm(float("inf")), lambda t: t.var(unbiased=False), lambda t: torch.linalg.norm(t.view(2, 2), 2), lambda t: t.nan_to_num().sum()):
    p.grad = None; fn(p).backward(); print(p.grad.tolist())
# a graph on which backward runs twice
q = torch.tensor(1.0, requires_grad=True); r = q.exp(); r.backward(retain_graph=True); r.backward(); print(q.grad, attempt(lambda: r.backward()))
q = torch.tensor([1.0, 2], requires_grad=True); r = q.add(q, alpha=2).sum(); r.backward(); r.backward(); print(q.grad)
m = torch.ones(2, 2, requires_grad=True) * 1; n = m.exp(); m.mul_(2); print(m.grad_fn is not None, n.sum().backward())
m = torch.ones(2, 2, requires_grad=True) * 1; n = m ** 2; m += 1; print(attempt(lambda: n.sum().backward()), m._version)
l = torch.nn.Linear(2, 1); torch.nn.init.ones_(l.weight); torch.nn.init.zeros_(l.bias)
for prm in l.parameters(): prm.requires_grad_(False)
l.bias.requires_grad = True; l(torch.ones(3, 2)).sum().backward(); print(l.weight.grad, l.bias.grad)
d = x.detach(); d[0] = 10; print(x, d.requires_grad); cl = x.clone(); print(cl.requires_grad, x.data.requires_grad)
xx = torch.tensor([0.0, 4.0], requires_grad=True); xx.sqrt().sum().backward(); print(xx.grad); xx.grad = None; (xx / xx.norm()).sum().backward(); print(xx.grad)
cx = torch.tensor([1 + 1j], requires_grad=True); (cx.abs() ** 2).sum().backward(); print(cx.grad, attempt(lambda: (cx * 2).sum().backward()))
