"""Distributions against PyTorch's numbers: densities, moments, divergences, their gradients, and which calls must fail."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import cases_distributions, deep


@pytest.mark.parametrize("name", cases_distributions.CASES)
def test_case(name):
    deep.compare(name, cases_distributions, mlkit)


@pytest.mark.parametrize("name", cases_distributions.ERRORS)
def test_error(name):
    deep.compare_error(name, cases_distributions, mlkit)
