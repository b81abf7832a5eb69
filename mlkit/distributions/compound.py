"""Distributions made of others: independent events, mixtures, and values sent through transforms."""

from __future__ import annotations

import math

from mlkit.core.dispatch import ops
from mlkit.core.errors import ValueRangeError
from mlkit.core.size import broadcast_shapes
from mlkit.distributions import constraints
from mlkit.distributions.categorical import Categorical, ExpRelaxedCategorical
from mlkit.distributions.continuous import EULER, Cauchy, Normal, Uniform, full_like, where
from mlkit.distributions.distribution import (
    Distribution,
    ProbsOrLogits,
    broadcast_all,
    clamp_probs,
    open_uniform_like,
    sum_rightmost,
)
from mlkit.distributions.gamma_family import Exponential, Gamma
from mlkit.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    StickBreakingTransform,
    Transform,
)


class Independent(Distribution):
    """A distribution whose last batch dims become event dims: their log probabilities are summed."""

    def __init__(self, base_distribution, reinterpreted_batch_ndims: int, validate_args=None):
        n = len(base_distribution.batch_shape)
        if reinterpreted_batch_ndims > n:
            raise ValueRangeError(
                "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual "
                f"{reinterpreted_batch_ndims} vs {n}."
            )
        shape = (*base_distribution.batch_shape, *base_distribution.event_shape)
        event_dim = reinterpreted_batch_ndims + len(base_distribution.event_shape)
        cut = len(shape) - event_dim
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, reinterpreted_batch_ndims
        super().__init__(shape[:cut], shape[cut:], validate_args)

    def _expand_into(self, new, batch_shape):
        own = tuple(self.event_shape)[: self.reinterpreted_batch_ndims]
        new.base_dist = self.base_dist.expand((*batch_shape, *own))
        new.reinterpreted_batch_ndims = self.reinterpreted_batch_ndims

    @property
    def has_rsample(self):
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self):
        return self.reinterpreted_batch_ndims == 0 and self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self):
        base = self.base_dist.support
        return constraints.independent(base, self.reinterpreted_batch_ndims) if self.reinterpreted_batch_ndims else base

    @property
    def mean(self):
        return self.base_dist.mean

    @property
    def mode(self):
        return self.base_dist.mode

    @property
    def variance(self):
        return self.base_dist.variance

    def sample(self, sample_shape=()):
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape=()):
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value):
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self):
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True):
        if self.reinterpreted_batch_ndims > 0:
            raise self._missing("enumerate_support over a product of sets")
        return self.base_dist.enumerate_support(expand)

    def __repr__(self):
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamily(Distribution):
    """A mixture: the component is drawn from a Categorical; components lie along the last batch dim."""

    has_rsample = False

    def __init__(self, mixture_distribution, component_distribution, validate_args=None):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueRangeError("The Mixture distribution needs to be an instance of distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueRangeError("The Component distribution needs to be an instance of distributions.Distribution")
        own, theirs = mixture_distribution.batch_shape, component_distribution.batch_shape
        for a, b in zip(reversed(own), reversed(theirs[:-1]), strict=False):
            if a != 1 and b != 1 and a != b:
                raise ValueRangeError(
                    f"`mixture_distribution.batch_shape` ({own}) is not compatible with {theirs[:-1]}"
                )
        if not theirs or mixture_distribution.logits.shape[-1] != theirs[-1]:
            raise ValueRangeError(
                f"`mixture_distribution component` ({mixture_distribution.logits.shape[-1]}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({theirs[-1] if theirs else None})"
            )
        self._mixture_distribution, self._component_distribution = mixture_distribution, component_distribution
        self._num_component = theirs[-1]
        event = component_distribution.event_shape
        self._event_ndims = len(event)
        super().__init__(broadcast_shapes(own, theirs[:-1]), event, validate_args)

    def _expand_into(self, new, batch_shape):
        new._component_distribution = self._component_distribution.expand((*batch_shape, self._num_component))
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        new._num_component, new._event_ndims = self._num_component, self._event_ndims

    @constraints.dependent_property
    def support(self):
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self):
        return self._mixture_distribution

    @property
    def component_distribution(self):
        return self._component_distribution

    def _weights(self):
        p = self.mixture_distribution.probs
        return p.reshape(*p.shape, *[1] * self._event_ndims)

    @property
    def mean(self):
        return (self._weights() * self.component_distribution.mean).sum(-1 - self._event_ndims)

    @property
    def variance(self):
        dim = -1 - self._event_ndims
        within = (self._weights() * self.component_distribution.variance).sum(dim)
        means = self.component_distribution.mean
        between = (self._weights() * ops.square(means - self.mean.unsqueeze(dim))).sum(dim)
        return within + between

    def _spread(self, x):
        return x.unsqueeze(-1 - self._event_ndims)

    def cdf(self, x):
        return (self.component_distribution.cdf(self._spread(x)) * self.mixture_distribution.probs).sum(-1)

    def log_prob(self, x):
        each = self.component_distribution.log_prob(self._spread(self._checked(x)))
        weights = self.mixture_distribution.logits
        weights = weights - ops.logsumexp(weights, dim=-1, keepdim=True)
        return ops.logsumexp(each + weights, dim=-1)

    def sample(self, sample_shape=()):
        chosen = self.mixture_distribution.expand(self._batch_shape).sample(sample_shape)
        values = self.component_distribution.expand((*self._batch_shape, self._num_component)).sample(sample_shape)
        dim = len(sample_shape) + len(self._batch_shape)
        index = chosen.reshape(*chosen.shape, *[1] * (1 + self._event_ndims))
        index = ops.expand(index, shape=(*chosen.shape, 1, *self._event_shape))
        return ops.gather(values, index, dim=dim).squeeze(dim)

    def __repr__(self):
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"


class TransformedDistribution(Distribution):
    """The distribution of transforms applied to draws of ``base_distribution``."""

    def __init__(self, base_distribution, transforms, validate_args=None):
        if isinstance(transforms, Transform):
            transforms = [transforms]
        if not isinstance(transforms, (list, tuple)) or not all(isinstance(t, Transform) for t in transforms):
            raise ValueRangeError(f"transforms must be a Transform or list, but was {transforms!r}")
        self.transforms = list(transforms)
        base_shape = (*base_distribution.batch_shape, *base_distribution.event_shape)
        base_event = len(base_distribution.event_shape)
        whole = ComposeTransform(self.transforms)
        wanted = whole.domain.event_dim
        if len(base_shape) < wanted:
            raise ValueRangeError(
                f"base_distribution needs to have shape with size at least {wanted}, but got {base_shape}."
            )
        forward = tuple(whole.forward_shape(base_shape))
        expanded = tuple(whole.inverse_shape(forward))
        if base_shape != expanded:
            base_distribution = base_distribution.expand(expanded[: len(expanded) - base_event])
        extra = wanted - base_event
        self.base_dist = Independent(base_distribution, extra) if extra > 0 else base_distribution
        event_dim = max(whole.codomain.event_dim, base_event + whole.codomain.event_dim - wanted)
        cut = len(forward) - event_dim
        super().__init__(forward[:cut], forward[cut:], validate_args)

    def _expand_into(self, new, batch_shape):
        shape = (*batch_shape, *self.event_shape)
        for t in reversed(self.transforms):
            shape = t.inverse_shape(shape)
        base_batch = tuple(shape)[: len(shape) - len(self.base_dist.event_shape)]
        new.base_dist, new.transforms = self.base_dist.expand(base_batch), self.transforms

    @property
    def has_rsample(self):
        return self.base_dist.has_rsample

    @constraints.dependent_property
    def support(self):
        if not self.transforms:
            return self.base_dist.support
        found = self.transforms[-1].codomain
        extra = len(self.event_shape) - found.event_dim
        return constraints.independent(found, extra) if extra > 0 else found

    def sample(self, sample_shape=()):
        from mlkit.autograd.grad_mode import no_grad

        with no_grad():
            x = self.base_dist.sample(sample_shape)
            for t in self.transforms:
                x = t(x)
            return x

    def rsample(self, sample_shape=()):
        x = self.base_dist.rsample(sample_shape)
        for t in self.transforms:
            x = t(x)
        return x

    def log_prob(self, value):
        y = self._checked(value)
        event_dim = len(self.event_shape)
        total = None
        for t in reversed(self.transforms):
            x = t._inv_call(y)
            event_dim += t.domain.event_dim - t.codomain.event_dim
            change = sum_rightmost(t.log_abs_det_jacobian(x, y), event_dim - t.domain.event_dim)
            total = -change if total is None else total - change
            y = x
        base = sum_rightmost(self.base_dist.log_prob(y), event_dim - len(self.base_dist.event_shape))
        return base if total is None else base + total

    def _sign(self):
        sign = 1
        for t in self.transforms:
            sign = sign * t.sign
        return sign

    def cdf(self, value):
        self._checked(value)
        for t in reversed(self.transforms):
            value = t._inv_call(value)
        below = self.base_dist.cdf(value)
        sign = self._sign()
        return below if isinstance(sign, int) and sign == 1 else sign * (below - 0.5) + 0.5

    def icdf(self, value):
        sign = self._sign()
        if not (isinstance(sign, int) and sign == 1):
            value = sign * (value - 0.5) + 0.5
        value = self.base_dist.icdf(value)
        for t in self.transforms:
            value = t(value)
        return value

    def __repr__(self):
        if self.arg_constraints:
            shown = (
                f"{name}: {getattr(self, name).detach()}" for name in self.arg_constraints if name in self.__dict__
            )
            return f"{type(self).__name__}({', '.join(shown)})"
        return f"{type(self).__name__}({self.base_dist}, {self.transforms})"


class _Named(TransformedDistribution):
    """A transformed distribution with parameters of its own."""

    def _expand_into(self, new, batch_shape):
        Distribution._expand_into(self, new, batch_shape)
        new.base_dist = self.base_dist.expand(
            (*batch_shape, *tuple(self.base_dist.batch_shape)[len(self._batch_shape) :])
        )
        new.transforms = self._transforms(new)

    @staticmethod
    def _transforms(self):
        """The transforms, from the parameters ``self`` has."""
        raise NotImplementedError


class LogNormal(_Named):
    """exp of a normal number with mean ``loc`` and standard deviation ``scale``."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, loc, scale, validate_args=None):
        super().__init__(Normal(loc, scale, validate_args=validate_args), ExpTransform(), validate_args=validate_args)

    def _expand_into(self, new, batch_shape):
        new.base_dist, new.transforms = self.base_dist.expand(batch_shape), self.transforms

    @property
    def loc(self):
        return self.base_dist.loc

    @property
    def scale(self):
        return self.base_dist.scale

    @property
    def mean(self):
        return ops.exp(self.loc + ops.square(self.scale) / 2)

    @property
    def mode(self):
        return ops.exp(self.loc - ops.square(self.scale))

    @property
    def variance(self):
        square = ops.square(self.scale)
        return ops.expm1(square) * ops.exp(2 * self.loc + square)

    def entropy(self):
        return self.base_dist.entropy() + self.loc

    def __repr__(self):
        return f"LogNormal({', '.join(f'{n}: {getattr(self, n).detach()}' for n in ('loc', 'scale'))})"


class _Half(TransformedDistribution):
    """|x| for x spread evenly to both sides of 0 with ``scale``."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    whole: type[Distribution]  # the distribution of x

    def __init__(self, scale, validate_args=None):
        super().__init__(self.whole(0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    @property
    def scale(self):
        return self.base_dist.scale

    def _check_parameters(self):
        self.base_dist._check_parameters()

    @property
    def mode(self):
        return ops.zeros_like(self.scale)

    def log_prob(self, value):
        log_prob = self.base_dist.log_prob(self._checked(value)) + math.log(2)
        return where(value >= 0, log_prob, full_like(log_prob, -math.inf))

    def cdf(self, value):
        return 2 * self.base_dist.cdf(self._checked(value)) - 1

    def icdf(self, prob):
        return self.base_dist.icdf((prob + 1) / 2)

    def entropy(self):
        return self.base_dist.entropy() - math.log(2)

    def __repr__(self):
        return f"{type(self).__name__}(scale: {self.scale.detach()})"


class HalfNormal(_Half):
    """|x| for normal x with mean 0 and standard deviation ``scale``."""

    whole = Normal

    @property
    def mean(self):
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self):
        return ops.square(self.scale) * (1 - 2 / math.pi)


class HalfCauchy(_Half):
    """|x| for Cauchy x around 0 with ``scale``."""

    whole = Cauchy

    @property
    def mean(self):
        return full_like(self.scale, math.inf)

    @property
    def variance(self):
        return self.base_dist.variance


class Gumbel(Distribution):
    """The distribution of the largest of many: exp(-exp(-(x - loc) / scale)) is its cdf."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc, scale, validate_args=None):
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def rsample(self, sample_shape=()):
        u = open_uniform_like(self.loc, self._extended_shape(sample_shape))
        return self.loc - self.scale * ops.log(-ops.log(u.clamp(max=1 - 2.0**-24)))

    def log_prob(self, value):
        y = (self.loc - self._checked(value)) / self.scale
        return y - ops.exp(y) - ops.log(self.scale)

    def cdf(self, value):
        return ops.exp(-ops.exp((self.loc - self._checked(value)) / self.scale))

    def icdf(self, value):
        return self.loc - self.scale * ops.log(-ops.log(value))

    @property
    def mean(self):
        return self.loc + self.scale * EULER

    @property
    def mode(self):
        return self.loc

    @property
    def stddev(self):
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self):
        return ops.square(self.stddev)

    def entropy(self):
        return ops.log(self.scale) + (1 + EULER)


class Pareto(_Named):
    """Values above ``scale`` whose tail falls as x ** -alpha."""

    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, scale, alpha, validate_args=None):
        self.scale, self.alpha = broadcast_all(scale, alpha)
        base = Exponential(self.alpha, validate_args=validate_args)
        super().__init__(base, self._transforms(self), validate_args=validate_args)

    @staticmethod
    def _transforms(self):
        return [ExpTransform(), AffineTransform(0, self.scale)]

    @constraints.dependent_property
    def support(self):
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self):
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self):
        return self.scale

    @property
    def variance(self):
        a = self.alpha.clamp(min=2)
        return ops.square(self.scale) * a / (ops.square(a - 1) * (a - 2))

    def entropy(self):
        return ops.log(self.scale / self.alpha) + (1 + ops.reciprocal(self.alpha))


class Weibull(_Named):
    """Life times: scale * e ** (1 / concentration) for e of the standard exponential distribution."""

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, scale, concentration, validate_args=None):
        self.scale, self.concentration = broadcast_all(scale, concentration)
        base = Exponential(ops.ones_like(self.scale), validate_args=validate_args)
        super().__init__(base, self._transforms(self), validate_args=validate_args)

    @staticmethod
    def _transforms(self):
        return [PowerTransform(ops.reciprocal(self.concentration)), AffineTransform(0, self.scale)]

    @property
    def concentration_reciprocal(self):
        return ops.reciprocal(self.concentration)

    @property
    def mean(self):
        return self.scale * ops.exp(ops.lgamma(1 + 1 / self.concentration))

    @property
    def mode(self):
        k = self.concentration
        return self.scale * ((k - 1) / k) ** (1 / k)

    @property
    def variance(self):
        r = 1 / self.concentration
        return ops.square(self.scale) * (ops.exp(ops.lgamma(1 + 2 * r)) - ops.exp(2 * ops.lgamma(1 + r)))

    def entropy(self):
        r = 1 / self.concentration
        return EULER * (1 - r) + ops.log(self.scale * r) + 1


class Kumaraswamy(_Named):
    """Beta's cousin with a closed cdf: 1 - (1 - x^concentration1)^concentration0."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1, concentration0, validate_args=None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        one = ops.ones_like(self.concentration1)
        super().__init__(
            Uniform(one * 0, one, validate_args=False), self._transforms(self), validate_args=validate_args
        )

    @staticmethod
    def _transforms(self):
        return [
            PowerTransform(ops.reciprocal(self.concentration0)),
            AffineTransform(1.0, -1.0),
            PowerTransform(ops.reciprocal(self.concentration1)),
        ]

    def _moment(self, n):
        a, b = self.concentration1, self.concentration0
        first = 1 + n / a
        return ops.exp(ops.lgamma(first) + ops.lgamma(b) - ops.lgamma(first + b)) * b

    @property
    def mean(self):
        return self._moment(1)

    @property
    def mode(self):
        a, b = self.concentration1, self.concentration0
        mode = ((a - 1) / (a * b - 1)) ** (1 / a)
        return where((a < 1) | (b < 1), full_like(mode, math.nan), mode)

    @property
    def variance(self):
        return self._moment(2) - ops.square(self.mean)

    def entropy(self):
        a, b = self.concentration1, self.concentration0
        harmonic = ops.digamma(b + 1) + EULER
        return (1 - 1 / b) + (1 - 1 / a) * harmonic - ops.log(a) - ops.log(b)


class LogisticNormal(TransformedDistribution):
    """Probabilities made from normal numbers by breaking a stick."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, loc, scale, validate_args=None):
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand((1,))
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    @property
    def loc(self):
        return self.base_dist.base_dist.loc

    @property
    def scale(self):
        return self.base_dist.base_dist.scale


class InverseGamma(_Named):
    """1 / x for x of the gamma distribution."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, concentration, rate, validate_args=None):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        base = Gamma(self.concentration, self.rate, validate_args=validate_args)
        super().__init__(base, self._transforms(self), validate_args=validate_args)

    @staticmethod
    def _transforms(self):
        return [PowerTransform(-1.0)]

    @property
    def mean(self):
        out = self.rate / (self.concentration - 1)
        return where(self.concentration > 1, out, full_like(out, math.inf))

    @property
    def mode(self):
        return self.rate / (self.concentration + 1)

    @property
    def variance(self):
        a = self.concentration
        out = ops.square(self.rate) / (ops.square(a - 1) * (a - 2))
        return where(a > 2, out, full_like(out, math.inf))

    def entropy(self):
        a = self.concentration
        return a + ops.log(self.rate) + ops.lgamma(a) - (1 + a) * ops.digamma(a)


class LogitRelaxedBernoulli(ProbsOrLogits, Distribution):
    """logit of ``RelaxedBernoulli``'s values."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        self._take(probs, logits)
        self.temperature = temperature
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        super().__init__(self._given.shape, validate_args=validate_args)

    def _expand_into(self, new, batch_shape):
        super()._expand_into(new, batch_shape)
        new.temperature = self.temperature

    def rsample(self, sample_shape=()):
        u = clamp_probs(open_uniform_like(self.probs, self._extended_shape(sample_shape)))
        p = clamp_probs(self.probs)
        return (ops.log(u) - ops.log1p(-u) + ops.log(p) - ops.log1p(-p)) / self.temperature

    def log_prob(self, value):
        (t,) = broadcast_all(self.temperature)
        t = ops.cast_like(t, self.logits)
        d = self.logits - self._checked(value) * t
        return ops.log(t) + d - 2 * ops.log1p(ops.exp(d))


class RelaxedBernoulli(TransformedDistribution):
    """Numbers in (0, 1) that tend to Bernoulli's as ``temperature`` falls (Maddison et al., Jang et al. 2017)."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    @property
    def temperature(self):
        return self.base_dist.temperature

    @property
    def probs(self):
        return self.base_dist.probs

    @property
    def logits(self):
        return self.base_dist.logits


class RelaxedOneHotCategorical(TransformedDistribution):
    """Probability vectors that tend to one-hot ones as ``temperature`` falls (Maddison et al., Jang et al. 2017)."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    @property
    def temperature(self):
        return self.base_dist.temperature

    @property
    def probs(self):
        return self.base_dist.probs

    @property
    def logits(self):
        return self.base_dist.logits


__all__ = [
    "Gumbel", "HalfCauchy", "HalfNormal", "Independent", "InverseGamma", "Kumaraswamy", "LogNormal", "LogisticNormal",
    "LogitRelaxedBernoulli", "MixtureSameFamily", "Pareto", "RelaxedBernoulli", "RelaxedOneHotCategorical",
    "TransformedDistribution", "Weibull",
]  # fmt: skip
