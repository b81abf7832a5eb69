"""Model code written for PyTorch runs when its imports change, with PyTorch's numbers (tests/oracle/public)."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import mlkit
from tests.oracle import differences, public_models, unpack

#: float32 inside: calls of .float(), and PyTorch's float32 constants in hardsigmoid and hardswish
LOOSE = {"llama", "mobilenet"}


@cache
def _kept() -> dict[str, np.ndarray]:
    with np.load(public_models.KEPT) as kept:
        return unpack(kept)


def _wanted(name: str, width: str) -> dict[str, np.ndarray]:
    start = f"{width}/{name}/"
    return {k.removeprefix(start): v for k, v in _kept().items() if k.startswith(start)}


@pytest.mark.parametrize("name", public_models.programs())
@pytest.mark.filterwarnings("ignore")
def test_float64(name):
    """Losses, gradients, state and text."""
    assert not differences(public_models.run(name, mlkit), _wanted(name, "double"), loose=name in LOOSE)


@pytest.mark.parametrize("name", public_models.programs())
@pytest.mark.filterwarnings("ignore")
def test_float32(name):
    """As users run it: the same dtypes and text, and losses within what float32 sums allow."""
    got, wanted = public_models.run(name, mlkit, double=False), _wanted(name, "single")
    for key, array in wanted.items():
        if array.dtype.kind == "U":
            assert got[key].item() == array.item(), key
        else:
            assert got[key].dtype == array.dtype and got[key].shape == array.shape, key
            np.testing.assert_allclose(got[key], array, rtol=2e-4, atol=1e-5, err_msg=key)
