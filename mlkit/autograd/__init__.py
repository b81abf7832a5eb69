"""Gradients: backward(), grad(), and the modes that say whether ops are recorded."""

import importlib

from mlkit.autograd.engine import backward, grad
from mlkit.autograd.function import Function
from mlkit.autograd.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = [
    "Function",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]

#: loaded on first use: name here -> module of this room, and the attribute in it (None: the module itself)
_LAZY = {
    **{name: (name, None) for name in "anomaly_mode forward_ad functional graph".split()},
    **{name: ("anomaly_mode", name) for name in "detect_anomaly set_detect_anomaly".split()},
    **{name: ("numerical", name) for name in "gradcheck gradgradcheck GradcheckError".split()},
}


def __getattr__(name: str):
    if name == "Variable":  # what tensors with gradients were called once
        return importlib.import_module("mlkit.core.tensor").Tensor
    if name not in _LAZY:
        raise AttributeError(f"module 'mlkit.autograd' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    found = importlib.import_module(f"mlkit.autograd.{module}")
    found = found if attribute is None else getattr(found, attribute)
    globals()[name] = found
    return found
