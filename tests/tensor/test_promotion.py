"""Which dtype comes out, for every pair of element types: PyTorch's own table."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from mlkit.core import dispatch
from mlkit.core.dispatch import ops
from mlkit.ops import REGISTRY
from mlkit.ops.registry import REQUIRED, Elementwise, Float
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


def elementwise_ops() -> list[str]:
    return [
        name
        for name, op in REGISTRY.items()
        if isinstance(op, Elementwise) and not any(v is REQUIRED for v in op.attributes.values())
    ]


def result_or_error(fn) -> str:
    try:
        with np.errstate(all="ignore"):
            return fn().dtype.name
    except (RuntimeError, TypeError) as error:
        return f"!{type(error).__name__}"


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float16", "bfloat16", "float64", "complex64"])
@pytest.mark.parametrize("name", elementwise_ops())
def test_the_short_way_promotes_as_the_full_way(name, dtype):
    op = REGISTRY[name]
    tensors = tuple(mlkit.ones(2, dtype=getattr(mlkit, dtype)) for _ in range(len(op.inputs) - op.optional))
    entry = getattr(ops, "conj_op" if name == "conj" else name)
    short, full = result_or_error(lambda: entry(*tensors)), result_or_error(lambda: dispatch.apply(op, tensors, {}))
    assert short == full
    if op.promotion == "float" and not short.startswith("!") and op.result == "same":
        kind = getattr(mlkit, dtype)
        assert short in (
            (dtype, "float32") if kind.is_complex else (dtype,) if kind.is_floating_point else ("float32",)
        )


def test_a_float_op_whose_gradient_keeps_nothing_promotes_integers(monkeypatch):
    class angle_of(Float):
        """A two-operand op with nothing to save, the kind the short way takes."""

        ufunc = "arctan2"

        def vjp_input(m, g):
            return m.zeros_like(g)

        def vjp_other(m, g):
            return m.zeros_like(g)

    block = angle_of("angle_of", None, [])
    monkeypatch.setitem(REGISTRY, "angle_of", block)
    entry = dispatch._binary(block, np.arctan2, dispatch.apply)
    two = mlkit.tensor([2, 3])
    assert entry(two, two).dtype is mlkit.float32
    assert entry(two.bool(), two.bool()).dtype is mlkit.float32
    assert entry(two.double(), two.double()).dtype is mlkit.float64
