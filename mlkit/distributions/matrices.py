"""Distributions of matrices, and of vectors whose covariance is a small matrix and a diagonal."""

from __future__ import annotations

import math

from mlkit.core.dispatch import ops
from mlkit.core.errors import ValueRangeError
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import Value
from mlkit.distributions import constraints
from mlkit.distributions.continuous import full_like, where
from mlkit.distributions.distribution import Distribution, ExponentialFamily, broadcast_all, normal_like
from mlkit.distributions.gamma_family import Beta, Chi2
from mlkit.distributions.multivariate_normal import MultivariateNormal
from mlkit.functional import conversion, creation, decompositions, norms, shaping, solving, special


def _diagonal(x):
    """Vectors (*, n) as diagonal matrices (*, n, n)."""
    return shaping.diag_embed(x)


def _log_diagonal(L):
    """The sum of the logarithms of a factor's diagonal: half the log of its determinant squared."""
    return ops.log(ops.diagonal(L, dim1=-2, dim2=-1)).sum(-1)


class LowRankMultivariateNormal(Distribution):
    """The normal distribution of vectors with covariance cov_factor @ cov_factor.T + diag(cov_diag).

    ``loc`` (*, n), ``cov_factor`` (*, n, rank), ``cov_diag`` (*, n), positive. What is inverted is of the rank's size
    only (Woodbury's identity).

    >>> import mlkit
    >>> d = mlkit.distributions.LowRankMultivariateNormal(mlkit.zeros(2), mlkit.tensor([[1.0], [0.0]]), mlkit.ones(2))
    >>> d.covariance_matrix.tolist()
    [[2.0, 0.0], [0.0, 1.0]]
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True
    _event_dims = {"loc": 1, "cov_factor": 2, "cov_diag": 1}

    def __init__(self, loc, cov_factor, cov_diag, validate_args=None):
        if loc.ndim < 1:
            raise ValueRangeError("loc must be at least one-dimensional.")
        n = loc.shape[-1]
        if cov_factor.ndim < 2:
            raise ValueRangeError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2] != n:
            raise ValueRangeError(f"cov_factor must be a batch of matrices with shape {n} x m")
        if cov_diag.shape[-1:] != (n,):
            raise ValueRangeError(f"cov_diag must be a batch of vectors with shape ({n},)")
        try:
            batch = broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except ValueError as error:
            raise ValueRangeError(
                "Incompatible batch shapes: "
                f"loc {tuple(loc.shape)}, cov_factor {tuple(cov_factor.shape)}, cov_diag {tuple(cov_diag.shape)}"
            ) from error
        self.loc = ops.expand(loc, shape=(*batch, n))
        self.cov_factor = ops.expand(cov_factor, shape=(*batch, n, cov_factor.shape[-1]))
        self.cov_diag = ops.expand(cov_diag, shape=(*batch, n))
        super().__init__(batch, (n,), validate_args)

    def _scaled_factor(self):
        """cov_factor.T / cov_diag, and the factor of the small matrix 1 + cov_factor.T @ cov_factor / cov_diag."""
        scaled = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        small = scaled @ self.cov_factor
        one = _diagonal(ops.ones_like(ops.diagonal(small, dim1=-2, dim2=-1)))
        return scaled, decompositions.cholesky(small + one)

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        return ops.square(self.cov_factor).sum(-1) + self.cov_diag

    @property
    def covariance_matrix(self):
        """(*batch, n, n)."""
        return self.cov_factor @ self.cov_factor.mT + _diagonal(self.cov_diag)

    @property
    def precision_matrix(self):
        """The inverse of the covariance."""
        scaled, L = self._scaled_factor()
        part = solving.solve_triangular(L, scaled, upper=False)
        return _diagonal(ops.reciprocal(self.cov_diag)) - part.mT @ part

    @property
    def scale_tril(self):
        """The lower triangular factor of the covariance."""
        return decompositions.cholesky(self.covariance_matrix)

    def rsample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        rank = self.cov_factor.shape[-1]
        along = normal_like(self.loc, (*shape[:-1], rank, 1))
        own = normal_like(self.loc, shape)
        return self.loc + (self.cov_factor @ along).squeeze(-1) + ops.sqrt(self.cov_diag) * own

    def _log_det(self, L):
        return 2 * _log_diagonal(L) + ops.log(self.cov_diag).sum(-1)

    def log_prob(self, value):
        d = self._checked(value) - self.loc
        scaled, L = self._scaled_factor()
        part = solving.solve_triangular(L, scaled @ d.unsqueeze(-1), upper=False).squeeze(-1)
        away = (ops.square(d) / self.cov_diag).sum(-1) - ops.square(part).sum(-1)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + self._log_det(L) + away)

    def entropy(self):
        _, L = self._scaled_factor()
        return 0.5 * (self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._log_det(L))

    def dense(self) -> MultivariateNormal:
        """The same distribution with its covariance written out."""
        return MultivariateNormal(self.loc, scale_tril=self.scale_tril, validate_args=False)


class Wishart(ExponentialFamily):
    """Positive-definite matrices: the scatter of ``df`` normal vectors with one of the three matrices (*, n, n).

    Draws are made by Bartlett's decomposition, differentiable in the matrix and in ``df``.

    >>> import mlkit
    >>> mlkit.distributions.Wishart(3.0, mlkit.eye(2)).mean.tolist()
    [[3.0, 0.0], [0.0, 3.0]]
    """

    arg_constraints = {
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
        "df": constraints.positive,
    }
    support = constraints.positive_definite
    has_rsample = True
    _event_dims = {"covariance_matrix": 2, "precision_matrix": 2, "scale_tril": 2}

    def __init__(self, df, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        given = {name: x for name, x in given.items() if x is not None}
        if len(given) != 1:
            raise ValueRangeError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
            )
        ((name, matrix),) = given.items()
        if matrix.ndim < 2:
            raise ValueRangeError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        if not isinstance(df, Value):
            df = conversion.tensor(float(df), dtype=matrix.dtype, device=matrix.device)
        n = matrix.shape[-1]
        batch = broadcast_shapes(df.shape, matrix.shape[:-2])
        if bool((df <= n - 1).any()):
            raise ValueRangeError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        self.df = ops.expand(df, shape=tuple(batch))
        self.__dict__[name] = ops.expand(matrix, shape=(*batch, n, n))
        super().__init__(batch, (n, n), validate_args)
        self._factor = ops.expand(MultivariateNormal._factor(name, matrix), shape=(*batch, n, n))

    def _expand_into(self, new, batch_shape):
        super()._expand_into(new, batch_shape)
        new._factor = ops.expand(self._factor, shape=(*batch_shape, *self._event_shape))

    def __getattr__(self, name):
        if name.startswith("_") or name not in self.arg_constraints:
            raise AttributeError(f"'Wishart' object has no attribute {name!r}")
        L = self.__dict__["_factor"]
        if name == "scale_tril":
            return L
        return L @ L.mT if name == "covariance_matrix" else solving.cholesky_inverse(L)

    def _wide(self, x):
        return ops.reshape(x, shape=(*tuple(self._batch_shape), 1, 1))

    @property
    def mean(self):
        return self._wide(self.df) * self.covariance_matrix

    @property
    def mode(self):
        rest = self.df - self._event_shape[-1] - 1
        return self._wide(where(rest <= 0, full_like(rest, math.nan), rest)) * self.covariance_matrix

    @property
    def variance(self):
        V = self.covariance_matrix
        own = ops.diagonal(V, dim1=-2, dim2=-1)
        return self._wide(self.df) * (ops.square(V) + own.unsqueeze(-1) * own.unsqueeze(-2))

    def rsample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        n = shape[-1]
        steps = creation.arange(n, dtype=self.df.dtype, device=self.df.device)
        lengths = Chi2(self.df.unsqueeze(-1) - steps, validate_args=False).rsample(sample_shape)
        noise = ops.tril(normal_like(self._factor, shape), diagonal=-1)
        half = self._factor @ (noise + _diagonal(ops.sqrt(lengths)))
        return half @ half.mT

    def _log_volume(self):
        """The log of what the density is divided by, without the gamma function's part."""
        n = self._event_shape[-1]
        return self.df * (n * math.log(2.0) / 2 + _log_diagonal(self._factor)) + special.multigammaln(self.df / 2, n)

    def _sum_of_digammas(self):
        n = self._event_shape[-1]
        half = creation.arange(n, dtype=self.df.dtype, device=self.df.device) / 2
        return ops.digamma(self.df.unsqueeze(-1) / 2 - half).sum(-1)

    def log_prob(self, value):
        value = self._checked(value)
        n = self._event_shape[-1]
        log_det = 2 * _log_diagonal(decompositions.cholesky(value))
        ratio = solving.cholesky_solve(value, ops.expand(self._factor, shape=_matched(value, self._factor)))
        trace = ops.diagonal(ratio, dim1=-2, dim2=-1).sum(-1)
        return (self.df - n - 1) / 2 * log_det - trace / 2 - self._log_volume()

    def entropy(self):
        n, nu = self._event_shape[-1], self.df
        digammas = self._sum_of_digammas()
        log_det = 2 * _log_diagonal(self._factor) + n * math.log(2.0) + digammas  # its mean
        return self._log_volume() - (nu - n - 1) / 2 * log_det + nu * n / 2


def _matched(a, b) -> tuple:
    return tuple(broadcast_shapes(a.shape, b.shape))


class LKJCholesky(Distribution):
    """Lower factors (dim, dim) of correlation matrices with density proportional to det(correlation) ** (concentration - 1).

    Concentration 1 is uniform over correlation matrices, above it favours small correlations. Drawn by the onion method
    (Lewandowski, Kurowicka & Joe 2009).

    >>> import mlkit
    >>> mlkit.distributions.LKJCholesky(3, 2.0).sample((5,)).shape
    mlkit.Size([5, 3, 3])
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim, concentration=1.0, validate_args=None):
        if dim < 2:
            raise ValueRangeError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def _expand_into(self, new, batch_shape):
        super()._expand_into(new, batch_shape)
        new.dim = self.dim

    def _beta(self) -> Beta:
        """How far each row lies from the diagonal's direction, squared."""
        c = self.concentration
        rows = creation.arange(self.dim - 1, dtype=c.dtype, device=c.device)
        rows = ops.cat([ops.narrow(rows, dim=0, start=0, length=1) * 0, rows], dim=0)
        first = ops.expand(rows + 0.5, shape=(*c.shape, self.dim))
        return Beta(first, (c + 0.5 * (self.dim - 2)).unsqueeze(-1) - 0.5 * rows, validate_args=False)

    def sample(self, sample_shape=()):
        from mlkit.autograd.grad_mode import no_grad

        with no_grad():
            lengths = self._beta().sample(sample_shape).unsqueeze(-1)
            noise = ops.tril(normal_like(self.concentration, tuple(self._extended_shape(sample_shape))), diagonal=-1)
            size = norms.vector_norm(noise, dim=-1, keepdim=True)
            empty = size == 0  # the first row
            below = where(empty, ops.zeros_like(noise), noise / where(empty, ops.ones_like(size), size))
            below = ops.sqrt(lengths) * below
            tiny = 1.2e-38 if self.concentration.element_size() < 8 else 2.3e-308
            rest = ops.sqrt((1 - ops.square(below).sum(-1)).clamp(min=tiny))
            return below + _diagonal(rest)

    def log_prob(self, value):
        own = ops.diagonal(self._checked(value), dim1=-2, dim2=-1)
        own = ops.narrow(own, dim=own.ndim - 1, start=1, length=self.dim - 1)
        c = self.concentration
        order = creation.arange(2, self.dim + 1, dtype=c.dtype, device=c.device)
        free = (((2 * (c - 1)).unsqueeze(-1) + self.dim - order) * ops.log(own)).sum(-1)
        m = self.dim - 1
        alpha = c + 0.5 * m
        volume = 0.5 * m * math.log(math.pi) + special.multigammaln(alpha - 0.5, m) - m * ops.lgamma(alpha)
        return free - volume
