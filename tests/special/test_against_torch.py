"""Special functions against PyTorch's numbers: outputs, gradients, second gradients, and which calls must fail."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import cases_special, deep

#: PyTorch itself is rougher here; tests/special/test_precision.py has the exact numbers
ROUGH = {"bessel_j0_wide", "bessel_j1_wide", "bessel_y0_wide", "bessel_y1_wide", "gammainc", "gammaincc"}


@pytest.mark.parametrize("name", cases_special.CASES)
def test_case(name):
    deep.compare(name, cases_special, mlkit, rtol=1e-5 if name in ROUGH else 1e-8)


@pytest.mark.parametrize("name", cases_special.ERRORS)
def test_error(name):
    deep.compare_error(name, cases_special, mlkit)
