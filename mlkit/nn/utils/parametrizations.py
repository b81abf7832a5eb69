"""Ready parametrizations: orthogonal matrices, weight norm and spectral norm."""

from __future__ import annotations

from mlkit.autograd.grad_mode import no_grad
from mlkit.core.dtype import finfo
from mlkit.core.errors import MissingFeature, ValueRangeError
from mlkit.functional import decompositions, products, solving
from mlkit.functional.creation import eye, zeros_like
from mlkit.functional.distance import normalize
from mlkit.functional.random import randn
from mlkit.functional.shaping import cat
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
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def from_the_older_form(state_dict, prefix, *_):
        """Files of `mlkit.nn.utils.weight_norm` call the two parts weight_g and weight_v."""
        if f"{prefix}{name}_g" in state_dict and f"{prefix}{name}_v" in state_dict:
            for number, part in enumerate("gv"):
                state_dict[f"{prefix}parametrizations.{name}.original{number}"] = state_dict.pop(
                    f"{prefix}{name}_{part}"
                )

    module._register_load_state_dict_pre_hook(from_the_older_form)
    return module


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


def _tall(matrix):
    """The matrix with no fewer rows than columns, and whether it was turned for that."""
    wide = matrix.shape[-2] < matrix.shape[-1]
    return (matrix.mT if wide else matrix), wide


def _nearby_orthogonal(matrix):
    """The orthogonal factor of QR, with the signs that leave an orthogonal matrix as it is."""
    packed, tau = decompositions.geqrf(matrix)
    signs = packed.diagonal(dim1=-2, dim2=-1).sgn()
    return decompositions.householder_product(packed, tau) * signs.unsqueeze(-2)


def _is_orthogonal(matrix) -> bool:
    """Whether the columns have length 1 at right angles, within 10 times the rows' rounding error."""
    k = matrix.shape[-1]
    away = (matrix.mH @ matrix - eye(k, dtype=matrix.dtype, device=matrix.device)).abs()
    return bool((away <= 10 * matrix.shape[-2] * finfo(matrix.dtype).eps).all())


class _Orthogonal(Module):
    """original is any matrix; the weight is the orthogonal one that the map makes of it, times ``base``."""

    def __init__(self, weight, orthogonal_map: str, use_trivialization: bool = True):
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueRangeError(
                "The householder parametrization does not support complex tensors.",
                hint="Use orthogonal_map='matrix_exp' or 'cayley'.",
            )
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, original):
        x, turned = _tall(original)
        n, k = x.shape[-2:]
        if self.orthogonal_map == "householder":
            below = x.tril(-1)
            tau = 2.0 / (1.0 + (below * below).sum(-2))
            q = decompositions.householder_product(below, tau)
            q = q * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)  # signs, -1 or 1; not learned
        else:
            lower = x.tril()
            if n != k:
                lower = cat([lower, lower.new_zeros(*x.shape[:-2], n, n - k)], -1)
            skew = lower - lower.mH
            if self.orthogonal_map == "matrix_exp":
                q = products.matrix_exp(skew)
            else:
                one = eye(n, dtype=x.dtype, device=x.device)
                q = solving.solve(one + skew * -0.5, one + skew * 0.5)
            q = q[..., :k]
        if "base" in self._buffers:
            q = self.base @ q
        return q.mT if turned else q

    @no_grad()
    def right_inverse(self, value):
        if value.shape != self.shape:
            raise ValueRangeError(
                f"Expected a matrix or batch of matrices of shape {tuple(self.shape)}. Got a tensor of shape "
                f"{tuple(value.shape)}."
            )
        q, turned = _tall(value)
        n, k = q.shape[-2:]
        if "base" not in self._buffers:
            if self.orthogonal_map != "householder":
                raise MissingFeature(
                    "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                    "use_trivialization=False.",
                    hint="Use orthogonal_map='householder', or use_trivialization=True.",
                )
            packed, tau = decompositions.geqrf(q)
            diagonal = packed.diagonal(dim1=-2, dim2=-1)
            signs = diagonal.sgn()
            signs[tau == 0] *= -1  # where LAPACK leaves a column alone, the map above turns it round
            diagonal.copy_(signs)
            return packed.mT if turned else packed
        if n != k:
            q = _nearby_orthogonal(cat([q, randn(*q.shape[:-1], n - k, dtype=q.dtype, device=q.device)], -1))
        else:
            q = q.clone() if _is_orthogonal(q) else _nearby_orthogonal(q)
        self.base = q
        start = zeros_like(value)  # with -1 on the diagonal every map makes the identity of it
        start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
        return start


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """A weight (*, n, k) whose columns (rows, where those are fewer) stay at right angles with length 1.

    Args:
        module: the module that has the tensor.
        name: the tensor's name.
        orthogonal_map: ``"matrix_exp"`` (default for square or complex tensors), ``"cayley"``, or ``"householder"``
            (default otherwise; real tensors only).
        use_trivialization: learn a step away from the present weight, kept in the buffer ``base`` (Lezcano-Casado
            2019, arXiv:1909.09501), in place of the weight's own coordinates.

    >>> import mlkit
    >>> layer = mlkit.nn.utils.parametrizations.orthogonal(mlkit.nn.Linear(3, 5))
    >>> mlkit.allclose(layer.weight.T @ layer.weight, mlkit.eye(3), atol=1e-5)
    True
    """
    weight = getattr(module, name, None)
    if not hasattr(weight, "ndim"):
        raise ValueRangeError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueRangeError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueRangeError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    return parametrize.register_parametrization(
        module, name, _Orthogonal(weight, orthogonal_map, use_trivialization), unsafe=True
    )
