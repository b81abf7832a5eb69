"""One curve in memory: steps, times and values in arrays that grow by doubling."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Series"]

CAPACITY = 2_000_000
"""Points kept of one series (48 MB). Further points are refused and the recorder says so once."""


class Series:
    """Three parallel arrays. Not thread-safe by itself: the recorder holds the lock.

    >>> series = Series()
    >>> series.extend([1, 2], [0.5, 0.75], [2.25, 2.0])
    2
    >>> series.values()
    array([2.25, 2.  ])
    """

    __slots__ = ("_steps", "_times", "_values", "capacity", "count")

    def __init__(self, capacity: int = CAPACITY) -> None:
        first = min(256, capacity)
        self._steps = np.empty(first, np.int64)
        self._times = np.empty(first, np.float64)
        self._values = np.empty(first, np.float64)
        self.count = 0
        self.capacity = capacity

    def extend(self, steps: ArrayLike, times: ArrayLike, values: ArrayLike) -> int:
        """Add points (three times [n]); how many there was room for."""
        steps, times, values = np.asarray(steps), np.asarray(times), np.asarray(values)
        fits = min(len(values), self.capacity - self.count)
        while self.count + fits > len(self._steps):
            self._grow(min(max(2 * len(self._steps), 1), self.capacity))
        part = slice(self.count, self.count + fits)
        self._steps[part], self._times[part], self._values[part] = steps[:fits], times[:fits], values[:fits]
        self.count += fits
        return fits

    def _grow(self, size: int) -> None:
        for name in ("_steps", "_times", "_values"):
            old = getattr(self, name)
            new = np.empty(size, old.dtype)
            new[: self.count] = old[: self.count]
            setattr(self, name, new)

    def steps(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """A copy of the steps from index `start` up to `stop`; int64 [n]."""
        return self._steps[start : self._end(stop)].copy()

    def times(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """A copy of the seconds since the start of the run; float64 [n]."""
        return self._times[start : self._end(stop)].copy()

    def values(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """A copy of the values; float64 [n]."""
        return self._values[start : self._end(stop)].copy()

    def _end(self, stop: int | None) -> int:
        return self.count if stop is None else max(0, min(stop, self.count))
