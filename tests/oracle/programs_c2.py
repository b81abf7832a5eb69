"""Programs with optimizers, schedules, averages and mixed precision that run under PyTorch and under mlkit.

Each leaves ``result``: tensors, numbers or texts by name. Names: ``T`` the library, ``nn``, ``F``, ``optim``, ``rng``
(NumPy's, seeded by the program's name), ``numbers(*shape)`` a float64 tensor of normal numbers, ``keep(prefix, dict)``
adds a state_dict to ``result``, ``text(x)`` is x without tensors as JSON.
"""

from __future__ import annotations

import inspect
import json
import zlib
from collections import Counter

import numpy as np

# name: (class, options)
OPTIMIZERS = {
    "SGD": ("SGD", "lr=0.1"),
    "SGD_decay": ("SGD", "lr=0.1, weight_decay=0.1, maximize=False"),
    "SGD_momentum": ("SGD", "lr=0.05, momentum=0.9, dampening=0.1, weight_decay=0.01"),
    "SGD_nesterov": ("SGD", "lr=0.001, momentum=0.9, nesterov=True, maximize=True"),
    "Adam": ("Adam", "lr=0.1"),
    "Adam_decay": ("Adam", "lr=0.1, weight_decay=0.1, foreach=False"),
    "Adam_amsgrad": ("Adam", "lr=0.1, betas=(0.8, 0.9), amsgrad=True"),
    "Adam_decoupled": ("Adam", "lr=0.1, weight_decay=0.1, decoupled_weight_decay=True, maximize=True"),
    "Adam_tensor_lr": ("Adam", "lr=T.tensor(0.1, dtype=T.float64)"),
    "AdamW": ("AdamW", "lr=0.1"),
    "AdamW_options": ("AdamW", "lr=0.05, betas=(0.7, 0.95), eps=1e-3, weight_decay=0.3, amsgrad=True, maximize=True"),
    "NAdam": ("NAdam", "lr=0.05"),
    "NAdam_decay": ("NAdam", "lr=0.05, weight_decay=0.1, momentum_decay=0.1"),
    "NAdam_decoupled": ("NAdam", "lr=0.05, weight_decay=0.1, decoupled_weight_decay=True, maximize=True"),
    "RAdam": ("RAdam", "lr=0.05"),
    "RAdam_decay": ("RAdam", "lr=0.05, weight_decay=0.1, betas=(0.8, 0.9)"),
    "RAdam_decoupled": ("RAdam", "lr=0.05, weight_decay=0.1, decoupled_weight_decay=True, maximize=True"),
    "Adamax": ("Adamax", "lr=0.05"),
    "Adamax_decay": ("Adamax", "lr=0.05, weight_decay=0.1, betas=(0.8, 0.9), maximize=True"),
    "RMSprop": ("RMSprop", "lr=0.01"),
    "RMSprop_momentum": ("RMSprop", "lr=0.01, momentum=0.5, weight_decay=0.1, alpha=0.9"),
    "RMSprop_centered": ("RMSprop", "lr=0.01, centered=True, momentum=0.1, maximize=True"),
    "Adagrad": ("Adagrad", "lr=0.1"),
    "Adagrad_options": ("Adagrad", "lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.2"),
    "Adadelta": ("Adadelta", ""),
    "Adadelta_options": ("Adadelta", "lr=2.0, rho=0.8, eps=1e-4, weight_decay=0.1, maximize=True"),
    "ASGD": ("ASGD", "lr=0.05"),
    "ASGD_options": ("ASGD", "lr=0.05, lambd=0.01, alpha=0.5, t0=4, weight_decay=0.1"),
    "Rprop": ("Rprop", "lr=0.05"),
    "Rprop_options": ("Rprop", "lr=0.05, etas=(0.3, 1.5), step_sizes=(1e-3, 0.2), maximize=True"),
    "Adafactor": ("Adafactor", "lr=0.1"),
    "Adafactor_options": ("Adafactor", "lr=0.05, beta2_decay=-0.5, eps=(1e-6, 1e-2), d=1.5, weight_decay=0.1"),
}

# A matrix, a vector, a number, a table of which some rows get no gradient, one that gets none at all; two groups.
_PARAMETERS = """
ps = [nn.Parameter(numbers(3, 2).to({dtype})), nn.Parameter(numbers(4).to({dtype})), nn.Parameter(numbers().to({dtype}))]
ps += [nn.Parameter(numbers(5, 3).to({dtype})), nn.Parameter(numbers(2).to({dtype}))]
def loss_of(step):
    a, b, c, table, unused = ps
    rows = table[T.tensor([0, 3, 3]) if step % 2 else T.tensor([1, 3, 0])]
    return ((a ** 2).sum() * (b.sin() ** 2).sum() + (b ** 4).sum() * 0.1 + (c - 2) ** 2 + (rows ** 2).sum() * c.cos())
def make():
    named = [{{"params": [("a", ps[0]), ("b", ps[1])]}}, {{"params": [("c", ps[2]), ("table", ps[3]), ("unused", ps[4])],
              "lr": 0.02}}]
    return optim.{name}(named{comma}{options})
def train(opt, steps, prefix):
    for step in steps:
        opt.zero_grad()
        loss = loss_of(step)
        loss.backward()
        opt.step()
        result[f"loss{{step}}"] = loss
    for i, p in enumerate(ps):
        result[f"{{prefix}}.p{{i}}"] = p.detach().clone()
    keep(prefix, opt.state_dict())
"""

# from PyTorch's parameters and state after six steps, given as ``before``
GO_ON = (
    _PARAMETERS
    + """
with T.no_grad():
    for i, p in enumerate(ps):
        p.copy_(T.tensor(before[f"half.p{{i}}"]))
state = {{}}
for key, array in before.items():
    number, _, entry = key.removeprefix("half.").partition(".")
    if key.startswith("half.") and number.isdigit():
        state.setdefault(int(number), {{}})[entry] = T.tensor(array)
opt = make()
opt.load_state_dict({{"state": state, "param_groups": json.loads(str(before["half.groups"]))}})
train(opt, range(6, 12), "end")
"""
)

_OPTIMIZER = (
    _PARAMETERS
    + """
opt = make()
train(opt, range(6), "half")
saved = opt.state_dict()
opt = make()
opt.load_state_dict(saved)
train(opt, range(6, 12), "end")
"""
)

COMPLEX = [k for k in OPTIMIZERS if not k.startswith(("Adafactor", "Adam_tensor"))]
_COMPLEX = """
ps = [nn.Parameter(T.complex(numbers(3, 2), numbers(3, 2))), nn.Parameter(numbers(2)),
      nn.Parameter(T.complex(numbers(4, 3), numbers(4, 3)).t())]
opt = optim.{name}(ps{comma}{options})
for step in range(10):
    opt.zero_grad()
    x, w, z = ps
    y = (x * w).sum() - 1j
    loss = (y.real ** 2 + y.imag ** 2) + (x * x.conj()).sum().real + ((z - 1) * (z - 1).conj()).sum().real
    loss.backward()
    opt.step()
    result[f"loss{{step}}"] = loss
for i, p in enumerate(ps):
    result[f"p{{i}}"] = p
keep("end", opt.state_dict())
"""

_LBFGS = """
ps = [nn.Parameter(numbers(3, 2)), nn.Parameter(numbers(4)), nn.Parameter(numbers(3))]
opt = optim.LBFGS(ps, {options})
calls = []
def closure():
    opt.zero_grad()
    a, b, _ = ps
    loss = ((a ** 2).sum() - 1) ** 2 + (1 - b[:-1]).pow(2).sum() + 10 * (b[1:] - b[:-1] ** 2).pow(2).sum() + a.sum() ** 2
    loss.backward()
    calls.append(loss.item())
    return loss
for step in range({steps}):
    result[f"loss{{step}}"] = opt.step(closure)
result["calls"] = np.array(calls)
for i, p in enumerate(ps):
    result[f"p{{i}}"] = p
state = opt.state_dict()["state"][0]
result["counts"] = text([state["func_evals"], state["n_iter"], len(state["old_dirs"])])
for key in ("d", "prev_flat_grad", "H_diag"):
    result[key] = T.as_tensor(state[key], dtype=T.float64)
"""
LBFGS = {
    "plain": ("lr=0.1, max_iter=5", 3),
    "wolfe": ("line_search_fn='strong_wolfe'", 3),
    "wolfe_short": ("lr=0.5, max_iter=6, max_eval=7, history_size=3, line_search_fn='strong_wolfe'", 4),
    "to_the_end": ("line_search_fn='strong_wolfe', max_iter=100", 1),
}

_MUON = """
ps = [nn.Parameter(numbers(4, 6).float()), nn.Parameter(numbers(6, 3).float())]
opt = optim.Muon(ps, {options})
for step in range(10):
    opt.zero_grad()
    loss = ((ps[0] @ ps[1]) ** 2).sum() + ps[0].sum()
    loss.backward()
    opt.step()
    result[f"loss{{step}}"] = loss
result["a"], result["b"] = ps
keep("end", opt.state_dict())
"""
MUON = {
    "plain": "lr=0.01",
    "options": "lr=0.02, weight_decay=0.0, momentum=0.9, nesterov=False, ns_steps=3, adjust_lr_fn='match_rms_adamw'",
}

# Gradients through steps, with respect to the start and to the rate. (PyTorch refuses a second step of some.)
DIFFERENTIABLE = {
    "SGD": "lr=lr, weight_decay=0.1",
    "Adam": "lr=lr, weight_decay=0.1, amsgrad=True",
    "AdamW": "lr=lr, weight_decay=0.1",
    "NAdam": "lr=0.1",
    "RAdam": "lr=0.1, betas=(0.8, 0.9)",
    "Adamax": "lr=0.1",
    "RMSprop": "lr=0.1, momentum=0.5, centered=True",
    "Adagrad": "lr=0.1",
    "Adadelta": "lr=0.1",
    "ASGD": "lr=0.1",
    "Rprop": "lr=0.1",
}
ONCE = ("Adam", "Adamax", "RMSprop", "Rprop")
_DIFFERENTIABLE = """
start = numbers(3).requires_grad_()
lr = T.tensor(0.1, dtype=T.float64, requires_grad={learns})
target = numbers(3)
p = start.clone()
p.retain_grad()
opt = optim.{name}([p], differentiable=True, {options})
for step in range({steps}):
    p.grad = 2 * (start - target) * (step + 1) + start ** 2
    opt.step()
loss = (p ** 2).sum()
loss.backward()
result["p"], result["grad"] = p, start.grad
if {learns}:
    result["lr"] = lr.grad
"""

# name: (schedule, optimizer)
SGD = "optim.SGD([{'params': [p]}, {'params': [q], 'lr': 0.05}], lr=0.3, momentum=0.9)"
ADAM = "optim.Adam([{'params': [p]}, {'params': [q], 'lr': 0.05}], lr=0.3)"
SCHEDULES = {
    "StepLR": ("StepLR(opt, 7, gamma=0.5)", SGD),
    "MultiStepLR": ("MultiStepLR(opt, [5, 5, 20, 33], gamma=0.3)", SGD),
    "ConstantLR": ("ConstantLR(opt, factor=0.2, total_iters=8)", SGD),
    "LinearLR": ("LinearLR(opt, 0.1, 0.8, total_iters=12)", SGD),
    "LinearLR_default": ("LinearLR(opt)", SGD),
    "ExponentialLR": ("ExponentialLR(opt, 0.95)", SGD),
    "PolynomialLR": ("PolynomialLR(opt, 30, power=2.0)", SGD),
    "CosineAnnealingLR": ("CosineAnnealingLR(opt, 11, eta_min=0.01)", SGD),
    "WarmRestarts": ("CosineAnnealingWarmRestarts(opt, 6, T_mult=2, eta_min=0.01)", SGD),
    "WarmRestarts_1": ("CosineAnnealingWarmRestarts(opt, 9)", SGD),
    "LambdaLR": ("LambdaLR(opt, [lambda n: 0.9 ** n, lambda n: 1 / (1 + n)])", SGD),
    "MultiplicativeLR": ("MultiplicativeLR(opt, lambda n: 0.95 if n % 2 else 1.02)", SGD),
    "OneCycleLR": ("OneCycleLR(opt, 0.5, total_steps=50)", SGD),
    "OneCycleLR_phases": (
        "OneCycleLR(opt, [0.5, 0.1], epochs=10, steps_per_epoch=6, three_phase=True, anneal_strategy='linear', "
        "pct_start=0.25, div_factor=10.0, final_div_factor=100.0)",
        ADAM,
    ),
    "CyclicLR": ("CyclicLR(opt, 0.01, 0.2, step_size_up=6, step_size_down=9)", SGD),
    "CyclicLR_2": ("CyclicLR(opt, [0.01, 0.02], [0.2, 0.3], step_size_up=5, mode='triangular2')", ADAM),
    "CyclicLR_exp": ("CyclicLR(opt, 0.01, 0.2, step_size_up=5, mode='exp_range', gamma=0.97)", SGD),
    "CyclicLR_own": ("CyclicLR(opt, 0.01, 0.2, 5, scale_fn=lambda x: 1 / x, cycle_momentum=False)", SGD),
    "Sequential": (
        "SequentialLR(opt, [S.LinearLR(opt, 0.1, total_iters=5), S.CosineAnnealingLR(opt, 20), "
        "S.ExponentialLR(opt, 0.9)], [5, 25])",
        SGD,
    ),
    "Sequential_nested": (
        "SequentialLR(opt, [S.SequentialLR(opt, [S.ConstantLR(opt, 0.5, 3), S.StepLR(opt, 4)], [6]), "
        "S.PolynomialLR(opt, 10)], [15])",
        SGD,
    ),
    "Chained": ("ChainedScheduler([S.ConstantLR(opt, 0.5, 4), S.ExponentialLR(opt, 0.9)])", SGD),
    "SWALR": ("SWALR(opt, 0.01, anneal_epochs=12)", SGD),
    "SWALR_linear": ("SWALR(opt, [0.01, 0.6], anneal_epochs=9, anneal_strategy='linear')", ADAM),
    "SWALR_at_once": ("SWALR(opt, 0.01, anneal_epochs=0)", SGD),
    "tensor_lr": ("CosineAnnealingLR(opt, 11)", "optim.SGD([p, q], lr=T.tensor(0.3, dtype=T.float64), momentum=0.9)"),
}
_SCHEDULE = """
S = optim.lr_scheduler
S.SWALR = optim.swa_utils.SWALR
p, q = nn.Parameter(numbers(2)), nn.Parameter(numbers(2))
def look():
    for key, rows in seen.items():
        rows.append([float(g[key][0] if key == "betas" else g[key]) for g in opt.param_groups if key in g])
opt = {optimizer}
schedule = S.{schedule}
seen = {{"lr": [], "momentum": [], "betas": []}}
for step in range(25):
    look()
    opt.step()
    schedule.step()
saved, groups = schedule.state_dict(), opt.state_dict()
result["state"] = text(saved)
opt = {optimizer}
schedule = S.{schedule}
schedule.load_state_dict(saved)
opt.load_state_dict(groups)
for step in range(25):
    opt.step()
    schedule.step()
    look()
result["last"] = np.array([float(lr) for lr in schedule.get_last_lr()])
result["groups"] = text([{{k: v for k, v in g.items() if k != "params"}} for g in opt.param_groups])
for key, rows in seen.items():
    result[key] = np.array(rows)
"""

# resuming by last_epoch instead of by state
RESUMED = {
    k: v for k, v in SCHEDULES.items() if not k.startswith(("Sequential", "Chained", "SWALR", "tensor", "OneCycle"))
}
_RESUMED = """
S = optim.lr_scheduler
p, q = nn.Parameter(numbers(2)), nn.Parameter(numbers(2))
opt = {optimizer}
schedule = S.{schedule}
for step in range(9):
    opt.step()
    schedule.step()
schedule = S.{resumed}
rates = [[g["lr"] for g in opt.param_groups]]
for step in range(20):
    opt.step()
    schedule.step()
    rates.append([g["lr"] for g in opt.param_groups])
result["rates"] = np.array(rates)
"""

# jumping to an epoch, where PyTorch uses the closed form
_JUMP = """
import warnings
S = optim.lr_scheduler
p, q = nn.Parameter(numbers(2)), nn.Parameter(numbers(2))
opt = {optimizer}
schedule = S.{schedule}
rates = []
opt.step()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    for epoch in (3, 10, 4, 30):
        schedule.step(epoch)
        rates.append([g["lr"] for g in opt.param_groups])
result["rates"] = np.array(rates)
"""
JUMPS = (
    "StepLR MultiStepLR ConstantLR LinearLR ExponentialLR PolynomialLR CosineAnnealingLR WarmRestarts LambdaLR".split()
)

_PLATEAU = """
p, q = nn.Parameter(numbers(2)), nn.Parameter(numbers(2))
opt = {optimizer}
schedule = optim.lr_scheduler.ReduceLROnPlateau(opt, {options})
losses = 1 + np.cumsum(rng.normal(size=50) * 0.05 - 0.01)
rates, bad = [], []
for i, loss in enumerate(losses):
    schedule.step(T.tensor(loss) if i % 2 else float(loss))
    rates.append([g["lr"] for g in opt.param_groups])
    bad.append([schedule.num_bad_epochs, schedule.cooldown_counter])
    if i == 25:
        saved = schedule.state_dict()
        schedule = optim.lr_scheduler.ReduceLROnPlateau(opt, {options})
        schedule.load_state_dict(saved)
result["rates"], result["bad"], result["state"] = np.array(rates), np.array(bad), text(saved)
"""
PLATEAU = {
    "min": "patience=3",
    "max": "mode='max', factor=0.5, patience=1, cooldown=3, min_lr=[0.01, 0.02]",
    "abs": "patience=2, threshold=0.05, threshold_mode='abs', factor=0.3, min_lr=0.001",
}

_AVERAGE = """
U = optim.swa_utils
model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).double()
with T.no_grad():
    for p in model.parameters():
        p.copy_(numbers(*p.shape))
average = U.AveragedModel(model, {options})
opt = optim.SGD(model.parameters(), lr=0.05)
data = [(numbers(6, 3), numbers(6, 2)) for _ in range(4)]
for epoch in range(3):
    for x, y in data:
        opt.zero_grad()
        F.mse_loss(model(x), y).backward()
        opt.step()
    average.update_parameters(model)
keep("state", {{"state": {{0: dict(average.state_dict())}}}})
U.update_bn(data, average)
keep("after", {{"state": {{0: dict(average.state_dict())}}}})
average.eval()
result["y"] = average(data[0][0])
"""
AVERAGES = {
    "swa": "",
    "ema": "avg_fn=U.get_ema_avg_fn(0.9)",
    "ema_multi": "multi_avg_fn=U.get_ema_multi_avg_fn(0.9), use_buffers=True",
    "swa_multi": "multi_avg_fn=U.get_swa_multi_avg_fn()",
    "own": "avg_fn=lambda a, b, n: 0.5 * a + 0.5 * b",
}

_SCALER = """
p = nn.Parameter(numbers(3).float())
opt = optim.SGD([p], lr=0.1)
scaler = T.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
for step in range(12):
    opt.zero_grad()
    loss = (p ** 2).sum() * (float("inf") if step in (4, 8) else 1.0)
    scaled = scaler.scale(loss)
    scaled.backward()
    if step % 2:
        scaler.unscale_(opt)
        result[f"grad{step}"] = p.grad
    scaler.step(opt)
    scaler.update()
    result[f"scale{step}"], result[f"p{step}"] = T.tensor(scaler.get_scale()), p
result["state"] = text(scaler.state_dict())
other = T.amp.GradScaler("cpu")
other.load_state_dict(scaler.state_dict())
result["loaded"] = text(other.state_dict())
outputs = other.scale([p.sum(), (p.mean(), p.max())])
result["several"] = outputs[1][1]
scaler.update(3.0)
result["set"] = T.tensor(scaler.get_scale())
"""

# Ops under autocast on the CPU: x is float32, h bfloat16, w and c weights in float32, d float64.
AUTOCAST = {
    "matmul": "x @ x.t()",
    "mm": "T.mm(x, x.t())",
    "bmm": "T.bmm(x[None], x.t()[None])",
    "linear": "F.linear(x, w, w[:, 0])",
    "linear_low": "F.linear(h, w)",
    "conv1d": "F.conv1d(x[None], c[:, :, 0, :1])",
    "conv2d": "F.conv2d(image, c)",
    "double": "d @ d.t()",
    "softmax": "F.softmax(h, -1)",
    "softmax_full": "F.softmax(x, -1)",
    "log_softmax": "F.log_softmax(h, -1)",
    "layer_norm": "F.layer_norm(h, (5,), w[0, :5], w[1, :5])",
    "layer_norm_full": "F.layer_norm(x, (5,))",
    "batch_norm": "F.batch_norm(h, None, None, w[0, :5], w[1, :5], training=True)",
    "relu": "F.relu(h)",
    "gelu": "F.gelu(h)",
    "exp": "T.exp(h)",
    "log": "T.log(h.abs() + 1)",
    "sum": "h.sum()",
    "mean": "h.mean(0)",
    "prod": "T.prod(h * 0.5)",
    "add": "h + x",
    "mul": "h * 2.0",
    "cat": "T.cat([h, x])",
    "stack": "T.stack([x, h])",
    "mse_loss": "F.mse_loss(h, x)",
    "l1_loss": "F.l1_loss(h, h * 0.5)",
    "cross_entropy": "F.cross_entropy(h, T.tensor([0, 1, 2, 3]))",
    "nll_loss": "F.nll_loss(F.log_softmax(h, -1), T.tensor([0, 1, 2, 3]))",
    "bce_logits": "F.binary_cross_entropy_with_logits(h, (x > 0).float())",
    "max_pool2d": "F.max_pool2d(image.bfloat16(), 2)",
    "embedding": "F.embedding(T.tensor([0, 2]), w)",
    "index": "h[1:, ::2]",
    "where": "T.where(h > 0, h, x)",
    "pow": "h ** 2",
    "norm": "T.norm(h)",
    "float": "h.float() @ x.t()",
}
_AUTOCAST = """
x = numbers(4, 5).float().requires_grad_()
h = (numbers(4, 5).float()).bfloat16().requires_grad_()
w = numbers(3, 5).float().requires_grad_()
c = numbers(2, 4, 3, 3).float().requires_grad_()
image = numbers(1, 4, 6, 6).float().requires_grad_()
d = numbers(4, 5).requires_grad_()
with T.autocast("cpu", dtype=T.bfloat16):
    y = {expression}
result["dtype"] = text(str(y.dtype).split(".")[-1])
result["y"] = y.float()
(y.float() * numbers(*y.shape).float()).sum().backward()
for name, t in (("x", x), ("h", h), ("w", w), ("c", c), ("image", image), ("d", d)):
    if t.grad is not None:
        result["dtype." + name] = text(str(t.grad.dtype).split(".")[-1])
        result["grad." + name] = t.grad.float()
"""
_NESTED = """
x = numbers(4, 5).float()
seen = []
def look(where):
    seen.append([where, str((x @ x.t()).dtype).split(".")[-1], T.is_autocast_enabled("cpu"),
                 str(T.get_autocast_dtype("cpu")).split(".")[-1], T.is_autocast_cache_enabled()])
look("outside")
with T.autocast("cpu"):
    look("default")
    with T.autocast("cpu", enabled=False):
        look("off")
        with T.autocast("cpu", dtype=T.float16, cache_enabled=False):
            look("half")
        look("off again")
    look("default again")
look("outside")
@T.autocast("cpu", dtype=T.bfloat16)
def called():
    look("decorated")
called()
look("outside")
result["seen"] = text(seen)
"""
_LOW_TRAINING = """
model = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3))
with T.no_grad():
    for p in model.parameters():
        p.copy_(numbers(*p.shape))
opt = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
x, y = numbers(16, 6).float(), T.tensor(rng.integers(0, 3, 16))
for step in range(10):
    opt.zero_grad()
    with T.autocast("cpu", dtype=T.bfloat16):
        out = model(x)
        loss = F.cross_entropy(out, y)
    loss.backward()
    opt.step()
    result[f"loss{step}"] = loss
result["dtypes"] = text([str(t.dtype).split(".")[-1] for t in (out, loss, model[0].weight.grad, model[1].bias.grad)])
"""


def _comma(options: str) -> str:
    return ", " if options else ""


PROGRAMS = {
    **{
        f"optimizer/{k}": _OPTIMIZER.format(name=n, options=o, comma=_comma(o), dtype="T.float64")
        for k, (n, o) in OPTIMIZERS.items()
    },
    **{
        f"float32/{n}": _OPTIMIZER.format(name=n, options=o, comma=_comma(o), dtype="T.float32")
        for k, (n, o) in OPTIMIZERS.items()
        if k == n
    },
    **{
        f"complex/{k}": _COMPLEX.format(name=OPTIMIZERS[k][0], options=OPTIMIZERS[k][1], comma=_comma(OPTIMIZERS[k][1]))
        for k in COMPLEX
    },
    **{f"lbfgs/{k}": _LBFGS.format(options=o, steps=n) for k, (o, n) in LBFGS.items()},
    **{f"muon/{k}": _MUON.format(options=o) for k, o in MUON.items()},
    **{
        f"differentiable/{k}": _DIFFERENTIABLE.format(
            name=k, options=o, learns="lr=lr" in o, steps=1 if k in ONCE else 3
        )
        for k, o in DIFFERENTIABLE.items()
    },
    **{f"schedule/{k}": _SCHEDULE.format(schedule=s, optimizer=o) for k, (s, o) in SCHEDULES.items()},
    **{
        f"resumed/{k}": _RESUMED.format(schedule=s, resumed=s[:-1] + ", last_epoch=schedule.last_epoch)", optimizer=o)
        for k, (s, o) in RESUMED.items()
    },
    **{f"jump/{k}": _JUMP.format(schedule=SCHEDULES[k][0], optimizer=SCHEDULES[k][1]) for k in JUMPS},
    **{f"plateau/{k}": _PLATEAU.format(options=o, optimizer=SGD) for k, o in PLATEAU.items()},
    **{f"average/{k}": _AVERAGE.format(options=o) for k, o in AVERAGES.items()},
    "scaler": _SCALER,
    **{f"autocast/{k}": _AUTOCAST.format(expression=e) for k, e in AUTOCAST.items()},
    "autocast_nested": _NESTED,
    "autocast_training": _LOW_TRAINING,
}


# run with float64 as the default, so that PyTorch's own numbers (step, eta) are not rounded to float32 on the way
DOUBLE = ("differentiable", "optimizer/ASGD", "complex/ASGD", "average/swa_multi")


def plain(x):
    """``x`` as JSON can hold it: tensors and functions as words, infinities as text."""
    if isinstance(x, (dict, Counter)):
        return {str(k): plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if isinstance(x, float):
        return float(f"{x:.12g}") if np.isfinite(x) else str(x)
    if x is None or isinstance(x, (bool, int, str)):
        return x
    return float(f"{x.item():.7g}") if hasattr(x, "item") and x.numel() == 1 else type(x).__name__


def program_of(template: str, name: str, dtype: str = "T.float64") -> str:
    """A template filled for one optimizer."""
    cls, options = OPTIMIZERS[name]
    return template.format(name=cls, options=options, comma=_comma(options), dtype=dtype)


def signatures(library) -> str:
    """Argument names, kinds and defaults of the public classes and functions, as JSON."""
    found = {}
    homes = {
        "optim": [*OPTIMIZER_CLASSES],
        "optim.lr_scheduler": SCHEDULE_CLASSES,
        "optim.swa_utils": AVERAGE_NAMES,
        "amp": ["autocast", "GradScaler", "custom_fwd", "custom_bwd"],
        "cuda.amp": ["autocast", "GradScaler"],
    }
    for home, names in homes.items():
        place = library
        for part in home.split("."):
            place = getattr(place, part)
        for name in names:
            thing = getattr(place, name)
            parameters = inspect.signature(thing.__init__ if inspect.isclass(thing) else thing).parameters.values()
            found[f"{home}.{name}"] = [
                [p.name, p.kind.name, "" if p.default is p.empty else repr(p.default).rpartition(".float")[2]]
                for p in parameters
            ]
    return json.dumps(found, sort_keys=True)


OPTIMIZER_CLASSES = sorted({cls for cls, _ in OPTIMIZERS.values()} | {"LBFGS", "Muon", "SparseAdam"})
SCHEDULE_CLASSES = """LRScheduler StepLR MultiStepLR ConstantLR LinearLR ExponentialLR PolynomialLR CosineAnnealingLR LambdaLR
MultiplicativeLR CosineAnnealingWarmRestarts OneCycleLR CyclicLR ReduceLROnPlateau SequentialLR ChainedScheduler""".split()
AVERAGE_NAMES = """AveragedModel SWALR update_bn get_ema_avg_fn get_swa_avg_fn get_ema_multi_avg_fn
get_swa_multi_avg_fn""".split()


def text(x) -> str:
    return json.dumps(plain(x), sort_keys=True)


def run(name: str, library, program: str | None = None, **more) -> dict[str, np.ndarray]:
    """What a program leaves, as arrays by key."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    result: dict = {}

    def numbers(*shape):
        return library.tensor(rng.normal(size=shape))

    def keep(prefix, saved):
        for number, entries in saved["state"].items():
            for key, entry in entries.items():
                result[f"{prefix}.{number}.{key}"] = entry.clone() if hasattr(entry, "clone") else text(entry)
        if "param_groups" in saved:
            result[f"{prefix}.groups"] = text(saved["param_groups"])

    scope = {
        "T": library,
        "nn": library.nn,
        "F": library.nn.functional,
        "optim": library.optim,
        "rng": rng,
        "np": np,
        "json": json,
    }
    scope |= {"numbers": numbers, "keep": keep, "text": text, "result": result, **more}
    default = library.get_default_dtype()
    if name.startswith(DOUBLE):
        library.set_default_dtype(library.float64)
    try:
        exec(program or PROGRAMS[name], scope)
    finally:
        library.set_default_dtype(default)
    return {k: np.array(_array(t)) for k, t in result.items() if t is not None}


def _array(t):
    return t.detach().numpy(force=True).copy() if hasattr(t, "detach") else t
