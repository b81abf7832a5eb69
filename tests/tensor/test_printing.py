"""Tensors and their kin print as PyTorch prints them, up to the library's name."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import printing


@pytest.mark.parametrize("case", printing.CASES)
def test_text(case):
    assert printing.text(mlkit, "mlkit", case) == printing.kept()[case]
