"""The quick check: ten seconds, one test per room of the core. Run on every commit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import mlkit
from mlkit import nn


def test_gradient_of_a_composite_expression():
    x = mlkit.tensor([0.5, -1.0, 2.0], requires_grad=True)
    (x.exp() * x.tanh() / (x * x + 1)).sum().backward()
    v = np.array([0.5, -1.0, 2.0])
    e, t, d = np.exp(v), np.tanh(v), v * v + 1
    expected = e * t / d + e * (1 - t * t) / d - e * t * 2 * v / d**2
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)


def test_second_gradient():
    x = mlkit.tensor(2.0, requires_grad=True)
    (first,) = mlkit.autograd.grad(x**4, x, create_graph=True)
    (second,) = mlkit.autograd.grad(first, x)
    assert (first.item(), second.item()) == (32.0, 48.0)


def test_views_share_memory_and_history():
    base = mlkit.zeros(3, 3)
    weight = mlkit.ones(3, requires_grad=True)
    base[1] += weight * 2
    base[:, 0].zero_()
    (base * 3).sum().backward()
    assert base[1].tolist() == [0.0, 2.0, 2.0]
    assert weight.grad.tolist() == [0.0, 6.0, 6.0]


def test_changed_in_place_is_noticed():
    x = mlkit.ones(3, requires_grad=True)
    y = x * 2
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_meta_tensors_know_shapes_without_data():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 13 * 13, 10))
    assert tuple(model.to("meta")(mlkit.zeros(5, 1, 28, 28, device="meta")).shape) == (5, 10)


def test_a_network_learns():
    mlkit.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.GELU(), nn.Linear(16, 2))
    x = mlkit.randn(256, 2)
    y = (x[:, 0] * x[:, 1] > 0).long()
    optimizer = mlkit.optim.AdamW(model.parameters(), lr=0.02)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(150):
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).float().mean().item() > 0.95


def test_wrong_shapes_are_explained():
    with pytest.raises(RuntimeError, match=r"(?s)784.*flatten\(1\)"):
        nn.Linear(784, 10)(mlkit.zeros(32, 1, 28, 28))


def test_the_graph_of_a_model():
    graph = mlkit.compiler.trace(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), mlkit.ones(4, 3))
    assert [(n.op, n.module) for n in graph.nodes] == [("linear", "0"), ("relu", "1")]


def test_import_is_light():
    heavy = set("IPython ipywidgets anywidget traitlets matplotlib numba cupy tqdm".split())
    program = "import sys, mlkit; print(*(name.split('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert heavy & set(done.stdout.split()) == set()
