"""The normal distribution of vectors."""

from __future__ import annotations

import math

from mlkit.core.dispatch import ops
from mlkit.core.errors import ValueRangeError
from mlkit.core.size import broadcast_shapes
from mlkit.distributions import constraints
from mlkit.distributions.distribution import Distribution, normal_like
from mlkit.functional import decompositions, solving


class MultivariateNormal(Distribution):
    """Vectors with mean ``loc`` (*, n) and one of ``covariance_matrix``, ``precision_matrix``, ``scale_tril`` (*, n, n)."""

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True
    _event_dims = {"loc": 1, "covariance_matrix": 2, "precision_matrix": 2, "scale_tril": 2}

    def __init__(self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        if loc.ndim < 1:
            raise ValueRangeError("loc must be at least one-dimensional.")
        given = {"covariance_matrix": covariance_matrix, "precision_matrix": precision_matrix, "scale_tril": scale_tril}
        given = {name: x for name, x in given.items() if x is not None}
        if len(given) != 1:
            raise ValueRangeError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
            )
        ((name, matrix),) = given.items()
        if matrix.ndim < 2:
            raise ValueRangeError(f"{name} must be at least two-dimensional, with optional leading batch dimensions")
        batch = broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        n = loc.shape[-1]
        self.__dict__[name] = ops.expand(matrix, shape=(*batch, n, n))
        self.loc = ops.expand(loc, shape=(*batch, n))
        super().__init__(batch, (n,), validate_args)
        self._unbroadcasted_scale_tril = self._factor(name, matrix)

    @staticmethod
    def _factor(name, matrix):
        if name == "scale_tril":
            return matrix
        if name == "covariance_matrix":
            return decompositions.cholesky(matrix)
        # P = L L^H with rows and columns turned around gives the factor of the inverse at once
        flipped = decompositions.cholesky(ops.flip(matrix, dims=(matrix.ndim - 2, matrix.ndim - 1)))
        upper = ops.flip(flipped, dims=(matrix.ndim - 2, matrix.ndim - 1)).mT
        n = matrix.shape[-1]
        eye = ops.zeros_like(matrix) + ops.diagonal_grad(
            ops.ones_like(ops.zeros((n,), like=matrix)), shape=(n, n), offset=0, dim1=0, dim2=1
        )
        return solving.solve_triangular(upper, eye, upper=False)

    def _expand_into(self, new, batch_shape):
        super()._expand_into(new, batch_shape)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril

    def __getattr__(self, name):
        if name.startswith("_") or name not in self.arg_constraints:
            raise AttributeError(f"'MultivariateNormal' object has no attribute {name!r}")
        L = self.__dict__["_unbroadcasted_scale_tril"]
        shape = (*self._batch_shape, *self._event_shape, *self._event_shape)
        if name == "scale_tril":
            return ops.expand(L, shape=shape)
        if name == "covariance_matrix":
            return ops.expand(L @ L.mT, shape=shape)
        return ops.expand(solving.cholesky_inverse(L), shape=shape)

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        spread = ops.square(self._unbroadcasted_scale_tril).sum(-1)
        return ops.expand(spread, shape=(*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape=()):
        noise = normal_like(self.loc, self._extended_shape(sample_shape))
        return self.loc + (self._unbroadcasted_scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def _half_log_det(self):
        return ops.log(ops.diagonal(self._unbroadcasted_scale_tril, dim1=-2, dim2=-1)).sum(-1)

    def log_prob(self, value):
        d = (self._checked(value) - self.loc).unsqueeze(-1)
        z = solving.solve_triangular(self._unbroadcasted_scale_tril, d, upper=False).squeeze(-1)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + ops.square(z).sum(-1)) - self._half_log_det()

    def entropy(self):
        H = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
        return ops.expand(H, shape=tuple(self._batch_shape))
