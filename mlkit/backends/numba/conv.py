"""Convolutions in one and two dims: which way for which shape, and the arguments in the kernels' form.

Images are worked on with channels last, and results are channels-last memory seen through (N, C, H, W), so a chain of
layers never reorders its data. Ways: Winograd's for 3x3 with stride 1 and channels in sixteens; direct, from registers,
for the rest; through gathered patches where a line of output is too short for that. float32 only.
"""

from __future__ import annotations

import functools
import threading

import numpy as np

from mlkit.backends.numba import gradient, kernels, override, pool
from mlkit.backends.numba.flat import FLOAT32
from mlkit.backends.numba.scratch import address, floats, nothing, zeros
from mlkit.core import config

LANES = 16
STRIP = 128 << 10  # bytes of input worked on at once
NARROW = 8  # output lines shorter than this go through gathered patches
PIXELS = 256  # steps of a weight gradient's product before its results go back to memory


def panel() -> int:
    """How many columns the kernels' panels have on this CPU."""
    return kernels("mlkit.backends.numba.conv").PANEL


def up(n: int) -> int:
    """n rounded up to whole vectors."""
    return -(-n // LANES) * LANES


def single(*arrays) -> bool:
    """Whether these are plain float32 arrays with something in them."""
    for a in arrays:  # a loop: a generator costs more than what it asks
        if a is not None and not (a.__class__ is np.ndarray and a.dtype is FLOAT32 and a.size):
            return False
    return True


def last_channels(k, x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) -> (N, H, W, C) in that order in memory: a view where it lies so already."""
    view = x.transpose(0, 2, 3, 1)
    if view.flags.c_contiguous:
        return view
    n, c, h, w = x.shape
    if not x.flags.c_contiguous:
        return np.ascontiguousarray(view)
    out = np.empty((n, h, w, c), np.float32)
    source, target = address(x), address(out)
    pool.split(lambda a, b: k.channels_last(source, c, h * w, target, a, b), n, max(1, 100_000 // (c * h * w)))
    return out


def packed(k, weight: np.ndarray, columns: int) -> np.ndarray:
    """Weights (O, C, KH, KW), a view of any strides, as the kernels want them."""
    o, c, high, wide = weight.shape
    out = floats(columns * c * high * wide)
    k.pack(address(weight), *weight.strides, o, c, high, wide, columns, address(out))
    return out


def spread(columns: int, bias) -> np.ndarray:
    """The bias for every column of the panels, to be read only."""
    if bias is None:
        return nothing(columns)
    if bias.size == columns and bias.flags.c_contiguous:
        return bias
    out = zeros(columns)
    out[: bias.size] = bias
    return out


@functools.lru_cache(256)
def forward_plan(high, wide, channels, kernel, stride, dilation, before, out):
    """(lines of output at once, whether the input is copied for its padding, floats of scratch)."""
    reach = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(out, stride, kernel, dilation, strict=True)]
    copied = any(p > 0 or r - p > n for p, r, n in zip(before, reach, (high, wide), strict=True))
    row = reach[1] * channels * 4
    lines = max(1, min(out[0], (STRIP // row - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1))
    return lines, copied, ((lines - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1) * reach[1] * channels


def run_forward(k, x, weight, bias, columns, stride, dilation, before, sizes, out, at, strides):
    """out[at + n * strides[0] + y * strides[1] + x * strides[2]] = the product of weight and the patch at (n, y, x).

    x (N, H, W, C); weight (O, C, KH, KW), any view; ``before`` the padding at top and left, negative where cut;
    ``sizes`` how many lines and pixels of output.
    """
    batch, high, wide, channels = x.shape
    kernel = weight.shape[2:]
    turned = packed(k, weight, columns)
    start = spread(columns, bias)
    common = (address(x), high, wide, channels, address(turned), address(start), columns)
    common += (*kernel, *stride, *dilation, *before)
    taps = kernel[0] * kernel[1] * channels
    work = sizes[0] * sizes[1] * taps * columns
    dense = strides == (sizes[0] * sizes[1] * columns, sizes[1] * columns, columns)
    if dense and sizes[1] < NARROW and sizes != (1, 1) or dense and sizes == (1, 1) and taps * 4 * 96 < 1 << 22:
        at_once = max(12, min(96, (1 << 18) // taps // 12 * 12))
        grain = max(12, (1 << 21) // (taps * columns))

        def gather(a, b):
            space = floats(at_once * taps)
            k.gathered(*common, address(out) + at * 4, *sizes, at_once, address(space), a, b)

        pool.split(gather, batch * sizes[0] * sizes[1], grain)
        return
    lines, copied, size = forward_plan(high, wide, channels, kernel, stride, dilation, before, sizes)
    if batch == 1 and pool.threads() > 1:
        lines = max(1, min(lines, -(-sizes[0] // (2 * pool.threads()))))
    strips = -(-sizes[0] // lines)

    def strip(a, b):
        space = floats(size)
        k.forward(*common, address(out) + at * 4, *sizes, *strides, lines, int(copied), address(space), a, b)

    pool.split(strip, batch * strips, max(1, (1 << 21) * strips // max(work, 1)))


def channels_first(out: np.ndarray, channels: int) -> np.ndarray:
    """(N, H, W, columns) seen as (N, channels, H, W)."""
    if out.shape[-1] != channels:
        out = np.ascontiguousarray(out[..., :channels])
    return out.transpose(0, 3, 1, 2)


def output_sizes(shape, kernel, stride, padding, dilation) -> tuple[int, int]:
    return tuple(
        (n + p[0] + p[1] - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(shape, kernel, stride, padding, dilation, strict=True)
    )  # type: ignore[return-value]


@functools.lru_cache(256)
def known_output(shape, kernel, stride, padding, dilation) -> tuple:
    """(the sizes of the output, the padding before each line and column): asked once for a layer."""
    return output_sizes(shape, kernel, stride, padding, dilation), (padding[0][0], padding[1][0])


def fits(x, weight, groups) -> bool:
    return x.ndim == 4 and weight.ndim == 4 and groups == 1 and x.shape[1] == weight.shape[1]


FEW_PIXELS = 64  # of one image: weights are then read once, so bringing them into another form costs more than it gives


def few_pixels(weight, stride, sizes, batch: int) -> bool:
    """Whether the weights are used as they lie: one small image, where Winograd's way has no tiles to share them."""
    most = FEW_PIXELS if stride == (1, 1) and weight.shape[2:] == (3, 3) else 4 * FEW_PIXELS
    return batch == 1 and sizes[0] * sizes[1] <= most and weight.shape[1] >= LANES and weight.flags.c_contiguous


def rows_of_weights(k, x, weight, bias, stride, dilation, before, sizes) -> np.ndarray:
    """One image (1, C, H, W) of any strides: weight (O, C * KH * KW) @ its patches as columns."""
    outs, channels, *kernel = weight.shape
    taps, pixels = weight.size // outs, sizes[0] * sizes[1]
    whole = up(pixels)
    patches, zero = floats(taps * whole), zeros(whole)
    form = (*x.shape[2:], channels, *kernel, *stride, *dilation, *before, sizes[1], pixels, whole)
    if channels % LANES:
        k.columns(address(x), *x.strides[1:], *form, address(patches))
    else:
        image, patch = last_channels(k, x), floats(LANES * channels)
        k.columns_by_vectors(address(image), *form, address(patch), address(patches))
    out = np.empty((outs, whole), np.float32)
    common = (address(weight), taps, address(patches), 0, taps * panel() * 4, address(zero), whole, address(out), 0, 0)
    rows = kernels("mlkit.backends.numba.gemm").rows_by_panels
    pool.split(lambda a, b: rows(*common, a, b), outs, max(LANES, (1 << 20) // (taps * whole)))
    if bias is not None:
        out += bias[:, None]
    return (out if whole == pixels else out[:, :pixels].copy()).reshape(1, outs, *sizes)


@override("conv2d", minimum=256)
def conv2d(k, input, weight, bias=None, *, stride, padding, dilation, groups):
    if groups > 1:
        return depthwise(k, input, weight, bias, stride, padding, dilation, groups)
    if not single(input, weight, bias) or not fits(input, weight, groups):
        return NotImplemented
    kernel, outs = weight.shape[2:], weight.shape[0]
    sizes, before = known_output(input.shape[2:], kernel, stride, padding, dilation)
    if min(sizes) < 1 or bias is not None and bias.shape != (outs,):
        return NotImplemented  # the reference says what is wrong
    if few_pixels(weight, stride, sizes, input.shape[0]):
        return rows_of_weights(k, input, weight, bias, stride, dilation, before, sizes)
    x = last_channels(k, input)
    columns = up(outs)
    out = np.empty((x.shape[0], *sizes, columns), np.float32)
    if for_winograd(weight.shape[1], outs, kernel, stride, dilation, sizes, x.shape[0]):
        winograd_forward(x, weight, bias, before, sizes, out)
        return channels_first(out, outs)
    strides = (sizes[0] * sizes[1] * columns, sizes[1] * columns, columns)
    run_forward(k, x, weight, bias, columns, stride, dilation, before, sizes, out, 0, strides)
    return channels_first(out, outs)


@override("conv2d_input_grad", minimum=1024)
def conv2d_input_grad(k, g_, weight, *, shape, stride, padding, dilation, groups):
    if groups > 1:
        return depthwise_input_grad(k, g_, weight, shape, stride, padding, dilation, groups)
    if not single(g_, weight) or g_.ndim != 4 or weight.ndim != 4 or groups != 1 or g_.shape[1] != weight.shape[0]:
        return NotImplemented
    if any(s > 1 and d > 1 for s, d in zip(stride, dilation, strict=True)):
        return NotImplemented
    g = last_channels(k, g_)
    outs, channels, *kernel = weight.shape
    columns = up(channels)
    batch, _, high, wide = shape
    covered = all(a >= s for a, s in zip(kernel, stride, strict=True))
    out = (np.empty if covered else np.zeros)((batch, high, wide, columns), np.float32)
    turned = weight.transpose(1, 0, 2, 3)
    if for_winograd(outs, channels, tuple(kernel), stride, dilation, (high, wide), batch):
        before = (2 - padding[0][0], 2 - padding[1][0])
        winograd_forward(g, turned[:, :, ::-1, ::-1], None, before, (high, wide), out)
        return channels_first(out, channels)
    for rows in phases(high, kernel[0], stride[0], dilation[0], padding[0][0]):
        for lines in phases(wide, kernel[1], stride[1], dilation[1], padding[1][0]):
            (y, taps_y, first_y, before_y), (x, taps_x, first_x, before_x) = rows, lines
            part = turned[:, :, taps_y, taps_x]
            at = (first_y * wide + first_x) * columns
            strides = (high * wide * columns, stride[0] * wide * columns, stride[1] * columns)
            run_forward(
                k, g, part, None, columns, (1, 1), dilation, (before_y, before_x), (y, x), out, at, strides
            )  # fmt: skip
    return channels_first(out, channels)


@functools.lru_cache(256)
def phases(size: int, kernel: int, stride: int, dilation: int, padding: int) -> list:
    """The places of one axis of the input by their remainder modulo the stride: those at one remainder are reached by
    the same taps of the filter, and their gradient is a plain convolution with these taps in reverse.

    For each remainder that a tap reaches: (how many places, the taps, the first place, padding before)."""
    found = []
    for phase in range(stride):
        taps = range(phase, kernel, stride)
        first = -((padding - phase) // -stride)  # the least t with stride * t + phase - padding >= 0
        first = max(first, 0) if stride > 1 else padding  # with one phase t counts places of the padded input
        place = stride * first + phase - padding
        if place >= size or not len(taps):
            continue
        count = (size - 1 - place) // stride + 1
        reverse = slice(taps[-1], phase - stride if phase >= stride else None, -stride)
        found.append((count, reverse, place, dilation * (len(taps) - 1) - first))
    return found


@override("conv2d_weight_grad", minimum=1024)
def conv2d_weight_grad(k, input, g_, *, shape, stride, padding, dilation, groups):
    if groups > 1:
        return depthwise_weight_grad(k, input, g_, shape, stride, padding, dilation, groups)
    if not single(input, g_) or input.ndim != 4 or g_.ndim != 4 or groups != 1:
        return NotImplemented
    x, g = last_channels(k, input), last_channels(k, g_)
    outs, channels, *kernel = shape
    sizes = g.shape[1:3]
    columns = up(outs)
    if for_winograd(channels, outs, tuple(kernel), stride, dilation, sizes, x.shape[0]):
        return winograd_weight_grad(x, g, shape, (padding[0][0], padding[1][0]), sizes)
    if columns != outs:
        wide = np.zeros((*g.shape[:3], columns), np.float32)
        wide[..., :outs] = g
        g = wide
    return direct_weight_grad(k, x, g, shape, columns, tuple(kernel), stride, padding, dilation, sizes)


# --- Winograd's way ---------------------------------------------------------------------------------------------------------

PLANES = 36
SQUARES = 9 * LANES * LANES  # numbers: the weights of sixteen outputs and channels
SPACE = 640 << 10  # bytes of tiles in the other basis, in and out, worked on at once


def for_winograd(channels, outs, kernel, stride, dilation, sizes, batch) -> bool:
    """Whether the shape is one that Winograd's way is quicker for."""
    return (
        config.winograd
        and kernel == (3, 3)
        and stride == (1, 1)
        and dilation == (1, 1)
        and channels % LANES == 0
        and outs % LANES == 0
        and min(sizes) >= 4
    )


def tiles_of(sizes, batch) -> int:
    return batch * -(-sizes[0] // 4) * -(-sizes[1] // 4)


def few_tiles(tiles: int, channels: int, outs: int) -> bool:
    """Whether the weights in the other basis are more than the second cache holds, and more than the tiles are."""
    return channels * outs > 1 << 14 and tiles * (channels + outs) < 2 * channels * outs


def tile_planes(kernel, common: tuple, tiles: int, channels: int) -> np.ndarray:
    """All tiles in the other basis, by a kernel that fills a range of them."""
    planes = floats(PLANES * (tiles * channels + LANES))

    def work(a, b):
        patch = floats(PLANES * LANES)
        kernel(*common, tiles, address(patch), address(planes), a, b)

    pool.split(work, tiles, max(1, (1 << 14) // channels))
    return planes


def winograd_forward(x, weight, bias, before, sizes, out):
    """out (N, *sizes, O) = x (N, H, W, C) with weight (O, C, 3, 3), any view of it."""
    k = kernels("mlkit.backends.numba.winograd")
    batch, high, wide, channels = x.shape
    outs = weight.shape[0]
    tiles_h, tiles_w = -(-sizes[0] // 4), -(-sizes[1] // 4)
    total = batch * tiles_h * tiles_w
    if total <= 64 and few_tiles(total, channels, outs):
        given = (address(x), high, wide, channels, *before, tiles_h, tiles_w)
        planes, start, zero = tile_planes(k.input_planes, given, total, channels), spread(outs, bias), nothing(32)

        def panels(a, b):
            patch, turned = floats(SQUARES), floats(PLANES * (channels * 32 + LANES))
            results = floats(PLANES * (total * 32 + LANES))
            k.forward_panels(
                address(planes), total, channels, address(weight), *weight.strides, address(start), outs, address(out),
                *sizes, address(zero), address(patch), address(turned), address(results), a, b,
            )  # fmt: skip

        pool.split(panels, -(-outs // panel()))
        return
    turned = floats(SQUARES + PLANES * (channels * outs + LANES))
    there = address(turned)
    basis = there + SQUARES * 4
    k.weights(address(weight), *weight.strides, channels, outs, there, basis)
    start, zero = spread(outs, bias), nothing(32)
    tiles = max(12, min(96, SPACE // (PLANES * 4 * (channels + outs)) // 12 * 12, -(-total // 12) * 12))
    room = PLANES * (tiles * channels + LANES) + PLANES * LANES

    def work(a, b):
        planes = floats(room + PLANES * (tiles * outs + LANES))
        space = address(planes)
        k.forward(
            address(x), high, wide, channels, basis, address(start), outs, *before, address(out), *sizes,
            total, tiles, address(zero), space, space + room * 4, a, b,
        )  # fmt: skip

    pool.split(work, -(-total // tiles), max(1, (1 << 20) // (tiles * channels * outs)))


def winograd_weight_grad(x, g, shape, before, sizes):
    k = kernels("mlkit.backends.numba.winograd")
    outs, channels = shape[:2]
    batch, high, wide, _ = x.shape
    all_tiles = tiles_of(sizes, batch)
    if few_tiles(all_tiles, channels, outs):
        given = (address(x), high, wide, channels, *before, -(-sizes[0] // 4), -(-sizes[1] // 4))
        planes = tile_planes(k.input_planes, given, all_tiles, channels)
        grads = tile_planes(k.output_grad_planes, (address(g), *sizes, outs), all_tiles, outs)
        out = np.empty(shape, np.float32)

        def panels(a, b):
            patch, total = floats(9 * LANES), floats(PLANES * (k.CHANNELS * 32 + LANES))
            k.weight_grad_panels(
                address(planes), address(grads), all_tiles, channels, outs, address(patch), address(total),
                address(out), a, b,
            )  # fmt: skip

        pool.split(panels, -(-outs // panel()))
        return out
    # results of channels * outs are read and written once a group: with many channels, larger groups
    tiles = max(12, SPACE // (PLANES * 4 * (channels + outs)), min(256, channels * outs // (channels + outs)))
    tiles = min(tiles, all_tiles)

    def work(total, a, b):
        planes = floats(PLANES * (tiles * channels + LANES) + PLANES * LANES)
        grads = floats(PLANES * (tiles * outs + LANES))
        k.weight_grad(
            address(x), high, wide, channels, address(g), outs, *before, *sizes,
            all_tiles, tiles, address(total), address(planes), address(grads), a, b,
        )  # fmt: skip

    total = summed(
        work, -(-all_tiles // tiles), PLANES * channels * outs, max(1, (1 << 21) // (tiles * channels * outs))
    )
    out, patch = np.empty(shape, np.float32), floats(9 * LANES)
    k.weight_grad_back(address(total), channels, outs, address(patch), address(out))
    return out


def direct_weight_grad(k, x, g, shape, columns, kernel, stride, padding, dilation, sizes):
    outs, channels = shape[:2]
    batch, high, wide, _ = x.shape
    pixels = sizes[0] * sizes[1]
    images = max(1, min(batch, PIXELS // pixels))
    lines = sizes[0] if images > 1 else max(1, min(sizes[0], -(-PIXELS // sizes[1])))
    rows = (lines - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1
    reach = (sizes[1] - 1) * stride[1] + (kernel[1] - 1) * dilation[1] + 1
    units = -(-batch // images) * -(-sizes[0] // lines)
    before = (padding[0][0], padding[1][0])
    common = (address(x), batch, high, wide, channels, address(g), columns)
    common += (*kernel, *stride, *dilation, *before, *sizes, lines, images)

    def work(total, a, b):
        space = floats(images * rows * reach * channels)
        k.weight_grad(*common, address(total), address(space), a, b)

    cost = images * lines * sizes[1] * kernel[0] * kernel[1] * channels * columns
    total = summed(work, units, kernel[0] * kernel[1] * channels * columns, max(1, (1 << 22) // cost))
    out = np.empty(shape, np.float32)
    k.unpack(address(total), outs, channels, kernel[0] * kernel[1], columns, address(out))
    return out


def summed(work, units: int, size: int, grain: int) -> np.ndarray:
    """The sum of what ``work(total, first, last)`` adds for ranges of units, each range with a total of its own; added
    up in the order of the ranges, so that it does not depend on which thread was first."""
    parts: dict[int, np.ndarray] = {}
    lock = threading.Lock()

    def each(a, b):
        total = zeros(size)
        work(total, a, b)
        with lock:
            parts[a] = total

    pool.split(each, units, grain)
    first, *others = [parts[a] for a in sorted(parts)] or [zeros(size)]
    for other in others:
        first += other
    return first


# --- one filter per channel -----------------------------------------------------------------------------------------------


def one_each(weight_shape, channels: int, groups: int) -> bool:
    return len(weight_shape) == 4 and groups == channels == weight_shape[0] and weight_shape[1] == 1


def at_least_sixteen(x: np.ndarray) -> np.ndarray:
    """(..., C) with channels of zeros behind its own where they are fewer than a vector."""
    if x.shape[-1] >= LANES:
        return x
    wide = np.zeros((*x.shape[:-1], LANES), x.dtype)
    wide[..., : x.shape[-1]] = x
    return wide


def filters(weight: np.ndarray) -> np.ndarray:
    """(C, 1, KH, KW), any view, as (KH, KW, C)."""
    return at_least_sixteen(np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0)))


def run_depthwise(x, turned, bias, stride, dilation, before, sizes, out, at, strides):
    """As run_forward, with filters (KH, KW, C)."""
    k = kernels("mlkit.backends.numba.depthwise")
    batch, high, wide, channels = x.shape
    kernel = turned.shape[:2]
    lines, copied, size = forward_plan(high, wide, channels, kernel, stride, dilation, before, sizes)
    start = spread(channels, bias)
    common = (address(x), high, wide, channels, address(turned), address(start), *kernel, *stride, *dilation, *before)
    common += (address(out) + at * 4, *sizes, *strides, lines, int(copied))
    strips = batch * -(-sizes[0] // lines)

    def work(a, b):
        space = floats(size)
        k.forward(*common, address(space), a, b)

    pool.split(work, strips, max(1, (1 << 18) // (lines * sizes[1] * channels)))


def depthwise(k, input, weight, bias, stride, padding, dilation, groups):
    if not single(input, weight, bias) or input.ndim != 4 or not one_each(weight.shape, input.shape[1], groups):
        return NotImplemented
    sizes = output_sizes(input.shape[2:], weight.shape[2:], stride, padding, dilation)
    if min(sizes) < 1 or bias is not None and bias.shape != weight.shape[:1]:
        return NotImplemented
    x, turned = at_least_sixteen(last_channels(k, input)), filters(weight)
    channels = x.shape[3]
    out = np.empty((x.shape[0], *sizes, channels), np.float32)
    strides = (sizes[0] * sizes[1] * channels, sizes[1] * channels, channels)
    run_depthwise(x, turned, bias, stride, dilation, (padding[0][0], padding[1][0]), sizes, out, 0, strides)
    return channels_first(out, input.shape[1])


def depthwise_input_grad(k, g_, weight, shape, stride, padding, dilation, groups):
    if not single(g_, weight) or g_.ndim != 4 or not one_each(weight.shape, g_.shape[1], groups):
        return NotImplemented
    if any(s > 1 and d > 1 for s, d in zip(stride, dilation, strict=True)):
        return NotImplemented
    g = at_least_sixteen(last_channels(k, g_))
    batch, channels, high, wide = shape
    columns = g.shape[3]
    covered = all(a >= s for a, s in zip(weight.shape[2:], stride, strict=True))
    out = (np.empty if covered else np.zeros)((batch, high, wide, columns), np.float32)
    for y, taps_y, first_y, before_y in phases(high, weight.shape[2], stride[0], dilation[0], padding[0][0]):
        for x, taps_x, first_x, before_x in phases(wide, weight.shape[3], stride[1], dilation[1], padding[1][0]):
            at = (first_y * wide + first_x) * columns
            strides = (high * wide * columns, stride[0] * wide * columns, stride[1] * columns)
            turned = filters(weight[:, :, taps_y, taps_x])
            run_depthwise(g, turned, None, (1, 1), dilation, (before_y, before_x), (y, x), out, at, strides)
    return channels_first(out, channels)


def depthwise_weight_grad(k, input, g_, shape, stride, padding, dilation, groups):
    if not single(input, g_) or input.ndim != 4 or g_.ndim != 4 or not one_each(shape, input.shape[1], groups):
        return NotImplemented
    x, g = at_least_sixteen(last_channels(k, input)), at_least_sixteen(last_channels(k, g_))
    k = kernels("mlkit.backends.numba.depthwise")
    batch, high, wide, channels = x.shape
    kernel, sizes, before = tuple(shape[2:]), g.shape[1:3], (padding[0][0], padding[1][0])
    lines, copied, size = forward_plan(high, wide, channels, kernel, stride, dilation, before, sizes)
    blocks = -(-channels // LANES)
    common = (address(x), high, wide, channels, address(g), *kernel, *stride, *dilation, *before, *sizes, lines)

    def work(total, a, b):
        space = floats(size)
        k.weight_grad(*common, int(copied), address(space), address(total), a, b)

    strips = batch * -(-sizes[0] // lines)
    grain = max(1, (1 << 18) // (lines * sizes[1] * channels))
    total = summed(work, strips, kernel[0] * kernel[1] * blocks * LANES, grain).reshape(-1, blocks * LANES)
    if channels % LANES:  # the last block holds the last sixteen channels
        start = (blocks - 1) * LANES
        total = np.concatenate([total[:, :start], total[:, start + LANES - channels % LANES :]], axis=1)
    return np.ascontiguousarray(total[:, : shape[0]].T).reshape(shape)


# --- one dim: images of one line ------------------------------------------------------------------------------------------


def line(x: np.ndarray) -> np.ndarray:
    return x[:, :, None, :]


def _one_dim(how: dict) -> dict:
    """Attributes for two dims."""
    return {
        "stride": (1, *how["stride"]),
        "padding": ((0, 0), *how["padding"]),
        "dilation": (1, *how["dilation"]),
        "groups": how["groups"],
    }


def flat(out):
    return out if out is NotImplemented else out[:, :, 0, :]


@override("conv1d", minimum=1024)
def conv1d(k, input, weight, bias=None, **how):
    if input.ndim != 3 or weight.ndim != 3:
        return NotImplemented
    return flat(conv2d(k, line(input), line(weight), bias, **_one_dim(how)))


@override("conv1d_input_grad", minimum=1024)
def conv1d_input_grad(k, g_, weight, *, shape, **how):
    if g_.ndim != 3 or weight.ndim != 3:
        return NotImplemented
    wide = (*shape[:2], 1, shape[2])
    return flat(conv2d_input_grad(k, line(g_), line(weight), shape=wide, **_one_dim(how)))


@override("conv1d_weight_grad", minimum=1024)
def conv1d_weight_grad(k, input, g_, *, shape, **how):
    if input.ndim != 3 or g_.ndim != 3:
        return NotImplemented
    out = conv2d_weight_grad(k, line(input), line(g_), shape=(*shape[:2], 1, shape[2]), **_one_dim(how))
    return out if out is NotImplemented else out.reshape(shape)


# --- the bias's gradient ---------------------------------------------------------------------------------------------------


@gradient("conv2d", "bias", minimum=4096)
def conv2d_bias_gradient(k, g):
    if g.ndim != 4 or not single(g):
        return NotImplemented
    rows = g.transpose(0, 2, 3, 1)
    if rows.flags.c_contiguous:
        return rows.reshape(-1, g.shape[1]).sum(0)
    return g.reshape(*g.shape[:2], -1).sum(2).sum(0) if g.flags.c_contiguous else NotImplemented
