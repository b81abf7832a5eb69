"""Names of ``torch.nn`` that are nowhere else in mlkit."""

from mlkit.torch.parts.parallel import DataParallel

__all__ = ["DataParallel"]
