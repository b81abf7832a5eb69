"""Winograd's convolution F(4x4, 3x3): 3x3 filters with stride 1 in 36 instead of 144 multiplications for 16 results.

Lavin & Gray 2015, arXiv:1509.09308. Tiles of 4x4 results overlap in patches of 6x6 inputs; patches, filters and results
are brought to a basis of 6x6 (points 0, 1, -1, 2, -2, infinity), where the convolution is 36 products of matrices
(tiles x channels) by (channels x outputs). In 1-d, with B, G and A of the paper: result = A' ((G w) * (B' x)), so the
gradient of the filter is G' ((A g) * (B' x)). Channels and outputs are multiples of sixteen.
"""

from __future__ import annotations

from mlkit.backends.numba.compiling import helper, kernel
from mlkit.backends.numba.products import columns_times, rows_times
from mlkit.backends.numba.simd import BYTES, LANES, PANEL, copy_bytes, emitted, peek, poke, transpose, zero_bytes

CHANNELS = 64  # of a block of the weights' gradient

# --- the changes of basis, along one line; of vectors or numbers alike -----------------------------------------------------


def input_line(x):
    a, b, c, d = x[4] - x[2] * 4, x[3] - x[1] * 4, x[4] - x[2], (x[3] - x[1]) * 2
    return [x[0] * 4 - x[2] * 5 + x[4], a + b, a - b, c + d, c - d, x[1] * 4 - x[3] * 5 + x[5]]


def weight_line(w):
    a, b = (w[0] + w[2]) * (-1 / 6), w[1] * (1 / 6)
    c, d = w[0] * (1 / 24) + w[2] * (1 / 6), w[1] * (1 / 12)
    return [w[0] * 0.25, a - b, a + b, c + d, c - d, w[2]]


def output_line(m):
    a, b, c, d = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    return [m[0] + a + c, b + d * 2, a + c * 4, b + d * 8 + m[5]]


def output_grad_line(g):
    a, b = g[0] + g[2], g[1] + g[3]
    c, d = g[0] + g[2] * 4, g[1] * 2 + g[3] * 8
    return [g[0], a + b, a - b, c + d, c - d, g[3]]


def weight_grad_line(u):
    a, b = u[1] + u[2], u[3] + u[4]
    c = a * (-1 / 6)
    return [u[0] * 0.25 + c + b * (1 / 24), (u[2] - u[1]) * (1 / 6) + (u[3] - u[4]) * (1 / 12), c + b * (1 / 6) + u[5]]


def both_ways(line, x):
    """``line`` along the columns of a list of lists, then along its rows."""
    columns = [line([row[j] for row in x]) for j in range(len(x[0]))]
    return [line([column[i] for column in columns]) for i in range(len(columns[0]))]


def change(line, taken, given):
    """An emitted function: taken x taken vectors at ``source`` -> given x given at ``target``, for 16 channels.

    Steps from row to row and from column to column are in bytes."""

    def function(e, source, row, column, target, target_row, target_column):
        x = [[e.load(source + row * i + column * j) for j in range(taken)] for i in range(taken)]
        for i, out in enumerate(both_ways(line, x)):
            for j, y in enumerate(out):
                e.store(target + target_row * i + target_column * j, y)

    function.__name__ = line.__name__
    return emitted(function)


change_input = change(input_line, 6, 6)
change_weight = change(weight_line, 3, 6)
change_output_grad = change(output_grad_line, 4, 6)
change_weight_grad = change(weight_grad_line, 6, 3)


@emitted
def change_output(e, source, plane, bias, target, row, column):
    """36 planes -> 4x4 results plus bias."""
    x = [[e.load(source + plane * (6 * i + j)) for j in range(6)] for i in range(6)]
    start = e.load(bias)
    for i, out in enumerate(both_ways(output_line, x)):
        for j, y in enumerate(out):
            e.store(target + row * i + column * j, y + start)


# --- kernels ---------------------------------------------------------------------------------------------------------------


@helper
def inputs(x, high, wide, pixel, top, left, tiles_h, tiles_w, first, count, planes, plane, patch):
    """The 6x6 patches of ``count`` tiles in the other basis: 36 planes of (tiles, channels)."""
    for t in range(count):
        place = first + t
        image, y, z = place // (tiles_h * tiles_w), place // tiles_w % tiles_h * 4 - top, place % tiles_w * 4 - left
        source = x + ((image * high + y) * wide + z) * pixel
        inside = y >= 0 and z >= 0 and y + 6 <= high and z + 6 <= wide
        for c in range(0, pixel, BYTES):
            target = planes + t * pixel + c
            if inside:
                change_input(source + c, wide * pixel, pixel, target, 6 * plane, plane)
                continue
            for i in range(6):
                for j in range(6):
                    there = patch + (i * 6 + j) * BYTES
                    if 0 <= y + i < high and 0 <= z + j < wide:
                        copy_bytes(source + c + (i * wide + j) * pixel, there, BYTES)
                    else:
                        zero_bytes(there, BYTES)
            change_input(patch, 6 * BYTES, BYTES, target, 6 * plane, plane)


@helper
def panel_weights(weight, by_out, by_in, by_row, by_column, channels, width, patch, target, plane):
    """Weights of one panel of outputs in the other basis: 36 planes of (channels, width). ``patch`` is room for 9 * 16 * 16
    numbers.

    Weights as layers have them, and the same turned and reversed (for the input's gradient), are brought into order by
    whole squares; others number by number."""
    plain = by_in == 36 and by_row == 12 and by_column == 4
    reverse = by_out == 36 and by_row == -12 and by_column == -4
    turned = patch + 16 * BYTES
    for s in range(0, width, LANES):
        source = weight + s * by_out
        for c in range(channels):
            there = target + (c * width + s) * 4
            if plain:
                if c % LANES == 0:
                    for t in range(9):
                        transpose(source + (c * 9 + t * LANES) * 4, by_out, patch + t * LANES * BYTES, BYTES)
                change_weight(patch + c % LANES * 9 * BYTES, 3 * BYTES, BYTES, there, 6 * plane, plane)
            elif reverse:
                copy_bytes(source + c * by_in - 32, patch, 9 * BYTES)
                transpose(patch, 36, turned, BYTES)
                change_weight(turned + 8 * BYTES, -3 * BYTES, -BYTES, there, 6 * plane, plane)
            else:
                for i in range(3):
                    for j in range(3):
                        at = source + c * by_in + i * by_row + j * by_column
                        for o in range(LANES):
                            poke(patch + (i * 3 + j) * BYTES + o * 4, peek(at + o * by_out))
                change_weight(patch, 3 * BYTES, BYTES, there, 6 * plane, plane)


@kernel()
def weights(weight, by_out, by_in, by_row, by_column, channels, outs, patch, target):
    """Weights with those strides in bytes -> 36 planes, each in panels (channels, columns of the panel). A vector lies
    between two planes, so that the 36 numbers of a filter do not fall on the same place of the cache."""
    plane = channels * outs * 4 + BYTES
    for p in range(0, outs, PANEL):
        width = min(PANEL, outs - p)
        panel_weights(weight + p * by_out, by_out, by_in, by_row, by_column, channels, width, patch, target + p * channels * 4, plane)  # fmt: skip


@helper
def outputs(results, row, width, plane, bias, out, out_h, out_w, wanted, tiles_h, tiles_w, start, count, patch):
    """``count`` tiles of results in the other basis, rows of ``width`` bytes -> pixels of ``wanted`` bytes."""
    for t in range(count):
        place = start + t
        image, y, z = place // (tiles_h * tiles_w), place // tiles_w % tiles_h * 4, place % tiles_w * 4
        target = out + ((image * out_h + y) * out_w + z) * wanted
        inside = y + 4 <= out_h and z + 4 <= out_w
        for c in range(0, width, BYTES):
            source = results + t * row + c
            if inside:
                change_output(source, plane, bias + c, target + c, out_w * wanted, wanted)
                continue
            change_output(source, plane, bias + c, patch, 4 * BYTES, BYTES)
            for i in range(min(4, out_h - y)):
                for j in range(min(4, out_w - z)):
                    copy_bytes(patch + (i * 4 + j) * BYTES, target + c + (i * out_w + j) * wanted, BYTES)


@helper
def output_grads(g, out_h, out_w, wanted, tiles_h, tiles_w, start, count, planes, plane, patch):
    """The gradients of ``count`` tiles of results in the other basis: 36 planes of (tiles, outputs)."""
    for t in range(count):
        place = start + t
        image, y, z = place // (tiles_h * tiles_w), place // tiles_w % tiles_h * 4, place % tiles_w * 4
        source = g + ((image * out_h + y) * out_w + z) * wanted
        inside = y + 4 <= out_h and z + 4 <= out_w
        for c in range(0, wanted, BYTES):
            target = planes + t * wanted + c
            if inside:
                change_output_grad(source + c, out_w * wanted, wanted, target, 6 * plane, plane)
                continue
            zero_bytes(patch, 16 * BYTES)
            for i in range(min(4, out_h - y)):
                for j in range(min(4, out_w - z)):
                    copy_bytes(source + c + (i * out_w + j) * wanted, patch + (i * 4 + j) * BYTES, BYTES)
            change_output_grad(patch, 4 * BYTES, BYTES, target, 6 * plane, plane)


@kernel()
def forward(
    x, high, wide, channels, turned, bias, outs, top, left, out, out_h, out_w,
    all_tiles, tiles, zero, planes, results, first, last,
):  # fmt: skip
    """Groups ``first`` .. ``last`` of ``tiles`` tiles, numbered through all images."""
    tiles_h, tiles_w = (out_h + 3) // 4, (out_w + 3) // 4
    pixel, wanted = channels * 4, outs * 4
    plane, plane_out = tiles * pixel + BYTES, tiles * wanted + BYTES
    patch = planes + 36 * plane
    for group in range(first, last):
        start = group * tiles
        count = min(tiles, all_tiles - start)
        inputs(x, high, wide, pixel, top, left, tiles_h, tiles_w, start, count, planes, plane, patch)
        for k in range(36):
            for p in range(0, outs, PANEL):
                b = turned + k * (outs * pixel + BYTES) + p * pixel
                rows_times(count, min(PANEL, outs - p), planes + k * plane, pixel, channels, 1, 0, 1, 0, b, min(PANEL, outs - p) * 4, zero, 0, results + k * plane_out + p * 4, wanted)  # fmt: skip
        outputs(
            results, wanted, wanted, plane_out, bias, out, out_h, out_w, wanted, tiles_h, tiles_w, start, count, patch
        )


@kernel()
def weight_grad(
    x, high, wide, channels, g, outs, top, left, out_h, out_w, all_tiles, tiles, total, planes, grads, first, last
):  # fmt: skip
    """Adds what groups ``first`` .. ``last`` of ``tiles`` tiles give to total, 36 planes of (channels, outs)."""
    tiles_h, tiles_w = (out_h + 3) // 4, (out_w + 3) // 4
    pixel, wanted = channels * 4, outs * 4
    plane, plane_out = tiles * pixel + BYTES, tiles * wanted + BYTES
    patch = planes + 36 * plane
    for group in range(first, last):
        start = group * tiles
        count = min(tiles, all_tiles - start)
        inputs(x, high, wide, pixel, top, left, tiles_h, tiles_w, start, count, planes, plane, patch)
        output_grads(g, out_h, out_w, wanted, tiles_h, tiles_w, start, count, grads, plane_out, patch)
        for k in range(36):
            columns_times(channels, outs, planes + k * plane, pixel, count, 1, 0, 1, 0, grads + k * plane_out, wanted, total + k * channels * wanted, wanted, total + k * channels * wanted, wanted)  # fmt: skip


@kernel()
def weight_grad_back(total, channels, outs, patch, weight):
    """36 planes of (channels, outs) -> weight (outs, channels, 3, 3)."""
    plane = channels * outs * 4
    for p in range(0, outs, LANES):
        for c in range(channels):
            change_weight_grad(total + (c * outs + p) * 4, 6 * plane, plane, patch, 3 * BYTES, BYTES)
            for o in range(LANES):
                for i in range(9):
                    poke(weight + (((p + o) * channels + c) * 9 + i) * 4, peek(patch + i * BYTES + o * 4))


# --- few tiles and many channels: the weights are the larger part, so they are worked on a panel at a time ---------------------


@kernel()
def input_planes(x, high, wide, channels, top, left, tiles_h, tiles_w, all_tiles, patch, planes, first, last):
    """Tiles ``first`` .. ``last`` of all in the other basis, for ``forward_panels`` and ``weight_grad_panels``."""
    pixel = channels * 4
    plane = all_tiles * pixel + BYTES
    inputs(x, high, wide, pixel, top, left, tiles_h, tiles_w, first, last - first, planes + first * pixel, plane, patch)


@kernel()
def output_grad_planes(g, out_h, out_w, outs, all_tiles, patch, planes, first, last):
    """The same for the gradients of the results."""
    wanted = outs * 4
    plane, tiles_h, tiles_w = all_tiles * wanted + BYTES, (out_h + 3) // 4, (out_w + 3) // 4
    output_grads(g, out_h, out_w, wanted, tiles_h, tiles_w, first, last - first, planes + first * wanted, plane, patch)


@kernel()
def forward_panels(
    planes, all_tiles, channels, weight, by_out, by_in, by_row, by_column, bias, outs, out, out_h, out_w,
    zero, patch, turned, results, first, last,
):  # fmt: skip
    """Panels ``first`` .. ``last`` of outputs, for all tiles at once."""
    pixel = channels * 4
    plane = all_tiles * pixel + BYTES
    for panel in range(first, last):
        p = panel * PANEL
        width = min(PANEL, outs - p)
        plane_turned, plane_out = channels * width * 4 + BYTES, all_tiles * width * 4 + BYTES
        panel_weights(
            weight + p * by_out, by_out, by_in, by_row, by_column, channels, width, patch, turned, plane_turned
        )
        for k in range(36):
            rows_times(all_tiles, width, planes + k * plane, pixel, channels, 1, 0, 1, 0, turned + k * plane_turned, width * 4, zero, 0, results + k * plane_out, width * 4)  # fmt: skip
        outputs(results, width * 4, width * 4, plane_out, bias + p * 4, out + p * 4, out_h, out_w, outs * 4, (out_h + 3) // 4, (out_w + 3) // 4, 0, all_tiles, patch)  # fmt: skip


@kernel()
def weight_grad_panels(planes, grads, all_tiles, channels, outs, patch, total, weight, first, last):
    """Panels ``first`` .. ``last`` of outputs of the weights' gradient (outs, channels, 3, 3), a block of channels at a
    time, so that a block in the other basis never leaves the cache."""
    pixel, wanted = channels * 4, outs * 4
    plane_in, plane_out = all_tiles * pixel + BYTES, all_tiles * wanted + BYTES
    for panel in range(first, last):
        p = panel * PANEL
        width = min(PANEL, outs - p)
        plane = CHANNELS * width * 4 + BYTES
        for c0 in range(0, channels, CHANNELS):
            some = min(CHANNELS, channels - c0)
            for k in range(36):
                zero_bytes(total + k * plane, some * width * 4)
                columns_times(some, width, planes + k * plane_in + c0 * 4, pixel, all_tiles, 1, 0, 1, 0, grads + k * plane_out + p * 4, wanted, total + k * plane, width * 4, total + k * plane, width * 4)  # fmt: skip
            for o in range(0, width, LANES):
                for c in range(some):
                    change_weight_grad(total + (c * width + o) * 4, 6 * plane, plane, patch, 3 * BYTES, BYTES)
                    for lane in range(LANES):
                        there = weight + ((p + o + lane) * channels + c0 + c) * 36
                        for i in range(9):
                            poke(there + i * 4, peek(patch + i * BYTES + lane * 4))
