# Changes in place and the history they leave: versions, views of views, leaves, saved values, and what is refused.
import torch


def attempt(name, fn):
    try:
        y = fn()
        print(name, y)
    except Exception as error:
        print(
            name,
            next(
                k.__name__ for k in (IndexError, TypeError, ValueError, RuntimeError, Exception) if isinstance(error, k)
            ),
        )


def leaf(n=4):
    return torch.arange(1.0, n + 1, requires_grad=True)


def grads(fn):
    x = leaf()
    y = fn(x)
    (y * torch.arange(1.0, y.numel() + 1).reshape(y.shape)).sum().backward()
    return x.grad.tolist(), y.detach().flatten().tolist()


OPS = {
    "add_": lambda y, x: y.add_(x, alpha=2),
    "mul_ x": lambda y, x: y.mul_(x),
    "div_": lambda y, x: y.div_(x + 1),
    "pow_": lambda y, x: y.pow_(2),
    "exp_": lambda y, x: y.exp_(),
    "sqrt_": lambda y, x: y.sqrt_(),
    "tanh_": lambda y, x: y.tanh_(),
    "sigmoid_": lambda y, x: y.sigmoid_(),
    "relu_": lambda y, x: y.relu_(),
    "clamp_": lambda y, x: y.clamp_(3, 5),
    "neg_": lambda y, x: y.neg_(),
    "abs_": lambda y, x: y.abs_(),
    "zero_": lambda y, x: y.zero_(),
    "fill_": lambda y, x: y.fill_(2),
    "fill_ x": lambda y, x: y.fill_(x[1]),
    "copy_": lambda y, x: y.copy_(x * 3),
    "copy_ part": lambda y, x: y[1:3].copy_(x[:2] ** 2),
    "half": lambda y, x: y[::2].mul_(10),
    "masked_fill_": lambda y, x: y.masked_fill_(x > 2, 0),
    "index_fill_": lambda y, x: y.index_fill_(0, torch.tensor([0, 3]), 1),
    "index_add_": lambda y, x: y.index_add_(0, torch.tensor([0, 0]), x[:2]),
    "index_copy_": lambda y, x: y.index_copy_(0, torch.tensor([2]), x[:1] * 5),
    "scatter_": lambda y, x: y.scatter_(0, torch.tensor([1]), x[3:]),
    "put_": lambda y, x: y.put_(torch.tensor([0]), x[2:3] ** 2),
    "lerp_": lambda y, x: y.lerp_(x, 0.25),
    "addcmul_": lambda y, x: y.addcmul_(x, x, value=0.5),
    "addcdiv_": lambda y, x: y.addcdiv_(x, x + 1),
    "cumsum_": lambda y, x: y.cumsum_(0),
    "sub row": lambda y, x: y[1].sub_(y[0]),
    "iadd slice": lambda y, x: y.__setitem__(slice(1, None), y[1:] + y[:-1]),
    "set mask": lambda y, x: y.__setitem__(x > 2.5, x[:2]),
    "set scalar": lambda y, x: y.__setitem__(0, x[3] * x[2]),
    "t_ view": lambda y, x: y.view(2, 2).t()[0].mul_(x[:2]),
    "unsqueeze_": lambda y, x: y.unsqueeze_(0).mul_(2),
    "squeeze": lambda y, x: y.view(1, 4).squeeze(0).add_(x),
    "diag": lambda y, x: y.view(2, 2).diagonal().mul_(7),
    "chain": lambda y, x: y.mul_(2).add_(x).sin_(),
    "maximum": lambda y, x: y.copy_(torch.maximum(y, x + 1)),
    "detach part": lambda y, x: y.sub_(y.detach()),
    "narrow": lambda y, x: y.narrow(0, 1, 2).pow_(3),
    "expand": lambda y, x: y.add_(x[0].expand(4)),
    "where": lambda y, x: y.copy_(torch.where(x > 2, y, x)),
    "xlogy_": lambda y, x: y.xlogy_(x),
    "atan2_": lambda y, x: y.atan2_(x),
    "logit_": lambda y, x: y.div_(10).logit_(),
    "renorm_": lambda y, x: y.view(2, 2).renorm_(2, 0, 3),
    "tril_": lambda y, x: y.view(2, 2).tril_(),
    "erfinv_": lambda y, x: y.div_(9).erfinv_(),
    "sign_": lambda y, x: y.sign_(),
    "floor_": lambda y, x: y.floor_(),
    "fmod_": lambda y, x: y.fmod_(3),
    "remainder_": lambda y, x: y.remainder_(x + 0.5),
    "square_": lambda y, x: y.square_(),
    "reciprocal_": lambda y, x: y.reciprocal_(),
    "clamp_min_": lambda y, x: y.clamp_min_(x[2].item()),
    "swap": lambda y, x: y.__setitem__([0, 1], y[[1, 0]]),
}
for name, op in OPS.items():

    def run(x, op=op):
        y = x * 2
        op(y, x)
        return y

    attempt(name, lambda: grads(run))
    x = leaf()
    y = x * 2
    before = y._version
    attempt("  version", lambda: (op(y, x) is None, y._version - before)[1])

REFUSED = {
    "leaf": lambda: leaf().add_(1),
    "leaf view": lambda: leaf()[0].mul_(2),
    "leaf set": lambda: leaf().__setitem__(0, 1.0),
    "exp changed": lambda: (lambda x: (lambda y: (y.add_(1), y.sum().backward()))(x.exp()))(leaf()),
    "mul changed": lambda: (lambda x, w: (lambda y: ((y * w), y.add_(1)))(x * 2))(leaf(), leaf()),
    "saved input": lambda: (lambda x: (lambda y: (lambda z: (y.add_(1), z.sum().backward()))(y * y))(x * 2))(leaf()),
    "saved through view": lambda: (
        lambda x: (lambda y: (lambda z: (y[:2].add_(1), z.sum().backward()))(y.sin()))(x * 2)
    )(leaf()),
    "saved disjoint": lambda: (
        lambda x: (lambda y: (lambda z: (y[2:].add_(1), z.sum().backward()))(y[:2].sin()))(x * 2)
    )(leaf()),
    "add not saved": lambda: (
        lambda x: (lambda y: (lambda z: (y.add_(1), z.sum().backward(), x.grad.tolist())[2])(y + y))(x * 2)
    )(leaf()),
    "relu result": lambda: (lambda x: (lambda y: (y.mul_(2), y.sum().backward()))((x * 2).relu()))(leaf()),
    "sigmoid detach": lambda: (lambda x: (lambda y: (y.detach().zero_(), y.sum().backward()))(x.sigmoid()))(leaf()),
    "data": lambda: (lambda x: (lambda y: (y.data.zero_(), y.sum().backward(), x.grad.tolist())[2])(x.exp()))(leaf()),
    "no_grad change": lambda: (lambda x: (lambda y: (change(y), y.sum().backward()))(x.exp()))(leaf()),
    "unbind": lambda: (lambda x: (x * 2).unbind()[0].add_(1))(leaf()),
    "split": lambda: (lambda x: (x * 2).split(2)[0].add_(1))(leaf()),
    "chunk": lambda: (x * 2).chunk(2)[1].zero_(),
    "expand": lambda: torch.ones(1).expand(3).add_(1),
    "self overlap": lambda: (lambda a: a[1:].add_(a[:-1]))(torch.ones(4)),
    "shape": lambda: torch.ones(1).add_(torch.ones(3)),
    "dtype": lambda: torch.ones(2, dtype=torch.long).add_(0.5),
    "dtype div": lambda: torch.ones(2, dtype=torch.long).div_(2),
    "bool": lambda: torch.tensor([True]).add_(True),
    "bool sub": lambda: torch.tensor([True]).sub_(True),
    "complex": lambda: torch.ones(2).mul_(1j),
    "uint8 wrap": lambda: torch.tensor([250], dtype=torch.uint8).add_(10),
    "int8 wrap": lambda: torch.tensor([127], dtype=torch.int8).add_(1),
    "half overflow": lambda: torch.tensor([60000.0], dtype=torch.half).mul_(2),
    "requires_grad_ on int": lambda: torch.ones(2, dtype=torch.long).requires_grad_(),
    "requires_grad_ False on result": lambda: (leaf() * 2).requires_grad_(False),
    "detach_": lambda: (lambda y: (y.detach_(), y.requires_grad, y.grad_fn)[1:])(leaf() * 2),
    "detach_ view": lambda: (leaf() * 2)[:2].detach_(),
    "resize": lambda: leaf().resize_(2),
    "set_": lambda: (lambda t: t.set_(torch.ones(5)).shape)(torch.zeros(2)),
    "grad shape": lambda: setattr(leaf(), "grad", torch.ones(3)),
    "grad dtype": lambda: setattr(leaf(), "grad", torch.ones(4, dtype=torch.double)),
    "grad ok": lambda: (lambda x: (setattr(x, "grad", torch.ones(4)), x.grad.sum())[1])(leaf()),
    "version": lambda: (
        lambda t: (t.add_(1), t[0].mul_(2), t.view(2, 2).zero_(), t.detach().add_(1), t.data.add_(1), t._version)[-1]
    )(torch.ones(4)),
}


def change(y):
    with torch.no_grad():
        y.add_(1)


x = leaf()
for name, fn in REFUSED.items():
    attempt(name, fn)
base = torch.zeros(3, 4)
v = base.view(2, 6)[:, 1:4]
w = v.t()
w[0] = leaf(2)
print(
    base.requires_grad,
    v.requires_grad,
    base.grad_fn is not None,
    v._base is base,
    w._base is base,
    base._version,
    w._version,
)
a = leaf()
b = a * 1
c = b[1:]
d = c[1:]
d.mul_(a[2:])
c.add_(1)
b.mul_(2)
print(b.tolist(), c.tolist(), d.tolist())
(b.sum() + d.sum()).backward()
print(a.grad)
state = torch.zeros(3)
total = 0
s = leaf(3)
for i in range(3):
    state = state.clone()
    state[i] = s[i] * (i + 1) + state.sum()
    total = total + state.sum()
total.backward()
print(total.item(), s.grad)
table = torch.zeros(5, 2)
rows = leaf(4).reshape(2, 2)
table[[1, 3]] += rows * 2
table[1:] *= 3
table.index_put_((torch.tensor([1, 1]),), rows, accumulate=True)
print(table.detach(), torch.autograd.grad(table.sum(), rows)[0] if rows.requires_grad else None)
with torch.no_grad():
    p = leaf()
    p -= 0.1
    p[0] = 9
    p.clamp_(max=3)
print(p, p.requires_grad, p._version)
with torch.inference_mode():
    q = torch.ones(2)
    q.add_(1)
attempt("inference tensor", lambda: q.add_(1))
attempt("inference saved", lambda: (q * leaf(2)).sum().backward())
attempt("inference clone", lambda: (torch.ones(2) * leaf(2)).sum().item())
