"""Short programs with layers and optimizers that run under PyTorch and under mlkit; each leaves ``result``.

Names: ``T`` the library, ``nn``, ``F``, ``optim``, ``rng`` (NumPy's, seeded by the program's name), ``numbers(*shape)``
a float64 tensor of normal numbers, ``fill(module)`` sets its parameters from ``rng``.
"""

from __future__ import annotations

import zlib

import numpy as np

LAYERS = {
    "Linear": ("nn.Linear(6, 4)", "(3, 6)"),
    "Linear_no_bias": ("nn.Linear(6, 4, bias=False)", "(2, 3, 6)"),
    "Conv1d": ("nn.Conv1d(3, 4, 3, stride=2, padding=1)", "(2, 3, 9)"),
    "Conv2d": ("nn.Conv2d(3, 4, 3, padding=1)", "(2, 3, 7, 6)"),
    "Conv2d_groups": ("nn.Conv2d(4, 8, (3, 2), stride=(2, 1), dilation=(1, 2), groups=2)", "(2, 4, 9, 8)"),
    "Conv2d_same": ("nn.Conv2d(2, 3, 4, padding='same', bias=False)", "(2, 2, 5, 5)"),
    "Conv3d": ("nn.Conv3d(2, 3, 2, padding=1)", "(1, 2, 4, 4, 4)"),
    "BatchNorm1d": ("nn.BatchNorm1d(4)", "(6, 4)"),
    "BatchNorm2d": ("nn.BatchNorm2d(3)", "(4, 3, 3, 3)"),
    "BatchNorm2d_plain": ("nn.BatchNorm2d(3, affine=False, momentum=None)", "(4, 3, 3, 3)"),
    "LayerNorm": ("nn.LayerNorm((3, 5))", "(2, 3, 5)"),
    "LayerNorm_plain": ("nn.LayerNorm(5, elementwise_affine=False)", "(2, 3, 5)"),
    "MaxPool2d": ("nn.MaxPool2d(3, 2, padding=1)", "(2, 2, 7, 7)"),
    "MaxPool1d": ("nn.MaxPool1d(2)", "(2, 2, 7)"),
    "AvgPool2d": ("nn.AvgPool2d(3, 2, ceil_mode=True)", "(2, 2, 8, 8)"),
    "ReLU": ("nn.ReLU()", "(3, 4)"),
    "GELU": ("nn.GELU('tanh')", "(3, 4)"),
    "SiLU": ("nn.SiLU()", "(3, 4)"),
    "ELU": ("nn.ELU(0.5)", "(3, 4)"),
    "LeakyReLU": ("nn.LeakyReLU(0.2)", "(3, 4)"),
    "Softplus": ("nn.Softplus(2)", "(3, 4)"),
    "Sigmoid": ("nn.Sigmoid()", "(3, 4)"),
    "Tanh": ("nn.Tanh()", "(3, 4)"),
    "Softmax": ("nn.Softmax(1)", "(3, 4)"),
    "LogSoftmax": ("nn.LogSoftmax(1)", "(3, 4)"),
    "Flatten": ("nn.Flatten()", "(3, 4, 2)"),
    "Sequential": (
        "nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))",
        "(3, 1, 6, 6)",
    ),
    "Dropout_eval": ("nn.Dropout(0.5).eval()", "(3, 4)"),
}

_LAYER = """
layer = fill({layer}.double())
x = numbers{shape}.requires_grad_()
y = layer(x)
(y * numbers(*y.shape)).sum().backward()
result = {{"y": y, "grad": x.grad}}
for name, p in layer.named_parameters():
    result["grad." + name] = p.grad
for name, t in layer.state_dict().items():
    result["state." + name] = t
layer.eval()
result["eval"] = layer(x)
"""

OPTIMIZERS = {
    "SGD": "optim.SGD(ps, lr=0.1)",
    "SGD_momentum": "optim.SGD(ps, lr=0.05, momentum=0.9, dampening=0.1, weight_decay=0.01)",
    "SGD_nesterov": "optim.SGD(ps, lr=0.001, momentum=0.9, nesterov=True, maximize=True)",
    "Adam": "optim.Adam(ps, lr=0.1, weight_decay=0.1)",
    "Adam_amsgrad": "optim.Adam(ps, lr=0.1, betas=(0.8, 0.9), amsgrad=True)",
    "AdamW": "optim.AdamW(ps, lr=0.1, weight_decay=0.1)",
    "groups": "optim.AdamW([{'params': ps[:1]}, {'params': ps[1:], 'lr': 0.01}], lr=0.1)",
}

_OPTIMIZER = """
ps = [nn.Parameter(numbers(3, 2)), nn.Parameter(numbers(4))]
opt = {optimizer}
result = {{}}
for step in range(6):
    opt.zero_grad()
    loss = ((ps[0] ** 2).sum() * ps[1].sin()).sum() + (ps[1] ** 4).sum()
    loss.backward()
    opt.step()
    result[f"loss{{step}}"] = loss
result["a"], result["b"] = ps
"""

SCHEDULES = {
    "StepLR": "optim.lr_scheduler.StepLR(opt, 3, gamma=0.5)",
    "LambdaLR": "optim.lr_scheduler.LambdaLR(opt, lambda step: 0.9 ** step)",
    "CosineAnnealingLR": "optim.lr_scheduler.CosineAnnealingLR(opt, 7, eta_min=0.01)",
}

_SCHEDULE = """
opt = optim.SGD([nn.Parameter(numbers(2))], lr=0.3)
schedule = {schedule}
rates = []
for step in range(20):
    rates.append(schedule.get_last_lr()[0])
    opt.step()
    schedule.step()
result = {{"rates": T.tensor(rates, dtype=T.float64)}}
"""

PROGRAMS = {
    **{f"layer/{k}": _LAYER.format(layer=layer, shape=shape) for k, (layer, shape) in LAYERS.items()},
    **{f"optimizer/{k}": _OPTIMIZER.format(optimizer=v) for k, v in OPTIMIZERS.items()},
    **{f"schedule/{k}": _SCHEDULE.format(schedule=v) for k, v in SCHEDULES.items()},
}


def run(name: str, library) -> dict[str, np.ndarray]:
    """What a program leaves, as arrays by key."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))

    def numbers(*shape):
        return library.tensor(rng.normal(size=shape))

    def fill(module):
        with library.no_grad():
            for p in module.parameters():
                p.copy_(numbers(*p.shape))
        return module

    scope = {"T": library, "nn": library.nn, "F": library.nn.functional, "optim": library.optim, "rng": rng}
    scope |= {"numbers": numbers, "fill": fill}
    exec(PROGRAMS[name], scope)
    return {k: np.array(t.detach().numpy(force=True)) for k, t in scope["result"].items() if t is not None}
