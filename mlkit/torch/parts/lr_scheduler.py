"""Names of ``torch.optim.lr_scheduler`` beside mlkit's: the base class's old name."""

from mlkit.optim.lr_scheduler import LRScheduler

__all__: list[str] = []
_LRScheduler = LRScheduler
