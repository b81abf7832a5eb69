"""Pooling as a walk over the window's places: each place is one strided slice of the (padded) input."""

from __future__ import annotations

import itertools

import numpy as np

from mlkit.ops.pool import adaptive_window


def _padded(xp, x, kernel, stride, padding, dilation, sizes, fill):
    """The input with its padding, and enough at the far end for a last partial window (ceil_mode)."""
    ends = [
        max((n - 1) * s + d * (k - 1) + 1 - size - p, 0)
        for n, s, d, k, size, p in zip(sizes, stride, dilation, kernel, x.shape[2:], padding, strict=True)
    ]
    if not any(padding) and not any(ends):
        return x
    shape = [size + p + e for size, p, e in zip(x.shape[2:], padding, ends, strict=True)]
    out = xp.full((*x.shape[:2], *shape), fill, x.dtype)
    out[(slice(None), slice(None), *(slice(p, p + n) for p, n in zip(padding, x.shape[2:], strict=True)))] = x
    return out


def _slices(kernel, stride, dilation, sizes):
    for place in itertools.product(*(range(k) for k in kernel)):
        cut = tuple(
            slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, s, n in zip(place, dilation, stride, sizes, strict=True)
        )
        yield place, (slice(None), slice(None), *cut)


def max_forward(xp, x, kernel, stride, padding, dilation, sizes):
    """Largest values (N, C, *out) and their flat spatial indices; NaN wins, the first of equals counts."""
    floating = x.dtype.kind == "f" or x.dtype.name == "bfloat16"
    lowest = -np.inf if floating else np.iinfo(x.dtype).min
    data = _padded(xp, x, kernel, stride, padding, dilation, sizes, lowest)
    best = winner = None
    places = []
    for number, (place, cut) in enumerate(_slices(kernel, stride, dilation, sizes)):
        candidate = data[cut]
        places.append(place)
        if best is None:
            best = candidate.copy()
            winner = xp.zeros_like(best, dtype=np.int32)
            continue
        better = candidate > best
        if floating:
            better |= candidate != candidate
        # where the best so far lies in the padding, the first real place wins even at -inf
        winner = xp.where(better, number, winner)
        best = xp.maximum(best, candidate)
    return best, _flat_index(xp, x, winner, places, stride, padding, dilation, sizes)


def _flat_index(xp, x, winner, places, stride, padding, dilation, sizes):
    flat = xp.zeros((1, 1, *sizes), np.int64)
    offsets = xp.zeros(len(places), np.int64)
    scale = 1
    for axis in range(len(sizes) - 1, -1, -1):
        start = xp.arange(sizes[axis]) * stride[axis] - padding[axis]
        shape = [1] * (len(sizes) + 2)
        shape[axis + 2] = sizes[axis]
        flat = flat + start.reshape(shape) * scale
        offsets = offsets + xp.asarray([p[axis] * dilation[axis] for p in places]) * scale
        scale *= x.shape[axis + 2]
    return flat + offsets[winner]


def max_grad(xp, g, indices, shape):
    """Gradients summed at the flat indices they belong to."""
    lead, total = shape[0] * shape[1], int(np.prod(shape[2:]))
    rows = indices.reshape(lead, int(np.prod(indices.shape[2:]))) + (xp.arange(lead) * total)[:, None]
    out = xp.bincount(rows.reshape(-1), weights=g.reshape(-1), minlength=lead * total)
    return out.astype(g.dtype).reshape(shape)


def adaptive_max_forward(xp, x, sizes):
    """Largest values (N, C, *sizes) of even windows and their flat spatial indices, as max_forward."""
    axes = []
    for n, size in zip(x.shape[2:], sizes, strict=True):
        start, end = adaptive_window(n, size)
        reach = np.arange(int((end - start).max()) if size else 1)
        axes.append(np.minimum(start[:, None] + reach, end[:, None] - 1))  # (size, window): the last place repeats
    floating = x.dtype.kind == "f" or x.dtype.name == "bfloat16"
    flat = x.reshape((*x.shape[:2], -1))
    best = winner = None
    for place in itertools.product(*(range(a.shape[1]) for a in axes)):
        index = np.zeros((1,) * len(axes), np.int64)
        for number, (a, k) in enumerate(zip(axes, place, strict=True)):
            shape = [-1 if i == number else 1 for i in range(len(axes))]
            index = index * x.shape[number + 2] + a[:, k].reshape(shape)
        index = xp.asarray(np.broadcast_to(index, sizes).copy())
        candidate = xp.take(flat, index.reshape(-1), axis=2).reshape((*x.shape[:2], *sizes))
        if best is None:
            best, winner = candidate, xp.broadcast_to(index, candidate.shape).copy()
            continue
        better = candidate > best
        if floating:
            better |= candidate != candidate
        winner = xp.where(better, index, winner)
        best = xp.maximum(best, candidate)
    return best, winner


def _divisor(xp, shape, kernel, stride, padding, sizes, count_include_pad, divisor_override):
    """How many values each window averages: a number, or an array over the output places."""
    if divisor_override is not None:
        return divisor_override
    total = None
    for axis, (k, s, p, n) in enumerate(zip(kernel, stride, padding, sizes, strict=True)):
        start = np.arange(n) * s - p
        end = np.minimum(start + k, shape[axis + 2] + p)
        if not count_include_pad:
            start, end = np.maximum(start, 0), np.minimum(end, shape[axis + 2])
        counts = (end - start).reshape([-1 if i == axis else 1 for i in range(len(sizes))])
        total = counts if total is None else total * counts
    if (total == total.reshape(-1)[0]).all():
        return int(total.reshape(-1)[0])
    return xp.asarray(total)


def avg_forward(xp, x, kernel, stride, padding, sizes, count_include_pad, divisor_override):
    ones = (1,) * len(kernel)
    data = _padded(xp, x, kernel, stride, padding, ones, sizes, 0)
    out = None
    for _, cut in _slices(kernel, stride, ones, sizes):
        out = data[cut].copy() if out is None else out + data[cut]
    divisor = _divisor(xp, x.shape, kernel, stride, padding, sizes, count_include_pad, divisor_override)
    return (out / divisor).astype(x.dtype, copy=False)


def avg_grad(xp, g, shape, kernel, stride, padding, count_include_pad, divisor_override):
    ones, sizes = (1,) * len(kernel), g.shape[2:]
    share = g / _divisor(xp, shape, kernel, stride, padding, sizes, count_include_pad, divisor_override)
    blank = xp.zeros(shape, g.dtype)
    out = _padded(xp, blank, kernel, stride, padding, ones, sizes, 0)
    for _, cut in _slices(kernel, stride, ones, sizes):
        out[cut] += share
    inside = tuple(slice(p, p + n) for p, n in zip(padding, shape[2:], strict=True))
    return out[(slice(None), slice(None), *inside)]
