"""Layer, root-mean-square and batch normalisation: statistics and result while the data lies in the cache.

Batch norm reads both layouts of images where they lie: (N, C, H, W) and the one with channels last.
"""

from __future__ import annotations

import math

import numpy as np

from mlkit.backends.numba import gradient, override, pool
from mlkit.backends.numba.flat import FLOAT32
from mlkit.backends.numba.scratch import address

MINIMUM = 1 << 10
GRAIN = 1 << 15
LANES = 16  # of a vector


def _contiguous(x: np.ndarray) -> np.ndarray:
    return x if x.flags.c_contiguous and x.flags.writeable else x.copy(order="C")


def _vector(x, count: int, default: float) -> np.ndarray | None:
    """A weight or bias as a contiguous row; ``default`` where there is none; None where it is not float32."""
    if x is None:
        return (np.ones if default else np.zeros)(count, np.float32)
    return _contiguous(x).reshape(-1) if x.dtype is FLOAT32 else None


# --- the last dims --------------------------------------------------------------------------------------------------------


def _rows(x: np.ndarray, dims: int) -> np.ndarray | None:
    if x.dtype is not FLOAT32 or not x.size or not 0 < dims <= x.ndim:
        return None
    count = math.prod(x.shape[x.ndim - dims :])
    return _contiguous(x).reshape(-1, count)


def _grain(count: int) -> int:
    return max(1, GRAIN // count)


def _fits(t, x: np.ndarray, dims: int) -> bool:
    return t is None or tuple(t.shape) == tuple(x.shape[x.ndim - dims :])


@override("layer_norm", minimum=MINIMUM)
def layer_norm(kernels, input, weight=None, bias=None, *, dims, eps):
    rows = _rows(input, dims)
    if rows is None or not _fits(weight, input, dims) or not _fits(bias, input, dims):
        return NotImplemented
    count = rows.shape[1]
    w, b = _vector(weight, count, 1.0), _vector(bias, count, 0.0)
    if w is None or b is None:
        return NotImplemented
    out = np.empty(rows.shape, np.float32)
    small = np.float32(eps)
    pool.split(
        lambda start, stop: kernels.layer_norm(rows, w, b, small, out, start, stop), rows.shape[0], _grain(count)
    )
    return out.reshape(input.shape)


@gradient("layer_norm", minimum=MINIMUM)
def layer_norm_gradient(kernels, g, input, weight, needs, dims, eps):
    rows, gradients = _rows(input, dims), _rows(g, dims)
    if rows is None or gradients is None:
        return NotImplemented
    count = rows.shape[1]
    w = _vector(weight, count, 1.0)
    if w is None:
        return NotImplemented
    out = np.empty(rows.shape, np.float32)
    parts: list[tuple] = []
    small = np.float32(eps)

    def work(start, stop):
        sums = np.zeros(count, np.float32), np.zeros(count, np.float32)
        if count % LANES:
            kernels.layer_norm_gradient(gradients, rows, w, small, out, *sums, start, stop)
        else:
            given = (address(gradients), address(rows), address(w), address(out), *map(address, sums))
            kernels.layer_norm_gradient_by_vectors(*given, count, small, start, stop)
        parts.append((start, *sums))

    pool.split(work, rows.shape[0], _grain(count))
    parts.sort(key=lambda part: part[0])  # the same sum whichever thread was first
    tail = input.shape[input.ndim - dims :]
    return (
        out.reshape(input.shape) if needs[0] else None,
        sum(part[1] for part in parts).reshape(tail) if needs[1] else None,
        sum(part[2] for part in parts).reshape(tail) if needs[2] else None,
    )


@override("rms_norm", minimum=MINIMUM)
def rms_norm(kernels, input, weight=None, *, dims, eps):
    rows = _rows(input, dims)
    if rows is None or not _fits(weight, input, dims):
        return NotImplemented
    count = rows.shape[1]
    if (w := _vector(weight, count, 1.0)) is None:
        return NotImplemented
    out = np.empty(rows.shape, np.float32)
    small = np.float32(eps)
    pool.split(lambda start, stop: kernels.rms_norm(rows, w, small, out, start, stop), rows.shape[0], _grain(count))
    return out.reshape(input.shape)


@gradient("rms_norm", minimum=MINIMUM)
def rms_norm_gradient(kernels, g, input, weight, needs, dims, eps):
    rows, gradients = _rows(input, dims), _rows(g, dims)
    if rows is None or gradients is None or (w := _vector(weight, rows.shape[1], 1.0)) is None:
        return NotImplemented
    out = np.empty(rows.shape, np.float32)
    parts: list[tuple] = []
    small = np.float32(eps)

    def work(start, stop):
        sums = np.zeros(rows.shape[1], np.float32)
        kernels.rms_norm_gradient(gradients, rows, w, small, out, sums, start, stop)
        parts.append((start, sums))

    pool.split(work, rows.shape[0], _grain(rows.shape[1]))
    parts.sort(key=lambda part: part[0])
    tail = input.shape[input.ndim - dims :]
    return out.reshape(input.shape) if needs[0] else None, sum(p[1] for p in parts).reshape(tail) if needs[1] else None


# --- channels -------------------------------------------------------------------------------------------------------------


def _layout(x: np.ndarray) -> tuple[np.ndarray, bool]:
    """x as (rows, C) and True where the channels lie side by side, else as (N, C, size) and False; copied if neither."""
    if x.ndim == 2:
        return _contiguous(x), True
    last = x.transpose(0, *range(2, x.ndim), 1)
    if not x.flags.c_contiguous and last.flags.c_contiguous and x.flags.writeable:
        return last.reshape(-1, x.shape[1]), True
    return _contiguous(x).reshape(x.shape[0], x.shape[1], -1), False


def _as(g: np.ndarray, shape: tuple, pixels: bool) -> np.ndarray:
    """g in the same layout as an input that ``_layout`` has laid out."""
    if not pixels:
        return _contiguous(g).reshape(shape)
    return _contiguous(g if g.ndim == 2 else g.transpose(0, *range(2, g.ndim), 1)).reshape(shape)


def _back(out: np.ndarray, shape: tuple, pixels: bool) -> np.ndarray:
    """A result in that layout as (N, C, ...)."""
    if not pixels or len(shape) == 2:
        return out.reshape(shape)
    wide = out.reshape(shape[0], *shape[2:], shape[1])
    return wide.transpose(0, len(shape) - 1, *range(1, len(shape) - 1))


def _each_channel(work, x: np.ndarray) -> None:
    pool.split(work, x.shape[1], max(1, GRAIN // max(1, x.shape[0] * x.shape[2])))


def _each_plane(work, x: np.ndarray) -> None:
    pool.split(work, x.shape[0] * x.shape[1], max(1, GRAIN // max(1, x.shape[2])))


def _summed_rows(kernel, x: np.ndarray, channels: int) -> np.ndarray:
    """What kernel(found, start, stop) adds into ``found`` (2, C), over all rows."""
    parts: list[tuple] = []

    def work(start, stop):
        found = np.zeros((2, channels))
        kernel(found, start, stop)
        parts.append((start, found))

    pool.split(work, x.shape[0], _grain(channels))
    parts.sort(key=lambda part: part[0])
    return sum(part[1] for part in parts)


def _apply(kernels, name: str, x: np.ndarray, pixels: bool, *rest) -> None:
    """planes_NAME or pixels_NAME over all of x."""
    if pixels:
        kernel = getattr(kernels, f"pixels_{name}")
        pool.split(lambda start, stop: kernel(*rest, start, stop), x.shape[0], _grain(x.shape[1]))
    else:
        kernel = getattr(kernels, f"planes_{name}")
        _each_plane(lambda start, stop: kernel(*rest, start, stop), x)


def _fit_channels(input: np.ndarray, *vectors) -> bool:
    if input.dtype is not FLOAT32 or input.ndim < 2 or not input.size:
        return False
    fitting = (input.shape[1],)
    for v in vectors:
        if v is not None and not (v.dtype is FLOAT32 and v.shape == fitting):
            return False
    return True


def moments(kernels, x: np.ndarray, pixels: bool, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each channel, in float64; ``count`` values have gone into each."""
    channels = x.shape[1]
    if not pixels:
        found = np.empty((2, channels))
        _each_channel(lambda a, b: kernels.planes_moments(x, found, a, b), x)
        return found[0], found[1]
    shift = x[:: max(1, x.shape[0] // 64)].mean(axis=0)  # near the mean: then no digits cancel
    found = _summed_rows(lambda into, a, b: kernels.pixels_moments(x, shift, into, a, b), x, channels)
    off = found[0] / count
    return shift + off, np.maximum(found[1] / count - off * off, 0.0)


@override("batch_norm_train", minimum=MINIMUM)
def batch_norm_train(kernels, input, weight=None, bias=None, *, eps):
    channels = input.shape[1] if input.ndim > 1 else 0
    if not _fit_channels(input, weight, bias) or input.size == channels:
        return NotImplemented
    x, pixels = _layout(input)
    mean, var = moments(kernels, x, pixels, input.size // channels)
    inverse = 1 / np.sqrt(var + eps)
    near = mean.astype(np.float32)
    factor = (inverse if weight is None else inverse * weight).astype(np.float32)
    offset = _vector(bias, channels, 0.0)
    out = np.empty(x.shape, np.float32)
    _apply(kernels, "scale", x, pixels, x, near, factor, offset, out)
    return _back(out, input.shape, pixels), near, var.astype(np.float32), inverse.astype(np.float32)


def input_factors(inverse, weight, sums: np.ndarray, count: int) -> list[np.ndarray]:
    """a, b and c of the input's gradient, a * g + b * (x - mean) + c, by the ``sums`` of g and of g * normal over each
    channel: that is scale * (g - mean g - normal * mean (g * normal))."""
    wide = inverse.astype(np.float64)
    scale = wide if weight is None else wide * weight
    return [v.astype(np.float32) for v in (scale, -scale * wide * sums[1] / count, -scale * sums[0] / count)]


@gradient("batch_norm_train", minimum=MINIMUM)
def batch_norm_train_gradient(kernels, g, input, weight, out, needs, eps):
    if g[0] is None or any(part is not None for part in g[1:]) or g[0].dtype is not FLOAT32:
        return NotImplemented
    mean, inverse = out[1], out[3]
    if not _fit_channels(input, weight, mean, inverse):
        return NotImplemented
    channels = input.shape[1]
    x, pixels = _layout(input)
    gradients = _as(g[0], x.shape, pixels)
    if pixels:
        found = _summed_rows(
            lambda into, a, b: kernels.pixels_sums(gradients, x, mean, inverse, into, a, b), x, channels
        )
    else:
        found = np.empty((2, channels))
        _each_channel(lambda a, b: kernels.planes_sums(gradients, x, mean, inverse, found, a, b), x)
    grad_input = None
    if needs[0]:
        three = input_factors(inverse, weight, found, input.size // channels)
        result = np.empty(x.shape, np.float32)
        _apply(kernels, "gradient", x, pixels, gradients, x, mean, *three, result)
        grad_input = _back(result, input.shape, pixels)
    sums = found.astype(np.float32)
    return grad_input, sums[1] if needs[1] else None, sums[0].copy() if needs[2] else None


def pixel_rows(x: np.ndarray, *vectors) -> np.ndarray | None:
    """x (N, C, H, W) as (N, H, W, C) where it lies so, C in sixteens, and the vectors are all there without gaps."""
    if x.ndim != 4 or x.shape[1] % LANES:
        return None
    for v in vectors:
        if v is None or not v.flags.c_contiguous:
            return None
    rows = x.transpose(0, 2, 3, 1)
    return rows if rows.flags.c_contiguous else None


def normal_pixels(
    kernels, rows: np.ndarray, mean, var, weight, bias, eps: float, added=None, relu: int = 0
) -> np.ndarray:
    """What ``pixel_rows`` gives normalised by these statistics, (N, C, H, W); with ``relu``, what is below zero is zero;
    ``added`` is added before that (with ``relu`` alone), and lies as they do."""
    channels, out = rows.shape[3], np.empty(rows.shape, np.float32)
    where = 0 if added is None else address(added)
    given = (address(rows), address(mean), address(var), address(weight), address(bias), float(eps), where, relu)
    target, kernel, adds = address(out), kernels.pixels_normal, int(added is not None)

    def work(start, stop):
        factor = np.empty(channels, np.float32)
        kernel(*given, address(factor), target, channels, adds, start, stop)

    pool.split(work, rows.size // channels, _grain(channels))
    return out.transpose(0, 3, 1, 2)


@override("batch_norm_eval", minimum=MINIMUM)
def batch_norm_eval(kernels, input, mean, var, weight=None, bias=None, *, eps):
    if not _fit_channels(input, mean, var, weight, bias):
        return NotImplemented
    if (rows := pixel_rows(input, mean, var, weight, bias)) is not None:
        return normal_pixels(kernels, rows, mean, var, weight, bias, eps)
    x, pixels = _layout(input)
    channels = input.shape[1]
    factor = np.empty(channels, np.float32)
    kernels.factors(_contiguous(var), _vector(weight, channels, 1.0), float(eps), factor)
    out = np.empty(x.shape, np.float32)
    offset = _vector(bias, channels, 0.0)
    _apply(kernels, "scale", x, pixels, x, _contiguous(mean), factor, offset, out)
    return _back(out, input.shape, pixels)
