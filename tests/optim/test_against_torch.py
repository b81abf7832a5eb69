"""Optimizers, schedules, averages and mixed precision against PyTorch's numbers, kept under tests/oracle."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from tests.oracle import compare, expected
from tests.oracle.programs_c2 import GO_ON, OPTIMIZERS, PROGRAMS, program_of, run, signatures

LOW = ("autocast", "muon")


@pytest.mark.parametrize("name", [name for name in PROGRAMS if not name.startswith(LOW)])
def test_program(name):
    compare(run(name, mlkit), f"program_c2/{name}")


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name.startswith(LOW)])
def test_program_in_low_precision(name):
    """dtypes are PyTorch's; numbers agree to about what bfloat16 can hold."""
    got, wanted = run(name, mlkit), expected(f"program_c2/{name}")
    assert sorted(got) == sorted(wanted)
    for key, array in wanted.items():
        assert got[key].shape == array.shape, key
        if array.dtype.kind == "f":
            np.testing.assert_allclose(got[key], array, rtol=0.02, atol=0.02 * max(1, np.abs(array).max()), err_msg=key)
        else:
            np.testing.assert_array_equal(got[key], array, err_msg=key)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_goes_on_from_pytorchs_state(name):
    """Half the steps by PyTorch, its state_dict loaded here, the other half by mlkit: PyTorch's end."""
    wanted = expected(f"program_c2/optimizer/{name}")
    got = run(f"optimizer/{name}", mlkit, program_of(GO_ON, name), before=wanted)
    for key, array in got.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(array, wanted[key], rtol=1e-9, atol=1e-11, err_msg=key)
        assert array.dtype == wanted[key].dtype or array.dtype.kind == "U", key


def test_signatures():
    """Names, order, kinds and defaults of all arguments."""
    assert signatures(mlkit) == str(expected("signatures_c2")["json"])
