"""The reader ``m``: what op rules are written with, over an array library with NumPy's interface.

``m.xp`` is the library, ``m.NAME`` any op of the registry on bare arrays (with this backend's override where it has
one), and the methods below are what the rules need besides. Names ending in ``_`` are only for ``forward`` rules; the
others exist for tensors too (core/dispatch), since gradients are written with them.
"""

from __future__ import annotations

import contextlib
import functools

import numpy as np

from mlkit.backends.portable import convolution, pooling
from mlkit.core import backend as backends
from mlkit.core import config
from mlkit.core.errors import DimensionError, LabelError, MlkitError
from mlkit.ops import REGISTRY
from mlkit.ops.registry import unbroadcast
from mlkit.ops.shape import split_pattern


class DivisionError(MlkitError, RuntimeError, ZeroDivisionError):
    """An integer divided by zero."""


def whole_numbers(x) -> bool:
    """Whether an array or a Python number is of an integer kind."""
    return x.dtype.kind in "iu" if hasattr(x, "dtype") else isinstance(x, int)


class Reader:
    """Op rules on arrays of ``xp``."""

    def __init__(self, xp, kernels: dict):
        self.xp = xp
        self._kernels = kernels

    def __getattr__(self, name: str):
        op = REGISTRY.get(name)
        if op is None:
            raise AttributeError(f"no op named {name!r}")
        kernel = self._kernels.get(name)
        if kernel is None:
            kernel = getattr(self.xp, op.ufunc) if op.ufunc else functools.partial(op.forward, self)
        setattr(self, name, kernel)
        return kernel

    # --- small things that gradients need too ------------------------------------------------------------------------

    def zeros(self, shape, *, like):
        return self.xp.zeros(shape, like.dtype)

    def zeros_like(self, x):
        return self.xp.zeros_like(x)

    def ones_like(self, x):
        return self.xp.ones_like(x)

    def index_array(self, values, *, like):
        return self.xp.asarray(values, dtype=np.int64)

    def is_complex(self, x) -> bool:
        return x.dtype.kind == "c"

    def conj(self, x):
        try:
            return self.xp.conj(x) if x.dtype.kind == "c" else x
        except AttributeError:  # a Python number
            return x.conjugate()

    def real(self, x):
        return x.real

    def cast_like(self, x, like):
        return x.astype(like.dtype)

    def cast_real(self, x, dtype):
        """A gradient brought to a dtype; what is imaginary falls away when the dtype is real."""
        if x.dtype.kind == "c" and not dtype.is_complex:
            x = x.real
        return x.astype(dtype.numpy)

    def unsqueeze(self, x, dim):
        return self.xp.expand_dims(x, dim)

    def squeeze(self, x, dim):
        return self.xp.squeeze(x, axis=dim)

    def mT(self, x):  # noqa: N802 - PyTorch's name
        return x.swapaxes(-1, -2)

    def unbroadcast(self, g, shape):
        return unbroadcast(self, g, shape)

    def strided_places(self, shape, size, stride, offset, *, like):
        flat = np.arange(int(np.prod(shape)))
        step = flat.itemsize
        view = np.lib.stride_tricks.as_strided(flat[offset:], size, [s * step for s in stride])
        return self.xp.asarray(view.reshape(-1))

    def device_of(self, x):
        return backends.for_array(x).device_of(x)

    # --- only for forward rules ----------------------------------------------------------------------------------------

    def errstate(self):
        return contextlib.nullcontext()

    def copy(self, x):
        return x.copy()

    def to_device_(self, x, device):
        source, target = backends.for_array(x), backends.for_device(device)
        return target.asarray(source.to_numpy(x), device.index)

    def astype(self, x, dtype):
        if x.dtype.kind == "c" and np.dtype(dtype).kind != "c":
            x = x.real
        return x.astype(dtype)

    def where_(self, condition, a, b):
        return self.xp.where(condition if condition.dtype == bool else condition.astype(bool), a, b)

    def complex_(self, real, imag):
        out = self.xp.empty(np.broadcast_shapes(real.shape, imag.shape), np.result_type(real.dtype, np.complex64))
        out.real, out.imag = real, imag
        return out

    def power_(self, x, exponent):
        return self.xp.power(x, exponent)

    def _nonzero(self, name, x, other):
        if whole_numbers(x) and whole_numbers(other) and (self.xp.asarray(other) == 0).any():
            raise DivisionError(f"{name}: an integer cannot be divided by zero.", hint="Divide as floats: x.float().")

    def remainder_(self, x, other):
        self._nonzero("remainder", x, other)
        return self.xp.remainder(x, other)

    def fmod_(self, x, other):
        self._nonzero("fmod", x, other)
        return self.xp.fmod(x, other)

    def floor_divide_(self, x, other):
        self._nonzero("floor_divide", x, other)
        return self.xp.floor_divide(x, other)

    def trunc_divide_(self, x, other):
        self._nonzero("div", x, other)
        if whole_numbers(x) and whole_numbers(other):
            return (x - self.xp.fmod(x, other)) // other
        return self.xp.trunc(x / other)

    def sigmoid_(self, x):
        if x.dtype.kind == "c":
            return 1 / (1 + self.xp.exp(-x))
        return 0.5 * self.xp.tanh(0.5 * x) + 0.5

    def sum_(self, x, dim, keepdim):
        dtype = np.int64 if x.dtype.kind in "biu" else x.dtype
        return self.xp.sum(x, axis=dim, keepdims=keepdim, dtype=dtype)

    def mean_(self, x, dim, keepdim):
        return self.xp.mean(x, axis=dim, keepdims=keepdim, dtype=x.dtype)

    def softmax_(self, x, dim):
        if not x.ndim:
            return self.ones_like(x)
        if x.size == 0:
            return self.copy(x)
        e = self.xp.exp(x - x.max(axis=dim, keepdims=True))
        e /= e.sum(axis=dim, keepdims=True)
        return e

    def log_softmax_(self, x, dim):
        if not x.ndim:
            return self.zeros_like(x)
        if x.size == 0:
            return self.copy(x)
        shifted = x - x.max(axis=dim, keepdims=True)
        shifted -= self.xp.log(self.xp.exp(shifted).sum(axis=dim, keepdims=True))
        return shifted

    def matmul_(self, a, b):
        return self.xp.matmul(a, b)

    def linear_(self, x, weight, bias):
        out = self.matmul_(x, weight.T)
        if bias is not None:
            out += bias
        return out

    def batch_norm_train_(self, x, weight, bias, eps):
        xp = self.xp
        dims = (0, *range(2, x.ndim))
        wide = (1, -1, *([1] * (x.ndim - 2)))
        mean = xp.mean(x, axis=dims)
        centred = x - mean.reshape(wide)
        var = xp.mean(centred * centred, axis=dims)
        inverse_std = 1 / xp.sqrt(var + eps)
        scale = inverse_std if weight is None else inverse_std * weight
        centred *= scale.reshape(wide)
        if bias is not None:
            centred += bias.reshape(wide)
        return centred, mean, var, inverse_std

    def layer_norm_(self, x, weight, bias, dims, eps):
        over = tuple(range(x.ndim - dims, x.ndim))
        centred = x - x.mean(axis=over, keepdims=True)
        centred *= 1 / self.xp.sqrt((centred * centred).mean(axis=over, keepdims=True) + eps)
        if weight is not None:
            centred *= weight
        if bias is not None:
            centred += bias
        return centred

    # --- indexing --------------------------------------------------------------------------------------------------------

    def check_index(self, name, index, size):
        if index.size and (int(index.min()) < 0 or int(index.max()) >= size):
            bad = int(index.max()) if int(index.max()) >= size else int(index.min())
            raise DimensionError(f"{name}: index {bad} is out of bounds: it must be in 0 .. {size - 1}.")

    def checked_pattern(self, shape, pattern, indices):
        """The NumPy index of a pattern; raises DimensionError naming the index that is out of range."""
        place, axis, rest = [], 0, iter(indices)
        for item in pattern:
            if item is None:
                place.append(None)
            elif isinstance(item, slice):
                place.append(item)
                axis += 1
            else:
                t = next(rest)
                if t.dtype.kind == "b":
                    if tuple(shape[axis : axis + t.ndim]) != tuple(t.shape):
                        raise DimensionError(
                            f"The shape of the mask {list(t.shape)} at index {axis} does not match the shape of the "
                            f"indexed tensor {list(shape)} at index {axis}."
                        )
                    axis += t.ndim
                else:
                    size = shape[axis]
                    if t.size and (int(t.min()) < -size or int(t.max()) >= size):
                        bad = int(t.max()) if int(t.max()) >= size else int(t.min())
                        raise DimensionError(f"index {bad} is out of bounds for dimension {axis} with size {size}.")
                    axis += 1
                place.append(t)
        return tuple(place)

    def pattern_(self, pattern, indices):
        return split_pattern(pattern, indices)

    def places(self, index, dim):
        """The NumPy index of the places that ``index`` names along dim, and their own place along the others."""
        grid = list(self.xp.ogrid[tuple(slice(0, n) for n in index.shape)])
        grid[dim] = index
        return tuple(grid)

    def running_(self, ufunc, x, axis):
        """The running result of a ufunc along an axis."""
        return getattr(self.xp, ufunc).accumulate(x, axis=axis)

    def trim(self, x, shape, dim):
        """x cut to ``shape`` along all dims but ``dim``."""
        return x[tuple(slice(None) if d == dim else slice(0, n) for d, n in enumerate(shape))]

    def windows_(self, x, axis, size):
        return self.xp.lib.stride_tricks.sliding_window_view(x, size, axis=axis, writeable=True)

    def add_at_(self, out, place, values):
        np.add.at(out, place, values)

    def index_add_(self, x, index, source, dim):
        """x plus the slices of source at the rows index names, repeated rows summed: sort, then sum runs."""
        xp = self.xp
        out = x.copy()
        if index.size == 0:
            return out
        order = xp.argsort(index, kind="stable")
        rows = index[order]
        starts = xp.flatnonzero(xp.concatenate((xp.ones(1, bool), rows[1:] != rows[:-1])))
        front = xp.moveaxis(out, dim, 0)
        sums = xp.add.reduceat(xp.moveaxis(source, dim, 0)[order], starts, axis=0)
        front[rows[starts]] += sums.astype(out.dtype)
        return out

    def scatter_add_(self, x, index, source, dim):
        xp = self.xp
        out = x.copy()
        flat = xp.ravel_multi_index(tuple(xp.broadcast_arrays(*self.places(index, dim))), x.shape).reshape(-1)
        values = self.trim(source, index.shape, None).reshape(-1)
        if x.dtype.kind == "f":
            total = xp.bincount(flat, weights=values, minlength=x.size)
            out += total.reshape(x.shape).astype(x.dtype)
        else:
            view = out.reshape(-1)
            self.add_at_(view, flat, values)
            out = view.reshape(x.shape)
        return out

    def _labels(self, target, classes, ignore_index):
        """Labels with ignored ones at 0, and the mask of the others (None when none is ignored)."""
        if target.size == 0:
            return target.astype(np.int64), None
        low, high = int(target.min()), int(target.max())
        if low >= 0 and high < classes:
            if not low <= ignore_index <= high:
                return target.astype(np.int64, copy=False), None
        mask = target != ignore_index
        wrong = target[mask & ((target < 0) | (target >= classes))]
        if wrong.size:
            label = int(wrong.reshape(-1)[0])
            if label < 0:
                hint = f"To leave places out, mark them with ignore_index={ignore_index} or pass ignore_index={label}."
            elif label == classes and not (target == 0).any():
                hint = "Labels count from 0: subtract 1."
            else:
                hint = f"Give the last layer {high + 1} outputs, or check how the labels are made."
            raise LabelError(
                f"Target {label} is out of bounds: the model's output has {classes} classes, so labels are "
                f"0 .. {classes - 1}.",
                f"labels here: {low} .. {high}",
                hint,
            )
        return self.xp.where(mask, target, 0).astype(np.int64), mask

    def nll_pick_(self, x, target, ignore_index):
        if x.ndim == 1:
            return self.nll_pick_(x[None], target.reshape(1), ignore_index).reshape(())
        labels, mask = self._labels(target, x.shape[1], ignore_index)
        picked = self.xp.take_along_axis(x, self.xp.expand_dims(labels, 1), axis=1)[:, 0]
        return picked if mask is None else picked * mask

    def nll_place_(self, g, target, shape, ignore_index):
        if len(shape) == 1:
            return self.nll_place_(g.reshape(1), target.reshape(1), (1, *shape), ignore_index).reshape(shape)
        labels, mask = self._labels(target, shape[1], ignore_index)
        out = self.xp.zeros(shape, g.dtype)
        values = g if mask is None else g * mask
        self.xp.put_along_axis(out, self.xp.expand_dims(labels, 1), self.xp.expand_dims(values, 1), axis=1)
        return out

    # --- windows ------------------------------------------------------------------------------------------------------------

    def conv_(self, x, weight, bias, stride, padding, dilation, groups):
        limit = config.convolution_buffer_bytes
        return convolution.forward(self.xp, x, weight, bias, stride, padding, dilation, groups, limit)

    def conv_input_grad_(self, g, weight, shape, stride, padding, dilation, groups):
        limit = config.convolution_buffer_bytes
        return convolution.input_grad(self.xp, g, weight, shape, stride, padding, dilation, groups, limit)

    def conv_weight_grad_(self, x, g, shape, stride, padding, dilation, groups):
        limit = config.convolution_buffer_bytes
        return convolution.weight_grad(self.xp, x, g, shape, stride, padding, dilation, groups, limit)

    def max_pool_(self, x, kernel_size, stride, padding, dilation, sizes):
        return pooling.max_forward(self.xp, x, kernel_size, stride, padding, dilation, sizes)

    def max_pool_grad_(self, g, indices, shape):
        return pooling.max_grad(self.xp, g, indices, shape)

    def adaptive_max_pool_(self, x, sizes):
        return pooling.adaptive_max_forward(self.xp, x, sizes)

    def avg_pool_(self, x, kernel_size, stride, padding, sizes, count_include_pad, divisor_override):
        return pooling.avg_forward(self.xp, x, kernel_size, stride, padding, sizes, count_include_pad, divisor_override)

    def avg_pool_grad_(self, g, shape, kernel_size, stride, padding, count_include_pad, divisor_override):
        how = (kernel_size, stride, padding, count_include_pad, divisor_override)
        return pooling.avg_grad(self.xp, g, shape, *how)
