"""Rows summed where an index names them: the gradient of an embedding, index_add."""

from __future__ import annotations

from mlkit.backends.numba.compiling import kernel


@kernel("void(float32[:, ::1], int64[::1], float32[:, ::1], int64, int64)", fastmath={"contract"})
def add_rows(source, index, out, start, stop):
    """out[index[i]] += source[i], for the columns start .. stop: so threads never meet."""
    for i in range(index.size):
        row, into = source[i, start:stop], out[index[i], start:stop]
        for k in range(into.size):
            into[k] += row[k]


@kernel("void(float32[::1], int64[::1], float32[::1])", fastmath={"contract"})
def add_values(source, index, out):
    for i in range(index.size):
        out[index[i]] += source[i]
