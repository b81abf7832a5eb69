"""Tensors from numbers, lists and NumPy arrays, and back."""

from __future__ import annotations

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import state
from mlkit.core.errors import ArgumentError, NoData, RefusedError, ValueRangeError
from mlkit.core.value import LevelArray, MetaArray, Value, storage_of, wrap
from mlkit.functional.placement import dtype_or_default, on_device, place_or_default, wants_grad, with_names


def to_numpy_array(x: Value) -> np.ndarray:
    """The numbers of a tensor as a NumPy array (a copy when it lives on another device)."""
    if x._array.__class__ is MetaArray:
        raise NoData("A meta tensor has no data.", f"shape: {tuple(x._array.shape)}")
    if isinstance(x._array, LevelArray):
        return to_numpy_array(x._array.settle())
    if state.recorder is not None:
        state.recorder.read()
    return backends.for_array(x._array).to_numpy(x._array)


class NoNumbers(ArgumentError, ValueError, RuntimeError):
    """Data that holds no numbers: PyTorch raises one of the three, by what it is."""


class NotOneNumber(ArgumentError, ValueError):
    """A tensor of several values in a list of numbers: PyTorch's ValueError, of integers its TypeError."""


def tensor(data, *, dtype=None, device=None, requires_grad: bool = False, pin_memory: bool = False, names=None):  # noqa: A002
    """A new tensor with a copy of ``data``: numbers, nested lists, NumPy arrays.

    Args:
        data: numbers in any nesting of lists and tuples, or an array.
        dtype: element type; by default float32 for Python floats, int64 for ints, bool for bools, and the array's own.
        device: where to put it ("cpu", "cuda", ...); by default the default device.
        requires_grad: record what happens to it for backward().
        pin_memory: accepted for PyTorch's sake; host memory needs no pinning here.
        names: names of the axes, such as ("batch", None).

    Raises:
        ValueRangeError: rows of different length; an array in a layout that no tensor has (`from_numpy`).
        ArgumentError: data that holds something else than numbers.

    >>> import mlkit
    >>> mlkit.tensor([[1, 2], [3, 4]]).shape
    mlkit.Size([2, 2])
    """
    if isinstance(data, np.ndarray):
        check_layout(data)
    try:
        array = _from_nested(data)
    except (TypeError, ValueError) as error:
        if isinstance(error, (ArgumentError, ValueRangeError)):
            raise
        raise ValueRangeError(f"tensor: cannot make numbers of {type(data).__name__}.", str(error)) from None
    if array.dtype.kind not in "biufcV":
        raise NoNumbers(
            f"tensor: expected numbers, got {array.dtype} from {type(data).__name__}.",
            hint="Strings and objects need an encoding first: for example a dictionary from words to integers.",
        )
    wanted = dtypes.as_dtype(dtype).numpy if dtype is not None else _infer_dtype(array, data)
    if array.dtype.kind in "iuf" and not isinstance(data, (np.ndarray, np.generic, Value)):
        check_range(array, wanted)
    if isinstance(data, Value) and dtype is None:
        wanted = array.dtype
    place = place_or_default(device)
    if isinstance(data, Value) and device is None:
        place = backends.for_array(data._array).device_of(data._array)
    out = wants_grad(wrap(on_device(np.array(array, dtype=wanted, order="C"), place)), requires_grad)
    return out if names is None else with_names(out, names)


def scalar_tensor(s, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):  # noqa: A002
    """A 0-d tensor of the default dtype (or the given one)."""
    return tensor(s, dtype=dtype_or_default(dtype), device=device, requires_grad=requires_grad)


def from_numpy(array: np.ndarray):
    """A tensor that shares memory with a NumPy array: changing one changes the other.

    Raises:
        ArgumentError: no array, or one of elements that mlkit has no type for.
        ValueRangeError: memory that runs backwards (``a[::-1]``), in another byte order, or not aligned to its elements.

    >>> import mlkit, numpy
    >>> a = numpy.zeros(2); t = mlkit.from_numpy(a); a[0] = 5; t
    tensor([5., 0.], dtype=mlkit.float64)
    """
    if not isinstance(array, np.ndarray):
        raise ArgumentError(f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}.")
    check_layout(array)
    dtypes.from_numpy_dtype(array.dtype)
    found = wrap(np.asarray(array))  # a matrix, a memmap or a recarray as the plain array it is
    if not array.flags.c_contiguous:
        storage_of(found).given = True
    return found


def check_layout(array: np.ndarray) -> None:
    """Raise ValueRangeError for memory that no tensor can have: run through backwards, in another byte order, unaligned."""
    if not array.dtype.isnative:
        raise ValueRangeError(
            "given numpy array has byte order different from the native byte order.",
            f"array: shape {array.shape}, dtype {array.dtype}",
            'Convert it first: array.astype(array.dtype.newbyteorder("=")).',
        )
    for step in array.strides:
        if step < 0 and array.size:
            raise ValueRangeError(
                "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
                "supported.",
                f"array: shape {array.shape}, strides {array.strides} bytes",
                "Make a copy, as after array[::-1] or numpy.flip: array.copy().",
            )
        if array.itemsize and step % array.itemsize and array.size:
            raise ValueRangeError(
                "given numpy array strides not a multiple of the element byte size.",
                f"array: shape {array.shape}, strides {array.strides} bytes, elements of {array.itemsize} bytes",
                "Copy the numpy array to reallocate the memory: array.copy().",
            )


def _from_nested(data):
    """Lists and tuples of numbers or tensors as one NumPy array, with a message that says where they are ragged."""
    if isinstance(data, Value):
        return to_numpy_array(data)
    if isinstance(data, (list, tuple)) and any(isinstance(x, (Value, list, tuple, np.ndarray)) for x in data):
        parts = [_one_number(x) if isinstance(x, Value) else _from_nested(x) for x in data]
        shapes = {np.shape(p) for p in parts}
        if len(shapes) > 1:
            first = np.shape(parts[0])
            bad = next(i for i, p in enumerate(parts) if np.shape(p) != first)
            raise ValueRangeError(
                f"expected sequence of length {first[0] if first else 0} at dim 1 "
                f"(got {np.shape(parts[bad])[0] if np.shape(parts[bad]) else 'a number'}): the rows differ in shape.",
                f"entry 0: shape {first}\nentry {bad}: shape {np.shape(parts[bad])}",
                "Pad the rows to one length, or keep them in a list.",
            )
        return np.array(parts)
    return np.asarray(data)


def _one_number(x: Value) -> np.ndarray:
    """The number that a tensor within a list stands for."""
    array = to_numpy_array(x)
    if array.size != 1:
        raise NotOneNumber(
            f"tensor: only one element tensors can be converted to Python scalars, this one has {array.size}.",
            f"an entry of the list: a tensor of shape {tuple(array.shape)}",
            "Put tensors together with mlkit.stack(list) or mlkit.cat(list).",
        )
    return array.reshape(())


def _infer_dtype(array: np.ndarray, data) -> np.dtype:
    """Python numbers follow the default dtype; arrays, tensors and NumPy's scalars keep their own, in lists too."""
    if isinstance(data, (list, tuple)):
        found: set = set()
        _leaf_types(data, found)
        if not found <= _PYTHON_NUMBERS:
            return _promoted(found).numpy
    if isinstance(data, (np.ndarray, np.generic)):
        return dtypes.from_numpy_dtype(array.dtype).numpy
    if array.dtype.kind == "f":
        return dtypes.get_default_dtype().numpy
    if array.dtype.kind == "c":
        return dtypes.get_default_dtype().to_complex().numpy
    return array.dtype


_PYTHON_NUMBERS = {bool, int, float, complex}


def _leaf_types(data, found: set) -> None:
    """Put into ``found`` what nested lists hold: Python's types, and the dtypes of arrays, tensors and NumPy's scalars."""
    kinds = set(map(type, data))
    if kinds <= _PYTHON_NUMBERS:
        found |= kinds
        return
    for x in data:
        if isinstance(x, (list, tuple)):
            _leaf_types(x, found)
        elif isinstance(x, Value):
            found.add(x._array.dtype)
        elif isinstance(x, (np.ndarray, np.generic)):
            found.add(x.dtype)
        else:
            found.add(type(x) if type(x) in _PYTHON_NUMBERS else float)


def _promoted(found: set) -> dtypes.dtype:
    """The one dtype for numbers of these types."""
    default = dtypes.get_default_dtype()
    own = {bool: dtypes.bool_, int: dtypes.int64, float: default, complex: default.to_complex()}
    out = None
    for kind in found:
        d = own[kind] if kind in own else dtypes.from_numpy_dtype(kind)
        out = d if out is None else dtypes.promote_types(out, d)
    assert out is not None
    return out


def check_range(array: np.ndarray, wanted: np.dtype) -> None:
    """Refuse Python's numbers that an integer type does not hold; below 0 an unsigned one counts from its end."""
    if wanted.kind == "u" and array.dtype.kind == "u" and wanted.itemsize == 8:
        raise ValueRangeError(
            f"tensor: {array.max()} does not fit into 64 bits with a sign.", hint="Use a float dtype."
        )
    if wanted.kind not in "iu" or not array.size or wanted == array.dtype:
        return
    limits = np.iinfo(wanted)
    low, high = float(array.min()), float(array.max())
    if not high <= limits.max or (low < limits.min if wanted.kind == "i" else -low > limits.max):
        name = dtypes.from_numpy_dtype(wanted).name
        raise RefusedError(
            f"value cannot be converted to type {name} without overflow: {low if high <= limits.max else high:g}.",
            f"{name} holds {limits.min} .. {limits.max}",
        )
