"""Values as sets: unique, membership, sorted places, combinations."""

from __future__ import annotations

import itertools

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import DtypeError, RefusedError, ShapeError, UnsupportedDtype
from mlkit.core.value import Value, wrap
from mlkit.functional.arithmetic import result_type
from mlkit.functional.conversion import tensor, to_numpy_array
from mlkit.functional.placement import on_device
from mlkit.functional.shaping import meshgrid, stack
from mlkit.ops.indexing import TENSOR
from mlkit.ops.reduce import canonical_dim


def _shape(x) -> tuple:
    return tuple(x._array.shape)


def _beside(x, array) -> Value:
    place = backends.for_array(x._array).device_of(x._array)
    return wrap(
        on_device(np.ascontiguousarray(array), place) if np.ndim(array) else on_device(np.asarray(array), place)
    )


def _results(x, parts, return_inverse, return_counts):
    values, inverse, counts = parts
    out = [_beside(x, values)]
    if return_inverse:
        out.append(_beside(x, inverse.astype(np.int64)))
    if return_counts:
        out.append(_beside(x, counts.astype(np.int64)))
    return out[0] if len(out) == 1 else tuple(out)


def unique(input, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim=None):  # noqa: A002
    """The different values in order (the different slices along ``dim``), and on demand where each element went and
    how often each value is there.

    >>> import mlkit
    >>> mlkit.unique(mlkit.tensor([3, 1, 3, 2]), return_counts=True)
    (tensor([1, 2, 3]), tensor([1, 1, 2]))
    """
    array = to_numpy_array(input)
    if dim is not None:
        dim = canonical_dim("unique", dim, array.ndim)
        if not array.size and 0 in [n for i, n in enumerate(array.shape) if i != dim]:
            if array.shape[dim] == 0 or any(n == 0 for i, n in enumerate(array.shape) if i != dim):
                if sum(n == 0 for n in array.shape) > 1 or array.shape[dim]:
                    raise ShapeError(
                        "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied.",
                        f"input: {array.shape}",
                    )
        if not array.ndim:
            array, dim = array.reshape(1), 0
        if not array.shape[dim]:
            return _results(input, (array, np.zeros(0), np.zeros(0)), return_inverse, return_counts)
    parts = np.unique(array, return_inverse=True, return_counts=True, axis=dim, equal_nan=False)
    inverse = parts[1].reshape(array.shape if dim is None else array.shape[dim])
    return _results(input, (parts[0], inverse, parts[2]), return_inverse, return_counts)


def unique_consecutive(input, return_inverse: bool = False, return_counts: bool = False, dim=None):
    """``unique`` that only drops an element equal to the one before it; the order stays."""
    array = to_numpy_array(input)
    if dim is None:
        rows = array.reshape(-1)
        axis = 0
        whole = array.shape
    else:
        axis = canonical_dim("unique_consecutive", dim, array.ndim)
        rows = array if array.ndim else array.reshape(1)
        if not array.size and rows.shape[axis]:
            raise ShapeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied.")
        whole = rows.shape[axis : axis + 1]
    front = np.moveaxis(rows, axis, 0)
    n = front.shape[0]
    changed = (front[1:] != front[:-1]).any(axis=tuple(range(1, front.ndim))) if n else np.zeros(0, bool)
    fresh = np.concatenate([np.ones(min(n, 1), bool), changed])
    starts = np.flatnonzero(fresh)
    values = np.moveaxis(front[starts], 0, axis)
    counts = np.diff(np.append(starts, n))
    inverse = (np.cumsum(fresh) - 1).reshape(whole)
    return _results(input, (values, inverse, counts), return_inverse, return_counts)


def isin(elements, test_elements, *, assume_unique: bool = False, invert: bool = False):
    """True where an element is one of ``test_elements``."""
    if not isinstance(elements, Value) and not isinstance(test_elements, Value):
        raise RefusedError("isin: at least one of elements and test_elements must be a tensor.")
    if not isinstance(elements, Value):
        elements = tensor(elements, device=test_elements.device)
    if not isinstance(test_elements, Value):
        test_elements = tensor(test_elements, device=elements.device)
    for x in (elements, test_elements):
        if x._array.dtype.kind in "bc":
            raise UnsupportedDtype(f"isin: not implemented for {x.dtype}.")
    if elements._array.dtype != test_elements._array.dtype:
        shared = result_type(elements, test_elements)
        elements, test_elements = ops.cast(elements, dtype=shared), ops.cast(test_elements, dtype=shared)
    xp = backends.for_array(elements._array).m.xp
    out = xp.isin(elements._array, test_elements._array, assume_unique=False, invert=invert)
    return wrap(xp.asarray(out))


def searchsorted(sorted_sequence, input, *, out_int32: bool = False, right: bool = False, side=None, sorter=None):
    """Where each value of ``input`` would go in the sorted sequence (along its last dim).

    ``right`` (or side="right"): behind equal elements instead of before them. ``sorter`` are the indices that sort it.

    >>> import mlkit
    >>> mlkit.searchsorted(mlkit.tensor([1, 3, 5]), mlkit.tensor([3, 6]))
    tensor([1, 3])
    """
    if side not in (None, "left", "right"):
        raise RefusedError(f"searchsorted: side can only be 'left' or 'right' but got {side}.")
    if side == "left" and right:
        raise RefusedError(
            "searchsorted: side and right can't be set to opposites, got side of left while right was True."
        )
    if sorter is not None:
        if _shape(sorter) != _shape(sorted_sequence):
            raise ShapeError("searchsorted: boundary and sorter must have the same size.")
        if sorter._array.dtype != np.int64:
            raise DtypeError(f"searchsorted: sorter must be a tensor of long dtype but got {sorter.dtype}.")
        n = _shape(sorter)[-1] if sorter._array.ndim else 0
        if sorter._array.size and not 0 <= int(sorter._array.min()) <= int(sorter._array.max()) < n:
            raise RefusedError("searchsorted: sorter index out of range.")
        sorted_sequence = ops.gather(sorted_sequence, sorter, dim=sorted_sequence._array.ndim - 1)
    if not isinstance(input, Value):
        if sorted_sequence._array.ndim != 1:
            raise ShapeError(
                "searchsorted: input value can be a scalar only when boundaries tensor dimension is 1.",
                f"sorted_sequence: {_shape(sorted_sequence)}",
            )
        input = tensor(input, device=sorted_sequence.device)
    elif input._array.dtype != sorted_sequence._array.dtype:
        raise DtypeError(
            "searchsorted: boundary tensor and input value tensor should have same dtype, "
            f"but got {sorted_sequence.dtype} and {input.dtype}."
        )
    out = ops.searchsorted(sorted_sequence, input, right=right or side == "right")
    return ops.cast(out, dtype=dtypes.int32) if out_int32 else out


def bucketize(input, boundaries, *, out_int32: bool = False, right: bool = False):
    """The number of the bucket each value falls into, the buckets cut by the sorted vector ``boundaries``."""
    if boundaries._array.ndim != 1:
        raise ShapeError(f"bucketize: boundaries tensor must be 1 dimension, but got dim({boundaries._array.ndim}).")
    if not isinstance(input, Value):
        return searchsorted(boundaries, input, out_int32=out_int32, right=right)
    if input._array.dtype == boundaries._array.dtype == bool:
        raise UnsupportedDtype("bucketize: not implemented for bool.", hint="Convert first: x.float().")
    out = ops.searchsorted(boundaries, input, right=right)
    return ops.cast(out, dtype=dtypes.int32) if out_int32 else out


def combinations(input, r: int = 2, with_replacement: bool = False):
    """All combinations of r elements of a vector, as rows."""
    if input._array.ndim != 1:
        raise ShapeError("combinations: expected a 1D vector.", f"input: {_shape(input)}")
    if r < 0:
        raise RefusedError(f"combinations: expected a non-negative number, got {r}.")
    if r == 0:
        return ops.narrow(input, dim=0, start=0, length=0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(input._array.size), r)), np.int64).reshape(-1, r)
    return ops.index([input, ops.index_array(places, like=input)], pattern=(TENSOR,))


def cartesian_prod(*tensors):
    """All combinations of one element from each vector, as rows."""
    for x in tensors:
        if x._array.ndim != 1:
            raise ShapeError("cartesian_prod: expected 1D vectors.", f"got {_shape(x)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([ops.reshape(g, shape=(-1,)) for g in meshgrid(*tensors, indexing="ij")], 1)


def unravel_index(indices, shape):
    """Positions in the flattened tensor as one index tensor per dim of ``shape``."""
    if not isinstance(indices, Value) or indices._array.dtype.kind not in "iu":
        raise DtypeError("unravel_index() expected 'indices' to be an integer tensor.")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    total = 1
    for n in sizes:
        if n < 0:
            from mlkit.core.errors import ValueRangeError

            raise ValueRangeError(f"unravel_index() 'shape' cannot have negative values, but got {sizes}.")
        total *= n
    indices = ops.cast(indices, dtype=dtypes.int64)
    out = []
    for n in reversed(sizes):
        out.append(ops.remainder(indices, n) if n else indices)
        indices = ops.floor_divide(indices, n) if n else indices
    return tuple(reversed(out))
