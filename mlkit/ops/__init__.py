"""The primitives: one block per op, one file per family. Importing this fills the registry."""

from mlkit.ops import conv, elementwise, linalg, norm, pool, random, reduce, search, shape
from mlkit.ops import decompositions, fourier, special
from mlkit.ops.registry import REGISTRY

__all__ = ["REGISTRY", "conv", "elementwise", "linalg", "norm", "pool", "random", "reduce", "search", "shape"]
