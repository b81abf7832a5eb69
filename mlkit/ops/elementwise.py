"""Elementwise ops: one value in, one value out, at every place; several tensors broadcast."""

import math

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.value import MetaArray
from mlkit.ops.registry import REQUIRED, Elementwise, Float, Op, Predicate, Sample, broadcast_or_explain, op

PAIR = [((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2, 3)), ((0, 2), (2,))]
ONE = [((3, 4),), ((),), ((2, 0),)]
POSITIVE = [(Sample((3, 4), "positive"),), (Sample((), "positive"),)]
UNIT = [(Sample((3, 4), "unit"),)]
POSITIVE_PAIR = [(Sample((3, 4), "positive"), Sample((4,), "positive"))]
INTEGERS = [(Sample((3, 4), "index", "int64", 9), Sample((4,), "index", "int64", 9))]

# --- arithmetic -----------------------------------------------------------------------------------------------------


@op(onnx="Add", samples=PAIR)
class add(Elementwise):
    """input + other."""

    ufunc = "add"
    linear = True

    def vjp_input(m, g):
        return g

    def vjp_other(m, g):
        return g


@op(onnx="Sub", samples=PAIR)
class sub(Elementwise):
    """input - other."""

    refuses_any = "b"

    linear = True

    def forward(m, input, other):
        return m.xp.subtract(input, other)

    def vjp_input(m, g):
        return g

    def vjp_other(m, g):
        return -g


@op(onnx="Mul", samples=PAIR)
class mul(Elementwise):
    """input * other."""

    ufunc = "multiply"

    def vjp_input(m, g, other):
        return g * m.conj(other)

    def vjp_other(m, g, input):
        return g * m.conj(input)


@op(onnx="Div", samples=[((3, 4), Sample((4,), "positive")), (Sample((3, 1)), Sample((1, 2), "positive"))])
class div(Float):
    """input / other, true division."""

    ufunc = "divide"

    def vjp_input(m, g, other):
        return g / m.conj(other)

    def vjp_other(m, g, other, input):
        return -g * m.conj(input / other / other)


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


@op(onnx="Neg", samples=ONE)
class neg(Elementwise):
    """-input."""

    ufunc = "negative"
    linear = True

    def vjp(m, g):
        return -g


@op(onnx="Abs", samples=ONE)
class abs(Elementwise):  # noqa: A001
    """|input|; for complex numbers the magnitude, a real tensor."""

    refuses = "b"

    ufunc = "absolute"

    def infer(input):
        return MetaArray(input.shape, dtypes.from_numpy_dtype(input.dtype).to_real().numpy)

    def vjp(m, g, input):
        return g * m.sgn(input)


@op(samples=PAIR + POSITIVE_PAIR)
class maximum(Elementwise):
    """The larger of the two; NaN wins. Where they are equal each gets half the gradient."""

    refuses = "c"

    ufunc = "maximum"

    def vjp(m, g, input, other, needs):
        return _split_with_ties(m, g, m.lt(input, other), m.gt(input, other), m.eq(input, other), needs)


@op(samples=PAIR)
class minimum(Elementwise):
    """The smaller of the two; NaN wins. Where they are equal each gets half the gradient."""

    refuses = "c"

    ufunc = "minimum"

    def vjp(m, g, input, other, needs):
        return _split_with_ties(m, g, m.gt(input, other), m.lt(input, other), m.eq(input, other), needs)


@op(samples=PAIR)
class fmax(Elementwise):
    """The larger of the two; a NaN loses against a number."""

    refuses = "c"

    ufunc = "fmax"

    def vjp(m, g, input, other, needs):
        first = m.logical_or(m.ge(input, other), m.isnan(other))
        return _split_by_order(m, g, first, needs)


@op(samples=PAIR)
class fmin(Elementwise):
    """The smaller of the two; a NaN loses against a number."""

    refuses = "c"

    ufunc = "fmin"

    def vjp(m, g, input, other, needs):
        first = m.logical_or(m.le(input, other), m.isnan(other))
        return _split_by_order(m, g, first, needs)


def _split_with_ties(m, g, lost, other_lost, tie, needs):
    """The gradient to the one that was taken, half to each of two equal ones; both get it where one is NaN."""
    zero, half = m.zeros_like(g), g * 0.5

    def part(beaten):
        return m.where(tie, half, m.where(beaten, zero, g))

    return part(lost) if needs[0] else None, part(other_lost) if needs[1] else None


def _split_by_order(m, g, first, needs):
    zero = m.zeros_like(g)
    return (
        m.where(first, g, zero) if needs[0] else None,
        m.where(m.logical_not(first), g, zero) if needs[1] else None,
    )


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


@op(samples=PAIR)
class copysign(Float):
    """The magnitude of input with the sign of other."""

    refuses = "c"

    ufunc = "copysign"

    def vjp_input(m, g, input, out):
        with np.errstate(divide="ignore", invalid="ignore"):
            turned = out / input
        return g * m.where(m.eq(input, 0), m.zeros_like(g), turned)

    def vjp_other(m, g):
        return m.zeros_like(g)


@op(onnx="Mod", samples=POSITIVE_PAIR)
class remainder(Elementwise):
    """input modulo other, with the sign of other (Python's %)."""

    refuses = "bc"

    def forward(m, input, other):
        return m.remainder_(input, other)

    def vjp_input(m, g):
        return g

    def vjp_other(m, g, input, other):
        return -g * m.floor_divide(input, other)


@op(samples=POSITIVE_PAIR)
class fmod(Elementwise):
    """The remainder of the division, with the sign of input (C's fmod)."""

    refuses = "bc"

    def forward(m, input, other):
        return m.fmod_(input, other)

    def vjp_input(m, g):
        return g

    def vjp_other(m, g, input, other):
        return -g * m.trunc_divide(input, other)


@op(samples=POSITIVE_PAIR)
class floor_divide(Elementwise):
    """floor(input / other)."""

    refuses = "bc"

    def forward(m, input, other):
        return m.floor_divide_(input, other)

    def vjp_input(m, g):
        return m.zeros_like(g)

    def vjp_other(m, g):
        return m.zeros_like(g)


@op(samples=POSITIVE_PAIR)
class trunc_divide(Elementwise):
    """input / other rounded towards zero."""

    refuses = "bc"

    def forward(m, input, other):
        return m.trunc_divide_(input, other)

    def vjp_input(m, g):
        return m.zeros_like(g)

    def vjp_other(m, g):
        return m.zeros_like(g)


@op(samples=[((3, 4), (3, 4), ())])
class lerp(Elementwise):
    """input + weight * (end - input)."""

    refuses = "biu"

    def forward(m, input, end, weight):
        # from the nearer side, so that a weight of 1 gives end itself
        if isinstance(weight, (int, float)):
            near = -0.5 < weight < 0.5
            return input + weight * (end - input) if near else end - (end - input) * (1 - weight)
        return m.where(m.xp.abs(weight) < 0.5, input + weight * (end - input), end - (end - input) * (1 - weight))

    def vjp_input(m, g, weight):
        return g * m.conj(1 - weight)

    def vjp_end(m, g, weight):
        return g * m.conj(weight)

    def vjp_weight(m, g, input, end):
        return g * m.conj(end - input)


# --- powers, exponentials, logarithms ---------------------------------------------------------------------------------


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


@op(samples=ONE)
class square(Elementwise):
    """input * input."""

    def forward(m, input):
        return input * input

    def vjp(m, g, input):
        return g * (2 * m.conj(input))


@op(onnx="Reciprocal", samples=POSITIVE)
class reciprocal(Float):
    """1 / input."""

    def forward(m, input):
        return 1 / input

    def vjp(m, g, out):
        return -g * m.conj(out * out)


# --- trigonometry -------------------------------------------------------------------------------------------------------


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


# --- error functions, gamma ---------------------------------------------------------------------------------------------


@op(onnx="Erf", samples=ONE)
class erf(Float):
    """The error function, 2/sqrt(pi) * integral of exp(-t*t) from 0 to input."""

    refuses = "c"

    def forward(m, input):
        return m.erf_(input)

    def vjp(m, g, input):
        return g * m.exp(-input * input) * (2 / math.sqrt(math.pi))


@op(samples=ONE)
class erfc(Float):
    """1 - erf(input), exact in the tail."""

    refuses = "c"

    def forward(m, input):
        return m.erfc_(input)

    def vjp(m, g, input):
        return -g * m.exp(-input * input) * (2 / math.sqrt(math.pi))


# --- activations ----------------------------------------------------------------------------------------------------------


@op(onnx="Relu", samples=ONE)
class relu(Elementwise):
    """max(input, 0)."""

    refuses = "bc"

    def forward(m, input):
        return m.xp.maximum(input, 0)

    def vjp(m, g, out):
        return m.relu_grad(g, out)


_BITS = {"f": np.int32, "d": np.int64}  # by the character of a floating type: integers as wide


@op(samples=PAIR)
class relu_grad(Elementwise):
    """0 where out_ is 0, else g_: the gradient of relu, linear in g_.

    Chosen, not multiplied: an infinite g_ is gone where out_ is 0, and where out_ is NaN g_ passes.
    """

    def forward(m, g_, out_):
        gone = out_ <= 0
        plain = g_.__class__ is gone.__class__ is np.ndarray and g_.shape == gone.shape
        whole = _BITS.get(g_.dtype.char) if plain else None
        if whole is None:
            return m.where(gone, m.xp.zeros_like(g_), g_)
        # the bits of a number and all ones, or and none: NumPy's where takes ten times as long on signs without order
        ones = np.logical_not(gone, out=gone).view(np.int8)
        return np.bitwise_and(g_.view(whole), np.negative(ones, out=ones)).view(g_.dtype)

    def vjp_g_(m, g, out_):
        return m.relu_grad(g, out_)

    def vjp_out_(m, g):
        return m.zeros_like(g)


@op(onnx="Sigmoid", samples=ONE)
class sigmoid(Float):
    """1 / (1 + exp(-input)); where exp overflows the result is 0, as it should be."""

    def forward(m, input):
        return m.sigmoid_(input)

    def vjp(m, g, out):
        return g * m.conj((1 - out) * out)


@op(samples=ONE)
class log_sigmoid(Float):
    """log(sigmoid(input)), stable for large |input|."""

    def forward(m, input):
        return m.minimum(input, 0) - m.log1p(m.exp(-m.abs(input)))

    def vjp(m, g, input):
        return g * m.sigmoid(-input)


@op(onnx="Softplus", samples=ONE)
class softplus(Float):
    """log(1 + exp(beta * input)) / beta; above ``threshold`` (in beta * input) the input itself."""

    refuses_any = "biuc"

    def forward(m, input, *, beta=1.0, threshold=20.0):
        x = input * beta
        smooth = (m.maximum(x, 0) + m.log1p(m.exp(-m.abs(x)))) / beta
        return m.where(x > threshold, input, smooth)

    def vjp(m, g, input, beta, threshold):
        return g * m.where(m.gt(input * beta, threshold), m.ones_like(input), m.sigmoid(input * beta))


@op(onnx="Gelu", samples=[((3, 4),), ((3, 4), {"approximate": "tanh"})])
class gelu(Float):
    """input * Phi(input), Phi the normal distribution function (Hendrycks & Gimpel 2016, arXiv:1606.08415).

    ``approximate="tanh"`` uses 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
    """

    refuses_any = "biuc"

    def forward(m, input, *, approximate="none"):
        if approximate == "tanh":
            inner = (input + 0.044715 * (input * input * input)) * math.sqrt(2 / math.pi)
            return 0.5 * input * (1 + m.tanh(inner))
        return 0.5 * input * (1 + m.erf(input * math.sqrt(0.5)))

    def vjp(m, g, input, approximate):
        if approximate == "tanh":
            t = m.tanh((input + 0.044715 * (input * input * input)) * math.sqrt(2 / math.pi))
            slope = (1 + 3 * 0.044715 * (input * input)) * math.sqrt(2 / math.pi)
            return g * (0.5 * (1 + t) + 0.5 * input * (1 - t * t) * slope)
        cdf = 0.5 * (1 + m.erf(input * math.sqrt(0.5)))
        pdf = m.exp(-0.5 * input * input) * (1 / math.sqrt(2 * math.pi))
        return g * (cdf + input * pdf)


@op(samples=ONE)
class silu(Float):
    """input * sigmoid(input), also called swish."""

    refuses_any = "biu"

    def forward(m, input):
        return input * m.sigmoid(input)

    def vjp(m, g, input):
        s = m.sigmoid(input)
        return g * (s * (1 + input * (1 - s)))


@op(onnx="LeakyRelu", samples=ONE)
class leaky_relu(Elementwise):
    """input where positive, negative_slope * input elsewhere."""

    refuses_any = "biuc"

    flat = True

    def forward(m, input, *, negative_slope=0.01):
        return m.where(input > 0, input, input * negative_slope)

    def vjp(m, g, input, negative_slope):
        return m.where(m.gt(input, 0), g, g * negative_slope)


@op(onnx="Elu", samples=ONE)
class elu(Float):
    """input where positive, alpha * (exp(input) - 1) elsewhere (Clevert et al. 2015, arXiv:1511.07289)."""

    refuses_any = "biuc"

    def forward(m, input, *, alpha=1.0):
        return m.where(input > 0, input, alpha * m.expm1(m.minimum(input, 0)))

    def vjp(m, g, input, alpha):
        below = m.where(m.lt(input, 0), input, m.zeros_like(input))  # its slope at 0 and NaN is 0
        return m.where(m.le(input, 0), g * (alpha * m.exp(below)), g)


# --- rounding, signs, tests -------------------------------------------------------------------------------------------------


def _flat(name: str, ufunc: str, doc: str, onnx: str | None = None) -> Op:
    """A step function: its gradient is zero everywhere."""

    class Step(Elementwise):
        refuses = "bc"

        def forward(m, input):
            return getattr(m.xp, ufunc)(input) if input.dtype.kind in "fc" else m.copy(input)

        def vjp(m, g):
            return m.zeros_like(g)

    Step.__doc__ = doc
    return op(onnx=onnx, samples=ONE, name=name)(Step)


floor = _flat("floor", "floor", "The largest integer not above input.", "Floor")
ceil = _flat("ceil", "ceil", "The smallest integer not below input.", "Ceil")
round = _flat("round", "round", "The nearest integer, halves to even.", "Round")  # noqa: A001
trunc = _flat("trunc", "trunc", "input without its fraction.")


def _sign(m, input):
    if input.dtype.kind == "b":
        return m.copy(input)
    out = m.xp.sign(input)
    return m.where(out == out, out, m.xp.zeros_like(out)) if input.dtype.kind in "fV" else out  # of NaN: 0


@op(onnx="Sign", samples=ONE)
class sign(Elementwise):
    """-1, 0 or 1."""

    refuses = "c"

    def forward(m, input):
        return _sign(m, input)

    def vjp(m, g):
        return m.zeros_like(g)


@op(samples=ONE)
class sgn(Elementwise):
    """sign for real numbers; input / |input| for complex ones, 0 at 0."""

    def forward(m, input):
        return _sign(m, input)

    def vjp(m, g, input, out):
        if not m.is_complex(input):
            return m.zeros_like(g)
        size = m.abs(input)
        safe = m.where(m.eq(size, 0), m.ones_like(size), size)
        return m.where(m.eq(size, 0), m.zeros_like(g), (g - m.real(g * m.conj(out)) * out) / safe)


@op(samples=ONE)
class frac(Elementwise):
    """The fraction of input, with its sign."""

    refuses = "biuc"

    def forward(m, input):
        return input - m.xp.trunc(input)

    def vjp(m, g):
        return g


def _predicate(name: str, ufunc: str, doc: str, samples: list, onnx: str | None = None, refuses: str = "") -> Op:
    class Test(Predicate):
        pass

    Test.refuses = refuses
    Test.ufunc = ufunc
    Test.__doc__ = doc
    return op(onnx=onnx, samples=samples, name=name)(Test)


eq = _predicate("eq", "equal", "input == other.", PAIR, "Equal")
ne = _predicate("ne", "not_equal", "input != other.", PAIR)
lt = _predicate("lt", "less", "input < other.", PAIR, "Less", "c")
le = _predicate("le", "less_equal", "input <= other.", PAIR, "LessOrEqual", "c")
gt = _predicate("gt", "greater", "input > other.", PAIR, "Greater", "c")
ge = _predicate("ge", "greater_equal", "input >= other.", PAIR, "GreaterOrEqual", "c")
logical_and = _predicate("logical_and", "logical_and", "Both true (non-zero counts as true).", PAIR, "And")
logical_or = _predicate("logical_or", "logical_or", "At least one true (non-zero counts as true).", PAIR, "Or")
logical_xor = _predicate("logical_xor", "logical_xor", "Exactly one true.", PAIR, "Xor")
logical_not = _predicate("logical_not", "logical_not", "True where input is zero.", ONE, "Not")
isnan = _predicate("isnan", "isnan", "True where input is NaN.", ONE, "IsNaN")
isinf = _predicate("isinf", "isinf", "True where input is infinite.", ONE, "IsInf")
isfinite = _predicate("isfinite", "isfinite", "True where input is neither NaN nor infinite.", ONE)
signbit = _predicate("signbit", "signbit", "True where the sign bit is set.", ONE)


def _integer(name: str, ufunc: str, doc: str, samples: list, refuses: str = "fcV") -> Op:
    class Bits(Elementwise):
        differentiable = False

    Bits.refuses = refuses
    Bits.ufunc = ufunc
    Bits.__doc__ = doc
    return op(samples=samples, name=name)(Bits)


bitwise_and = _integer("bitwise_and", "bitwise_and", "Bitwise and; logical and for bools.", INTEGERS)
bitwise_or = _integer("bitwise_or", "bitwise_or", "Bitwise or; logical or for bools.", INTEGERS)
bitwise_xor = _integer("bitwise_xor", "bitwise_xor", "Bitwise exclusive or.", INTEGERS)
bitwise_not = _integer("bitwise_not", "invert", "Bitwise not; logical not for bools.", [INTEGERS[0][:1]])
bitwise_left_shift = _integer("bitwise_left_shift", "left_shift", "input * 2**other.", INTEGERS, "bfcV")
bitwise_right_shift = _integer(
    "bitwise_right_shift", "right_shift", "input / 2**other, rounded down.", INTEGERS, "bfcV"
)
gcd = _integer("gcd", "gcd", "The greatest common divisor.", INTEGERS, "bfcV")
lcm = _integer("lcm", "lcm", "The least common multiple.", INTEGERS, "bfcV")


@op(samples=PAIR)
class nextafter(Elementwise):
    """The next representable number after input in the direction of other."""

    refuses = "biuc"

    ufunc = "nextafter"

    def vjp_input(m, g, input, other):  # a step away from input, which is constant between powers of 2
        return m.where(m.eq(input, other), m.zeros_like(g), g)

    def vjp_other(m, g):
        return m.zeros_like(g)


# --- choosing, bounding, converting ---------------------------------------------------------------------------------------------


@op(onnx="Where", samples=[(Sample((3, 4), "bool", "bool"), (3, 4), (4,)), (Sample((3, 1), "bool", "bool"), (4,), ())])
class where(Elementwise):
    """input where condition, else other."""

    promotion = "after_first"

    def infer(self, condition, input, other):
        shape = broadcast_or_explain("where", condition, input, other, labels=("condition", "input", "other"))
        if not hasattr(input, "shape") and not hasattr(other, "shape"):  # two numbers
            kind = max(dtypes.scalar_category(x) for x in (input, other))
            return MetaArray(shape, dtypes.result_dtype(None, None, kind).numpy)
        return MetaArray(shape, Elementwise.infer(self, input, other).dtype)

    def forward(m, condition, input, other):
        return m.where_(condition, input, other)

    def vjp_input(m, g, condition):
        return m.where(condition, g, m.zeros_like(g))

    def vjp_other(m, g, condition):
        return m.where(condition, m.zeros_like(g), g)


@op(onnx="Clip", samples=[((3, 4), {"min": -0.5, "max": 0.5}), ((3, 4), {"min": None, "max": 0.3})])
class clamp(Elementwise):
    """input bounded below by min and above by max (Python numbers or None); NaN stays NaN."""

    refuses = "c"

    def forward(m, input, *, min=None, max=None):
        if min is not None:
            input = m.xp.maximum(input, min)
        return m.xp.minimum(input, max) if max is not None else (input if min is not None else m.copy(input))

    def vjp(m, g, input, min, max):
        # chosen, not multiplied: an infinite gradient outside the bounds is zero, not NaN
        if min is not None:
            g = m.where(m.ge(input, min), g, m.zeros_like(g))
        return m.where(m.le(input, max), g, m.zeros_like(g)) if max is not None else g


@op(onnx="Cast", samples=[((3, 4), {"dtype": dtypes.float32}), ((2,), {"dtype": dtypes.float64})])
class cast(Op):
    """input as another element type; float to integer drops the fraction."""

    promotion = None

    def infer(input, *, dtype):
        return MetaArray(input.shape, dtype.numpy)

    def forward(m, input, *, dtype=REQUIRED):
        return m.astype(input, dtype.numpy)

    def vjp(m, g, input_dtype):
        return m.cast_real(g, input_dtype)

    def jvp(m, tangents, dtype):
        return m.cast(tangents[0], dtype=dtype)


@op(samples=ONE)
class conj(Elementwise):
    """The complex conjugate; real tensors are returned as they are."""

    def forward(m, input):
        return m.xp.conj(input) if input.dtype.kind == "c" else input

    def vjp(m, g):
        return m.conj(g)


@op(samples=ONE)
class real(Elementwise):
    """The real part; shares memory with input."""

    view = True

    def infer(input):
        return MetaArray(input.shape, dtypes.from_numpy_dtype(input.dtype).to_real().numpy)

    def forward(m, input):
        return input.real

    def vjp(m, g, input_dtype):
        return m.cast(g, dtype=input_dtype)


@op(samples=[(Sample((3,), "normal", "complex128"),)])
class imag(Elementwise):
    """The imaginary part; shares memory with input."""

    view = True

    def infer(input):
        return MetaArray(input.shape, dtypes.from_numpy_dtype(input.dtype).to_real().numpy)

    def forward(m, input):
        return input.imag

    def vjp(m, g, input_dtype):
        return m.cast(g, dtype=input_dtype) * 1j


@op(samples=PAIR)
class complex(Elementwise):  # noqa: A001
    """real + 1j * imag from two real tensors."""

    def infer(self, real, imag):
        both = Elementwise.infer(self, real, imag)
        return MetaArray(both.shape, dtypes.from_numpy_dtype(both.dtype).to_complex().numpy)

    def forward(m, real, imag):
        return m.complex_(real, imag)

    def vjp_real(m, g):
        return m.real(g)

    def vjp_imag(m, g):
        return m.imag(g)


@op(samples=ONE)
class angle(Float):
    """The angle of a complex number in radians; 0 or pi for real numbers."""

    def infer(input):
        return MetaArray(input.shape, dtypes.from_numpy_dtype(input.dtype).to_real().numpy)

    def forward(m, input):
        if input.dtype.kind != "f":
            return m.xp.angle(input)
        real = m.xp.where(input < 0, m.xp.full_like(input, math.pi), m.xp.zeros_like(input))  # -0.0 is not below 0
        return m.xp.where(m.xp.isnan(input), input, real)

    def vjp(m, g, input):
        if not m.is_complex(input):
            return m.zeros_like(g)
        size = m.square(m.abs(input))
        safe = m.where(m.eq(size, 0), m.ones_like(size), size)
        return m.where(m.eq(size, 0), m.zeros_like(input), m.complex(-m.imag(input) / safe, m.real(input) / safe) * g)


@op(onnx="Identity", samples=ONE)
class clone(Elementwise):
    """A copy in memory of its own."""

    linear = True

    def forward(m, input):
        return m.copy(input)

    def vjp(m, g):
        return g


@op(samples=ONE)
class nan_to_num(Elementwise):
    """NaN and infinities replaced by numbers (by default 0 and the type's limits)."""

    def forward(m, input, *, nan=0.0, posinf=None, neginf=None):
        if input.dtype.kind not in "fc":
            return m.copy(input)
        return m.xp.nan_to_num(input, nan=nan or 0.0, posinf=posinf, neginf=neginf).astype(input.dtype, copy=False)

    def vjp(m, g, input):
        return m.where(m.isfinite(input), g, m.zeros_like(g))


@op(onnx="Identity")
class to_device(Op):
    """input copied to another device."""

    promotion = None
    linear = True

    def infer(input, *, device):
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, *, device=REQUIRED):
        return m.to_device_(input, device)

    def vjp(m, g, input):
        return m.to_device(g, device=m.device_of(input))
