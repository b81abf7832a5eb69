"""Optimizers, autocast and GradScaler on the GPU against the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from mlkit import optim
from mlkit.nn import functional as F
from tests.oracle.programs_c2 import OPTIMIZERS

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not mlkit.cuda.is_available(), reason="needs an NVIDIA GPU and CuPy"),
]

KINDS = {**OPTIMIZERS, "LBFGS": ("LBFGS", "line_search_fn='strong_wolfe', max_iter=5"), "Muon": ("Muon", "lr=0.1")}


def train(name, place, complex_parameters):
    rng = np.random.default_rng(4)
    cls, options = KINDS[name]
    shapes = [(3, 2), (4, 5)]
    values = [rng.normal(size=s) + (1j * rng.normal(size=s) if complex_parameters else 0) for s in shapes]
    ps = [mlkit.tensor(v, device=place).requires_grad_() for v in values]
    make = getattr(optim, cls)
    opt = eval(f"make(ps, {options})", {"make": make, "ps": ps, "T": mlkit})  # noqa: S307 - our own text

    def closure():
        opt.zero_grad()
        loss = sum((p * p.conj()).real.sum() if complex_parameters else (p**2).sum() for p in ps)
        loss.backward()
        return loss

    for _ in range(4):
        opt.step(closure)
    saved = opt.state_dict()
    opt.load_state_dict(saved)
    opt.step(closure)
    assert all(p.device.type == place for p in ps)
    return [p.detach().cpu().numpy() for p in ps]


@pytest.mark.parametrize("name", KINDS)
def test_steps_agree(name):
    for a, b in zip(train(name, "cuda", False), train(name, "cpu", False), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-2 if name == "Muon" else 1e-8, atol=1e-3 if name == "Muon" else 1e-10)


@pytest.mark.parametrize("name", [n for n in KINDS if not n.startswith(("Muon", "Adafactor"))])
def test_steps_agree_on_complex_parameters(name):
    for a, b in zip(train(name, "cuda", True), train(name, "cpu", True), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


#: dtypes under autocast("cuda", float16), by PyTorch's lists
DTYPES = {
    "x @ x.t()": "float16",
    "F.linear(x, w)": "float16",
    "F.conv2d(image, kernel)": "float16",
    "F.softmax(h, -1)": "float32",
    "F.log_softmax(h, -1)": "float32",
    "F.layer_norm(h, (5,))": "float32",
    "h.exp()": "float32",
    "h.abs().log()": "float32",
    "h.sum()": "float32",
    "h.relu()": "float16",
    "h + h": "float16",
    "h + x": "float32",
    "T.cat([h, x])": "float32",
    "F.mse_loss(h, h * 2)": "float32",
    "F.cross_entropy(h, labels)": "float32",
    "F.gelu(h)": "float16",
}


@pytest.mark.parametrize("expression", DTYPES)
def test_autocast_dtypes(expression):
    make = lambda *s: mlkit.randn(*s, device="cuda").requires_grad_()  # noqa: E731
    x, w, image, kernel = make(4, 5), make(3, 5), make(1, 2, 6, 6), make(3, 2, 3, 3)
    h = mlkit.randn(4, 5, device="cuda", dtype=mlkit.float16).requires_grad_()
    labels = mlkit.zeros(4, dtype=mlkit.int64, device="cuda")
    scope = {"T": mlkit, "F": F, "x": x, "w": w, "image": image, "kernel": kernel, "h": h, "labels": labels}
    with mlkit.autocast("cuda"):
        y = eval(expression, scope)  # noqa: S307 - our own text
    assert y.dtype.name == DTYPES[expression]
    y.float().sum().backward()
    for t in (x, w, image, kernel, h):
        assert t.grad is None or t.grad.dtype is t.dtype


def test_scaled_training():
    mlkit.manual_seed(1)
    model = mlkit.nn.Sequential(mlkit.nn.Linear(6, 16), mlkit.nn.GELU(), mlkit.nn.Linear(16, 3)).to("cuda")
    opt, scaler = optim.AdamW(model.parameters(), lr=0.02), mlkit.amp.GradScaler()
    x = mlkit.randn(64, 6, device="cuda")
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    losses = []
    for _ in range(40):
        opt.zero_grad()
        with mlkit.autocast("cuda"):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(opt)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
