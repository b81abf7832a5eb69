"""Which dtype comes out, for every pair of element types: PyTorch's own table."""

from __future__ import annotations

import pytest

import mlkit
from tests.oracle import promotion

OURS = promotion.tables(mlkit)
THEIRS = promotion.kept(OURS)


def agrees(key: str, ours: str, theirs: str) -> bool:
    if "float16" in key and ("complex" in key or "1j" in key):
        return True  # PyTorch goes through complex32, which is not here
    if theirs == "!RuntimeError":
        return ours in ("!RuntimeError", "!NotImplementedError")  # the second is one of the first
    return ours == theirs


@pytest.mark.parametrize("name", OURS)
def test_table(name):
    wrong = {k: (v, THEIRS[name][k]) for k, v in OURS[name].items() if not agrees(k, v, THEIRS[name][k])}
    assert wrong == {}
