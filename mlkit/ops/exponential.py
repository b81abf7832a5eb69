"""Powers, roots, exponentials and logarithms."""

import math

import numpy as np

from mlkit.core.value import MetaArray
from mlkit.ops.registry import (
    ONE,
    PAIR,
    POSITIVE,
    REQUIRED,
    Elementwise,
    Float,
    Op,
    Sample,
    op,
)


@op(onnx="Pow", samples=[(Sample((3, 4), "positive"), (4,))])
class pow(Elementwise):  # noqa: A001
    """input ** other, both tensors."""

    refuses = "b"

    def forward(m, input, other):
        return m.power_(input, other)

    def vjp_input(m, g, input, other):
        # where other is 0 the slope is 0, also at input 0, where 0 * 0**-1 would be NaN
        zero = m.eq(other, 0)
        slope = other * m.pow(input, m.where(zero, m.ones_like(other), other) - 1)
        return g * m.conj(m.where(zero, m.zeros_like(slope), slope))

    def vjp_other(m, g, input, other, out):
        # at input 0 the limit of out * log(input) is 0 for other >= 0
        flat = m.logical_and(m.eq(input, 0), m.ge(m.real(other), 0))
        slope = out * m.log(m.where(flat, m.ones_like(input), input))
        return g * m.conj(m.where(flat, m.zeros_like(slope), slope))


@op(samples=[(Sample((3, 4), "positive"), {"exponent": e}) for e in (2, 3, 0.5, -1.5, 0)])
class pow_scalar(Elementwise):
    """input ** exponent, the exponent a Python number."""

    def forward(m, input, *, exponent=REQUIRED):
        if exponent == 2:
            return input * input
        out = m.power_(input, exponent)
        return out if out.dtype == input.dtype else out.astype(input.dtype)

    def vjp(m, g, input, exponent):
        if exponent == 0:
            return m.zeros_like(g)
        if exponent == 2:
            return g * (m.conj(input) * 2)
        return g * (m.conj(m.pow_scalar(input, exponent=exponent - 1)) * exponent)


@op(samples=ONE)
class square(Elementwise):
    """input * input."""

    def forward(m, input):
        return input * input

    def vjp(m, g, input):
        return g * (2 * m.conj(input))


@op(onnx="Sqrt", samples=POSITIVE)
class sqrt(Float):
    """The square root."""

    ufunc = "sqrt"

    def vjp(m, g, out):
        return g / (2 * m.conj(out))


@op(samples=POSITIVE)
class rsqrt(Float):
    """1 / sqrt(input)."""

    def forward(m, input):
        return 1 / m.xp.sqrt(input)

    def vjp(m, g, out):
        return g * m.conj(out * out * out) * -0.5


@op(onnx="Exp", samples=ONE)
class exp(Float):
    """e ** input."""

    ufunc = "exp"

    def vjp(m, g, out):
        return g * m.conj(out)


@op(samples=ONE)
class exp2(Float):
    """2 ** input."""

    ufunc = "exp2"

    def vjp(m, g, out):
        return g * m.conj(out) * math.log(2)


@op(samples=ONE)
class expm1(Float):
    """exp(input) - 1, exact for small input."""

    ufunc = "expm1"

    def vjp(m, g, out):
        return g * m.conj(out + 1)


@op(onnx="Log", samples=POSITIVE)
class log(Float):
    """The natural logarithm."""

    ufunc = "log"

    def vjp(m, g, input):
        return g / m.conj(input)


@op(samples=POSITIVE)
class log2(Float):
    """The logarithm to base 2."""

    ufunc = "log2"

    def vjp(m, g, input):
        return g / (m.conj(input) * math.log(2))


@op(samples=POSITIVE)
class log10(Float):
    """The logarithm to base 10."""

    ufunc = "log10"

    def vjp(m, g, input):
        return g / (m.conj(input) * math.log(10))


@op(samples=POSITIVE)
class log1p(Float):
    """log(1 + input), exact for small input."""

    ufunc = "log1p"

    def vjp(m, g, input):
        return g / m.conj(input + 1)


@op(samples=PAIR)
class logaddexp(Elementwise):
    """log(exp(input) + exp(other)), stable."""

    refuses = "biu"

    def forward(m, input, other):
        return m.logaddexp_(input, other)

    def vjp_input(m, g, input, other):
        with np.errstate(over="ignore", invalid="ignore"):
            return g / m.conj(1 + m.exp(other - input))

    def vjp_other(m, g, input, other):
        with np.errstate(over="ignore", invalid="ignore"):
            return g / m.conj(1 + m.exp(input - other))


@op(samples=POSITIVE)
class frexp(Op):
    """input as mantissa * 2**exponent, the mantissa in [0.5, 1): (mantissa, exponent as int32)."""

    outputs = 2
    reads_outputs = (1,)

    def infer(input):
        return MetaArray(input.shape, input.dtype), MetaArray(input.shape, np.dtype(np.int32))

    def forward(m, input):
        mantissa, exponent = m.xp.frexp(input)
        return m.xp.asarray(mantissa), m.xp.asarray(exponent, dtype=np.int32)

    def vjp(m, g, out):
        return None if g[0] is None else g[0] / m.cast_like(m.exp2(out[1]), g[0])
