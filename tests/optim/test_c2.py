"""Optimizers, schedules, averages and mixed precision against PyTorch's numbers, kept under tests/oracle."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import compare
from tests.oracle.programs_c2 import PROGRAMS, run


@pytest.mark.parametrize("name", [name for name in PROGRAMS if not name.startswith(("autocast", "muon"))])
def test_program(name):
    compare(run(name, mlkit), f"program_c2/{name}")
