"""The gamma distribution and what is made of it: exponential, chi-squared, beta, Dirichlet, F."""

from __future__ import annotations

import math

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import ValueRangeError
from mlkit.distributions import constraints
from mlkit.distributions.continuous import full_like, where
from mlkit.distributions.distribution import Distribution, ExponentialFamily, broadcast_all, uniform_like
from mlkit.functional import random


class Gamma(ExponentialFamily):
    """The gamma distribution with shape ``concentration`` and ``rate`` = 1 / scale.

    Draws are differentiable in both (implicit reparameterization, Figurnov et al. 2018).
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, concentration, rate, validate_args=None):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self):
        return self.concentration / self.rate

    @property
    def mode(self):
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self):
        return self.concentration / ops.square(self.rate)

    def rsample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        return random.standard_gamma(ops.expand(self.concentration, shape=shape)) / self.rate

    def log_prob(self, value):
        value = self._checked(value)
        a, rate = self.concentration, self.rate
        return ops.xlogy(a, rate) + ops.xlogy(a - 1, value) - rate * value - ops.lgamma(a)

    def cdf(self, value):
        return ops.gammainc(self.concentration, self.rate * self._checked(value))

    def entropy(self):
        a = self.concentration
        return a - ops.log(self.rate) + ops.lgamma(a) + (1 - a) * ops.digamma(a)


class Chi2(Gamma):
    """The chi-squared distribution: the sum of ``df`` squared standard normal numbers."""

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df, validate_args=None):
        (df,) = broadcast_all(df)
        super().__init__(0.5 * df, 0.5, validate_args=validate_args)

    def _expand_into(self, new, batch_shape):
        for name in ("concentration", "rate"):
            new.__dict__[name] = ops.expand(self.__dict__[name], shape=tuple(batch_shape))

    def _check_parameters(self):
        if not (self.concentration > 0).all():
            raise ValueRangeError("Expected parameter df of distribution Chi2 to be positive.")

    @property
    def df(self):
        """The degrees of freedom."""
        return self.concentration * 2

    def __repr__(self):
        return f"Chi2(df: {self.df.detach() if self.df.numel() == 1 else tuple(self.df.shape)})"


class Exponential(ExponentialFamily):
    """Waiting times with ``rate`` events per unit."""

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, rate, validate_args=None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self):
        return ops.reciprocal(self.rate)

    @property
    def mode(self):
        return ops.zeros_like(self.rate)

    @property
    def stddev(self):
        return ops.reciprocal(self.rate)

    @property
    def variance(self):
        return ops.reciprocal(ops.square(self.rate))

    def rsample(self, sample_shape=()):
        return -ops.log1p(-uniform_like(self.rate, self._extended_shape(sample_shape))) / self.rate

    def log_prob(self, value):
        return ops.log(self.rate) - self.rate * self._checked(value)

    def cdf(self, value):
        return 1 - ops.exp(-self.rate * self._checked(value))

    def icdf(self, value):
        return -ops.log1p(-value) / self.rate

    def entropy(self):
        return 1.0 - ops.log(self.rate)


class Dirichlet(ExponentialFamily):
    """Probabilities that sum to 1, with ``concentration`` (*, k)."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True
    _event_dims = {"concentration": 1}

    def __init__(self, concentration, validate_args=None):
        if concentration.ndim < 1:
            raise ValueRangeError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    def rsample(self, sample_shape=()):
        """Gamma draws over their sum; in logarithms, so that small concentrations do not vanish."""
        shape = tuple(self._extended_shape(sample_shape))
        a = ops.expand(self.concentration, shape=shape)
        # gamma(a) = gamma(a + 1) * u**(1 / a)
        u = uniform_like(a, shape).clamp(min=dtypes.finfo(a.dtype).tiny)
        return ops.softmax(ops.log(random.standard_gamma(a + 1)) + ops.log(u) / a, dim=-1)

    def log_prob(self, value):
        a = self.concentration
        return ops.xlogy(a - 1, self._checked(value)).sum(-1) + ops.lgamma(a.sum(-1)) - ops.lgamma(a).sum(-1)

    @property
    def mean(self):
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self):
        less = (self.concentration - 1).clamp(min=0.0)
        mode = less / less.sum(-1, True)
        corner = (self.concentration < 1).all(dim=-1, keepdim=True)
        from mlkit.functional.creation import arange

        # the density is infinite at each corner: the first one, as in PyTorch
        one = ops.cast_like(arange(self.event_shape[-1], device=mode.device) == 0, mode)
        return where(corner, one, mode)

    @property
    def variance(self):
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (ops.square(total) * (total + 1))

    def entropy(self):
        a = self.concentration
        k, total = a.shape[-1], a.sum(-1)
        return (
            ops.lgamma(a).sum(-1)
            - ops.lgamma(total)
            - (k - total) * ops.digamma(total)
            - ((a - 1.0) * ops.digamma(a)).sum(-1)
        )


class Beta(ExponentialFamily):
    """A probability, with density x^(concentration1 - 1) (1 - x)^(concentration0 - 1)."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1, concentration0, validate_args=None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    def _dirichlet(self):
        from mlkit.functional.shaping import stack

        return Dirichlet(stack([self.concentration1, self.concentration0], -1), validate_args=False)

    @property
    def mean(self):
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self):
        return self._dirichlet().mode.select(-1, 0)

    @property
    def variance(self):
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (ops.square(total) * (total + 1))

    def rsample(self, sample_shape=()):
        return self._dirichlet().rsample(sample_shape).select(-1, 0)

    def log_prob(self, value):
        value = self._checked(value)
        a, b = self.concentration1, self.concentration0
        norm = ops.lgamma(a + b) - ops.lgamma(a) - ops.lgamma(b)
        return ops.xlogy(a - 1, value) + ops.xlogy(b - 1, 1 - value) + norm

    def entropy(self):
        return self._dirichlet().entropy()


class FisherSnedecor(Distribution):
    """The F distribution: the ratio of two chi-squared numbers over their degrees of freedom."""

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1, df2, validate_args=None):
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(self.df1.shape, validate_args=validate_args)

    @property
    def mean(self):
        heavy = self.df2 <= 2
        safe = where(heavy, full_like(self.df2, 3.0), self.df2)
        return where(heavy, full_like(self.df2, math.nan), safe / (safe - 2))

    @property
    def mode(self):
        mode = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return where(self.df1 <= 2, full_like(mode, math.nan), mode)

    @property
    def variance(self):
        heavy = self.df2 <= 4
        b = where(heavy, full_like(self.df2, 5.0), self.df2)
        a = self.df1
        out = 2 * ops.square(b) * (a + b - 2) / (a * ops.square(b - 2) * (b - 4))
        return where(heavy, full_like(b, math.nan), out)

    def rsample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        x1 = random.standard_gamma(ops.expand(self.df1, shape=shape) * 0.5) / self.df1
        x2 = random.standard_gamma(ops.expand(self.df2, shape=shape) * 0.5) / self.df2
        tiny = dtypes.finfo(x1.dtype).tiny
        return (x1 / x2.clamp(min=tiny)).clamp(min=tiny)

    def log_prob(self, value):
        value = self._checked(value)
        a, b = self.df1 * 0.5, self.df2 * 0.5
        ratio = self.df1 / self.df2
        t1 = ops.lgamma(a + b) - ops.lgamma(a) - ops.lgamma(b)
        t2 = a * ops.log(ratio) + (a - 1) * ops.log(value)
        return t1 + t2 - (a + b) * ops.log1p(ratio * value)
