"""New tensors: from data, filled, counted, random."""

from __future__ import annotations

import math

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.device import CPU, device
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, DeviceError, ShapeError, ValueRangeError
from mlkit.core.rng import Generator, default_generator
from mlkit.core.value import Leaf, LevelArray, MetaArray, Value, wrap

_default_device = CPU


def get_default_device() -> device:
    """Where new tensors are made when no device is named."""
    return _default_device


def set_default_device(place) -> None:
    """Make new tensors on ``place`` from now on."""
    global _default_device
    _default_device = device(place) if place is not None else CPU


def _place(place) -> device:
    return _default_device if place is None else device(place)


def wants_grad(out: Value, requires_grad: bool) -> Value:
    if requires_grad:
        if out._array.dtype.kind not in "fcV":
            raise ArgumentError(
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


def _shape(size) -> tuple[int, ...]:
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
    """Python numbers follow the default dtype, NumPy data keeps its own."""
    if isinstance(data, (np.ndarray, np.generic)):
        return dtypes.from_numpy_dtype(array.dtype).numpy
    if array.dtype.kind == "f":
        return dtypes.get_default_dtype().numpy
    if array.dtype.kind == "c":
        return dtypes.get_default_dtype().to_complex().numpy
    return array.dtype


def _from_nested(data):
    """Lists and tuples of numbers or tensors as one NumPy array, with a message that says where they are ragged."""
    if isinstance(data, Value):
        return to_numpy_array(data)
    if isinstance(data, (list, tuple)) and any(isinstance(x, (Value, list, tuple, np.ndarray)) for x in data):
        parts = [_from_nested(x) for x in data]
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
        raise DeviceError("A meta tensor has no data.", f"shape: {tuple(x._array.shape)}")
    if isinstance(x._array, LevelArray):
        return to_numpy_array(x._array.settle())
    return backends.for_array(x._array).to_numpy(x._array)


def tensor(data, *, dtype=None, device=None, requires_grad: bool = False, pin_memory: bool = False):  # noqa: A002
    """A new tensor with a copy of ``data``: numbers, nested lists, NumPy arrays.

    Args:
        data: numbers in any nesting of lists and tuples, or an array.
        dtype: element type; by default float32 for Python floats, int64 for ints, bool for bools, and the array's own.
        device: where to put it ("cpu", "cuda", ...); by default the default device.
        requires_grad: record what happens to it for backward().
        pin_memory: accepted for PyTorch's sake; host memory needs no pinning here.

    Raises:
        ValueRangeError: rows of different length.
        ArgumentError: data that holds something else than numbers.

    >>> import mlkit
    >>> mlkit.tensor([[1, 2], [3, 4]]).shape
    mlkit.Size([2, 2])
    """
    try:
        array = _from_nested(data)
    except (TypeError, ValueError) as error:
        if isinstance(error, (ArgumentError, ValueRangeError)):
            raise
        raise ValueRangeError(f"tensor: cannot make numbers of {type(data).__name__}.", str(error)) from None
    if array.dtype.kind not in "biufcV":
        raise ArgumentError(
            f"tensor: expected numbers, got {array.dtype} from {type(data).__name__}.",
            hint="Strings and objects need an encoding first: for example a dictionary from words to integers.",
        )
    wanted = dtypes.as_dtype(dtype).numpy if dtype is not None else _infer_dtype(array, data)
    if isinstance(data, Value) and dtype is None:
        wanted = array.dtype
    place = _place(device)
    if isinstance(data, Value) and device is None:
        place = backends.for_array(data._array).device_of(data._array)
    return wants_grad(wrap(on_device(np.array(array, dtype=wanted, order="C"), place)), requires_grad)


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
    return tensor(data, dtype=dtype, device=device)


def from_numpy(array: np.ndarray):
    """A tensor that shares memory with a NumPy array: changing one changes the other.

    >>> import mlkit, numpy
    >>> a = numpy.zeros(2); t = mlkit.from_numpy(a); a[0] = 5; t
    tensor([5., 0.], dtype=mlkit.float64)
    """
    if not isinstance(array, np.ndarray):
        raise ArgumentError(f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}.")
    dtypes.from_numpy_dtype(array.dtype)
    return wrap(array)


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


def _filled(size, fill, dtype, place, requires_grad, out=None):
    shape = _shape(size)
    if out is not None:
        out._array[...] = full_array(shape, fill, dtypes.from_numpy_dtype(out._array.dtype), CPU)
        return out
    return wants_grad(wrap(full_array(shape, fill, _dtype(dtype), _place(place))), requires_grad)


def zeros(*size, dtype=None, device=None, requires_grad=False, out=None, layout=None, pin_memory=False):  # noqa: A002
    """Zeros of that shape. ``size`` is ints or one tuple.

    >>> import mlkit
    >>> mlkit.zeros(2, 3).shape
    mlkit.Size([2, 3])
    """
    return _filled(size, 0, dtype, device, requires_grad, out)


def ones(*size, dtype=None, device=None, requires_grad=False, out=None, layout=None, pin_memory=False):  # noqa: A002
    """Ones of that shape. ``size`` is ints or one tuple."""
    return _filled(size, 1, dtype, device, requires_grad, out)


def empty(  # noqa: A002
    *size, dtype=None, device=None, requires_grad=False, out=None, layout=None, pin_memory=False, memory_format=None
):
    """A tensor whose content means nothing yet (zeros here, so that runs repeat)."""
    return _filled(size, 0, dtype, device, requires_grad, out)


def full(size, fill_value, *, dtype=None, device=None, requires_grad=False, out=None, layout=None):  # noqa: A002
    """A tensor of that shape with ``fill_value`` everywhere; its dtype follows the value unless given."""
    fill = fill_value.item() if isinstance(fill_value, Value) else fill_value
    if dtype is None:
        dtype = dtypes.scalar_dtype(dtypes.scalar_category(fill))
    return _filled((tuple(size) if not isinstance(size, int) else (size,),), fill, dtype, device, requires_grad, out)


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


def eye(n: int, m: int | None = None, *, dtype=None, device=None, requires_grad=False):  # noqa: A002
    """The identity matrix (n, m): ones on the diagonal."""
    array = np.eye(n, n if m is None else m, dtype=_dtype(dtype).numpy)
    return wants_grad(wrap(on_device(array, _place(device))), requires_grad)


# --- counted ---------------------------------------------------------------------------------------------------------------


def _number(x):
    return x.item() if isinstance(x, Value) else x


def arange(*bounds, dtype=None, device=None, requires_grad=False, start=None, end=None, step=None):  # noqa: A002
    """start, start + step, ... below end: arange(end), arange(start, end) or arange(start, end, step).

    >>> import mlkit
    >>> mlkit.arange(1, 10, 3)
    tensor([1, 4, 7])
    """
    values = [_number(b) for b in bounds]
    if len(values) == 1:
        values = [0 if start is None else start, values[0]]
    elif not values:
        values = [0 if start is None else _number(start), _number(end)]
    elif len(values) == 2 and end is not None:
        raise ArgumentError("arange: end given twice.")
    if len(values) == 2:
        values.append(1 if step is None else _number(step))
    first, last, by = values
    if by == 0:
        raise ValueRangeError("arange: step must be nonzero.")
    if (last - first) * by < 0:
        raise ValueRangeError(
            f"arange: upper bound and larger bound inconsistent with step sign: from {first} to {last} by {by}."
        )
    if dtype is None:
        floating = any(isinstance(v, float) for v in values)
        dtype = dtypes.get_default_dtype() if floating else dtypes.int64
    d = dtypes.as_dtype(dtype)
    count = math.ceil((last - first) / by)
    if all(isinstance(v, (int, np.integer)) for v in values):
        array = (first + np.arange(count, dtype=np.int64) * by).astype(d.numpy)
    else:
        array = (first + np.arange(count, dtype=np.float64) * by).astype(d.numpy)
    return wants_grad(wrap(on_device(array, _place(device))), requires_grad)


def linspace(start, end, steps: int, *, dtype=None, device=None, requires_grad=False):  # noqa: A002
    """``steps`` values evenly spaced from start to end, both included."""
    if steps < 0:
        raise ValueRangeError(f"linspace: number of steps must be non-negative, got {steps}.")
    d = _dtype(dtype)
    array = np.linspace(_number(start), _number(end), steps)
    if d.category < 2:
        array = np.trunc(array)
    return wants_grad(wrap(on_device(array.astype(d.numpy), _place(device))), requires_grad)


def logspace(start, end, steps: int, base=10.0, *, dtype=None, device=None, requires_grad=False):  # noqa: A002
    """``steps`` values from base**start to base**end, evenly spaced in the exponent."""
    array = np.logspace(_number(start), _number(end), steps, base=base)
    return wants_grad(wrap(on_device(array.astype(_dtype(dtype).numpy), _place(device))), requires_grad)


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
    return wrap(np.array(default_generator.get_pair(), np.uint64).view(np.uint8).copy())


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
    if place.type == "cpu":
        out = getattr(ops, name)(shape=shape, dtype=d, key=key, **how)
    else:
        library = backends.for_device(place)
        from mlkit.ops import REGISTRY

        out = wrap(library.kernel(REGISTRY[name])(shape=shape, dtype=d, key=key, **how))
    return wants_grad(out, requires_grad)


def rand(*size, generator=None, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):  # noqa: A002
    """Numbers uniform on [0, 1)."""
    return _draw("uniform", _shape(size), dtype, device, requires_grad, generator)


def randn(*size, generator=None, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):  # noqa: A002
    """Numbers from the standard normal distribution."""
    return _draw("normal", _shape(size), dtype, device, requires_grad, generator)


def randint(low, high=None, size=None, *, generator=None, dtype=None, device=None, requires_grad=False):  # noqa: A002
    """Integers uniform on [low, high): randint(high, size) or randint(low, high, size)."""
    if size is None:
        low, high, size = 0, low, high
    if high is None:
        low, high = 0, low
    if high <= low:
        raise ValueRangeError(f"randint: expected low < high, got {low} and {high}.")
    d = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    return _draw("random_integers", _shape((size,)), d, device, requires_grad, generator, low=int(low), high=int(high))


def randperm(n: int, *, generator=None, dtype=None, device=None):  # noqa: A002
    """0 .. n-1 in random order."""
    d = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    return _draw("random_permutation", (n,), d, device, False, generator)


def _place_of(input, place):
    if place is not None:
        return place
    array = input._array
    return "meta" if array.__class__ is MetaArray else backends.for_array(array).device_of(array)


def _dtype_of(input, dtype):
    return dtypes.from_numpy_dtype(input._array.dtype) if dtype is None else dtype


def rand_like(input, *, dtype=None, device=None, requires_grad=False):  # noqa: A002
    """Uniform numbers with the shape, dtype and device of ``input``."""
    shape = tuple(input._array.shape)
    return _draw("uniform", shape, _dtype_of(input, dtype), _place_of(input, device), requires_grad, None)


def randn_like(input, *, dtype=None, device=None, requires_grad=False):  # noqa: A002
    """Normal numbers with the shape, dtype and device of ``input``."""
    shape = tuple(input._array.shape)
    return _draw("normal", shape, _dtype_of(input, dtype), _place_of(input, device), requires_grad, None)


def randint_like(input, low, high=None, *, dtype=None, device=None, requires_grad=False):  # noqa: A002
    """Integers uniform on [low, high) with the shape, dtype and device of ``input``."""
    shape = tuple(input._array.shape)
    low, high = (0, low) if high is None else (low, high)
    place = _place_of(input, device)
    out = _draw("random_integers", shape, dtypes.int64, place, False, None, low=int(low), high=int(high))
    return wants_grad(ops.cast(out, dtype=dtypes.as_dtype(_dtype_of(input, dtype))), requires_grad)


def normal(mean=0.0, std=1.0, size=None, *, generator=None, dtype=None, device=None):  # noqa: A002
    """Normal numbers with the given means and standard deviations (tensors broadcast, or numbers with ``size``)."""
    if size is None:
        shapes = [tuple(x._array.shape) for x in (mean, std) if isinstance(x, Value)]
        if not shapes:
            raise ArgumentError("normal: give a size when mean and std are numbers.")
        shape = np.broadcast_shapes(*shapes)
    else:
        shape = _shape((size,))
    return randn(*shape, generator=generator, dtype=dtype, device=device) * std + mean


def bernoulli(input, p=None, *, generator=None):
    """1 with the probability that ``input`` names at each place (or ``p`` everywhere), else 0."""
    chance = input if p is None else p
    u = _draw("uniform", tuple(input._array.shape), _dtype_of(input, None), _place_of(input, None), False, generator)
    return ops.cast(ops.lt(u, chance), dtype=_dtype_of(input, None))


def multinomial(input, num_samples: int, replacement: bool = False, *, generator=None):
    """Indices drawn with probability in proportion to ``input`` (rows of weights (k) or (rows, k)); int64."""
    weights = to_numpy_array(input).astype(np.float64)
    if weights.ndim not in (1, 2):
        raise ShapeError(f"multinomial: expected (k) or (rows, k) weights, got {weights.shape}.")
    rows = np.atleast_2d(weights)
    if (rows < 0).any() or not np.isfinite(rows).all() or (rows.sum(1) <= 0).any():
        raise ValueRangeError("multinomial: weights must be finite, not negative, and not all zero in a row.")
    if not replacement and num_samples > (rows > 0).sum(1).min():
        raise ValueRangeError(
            f"multinomial: cannot draw {num_samples} different indices: a row has fewer non-zero weights.",
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
        drawn = np.argsort(clocks, axis=1)[:, :num_samples]
    return wrap(on_device(drawn.reshape((*weights.shape[:-1], num_samples)).astype(np.int64), _place_of_device(input)))


def _place_of_device(input) -> device:
    return device(_place_of(input, None))
