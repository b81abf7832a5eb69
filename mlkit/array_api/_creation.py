"""The standard's creation functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlkit.array_api._array import Array, ShapeRefused, array, cast, direct, promoted, result, through_ops
from mlkit.core import dtype as dtypes
from mlkit.core.device import device as as_device
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.core.value import Value, wrap
from mlkit.functional import conversion, creation, interop, placement, shaping


def _place(device):
    return placement.get_default_device() if device is None else as_device(device)


def _make(host: np.ndarray, device) -> Array:
    """A NumPy array that nobody else holds, on a device."""
    return result(wrap(placement.on_device(host, _place(device))))


def _type(dtype, number: Any = 0.0) -> dtypes.dtype:
    if dtype is not None:
        return dtypes.as_dtype(dtype)
    return dtypes.scalar_dtype(dtypes.scalar_category(number))


def _shape(shape) -> tuple[int, ...]:
    sizes = (shape,) if hasattr(shape, "__index__") else tuple(shape)
    if any(n.__index__() < 0 for n in sizes):
        raise ShapeRefused(f"Sizes cannot be negative: {sizes}.")
    return tuple(n.__index__() for n in sizes)


def asarray(obj, /, *, dtype=None, device=None, copy: Any = None) -> Array:
    """An array of numbers, nested sequences of them, another array, or anything with DLPack or a buffer.

    copy: True always copies, False never (an error when it must), None only when it must.
    """
    if isinstance(obj, Value):
        out = x = array(obj, "asarray")
        if dtype is not None:
            out = cast(out, dtypes.as_dtype(dtype))
        if device is not None and out.device != as_device(device):
            out = result(out.to(device=device))
        if copy is False and out is not x:
            raise ValueRangeError(
                f"asarray: {x.dtype} on {x.device} cannot become that without a copy, and copy=False."
            )
        return result(ops.clone(out)) if copy and out is x else out
    if isinstance(obj, (bool, int, float, complex)) and not isinstance(obj, np.generic):
        if copy is False:
            raise ValueRangeError("asarray: a Python number cannot be shared, and copy=False.")
        return _make(np.asarray(obj, _type(dtype, obj).numpy), device)
    if isinstance(obj, np.ndarray) or hasattr(obj, "__dlpack__"):
        return asarray(interop.asarray(obj), dtype=dtype, device=device, copy=copy)
    if isinstance(obj, (list, tuple, range)):
        if copy is False:
            raise ValueRangeError("asarray: a sequence cannot be shared, and copy=False.")
        arrays = [x for x in _leaves(obj) if isinstance(x, Value)]
        if arrays:
            return _stacked(
                obj, promoted("asarray", *(x.dtype for x in arrays)) if dtype is None else _type(dtype), device
            )
        if dtype is None:
            category = max((dtypes.scalar_category(x) for x in _leaves(obj)), default=2)
            dtype = dtypes.scalar_dtype(category)
        return _make(np.array(obj, _type(dtype).numpy), device)
    try:
        view = np.asarray(memoryview(obj))
    except TypeError:
        raise ArgumentError(f"asarray: cannot make an array of {type(obj).__name__}.") from None
    return asarray(conversion.from_numpy(view), dtype=dtype, device=device, copy=copy)


def _leaves(obj):
    for x in obj:
        if isinstance(x, (list, tuple, range)):
            yield from _leaves(x)
        else:
            yield x


def _stacked(obj, d: dtypes.dtype, device) -> Array:
    if isinstance(obj, (list, tuple)):
        return result(shaping.stack([_stacked(x, d, device) for x in obj]))
    return asarray(obj, dtype=d, device=device)


def arange(start, /, stop=None, step=1, *, dtype=None, device=None) -> Array:
    """start, start + step, ... below stop; with one argument 0, 1, ... below it."""
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ValueRangeError("arange: step must not be 0.")
    numbers = (start, stop, step)
    d = _type(dtype, max(numbers, key=dtypes.scalar_category))
    return _make(np.arange(start, stop, step, dtype=d.numpy), device)


def empty(shape, *, dtype=None, device=None) -> Array:
    """An array whose content means nothing yet (zeros here, so that runs repeat)."""
    return full(shape, 0, dtype=_type(dtype), device=device)


def zeros(shape, *, dtype=None, device=None) -> Array:
    """Zeros of that shape (an integer or a tuple)."""
    return full(shape, 0, dtype=_type(dtype), device=device)


def ones(shape, *, dtype=None, device=None) -> Array:
    """Ones of that shape (an integer or a tuple)."""
    return full(shape, 1, dtype=_type(dtype), device=device)


def full(shape, fill_value, *, dtype=None, device=None) -> Array:
    """An array of that shape with one number everywhere (an array without axes counts); its type follows it unless given."""
    if isinstance(fill_value, Value):
        fill_value = array(fill_value, "full")._one("the number to fill with")
    d = _type(dtype, fill_value)
    return result(wrap(creation.full_array(_shape(shape), fill_value, d, _place(device))))


def _like(x, fill, dtype, device) -> Array:
    x = array(x, "like")
    return full(tuple(x.shape), fill, dtype=x.dtype if dtype is None else dtype, device=device or x.device)


def empty_like(x, /, *, dtype=None, device=None) -> Array:
    """An array like x whose content means nothing yet."""
    return _like(x, 0, dtype, device)


def zeros_like(x, /, *, dtype=None, device=None) -> Array:
    """Zeros like x."""
    return _like(x, 0, dtype, device)


def ones_like(x, /, *, dtype=None, device=None) -> Array:
    """Ones like x."""
    return _like(x, 1, dtype, device)


def full_like(x, /, fill_value, *, dtype=None, device=None) -> Array:
    """An array like x with one number everywhere."""
    return _like(x, fill_value, dtype, device)


def eye(n_rows, n_cols=None, /, *, k: int = 0, dtype=None, device=None) -> Array:
    """Ones on the k-th diagonal, zeros elsewhere."""
    return _make(np.eye(n_rows, n_cols, k=k, dtype=_type(dtype).numpy), device)


def linspace(start, stop, /, num: int, *, dtype=None, device=None, endpoint: Any = True) -> Array:
    """num numbers evenly spaced from start to stop, which is left out when endpoint is False."""
    number = 1j if isinstance(start, complex) or isinstance(stop, complex) else 1.0
    return _make(np.linspace(start, stop, num, dtype=_type(dtype, number).numpy, endpoint=endpoint), device)


def from_dlpack(x, /, *, device=None, copy: Any = None) -> Array:
    """An array that shares memory with another library's."""
    found = interop.from_dlpack(x, device=device, copy=copy)
    return found if found.__class__ is Array else array(found, "from_dlpack")


def meshgrid(*arrays, indexing: str = "xy") -> list:
    """Coordinates as arrays over a grid; 'xy' has the second array along the first axis, 'ij' the first."""
    if indexing not in ("xy", "ij"):
        raise ValueRangeError(f"meshgrid: indexing must be 'xy' or 'ij', not {indexing!r}.")
    given = [array(x, "meshgrid") for x in arrays]
    if any(x.ndim != 1 for x in given):
        raise ShapeRefused("meshgrid: the arrays must have one axis.", f"shapes: {[tuple(x.shape) for x in given]}")
    if len({x.dtype for x in given}) > 1:
        raise ArgumentError("meshgrid: the arrays must have one data type.")
    order = list(range(len(given)))
    if indexing == "xy" and len(given) > 1:
        order[:2] = [1, 0]
    shape = tuple(given[i]._array.shape[0] for i in order)
    out = []
    for i, x in enumerate(given):
        place = order.index(i)
        column = ops.reshape(x, shape=tuple(-1 if j == place else 1 for j in range(len(given))))
        out.append(result(ops.clone(ops.expand(column, shape=shape))))
    return out


def _triangle(name: str, x, k: int) -> Array:
    x = array(x, name)
    if x.ndim < 2:
        raise ShapeRefused(f"{name}: needs at least two axes, got shape {tuple(x.shape)}.")
    if through_ops(x):
        return result(getattr(shaping, name)(x, k))
    return direct(name, x, k=k)


def tril(x, /, *, k: int = 0) -> Array:
    """The lower triangles of matrices, zeros above the k-th diagonal."""
    return _triangle("tril", x, k)


def triu(x, /, *, k: int = 0) -> Array:
    """The upper triangles of matrices, zeros below the k-th diagonal."""
    return _triangle("triu", x, k)
