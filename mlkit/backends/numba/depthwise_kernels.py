"""Convolutions with one filter per channel, float32, channels last, at least sixteen channels. Arrays come as addresses.

Filters lie as (filter rows, filter columns, channels). Where the channels are no multiple of sixteen, the last block
overlaps the one before; sums go to memory of their own there (see ``weight_grad``)."""

from __future__ import annotations

from mlkit.backends.numba.compiling import helper, kernel
from mlkit.backends.numba.conv_kernels import fill
from mlkit.backends.numba.simd import BYTES, LANES, emitted

PIXELS = 4


@emitted
def filtered(e, pixels, x, step, rows, row, columns, column, weight, channels, bias, out, out_step):
    """``pixels`` results for sixteen channels, held in registers over all places of the filter."""
    sums = [e.slot(e.load(bias)) for _ in range(pixels)]
    with e.loop(rows) as i, e.loop(columns) as j:
        w = e.load(weight + (i * columns + j) * channels * 4)
        here = x + i * row + j * column
        for p in range(pixels):
            sums[p].set(e.load(here + step * p).times_plus(w, sums[p].get()))
    for p in range(pixels):
        e.store(out + out_step * p, sums[p].get())


@helper
def pick(x, high, wide, pixel, image, y0, count, kernel_h, stride_h, dilation_h, top, left, reach, copied, scratch):
    """Where the input of some output lines starts, and the bytes of a row there."""
    source = x + image * high * wide * pixel
    if not copied:
        return source + ((y0 * stride_h - top) * wide - left) * pixel, wide * pixel
    rows = (count - 1) * stride_h + (kernel_h - 1) * dilation_h + 1
    fill(source, high, wide, pixel, y0 * stride_h - top, -left, rows, reach, scratch)
    return scratch, reach * pixel


@kernel()
def forward(
    x, high, wide, channels, weight, bias,
    kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left,
    out, out_h, out_w, out_image, out_line, out_pixel, lines, copied, scratch, first, last,
):  # fmt: skip
    """Strips ``first`` .. ``last`` of ``lines`` output lines; as conv_kernels.forward."""
    pixel = channels * 4
    reach = (out_w - 1) * stride_w + (kernel_w - 1) * dilation_w + 1
    strips = (out_h + lines - 1) // lines
    step, column = stride_w * pixel, dilation_w * pixel
    for item in range(first, last):
        image, y0 = item // strips, item % strips * lines
        count = min(lines, out_h - y0)
        source, row = pick(x, high, wide, pixel, image, y0, count, kernel_h, stride_h, dilation_h, top, left, reach, copied, scratch)  # fmt: skip
        for i in range(count):
            target = out + (image * out_image + (y0 + i) * out_line) * 4
            for block in range(0, pixel, BYTES):
                c = min(block, pixel - BYTES)
                here, z = source + i * stride_h * row + c, 0
                while out_w - z >= PIXELS:
                    there = target + z * out_pixel * 4 + c
                    filtered(PIXELS, here + z * step, step, kernel_h, dilation_h * row, kernel_w, column, weight + c, channels, bias + c, there, out_pixel * 4)  # fmt: skip
                    z += PIXELS
                while z < out_w:
                    there = target + z * out_pixel * 4 + c
                    filtered(1, here + z * step, step, kernel_h, dilation_h * row, kernel_w, column, weight + c, channels, bias + c, there, out_pixel * 4)  # fmt: skip
                    z += 1


@emitted
def line_sums(e, columns, x, step, column, g, g_step, count, out, out_step):
    """out[j] += the sum over a line of x shifted by j columns, times g."""
    sums = [e.slot(e.load(out + out_step * j)) for j in range(columns)]
    with e.loop(count) as i:
        y = e.load(g + i * g_step)
        for j in range(columns):
            sums[j].set(e.load(x + i * step + column * j).times_plus(y, sums[j].get()))
    for j in range(columns):
        e.store(out + out_step * j, sums[j].get())


@kernel()
def weight_grad(
    x, high, wide, channels, g, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left,
    out_h, out_w, lines, copied, scratch, total, first, last,
):  # fmt: skip
    """Adds to total (KH, KW, blocks of sixteen channels) what strips ``first`` .. ``last`` give."""
    pixel = channels * 4
    blocks = (channels + LANES - 1) // LANES
    reach = (out_w - 1) * stride_w + (kernel_w - 1) * dilation_w + 1
    strips = (out_h + lines - 1) // lines
    step, column, place = stride_w * pixel, dilation_w * pixel, blocks * BYTES
    for item in range(first, last):
        image, y0 = item // strips, item % strips * lines
        count = min(lines, out_h - y0)
        source, row = pick(x, high, wide, pixel, image, y0, count, kernel_h, stride_h, dilation_h, top, left, reach, copied, scratch)  # fmt: skip
        for i in range(count):
            given = g + ((image * out_h + y0 + i) * out_w) * pixel
            for block in range(blocks):
                c = min(block * BYTES, pixel - BYTES)
                for ky in range(kernel_h):
                    here = source + (i * stride_h + ky * dilation_h) * row + c
                    there = total + ky * kernel_w * place + block * BYTES
                    kx = 0
                    while kernel_w - kx >= 3:
                        line_sums(3, here + kx * column, step, column, given + c, pixel, out_w, there + kx * place, place)  # fmt: skip
                        kx += 3
                    while kx < kernel_w:
                        line_sums(1, here + kx * column, step, column, given + c, pixel, out_w, there + kx * place, place)  # fmt: skip
                        kx += 1
