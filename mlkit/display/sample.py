"""What a tensor holds, from a look at it that stays cheap however large it is.

Up to a million values all are read; above that a fixed number, spread evenly, and whoever shows the numbers says so.
Nothing here goes through ``mlkit``'s dispatch: looking at a tensor must not appear in a trace or a profile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

EXACT = 1 << 20
SAMPLE = 1 << 17


def raw(tensor: Any) -> Any:
    """The NumPy or CuPy array of a tensor (or the array itself); None on the meta device, which holds no data."""
    if isinstance(tensor, np.ndarray) or type(tensor).__module__.split(".")[0] == "cupy":
        return tensor
    array = tensor._array
    return None if type(array).__name__ == "MetaArray" else array


def to_numpy(array: Any) -> np.ndarray:
    """Move a (small) array to host memory."""
    return array.get() if hasattr(array, "get") and not isinstance(array, np.ndarray) else np.asarray(array)


def dtype_name(tensor: Any) -> str:
    """``float32``, without the library's name in front."""
    return str(getattr(tensor, "dtype", "")).rpartition(".")[2]


def is_float(array: Any) -> bool:
    """Real floating point, bfloat16 and other small floats included (NumPy gives those the kind "V")."""
    return array.dtype.kind in "fV"


def numbers(values: np.ndarray) -> np.ndarray:
    """The values as float64 for statistics and pictures: complex numbers by magnitude."""
    if values.dtype.kind == "c":
        return np.abs(values).astype(np.float64)
    return values.astype(np.float64)


def spread(array: Any) -> tuple[np.ndarray, bool]:
    """(flat sample on the host, whether it is all of the array). Positions are spread evenly, with a fixed jitter so that
    a period in the data is not hit again and again; the global random state is left alone.
    """
    total = int(array.size)
    if total <= EXACT:
        return to_numpy(array).reshape(-1), True
    strata = np.arange(SAMPLE) + np.random.default_rng(0).random(SAMPLE)
    positions = np.minimum((strata * (total / SAMPLE)).astype(np.int64), total - 1)
    where = np.unravel_index(positions, array.shape)
    if isinstance(array, np.ndarray):
        return array[where], False
    module = __import__(type(array).__module__.split(".")[0])
    return to_numpy(array[tuple(module.asarray(axis) for axis in where)]), False  # only the sample crosses the bus


@dataclass
class Statistics:
    """Of the finite values of a sample; counts are of the sample too."""

    total: int
    looked_at: int
    exact: bool
    kind: str
    minimum: float | int | None = None
    maximum: float | int | None = None
    mean: float | None = None
    std: float | None = None
    zeros: int = 0
    nan: int = 0
    inf: int = 0
    counts: list[int] = field(default_factory=list)
    low: float = 0.0
    high: float = 0.0


def statistics(array: Any, bins: int = 36) -> Statistics:
    """Minimum, mean, maximum, standard deviation, zeros, NaN, Inf and a histogram of an array.

    >>> s = statistics(np.array([0.0, 1.0, np.nan, 3.0], np.float32))
    >>> s.minimum, s.maximum, s.nan, s.zeros
    (0.0, 3.0, 1, 1)
    """
    flat, exact = spread(array)
    out = Statistics(total=int(array.size), looked_at=len(flat), exact=exact, kind=flat.dtype.kind)
    if not len(flat):
        return out
    values = numbers(flat)
    out.zeros = int(np.count_nonzero(values == 0))
    if flat.dtype.kind in "fcV":
        good = np.isfinite(values)
        if not good.all():
            out.nan = int(np.isnan(values).sum())
            out.inf = int(len(values) - good.sum() - out.nan)
            values = values[good]
    if not len(values):
        return out
    out.low, out.high = float(values.min()), float(values.max())
    whole = flat.dtype.kind in "iub"
    out.minimum, out.maximum = (int(flat.min()), int(flat.max())) if whole else (out.low, out.high)
    scale = max(abs(out.low), abs(out.high))
    if scale > 1e150:  # squares would overflow
        out.mean = float(np.mean(values / scale) * scale)
        out.std = float(np.std(values / scale) * scale)
    else:
        out.mean, out.std = float(values.mean()), float(values.std())
    if out.high > out.low:
        if whole and out.high - out.low <= 40:
            counts = np.bincount((values - out.low).astype(np.int64))
        elif np.isfinite(out.high - out.low):
            counts = np.bincount(
                np.minimum(((values - out.low) * (bins / (out.high - out.low))).astype(np.int64), bins - 1),
                minlength=bins,
            )
        else:
            counts = np.zeros(0, np.int64)
        out.counts = counts.tolist()
    return out
