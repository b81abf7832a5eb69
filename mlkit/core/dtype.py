"""Element types and PyTorch's promotion rules.

NumPy promotes ``float32 + int64`` to float64 and knows no "0-d tensors do not widen"; programs written for PyTorch
rely on the rules here, so ops never let NumPy choose a dtype.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from mlkit.core import config
from mlkit.core.errors import ArgumentError

_BOOL, _INTEGER, _FLOAT, _COMPLEX = range(4)


class dtype:  # noqa: N801 - PyTorch's name
    """An element type, such as ``mlkit.float32``. Compare with ``==`` or ``is``; there is one object per type."""

    __slots__ = ("_numpy", "category", "itemsize", "name")

    def __init__(self, name: str, category: int, itemsize: int):
        self.name = name
        self.category = category
        self.itemsize = itemsize
        self._numpy = None if name == "bfloat16" else np.dtype(name)

    @property
    def numpy(self) -> np.dtype:
        """The NumPy dtype. bfloat16 comes from ``ml_dtypes``, loaded on first use."""
        if self._numpy is None:
            import ml_dtypes

            self._numpy = np.dtype(ml_dtypes.bfloat16)
            _BY_NUMPY[self._numpy] = self
        return self._numpy

    @property
    def is_floating_point(self) -> bool:
        return self.category == _FLOAT

    @property
    def is_complex(self) -> bool:
        return self.category == _COMPLEX

    @property
    def is_signed(self) -> bool:
        return self.category >= _FLOAT or self.name.startswith("int")

    def to_real(self) -> dtype:
        """The type of the real part: complex64 -> float32."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    def to_complex(self) -> dtype:
        """The complex type of the same precision: float32 -> complex64."""
        return {"float64": complex128, "complex128": complex128}.get(self.name, complex64)

    def __repr__(self) -> str:
        return f"{config.shown_name}.{self.name}"

    def __reduce__(self):
        return _by_name, (self.name,)


def _by_name(name: str) -> dtype:
    return _BY_NAME[name]


bool_ = dtype("bool", _BOOL, 1)
uint8 = dtype("uint8", _INTEGER, 1)
uint16 = dtype("uint16", _INTEGER, 2)
uint32 = dtype("uint32", _INTEGER, 4)
uint64 = dtype("uint64", _INTEGER, 8)
int8 = dtype("int8", _INTEGER, 1)
int16 = dtype("int16", _INTEGER, 2)
int32 = dtype("int32", _INTEGER, 4)
int64 = dtype("int64", _INTEGER, 8)
float16 = dtype("float16", _FLOAT, 2)
bfloat16 = dtype("bfloat16", _FLOAT, 2)
float32 = dtype("float32", _FLOAT, 4)
float64 = dtype("float64", _FLOAT, 8)
complex64 = dtype("complex64", _COMPLEX, 8)
complex128 = dtype("complex128", _COMPLEX, 16)

ALL: tuple[dtype, ...] = (
    bool_,
    uint8,
    uint16,
    uint32,
    uint64,
    int8,
    int16,
    int32,
    int64,
    float16,
    bfloat16,
    float32,
    float64,
)
ALL += (complex64, complex128)
_BY_NAME = {d.name: d for d in ALL}
_BY_NUMPY = {d._numpy: d for d in ALL if d._numpy is not None}
ALIASES = {"half": float16, "float": float32, "double": float64, "short": int16, "int": int32, "long": int64}
ALIASES |= {"bool": bool_, "cfloat": complex64, "cdouble": complex128}

#: the words of PyTorch's older type names: ``FloatTensor``
TYPE_NAMES = {
    "float32": "Float",
    "float64": "Double",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "int64": "Long",
    "int32": "Int",
    "int16": "Short",
    "int8": "Char",
    "uint8": "Byte",
    "bool": "Bool",
    "complex64": "ComplexFloat",
    "complex128": "ComplexDouble",
}

_default = float32


def get_default_dtype() -> dtype:
    """The floating type of new tensors made from Python floats (float32 unless changed)."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Set the floating type of new tensors made from Python floats.

    >>> import mlkit
    >>> mlkit.set_default_dtype(mlkit.float64); mlkit.tensor(1.0).dtype
    mlkit.float64
    >>> mlkit.set_default_dtype(mlkit.float32)
    """
    global _default
    d = as_dtype(d)
    if not d.is_floating_point:
        raise ArgumentError(f"set_default_dtype: expected a floating type, got {d}.")
    _default = d


def as_dtype(value) -> dtype:
    """``value`` as a dtype: a dtype, a NumPy dtype, a Python type (float, int, bool, complex) or a name."""
    if value.__class__ is dtype:
        return value
    if value is float:  # Python's own number, as wide as it is there
        return float64
    if value is int:
        return int64
    if value is bool:
        return bool_
    if value is complex:
        return complex128
    if isinstance(value, str):
        name = value.rpartition(".")[2]
        found = _BY_NAME.get(name) or ALIASES.get(name)
        if found:
            return found
    else:
        try:
            return from_numpy_dtype(np.dtype(value))
        except TypeError:
            pass
    names = ", ".join(d.name for d in ALL)
    raise ArgumentError(f"Expected a dtype, got {value!r}.", f"known: {names}")


def from_numpy_dtype(d: np.dtype) -> dtype:
    """The dtype of a NumPy array's elements; byte-swapped and long-double types are named in the error."""
    found = _BY_NUMPY.get(d)
    if found is None:
        if d.name == "bfloat16":
            return _BY_NUMPY.setdefault(d, bfloat16)
        raise ArgumentError(
            f"mlkit has no element type for NumPy's {d}.",
            hint="Convert first, for example array.astype(numpy.float32).",
        )
    return found


@functools.cache
def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest type that both can be turned into, by PyTorch's table.

    >>> import mlkit
    >>> mlkit.promote_types(mlkit.float32, mlkit.int64)
    mlkit.float32
    """
    a, b = as_dtype(a), as_dtype(b)
    if a is b:
        return a
    if a.category > b.category:
        a, b = b, a
    if b.category == _COMPLEX:
        if a.category == _FLOAT:
            return promote_types(a, b.to_real()).to_complex()
        return from_numpy_dtype(np.promote_types(a.numpy, b.numpy)) if a.category == _COMPLEX else b
    if b.category == _FLOAT:
        if a.category < _FLOAT:
            return b
        if {a.name, b.name} == {"float16", "bfloat16"}:
            return float32
        return a if a.itemsize > b.itemsize else b
    if a.category == _BOOL:
        return b
    if "uint64" in (a.name, b.name) and (a.is_signed or b.is_signed):
        return float32  # PyTorch has no integer that holds both; NumPy would say float64
    return from_numpy_dtype(np.promote_types(a.numpy, b.numpy))


def scalar_category(value) -> int:
    """Category of a Python number, ordered as bool < integer < float < complex."""
    if isinstance(value, (bool, np.bool_)):
        return _BOOL
    if isinstance(value, (int, np.integer)):
        return _INTEGER
    if isinstance(value, complex):
        return _COMPLEX
    return _FLOAT


def scalar_dtype(category: int) -> dtype:
    """The type a bare Python number of that category becomes."""
    return (bool_, int64, _default, _default.to_complex())[category]


def result_dtype(dimensioned: dtype | None, zero_dim: dtype | None, scalar: int | None) -> dtype:
    """PyTorch's priority: tensors with axes, then 0-d tensors, then Python numbers.

    A later kind only widens the result when its category is higher than all before it.
    """
    result = dimensioned
    if zero_dim is not None:
        if result is None:
            result = zero_dim
        elif zero_dim.category > result.category:
            both_smooth = zero_dim.category == _COMPLEX and result.category == _FLOAT
            result = result.to_complex() if both_smooth else promote_types(result, zero_dim)
    if scalar is not None:
        if result is None:
            result = scalar_dtype(scalar)
        elif scalar > result.category:
            if scalar == _COMPLEX and result.category == _FLOAT:
                result = result.to_complex()
            else:
                result = scalar_dtype(scalar)
    assert result is not None
    return result


class finfo:  # noqa: N801 - PyTorch's name
    """Limits of a floating type.

    >>> import mlkit
    >>> mlkit.finfo(mlkit.float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, type: dtype | None = None):
        d = as_dtype(type or _default).to_real()
        if not d.is_floating_point:
            raise ArgumentError(f"finfo describes floating types; {d} is none.", hint="Use mlkit.iinfo for integers.")
        if d is bfloat16:
            import ml_dtypes

            info: Any = ml_dtypes.finfo(d.numpy)
        else:
            info = np.finfo(d.numpy)
        self.dtype = d.name
        self.bits = d.itemsize * 8
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = float(info.resolution)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:  # noqa: N801 - PyTorch's name
    """Limits of an integer type.

    >>> import mlkit
    >>> mlkit.iinfo(mlkit.int8).max
    127
    """

    def __init__(self, type: dtype):
        d = as_dtype(type)
        if d.category != _INTEGER:
            raise ArgumentError(f"iinfo describes integer types; {d} is none.", hint="Use mlkit.finfo for floats.")
        info = np.iinfo(d.numpy)
        self.dtype, self.bits, self.max, self.min = d.name, info.bits, int(info.max), int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
