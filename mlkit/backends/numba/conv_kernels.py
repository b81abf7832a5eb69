"""Convolutions of float32 images, channels last: (N, H, W, C). Arrays come as addresses, strides of ``out`` in elements.

``forward`` reads patches where they lie: for one row of the filter, the pixels and channels under it are neighbours in
memory, so a line of results is a strip of products with as many runs as the filter has rows. ``gathered`` copies patches
out first, for images that are too narrow for that. ``weight_grad`` is the same product with pixels as steps. The input's
gradient is a forward with turned filters, one for each place in a stride (see conv.py).

Packed weights lie in panels of output channels: for each panel (filter rows, filter columns, input channels, columns of
the panel), the last panel narrower. ``top`` and ``left`` are the padding before, negative where the input is cut.
"""

from __future__ import annotations

from mlkit.backends.numba.compiling import helper, kernel
from mlkit.backends.numba.products import columns_times, rows_times
from mlkit.backends.numba.simd import BYTES, LANES, PANEL, copy_bytes, emitted, peek, poke, transpose, zero_bytes


@kernel()
def pack(weight, by_out, by_in, by_row, by_column, outs, channels, kernel_h, kernel_w, columns, target):
    """Weights with those strides in bytes -> panels; output channels beyond ``outs`` are zero."""
    taps = kernel_h * kernel_w * channels
    for p in range(0, columns, PANEL):
        width = min(PANEL, columns - p)
        real = max(0, min(width, outs - p))
        for c in range(channels):
            for y in range(kernel_h):
                for x in range(kernel_w):
                    source = weight + p * by_out + c * by_in + y * by_row + x * by_column
                    there = target + (p * taps + ((y * kernel_w + x) * channels + c) * width) * 4
                    for j in range(real):
                        poke(there + j * 4, peek(source + j * by_out))
                    for j in range(real, width):
                        poke(there + j * 4, 0.0)


@kernel()
def unpack(source, outs, channels, taps, columns, weight):
    """(taps, C, columns) -> weight (O, C, taps)."""
    for first in range(0, outs, 16):
        for c in range(channels):
            for o in range(first, min(first + 16, outs)):
                for t in range(taps):
                    poke(
                        weight + ((o * channels + c) * taps + t) * 4,
                        peek(source + ((t * channels + c) * columns + o) * 4),
                    )


@kernel()
def columns(
    x, by_channel, by_row, by_pixel, high, wide, channels,
    kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left, out_w, pixels, whole, target,
):  # fmt: skip
    """The patches of one image of any strides, in bytes, as panels of columns: for each panel (taps in the order of
    the weights, pixels of the panel). Columns from ``pixels`` to ``whole`` are zero."""
    taps = channels * kernel_h * kernel_w
    for p in range(0, whole, PANEL):
        width = min(PANEL, whole - p)
        for j in range(width):
            there = target + (p * taps + j) * 4
            y0 = (p + j) // out_w * stride_h - top
            x0 = (p + j) % out_w * stride_w - left
            for c in range(channels):
                for i in range(kernel_h):
                    y = y0 + i * dilation_h
                    inside = 0 <= y < high and p + j < pixels
                    line = x + c * by_channel + y * by_row
                    for k in range(kernel_w):
                        z = x0 + k * dilation_w
                        poke(there, peek(line + z * by_pixel) if inside and 0 <= z < wide else 0.0)
                        there += width * 4


@emitted
def spread_vectors(e, source, target, count, step):
    """``count`` vectors that are neighbours, put ``step`` bytes apart."""
    with e.loop(count) as i:
        e.store(target + i * step, e.load(source + i * BYTES))


@emitted
def clear_vectors(e, target, count, step):
    """``count`` vectors of zeros, ``step`` bytes apart."""
    with e.loop(count) as i:
        e.store(target + i * step, e.splat(0.0))


@kernel()
def columns_by_vectors(
    x, high, wide, channels, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left, out_w, pixels,
    whole, patch, target,
):  # fmt: skip
    """``columns`` of an image with channels last, in sixteens: sixteen pixels of each tap are brought together in ``patch``,
    room for 16 * channels numbers, and turned in squares."""
    taps, blocks, square = kernel_h * kernel_w, channels // LANES, LANES * BYTES
    for p in range(0, whole, LANES):
        first = p // PANEL * PANEL
        width = min(PANEL, whole - first) * 4
        for i in range(kernel_h):
            for k in range(kernel_w):
                for j in range(LANES):
                    y = (p + j) // out_w * stride_h - top + i * dilation_h
                    z = (p + j) % out_w * stride_w - left + k * dilation_w
                    if 0 <= y < high and 0 <= z < wide and p + j < pixels:
                        spread_vectors(x + (y * wide + z) * channels * 4, patch + j * BYTES, blocks, square)
                    else:
                        clear_vectors(patch + j * BYTES, blocks, square)
                there = target + (first * taps * channels + p - first) * 4 + (i * kernel_w + k) * width
                for c in range(blocks):
                    transpose(patch + c * square, BYTES, there + c * LANES * taps * width, taps * width)


@helper
def fill(source, high, wide, pixel, top, left, rows, columns, target):
    """Rows and columns of an image from (top, left) on, zero outside of it, copied to ``target``; pixel in bytes."""
    before = min(max(0, -left), columns)
    inside = max(0, min(columns, wide - left) - before)
    after = columns - before - inside
    for r in range(rows):
        line = target + r * columns * pixel
        y = top + r
        if y < 0 or y >= high:
            zero_bytes(line, columns * pixel)
            continue
        zero_bytes(line, before * pixel)
        copy_bytes(source + (y * wide + left + before) * pixel, line + before * pixel, inside * pixel)
        zero_bytes(line + (before + inside) * pixel, after * pixel)


@kernel()
def forward(
    x, high, wide, channels, packed, bias, columns,
    kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left,
    out, out_h, out_w, out_image, out_line, out_pixel,
    lines, copied, scratch, first, last,
):  # fmt: skip
    """Strips ``first`` .. ``last`` of ``lines`` output lines; ``copied`` where patches reach outside of the image."""
    pixel = channels * 4
    reach = (out_w - 1) * stride_w + (kernel_w - 1) * dilation_w + 1
    strips = (out_h + lines - 1) // lines
    taps = kernel_h * kernel_w * channels
    for item in range(first, last):
        image, y0 = item // strips, item % strips * lines
        count = min(lines, out_h - y0)
        source = x + image * high * wide * pixel
        if copied:
            rows = (count - 1) * stride_h + (kernel_h - 1) * dilation_h + 1
            fill(source, high, wide, pixel, y0 * stride_h - top, -left, rows, reach, scratch)
            source = scratch
            row = reach * pixel
        else:
            row = wide * pixel
            source += (y0 * stride_h - top) * row - left * pixel
        target = out + (image * out_image + y0 * out_line) * 4
        for p in range(0, columns, PANEL):
            width = min(PANEL, columns - p)
            b = packed + p * taps * 4
            for i in range(count):
                here, there = source + i * stride_h * row, target + (i * out_line + p) * 4
                if dilation_w == 1:
                    runs, run, more, again, steps = kernel_h, dilation_h * row, 1, 0, kernel_w * channels
                else:
                    runs, run, more, again, steps = kernel_w, dilation_w * pixel, kernel_h, dilation_h * row, channels
                rows_times(out_w, width, here, stride_w * pixel, steps, runs, run, more, again, b, width * 4, bias + p * 4, 0, there, out_pixel * 4)  # fmt: skip


@kernel()
def gathered(
    x, high, wide, channels, packed, bias, columns,
    kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left,
    out, out_h, out_w, at_once, scratch, first, last,
):  # fmt: skip
    """Output pixels ``first`` .. ``last`` of all images in one row, ``at_once`` of them through copies of their patches."""
    pixel = channels * 4
    taps = kernel_h * kernel_w * channels
    for start in range(first, last, at_once):
        count = min(at_once, last - start)
        for i in range(count):
            place = start + i
            image, y, z = place // (out_h * out_w), place // out_w % out_h, place % out_w
            source = x + image * high * wide * pixel
            for ky in range(kernel_h):
                target = scratch + (i * taps + ky * kernel_w * channels) * 4
                row = y * stride_h + ky * dilation_h - top
                if dilation_w == 1:
                    fill(source, high, wide, pixel, row, z * stride_w - left, 1, kernel_w, target)
                else:
                    for kx in range(kernel_w):
                        column = z * stride_w + kx * dilation_w - left
                        fill(source, high, wide, pixel, row, column, 1, 1, target + kx * pixel)
        for p in range(0, columns, PANEL):
            there = out + (start * columns + p) * 4
            rows_times(count, min(PANEL, columns - p), scratch, taps * 4, taps, 1, 0, 1, 0, packed + p * taps * 4, min(PANEL, columns - p) * 4, bias + p * 4, 0, there, columns * 4)  # fmt: skip


@kernel()
def weight_grad(
    x, batch, high, wide, channels, g, columns,
    kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left,
    out_h, out_w, lines, images, total, scratch, first, last,
):  # fmt: skip
    """Adds what units ``first`` .. ``last`` give to total (KH, KW, C, columns). A unit is ``lines`` lines of one image, or
    several ``images`` whole."""
    pixel = channels * 4
    reach = (out_w - 1) * stride_w + (kernel_w - 1) * dilation_w + 1
    strips = (out_h + lines - 1) // lines
    row = reach * pixel
    for unit in range(first, last):
        image, y0 = unit // strips * images, unit % strips * lines
        count, some = min(lines, out_h - y0), min(images, batch - image)
        rows = (count - 1) * stride_h + (kernel_h - 1) * dilation_h + 1
        for i in range(some):
            source = x + (image + i) * high * wide * pixel
            fill(source, high, wide, pixel, y0 * stride_h - top, -left, rows, reach, scratch + i * rows * row)
        b = g + (image * out_h + y0) * out_w * columns * 4
        for ky in range(kernel_h):
            for kx in range(1 if dilation_w == 1 else kernel_w):
                here = scratch + ky * dilation_h * row + kx * dilation_w * pixel
                there = total + (ky * kernel_w + kx) * channels * columns * 4
                n = kernel_w * channels if dilation_w == 1 else channels
                columns_times(n, columns, here, stride_w * pixel, out_w, count, stride_h * row, some, rows * row, b, columns * 4, there, columns * 4, there, columns * 4)  # fmt: skip


@kernel()
def channels_last(x, channels, pixels, out, first, last):
    """(N, C, P) -> (N, P, C) for images ``first`` .. ``last``."""
    for n in range(first, last):
        source, target = x + n * channels * pixels * 4, out + n * channels * pixels * 4
        for p0 in range(0, pixels, 16):
            for c in range(channels):
                for p in range(p0, min(p0 + 16, pixels)):
                    poke(target + (p * channels + c) * 4, peek(source + (c * pixels + p) * 4))
