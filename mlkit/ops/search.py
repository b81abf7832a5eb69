"""Ops that look values up among others: places in sorted rows, counts by bin."""

import numpy as np

from mlkit.core.errors import DtypeError, ShapeError
from mlkit.core.value import MetaArray
from mlkit.ops.registry import Op, Sample, op


@op(
    samples=[
        (Sample((4,), "index", "int64", 9), (3, 2)),
        (Sample((2, 4), "index", "int64", 9), (2, 3), {"right": True}),
    ]
)
class searchsorted(Op):
    """Where each value would go in the sorted sequence (along the last dim, row by row), int64."""

    promotion = None
    differentiable = False

    def prepare(sorted_sequence, input, *, right=False):
        a, b = sorted_sequence.shape, input.shape
        if len(a) > 1 and (len(a) != len(b) or tuple(a[:-1]) != tuple(b[:-1])):
            raise ShapeError(
                "searchsorted: boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor "
                "and input value tensor must match.",
                f"sorted_sequence: {tuple(a)}\ninput: {tuple(b)}",
            )
        if not a:
            raise ShapeError("searchsorted: the sorted sequence needs at least one dimension.")
        return {"right": bool(right)}

    def infer(sorted_sequence, input, *, right):
        return MetaArray(input.shape, np.dtype(np.int64))

    def forward(m, sorted_sequence, input, *, right=False):
        if not sorted_sequence.shape[-1]:
            return m.xp.zeros(input.shape, np.int64)
        return m.searchsorted_(sorted_sequence, input, right)

    def batch(m, axes, size, sorted_sequence, input, *, right):
        if axes[0] is None and sorted_sequence.ndim == 1:
            return m.searchsorted(sorted_sequence, input, right=right)
        if axes[0] is None:
            sorted_sequence = m.expand(m.unsqueeze(sorted_sequence, 0), shape=(size, *sorted_sequence.shape))
        if axes[1] is None:
            input = m.expand(m.unsqueeze(input, 0), shape=(size, *input.shape))
        shape = tuple(input.shape)
        rows = m.reshape(input, shape=(size, -1)) if sorted_sequence.ndim == 2 else input
        return m.reshape(m.searchsorted(sorted_sequence, rows, right=right), shape=shape)


@op(samples=[((3, 4), {"bins": 5, "min": -1.0, "max": 1.0})])
class histc(Op):
    """How many elements fall into each of ``bins`` equal bins between min and max (both 0: the data's own range)."""

    promotion = None
    differentiable = False

    def prepare(input, *, bins=100, min=0, max=0, rows=False):
        if input.dtype.kind not in "fViu":
            raise DtypeError(f"histc: not implemented for {input.dtype}.")
        if bins <= 0:
            raise DtypeError("histc: bins must be > 0.")
        if max < min:
            raise DtypeError("histc: max must be larger than min.")
        return {"bins": int(bins), "min": min, "max": max, "rows": rows}

    def infer(input, *, bins, min, max, rows):
        return MetaArray((input.shape[0], bins) if rows else (bins,), input.dtype)

    def forward(m, input, *, bins=100, min=0, max=0, rows=False):
        if rows:
            return _counts_by_row(m, input, bins, min, max)
        low, high = min, max
        if low == high and input.size:
            low, high = float(input.min()), float(input.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DtypeError(f"histc: range of [{low}, {high}] is not finite.")
        if low == high:
            low, high = low - 1, high + 1
        counts, _ = m.xp.histogram(input.reshape(-1), bins=bins, range=(low, high))
        return counts.astype(input.dtype)

    def batch(m, axes, size, input, *, bins, min, max, rows):
        return m.histc(m.reshape(input, shape=(size, -1)), bins=bins, min=min, max=max, rows=True)


def _counts_by_row(m, input, bins: int, low, high):
    """histc of each row of (B, n) -> (B, bins), each by its own range when low == high."""
    xp, count = m.xp, input.shape[0]
    wide = input.astype(np.float64)
    if low == high and input.shape[1]:
        lows, highs = wide.min(1), wide.max(1)
    else:
        lows, highs = xp.full(count, float(low)), xp.full(count, float(high))
    if not bool(xp.isfinite(lows).all() and xp.isfinite(highs).all()):
        raise DtypeError("histc: the range of a row is not finite.")
    flat = lows == highs
    lows, highs = lows - flat, highs + flat
    steps = xp.arange(bins + 1) / bins
    edges = lows[:, None] + (highs - lows)[:, None] * steps
    edges[:, -1] = highs
    place = m.searchsorted_(edges, wide, True) - 1
    place = xp.where(wide == highs[:, None], bins - 1, place)
    inside = (wide >= lows[:, None]) & (wide <= highs[:, None])
    whole = (place + xp.arange(count)[:, None] * bins)[inside]
    return xp.bincount(whole, minlength=count * bins).reshape(count, bins).astype(input.dtype)
