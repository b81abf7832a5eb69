"""New tensors: filled, like another, in a row."""

from __future__ import annotations

import math

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.device import CPU, device
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, DtypeError, RefusedError, ShapeError, UnsupportedDtype
from mlkit.core.value import MetaArray, Value, wrap
from mlkit.functional.conversion import check_range
from mlkit.functional.placement import (
    check_dtype_of_out,
    dtype_or_default,
    into,
    of_level,
    on_device,
    place_or_default,
    shape_from,
    wants_grad,
    with_names,
)

# --- filled -----------------------------------------------------------------------------------------------------------


def full_array(shape, fill, d: dtypes.dtype, place: device):
    if place.type == "meta":
        return MetaArray(shape, d.numpy)
    m = backends.for_device(place).m
    if place.type == "cuda" and place.index is not None:
        with m.xp.cuda.Device(place.index):
            return m.xp.full(shape, fill, d.numpy)
    if fill == 0 and not str(fill).startswith(("-", "(-")):  # -0.0 keeps its sign
        return m.xp.zeros(shape, d.numpy)
    return m.xp.full(shape, fill, d.numpy)


def _filled(size, fill, dtype, place, requires_grad, out=None, names=None):
    shape = shape_from((tuple(size),))
    if isinstance(fill, complex) and not (out.dtype if out is not None else dtype_or_default(dtype)).is_complex:
        raise DtypeError(
            f"full: value cannot be converted to type {dtype_or_default(dtype).name} without overflow: {fill}."
        )
    check_dtype_of_out(dtype, out)
    fill = _held(fill, dtype_or_default(dtype) if out is None else out.dtype)
    if out is not None:
        return into(out, wrap(full_array(shape, fill, dtypes.from_numpy_dtype(out._array.dtype), CPU)))
    made = wants_grad(wrap(full_array(shape, fill, dtype_or_default(dtype), place_or_default(place))), requires_grad)
    return made if names is None else with_names(made, names)


def _held(fill, d: dtypes.dtype):
    """A number as an integer type holds it (an unsigned one counts from its end below 0); refused when it does not."""
    if d.category != 1 or fill.__class__ is not int and not isinstance(fill, (int, float, np.generic)):
        return fill
    array = np.asarray(fill)
    if array.dtype.kind in "iuf":
        check_range(array, d.numpy)
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
    return _filled(shape_from(args, size), 0, dtype, device, requires_grad, out, names)


def ones(  # noqa: A002
    *args, size=None, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, names=None
):
    """Ones of that shape. ``size`` is ints or one tuple."""
    return _filled(shape_from(args, size), 1, dtype, device, requires_grad, out, names)


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
    return _filled(shape_from(args, size), 0, dtype, device, requires_grad, out, names)


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
    d = dtype_or_default(dtype)
    import os

    if shared and (not os.path.exists(filename) or os.path.getsize(filename) < size * d.itemsize):
        with open(filename, "ab") as f:
            f.truncate(size * d.itemsize)
    array = np.memmap(filename, d.numpy, "r+" if shared else "c", shape=(size,))
    return wants_grad(wrap(np.asarray(array)), requires_grad)


# --- like another tensor ----------------------------------------------------------------------------------------------


def _like(input, fill, dtype, place, requires_grad):
    array = input._array
    d = dtypes.from_numpy_dtype(array.dtype) if dtype is None else dtypes.as_dtype(dtype)
    if place is None:
        where = device("meta") if array.__class__ is MetaArray else backends.for_array(array).device_of(array)
    else:
        where = device(place)
    out = of_level(input, wrap(full_array(tuple(array.shape), fill, d, where)))
    return wants_grad(out, requires_grad)


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


# --- matrices ---------------------------------------------------------------------------------------------------------


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
    array = np.eye(n, n if m is None else m, dtype=dtype_or_default(dtype).numpy)
    return into(out, wants_grad(wrap(on_device(array, place_or_default(device))), requires_grad))


def _triangle_indices(name, row, col, offset, dtype, place, layout):
    d = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    if row < 0 or col < 0:
        raise ShapeError(f"{name}: row and col must be non-negative, got {row} and {col}.")
    make = np.tril_indices if name == "tril_indices" else np.triu_indices
    return wrap(on_device(np.stack(make(row, offset, col)).astype(d.numpy), place_or_default(place)))


def tril_indices(row: int, col: int, offset: int = 0, *, dtype=None, device="cpu", layout=None):  # noqa: A002
    """The (2, n) row and column indices of the lower triangle of a (row, col) matrix."""
    return _triangle_indices("tril_indices", row, col, offset, dtype, device, layout)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype=None, device="cpu", layout=None):  # noqa: A002
    """The (2, n) row and column indices of the upper triangle of a (row, col) matrix."""
    return _triangle_indices("triu_indices", row, col, offset, dtype, device, layout)


# --- in a row ---------------------------------------------------------------------------------------------------------


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
    check_dtype_of_out(dtype, out)
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
    return into(out, wants_grad(wrap(on_device(array, place_or_default(device))), requires_grad))


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
    array = (start + np.arange(count) * step).astype(dtype_or_default(dtype).numpy)
    return into(out, wants_grad(wrap(on_device(array, place_or_default(device))), requires_grad))


def _spaced(name, start, end, steps, base, out, dtype, place, requires_grad):
    if steps < 0:
        raise RefusedError(f"{name}: number of steps must be non-negative, got {steps}.")
    for bound in (start, end):
        if isinstance(bound, Value) and bound._array.ndim:
            raise RefusedError(f"{name} only supports 0-dimensional start and end tensors.")
    first, last = _number(start), _number(end)
    if dtype is None and (isinstance(first, complex) or isinstance(last, complex)):
        dtype = dtypes.get_default_dtype().to_complex()
    check_dtype_of_out(dtype, out)
    d = dtype_or_default(dtype)
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
    return into(out, wants_grad(wrap(on_device(array.astype(d.numpy), place_or_default(place))), requires_grad))


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
