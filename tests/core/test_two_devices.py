"""Tensors of two devices or dtypes in one operation: refused as PyTorch does, naming module path, both sides, the repair."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.core import backend as backends
from mlkit.core.dispatch import only_shapes

F = nn.functional


def meta(*shape, **more):
    return mlkit.zeros(*shape, device="meta", **more)


MIXED = {
    "add": lambda: meta(3) + mlkit.zeros(3),
    "the other way": lambda: mlkit.zeros(3) + meta(3),
    "a number of meta": lambda: mlkit.zeros(3) + meta(()),
    "matmul": lambda: meta(2, 3) @ mlkit.zeros(3, 4),
    "cat": lambda: mlkit.cat([meta(3), mlkit.zeros(3)]),
    "stack": lambda: mlkit.stack([mlkit.zeros(3), meta(3)]),
    "where": lambda: mlkit.where(mlkit.tensor([True, False]), meta(2), meta(2)),
    "masked_fill": lambda: meta(2).masked_fill(mlkit.tensor([True, False]), 0.0),
    "linear": lambda: F.linear(meta(2, 3), meta(4, 3), mlkit.zeros(4)),
    "layer_norm": lambda: F.layer_norm(meta(2, 3), (3,), mlkit.zeros(3)),
    "batch_norm": lambda: F.batch_norm(meta(2, 3), mlkit.zeros(3), mlkit.ones(3)),
    "cross_entropy": lambda: F.cross_entropy(meta(2, 3), mlkit.tensor([0, 1])),
    "mse_loss": lambda: F.mse_loss(meta(3), mlkit.zeros(3)),
    "maximum": lambda: mlkit.maximum(meta(3), mlkit.zeros(3)),
    "compare": lambda: meta(3) == mlkit.zeros(3),
    "addmm": lambda: mlkit.addmm(mlkit.zeros(3), meta(2, 3), meta(3, 3)),
    "lerp": lambda: mlkit.lerp(meta(3), meta(3), mlkit.zeros(3)),
    "attention": lambda: F.scaled_dot_product_attention(meta(1, 2, 3), meta(1, 2, 3), mlkit.zeros(1, 2, 3)),
    "lstm": lambda: nn.LSTM(3, 3)(meta(2, 3)),
    "backward": lambda: (meta(3, requires_grad=True) * 2).backward(mlkit.zeros(3)),
    "assigned gradient": lambda: setattr(mlkit.zeros(3, requires_grad=True), "grad", meta(3)),
}


@pytest.mark.parametrize("name", MIXED)
def test_meta_beside_data_is_refused(name):
    with pytest.raises(RuntimeError, match="device"):
        MIXED[name]()


def test_numbers_and_indices_may_lie_on_the_cpu():
    assert (meta(3) + mlkit.zeros(())).is_meta
    assert meta(4, 3)[mlkit.tensor([0, 1])].shape == (2, 3)
    assert mlkit.gather(meta(3), 0, mlkit.tensor([0])).is_meta
    assert mlkit.index_select(meta(3), 0, mlkit.tensor([0, 1])).shape == (2,)
    assert F.embedding(mlkit.tensor([0, 1]), meta(4, 3)).shape == (2, 3)
    assert meta(3).copy_(mlkit.zeros(3)).is_meta


def test_data_does_not_come_out_of_meta():
    for read in (
        lambda: mlkit.zeros(3).copy_(meta(3)),
        lambda: meta(3).to("cpu"),
        lambda: meta(3).tolist(),
        lambda: mlkit.zeros(3, 3).__setitem__(0, meta(3)),
    ):
        with pytest.raises(NotImplementedError, match=r"no data"):
            read()
    with pytest.raises(TypeError, match="meta"):
        meta(3).numpy()


def test_the_module_both_sides_and_the_repair_are_named():
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(3, 2, device="meta")))
    with pytest.raises(RuntimeError) as caught:
        model(mlkit.zeros(4, 3))
    text = str(caught.value)
    assert "linear: expected all tensors to be on the same device, but found at least two devices, cpu and meta" in text
    assert "input: (4, 3) on cpu\n" in text and "weight: (2, 3) on meta (a parameter)" in text
    assert "module: 1.0 (Linear) of Sequential" in text and "model.to_empty(device=...)" in text


class FakeArray(np.ndarray):
    """Memory of a device that this machine does not have."""


@pytest.fixture
def fake(monkeypatch):
    known = backends.for_array
    other = dataclasses.replace(backends.load("numpy"), name="fake", device_of=lambda array: mlkit.device("cuda:0"))
    monkeypatch.setattr(backends, "for_array", lambda a: other if isinstance(a, FakeArray) else known(a))

    def make(x):
        x._array = x._array.view(FakeArray)
        return x

    return make


def test_another_device_beside_the_cpu(fake):
    model = nn.Sequential(nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(RuntimeError) as caught:
        model(fake(mlkit.zeros(4, 3)))
    text = str(caught.value)
    assert "but found at least two devices, cuda:0 and cpu" in text and "module: 1 (Linear) of Sequential" in text
    assert 'model.to("cuda:0")' in text
    with pytest.raises(RuntimeError, match=r'(?s)other: \(3,\) on cpu.*Move other: other\.to\("cuda:0"\)'):
        fake(mlkit.zeros(3)) + mlkit.zeros(3)


def test_dtypes_that_differ_name_the_layers_own():
    model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(RuntimeError) as caught:
        model(mlkit.zeros(4, 3, dtype=mlkit.float64))
    text = str(caught.value)
    assert "float64 and float32" in text and "module: 0 (Linear) of Sequential" in text
    assert "input.float()" in text and "model.double()" in text
    with pytest.raises(RuntimeError, match=r"input\.float\(\)\.$"):
        model(mlkit.zeros(4, 3, dtype=mlkit.int64))
    with pytest.raises(RuntimeError, match="dtype"):
        mlkit.zeros(3, requires_grad=True).grad = mlkit.zeros(3, dtype=mlkit.float64)


def test_shapes_alone_may_be_asked_for_with_masks_on_the_cpu():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x):
            return self.inner(x).masked_fill(mlkit.ones(3) > 2, 0.0) + mlkit.arange(3)

    with only_shapes():
        assert Masked().to("meta")(meta(2, 3)).shape == (2, 3)
    assert "Linear" in str(mlkit.summary(Masked(), input_size=(2, 3)))
    from mlkit.compiler import trace

    assert [n.op for n in trace(Masked(), meta(2, 3)).nodes][0] == "linear"
