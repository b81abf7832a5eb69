"""CuPy: the same forwards on an NVIDIA GPU. Overrides hold only what CuPy lacks or does better otherwise."""

from __future__ import annotations

import functools
import importlib.util

import numpy as np

from mlkit.backends.cupy import (
    atomic,
    blas,
    channels,
    cudnn,
    flags,
    graphs,
    library,
    memory,
    optimizers,
    philox,
    printer,
    recurrent,
    rows,
)
from mlkit.backends.portable.reader import PlaceError, Reader
from mlkit.core.backend import Backend
from mlkit.core.device import device
from mlkit.core.errors import DeviceError, DimensionError

INSTALL = 'pip install "mlkit[cuda13]"   (CUDA 13 drivers; mlkit[cuda12] for CUDA 12)'


class CupyReader(Reader):
    """Op rules on CuPy arrays."""

    def erf_(self, x):
        from cupyx.scipy import special

        return special.erf(x.astype(np.float32) if x.dtype.itemsize < 4 else x).astype(x.dtype, copy=False)

    def erfc_(self, x):
        from cupyx.scipy import special

        return special.erfc(x.astype(np.float32) if x.dtype.itemsize < 4 else x).astype(x.dtype, copy=False)

    # products: through cuBLAS where it has them

    def matmul_(self, a, b):
        out = blas.matmul(self.xp, a, b)
        if out is not None:
            return out
        if a.dtype.name == "bfloat16" == b.dtype.name:  # CuPy's own product does not know it
            return self.xp.matmul(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype)
        return self.xp.matmul(a, b)

    def linear_(self, x, weight, bias):
        out = blas.linear(self.xp, x, weight, bias)
        return super().linear_(x, weight, bias) if out is None else out

    # convolutions: through cuDNN where it has them

    def conv_(self, x, weight, bias, stride, padding, dilation, groups):
        out = cudnn.convolution(self.xp, x, weight, bias, stride, padding, dilation)
        return super().conv_(x, weight, bias, stride, padding, dilation, groups) if out is None else out

    def conv_input_grad_(self, g, weight, shape, stride, padding, dilation, groups):
        out = cudnn.input_gradient(self.xp, g, weight, shape, stride, padding, dilation)
        return super().conv_input_grad_(g, weight, shape, stride, padding, dilation, groups) if out is None else out

    def conv_weight_grad_(self, x, g, shape, stride, padding, dilation, groups):
        out = cudnn.weight_gradient(self.xp, x, g, shape, stride, padding, dilation)
        return super().conv_weight_grad_(x, g, shape, stride, padding, dilation, groups) if out is None else out

    # labels and indices are looked at on the GPU; bad ones are reported when it is waited for

    def check_index(self, name, index, size):
        kind = DimensionError if name in ("index_select", "index_add") else PlaceError
        if not self.rows.check(name, index, 0, size, kind):
            super().check_index(name, index, size)

    def check_places(self, index, axis, shape):
        if not self.rows.check("index", index, -shape[axis], shape[axis], DimensionError):
            super().check_places(index, axis, shape)

    def _labels(self, target, classes, ignore_index):
        labels = self.rows.labels(target, classes, ignore_index)
        if labels is None:
            return super()._labels(target, classes, ignore_index)
        return labels, target != ignore_index

    # the random stream, word for word the one of the NumPy backend

    def random_words_(self, n, key):
        return philox.words(self.xp, n, key)

    def uniform_(self, shape, dtype, key):
        xp, n = self.xp, int(np.prod(shape))
        if np.dtype(dtype).itemsize > 4:
            unit = (self.random_words_(n, key) >> np.uint64(11)).astype(np.float64) * (1.0 / (1 << 53))
        else:
            halves = self.random_words_((n + 1) // 2, key).view(np.uint32)[:n]
            unit = (halves >> np.uint32(8)).astype(np.float32) * np.float32(1.0 / (1 << 24))
        return xp.asarray(unit, dtype=dtype).reshape(shape)

    def normal_(self, shape, dtype, key):
        xp, n = self.xp, int(np.prod(shape))
        work = np.float64 if np.dtype(dtype).itemsize > 4 else np.float32
        half = (n + 1) // 2
        u = self.uniform_((2 * half,), work, key)
        radius = xp.sqrt(-2 * xp.log1p(-u[:half]))
        angle = work(2 * np.pi) * u[half:]
        out = xp.concatenate((radius * xp.cos(angle), radius * xp.sin(angle)))
        return out[:n].astype(dtype, copy=False).reshape(shape)

    def integers_(self, shape, key, low, high):
        words = self.random_words_(int(np.prod(shape)), key) % np.uint64(high - low)
        return (words.astype(np.int64) + low).reshape(shape)

    def raising(self):
        import cupyx

        return cupyx.errstate(linalg="raise")

    # what CuPy has under another name, or not at all

    def windows_(self, x, axis, size):
        shape = (*x.shape[:axis], x.shape[axis] - size + 1, *x.shape[axis + 1 :], size)
        return self.xp.lib.stride_tricks.as_strided(x, shape, (*x.strides, x.strides[axis]))

    def running_(self, ufunc, x, axis):
        # by doubling: after step k each place holds the result over the last 2**k values
        combine = getattr(self.xp, ufunc)
        x, step = self.xp.moveaxis(x, axis, 0).copy(), 1
        while step < x.shape[0]:
            x[step:] = combine(x[step:], x[:-step].copy())
            step *= 2
        return self.xp.moveaxis(x, 0, axis)

    def as_strided_(self, x, size, stride, offset):
        step = x.itemsize
        strides = tuple(s * step for s in stride)
        if offset is None:
            return self.xp.lib.stride_tricks.as_strided(x, size, strides)
        memory = self.xp.cuda.MemoryPointer(x.data.mem, offset * step)
        return self.xp.ndarray(size, x.dtype, memptr=memory, strides=strides)

    def add_at_(self, out, place, values):
        if out.dtype.kind == "c":
            values = self.xp.asarray(values, out.dtype)
            self.add_at_(out.real, place, values.real)
            self.add_at_(out.imag, place, values.imag)
        elif out.dtype.name in ("int8", "int16", "uint8", "uint16", "bool", "bfloat16"):  # no atomic addition of these
            wide = out.astype(np.float32 if out.dtype.kind == "V" else np.int32)
            self.xp.add.at(wide, place, self.xp.asarray(values, wide.dtype))
            out[...] = wide.astype(out.dtype)
        else:
            self.xp.add.at(out, place, values)

    def ufunc_at_(self, ufunc, out, place, values):
        atomic.combine(self.xp, ufunc, out, place, values)

    def solve_(self, a, b):
        xp = self.xp

        def solve(a, b):  # CuPy wants equal batches
            batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
            return xp.linalg.solve(*(xp.broadcast_to(x, batch + x.shape[-2:]) for x in (a, b)))

        return self._with_info(solve, a, b)

    def scatter_add_(self, x, index, source, dim):
        out = x.copy()
        self.add_at_(out, self.places(index, dim), self.trim(source, index.shape, None))
        return out

    def index_add_(self, x, index, source, dim):
        out = x.copy()
        self.add_at_(self.xp.moveaxis(out, dim, 0), index, self.xp.moveaxis(source, dim, 0))
        return out

    def nll_place_(self, g, target, shape, ignore_index):
        xp = self.xp
        if len(shape) == 1:
            return self.nll_place_(g.reshape(1), target.reshape(1), (1, *shape), ignore_index).reshape(shape)
        labels, mask = self._labels(target, shape[1], ignore_index)
        hit = xp.expand_dims(labels, 1) == xp.arange(shape[1]).reshape((1, -1, *([1] * (len(shape) - 2))))
        return xp.where(hit, xp.expand_dims(g if mask is None else g * mask, 1), xp.zeros((), g.dtype))


def available() -> tuple[bool, str]:
    """Whether CuPy is installed and sees a GPU; the reason when not, with the line that mends it."""
    if importlib.util.find_spec("cupy") is None:
        return False, f"cupy is not installed: {INSTALL}"
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return False, f"CuPy is installed but finds no usable NVIDIA GPU and driver ({error}). {INSTALL}"
    return (True, "") if count else (False, f"CuPy is installed but there is no NVIDIA GPU. {INSTALL}")


def make_backend() -> Backend:
    ok, reason = available()
    if not ok:
        raise DeviceError("The 'cuda' device cannot be used here.", reason, "device='cpu' works everywhere.")
    import cupy

    kernels: dict = {}
    gradients: dict = {}
    reader = CupyReader(library.make(cupy), kernels)
    printer.install(reader, kernels, gradients)
    found = flags.Flags(cupy)
    reader.rows = rows.Rows(cupy, found)
    rows.install(reader, kernels, gradients, reader.rows)
    functions = {**optimizers.Together(cupy).functions(), "counted": reader.rows.counted}
    channels.install(reader, kernels, gradients, functions)
    cudnn.install(reader, kernels, gradients)
    recurrent.install(reader, kernels, gradients)

    def asarray(array, index=None):
        with cupy.cuda.Device(cupy.cuda.Device().id if index is None else index):
            return cupy.asarray(array)

    def to_numpy(array):
        out = cupy.asnumpy(array)
        found.check()
        return out

    def synchronize():
        cupy.cuda.Device().synchronize()
        found.check()

    memory.install(cupy)
    return Backend(
        name="cupy",
        device_type="cuda",
        array_types=(cupy.ndarray,),
        m=reader,
        available=available,
        asarray=asarray,
        to_numpy=to_numpy,
        device_of=lambda array: device("cuda", array.device.id),
        synchronize=synchronize,
        memory=memory.figures,
        kernels=kernels,
        gradients=gradients,
        functions=functions,
        compile=functools.partial(graphs.Replay, cupy),
    )
