"""NumPy: the reference every other answer is compared with, and enough by itself."""

from __future__ import annotations

import functools
import os

import numpy as np

from mlkit.backends import numba
from mlkit.backends.numba import optimizers, pool
from mlkit.backends.numpy import allocator, special
from mlkit.backends.portable.reader import Reader
from mlkit.core.backend import Backend
from mlkit.core.device import CPU
from mlkit.ops import REGISTRY


#: ops that move numbers without computing, or that say themselves what dtype comes out
AS_THEY_ARE = {"cast", "clone", "to_device", "where", "cat", "flip", "index_put", "view_write", "getitem"}


def in_single_precision(kernel):
    """``kernel`` computing float16 and bfloat16 in float32, its results rounded once, as PyTorch's kernels do.

    NumPy itself would round after every operation, sum in the low precision, and promote bfloat16 with Python numbers.
    """

    def run(first, *rest, **attributes):
        for x in first if first.__class__ is list else (first, *rest):
            if x.__class__ is np.ndarray and x.itemsize == 2 and x.dtype.kind in "fV":
                low = x.dtype
                break
        else:
            return kernel(first, *rest, **attributes)
        first = [widened(x) for x in first] if first.__class__ is list else widened(first)
        out = kernel(first, *map(widened, rest), **attributes)
        return tuple(narrowed(y, low) for y in out) if out.__class__ is tuple else narrowed(out, low)

    return run


def unary_in_single_precision(kernel):
    """The same for a kernel of one array and nothing else."""

    def run(x):
        if x.__class__ is np.ndarray and x.itemsize == 2 and x.dtype.kind in "fV":
            return narrowed(kernel(x.astype(np.float32)), x.dtype)
        return kernel(x)

    return run


def widened(x):
    low = x.__class__ is np.ndarray and x.itemsize == 2 and x.dtype.kind in "fV"
    return x.astype(np.float32) if low else x


def narrowed(y, low):
    return np.asarray(y).astype(low) if getattr(y, "dtype", None) == np.float32 else y


# Rows of a product. OpenBLAS's kernels take 8, 12 or 16 at a time and sum the rest in another order, so only ranges that begin
# at multiples of all of these give the numbers that the whole gives.
BLOCK = 48


def products_in_parts(a, b, grain: int):
    """a @ b with its rows, or its first leading dim, shared out among the pool's threads."""
    if a.ndim == 1 or a.ndim > 2 and a.shape[0] != b.shape[0] or a.shape[-1] != b.shape[-2]:
        return np.matmul(a, b)
    lead = (
        (a.shape[0],) if a.ndim == 2 else (a.shape[0], *np.broadcast_shapes(a.shape[1:-2], b.shape[1:-2]), a.shape[-2])
    )
    out = np.empty((*lead, b.shape[-1]), a.dtype)
    if a.ndim == 2:
        pool.split(lambda i, j: np.matmul(a[i:j], b, out=out[i:j]), a.shape[0], grain, BLOCK)
    else:
        pool.split(lambda i, j: np.matmul(a[i:j], b[i:j], out=out[i:j]), a.shape[0], grain)
    return out


class NumpyReader(Reader):
    """What NumPy itself lacks: low precisions, the random stream and the error functions."""

    def __getattr__(self, name: str):
        kernel = super().__getattr__(name)
        op = REGISTRY[name]
        if op.inputs and not (op.view or op.ufunc or name in AS_THEY_ARE):
            alone = len(op.inputs) == 1 and not op.variadic and not op.attributes and op.outputs == 1
            kernel = (unary_in_single_precision if alone else in_single_precision)(kernel)
            setattr(self, name, kernel)
        return kernel

    def errstate(self):
        return np.errstate(all="ignore")

    def erf_(self, x):
        return special.erf(x)

    def erfc_(self, x):
        return special.erfc(x)

    # np.sum and np.mean call these after some asking of their own, which for few numbers is most of the work

    def sum_(self, x, dim, keepdim):
        return np.add.reduce(x, dim, np.int64 if x.dtype.kind in "biu" else x.dtype, None, keepdim)

    def mean_(self, x, dim, keepdim):
        if not x.size or x.dtype.kind != "f":
            return super().mean_(x, dim, keepdim)
        total = np.add.reduce(x, dim, x.dtype, None, keepdim)
        count = x.size // total.size
        return total / count if total.__class__ is np.ndarray else total.dtype.type(total / count)

    def expand(self, input, *, shape):
        """np.broadcast_to, which is written in Python and slow for what it does, where the memory is plain."""
        if input.__class__ is np.ndarray and input.dtype.kind in "fiu" and input.flags.c_contiguous and input.size:
            strides, lead = [0] * (len(shape) - input.ndim), len(shape) - input.ndim
            for n, own, step in zip(shape[lead:] if lead >= 0 else (), input.shape, input.strides, strict=False):
                if own != n and own != 1:
                    break
                strides.append(step if own == n else 0)
            else:
                if lead >= 0:
                    out = np.ndarray(shape, input.dtype, input, 0, strides)
                    out.flags.writeable = False
                    return out
        return np.broadcast_to(input, shape)

    def get_threads(self) -> int:
        """How many threads work on one operation."""
        return pool.threads()

    def set_threads(self, count: int) -> None:
        """Set it, for mlkit's own pool and for NumPy's BLAS where it can be told."""
        pool.set_threads(count)

    # The stream: 64-bit words of Philox4x64-10 with key = seed, counter = offset.

    def random_words_(self, n, key):
        seed, offset = key
        return np.random.Philox(key=seed, counter=offset).random_raw(n)

    def uniform_(self, shape, dtype, key):
        n = int(np.prod(shape))
        if np.dtype(dtype).itemsize > 4:
            unit = (self.random_words_(n, key) >> np.uint64(11)) * (1.0 / (1 << 53))
        else:
            halves = self.random_words_((n + 1) // 2, key).view(np.uint32)[:n]
            unit = (halves >> np.uint32(8)).astype(np.float32) * np.float32(1.0 / (1 << 24))
        return unit.astype(dtype, copy=False).reshape(shape)

    def normal_(self, shape, dtype, key):
        n = int(np.prod(shape))
        work = np.float64 if np.dtype(dtype).itemsize > 4 else np.float32
        half = (n + 1) // 2
        u = self.uniform_((2 * half,), work, key)
        radius = np.sqrt(-2 * np.log1p(-u[:half]))
        angle = (2 * np.pi) * u[half:]
        out = np.empty(2 * half, work)
        np.multiply(radius, np.cos(angle), out=out[:half])
        np.multiply(radius, np.sin(angle), out=out[half:])
        return out[:n].astype(dtype, copy=False).reshape(shape)

    def integers_(self, shape, key, low, high):
        n = int(np.prod(shape))
        words = self.random_words_(n, key) % np.uint64(high - low)
        return (words.astype(np.int64) + low).reshape(shape)

    def matmul(self, a, b):
        # the way of wide types, which most products are; the others go by the op's forward
        if a.__class__ is np.ndarray and a.itemsize > 2:
            if a.ndim == b.ndim == 2 and a.size * b.shape[1] < 1 << 18 and a.dtype.kind == "f":
                return a.dot(b)
            return self.matmul_(a, b)
        return self._low_product(a, b)

    def linear(self, input, weight, bias=None):
        if input.__class__ is np.ndarray and input.itemsize > 2:
            return self.linear_(input, weight, bias)
        return in_single_precision(self.linear_)(input, weight, bias)

    def linear_(self, x, weight, bias):
        if self.single_row(x, weight):
            out = np.empty((*x.shape[:-1], weight.shape[0]), x.dtype)
            self.row_product(x, weight, out)
        else:
            out = self.matmul_(x, weight.T)
        if bias is not None:
            out += bias
        return out

    def single_row(self, x, weight) -> bool:
        """Whether x is one row for weights (out, in) that lie as a layer has them."""
        return (
            x.ndim > 0
            and weight.ndim == 2
            and x.size == x.shape[-1] == weight.shape[1] > 0
            and x.dtype is weight.dtype
            and x.dtype.kind == "f"
            and weight.flags.c_contiguous
        )

    def row_product(self, x, weight, out) -> None:
        """out = x @ weight.T of a single row: the weights are read once, as they lie, which is all there is to do."""
        outs, count = weight.shape
        row, out = x.reshape(-1), out.reshape(-1)
        if weight.size < 1 << 18:
            weight.dot(row, out)
        else:
            with pool.one_blas_thread():
                pool.split(lambda i, j: weight[i:j].dot(row, out[i:j]), outs, (1 << 18) // count, BLOCK)

    @functools.cached_property
    def _low_product(self):
        return in_single_precision(self.matmul_)

    def mH(self, x):  # noqa: N802 - PyTorch's name
        x = x.T if x.ndim == 2 else x.swapaxes(-1, -2)
        return np.conj(x) if x.dtype.kind == "c" else x

    def matmul_(self, a, b):
        work = a.size * b.shape[-1]
        if work < 1 << 18:  # OpenBLAS takes one thread by itself
            # for two matrices the method is the shorter way to the same BLAS call
            return a.dot(b) if a.ndim == b.ndim == 2 and a.dtype.kind == "f" else np.matmul(a, b)
        if work >= 1 << 23 and a.ndim == b.ndim and a.dtype == b.dtype and a.dtype.kind in "fc" and pool.threads() > 1:
            return products_in_parts(a, b, max(1, (1 << 22) * a.shape[0] // work))
        with pool.one_blas_thread():
            return a.dot(b) if a.ndim == b.ndim == 2 and a.dtype.kind == "f" else np.matmul(a, b)

    # many small products in a row lose by a second BLAS thread: between two products it spins

    def conv_(self, *args):
        with pool.one_blas_thread():
            return super().conv_(*args)

    def conv_input_grad_(self, *args):
        with pool.one_blas_thread():
            return super().conv_input_grad_(*args)

    def conv_weight_grad_(self, *args):
        with pool.one_blas_thread():
            return super().conv_weight_grad_(*args)

    def as_strided_(self, x, size, stride, offset):
        base = x
        while isinstance(base.base, np.ndarray):
            base = base.base
        step = x.itemsize
        start = (
            x.ctypes.data - base.ctypes.data if offset is None else offset * step
        )  # as PyTorch: from the memory's start
        strides = [s * step for s in stride]
        if 0 in size or not (base.flags.c_contiguous or base.flags.f_contiguous):
            return np.lib.stride_tricks.as_strided(x, size, strides)
        # an array of the same memory whose base says so: numpy's as_strided hides the memory from what comes after
        memory = (base if base.flags.c_contiguous else base.T).reshape(-1).view(np.uint8)
        return np.ndarray(size, x.dtype, memory, start, strides)


def memory() -> dict[str, int]:
    """Bytes the process holds now (0 where the platform does not tell)."""
    try:
        with open("/proc/self/statm") as f:
            return {"allocated": int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")}
    except OSError:
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"allocated": peak if sys.platform == "darwin" else peak * 1024}


def make_backend() -> Backend:
    allocator.begin()
    kernels: dict = {}
    gradients: dict = {}
    reader = NumpyReader(np, kernels)
    numba.install(reader, kernels, gradients)
    return Backend(
        name="numpy",
        device_type="cpu",
        array_types=(np.ndarray, np.generic),
        m=reader,
        available=lambda: (True, ""),
        asarray=lambda array, index: array,
        to_numpy=lambda array: array,
        device_of=lambda array: CPU,
        synchronize=lambda: None,
        memory=memory,
        kernels=kernels,
        gradients=gradients,
        functions=optimizers.FUNCTIONS,
    )
