"""Names of ``torch.nn`` that are nowhere else in mlkit."""

from mlkit.nn.parallel import DataParallel

__all__ = ["DataParallel"]
