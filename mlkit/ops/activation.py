"""Activations, each with the slope that PyTorch gives it at its corners, and the cross-entropy of probabilities."""

import math

import numpy as np

from mlkit.core.errors import RefusedError
from mlkit.ops.registry import ONE, PAIR, Elementwise, Float, Sample, op


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


SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@op(onnx="Selu", samples=ONE)
class selu(Float):
    """scale * (input where positive, alpha * (exp(input) - 1) elsewhere), with the constants that keep mean 0 and
    variance 1 (Klambauer et al. 2017, arXiv:1706.02515)."""

    refuses_any = "biuc"

    def forward(m, input):
        return m.where(input > 0, SELU_SCALE * input, (SELU_SCALE * SELU_ALPHA) * m.expm1(m.minimum(input, 0)))

    def vjp(m, g, input):
        below = m.where(m.lt(input, 0), input, m.zeros_like(input))  # its slope at 0 and NaN is 0
        negative = (SELU_SCALE * SELU_ALPHA) * m.exp(below)
        return m.where(m.le(input, 0), g * negative, g * SELU_SCALE)


@op(onnx="Celu", samples=[((3, 4),), ((3, 4), {"alpha": 0.7})])
class celu(Float):
    """input where positive, alpha * (exp(input / alpha) - 1) elsewhere (Barron 2017, arXiv:1704.07483)."""

    refuses_any = "biuc"

    def forward(m, input, *, alpha=1.0):
        return m.where(input > 0, input, alpha * m.expm1(m.minimum(input, 0) / alpha))

    def vjp(m, g, input, alpha):
        below = m.where(m.lt(input, 0), input, m.zeros_like(input))  # its slope at 0 and NaN is 0
        return m.where(m.le(input, 0), g * m.exp(below / alpha), g)


@op(onnx="Mish", samples=ONE)
class mish(Float):
    """input * tanh(softplus(input)) (Misra 2019, arXiv:1908.08681)."""

    refuses_any = "biuc"

    def forward(m, input):
        return input * m.tanh(m.maximum(input, 0) + m.log1p(m.exp(-m.abs(input))))

    def vjp(m, g, input):
        t = m.tanh(m.softplus(input))
        return g * (t + input * m.sigmoid(input) * (1 - t * t))


@op(samples=[((3, 4),), ((3, 4), {"min_val": -0.3, "max_val": 0.4})])
class hardtanh(Elementwise):
    """input bounded to [min_val, max_val]; no slope at the bounds themselves."""

    refuses_any = "bc"
    flat = True

    def forward(m, input, *, min_val=-1.0, max_val=1.0):
        if input.dtype.kind == "u" and min_val < 0:
            raise RefusedError("hardtanh: cannot bound an unsigned type by a negative number.", f"min_val: {min_val}")
        # the bounds in input's own type, so that integers stay integers
        return m.xp.clip(input, input.dtype.type(min_val), input.dtype.type(max_val))

    def vjp(m, g, input, min_val, max_val):
        outside = m.logical_or(m.le(input, min_val), m.ge(input, max_val))
        return m.where(outside, m.zeros_like(g), g)


@op(onnx="HardSigmoid", samples=[((3, 4),), (Sample((3, 5), "distinct"),)])
class hardsigmoid(Float):
    """min(max(input + 3, 0), 6) / 6 (Howard et al. 2019, arXiv:1905.02244)."""

    refuses_any = "biuc"

    def forward(m, input):
        return m.xp.clip(input + 3, 0, 6) / 6

    def vjp(m, g, input):
        inside = m.logical_and(m.gt(input, -3), m.lt(input, 3))
        return m.where(inside, g * (1 / 6), m.zeros_like(g))


@op(onnx="HardSwish", samples=[((3, 4),), (Sample((3, 5), "distinct"),)])
class hardswish(Float):
    """input * min(max(input + 3, 0), 6) / 6 (Howard et al. 2019, arXiv:1905.02244)."""

    refuses_any = "biuc"

    def forward(m, input):
        return input * m.xp.clip(input + 3, 0, 6) / 6

    def vjp(m, g, input):
        middle = g * (input / 3 + 0.5)
        return m.where(m.le(input, -3), m.zeros_like(g), m.where(m.lt(input, 3), middle, g))


@op(onnx="Softsign", samples=ONE)
class softsign(Float):
    """input / (1 + |input|)."""

    refuses_any = "b"

    def forward(m, input):
        return input / (1 + m.abs(input))

    def vjp(m, g, input):
        size = 1 + m.abs(input)
        return g / size - g * (input / size) / size * m.sgn(input)


@op(onnx="Shrink", samples=[((3, 4),), ((3, 4), {"lambd": 0.1})])
class softshrink(Elementwise):
    """input brought lambd nearer to zero; 0 where |input| <= lambd."""

    refuses_any = "biuc"
    flat = True

    def forward(m, input, *, lambd=0.5):
        inside = m.where(input == input, m.xp.zeros_like(input), input)  # NaN stays NaN
        return m.where(input > lambd, input - lambd, m.where(input < -lambd, input + lambd, inside))

    def vjp(m, g, input, lambd):
        return m.where(m.le(m.abs(input), lambd), m.zeros_like(g), g)


@op(onnx="Shrink", samples=[((3, 4),), ((3, 4), {"lambd": 0.1})])
class hardshrink(Elementwise):
    """input, but 0 where |input| <= lambd."""

    refuses_any = "biuc"
    flat = True

    def forward(m, input, *, lambd=0.5):
        return m.where(m.abs(input) <= lambd, m.xp.zeros_like(input), input)

    def vjp(m, g, input, lambd):
        return m.where(m.le(m.abs(input), lambd), m.zeros_like(g), g)


@op(onnx="ThresholdedRelu", samples=[((3, 4), {"threshold": 0.2, "value": -1.0})])
class threshold(Elementwise):
    """input where it is above ``threshold``, else ``value``."""

    refuses_any = "bc"
    flat = True

    def forward(m, input, *, threshold=0.0, value=0.0):
        return m.where(input <= threshold, m.xp.full_like(input, value), input)  # NaN stays NaN

    def vjp(m, g, input, threshold):
        return m.where(m.le(input, threshold), m.zeros_like(g), g)


# --- the cross-entropy of probabilities -------------------------------------------------------------------------------------

#: PyTorch's smallest input * (1 - input) that a slope is divided by: a float32, in float64 too
_TINY = float(np.float32(1e-12))


@op(samples=[(Sample((3, 4), "unit_positive"), Sample((3, 4), "unit_positive"))])
class binary_cross_entropy_terms(Float):
    """-(other * log(input) + (1 - other) * log(1 - input)), logarithms not below -100."""

    refuses_any = "biuc"

    def forward(m, input, other):
        with np.errstate(divide="ignore"):  # log(0) is bounded
            missed, met = m.log1p(-input), m.log(input)
        return (other - 1) * m.maximum(missed, -100.0) - other * m.maximum(met, -100.0)

    def vjp_input(m, g, input, other):
        return m.binary_cross_entropy_slope(g, input, other)

    def vjp_other(m, g, input):
        with np.errstate(divide="ignore", invalid="ignore"):
            return g * (m.log1p(-input) - m.log(input))


@op(samples=[((3, 4), Sample((3, 4), "unit_positive"), Sample((3, 4), "unit_positive"))])
class binary_cross_entropy_slope(Float):
    """g_ * (input - other) / (input * (1 - input)), the divisor not below 1e-12: the gradient, linear in g_."""

    refuses_any = "biuc"

    def forward(m, g_, input, other):
        return g_ * (input - other) / m.maximum((1 - input) * input, _TINY)

    def vjp_g_(m, g, input, other):
        return g * (input - other) / ((input + _TINY) * (1 - input + _TINY))

    def vjp_input(m, g, g_, input, other):
        spread = m.square(input + _TINY) * m.square(1 - input + _TINY)
        return g * g_ * (m.square(input) - 2 * (input * other) + other) / spread

    def vjp_other(m, g, g_, input):
        return -(g * g_) / m.maximum((1 - input) * input, m.zeros_like(input) + _TINY)
