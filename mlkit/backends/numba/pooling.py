"""Pooling over two dims, channels last: the arguments in the kernels' form. float32 only."""

from __future__ import annotations

import functools

import numpy as np

from mlkit.backends.numba import gradient, kernels, override, pool
from mlkit.backends.numba.conv import at_least_sixteen, channels_first, last_channels, single
from mlkit.backends.numba.scratch import address
from mlkit.ops.pool import check_pool

GRAIN = 1 << 16  # results that make a thread worth waking


class Shaped:
    """What the rule for an op's shape asks of an input."""

    def __init__(self, shape: tuple):
        self.shape, self.ndim = shape, len(shape)


@functools.lru_cache(256)
def known_sizes(name, shape, kernel_size, stride, padding, dilation, ceil_mode) -> tuple:
    """How many lines and pixels come out; asked once for a shape."""
    return check_pool(name, 2, Shaped(shape), kernel_size, stride, padding, dilation, ceil_mode)


def sizes_of(name, shape, *how) -> tuple:
    try:
        return known_sizes(name, shape, *how)
    except TypeError:  # a list is no key
        return check_pool(name, 2, Shaped(shape), *how)


def lasting(k, x):
    return at_least_sixteen(last_channels(kernels("mlkit.backends.numba.conv"), x))


@override("max_pool2d", minimum=4096)
def max_pool2d(k, input, *, kernel_size, stride, padding, dilation, ceil_mode):
    if not single(input) or input.ndim != 4 or input.shape[2] * input.shape[3] >= 1 << 31:
        return NotImplemented
    sizes = sizes_of("max_pool2d", input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    x = lasting(k, input)
    batch, high, wide, channels = x.shape
    shape = (batch, *sizes, channels)
    values, indices = np.empty(shape, np.float32), np.empty(shape, np.int64)
    common = (
        address(x), high, wide, channels, *kernel_size, *stride, *padding, *dilation, *sizes,
        address(values), address(indices),
    )  # fmt: skip
    grain = max(1, GRAIN // (sizes[1] * channels))
    pool.split(lambda a, b: k.max_forward(*common, a, b), batch * sizes[0], grain)
    return channels_first(values, input.shape[1]), channels_first(indices, input.shape[1])


@gradient("max_pool2d", minimum=1024)
def max_pool2d_gradient(k, g, out, input_shape, kernel_size, stride, padding, dilation):
    g, indices = g[0], out[1]
    if g is None or not single(g) or indices.dtype != np.int64:
        return NotImplemented
    flat = np.ascontiguousarray(indices.transpose(0, 2, 3, 1))
    batch, channels, high, wide = input_shape
    given = lasting(k, g)
    flat, wanted = at_least_sixteen(flat), given.shape[-1]
    target = np.empty((batch, high, wide, wanted), np.float32)
    common = (address(given), address(flat), high, wide, wanted, *kernel_size, *stride, *padding, *dilation)
    common += (*given.shape[1:3], address(target))
    pool.split(lambda a, b: k.max_grad(*common, a, b), batch * high, max(1, GRAIN // (wide * wanted)))
    return channels_first(target, channels)


def _averaging(kernel_size, stride, padding, sizes, count_include_pad, divisor_override):
    return (*kernel_size, *stride, *padding, *sizes, int(count_include_pad), divisor_override or 0)


@override("avg_pool2d", minimum=4096)
def avg_pool2d(k, input, *, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    if not single(input) or input.ndim != 4:
        return NotImplemented
    sizes = sizes_of("avg_pool2d", input.shape, kernel_size, stride, padding, (1, 1), ceil_mode)
    x = lasting(k, input)
    batch, high, wide, channels = x.shape
    out = np.empty((batch, *sizes, channels), np.float32)
    how = _averaging(kernel_size, stride, padding, sizes, count_include_pad, divisor_override)
    common = (address(x), high, wide, channels, *how, address(out))
    grain = max(1, GRAIN // (sizes[1] * channels))
    pool.split(lambda a, b: k.avg_forward(*common, a, b), batch * sizes[0], grain)
    return channels_first(out, input.shape[1])


@override("avg_pool2d_grad", minimum=4096)
def avg_pool2d_grad(
    k, g_, *, shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
):  # fmt: skip
    if not single(g_) or g_.ndim != 4:
        return NotImplemented
    g = lasting(k, g_)
    batch, sizes, channels = g.shape[0], g.shape[1:3], g.shape[3]
    high, wide = shape[2:]
    out = np.empty((batch, high, wide, channels), np.float32)
    how = _averaging(kernel_size, stride, padding, sizes, count_include_pad, divisor_override)
    common = (address(g), high, wide, channels, *how, address(out))
    pool.split(lambda a, b: k.avg_grad(*common, a, b), batch * high, max(1, GRAIN // (wide * channels)))
    return channels_first(out, shape[1])
