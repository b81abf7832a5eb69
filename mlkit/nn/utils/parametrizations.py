"""Ready parametrizations: weight norm and spectral norm."""

from __future__ import annotations

from mlkit.autograd.grad_mode import no_grad
from mlkit.core.errors import ValueRangeError
from mlkit.functional.creation import randn
from mlkit.functional.distance import normalize
from mlkit.nn.module import Module
from mlkit.nn.utils import parametrize
from mlkit.nn.utils.spectral_norm import as_matrix, usual_dim
from mlkit.nn.utils.weight_norm import norm_except


class _WeightNorm(Module):
    """original0 the length, original1 the direction."""

    def __init__(self, dim: int | None = 0):
        super().__init__()
        self.dim = None if dim in (None, -1) else dim

    def forward(self, weight_g, weight_v):
        return weight_v * (weight_g / norm_except(weight_v, self.dim))

    def right_inverse(self, weight):
        return norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """A weight as its length (original0) times its direction (original1) (arXiv:1602.07868).

    >>> import mlkit
    >>> layer = mlkit.nn.utils.parametrizations.weight_norm(mlkit.nn.Linear(20, 40))
    >>> layer.parametrizations.weight.original0.shape
    mlkit.Size([40, 1])
    """
    return parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    def __init__(self, weight, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        super().__init__()
        if n_power_iterations <= 0:
            raise ValueRangeError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim = dim % weight.ndim
        self.eps = eps
        self.n_power_iterations = n_power_iterations
        if weight.ndim > 1:
            matrix = as_matrix(weight.detach(), self.dim)
            how = {"dtype": weight.dtype, "device": weight.device}
            rows, columns = matrix.shape
            self.register_buffer("_u", normalize(randn(rows, **how), dim=0, eps=eps))
            self.register_buffer("_v", normalize(randn(columns, **how), dim=0, eps=eps))
            self._power_method(matrix, 15)

    def _power_method(self, matrix, iterations: int) -> None:
        with no_grad():
            for _ in range(iterations):
                self._u.copy_(normalize(matrix @ self._v, dim=0, eps=self.eps))
                self._v.copy_(normalize(matrix.T @ self._u, dim=0, eps=self.eps))

    def forward(self, weight):
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / (u * (matrix @ v)).sum()

    def right_inverse(self, value):
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """A weight divided by its largest singular value (Miyato et al. 2018, arXiv:1802.05957)."""
    weight = getattr(module, name)
    dim = usual_dim(module) if dim is None else dim
    return parametrize.register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
