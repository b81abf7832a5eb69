"""Special functions: gamma, error functions and Bessel functions, with their derivatives (DLMF)."""

import math

from mlkit.core.errors import MissingFeature
from mlkit.ops.registry import ONE, POSITIVE, REQUIRED, Elementwise, Float, Sample, op

INNER = [(Sample((3, 4), "unit"),), ((0,),)]
COUNTS = Sample((3, 4), "index", "int64", 9)


def no_derivative(name: str, argument: str) -> MissingFeature:
    return MissingFeature(
        f"the derivative for '{argument}' of {name} is not implemented.",
        hint=f"Detach that argument: {argument}.detach().",
    )


class Special(Float):
    """Computed in float64 by backends/portable/special.py, and returned in the input's precision."""

    def __init__(self, name, onnx, samples):
        self.forward = lambda m, input: m.special_(name, input)
        super().__init__(name, onnx, samples)


def safe(m, x):
    """x with 1 in place of 0, for the branch that is not taken there."""
    return m.where(m.eq(x, 0), m.ones_like(x), x)


# --- gamma ---------------------------------------------------------------------------------------------------------------


@op(samples=POSITIVE)
class lgamma(Special):
    """log |gamma(input)|."""

    def vjp(m, g, input):
        return g * m.digamma(input)


@op(samples=POSITIVE)
class digamma(Special):
    """The derivative of lgamma."""

    def vjp(m, g, input):
        return g * m.polygamma(input, n=1)


@op(samples=[(*POSITIVE[0], {"n": n}) for n in (0, 1, 2, 4)])
class polygamma(Float):
    """The n-th derivative of digamma."""

    def forward(m, input, *, n=REQUIRED):
        return m.special_("polygamma", input, n=n)

    def vjp(m, g, input, n):
        return g * m.polygamma(input, n=n + 1)


@op(samples=[(Sample((3, 1), "index", "int64", 9), Sample((4,), "positive"))])
class gammainc(Float):
    """The regularized lower incomplete gamma function P(input, other)."""

    def forward(m, input, other):
        return m.special_("gammainc", input, other)

    def vjp_input(m, g, input, other):
        return g * m.gammainc_slope(input, other)

    def vjp_other(m, g, input, other):
        return g * m.exp((input - 1) * m.log(other) - other - m.lgamma(input))


@op(samples=[(Sample((3, 1), "index", "int64", 9), Sample((4,), "positive"))])
class gammaincc(Float):
    """The regularized upper incomplete gamma function Q(input, other) = 1 - P."""

    def forward(m, input, other):
        return m.special_("gammaincc", input, other)

    def vjp_input(m, g, input, other):
        return -g * m.gammainc_slope(input, other)

    def vjp_other(m, g, input, other):
        return -g * m.exp((input - 1) * m.log(other) - other - m.lgamma(input))


@op(samples=[(Sample((3, 4), "index", "int64", 9), Sample((3, 4), "index", "int64", 9))])
class gammainc_slope(Float):
    """The derivative of gammainc for its first argument."""

    def forward(m, input, other):
        return m.special_("gammainc_slope", input, other)

    def vjp_input(m, g, input, other):
        raise no_derivative("the gradient of gammainc", "input")

    def vjp_other(m, g, input, other):
        raise no_derivative("the gradient of gammainc", "other")


@op(samples=[(Sample((3, 1), "index", "int64", 9), Sample((4,), "index", "int64", 9))])
class gamma_sample_slope(Float):
    """How a draw from the gamma distribution (``other``) moves with its shape parameter (``input``)."""

    def forward(m, input, other):
        return m.special_("gamma_sample_slope", input, other)

    def vjp_input(m, g, input, other):
        raise no_derivative("the gradient of standard_gamma", "input")

    def vjp_other(m, g, input, other):
        raise no_derivative("the gradient of standard_gamma", "other")


@op(samples=[(Sample((3, 1), "index", "int64", 9), Sample((4,), "positive"))])
class zeta(Float):
    """Hurwitz's zeta function: the sum over k >= 0 of (k + other) ** -input."""

    def forward(m, input, other):
        return m.special_("zeta", input, other)

    def vjp_input(m, g):
        raise no_derivative("zeta", "input")

    def vjp_other(m, g, input, other):
        return -g * input * m.zeta(input + 1, other)


# --- error functions -------------------------------------------------------------------------------------------------------


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


@op(samples=INNER)
class erfinv(Special):
    """The inverse of erf."""

    def vjp(m, g, out):
        return g * (m.exp(m.square(out)) * (0.5 * math.sqrt(math.pi)))


@op(samples=ONE)
class erfcx(Special):
    """exp(input ** 2) * erfc(input)."""

    def vjp(m, g, input, out):
        return g * (2 * input * out - 2 / math.sqrt(math.pi))


@op(samples=ONE)
class ndtr(Special):
    """The normal distribution function."""

    def vjp(m, g, input):
        return g * (m.exp(m.square(input) * -0.5) * (1 / math.sqrt(2 * math.pi)))


@op(samples=ONE)
class log_ndtr(Special):
    """log of the normal distribution function, exact in the lower tail."""

    def vjp(m, g, input):
        return g / m.erfcx(input * -math.sqrt(0.5)) * math.sqrt(2 / math.pi)


@op(samples=[(Sample((3, 4), "unit_positive"),)])
class ndtri(Special):
    """The inverse of ndtr: the normal quantile."""

    def vjp(m, g, out):
        return g * (m.exp(m.square(out) * 0.5) * math.sqrt(2 * math.pi))


# --- logarithms --------------------------------------------------------------------------------------------------------------


@op(samples=[((3, 4), Sample((3, 4), "positive")), ((3, 1), Sample((4,), "positive"))])
class xlogy(Float):
    """input * log(other), 0 where input is 0 (NaN where other is NaN)."""

    def forward(m, input, other):
        with m.errstate():
            out = m.xp.where(input == 0, 0 * m.xp.asarray(input), input * m.xp.log(other))
        return m.narrowed_(m.xp.where(m.xp.isnan(other), m.xp.asarray(other), out), input, other)

    def vjp_input(m, g, input, other):
        flat = m.logical_and(m.eq(input, 0), m.le(other, 0))
        return g * m.where(flat, m.zeros_like(g), m.log(m.where(flat, m.ones_like(g), other)))

    def vjp_other(m, g, input, other):
        return g * input / other


@op(samples=[((3, 4), Sample((3, 4), "positive")), ((3, 1), Sample((4,), "positive"))])
class xlog1py(Float):
    """input * log1p(other), 0 where input is 0 (NaN where other is NaN)."""

    def forward(m, input, other):
        with m.errstate():
            out = m.xp.where(input == 0, 0 * m.xp.asarray(input), input * m.xp.log1p(other))
        return m.narrowed_(m.xp.where(m.xp.isnan(other), m.xp.asarray(other), out), input, other)

    def vjp_input(m, g, input, other):
        flat = m.logical_and(m.eq(input, 0), m.le(other, -1))
        return g * m.where(flat, m.zeros_like(g), m.log1p(m.where(flat, m.zeros_like(g), other)))

    def vjp_other(m, g, input, other):
        return g * input / (other + 1)


@op(samples=POSITIVE)
class entr(Float):
    """-input * log(input), 0 at 0, -inf below."""

    def forward(m, input):
        xp = m.xp
        inside = xp.where(input > 0, input, xp.ones_like(input))
        out = xp.where(input > 0, -inside * xp.log(inside), xp.where(input == 0, xp.zeros_like(input), -xp.inf))
        return xp.where(xp.isnan(input), input, out).astype(input.dtype, copy=False)

    def vjp(m, g, input):
        return -g * (m.log(input) + 1)


@op(samples=[(Sample((3, 4), "unit_positive"), {"eps": None}), (Sample((3, 4), "unit_positive"), {"eps": 0.1})])
class logit(Float):
    """log(input / (1 - input)), of input held in [eps, 1 - eps] when eps is given."""

    def forward(m, input, *, eps=None):
        xp = m.xp
        if eps is not None:
            input = xp.minimum(xp.maximum(input, eps), 1 - eps).astype(input.dtype, copy=False)
        return xp.log(input / (1 - input))

    def vjp(m, g, input, eps):
        low, high = (0.0, 1.0) if eps is None else (eps, 1 - eps)
        inside = m.logical_and(m.ge(input, low), m.le(input, high))
        outside = m.zeros_like(g) + (float("nan") if eps is None else 0.0)
        x = m.where(inside, input, m.ones_like(input) * 0.5)
        return m.where(inside, g / (x * (1 - x)), outside)


# --- Bessel functions -----------------------------------------------------------------------------------------------------------


@op(samples=ONE)
class i0(Special):
    """The modified Bessel function of the first kind of order 0."""

    def vjp(m, g, input):
        return g * m.i1(input)


@op(samples=ONE)
class i0e(Special):
    """exp(-|input|) * i0(input)."""

    def vjp(m, g, input, out):
        return g * (m.i1e(input) - m.sgn(input) * out)


@op(samples=ONE)
class i1(Special):
    """The modified Bessel function of the first kind of order 1."""

    def vjp(m, g, input, out):
        slope = m.i0(input) - out / safe(m, input)
        return g * m.where(m.eq(input, 0), m.ones_like(input) * 0.5, slope)


@op(samples=ONE)
class i1e(Special):
    """exp(-|input|) * i1(input)."""

    def vjp(m, g, input, out):
        slope = m.i0e(input) - out * (m.sgn(input) + 1 / safe(m, input))
        return g * m.where(m.eq(input, 0), m.ones_like(input) * 0.5, slope)


@op(samples=POSITIVE)
class k0(Special):
    """The modified Bessel function of the second kind of order 0."""

    def vjp(m, g, input):
        return -g * m.k1(input)


@op(samples=POSITIVE)
class k1(Special):
    """The modified Bessel function of the second kind of order 1."""

    def vjp(m, g, input, out):
        return -g * (m.k0(input) + out / input)


@op(samples=POSITIVE)
class k0e(Special):
    """exp(input) * k0(input)."""

    def vjp(m, g, input, out):
        return g * (out - m.k1e(input))


@op(samples=POSITIVE)
class k1e(Special):
    """exp(input) * k1(input)."""

    def vjp(m, g, input, out):
        return g * (out - m.k0e(input) - out / input)


@op(samples=ONE)
class j0(Special):
    """The Bessel function of the first kind of order 0."""

    def vjp(m, g, input):
        return -g * m.j1(input)


@op(samples=ONE)
class j1(Special):
    """The Bessel function of the first kind of order 1."""

    def vjp(m, g, input, out):
        slope = m.j0(input) - out / safe(m, input)
        return g * m.where(m.eq(input, 0), m.ones_like(input) * 0.5, slope)


@op(samples=POSITIVE)
class y0(Special):
    """The Bessel function of the second kind of order 0."""

    def vjp(m, g, input):
        return -g * m.y1(input)


@op(samples=POSITIVE)
class y1(Special):
    """The Bessel function of the second kind of order 1."""

    def vjp(m, g, input, out):
        return g * (m.y0(input) - out / input)


@op(samples=POSITIVE)
class spherical_j0(Special):
    """sin(input) / input, 1 at 0."""

    def vjp(m, g, input, out):
        slope = (m.cos(input) - out) / safe(m, input)
        return g * m.where(m.eq(input, 0), m.zeros_like(input), slope)


@op(samples=[(Sample((3, 4), "index", "int64", 9),)])
class airy_ai(Special):
    """Airy's function Ai."""

    def vjp(m, g):
        raise no_derivative("airy_ai", "input")


# --- draws whose gradient is implicit ---------------------------------------------------------------------------------------------


@op(samples=[(COUNTS, {"key": (3, 0)})])
class standard_gamma(Elementwise):
    """A draw from the gamma distribution with shape ``input`` and scale 1, differentiable in ``input``."""

    random = True
    promotion = "float"

    def forward(m, input, *, key=REQUIRED):
        return m.standard_gamma_(input, key)

    def vjp(m, g, input, out):
        return g * m.gamma_sample_slope(input, out)


@op(samples=[(COUNTS, Sample((4,), "unit_positive"), {"key": (3, 0)})])
class von_mises(Elementwise):
    """Angles around ``input`` from von Mises' distribution with concentration ``other``."""

    random = True
    differentiable = False
    promotion = "float"

    def forward(m, input, other, *, key=REQUIRED):
        return m.numpy_random_("vonmises", *m.xp.broadcast_arrays(input, other), key=key)
