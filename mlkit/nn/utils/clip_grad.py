"""Gradients kept short."""

from __future__ import annotations

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import GradientError
from mlkit.core.value import Value, wrap
from mlkit.functional.conversion import tensor
from mlkit.functional.distance import length


def _gradients(parameters) -> list:
    given = [parameters] if isinstance(parameters, Value) else list(parameters)
    return [p._grad for p in given if p._grad is not None]


def get_total_norm(tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach=None):
    """The p-norm of all tensors seen as one vector, a 0-d tensor."""
    given = [tensors] if isinstance(tensors, Value) else list(tensors)
    if not given:
        return tensor(0.0)
    if norm_type == 2.0 and all(t._node is None for t in given):
        found = backends.together(given, "total_norm", given)
        if found is not None:
            total = tensor(found, dtype=dtypes.float32) if isinstance(found, float) else wrap(found)
            return _checked(total, norm_type) if error_if_nonfinite else total
    norms = [length(ops.reshape(t.detach(), shape=(-1,)), float(norm_type), 0) for t in given]
    total = length(ops.cat([ops.reshape(n, shape=(1,)) for n in norms], dim=0), float(norm_type), 0)
    return _checked(total, norm_type) if error_if_nonfinite else total


def _checked(total, norm_type):
    if not bool(ops.isfinite(total)):
        raise GradientError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be clipped.",
            hint="To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`.",
        )
    return total


def clip_grads_with_norm_(parameters, max_norm: float, total_norm, foreach=None) -> None:
    """Scale gradients, whose norm is total_norm, to at most max_norm."""
    share = ops.clamp(ops.div(float(max_norm), ops.add(total_norm, 1e-6)), max=1.0)
    gradients = _gradients(parameters)
    if all(g._node is None for g in gradients):
        factor = float(share._array) if isinstance(share._array, np.ndarray) else share._array
        if backends.together(gradients, "scale_all", gradients, factor):
            return
    for g in gradients:
        g.detach().mul_(share)


def clip_grad_norm_(
    parameters, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach=None
):
    """Scale the gradients of all parameters together so that their norm is at most max_norm; returns the old norm.

    >>> import mlkit
    >>> w = mlkit.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> mlkit.nn.utils.clip_grad_norm_([w], 1.0), w.grad
    (tensor(10.), tensor([0.6000, 0.8000]))
    """
    given = [parameters] if isinstance(parameters, Value) else list(parameters)
    total = get_total_norm(_gradients(given), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(given, max_norm, total)
    return total


clip_grad_norm = clip_grad_norm_


def clip_grad_value_(parameters, clip_value: float, foreach=None) -> None:
    """Bound every entry of the gradients to [-clip_value, clip_value]."""
    for g in _gradients(parameters):
        g.detach().clamp_(-float(clip_value), float(clip_value))
