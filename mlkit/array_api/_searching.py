"""The standard's searching, sorting and set functions."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np

from mlkit.array_api._array import Array, ShapeRefused, array, cast, check_kind, library, new, pair, promoted, result
from mlkit.array_api._manipulation import axes_of, axis_of, take_along_axis
from mlkit.array_api._statistics import _raw
from mlkit.core.dispatch import ops
from mlkit.core.dtype import bool_, int64
from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.core.value import Value

UniqueAll = namedtuple("UniqueAll", ("values", "indices", "inverse_indices", "counts"))
UniqueCounts = namedtuple("UniqueCounts", ("values", "counts"))
UniqueInverse = namedtuple("UniqueInverse", ("values", "inverse_indices"))


def _place_of(name: str, x, axis, keepdims) -> Array:
    x = array(x, name)
    check_kind(name, "real numeric", x)
    if axis is not None:
        axis = axis_of(name, axis, x.ndim)
    xp = library(x)
    found = getattr(xp, name)(x._array, axis=axis)
    if keepdims:
        shape = tuple(1 if axis is None or i == axis else n for i, n in enumerate(x.shape))
        found = xp.reshape(found, shape)
    return cast(new(found), int64)


def argmax(x, /, *, axis: int | None = None, keepdims: Any = False) -> Array:
    """Where the largest number is (the first of equals), along an axis or of all."""
    return _place_of("argmax", x, axis, keepdims)


def argmin(x, /, *, axis: int | None = None, keepdims: Any = False) -> Array:
    """Where the smallest number is (the first of equals), along an axis or of all."""
    return _place_of("argmin", x, axis, keepdims)


def count_nonzero(x, /, *, axis=None, keepdims: Any = False) -> Array:
    """How many are not zero, over axes."""
    x = array(x, "count_nonzero")
    return _raw("sum", cast(x, bool_), axes_of("count_nonzero", axis, x.ndim), keepdims, dtype=np.int64)


def nonzero(x, /) -> tuple:
    """The places of what is not zero: one array of indices for each axis."""
    x = array(x, "nonzero")
    if not x.ndim:
        raise ShapeRefused("nonzero: the array has no axes.")
    return tuple(cast(new(places), int64) for places in library(x).nonzero(x._array))


def searchsorted(x1, x2, /, *, side: str = "left", sorter=None) -> Array:
    """Where each number of x2 would go in x1, sorted with one axis; among equals to the left or right of them."""
    if isinstance(x2, (int, float)):
        x1, x2 = pair("searchsorted", "real numeric", x1, x2)
    x1, x2 = array(x1, "searchsorted"), array(x2, "searchsorted")
    check_kind("searchsorted", "real numeric", x1, x2)
    promoted("searchsorted", x1.dtype, x2.dtype)
    if side not in ("left", "right"):
        raise ValueRangeError(f"searchsorted: side must be 'left' or 'right', not {side!r}.")
    if x1.ndim != 1:
        raise ShapeRefused(f"searchsorted: x1 must have one axis, got shape {tuple(x1.shape)}.")
    xp = library(x1, x2)
    known = x1._array if sorter is None else x1._array[array(sorter, "searchsorted")._array]
    return cast(new(xp.searchsorted(known, x2._array, side=side)), int64)


def where(condition, x1, x2, /) -> Array:
    """x1 where the condition is true, else x2; one of them may be a Python number."""
    condition = array(condition, "where")
    check_kind("where", "boolean", condition)
    a, b = pair("where", "any", x1, x2)
    return result(ops.where(condition, a, b))


# --- sorting ------------------------------------------------------------------------------------------------------------


def argsort(x, /, *, axis: int = -1, descending: Any = False, stable: Any = True) -> Array:
    """The places that sort x along an axis; equals keep their order."""
    x = array(x, "argsort")
    check_kind("argsort", "real numeric", x)
    place = axis_of("argsort", axis, x.ndim)
    xp = library(x)
    how = {"kind": "stable"} if xp is np else {}
    if not descending:
        return cast(new(xp.argsort(x._array, axis=place, **how)), int64)
    turned = xp.argsort(xp.flip(x._array, axis=place), axis=place, **how)
    return cast(new(x._array.shape[place] - 1 - xp.flip(turned, axis=place)), int64)


def sort(x, /, *, axis: int = -1, descending: Any = False, stable: Any = True) -> Array:
    """x in order along an axis."""
    x = array(x, "sort")
    return take_along_axis(x, argsort(x, axis=axis, descending=descending, stable=stable), axis=axis)


# --- sets ---------------------------------------------------------------------------------------------------------------


def _unique(name: str, x) -> tuple[Array, Array, Array, Array]:
    """Values in order, the first place of each, the place of each element among them, and how often they come.

    Every NaN is a value of its own.
    """
    x = array(x, name)
    xp = library(x)
    flat = xp.reshape(x._array, (-1,))
    order = xp.argsort(flat, **({"kind": "stable"} if xp is np else {}))
    ranked = flat[order]
    fresh = xp.ones(ranked.shape, bool)
    fresh[1:] = ranked[1:] != ranked[:-1]
    group = xp.cumsum(fresh) - 1
    inverse = xp.empty(flat.shape, np.int64)
    inverse[order] = group
    starts = xp.nonzero(fresh)[0]
    ends = xp.concatenate([starts[1:], xp.asarray([flat.size], starts.dtype)])[: starts.size]
    counts = ends - starts
    return (
        new(ranked[fresh]),
        cast(new(order[fresh]), int64),
        new(xp.reshape(inverse, x._array.shape)),
        cast(new(counts), int64),
    )


def unique_all(x, /) -> UniqueAll:
    """(values, indices of their first places, inverse_indices, counts) of the different elements."""
    return UniqueAll(*_unique("unique_all", x))


def unique_counts(x, /) -> UniqueCounts:
    """(values, counts) of the different elements."""
    values, _, _, counts = _unique("unique_counts", x)
    return UniqueCounts(values, counts)


def unique_inverse(x, /) -> UniqueInverse:
    """(values, inverse_indices): values[inverse_indices] is x again."""
    values, _, inverse, _ = _unique("unique_inverse", x)
    return UniqueInverse(values, inverse)


def unique_values(x, /) -> Array:
    """The different elements, in order."""
    return _unique("unique_values", x)[0]


def isin(x1, x2, /, *, invert: Any = False) -> Array:
    """Whether each element of x1 is one of x2."""
    if not isinstance(x1, Value) and not isinstance(x2, Value):
        raise ArgumentError("isin: at least one argument must be an array.")
    a, b = pair("isin", "any", x1, x2)
    return new(library(a, b).isin(a._array, b._array, invert=bool(invert)))
