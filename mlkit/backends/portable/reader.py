"""The reader ``m``: what op rules are written with, over an array library with NumPy's interface.

``m.xp`` is the library, ``m.NAME`` any op of the registry on bare arrays (with this backend's override where it has
one), and the methods below are what the rules need besides. Names ending in ``_`` are only for ``forward`` rules; the
others exist for tensors too (core/dispatch), since gradients are written with them.
"""

from __future__ import annotations

import contextlib
import functools
import math

import numpy as np

from mlkit.backends.portable import convolution, matrices, pooling, special
from mlkit.core import backend as backends
from mlkit.core import config
from mlkit.core.errors import DimensionError, LabelError, LinAlgError, MissingFeature, MlkitError
from mlkit.ops import REGISTRY
from mlkit.ops.indexing import split_pattern
from mlkit.ops.registry import unbroadcast


class DivisionError(MlkitError, RuntimeError, ZeroDivisionError):
    """An integer divided by zero."""


class PlaceError(DimensionError, RuntimeError):
    """A place named by gather's or scatter's index that the tensor does not have."""


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

    def mH(self, x):  # noqa: N802 - PyTorch's name
        return self.conj(self.mT(x))

    def mT(self, x):  # noqa: N802 - PyTorch's name
        return x.swapaxes(-1, -2)

    def unbroadcast(self, g, shape):
        return unbroadcast(self, g, shape)

    def device_of(self, x):
        return backends.for_array(x).device_of(x)

    def contiguous(self, x):
        return self.xp.ascontiguousarray(x).reshape(x.shape)

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
        if whole_numbers(x) and whole_numbers(exponent) and hasattr(exponent, "dtype") and exponent.dtype.kind == "i":
            if (exponent < 0).any():  # 1 / x**|exponent|, rounded to zero
                x = self.xp.asarray(x)
                odd = exponent % 2 != 0
                small = self.xp.where(x == 1, 1, self.xp.where(x == -1, self.xp.where(odd, -1, 1), 0))
                whole = self.xp.power(x, self.xp.maximum(exponent, 0))
                return self.xp.where(exponent < 0, small, whole).astype(np.result_type(x, exponent))
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
        # not by tanh, which loses the left tail: there the result is exp(x), exact to the last digit
        with self.errstate():
            return 1 / (1 + self.xp.exp(-x))

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
            kind = DimensionError if name in ("index_select", "index_add") else PlaceError
            raise kind(
                f"{name}: index {bad} is out of bounds: it must be in 0 .. {size - 1}.",
                f"index: {tuple(index.shape)}, from {int(index.min())} to {int(index.max())}",
                hint=f"The table has {size} rows: make it larger, nn.Embedding({bad + 1}, ...), or look at where {bad} comes from."
                if name == "embedding" and bad >= 0
                else None,
            )

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
                            f"indexed tensor {list(shape)} at index {axis}.",
                            hint="A mask of the rows needs one entry a row: for columns use x[:, mask]."
                            if t.ndim == 1 and t.shape[0] in shape
                            else None,
                        )
                    axis += t.ndim
                else:
                    self.check_places(t, axis, shape)
                    axis += 1
                place.append(t)
        found = [tuple(p.shape) for p in place if getattr(p, "dtype", None) is not None and p.dtype.kind != "b"]
        try:
            np.broadcast_shapes(*found)
        except ValueError:
            raise DimensionError(
                "shape mismatch: indexing tensors could not be broadcast together with shapes "
                f"{', '.join(str(list(s)) for s in found)}.",
                f"input: {tuple(shape)}",
                "Index one axis after the other for every combination: x[rows][:, columns].",
            ) from None
        return tuple(place)

    def check_places(self, index, axis, shape):
        """Raise DimensionError where an index along that axis lies outside -size .. size - 1."""
        size = shape[axis]
        if index.size and (int(index.min()) < -size or int(index.max()) >= size):
            bad = int(index.max()) if int(index.max()) >= size else int(index.min())
            raise DimensionError(
                f"index {bad} is out of bounds for dimension {axis} with size {size}.",
                f"input: {tuple(shape)}\nindex: {tuple(index.shape)}, from {int(index.min())} to {int(index.max())}",
            )

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

    def memory_size(self, x) -> int:
        """How many elements of x's type its whole memory holds, from the start."""
        base = x
        while isinstance(getattr(base, "base", None), type(base)):
            base = base.base
        return base.nbytes // x.itemsize

    def logaddexp_(self, x, y):
        if getattr(x, "dtype", np.dtype(float)).kind != "c" and getattr(y, "dtype", np.dtype(float)).kind != "c":
            return self.xp.logaddexp(x, y)
        x, y = self.xp.asarray(x), self.xp.asarray(y)
        first = x.real >= y.real
        top, low = self.xp.where(first, x, y), self.xp.where(first, y, x)
        with self.errstate():
            return self.xp.where(x == y, x + np.log(2), top + self.xp.log1p(self.xp.exp(low - top))).astype(x.dtype)

    def logcumsumexp_(self, x, dim):
        if x.dtype.kind == "c":
            out = x.copy()
            rows = self.xp.moveaxis(out, dim, 0)
            for i in range(1, rows.shape[0]):
                rows[i] = self.logaddexp_(rows[i - 1], rows[i])
            return out
        return self.running_("logaddexp", x, dim)

    def pairs_(self, x):
        return self.xp.expand_dims(x, -1).view(f"f{x.itemsize // 2}")

    def scatter_reduce_(self, x, index, src, dim, reduce, include_self):
        """x with the values that go to one place combined there."""
        xp = self.xp
        place = self.places(index, dim)
        start = {"sum": 0, "mean": 0, "prod": 1}.get(reduce)
        if start is None:  # the neutral element of max and min
            if x.dtype.kind == "f" or x.dtype.kind == "V":
                start = -np.inf if reduce == "amax" else np.inf
            elif x.dtype.kind == "b":
                start = reduce == "amin"
            else:
                start = np.iinfo(x.dtype).min if reduce == "amax" else np.iinfo(x.dtype).max
        out = x.copy()
        if not include_self:
            out[place] = start
        if reduce in ("sum", "mean"):
            self.add_at_(out, place, src)
        else:
            name = {"prod": "multiply", "amax": "maximum", "amin": "minimum"}[reduce]
            self.ufunc_at_(name, out, place, src)
        if reduce == "mean":
            counts = xp.zeros(x.shape, np.int64) if not include_self else xp.ones(x.shape, np.int64)
            self.add_at_(counts, place, xp.ones(index.shape, np.int64))
            counts = xp.maximum(counts, 1)
            out = (out // counts if x.dtype.kind in "iu" else out / counts).astype(x.dtype)
        return out

    def ufunc_at_(self, ufunc, out, place, values):
        getattr(self.xp, ufunc).at(out, place, values)

    def numpy_random_(self, name, *parameters, key):
        """A distribution that NumPy's generator has, drawn on the host.

        It draws by rejection, as often as it likes: so from a stream of its own for this key.
        """
        seed, offset = key
        generator = np.random.Generator(np.random.Philox(key=seed + (1 << 64), counter=offset << 64))
        library = backends.for_array(parameters[0])
        drawn = getattr(generator, name)(*(library.to_numpy(p) for p in parameters))
        place = None if library.name == "numpy" else parameters[0].device.id
        return library.asarray(np.asarray(drawn, parameters[0].dtype), place)

    def searchsorted_(self, edges, values, right):
        """Places in each row of edges (..., n) for each of the values of the same row."""
        xp, side = self.xp, "right" if right else "left"
        if edges.ndim == 1:
            return xp.asarray(xp.searchsorted(edges, values, side=side), dtype=np.int64)
        out = xp.empty(values.shape, np.int64)
        rows, wanted, found = (a.reshape((-1, a.shape[-1])) for a in (edges, values, out))
        for row, value, place in zip(rows, wanted, found, strict=True):
            place[...] = xp.searchsorted(row, value, side=side)
        return found.reshape(values.shape)

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

    # --- matrices -----------------------------------------------------------------------------------------------------------

    def to_numpy_(self, x) -> np.ndarray:
        return backends.for_array(x).to_numpy(x)

    def raising(self):
        """A context in which the library raises for singular matrices."""
        return contextlib.nullcontext()

    def checked_(self, name, function, *arguments):
        """A factorization, with the library's error in our words."""
        try:
            with self.raising(), self.errstate():
                return function(*arguments)
        except np.linalg.LinAlgError as error:
            raise LinAlgError(
                f"linalg.{name}: The algorithm failed to converge because the input matrix is ill-conditioned or "
                "contains non-finite values.",
                str(error),
                "Look for NaN and infinity first: A.isfinite().all().",
            ) from None

    def _with_info(self, function, a, *right):
        """function(a, ...), and the first zero pivot of each matrix; substitution goes on through it, as LAPACK's does."""
        xp = self.xp
        try:
            with self.raising():
                return function(a, *right), xp.zeros(a.shape[:-2], np.int32)
        except np.linalg.LinAlgError:
            factors, pivots, info = matrices.lu_factor(xp, a)
            bad, eye = (info != 0)[..., None, None], xp.eye(a.shape[-1], dtype=a.dtype)
            out = function(xp.where(bad, eye, a), *right)
            b = xp.broadcast_to(right[0] if right else eye, out.shape)
            order = xp.broadcast_to(matrices.permutation_of(xp, pivots, a.shape[-1])[..., None], out.shape)
            with self.errstate():
                x = matrices.solve_triangular(xp, factors, xp.take_along_axis(b, order, -2), False, True)
                return xp.where(bad, matrices.solve_triangular(xp, factors, x, True, False), out), info

    def inverse_(self, a):
        return self._with_info(self.xp.linalg.inv, a)

    def solve_(self, a, b):
        return self._with_info(self.xp.linalg.solve, a, b)

    def cholesky_(self, a):
        xp = self.xp
        try:
            with self.raising():
                out = xp.linalg.cholesky(a)
            if not xp.isnan(out).any():
                return out, xp.zeros(a.shape[:-2], np.int32)
        except np.linalg.LinAlgError:
            pass
        n = a.shape[-1]
        flat = a.reshape((math.prod(a.shape[:-2]), n, n))
        found = [matrices.cholesky_so_far(xp, one) for one in flat]
        info = np.array([order for _, order in found], np.int32).reshape(a.shape[:-2])
        return xp.stack([out for out, _ in found]).reshape(a.shape), xp.asarray(info)

    def lu_factor_(self, a):
        return matrices.lu_factor(self.xp, a)

    def permutation_(self, pivots, rows):
        return matrices.permutation_of(self.xp, pivots, rows)

    def solve_triangular_(self, a, b, upper, unitriangular):
        with self.errstate():
            return matrices.solve_triangular(self.xp, a, b, upper, unitriangular)

    def matrix_exp_(self, a):
        return matrices.matrix_exp(self.xp, a)

    def ldl_parts_(self, ld, pivots, hermitian):
        return matrices.ldl_parts(ld, pivots, hermitian)

    def ldl_factor_(self, a, hermitian):
        hermitian = hermitian and a.dtype.kind == "c"
        return tuple(self.xp.asarray(x) for x in matrices.ldl_factor(self.to_numpy_(a), hermitian))

    # --- Fourier ------------------------------------------------------------------------------------------------------------

    def fourier_(self, name, x, dims, norm, size):
        """A transform of the library's, with the dims in order and the result in the input's precision."""
        shape = [x.shape[d] for d in dims]
        if size is not None:
            shape[-1] = size
        out = getattr(self.xp.fft, name)(x, s=shape, axes=dims, norm=norm)
        narrow = x.dtype.itemsize == (8 if x.dtype.kind == "c" else 4)
        return out.astype({"c": np.complex64, "f": np.float32}[out.dtype.kind], copy=False) if narrow else out

    # --- special functions and draws by rejection -----------------------------------------------------------------------------

    def special_(self, name, *arguments, **attributes):
        """A function of special.py in float64, in the arguments' precision."""
        xp = self.xp
        d = next(a.dtype for a in arguments if hasattr(a, "dtype"))
        if any(a.dtype.kind == "c" for a in arguments if hasattr(a, "dtype")):
            raise MissingFeature(f"{name} is not implemented for complex tensors.", hint="Use x.real, or x.abs().")
        wide = xp.broadcast_arrays(*[xp.asarray(a, dtype=np.float64) for a in arguments])
        with self.errstate():
            if attributes:
                return special.polygamma(self, attributes["n"], wide[0]).astype(d)
            return xp.asarray(getattr(special, name)(self, *wide)).astype(d)

    def narrowed_(self, out, *arguments):
        return out.astype(next(a.dtype for a in arguments if hasattr(a, "dtype")), copy=False)

    def standard_gamma_(self, concentration, key):
        draws = self.numpy_random_("standard_gamma", concentration.astype(np.float64), key=key)
        smallest = np.finfo(np.float64 if concentration.dtype == np.float64 else np.float32).tiny
        return self.xp.maximum(draws, smallest).astype(concentration.dtype)

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
