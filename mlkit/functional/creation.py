"""New tensors: from data, filled, counted, random."""

from __future__ import annotations

import importlib
import math

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.device import CPU, block_device, device
from mlkit.core.dispatch import check_numbers, ops, state
from mlkit.core.errors import (
    ArgumentError,
    DtypeError,
    NoData,
    RefusedError,
    ShapeError,
    UnsupportedDtype,
    ValueRangeError,
)
from mlkit.core.rng import Generator, default_generator
from mlkit.core.value import Leaf, LevelArray, MetaArray, Value, storage_of, wrap

_default_device = CPU


def get_default_device() -> device:
    """Where new tensors are made when no device is named."""
    return block_device() or _default_device


def set_default_device(place) -> None:
    """Make new tensors on ``place`` from now on."""
    global _default_device
    _default_device = device(place) if place is not None else CPU


def _place(place) -> device:
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


def _shape(size, named=None) -> tuple[int, ...]:
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


# --- from data ----------------------------------------------------------------------------------------------------------


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
        _check_range(array, wanted)
    if isinstance(data, Value) and dtype is None:
        wanted = array.dtype
    place = _place(device)
    if isinstance(data, Value) and device is None:
        place = backends.for_array(data._array).device_of(data._array)
    out = wants_grad(wrap(on_device(np.array(array, dtype=wanted, order="C"), place)), requires_grad)
    return out if names is None else with_names(out, names)


def _check_range(array: np.ndarray, wanted: np.dtype) -> None:
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


def with_names(out: Value, names):
    """A tensor just made, with names for its axes."""
    return importlib.import_module("mlkit.core.names").named(out, names)


def as_tensor(data, dtype=None, device=None):  # noqa: A002
    """``data`` as a tensor, sharing memory with NumPy arrays and tensors where dtype and device allow."""
    if isinstance(data, Value):
        out = data
        if dtype is not None and data._array.dtype != dtypes.as_dtype(dtype).numpy:
            out = ops.cast(out, dtype=dtypes.as_dtype(dtype))
        return out if device is None else out.to(device)
    if isinstance(data, np.ndarray) and _place(device).type == "cpu":
        if dtype is None or dtypes.as_dtype(dtype).numpy == data.dtype:
            return from_numpy(data)
    if hasattr(data, "__dlpack__") and not isinstance(data, np.ndarray):
        from mlkit.functional.interop import asarray

        return asarray(data, dtype=dtype, device=device)
    return tensor(data, dtype=dtype, device=device)


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


# --- filled -----------------------------------------------------------------------------------------------------------------


def full_array(shape, fill, d: dtypes.dtype, place: device):
    if place.type == "meta":
        return MetaArray(shape, d.numpy)
    m = backends.for_device(place).m
    if place.type == "cuda" and place.index is not None:
        with m.xp.cuda.Device(place.index):
            return m.xp.full(shape, fill, d.numpy)
    if fill == 0:
        return m.xp.zeros(shape, d.numpy)
    return m.xp.full(shape, fill, d.numpy)


def _dtype(dtype) -> dtypes.dtype:
    return dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)


def _filled(size, fill, dtype, place, requires_grad, out=None, names=None):
    shape = _shape((tuple(size),))
    if isinstance(fill, complex) and not (out.dtype if out is not None else _dtype(dtype)).is_complex:
        raise DtypeError(f"full: value cannot be converted to type {_dtype(dtype).name} without overflow: {fill}.")
    _check_dtype_of_out(dtype, out)
    fill = _held(fill, _dtype(dtype) if out is None else out.dtype)
    if out is not None:
        return into(out, wrap(full_array(shape, fill, dtypes.from_numpy_dtype(out._array.dtype), CPU)))
    made = wants_grad(wrap(full_array(shape, fill, _dtype(dtype), _place(place))), requires_grad)
    return made if names is None else with_names(made, names)


def _check_dtype_of_out(dtype, out) -> None:
    """A dtype that is given must be that of ``out``."""
    if out is not None and dtype is not None and dtypes.as_dtype(dtype).numpy != out._array.dtype:
        raise RefusedError(f"dtype {dtypes.as_dtype(dtype)} does not match dtype of out parameter ({out.dtype}).")


def _held(fill, d: dtypes.dtype):
    """A number as an integer type holds it (an unsigned one counts from its end below 0); refused when it does not."""
    if d.category != 1 or fill.__class__ is not int and not isinstance(fill, (int, float, np.generic)):
        return fill
    array = np.asarray(fill)
    if array.dtype.kind in "iuf":
        _check_range(array, d.numpy)
        if array.dtype.kind in "iu" and int(fill) < 0 and d.numpy.kind == "u":
            return int(fill) % (1 << 8 * d.itemsize)
    return fill


def zeros(  # noqa: A002
    *args, size=None, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, names=None
):
    """Zeros of that shape. ``size`` is ints or one tuple.

    >>> import mlkit
    >>> mlkit.zeros(2, 3).shape
    mlkit.Size([2, 3])
    """
    return _filled(_shape(args, size), 0, dtype, device, requires_grad, out, names)


def ones(  # noqa: A002
    *args, size=None, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, names=None
):
    """Ones of that shape. ``size`` is ints or one tuple."""
    return _filled(_shape(args, size), 1, dtype, device, requires_grad, out, names)


def empty(  # noqa: A002
    *args,
    size=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
    memory_format=None,
    names=None,
):
    """A tensor whose content means nothing yet (zeros here, so that runs repeat)."""
    return _filled(_shape(args, size), 0, dtype, device, requires_grad, out, names)


def full(  # noqa: A002
    size,
    fill_value,
    *,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
    names=None,
):
    """A tensor of that shape with ``fill_value`` everywhere; its dtype follows the value unless given."""
    fill = fill_value.item() if isinstance(fill_value, Value) else fill_value
    if not isinstance(fill, (bool, int, float, complex, np.generic)):
        raise ArgumentError(f"full(): argument 'fill_value' must be Number, not {type(fill).__name__}.")
    if dtype is None:
        dtype = dtypes.scalar_dtype(dtypes.scalar_category(fill))
    shape = (size,) if isinstance(size, int) else tuple(size)
    return _filled(shape, fill, dtype, device, requires_grad, out, names)


def _like(input, fill, dtype, place, requires_grad):
    array = input._array
    d = dtypes.from_numpy_dtype(array.dtype) if dtype is None else dtypes.as_dtype(dtype)
    if place is None:
        where = device("meta") if array.__class__ is MetaArray else backends.for_array(array).device_of(array)
    else:
        where = device(place)
    out = of_level(input, wrap(full_array(tuple(array.shape), fill, d, where)))
    return wants_grad(out, requires_grad)


def of_level(like: Value, out: Value) -> Value:
    """A new tensor as the transform sees it that ``like`` is in: under vmap one for each example."""
    return like._array.like(out) if isinstance(like._array, LevelArray) else out


def zeros_like(input, *, dtype=None, device=None, requires_grad=False, layout=None, memory_format=None):  # noqa: A002
    """Zeros with the shape, dtype and device of ``input``."""
    return _like(input, 0, dtype, device, requires_grad)


def ones_like(input, *, dtype=None, device=None, requires_grad=False, layout=None, memory_format=None):  # noqa: A002
    """Ones with the shape, dtype and device of ``input``."""
    return _like(input, 1, dtype, device, requires_grad)


def empty_like(input, *, dtype=None, device=None, requires_grad=False, layout=None, memory_format=None):  # noqa: A002
    """A tensor like ``input`` whose content means nothing yet (zeros here, so that runs repeat)."""
    return _like(input, 0, dtype, device, requires_grad)


def full_like(  # noqa: A002
    input, fill_value, *, dtype=None, device=None, requires_grad=False, layout=None, memory_format=None
):
    """A tensor like ``input`` with ``fill_value`` everywhere."""
    return _like(input, fill_value, dtype, device, requires_grad)


def eye(  # noqa: A002
    n: int,
    m: int | None = None,
    *,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """The identity matrix (n, m): ones on the diagonal."""
    if n < 0 or (m is not None and m < 0):
        raise ShapeError(f"n and m must be greater or equal to 0, got {n} and {m}.")
    array = np.eye(n, n if m is None else m, dtype=_dtype(dtype).numpy)
    return into(out, wants_grad(wrap(on_device(array, _place(device))), requires_grad))


def scalar_tensor(s, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):  # noqa: A002
    """A 0-d tensor of the default dtype (or the given one)."""
    return tensor(s, dtype=_dtype(dtype), device=device, requires_grad=requires_grad)


def empty_strided(  # noqa: A002
    size, stride, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """A tensor of that shape whose elements lie ``stride`` apart in memory (zeros here, so that runs repeat)."""
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise ShapeError(f"empty_strided: size {size} and stride {stride} differ in length.")
    extent = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else 0
    memory = zeros(extent, dtype=dtype, device=device)
    out = wrap(ops.as_strided(memory, size=size, stride=stride)._array)
    return wants_grad(out, requires_grad)


def empty_permuted(  # noqa: A002
    size, physical_layout, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """A tensor of that shape whose dims lie in memory in the order ``physical_layout``."""
    size, order = tuple(size), tuple(physical_layout)
    if sorted(order) != list(range(len(size))):
        raise ShapeError(f"empty_permuted: physical_layout {order} must name each dim of size {size} once.")
    stride, step = [0] * len(size), 1
    for d in reversed(order):
        stride[d] = step
        step *= max(size[d], 1)
    return empty_strided(size, tuple(stride), dtype=dtype, device=device, requires_grad=requires_grad)


def from_file(filename, shared=None, size: int = 0, *, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: A002
    """A vector of ``size`` elements mapped from a file; ``shared=True`` writes changes back and makes the file."""
    d = _dtype(dtype)
    import os

    if shared and (not os.path.exists(filename) or os.path.getsize(filename) < size * d.itemsize):
        with open(filename, "ab") as f:
            f.truncate(size * d.itemsize)
    array = np.memmap(filename, d.numpy, "r+" if shared else "c", shape=(size,))
    return wants_grad(wrap(np.asarray(array)), requires_grad)


def _triangle_indices(name, row, col, offset, dtype, place, layout):
    d = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    if row < 0 or col < 0:
        raise ShapeError(f"{name}: row and col must be non-negative, got {row} and {col}.")
    make = np.tril_indices if name == "tril_indices" else np.triu_indices
    return wrap(on_device(np.stack(make(row, offset, col)).astype(d.numpy), _place(place)))


def tril_indices(row: int, col: int, offset: int = 0, *, dtype=None, device="cpu", layout=None):  # noqa: A002
    """The (2, n) row and column indices of the lower triangle of a (row, col) matrix."""
    return _triangle_indices("tril_indices", row, col, offset, dtype, device, layout)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype=None, device="cpu", layout=None):  # noqa: A002
    """The (2, n) row and column indices of the upper triangle of a (row, col) matrix."""
    return _triangle_indices("triu_indices", row, col, offset, dtype, device, layout)


# --- counted ---------------------------------------------------------------------------------------------------------------


def _number(x):
    return x.item() if isinstance(x, Value) else x


def arange(  # noqa: A002
    *bounds,
    start=None,
    end=None,
    step=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """start, start + step, ... below end: arange(end), arange(start, end) or arange(start, end, step).

    >>> import mlkit
    >>> mlkit.arange(1, 10, 3)
    tensor([1, 4, 7])
    """
    values = [_number(b) for b in bounds]
    if len(values) == 1 and end is not None:
        values = [values[0], _number(end)]
    elif len(values) == 1:
        values = [0 if start is None else start, values[0]]
    elif not values:
        values = [0 if start is None else _number(start), _number(end)]
    elif len(values) == 2 and end is not None:
        raise ArgumentError("arange: end given twice.")
    if len(values) == 2:
        values.append(1 if step is None else _number(step))
    _check_dtype_of_out(dtype, out)
    first, last, by = values
    if by == 0:
        raise RefusedError("step must be nonzero.")
    if not (math.isfinite(first) and math.isfinite(last)):
        raise RefusedError(f"unsupported range: {first} -> {last}.")
    if (last - first) * by < 0:
        raise RefusedError(
            f"arange: upper bound and larger bound inconsistent with step sign: from {first} to {last} by {by}."
        )
    if dtype is None:
        floating = any(isinstance(v, float) for v in values)
        dtype = dtypes.get_default_dtype() if floating else dtypes.int64
    d = dtypes.as_dtype(dtype)
    if d.category in (0, 3):
        raise UnsupportedDtype(f"arange: not implemented for {d}.")
    if d.category < 2:  # an integer range counts with integers, as PyTorch does
        first, last, by = int(first), int(last), int(by) or 1
    count = max(math.ceil((last - first) / by), 0)
    if all(isinstance(v, (int, np.integer)) for v in values):
        array = (first + np.arange(count, dtype=np.int64) * by).astype(d.numpy)
    else:
        array = (first + np.arange(count, dtype=np.float64) * by).astype(d.numpy)
    return into(out, wants_grad(wrap(on_device(array, _place(device))), requires_grad))


def range_(start=0, end=None, step=1, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: A002
    """start, start + step, ... up to and including end. Deprecated in PyTorch in favour of arange."""
    import warnings

    warnings.warn("range is deprecated: arange is Python's, and leaves the end out.", UserWarning, stacklevel=2)
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RefusedError("step must be nonzero.")
    if (end - start) * step < 0:
        raise RefusedError(f"upper bound and lower bound inconsistent with step sign: from {start} to {end} by {step}.")
    count = math.floor((end - start) / step) + 1
    array = (start + np.arange(count) * step).astype(_dtype(dtype).numpy)
    return into(out, wants_grad(wrap(on_device(array, _place(device))), requires_grad))


def _spaced(name, start, end, steps, base, out, dtype, place, requires_grad):
    if steps < 0:
        raise RefusedError(f"{name}: number of steps must be non-negative, got {steps}.")
    for bound in (start, end):
        if isinstance(bound, Value) and bound._array.ndim:
            raise RefusedError(f"{name} only supports 0-dimensional start and end tensors.")
    first, last = _number(start), _number(end)
    if dtype is None and (isinstance(first, complex) or isinstance(last, complex)):
        dtype = dtypes.get_default_dtype().to_complex()
    _check_dtype_of_out(dtype, out)
    d = _dtype(dtype)
    if d.category == 0:
        raise UnsupportedDtype(f"{name}: not implemented for {d}.")
    if (isinstance(first, complex) or isinstance(last, complex)) and not d.is_complex:
        raise DtypeError(f"{name}: inferred dtype is complex and can't be safely cast to {d}.")
    if d.category < 2:
        first, last = int(first), int(last)
    array = np.linspace(first, last, steps)
    if d.category < 2:
        # as PyTorch: the upper half is counted back from the end, each product and sum rounded once
        wide = np.float64 if base is not None else np.longdouble
        step = np.float64((last - first) / (steps - 1)) if steps > 1 else np.float64(0)
        place_of = np.arange(steps).astype(wide)
        lower = place_of < steps // 2 if steps > 1 else np.ones(steps, bool)
        array = np.where(lower, first + step * place_of, last - step * (steps - 1 - place_of)).astype(np.float64)
    if base is not None:
        array = np.power(base if isinstance(base, complex) else float(base), array)
    array = np.trunc(array) if d.category < 2 else array
    return into(out, wants_grad(wrap(on_device(array.astype(d.numpy), _place(place))), requires_grad))


def linspace(  # noqa: A002
    start, end, steps: int, *, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """``steps`` values evenly spaced from start to end, both included."""
    return _spaced("linspace", start, end, steps, None, out, dtype, device, requires_grad)


def logspace(  # noqa: A002
    start, end, steps: int, base=10.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False
):
    """``steps`` values from base**start to base**end, evenly spaced in the exponent."""
    return _spaced("logspace", start, end, steps, base, out, dtype, device, requires_grad)


# --- random ------------------------------------------------------------------------------------------------------------------


def manual_seed(seed: int) -> Generator:
    """Start the default random stream at ``seed``; everything random after it repeats.

    >>> import mlkit
    >>> _ = mlkit.manual_seed(0); a = mlkit.rand(3)
    >>> _ = mlkit.manual_seed(0); bool((mlkit.rand(3) == a).all())
    True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the default stream at a seed from the operating system; returns it."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed the default stream was started with."""
    return default_generator.initial_seed()


def get_rng_state():
    """The default stream's seed and offset as a uint8 tensor of 16 bytes."""
    return default_generator.get_state()


def set_rng_state(new_state) -> None:
    """Put the default stream where ``get_rng_state`` saw it."""
    array = to_numpy_array(new_state)
    if array.dtype != np.uint8 or array.shape != (16,):
        raise ArgumentError(f"set_rng_state: expected a uint8 tensor of 16 bytes, got {array.dtype} {array.shape}.")
    default_generator.set_pair(*array.copy().view(np.uint64).tolist())


def _key(shape, generator) -> tuple[int, int]:
    return (generator or default_generator).take(math.prod(int(n) for n in shape))


def _draw(name, shape, dtype, place, requires_grad, generator, **how):
    d = _dtype(dtype)
    place = _place(place)
    if place.type == "meta":
        return wants_grad(wrap(MetaArray(shape, d.numpy)), requires_grad)
    key = _key(shape, generator)
    out = getattr(ops, name)(shape=shape, dtype=d, key=key, device=place, **how)
    return wants_grad(out, requires_grad)


def rand(  # noqa: A002
    *args,
    size=None,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
    names=None,
):
    """Numbers uniform on [0, 1)."""
    made = into(out, _draw("uniform", _shape(args, size), dtype, device, requires_grad, generator))
    return made if names is None else with_names(made, names)


def randn(  # noqa: A002
    *args,
    size=None,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
    names=None,
):
    """Numbers from the standard normal distribution."""
    made = into(out, _draw("normal", _shape(args, size), dtype, device, requires_grad, generator))
    return made if names is None else with_names(made, names)


def randint(  # noqa: A002
    low=0,
    high=None,
    size=None,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """Integers uniform on [low, high): randint(high, size) or randint(low, high, size)."""
    if size is None:
        low, high, size = 0, low, high
        if not isinstance(size, (tuple, list)):
            raise ArgumentError(
                "randint() missing the argument 'size': randint(high, size) or randint(low, high, size)."
            )
    if high is None:
        low, high = 0, low
    for bound in (low, high):
        if isinstance(bound, (float, str)):
            raise ArgumentError(f"randint(): argument 'high' must be int, not {type(bound).__name__}.")
    low, high = (int(b.item()) if isinstance(b, Value) else b for b in (low, high))
    if high <= low:
        raise RefusedError(f"randint: expected low < high, got {low} and {high}.")
    d = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    shape = _shape((size,))
    drawn = _draw("random_integers", shape, d, device, requires_grad, generator, low=int(low), high=int(high))
    return into(out, drawn)


def randperm(  # noqa: A002
    n: int,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """0 .. n-1 in random order."""
    if n < 0:
        raise RefusedError(f"n must be non-negative, got {n}.")
    d = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    return into(out, _draw("random_permutation", (n,), d, device, requires_grad, generator))


def _place_of(input, place):
    if place is not None:
        return place
    array = input._array
    return "meta" if array.__class__ is MetaArray else backends.for_array(array).device_of(array)


def _dtype_of(input, dtype):
    return dtypes.from_numpy_dtype(input._array.dtype) if dtype is None else dtype


def rand_like(  # noqa: A002
    input, *, generator=None, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None
):
    """Uniform numbers with the shape, dtype and device of ``input``."""
    shape = tuple(input._array.shape)
    return _draw("uniform", shape, _dtype_of(input, dtype), _place_of(input, device), requires_grad, generator)


def randn_like(  # noqa: A002
    input, *, generator=None, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None
):
    """Normal numbers with the shape, dtype and device of ``input``."""
    shape = tuple(input._array.shape)
    return _draw("normal", shape, _dtype_of(input, dtype), _place_of(input, device), requires_grad, generator)


def randint_like(  # noqa: A002
    input,
    low=0,
    high=None,
    *,
    generator=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    memory_format=None,
):
    """Integers uniform on [low, high) with the shape, dtype and device of ``input``."""
    shape = tuple(input._array.shape)
    low, high = (0, low) if high is None else (low, high)
    place = _place_of(input, device)
    for bound in (low, high):
        if isinstance(bound, (float, str)):
            raise ArgumentError(f"randint_like(): argument 'high' must be int, not {type(bound).__name__}.")
    if input._array.dtype == bool and dtype is None and high > 2:
        raise RefusedError("randint_like: to - 1 is out of bounds for bool.")
    low, high = (int(b.item()) if isinstance(b, Value) else int(b) for b in (low, high))
    if high <= low:
        raise RefusedError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}.")
    out = _draw("random_integers", shape, dtypes.int64, place, False, generator, low=low, high=high)
    return wants_grad(ops.cast(out, dtype=dtypes.as_dtype(_dtype_of(input, dtype))), requires_grad)


def normal(  # noqa: A002
    mean=0.0,
    std=1.0,
    size=None,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """Normal numbers with the given means and standard deviations (tensors broadcast, or numbers with ``size``)."""
    spread_tensor = isinstance(std, Value)
    if spread_tensor and std.is_complex():
        raise DtypeError("normal expects standard deviation to be non-complex.")
    if not std >= 0 if not spread_tensor else bool(std._array.size and (std._array < 0).any()):
        raise RefusedError(f"normal expects all elements of std >= 0.0, but found std {'' if spread_tensor else std}.")
    given = [x for x in (mean, std) if isinstance(x, Value)]
    for x in given[:1]:
        if x._array.dtype.kind not in "fVc" and x is mean:
            raise UnsupportedDtype(f"normal: not implemented for {x.dtype}.")
    if given and size is not None and any(x._array.ndim for x in given):
        raise ArgumentError("normal(): with a size, mean and std must be numbers, not tensors.")
    if any(isinstance(x, complex) for x in (mean, std)):
        raise ArgumentError("normal(): arguments 'mean' and 'std' must be float, not complex.")
    if size is None:
        if not given:
            raise ArgumentError("normal: give a size when mean and std are numbers.")
        shape = np.broadcast_shapes(*[tuple(x._array.shape) for x in given])
        d = given[0].dtype if dtype is None else dtype
        place = given[0].device if device is None else device
    else:
        shape, d, place = _shape((size,)), dtype, device
    fresh = randn(tuple(shape), generator=generator, dtype=d, device=place)
    mean, std = (x.detach() if isinstance(x, Value) else x for x in (mean, std))
    drawn = fresh * std + mean
    if given and dtype is None and drawn._array.dtype != given[0]._array.dtype:  # the means' type, if they are a tensor
        drawn = drawn.to(given[0].dtype)
    return into(out, wants_grad(drawn, requires_grad))


def _chances(name: str, p) -> None:
    def check(values) -> None:
        if values.size and not bool(((values >= 0) & (values <= 1)).all()):
            raise RefusedError(f"{name} expects all elements of p to be in [0, 1].")

    if isinstance(p, Value):
        check_numbers(p, check)
    else:
        check(np.asarray(p))


def bernoulli(input, p=None, *, generator=None, out=None):
    """1 with the probability that ``input`` names at each place (or ``p`` everywhere), else 0."""
    chance = input if p is None else p
    if p is None and not input.is_floating_point():
        raise DtypeError(f"bernoulli: expected a floating point tensor of probabilities, got {input.dtype}.")
    _chances("bernoulli", chance)
    place = _place_of(input, None)
    u = _draw("uniform", tuple(input._array.shape), dtypes.float32, place, False, generator)
    chance = chance.detach() if isinstance(chance, Value) else chance
    return into(out, ops.cast(ops.lt(u, chance), dtype=_dtype_of(input, None)))


def _non_negative_rates(rates) -> None:
    if rates.size and bool((rates < 0).any()):
        raise RefusedError("invalid Poisson rate, expected rate to be non-negative.")


def poisson(input, generator=None):
    """Counts from Poisson distributions with the rates in ``input``."""
    if not input.is_floating_point():
        raise DtypeError(f"poisson: expected floating point rates, got {input.dtype}.")
    check_numbers(input, _non_negative_rates)
    return ops.poisson(input.detach(), key=_key((4 * input._array.size,), generator))


def binomial(count, prob, generator=None):
    """How many of ``count`` trials succeed, each with probability ``prob`` (floating tensors that broadcast)."""
    from mlkit.functional.shaping import broadcast_tensors

    if count._array.dtype != prob._array.dtype:
        raise DtypeError(f"Found dtype {count.dtype} but expected {prob.dtype}.")
    _chances("binomial", prob)
    count, prob = broadcast_tensors(count.detach(), prob.detach())
    return ops.binomial(count, prob, key=_key((4 * count._array.size,), generator))


def multinomial(input, num_samples: int, replacement: bool = False, *, generator=None, out=None):
    """Indices drawn with probability in proportion to ``input`` (rows of weights (k) or (rows, k)); int64."""
    if not input.is_floating_point():
        raise DtypeError(f"multinomial only supports floating-point dtypes for input, got: {input.dtype}.")
    if out is not None and out._array.dtype != np.int64:
        raise DtypeError(f"multinomial expects Long tensor out, got: {out.dtype}.")
    if num_samples <= 0:
        raise RefusedError(f"multinomial: cannot sample n_sample <= 0 samples, got {num_samples}.")
    weights = to_numpy_array(input).astype(np.float64)
    if weights.ndim not in (1, 2):
        raise ShapeError(f"multinomial: expected (k) or (rows, k) weights, got {weights.shape}.")
    rows = np.atleast_2d(weights)
    if (rows < 0).any() or not np.isfinite(rows).all() or (rows.sum(1) <= 0).any():
        raise RefusedError(
            "multinomial: invalid multinomial distribution: weights must be finite, not negative, and not all zero in a row."
        )
    if not replacement and num_samples > rows.shape[1]:
        raise RefusedError(
            f"multinomial: cannot sample n_sample > prob_dist.size(-1) samples without replacement: {num_samples} of "
            f"{rows.shape[1]}.",
            hint="Set replacement=True.",
        )
    if replacement:
        u = to_numpy_array(rand(len(rows), num_samples, generator=generator, dtype=dtypes.float64))
        edges = np.cumsum(rows / rows.sum(1, keepdims=True), axis=1)
        drawn = np.stack([np.searchsorted(e, row, side="right") for e, row in zip(edges, u, strict=True)])
        last = rows.shape[1] - 1 - np.argmax(rows[:, ::-1] > 0, axis=1)
        drawn = np.minimum(drawn, last[:, None])
    else:  # the smallest exponential clocks (Efraimidis & Spirakis 2006)
        u = to_numpy_array(rand(*rows.shape, generator=generator, dtype=dtypes.float64))
        with np.errstate(divide="ignore"):
            clocks = np.where(rows > 0, -np.log1p(-u) / rows, np.inf)
        drawn = np.argsort(clocks, axis=1, kind="stable")[:, :num_samples]  # those of weight 0 last, in their order
    return into(
        out,
        wrap(on_device(drawn.reshape((*weights.shape[:-1], num_samples)).astype(np.int64), _place_of_device(input))),
    )


def _place_of_device(input) -> device:
    return device(_place_of(input, None))
