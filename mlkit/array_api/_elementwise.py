"""The standard's elementwise functions: one table, from which they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.array_api._array import (
    Array,
    array,
    cast,
    check_kind,
    check_scalar,
    direct,
    install,
    letter,
    library,
    new,
    pair,
    promoted,
    result,
    through_ops,
)
from mlkit.core.dispatch import ops
from mlkit.core.value import Value

# name: (kind of its operands, the array library's name, the op's name, what it computes)
UNARY = {
    "abs": ("numeric", "abs", "abs", "The absolute value; of complex numbers the magnitude."),
    "acos": ("floating-point", "arccos", "acos", "The angle whose cosine it is."),
    "acosh": ("floating-point", "arccosh", "acosh", "The inverse of the hyperbolic cosine."),
    "asin": ("floating-point", "arcsin", "asin", "The angle whose sine it is."),
    "asinh": ("floating-point", "arcsinh", "asinh", "The inverse of the hyperbolic sine."),
    "atan": ("floating-point", "arctan", "atan", "The angle whose tangent it is."),
    "atanh": ("floating-point", "arctanh", "atanh", "The inverse of the hyperbolic tangent."),
    "bitwise_invert": ("integer or boolean", "invert", "bitwise_not", "Every bit turned over."),
    "ceil": ("real numeric", "ceil", "ceil", "The smallest integer not below."),
    "conj": ("numeric", "conj", "conj", "The complex conjugate."),
    "cos": ("floating-point", "cos", "cos", "The cosine."),
    "cosh": ("floating-point", "cosh", "cosh", "The hyperbolic cosine."),
    "exp": ("floating-point", "exp", "exp", "e to its power."),
    "expm1": ("floating-point", "expm1", "expm1", "e to its power, less 1, exact near 0."),
    "floor": ("real numeric", "floor", "floor", "The largest integer not above."),
    "imag": ("complex floating-point", "imag", "imag", "The imaginary part."),
    "isfinite": ("numeric", "isfinite", "isfinite", "Whether it is neither infinite nor NaN."),
    "isinf": ("numeric", "isinf", "isinf", "Whether it is infinite."),
    "isnan": ("numeric", "isnan", "isnan", "Whether it is NaN."),
    "log": ("floating-point", "log", "log", "The natural logarithm."),
    "log10": ("floating-point", "log10", "log10", "The logarithm to base 10."),
    "log1p": ("floating-point", "log1p", "log1p", "The logarithm of 1 + x, exact near 0."),
    "log2": ("floating-point", "log2", "log2", "The logarithm to base 2."),
    "logical_not": ("boolean", "logical_not", "logical_not", "True where it is false."),
    "negative": ("numeric", "negative", "neg", "The number with the other sign."),
    "positive": ("numeric", "positive", "clone", "The same number."),
    "real": ("numeric", "real", "real", "The real part."),
    "reciprocal": ("floating-point", "reciprocal", "reciprocal", "1 / x."),
    "round": ("numeric", "round", "round", "The nearest integer; halves go to even."),
    "sign": ("numeric", "sign", "sgn", "-1, 0 or 1; of complex numbers the number on the unit circle."),
    "signbit": ("real floating-point", "signbit", "signbit", "Whether the sign bit is set."),
    "sin": ("floating-point", "sin", "sin", "The sine."),
    "sinh": ("floating-point", "sinh", "sinh", "The hyperbolic sine."),
    "sqrt": ("floating-point", "sqrt", "sqrt", "The square root."),
    "square": ("numeric", "square", "square", "x * x."),
    "tan": ("floating-point", "tan", "tan", "The tangent."),
    "tanh": ("floating-point", "tanh", "tanh", "The hyperbolic tangent."),
    "trunc": ("real numeric", "trunc", "trunc", "The integer part."),
}
BINARY = {
    "add": ("numeric", "add", "add", "x1 + x2."),
    "atan2": ("real floating-point", "arctan2", "atan2", "The angle of the point (x2, x1)."),
    "bitwise_and": ("integer or boolean", "bitwise_and", "bitwise_and", "The bits set in both."),
    "bitwise_left_shift": ("integer", "left_shift", "bitwise_left_shift", "x1 with its bits moved x2 places up."),
    "bitwise_or": ("integer or boolean", "bitwise_or", "bitwise_or", "The bits set in either."),
    "bitwise_right_shift": ("integer", "right_shift", "bitwise_right_shift", "x1 with its bits moved x2 places down."),
    "bitwise_xor": ("integer or boolean", "bitwise_xor", "bitwise_xor", "The bits set in just one."),
    "copysign": ("real floating-point", "copysign", "copysign", "x1 with the sign of x2."),
    "divide": ("floating-point", "divide", "div", "x1 / x2."),
    "equal": ("any", "equal", "eq", "Whether x1 == x2."),
    "floor_divide": ("real numeric", "floor_divide", "floor_divide", "x1 / x2 rounded down."),
    "greater": ("real numeric", "greater", "gt", "Whether x1 > x2."),
    "greater_equal": ("real numeric", "greater_equal", "ge", "Whether x1 >= x2."),
    "hypot": ("real floating-point", "hypot", "hypot", "The length of the hypotenuse over x1 and x2."),
    "less": ("real numeric", "less", "lt", "Whether x1 < x2."),
    "less_equal": ("real numeric", "less_equal", "le", "Whether x1 <= x2."),
    "logaddexp": ("real floating-point", "logaddexp", "logaddexp", "log(exp(x1) + exp(x2)), without overflow."),
    "logical_and": ("boolean", "logical_and", "logical_and", "Whether both are true."),
    "logical_or": ("boolean", "logical_or", "logical_or", "Whether one is true."),
    "logical_xor": ("boolean", "logical_xor", "logical_xor", "Whether just one is true."),
    "maximum": ("real numeric", "maximum", "maximum", "The larger of both."),
    "minimum": ("real numeric", "minimum", "minimum", "The smaller of both."),
    "multiply": ("numeric", "multiply", "mul", "x1 * x2."),
    "nextafter": ("real floating-point", "nextafter", "nextafter", "The next number from x1 towards x2."),
    "not_equal": ("any", "not_equal", "ne", "Whether x1 != x2."),
    "pow": ("numeric", "power", "pow", "x1 to the power of x2."),
    "remainder": ("real numeric", "remainder", "remainder", "x1 - x2 * floor(x1 / x2)."),
    "subtract": ("numeric", "subtract", "sub", "x1 - x2."),
}


def _unary(name: str, kind: str, raw: str, op: str, words: str) -> Callable:
    def function(x, /):
        x = array(x, name)
        check_kind(name, kind, x)
        if name in ("ceil", "floor", "trunc", "round") and x._array.dtype.kind in "iu":
            return result(ops.clone(x))
        if name == "real" and x._array.dtype.kind != "c" or name == "conj" and x._array.dtype.kind != "c":
            return x
        if not through_ops(x):
            out = direct(raw, x)
            return _complex_expm1(x, out) if name == "expm1" and x._array.dtype.kind == "c" else out
        return result(ops.mul(x, x) if op == "square" else getattr(ops, op)(x))

    return _named(function, name, f"{words}\n\n    x: {kind}.")


def _binary(name: str, kind: str, raw: str, op: str, words: str) -> Callable:
    def function(x1, x2, /):
        a, b = pair(name, kind, x1, x2)
        if name == "floor_divide" and letter(a.dtype) == "f":
            return _floor_divide(a, b)
        if not through_ops(a, b):
            return direct(raw, a, b)
        return result(getattr(ops, op)(a, b))

    return _named(function, name, f"{words}\n\n    x1, x2: {kind}, of one kind; one of them may be a Python number.")


def _floor_divide(a: Array, b: Array) -> Array:
    """Of floats: where just one side is infinite floor(a / b), as the standard prefers, instead of Python's NaN and -1."""
    if through_ops(a, b):
        one_sided = ops.ne(ops.isinf(a), ops.isinf(b))
        with np.errstate(all="ignore"):
            exact = ops.div(a.detach(), b.detach())
            return result(ops.where(one_sided, exact, ops.floor_divide(a, b)))
    out, x, y = direct("floor_divide", a, b), a._array, b._array
    xp = library(a, b)
    one_sided = xp.isinf(x) != xp.isinf(y)
    if one_sided.any():
        with np.errstate(all="ignore"):
            return new(xp.where(one_sided, xp.divide(x, y), out._array))
    return out


def _complex_expm1(x: Array, out: Array) -> Array:
    """Complex expm1 as the standard wants it on the real axis and at infinity, where array libraries give NaN."""
    z, given = out._array, x._array
    xp = library(x)
    a, b = given.real, given.imag
    axis, lost = b == 0, ~xp.isfinite(b) & xp.isinf(a)
    if not (axis.any() or lost.any()):
        return out
    with np.errstate(all="ignore"):
        real = xp.where(axis, xp.expm1(a) + 0.0, xp.where(lost, xp.where(a > 0, a, -1.0), z.real))
    imag = xp.where(axis, b, xp.where(lost, xp.where(a > 0, xp.nan, 0.0), z.imag))
    made = xp.empty(z.shape, z.dtype)
    made.real, made.imag = real, imag
    return new(made)


def _named(function: Callable, name: str, words: str) -> Callable:
    function.__name__ = function.__qualname__ = name
    function.__module__ = "mlkit.array_api"
    function.__doc__ = words
    return function


FUNCTIONS: dict[str, Callable] = {
    **{name: _unary(name, *row) for name, row in UNARY.items()},
    **{name: _binary(name, *row) for name, row in BINARY.items()},
}


def clip(x, /, min: Any = None, max: Any = None) -> Array:  # noqa: A002
    """x bounded below by min and above by max: arrays or Python numbers of its kind; the result has the type of x."""
    x = array(x, "clip")
    check_kind("clip", "real numeric", x)
    out = x
    for name, bound in (("maximum", min), ("minimum", max)):
        if bound is None:
            continue
        if isinstance(bound, Value):
            bound = array(bound, "clip")
            check_kind("clip", "real numeric", bound)
            promoted("clip", x.dtype, bound.dtype)
            bound = cast(bound, x.dtype)
        elif isinstance(bound, float) and x._array.dtype.kind in "iu":
            check_scalar("clip", bound, x.dtype)
        elif isinstance(bound, int) and x._array.dtype.kind in "iu":
            from mlkit.core.dtype import iinfo

            limits = iinfo(x.dtype)
            bound = limits.min if bound < limits.min else limits.max if bound > limits.max else bound
        out = FUNCTIONS[name](out, bound)
    return result(ops.clone(x)) if out is x else out


install(
    {
        "add": FUNCTIONS["add"],
        "sub": FUNCTIONS["subtract"],
        "mul": FUNCTIONS["multiply"],
        "truediv": FUNCTIONS["divide"],
        "floordiv": FUNCTIONS["floor_divide"],
        "mod": FUNCTIONS["remainder"],
        "pow": FUNCTIONS["pow"],
        "and": FUNCTIONS["bitwise_and"],
        "or": FUNCTIONS["bitwise_or"],
        "xor": FUNCTIONS["bitwise_xor"],
        "lshift": FUNCTIONS["bitwise_left_shift"],
        "rshift": FUNCTIONS["bitwise_right_shift"],
    },
    {
        "abs": FUNCTIONS["abs"],
        "neg": FUNCTIONS["negative"],
        "pos": FUNCTIONS["positive"],
        "invert": FUNCTIONS["bitwise_invert"],
    },
    {
        "eq": FUNCTIONS["equal"],
        "ne": FUNCTIONS["not_equal"],
        "lt": FUNCTIONS["less"],
        "le": FUNCTIONS["less_equal"],
        "gt": FUNCTIONS["greater"],
        "ge": FUNCTIONS["greater_equal"],
    },
)
