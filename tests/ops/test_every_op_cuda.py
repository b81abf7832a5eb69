"""Every op on the GPU against the NumPy backend: values, gradients, dtypes."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from tests.ops.make_inputs import arrays_for, cases
from tests.ops.test_every_op import ELSEWHERE, call, smooth_inputs

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not mlkit.cuda.is_available(), reason="needs an NVIDIA GPU and CuPy"),
]


#: their vectors are known up to a sign, which every library chooses its own way
UP_TO_SIGN = ("eigh", "svd")


def run_on(place, op, arrays, attributes):
    tensors = [mlkit.tensor(a, device=place) for a in arrays]
    smooth = smooth_inputs(op, arrays)
    for i in smooth:
        tensors[i].requires_grad_()
    outs = call(op, tensors, attributes)
    if op.name in UP_TO_SIGN:
        outs = [o.abs() for o in outs]
    found = [("out", o.detach().cpu().numpy(), o.device.type) for o in outs]
    total = None
    for o in outs:
        if o.requires_grad:
            weights = mlkit.arange(o.numel(), dtype=mlkit.float64, device=place).reshape(o.shape) * 0.1 + 1
            term = (o * weights).sum()
            term = term.real if term.is_complex() else term
            total = term if total is None else total + term
    if total is not None:
        total.backward()
        found += [
            ("grad", tensors[i].grad.cpu().numpy(), tensors[i].grad.device.type)
            for i in smooth
            if tensors[i].grad is not None
        ]
    return found


@pytest.mark.parametrize("op, sample", [c for c in cases() if c.values[0].name not in ELSEWHERE])
def test_gpu_agrees_with_cpu(op, sample):
    arrays, attributes = arrays_for(op, sample)
    expected = run_on("cpu", op, arrays, attributes)
    got = run_on("cuda", op, arrays, attributes)
    assert len(got) == len(expected)
    for (what, a, place), (_, b, _) in zip(got, expected, strict=True):
        assert place == "cuda", what
        assert a.dtype == b.dtype and a.shape == b.shape, what
        if a.dtype.kind in "fc":
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12, err_msg=what)
        else:
            np.testing.assert_array_equal(a, b, err_msg=what)


@pytest.mark.parametrize("dtype", [mlkit.float32, mlkit.float64])
def test_the_random_stream_is_the_same(dtype):
    for draw, tolerance in ((mlkit.rand, 0), (mlkit.randn, 2e-6)):
        one = draw(1001, generator=mlkit.Generator().manual_seed(3), dtype=dtype)
        other = draw(1001, generator=mlkit.Generator().manual_seed(3), dtype=dtype, device="cuda")
        np.testing.assert_allclose(other.cpu().numpy(), one.numpy(), rtol=tolerance, atol=tolerance)
    key = {"generator": mlkit.Generator().manual_seed(3)}
    again = {"generator": mlkit.Generator().manual_seed(3), "device": "cuda"}
    assert mlkit.equal(mlkit.randint(0, 9, (100,), **key), mlkit.randint(0, 9, (100,), **again).cpu())


def test_a_network_trains_alike():
    from mlkit import nn

    losses = {}
    for place in ("cpu", "cuda"):
        mlkit.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.1), nn.Flatten(),
            nn.Linear(64, 5),
        )  # fmt: skip
        x, y = mlkit.randn(16, 1, 8, 8), mlkit.randint(0, 5, (16,))
        model, x, y = model.to(place), x.to(place), y.to(place)
        optimizer = mlkit.optim.AdamW(model.parameters(), lr=0.01)
        losses[place] = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses[place].append(loss.item())
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-3)
    assert losses["cuda"][-1] < losses["cuda"][0]
