"""Learning rates that change as training goes on. Call ``step()`` once per epoch (or batch), after the optimizer's."""

from mlkit.optim.lr_scheduler.base import LRScheduler, _LRScheduler
from mlkit.optim.lr_scheduler.compose import ChainedScheduler, SequentialLR
from mlkit.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from mlkit.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from mlkit.optim.lr_scheduler.plateau import ReduceLROnPlateau
from mlkit.optim.lr_scheduler.ramps import ConstantLR, LinearLR, PolynomialLR
from mlkit.optim.lr_scheduler.steps import ExponentialLR, LambdaLR, MultiplicativeLR, MultiStepLR, StepLR

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
