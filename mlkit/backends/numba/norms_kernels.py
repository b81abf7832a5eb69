"""Compiled loops for normalisation, on contiguous float32. Sums run in float32 vectors over blocks, then in float64."""

from __future__ import annotations

import math

import numpy as np

from mlkit.backends.numba.compiling import helper, kernel
from mlkit.backends.numba.simd import BYTES, LANES, emitted, peek, poke

F = np.float32
ZERO, ONE = F(0), F(1)
BLOCK = 64  # rows summed in float32 before float64 takes over

sums = {"fastmath": {"contract", "reassoc"}}
contract = {"fastmath": {"contract"}}

# --- rows: layer norm ---------------------------------------------------------------------------------------------------


@kernel("void(float32[:, ::1], float32[::1], float32[::1], float32, float32[:, ::1], int64, int64)", **sums)
def layer_norm(x, weight, bias, eps, y, start, stop):
    share = ONE / F(x.shape[1])
    for r in range(start, stop):
        row, out = x[r], y[r]
        total = ZERO
        for i in range(row.size):
            total += row[i]
        mean = total * share
        total = ZERO
        for i in range(row.size):
            d = row[i] - mean
            total += d * d
        inverse = ONE / np.sqrt(total * share + eps)
        for i in range(row.size):
            out[i] = (row[i] - mean) * inverse * weight[i] + bias[i]


@kernel(
    "void(float32[:, ::1], float32[:, ::1], float32[::1], float32, float32[:, ::1], float32[::1], float32[::1], int64, int64)",
    **sums,
)
def layer_norm_gradient(g, x, weight, eps, out, weight_gradient, bias_gradient, start, stop):
    """The gradient by the input, and the sums over these rows that make those by weight and bias."""
    n = x.shape[1]
    share = ONE / F(n)
    for r in range(start, stop):
        gradient, row, result = g[r], x[r], out[r]
        total = ZERO
        for i in range(n):
            total += row[i]
        mean = total * share
        total = ZERO
        for i in range(n):
            d = row[i] - mean
            total += d * d
        inverse = ONE / np.sqrt(total * share + eps)
        first = second = ZERO
        for i in range(n):
            weighted = gradient[i] * weight[i]
            first += weighted
            second += weighted * ((row[i] - mean) * inverse)
        first *= share
        second *= share
        for i in range(n):
            normal = (row[i] - mean) * inverse
            result[i] = inverse * (gradient[i] * weight[i] - first - normal * second)
        for i in range(n):
            weight_gradient[i] += gradient[i] * ((row[i] - mean) * inverse)
        for i in range(n):
            bias_gradient[i] += gradient[i]


@emitted
def row_gradient(e, g, x, weight, out, weight_gradient, bias_gradient, vectors, share, eps):
    """One row of ``vectors`` times sixteen numbers, in three walks over it while it lies in the first cache."""
    totals = [e.slot(e.splat(0.0)) for _ in range(4)]
    share = e.splat(share)

    def add(i, *values):
        for slot, v in zip(totals[i:], values, strict=False):
            slot.set(slot.get() + v)

    def together(i):
        return e.everywhere(totals[i].get(), lambda a, b: a + b)

    with e.loop(vectors) as i:
        add(0, e.load(x + i * BYTES))
    mean = together(0) * share
    with e.loop(vectors) as i:
        d = e.load(x + i * BYTES) - mean
        weighted = e.load(g + i * BYTES) * e.load(weight + i * BYTES)
        for slot, v in zip(totals[1:], (d, weighted), strict=False):
            slot.set(v.times_plus(d, slot.get()))
        add(3, weighted)
    inverse = (together(1) * share + e.splat(eps)).root()
    inverse = 1.0 / inverse
    first, second = together(3) * share, together(2) * share * inverse
    with e.loop(vectors) as i:
        at = i * BYTES
        gradient = e.load(g + at)
        normal = (e.load(x + at) - mean) * inverse
        e.store(out + at, inverse * (gradient * e.load(weight + at) - first - normal * second))
        e.store(weight_gradient + at, gradient.times_plus(normal, e.load(weight_gradient + at)))
        e.store(bias_gradient + at, e.load(bias_gradient + at) + gradient)


@kernel("void(int64, int64, int64, int64, int64, int64, int64, float32, int64, int64)")
def layer_norm_gradient_by_vectors(g, x, weight, out, weight_gradient, bias_gradient, count, eps, start, stop):
    """The same for rows whose length is whole vectors, given by their addresses."""
    share = ONE / F(count)
    for r in range(start, stop):
        here = r * count * 4
        row_gradient(g + here, x + here, weight, out + here, weight_gradient, bias_gradient, count // LANES, share, eps)


@kernel("void(float32[:, ::1], float32[::1], float32, float32[:, ::1], int64, int64)", **sums)
def rms_norm(x, weight, eps, y, start, stop):
    share = ONE / F(x.shape[1])
    for r in range(start, stop):
        row, out = x[r], y[r]
        total = ZERO
        for i in range(row.size):
            total += row[i] * row[i]
        inverse = ONE / np.sqrt(total * share + eps)
        for i in range(row.size):
            out[i] = row[i] * inverse * weight[i]


@kernel(
    "void(float32[:, ::1], float32[:, ::1], float32[::1], float32, float32[:, ::1], float32[::1], int64, int64)", **sums
)
def rms_norm_gradient(g, x, weight, eps, out, weight_gradient, start, stop):
    n = x.shape[1]
    share = ONE / F(n)
    for r in range(start, stop):
        gradient, row, result = g[r], x[r], out[r]
        total = dot = ZERO
        for i in range(n):
            total += row[i] * row[i]
            dot += gradient[i] * weight[i] * row[i]
        inverse = ONE / np.sqrt(total * share + eps)
        pull = dot * share * inverse * inverse
        for i in range(n):
            result[i] = inverse * (gradient[i] * weight[i] - row[i] * pull)
        for i in range(n):
            weight_gradient[i] += gradient[i] * (row[i] * inverse)


# --- channels: batch norm -------------------------------------------------------------------------------------------------
# "planes": (N, C, size), each channel of an example in one piece. "pixels": (rows, C), the channels side by side.


# What a statistic needs is two sums over each channel. A term says what one place adds to them.


@helper(**contract, forceinline=True)
def deviation(g, x, shift, factor, offset):
    d = x - shift
    return d, d * d


@helper(**contract, forceinline=True)
def normalised(g, x, mean, inverse, offset):
    return g, g * ((x - mean) * inverse)


@helper(**sums, forceinline=True)
def channel_sums(term, g, x, c, shift, factor, offset):
    """Both sums over channel c of planes."""
    n, _, size = x.shape
    first = second = 0.0
    for b in range(n):
        gradient, plane = g[b, c], x[b, c]
        low = 0
        while low < size:
            high = min(low + 1024, size)
            one = two = ZERO
            for i in range(low, high):
                more, again = term(gradient[i], plane[i], shift, factor, offset)
                one += more
                two += again
            first += np.float64(one)
            second += np.float64(two)
            low = high
    return first, second


@helper(**contract, forceinline=True)
def row_sums(term, g, x, shift, factor, found, start, stop):
    """Both sums over pixels start .. stop of each channel, added to the two rows of ``found``."""
    channels = x.shape[1]
    one, two = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    low = start
    while low < stop:
        high = min(low + BLOCK, stop)
        for r in range(low, high):
            gradient, row = g[r], x[r]
            for c in range(channels):
                more, again = term(gradient[c], row[c], shift[c], factor[c], ZERO)
                one[c] += more
                two[c] += again
        for c in range(channels):
            found[0, c] += one[c]
            found[1, c] += two[c]
            one[c] = two[c] = ZERO
        low = high


@kernel("void(float32[:, :, ::1], float64[:, ::1], int64, int64)", **sums)
def planes_moments(x, moments, start, stop):
    """Row 0: the mean of each channel from start to stop; row 1: its biased variance."""
    count = x.shape[0] * x.shape[2]
    for c in range(start, stop):
        total, _ = channel_sums(deviation, x, x, c, ZERO, ONE, ZERO)
        moments[0, c] = total / count
        _, squares = channel_sums(deviation, x, x, c, F(total / count), ONE, ZERO)
        moments[1, c] = squares / count


@kernel(
    "void(float32[:, :, ::1], float32[::1], float32[::1], float32[::1], float32[:, :, ::1], int64, int64)", **contract
)
def planes_scale(x, shift, factor, offset, y, start, stop):
    """(x - shift) * factor + offset for the planes start .. stop of all N * C."""
    channels = x.shape[1]
    for k in range(start, stop):
        b, c = k // channels, k % channels
        plane, out = x[b, c], y[b, c]
        s, f, o = shift[c], factor[c], offset[c]
        for i in range(out.size):
            out[i] = (plane[i] - s) * f + o


@kernel(
    "void(float32[:, :, ::1], float32[:, :, ::1], float32[::1], float32[::1], float64[:, ::1], int64, int64)", **sums
)
def planes_sums(g, x, mean, inverse, found, start, stop):
    """Row 0: the sum of g; row 1: of g times the normalised x."""
    for c in range(start, stop):
        found[0, c], found[1, c] = channel_sums(normalised, g, x, c, mean[c], inverse[c], ZERO)


@kernel(
    "void(float32[:, :, ::1], float32[:, :, ::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[:, :, ::1], int64, int64)",
    **contract,
)
def planes_gradient(g, x, mean, a, b, c, out, start, stop):
    """a * g + b * (x - mean) + c, by channel."""
    channels = x.shape[1]
    for k in range(start, stop):
        n, channel = k // channels, k % channels
        gradient, plane, result = g[n, channel], x[n, channel], out[n, channel]
        p, q, r, s = a[channel], b[channel], c[channel], mean[channel]
        for i in range(result.size):
            result[i] = p * gradient[i] + (q * (plane[i] - s) + r)


@kernel("void(float32[:, ::1], float32[::1], float64[:, ::1], int64, int64)", **contract)
def pixels_moments(x, shift, found, start, stop):
    """Row 0: the sum of x - shift over the rows; row 1: of its square. A shift near the mean keeps the digits."""
    row_sums(deviation, x, x, shift, shift, found, start, stop)


@kernel("void(float32[:, ::1], float32[::1], float32[::1], float32[::1], float32[:, ::1], int64, int64)", **contract)
def pixels_scale(x, shift, factor, offset, y, start, stop):
    for r in range(start, stop):
        row, out = x[r], y[r]
        for c in range(out.size):
            out[c] = (row[c] - shift[c]) * factor[c] + offset[c]


@kernel("void(float32[:, ::1], float32[:, ::1], float32[::1], float32[::1], float64[:, ::1], int64, int64)", **contract)
def pixels_sums(g, x, mean, inverse, found, start, stop):
    row_sums(normalised, g, x, mean, inverse, found, start, stop)


@kernel(
    "void(float32[:, ::1], float32[:, ::1], float32[::1], float32[::1], float32[::1], float32[::1], float32[:, ::1], int64, int64)",
    **contract,
)
def pixels_gradient(g, x, mean, a, b, c, out, start, stop):
    for r in range(start, stop):
        gradient, row, result = g[r], x[r], out[r]
        for i in range(result.size):
            result[i] = a[i] * gradient[i] + (b[i] * (row[i] - mean[i]) + c[i])


@emitted
def normal_row(e, x, mean, factor, bias, added, adds, relu, out, vectors):
    """One pixel's channels: (x - mean) * factor + bias (+ added), with ``relu`` zero where that is below."""
    with e.loop(vectors) as i:
        at = i * BYTES
        y = (e.load(x + at) - e.load(mean + at)).times_plus(e.load(factor + at), e.load(bias + at))
        if adds:
            y = y + e.load(added + at)
        e.store(out + at, y.larger(0.0).kept_nan(y) if relu else y)


@kernel(f"void({'int64, ' * 5}float64, {'int64, ' * 7}int64)")
def pixels_normal(x, mean, var, weight, bias, eps, added, relu, factor, out, channels, adds, start, stop):
    """Rows ``start`` .. ``stop`` of (rows, channels in sixteens), normalised by statistics that are given; ``factor`` is room
    for a row. ``added`` is read where ``adds`` is not zero, and goes with ``relu``."""
    for c in range(channels):
        inverse = 1.0 / math.sqrt(np.float64(peek(var + c * 4)) + eps)
        poke(factor + c * 4, F(inverse * np.float64(peek(weight + c * 4))))
    row, vectors = channels * 4, channels // LANES
    for r in range(start, stop):
        here, there = x + r * row, out + r * row
        if adds:
            normal_row(here, mean, factor, bias, added + r * row, 1, 1, there, vectors)
        elif relu:
            normal_row(here, mean, factor, bias, 0, 0, 1, there, vectors)
        else:
            normal_row(here, mean, factor, bias, 0, 0, 0, there, vectors)


@kernel("void(float32[::1], float32[::1], float64, float32[::1])")
def factors(var, weight, eps, found):
    """What channels are multiplied by: weight / sqrt(var + eps), in float64 until the end."""
    for c in range(found.size):
        found[c] = 1.0 / math.sqrt(np.float64(var[c]) + eps) * np.float64(weight[c])
