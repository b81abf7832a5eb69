# Views, in-place operations and version counters: what shares memory, and what backward refuses.
import torch


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


base = torch.arange(12.0).reshape(3, 4)
for name, v in dict(
    t=base.t(),
    view=base.view(4, 3),
    sl=base[1:],
    sel=base[0],
    step=base[:, ::2],
    exp=base.expand(2, 3, 4),
    diag=base.diagonal(),
    unf=base.unfold(1, 2, 1),
    nar=base.narrow(0, 0, 2),
    perm=base.permute(1, 0),
    uns=base.unsqueeze(1),
    sq=base[:1].squeeze(),
    flat=base.flatten(),
    real=torch.view_as_complex(base.view(3, 2, 2)).real,
    det=base.detach(),
    dat=base.data,
    asst=base.as_strided((2, 2), (1, 2)),
    chunk=base.chunk(2, 1)[1],
    unb=base.unbind()[2],
    mov=base.movedim(0, 1),
    resh=base.reshape(2, 6),
    rsh2=base.t().reshape(12),
    cont=base.contiguous(),
    cont2=base.t().contiguous(),
    cl=base.clone(),
    adv=base[[0, 1]],
    vas=base.view_as(torch.ones(2, 6)),
    vd=base.view(torch.int32),
    to=base.to(torch.float32),
    to2=base.to(torch.float64),
    hs=base.hsplit(2)[0],
    swap=base.swapdims(0, 1),
    mT=base.mT,
    sqz=base[None].squeeze(0),
    flip=base.flip(0),
).items():
    show(
        name,
        v.untyped_storage().data_ptr() == base.untyped_storage().data_ptr(),
        v._is_view(),
        v._base is base,
        v.stride(),
        v.storage_offset(),
        v.is_contiguous(),
    )
v = base[1]
v.mul_(10)
show(base[1], base._version, v._version)
base.add_(1)
show(v, v._version)
x = torch.ones(3, requires_grad=True)
y = x * 2
y[0] = 7.0
y.mul_(y.detach().clone())
(y * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
show(x.grad, y)
x.grad = None
z = x.clone()
a, b = z[:2], z[1:]
a.mul_(3)
b.add_(a[1].clone())
z.sum().backward()
show(x.grad)
x.grad = None
y = x.exp()
y.add_(1)
show(raises(RuntimeError, lambda: y.sum().backward(), "modified by an inplace operation"))
y = x * x
w = y * y
y.add_(1)
show(raises(RuntimeError, lambda: w.sum().backward(), "modified by an inplace operation"))
y = x * 2
w = y + 1
y.mul_(2)
w.sum().backward()
show(x.grad)
show(
    raises(RuntimeError, lambda: x.add_(1), "leaf Variable"),
    raises(RuntimeError, lambda: x[0].mul_(2), "leaf"),
    raises(RuntimeError, lambda: x.view(3).zero_(), "leaf"),
)
with torch.no_grad():
    x.add_(1)
    x[0] = 5
    x.view(-1)[1:].mul_(2)
show(x, x._version, x.requires_grad, x.is_leaf)
x.data[0] = -1
x.data = torch.zeros(3)
show(x, x.requires_grad)
y = x * 1
c = y.chunk(3)
show(raises(RuntimeError, lambda: c[0].mul_(2), "view"), raises(RuntimeError, lambda: y.unbind()[0].zero_()))
e = torch.ones(1, 3).expand(2, 3)
show(raises(RuntimeError, lambda: e.add_(1), "single memory location"), raises(RuntimeError, lambda: e.mul_(2)))
with torch.no_grad():
    nv = (x * 1)[:2]
y = torch.ones(3, requires_grad=True) * 1
with torch.no_grad():
    nv = y[:2]
show(raises(RuntimeError, lambda: nv.mul_(2)))
l = torch.zeros(4, requires_grad=True)
buf = torch.zeros(4)
buf[1:3] = l[1:3] * 3
buf.sum().backward()
show(l.grad, buf.requires_grad)
out = torch.zeros(3)
torch.add(torch.ones(3), 2, out=out)
show(out, raises(RuntimeError, lambda: torch.mul(l[:3], 2, out=out), "out="))
s = torch.zeros(2, 3)
s.copy_(torch.arange(3))
s.fill_(2).sub_(1).div_(4)
s.t_()
show(s, s.shape)
s.resize_(2, 2)
show(s.shape)
s.zero_()
s.squeeze_()
s.unsqueeze_(0)
show(s.shape, s.transpose_(0, 1).shape)
i = torch.tensor([1, 2, 3])
show(
    raises(RuntimeError, lambda: i.div_(2)),
    raises(RuntimeError, lambda: i.add_(1.5)),
    raises(RuntimeError, lambda: i.mul_(torch.ones(2, 3))),
    i.floor_divide_(2),
    i.pow_(2),
    i.bitwise_or_(1),
    raises(RuntimeError, lambda: i.sqrt_()),
)
p = torch.ones(2, 3)
q = p.as_strided((2, 2), (1, 1))
q[0, 1] = 5
show(p, q)
r = torch.arange(6.0).requires_grad_()
(g,) = torch.autograd.grad((r[2:].as_strided((2, 2), (1, 1)) * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum(), r)
show(g)
(g,) = torch.autograd.grad((r.view(2, 3)[1:].as_strided((2,), (1,), 1) * torch.tensor([1.0, 2.0])).sum(), r)
show(g)
h = r * 1
h.as_strided((2,), (2,), 1).mul_(10)
(g,) = torch.autograd.grad((h * h.detach()).sum(), r)
show(g)
h = r * 1
h[1::2].copy_(r[:3] ** 2)
h[0:2].swapaxes(0, 0)[0].fill_(3)
show(torch.autograd.grad(h.sum(), r)[0])
m = torch.zeros(3, 3)
m.diagonal().fill_(1)
m[0].t().add_(1) if False else None
m.fill_diagonal_(2)
m.triu_(0)
m[:, 0] = m[:, 1] + 1
show(m)
m[[0, 1]] = m[[1, 0]]
show(m)
k = torch.ones(2, 2).requires_grad_()
kk = k * 1
kk.t()[0] = kk[1] * 2
kk.sum().backward()
show(k.grad)
u = torch.ones(3, requires_grad=True).clone()
u1 = u[:1]
show(u.grad_fn is not None, u1.grad_fn.name().startswith(("Slice", "Alias")))
u.mul_(2)
show(u1, u1.requires_grad)
f1 = u.grad_fn
u.add_(1)
show(u.grad_fn is f1, u._version, u1._version)
d = u.detach()
show(raises(RuntimeError, lambda: d.resize_(9)), d.requires_grad_().is_leaf)
show(
    torch.equal(base.view(2, 6), base.reshape(2, 6)),
    raises(RuntimeError, lambda: base.t().view(12), "view"),
    base.is_set_to(base),
    base.data_ptr() == base[0].data_ptr(),
    base[1].data_ptr() - base.data_ptr(),
    base.element_size(),
    base.nbytes,
    base.untyped_storage().nbytes(),
    base.storage().size() if False else "",
)
with torch.inference_mode():
    inf = torch.ones(3)
    show(
        inf.is_inference(),
        (x * 2).is_inference(),
        x.is_inference(),
        torch.is_inference_mode_enabled(),
        x.view(3).is_inference(),
        torch.is_inference(inf) if hasattr(torch, "is_inference") else True,
    )
    with torch.inference_mode(False):
        show(torch.ones(2).is_inference(), (x * 2).requires_grad)
show(
    inf.is_inference(),
    raises(RuntimeError, lambda: inf.requires_grad_(), "inference"),
    raises(RuntimeError, lambda: inf * x, "Inference tensors cannot be saved for backward"),
    raises(RuntimeError, lambda: inf.add_(1), "Inplace update to inference tensor outside InferenceMode"),
    raises(RuntimeError, lambda: inf._version, "version counter"),
    (inf + 1).is_inference(),
    inf.clone().is_inference(),
    inf.view(3).is_inference(),
    (inf + x).requires_grad,
    inf.detach().is_inference(),
)
with torch.inference_mode():
    inf.fill_(3)
    show(inf, raises(RuntimeError, lambda: (x * 2).sum().backward()))
