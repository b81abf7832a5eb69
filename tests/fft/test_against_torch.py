"""Fourier transforms against PyTorch's numbers: outputs, gradients, second gradients, and which calls must fail."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import cases_fft, deep


@pytest.mark.parametrize("name", cases_fft.CASES)
def test_case(name):
    deep.compare(name, cases_fft, mlkit)


@pytest.mark.parametrize("name", cases_fft.ERRORS)
def test_error(name):
    deep.compare_error(name, cases_fft, mlkit)
