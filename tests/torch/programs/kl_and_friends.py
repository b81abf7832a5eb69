# Distributions: divergences of every pair that has one, moments, densities, supports, and what they refuse.
import torch
from torch import distributions as D
from torch.distributions import kl_divergence, constraints
from reproducible import attempt


t = torch.tensor
a, b = t([0.5, 2.0]), t([1.5, 0.7])
M = t([[2.0, 0.3], [0.3, 1.0]])
ALL = {
    "Bernoulli": (D.Bernoulli(t([0.2, 0.9])), D.Bernoulli(logits=t([0.5, -1.0]))),
    "Beta": (D.Beta(a, b), D.Beta(b, a)),
    "Binomial": (D.Binomial(5, t([0.2, 0.9])), D.Binomial(5, t([0.3, 0.5]))),
    "Categorical": (D.Categorical(t([[0.2, 0.8], [0.5, 0.5]])), D.Categorical(logits=t([[0.0, 1.0], [2.0, -1.0]]))),
    "Cauchy": (D.Cauchy(a, b), D.Cauchy(b, a)),
    "Chi2": (D.Chi2(a), D.Chi2(b)),
    "ContinuousBernoulli": (D.ContinuousBernoulli(t([0.2, 0.9])), D.ContinuousBernoulli(t([0.4, 0.6]))),
    "Dirichlet": (D.Dirichlet(t([0.5, 2.0, 1.0])), D.Dirichlet(t([1.0, 1.0, 3.0]))),
    "Exponential": (D.Exponential(a), D.Exponential(b)),
    "FisherSnedecor": (D.FisherSnedecor(a + 4, b + 5), D.FisherSnedecor(b + 4, a + 5)),
    "Gamma": (D.Gamma(a, b), D.Gamma(b, a)),
    "GeneralizedPareto": (D.GeneralizedPareto(a, b, t(0.2)), D.GeneralizedPareto(b, a, t(0.1)))
    if hasattr(D, "GeneralizedPareto")
    else None,
    "Geometric": (D.Geometric(t([0.2, 0.9])), D.Geometric(t([0.5, 0.4]))),
    "Gumbel": (D.Gumbel(a, b), D.Gumbel(b, a)),
    "HalfCauchy": (D.HalfCauchy(a), D.HalfCauchy(b)),
    "HalfNormal": (D.HalfNormal(a), D.HalfNormal(b)),
    "InverseGamma": (D.InverseGamma(a + 3, b), D.InverseGamma(b + 3, a)),
    "Kumaraswamy": (D.Kumaraswamy(a, b), D.Kumaraswamy(b, a)),
    "Laplace": (D.Laplace(a, b), D.Laplace(b, a)),
    "LogNormal": (D.LogNormal(a, b), D.LogNormal(b, a)),
    "LogisticNormal": (D.LogisticNormal(a, b), D.LogisticNormal(b, a)),
    "LowRank": (
        D.LowRankMultivariateNormal(a, t([[1.0], [0.5]]), b),
        D.LowRankMultivariateNormal(b, t([[0.2], [1.0]]), a),
    ),
    "MultivariateNormal": (D.MultivariateNormal(a, M), D.MultivariateNormal(b, precision_matrix=M)),
    "Multinomial": (D.Multinomial(4, t([0.2, 0.3, 0.5])), D.Multinomial(4, logits=t([0.0, 1.0, 2.0]))),
    "NegativeBinomial": (D.NegativeBinomial(3, t([0.2, 0.6])), D.NegativeBinomial(t([2.0, 4.0]), logits=a)),
    "Normal": (D.Normal(a, b), D.Normal(b, a)),
    "OneHot": (D.OneHotCategorical(t([0.2, 0.3, 0.5])), D.OneHotCategorical(logits=t([0.0, 1.0, 2.0]))),
    "Pareto": (D.Pareto(a, b + 3), D.Pareto(a / 2, a + 3)),
    "Poisson": (D.Poisson(a), D.Poisson(b)),
    "RelaxedBernoulli": (D.RelaxedBernoulli(t(0.7), t([0.2, 0.9])), D.RelaxedBernoulli(t(0.5), t([0.2, 0.3]))),
    "StudentT": (D.StudentT(a + 4, a, b), D.StudentT(b + 4, b, a)),
    "Uniform": (D.Uniform(a, a + b), D.Uniform(a - 1, a + 3)),
    "VonMises": (D.VonMises(a, b), D.VonMises(b, a)),
    "Weibull": (D.Weibull(a, b), D.Weibull(b, a)),
    "Wishart": (D.Wishart(t(4.0), M), D.Wishart(t(5.0), M * 2)),
    "Independent": (D.Independent(D.Normal(a, b), 1), D.Independent(D.Normal(b, a), 1)),
    "Mixture": (
        D.MixtureSameFamily(D.Categorical(t([0.3, 0.7])), D.Normal(a, b)),
        D.MixtureSameFamily(D.Categorical(t([0.5, 0.5])), D.Normal(b, a)),
    ),
    "Transformed": (
        D.TransformedDistribution(D.Normal(a, b), [D.AffineTransform(1.0, 2.0), D.TanhTransform()]),
        D.TransformedDistribution(D.Normal(b, a), [D.AffineTransform(1.0, 2.0), D.TanhTransform()]),
    ),
}
AT = {
    "Categorical": t([1.0, 0.0]),
    "Bernoulli": t([1.0, 0.0]),
    "Binomial": t([2.0, 5.0]),
    "Geometric": t([0.0, 3.0]),
    "Poisson": t([0.0, 3.0]),
    "NegativeBinomial": t([0.0, 3.0]),
    "Dirichlet": t([0.2, 0.3, 0.5]),
    "OneHot": t([0.0, 1.0, 0.0]),
    "Multinomial": t([1.0, 0.0, 3.0]),
    "LogisticNormal": t([0.2, 0.3, 0.5]),
    "Wishart": M,
    "Pareto": t([0.8, 2.5]),
    "Uniform": t([0.6, 2.1]),
}
for name, pair in ALL.items():
    if pair is None:
        continue
    p, q = pair
    at = AT.get(name, t([0.3, 0.6]))
    print(name, p.batch_shape, p.event_shape, p.has_rsample, p.support, sorted(p.arg_constraints))
    attempt(" repr", lambda: repr(p).split("(")[0])
    attempt(" log_prob", lambda: p.log_prob(at))
    attempt(" entropy", lambda: p.entropy())
    attempt(" mean", lambda: p.mean)
    attempt(" mode", lambda: p.mode)
    attempt(" variance", lambda: p.variance)
    attempt(" stddev", lambda: p.stddev)
    attempt(" cdf", lambda: p.cdf(at))
    attempt(" icdf", lambda: p.icdf(t([0.3, 0.6])))
    attempt(" kl", lambda: kl_divergence(p, q).detach())
    attempt(" kl back", lambda: kl_divergence(q, p).detach())
    attempt(" expand", lambda: p.expand((3, *p.batch_shape)).log_prob(at).shape)
    attempt(" sample", lambda: (p.sample((2, 3)).shape, p.sample().dtype, bool(p.support.check(p.sample((50,))).all())))
    attempt(" outside", lambda: p.log_prob(at * 0 - 100.5))
    attempt(" enumerate", lambda: p.enumerate_support().shape)
MIX = [
    ("Normal", "Laplace"),
    ("Normal", "Gumbel"),
    ("Uniform", "Normal"),
    ("Uniform", "Beta"),
    ("Beta", "Uniform"),
    ("Beta", "Normal"),
    ("Exponential", "Gamma"),
    ("Exponential", "Normal"),
    ("Exponential", "Beta"),
    ("Gamma", "Exponential"),
    ("Gamma", "Gumbel"),
    ("Gamma", "Normal"),
    ("Gumbel", "Normal"),
    ("Laplace", "Normal"),
    ("Pareto", "Exponential"),
    ("Pareto", "Gamma"),
    ("Pareto", "Normal"),
    ("Poisson", "Bernoulli"),
    ("Bernoulli", "Poisson"),
    ("Poisson", "Binomial"),
    ("Uniform", "Exponential"),
    ("Uniform", "Gamma"),
    ("Uniform", "Gumbel"),
    ("Uniform", "Pareto"),
    ("ContinuousBernoulli", "Uniform"),
    ("ContinuousBernoulli", "Normal"),
    ("ContinuousBernoulli", "Pareto"),
    ("Uniform", "ContinuousBernoulli"),
    ("MultivariateNormal", "LowRank"),
    ("LowRank", "MultivariateNormal"),
    ("Normal", "Poisson"),
    ("Chi2", "Gamma"),
    ("HalfNormal", "Normal"),
    ("Geometric", "Poisson"),
]
for left, right in MIX:
    attempt(f"kl {left} {right}", lambda: kl_divergence(ALL[left][0], ALL[right][1]))
for name, fn in {
    "negative scale": lambda: D.Normal(0.0, -1.0),
    "probs above": lambda: D.Bernoulli(t(1.5)),
    "both": lambda: D.Bernoulli(probs=t(0.5), logits=t(0.0)),
    "neither": lambda: D.Categorical(),
    "0-d categorical": lambda: D.Categorical(t(0.5)),
    "not positive": lambda: D.MultivariateNormal(a, -M),
    "no validate": lambda: D.Normal(t(0.0), t(-1.0), validate_args=False).scale,
    "shape": lambda: D.Normal(torch.zeros(2), torch.ones(3)),
    "value shape": lambda: D.MultivariateNormal(a, M).log_prob(torch.zeros(3)),
    "broadcast value": lambda: D.Normal(a, b).log_prob(torch.zeros(3)),
    "integer total": lambda: D.Binomial(t([3, 4]), t([0.5, 0.5])).log_prob(t([1.0, 2.0])),
    "independent too many": lambda: D.Independent(D.Normal(a, b), 2),
    "transform": lambda: D.transform_to(constraints.positive)(t([-1.0, 0.0, 1.0])),
    "biject": lambda: D.biject_to(constraints.simplex)(t([-1.0, 0.0])),
    "biject interval": lambda: D.biject_to(constraints.interval(1.0, 3.0)).inv(t([1.5, 2.5])),
    "lower cholesky": lambda: D.transform_to(constraints.lower_cholesky)(t([[1.0, 2.0], [3.0, -1.0]])),
    "corr": lambda: D.transform_to(constraints.corr_cholesky)(t([0.5, -0.2, 0.1])),
    "checks": lambda: [
        c.check(t([0.0, 0.5, 2.0])).tolist()
        for c in (constraints.unit_interval, constraints.positive, constraints.nonnegative_integer, constraints.boolean)
    ],
    "rsample grad": lambda: torch.autograd.grad(D.Normal(a.requires_grad_(), b).rsample((1000,)).mean(0).sum(), a)[0],
    "sample no grad": lambda: D.Normal(a, b).sample().requires_grad,
    "log_prob grad": lambda: torch.autograd.grad(D.Gamma(a, b).log_prob(t([1.0, 2.0])).sum(), a)[0],
    "kl grad": lambda: torch.autograd.grad(kl_divergence(D.Beta(a, b), D.Beta(b, a)).sum(), a)[0],
    "perplexity": lambda: D.Categorical(torch.ones(4)).perplexity(),
    "set validation": lambda: D.Distribution.set_default_validate_args(True),
}.items():
    attempt(name, fn)
