"""Activations beyond the elementary ones: each with the slope that PyTorch gives it at its corners."""

import numpy as np

from mlkit.core.errors import RefusedError
from mlkit.ops.registry import Elementwise, Float, Sample, op

ONE = [((3, 4),), ((),), ((2, 0),)]
WIDE = [(Sample((3, 5), "distinct"),)]

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
