"""Losses as layers. ``reduction`` is "mean", "sum" or "none"."""

from __future__ import annotations

from mlkit.functional import neural
from mlkit.nn.module import Module


class _Loss(Module):
    def __init__(self, size_average=None, reduce=None, reduction: str = "mean"):
        super().__init__()
        if size_average is not None or reduce is not None:  # PyTorch's old spelling
            reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        self.reduction = reduction


class MSELoss(_Loss):
    """The mean of (input - target)**2."""

    def forward(self, input, target):
        return neural.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """The mean of |input - target|."""

    def forward(self, input, target):
        return neural.l1_loss(input, target, reduction=self.reduction)


class CrossEntropyLoss(_Loss):
    """The cross-entropy of softmax(input) against class numbers or class probabilities.

    input (N, C, *) are scores before softmax; target (N, *) class numbers, or probabilities of input's shape.

    >>> import mlkit
    >>> mlkit.nn.CrossEntropyLoss()(mlkit.zeros(2, 4), mlkit.tensor([0, 3]))
    tensor(1.3863)
    """

    def __init__(
        self,
        weight=None,
        size_average=None,
        ignore_index: int = -100,
        reduce=None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input, target):
        return neural.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """The negative log probability at each label; input (N, C, *) are log probabilities."""

    def __init__(self, weight=None, size_average=None, ignore_index: int = -100, reduce=None, reduction: str = "mean"):
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input, target):
        how = {"weight": self.weight, "ignore_index": self.ignore_index, "reduction": self.reduction}
        return neural.nll_loss(input, target, **how)


class BCEWithLogitsLoss(_Loss):
    """The cross-entropy of sigmoid(input) against target in [0, 1]."""

    def __init__(self, weight=None, size_average=None, reduce=None, reduction: str = "mean", pos_weight=None):
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input, target):
        how = {"weight": self.weight, "reduction": self.reduction, "pos_weight": self.pos_weight}
        return neural.binary_cross_entropy_with_logits(input, target, **how)
