"""PyTorch's import paths; the content lives in mlkit's rooms."""

import importlib

from mlkit.utils import dlpack

__all__ = ["checkpoint", "data", "dlpack"]


def __getattr__(name: str):
    if name not in ("checkpoint", "data", "tensorboard"):
        raise AttributeError(f"module 'mlkit.utils' has no attribute {name!r}")
    return importlib.import_module(f"mlkit.utils.{name}")
