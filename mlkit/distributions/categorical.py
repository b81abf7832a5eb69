"""Choices among k: as an index, one-hot, counted, or relaxed into numbers that carry a gradient."""

from __future__ import annotations

import math

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import MissingFeature, ValueRangeError
from mlkit.distributions import constraints
from mlkit.distributions.distribution import Distribution, broadcast_all, clamp_probs, open_uniform_like, uniform_like
from mlkit.functional.creation import arange, eye, zeros


def one_hot(index, k: int, like):
    """1 at the index, 0 elsewhere, along a new last dim."""
    return ops.cast_like(index.unsqueeze(-1) == arange(k, device=like.device), like)


class Categorical(Distribution):
    """An index 0 .. k - 1 with weights ``probs`` (*, k), normalized here, or unnormalized ``logits``.

    >>> import mlkit
    >>> mlkit.distributions.Categorical(probs=mlkit.tensor([1.0, 3.0])).probs
    tensor([0.2500, 0.7500])
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True
    _event_dims = {"probs": 1, "logits": 1}

    def __init__(self, probs=None, logits=None, validate_args=None):
        if (probs is None) == (logits is None):
            raise ValueRangeError("Either `probs` or `logits` must be specified, but not both.")
        given = probs if probs is not None else logits
        if given.ndim < 1:
            raise ValueRangeError(
                f"`{'probs' if probs is not None else 'logits'}` parameter must be at least one-dimensional."
            )
        if probs is not None:
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = logits - ops.logsumexp(logits, dim=-1, keepdim=True)
        super().__init__(given.shape[:-1], validate_args=validate_args)

    def __getattr__(self, name):
        if name == "logits" and "probs" in self.__dict__:
            return ops.log(clamp_probs(self.__dict__["probs"]))
        if name == "probs" and "logits" in self.__dict__:
            return ops.softmax(self.__dict__["logits"], dim=-1)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def _given(self):
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.__dict__["logits"]

    @property
    def _num_events(self) -> int:
        return self._given.shape[-1]

    @constraints.dependent_property(is_discrete=True)
    def support(self):
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def param_shape(self):
        return self._given.shape

    @property
    def mean(self):
        return zeros(*self._batch_shape, dtype=self.probs.dtype, device=self.probs.device) + math.nan

    @property
    def mode(self):
        return self.probs.argmax(dim=-1)

    @property
    def variance(self):
        return self.mean

    def sample(self, sample_shape=()):
        edges = ops.cumsum(self.probs.detach(), dim=-1)
        last = edges.shape[-1] - 1
        u = uniform_like(edges, self._extended_shape(sample_shape)).unsqueeze(-1)
        # behind the last choice that has any weight there is nothing, whatever the rounding of the sum
        u = u * edges.narrow(-1, last, 1)
        return (u >= edges.narrow(-1, 0, last)).sum(-1)

    def log_prob(self, value):
        value = self._checked(value).long().unsqueeze(-1)
        from mlkit.functional.shaping import broadcast_tensors

        value, logits = broadcast_tensors(value, self.logits)
        return ops.gather(logits, value.narrow(-1, 0, 1), dim=logits.ndim - 1).squeeze(-1)

    def entropy(self):
        held = self.logits.clamp(min=dtypes.finfo(self.logits.dtype).min)
        return -(held * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True):
        values = arange(self._num_events, device=self._given.device).reshape(-1, *[1] * len(self._batch_shape))
        return ops.expand(values, shape=(self._num_events, *self._batch_shape)) if expand else values


class _OfCategorical(Distribution):
    """A distribution whose parameters are those of the ``Categorical`` that it draws from."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    _categorical: Categorical

    @property
    def probs(self):
        return self._categorical.probs

    @property
    def logits(self):
        return self._categorical.logits

    @property
    def param_shape(self):
        return self._categorical.param_shape


class OneHotCategorical(_OfCategorical):
    """``Categorical`` with one-hot vectors for values."""

    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        self._categorical = Categorical(probs, logits)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args)

    def _expand_into(self, new, batch_shape):
        new._categorical = self._categorical.expand(batch_shape)

    @property
    def mean(self):
        return self.probs

    @property
    def mode(self):
        return one_hot(self.probs.argmax(dim=-1), self._event_shape[0], self.probs)

    @property
    def variance(self):
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        return one_hot(self._categorical.sample(sample_shape), self._event_shape[0], self.probs)

    def log_prob(self, value):
        return self._categorical.log_prob(self._checked(value).argmax(dim=-1))

    def entropy(self):
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True):
        n = self._event_shape[0]
        values = eye(n, dtype=self.probs.dtype, device=self.probs.device)
        values = values.reshape(n, *[1] * len(self._batch_shape), n)
        return ops.expand(values, shape=(n, *self._batch_shape, n)) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """One-hot draws whose gradient is that of the probabilities (Bengio, Leonard & Courville 2013)."""

    has_rsample = True

    def rsample(self, sample_shape=()):
        hard = self.sample(sample_shape)
        return hard + (self.probs - self.probs.detach())


class Multinomial(_OfCategorical):
    """How often each of k choices came up in ``total_count`` draws."""

    def __init__(self, total_count: int = 1, probs=None, logits=None, validate_args=None):
        if not isinstance(total_count, int):
            raise MissingFeature("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args)

    def _expand_into(self, new, batch_shape):
        new.total_count, new._categorical = self.total_count, self._categorical.expand(batch_shape)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self):
        return constraints.multinomial(self.total_count)

    @property
    def mean(self):
        return self.probs * self.total_count

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        drawn = self._categorical.sample((self.total_count, *sample_shape))
        return one_hot(drawn, self._event_shape[0], self.probs).sum(0)

    def log_prob(self, value):
        value = self._checked(value)
        ways = ops.lgamma(value.sum(-1) + 1) - ops.lgamma(value + 1).sum(-1)
        impossible = (value == 0) & (self.logits == -math.inf)
        logits = ops.where(impossible, ops.zeros_like(self.logits), self.logits)
        return ways + (logits * value).sum(-1)

    def entropy(self):
        from mlkit.distributions.discrete import Binomial

        n = float(self.total_count)
        counts = Binomial(self.total_count, probs=self.probs).enumerate_support(False)[1:]
        weights = ops.exp(Binomial(self.total_count, probs=self.probs).log_prob(counts))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + (weights * ops.lgamma(counts + 1)).sum((0, -1))


class ExpRelaxedCategorical(_OfCategorical):
    """log of ``RelaxedOneHotCategorical``'s values."""

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        self._categorical = Categorical(probs, logits)
        self.temperature = temperature
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args)

    def _expand_into(self, new, batch_shape):
        new.temperature, new._categorical = self.temperature, self._categorical.expand(batch_shape)

    def rsample(self, sample_shape=()):
        u = open_uniform_like(self.logits, self._extended_shape(sample_shape)).clamp(max=1 - 2.0**-24)
        scores = (self.logits - ops.log(-ops.log(u))) / self.temperature
        return scores - ops.logsumexp(scores, dim=-1, keepdim=True)

    def log_prob(self, value):
        value = self._checked(value)
        k = self._event_shape[0]
        temperature = self.temperature
        (t,) = broadcast_all(temperature)
        t = ops.cast_like(t, self.logits)
        score = self.logits - value * temperature
        score = (score - ops.logsumexp(score, dim=-1, keepdim=True)).sum(-1)
        scale = math.lgamma(k) + (k - 1) * ops.log(t)
        return score + scale


__all__ = [
    "Categorical", "ExpRelaxedCategorical", "Multinomial", "OneHotCategorical", "OneHotCategoricalStraightThrough",
]  # fmt: skip
