"""Products of float32 matrices where BLAS leaves time: with transposed weights, and a bias. Arrays come as addresses."""

from __future__ import annotations

from mlkit.backends.numba.compiling import kernel
from mlkit.backends.numba.products import columns_times, rows_times
from mlkit.backends.numba.simd import LANES, PANEL, transpose

CHUNK = 96  # rows whose share of the left matrix stays in the cache for all panels
STEPS = 256


@kernel()
def turn(source, rows, columns, target):
    """(rows, columns), both in sixteens -> panels of rows: for each panel (columns, width), the last one narrower."""
    for s in range(0, rows, LANES):
        p = s // PANEL * PANEL
        width = min(PANEL, rows - p)
        for f in range(0, columns, LANES):
            there = target + (p * columns + f * width + s - p) * 4
            transpose(source + (s * columns + f) * 4, columns * 4, there, width * 4)


@kernel()
def rows_by_panels(a, count, b, step, panel, bias, columns, out, first, last):
    """Rows ``first`` .. ``last`` of out (rows, columns) = bias + a (rows, count) @ b (count, columns).

    ``step`` is the bytes from one row of b to the next, 0 where b lies in panels; ``panel`` from one panel to the next."""
    for start in range(first, last, CHUNK):
        rows = min(CHUNK, last - start)
        for p in range(0, columns, PANEL):
            width = min(PANEL, columns - p)
            here = b + p // PANEL * panel
            rows_times(rows, width, a + start * count * 4, count * 4, count, 1, 0, 1, 0, here, step if step else width * 4, bias + p * 4, 0, out + (start * columns + p) * 4, columns * 4)  # fmt: skip


@kernel()
def columns_by_rows(a, high, b, columns, total, first, last):
    """total (high, columns) += a[first:last].T @ b[first:last], of a (rows, high) and b (rows, columns)."""
    for start in range(first, last, STEPS):
        steps = min(STEPS, last - start)
        columns_times(high, columns, a + start * high * 4, high * 4, steps, 1, 0, 1, 0, b + start * columns * 4, columns * 4, total, columns * 4)  # fmt: skip
