"""Numbers for the registry's samples."""

from __future__ import annotations

import numpy as np

from mlkit.ops.registry import Op, Sample


def array_for(spec, rng: np.random.Generator) -> np.ndarray:
    """An array for one entry of a sample: a shape, or a Sample that also picks the numbers."""
    if not isinstance(spec, Sample):
        spec = Sample(tuple(spec))
    shape = spec.shape
    if spec.values == "positive":
        out = rng.uniform(0.5, 2.0, shape)
    elif spec.values == "unit":
        out = rng.uniform(-0.9, 0.9, shape)
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
