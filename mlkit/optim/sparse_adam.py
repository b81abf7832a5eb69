"""SparseAdam."""

from __future__ import annotations

from mlkit.core.errors import MissingFeature
from mlkit.optim.optimizer import Optimizer


class SparseAdam(Optimizer):
    """Adam for sparse gradients: not in mlkit, which has no sparse tensors. Making one raises NotImplementedError."""

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ):
        raise MissingFeature(
            "SparseAdam needs sparse gradients, and mlkit has no sparse tensors.",
            hint="Use Adam: the gradients of an Embedding are dense here.",
        )
