"""Weights divided by their largest singular value, in PyTorch's older form (hooks)."""

from __future__ import annotations

from mlkit.autograd.grad_mode import no_grad
from mlkit.core.errors import ShapeError, ValueRangeError
from mlkit.functional.distance import normalize
from mlkit.functional.random import randn
from mlkit.nn.parameter import Parameter


def as_matrix(weight, dim: int):
    """The weight with ``dim`` as rows and everything else as columns."""
    if dim:
        weight = weight.permute(dim, *(d for d in range(weight.ndim) if d != dim))
    return weight.reshape(weight.shape[0], -1)


def usual_dim(module) -> int:
    """The output channels' dim: 1 for transposed convolutions, else 0."""
    return 1 if getattr(module, "transposed", False) else 0


class SpectralNorm:
    """The hook: before each forward the weight is ``name_orig`` over its largest singular value."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float):
        if n_power_iterations <= 0:
            raise ValueRangeError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.name = name
        self.n_power_iterations = n_power_iterations
        self.dim = dim
        self.eps = eps

    def compute_weight(self, module, do_power_iteration: bool):
        weight, u, v = (getattr(module, f"{self.name}_{end}") for end in ("orig", "u", "v"))
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(normalize(matrix.T @ u, dim=0, eps=self.eps))
                    u.copy_(normalize(matrix @ v, dim=0, eps=self.eps))
            u, v = u.clone(), v.clone()
        return weight / (u * (matrix @ v)).sum()

    def __call__(self, module, inputs) -> None:
        object.__setattr__(module, self.name, self.compute_weight(module, module.training))


def spectral_norm(
    module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
):
    """Keep a weight's largest singular value at 1 (Miyato et al. 2018, arXiv:1802.05957).

    The weight moves to ``name_orig``; buffers ``name_u`` and ``name_v`` hold the power iteration, which moves on at each
    forward while training.
    """
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            raise ShapeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    hook = SpectralNorm(name, n_power_iterations, usual_dim(module) if dim is None else dim, eps)
    weight = module._parameters.pop(name)
    matrix = as_matrix(weight.detach(), hook.dim)
    how = {"dtype": weight.dtype, "device": weight.device}
    u, v = (normalize(randn(n, **how), dim=0, eps=eps) for n in matrix.shape)
    module.register_parameter(name + "_orig", weight)
    object.__setattr__(module, name, weight.detach())
    module.register_buffer(name + "_u", u)
    module.register_buffer(name + "_v", v)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module, name: str = "weight"):
    """The normalised weight as an ordinary parameter again."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            weight = hook.compute_weight(module, False).detach()
            module.__dict__.pop(name, None)
            del module._parameters[name + "_orig"], module._buffers[name + "_u"], module._buffers[name + "_v"]
            module.register_parameter(name, Parameter(weight))
            del module._forward_pre_hooks[key]
            return module
    raise ValueRangeError(f"spectral_norm of '{name}' not found in {module}")
