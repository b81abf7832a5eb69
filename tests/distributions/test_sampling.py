"""Draws have the distribution they should, and their gradients are those of the expectations."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mlkit
from mlkit import distributions as D

N = 40_000


def t(*values):
    return mlkit.tensor(values, dtype=mlkit.float64)


MAKE = {
    "Bernoulli": lambda: D.Bernoulli(t(0.2, 0.7)),
    "Beta": lambda: D.Beta(t(0.5, 3.0), t(2.0, 1.5)),
    "Binomial": lambda: D.Binomial(10, t(0.2, 0.7)),
    "Chi2": lambda: D.Chi2(t(1.0, 5.0)),
    "Dirichlet": lambda: D.Dirichlet(t(0.3, 1.0, 4.0)),
    "Exponential": lambda: D.Exponential(t(0.5, 3.0)),
    "FisherSnedecor": lambda: D.FisherSnedecor(t(3.0, 8.0), t(15.0, 30.0)),
    "Gamma": lambda: D.Gamma(t(0.3, 1.0, 30.0), t(1.0, 2.0, 3.0)),
    "Geometric": lambda: D.Geometric(t(0.2, 0.7)),
    "Gumbel": lambda: D.Gumbel(t(0.5, -1.0), t(1.0, 2.0)),
    "HalfNormal": lambda: D.HalfNormal(t(0.5, 2.0)),
    "Independent": lambda: D.Independent(D.Normal(t(1.0, 2.0), t(1.0, 0.5)), 1),
    "InverseGamma": lambda: D.InverseGamma(t(6.0), t(2.0)),
    "Kumaraswamy": lambda: D.Kumaraswamy(t(2.0, 0.7), t(3.0, 1.5)),
    "Laplace": lambda: D.Laplace(t(0.5, -1.0), t(1.0, 2.0)),
    "LogNormal": lambda: D.LogNormal(t(0.5, -1.0), t(0.3, 0.5)),
    "MixtureSameFamily": lambda: D.MixtureSameFamily(D.Categorical(t(0.3, 0.7)), D.Normal(t(-1.0, 2.0), t(0.5, 1.0))),
    "Multinomial": lambda: D.Multinomial(7, t(0.2, 0.3, 0.5)),
    "MultivariateNormal": lambda: D.MultivariateNormal(t(1.0, 2.0), t(2.0, 0.5, 0.5, 1.0).reshape(2, 2)),
    "NegativeBinomial": lambda: D.NegativeBinomial(t(3.0, 0.7), t(0.2, 0.6)),
    "Normal": lambda: D.Normal(t(0.5, -1.0), t(1.0, 2.0)),
    "OneHotCategorical": lambda: D.OneHotCategorical(t(0.2, 0.3, 0.5)),
    "Pareto": lambda: D.Pareto(t(1.0, 2.0), t(6.0, 9.0)),
    "Poisson": lambda: D.Poisson(t(0.3, 4.0, 60.0)),
    "StudentT": lambda: D.StudentT(t(9.0, 15.0), t(1.0, 0.0), t(1.0, 2.0)),
    "Uniform": lambda: D.Uniform(t(0.5, -1.0), t(1.0, 2.0)),
    "Weibull": lambda: D.Weibull(t(1.0, 2.0), t(1.5, 3.0)),
}


@pytest.mark.parametrize("name", MAKE)
def test_moments(name):
    mlkit.manual_seed(1)
    d = MAKE[name]()
    x = d.sample((N,))
    assert x.shape == (N, *d.batch_shape, *d.event_shape)
    assert x.dtype == mlkit.float64
    assert not x.requires_grad
    d._validate_sample(x)
    x = x.numpy()
    mean, variance = d.mean.numpy(), d.variance.numpy()
    error = np.sqrt(variance / N)
    assert (np.abs(x.mean(0) - mean) < 6 * error).all()
    fourth = ((x - mean) ** 4).mean(0)
    assert (np.abs(x.var(0) - variance) < 8 * np.sqrt(fourth / N)).all()


@pytest.mark.parametrize("name", [n for n in MAKE if n != "MixtureSameFamily"])
def test_cdf_of_draws_is_uniform(name):
    d = MAKE[name]()
    if len(d.event_shape) or not d.has_rsample:
        pytest.skip("discrete, or a vector")
    mlkit.manual_seed(2)
    x = d.sample((4000,))
    try:
        u = np.sort(d.cdf(x).numpy(), axis=0)
    except NotImplementedError:
        pytest.skip("no cdf in closed form")
    grid = (np.arange(4000) + 0.5).reshape(-1, *[1] * (u.ndim - 1)) / 4000
    assert np.abs(u - grid).max() < 1.95 / math.sqrt(4000)  # Kolmogorov: one run in a thousand is above


@pytest.mark.parametrize("dtype", [mlkit.float32, mlkit.float64])
def test_heavy_tails_stay_finite(dtype):
    mlkit.manual_seed(3)
    zero, one = mlkit.zeros(1, dtype=dtype), mlkit.ones(1, dtype=dtype)
    for d in (D.Cauchy(zero, one), D.HalfCauchy(one), D.Gumbel(zero, one), D.Laplace(zero, one), D.StudentT(one * 0.5)):
        x = d.rsample((100_000,))
        assert x.dtype == dtype
        assert x.isfinite().all()


def test_cauchy_quartiles():
    mlkit.manual_seed(4)
    x = np.quantile(D.Cauchy(t(1.0), t(2.0)).sample((N,)).numpy(), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(x, [-1.0, 1.0, 3.0], atol=0.12)


@pytest.mark.parametrize("concentration", [0.1, 1.0, 5.0, 200.0])
def test_von_mises(concentration):
    mlkit.manual_seed(5)
    d = D.VonMises(t(2.5), t(concentration))
    x = d.sample((N,)).numpy()
    assert (np.abs(x) <= math.pi).all()
    ratio = 1 - d.variance.numpy()
    np.testing.assert_allclose(np.cos(x - 2.5).mean(0), ratio, atol=5 / math.sqrt(N))
    np.testing.assert_allclose(np.sin(x - 2.5).mean(0), 0, atol=5 / math.sqrt(N))
    grid = mlkit.linspace(-math.pi, math.pi, 20001, dtype=mlkit.float64)
    assert float(d.log_prob(grid).exp().mean() * 2 * math.pi) == pytest.approx(1, abs=1e-3)


def test_categorical_counts():
    mlkit.manual_seed(6)
    p = t(0.1, 0.0, 0.4, 0.5, 0.0)
    x = D.Categorical(p).sample((N,))
    assert x.dtype == mlkit.int64
    counts = np.bincount(x.numpy(), minlength=5)
    assert counts[1] == counts[4] == 0
    assert (np.abs(counts / N - p.numpy()) < 5 * np.sqrt(p.numpy() / N) + 1e-12).all()


@pytest.mark.parametrize("a", [0.05, 0.5, 1.0, 3.0, 40.0, 1000.0])
def test_gamma_draws_carry_the_gradient_of_the_mean(a):
    """d E[x] / da = 1, d E[x^2] / da = 2 a + 1, d E[log x] / da = trigamma(a)."""
    mlkit.manual_seed(7)
    concentration = t(a).requires_grad_()
    x = D.Gamma(concentration, t(1.0)).rsample((N,))
    each = mlkit.autograd.grad(x.sum(), concentration, retain_graph=True)[0]
    assert float(each) / N == pytest.approx(1.0, rel=0.08 if a < 0.3 else 0.03)
    square = mlkit.autograd.grad((x**2).sum(), concentration, retain_graph=True)[0]
    assert float(square) / N == pytest.approx(2 * a + 1, rel=0.25 if a < 0.3 else 0.06)
    log = mlkit.autograd.grad(x.log().sum(), concentration)[0]
    assert float(log) / N == pytest.approx(float(mlkit.special.polygamma(1, t(a))), rel=0.05)


@pytest.mark.parametrize(
    "make, f",
    [
        (lambda p: D.Normal(p[0], p[1].exp()), lambda d: d.mean**2 + d.variance),
        (lambda p: D.Beta(p[0].exp(), p[1].exp()), lambda d: d.mean**2 + d.variance),
        (lambda p: D.StudentT(p[0].exp() + 12, p[1], p[0].exp()), lambda d: d.mean**2 + d.variance),
        (lambda p: D.Gamma(p[0].exp(), p[1].exp()), lambda d: d.mean**2 + d.variance),
        (lambda p: D.Weibull(p[0].exp(), p[1].exp() + 1), lambda d: d.mean**2 + d.variance),
        (lambda p: D.LogNormal(p[0], p[1].sigmoid() * 0.5), lambda d: d.mean**2 + d.variance),
        (lambda p: D.Laplace(p[0], p[1].exp()), lambda d: d.mean**2 + d.variance),
    ],
    ids=["Normal", "Beta", "StudentT", "Gamma", "Weibull", "LogNormal", "Laplace"],
)
def test_rsample_gradient_is_that_of_the_second_moment(make, f):
    mlkit.manual_seed(8)
    p = t(0.3, 0.6).requires_grad_()
    (exact,) = mlkit.autograd.grad(f(make(p)).sum(), p)
    (seen,) = mlkit.autograd.grad((make(p).rsample((10 * N,)) ** 2).mean(), p)
    np.testing.assert_allclose(seen.numpy(), exact.numpy(), rtol=0.05, atol=0.02)


def test_dirichlet_rsample_gradient():
    mlkit.manual_seed(9)
    a = t(0.4, 1.0, 3.0).requires_grad_()
    x = D.Dirichlet(a).rsample((N,))
    np.testing.assert_allclose(x.sum(-1).detach().numpy(), 1, rtol=1e-12)
    weights = t(1.0, -2.0, 0.5)
    (seen,) = mlkit.autograd.grad((x * weights).sum(-1).mean(), a)
    (exact,) = mlkit.autograd.grad((D.Dirichlet(a).mean * weights).sum(), a)
    np.testing.assert_allclose(seen.numpy(), exact.numpy(), atol=0.02)


def test_small_dirichlet_concentrations_do_not_vanish():
    mlkit.manual_seed(10)
    x = D.Dirichlet(mlkit.full((4,), 1e-3)).sample((1000,))
    assert x.isfinite().all()
    np.testing.assert_allclose(x.sum(-1).numpy(), 1, rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_relaxed_draws_lie_in_their_support_and_carry_gradients(temperature):
    mlkit.manual_seed(11)
    logits = t(0.3, -0.2, 1.0).requires_grad_()
    one_hot = D.RelaxedOneHotCategorical(t(temperature), logits=logits)
    x = one_hot.rsample((100,))
    one_hot.log_prob(x).sum().backward()
    assert logits.grad is not None
    chosen = one_hot.sample((N,)).argmax(-1)
    counts = np.bincount(chosen.numpy(), minlength=3) / N
    np.testing.assert_allclose(counts, one_hot.probs.detach().numpy(), atol=0.015)
    bit = D.RelaxedBernoulli(t(temperature), logits=logits.detach())
    x = bit.rsample((N,))
    assert ((x >= 0) & (x <= 1)).all()
    np.testing.assert_allclose((x > 0.5).double().mean(0).numpy(), bit.probs.numpy(), atol=0.015)


def test_straight_through():
    logits = t(0.3, -0.2, 1.0).requires_grad_()
    d = D.OneHotCategoricalStraightThrough(logits=logits)
    x = d.rsample()
    assert sorted(x.detach().round().tolist()) == [0, 0, 1]
    (x * t(1.0, 2.0, 3.0)).sum().backward()
    assert logits.grad.abs().sum() > 0


def test_divergences_agree_with_draws():
    mlkit.manual_seed(12)
    pairs = [
        (D.Gamma(t(2.0), t(1.0)), D.Gamma(t(3.0), t(2.0))),
        (D.Beta(t(2.0), t(1.0)), D.Beta(t(3.0), t(2.0))),
        (D.Gumbel(t(0.0), t(1.0)), D.Gumbel(t(0.5), t(1.5))),
        (D.Normal(t(0.0), t(1.0)), D.Gumbel(t(0.5), t(1.5))),
        (D.Uniform(t(0.2), t(0.9)), D.Beta(t(2.0), t(3.0))),
        (D.Poisson(t(2.0)), D.Poisson(t(3.0))),
        (D.Geometric(t(0.4)), D.Geometric(t(0.3))),
        (D.Exponential(t(2.0)), D.Gamma(t(2.0), t(3.0))),
    ]
    for p, q in pairs:
        x = p.sample((N,))
        ratio = (p.log_prob(x) - q.log_prob(x)).numpy()
        exact = float(D.kl_divergence(p, q))
        assert abs(ratio.mean() - exact) < 6 * ratio.std() / math.sqrt(N), (p, q)
        assert exact >= 0


def test_register_kl_finds_the_nearest_type():
    class Mine(D.Normal):
        pass

    @D.register_kl(Mine, D.Normal)
    def _(p, q):
        return mlkit.tensor(-1.0)

    assert float(D.kl_divergence(Mine(0.0, 1.0), D.Normal(0.0, 1.0))) == -1
    assert float(D.kl_divergence(D.Normal(0.0, 1.0), Mine(0.0, 1.0))) == 0
    with pytest.raises(NotImplementedError, match="VonMises"):
        D.kl_divergence(D.VonMises(0.0, 1.0), D.Normal(0.0, 1.0))


def test_seeds_repeat_and_calls_differ():
    for draw in (lambda: mlkit.poisson(mlkit.ones(50) * 9), lambda: D.Gamma(2.0, 1.0).sample((50,))):
        mlkit.manual_seed(0)
        first, second = draw(), draw()
        mlkit.manual_seed(0)
        assert mlkit.equal(draw(), first)
        assert not mlkit.equal(first, second)


def test_validation_says_what_came_and_can_be_switched_off():
    with pytest.raises(ValueError, match=r"parameter scale .*shape \(2,\).*GreaterThan\(lower_bound=0.0\)"):
        D.Normal(0.0, t(1.0, -1.0))
    D.Normal(0.0, t(1.0, -1.0), validate_args=False)
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(0.0, -1.0)
    finally:
        D.Distribution.set_default_validate_args(True)


def test_expand_shares_memory():
    d = D.Normal(t(1.0, 2.0), 1.0).expand((3, 2))
    assert d.batch_shape == (3, 2)
    assert d.sample((4,)).shape == (4, 3, 2)
    assert np.shares_memory(d.loc.numpy(), d.expand((5, 3, 2)).loc.numpy())


def test_pytorchs_names():
    names = """Bernoulli Beta Binomial Categorical Cauchy Chi2 Dirichlet Distribution Exponential ExponentialFamily
    FisherSnedecor Gamma Geometric Gumbel HalfCauchy HalfNormal Independent InverseGamma Kumaraswamy Laplace LogNormal
    LogisticNormal MixtureSameFamily Multinomial MultivariateNormal NegativeBinomial Normal OneHotCategorical
    OneHotCategoricalStraightThrough Pareto Poisson RelaxedBernoulli RelaxedOneHotCategorical StudentT
    TransformedDistribution Uniform VonMises Weibull biject_to constraints kl_divergence register_kl transform_to
    transforms AbsTransform AffineTransform CatTransform ComposeTransform CorrCholeskyTransform
    CumulativeDistributionTransform ExpTransform IndependentTransform LowerCholeskyTransform PositiveDefiniteTransform
    PowerTransform ReshapeTransform SigmoidTransform SoftmaxTransform SoftplusTransform StackTransform
    StickBreakingTransform TanhTransform Transform identity_transform""".split()
    assert [n for n in names if not hasattr(D, n)] == []


MATRICES = {
    "LKJCholesky": lambda: D.LKJCholesky(3, t(0.7, 4.0)),
    "LowRankMultivariateNormal": lambda: D.LowRankMultivariateNormal(
        t(1.0, 2.0), t(1.0, -0.5).reshape(2, 1), t(0.5, 1.0)
    ),
    "Wishart": lambda: D.Wishart(t(4.5), t(2.0, 0.5, 0.5, 1.0).reshape(2, 2)),
    "ContinuousBernoulli": lambda: D.ContinuousBernoulli(t(0.1, 0.5, 0.8)),
    "GeneralizedPareto": lambda: D.GeneralizedPareto(t(1.0, 0.0, 2.0), t(1.0, 2.0, 0.5), t(0.1, 0.0, -0.5)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_draws_of_matrices_and_of_intervals(name):
    mlkit.manual_seed(3)
    d = MATRICES[name]()
    x = d.sample((20_000,))
    assert x.shape == (20_000, *d.batch_shape, *d.event_shape) and bool(d.support.check(x).all())
    if name == "LKJCholesky":  # a correlation is Beta(c + dim / 2 - 1) on (-1, 1): its variance is 1 / (2 c + dim - 1)
        correlation = (x @ x.mT)[..., 1, 0].numpy()
        np.testing.assert_allclose(correlation.mean(0), 0.0, atol=0.03)
        np.testing.assert_allclose(correlation.var(0), 1 / (2 * d.concentration.numpy() + 2), rtol=0.06)
        return
    np.testing.assert_allclose(x.mean(0).numpy(), d.mean.numpy(), rtol=0.05, atol=0.03)
    np.testing.assert_allclose(x.var(0).numpy(), d.variance.numpy(), rtol=0.12, atol=0.02)
    if name == "LowRankMultivariateNormal":
        np.testing.assert_allclose(np.cov(x.numpy().T), d.covariance_matrix.numpy(), atol=0.06)


@pytest.mark.parametrize("name", [n for n in MATRICES if n != "LKJCholesky"])
def test_draws_carry_gradients(name):
    d = MATRICES[name]()
    parameter = next(v for k, v in vars(d).items() if k in d.arg_constraints)
    assert d.has_rsample and parameter.is_leaf
    given = {k: v.clone().requires_grad_() for k, v in vars(d).items() if k in d.arg_constraints}
    again = type(d)(**given)
    again.rsample((3,)).sum().backward()
    assert all(v.grad is not None and bool(v.grad.isfinite().all()) for v in given.values())


def test_divergence_of_wisharts_is_the_mean_log_ratio():
    mlkit.manual_seed(0)
    p, q = D.Wishart(t(5.0), mlkit.eye(2, dtype=mlkit.float64)), D.Wishart(t(4.0), t(2.0, 0.5, 0.5, 1.0).reshape(2, 2))
    x = p.sample((20_000,))
    estimate = (p.log_prob(x) - q.log_prob(x)).mean(0)
    np.testing.assert_allclose(D.kl_divergence(p, q).numpy(), estimate.numpy(), rtol=0.05)
    assert abs(float(D.kl_divergence(p, p).sum())) < 1e-9
