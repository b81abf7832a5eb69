"""Pooling of float32 images, channels last: (N, H, W, C), at least sixteen channels. Arrays come as addresses.

Sixteen channels are worked on at once; where the channels are no multiple of that, the last sixteen overlap the ones
before and are computed again, which changes nothing: every result is written whole.
"""

from __future__ import annotations

from mlkit.backends.numba.compiling import helper, kernel
from mlkit.backends.numba.simd import BYTES, LANES, emitted, zero_bytes


@emitted
def largest(e, rows, columns, source, row, column, place, place_row, place_column, values, indices):
    """The largest of a window of vectors, NaN above all, and its place in the image."""
    best, winner = e.slot(e.load(source)), e.slot(e.whole(place))

    def compare(i, j):
        here = e.load(source + row * i + column * j)
        wins = here.beats(best.get())
        best.set(e.choose(wins, here, best.get()))
        winner.set(e.choose(wins, e.whole(place + place_row * i + place_column * j), winner.get()))

    if isinstance(rows, int) and isinstance(columns, int):
        for i in range(rows):
            for j in range(columns):
                if i or j:
                    compare(i, j)
    else:
        with e.loop(rows) as i, e.loop(columns) as j:
            compare(i, j)
    e.store(values, best.get())
    e.store_int64(indices, winner.get())


@helper
def first_tap(start, dilation):
    """The first tap of a window that starts before the image and reaches it."""
    return 0 if start >= 0 else (-start + dilation - 1) // dilation


@helper
def taps_inside(start, kernel, dilation, size):
    """How many taps, from the first on, do not lie behind the image."""
    return min(kernel, (size - 1 - start) // dilation + 1) if start < size else 0


@kernel()
def max_forward(
    x, high, wide, channels, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
    out_h, out_w, values, indices, first, last,
):  # fmt: skip
    """Lines ``first`` .. ``last`` of output of all images: values (N, H', W', C) and int64 flat places in the image."""
    pixel = channels * 4
    for item in range(first, last):
        image, y = item // out_h, item % out_h
        start_y = y * stride_h - pad_h
        y0 = first_tap(start_y, dilation_h)
        rows = taps_inside(start_y, kernel_h, dilation_h, high) - y0
        top = start_y + y0 * dilation_h
        for z in range(out_w):
            start_x = z * stride_w - pad_w
            x0 = first_tap(start_x, dilation_w)
            columns = taps_inside(start_x, kernel_w, dilation_w, wide) - x0
            left = start_x + x0 * dilation_w
            place = top * wide + left
            source = x + (image * high * wide + place) * pixel
            target = (item * out_w + z) * channels
            row, column = dilation_h * wide * pixel, dilation_w * pixel
            for block in range(0, channels, LANES):
                c = min(block, channels - LANES)
                here, value, index = source + c * 4, values + (target + c) * 4, indices + (target + c) * 8
                if rows == 2 and columns == 2:
                    largest(2, 2, here, row, column, place, dilation_h * wide, dilation_w, value, index)
                elif rows == 3 and columns == 3:
                    largest(3, 3, here, row, column, place, dilation_h * wide, dilation_w, value, index)
                else:
                    largest(rows, columns, here, row, column, place, dilation_h * wide, dilation_w, value, index)


@emitted
def chosen(e, more, g, index, place, target):
    """target = g where the index is this place, else 0; with ``more`` that is added to what is there."""
    start = e.load(target) if more else e.splat(0)
    e.store(target, e.choose(e.equal_int64(index, place), start + e.load(g), start))


@kernel()
def max_grad(
    g, indices, high, wide, channels, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
    out_h, out_w, out, first, last,
):  # fmt: skip
    """Lines ``first`` .. ``last`` of the input of all images: what the windows over each place send back to it."""
    pixel = channels * 4
    reach_h, reach_w = dilation_h * (kernel_h - 1), dilation_w * (kernel_w - 1)
    for item in range(first, last):
        image, y = item // high, item % high
        low_y = max((y + pad_h - reach_h + stride_h - 1) // stride_h, 0)
        end_y = min((y + pad_h) // stride_h + 1, out_h)
        for z in range(wide):
            target = out + (item * wide + z) * pixel
            low_x = max((z + pad_w - reach_w + stride_w - 1) // stride_w, 0)
            end_x = min((z + pad_w) // stride_w + 1, out_w)
            place = y * wide + z
            if end_y == low_y + 1 and end_x == low_x + 1:  # windows side by side
                source = ((image * out_h + low_y) * out_w + low_x) * channels
                for block in range(0, channels, LANES):
                    c = min(block, channels - LANES)
                    chosen(0, g + (source + c) * 4, indices + (source + c) * 8, place, target + c * 4)
                continue
            for block in range(0, channels, LANES):
                c = min(block, channels - LANES)
                zero_bytes(target + c * 4, BYTES)
                for i in range(low_y, end_y):
                    for j in range(low_x, end_x):
                        source = ((image * out_h + i) * out_w + j) * channels + c
                        chosen(1, g + source * 4, indices + source * 8, place, target + c * 4)


@emitted
def total(e, rows, columns, source, row, column, factor, target):
    """The sum of a window of vectors, times a factor."""
    found = e.slot(e.splat(0))

    def add(i, j):
        found.set(found.get() + e.load(source + row * i + column * j))

    if isinstance(rows, int) and isinstance(columns, int):
        for i in range(rows):
            for j in range(columns):
                add(i, j)
    else:
        with e.loop(rows) as i, e.loop(columns) as j:
            add(i, j)
    e.store(target, found.get() * e.splat(factor))


@helper
def window_size(place, kernel, stride, pad, size, whole):
    """How many places one window averages along an axis."""
    start = place * stride - pad
    end = min(start + kernel, size + pad)
    return end - start if whole else min(end, size) - max(start, 0)


@kernel()
def avg_forward(
    x, high, wide, channels, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, out_h, out_w,
    whole, divisor, out, first, last,
):  # fmt: skip
    """Lines ``first`` .. ``last`` of output; ``whole`` counts the padding, ``divisor`` (not 0) stands for the count."""
    pixel = channels * 4
    for item in range(first, last):
        image, y = item // out_h, item % out_h
        top = max(y * stride_h - pad_h, 0)
        rows = max(min(y * stride_h - pad_h + kernel_h, high) - top, 0)
        size_y = window_size(y, kernel_h, stride_h, pad_h, high, whole)
        for z in range(out_w):
            left = max(z * stride_w - pad_w, 0)
            columns = max(min(z * stride_w - pad_w + kernel_w, wide) - left, 0)
            count = divisor if divisor else size_y * window_size(z, kernel_w, stride_w, pad_w, wide, whole)
            factor = 1 / count
            source = x + ((image * high + top) * wide + left) * pixel
            target = out + (item * out_w + z) * pixel
            for block in range(0, pixel, BYTES):
                c = min(block, pixel - BYTES)
                if rows == 2 and columns == 2:
                    total(2, 2, source + c, wide * pixel, pixel, factor, target + c)
                else:
                    total(rows, columns, source + c, wide * pixel, pixel, factor, target + c)


@emitted
def add_times(e, source, factor, target):
    e.store(target, e.load(source).times_plus(e.splat(factor), e.load(target)))


@emitted
def put_times(e, source, factor, target):
    e.store(target, e.load(source) * e.splat(factor))


@kernel()
def avg_grad(
    g, high, wide, channels, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, out_h, out_w,
    whole, divisor, out, first, last,
):  # fmt: skip
    """Lines ``first`` .. ``last`` of the input of all images: the sum of the shares of all windows over each place."""
    pixel = channels * 4
    for item in range(first, last):
        image, y = item // high, item % high
        low_y = max((y + pad_h - kernel_h) // stride_h + 1, 0)
        end_y = min((y + pad_h) // stride_h + 1, out_h)
        for z in range(wide):
            target = out + (item * wide + z) * pixel
            low_x = max((z + pad_w - kernel_w) // stride_w + 1, 0)
            end_x = min((z + pad_w) // stride_w + 1, out_w)
            for block in range(0, pixel, BYTES):
                c = min(block, pixel - BYTES)
                empty = True
                for i in range(low_y, end_y):
                    size_y = window_size(i, kernel_h, stride_h, pad_h, high, whole)
                    for j in range(low_x, end_x):
                        count = divisor if divisor else size_y * window_size(j, kernel_w, stride_w, pad_w, wide, whole)
                        source = g + ((image * out_h + i) * out_w + j) * pixel + c
                        if empty:
                            put_times(source, 1 / count, target + c)
                            empty = False
                        else:
                            add_times(source, 1 / count, target + c)
                if empty:
                    zero_bytes(target + c, BYTES)
