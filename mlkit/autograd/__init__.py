"""Gradients: backward(), grad(), and the modes that say whether ops are recorded."""

from mlkit.autograd.engine import backward, grad
from mlkit.autograd.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = ["backward", "enable_grad", "grad", "inference_mode", "no_grad", "set_grad_enabled"]
