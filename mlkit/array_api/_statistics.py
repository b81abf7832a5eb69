"""The standard's reductions, running sums and products."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlkit.array_api._array import Array, ShapeRefused, array, cast, check_kind, library, new, result, through_ops
from mlkit.array_api._manipulation import axes_of, axis_of, concat, reshape
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import ValueRangeError
from mlkit.core.value import MetaArray, wrap
from mlkit.functional import reductions


def _sum_type(x: Array, dtype) -> dtypes.dtype:
    """The type sums and products are made in: the widest of its kind for integers, else the array's own."""
    if dtype is not None:
        return dtypes.as_dtype(dtype)
    if x._array.dtype.kind == "u":
        return dtypes.uint64
    return dtypes.int64 if x._array.dtype.kind == "i" else x.dtype


def _reduced(x: Array, places: tuple[int, ...], keepdims) -> tuple[int, ...]:
    return tuple(1 if i in places else n for i, n in enumerate(x.shape) if keepdims or i not in places)


def _raw(function: str, x: Array, places: tuple[int, ...], keepdims, **how) -> Array:
    with np.errstate(all="ignore"):
        return new(getattr(library(x), function)(x._array, axis=places, keepdims=bool(keepdims), **how))


def _total(name: str, x, axis, dtype, keepdims) -> Array:
    x = array(x, name)
    check_kind(name, "numeric", x)
    d = _sum_type(x, dtype)
    places = axes_of(name, axis, x.ndim)
    if not through_ops(x):
        return _raw(name, x, places, keepdims, dtype=d.numpy)
    x = cast(x, d)
    if not places:
        return result(ops.clone(x))
    if x._array.dtype.kind in "fc":
        out = x
        for place in sorted(places, reverse=True) if name == "prod" else (places,):
            out = getattr(ops, name)(out, dim=place, keepdim=bool(keepdims))
        return result(out)
    if x._array.__class__ is MetaArray:
        return result(wrap(MetaArray(_reduced(x, places, keepdims), d.numpy)))
    return _raw(name, x, places, keepdims, dtype=d.numpy)


def sum(x, /, *, axis=None, dtype=None, keepdims: Any = False) -> Array:  # noqa: A001
    """The sum over axes; small integers are summed as int64, unsigned ones as uint64, unless dtype says otherwise."""
    return _total("sum", x, axis, dtype, keepdims)


def prod(x, /, *, axis=None, dtype=None, keepdims: Any = False) -> Array:
    """The product over axes; types as in sum."""
    return _total("prod", x, axis, dtype, keepdims)


def mean(x, /, *, axis=None, keepdims: Any = False) -> Array:
    """The mean over axes of floating-point numbers."""
    x = array(x, "mean")
    check_kind("mean", "floating-point", x)
    places = axes_of("mean", axis, x.ndim)
    if not through_ops(x):
        return _raw("mean", x, places, keepdims)
    return result(reductions.mean(x, places, bool(keepdims)) if places else ops.clone(x))


def _spread(name: str, x, axis, correction, keepdims) -> Array:
    x = array(x, name)
    check_kind(name, "real floating-point", x)
    places = axes_of(name, axis, x.ndim)
    if not through_ops(x):
        return _raw(name, x, places, keepdims, ddof=correction)
    if not places:
        return result(ops.mul(x, 0.0))
    return result(getattr(reductions, name)(x, places, keepdim=bool(keepdims), correction=correction))


def var(x, /, *, axis=None, correction: float = 0.0, keepdims: Any = False) -> Array:
    """The variance over axes: squared deviations by (count - correction)."""
    return _spread("var", x, axis, correction, keepdims)


def std(x, /, *, axis=None, correction: float = 0.0, keepdims: Any = False) -> Array:
    """The standard deviation over axes."""
    return _spread("std", x, axis, correction, keepdims)


def _extreme(name: str, x, axis, keepdims) -> Array:
    x = array(x, name)
    check_kind(name, "real numeric", x)
    places = axes_of(name, axis, x.ndim)
    if x.size == 0 and 0 in [x._array.shape[p] for p in places]:
        raise ValueRangeError(f"{name}: nothing to choose from along {axis} of shape {tuple(x.shape)}.")
    if not through_ops(x):
        return _raw(name, x, places, keepdims)
    return result(getattr(ops, f"a{name}")(x, dim=places, keepdim=bool(keepdims)) if places else ops.clone(x))


def max(x, /, *, axis=None, keepdims: Any = False) -> Array:  # noqa: A001
    """The largest number over axes."""
    return _extreme("max", x, axis, keepdims)


def min(x, /, *, axis=None, keepdims: Any = False) -> Array:  # noqa: A001
    """The smallest number over axes."""
    return _extreme("min", x, axis, keepdims)


def _truth(name: str, x, axis, keepdims) -> Array:
    x = array(x, name)
    places = axes_of(name, axis, x.ndim)
    if x._array.__class__ is MetaArray:
        return result(wrap(MetaArray(_reduced(x, places, keepdims), np.dtype(bool))))
    return _raw(name, x, places, keepdims)


def all(x, /, *, axis=None, keepdims: Any = False) -> Array:  # noqa: A001
    """Whether all are true (or not zero) over axes."""
    return _truth("all", x, axis, keepdims)


def any(x, /, *, axis=None, keepdims: Any = False) -> Array:  # noqa: A001
    """Whether one is true (or not zero) over axes."""
    return _truth("any", x, axis, keepdims)


def _running(name: str, x, axis, dtype, include_initial) -> Array:
    x = array(x, name)
    check_kind(name, "numeric", x)
    if axis is None:
        if x.ndim > 1:
            raise ShapeRefused(f"{name}: name the axis; the array has {x.ndim}.")
        x, axis = reshape(x, (-1,)), 0
    place = axis_of(name, axis, x.ndim)
    x = cast(x, _sum_type(x, dtype))
    short = {"cumulative_sum": "cumsum", "cumulative_prod": "cumprod"}[name]
    if through_ops(x):
        out = result(getattr(ops, short)(x, dim=place))
    else:
        with np.errstate(all="ignore"):
            out = new(getattr(library(x), short)(x._array, axis=place, dtype=x._array.dtype))
    if not include_initial:
        return out
    shape = list(x.shape)
    shape[place] = 1
    first = library(x).full(shape, 0 if short == "cumsum" else 1, x._array.dtype)
    return concat([new(first), out], axis=place)


def cumulative_sum(x, /, *, axis=None, dtype=None, include_initial: Any = False) -> Array:
    """The running sum along an axis; include_initial puts a 0 before it."""
    return _running("cumulative_sum", x, axis, dtype, include_initial)


def cumulative_prod(x, /, *, axis=None, dtype=None, include_initial: Any = False) -> Array:
    """The running product along an axis; include_initial puts a 1 before it."""
    return _running("cumulative_prod", x, axis, dtype, include_initial)


def diff(x, /, *, axis: int = -1, n: int = 1, prepend=None, append=None) -> Array:
    """The differences of neighbours along an axis, n times; prepend and append are joined to x first."""
    x = array(x, "diff")
    check_kind("diff", "numeric", x)
    place = axis_of("diff", axis, x.ndim)
    if n < 0:
        raise ValueRangeError(f"diff: n must not be negative, got {n}.")
    if n == 0:
        return x
    parts = [y for y in (prepend, x, append) if y is not None]
    x = concat(parts, axis=place) if len(parts) > 1 else x
    for _ in range(n):
        size = x._array.shape[place]
        if not size:
            break
        late = result(ops.narrow(x, dim=place, start=1, length=size - 1))
        early = result(ops.narrow(x, dim=place, start=0, length=size - 1))
        x = late - early
    return x


def flat(x: Array) -> Array:
    """All values in one axis."""
    return reshape(x, (-1,))
