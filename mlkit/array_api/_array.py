"""``Array``: a tensor with the operators of the Array API standard, and the checks all of its functions share.

Values come straight from the array library (NumPy, CuPy), whose functions follow the standard; what wants a gradient, is
being traced or has no data goes through mlkit's ops, which give the same numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dispatch, inplace
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, DeviceError, MlkitError, ShapeError, ValueRangeError
from mlkit.core.tensor import Tensor
from mlkit.core.value import MetaArray, Value, mark_mutated, storage_of, tensor_types, wrap

VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")


class DtypeRefused(MlkitError, TypeError):
    """An element type the standard gives the function no meaning for."""


class ShapeRefused(ShapeError, ValueError):
    """Shapes or axes that do not fit."""


class _Size(int):
    """A count that also answers as PyTorch's ``size()`` does."""

    _shape: Any

    def __call__(self, dim=None):
        return self._shape if dim is None else self._shape[dim]


class Array(Tensor):
    """A tensor whose operators keep to the Array API standard.

    Element types of one kind promote by the standard's table, a 0-d array counts as much as any other, a Python number
    takes the array's type, and nothing else is converted: mixing kinds is an error. ``mlkit.array_api`` makes these; they
    are tensors, so gradients and everything else of mlkit work on them.

    >>> import mlkit.array_api as xp
    >>> xp.asarray([1, 2], dtype=xp.int8) + xp.asarray(300, dtype=xp.int16)
    Array([301, 302], dtype=mlkit.int16)
    """

    __slots__ = ()
    __array_ufunc__ = None  # NumPy's arrays do not mix in by themselves

    def __new__(cls, *args, **kwargs):
        raise ArgumentError("Array cannot be called.", hint="Make one with mlkit.array_api.asarray(obj).")

    def __array_namespace__(self, /, *, api_version: str | None = None):
        return namespace(api_version)

    @property
    def size(self):
        """The number of elements; called with an axis, or without, PyTorch's ``size()``."""
        out = _Size(self._array.size)
        out._shape = self.shape
        return out

    @property
    def T(self):  # noqa: N802 - the standard's name
        """A matrix with rows and columns exchanged."""
        if self.ndim != 2:
            raise ShapeRefused(
                f"x.T is for matrices; this array has {self.ndim} axes.", hint="Use permute_dims or x.mT."
            )
        return result(ops.permute(self, dims=(1, 0)))

    @property
    def mT(self):  # noqa: N802 - the standard's name
        """The last two axes exchanged."""
        if self.ndim < 2:
            raise ShapeRefused(f"x.mT needs at least two axes, and this array has {self.ndim}.")
        return result(ops.mT(self))

    def to_device(self, device, /, *, stream=None):
        """This array on another device."""
        if stream is not None:
            raise ValueRangeError("to_device: streams are the array library's own; leave stream out.")
        return result(self.to(device=device))

    def __repr__(self):
        from mlkit.core.printing import tensor_text

        return tensor_text(self, "Array")

    # one number

    def _one(self, what: str):
        if self.ndim:
            raise ArgumentError(f"Only arrays without axes can be converted to {what}.", f"shape: {tuple(self.shape)}")
        return self.item()

    def __bool__(self):
        return bool(self._one("bool"))

    def __int__(self):
        found = self._one("int")
        if isinstance(found, complex):
            raise DtypeRefused("A complex array cannot be converted to int.")
        return int(found)

    def __float__(self):
        found = self._one("float")
        if isinstance(found, complex):
            raise DtypeRefused("A complex array cannot be converted to float.")
        return float(found)

    def __complex__(self):
        return complex(self._one("complex"))

    def __index__(self):
        if self._array.dtype.kind not in "iu":
            raise DtypeRefused(f"An index is an integer; this array is {self.dtype}.")
        return int(self._one("an index"))

    # parts

    def __getitem__(self, key):
        key = _key(key)
        if through_ops(self):
            return result(Tensor.__getitem__(self, key))
        out = result(wrap(self._array[_raw(key)]))
        if np.may_share_memory(out._array, self._array) if isinstance(self._array, np.ndarray) else True:
            out._storage = storage_of(self)
        return out

    def __setitem__(self, key, value):
        key = _key(key)
        if not isinstance(value, Value):
            check_scalar("__setitem__", value, self.dtype)
        elif dtypes.promote_types(value.dtype, self.dtype) is not self.dtype:
            raise DtypeRefused(f"__setitem__: {value.dtype} values do not fit an array of {self.dtype}.")
        if through_ops(self, value):
            Tensor.__setitem__(self, key, value)
            return
        self._array[_raw(key)] = value._array if isinstance(value, Value) else value
        mark_mutated(self)

    __hash__ = Tensor.__hash__


tensor_types.add(Array)


def namespace(api_version: str | None = None):
    """``mlkit.array_api``, when it has that version of the standard."""
    if api_version is not None and api_version not in VERSIONS:
        raise ValueRangeError(
            f"mlkit.array_api has no version {api_version!r} of the Array API standard.",
            f"known: {', '.join(VERSIONS)}",
        )
    return sys.modules["mlkit.array_api"]


# --- in and out ---------------------------------------------------------------------------------------------------------


def result(tensor: Value) -> Array:
    """A tensor just made, as an Array."""
    tensor.__class__ = Array
    return tensor  # type: ignore[return-value]


def array(x: Any, name: str) -> Array:
    """An argument as an Array that shares its memory and graph."""
    if x.__class__ is Array:
        return x
    if isinstance(x, Value):
        return result(ops.reshape(x, shape=tuple(x._array.shape)))
    raise ArgumentError(
        f"{name}: expected an array, got {type(x).__name__}.", hint="Convert it with mlkit.array_api.asarray(x)."
    )


def new(raw) -> Array:
    """What the array library returned, as an Array."""
    return result(wrap(raw if hasattr(raw, "dtype") and not isinstance(raw, np.generic) else np.asarray(raw)))


def library(*arrays: Any):
    """numpy or cupy: whose arrays these are, which must be one."""
    found = None
    for x in arrays:
        if isinstance(x, Value):
            own = backends.for_array(x._array)
            if found is not None and own is not found:
                raise DeviceError("Arrays are on different devices.", hint="Move one with x.to_device(other.device).")
            found = own
    return (found or backends.load("numpy")).m.xp


def through_ops(*arrays: Any) -> bool:
    """Whether mlkit's ops must do it: a gradient is wanted, the arrays have no data, or somebody looks on."""
    if dispatch._busy:
        return True
    for x in arrays:
        if isinstance(x, Value) and (x._array.__class__ is MetaArray or x._node is not None and dispatch.state.grad):
            return True
    return False


def direct(function: str, *arrays: Any, **how: Any) -> Array:
    """The array library's own function."""
    xp = library(*arrays)
    with np.errstate(all="ignore"):
        return new(getattr(xp, function)(*[x._array if isinstance(x, Value) else x for x in arrays], **how))


def _raw(key):
    if isinstance(key, tuple):
        return tuple(k._array if isinstance(k, Value) else k for k in key)
    return key._array if isinstance(key, Value) else key


def _key(key):
    for k in key if isinstance(key, tuple) else (key,):
        if isinstance(k, (float, str, list, np.ndarray)):
            raise IndexError(f"Arrays are indexed by integers, slices, ..., None and arrays, not {type(k).__name__}.")
        if isinstance(k, Value) and k._array.dtype.kind not in "biu":
            raise IndexError(f"An index array holds integers or booleans, not {k.dtype}.")
    return key


# --- element types ------------------------------------------------------------------------------------------------------

KINDS = {
    "boolean": "b",
    "integer": "iu",
    "integer or boolean": "biu",
    "real floating-point": "f",
    "floating-point": "fc",
    "complex floating-point": "c",
    "real numeric": "iuf",
    "numeric": "iufc",
    "any": "biufc",
}


def letter(d: dtypes.dtype) -> str:
    """NumPy's letter of a type's kind (bfloat16 counts as a float)."""
    return "f" if d is dtypes.bfloat16 else d.numpy.kind


def check_kind(name: str, kind: str, *arrays: Array) -> None:
    for x in arrays:
        if letter(x.dtype) not in KINDS[kind]:
            raise DtypeRefused(
                f"{name}: only {kind} data types are allowed, not {x.dtype}.", hint="Convert it with astype(x, dtype)."
            )


def check_scalar(name: str, number: Any, d: dtypes.dtype) -> None:
    """A Python number fits an array's type when no information of its kind is lost."""
    kind = letter(d)
    if isinstance(number, bool):
        fits = kind == "b"
    elif isinstance(number, int):
        fits = kind in "iufc"
        if kind in "iu" and not dtypes.iinfo(d).min <= number <= dtypes.iinfo(d).max:
            raise OverflowError(f"{name}: {number} does not fit {d}.")
    elif isinstance(number, float):
        fits = kind in "fc"
    elif isinstance(number, complex):
        fits = kind == "c"
    else:
        raise ArgumentError(f"{name}: expected an array or a Python number, got {type(number).__name__}.")
    if not fits:
        raise DtypeRefused(
            f"{name}: the Python {type(number).__name__} {number} does not go with an array of {d}.",
            hint="Convert the array with astype(x, dtype).",
        )


def promoted(name: str, *types: dtypes.dtype) -> dtypes.dtype:
    """The standard's table: types of one kind, the kinds being bool, integers, and real or complex floats."""
    out = types[0]
    for d in types[1:]:
        if d is out:
            continue
        kinds = {"i" if k in "iu" else "f" if k in "fc" else k for k in (letter(out), letter(d))}
        mixed = {out.name, d.name}
        signs = letter(out) + letter(d)
        if len(kinds) > 1 or ("uint64" in mixed and "i" in signs):
            raise DtypeRefused(
                f"{name}: {out} and {d} have no common type in the Array API standard.",
                hint="Convert one with astype(x, dtype).",
            )
        out = dtypes.from_numpy_dtype(np.promote_types(out.numpy, d.numpy))
    return out


def cast(x: Array, d: dtypes.dtype) -> Array:
    """The array as that type (itself when it is)."""
    if x._array.dtype == d.numpy:
        return x
    return result(ops.cast(x, dtype=d)) if through_ops(x) else new(x._array.astype(d.numpy))


def pair(name: str, kind: str, a: Any, b: Any) -> tuple[Array, Array]:
    """Two operands, at least one an array, brought to one type."""
    if not isinstance(a, Value) and not isinstance(b, Value):
        raise ArgumentError(f"{name}: at least one argument must be an array.")
    if isinstance(a, Value) and isinstance(b, Value):
        a, b = array(a, name), array(b, name)
        check_kind(name, kind, a, b)
        d = promoted(name, a.dtype, b.dtype)
        return cast(a, d), cast(b, d)
    x = array(a if isinstance(a, Value) else b, name)
    number = b if isinstance(a, Value) else a
    check_kind(name, kind, x)
    if isinstance(number, complex) and letter(x.dtype) == "f":  # the one number that changes an array's type
        x = cast(x, x.dtype.to_complex())
        check_kind(name, kind, x)
    check_scalar(name, number, x.dtype)
    xp = library(x) if x._array.__class__ is not MetaArray else np
    other = new(xp.asarray(number, dtype=x._array.dtype))
    if x._array.__class__ is MetaArray:
        other = result(wrap(MetaArray((), x._array.dtype)))
    return (x, other) if isinstance(a, Value) else (other, x)


# --- operators ----------------------------------------------------------------------------------------------------------


def _operator(function: Callable) -> tuple[Callable, Callable, Callable]:
    """The forward, reflected and in-place methods of a function of two arrays."""

    def forward(self, other):
        return function(self, other) if _operand(other) else NotImplemented

    def reflected(self, other):
        return function(other, self) if _operand(other) else NotImplemented

    def in_place(self, other):
        if not _operand(other):
            return NotImplemented
        out = function(self, other)
        if out.dtype is not self.dtype:
            raise DtypeRefused(f"In-place {function.__name__}: {out.dtype} does not fit an array of {self.dtype}.")
        if out.shape != self.shape:
            raise ShapeRefused(
                f"In-place {function.__name__} cannot change the shape {tuple(self.shape)} to {tuple(out.shape)}."
            )
        if through_ops(self, out):
            inplace.check_leaf(self)
            return inplace.update(self, out, function.__name__)
        if not self._array.flags.writeable:
            return inplace.update(self, out, function.__name__)
        self._array[...] = out._array
        mark_mutated(self)
        return self

    return forward, reflected, in_place


def _operand(x: Any) -> bool:
    return isinstance(x, (Value, bool, int, float, complex))


def install(operators: dict[str, Callable], unary: dict[str, Callable], comparisons: dict[str, Callable]) -> None:
    """Give Array its operators, which the functions' module defines."""
    for name, function in operators.items():
        forward, reflected, in_place = _operator(function)
        for prefix, method in (("", forward), ("r", reflected), ("i", in_place)):
            method.__name__ = f"__{prefix}{name}__"
            method.__qualname__ = f"Array.__{prefix}{name}__"
            setattr(Array, method.__name__, method)
    for name, function in comparisons.items():
        setattr(Array, f"__{name}__", _operator(function)[0])
    for name, function in unary.items():
        setattr(Array, f"__{name}__", lambda self, function=function: function(self))
    Array.__hash__ = Tensor.__hash__  # type: ignore[method-assign,assignment]
