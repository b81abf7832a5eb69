"""Compiled loops for softmax and cross-entropy over the last axis of contiguous float32 rows."""

from __future__ import annotations

import numpy as np
from numba import njit

from mlkit.backends.numba import elementary as e
from mlkit.backends.numba.compiling import kernel

F, I = np.float32, np.int32  # noqa: E741
ZERO, ONE = F(0), F(1)
SIGN, LOWEST = I(0x7FFFFFFF), I(-(2**31))

ROWS = "void(float32[:, ::1], float32[:, ::1], int64, int64)"
GRADIENT = "void(float32[:, ::1], float32[:, ::1], float32[:, ::1], int64, int64)"

# reassoc: sums in any order, so that they are vector code; NaN and infinity keep their meaning
sums = {"fastmath": {"contract", "reassoc"}}


@njit(nogil=True, error_model="numpy", forceinline=True)
def largest(row):
    """The maximum (a NaN counts as larger), by comparing float32 as integers of the same order: vector code."""
    top = LOWEST
    for i in range(row.size):
        bits = F(row[i]).view(np.int32)
        order = I(bits ^ (I(bits >> I(31)) & SIGN))
        top = order if order > top else top
    return I(top ^ (I(top >> I(31)) & SIGN)).view(np.float32)


@kernel(ROWS, **sums)
def softmax(x, y, start, stop):
    for r in range(start, stop):
        row, out = x[r], y[r]
        top = largest(row)
        total = ZERO
        for i in range(row.size):
            value = e.exp(row[i] - top)
            out[i] = value
            total += value
        scale = ONE / total
        for i in range(row.size):
            out[i] *= scale


@kernel(GRADIENT, **sums)
def softmax_gradient(g, y, out, start, stop):
    for r in range(start, stop):
        gradient, row, result = g[r], y[r], out[r]
        total = ZERO
        for i in range(row.size):
            total += gradient[i] * row[i]
        for i in range(row.size):
            result[i] = row[i] * (gradient[i] - total)


@kernel(ROWS, **sums)
def log_softmax(x, y, start, stop):
    for r in range(start, stop):
        row, out = x[r], y[r]
        top = largest(row)
        total = ZERO
        for i in range(row.size):
            total += e.exp(row[i] - top)
        lost = e.log(total)
        for i in range(row.size):
            out[i] = (row[i] - top) - lost


@kernel(GRADIENT, **sums)
def log_softmax_gradient(g, y, out, start, stop):
    for r in range(start, stop):
        gradient, row, result = g[r], y[r], out[r]
        total = ZERO
        for i in range(row.size):
            total += gradient[i]
        for i in range(row.size):
            result[i] = gradient[i] - e.exp(row[i]) * total


@kernel("void(float32[:, ::1], int64[::1], float32[::1], int64, int64[::1], int64, int64)", **sums)
def cross_entropy(x, target, out, ignored, wrong, start, stop):
    """One loss per row; ``wrong[0]`` becomes 1 where a label is no class."""
    for r in range(start, stop):
        label = target[r]
        if label == ignored:
            out[r] = ZERO
            continue
        if label < 0 or label >= x.shape[1]:
            wrong[0] = 1
            continue
        row = x[r]
        top = largest(row)
        total = ZERO
        for i in range(row.size):
            total += e.exp(row[i] - top)
        out[r] = e.log(total) - (row[label] - top)


@kernel("void(float32[::1], float32[:, ::1], int64[::1], float32[:, ::1], int64, int64, int64)", **sums)
def cross_entropy_gradient(g, x, target, out, ignored, start, stop):
    for r in range(start, stop):
        row, result, label = x[r], out[r], target[r]
        if label == ignored:
            for i in range(row.size):
                result[i] = ZERO
            continue
        top = largest(row)
        total = ZERO
        for i in range(row.size):
            value = e.exp(row[i] - top)
            result[i] = value
            total += value
        scale = g[r] / total
        for i in range(row.size):
            result[i] *= scale
        result[label] -= g[r]
