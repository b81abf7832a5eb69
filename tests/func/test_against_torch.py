"""Transforms and gradients against PyTorch's numbers and errors, kept under tests/oracle."""

from __future__ import annotations

import builtins
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import mlkit
from tests import oracle
from tests.oracle import cases_b3


@cache
def kept() -> dict[str, np.ndarray]:
    with np.load(Path(oracle.__file__).with_name("torch_b3.npz")) as numbers:
        return dict(numbers)


@pytest.mark.parametrize("name", cases_b3.PROGRAMS)
def test_program(name):
    got = cases_b3.run(name, mlkit)
    prefix = f"program/{name}/"
    wanted = {k[len(prefix) :]: v for k, v in kept().items() if k.startswith(prefix)}
    assert sorted(got) == sorted(wanted)
    for key, array in wanted.items():
        assert got[key].dtype == array.dtype, key
        assert got[key].shape == array.shape, key
        if array.dtype.kind in "fc":
            np.testing.assert_allclose(got[key], array, rtol=1e-9, atol=1e-11, err_msg=key)
        else:
            np.testing.assert_array_equal(got[key], array, err_msg=key)


@pytest.mark.parametrize("name", cases_b3.RAISES)
def test_bad_calls_raise_what_pytorch_raises(name):
    error = cases_b3.error_of(name, mlkit)
    assert error is not None, "did not raise"
    assert isinstance(error, getattr(builtins, str(kept()[f"error/{name}"]))), repr(error)
