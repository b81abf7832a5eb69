"""Distributions: log_prob, moments, entropy, cdf, icdf and divergences. Inputs: ``l`` (2, 3) normal, ``s`` and ``r``
(2, 3) positive, ``p`` (2, 3) in (0, 1), ``x`` (4, 2, 3) normal, ``u`` (4, 2, 3) in (0, 1), ``k`` (4, 2, 3) counts 0..5,
``b`` (4, 2, 3) of 0 and 1, ``i`` (4, 2) indices 0..2, ``m`` (2, 3, 3) positive-definite, ``w`` (4, 2, 3) simplex."""

from __future__ import annotations

import zlib

import numpy as np

D = "T.distributions"
#: constructor -> (a value argument, what else is asked for)
FAMILIES = {
    "Normal(l, s)": ("x", "mean mode stddev variance entropy cdf icdf"),
    "Laplace(l, s)": ("x", "mean mode stddev variance entropy cdf icdf"),
    "Cauchy(l, s)": ("x", "mean mode variance entropy cdf icdf"),
    "Gumbel(l, s)": ("x", "mean mode stddev variance entropy cdf icdf"),
    "Uniform(l, l + s)": ("(l + s * u).detach()", "mean stddev variance entropy cdf icdf"),
    "StudentT(r + 2, l, s)": ("x", "mean mode variance entropy"),
    "StudentT(p * 3)": ("x", "mean variance"),
    "VonMises(l, s)": ("x", "mean mode variance"),
    "LogNormal(l, s)": ("u * 4", "mean mode variance entropy cdf icdf"),
    "HalfNormal(s)": ("u * 3", "mean mode variance entropy cdf icdf"),
    "HalfCauchy(s)": ("u * 3", "mean mode variance entropy cdf icdf"),
    "Exponential(s)": ("u * 3", "mean mode stddev variance entropy cdf icdf"),
    "Gamma(s.detach(), r)": ("u * 3", "mean mode variance cdf"),
    "Gamma(s, r)": ("u * 3", "mean mode variance entropy"),
    "Chi2(s)": ("u * 3", "mean variance entropy df"),
    "Beta(s, r)": ("u", "mean mode variance entropy"),
    "Dirichlet(s)": ("w", "mean mode variance entropy"),
    "FisherSnedecor(s + 2, r + 5)": ("u * 3", "mean mode variance"),
    "InverseGamma(s + 2, r)": ("u * 3", "mean mode variance entropy"),
    "Pareto(s, r)": ("s.detach() + u * 3", "mean mode variance entropy cdf icdf"),
    "Weibull(s, r + 1)": ("u * 3", "mean mode variance entropy cdf icdf"),
    "Kumaraswamy(s + 1, r + 1)": ("u", "mean variance entropy cdf icdf"),
    "Bernoulli(p)": ("b", "mean mode variance entropy logits enumerate_support"),
    "Bernoulli(logits=l)": ("b", "mean variance entropy probs"),
    "Geometric(p)": ("k", "mean mode variance entropy"),
    "Geometric(logits=l)": ("k", "mean entropy"),
    "Binomial(5, p)": ("k", "mean mode variance entropy enumerate_support"),
    "Binomial(6, logits=l)": ("k", "mean variance"),
    "NegativeBinomial(s, p)": ("k", "mean mode variance"),
    "NegativeBinomial(4, logits=l)": ("k", "mean variance"),
    "Poisson(s)": ("k", "mean mode variance"),
    "Categorical(p)": ("i", "entropy logits probs mode enumerate_support mean"),
    "Categorical(logits=l)": ("i", "entropy logits probs mode"),
    "OneHotCategorical(p)": ("T.tensor([0.0, 1.0, 0.0]).double()", "mean mode variance entropy"),
    "Multinomial(5, p)": ("T.tensor([2.0, 2.0, 1.0]).double()", "mean variance entropy"),
    "MultivariateNormal(l, m)": ("x", "mean mode variance entropy covariance_matrix precision_matrix scale_tril"),
    "MultivariateNormal(l, precision_matrix=m)": ("x", "variance entropy covariance_matrix scale_tril"),
    "MultivariateNormal(l[0], scale_tril=m.tril())": ("x", "variance entropy precision_matrix"),
    "ContinuousBernoulli(p)": ("u", "mean stddev variance entropy cdf icdf logits"),
    "ContinuousBernoulli(logits=l * 0.003)": ("u", "mean variance entropy cdf icdf probs"),
    # of float32: PyTorch compares the concentration with a 0 of that type
    "GeneralizedPareto(l.float(), s.float(), r.float() * 0.2)": (
        "(l.detach() + u).float()",
        "mean mode variance entropy cdf icdf",
    ),
    "GeneralizedPareto(l.float(), s.float(), -r.float() * 0.2)": (
        "(l.detach() + u * 0.2).float()",
        "mean variance cdf icdf",
    ),
    "GeneralizedPareto(l.float(), s.float(), s.detach().float() * 0)": (
        "(l.detach() + u).float()",
        "mean variance cdf icdf",
    ),
    "LowRankMultivariateNormal(l, m[:, :, :2], s)": (
        "x",
        "mean mode variance entropy covariance_matrix precision_matrix scale_tril",
    ),
    "Wishart(s[:, 0] + 4, m)": ("(m + m.mT).detach()", "mean mode variance entropy precision_matrix"),
    "Wishart(s[:, 0] + 3, scale_tril=m.tril())": ("(m + m.mT).detach()", "entropy"),
    "LKJCholesky(3, s[:, 0])": (
        "T.linalg.cholesky(0.6 * T.eye(3).double() + 0.4 * T.ones(3, 3).double())",
        "",
    ),
    "Independent({D}.Normal(l, s), 1)": ("x", "mean mode variance entropy"),
    "MixtureSameFamily({D}.Categorical(logits=l), {D}.Normal(l, s))": ("x[:, :, 0]", "mean variance cdf"),
    "MixtureSameFamily({D}.Categorical(p[0]), {D}.Independent({D}.Normal(m[0], s[0]), 1))": (
        "x[:, 0]",
        "mean variance",
    ),
    "RelaxedBernoulli(T.tensor(0.7).double(), p)": ("u", "probs logits"),
    "RelaxedOneHotCategorical(T.tensor(0.7).double(), logits=l)": ("w", "probs"),
    "LogisticNormal(l, s)": (
        "T.cat([w[..., :2] * 0.5, w[..., 2:] * 0.5 , 1 - w[..., :2].sum(-1, True) * 0.5 - w[..., 2:] * 0.5], -1)",
        "",
    ),
    "TransformedDistribution({D}.Normal(l, s), [{D}.SigmoidTransform(), {D}.AffineTransform(1.0, 2.0)])": (
        "1 + 2 * u",
        "cdf icdf",
    ),
    "TransformedDistribution({D}.Normal(l, s), {D}.TanhTransform())": ("2 * u - 1", ""),
    "TransformedDistribution({D}.Normal(l, s), [{D}.AffineTransform(l, s, event_dim=1)])": ("x", ""),
}

CASES: dict[str, str] = {}
for _make, (_value, _rest) in FAMILIES.items():
    _call = f"{D}.{_make.format(D=D)}"
    CASES[f"{_make}/log_prob"] = f"{_call}.log_prob({_value})"
    for _what in _rest.split():
        _argument = {
            "cdf": f"({_value})",
            "icdf": "(u.float())" if "float" in _make else "(u)",
            "entropy": "()",
            "enumerate_support": "()",
        }.get(_what, "")
        if _what == "icdf" and _make.startswith("TransformedDistribution"):
            _argument = "(u)"
        CASES[f"{_make}/{_what}"] = f"{_call}.{_what}{_argument}"
    CASES[f"{_make}/expand"] = (
        f"{_call}.expand((5, 2, 3) if len({_call}.event_shape) == 0 and len({_call}.batch_shape) == 2 else (5, *{_call}.batch_shape)).log_prob(({_value})[0])"
    )
_NO_EXPAND = [n for n in CASES if n.endswith("/expand") and n.startswith(("OneHot", "Multinomial", "LKJ"))]
for _name in _NO_EXPAND:
    del CASES[_name]

PAIRS = [
    "Normal(l, s), Normal(s, r)", "Laplace(l, s), Laplace(s, r)", "Cauchy(l, s), Cauchy(s, r)", "Gumbel(l, s), Gumbel(s, r)",
    "Uniform(l, l + s), Uniform(l - r, l + s + r)", "Uniform(l, l + s), Uniform(l, l + s / 2)", "Pareto(s + 1, r), Pareto(s, s)",
    "Exponential(s), Exponential(r)", "Gamma(s, r), Gamma(r, s)", "Beta(s, r), Beta(r, s)", "Dirichlet(s), Dirichlet(r)",
    "Bernoulli(p), Bernoulli(p * 0.5)", "Bernoulli(logits=l), Bernoulli(p)", "Binomial(5, p), Binomial(5, p * 0.5)",
    "Geometric(p), Geometric(p * 0.5)", "Poisson(s), Poisson(r)", "Categorical(p), Categorical(logits=l)",
    "OneHotCategorical(p), OneHotCategorical(logits=l)", "MultivariateNormal(l, m), MultivariateNormal(s, scale_tril=m.tril())",
    "HalfNormal(s), HalfNormal(r)", "LogNormal(l, s), LogNormal(s, r)", "Weibull(s, r).base_dist, Exponential(r)",
    "Independent({D}.Normal(l, s), 1), {D}.Independent({D}.Normal(s, r), 1)", "Exponential(s), Gamma(r, s)",
    "Gamma(s, r), Exponential(r)", "Exponential(s), Normal(l, r)", "Gamma(s, r), Normal(l, r)", "Laplace(l, s), Normal(s, r)",
    "Uniform(l, l + s), Normal(s, r)", "Gumbel(l, s), Normal(s, r)", "Normal(l, s), Gumbel(s, r)", "Normal(l, s), Laplace(s, r)",
    "Uniform(s, s + r), Exponential(r)", "Uniform(s, s + r), Gamma(s, r)", "Uniform(s, s + r), Pareto(s * 0.9, r)",
    "Uniform(l, l + s), Gumbel(l, r)", "Exponential(s), Gumbel(l, r)", "Gamma(s, r), Gumbel(l, r)", "Beta(s, r), Normal(l, s)",
    "Beta(s, r), Uniform(p * 0 - 0.5, p * 0 + 1.5)", "Beta(s, r), Exponential(s)", "Beta(s, r), Gamma(r, s)",
    "Bernoulli(p), Poisson(s)", "Pareto(s, r + 2), Normal(l, s)", "Pareto(s, r + 2), Exponential(r)", "Pareto(s, r + 2), Gamma(r, s)",
    "ContinuousBernoulli(p), ContinuousBernoulli(logits=l)", "ContinuousBernoulli(p), Normal(l, s)",
    "ContinuousBernoulli(p), Exponential(s)", "ContinuousBernoulli(p), Uniform(l - 3, l + 4)", "ContinuousBernoulli(p), Pareto(s, r)",
    "Beta(s, r), ContinuousBernoulli(p)", "Uniform(p * 0.3, p * 0.9), ContinuousBernoulli(p)", "Normal(l, s), ContinuousBernoulli(p)",
    "LowRankMultivariateNormal(l, m, s), LowRankMultivariateNormal(s, m[:, :, :1], r)",
    "LowRankMultivariateNormal(l, m, s), MultivariateNormal(s, m)", "MultivariateNormal(s, m), LowRankMultivariateNormal(l, m, s)",
    "Uniform(p * 0.3, p * 0.9), Beta(s, r)", "Normal(l, s), Gamma(s, r)", "Chi2(s), Gamma(s, r)",
]  # fmt: skip
for _pair in PAIRS:
    _depth, _cut = 0, 0
    for _place, _char in enumerate(_pair):
        _depth += _char == "("
        _depth -= _char == ")"
        if _char == "," and _depth == 0:
            _cut = _place
            break
    _one, _two = (_part.strip().format(D=D) for _part in (_pair[:_cut], _pair[_cut + 1 :]))
    _two = _two if _two.startswith("T.") else f"{D}.{_two}"
    CASES[f"KL({_pair})"] = f"{D}.kl_divergence({D}.{_one}, {_two})"

_TRANSFORMS = {
    "ExpTransform()": "x", "SigmoidTransform()": "x", "TanhTransform()": "x", "SoftplusTransform()": "x", "PowerTransform(2.5)": "s",
    "AffineTransform(l.detach(), s)": "x", "StickBreakingTransform()": "x", "SoftmaxTransform()": "x",
    "CorrCholeskyTransform()": "x", "LowerCholeskyTransform()": "m", "PositiveDefiniteTransform()": "m",
    "ReshapeTransform((2, 3), (6,))": "x", "IndependentTransform({D}.ExpTransform(), 1)": "x",
    "CumulativeDistributionTransform({D}.Normal(l.detach(), s))": "x",
    "ComposeTransform([{D}.AffineTransform(1.0, 2.0), {D}.ExpTransform()])": "x",
    "StackTransform([{D}.ExpTransform(), {D}.TanhTransform(), {D}.identity_transform], dim=2)": "x",
    "CatTransform([{D}.ExpTransform(), {D}.TanhTransform()], dim=2, lengths=[1, 2])": "x",
}  # fmt: skip
for _make, _value in _TRANSFORMS.items():
    _call = f"{D}.{_make.format(D=D)}"
    CASES[f"{_make}/forward"] = f"{_call}({_value})"
    CASES[f"{_make}/inverse"] = f"{_call}.inv({_call}({_value}))"
    if not _make.startswith(("Softmax", "LowerCholesky", "PositiveDefinite")):
        CASES[f"{_make}/jacobian"] = f"{_call}.log_abs_det_jacobian({_value}, {_call}({_value}))"
_C = f"{D}.constraints"
for _where, _value in {
    "positive": "x", "unit_interval": "x", "interval(-1.0, 3.0)": "x", "greater_than(2.0)": "x", "less_than(2.0)": "x", "simplex": "x",
    "real": "x", "nonnegative": "x", "independent({C}.positive, 1)": "x", "lower_cholesky": "m", "corr_cholesky": "x",
}.items():  # fmt: skip
    CASES[f"transform_to({_where})"] = f"{D}.transform_to({_C}.{_where.format(C=_C)})({_value})"
CASES["checks"] = (
    f"{_C}.positive.check(x), {_C}.simplex.check(w), {_C}.lower_cholesky.check(m.tril()), {_C}.positive_definite.check(m), "
    f"{_C}.boolean.check(b), {_C}.nonnegative_integer.check(k), {_C}.real.check(x), {_C}.one_hot.check(b), "
    f"{_C}.half_open_interval(0.0, 1.0).check(x), {_C}.unit_interval.check(x), {_C}.real_vector.check(x), "
    f"{_C}.symmetric.check(m), {_C}.multinomial(9).check(k), {_C}.integer_interval(1, 3).check(k)"
)
#: PyTorch lacks the second gradient, or both are far too rough for it
FIRST_ONLY = set(CASES)

ERRORS: dict[str, str] = {
    "normal_scale": f"{D}.Normal(l, -s)",
    "normal_nan": f"{D}.Normal(l / 0 * 0, s)",
    "normal_string": f"{D}.Normal('0', s)",
    "uniform_order": f"{D}.Uniform(l, l - s)",
    "gamma_value": f"{D}.Gamma(s, r).log_prob(-s)",
    "bernoulli_both": f"{D}.Bernoulli(p, p)",
    "bernoulli_none": f"{D}.Bernoulli()",
    "bernoulli_value": f"{D}.Bernoulli(p).log_prob(p)",
    "bernoulli_probs": f"{D}.Bernoulli(p + 1)",
    "categorical_scalar": f"{D}.Categorical(p[0, 0])",
    "categorical_value": f"{D}.Categorical(p).log_prob(T.tensor([3, 3]))",
    "categorical_negative": f"{D}.Categorical(-p + 0.5)",
    "dirichlet_scalar": f"{D}.Dirichlet(s[0, 0])",
    "dirichlet_value": f"{D}.Dirichlet(s).log_prob(w * 2)",
    "value_shape": f"{D}.Normal(l, s).log_prob(T.zeros(5))",
    "value_type": f"{D}.Normal(l, s).log_prob(1.0)",
    "multivariate_two": f"{D}.MultivariateNormal(l, m, m)",
    "multivariate_none": f"{D}.MultivariateNormal(l)",
    "multivariate_indefinite": f"{D}.MultivariateNormal(l, -m)",
    "multinomial_value": f"{D}.Multinomial(2, p).log_prob(T.tensor([2.0, 2.0, 2.0]))",
    "independent_dims": f"{D}.Independent({D}.Normal(l, s), 3)",
    "mixture_kind": f"{D}.MixtureSameFamily({D}.Normal(l, s), {D}.Normal(l, s))",
    "mixture_size": f"{D}.MixtureSameFamily({D}.Categorical(p[:, :2]), {D}.Normal(l, s))",
    "rsample_missing": f"{D}.Bernoulli(p).rsample()",
    "continuous_bernoulli_both": f"{D}.ContinuousBernoulli(p, p)",
    "continuous_bernoulli_value": f"{D}.ContinuousBernoulli(p).log_prob(p + 1)",
    "low_rank_shape": f"{D}.LowRankMultivariateNormal(l, m[:, :2], s)",
    "wishart_df": f"{D}.Wishart(T.tensor(1.0).double(), m)",
    "lkj_dim": f"{D}.LKJCholesky(1)",
    "lkj_value": f"{D}.LKJCholesky(3).log_prob(m)",
    "pareto_value": f"{D}.GeneralizedPareto(l.float(), s.float(), r.float()).log_prob(l.float() - 1)",
    "kl_missing": f"{D}.kl_divergence({D}.VonMises(l, s), {D}.Normal(l, s))",
    "transformed_kind": f"{D}.TransformedDistribution({D}.Normal(l, s), 3)",
    "cdf_missing": f"{D}.Beta(s, r).cdf(p)",
    "entropy_missing": f"{D}.VonMises(l, s).entropy()",
    "enumerate_missing": f"{D}.Normal(l, s).enumerate_support()",
    "corr_size": f"{D}.CorrCholeskyTransform()(x[..., :2])",
    "poisson_rate": f"{D}.Poisson(-s)",
    "poisson_negative": "T.poisson(-s)",
    "transform_to_missing": f"{D}.transform_to({D}.constraints.boolean)",
}


def inputs(name: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    m = rng.normal(size=(2, 3, 3))
    w = rng.uniform(0.1, 1, (4, 2, 3))
    return {
        "l": rng.normal(size=(2, 3)),
        "s": rng.uniform(0.4, 2, (2, 3)),
        "r": rng.uniform(0.4, 2, (2, 3)),
        "p": rng.uniform(0.1, 0.9, (2, 3)),
        "x": rng.normal(size=(4, 2, 3)),
        "u": rng.uniform(0.02, 0.98, (4, 2, 3)),
        "k": rng.integers(0, 6, (4, 2, 3)).astype(float),
        "b": rng.integers(0, 2, (4, 2, 3)).astype(float),
        "i": rng.integers(0, 3, (4, 2)),
        "m": m @ m.swapaxes(-1, -2) + np.eye(3),
        "w": w / w.sum(-1, keepdims=True),
    }
