# Hooks of every kind and the order in which they run: tensors, nodes, leaves, modules, optimizers, saved tensors.
import torch
from torch import nn

said = []


def say(word):
    def hook(*args, **kwargs):
        said.append(word)

    return hook


def flush(title):
    print(title, said)
    said.clear()


x = torch.ones(2, requires_grad=True)
y = x * 2
z = y.exp().sum()
handles = [
    y.register_hook(say("y1")),
    y.register_hook(lambda g: said.append("y2") or g * 2),
    x.register_hook(lambda g: said.append(("x", [round(v, 3) for v in g.tolist()]))),
    x.register_post_accumulate_grad_hook(lambda p: said.append(("post", [round(v, 3) for v in p.grad.tolist()]))),
    y.grad_fn.register_hook(lambda gi, go: said.append(("node", len(gi), len(go)))),
    y.grad_fn.register_prehook(lambda go: said.append(("pre", len(go)))),
]
y.retain_grad()
z.backward()
flush("tensor")
print(x.grad, y.grad)
for h in handles:
    h.remove()
(x * 2).exp().sum().backward()
flush("removed")
try:
    x.detach().register_hook(print)
except RuntimeError as error:
    print("RuntimeError")
try:
    y.register_post_accumulate_grad_hook(print)
except RuntimeError:
    print("RuntimeError post on non-leaf")


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Tanh()

    def forward(self, x, scale=1.0):
        return self.b(self.a(x)) * scale


torch.manual_seed(0)
net = Block()
with torch.no_grad():
    for p in net.parameters():
        p.copy_(torch.arange(p.numel()).reshape(p.shape) / 10)
inp = torch.ones(2, 3, requires_grad=True)
H = [
    net.register_forward_pre_hook(say("pre1")),
    net.register_forward_pre_hook(lambda m, a: said.append(("pre2", len(a))) or (a[0] * 2,), prepend=True),
    net.register_forward_pre_hook(
        lambda m, a, k: said.append(("pre3", sorted(k))) or (a, {**k, "scale": 3.0}), with_kwargs=True
    ),
    net.register_forward_hook(lambda m, a, o: said.append(("fwd", tuple(o.shape)))),
    net.register_forward_hook(
        lambda m, a, k, o: said.append(("fwd kw", sorted(k))) or o + 1, with_kwargs=True, prepend=True
    ),
    net.register_full_backward_pre_hook(lambda m, go: said.append(("bpre", len(go)))),
    net.register_full_backward_hook(
        lambda m, gi, go: said.append(("bwd", [None if g is None else tuple(g.shape) for g in gi]))
    ),
    net.a.register_full_backward_hook(lambda m, gi, go: said.append("bwd a") or (gi[0] * 0,)),
    net.b.register_forward_hook(lambda m, a, o: o.clamp(min=0)),
]
out = net(inp, scale=2.0)
flush("forward")
print(out)
out.sum().backward()
flush("backward")
print(inp.grad, net.a.weight.grad)
for h in H:
    h.remove()
net(inp).sum().backward()
flush("none left")

bad = nn.Linear(1, 1)
bad.register_forward_hook(lambda m, a, o: said.append("always"), always_call=True)
try:
    bad(torch.ones(3))
except RuntimeError:
    pass
flush("always")

g = [
    nn.modules.module.register_module_forward_hook(lambda m, a, o: said.append(type(m).__name__)),
    nn.modules.module.register_module_forward_pre_hook(lambda m, a: said.append("pre " + type(m).__name__)),
    nn.modules.module.register_module_full_backward_hook(lambda m, gi, go: said.append("back " + type(m).__name__)),
]
nn.Sequential(nn.Linear(3, 2), nn.ReLU())(inp).sum().backward()
flush("global")
for h in g:
    h.remove()

opt = torch.optim.SGD(net.parameters(), 0.1)
opt.register_step_pre_hook(lambda o, a, k: said.append("step pre"))
opt.register_step_post_hook(lambda o, a, k: said.append("step post"))
opt.step()
flush("optimizer")
net.register_state_dict_pre_hook(lambda m, prefix, keep: said.append(("sd pre", prefix)))
net._register_state_dict_hook(lambda m, d, prefix, meta: said.append(("sd", len(d))))
net.register_load_state_dict_post_hook(lambda m, keys: said.append(("loaded", keys.missing_keys)))
net.register_load_state_dict_pre_hook(lambda m, d, *rest: said.append(("loading", len(d))))
net.load_state_dict(net.state_dict())
flush("state")

packed = []
with torch.autograd.graph.saved_tensors_hooks(
    lambda t: packed.append(tuple(t.shape)) or t.numpy(force=True), lambda n: torch.from_numpy(n)
):
    loss = (net(inp) ** 2).sum()
before = len(packed)
loss.backward()
print(before > 0, inp.grad.shape)
a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
c, d = a * 2, b * 3
multi = torch.autograd.graph.register_multi_grad_hook(
    (a, b, c), lambda gs: said.append([None if g is None else g.tolist() for g in gs])
)
(c.sum() + 0).backward()
flush("multi all")
(a * 2 + b * 3).sum().backward()
multi.remove()
flush("multi")
any_of = torch.autograd.graph.register_multi_grad_hook((a, b), lambda g: said.append(g.tolist()), mode="any")
(a * b).sum().backward()
flush("any")
with torch.autograd.graph.save_on_cpu():
    (a * b).sum().backward()
print(a.grad, b.grad)
p = nn.Parameter(torch.ones(2))
p.register_hook(lambda g: g.clamp(max=0.5))
(p * 3).sum().backward()
(p * 3).sum().backward()
print(p.grad)
w = torch.ones(3, requires_grad=True)
w.register_hook(lambda g: None)
w.register_hook(lambda g: g + 1)
u = w[:2]
u.register_hook(lambda g: g * 10)
u.sum().backward()
print(w.grad, u.is_leaf)
print([n.name() for n, _ in (w * 2 + 1).grad_fn.next_functions if n is not None])
