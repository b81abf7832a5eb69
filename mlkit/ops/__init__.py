"""The primitives: one block per op, one file per family. Importing this fills the registry."""

from mlkit.ops import (
    activation, arithmetic, attention, bitwise, comparison, conv, conversion, exponential, folding, indexing, interpolate,
    joining, linalg, norm, pool, random, recurrent, reduce, rounding, search, shape, trigonometry,
)  # fmt: skip
from mlkit.ops import decompositions, fourier, solving, special
from mlkit.ops.registry import REGISTRY

__all__ = [
    "REGISTRY", "activation", "arithmetic", "attention", "bitwise", "comparison", "conv", "conversion", "exponential",
    "folding", "indexing", "interpolate", "joining", "linalg", "norm", "pool", "random", "recurrent", "reduce", "rounding",
    "search", "shape", "trigonometry",
]  # fmt: skip
