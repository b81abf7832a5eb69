"""Distributions on intervals: the continuous Bernoulli on [0, 1], and the generalized Pareto above a threshold."""

from __future__ import annotations

import math

from mlkit.core.dispatch import ops
from mlkit.distributions import constraints
from mlkit.distributions.continuous import full_like, where
from mlkit.distributions.distribution import (
    Distribution,
    ExponentialFamily,
    ProbsOrLogits,
    broadcast_all,
    clamp_probs,
    logits_to_probs,
    open_uniform_like,
)


class ContinuousBernoulli(ProbsOrLogits, ExponentialFamily):
    """Values in [0, 1] with density proportional to probs ** x * (1 - probs) ** (1 - x), for pixels between 0 and 1.

    Loaiza-Ganem & Cunningham, NeurIPS 2019. Between the two ``lims`` around 1/2, where the formulas divide by nearly 0,
    series take their place.

    >>> import mlkit
    >>> d = mlkit.distributions.ContinuousBernoulli(0.25)
    >>> d.mean, d.log_prob(mlkit.tensor(0.5))
    (tensor(0.4102), tensor(-0.0498))
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, probs=None, logits=None, lims=(0.499, 0.501), validate_args=None):
        self._take(probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        self._lims = tuple(lims)
        super().__init__(self._given.shape, validate_args=validate_args)
        if probs is not None:
            self.probs = clamp_probs(self.probs)

    def __getattr__(self, name):
        if name == "probs" and "logits" in self.__dict__:
            return clamp_probs(logits_to_probs(self.__dict__["logits"], True))
        return super().__getattr__(name)

    def _expand_into(self, new, batch_shape):
        super()._expand_into(new, batch_shape)
        new._lims = self._lims

    def _parts(self):
        """Whether the formulas hold, probs moved to where they do, its log odds, and the distance of probs from 1/2."""
        probs = self.probs
        holds = (probs <= self._lims[0]) | (probs > self._lims[1])
        cut = where(holds, probs, full_like(probs, self._lims[0]))
        return holds, cut, ops.log(cut) - ops.log1p(-cut), probs - 0.5

    def _log_normalizer(self):
        holds, cut, odds, off = self._parts()
        square = ops.square(off)
        series = math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * square) * square
        return where(holds, ops.log(ops.div(odds, 2 * cut - 1)), series)

    @property
    def mean(self):
        holds, cut, odds, off = self._parts()
        series = 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * ops.square(off)) * off
        return where(holds, cut / (2 * cut - 1) - 1 / odds, series)

    @property
    def variance(self):
        holds, cut, odds, off = self._parts()
        square = ops.square(off)
        series = 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * square) * square
        return where(holds, cut * (cut - 1) / ops.square(1 - 2 * cut) + 1 / ops.square(odds), series)

    def rsample(self, sample_shape=()):
        return self.icdf(open_uniform_like(self.probs, tuple(self._extended_shape(sample_shape))))

    def log_prob(self, value):
        value, logits = broadcast_all(self._checked(value), self.logits)
        return value * logits - ops.softplus(logits, threshold=1e30) + self._log_normalizer()

    def cdf(self, value):
        holds, cut, _, _ = self._parts()
        value = self._checked(value)
        inside = (ops.exp(ops.log(cut) * value + ops.log1p(-cut) * (1 - value)) + cut - 1) / (2 * cut - 1)
        inside = where(holds, inside, value)
        return where(value <= 0, ops.zeros_like(inside), where(value >= 1, ops.ones_like(inside), inside))

    def icdf(self, value):
        holds, cut, odds, _ = self._parts()
        return where(holds, (ops.log1p(-cut + value * (2 * cut - 1)) - ops.log1p(-cut)) / odds, value)

    def entropy(self):
        probs = self.probs
        return -self.mean * (ops.log(probs) - ops.log1p(-probs)) - self._log_normalizer() - ops.log1p(-probs)


class GeneralizedPareto(Distribution):
    """Excesses over a threshold ``loc``: the tail is heavy for ``concentration`` > 0, exponential at 0, bounded below 0.

    >>> import mlkit
    >>> d = mlkit.distributions.GeneralizedPareto(0.0, 1.0, 0.25)
    >>> d.mean, d.cdf(mlkit.tensor(1.0))
    (tensor(1.3333), tensor(0.5904))
    """

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True

    def __init__(self, loc, scale, concentration, validate_args=None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @constraints.dependent_property
    def support(self):
        k = self.concentration
        bounded = k < 0
        top = self.loc - self.scale / where(bounded, k, ops.ones_like(k))
        return constraints.interval(self.loc, where(bounded, top, full_like(k, math.inf)))

    def _shape(self):
        """Where the concentration is 0, and the concentration with 1 in its place there."""
        flat = ops.abs(self.concentration) <= 1e-8
        return flat, where(flat, ops.ones_like(self.concentration), self.concentration)

    def rsample(self, sample_shape=()):
        return self.icdf(open_uniform_like(self.loc, tuple(self._extended_shape(sample_shape))))

    def log_prob(self, value):
        flat, k = self._shape()
        z = (self._checked(value) - self.loc) / self.scale
        return where(flat, -z, -(1 / k + 1) * ops.log1p(k * z)) - ops.log(self.scale)

    def log_survival_function(self, value):
        """log of the probability of a value above ``value``."""
        flat, k = self._shape()
        z = (self._checked(value) - self.loc) / self.scale
        return where(flat, -z, -ops.log1p(k * z) / k)

    def log_cdf(self, value):
        """log of ``cdf``."""
        return ops.log1p(-ops.exp(self.log_survival_function(value)))

    def cdf(self, value):
        return ops.exp(self.log_cdf(value))

    def icdf(self, value):
        flat, k = self._shape()
        rest = ops.log1p(-value)
        return self.loc + self.scale * where(flat, -rest, ops.expm1(-k * rest) / k)

    @property
    def mean(self):
        k = self.concentration
        finite = k < 1
        return where(finite, self.loc + self.scale / (1 - where(finite, k, full_like(k, 0.5))), full_like(k, math.nan))

    @property
    def variance(self):
        k = self.concentration
        finite = k < 0.5
        held = where(finite, k, full_like(k, 0.25))
        spread = ops.square(self.scale) / (ops.square(1 - held) * (1 - 2 * held))
        return where(finite, spread, full_like(k, math.nan))

    @property
    def mode(self):
        return self.loc

    def entropy(self):
        return ops.expand(ops.log(self.scale) + self.concentration + 1, shape=tuple(self._batch_shape))
