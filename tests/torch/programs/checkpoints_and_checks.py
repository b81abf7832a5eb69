# Checkpointing, numerical checks of gradients, anomaly mode, functional Jacobians, graph surgery: the small print.
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint, checkpoint_sequential
from reproducible import attempt


torch.manual_seed(0)
x = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3).requires_grad_()
w = torch.linspace(0.5, 2, 9, dtype=torch.float64).reshape(3, 3).requires_grad_()
runs = []


def block(a, b, scale=1.0):
    runs.append(torch.is_grad_enabled())
    return (a @ b).tanh() * scale


for how in (False, True):
    runs.clear()
    y = (
        checkpoint(block, x, w, 2.0, use_reentrant=how)
        if how
        else checkpoint(block, x, w, scale=2.0, use_reentrant=how)
    )
    g = torch.autograd.grad(y.sum(), (x, w)) if not how else (y.sum().backward(), x.grad, w.grad)[1:]
    print(how, runs, y.detach().sum().item(), [t.sum().item() for t in g])
attempt("no input needs grad", lambda: checkpoint(lambda a: a * 2, x.detach(), use_reentrant=False).requires_grad)
attempt(
    "closure",
    lambda: torch.autograd.grad(checkpoint(lambda a: a @ w, x.detach(), use_reentrant=False).sum(), w)[0].sum(),
)
attempt(
    "nested",
    lambda: torch.autograd.grad(
        checkpoint(lambda a: checkpoint(torch.sin, a * 2, use_reentrant=False) * a, x, use_reentrant=False).sum(), x
    )[0].sum(),
)
attempt(
    "twice",
    lambda: (lambda y: torch.autograd.grad(torch.autograd.grad(y, x, create_graph=True)[0].sum(), x)[0].sum())(
        checkpoint(lambda a: (a**3).sum(), x, use_reentrant=False)
    ),
)
attempt("tuple out", lambda: [t.shape for t in checkpoint(lambda a: (a, a.sum()), x, use_reentrant=False)])
attempt("reentrant kwargs", lambda: checkpoint(block, x, w, scale=2.0, use_reentrant=True))
attempt("reentrant grad", lambda: torch.autograd.grad(checkpoint(torch.sin, x, use_reentrant=True).sum(), x))
calls = []


def changes(a):
    calls.append(1)
    return a.sin() if len(calls) == 1 else a.sin().exp()


attempt("differs", lambda: checkpoint(changes, x, use_reentrant=False).sum().backward())
drop = nn.Dropout(0.5)
torch.manual_seed(3)
y = checkpoint(lambda a: drop(a) * a, x, use_reentrant=False)
g = torch.autograd.grad(y.sum(), x)[0]
print("dropout agrees", torch.allclose(g, torch.where(y == 0, 0.0, 4 * x)))
net = nn.Sequential(*[nn.Sequential(nn.Linear(3, 3), nn.Tanh()) for _ in range(4)]).double()
with torch.no_grad():
    for p in net.parameters():
        p.copy_((torch.arange(p.numel(), dtype=torch.float64).reshape(p.shape) * 0.7).sin())
out = checkpoint_sequential(net, 2, x, use_reentrant=False)
print(
    torch.allclose(out, net(x)),
    torch.allclose(
        torch.autograd.grad(out.sum(), net[0][0].weight)[0], torch.autograd.grad(net(x).sum(), net[0][0].weight)[0]
    ),
)

attempt("gradcheck", lambda: gradcheck(lambda a, b: (a @ b).sin(), (x, w)))
attempt("gradcheck two outs", lambda: gradcheck(lambda a: (a.sin(), a.cos().sum()), x))
attempt("gradgradcheck", lambda: gradgradcheck(lambda a: a.pow(3).exp(), x))
attempt("wrong", lambda: gradcheck(lambda a: a.detach() * a, x))
attempt("wrong quiet", lambda: gradcheck(lambda a: a.detach() * a, x, raise_exception=False))
attempt("fast", lambda: gradcheck(lambda a: a.sinh(), x, fast_mode=True))
attempt("fast wrong", lambda: gradcheck(lambda a: a.detach() * a, x, fast_mode=True, raise_exception=False))
attempt("single", lambda: gradcheck(torch.sin, torch.ones(2, requires_grad=True), raise_exception=False))
attempt("single loose", lambda: gradcheck(torch.sin, torch.ones(2, requires_grad=True), eps=1e-2, atol=1e-2))
attempt("no grad", lambda: gradcheck(torch.sin, torch.ones(2)))
attempt(
    "complex",
    lambda: gradcheck(lambda z: (z * z.conj()).real, torch.ones(2, dtype=torch.complex128, requires_grad=True)),
)
attempt(
    "complex out", lambda: gradcheck(lambda z: z.exp() * 1j, torch.ones(2, dtype=torch.complex128, requires_grad=True))
)
attempt("forward ad", lambda: gradcheck(torch.tanh, x, check_forward_ad=True, check_batched_grad=True))
attempt(
    "abs at 0",
    lambda: gradcheck(torch.abs, torch.zeros(1, dtype=torch.float64, requires_grad=True), raise_exception=False),
)
attempt("int out", lambda: gradcheck(lambda a: a.long(), x))
attempt("undefined", lambda: gradcheck(lambda a, b: a * 2, (x, w)))
attempt("random", lambda: gradcheck(lambda a: a * torch.rand(1, dtype=torch.float64), x, raise_exception=False))

F = torch.autograd.functional
f = lambda a: a.exp().sum(0)
h = lambda a: (a**3).sum()
attempt("jacobian", lambda: F.jacobian(f, x).shape)
attempt("jacobian vectorize", lambda: torch.allclose(F.jacobian(f, x, vectorize=True), F.jacobian(f, x)))
attempt(
    "jacobian forward",
    lambda: torch.allclose(F.jacobian(f, x, vectorize=True, strategy="forward-mode"), F.jacobian(f, x)),
)
attempt("jacobian tuple", lambda: [[t.shape for t in row] for row in F.jacobian(lambda a, b: (a @ b, a.sum()), (x, w))])
attempt("jacobian graph", lambda: F.jacobian(f, x, create_graph=True).requires_grad)
attempt("jacobian strict", lambda: F.jacobian(lambda a: torch.ones(2), x, strict=True))
attempt("hessian", lambda: F.hessian(h, x).sum())
attempt("hessian not scalar", lambda: F.hessian(f, x))
attempt("vjp", lambda: F.vjp(f, x, torch.ones(3, dtype=torch.float64))[1].sum())
attempt("vjp no v", lambda: F.vjp(f, x))
attempt("vjp wrong v", lambda: F.vjp(f, x, torch.ones(2, dtype=torch.float64)))
attempt("vjp tuple v", lambda: F.vjp(lambda a: (a, a * 2), x, torch.ones(2, 3)))
attempt("jvp", lambda: F.jvp(f, x, torch.ones(2, 3, dtype=torch.float64))[1])
attempt("jvp wrong v", lambda: F.jvp(f, x, torch.ones(3, dtype=torch.float64)))
attempt("jvp no v", lambda: F.jvp(f, x))
attempt("hvp", lambda: F.hvp(h, x, torch.ones(2, 3, dtype=torch.float64))[1])
attempt("vhp", lambda: F.vhp(h, x, torch.ones(2, 3, dtype=torch.float64))[1])
attempt("vhp wrong", lambda: F.vhp(h, x, torch.ones(3, dtype=torch.float64)))
attempt("not tensor", lambda: F.jacobian(f, 3.0))

attempt(
    "anomaly",
    lambda: (
        lambda: [torch.autograd.grad((x * 0).sqrt().mul(0).sum(), x) for _ in [torch.autograd.set_detect_anomaly(True)]]
    )(),
)
torch.autograd.set_detect_anomaly(False)
print(torch.is_anomaly_enabled())
with torch.autograd.detect_anomaly(check_nan=False):
    print(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())
with torch.set_grad_enabled(False):
    print((x * 2).requires_grad, torch.is_grad_enabled())
    with torch.enable_grad():
        print((x * 2).requires_grad)


@torch.no_grad()
def frozen(a):
    return a * 2


@torch.inference_mode()
def inferred(a):
    return a * 2


print(frozen(x).requires_grad, inferred(x).is_inference(), frozen.__name__)
a = torch.ones(3, requires_grad=True)
b = a * 2
c = b.sum() + (b * b).sum()
print(torch.autograd.grad(c, b, retain_graph=True)[0], torch.autograd.grad(c, [a, b], retain_graph=True)[0])
attempt("retain", lambda: (c.backward(), a.grad.clone())[1])
attempt("again", lambda: c.backward())
attempt("not scalar", lambda: (a * 2).backward())
attempt("gradient", lambda: ((a * 2).backward(torch.ones(3)), a.grad)[1])
attempt("gradient shape", lambda: (a * 2).backward(torch.ones(2)))
attempt("gradient dtype", lambda: (a * 2).backward(torch.ones(3, dtype=torch.float64)))
attempt("inputs", lambda: ((a * b.detach().requires_grad_()).sum().backward(inputs=[a]), a.grad)[1])
attempt("no grad_fn", lambda: torch.ones(1).backward())
attempt("unused", lambda: torch.autograd.grad(a.sum(), torch.ones(1, requires_grad=True)))
attempt("allow unused", lambda: torch.autograd.grad(a.sum(), torch.ones(1, requires_grad=True), allow_unused=True))
attempt("materialize", lambda: torch.autograd.grad(a.sum(), torch.ones(1, requires_grad=True), materialize_grads=True))
attempt("not requires", lambda: torch.autograd.grad(a.sum(), torch.ones(1)))
attempt("empty inputs", lambda: torch.autograd.grad(a.sum(), []))
attempt("batched", lambda: torch.autograd.grad(a * 2, a, torch.eye(3), is_grads_batched=True))
attempt("two outputs", lambda: torch.autograd.grad([a.sum(), (a * 3).sum()], a))
attempt("grad_outputs None", lambda: torch.autograd.grad([a.sum(), a * 3], a, [None, torch.ones(3)]))
attempt("backward list", lambda: torch.autograd.backward([a.sum(), (a * 2).sum()]))
attempt("int leaf", lambda: torch.ones(1, dtype=torch.long, requires_grad=True))
attempt(
    "second order", lambda: torch.autograd.grad(torch.autograd.grad((a**4).sum(), a, create_graph=True)[0].sum(), a)
)
attempt(
    "linear second", lambda: torch.autograd.grad(torch.autograd.grad((a * 4).sum(), a, create_graph=True)[0].sum(), a)
)
attempt(
    "relu second",
    lambda: torch.autograd.grad(torch.autograd.grad(torch.relu(a).sum(), a, create_graph=True)[0].sum(), a),
)
attempt(
    "leaky second",
    lambda: torch.autograd.grad(
        torch.autograd.grad(nn.functional.leaky_relu(a).sum(), a, create_graph=True)[0].sum(), a
    ),
)
attempt(
    "max second",
    lambda: torch.autograd.grad(
        torch.autograd.grad(nn.functional.max_pool1d(a[None], 2).sum(), a, create_graph=True)[0].sum(), a
    ),
)
attempt(
    "mean pool second",
    lambda: torch.autograd.grad(
        torch.autograd.grad(nn.functional.avg_pool1d(a[None], 2).sum(), a, create_graph=True)[0].sum(), a
    ),
)
attempt(
    "hardtanh second",
    lambda: torch.autograd.grad(torch.autograd.grad(nn.functional.hardtanh(a).sum(), a, create_graph=True)[0].sum(), a),
)
attempt("abs second", lambda: torch.autograd.grad(torch.autograd.grad(a.abs().sum(), a, create_graph=True)[0].sum(), a))
attempt(
    "l1 second",
    lambda: torch.autograd.grad(
        torch.autograd.grad(nn.functional.smooth_l1_loss(a, a.detach() * 3), a, create_graph=True)[0].sum(), a
    ),
)
attempt(
    "sort second",
    lambda: torch.autograd.grad(torch.autograd.grad(a.sort().values.sum(), a, create_graph=True)[0].sum(), a),
)
attempt("prod second", lambda: torch.autograd.grad(torch.autograd.grad(a.prod(), a, create_graph=True)[0].sum(), a))
attempt(
    "cumsum second",
    lambda: torch.autograd.grad(torch.autograd.grad(a.cumsum(0).sum(), a, create_graph=True)[0].sum(), a),
)
attempt("matmul second", lambda: torch.autograd.grad(torch.autograd.grad((a @ a), a, create_graph=True)[0].sum(), a))
attempt(
    "clamp second",
    lambda: torch.autograd.grad(torch.autograd.grad(a.clamp(0, 2).sum(), a, create_graph=True)[0].sum(), a),
)
attempt(
    "where second",
    lambda: torch.autograd.grad(
        torch.autograd.grad(torch.where(a > 0, a, a * 2).sum(), a, create_graph=True)[0].sum(), a
    ),
)
attempt(
    "elu second",
    lambda: torch.autograd.grad(torch.autograd.grad(nn.functional.elu(a - 2).sum(), a, create_graph=True)[0].sum(), a),
)
attempt(
    "softplus second",
    lambda: torch.autograd.grad(torch.autograd.grad(nn.functional.softplus(a).sum(), a, create_graph=True)[0].sum(), a),
)
