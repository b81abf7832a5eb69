"""The standard's functions that move values about: shapes, axes, joining, taking."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlkit.array_api._array import (
    Array,
    ShapeRefused,
    array,
    cast,
    check_kind,
    direct,
    library,
    new,
    promoted,
    result,
    through_ops,
)
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.core.size import broadcast_shapes as _broadcast_shapes
from mlkit.core.value import Value
from mlkit.functional import shaping


class AxisRefused(ValueRangeError, IndexError):
    """An axis the array does not have."""


def axis_of(name: str, axis: Any, rank: int) -> int:
    """An axis counted from the front."""
    if not hasattr(axis, "__index__") or isinstance(axis, bool):
        raise ArgumentError(f"{name}: an axis is an integer, not {axis!r}.")
    place = axis.__index__()
    if not -rank <= place < rank:
        raise AxisRefused(f"{name}: axis {place} is out of bounds for an array with {rank} axes.")
    return place % rank if rank else 0


def axes_of(name: str, axes: Any, rank: int) -> tuple[int, ...]:
    """Axes, one or several or all (None), counted from the front, each once."""
    if axes is None:
        return tuple(range(rank))
    out = tuple(axis_of(name, a, rank) for a in (axes if isinstance(axes, (tuple, list)) else (axes,)))
    if len(set(out)) < len(out):
        raise ValueRangeError(f"{name}: an axis is named twice: {axes}.")
    return out


def broadcast_shapes(*shapes) -> tuple[int, ...]:
    """The shape all of them broadcast to."""
    try:
        return tuple(_broadcast_shapes(*shapes))
    except ValueError as error:
        raise ShapeRefused(f"The shapes do not broadcast: {', '.join(map(str, shapes))}.", str(error)) from None


def broadcast_to(x, /, shape) -> Array:
    """x repeated along new axes and axes of size 1, without a copy."""
    x = array(x, "broadcast_to")
    if broadcast_shapes(tuple(x.shape), tuple(shape)) != tuple(shape):
        raise ShapeRefused(f"broadcast_to: {tuple(x.shape)} does not broadcast to {tuple(shape)}.")
    return result(ops.expand(x, shape=tuple(shape)))


def broadcast_arrays(*arrays) -> list:
    """All arrays in the shape they broadcast to."""
    given = [array(x, "broadcast_arrays") for x in arrays]
    shape = broadcast_shapes(*[tuple(x.shape) for x in given])
    return [broadcast_to(x, shape) for x in given]


def concat(arrays, /, *, axis: int | None = 0) -> Array:
    """Arrays one after the other along an axis; axis None flattens them first."""
    given = [array(x, "concat") for x in arrays]
    d = promoted("concat", *(x.dtype for x in given))
    given = [cast(x, d) for x in given]
    if axis is None:
        given, axis = [reshape(x, (-1,)) for x in given], 0
    place = axis_of("concat", axis, given[0].ndim)
    shapes = {tuple(n for i, n in enumerate(x.shape) if i != place) for x in given}
    if len(shapes) > 1 or len({x.ndim for x in given}) > 1:
        raise ShapeRefused("concat: the arrays differ in more than that axis.", str([tuple(x.shape) for x in given]))
    return result(shaping.cat(given, dim=place))


def stack(arrays, /, *, axis: int = 0) -> Array:
    """Arrays of one shape side by side along a new axis."""
    given = [array(x, "stack") for x in arrays]
    d = promoted("stack", *(x.dtype for x in given))
    if len({tuple(x.shape) for x in given}) > 1:
        raise ShapeRefused("stack: the arrays must have one shape.", str([tuple(x.shape) for x in given]))
    return result(shaping.stack([cast(x, d) for x in given], dim=axis_of("stack", axis, given[0].ndim + 1)))


def unstack(x, /, *, axis: int = 0) -> tuple:
    """The arrays along an axis, which they lose."""
    x = array(x, "unstack")
    place = axis_of("unstack", axis, x.ndim)
    return tuple(result(shaping.select(x, place, i)) for i in range(x._array.shape[place]))


def expand_dims(x, /, axis: Any = 0) -> Array:
    """x with a new axis of size 1 at that place."""
    x = array(x, "expand_dims")
    places = axes_of("expand_dims", axis, x.ndim + (len(axis) if isinstance(axis, tuple) else 1))
    shape = list(x.shape)
    for place in sorted(places):
        shape.insert(place, 1)
    return result(ops.reshape(x, shape=tuple(shape)))


def squeeze(x, /, axis: Any) -> Array:
    """x without those axes, which must have size 1."""
    x = array(x, "squeeze")
    places = axes_of("squeeze", axis, x.ndim)
    if any(x._array.shape[p] != 1 for p in places):
        raise ShapeRefused(f"squeeze: axis {axis} of shape {tuple(x.shape)} does not have size 1.")
    return result(ops.reshape(x, shape=tuple(n for i, n in enumerate(x.shape) if i not in places)))


def flip(x, /, *, axis: Any = None) -> Array:
    """x in reverse order along axes (all for None)."""
    x = array(x, "flip")
    places = axes_of("flip", axis, x.ndim)
    if through_ops(x):
        return result(shaping.flip(x, places))
    return direct("flip", x, axis=places)


def permute_dims(x, /, axes) -> Array:
    """The axes in another order."""
    x = array(x, "permute_dims")
    places = axes_of("permute_dims", tuple(axes), x.ndim)
    if len(places) != x.ndim:
        raise ShapeRefused(f"permute_dims: {axes} does not name each of {x.ndim} axes once.")
    return result(ops.permute(x, dims=places))


def moveaxis(x, source, destination, /) -> Array:
    """Axes moved to other places, the rest in order."""
    x = array(x, "moveaxis")
    sources, places = axes_of("moveaxis", source, x.ndim), axes_of("moveaxis", destination, x.ndim)
    if len(sources) != len(places):
        raise ValueRangeError("moveaxis: source and destination must have the same length.")
    order = [i for i in range(x.ndim) if i not in sources]
    for place, own in sorted(zip(places, sources)):
        order.insert(place, own)
    return result(ops.permute(x, dims=tuple(order)))


def matrix_transpose(x, /) -> Array:
    """The last two axes exchanged."""
    return array(x, "matrix_transpose").mT


def reshape(x, /, shape, *, copy: Any = None) -> Array:
    """The same values in order under another shape (one size may be -1).

    copy: True always copies, False never (an error when it must), None only when it must.
    """
    x = array(x, "reshape")
    sizes = tuple(n.__index__() for n in shape)
    known = math.prod(n for n in sizes if n != -1)
    if sizes.count(-1) > 1 or (known != x.size if -1 not in sizes else not known or x.size % known):
        if not (-1 in sizes and known and x.size % known == 0 and sizes.count(-1) == 1):
            raise ShapeRefused(f"reshape: {x.size} elements of shape {tuple(x.shape)} do not fit {sizes}.")
    out = result(ops.reshape(x, shape=sizes))
    if copy is False and x.size and not _shared(x, out):
        raise ValueRangeError("reshape: that shape needs a copy, and copy=False.")
    return result(ops.clone(out)) if copy and _shared(x, out) else out


def _shared(a: Value, b: Value) -> bool:
    return isinstance(a._array, np.ndarray) and np.may_share_memory(a._array, b._array)


def roll(x, /, shift, *, axis: Any = None) -> Array:
    """Values moved along axes, what falls off the end comes in at the start; axis None rolls the flattened array."""
    x = array(x, "roll")
    if axis is None:
        if not isinstance(shift, int):
            raise ArgumentError("roll: without an axis, shift is one integer.")
        flat = reshape(x, (-1,))
        return reshape(_roll(flat, (shift,), (0,)), tuple(x.shape))
    places = (axis,) if isinstance(axis, int) else tuple(axis)
    shifts = (shift,) * len(places) if isinstance(shift, int) else tuple(shift)
    if len(shifts) != len(places):
        raise ValueRangeError("roll: shift and axis must have the same length.")
    return _roll(x, shifts, tuple(axis_of("roll", a, x.ndim) for a in places))


def _roll(x: Array, shifts: tuple, places: tuple) -> Array:
    for n, place in zip(shifts, places):
        size = x._array.shape[place]
        if size and n % size:
            parts = [ops.narrow(x, dim=place, start=size - n % size, length=n % size)]
            parts.append(ops.narrow(x, dim=place, start=0, length=size - n % size))
            x = result(shaping.cat(parts, dim=place))
    return result(ops.clone(x))


def repeat(x, repeats, /, *, axis: int | None = None) -> Array:
    """Each element that many times; repeats is a number or an array of one per element."""
    x = array(x, "repeat")
    if isinstance(repeats, Value):
        check_kind("repeat", "integer", array(repeats, "repeat"))
        repeats = repeats._array
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    place = axis_of("repeat", axis, x.ndim)
    xp = library(x)
    index = xp.repeat(xp.arange(x._array.shape[place]), repeats)
    return take(x, new(index), axis=place)


def tile(x, repetitions, /) -> Array:
    """x that many times along each axis."""
    x = array(x, "tile")
    counts = tuple(repetitions)
    rank = max(len(counts), x.ndim)
    counts = (1,) * (rank - len(counts)) + counts
    x = reshape(x, (1,) * (rank - x.ndim) + tuple(x.shape))
    wide = reshape(x, tuple(n for size in x.shape for n in (1, size)))
    grown = ops.expand(wide, shape=tuple(n for count, size in zip(counts, x.shape) for n in (count, size)))
    return reshape(result(ops.clone(grown)), tuple(count * size for count, size in zip(counts, x.shape)))


def take(x, indices, /, *, axis: int | None = None) -> Array:
    """The entries of an axis at those places (an array of integers with one axis)."""
    x, indices = array(x, "take"), array(indices, "take")
    check_kind("take", "integer", indices)
    if axis is None:
        if x.ndim != 1:
            raise ValueRangeError(f"take: name the axis; the array has {x.ndim}.")
        axis = 0
    if indices.ndim != 1:
        raise ShapeRefused(f"take: indices must have one axis, got shape {tuple(indices.shape)}.")
    place = axis_of("take", axis, x.ndim)
    if through_ops(x):
        size = x._array.shape[place]
        wrapped = ops.cast(indices, dtype=_int64())
        return result(ops.index_select(x, ops.remainder(wrapped, max(size, 1)), dim=place))
    return new(library(x, indices).take(x._array, indices._array, axis=place))


def take_along_axis(x, indices, /, *, axis: int = -1) -> Array:
    """For each place of indices the entry of x along the axis that it names; the other axes broadcast."""
    x, indices = array(x, "take_along_axis"), array(indices, "take_along_axis")
    check_kind("take_along_axis", "integer", indices)
    if indices.ndim != x.ndim:
        raise ShapeRefused(f"take_along_axis: indices need the rank {x.ndim} of x, got {indices.ndim}.")
    place = axis_of("take_along_axis", axis, x.ndim)
    if not through_ops(x):
        return new(library(x, indices).take_along_axis(x._array, indices._array, axis=place))
    rest_x, rest_i = list(x.shape), list(indices.shape)
    rest_x[place] = rest_i[place] = 1
    shape = list(broadcast_shapes(tuple(rest_x), tuple(rest_i)))
    shape_x, shape_i = list(shape), list(shape)
    shape_x[place], shape_i[place] = x._array.shape[place], indices._array.shape[place]
    wrapped = ops.remainder(ops.cast(indices, dtype=_int64()), max(shape_x[place], 1))
    return result(ops.gather(ops.expand(x, shape=tuple(shape_x)), ops.expand(wrapped, shape=tuple(shape_i)), dim=place))


def _int64():
    from mlkit.core.dtype import int64

    return int64
