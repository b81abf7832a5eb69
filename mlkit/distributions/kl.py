"""Kullback-Leibler divergences in closed form, by the pair of types."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from mlkit.core.dispatch import ops
from mlkit.core.errors import MissingFeature, ValueRangeError
from mlkit.distributions import distribution
from mlkit.distributions.categorical import Categorical, OneHotCategorical
from mlkit.distributions.compound import (
    Gumbel,
    HalfNormal,
    Independent,
    LogNormal,
    Pareto,
    TransformedDistribution,
)
from mlkit.distributions.continuous import EULER, Cauchy, Laplace, Normal, Uniform, full_like, where
from mlkit.distributions.discrete import Bernoulli, Binomial, Geometric, Poisson
from mlkit.distributions.distribution import Distribution, sum_rightmost
from mlkit.distributions.gamma_family import Beta, Dirichlet, Exponential, Gamma
from mlkit.distributions.matrices import LowRankMultivariateNormal, Wishart
from mlkit.distributions.multivariate_normal import MultivariateNormal
from mlkit.distributions.on_intervals import ContinuousBernoulli
from mlkit.functional import products, solving

_REGISTRY: dict[tuple[type, type], Callable] = {}


def register_kl(type_p: type, type_q: type) -> Callable:
    """Decorator: the function computes KL(p || q) for these types and what derives from them.

    >>> from mlkit.distributions import Normal, kl_divergence
    >>> float(kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0)))
    0.5
    """
    for t in (type_p, type_q):
        if not (isinstance(t, type) and issubclass(t, Distribution)):
            raise ArgumentKind(f"Expected a Distribution subclass but got {t}")

    def register(fn: Callable) -> Callable:
        _REGISTRY[type_p, type_q] = fn
        _find.cache_clear()
        return fn

    return register


class ArgumentKind(ValueRangeError, TypeError):
    """Not a distribution type."""


@functools.cache  # keyed by the two types
def _find(type_p, type_q) -> Callable | None:
    """The function registered for the nearest ancestors of both types."""
    best, best_distance = None, math.inf
    for (p, q), fn in _REGISTRY.items():
        if issubclass(type_p, p) and issubclass(type_q, q):
            distance = type_p.__mro__.index(p) + type_q.__mro__.index(q)
            if distance < best_distance:
                best, best_distance = fn, distance
    return best


def kl_divergence(p: Distribution, q: Distribution):
    """KL(p || q), the mean under p of log p - log q: shape (*batch_shape)."""
    types: tuple[Any, Any] = (type(p), type(q))
    fn = _find(*types)
    if fn is None:
        raise MissingFeature(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}",
            hint="Register one with register_kl, or estimate it: (p.log_prob(x) - q.log_prob(x)).mean() for x from p.",
        )
    return fn(p, q)


def _infinite(x):
    return full_like(x, math.inf)


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = ops.square(p.scale / q.scale)
    return 0.5 * (ratio + ops.square((p.loc - q.loc) / q.scale) - 1 - ops.log(ratio))


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p, q):
    return _normal(p.base_dist, q.base_dist)


@register_kl(LogNormal, LogNormal)
def _log_normal(p, q):
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    ratio, d = p.scale / q.scale, ops.abs(p.loc - q.loc)
    return -ops.log(ratio) + d / q.scale + ratio * ops.exp(-d / p.scale) - 1


@register_kl(Cauchy, Cauchy)
def _cauchy(p, q):
    top = ops.square(p.scale + q.scale) + ops.square(p.loc - q.loc)
    return ops.log(top) - ops.log(4 * p.scale * q.scale)


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    ratio, d = p.scale / q.scale, (q.loc - p.loc) / q.scale
    return -ops.log(ratio) - d + ratio * EULER + ops.exp(d + ops.lgamma(1 + ratio)) - (1 + EULER)


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    out = ops.log((q.high - q.low) / (p.high - p.low))
    return where((q.low > p.low) | (q.high < p.high), _infinite(out), out)


@register_kl(Pareto, Pareto)
def _pareto(p, q):
    out = ops.log(p.alpha / q.alpha) + q.alpha * ops.log(p.scale / q.scale) + q.alpha / p.alpha - 1
    return where(p.scale < q.scale, _infinite(out), out)


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return ratio - ops.log(ratio) - 1


@register_kl(Gamma, Gamma)
def _gamma(p, q):
    a, b = p.concentration, q.concentration
    out = b * ops.log(p.rate / q.rate) + ops.lgamma(b) - ops.lgamma(a)
    return out + (a - b) * ops.digamma(a) + (q.rate - p.rate) * (a / p.rate)


@register_kl(Beta, Beta)
def _beta(p, q):
    total_p, total_q = p.concentration1 + p.concentration0, q.concentration1 + q.concentration0
    out = ops.lgamma(q.concentration1) + ops.lgamma(q.concentration0) + ops.lgamma(total_p)
    out = out - ops.lgamma(p.concentration1) - ops.lgamma(p.concentration0) - ops.lgamma(total_q)
    out = out + (p.concentration1 - q.concentration1) * ops.digamma(p.concentration1)
    out = out + (p.concentration0 - q.concentration0) * ops.digamma(p.concentration0)
    return out + (total_q - total_p) * ops.digamma(total_p)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p, q):
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    out = ops.lgamma(total) - ops.lgamma(b.sum(-1)) - (ops.lgamma(a) - ops.lgamma(b)).sum(-1)
    return out + ((a - b) * (ops.digamma(a) - ops.digamma(total).unsqueeze(-1))).sum(-1)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    one = p.probs * (ops.softplus(-q.logits) - ops.softplus(-p.logits))
    one = where(q.probs == 0, _infinite(one), one)
    one = where(p.probs == 0, ops.zeros_like(one), one)
    zero = (1 - p.probs) * (ops.softplus(q.logits) - ops.softplus(p.logits))
    zero = where(q.probs == 1, _infinite(zero), zero)
    zero = where(p.probs == 1, ops.zeros_like(zero), zero)
    return one + zero


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    if (p.total_count < q.total_count).any():
        raise MissingFeature("KL between Binomials where q.total_count > p.total_count is not implemented")
    out = p.total_count * (p.probs * (p.logits - q.logits) + ops.log1p(-p.probs) - ops.log1p(-q.probs))
    return where(p.total_count > q.total_count, _infinite(out), out)


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return -p.entropy() - ops.log1p(-q.probs) / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    return p.rate * (ops.log(p.rate) - ops.log(q.rate)) - (p.rate - q.rate)


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    term = p.probs * (p.logits - q.logits)
    term = where((q.probs == 0) & ops.isfinite(term * 0 + 1), _infinite(term), term)
    term = where((p.probs == 0) & (term == term), ops.zeros_like(term), term)
    return term.sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p, q):
    return _categorical(p._categorical, q._categorical)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p, q):
    if p.event_shape != q.event_shape:
        raise ValueRangeError(
            f"KL-divergence between MultivariateNormals of different sizes: {p.event_shape}, {q.event_shape}."
        )
    n = p.event_shape[0]
    L, M = p.scale_tril, q.scale_tril
    half_log = q._half_log_det() - p._half_log_det()
    shape = distribution.broadcast_shapes(p.batch_shape, q.batch_shape)
    L, M = ops.expand(L, shape=(*shape, n, n)), ops.expand(M, shape=(*shape, n, n))
    spread = ops.square(solving.solve_triangular(M, L, upper=False)).sum((-2, -1))
    d = (q.loc - p.loc).unsqueeze(-1)
    away = ops.square(solving.solve_triangular(M, d, upper=False)).sum((-2, -1))
    return half_log + 0.5 * (spread + away - n)


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise MissingFeature("KL between Independents of different reinterpreted_batch_ndims")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise MissingFeature("KL between distributions with different transforms")
    return kl_divergence(p.base_dist, q.base_dist)


# --- between families ------------------------------------------------------------------------------------------------------


@register_kl(Exponential, Gamma)
def _exponential_gamma(p, q):
    ratio = q.rate / p.rate
    a = q.concentration
    return -a * ops.log(ratio) + ratio + ops.lgamma(a) + a * EULER - (1 + EULER)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p, q):
    return -p.entropy() - ops.log(q.rate) + q.rate * p.concentration / p.rate


@register_kl(Exponential, Normal)
def _exponential_normal(p, q):
    square = ops.square(q.scale)
    second = ops.reciprocal(ops.square(p.rate)) - q.loc / p.rate + ops.square(q.loc) * 0.5
    return ops.log(p.rate) - 1 + 0.5 * ops.log(square * (2 * math.pi)) + second / square


@register_kl(Gamma, Normal)
def _gamma_normal(p, q):
    mean = p.concentration / p.rate
    square = ops.square(q.scale)
    second = 0.5 * (p.concentration / ops.square(p.rate) + ops.square(mean - q.loc))
    return -p.entropy() + 0.5 * ops.log(square * (2 * math.pi)) + second / square


@register_kl(Laplace, Normal)
def _laplace_normal(p, q):
    square = ops.square(q.scale)
    second = ops.square(p.scale) + 0.5 * ops.square(p.loc - q.loc)
    return -p.entropy() + 0.5 * ops.log(square * (2 * math.pi)) + second / square


@register_kl(Uniform, Normal)
def _uniform_normal(p, q):
    square = ops.square(q.scale)
    second = 0.5 * (p.variance + ops.square(p.mean - q.loc))
    return -p.entropy() + 0.5 * ops.log(square * (2 * math.pi)) + second / square


@register_kl(Gumbel, Normal)
def _gumbel_normal(p, q):
    square = ops.square(q.scale)
    second = 0.5 * (p.variance + ops.square(p.mean - q.loc))
    return -p.entropy() + 0.5 * ops.log(square * (2 * math.pi)) + second / square


@register_kl(Normal, Gumbel)
def _normal_gumbel(p, q):
    d, ratio = (p.loc - q.loc) / q.scale, p.scale / q.scale
    return ops.log(q.scale) + d + ops.exp(-d + 0.5 * ops.square(ratio)) - p.entropy()


@register_kl(Normal, Laplace)
def _normal_laplace(p, q):
    d = p.loc - q.loc
    z = d / p.scale
    size = math.sqrt(2 / math.pi) * p.scale * ops.exp(-0.5 * ops.square(z)) + d * ops.erf(z * math.sqrt(0.5))
    return -p.entropy() + ops.log(2 * q.scale) + size / q.scale


@register_kl(Uniform, Beta)
def _uniform_beta(p, q):
    width = p.high - p.low
    entropic = ops.xlogy(p.high, p.high) - ops.xlogy(p.low, p.low) - width
    other = ops.xlogy(1 - p.high, 1 - p.high) - ops.xlogy(1 - p.low, 1 - p.low) + width
    norm = ops.lgamma(q.concentration1) + ops.lgamma(q.concentration0) - ops.lgamma(q.concentration1 + q.concentration0)
    out = -ops.log(width) + norm - (q.concentration1 - 1) * entropic / width + (q.concentration0 - 1) * other / width
    return where((p.high > 1) | (p.low < 0), _infinite(out), out)


def _cross_normal(p, q):
    """The mean under p of -log q for a normal q."""
    square = ops.square(q.scale)
    return 0.5 * ops.log(square * (2 * math.pi)) + 0.5 * (p.variance + ops.square(p.mean - q.loc)) / square


def _cross_gamma(q, mean, mean_log):
    """The mean of -log q for a gamma q, from the mean of x and of log x."""
    a = q.concentration
    return ops.lgamma(a) - a * ops.log(q.rate) - (a - 1) * mean_log + q.rate * mean


def _mean_log_uniform(p):
    """The mean of log x over [low, high), low not below 0."""
    return (ops.xlogy(p.high, p.high) - ops.xlogy(p.low, p.low)) / (p.high - p.low) - 1


@register_kl(Uniform, Exponential)
def _uniform_exponential(p, q):
    out = q.rate * p.mean - ops.log((p.high - p.low) * q.rate)
    return where(p.low < 0, _infinite(out), out)


@register_kl(Uniform, Gamma)
def _uniform_gamma(p, q):
    out = -p.entropy() + _cross_gamma(q, p.mean, _mean_log_uniform(p))
    return where(p.low < 0, _infinite(out), out)


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p, q):
    high, low = (p.high - q.loc) / q.scale, (p.low - q.loc) / q.scale
    share = q.scale / (p.high - p.low)
    return ops.log(share) + 0.5 * (high + low) - share * (ops.exp(-high) - ops.exp(-low))


@register_kl(Uniform, Pareto)
def _uniform_pareto(p, q):
    out = (q.alpha + 1) * _mean_log_uniform(p) - ops.log(q.alpha) - q.alpha * ops.log(q.scale) - p.entropy()
    return where(p.low < q.scale, _infinite(out), out)


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p, q):
    along = p.rate * q.scale
    mean_exp = ops.exp(q.loc / q.scale) * along / (along + 1)
    return ops.log(along) - q.loc / q.scale + ops.reciprocal(along) + mean_exp - 1


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p, q):
    along = p.rate * q.scale
    shift = q.loc / q.scale
    mean_exp = ops.exp(shift - p.concentration * ops.log1p(ops.reciprocal(along)))
    return ops.log(q.scale) + p.concentration / along - shift + mean_exp - p.entropy()


@register_kl(Beta, Normal)
def _beta_normal(p, q):
    return _cross_normal(p, q) - p.entropy()


@register_kl(Beta, Uniform)
def _beta_uniform(p, q):
    out = ops.log(q.high - q.low) - p.entropy()
    return where((q.low > 0) | (q.high < 1), _infinite(out), out)


@register_kl(Beta, Exponential)
def _beta_exponential(p, q):
    return q.rate * p.mean - ops.log(q.rate) - p.entropy()


@register_kl(Beta, Gamma)
def _beta_gamma(p, q):
    a, b = p.concentration1, p.concentration0
    return _cross_gamma(q, p.mean, ops.digamma(a) - ops.digamma(a + b)) - p.entropy()


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p, q):
    return q.rate - p.probs * ops.log(q.rate) - p.entropy()


@register_kl(Pareto, Normal)
def _pareto_normal(p, q):
    out = _cross_normal(p, q) - p.entropy()
    return where(p.alpha <= 2, _infinite(out), out)


@register_kl(Pareto, Exponential)
def _pareto_exponential(p, q):
    out = q.rate * p.mean - ops.log(q.rate) - p.entropy()
    return where(p.alpha <= 1, _infinite(out), out)


@register_kl(Pareto, Gamma)
def _pareto_gamma(p, q):
    out = _cross_gamma(q, p.mean, ops.log(p.scale) + ops.reciprocal(p.alpha)) - p.entropy()
    return where(p.alpha <= 1, _infinite(out), out)


def _never(p_type: type, q_type: type) -> None:
    """q has no weight where p has some."""

    @register_kl(p_type, q_type)
    def _(p, q):
        return _infinite(p.mean + q.mean if p_type is not Cauchy else p.loc + q.mean)


for _p, _q in [
    (Normal, Exponential), (Normal, Gamma), (Normal, Beta), (Normal, Uniform), (Normal, Pareto),
    (Laplace, Exponential), (Laplace, Gamma), (Laplace, Beta), (Laplace, Uniform), (Laplace, Pareto),
    (Gumbel, Exponential), (Gumbel, Gamma), (Gumbel, Beta), (Gumbel, Uniform), (Gumbel, Pareto),
    (Exponential, Beta), (Exponential, Pareto), (Exponential, Uniform),
    (Gamma, Beta), (Gamma, Pareto), (Gamma, Uniform), (Pareto, Beta), (Pareto, Uniform), (Beta, Pareto),
    (Poisson, Bernoulli), (Poisson, Binomial),
]:  # fmt: skip
    _never(_p, _q)


# --- normal vectors of low rank, matrices ---------------------------------------------------------------------------------


def _written_out(x):
    return x.dense() if isinstance(x, LowRankMultivariateNormal) else x


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _low_rank(p, q):
    return _multivariate_normal(_written_out(p), _written_out(q))


@register_kl(Wishart, Wishart)
def _wishart(p, q):
    if p.event_shape != q.event_shape:
        raise ValueRangeError(f"KL-divergence between Wisharts of different sizes: {p.event_shape}, {q.event_shape}.")
    n = p.event_shape[-1]
    log_det = 2 * ops.log(ops.diagonal(p.scale_tril, dim1=-2, dim2=-1)).sum(-1)
    log_det = log_det + n * math.log(2.0) + p._sum_of_digammas()
    ratio = ops.diagonal(products.matmul(q.precision_matrix, p.covariance_matrix), dim1=-2, dim2=-1).sum(-1)
    return -p.entropy() + q._log_volume() - (q.df - n - 1) / 2 * log_det + p.df * ratio / 2


# --- the continuous Bernoulli ----------------------------------------------------------------------------------------------


def _against_continuous_bernoulli(p, q):
    """The mean of -log q under p."""
    return -p.mean * q.logits - ops.log1p(-q.probs) - q._log_normalizer()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
@register_kl(Beta, ContinuousBernoulli)
def _to_continuous_bernoulli(p, q):
    return -p.entropy() + _against_continuous_bernoulli(p, q)


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_continuous_bernoulli(p, q):
    out = _to_continuous_bernoulli(p, q)
    return where((p.high >= 1) | (p.low <= 0), _infinite(out), out)


@register_kl(ContinuousBernoulli, Exponential)
def _continuous_bernoulli_exponential(p, q):
    return -p.entropy() - ops.log(q.rate) + q.rate * p.mean


@register_kl(ContinuousBernoulli, Normal)
def _continuous_bernoulli_normal(p, q):
    spread = p.variance + ops.square(p.mean - q.loc)
    return -p.entropy() + 0.5 * math.log(2 * math.pi) + ops.log(q.scale) + spread / (2 * ops.square(q.scale))


@register_kl(ContinuousBernoulli, Uniform)
def _continuous_bernoulli_uniform(p, q):
    out = -p.entropy() + ops.log(q.high - q.low)
    return where((q.low >= 0) | (q.high <= 1), _infinite(out), out)


@register_kl(ContinuousBernoulli, Pareto)
def _continuous_bernoulli_pareto(p, q):
    return _infinite(p.mean + q.scale)


def _beyond_the_unit_interval(p, q):
    return _infinite(q.probs + (p.rate if hasattr(p, "rate") else p.scale))


for _kind in (Exponential, Gamma, Gumbel, Laplace, Normal, Pareto):
    register_kl(_kind, ContinuousBernoulli)(_beyond_the_unit_interval)
