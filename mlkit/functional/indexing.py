"""x[...] in all its forms, reading and writing, and the functions that index by tensors."""

from __future__ import annotations

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core import events, inplace
from mlkit.core.dispatch import check_numbers, ops
from mlkit.core.errors import ArgumentError, DimensionError, DtypeError, RefusedError, ShapeError, ValueRangeError
from mlkit.core.value import LevelArray, MetaArray, Value, shown_as, wrap
from mlkit.functional.conversion import tensor, to_numpy_array
from mlkit.functional.placement import on_device
from mlkit.ops import REGISTRY
from mlkit.ops.indexing import TENSOR
from mlkit.ops.reduce import canonical_dim


def _stands_for_a_tuple(index) -> bool:
    """Whether a list is one index per dim, as in old NumPy: one with sequences, slices, None or tensors in it."""
    if not isinstance(index, list) or len(index) >= 32:
        return False
    return any(
        i is None or i is Ellipsis or isinstance(i, (Value, np.ndarray, list, tuple, range, slice)) for i in index
    )


def parse(x: Value, index) -> tuple[tuple, list]:
    """An index as (pattern over all dims, index tensors); the ellipsis is written out, lists become tensors."""
    items = list(index) if isinstance(index, tuple) or _stands_for_a_tuple(index) else [index]
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
    if len(dots) == 2 and dots[1] == len(items) - 1:  # the first one takes all the dims
        items.pop()
    elif len(dots) > 1:
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
            elif isinstance(item._array, LevelArray):  # another number for every example
                pattern.append(TENSOR)
                tensors.append(item)
            else:
                pattern.append(int(item._array))
        elif isinstance(item, str):
            raise ArgumentError(
                f"indices of a tensor are numbers, slices, None and tensors, not text: {item!r}.",
                hint="An axis is chosen by its name in the methods: x.select('name', i), x.sum('name').",
            )
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
    elif kind.kind not in "iub" or isinstance(item, Value) and kind.itemsize == 2 or kind == np.int8:
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
        out = ops.slice(x, index=pattern)
        return out if out._node is None else _named_by_last(out, pattern)
    seen, pattern = _basic_part(x, pattern, tensors)
    return ops.index([seen, *tensors], pattern=pattern)


def _named_by_last(out: Value, pattern: tuple) -> Value:
    """The node under the name of the last thing that was done, as in PyTorch: x[:, 0] selects, x[0, None] unsqueezes."""
    for item in reversed(pattern):
        if item is None:
            return shown_as(out, "UnsqueezeBackward0")
        if isinstance(item, int):
            return shown_as(out, "SelectBackward0")
        if item is not Ellipsis and item != slice(None):
            break
    return out


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
            if isinstance(value, (complex, np.complexfloating)) and not d.is_complex:
                raise RefusedError(f"value cannot be converted to type {d.name} without overflow: {value}.")
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
        inplace.refuse_overlap("setitem", seen, (value,))
        inplace.assign(seen, _without_leading_ones(value, seen), "setitem")
        return
    inplace.check_leaf(x)
    seen, pattern = _basic_part(x, pattern, tensors)
    if value._array.dtype != x._array.dtype:
        value = ops.cast(value, dtype=dtypes.from_numpy_dtype(x._array.dtype))
    strange = any(isinstance(t._array, (MetaArray, LevelArray)) for t in (x, value, *tensors))
    strange = strange or "write" in events.listeners  # somebody follows what becomes of memory
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
    if not tensors:
        raise RefusedError("index_put: at least one index tensor must be given.")
    masked = len(tensors) == 1 and tensors[0]._array.dtype == bool
    if masked and not values._array.ndim and not accumulate and values._array.dtype != input._array.dtype:
        values = ops.cast_like(values, input)
    if values._array.dtype != input._array.dtype:
        raise DtypeError(
            "Index put requires the source and destination dtypes match, got "
            f"{input.dtype} for the destination and {values.dtype} for the source."
        )
    return ops.index_put([input, values, *tensors], pattern=pattern, accumulate=accumulate)


def gather(input, dim: int, index, *, sparse_grad: bool = False):
    """out[i][j] = input[i][index[i][j]] for dim 1."""
    _check_index("gather", index)
    if not index._array.ndim and input._array.ndim == 1:
        return ops.reshape(ops.gather(input, ops.reshape(index, shape=(1,)), dim=dim), shape=())
    if not index._array.size:
        return ops.reshape(ops.narrow(ops.reshape(input, shape=(-1,)), dim=0, start=0, length=0), shape=index.shape)
    return ops.gather(input, index, dim=dim)


def _source(input, index, src):
    if isinstance(src, Value):
        return src
    return ops.cast_like(ops.add(ops.cast_like(ops.zeros_like(index), input), src), input)


def _check_index(name: str, index) -> None:
    if index._array.dtype.name not in ("int32", "int64") and index._array.size:
        raise DtypeError(
            f"{name}(): Expected dtype int32/int64 for index, got {index.dtype}.", hint="Use index.long()."
        )


def scatter(input, dim: int, index, src=None, *, value=None, reduce: str | None = None):
    """A copy of input with src (a tensor or a number) written at the places index names along ``dim``."""
    _check_index("scatter", index)
    src = _source(input, index, value if src is None else src)
    if reduce is not None and src._array.dtype != input._array.dtype:
        raise DtypeError("scatter(): Expected self.dtype to be equal to src.dtype.", f"{input.dtype} and {src.dtype}")
    if not index._array.size:
        return ops.clone(input)
    if reduce == "add":
        return ops.scatter_add(input, index, src, dim=dim)
    if reduce == "multiply":
        return ops.scatter_reduce(input, index, src, dim=dim, reduce="prod")
    if reduce is not None:
        raise RefusedError(f"scatter: reduce argument must be either add or multiply, got {reduce!r}.")
    if src._array.dtype != input._array.dtype:
        raise DtypeError("scatter(): Expected self.dtype to be equal to src.dtype.", f"{input.dtype} and {src.dtype}")
    return ops.scatter(input, index, src, dim=dim)


def scatter_add(input, dim: int, index, src):
    """A copy of input with src added at the places index names along ``dim``."""
    _check_index("scatter_add", index)
    if src._array.dtype != input._array.dtype:
        raise DtypeError("scatter(): Expected self.dtype to be equal to src.dtype.", f"{input.dtype} and {src.dtype}")
    if not index._array.size:
        return ops.clone(input)
    return ops.scatter_add(input, index, src, dim=dim)


def index_select(input, dim: int, index):
    """The slices along ``dim`` that index names."""
    if index._array.dtype.name not in ("int32", "int64"):
        raise DtypeError(f"index_select(): Expected dtype int32 or int64 for index, got {index.dtype}.")
    if not input._array.ndim and index._array.size == 1 and index._array.__class__ is not MetaArray:
        if int(index._array.reshape(-1)[0]) not in (0, -1):
            raise DimensionError("index_select(): index out of range in self.")
    if not input._array.ndim and index._array.size != 1:
        raise ShapeError(f"index_select(): Index to scalar can have only 1 value, got {index._array.size} value(s).")
    if index._array.ndim > 1:
        raise DimensionError("index_select(): Index is supposed to be a vector.", f"index: {tuple(index._array.shape)}")
    return ops.index_select(input, index, dim=dim)


def index_add(input, dim: int, index, source, *, alpha=1):
    """A copy of input with alpha * source added at the slices along ``dim`` that index names."""
    if source._array.dtype != input._array.dtype:
        raise DtypeError(f"index_add_(): self ({input.dtype}) and source ({source.dtype}) must have the same dtype.")
    if index._array.dtype.name not in ("int32", "int64"):
        raise DtypeError(f"index_add_(): Expected dtype int32/int64 for index but got: {index.dtype}.")
    if input._array.ndim == 1 and input._array.size > 1 and not source._array.ndim:
        raise ShapeError(
            "index_add_(): source tensor shape must match self tensor shape, excluding the specified dimension."
        )
    if index._array.ndim > 1:
        raise DimensionError(f"index_add_(): Index is supposed to be a vector, but got dim: {index._array.ndim}.")
    source = source if alpha == 1 else ops.cast_like(ops.mul(source, alpha), source)
    if not input._array.ndim or not source._array.ndim:
        if source._array.size != index._array.size:
            raise ShapeError("index_add_(): Number of indices should be equal to the number of source's slices.")
        canonical_dim("index_add", dim, input._array.ndim)
        flat = [ops.reshape(x, shape=(-1,)) for x in (input, index, source)]
        return ops.reshape(ops.index_add(*flat, dim=0), shape=tuple(input._array.shape))
    dim = canonical_dim("index_add", dim, input._array.ndim)
    wanted = tuple(index._array.size if i == dim else n for i, n in enumerate(input._array.shape))
    if tuple(source._array.shape) != wanted:
        raise ShapeError(
            "index_add_(): source tensor shape must match self tensor shape, excluding the specified dimension.",
            f"expected: {wanted}\nsource:   {tuple(source._array.shape)}",
        )
    return ops.index_add(input, index, source, dim=dim)


def masked_fill(input, mask, value):
    """A copy of input with ``value`` where mask is true."""
    if mask._array.dtype != bool:
        raise DtypeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype}.")
    if isinstance(value, Value):
        if value._array.dtype.kind == "c" and input._array.dtype.kind != "c":
            raise DtypeError(
                f"value cannot be converted to type {input.dtype} without overflow.", f"value: {value.dtype}"
            )
        if value._array.ndim:
            raise RefusedError(
                "masked_fill only supports a 0-dimensional value tensor, but got tensor with "
                f"{value._array.ndim} dimension(s)."
            )
        return ops.where(mask, ops.cast_like(value, input), input)
    d = dtypes.from_numpy_dtype(input._array.dtype)
    if isinstance(value, complex) and d.category < 3 or d.category == 1 and not _fits(value, d):
        raise DtypeError(f"value cannot be converted to type {d.name} without overflow.", f"value: {value}")
    return ops.masked_fill(input, mask, value=value)


def _fits(value, d) -> bool:
    """Whether a number is in the range of an integer type."""
    limits = dtypes.iinfo(d)
    return limits.min <= value <= limits.max


def masked_select(input, mask):
    """The values where mask is true, as a vector."""
    from mlkit.functional.shaping import broadcast_tensors

    if mask._array.dtype != bool:
        raise DtypeError(f"masked_select: expected BoolTensor for mask, got {mask.dtype}.")
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
    if index._array.dtype.name != "int64":
        raise DtypeError(f"take(): Expected a long tensor for index, but got {index.dtype}.", hint="Use index.long().")
    return ops.index([ops.reshape(input, shape=(-1,)), index], pattern=(TENSOR,))


def take_along_dim(input, indices, dim=None):
    """``gather`` with broadcasting; over the flattened tensor for None."""
    if dim is None:
        return ops.gather(ops.reshape(input, shape=(-1,)), ops.reshape(indices, shape=(-1,)), dim=0)
    rank = input._array.ndim
    if indices._array.dtype != np.int64:
        raise DtypeError(f"torch.take_along_dim(): dtype of indices should be Long but got {indices.dtype}.")
    if rank != indices._array.ndim:
        raise ShapeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {rank} dimensions for input, and {indices._array.ndim} dimensions for indices."
        )
    dim = canonical_dim("take_along_dim", dim, rank)
    indices = ops.where(ops.lt(indices, 0), ops.add(indices, input._array.shape[dim]), indices)
    a, b = list(input._array.shape), list(indices._array.shape)
    shape = [max(x, y) for x, y in zip(a, b, strict=True)]
    left = ops.expand(input, shape=[a[i] if i == dim else n for i, n in enumerate(shape)])
    right = ops.expand(indices, shape=[b[i] if i == dim else n for i, n in enumerate(shape)])
    return ops.gather(left, right, dim=dim)


def argwhere(input):
    """The indices of what is not zero: (n, dims)."""
    return nonzero(input)


def nonzero_static(input, *, size: int, fill_value: int = -1):
    """``nonzero`` with exactly ``size`` rows: cut, or filled up with fill_value."""
    if size < 0:
        raise DtypeError("nonzero_static: 'size' must be an non-negative integer.")
    found = to_numpy_array(nonzero(input))[:size]
    rest = np.full((size - len(found), found.shape[1]), fill_value, np.int64)
    return wrap(on_device(np.concatenate([found, rest]), dtypes_device(input)))


def scatter_reduce(input, dim: int, index, src, reduce: str, *, include_self: bool = True):
    """A copy of input with the values of src that go to one place along ``dim`` combined there.

    ``reduce`` is sum, prod, mean, amax or amin; ``include_self=False`` leaves out what was there before.

    >>> import mlkit
    >>> index = mlkit.tensor([0, 1, 0])
    >>> mlkit.zeros(2).scatter_reduce(0, index, mlkit.tensor([1.0, 2.0, 3.0]), "sum")
    tensor([4., 2.])
    """
    _check_index("scatter_reduce", index)
    if src._array.dtype != input._array.dtype:
        raise DtypeError("scatter(): Expected self.dtype to be equal to src.dtype.", f"{input.dtype} and {src.dtype}")
    if not index._array.size:
        return ops.clone(input)
    return ops.scatter_reduce(input, index, src, dim=dim, reduce=reduce, include_self=include_self)


def _along(name: str, input, dim: int, index) -> tuple[int, tuple]:
    """(dim, the pattern that puts ``index`` there), after the checks that index_* functions share."""
    dim = canonical_dim(name, dim, input._array.ndim)
    if index._array.ndim > 1:
        raise DimensionError(f"{name}(): Index should have dimension 1 or 0 (got {index._array.ndim}).")
    return dim, (*(slice(None),) * dim, TENSOR)


def _only_place(index) -> None:
    """Refuse a place in a tensor without dims other than its only one."""
    if bool((index != 0).any()):
        raise DimensionError("index_copy_(): index is out of bounds for dimension 0 with size 1.")


def index_copy(input, dim: int, index, source):
    """A copy of input with the slices of source written at the places along ``dim`` that index names."""
    dim, pattern = _along("index_copy", input, dim, index)
    if index._array.dtype != np.int64:
        raise DtypeError(f"index_copy_(): Expected a long tensor for index, but got {index.dtype}.")
    if source._array.dtype != input._array.dtype:
        raise DtypeError(
            f"index_copy_(): self and source expected to have the same dtype, but got {input.dtype} and {source.dtype}."
        )
    count = index._array.size
    if source._array.ndim and input._array.ndim != source._array.ndim and input._array.ndim:
        raise DimensionError(
            "index_copy_(): When source and destination are not scalars, their dimensionality must match."
        )
    if source._array.ndim and source._array.shape[dim] != count or not source._array.ndim and count != 1:
        raise DimensionError("index_copy_(): Number of indices should be equal to source.size(dim).")
    if not input._array.ndim:
        check_numbers(index, _only_place)
        return ops.reshape(ops.clone(source), shape=())
    wanted = tuple(count if i == dim else n for i, n in enumerate(input._array.shape))
    if source._array.ndim and tuple(source._array.shape) != wanted:
        raise ShapeError(
            "index_copy_(): Source/destination tensor must have same slice shapes.",
            f"input: {tuple(input._array.shape)}\nsource: {tuple(source._array.shape)}",
        )
    return ops.index_put([input, source, ops.reshape(index, shape=(-1,))], pattern=pattern, accumulate=False)


def index_fill(input, dim: int, index, value):
    """A copy of input with ``value`` in the slices along ``dim`` that index names."""
    dim, pattern = _along("index_fill", input, dim, index)
    if index._array.dtype != np.int64:
        raise DimensionError(f"index_fill_(): Expected dtype int64 for index, but got {index.dtype}.")
    if isinstance(value, Value):
        if value._array.ndim:
            raise RefusedError(
                f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value._array.ndim} dimension(s)."
            )
        if value.is_complex() and not input.is_complex():
            raise DtypeError("index_fill_(): Converting complex Scalar to non-complex type is not supported.")
        value = ops.cast_like(value, input)
    else:
        if isinstance(value, complex) and not input.is_complex():
            raise DtypeError("index_fill_(): Converting complex Scalar to non-complex type is not supported.")
        value = ops.cast_like(tensor(value, device=input.device), input)
    flat = wrap(backends.for_array(index._array).m.xp.unique(index._array))
    if not input._array.ndim:
        filled = ops.index_put([ops.reshape(input, shape=(1,)), value, flat], pattern=(TENSOR,), accumulate=False)
        return ops.reshape(filled, shape=())
    return ops.index_put([input, value, flat], pattern=pattern, accumulate=False)


def index_reduce(input, dim: int, index, source, reduce: str, *, include_self: bool = True):
    """A copy of input with the slices of source combined (prod, mean, amax, amin) at the places along ``dim``."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RefusedError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    dim, _ = _along("index_reduce", input, dim, index)
    if bool(input._array.ndim) != bool(source._array.ndim):
        count = source._array.size if source._array.ndim < 2 else source._array.shape[0]
        if input._array.ndim or count != index._array.size:
            raise ShapeError(
                "index_reduce_(): source tensor shape must match self tensor shape, excluding the specified dimension.",
                f"input: {tuple(input._array.shape)}\nsource: {tuple(source._array.shape)}",
            )
    if not index._array.size and not input._array.ndim:
        raise DimensionError("index_reduce_(): Dimension specified as 0 but tensor has no dimensions.")
    if index._array.dtype.name not in ("int32", "int64"):
        raise DtypeError("index_reduce(): Expected dtype int32/int64 for index.")
    if source._array.dtype != input._array.dtype:
        raise DtypeError("index_reduce(): self and source expected to have the same dtype.")
    if not input._array.ndim or not source._array.ndim:
        source, flat = ops.reshape(source, shape=(-1,)), ops.reshape(index, shape=(-1,))
        whole = ops.reshape(input, shape=(-1,))
        out = ops.scatter_reduce(whole, flat, source, dim=0, reduce=reduce, include_self=include_self)
        return ops.reshape(out, shape=tuple(input._array.shape))
    shape = tuple(-1 if i == dim else 1 for i in range(input._array.ndim))
    wide = ops.expand(ops.reshape(index, shape=shape), shape=tuple(source._array.shape))
    wide = ops.cast(wide, dtype=dtypes.int64)
    return ops.scatter_reduce(input, wide, source, dim=dim, reduce=reduce, include_self=include_self)


def masked_scatter(input, mask, source):
    """A copy of input with the values of source, in order, where mask is true."""
    if mask._array.dtype != bool:
        raise DtypeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype}.")
    if source._array.dtype != input._array.dtype:
        raise DtypeError(
            f"masked_scatter: expected self and source to have same dtypes but got {input.dtype} and {source.dtype}."
        )
    from mlkit.functional.shaping import broadcast_tensors

    input, mask = broadcast_tensors(input, mask)
    count = int(ops.sum(mask)._array)
    flat = ops.reshape(source, shape=(-1,))
    if flat._array.size < count:
        raise ShapeError(
            "masked_scatter: expected self and source to have as many elements as true mask entries.",
            f"source: {flat._array.size}\nmask: {count} true",
        )
    values = ops.narrow(flat, dim=0, start=0, length=count)
    if not input._array.ndim:
        return ops.reshape(values, shape=()) if count else ops.clone(input)
    return ops.index_put([input, values, mask], pattern=(TENSOR,), accumulate=False)


def put(input, index, source, accumulate: bool = False):
    """A copy of input with source written (added when ``accumulate``) at positions in the flattened tensor."""
    if index._array.dtype != np.int64:
        raise DtypeError(f"put_(): Expected a long tensor for index, but got {index.dtype}.")
    if source._array.dtype != input._array.dtype:
        raise DtypeError(
            f"put_(): self and source expected to have the same dtype, but got {input.dtype} and {source.dtype}."
        )
    if index._array.size != source._array.size:
        raise DimensionError(
            "put_(): Expected source and index to have the same number of elements, "
            f"but got source.numel() = {source._array.size}, index.numel() = {index._array.size}."
        )
    if not input._array.size and index._array.size:
        raise DimensionError("put_(): cannot put into an empty tensor.")
    flat = ops.index_put(
        [ops.reshape(input, shape=(-1,)), ops.reshape(source, shape=(-1,)), ops.reshape(index, shape=(-1,))],
        pattern=(TENSOR,),
        accumulate=accumulate,
    )
    return ops.reshape(flat, shape=tuple(input._array.shape))


# --- a copy with one view of it replaced ------------------------------------------------------------------------------


def _written(name: str, input, src, view_name: str, **attributes):
    op = REGISTRY[view_name]
    canonical = op.prepare(input._array, **attributes)
    shape = tuple(op.infer(input._array, **canonical).shape)
    if tuple(src._array.shape) != shape:
        raise ShapeError(
            f"{name}: expected src to have a size equal to the slice of self.",
            f"src: {tuple(src._array.shape)}\nslice: {shape}",
        )
    return ops.view_write(input, ops.cast_like(src, input), path=((op, canonical),))


def select_scatter(input, src, dim: int, index: int):
    """A copy of input with ``src`` as its slice at ``index`` along ``dim``."""
    dim = canonical_dim("select_scatter", dim, input._array.ndim)
    return _written("select_scatter", input, src, "slice", index=(*(slice(None),) * dim, index))


def slice_scatter(input, src, dim: int = 0, start=None, end=None, step: int = 1):
    """A copy of input with ``src`` at start:end:step along ``dim``."""
    dim = canonical_dim("slice_scatter", dim, input._array.ndim)
    start, end = (b.item() if isinstance(b, Value) else b for b in (start, end))
    return _written("slice_scatter", input, src, "slice", index=(*(slice(None),) * dim, slice(start, end, step)))


def diagonal_scatter(input, src, offset: int = 0, dim1: int = 0, dim2: int = 1):
    """A copy of input with ``src`` on a diagonal."""
    return _written("diagonal_scatter", input, src, "diagonal", offset=offset, dim1=dim1, dim2=dim2)


def as_strided_scatter(input, src, size, stride, storage_offset=None):
    """A copy of input with ``src`` where ``as_strided`` looks: of a view that lies apart in memory, a copy of that memory."""
    size, stride = tuple(size), tuple(stride)
    if isinstance(input._array, np.ndarray) and not input.is_contiguous():
        offset = input.storage_offset()
        memory = ops.as_strided(
            input, size=(input.untyped_storage().nbytes() // input.element_size(),), stride=(1,), offset=0
        )
        offset = offset if storage_offset is None else storage_offset
        written = _written("as_strided_scatter", memory, src, "as_strided", size=size, stride=stride, offset=offset)
        own = {"size": tuple(input._array.shape), "stride": input.stride(), "offset": input.storage_offset()}
        return ops.as_strided(written, **own)
    return _written("as_strided_scatter", input, src, "as_strided", size=size, stride=stride, offset=storage_offset)
