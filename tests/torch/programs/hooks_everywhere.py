# Hooks on tensors, nodes and modules; what they see and may change.
import torch, torch.nn as nn


def show(*values):
    """print without the graph behind the tensors: its nodes have names of their own."""
    print(*[v.detach() if isinstance(v, torch.Tensor) else v for v in values])


def raises(kind, fn, word=""):
    try:
        fn()
    except kind as e:
        return word in str(e)
    except Exception as e:
        return "other"
    return "none"


a = torch.ones(3, requires_grad=True)
b = torch.full((3,), 2.0, requires_grad=True)
log = []
c = a * b
c.register_hook(lambda g: log.append(("c", g.tolist())))
d = c.sum()
h = a.register_hook(lambda g: g * 10)
d.backward()
show(a.grad, b.grad, log)
h.remove()
a.grad = None
(a * b).sum().backward()
show(a.grad)
a.grad = None
x = a * 2
x.retain_grad()
x.register_hook(lambda g: g + 1)
(x * x).sum().backward()
show(x.grad, a.grad)
a.grad = None
seen = []
a.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
(a * 3).sum().backward()
(a * 3).sum().backward()
show(seen, a.grad)
y = (a * b).exp()
node = y.grad_fn
ph = node.register_prehook(lambda g: (g[0] * 2,))
nh = node.register_hook(lambda gi, go: show("node", [t is not None for t in gi], len(go)))
a.grad = None
y.sum().backward()
show(a.grad)
ph.remove()
nh.remove()
from torch.autograd.graph import register_multi_grad_hook, GradientEdge, get_gradient_edge, Node

t1, t2 = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
got = []
mh = register_multi_grad_hook(
    (t1, t2), lambda grads: got.append([None if g is None else g.sum().item() for g in grads])
)
(t1 * 2 + t2 * 3).sum().backward()
t1.sum().backward()
show(got)
mh.remove()
any_ = []
mh = register_multi_grad_hook((t1, t2), lambda g: any_.append(g.sum().item()), mode="any")
(t1 * 2 + t2 * 3).sum().backward()
show(len(any_))
mh.remove()
e = get_gradient_edge(t1)
show(type(e).__name__, e.output_nr, isinstance((t1 * 2).grad_fn, Node), torch.autograd.grad((t1 * 5).sum(), [e]))
show(
    raises(RuntimeError, lambda: torch.ones(2).register_hook(print)),
    raises(RuntimeError, lambda: (t1 * 2).register_post_accumulate_grad_hook(print)),
    raises(RuntimeError, lambda: torch.ones(2).retain_grad()),
)
bad = t1 * 1
bad.register_hook(lambda g: torch.ones(5))
show(raises(RuntimeError, lambda: bad.sum().backward()))
bad = t1 * 1
bad.register_hook(lambda g: 3.0)
show(raises((RuntimeError, TypeError), lambda: bad.sum().backward()))
bad = t1 * 1


def boom(g):
    raise ZeroDivisionError("in hook")


bad.register_hook(boom)
show(raises(ZeroDivisionError, lambda: bad.sum().backward(), "in hook"))
net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
with torch.no_grad():
    for i, p in enumerate(net.parameters()):
        p.copy_(torch.linspace(-1, 1, p.numel()).view_as(p) + i * 0.1)
inp = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
order = []
hs = [
    net[0].register_forward_pre_hook(lambda m, i: order.append("pre")),
    net[0].register_forward_hook(lambda m, i, o: order.append("fwd")),
    net[0].register_full_backward_pre_hook(lambda m, g: order.append("bwpre")),
    net[0].register_full_backward_hook(lambda m, gi, go: order.append(("bw", gi[0] is None, tuple(go[0].shape)))),
]
net(inp).sum().backward()
show(order)
[h.remove() for h in hs]
h = net[1].register_forward_hook(lambda m, i, o: o * 0 + 1)
show(net(inp))
h.remove()
h = net[0].register_forward_pre_hook(lambda m, a, k: ((a[0] * 2,), k), with_kwargs=True)
show(net(inp))
h.remove()
h = net[2].register_full_backward_hook(lambda m, gi, go: (gi[0] * 0,))
net.zero_grad()
net(inp).sum().backward()
show(net[0].weight.grad, net[2].weight.grad)
h.remove()
from torch.nn.modules.module import register_module_forward_hook

g = register_module_forward_hook(lambda m, i, o: order.append(type(m).__name__))
order.clear()
net(inp)
show(order)
g.remove()
acts = {}
for n, m in net.named_modules():
    if isinstance(m, nn.Linear):
        m.register_forward_hook(lambda m, i, o, n=n: acts.__setitem__(n, o.detach()))
net(inp)
show({k: v.shape for k, v in acts.items()}, acts["0"])
sd = []
net._register_state_dict_hook(lambda m, s, p, l: sd.append(len(s))) if hasattr(
    net, "_register_state_dict_hook"
) else None
net.state_dict()
show(len(sd) > 0)
h = net.register_load_state_dict_post_hook(lambda m, k: show("loaded", k.missing_keys))
net.load_state_dict(net.state_dict())
h.remove()
lr = nn.Linear(1, 1)
opt = torch.optim.SGD(lr.parameters(), 0.1)
opt.register_step_pre_hook(lambda o, a, k: show("pre"))
opt.register_step_post_hook(lambda o, a, k: show("post"))
lr(torch.ones(1, 1)).sum().backward()
opt.step()
w = torch.ones(2, requires_grad=True)


def clip(p):
    p.grad.clamp_(max=1.0)


w.register_post_accumulate_grad_hook(clip)
(w * torch.tensor([5.0, 0.5])).sum().backward()
show(w.grad)
o = {p: torch.optim.SGD([p], 0.5, foreach=False) for p in net.parameters()}
for p in net.parameters():
    p.register_post_accumulate_grad_hook(lambda p: (o[p].step(), o[p].zero_grad()) and None)
net(inp).sum().backward()
show(net[2].bias, net[2].bias.grad)
import copy

m2 = copy.deepcopy(net)
show(len(m2(inp)), copy.deepcopy(opt).param_groups[0]["lr"])
k = torch.ones(2, requires_grad=True)
z = k * 1
z.register_hook(lambda g: g * 3)
z2 = z.clone()
z.mul_(2)
z.register_hook(lambda g: g * 5)
(z + z2).sum().backward()
show(k.grad)
with torch.autograd.detect_anomaly():
    q = torch.tensor([0.0], requires_grad=True)
    show(
        raises(RuntimeError, lambda: (torch.sqrt(q) * 0).sum().backward(), "nan"),
        torch.is_anomaly_enabled(),
        torch.is_anomaly_check_nan_enabled(),
    )
