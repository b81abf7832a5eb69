"""Compiled loops for a batch norm and the ReLU behind it. The layouts are those of norms_kernels.

The gradient finds out again where the ReLU let through: that is cheaper than reading its result, which by then has left
the cache.
"""

from __future__ import annotations

import numpy as np

from mlkit.backends.numba.compiling import helper, kernel
from mlkit.backends.numba.norms_kernels import BLOCK, ZERO, channel_sums, contract, sums
from mlkit.backends.numba.simd import BYTES, LANES, emitted, peek

_VECTORS = "float32[::1], float32[::1], float32[::1]"

# --- forward: max((x - shift) * factor + offset (+ other), 0) -------------------------------------------------------------


@kernel(f"void(float32[:, :, ::1], {_VECTORS}, float32[:, :, ::1], int64, int64)", **contract)
def planes_scale_relu(x, shift, factor, offset, y, start, stop):
    channels = x.shape[1]
    for k in range(start, stop):
        b, c = k // channels, k % channels
        plane, out = x[b, c], y[b, c]
        s, f, o = shift[c], factor[c], offset[c]
        for i in range(out.size):
            v = (plane[i] - s) * f + o
            out[i] = ZERO if v <= ZERO else v  # a NaN stays


@kernel(f"void(float32[:, :, ::1], {_VECTORS}, float32[:, :, ::1], float32[:, :, ::1], int64, int64)", **contract)
def planes_scale_add_relu(x, shift, factor, offset, other, y, start, stop):
    channels = x.shape[1]
    for k in range(start, stop):
        b, c = k // channels, k % channels
        plane, added, out = x[b, c], other[b, c], y[b, c]
        s, f, o = shift[c], factor[c], offset[c]
        for i in range(out.size):
            v = ((plane[i] - s) * f + o) + added[i]
            out[i] = ZERO if v <= ZERO else v


@kernel(f"void(float32[:, ::1], {_VECTORS}, float32[:, ::1], int64, int64)", **contract)
def pixels_scale_relu(x, shift, factor, offset, y, start, stop):
    for r in range(start, stop):
        row, out = x[r], y[r]
        for c in range(out.size):
            v = (row[c] - shift[c]) * factor[c] + offset[c]
            out[c] = ZERO if v <= ZERO else v


@kernel(f"void(float32[:, ::1], {_VECTORS}, float32[:, ::1], float32[:, ::1], int64, int64)", **contract)
def pixels_scale_add_relu(x, shift, factor, offset, other, y, start, stop):
    for r in range(start, stop):
        row, added, out = x[r], other[r], y[r]
        for c in range(out.size):
            v = ((row[c] - shift[c]) * factor[c] + offset[c]) + added[c]
            out[c] = ZERO if v <= ZERO else v


# --- backward -------------------------------------------------------------------------------------------------------------


@helper(**contract, forceinline=True)
def let_through(g, x, shift, factor, offset):
    d = x - shift
    through = g if d * factor + offset > ZERO else ZERO
    return through, through * d


@kernel(f"void(float32[:, :, ::1], float32[:, :, ::1], {_VECTORS}, float64[:, ::1], int64, int64)", **sums)
def planes_sums(g, x, shift, factor, offset, found, start, stop):
    """Row 0: the sum of g where the ReLU let through; row 1: of that times x - shift."""
    for c in range(start, stop):
        found[0, c], found[1, c] = channel_sums(let_through, g, x, c, shift[c], factor[c], offset[c])


@kernel(
    f"void(float32[:, :, ::1], float32[:, :, ::1], {_VECTORS}, {_VECTORS}, float32[:, :, ::1], int64, int64)",
    **contract,
)
def planes_gradient(g, x, shift, factor, offset, a, b, c, out, start, stop):
    """a * g (where the ReLU let through) + b * (x - shift) + c, by channel."""
    channels = x.shape[1]
    for k in range(start, stop):
        n, channel = k // channels, k % channels
        gradient, plane, result = g[n, channel], x[n, channel], out[n, channel]
        p, q, r = a[channel], b[channel], c[channel]
        s, f, o = shift[channel], factor[channel], offset[channel]
        for i in range(result.size):
            d = plane[i] - s
            through = gradient[i] if d * f + o > ZERO else ZERO
            result[i] = p * through + (q * d + r)


@emitted
def sum_rows(e, g, x, shift, factor, offset, one, two, vectors, row, rows):
    """Add ``rows`` rows into ``one`` and ``two``: sixteen channels after another, whose sums stay in registers."""
    with e.loop(vectors) as i:
        at = i * BYTES
        s, f, o = e.load(shift + at), e.load(factor + at), e.load(offset + at)
        first, second = e.slot(e.load(one + at)), e.slot(e.load(two + at))
        with e.loop(rows) as r:
            here = at + r * row
            d = e.load(x + here) - s
            through = e.choose(positive(e, d.times_plus(f, o)), e.load(g + here), e.splat(0.0))
            first.set(first.get() + through)
            second.set(through.times_plus(d, second.get()))
        e.store(one + at, first.get())
        e.store(two + at, second.get())


def positive(e, v):
    return e.builder.fcmp_ordered(">", v.value, e.splat(0.0).value)


@kernel("void(int64, int64, int64, int64, int64, float64[:, ::1], int64, int64, int64, int64, int64)")
def pixels_sums(g, x, shift, factor, offset, found, one, two, channels, start, stop):
    """The same for rows of whole vectors; ``one`` and ``two`` are room for sums in float32, given by their addresses."""
    for low in range(start, stop, BLOCK):
        rows = min(BLOCK, stop - low)
        clear(one, channels // LANES)
        clear(two, channels // LANES)
        here = low * channels * 4
        sum_rows(g + here, x + here, shift, factor, offset, one, two, channels // LANES, channels * 4, rows)
        for c in range(channels):
            found[0, c] += np.float64(peek(one + c * 4))
            found[1, c] += np.float64(peek(two + c * 4))


@emitted
def clear(e, place, vectors):
    with e.loop(vectors) as i:
        e.store(place + i * BYTES, e.splat(0.0))


@emitted
def gradient_row(e, g, x, shift, factor, offset, a, b, c, out, vectors):
    with e.loop(vectors) as i:
        at = i * BYTES
        d = e.load(x + at) - e.load(shift + at)
        through = positive(e, d.times_plus(e.load(factor + at), e.load(offset + at)))
        through = e.choose(through, e.load(g + at), e.splat(0.0))
        e.store(out + at, e.load(a + at).times_plus(through, e.load(b + at).times_plus(d, e.load(c + at))))


@kernel()
def pixels_gradient(g, x, shift, factor, offset, a, b, c, out, channels, start, stop):
    for r in range(start, stop):
        here = r * channels * 4
        gradient_row(g + here, x + here, shift, factor, offset, a, b, c, out + here, channels // LANES)
