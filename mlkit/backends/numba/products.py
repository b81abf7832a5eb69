"""Strips of products from blocks that fit the registers: what convolutions are made of. Inlined into their kernels."""

from __future__ import annotations

from mlkit.backends.numba.compiling import helper
from mlkit.backends.numba.simd import LANES, PANEL, PANELS, ROWS, block

FEW = 4


@helper
def rows_times(n, width, a, a_row, count, runs, a_run, more, a_more, b, step, start, start_row, c, c_row):
    """c[i] = start[i] + sum over k of a[i, k] * b[k] for i < n: rows of a with neighbouring steps, ``width`` columns.

    ``step`` is how far b goes on in each step: width * 4 in panels. All but n, width, count, runs and more are addresses and strides in bytes; the meaning is that of ``simd.block``.
    A rest of one to three rows is done with rows before it again, so c must be none of the inputs.
    """
    i = 0
    if width == PANEL:
        while n - i >= ROWS:
            block(ROWS, PANELS, 0, a + i * a_row, a_row, 4, count, runs, a_run, more, a_more, b, step, start + i * start_row, start_row, c + i * c_row, c_row)  # fmt: skip
            i += ROWS
        while n - i >= FEW or (i < n and n >= FEW):
            i = min(i, n - FEW)
            block(FEW, PANELS, 0, a + i * a_row, a_row, 4, count, runs, a_run, more, a_more, b, step, start + i * start_row, start_row, c + i * c_row, c_row)  # fmt: skip
            i += FEW
        while i < n:
            block(1, PANELS, 0, a + i * a_row, a_row, 4, count, runs, a_run, more, a_more, b, step, start + i * start_row, start_row, c + i * c_row, c_row)  # fmt: skip
            i += 1
    else:
        while n - i >= ROWS:
            block(ROWS, 1, 0, a + i * a_row, a_row, 4, count, runs, a_run, more, a_more, b, step, start + i * start_row, start_row, c + i * c_row, c_row)  # fmt: skip
            i += ROWS
        while n - i >= FEW or (i < n and n >= FEW):
            i = min(i, n - FEW)
            block(FEW, 1, 0, a + i * a_row, a_row, 4, count, runs, a_run, more, a_more, b, step, start + i * start_row, start_row, c + i * c_row, c_row)  # fmt: skip
            i += FEW
        while i < n:
            block(1, 1, 0, a + i * a_row, a_row, 4, count, runs, a_run, more, a_more, b, step, start + i * start_row, start_row, c + i * c_row, c_row)  # fmt: skip
            i += 1


@helper
def columns_times(n, columns, a, a_step, count, runs, a_run, more, a_more, b, b_step, start, start_row, c, c_row):
    """c[i] = start[i] + sum over k of a[k, i] * b[k] for i < n neighbours in a, and ``columns`` (a multiple of 16) of b.

    ``start`` is c itself where the sum goes on, or a row of zeros with ``start_row`` 0 where it begins."""
    for p in range(0, columns, PANEL):
        there, begin, here = c + p * 4, start + p * 4, b + p * 4
        i = 0
        if columns - p >= PANEL:
            while n - i >= ROWS:
                block(ROWS, PANELS, 1, a + i * 4, 4, a_step, count, runs, a_run, more, a_more, here, b_step, begin + i * start_row, start_row, there + i * c_row, c_row)  # fmt: skip
                i += ROWS
            while n - i >= FEW:
                block(FEW, PANELS, 1, a + i * 4, 4, a_step, count, runs, a_run, more, a_more, here, b_step, begin + i * start_row, start_row, there + i * c_row, c_row)  # fmt: skip
                i += FEW
            while i < n:
                block(1, PANELS, 1, a + i * 4, 4, a_step, count, runs, a_run, more, a_more, here, b_step, begin + i * start_row, start_row, there + i * c_row, c_row)  # fmt: skip
                i += 1
        else:
            while n - i >= ROWS:
                block(ROWS, 1, 1, a + i * 4, 4, a_step, count, runs, a_run, more, a_more, here, b_step, begin + i * start_row, start_row, there + i * c_row, c_row)  # fmt: skip
                i += ROWS
            while n - i >= FEW:
                block(FEW, 1, 1, a + i * 4, 4, a_step, count, runs, a_run, more, a_more, here, b_step, begin + i * start_row, start_row, there + i * c_row, c_row)  # fmt: skip
                i += FEW
            while i < n:
                block(1, 1, 1, a + i * 4, 4, a_step, count, runs, a_run, more, a_more, here, b_step, begin + i * start_row, start_row, there + i * c_row, c_row)  # fmt: skip
                i += 1


assert PANEL % LANES == 0 and FEW <= ROWS
