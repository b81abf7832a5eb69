"""Numbers for the registry's samples."""

from __future__ import annotations

import numpy as np

from mlkit.ops.registry import Op, Sample

#: square matrices of a kind; "symmetric" and "definite" ones stay so along a test's direction
MATRICES = ("dominant", "symmetric", "definite")


def symmetric(a: np.ndarray) -> np.ndarray:
    return (a + a.swapaxes(-1, -2).conj()) / 2


def matrix_for(spec: Sample, out: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Matrices far from singular, symmetric (Hermitian), or positive-definite too."""
    n = spec.shape[-1]
    if spec.dtype.startswith("complex"):
        out = out + 1j * rng.normal(size=spec.shape)
    if spec.values == "symmetric":
        out = symmetric(out) + np.diag(np.arange(n) * 2.0)
    elif spec.values == "definite":
        out = symmetric(out @ out.swapaxes(-1, -2).conj()) + np.eye(n)
    else:
        out = out + 3 * np.eye(n)
    return out.astype(spec.dtype)


def direction_for(spec, array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random direction to differentiate along, of the array's kind."""
    d = np.asarray(rng.normal(size=array.shape))
    if array.dtype.kind == "c":
        d = d + 1j * rng.normal(size=array.shape)
    return symmetric(d) if isinstance(spec, Sample) and spec.values in ("symmetric", "definite") else np.asarray(d)


def array_for(spec, rng: np.random.Generator) -> np.ndarray:
    """An array for one entry of a sample: a shape, or a Sample that also picks the numbers."""
    if not isinstance(spec, Sample):
        spec = Sample(tuple(spec))
    shape = spec.shape
    if spec.values == "positive":
        out = rng.uniform(0.5, 2.0, shape)
    elif spec.values == "unit":
        out = rng.uniform(-0.9, 0.9, shape)
    elif spec.values == "unit_positive":
        out = rng.uniform(0.15, 0.85, shape)
    elif spec.values == "above_one":
        out = rng.uniform(1.2, 3.0, shape)
    elif spec.values == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    elif spec.values == "index":
        return np.asarray(rng.integers(1 if "64" in spec.dtype and spec.high == 9 else 0, spec.high, shape), np.int64)
    elif spec.values == "distinct":
        out = rng.permutation(int(np.prod(shape))).reshape(shape) * 0.37 - 1.1
    else:
        out = rng.normal(size=shape)
    out = np.asarray(out)
    if spec.values in MATRICES:
        return matrix_for(spec, out, rng)
    if spec.dtype.startswith("complex"):
        return (out + 1j * rng.normal(size=shape)).astype(spec.dtype)
    return out.astype(spec.dtype)


def split(op: Op, sample) -> tuple[list, dict]:
    """A sample's entries and its attributes."""
    entries = list(sample)
    attributes = entries.pop() if entries and isinstance(entries[-1], dict) else {}
    if op.variadic:
        entries = list(entries[0])
    return entries, attributes


def arrays_for(op: Op, sample, seed: int = 0) -> tuple[list[np.ndarray], dict]:
    rng = np.random.default_rng(seed)
    entries, attributes = split(op, sample)
    return [array_for(e, rng) for e in entries], attributes


def cases() -> list:
    """(op, sample) for every sample of every op, with readable ids."""
    import pytest

    from mlkit.ops import REGISTRY

    found = []
    for name, op in sorted(REGISTRY.items()):
        for number, sample in enumerate(op.samples):
            found.append(pytest.param(op, sample, id=f"{name}-{number}"))
    return found
