"""Elementwise functions whose PyTorch signature says more than the op: alpha, rounding_mode, bounds as tensors."""

from __future__ import annotations

import builtins

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import lasting, ops
from mlkit.core.errors import ArgumentError, DtypeError, RefusedError, UnsupportedDtype
from mlkit.core.value import Value, wrap
from mlkit.functional.results import named_result

frexp_result = named_result("frexp", ("mantissa", "exponent"))


def _scaled(x, factor):
    """x * factor, a number, as a part of one step: going back through it twice needs no retain_graph."""
    out = ops.mul(x, factor)
    return lasting(out) if isinstance(out, Value) else out


def add(input, other, *, alpha=1):
    """input + alpha * other.

    >>> import mlkit
    >>> mlkit.add(mlkit.tensor([1.0, 2.0]), mlkit.tensor([10.0, 10.0]), alpha=0.5)
    tensor([6., 7.])
    """
    return ops.add(input, other if alpha == 1 else _scaled(other, alpha))


def sub(input, other, *, alpha=1):
    """input - alpha * other."""
    return ops.sub(input, other if alpha == 1 else _scaled(other, alpha))


def rsub(input, other, *, alpha=1):
    """other - alpha * input."""
    return ops.sub(other, input if alpha == 1 else _scaled(input, alpha))


def div(input, other, *, rounding_mode: str | None = None):
    """input / other; ``rounding_mode`` None is true division, "trunc" rounds to zero, "floor" rounds down."""
    if rounding_mode is None:
        return ops.div(input, other)
    if rounding_mode == "floor":
        return ops.floor_divide(input, other)
    if rounding_mode == "trunc":
        return ops.trunc_divide(input, other)
    raise RefusedError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}.")


def pow(input, exponent):  # noqa: A001
    """input ** exponent; either may be a number.

    >>> import mlkit
    >>> mlkit.pow(mlkit.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """
    input, exponent = (
        x.item() if isinstance(x, np.generic) else wrap(x) if isinstance(x, np.ndarray) else x
        for x in (input, exponent)
    )
    if isinstance(exponent, Value):
        if not isinstance(input, Value):
            d = dtypes.scalar_dtype(dtypes.scalar_category(input))
            kind = dtypes.from_numpy_dtype(exponent._array.dtype)
            d = dtypes.result_dtype(kind, None, d.category)
            input = ops.cast(ops.ones_like(exponent), dtype=d) * input
        return ops.pow(input, exponent)
    if not isinstance(input, Value):
        raise ArgumentError("pow: expected a tensor as input or exponent.")
    d = dtypes.from_numpy_dtype(input._array.dtype)
    target = dtypes.result_dtype(d, None, dtypes.scalar_category(exponent))
    if target is not d:
        input = ops.cast(input, dtype=target)
    elif d.category < 2 and exponent < 0:
        raise RefusedError("Integers to negative integer powers are not allowed.", hint="Use x.float() ** exponent.")
    return ops.pow_scalar(input, exponent=exponent)


def clamp(input, min=None, max=None):  # noqa: A002
    """input bounded below by min and above by max: numbers or tensors, at least one of them."""
    if min is None and max is None:
        raise RefusedError("clamp: at least one of 'min' or 'max' must not be None.")
    if isinstance(min, Value) or isinstance(max, Value):
        if any(b is not None and not isinstance(b, Value) for b in (min, max)):
            raise ArgumentError("clamp(): min and max must be both tensors or both numbers.")
        # chosen by where, not maximum: at a tie the gradient is the input's alone
        if min is not None:
            input = ops.where(ops.logical_or(ops.lt(input, min), ops.isnan(min)), min, input)
        if max is not None:
            input = ops.where(ops.logical_or(ops.gt(input, max), ops.isnan(max)), max, input)
        if input._node is not None:  # where one of them is NaN none has a slope
            input = ops.where(ops.isnan(input), input.detach(), input)
        return input
    category = -1
    for bound in (min, max):
        if bound is not None:
            category = dtypes.scalar_category(bound) if dtypes.scalar_category(bound) > category else category
    d = dtypes.from_numpy_dtype(input._array.dtype)
    target = dtypes.result_dtype(d, None, category)
    if target is not d:
        input = ops.cast(input, dtype=target)
    return ops.clamp(input, min=min, max=max)


def clamp_min(input, min):  # noqa: A002
    """input bounded below."""
    return clamp(input, min=min)


def clamp_max(input, max):  # noqa: A002
    """input bounded above."""
    return clamp(input, max=max)


def where(condition, input=None, other=None):
    """input where condition is true, else other; with condition alone the indices of its non-zero places."""
    if input is None and other is None:
        from mlkit.functional.indexing import nonzero

        return nonzero(condition, as_tuple=True)
    if condition._array.dtype.name not in ("bool", "uint8"):
        raise DtypeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}."
        )
    if not isinstance(input, Value) and not isinstance(other, Value):
        d = dtypes.promote_types(*(dtypes.scalar_dtype(dtypes.scalar_category(x)) for x in (input, other)))
        blank = ops.cast(ops.zeros_like(condition), dtype=d)
        input, other = blank + input, blank + other
    return ops.where(condition, input, other)


def round(input, *, decimals: int = 0):  # noqa: A001
    """The nearest integer, or the nearest number with that many decimals; halves go to even."""
    if decimals == 0:
        return ops.round(input)
    if _whole(input):
        raise UnsupportedDtype(f"round: not implemented for {input.dtype} with decimals.")
    scale = 10.0**decimals
    return ops.div(ops.round(ops.mul(input, scale)), scale)


def _tensors(name: str, **given) -> None:
    for label, x in given.items():
        if not isinstance(x, Value):
            raise ArgumentError(f"{name}(): argument '{label}' must be Tensor, not {type(x).__name__}.")


def lerp(input, end, weight):
    """input + weight * (end - input); ``weight`` a number or a tensor.

    >>> import mlkit
    >>> mlkit.lerp(mlkit.tensor([0.0, 10.0]), mlkit.tensor([1.0, 20.0]), 0.5)
    tensor([ 0.5000, 15.0000])
    """
    _tensors("lerp", input=input, end=end)
    for x in (end, weight):
        if isinstance(x, Value) and x._array.dtype != input._array.dtype:
            raise DtypeError(f"expected dtype {input.dtype} for `end` and `weight` but got dtype {x.dtype}.")
    if isinstance(weight, builtins.complex) and not is_complex(input):
        raise DtypeError(f"lerp: value cannot be converted to type {input.dtype.name} without overflow: {weight}.")
    if _whole(input):
        raise UnsupportedDtype(f"lerp: not implemented for {input.dtype}.")
    out = ops.lerp(input, end, weight)
    return out if isinstance(weight, Value) else lasting(out)


def _of_common_dtype(*tensors):
    """All in the dtype of them together, before a product of some of them would round."""
    if len({t._array.dtype for t in tensors}) == 1:
        return tensors
    kinds: list = [None, None]  # of tensors without dims, of the others
    for t in tensors:
        d, place = dtypes.from_numpy_dtype(t._array.dtype), t._array.ndim > 0
        kinds[place] = d if kinds[place] is None else dtypes.promote_types(kinds[place], d)
    common = dtypes.result_dtype(kinds[1], kinds[0], None)
    return tuple(ops.cast(t, dtype=common) for t in tensors)


def addcmul(input, tensor1, tensor2, *, value=1):
    """input + value * tensor1 * tensor2."""
    _tensors("addcmul", input=input, tensor1=tensor1, tensor2=tensor2)
    if all(x._array.dtype == bool for x in (input, tensor1, tensor2)):
        raise UnsupportedDtype("addcmul: not implemented for bool.")
    input, tensor1, tensor2 = _of_common_dtype(input, tensor1, tensor2)
    return add(input, ops.mul(tensor1, tensor2), alpha=value)


def addcdiv(input, tensor1, tensor2, *, value=1):
    """input + value * tensor1 / tensor2."""
    _tensors("addcdiv", input=input, tensor1=tensor1, tensor2=tensor2)
    if all(_whole(x) for x in (tensor1, tensor2)):
        raise DtypeError("Integer division with addcdiv is no longer supported.", hint="Convert first: x.float().")
    input, tensor1, tensor2 = _of_common_dtype(input, tensor1, tensor2)
    return add(input, ops.div(tensor1, tensor2), alpha=value)


def isclose(input, other, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False):
    """True where |input - other| <= atol + rtol * |other|."""
    if not (rtol >= 0 and atol >= 0):
        raise RefusedError(f"rtol and atol must be greater than or equal to zero, but got {rtol} and {atol}.")
    if input._array.dtype != other._array.dtype:
        raise DtypeError(f"{input.dtype} did not match {other.dtype}.")
    if input._array.dtype == bool:
        return ops.eq(input, other)
    if _whole(input):
        input, other = (ops.cast(x, dtype=dtypes.float64) for x in (input, other))
    close = ops.le(ops.abs(ops.sub(input, other)), ops.add(ops.mul(ops.abs(other), rtol), atol))
    close = ops.logical_and(close, ops.logical_and(ops.isfinite(input), ops.isfinite(other)))
    close = ops.logical_or(close, ops.eq(input, other))
    if equal_nan:
        close = ops.logical_or(close, ops.logical_and(ops.isnan(input), ops.isnan(other)))
    return close


def allclose(input, other, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close in the sense of ``isclose``."""
    return bool(ops.all(isclose(input, other, rtol, atol, equal_nan))._array)


def equal(input, other) -> bool:
    """Whether both have the same shape and the same values."""
    if tuple(input._array.shape) != tuple(other._array.shape):
        return False
    return bool(ops.all(ops.eq(input, other))._array)


def square(input):
    """input * input."""
    return pow(input, 2)


def deg2rad(input):
    """Degrees to radians."""
    return _scaled(input, 0.017453292519943295)


def rad2deg(input):
    """Radians to degrees."""
    return _scaled(input, 57.29577951308232)


def is_floating_point(input) -> bool:
    """Whether the elements are floating point numbers."""
    return dtypes.from_numpy_dtype(input._array.dtype).is_floating_point


def is_complex(input) -> bool:
    """Whether the elements are complex numbers."""
    return dtypes.from_numpy_dtype(input._array.dtype).is_complex


def result_type(tensor1, tensor2):
    """The dtype an arithmetic op on both would give."""

    def kinds(x):
        if not isinstance(x, Value):
            return None, None, dtypes.scalar_category(x)
        d = dtypes.from_numpy_dtype(x._array.dtype)
        return (d, None, None) if x._array.ndim else (None, d, None)

    merged = []
    for a, b in zip(kinds(tensor1), kinds(tensor2), strict=True):
        if a is None or b is None:
            merged.append(a if b is None else b)
        else:
            merged.append(max(a, b) if isinstance(a, int) else dtypes.promote_types(a, b))
    return dtypes.result_dtype(*merged)


def can_cast(from_, to) -> bool:
    """Whether values of one dtype may be written into the other (complex -> float, float -> int, x -> bool: no)."""
    a, b = dtypes.as_dtype(from_), dtypes.as_dtype(to)
    return a.category <= b.category


def is_nonzero(input) -> bool:
    """Whether the one element is not zero."""
    if input._array.size != 1:
        raise DtypeError(
            "Boolean value of Tensor with "
            + ("no values" if not input._array.size else "more than one value")
            + " is ambiguous.",
            f"shape: {tuple(input._array.shape)}",
        )
    return bool(input._array.reshape(())[()] != 0)


def is_same_size(input, other) -> bool:
    """Whether both have the same shape."""
    return tuple(input._array.shape) == tuple(other._array.shape)


def is_signed(input) -> bool:
    """Whether the element type has negative numbers."""
    return dtypes.from_numpy_dtype(input._array.dtype).is_signed


def _whole(input) -> bool:
    return dtypes.from_numpy_dtype(input._array.dtype).category < 2


def isposinf(input):
    """True where input is positive infinity."""
    if is_complex(input):
        raise DtypeError("isposinf does not support complex inputs.")
    return ops.eq(input, float("inf")) if not _whole(input) else ops.ne(input, input)


def isneginf(input):
    """True where input is negative infinity."""
    if is_complex(input):
        raise DtypeError("isneginf does not support complex inputs.")
    return ops.eq(input, -float("inf")) if not _whole(input) else ops.ne(input, input)


def isreal(input):
    """True where the imaginary part is zero."""
    if is_complex(input):
        return ops.eq(ops.imag(input), 0)
    return ops.cast(ops.ones_like(input), dtype=dtypes.bool_)


def positive(input):
    """The tensor itself."""
    if input._array.dtype == bool:
        raise DtypeError("The `+` operator, on a bool tensor is not supported.")
    return input


def heaviside(input, values):
    """0 where input is negative, 1 where it is positive, ``values`` where it is 0."""
    if is_complex(input) or is_complex(values):
        raise DtypeError("heaviside is not yet implemented for complex tensors.")
    if input._array.dtype != values._array.dtype:
        raise DtypeError(
            "heaviside is not yet implemented for tensors with different dtypes.", f"{input.dtype} and {values.dtype}"
        )
    input, values = input.detach(), values.detach()
    step = ops.cast_like(ops.gt(input, 0), input)
    out = ops.where(ops.eq(input, 0), values, step)
    return out if _whole(input) else ops.where(ops.isnan(input), ops.zeros_like(input), out)


def ldexp(input, other):
    """input * 2**other.

    >>> import mlkit
    >>> mlkit.ldexp(mlkit.tensor([1.0]), mlkit.tensor([3]))
    tensor([8.])
    """
    _tensors("ldexp", input=input, other=other)
    if _whole(other):
        d = dtypes.from_numpy_dtype(input._array.dtype)
        if other._array.dtype == bool and d.is_floating_point:
            raise UnsupportedDtype("ldexp: not implemented for bool exponents.")
        other = ops.cast(other, dtype=d if d.category >= 2 else dtypes.get_default_dtype())
    return ops.mul(input, pow(2.0, other))


def frexp(input):
    """(mantissa, exponent) with input = mantissa * 2**exponent and the mantissa in [0.5, 1)."""
    if not is_floating_point(input):
        raise DtypeError("torch.frexp() only supports floating-point dtypes.", f"got {input.dtype}")
    return frexp_result(*ops.frexp(input))


def float_power(input, exponent):
    """input ** exponent, computed in float64 (complex128 when one of them is complex)."""
    wide = dtypes.float64
    for x in (input, exponent):
        if isinstance(x, builtins.complex) or isinstance(x, Value) and is_complex(x):
            wide = dtypes.complex128
    if isinstance(input, Value):
        input = ops.cast(input, dtype=wide)
    if isinstance(exponent, Value):
        exponent = ops.cast(exponent, dtype=wide)
    elif isinstance(exponent, int):
        exponent = float(exponent)
    if not isinstance(input, Value):
        input = ops.ones_like(exponent) * input
    return pow(input, exponent)


def logaddexp2(input, other):
    """log2(2**input + 2**other), stable."""
    ln2 = 0.6931471805599453
    if isinstance(input, Value) and isinstance(other, Value) and _whole(input) and _whole(other):
        raise UnsupportedDtype(f"logaddexp2: not implemented for {input.dtype}.", hint="Convert first: x.float().")
    if isinstance(input, Value) and isinstance(other, Value) and input._array.dtype != other._array.dtype:
        common = result_type(input, other)  # before the products, which would round a short number
        input, other = ops.cast(input, dtype=common), ops.cast(other, dtype=common)
    return ops.div(ops.logaddexp(ops.mul(input, ln2), ops.mul(other, ln2)), ln2)


def polar(abs, angle):  # noqa: A002
    """The complex tensor with that magnitude and angle (radians)."""
    if not (is_floating_point(abs) and is_floating_point(angle)):
        raise DtypeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {abs.dtype}, {angle.dtype}."
        )
    if "bfloat16" in (abs.dtype.name, angle.dtype.name):
        raise DtypeError("Expected both inputs to be Half, Float or Double tensors but got bfloat16.")
    if abs._array.dtype != angle._array.dtype:
        raise DtypeError(f"Expected object of dtype {abs.dtype} but got {angle.dtype} for second argument.")
    return ops.complex(ops.mul(abs, ops.cos(angle)), ops.mul(abs, ops.sin(angle)))


def complex(real, imag):  # noqa: A001
    """real + 1j * imag from two real tensors of one dtype."""
    for x in (real, imag):
        if x._array.dtype.name not in ("float16", "float32", "float64"):
            raise DtypeError(
                f"Expected both inputs to be Half, Float or Double tensors but got {real.dtype} and {imag.dtype}."
            )
    if real._array.dtype != imag._array.dtype:
        raise DtypeError(f"Expected object of dtype {real.dtype} but got {imag.dtype} for second argument.")
    return ops.complex(real, imag)


def conj(input):
    """The complex conjugate; a real tensor is its own.

    >>> import mlkit
    >>> y = mlkit.tensor([1 + 2j]).conj()
    >>> y, y.is_conj()
    (tensor([1.-2.j]), True)
    """
    out = ops.conj(input)
    if out is not input:
        out._conjugated = not input._conjugated
    return out


def imag(input):
    """The imaginary part, a view of the complex tensor's memory."""
    if not is_complex(input):
        raise RefusedError("imag is not implemented for tensors with non-complex dtypes.")
    out = ops.imag(input)
    if input._conjugated:
        out._negated = True
    return out


def resolve_conj(input):
    """The same numbers in a tensor whose ``is_conj()`` is False: the tensor itself, or a copy of what conj() gave."""
    return ops.clone(input) if input.is_conj() else input


def resolve_neg(input):
    """The same numbers in a tensor whose ``is_neg()`` is False: the tensor itself, or a copy."""
    return ops.clone(input) if input._negated else input


def conj_physical(input):
    """The complex conjugate."""
    return ops.conj(input)
