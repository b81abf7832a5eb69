"""The primitives: one block per op, one file per family. Importing this fills the registry."""

from mlkit.ops import (
    activation, attention, conv, elementwise, folding, interpolate, linalg, norm, pool, random, recurrent, reduce, search, shape,
)  # fmt: skip
from mlkit.ops import decompositions, fourier, special
from mlkit.ops.registry import REGISTRY

__all__ = [
    "REGISTRY", "activation", "attention", "conv", "elementwise", "folding", "interpolate", "linalg", "norm", "pool", "random",
    "recurrent", "reduce", "search", "shape",
]  # fmt: skip
