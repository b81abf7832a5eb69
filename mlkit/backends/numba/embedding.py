"""Sums by index: NumPy sorts for them; a loop that adds is quicker, and it adds in the order of the index."""

from __future__ import annotations

import numpy as np

from mlkit.backends.numba import override, pool
from mlkit.backends.numba.flat import FLOAT32

MINIMUM = 1 << 8
#: columns that are worth a thread of their own, for as many rows
COLUMNS = 32


def _contiguous(x: np.ndarray, dtype=np.float32) -> np.ndarray:
    if x.dtype == dtype and x.flags.c_contiguous and x.flags.writeable:
        return x
    return np.array(x, dtype, order="C")


def _add(kernels, source: np.ndarray, index: np.ndarray, out: np.ndarray) -> None:
    """out[index[i]] += source[i] for rows; the index is known to be right."""
    columns = out.shape[1]
    if columns == 1:
        kernels.add_values(source.reshape(-1), index, out.reshape(-1))
        return
    grain = max(COLUMNS, (1 << 15) // max(1, index.size))
    pool.split(lambda start, stop: kernels.add_rows(source, index, out, start, stop), columns, grain)


def _inside(index: np.ndarray, size: int) -> bool:
    return index.size > 0 and int(index.min()) >= 0 and int(index.max()) < size


@override("embedding_grad", minimum=MINIMUM)
def embedding_grad(kernels, g, input, *, shape, padding_idx):
    if g.dtype is not FLOAT32 or input.dtype.kind not in "iu" or shape[1] == 0:
        return NotImplemented
    index = _contiguous(input, np.int64).reshape(-1)
    if not _inside(index, shape[0]):
        return NotImplemented
    out = np.zeros(shape, np.float32)
    _add(kernels, _contiguous(g).reshape(-1, shape[1]), index, out)
    if padding_idx is not None:
        out[padding_idx] = 0
    return out


@override("index_add", minimum=1)
def index_add(kernels, input, index, source, *, dim):
    if (
        dim != 0
        or input.ndim == 0
        or source.size < MINIMUM
        or input.dtype is not FLOAT32
        or source.dtype is not FLOAT32
        or index.ndim != 1
        or source.shape[1:] != input.shape[1:]
        or source.shape[:1] != index.shape
        or not input.size
        or index.dtype.kind not in "iu"
    ):
        return NotImplemented
    labels = _contiguous(index, np.int64)
    if not _inside(labels, input.shape[0]):
        return NotImplemented
    out = np.array(input, order="C")
    width = out.size // out.shape[0]
    _add(kernels, _contiguous(source).reshape(-1, width), labels, out.reshape(-1, width))
    return out


@override("scatter_add", minimum=1)
def scatter_add(kernels, input, index, source, *, dim):
    """Along the last dim, or of rows with one index each; other shapes stay with NumPy."""
    if (
        input.ndim != 1
        or index.ndim != 1
        or source.ndim != 1
        or index.size < MINIMUM
        or input.dtype is not FLOAT32
        or source.dtype is not FLOAT32
        or source.size < index.size
        or index.dtype.kind not in "iu"
    ):
        return NotImplemented
    labels = _contiguous(index, np.int64)
    if not _inside(labels, input.size):
        return NotImplemented
    out = np.array(input, order="C")
    kernels.add_values(_contiguous(source)[: labels.size], labels, out)
    return out
