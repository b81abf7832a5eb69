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


@op(samples=[((3, 4), {"bins": 5, "min": -1.0, "max": 1.0})])
class histc(Op):
    """How many elements fall into each of ``bins`` equal bins between min and max (both 0: the data's own range)."""

    promotion = None
    differentiable = False

    def prepare(input, *, bins=100, min=0, max=0):
        if input.dtype.kind not in "fViu":
            raise DtypeError(f"histc: not implemented for {input.dtype}.")
        if bins <= 0:
            raise DtypeError("histc: bins must be > 0.")
        if max < min:
            raise DtypeError("histc: max must be larger than min.")
        return {"bins": int(bins), "min": min, "max": max}

    def infer(input, *, bins, min, max):
        return MetaArray((bins,), input.dtype)

    def forward(m, input, *, bins=100, min=0, max=0):
        low, high = min, max
        if low == high and input.size:
            low, high = float(input.min()), float(input.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DtypeError(f"histc: range of [{low}, {high}] is not finite.")
        if low == high:
            low, high = low - 1, high + 1
        counts, _ = m.xp.histogram(input.reshape(-1), bins=bins, range=(low, high))
        return counts.astype(input.dtype)
