"""PyTorch's import paths; the content lives in mlkit's rooms."""

from mlkit.utils import dlpack

__all__ = ["dlpack"]
