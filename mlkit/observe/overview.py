"""A curve in few numbers: buckets that keep each stretch's mean, lowest and highest value, however long it grows.

A screen is some two thousand dots wide, so a curve of a million points is drawn from two thousand buckets, and no peak is
lost. All buckets hold equally many points, a power of two; when there are too many buckets, that number doubles and
neighbours are merged. Adding points costs the same however many there are already.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["Buckets", "Extreme", "Overview", "bucketed", "window"]

LIMIT = 2048
"""The most buckets of an overview; it has at least half as many once the curve is that long."""


class Extreme(NamedTuple):
    """One point of a curve, for example its lowest."""

    step: int
    time: float
    value: float


class Buckets(NamedTuple):
    """Stretches of a curve; float64 arrays of one length, but for `count`."""

    step: np.ndarray
    """Of the last point in each bucket."""
    time: np.ndarray
    """Of the last point in each bucket, seconds."""
    mean: np.ndarray
    """Of the finite values; NaN where there is none."""
    low: np.ndarray
    high: np.ndarray
    finite: np.ndarray
    """How many values are finite; int64."""

    def __len__(self) -> int:
        return len(self.step)

    def part(self, start: int, stop: int | None = None) -> Buckets:
        """Buckets from index `start` up to `stop`."""
        return Buckets(*(column[start:stop] for column in self))


_none = np.empty(0)
EMPTY = Buckets(_none, _none, _none, _none, _none, np.empty(0, np.int64))


def bucketed(steps: np.ndarray, times: np.ndarray, values: np.ndarray, size: int, lead: int = 0) -> Buckets:
    """Points in buckets of `size`; the first one takes only ``size - lead`` of them, for it holds `lead` already.

    Args:
        steps, times, values: The points, each [n].
        size: Points per bucket.
        lead: Points that the first bucket holds already.

    >>> bucketed(np.arange(5), np.arange(5.0), np.array([3.0, 1.0, 4.0, 1.0, 5.0]), 2).high
    array([3., 4., 5.])
    """
    total = len(values)
    if not total:
        return EMPTY
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    if size == 1:
        clean = np.where(finite, values, np.nan)
        return Buckets(
            np.asarray(steps, np.float64), np.asarray(times, np.float64), clean, clean, clean, finite.astype(np.int64)
        )
    starts = np.arange(-lead, total, size)
    starts[0] = 0
    ends = np.append(starts[1:], total) - 1
    count = np.add.reduceat(finite.astype(np.int64), starts)
    sums = np.add.reduceat(np.where(finite, values, 0.0), starts)
    low = np.minimum.reduceat(np.where(finite, values, np.inf), starts)
    high = np.maximum.reduceat(np.where(finite, values, -np.inf), starts)
    none = count == 0
    mean = np.divide(sums, count, out=np.full(len(starts), np.nan), where=~none)
    low[none] = high[none] = np.nan
    return Buckets(
        np.asarray(steps, np.float64)[ends], np.asarray(times, np.float64)[ends], mean, low, high, count
    )  # fmt: skip


class Overview:
    """The buckets of one curve. Not thread-safe by itself.

    >>> overview = Overview(limit=4)
    >>> overview.extend(np.arange(10), np.arange(10.0), np.arange(10.0) ** 2)
    >>> overview.size, overview.buckets().high
    (4, array([ 9., 49., 81.]))
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.size = 1
        """Points per bucket."""
        self.points = 0
        """How many points the curve has."""
        self.lowest: Extreme | None = None
        self.highest: Extreme | None = None
        self.last: Extreme | None = None
        self._columns = EMPTY

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def complete(self) -> int:
        """How many buckets will not change any more at this size."""
        return self.points // self.size

    def extend(self, steps: np.ndarray, times: np.ndarray, values: np.ndarray) -> None:
        """Add points at the end."""
        total = len(values)
        if not total:
            return
        self._note_extremes(steps, times, values)
        while -(-(self.points + total) // self.size) > self.limit:
            self._double()
        lead = self.points % self.size
        fresh = bucketed(steps, times, values, self.size, lead)
        if lead:
            joined = _merged(*(Buckets(*(column[index : index + 1] for column in part))
                               for part, index in ((self._columns, len(self) - 1), (fresh, 0))))  # fmt: skip
            pieces = (self._columns.part(0, len(self) - 1), joined, fresh.part(1))
        else:
            pieces = (self._columns, fresh, EMPTY)
        self._columns = Buckets(*(np.concatenate(columns) for columns in zip(*pieces, strict=True)))
        self.points += total

    def buckets(self, start: int = 0) -> Buckets:
        """Buckets from index `start` on; the last one may not be full yet."""
        return self._columns.part(start)

    def _double(self) -> None:
        columns = self._columns
        pairs = len(columns) // 2
        merged = _merged(_every(columns, 0, pairs), _every(columns, 1, pairs))
        rest = columns.part(2 * pairs)
        self._columns = Buckets(*(np.concatenate(both) for both in zip(merged, rest, strict=True)))
        self.size *= 2

    def _note_extremes(self, steps: np.ndarray, times: np.ndarray, values: np.ndarray) -> None:
        self.last = _point(steps, times, values, len(values) - 1)
        finite = np.flatnonzero(np.isfinite(values))
        if not len(finite):
            return
        low, high = finite[np.argmin(values[finite])], finite[np.argmax(values[finite])]
        if self.lowest is None or values[low] < self.lowest.value:
            self.lowest = _point(steps, times, values, low)
        if self.highest is None or values[high] > self.highest.value:
            self.highest = _point(steps, times, values, high)


def window(source: Any, name: str, overview: Overview, axis: str, low: float, high: float, points: int) -> Buckets:
    """The part of a curve between two places on the x axis, finer than the overview where that is possible.

    Args:
        source: The `Source` that has all points.
        name: Of the curve.
        overview: Of the same curve.
        axis: What `low` and `high` are: "step" or "time".
        points: The most buckets wanted. One more on each side is given, so that lines run to the edges.
    """
    along = overview.buckets().time if axis == "time" else overview.buckets().step
    if not len(along) or high < low:
        return EMPTY
    first = max(0, int(np.searchsorted(along, low, "left")) - 1) * overview.size
    behind = (int(np.searchsorted(along, high, "right")) + 2) * overview.size
    _, steps, times, values = source.read(name, first, min(behind, overview.points))
    exact = times if axis == "time" else steps
    begin = max(0, int(np.searchsorted(exact, low, "left")) - 1)
    end = int(np.searchsorted(exact, high, "right")) + 1
    part = slice(begin, end)
    size = 1
    while -(-len(exact[part]) // size) > points:
        size *= 2
    # Buckets begin at multiples of their size, so that they stand still while the window moves.
    return bucketed(steps[part], times[part], values[part], size, (first + begin) % size)


def _every(columns: Buckets, offset: int, pairs: int) -> Buckets:
    return Buckets(*(column[offset : 2 * pairs : 2] for column in columns))


def _merged(left: Buckets, right: Buckets) -> Buckets:
    """Each bucket of `left` with the one of `right` that follows it."""
    count = left.finite + right.finite
    sums = np.where(left.finite > 0, left.mean * left.finite, 0) + np.where(
        right.finite > 0, right.mean * right.finite, 0
    )
    mean = np.divide(sums, count, out=np.full(len(count), np.nan), where=count > 0)
    return Buckets(
        right.step, right.time, mean, np.fmin(left.low, right.low), np.fmax(left.high, right.high), count
    )  # fmt: skip


def _point(steps: np.ndarray, times: np.ndarray, values: np.ndarray, index: Any) -> Extreme:
    return Extreme(int(steps[index]), float(times[index]), float(values[index]))
