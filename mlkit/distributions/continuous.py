"""Continuous distributions given by a location and a scale, or by their bounds."""

from __future__ import annotations

import math

from mlkit.core.dispatch import ops
from mlkit.core.errors import ValueRangeError
from mlkit.core.value import MetaArray
from mlkit.distributions import constraints
from mlkit.distributions.distribution import (
    Distribution,
    ExponentialFamily,
    broadcast_all,
    normal_like,
    open_uniform_like,
    uniform_like,
)
from mlkit.functional import arithmetic, random

EULER = 0.5772156649015329


def where(condition, a, b):
    return arithmetic.where(condition, a, b)


def full_like(x, number):
    return ops.zeros_like(x) + number


class Normal(ExponentialFamily):
    """The normal distribution with mean ``loc`` and standard deviation ``scale``.

    >>> import mlkit
    >>> mlkit.distributions.Normal(0.0, 1.0).log_prob(mlkit.tensor(0.0))
    tensor(-0.9189)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc, scale, validate_args=None):
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @property
    def stddev(self):
        return self.scale

    @property
    def variance(self):
        return ops.square(self.scale)

    def rsample(self, sample_shape=()):
        return self.loc + self.scale * normal_like(self.loc, self._extended_shape(sample_shape))

    def log_prob(self, value):
        z = (self._checked(value) - self.loc) / self.scale
        return -0.5 * (z * z) - ops.log(self.scale) - 0.5 * math.log(2 * math.pi)

    def cdf(self, value):
        return 0.5 * (1 + ops.erf((self._checked(value) - self.loc) / self.scale * math.sqrt(0.5)))

    def icdf(self, value):
        return self.loc + self.scale * ops.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self):
        return 0.5 + 0.5 * math.log(2 * math.pi) + ops.log(self.scale)


class Laplace(Distribution):
    """The Laplace distribution: exp(-|x - loc| / scale) / (2 scale)."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc, scale, validate_args=None):
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        return 2 * ops.square(self.scale)

    @property
    def stddev(self):
        return math.sqrt(2) * self.scale

    def rsample(self, sample_shape=()):
        u = open_uniform_like(self.loc, self._extended_shape(sample_shape)) - 0.5
        return self.loc - self.scale * ops.sign(u) * ops.log1p(-2 * ops.abs(u).clamp(max=0.5 - 2.0**-26))

    def log_prob(self, value):
        return -ops.log(2 * self.scale) - ops.abs(self._checked(value) - self.loc) / self.scale

    def cdf(self, value):
        d = self._checked(value) - self.loc
        return 0.5 - 0.5 * ops.sign(d) * ops.expm1(-ops.abs(d) / self.scale)

    def icdf(self, value):
        d = value - 0.5
        return self.loc - self.scale * ops.sign(d) * ops.log1p(-2 * ops.abs(d))

    def entropy(self):
        return 1 + ops.log(2 * self.scale)


class Cauchy(Distribution):
    """The Cauchy distribution; it has neither mean nor variance."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc, scale, validate_args=None):
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self):
        return full_like(self.loc, math.nan)

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        return full_like(self.loc, math.inf)

    def rsample(self, sample_shape=()):
        u = open_uniform_like(self.loc, self._extended_shape(sample_shape))
        return self.loc + self.scale * ops.tan((u - 0.5) * math.pi)

    def log_prob(self, value):
        z = (self._checked(value) - self.loc) / self.scale
        return -math.log(math.pi) - ops.log(self.scale) - ops.log1p(z * z)

    def cdf(self, value):
        return ops.atan((self._checked(value) - self.loc) / self.scale) / math.pi + 0.5

    def icdf(self, value):
        return ops.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self):
        return math.log(4 * math.pi) + ops.log(self.scale)


class Uniform(Distribution):
    """The uniform distribution on [low, high)."""

    has_rsample = True

    def __init__(self, low, high, validate_args=None):
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validate_args and self.low._array.__class__ is not MetaArray and not (self.low < self.high).all():
            raise ValueRangeError("Uniform is not defined when low>= high")

    arg_constraints = {
        "low": constraints.dependent,
        "high": constraints.dependent,
    }

    @constraints.dependent_property
    def support(self):
        return constraints.interval(self.low, self.high)

    @property
    def mean(self):
        return (self.high + self.low) / 2

    @property
    def mode(self):
        return math.nan * self.high

    @property
    def stddev(self):
        return (self.high - self.low) / math.sqrt(12)

    @property
    def variance(self):
        return ops.square(self.high - self.low) / 12

    def rsample(self, sample_shape=()):
        return self.low + uniform_like(self.low, self._extended_shape(sample_shape)) * (self.high - self.low)

    def log_prob(self, value):
        value = self._checked(value)
        inside = (self.low <= value) & (self.high > value)
        return ops.log(ops.cast_like(inside, self.low)) - ops.log(self.high - self.low)

    def cdf(self, value):
        return ((self._checked(value) - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value):
        return value * (self.high - self.low) + self.low

    def entropy(self):
        return ops.log(self.high - self.low)


class VonMises(Distribution):
    """Angles around ``loc``: exp(concentration cos(x - loc)), the normal distribution's counterpart on the circle."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc, concentration, validate_args=None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        """The circular variance 1 - I1 / I0."""
        return 1 - ops.i1e(self.concentration) / ops.i0e(self.concentration)

    def sample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        loc, concentration = (ops.expand(p.detach(), shape=shape) for p in (self.loc, self.concentration))
        turned = random.von_mises(ops.zeros_like(loc), concentration) + loc
        return (turned + math.pi) % (2 * math.pi) - math.pi

    def log_prob(self, value):
        d = self._checked(value) - self.loc
        # log I0 = log i0e + concentration: the concentration goes with the cosine, where nothing overflows
        return self.concentration * (ops.cos(d) - 1) - math.log(2 * math.pi) - ops.log(ops.i0e(self.concentration))


class StudentT(Distribution):
    """Student's t distribution with ``df`` degrees of freedom."""

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df, loc=0.0, scale=1.0, validate_args=None):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self):
        return where(self.df <= 1, full_like(self.loc, math.nan), self.loc)

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        heavy = self.df <= 2
        safe = where(heavy, full_like(self.df, 3.0), self.df)
        finite = ops.square(self.scale) * safe / (safe - 2)
        out = where(heavy, full_like(self.df, math.inf), finite)
        return where(self.df <= 1, full_like(self.df, math.nan), out)

    def rsample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        half = ops.expand(self.df, shape=shape) * 0.5
        chi2 = 2 * random.standard_gamma(half)
        return self.loc + self.scale * normal_like(self.df, shape) * ops.rsqrt(chi2 / self.df)

    def log_prob(self, value):
        y = (self._checked(value) - self.loc) / self.scale
        z = ops.log(self.scale) + 0.5 * ops.log(self.df) + 0.5 * math.log(math.pi)
        z = z + ops.lgamma(0.5 * self.df) - ops.lgamma(0.5 * (self.df + 1))
        return -0.5 * (self.df + 1) * ops.log1p(y * y / self.df) - z

    def entropy(self):
        half, next_half = 0.5 * self.df, 0.5 * (self.df + 1)
        beta = ops.lgamma(half) + math.lgamma(0.5) - ops.lgamma(next_half)
        return (
            ops.log(self.scale)
            + next_half * (ops.digamma(next_half) - ops.digamma(half))
            + 0.5 * ops.log(self.df)
            + beta
        )
