"""Layers, optimizers and schedules against PyTorch's numbers, kept under tests/oracle."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import compare
from tests.oracle.programs import PROGRAMS, run


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    compare(run(name, mlkit), f"program/{name}")
