"""Pruning: entries of a parameter held at zero by a mask.

The parameter moves to ``name_orig``, the mask is the buffer ``name_mask``, and ``name`` is their product before each
forward; ``remove`` makes it lasting.
"""

from __future__ import annotations

from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.functional.creation import ones_like, rand, zeros_like
from mlkit.functional.distance import length
from mlkit.functional.shaping import cat
from mlkit.nn.parameter import Parameter


class _Pruning:
    """The hook that applies the mask."""

    def __init__(self, name: str):
        self._tensor_name = name

    def apply_mask(self, module):
        orig, mask = getattr(module, self._tensor_name + "_orig"), getattr(module, self._tensor_name + "_mask")
        return mask.to(orig.dtype) * orig

    def __call__(self, module, inputs) -> None:
        object.__setattr__(module, self._tensor_name, self.apply_mask(module))


def _hook(module, name: str):
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, _Pruning) and hook._tensor_name == name:
            return key, hook
    return None, None


def is_pruned(module) -> bool:
    """Whether this module or one below it has a pruned parameter."""
    return any(isinstance(h, _Pruning) for m in module.modules() for h in m._forward_pre_hooks.values())


def _mask_of(module, name: str):
    orig = module._parameters.get(name + "_orig")
    return ones_like(getattr(module, name).detach()) if orig is None else getattr(module, name + "_mask")


def custom_from_mask(module, name: str, mask):
    """Hold the parameter at zero where ``mask`` is 0; repeated pruning multiplies the masks."""
    mask = (_mask_of(module, name) * mask.to(getattr(module, name).dtype)).detach()
    if _hook(module, name)[1] is None:
        weight = module._parameters.pop(name)
        module.register_parameter(name + "_orig", weight)
        module.register_buffer(name + "_mask", mask)
        module.register_forward_pre_hook(_Pruning(name))
    else:
        module._buffers[name + "_mask"] = mask
    _hook(module, name)[1](module, ())
    return module


def identity(module, name: str):
    """The pruning form without pruning anything."""
    return custom_from_mask(module, name, ones_like(getattr(module, name).detach()))


def _amount(amount, total: int) -> int:
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise ArgumentError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or (isinstance(amount, float) and amount > 1):
        raise ValueRangeError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer."
        )
    count = amount if isinstance(amount, int) else round(amount * total)
    if count > total:
        raise ValueRangeError(f"amount={amount} should be smaller than the number of parameters to prune={total}.")
    return count


def _lowest(scores, mask, count: int):
    """The mask with the ``count`` entries of lowest score among those still there set to 0."""
    flat = ops.where(mask != 0, scores, zeros_like(scores) + float("inf")).reshape(-1)
    kept = mask.reshape(-1).clone()
    if count:
        kept[flat.topk(count, largest=False).indices] = 0
    return kept.reshape(*mask.shape)


def _unstructured(module, name, amount, scores, importance_scores=None):
    mask = _mask_of(module, name)
    count = _amount(amount, int((mask != 0).sum()))
    return custom_from_mask(module, name, _lowest(scores, mask, count))


def random_unstructured(module, name: str, amount):
    """Prune a number (int) or share (float) of entries at random."""
    weight = getattr(module, name).detach()
    return _unstructured(module, name, amount, rand(*weight.shape, device=weight.device))


def l1_unstructured(module, name: str, amount, importance_scores=None):
    """Prune the entries of smallest magnitude."""
    scores = getattr(module, name) if importance_scores is None else importance_scores
    return _unstructured(module, name, amount, scores.detach().abs())


def _structured(module, name, amount, dim, scores):
    mask = _mask_of(module, name)
    dim %= mask.ndim
    count = _amount(amount, mask.shape[dim])
    kept = ones_like(scores)
    if count:
        kept[scores.topk(count, largest=False).indices] = 0
    shape = [1] * mask.ndim
    shape[dim] = -1
    return custom_from_mask(module, name, mask * kept.reshape(*shape))


def random_structured(module, name: str, amount, dim: int):
    """Prune whole slices along ``dim`` at random."""
    weight = getattr(module, name).detach()
    return _structured(module, name, amount, dim, rand(weight.shape[dim], dtype=weight.dtype, device=weight.device))


def ln_structured(module, name: str, amount, n: float, dim: int, importance_scores=None):
    """Prune the slices along ``dim`` of smallest n-norm."""
    weight = (getattr(module, name) if importance_scores is None else importance_scores).detach()
    rows = weight.movedim(dim, 0).reshape(weight.shape[dim], -1)
    return _structured(module, name, amount, dim, length(rows, float(n), 1))


def global_unstructured(parameters, pruning_method=l1_unstructured, importance_scores=None, *, amount):
    """Prune the entries of smallest magnitude among several (module, name) pairs together."""
    if pruning_method not in (l1_unstructured, random_unstructured):
        raise ArgumentError("global_unstructured: pruning_method must be l1_unstructured or random_unstructured.")
    pairs = list(parameters)
    masks = [_mask_of(*pair) for pair in pairs]
    scores = []
    for module, name in pairs:
        weight = getattr(module, name).detach()
        given = (importance_scores or {}).get((module, name), weight)
        scores.append(given.abs() if pruning_method is l1_unstructured else rand(*weight.shape, dtype=weight.dtype))
    mask = cat([m.reshape(-1) for m in masks], 0)
    mask = _lowest(cat([s.reshape(-1) for s in scores], 0), mask, _amount(amount, int((mask != 0).sum())))
    start = 0
    for (module, name), own in zip(pairs, masks, strict=True):
        custom_from_mask(module, name, mask[start : start + own.numel()].reshape(*own.shape))
        start += own.numel()


def remove(module, name: str):
    """The pruned values as an ordinary parameter; they may be trained again."""
    key, hook = _hook(module, name)
    if hook is None:
        raise ValueRangeError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    weight = hook.apply_mask(module).detach()
    module.__dict__.pop(name, None)
    orig = module._parameters.pop(name + "_orig")
    del module._buffers[name + "_mask"], module._forward_pre_hooks[key]
    module.register_parameter(name, Parameter(weight, requires_grad=orig.requires_grad))
    return module
