"""Optimizers and learning-rate schedules in PyTorch's names."""

from mlkit.optim import lr_scheduler
from mlkit.optim.adam import Adam, AdamW
from mlkit.optim.optimizer import Optimizer
from mlkit.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
