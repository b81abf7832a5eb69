"""PyTorch's path to DLPack."""

from mlkit.functional.interop import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
