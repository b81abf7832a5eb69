"""Values, dtypes, shapes and gradients against PyTorch's, kept under tests/oracle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlkit
from tests.oracle.cases import CASES, run


@pytest.fixture(scope="module")
def oracle():
    with np.load(Path(__file__).parent.parent / "oracle" / "torch.npz") as kept:
        return dict(kept)


@pytest.mark.parametrize("name", CASES)
def test_case(name, oracle):
    expected = {k.split("/", 1)[1]: v for k, v in oracle.items() if k.startswith(name + "/")}
    got = run(name, CASES[name], mlkit, mlkit.nn.functional)
    assert sorted(got) == sorted(expected)
    for key, array in expected.items():
        assert got[key].dtype == array.dtype, key
        assert got[key].shape == array.shape, key
        if array.dtype.kind in "fc":
            loose = name.startswith("f32") or array.dtype in (np.float32, np.complex64)
            np.testing.assert_allclose(got[key], array, rtol=1e-5 if loose else 1e-9, atol=1e-6 if loose else 1e-11)
        else:
            np.testing.assert_array_equal(got[key], array)
