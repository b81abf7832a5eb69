"""Reductions with PyTorch's overloads: over everything, over dims, with or without indices."""

from __future__ import annotations

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops, state
from mlkit.core.errors import DimensionError, RefusedError, UnsupportedDtype
from mlkit.core.value import Value, shown_as
from mlkit.functional.results import named_result
from mlkit.ops.reduce import canonical_dim

# PyTorch's named results
max_result = named_result("max", ("values", "indices"))
min_result = named_result("min", ("values", "indices"))
median_result = named_result("median", ("values", "indices"))
mode_result = named_result("mode", ("values", "indices"))
sort_result = named_result("sort", ("values", "indices"))
topk_result = named_result("topk", ("values", "indices"))
kthvalue_result = named_result("kthvalue", ("values", "indices"))
cummax_result = named_result("cummax", ("values", "indices"))
aminmax_result = named_result("aminmax", ("min", "max"))
cummin_result = named_result("cummin", ("values", "indices"))


def _cast(input, dtype):
    if dtype is None:
        return input
    d = dtypes.as_dtype(dtype)
    return input if input._array.dtype == d.numpy else ops.cast(input, dtype=d)


def sum(input, dim=None, keepdim: bool = False, *, dtype=None):  # noqa: A001
    """The sum over ``dim`` (an int, a tuple, or None for all); integers are summed as int64.

    >>> import mlkit
    >>> mlkit.sum(mlkit.ones(2, 3), dim=1)
    tensor([3., 3.])
    """
    out = ops.sum(_cast(input, dtype), dim=dim, keepdim=keepdim)
    return _cast(out, dtype)


def mean(input, dim=None, keepdim: bool = False, *, dtype=None):
    """The mean over ``dim`` (an int, a tuple, or None for all)."""
    return ops.mean(_cast(input, dtype), dim=dim, keepdim=keepdim)


def prod(input, dim=None, keepdim: bool = False, *, dtype=None):
    """The product over ``dim`` (an int, or None for all)."""
    return _cast(ops.prod(_cast(input, dtype), dim=dim, keepdim=keepdim), dtype)


def nansum(input, dim=None, keepdim: bool = False, *, dtype=None):
    """The sum over ``dim`` with NaN counted as zero."""
    if input._array.dtype.kind == "c":
        raise UnsupportedDtype("nansum does not support complex inputs.")
    return sum(ops.where(ops.isnan(input), ops.zeros_like(input), input), dim, keepdim, dtype=dtype)


def nanmean(input, dim=None, keepdim: bool = False, *, dtype=None):
    """The mean over ``dim`` of what is not NaN."""
    known = ops.logical_not(ops.isnan(input))
    return ops.div(nansum(input, dim, keepdim, dtype=dtype), ops.sum(known, dim=dim, keepdim=keepdim))


def _extreme(input, dim, keepdim, amax, argmax, elementwise, result):
    if isinstance(dim, Value):
        return elementwise(input, dim)
    if dim is None:
        if input._array.size == 0:
            raise RefusedError(
                f"{amax.__name__[1:]}(): Expected reduction dim to be specified for input.numel() == 0.",
                f"input: {tuple(input._array.shape)}",
            )
        out = amax(input)
        if out._node is not None and out._array.__class__ is np.ndarray and state.recorder is None and out != out:
            return ops.one_of_all(input, which=amax.__name__[1:])  # the NaN among the values have its gradient
        return shown_as(out, f"{amax.__name__[1:].capitalize()}Backward1")
    seen = ops.cast(input, dtype=dtypes.uint8) if input._array.dtype == bool else input
    indices = argmax(seen, dim=dim, keepdim=True)
    if not input._array.ndim:
        return result(ops.clone(input), ops.reshape(indices, shape=()))
    values = ops.gather(input, indices, dim=dim)
    if not keepdim:
        values, indices = ops.squeeze(values, dim), ops.squeeze(indices, dim)
    return result(shown_as(values, f"{amax.__name__[1:].capitalize()}Backward0"), indices)


def max(input, dim=None, keepdim: bool = False, *, other=None):  # noqa: A001
    """The largest value of all; with ``dim`` (values, indices) along it; with a tensor the elementwise maximum.

    >>> import mlkit
    >>> mlkit.max(mlkit.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1).indices
    tensor([1, 0])
    """
    return _extreme(input, dim if other is None else other, keepdim, ops.amax, ops.argmax, ops.maximum, max_result)


def min(input, dim=None, keepdim: bool = False, *, other=None):  # noqa: A001
    """The smallest value of all; with ``dim`` (values, indices) along it; with a tensor the elementwise minimum."""
    return _extreme(input, dim if other is None else other, keepdim, ops.amin, ops.argmin, ops.minimum, min_result)


def aminmax(input, *, dim=None, keepdim: bool = False):
    """The smallest and the largest value."""
    if dim is None and not input._array.size:
        raise RefusedError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
        )
    return aminmax_result(ops.amin(input, dim=dim, keepdim=keepdim), ops.amax(input, dim=dim, keepdim=keepdim))


def _correction(unbiased, correction):
    if correction is not None:
        return correction
    return 1 if unbiased is None or unbiased else 0


def var(input, dim=None, unbiased=None, keepdim: bool = False, *, correction=None):
    """The variance; ``correction=1`` (the default) divides by n - 1, 0 by n."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return ops.var(input, dim=dim, correction=_correction(unbiased, correction), keepdim=keepdim)


def std(input, dim=None, unbiased=None, keepdim: bool = False, *, correction=None):
    """The standard deviation; ``correction=1`` (the default) divides by n - 1, 0 by n."""
    return shown_as(ops.sqrt(var(input, dim, unbiased, keepdim, correction=correction)), "StdBackward0")


def var_mean(input, dim=None, unbiased=None, keepdim: bool = False, *, correction=None):
    """(variance, mean)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdim)


def std_mean(input, dim=None, unbiased=None, keepdim: bool = False, *, correction=None):
    """(standard deviation, mean)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdim)


def sort(input, dim: int = -1, descending: bool = False, stable: bool = False):
    """(values in order along ``dim``, where each was)."""
    return sort_result(*ops.sort(input, dim=dim, descending=descending, stable=stable))


def argsort(input, dim: int = -1, descending: bool = False, stable: bool = False):
    """The indices that sort along ``dim``."""
    return ops.sort(input, dim=dim, descending=descending, stable=stable)[1]


def topk(input, k: int, dim: int = -1, largest: bool = True, sorted: bool = True):  # noqa: A002
    """(the k largest values along ``dim``, where they were)."""
    return topk_result(*ops.topk(input, k=k, dim=dim, largest=largest, sorted=sorted))


def kthvalue(input, k: int, dim: int = -1, keepdim: bool = False):
    """(the k-th smallest value along ``dim``, where it was)."""
    if not input._array.ndim:
        canonical_dim("kthvalue", dim, 0)
        if k != 1:
            raise RefusedError(f"kthvalue(): selected number k out of range for dimension {dim}.")
        return kthvalue_result(ops.clone(input), ops.cast(ops.zeros_like(input), dtype=dtypes.int64))
    dim = canonical_dim("kthvalue", dim, input._array.ndim)
    if not 1 <= k <= input._array.shape[dim]:
        if not input._array.shape[dim]:
            raise DimensionError(f"kthvalue(): Expected reduction dim {dim} to have non-zero size.")
        raise RefusedError(f"kthvalue(): selected number k out of range for dimension {dim}.")
    indices = ops.narrow(ops.sort(input, dim=dim)[1], dim=dim, start=k - 1, length=1)
    values = ops.gather(input, indices, dim=dim)
    if not keepdim:
        values, indices = ops.squeeze(values, dim), ops.squeeze(indices, dim)
    return kthvalue_result(shown_as(values, "KthvalueBackward0"), indices)


def median(input, dim=None, keepdim: bool = False):
    """The middle value (the lower one of two), NaN when one is; with ``dim`` (values, indices).

    >>> import mlkit
    >>> mlkit.median(mlkit.tensor([5.0, 1.0, 3.0]))
    tensor(3.)
    """
    if input._array.dtype.kind in "bc":
        raise UnsupportedDtype(f"median: not implemented for {input.dtype}.")
    if dim is None:
        if not input._array.ndim:
            return ops.clone(input)
        flat = ops.reshape(input, shape=(-1,))
        if not flat._array.size:
            return ops.sum(flat) + (float("nan") if flat.is_floating_point() else 0)
        if input._node is not None and state.grad:
            return ops.one_of_all(input, which="median")
        return median(flat, 0).values
    if not input._array.ndim:
        return median_result(*kthvalue(input, 1, dim, keepdim))
    dim = canonical_dim("median", dim, input._array.ndim)
    n = input._array.shape[dim]
    if not n:
        raise DimensionError(f"median(): Expected reduction dim {dim} to have non-zero size.")
    order = ops.sort(input, dim=dim)[1]  # NaN comes last
    middle = ops.narrow(order, dim=dim, start=(n - 1) // 2, length=1)
    if input._array.dtype.kind == "f":
        nan = ops.isnan(input)
        first_nan = ops.argmax(ops.cast(nan, dtype=dtypes.uint8), dim=dim, keepdim=True)
        middle = ops.where(ops.any(nan, dim=dim, keepdim=True), first_nan, middle)
    values = ops.gather(input, middle, dim=dim)
    if not keepdim:
        values, middle = ops.squeeze(values, dim), ops.squeeze(middle, dim)
    return median_result(shown_as(values, "MedianBackward1"), middle)


def cummax(input, dim: int):
    """(largest value so far along ``dim``, where it was)."""
    return cummax_result(*ops.cummax(input, dim=dim))


def cummin(input, dim: int):
    """(smallest value so far along ``dim``, where it was)."""
    return cummin_result(*ops.cummin(input, dim=dim))


def cumsum(input, dim: int, *, dtype=None):
    """The running sum along ``dim``."""
    return _cast(ops.cumsum(_cast(input, dtype), dim=dim), dtype)


def cumprod(input, dim: int, *, dtype=None):
    """The running product along ``dim``."""
    return _cast(ops.cumprod(_cast(input, dtype), dim=dim), dtype)


def count_nonzero(input, dim=None):
    """How many values are not zero."""
    return ops.sum(ops.ne(input, 0), dim=dim)


def logcumsumexp(input, dim: int):
    """log of the running sum of exp along ``dim``, stable."""
    return ops.logcumsumexp(input, dim=dim)


def norm(input, p="fro", dim=None, keepdim: bool = False, dtype=None):
    """The vector p-norm over ``dim`` (all dims for None); "fro" is the 2-norm, "nuc" the nuclear norm of matrices."""
    from mlkit.functional import norms

    input = _cast(input, dtype)
    if p == "nuc":
        dims = tuple(range(input._array.ndim)) if dim is None else dim
        return norms.matrix_norm(input, "nuc", dims, keepdim)
    return norms.vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim)
