"""Distributions against PyTorch's numbers: densities, moments, divergences, their gradients, and which calls must fail."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import cases_distributions, deep

#: PyTorch computes these with float32 numbers, or von Mises' with a rough Bessel function
ROUGH = ("VonMises", "Multinomial(5, p)/entropy", "PowerTransform(2.5)/inverse")


@pytest.mark.parametrize("name", cases_distributions.CASES)
def test_case(name):
    rtol = 5e-4 if "float()" in name else 1e-6 if name.startswith(ROUGH) else 1e-8
    deep.compare(name, cases_distributions, mlkit, rtol=rtol)


@pytest.mark.parametrize("name", cases_distributions.ERRORS)
def test_error(name):
    deep.compare_error(name, cases_distributions, mlkit)
