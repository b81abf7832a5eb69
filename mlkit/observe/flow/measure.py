"""What is measured of one tensor: its norm, how its values are spread, and which units are silent.

Everything here works on bare arrays of NumPy or CuPy and leaves its results where the array is; `Sheet.settle` brings all
numbers of a sample to the host at once. Large arrays are sampled: a few thousand values tell how a million are spread.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

#: arrays with more elements than this have their norm estimated from SAMPLED of them (on a GPU all are read)
EXACT = 1 << 20
SAMPLED = 1 << 16
#: values of which the spread is taken, and weights of which the update is
SPREAD = 1024
MOVED = 8192

#: the shares of values that lie below each kept quantile: finer towards the ends, where trouble shows first
SHARES = np.array(
    [0, 0.002, 0.01, 0.025, *np.arange(0.05, 0.951, 0.045), 0.975, 0.99, 0.998, 1], np.float64
)  # fmt: skip

#: per layer and sample
NUMBERS = ("gradient", "weight", "update", "nonfinite", "dead", "saturated", "mean", "std")
NORM, WEIGHT, UPDATE, NONFINITE, DEAD, SATURATED, MEAN, STD = range(len(NUMBERS))
#: whose spread is kept
SPREADS = ("gradient", "weight", "activation")


def library(array: Any) -> Any:
    """NumPy or CuPy, whichever made the array; None for one without numbers (meta, inside a transform)."""
    if isinstance(array, np.ndarray):
        return np
    if type(array).__module__.partition(".")[0] == "cupy":
        import cupy

        return cupy
    return None


@functools.lru_cache(4096)
def stride(size: int, wanted: int) -> int:
    """A stride that visits about `wanted` of `size` places and has no common factor with `size`, so that it does not go
    down one column."""
    if size <= wanted:
        return 1
    step = max(2, size // wanted)
    while math.gcd(step, size) > 1:
        step += 1
    return step


def some(array: Any, wanted: int) -> Any:
    """About `wanted` values of an array, flat: all of them where there are no more. May share the array's memory."""
    flat = array.reshape(-1)
    step = stride(flat.size, wanted)
    return flat if step == 1 else flat[::step]


def as_float32(array: Any) -> Any:
    """The same values in float32 (float64 stays): sums of half precision would overflow."""
    if array.dtype.kind == "c":
        array = array.view(array.real.dtype) if array.flags.c_contiguous else abs(array)
    return array if array.dtype.char in "fd" else array.astype(np.float32)


def squares(array: Any, xp: Any) -> Any:
    """The sum of squares of all elements (estimated for large ones on the CPU), as a 0-d array or number."""
    if array.size == 0:
        return xp.zeros((), np.float32)
    scale = 1.0
    if xp is np and array.size > EXACT:
        part = some(array, SAMPLED)
        scale = array.size / part.size
    else:
        part = array.reshape(-1)
    part = as_float32(part)
    with np.errstate(all="ignore"):
        total = xp.dot(part, part)
    if xp is np and not math.isfinite(total):
        with np.errstate(all="ignore"):
            total = np.square(part, dtype=np.float64).sum()  # float32's squares overflow from 1e19 on
    return total * scale


@functools.lru_cache(1024)
def _places(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where in `size` sorted values the kept quantiles lie: index below, index above, weight of the one above."""
    at = SHARES * (size - 1)
    low = np.floor(at).astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (at - low).astype(np.float32)


def quantiles(array: Any, xp: Any) -> Any:
    """The values below which each of SHARES lies; float32 [len(SHARES)]. NaN where nothing is finite."""
    part = as_float32(some(array, SPREAD))
    if xp is not np:
        part = xp.sort(part.astype(np.float32))
        low, high, weight = (xp.asarray(x) for x in _places(part.size))
        return part[low] * (1 - weight) + part[high] * weight if part.size else xp.full(len(SHARES), np.nan, np.float32)
    part = np.sort(part)
    if part.size and not (math.isfinite(part[0]) and math.isfinite(part[-1])):
        part = part[np.isfinite(part)]
    if not part.size:
        return np.full(len(SHARES), np.nan, np.float32)
    low, high, weight = _places(part.size)
    below = part[low]
    return (below + (part[high] - below) * weight).astype(np.float32)


def alive(array: Any, axis: int, upper: float | None, xp: Any) -> Any:
    """Which units gave anything but a flat zero (or a flat `upper`) for some input; bool [units]."""
    active = array != 0 if upper is None else (array != 0) & (array != upper)
    if array.ndim <= 1:
        return active.reshape(-1)
    axis = axis % array.ndim
    return active.any(axis=tuple(i for i in range(array.ndim) if i != axis))


class Sheet:
    """The numbers of one sample, gathered while it goes on: float32 [rows, NUMBERS] and [rows, SPREADS, SHARES]."""

    def __init__(self, rows: int) -> None:
        self.numbers = np.full((rows, len(NUMBERS)), np.nan, np.float32)
        self.spreads = np.full((rows, len(SPREADS), len(SHARES)), np.nan, np.float32)
        self._waiting: list[tuple[np.ndarray, Any]] = []

    def grow(self, rows: int) -> None:
        """Room for layers that were met on the way."""
        more = rows - len(self.numbers)
        if more > 0:
            self.settle()
            self.numbers = np.concatenate([self.numbers, np.full((more, len(NUMBERS)), np.nan, np.float32)])
            empty = np.full((more, len(SPREADS), len(SHARES)), np.nan, np.float32)
            self.spreads = np.concatenate([self.spreads, empty])

    def put(self, row: int, number: int, value: Any) -> None:
        """A number, or an array of one element that may still be on the GPU."""
        if isinstance(value, (float, int, np.generic, np.ndarray)):
            self.numbers[row, number] = value
        else:
            self._waiting.append((self.numbers[row, number : number + 1], value))

    def put_spread(self, row: int, which: int, values: Any) -> None:
        """Quantiles, as `quantiles` gives them."""
        if isinstance(values, np.ndarray):
            self.spreads[row, which] = values
        else:
            self._waiting.append((self.spreads[row, which], values))

    def settle(self) -> None:
        """Bring what waits on a GPU over, in one transfer."""
        if not self._waiting:
            return
        import cupy

        flat = cupy.concatenate([value.reshape(-1).astype(np.float32) for _, value in self._waiting]).get()
        at = 0
        for target, value in self._waiting:
            target[...] = flat[at : at + value.size]
            at += value.size
        self._waiting = []
