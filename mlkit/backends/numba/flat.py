"""Arrays as flat memory: what a kernel that works on single elements reads and writes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlkit.backends.numba import pool

FLOAT32 = np.dtype(np.float32)

#: elements of an elementwise kernel that are worth a thread of their own: about 40 us, as long as to wake one
GRAIN = 1 << 17


def flat(x: np.ndarray) -> np.ndarray | None:
    """x's memory as one row, in whatever order its dims lie there; None where it has gaps or may not be written."""
    flags = x.flags
    if flags.c_contiguous:
        row = x.reshape(-1)
    else:
        row = x.ravel("K")
        if row.flags.owndata:
            return None
    return row if flags.writeable else None


def dense(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x, or a copy of it that has no gaps, and its memory as one row."""
    row = flat(x)
    if row is None:
        x = x.copy(order="C")
        row = x.reshape(-1)
    return x, row


def like(x: np.ndarray, model: np.ndarray) -> np.ndarray:
    """The memory of x as one row in the order that ``model`` (without gaps) has; x is copied if its order differs."""
    if x.strides == model.strides and x.flags.writeable:
        row = flat(x)
        if row is not None:
            return row
    out = np.empty_like(model)
    out[...] = x
    return out.ravel("K")


def unary(kernel: Callable, x: np.ndarray, *numbers) -> np.ndarray:
    """kernel(x, out, *numbers, start, stop) over all of x; the result lies in memory as x does."""
    x, row = dense(x)
    out = np.empty_like(x)
    target = out.ravel("K")
    if row.size < 2 * GRAIN:
        kernel(row, target, *numbers, 0, row.size)
    else:
        pool.split(lambda start, stop: kernel(row, target, *numbers, start, stop), row.size, GRAIN)
    return out


def binary(kernel: Callable, g: np.ndarray, x: np.ndarray, *numbers) -> np.ndarray:
    """kernel(g, x, out, *numbers, start, stop) over two arrays of one shape; the result lies in memory as x does."""
    x, row = dense(x)
    other = like(g, x)
    out = np.empty_like(x)
    target = out.ravel("K")
    if row.size < 2 * GRAIN:
        kernel(other, row, target, *numbers, 0, row.size)
    else:
        pool.split(lambda start, stop: kernel(other, row, target, *numbers, start, stop), row.size, GRAIN)
    return out
