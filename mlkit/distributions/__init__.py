"""``mlkit.distributions``: probability distributions with gradients, in ``torch.distributions``'s names.

>>> import mlkit
>>> d = mlkit.distributions.Normal(mlkit.zeros(3), 1.0)
>>> d.rsample((2,)).shape, d.log_prob(mlkit.zeros(3)).shape
(mlkit.Size([2, 3]), mlkit.Size([3]))
"""

from mlkit.distributions import constraints, transforms
from mlkit.distributions.distribution import Distribution, ExponentialFamily
from mlkit.distributions.continuous import Cauchy, Laplace, Normal, StudentT, Uniform, VonMises
from mlkit.distributions.gamma_family import Beta, Chi2, Dirichlet, Exponential, FisherSnedecor, Gamma
from mlkit.distributions.discrete import Bernoulli, Binomial, Geometric, NegativeBinomial, Poisson
from mlkit.distributions.categorical import (
    Categorical,
    Multinomial,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
)
from mlkit.distributions.multivariate_normal import MultivariateNormal
from mlkit.distributions.matrices import LKJCholesky, LowRankMultivariateNormal, Wishart
from mlkit.distributions.on_intervals import ContinuousBernoulli, GeneralizedPareto
from mlkit.distributions.transforms import *  # noqa: F403
from mlkit.distributions.compound import (
    Gumbel,
    HalfCauchy,
    HalfNormal,
    Independent,
    InverseGamma,
    Kumaraswamy,
    LogisticNormal,
    LogNormal,
    MixtureSameFamily,
    Pareto,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    TransformedDistribution,
    Weibull,
)
from mlkit.distributions.constraint_registry import biject_to, transform_to
from mlkit.distributions.kl import kl_divergence, register_kl
