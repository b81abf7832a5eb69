"""Counts: Bernoulli, binomial, geometric, negative binomial, Poisson."""

from __future__ import annotations

import math

from mlkit.core.dispatch import ops
from mlkit.core.errors import MissingFeature
from mlkit.distributions import constraints
from mlkit.distributions.continuous import full_like, where
from mlkit.distributions.distribution import (
    Distribution,
    ExponentialFamily,
    ProbsOrLogits,
    broadcast_all,
    open_uniform_like,
    uniform_like,
)
from mlkit.functional import random
from mlkit.functional.creation import arange
from mlkit.functional.random import binomial, poisson


def cross_entropy_of_bits(logits, value):
    """-log of the probability of ``value`` (1 or 0) under ``logits``, stable."""
    return logits.clamp(min=0) - logits * value + ops.log1p(ops.exp(-ops.abs(logits)))


class Bernoulli(ProbsOrLogits, ExponentialFamily):
    """1 with probability ``probs``, else 0; made from ``probs`` or ``logits``.

    >>> import mlkit
    >>> mlkit.distributions.Bernoulli(0.25).mean
    tensor(0.2500)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        self._take(probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__(self._given.shape, validate_args=validate_args)

    @property
    def mean(self):
        return self.probs

    @property
    def mode(self):
        mode = ops.cast_like(self.probs >= 0.5, self.probs)
        return where(self.probs == 0.5, full_like(mode, math.nan), mode)

    @property
    def variance(self):
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        p = self.probs.detach()
        return ops.cast_like(uniform_like(p, self._extended_shape(sample_shape)) < p, p)

    def log_prob(self, value):
        return -cross_entropy_of_bits(self.logits, self._checked(value))

    def entropy(self):
        return cross_entropy_of_bits(self.logits, self.probs)

    def enumerate_support(self, expand: bool = True):
        values = arange(2, dtype=self._given.dtype, device=self._given.device)
        values = values.reshape(-1, *[1] * len(self._batch_shape))
        return ops.expand(values, shape=(2, *self._batch_shape)) if expand else values


class Geometric(ProbsOrLogits, Distribution):
    """How many trials fail before the first success, each with probability ``probs``."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs=None, logits=None, validate_args=None):
        self._take(probs, logits)
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__(self._given.shape, validate_args=validate_args)
        if self._validate_args and probs is not None and not (self.probs > 0).all():
            from mlkit.core.errors import ValueRangeError

            raise ValueRangeError(f"Expected parameter probs of distribution {self!r} to be positive.")

    @property
    def mean(self):
        return 1.0 / self.probs - 1.0

    @property
    def mode(self):
        return ops.zeros_like(self.probs)

    @property
    def variance(self):
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape=()):
        p = self.probs.detach()
        u = open_uniform_like(p, self._extended_shape(sample_shape))
        return ops.floor(ops.log(u) / ops.log1p(-p))

    def log_prob(self, value):
        value = self._checked(value)
        certain = (self.probs == 1) & (value == 0)
        p = where(certain, ops.zeros_like(self.probs), self.probs)
        return value * ops.log1p(-p) + ops.log(self.probs)

    def entropy(self):
        return cross_entropy_of_bits(self.logits, self.probs) / self.probs


class Binomial(ProbsOrLogits, Distribution):
    """How many of ``total_count`` trials succeed, each with probability ``probs``."""

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        self._take(probs, logits)
        name, given = ("probs", probs) if probs is not None else ("logits", logits)
        self.total_count, self.__dict__[name] = broadcast_all(total_count, given)
        self.total_count = ops.cast_like(self.total_count, self._given)
        super().__init__(self._given.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True)
    def support(self):
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self):
        return self.total_count * self.probs

    @property
    def mode(self):
        return ops.minimum(ops.floor((self.total_count + 1) * self.probs), self.total_count)

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        count, p = (ops.expand(x.detach(), shape=shape) for x in (self.total_count, self.probs))
        return binomial(count, p)

    def log_prob(self, value):
        value = self._checked(value)
        n = self.total_count
        ways = ops.lgamma(n + 1) - ops.lgamma(value + 1) - ops.lgamma(n - value + 1)
        # n * log(1 + exp(logits)) - value * logits, with nothing large taken apart
        rest = n * (self.logits.clamp(min=0) + ops.log1p(ops.exp(-ops.abs(self.logits))))
        return value * self.logits + ways - rest

    def entropy(self):
        total = int(self.total_count.max())
        if not (self.total_count == total).all():
            raise MissingFeature("Inhomogeneous total count not supported by `entropy`.")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(ops.exp(log_prob) * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True):
        total = int(self.total_count.max())
        if not (self.total_count == total).all():
            raise MissingFeature("Inhomogeneous total count not supported by `enumerate_support`.")
        values = arange(1 + total, dtype=self._given.dtype, device=self._given.device)
        values = values.reshape(-1, *[1] * len(self._batch_shape))
        return ops.expand(values, shape=(1 + total, *self._batch_shape)) if expand else values


class NegativeBinomial(ProbsOrLogits, Distribution):
    """How many trials succeed (with probability ``probs``) before ``total_count`` have failed."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(self, total_count, probs=None, logits=None, validate_args=None):
        self._take(probs, logits)
        name, given = ("probs", probs) if probs is not None else ("logits", logits)
        self.total_count, self.__dict__[name] = broadcast_all(total_count, given)
        self.total_count = ops.cast_like(self.total_count, self._given)
        super().__init__(self._given.shape, validate_args=validate_args)

    @property
    def mean(self):
        return self.total_count * ops.exp(self.logits)

    @property
    def mode(self):
        return ((self.total_count - 1) * ops.exp(self.logits)).floor().clamp(min=0.0)

    @property
    def variance(self):
        return self.mean / ops.sigmoid(-self.logits)

    def sample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        count, logits = (ops.expand(x.detach(), shape=shape) for x in (self.total_count, self.logits))
        return poisson(random.standard_gamma(count) * ops.exp(logits))

    def log_prob(self, value):
        value = self._checked(value)
        n = self.total_count
        plain = n * ops.log_sigmoid(-self.logits) + value * ops.log_sigmoid(self.logits)
        ways = -ops.lgamma(n + value) + ops.lgamma(1.0 + value) + ops.lgamma(n)
        return plain - where(n + value == 0.0, ops.zeros_like(ways), ways)


class Poisson(ExponentialFamily):
    """Counts of events that come at ``rate`` per unit."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate, validate_args=None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self):
        return self.rate

    @property
    def mode(self):
        return ops.floor(self.rate)

    @property
    def variance(self):
        return self.rate

    def sample(self, sample_shape=()):
        return poisson(ops.expand(self.rate.detach(), shape=tuple(self._extended_shape(sample_shape))))

    def log_prob(self, value):
        value = self._checked(value)
        return ops.xlogy(value, self.rate) - self.rate - ops.lgamma(value + 1)
