"""A batch norm and the ReLU behind it (with a sum in between, as in residual blocks) in one pass: for compiled programs.

Eager programs compute the two one after the other, since what stands between them may be looked at. Where the kernels do
not fit (another dtype, channels that fill no vectors) the functions give None, and the caller does the same.
"""

from __future__ import annotations

import numpy as np

from mlkit.backends import numba
from mlkit.backends.numba import pool
from mlkit.backends.numba.flat import FLOAT32
from mlkit.backends.numba.norms import (
    MINIMUM,
    _as,
    _back,
    _contiguous,
    _each_channel,
    _each_plane,
    _fit_channels,
    _grain,
    _layout,
    _summed_rows,
    _vector,
    input_factors,
    moments,
    normal_pixels,
    pixel_rows,
)
from mlkit.backends.numba.scratch import address, floats

FAMILY = __name__
NORMS = "mlkit.backends.numba.norms"
LANES = 16


def _usable(input, *vectors) -> bool:
    return (
        input.__class__ is np.ndarray
        and input.size >= MINIMUM
        and _fit_channels(input, *vectors)
        and input.size > input.shape[1]
        and numba.usable()
    )


def _fits(x: np.ndarray, pixels: bool) -> bool:
    return not pixels or x.shape[1] % LANES == 0


def _forward(x, pixels: bool, shape: tuple, shift, factor, offset, added) -> np.ndarray:
    kernels = numba.kernels(FAMILY)
    out = np.empty(x.shape, np.float32)
    if added is None:
        run = kernels.pixels_scale_relu if pixels else kernels.planes_scale_relu
        given: tuple = (x, shift, factor, offset, out)
    else:
        run = kernels.pixels_scale_add_relu if pixels else kernels.planes_scale_add_relu
        given = (x, shift, factor, offset, _as(added, x.shape, pixels), out)
    if pixels:
        pool.split(lambda a, b: run(*given, a, b), x.shape[0], _grain(x.shape[1]))
    else:
        _each_plane(lambda a, b: run(*given, a, b), x)
    return _back(out, shape, pixels)


def train(input, weight, bias, eps: float, added=None) -> tuple | None:
    """(relu(batch norm (+ added)), mean, variance, 1 / standard deviation, factor, offset)."""
    if not _usable(input, weight, bias) or added is not None and not _like(added, input):
        return None
    x, pixels = _layout(input)
    channels = input.shape[1]
    if not _fits(x, pixels):
        return None
    mean, var = moments(numba.kernels(NORMS), x, pixels, input.size // channels)
    inverse = 1 / np.sqrt(var + eps)
    near = mean.astype(np.float32)
    factor = (inverse if weight is None else inverse * weight).astype(np.float32)
    offset = np.zeros(channels, np.float32) if bias is None else bias.copy()  # backward reads it: the bias may change
    out = _forward(x, pixels, input.shape, near, factor, offset, added)
    return out, near, var.astype(np.float32), inverse.astype(np.float32), factor, offset


def evaluate(input, mean, var, weight, bias, eps: float, added=None) -> np.ndarray | None:
    """relu(batch norm (+ added)) by the running statistics."""
    if not _usable(input, mean, var, weight, bias) or added is not None and not _like(added, input):
        return None
    if (rows := pixel_rows(input, mean, var, weight, bias)) is not None:
        other = None if added is None else added.transpose(0, 2, 3, 1)
        if other is None or other.flags.c_contiguous:
            return normal_pixels(numba.kernels(NORMS), rows, mean, var, weight, bias, eps, other, 1)
    x, pixels = _layout(input)
    channels = input.shape[1]
    factor = np.empty(channels, np.float32)
    numba.kernels(NORMS).factors(_contiguous(var), _vector(weight, channels, 1.0), float(eps), factor)
    return _forward(x, pixels, input.shape, _contiguous(mean), factor, _vector(bias, channels, 0.0), added)


def _like(added, input) -> bool:
    return added.__class__ is np.ndarray and added.dtype is FLOAT32 and added.shape == input.shape


def gradient(g, input, weight, mean, inverse, factor, offset, needs) -> tuple | None:
    """The gradients of input, weight and bias from that of the ReLU's result."""
    if not _usable(input, weight, mean, inverse, factor, offset) or not _like(g, input):
        return None
    x, pixels = _layout(input)
    if not _fits(x, pixels):
        return None
    kernels, channels = numba.kernels(FAMILY), input.shape[1]
    gradients = _as(g, x.shape, pixels)
    vectors = mean, factor, offset
    places = [address(v) for v in (gradients, x, *vectors)]
    if pixels:

        def add(into, start, stop):
            one, two = floats(channels), floats(channels)
            kernels.pixels_sums(*places, into, address(one), address(two), channels, start, stop)

        found = _summed_rows(add, x, channels)
    else:
        found = np.empty((2, channels))
        _each_channel(lambda a, b: kernels.planes_sums(gradients, x, *vectors, found, a, b), x)
    found[1] *= inverse
    grad_input = None
    if needs[0]:
        three = input_factors(inverse, weight, found, input.size // channels)
        result = np.empty(x.shape, np.float32)
        if pixels:
            given = (*places, *map(address, three), address(result), channels)
            pool.split(lambda i, j: kernels.pixels_gradient(*given, i, j), x.shape[0], _grain(channels))
        else:
            _each_plane(lambda i, j: kernels.planes_gradient(gradients, x, *vectors, *three, result, i, j), x)
        grad_input = _back(result, input.shape, pixels)
    sums = found.astype(np.float32)
    return grad_input, sums[1] if needs[1] else None, sums[0].copy() if needs[2] else None
