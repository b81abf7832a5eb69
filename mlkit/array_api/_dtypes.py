"""The standard's element types, what is known of them, and of this library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlkit import cuda
from mlkit.array_api._array import Array, DtypeRefused, array, cast, check_scalar, letter, promoted, result
from mlkit.core import dtype as dtypes
from mlkit.core.device import CPU, device
from mlkit.core.dispatch import ops
from mlkit.core.dtype import (
    complex64,
    complex128,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.core.value import Value

bool = dtypes.bool_  # noqa: A001 - the standard's name

_SIGNED, _UNSIGNED = (int8, int16, int32, int64), (uint8, uint16, uint32, uint64)
_REAL, _COMPLEX = (float32, float64), (complex64, complex128)
_KINDS = {
    "bool": (bool,),
    "signed integer": _SIGNED,
    "unsigned integer": _UNSIGNED,
    "integral": _SIGNED + _UNSIGNED,
    "real floating": _REAL,
    "complex floating": _COMPLEX,
    "numeric": _SIGNED + _UNSIGNED + _REAL + _COMPLEX,
}


def _type_of(x: Any) -> dtypes.dtype:
    if isinstance(x, Value):
        return x.dtype
    if isinstance(x, dtypes.dtype):
        return x
    raise ArgumentError(f"Expected an array or one of this namespace's dtypes, got {x!r}.")


def astype(x, dtype, /, *, copy: Any = True, device=None) -> Array:
    """The array as another type; a copy unless copy is False and nothing changes."""
    x = array(x, "astype")
    d = _type_of(dtype)
    if letter(x.dtype) == "c" and letter(d) != "c" and d is not bool:
        raise DtypeRefused(f"astype: {x.dtype} cannot become {d}.", hint="Take real(x), imag(x) or abs(x) first.")
    out = cast(x, d)
    if device is not None:
        out = result(out.to(device=device)) if out.device != device else out
    return result(ops.clone(out)) if copy and out is x else out


def can_cast(from_, to, /) -> Any:
    """Whether the standard's promotion turns the first type into the second."""
    a, b = _type_of(from_), _type_of(to)
    try:
        return promoted("can_cast", a, b) is b
    except DtypeRefused:
        return False


def result_type(*arrays_and_dtypes) -> dtypes.dtype:
    """The type that an operation on all of them gives; Python numbers take the type of the others."""
    types = [_type_of(x) for x in arrays_and_dtypes if not isinstance(x, (int, float, complex))]
    if not types:
        raise ValueRangeError("result_type: at least one array or dtype is needed.")
    d = promoted("result_type", *types)
    for x in arrays_and_dtypes:
        if isinstance(x, complex) and letter(d) == "f":
            d = d.to_complex()
        if isinstance(x, (int, float, complex)):
            check_scalar("result_type", x, d)
    return d


def isdtype(dtype, kind) -> Any:
    """Whether a type is of a kind: 'bool', 'signed integer', 'unsigned integer', 'integral', 'real floating',
    'complex floating', 'numeric', a dtype, or a tuple of these."""
    d = _type_of(dtype)
    for entry in kind if isinstance(kind, tuple) else (kind,):
        if isinstance(entry, str):
            if entry not in _KINDS:
                raise ValueRangeError(f"isdtype: unknown kind {entry!r}.", f"known: {', '.join(_KINDS)}")
            if d in _KINDS[entry]:
                return True
        elif _type_of(entry) is d:
            return True
    return False


@dataclass(frozen=True)
class finfo_object:  # noqa: N801 - as the standard's other names
    """Limits of a floating type."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: Any


@dataclass(frozen=True)
class iinfo_object:  # noqa: N801
    """Limits of an integer type."""

    bits: int
    max: int
    min: int
    dtype: Any


def finfo(type, /) -> finfo_object:  # noqa: A002
    """Limits of a floating type (of a complex one: of its parts), given as dtype or array."""
    d = _type_of(type)
    if letter(d) not in "fc":
        raise DtypeRefused(f"finfo describes floating-point types; {d} is none.", hint="Use iinfo.")
    real = d.to_real()
    info = np.finfo(real.numpy)
    eps, largest, smallest, normal = (float(n) for n in (info.eps, info.max, info.min, info.smallest_normal))
    return finfo_object(real.itemsize * 8, eps, largest, smallest, normal, real)


def iinfo(type, /) -> iinfo_object:  # noqa: A002
    """Limits of an integer type, given as dtype or array."""
    d = _type_of(type)
    if letter(d) not in "iu":
        raise DtypeRefused(f"iinfo describes integer types; {d} is none.", hint="Use finfo.")
    info = np.iinfo(d.numpy)
    return iinfo_object(info.bits, int(info.max), int(info.min), d)


class _Info:
    """What ``__array_namespace_info__()`` gives."""

    def capabilities(self) -> dict:
        """What the library can do that the standard leaves open."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> device:
        """Where arrays are made unless a device is named."""
        from mlkit.functional.placement import get_default_device

        return get_default_device()

    def default_dtypes(self, *, device=None) -> dict:
        """The types of arrays made from Python numbers."""
        real = dtypes.get_default_dtype()
        names = {"real floating": real, "complex floating": real.to_complex(), "integral": int64, "indexing": int64}
        return names

    def devices(self) -> list:
        """The devices that arrays can be on now."""
        return [CPU, *(device("cuda", i) for i in range(cuda.device_count() if cuda.is_available() else 0))]

    def dtypes(self, *, device=None, kind=None) -> dict:
        """The types by name, all or those of a kind."""
        known = {d.name: d for d in (bool, *_KINDS["numeric"])}
        return known if kind is None else {name: d for name, d in known.items() if isdtype(d, kind)}


def __array_namespace_info__() -> _Info:  # noqa: N807 - the standard's name
    """An object that tells capabilities, devices and types."""
    return _Info()
