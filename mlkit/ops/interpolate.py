"""Resampling along spatial dims: each output value is a weighted sum of a few input values along each dim.

One op serves every mode; a mode is only a rule for which places count and how much (``taps``).
"""

import math

import numpy as np

from mlkit.core.errors import ValueRangeError
from mlkit.core.value import MetaArray
from mlkit.ops.registry import REQUIRED, Op, op

MODES = ("nearest", "nearest-exact", "linear", "cubic", "area")


def _scale(n: int, size: int, factor, align_corners: bool):
    """How far one step in the output is in the input."""
    if align_corners:
        return (n - 1) / (size - 1) if size > 1 else 0.0
    return 1.0 / factor if factor else n / size


def _cubic(distance, a: float):
    """Keys' cubic kernel (1981) at |distance| < 2."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = (((d - 5) * d + 8) * d - 4) * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _antialiased(n: int, size: int, scale: float, mode: str):
    """A kernel as wide as the step, so that shrinking averages instead of skipping; its weights add up to 1."""
    half = 1.0 if mode == "linear" else 2.0
    support = half * max(scale, 1.0)
    centre = scale * (np.arange(size) + 0.5)
    low = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    high = np.minimum((centre + support + 0.5).astype(np.int64), n)
    width = int((high - low).max())
    places = low[:, None] + np.arange(width)
    distance = (places - centre[:, None] + 0.5) / max(scale, 1.0)
    weights = np.maximum(1 - np.abs(distance), 0) if mode == "linear" else _cubic(distance, -0.5)
    weights = np.where(places < high[:, None], weights, 0.0)
    return np.minimum(places, n - 1), weights / weights.sum(1, keepdims=True)


def taps(n: int, size: int, mode: str, align_corners: bool, factor, antialias: bool, dtype):
    """For one dim of size n: which input places each of ``size`` outputs reads, and their weights; both (size, K).

    Where rounding decides on a place, the precision of ``dtype`` is used, as PyTorch does.
    """
    d = np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)
    i = np.arange(size)
    if mode == "area":
        low, high = i * n // size, -((-(i + 1) * n) // size)
        places = low[:, None] + np.arange(int((high - low).max()))
        weights = np.where(places < high[:, None], 1.0 / (high - low)[:, None], 0.0)
        return np.minimum(places, n - 1), weights
    scale = _scale(n, size, factor, align_corners)
    if mode in ("nearest", "nearest-exact"):
        shifted = i.astype(d) + d.type(0.5 if mode == "nearest-exact" else 0.0)
        places = np.minimum(np.floor(shifted * d.type(scale)).astype(np.int64), n - 1)
        return places[:, None], np.ones((size, 1))
    if antialias:
        return _antialiased(n, size, scale, mode)
    source = (scale * i if align_corners else scale * (i + 0.5) - 0.5).astype(d)
    if mode == "linear":
        source = np.maximum(source, 0)
        first = np.minimum(np.floor(source).astype(np.int64), n - 1)
        part = np.clip(source - first, 0.0, 1.0)
        return np.stack([first, np.minimum(first + 1, n - 1)], 1), np.stack([1 - part, part], 1)
    first = np.floor(source).astype(np.int64)
    part = source - first
    weights = np.stack(
        [_cubic(part + 1, -0.75), _cubic(part, -0.75), _cubic(1 - part, -0.75), _cubic(2 - part, -0.75)], 1
    )
    return np.clip(first[:, None] + np.arange(-1, 3), 0, n - 1), weights


def plan(shape, sizes, mode, align_corners, factors, antialias, dtype):
    """(axis, n, places, weights) for each dim that changes."""
    for axis, (n, size, factor) in enumerate(zip(shape[2:], sizes, factors or (None,) * len(sizes), strict=True), 2):
        if n == size and mode != "area" and (not factor or factor == 1):
            continue
        yield axis, n, *taps(n, size, mode, align_corners, factor, antialias, dtype)


def along(values, axis: int, rank: int):
    return values.reshape([-1 if a == axis else 1 for a in range(rank)])


def _whole_pixels(xp, image, steps):
    """uint8 images in whole numbers, as Pillow and PyTorch do: weights of 15 bits, each dim rounded to 0..255."""
    out = image
    for axis, n, places, weights in reversed(list(steps)):  # columns first
        table = np.zeros((len(places), n))
        np.add.at(table, (np.arange(len(places))[:, None], places), weights)  # places at the border count together
        largest, bits = table.max(initial=0.0), 0
        while bits < 22 and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
            bits += 1
        whole = np.trunc(table * (1 << bits) + np.where(table < 0, -0.5, 0.5)).astype(np.int64)
        width = max(int((whole != 0).sum(1).max(initial=1)), 1)
        order = np.argsort(whole == 0, axis=1, kind="stable")[:, :width]
        total = 1 << (bits - 1)
        for k in range(width):
            taken = np.take_along_axis(whole, order[:, k : k + 1], 1)[:, 0]
            part = xp.take(out, xp.asarray(order[:, k]), axis=axis).astype(np.int64)
            total = total + part * along(xp.asarray(taken), axis, image.ndim)
        out = xp.clip(total >> bits, 0, 255).astype(np.uint8)
    return out.copy() if out is image else out


def weighted(xp, part, weights, axis: int):
    """part times its weights along an axis; where a weight is 0 nothing, an infinity or NaN neither."""
    factors = along(xp.asarray(weights, dtype=part.dtype), axis, part.ndim)
    with np.errstate(invalid="ignore"):
        return part * factors if weights.all() else xp.where(factors != 0, part * factors, part.dtype.type(0))


class Resampling(Op):
    promotion = None
    linear = True


@op(
    onnx="Resize",
    samples=[
        ((2, 3, 5), {"sizes": (8,), "mode": "linear"}),
        ((1, 2, 4, 5), {"sizes": (7, 3), "mode": "cubic"}),
        ((1, 2, 4, 5), {"sizes": (8, 10), "mode": "nearest"}),
        ((1, 2, 5, 7), {"sizes": (3, 4), "mode": "area"}),
        ((1, 2, 9, 7), {"sizes": (3, 4), "mode": "linear", "antialias": True}),
        ((1, 1, 3, 4, 2), {"sizes": (5, 4, 3), "mode": "linear", "align_corners": True}),
    ],
)
class interpolate(Resampling):
    """input (N, C, *spatial) at other spatial ``sizes``.

    mode: "nearest", "nearest-exact", "linear" (bilinear, trilinear), "cubic" (Keys 1981) or "area" (the mean of the
    inputs that an output covers). ``factors`` are the scale factors where they, not the sizes, set the step.
    """

    flat = frozenset(("area",))

    def infer(input, *, sizes, mode, align_corners, factors, antialias):
        if mode not in MODES:
            raise ValueRangeError(f"interpolate: mode must be one of {MODES}, got {mode!r}.")
        return MetaArray((*input.shape[:2], *sizes), input.dtype)

    def forward(m, input, *, sizes=REQUIRED, mode="nearest", align_corners=False, factors=None, antialias=False):
        xp, out = m.xp, input
        if input.dtype == np.uint8 and mode in ("linear", "cubic"):
            return _whole_pixels(xp, input, plan(input.shape, sizes, mode, align_corners, factors, antialias, float))
        for axis, _, places, weights in plan(input.shape, sizes, mode, align_corners, factors, antialias, input.dtype):
            total = None
            for k in range(places.shape[1]):
                part = xp.take(out, xp.asarray(places[:, k]), axis=axis)
                if mode == "area" or antialias:
                    part = weighted(xp, part, weights[:, k], axis)
                elif mode not in ("nearest", "nearest-exact"):
                    part = part * along(xp.asarray(weights[:, k], dtype=input.dtype), axis, input.ndim)
                total = part if total is None else total + part
            out = total
        return m.copy(out) if out is input else out

    def vjp(m, g, input_shape, sizes, mode, align_corners, factors, antialias):
        how = {"mode": mode, "align_corners": align_corners, "factors": factors, "antialias": antialias}
        return m.interpolate_grad(g, shape=tuple(input_shape), **how)


@op(
    samples=[
        ((2, 3, 8), {"shape": (2, 3, 5), "mode": "linear"}),
        ((1, 2, 3, 4), {"shape": (1, 2, 5, 7), "mode": "area"}),
        ((1, 2, 8, 10), {"shape": (1, 2, 4, 5), "mode": "nearest"}),
    ]
)
class interpolate_grad(Resampling):
    """Each gradient given back to the places its value was read from."""

    def infer(g_, *, shape, mode, align_corners, factors, antialias):
        return MetaArray(shape, g_.dtype)

    def forward(m, g_, *, shape=REQUIRED, mode="nearest", align_corners=False, factors=None, antialias=False):
        xp, out, sizes = m.xp, g_, g_.shape[2:]
        for axis, n, places, weights in plan(shape, sizes, mode, align_corners, factors, antialias, g_.dtype):
            blank = xp.zeros([n if a == axis else s for a, s in enumerate(out.shape)], g_.dtype)
            for k in range(places.shape[1]):
                part = out
                if mode == "area" or antialias:
                    part = weighted(xp, part, weights[:, k], axis)
                elif mode not in ("nearest", "nearest-exact"):
                    part = part * along(xp.asarray(weights[:, k], dtype=g_.dtype), axis, g_.ndim)
                blank = m.index_add_(blank, xp.asarray(places[:, k]), part, axis)
            out = blank
        return m.copy(out) if out is g_ else out

    def vjp(m, g, g__shape, mode, align_corners, factors, antialias):
        how = {"mode": mode, "align_corners": align_corners, "factors": factors, "antialias": antialias}
        return m.interpolate(g, sizes=tuple(g__shape[2:]), **how)


def sizes_from(shape, factors) -> tuple[int, ...]:
    """The sizes that scale factors give."""
    return tuple(int(math.floor(float(n) * f)) for n, f in zip(shape, factors, strict=True))
