"""Weights as a length and a direction, in PyTorch's older form (hooks; parametrizations.weight_norm is the newer)."""

from __future__ import annotations

from mlkit.core.dispatch import ops
from mlkit.core.errors import ShapeError, ValueRangeError
from mlkit.nn.parameter import Parameter


def norm_except(v, dim: int | None):
    """The 2-norm over all dims but ``dim`` (over all for None), with those dims kept as 1."""
    rank = v.ndim
    over = tuple(i for i in range(rank) if dim is None or i != dim % rank)
    out = ops.sqrt(ops.sum(ops.square(v), dim=over or None, keepdim=True)) if over else ops.abs(v)
    return out.reshape(()) if dim is None else out


class WeightNorm:
    """The hook: before each forward the weight is made of ``name_g`` and ``name_v``."""

    def __init__(self, name: str, dim: int | None):
        self.name = name
        self.dim = dim

    def compute_weight(self, module):
        g, v = (getattr(module, f"{self.name}_{end}") for end in "gv")
        return v * (g / norm_except(v, self.dim))

    def __call__(self, module, inputs) -> None:
        object.__setattr__(module, self.name, self.compute_weight(module))


def weight_norm(module, name: str = "weight", dim: int | None = 0):
    """Replace a weight by its length ``name_g`` and direction ``name_v`` (Salimans & Kingma 2016, arXiv:1602.07868).

    ``dim`` keeps a length per slice along it; None has one length for all.
    """
    if dim == -1:
        dim = None
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm) and hook.name == name:
            raise ShapeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    weight = getattr(module, name)
    hook = WeightNorm(name, dim)
    del module._parameters[name]
    module.register_parameter(name + "_g", Parameter(norm_except(weight.detach(), dim).detach().clone()))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    object.__setattr__(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module, name: str = "weight"):
    """The weight as one parameter again."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            weight = hook.compute_weight(module).detach()
            module.__dict__.pop(name, None)
            del module._parameters[name + "_g"], module._parameters[name + "_v"]
            setattr(module, name, Parameter(weight))
            del module._forward_pre_hooks[key]
            return module
    raise ValueRangeError(f"weight_norm of '{name}' not found in {module}")
