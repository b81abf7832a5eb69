"""Values, dtypes, shapes and gradients of expressions against PyTorch's, kept under tests/oracle."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import compare
from tests.oracle.cases import CASES, run


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    got = run(name, CASES[name], mlkit, mlkit.nn.functional)
    compare(got, f"case/{name}", loose=name.startswith("f32"))
