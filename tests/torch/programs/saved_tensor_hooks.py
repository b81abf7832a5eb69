# Hooks for saved tensors, as in the tutorial, and what nodes keep.
import os, tempfile, uuid
import torch


def show(*values):
    """print without the graph behind the tensors: its nodes have names of their own."""
    print(*[v.detach() if isinstance(v, torch.Tensor) else v for v in values])


x = torch.arange(1.0, 6.0).requires_grad_()
y = x.pow(2)
show(x.equal(y.grad_fn._saved_self), x is y.grad_fn._saved_self)
y = x.exp()
show(y.equal(y.grad_fn._saved_result), y is y.grad_fn._saved_result)


def pack_hook(x):
    show("Packing", tuple(x.shape))
    return x


def unpack_hook(x):
    show("Unpacking", tuple(x.shape))
    return x


a = torch.ones(5, requires_grad=True)
b = torch.ones(5, requires_grad=True) * 2
with torch.autograd.graph.saved_tensors_hooks(pack_hook, unpack_hook):
    y = a * b
y.sum().backward()
show(a.grad)


class SelfDeletingTempFile:
    def __init__(self):
        self.name = os.path.join(tempfile.gettempdir(), str(uuid.uuid4()))

    def __del__(self):
        if os.path.exists(self.name):
            os.remove(self.name)


def pack(tensor):
    f = SelfDeletingTempFile()
    torch.save(tensor, f.name)
    return f


def unpack(f):
    return torch.load(f.name)


class SaveToDisk(torch.autograd.graph.saved_tensors_hooks):
    def __init__(self):
        super().__init__(pack, unpack)


net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
with torch.no_grad():
    for i, p in enumerate(net.parameters()):
        p.copy_(torch.linspace(-1, 1, p.numel()).view_as(p) * (i + 1))
inp = torch.linspace(0, 1, 12).view(3, 4)
net(inp).sum().backward()
want = [p.grad.clone() for p in net.parameters()]
net.zero_grad()
with SaveToDisk():
    out = net(inp)
out.sum().backward()
show([torch.equal(p.grad, w) for p, w in zip(net.parameters(), want)], [w.sum().item() for w in want])
with torch.autograd.graph.save_on_cpu():
    z = (x * x.sin()).sum()
z.backward()
show(x.grad)
count = 0


def counting(t):
    global count
    count += t.numel() * t.element_size()
    return t


with torch.autograd.graph.saved_tensors_hooks(counting, lambda t: t):
    q = (x * x).sum()
    q = q + x.exp().sum()
show(count)
try:
    with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            (x * x)
except RuntimeError as e:
    show("refused", "not here" in str(e))
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

calls = []


def block(t):
    calls.append(1)
    return torch.sin(t) * torch.exp(t)


u = torch.tensor([0.3, 0.5], requires_grad=True)
for reentrant in (False, True):
    calls.clear()
    u.grad = None
    o = checkpoint(block, u, use_reentrant=reentrant).sum()
    o.backward()
    show(reentrant, len(calls), u.grad)


def hook(t):
    return t * 2


u.grad = None
h = u.register_hook(hook)
(u**2).sum().backward()
show(u.grad)
h.remove()
u.grad = None
(u**2).sum().backward()
show(u.grad)
