"""softmax, log_softmax and cross-entropy: each row is read once or twice while it lies in the cache."""

from __future__ import annotations

import numpy as np

from mlkit.backends.numba import gradient, override, pool
from mlkit.backends.numba.flat import FLOAT32

MINIMUM = 256
#: elements that are worth a thread of their own
GRAIN = 1 << 14


def _rows(x: np.ndarray, dim: int) -> np.ndarray | None:
    """x as contiguous rows along its last dim; None where dim is another one."""
    if x.dtype is not FLOAT32 or x.ndim == 0 or dim not in (-1, x.ndim - 1) or not x.size:
        return None
    if not (x.flags.c_contiguous and x.flags.writeable):
        x = x.copy(order="C")
    return x.reshape(-1, x.shape[-1])


def _run(kernel, rows: np.ndarray, *rest) -> None:
    grain = max(1, GRAIN // rows.shape[1])
    pool.split(lambda start, stop: kernel(rows, *rest, start, stop), rows.shape[0], grain)


def _register(op: str) -> None:
    def forward(kernels, input, *, dim):
        rows = _rows(input, dim)
        if rows is None:
            return NotImplemented
        out = np.empty(rows.shape, np.float32)
        _run(getattr(kernels, op), rows, out)
        return out.reshape(input.shape)

    def backward(kernels, g, out, dim):
        rows, gradients = _rows(out, dim), _rows(g, dim)
        if rows is None or gradients is None or g.shape != out.shape:
            return NotImplemented
        result = np.empty(rows.shape, np.float32)
        _run(getattr(kernels, f"{op}_gradient"), gradients, rows, result)
        return result.reshape(out.shape)

    forward.__module__ = backward.__module__ = __name__
    override(op, minimum=MINIMUM)(forward)
    gradient(op, minimum=MINIMUM)(backward)


_register("softmax")
_register("log_softmax")


def _labels(target: np.ndarray) -> np.ndarray:
    if target.dtype != np.int64 or not target.flags.c_contiguous or not target.flags.writeable:
        target = target.astype(np.int64, order="C")
    return target


@override("softmax_cross_entropy", minimum=MINIMUM)
def softmax_cross_entropy(kernels, input, target, *, ignore_index, full=False):
    rows = _rows(input, 1) if input.ndim == 2 and target.shape == input.shape[:1] else None
    if rows is None:
        return NotImplemented
    out, wrong = np.empty(rows.shape[0], np.float32), np.zeros(1, np.int64)
    _run(kernels.cross_entropy, rows, _labels(target), out, ignore_index, wrong)
    return NotImplemented if wrong[0] else out  # NumPy's way then says which label is no class


@gradient("softmax_cross_entropy", "input", minimum=1)
def softmax_cross_entropy_gradient(kernels, g, input, target, ignore_index, full=False):
    rows = _rows(input, 1) if input.ndim == 2 else None
    if rows is None or g.dtype is not FLOAT32 or input.size < MINIMUM:
        return NotImplemented
    if not g.flags.c_contiguous or not g.flags.writeable:
        g = g.copy(order="C")
    out = np.empty(rows.shape, np.float32)
    grain = max(1, GRAIN // rows.shape[1])
    labels = _labels(target)

    def work(start, stop):
        kernels.cross_entropy_gradient(g, rows, labels, out, ignore_index, start, stop)

    pool.split(work, rows.shape[0], grain)
    return out
