"""Products of matrices through cuBLAS, in every floating type, on the arrays as they lie.

cuBLAS reads matrices by columns, so ``a @ b`` is asked for as its transpose ``b.T @ a.T``; a transposed view is an
argument of the call, not a copy. float16 and bfloat16 are summed in float32. float32 factors are rounded to TF32 where
``mlkit.backends.cuda.matmul.allow_tf32`` says so. What is no matrix of these types is left to CuPy.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import threading

import numpy as np

from mlkit.backends.cupy import source
from mlkit.core import config

# cudaDataType and cublasComputeType_t by their numbers in NVIDIA's headers
_TYPE = {"float32": 0, "float64": 1, "float16": 2, "complex64": 4, "complex128": 5, "bfloat16": 14}
_COMPUTE_32F, _COMPUTE_32F_TF32, _COMPUTE_64F = 68, 77, 70
_SCALE = {"float64": np.float64, "complex64": np.complex64, "complex128": np.complex128}
_ONE = {name: np.ones(1, _SCALE.get(name, np.float32)) for name in _TYPE}
_ZERO = {name: np.zeros(1, _SCALE.get(name, np.float32)) for name in _TYPE}
_DEFAULT_ALGORITHM = -1
#: what NVIDIA advises for Hopper; without its own, a call inside a captured graph would ask for memory
WORKSPACE = 32 << 20


@functools.cache
def bindings():
    """nvmath's bindings of cuBLAS, None where they are not installed."""
    if importlib.util.find_spec("nvmath") is None:
        return None
    from nvmath.bindings import cublas

    return cublas


class _Handles(threading.local):
    """A handle per thread and GPU, the stream it was last told of, and its memory per stream."""

    def __init__(self) -> None:
        self.by_device: dict[int, list] = {}


_handles = _Handles()


def handle(xp) -> int:
    """This thread's handle, on the stream in use."""
    number = xp.cuda.runtime.getDevice()
    stream = xp.cuda.get_current_stream().ptr
    found = _handles.by_device.get(number)
    if found is None:
        found = _handles.by_device[number] = [bindings().create(), None, {}]
    if found[1] != stream:
        bindings().set_stream(found[0], stream)
        memory = found[2].get(stream)
        if memory is None:
            memory = found[2][stream] = xp.cuda.alloc(WORKSPACE)
        bindings().set_workspace(found[0], memory.ptr, WORKSPACE)
        found[1] = stream
    return found[0]


def lies(rows: int, columns: int, down: int, along: int) -> tuple[bool, int] | None:
    """How a matrix with these steps (in elements) lies: (whether by columns, the step between its lines); None if
    neither its rows nor its columns are neighbours in memory."""
    if columns == 1 or along == 1:
        if rows == 1:
            return False, max(1, columns)
        if down >= columns:
            return False, down
    if rows == 1 or down == 1:
        if columns == 1:
            return True, max(1, rows)
        if along >= rows:
            return True, along
    return None


def batch_step(shape: tuple, steps: tuple) -> int | None:
    """The one step (in elements) that leads through all batch dims; 0 for none; None where there is no such step."""
    step = expected = None
    for n, s in zip(reversed(shape), reversed(steps), strict=True):
        if n == 1:
            continue
        if expected is None:
            step = s
        elif s != expected:
            return None
        expected = s * n
    return step or 0


def _matrix(x):
    """(x or a copy, whether by columns, step between lines)."""
    size = x.itemsize
    rows, columns = x.shape[-2:]
    found = lies(rows, columns, x.strides[-2] // size, x.strides[-1] // size)
    if found is None:
        x = x.copy(order="C")
        found = False, max(1, columns)
    return x, *found


def _gemm(xp, a, b, out, beta: float = 0) -> None:
    """out = a @ b + beta * out for matrices; out has C order."""
    key = a.shape, a.strides, b.shape, b.strides, out.dtype, config.cuda_matmul_tf32
    plan = _products.get(key)
    if plan is None:
        name, given = source.name(out.dtype), (a, b)
        (m, k), n = a.shape, b.shape[1]
        a, a_turned, a_line = _matrix(a)
        b, b_turned, b_line = _matrix(b)
        one, zero, kind = _ONE_AT[name], _ZERO_AT[name], _TYPE[name]
        plan = int(b_turned), int(a_turned), n, m, k, one, zero, kind, b_line, a_line, _compute(name)
        if a is given[0] and b is given[1]:
            if len(_products) >= KEPT:
                _products.clear()
            _products[key] = plan
    b_turned, a_turned, n, m, k, one, zero, kind, b_line, a_line, compute = plan
    bindings().gemm_ex(
        handle(xp), b_turned, a_turned, n, m, k, one, b.data.ptr, kind, b_line, a.data.ptr, kind, a_line,
        one if beta else zero, out.data.ptr, kind, n, compute, _DEFAULT_ALGORITHM,
    )  # fmt: skip


#: what a product of matrices that lie so is asked for with, where neither had to be copied
_products: dict[tuple, tuple] = {}
#: how many of them are kept
KEPT = 4096
_ONE_AT = {name: x.ctypes.data for name, x in _ONE.items()}
_ZERO_AT = {name: x.ctypes.data for name, x in _ZERO.items()}


def _compute(name: str) -> int:
    if name in ("float64", "complex128"):
        return _COMPUTE_64F
    return _COMPUTE_32F_TF32 if config.cuda_matmul_tf32 and name in ("float32", "complex64") else _COMPUTE_32F


class Product:
    """``a @ b`` of matrices in a floating type of at most four bytes, where everything but the addresses is settled.

    ``a`` and ``b`` are (1 where it lies by columns or 0, the step between its lines), ``sizes`` the product's rows,
    columns and the length of its sums; ``swapped`` says that ``run`` is given b before a.
    """

    def __init__(self, name: str, tf32: bool, a: tuple, b: tuple, sizes: tuple, swapped: bool) -> None:
        (a_turned, a_line), (b_turned, b_line), (m, n, k) = a, b, sizes
        kind, compute = _TYPE[name], _COMPUTE_32F_TF32 if tf32 and name == "float32" else _COMPUTE_32F
        self.swapped = swapped
        self.before = b_turned, a_turned, n, m, k, _ONE_AT[name]
        self.first, self.second = (kind, b_line), (kind, a_line, _ZERO_AT[name])
        self.after = kind, n, compute, _DEFAULT_ALGORITHM

    def run(self, xp, to, a, b, out) -> None:
        """Run on the stream in use; ``to`` is for those who have another library's handle."""
        if self.swapped:
            a, b = b, a
        bindings().gemm_ex(
            handle(xp), *self.before, b.data.ptr, *self.first, a.data.ptr, *self.second, out.data.ptr, *self.after
        )


def _batched(x, batch: tuple, numel: int):
    """(x or a copy, whether by columns, step between lines, step between matrices)."""
    x, turned, line = _matrix(x)
    lead = x.shape[:-2]
    if math.prod(lead) == 1:
        return x, turned, line, 0
    if lead == batch:
        step = batch_step(lead, tuple(s // x.itemsize for s in x.strides[:-2]))
        if step is not None and step >= 0:
            return x, turned, line, step
    wide = np.broadcast_shapes(lead, batch)
    x = x.copy(order="C") if lead == batch else _spread(x, (*wide, *x.shape[-2:]))
    rows, columns = x.shape[-2:]
    return x, False, max(1, columns), rows * columns


def _spread(x, shape):
    out = type(x)(shape, x.dtype)
    out[...] = x
    return out


def usable(a, b) -> bool:
    return a.dtype == b.dtype and source.name(a.dtype) in _TYPE and bindings() is not None


def matmul(xp, a, b):
    """``a @ b`` with NumPy's rules for 1-d arrays and batches; None where cuBLAS is not to be used."""
    if not usable(a, b) or not a.ndim or not b.ndim:
        return None
    if a.ndim == 1 or b.ndim == 1:
        out = matmul(xp, a[None, :] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b)
        if out is None:
            return None
        shape = list(out.shape)
        if b.ndim == 1:
            del shape[-1]
        if a.ndim == 1:
            del shape[-1 if b.ndim == 1 else -2]
        return out.reshape(shape)
    m, k = a.shape[-2:]
    if b.shape[-2] != k:
        return None  # CuPy's error is explained by the op
    n = b.shape[-1]
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        return None
    out = xp.empty((*batch, m, n), a.dtype)
    if not out.size:
        return out
    if not k:
        out.fill(0)
        return out
    count = math.prod(batch)
    if count == 1:
        _gemm(xp, a.reshape(a.shape[-2:]), b.reshape(b.shape[-2:]), out)
        return out
    if math.prod(b.shape[:-2]) == 1 and a.flags.c_contiguous:  # the same factor for all: one tall product
        _gemm(xp, a.reshape(count * m, k), b.reshape(k, n), out)
        return out
    a, a_turned, a_line, a_step = _batched(a, batch, m * k)
    b, b_turned, b_line, b_step = _batched(b, batch, k * n)
    name = source.name(out.dtype)
    kind = _TYPE[name]
    bindings().gemm_strided_batched_ex(
        handle(xp), int(b_turned), int(a_turned), n, m, k, _ONE_AT[name], b.data.ptr, kind, b_line, b_step,
        a.data.ptr, kind, a_line, a_step, _ZERO_AT[name], out.data.ptr, kind, n, m * n, count,
        _compute(name), _DEFAULT_ALGORITHM,
    )  # fmt: skip
    return out


_ADD_ROWS = r"""
extern "C" __global__ void add_rows(T* out, const T* bias, i64 n, i64 columns) {
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < n; i += (i64)gridDim.x * blockDim.x)
        put(out[i], get(out[i]) + get(bias[i % columns]));
}
"""
_ADD_PACKS = r"""
extern "C" __global__ void add_packs(Pack<T, W>* out, const Pack<T, W>* bias, i64 n, i64 columns) {
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < n; i += (i64)gridDim.x * blockDim.x) {
        Pack<T, W> x = out[i], b = bias[i % columns];
        #pragma unroll
        for (int k = 0; k < W; k++) put(x.v[k], get(x.v[k]) + get(b.v[k]));
        out[i] = x;
    }
}
"""


def add_rows(xp, out, bias) -> None:
    """Add ``bias`` (columns) to each row of ``out`` (..., columns), which has C order, in place."""
    if out.dtype != bias.dtype or source.name(out.dtype) not in source.TYPES or not bias.flags.c_contiguous:
        out += bias
        return
    n, columns, name = out.size, bias.size, source.name(out.dtype)
    wide = 16 // out.itemsize
    if columns % wide == 0 and not (out.data.ptr | bias.data.ptr) % 16:
        run = source.kernel(xp, "add_packs", _ADD_PACKS, f"#define W {wide}", T=name)
        n, columns = n // wide, columns // wide
    else:
        run = source.kernel(xp, "add_rows", _ADD_ROWS, T=name)
    if n:
        run((min(4096, (n + 255) // 256),), (256,), (out, bias, np.int64(n), np.int64(columns)))


def linear(xp, x, weight, bias):
    """``x @ weight.T + bias``; None where cuBLAS is not to be used."""
    if weight.ndim != 2 or not x.ndim or not usable(x, weight) or x.shape[-1] != weight.shape[1]:
        return None
    if bias is not None and (bias.dtype != x.dtype or bias.shape != weight.shape[:1]):
        return None
    rows = math.prod(x.shape[:-1])
    out = xp.empty((*x.shape[:-1], weight.shape[0]), x.dtype)
    if not out.size:
        return out
    if not weight.shape[1]:
        out.fill(0)
    else:
        _gemm(xp, x.reshape(rows, x.shape[-1]), weight.T, out.reshape(rows, weight.shape[0]))
    if bias is not None:
        add_rows(xp, out, bias)
    return out
