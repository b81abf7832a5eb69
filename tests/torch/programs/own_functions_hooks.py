# Hooks on tensors, nodes and modules; functions of one's own.
import torch
from torch import nn
class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, k): ctx.save_for_backward(x); ctx.k = k; return ctx.k * x ** 3
    @staticmethod
    def backward(ctx, g): x, = ctx.saved_tensors; return ctx.k * 3 * x ** 2 * g, None
class Setup(torch.autograd.Function):
    @staticmethod
    def forward(x): return x.sin(), x.cos()
    @staticmethod
    def setup_context(ctx, inputs, output): ctx.save_for_backward(*output)
    @staticmethod
    def backward(ctx, a, b): s, c = ctx.saved_tensors; return a * c - b * s
class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x.round()
    @staticmethod
    def backward(ctx, g): return g
class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): ctx.mark_dirty(x); return x.mul_(2)
    @staticmethod
    def backward(ctx, g): return g * 2
class Index(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): v, i = x.max(-1); ctx.mark_non_differentiable(i); ctx.save_for_backward(i); ctx.shape = x.shape; return v, i
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g, _): i, = ctx.saved_tensors; return torch.zeros(ctx.shape).scatter(-1, i.unsqueeze(-1), g.unsqueeze(-1))
def attempt(f):
    try: return f()
    except Exception: return "raised"
x = torch.tensor([1.0, 2], requires_grad=True)
Cube.apply(x, 2.0).sum().backward(); print(x.grad)
g, = torch.autograd.grad(Cube.apply(x, 1.0).sum(), x, create_graph=True); print(torch.autograd.grad(g.sum(), x))
x.grad = None; a, b = Setup.apply(x); (a + 2 * b).sum().backward(); print(x.grad)
x.grad = None; (Round.apply(x * 1.4) * 3).sum().backward(); print(x.grad)
y = x * 1; z = Twice.apply(y); print(z is y, y, type(y.grad_fn).__name__); x.grad = None; z.sum().backward(); print(x.grad)
v, i = Index.apply(torch.stack([x, -x])); print(v.requires_grad, i.requires_grad); x.grad = None; v.sum().backward(); print(x.grad)
print(torch.autograd.gradcheck(lambda t: Cube.apply(t, 2.0), torch.rand(3, dtype=torch.float64, requires_grad=True)), attempt(lambda: Cube()(x)), attempt(lambda: torch.autograd.grad(torch.autograd.grad(Index.apply(x[None])[0].sum(), x, create_graph=True)[0].sum(), x)))
log = []
x.grad = None; h = x.register_hook(lambda g: log.append(("x", g.tolist())) or g * 10); y = x * 2; y.register_hook(lambda g: log.append(("y", g.tolist()))); y.sum().backward(); print(log, x.grad); h.remove(); x.grad = None; (x * 2).sum().backward(); print(x.grad)
x.register_post_accumulate_grad_hook(lambda p: log.append(("acc", p.grad.tolist()))); x.sum().backward(); print(log[-1])
y = x * 3; y.grad_fn.register_hook(lambda gi, go: log.append(("node", [None if t is None else t.tolist() for t in gi], [t.tolist() for t in go]))); y.sum().backward(); print(log[-2:])
net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
for p in net.parameters(): nn.init.constant_(p, 0.5)
seen = []
hs = [m.register_forward_hook(lambda m, i, o: seen.append((type(m).__name__, tuple(i[0].shape), tuple(o.shape)))) for m in net]
hs += [net[0].register_forward_pre_hook(lambda m, i: (i[0] * 2,)), net[2].register_full_backward_hook(lambda m, gi, go: seen.append(("bw", gi[0].tolist(), go[0].tolist()))), net[1].register_forward_hook(lambda m, i, o: o + 1), net[0].register_full_backward_pre_hook(lambda m, go: seen.append(("pre", go[0].tolist())))]
out = net(torch.ones(1, 2)); out.sum().backward(); print(out.detach(), *seen, sep="\n"); print([p.grad.tolist() for p in net.parameters()])
for h in hs: h.remove()
seen.clear(); print(net(torch.ones(1, 2)).detach(), seen)
with torch.autograd.graph.saved_tensors_hooks(lambda t: (log.append("pack") or t.clone()), lambda t: (log.append("unpack") or t)):
    w = (x.exp() * x).sum()
w.backward(); print(log.count("pack"), log.count("unpack"))
names = [(x * 2 + 1).sum(), x.exp(), x.unsqueeze(0), x ** 2, -x, x.t(), torch.stack([x, x]), x.std(), x.softmax(0), x.view(1, 2) @ x.view(2, 1), nn.functional.mse_loss(x, x.detach()), nn.functional.cross_entropy(x[None], torch.tensor([0])), nn.Linear(2, 2)(x[None]), x.view(2, 1), x.double(), x.norm(), x.squeeze(), x.transpose(0, 0), nn.functional.layer_norm(x, (2,)), torch.cat([x, x])]
print(*[n.grad_fn.name() for n in names])
