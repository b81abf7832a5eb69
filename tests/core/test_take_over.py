"""In-place results that take the array over instead of copying numbers, as on a GPU: nobody can tell."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from mlkit.core import inplace
from mlkit.core.errors import MlkitError


def outcome():
    x = mlkit.tensor(np.random.default_rng(0).normal(size=(4, 6))).requires_grad_()
    plain = (x * 2).relu_()  # nobody else has the product
    shared = x * 3
    other = shared.detach()
    shared.relu_()
    viewed = x * 4
    row = viewed[1]
    viewed.relu_()
    twice = (x * 5).relu_().mul_(2)
    again = (x * 7).sigmoid_().relu_().exp_().add_(1)
    (plain.sum() + (shared * other).sum() + row.sum() + (twice * twice).sum() + viewed.exp().sum()).backward()
    again.sum().backward()
    saved = x * 6
    square = saved * saved
    saved.relu_()
    with pytest.raises(MlkitError, match="modified by an inplace operation"):
        square.sum().backward()
    return [t.detach().numpy().copy() for t in (plain, shared, other, row, viewed, twice, again, x.grad)]


def test_results_and_gradients_are_those_of_copies(monkeypatch):
    expected = outcome()
    taken = []
    real = inplace.take_over
    monkeypatch.setattr(inplace, "COPIED", ())
    monkeypatch.setattr(inplace, "take_over", lambda target, source: taken.append(real(target, source)) or taken[-1])
    for got, want in zip(outcome(), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    assert taken.count(True) >= 5 and taken.count(False) >= 2  # the shared and the viewed one are copied


def test_versions_go_on_counting(monkeypatch):
    monkeypatch.setattr(inplace, "COPIED", ())
    x = mlkit.ones(3).requires_grad_() * 1
    before = x._version
    x.relu_()
    x.mul_(2)
    assert x._version == before + 2
