"""x[...] in all its forms, reading and writing, and the functions that index by tensors."""

from __future__ import annotations

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core import inplace
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, DimensionError, ValueRangeError
from mlkit.core.value import LevelArray, MetaArray, Value, wrap
from mlkit.functional.creation import on_device, tensor, to_numpy_array
from mlkit.ops.shape import TENSOR


def parse(x: Value, index) -> tuple[tuple, list]:
    """An index as (pattern over all dims, index tensors); the ellipsis is written out, lists become tensors."""
    items = list(index) if isinstance(index, tuple) else [index]
    used = 0
    for item in items:
        if item is None or item is Ellipsis:
            continue
        if isinstance(item, Value) and item._array.dtype == bool:
            used += item._array.ndim
        elif isinstance(item, np.ndarray) and item.dtype == bool:
            used += item.ndim
        elif isinstance(item, bool):
            continue
        else:
            used += 1
    rank = x._array.ndim
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise DimensionError("an index can only have a single ellipsis ('...').")
    if used > rank:
        raise DimensionError(
            f"too many indices for tensor of dimension {rank}.", f"tensor: {tuple(x._array.shape)}, indices: {used}"
        )
    if dots:
        items[dots[0] : dots[0] + 1] = [slice(None)] * (rank - used)
    pattern, tensors = [], []
    for item in items:
        if item is None or isinstance(item, slice):
            pattern.append(_whole_slice(item))
        elif isinstance(item, (bool, np.bool_)):
            pattern.append(TENSOR)
            tensors.append(tensor(bool(item)))
        elif isinstance(item, (int, np.integer)):
            pattern.append(int(item))
        elif isinstance(item, Value) and item._array.ndim == 0 and item._array.dtype.kind in "iu":
            if item._array.__class__ is MetaArray:
                pattern.append(0)
            else:
                pattern.append(int(item._array))
        elif isinstance(item, (Value, np.ndarray, list, tuple, range)):
            pattern.append(TENSOR)
            tensors.append(_index_tensor(x, item))
        elif hasattr(item, "__index__"):
            pattern.append(item.__index__())
        else:
            raise DimensionError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or bool tensors are valid indices "
                f"(got {type(item).__name__})."
            )
    return tuple(pattern), tensors


def _whole_slice(item):
    if item is None:
        return None

    def bound(b):
        return int(b.item()) if isinstance(b, Value) else b

    out = slice(bound(item.start), bound(item.stop), bound(item.step))
    if out.step is not None and out.step <= 0:
        raise ValueRangeError("step must be greater than zero.", hint="Reverse with x.flip(dim).")
    return out


def _index_tensor(x: Value, item) -> Value:
    t = item if isinstance(item, Value) else tensor(np.asarray(item) if not isinstance(item, range) else list(item))
    if t._array.size == 0 and t._array.dtype.kind == "f" and not isinstance(item, Value):
        t = ops.cast(t, dtype=dtypes.int64)
    kind = t._array.dtype
    if kind == np.uint8:
        t = ops.cast(t, dtype=dtypes.bool_)
    elif kind.kind not in "iub":
        raise DimensionError(
            "tensors used as indices must be long, int, byte or bool tensors.",
            f"index: {dtypes.from_numpy_dtype(kind)} {tuple(t._array.shape)}",
            "Use index.long().",
        )
    if x._array.__class__ is not MetaArray and t._array.__class__ is not MetaArray:
        source, target = backends.for_array(t._array), backends.for_array(x._array)
        if source is not target:
            t = wrap(target.asarray(source.to_numpy(t._array), target.device_of(x._array).index))
    return t


def getitem(x: Value, index) -> Value:
    """x[index]: a view for integers, slices and None; a copy when tensors or masks take part."""
    pattern, tensors = parse(x, index)
    if not tensors:
        return ops.slice(x, index=pattern)
    seen, pattern = _basic_part(x, pattern, tensors)
    return ops.index([seen, *tensors], pattern=pattern)


def _basic_part(x: Value, pattern: tuple, tensors: list) -> tuple[Value, tuple]:
    """Integers, slices and None act first and give a view; what is left has only whole dims and index tensors.

    PyTorch's rule. (NumPy counts an integer beside an index array as an index array, which moves the result's dims.)
    """
    basic: list = []
    rest: list = []
    following = iter(tensors)
    for item in pattern:
        if item == TENSOR:
            t = next(following)._array
            basic += [slice(None)] * (t.ndim if t.dtype == bool else 1)
            rest.append(TENSOR)
        else:
            basic.append(item)
            if not isinstance(item, int):
                rest.append(slice(None))
    if all(item == slice(None) for item in basic):
        return x, tuple(rest)
    return ops.slice(x, index=tuple(basic)), tuple(rest)


def setitem(x: Value, index, value) -> None:
    """x[index] = value, differentiable, through views too."""
    pattern, tensors = parse(x, index)
    if not isinstance(value, Value):
        d = dtypes.from_numpy_dtype(x._array.dtype)
        if isinstance(value, (bool, int, float, complex, np.generic)):
            value = tensor(value, dtype=d if not isinstance(value, complex) or d.is_complex else None)
        else:
            value = tensor(value, dtype=d)
    if x._array.__class__ is not MetaArray and value._array.__class__ is not MetaArray:
        source, target = backends.for_array(value._array), backends.for_array(x._array)
        if source is not target:
            if value._array.ndim:
                raise ArgumentError("setitem: value is on another device.", hint="Move it first: value.to(x.device).")
            value = wrap(target.asarray(source.to_numpy(value._array), None))
    if not tensors:
        seen = ops.slice(x, index=pattern)
        inplace.assign(seen, _without_leading_ones(value, seen), "setitem")
        return
    inplace.check_leaf(x)
    seen, pattern = _basic_part(x, pattern, tensors)
    if value._array.dtype != x._array.dtype:
        value = ops.cast(value, dtype=dtypes.from_numpy_dtype(x._array.dtype))
    strange = any(isinstance(t._array, (MetaArray, LevelArray)) for t in (x, value, *tensors))
    if x._node is None and value._node is None and not strange:
        m = backends.for_array(x._array).m
        place = m.checked_pattern(seen._array.shape, pattern, [t._array for t in tensors])
        _write_places(seen, place, value)
        inplace.mark_mutated(x)
        return
    inplace.assign(seen, ops.index_put([seen, value, *tensors], pattern=pattern, accumulate=False), "setitem")


def _write_places(x, place, value) -> None:
    array = value._array
    try:
        x._array[place] = array
    except ValueError as error:
        from mlkit.core.errors import ShapeError

        raise ShapeError(
            "setitem: the value does not fit the places that the index picks.",
            f"{error}",
        ) from None


def _without_leading_ones(value, seen):
    """A value with extra leading dims of size 1 may be written, as in NumPy and PyTorch."""
    extra = value._array.ndim - seen._array.ndim
    if extra > 0 and all(n == 1 for n in value._array.shape[:extra]):
        return ops.reshape(value, shape=tuple(value._array.shape[extra:]))
    return value


def index_put(input, indices, values, accumulate: bool = False):
    """A copy of input with values written (added when ``accumulate``) at the places the index tensors name."""
    pattern = tuple(slice(None) if t is None else TENSOR for t in indices)
    tensors = [_index_tensor(input, t) for t in indices if t is not None]
    return ops.index_put([input, values, *tensors], pattern=pattern, accumulate=accumulate)


def gather(input, dim: int, index):
    """out[i][j] = input[i][index[i][j]] for dim 1."""
    return ops.gather(input, index, dim=dim)


def _source(input, index, src):
    if isinstance(src, Value):
        return src
    return ops.cast(ops.zeros_like(index), dtype=dtypes.from_numpy_dtype(input._array.dtype)) + src


def scatter(input, dim: int, index, src=None, *, value=None, reduce: str | None = None):
    """A copy of input with src (a tensor or a number) written at the places index names along ``dim``."""
    src = _source(input, index, value if src is None else src)
    if reduce == "add":
        return ops.scatter_add(input, index, src, dim=dim)
    if reduce is not None:
        raise ArgumentError(f"scatter: reduce must be None or 'add', got {reduce!r}.", hint="Use scatter_reduce.")
    return ops.scatter(input, index, src, dim=dim)


def scatter_add(input, dim: int, index, src):
    """A copy of input with src added at the places index names along ``dim``."""
    return ops.scatter_add(input, index, src, dim=dim)


def index_select(input, dim: int, index):
    """The slices along ``dim`` that index names."""
    return ops.index_select(input, index, dim=dim)


def index_add(input, dim: int, index, source, *, alpha=1):
    """A copy of input with alpha * source added at the slices along ``dim`` that index names."""
    return ops.index_add(input, index, source if alpha == 1 else ops.mul(source, alpha), dim=dim)


def masked_fill(input, mask, value):
    """A copy of input with ``value`` where mask is true."""
    if isinstance(value, Value):
        return ops.where(mask, ops.cast_like(value, input), input)
    return ops.masked_fill(input, mask, value=value)


def masked_select(input, mask):
    """The values where mask is true, as a vector."""
    from mlkit.functional.shaping import broadcast_tensors

    input, mask = broadcast_tensors(input, mask)
    return ops.index([input, mask], pattern=(TENSOR,))


def nonzero(input, *, as_tuple: bool = False):
    """Where input is not zero: (n, dims) indices, or one vector per dim."""
    array = to_numpy_array(input)
    place = dtypes_device(input)
    if as_tuple:
        return tuple(wrap(on_device(a, place)) for a in np.nonzero(np.atleast_1d(array)))
    return wrap(on_device(np.argwhere(array), place))


def dtypes_device(input):
    return backends.for_array(input._array).device_of(input._array)


def take(input, index):
    """The values at positions in the flattened tensor."""
    return ops.index([ops.reshape(input, shape=(-1,)), index], pattern=(TENSOR,))


def take_along_dim(input, indices, dim=None):
    """``gather`` with broadcasting; over the flattened tensor for None."""
    if dim is None:
        return ops.gather(ops.reshape(input, shape=(-1,)), ops.reshape(indices, shape=(-1,)), dim=0)
    rank = input._array.ndim
    dim = dim + rank if dim < 0 else dim
    a, b = list(input._array.shape), list(indices._array.shape)
    shape = [max(x, y) for x, y in zip(a, b, strict=True)]
    left = ops.expand(input, shape=[a[i] if i == dim else n for i, n in enumerate(shape)])
    right = ops.expand(indices, shape=[b[i] if i == dim else n for i, n in enumerate(shape)])
    return ops.gather(left, right, dim=dim)
