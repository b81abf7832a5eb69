"""Products of float32 matrices where BLAS leaves time: with transposed weights, and a bias. Arrays come as addresses."""

from __future__ import annotations

from mlkit.backends.numba.compiling import helper, kernel
from mlkit.backends.numba.products import FEW, columns_times, rows_times
from mlkit.backends.numba.simd import LANES, PANEL, ROWS, copy_bytes, dots, floor_at_zero, transpose

assert ROWS  # for those who share out rows
CHUNK = 96  # rows whose share of the left matrix stays in the cache for all panels
DEPTH = 768  # steps of a sum whose share of the left matrix and of a panel stay there
ROOM = DEPTH + LANES  # numbers from one copied row to the next
DOTS = 8  # sums of a single row's product that are made side by side
STEPS = 512  # rows of a gradient's sum until its results go back to memory
BAND, GROUP = 96, 384  # columns of the left and of the right matrix that stay in the cache meanwhile


@helper
def turn_panel(source, row, width, first, steps, target):
    """``width`` rows, numbers ``first`` to ``first + steps`` of each (all in sixteens) -> (steps, width)."""
    for s in range(0, width, LANES):
        for f in range(0, steps, LANES):
            transpose(source + s * row + (first + f) * 4, row, target + (f * width + s) * 4, width * 4)


@kernel()
def turn(source, rows, columns, target):
    """(rows, columns), both in sixteens -> panels of rows: for each panel (columns, width), the last one narrower."""
    for p in range(0, rows, PANEL):
        turn_panel(source + p * columns * 4, columns * 4, min(PANEL, rows - p), 0, columns, target + p * columns * 4)


@kernel()
def lay(source, rows, columns, target):
    """(rows, columns) -> panels of columns: for each panel (rows, width), the last one narrower."""
    for p in range(0, columns, PANEL):
        width = min(PANEL, columns - p)
        for r in range(rows):
            copy_bytes(source + (r * columns + p) * 4, target + (p * rows + r * width) * 4, width * 4)


@helper
def nothing_below(rows, width, c, c_row):
    """Zero in place of what is below it, in ``rows`` rows of ``width`` numbers (in sixteens)."""
    for i in range(rows):
        floor_at_zero(c + i * c_row, width)


@helper
def summed_rows(n, width, a, row, count, b, step, start, start_row, c, c_row):
    """c[i] = start[i] + a[i] @ b, where start may be c itself: then no row is done twice."""
    whole = n // FEW * FEW
    rows_times(whole, width, a, row, count, 1, 0, 1, 0, b, step, start, start_row, c, c_row)
    rows_times(n - whole, width, a + whole * row, row, count, 1, 0, 1, 0, b, step, start + whole * start_row, start_row, c + whole * c_row, c_row)  # fmt: skip


@kernel()
def rows_by_panels(a, count, b, step, panel, bias, columns, out, relu, space, first, last):
    """Rows ``first`` .. ``last`` of out (rows, columns) = bias + a (rows, count) @ b (count, columns).

    ``step`` is the bytes from one row of b to the next, 0 where b lies in panels; ``panel`` from one panel to the next.
    Where ``space`` is given, room for CHUNK * ROOM numbers, long sums are made in parts, from copies of the rows of a: rows
    that are far apart, and more so by powers of two, would put one another out of the cache."""
    for start in range(first, last, CHUNK):
        rows = min(CHUNK, last - start)
        if not space:
            for p in range(0, columns, PANEL):
                width = min(PANEL, columns - p)
                here = b + p // PANEL * panel
                there = out + (start * columns + p) * 4
                rows_times(rows, width, a + start * count * 4, count * 4, count, 1, 0, 1, 0, here, step if step else width * 4, bias + p * 4, 0, there, columns * 4)  # fmt: skip
                if relu:
                    nothing_below(rows, width, there, columns * 4)
            continue
        for k in range(0, count, DEPTH):
            steps = min(DEPTH, count - k)
            for r in range(rows):
                copy_bytes(a + ((start + r) * count + k) * 4, space + r * ROOM * 4, steps * 4)
            for p in range(0, columns, PANEL):
                width = min(PANEL, columns - p)
                each = step if step else width * 4
                here, there = b + p // PANEL * panel + k * each, out + (start * columns + p) * 4
                before, row = (there, columns * 4) if k else (bias + p * 4, 0)
                summed_rows(rows, width, space, ROOM * 4, steps, here, each, before, row, there, columns * 4)
                if relu and k + steps == count:
                    nothing_below(rows, width, there, columns * 4)


@kernel()
def panels_by_rows(a, rows, count, weight, bias, columns, out, relu, space, first, last):
    """Panels ``first`` .. ``last`` of out (rows, columns) = bias + a (rows, count) @ weight (columns, count) transposed.

    For few rows: a panel of weights is turned when its turn comes, and used while it is in the cache. ``space`` holds one.
    """
    for number in range(first, last):
        p = number * PANEL
        width = min(PANEL, columns - p)
        for k in range(0, count, DEPTH):
            steps = min(DEPTH, count - k)
            turn_panel(weight + p * count * 4, count * 4, width, k, steps, space)
            there = out + p * 4
            if k:
                summed_rows(rows, width, a + k * 4, count * 4, steps, space, width * 4, there, columns * 4, there, columns * 4)  # fmt: skip
            else:
                rows_times(rows, width, a, count * 4, steps, 1, 0, 1, 0, space, width * 4, bias + p * 4, 0, there, columns * 4)  # fmt: skip
        if relu:
            nothing_below(rows, width, out + p * 4, columns * 4)


@kernel()
def row_by_rows(x, count, weight, bias, out, relu, first, last):
    """Numbers ``first`` .. ``last`` of out = bias + x @ weight transposed, of a single row x (count, in sixteens): the
    weights (columns, count) are read once, as they lie. With ``relu``, what is below zero becomes zero."""
    whole = first + (last - first) // DOTS * DOTS
    for i in range(first, whole, DOTS):
        dots(DOTS, x, count, weight + i * count * 4, count * 4, bias + i * 4, out + i * 4, relu)
    for i in range(whole, last):
        dots(1, x, count, weight + i * count * 4, count * 4, bias + i * 4, out + i * 4, relu)


@kernel()
def columns_by_rows(a, rows, high, b, columns, zero, packs_a, packs_b, space, total, first, last):
    """Rows ``first`` .. ``last`` of total (high, columns) = a.T @ b, of a (rows, high) and b (rows, columns); ``zero`` is a row
    of zeros for a panel.

    With ``packs_a`` and ``packs_b`` parts are copied to ``space`` first, (BAND + GROUP) * STEPS numbers: rows that are far
    apart, and more so by powers of two, would put one another out of the cache."""
    panels = space + BAND * STEPS * 4
    for start in range(0, rows, STEPS):
        steps = min(STEPS, rows - start)
        for q in range(0, columns, GROUP):
            wide = min(GROUP, columns - q)
            if packs_b:
                for p in range(0, wide, PANEL):
                    width = min(PANEL, wide - p) * 4
                    for k in range(steps):
                        copy_bytes(b + ((start + k) * columns + q + p) * 4, panels + p * steps * 4 + k * width, width)
            for i in range(first, last, BAND):
                some = min(BAND, last - i)
                left, step = a + (start * high + i) * 4, high * 4
                if packs_a:
                    for k in range(steps):
                        copy_bytes(left + k * step, space + k * BAND * 4, some * 4)
                    left, step = space, BAND * 4
                for p in range(0, wide, PANEL):
                    width = min(PANEL, wide - p)
                    there = total + (i * columns + q + p) * 4
                    before, row = (there, columns * 4) if start else (zero, 0)
                    if packs_b:
                        here, each = panels + p * steps * 4, width * 4
                    else:
                        here, each = b + (start * columns + q + p) * 4, columns * 4
                    columns_times(some, width, left, step, steps, 1, 0, 1, 0, here, each, before, row, there, columns * 4)  # fmt: skip
