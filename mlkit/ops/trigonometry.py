"""Angles: trigonometric and hyperbolic functions, and their inverses."""

import math

from mlkit.ops.registry import (
    ONE,
    POSITIVE_PAIR,
    UNIT,
    Elementwise,
    Float,
    Sample,
    op,
)


@op(onnx="Sin", samples=ONE)
class sin(Float):
    """Sine of an angle in radians."""

    ufunc = "sin"

    def vjp(m, g, input):
        return g * m.conj(m.cos(input))


@op(onnx="Cos", samples=ONE)
class cos(Float):
    """Cosine of an angle in radians."""

    ufunc = "cos"

    def vjp(m, g, input):
        return -g * m.conj(m.sin(input))


@op(onnx="Tan", samples=UNIT)
class tan(Float):
    """Tangent of an angle in radians."""

    ufunc = "tan"

    def vjp(m, g, out):
        return g * m.conj(1 + out * out)


@op(onnx="Asin", samples=UNIT)
class asin(Float):
    """Inverse sine, in radians."""

    ufunc = "arcsin"

    def vjp(m, g, input):
        return g * m.conj(m.rsqrt(1 - input * input))


@op(onnx="Acos", samples=UNIT)
class acos(Float):
    """Inverse cosine, in radians."""

    ufunc = "arccos"

    def vjp(m, g, input):
        return -g * m.conj(m.rsqrt(1 - input * input))


@op(onnx="Atan", samples=ONE)
class atan(Float):
    """Inverse tangent, in radians."""

    ufunc = "arctan"

    def vjp(m, g, input):
        return g / m.conj(1 + input * input)


@op(onnx="Sinh", samples=ONE)
class sinh(Float):
    """Hyperbolic sine."""

    ufunc = "sinh"

    def vjp(m, g, input):
        return g * m.conj(m.cosh(input))


@op(onnx="Cosh", samples=ONE)
class cosh(Float):
    """Hyperbolic cosine."""

    ufunc = "cosh"

    def vjp(m, g, input):
        return g * m.conj(m.sinh(input))


@op(onnx="Tanh", samples=ONE)
class tanh(Float):
    """Hyperbolic tangent."""

    ufunc = "tanh"

    def vjp(m, g, out):
        return g * m.conj(1 - out * out)


@op(onnx="Asinh", samples=ONE)
class asinh(Float):
    """Inverse hyperbolic sine."""

    ufunc = "arcsinh"

    def vjp(m, g, input):
        return g * m.conj(m.rsqrt(input * input + 1))


@op(onnx="Acosh", samples=[(Sample((3, 4), "above_one"),)])
class acosh(Float):
    """Inverse hyperbolic cosine."""

    ufunc = "arccosh"

    def vjp(m, g, input):
        return g * m.conj(m.rsqrt(input - 1) * m.rsqrt(input + 1))


@op(onnx="Atanh", samples=UNIT)
class atanh(Float):
    """Inverse hyperbolic tangent."""

    ufunc = "arctanh"

    def vjp(m, g, input):
        return g / m.conj(1 - input * input)


@op(samples=ONE)
class sinc(Float):
    """sin(pi input) / (pi input), 1 at 0."""

    def forward(m, input):
        angle = input * math.pi
        zero = angle == 0
        return m.xp.where(zero, 1, m.xp.sin(angle) / m.xp.where(zero, 1, angle)).astype(angle.dtype)

    def vjp(m, g, input):
        zero = m.eq(input, 0)
        x = m.where(zero, m.ones_like(input), input) * math.pi
        slope = (m.cos(x) - m.sin(x) / x) / x * math.pi
        return g * m.conj(m.where(zero, m.zeros_like(slope), slope))


@op(samples=POSITIVE_PAIR)
class atan2(Float):
    """The angle of the point (other, input)."""

    refuses = "c"

    ufunc = "arctan2"

    def vjp_input(m, g, input, other):
        return g * other / _squares(m, input, other)

    def vjp_other(m, g, input, other):
        return -g * input / _squares(m, input, other)


def _squares(m, input, other):
    """input**2 + other**2 to divide by: at the origin, which has no angle, the gradient is 0."""
    total = input * input + other * other
    return m.where(m.eq(total, 0), m.ones_like(total), total)


@op(samples=POSITIVE_PAIR)
class hypot(Elementwise):
    """sqrt(input**2 + other**2) without overflow."""

    refuses = "biuc"

    ufunc = "hypot"

    def vjp_input(m, g, input, out):
        return g * input / out

    def vjp_other(m, g, other, out):
        return g * other / out
