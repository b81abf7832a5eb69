"""What every way of making a tensor shares: its place, sizes and dtype, ``requires_grad``, ``out`` and ``names``."""

from __future__ import annotations

import importlib
import math

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.device import CPU, block_device, device
from mlkit.core.errors import ArgumentError, DtypeError, RefusedError, ShapeError
from mlkit.core.value import Leaf, LevelArray, MetaArray, Value

_default_device = CPU


def get_default_device() -> device:
    """Where new tensors are made when no device is named."""
    return block_device() or _default_device


def set_default_device(place) -> None:
    """Make new tensors on ``place`` from now on."""
    global _default_device
    _default_device = device(place) if place is not None else CPU


def place_or_default(place) -> device:
    return get_default_device() if place is None else device(place)


def wants_grad(out: Value, requires_grad: bool) -> Value:
    if requires_grad:
        if out._array.dtype.kind not in "fcV":
            raise DtypeError(
                "Only Tensors of floating point and complex dtype can require gradients.",
                f"dtype: {dtypes.from_numpy_dtype(out._array.dtype)}",
                "Convert first, for example x.float().",
            )
        out._node = Leaf(out)
    return out


def on_device(array: np.ndarray, place: device):
    """A NumPy array's content as an array of that device's backend."""
    if place.type == "meta":
        return MetaArray(array.shape, array.dtype)
    if place.type == "cpu":
        return array
    return backends.for_device(place).asarray(array, place.index)


def of_level(like: Value, out: Value) -> Value:
    """A new tensor as the transform sees it that ``like`` is in: under vmap one for each example."""
    return like._array.like(out) if isinstance(like._array, LevelArray) else out


def shape_from(size, named=None) -> tuple[int, ...]:
    """Sizes given as ints, as one tuple, or as ``size=``."""
    if named is not None:
        if size:
            raise ArgumentError("size is given twice: as positions and by name.")
        size = (named,)
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = size[0]
    out = []
    for n in size:
        if isinstance(n, Value):
            n = int(n.item())
        if isinstance(n, (bool, float)) or not hasattr(n, "__index__"):
            raise ArgumentError(f"A size must be an integer, got {n!r}.", f"sizes: {tuple(size)}")
        if n < 0:
            raise ShapeError(f"Trying to create tensor with negative dimension {n}: {list(size)}.")
        out.append(n if type(n) is not np.int64 else int(n))
    return tuple(out)


def dtype_or_default(dtype) -> dtypes.dtype:
    return dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)


def check_dtype_of_out(dtype, out) -> None:
    """A dtype that is given must be that of ``out``."""
    if out is not None and dtype is not None and dtypes.as_dtype(dtype).numpy != out._array.dtype:
        raise RefusedError(f"dtype {dtypes.as_dtype(dtype)} does not match dtype of out parameter ({out.dtype}).")


def with_names(out: Value, names):
    """A tensor just made, with names for its axes."""
    return importlib.import_module("mlkit.core.names").named(out, names)


def into(out, fresh: Value) -> Value:
    """``fresh`` written into ``out`` (which takes its shape), or ``fresh`` itself when there is no ``out``."""
    if out is None:
        return fresh
    if tuple(out._array.shape) != tuple(fresh._array.shape):
        resize(out, tuple(fresh._array.shape))
    from mlkit.core import inplace

    return inplace.assign(out, fresh, "out")


def resize(x: Value, shape: tuple) -> None:
    """Give a tensor that shape: in its own memory where that suffices, else in new memory."""
    array = x._array
    if array.__class__ is MetaArray:
        x._array = MetaArray(shape, array.dtype)
        return
    wanted = math.prod(shape)
    memory = array
    while getattr(memory, "base", None) is not None and hasattr(memory.base, "shape"):
        memory = memory.base
    whole = memory.reshape(-1) if memory.flags.c_contiguous else None
    if whole is not None and whole.dtype == array.dtype and array.flags.c_contiguous and array.size:
        start = (array.ctypes.data - memory.ctypes.data) // array.itemsize if isinstance(array, np.ndarray) else 0
        if start + wanted <= whole.size:
            x._array = whole[start : start + wanted].reshape(shape)
            return
    xp = backends.for_array(array).m.xp
    fresh = xp.zeros(wanted, array.dtype)
    kept = min(array.size, wanted)
    fresh[:kept] = array.reshape(-1)[:kept]
    x._array = fresh.reshape(shape)
