"""Losses as layers. ``reduction`` is "mean", "sum" or "none".

A loss of one's own is a Module (or a plain function) that takes predictions and targets and returns a tensor; if it has
a ``reduction``, subclass ``_Loss`` and end in ``functional.loss.reduced``:

>>> import mlkit
>>> from mlkit import nn
>>> from mlkit.functional.loss import reduced
>>> class LogCoshLoss(nn.modules.loss._Loss):
...     def forward(self, input, target):
...         return reduced(((input - target).cosh()).log(), self.reduction)
>>> LogCoshLoss(reduction="sum")(mlkit.zeros(3), mlkit.zeros(3))
tensor(0.)
"""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError
from mlkit.core.tensor import Tensor
from mlkit.functional import classification, ctc, loss, margins
from mlkit.functional.distance import pairwise_distance
from mlkit.nn.module import Module


class _Loss(Module):
    def __init__(self, size_average=None, reduce=None, reduction: str = "mean"):
        super().__init__()
        if size_average is not None or reduce is not None:
            reduction = loss.old_reduction(size_average, reduce)
        self.reduction = reduction


class _WeightedLoss(_Loss):
    def __init__(self, weight=None, size_average=None, reduce=None, reduction: str = "mean"):
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class MSELoss(_Loss):
    """The mean of (input - target)**2."""

    def forward(self, input, target):
        return loss.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """The mean of |input - target|."""

    def forward(self, input, target):
        return loss.l1_loss(input, target, reduction=self.reduction)


class CrossEntropyLoss(_WeightedLoss):
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
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input, target):
        return classification.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_WeightedLoss):
    """The negative log probability at each label; input (N, C, *) are log probabilities."""

    def __init__(self, weight=None, size_average=None, ignore_index: int = -100, reduce=None, reduction: str = "mean"):
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input, target):
        how = {"weight": self.weight, "ignore_index": self.ignore_index, "reduction": self.reduction}
        return classification.nll_loss(input, target, **how)


class BCEWithLogitsLoss(_WeightedLoss):
    """The cross-entropy of sigmoid(input) against target in [0, 1]."""

    def __init__(self, weight=None, size_average=None, reduce=None, reduction: str = "mean", pos_weight=None):
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input, target):
        how = {"weight": self.weight, "reduction": self.reduction, "pos_weight": self.pos_weight}
        return classification.binary_cross_entropy_with_logits(input, target, **how)


class NLLLoss2d(NLLLoss):
    """NLLLoss under its old name for images."""


class BCELoss(_WeightedLoss):
    """The cross-entropy of probabilities input in [0, 1] against target in [0, 1]."""

    def forward(self, input, target):
        return classification.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """Squares divided by 2 beta below beta, |input - target| - beta / 2 above."""

    def __init__(self, size_average=None, reduce=None, reduction: str = "mean", beta: float = 1.0):
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input, target):
        return loss.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """Half squares up to delta, delta * (|input - target| - delta / 2) beyond."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input, target):
        return loss.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class KLDivLoss(_Loss):
    """target * (log(target) - input), input being log probabilities; reduction "batchmean" is the divergence."""

    def __init__(self, size_average=None, reduce=None, reduction: str = "mean", log_target: bool = False):
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input, target):
        return loss.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(_Loss):
    """The negative log likelihood of counts under a Poisson distribution with (log of the) mean input."""

    def __init__(
        self, log_input: bool = True, full: bool = False, size_average=None, eps: float = 1e-8, reduce=None,
        reduction: str = "mean",
    ):  # fmt: skip
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input, target):
        how = {"log_input": self.log_input, "full": self.full, "eps": self.eps, "reduction": self.reduction}
        return loss.poisson_nll_loss(log_input, target, **how)


class GaussianNLLLoss(_Loss):
    """The negative log likelihood of target under a normal distribution with mean input and variance var."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = eps

    def forward(self, input, target, var):
        return loss.gaussian_nll_loss(input, target, var, full=self.full, eps=self.eps, reduction=self.reduction)


class _MarginLoss(_Loss):
    """A loss whose first argument is a margin."""

    def __init__(self, margin: float = 0.0, size_average=None, reduce=None, reduction: str = "mean"):
        super().__init__(size_average, reduce, reduction)
        self.margin = margin


class HingeEmbeddingLoss(_MarginLoss):
    """input where target is 1, max(0, margin - input) where it is -1."""

    def __init__(self, margin: float = 1.0, size_average=None, reduce=None, reduction: str = "mean"):
        super().__init__(margin, size_average, reduce, reduction)

    def forward(self, input, target):
        return margins.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MarginRankingLoss(_MarginLoss):
    """max(0, -target * (input1 - input2) + margin): target 1 wants input1 larger, -1 input2."""

    def forward(self, input1, input2, target):
        return margins.margin_ranking_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_MarginLoss):
    """1 - cosine where target is 1, max(0, cosine - margin) where it is -1: (N, D), (N, D), (N)."""

    def forward(self, input1, input2, target):
        return margins.cosine_embedding_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """log(1 + exp(-target * input)), target being 1 or -1."""

    def forward(self, input, target):
        return margins.soft_margin_loss(input, target, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """The mean over classes of max(0, margin - input[label] + input[class]) ** p: input (N, C), target (N)."""

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight=None, size_average=None, reduce=None, reduction: str = "mean"
    ):
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueRangeError("only p == 1 and p == 2 supported")
        if weight is not None and weight.dim() != 1:
            raise ValueRangeError(
                f"MultiMarginLoss: expected weight to be None or 1D tensor, got {weight.dim()}D instead"
            )
        self.p = p
        self.margin = margin

    def forward(self, input, target):
        how = {"p": self.p, "margin": self.margin, "weight": self.weight, "reduction": self.reduction}
        return margins.multi_margin_loss(input, target, **how)


class MultiLabelMarginLoss(_Loss):
    """Hinges between every true and every other class: input (N, C), target (N, C) lists labels, ended by -1."""

    def forward(self, input, target):
        return margins.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The mean over classes of the cross-entropy of sigmoid(input) against target in {0, 1}: (N, C), (N, C)."""

    def forward(self, input, target):
        return margins.multilabel_soft_margin_loss(input, target, weight=self.weight, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d the p-norm distance."""

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, size_average=None, reduce=None,
        reduction: str = "mean",
    ):  # fmt: skip
        super().__init__(size_average, reduce, reduction)
        if margin <= 0:
            raise ValueRangeError(f"TripletMarginLoss: expected margin to be greater than 0, got {margin} instead")
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor, positive, negative):
        how = {"margin": self.margin, "p": self.p, "eps": self.eps, "swap": self.swap, "reduction": self.reduction}
        return margins.triplet_margin_loss(anchor, positive, negative, **how)


class TripletMarginWithDistanceLoss(_Loss):
    """TripletMarginLoss with any distance: a function of two tensors (by default the Euclidean distance)."""

    def __init__(self, *, distance_function=None, margin: float = 1.0, swap: bool = False, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        if margin <= 0:
            raise ValueRangeError(
                f"TripletMarginWithDistanceLoss: expected margin to be greater than 0, got {margin} instead"
            )
        self.distance_function = pairwise_distance if distance_function is None else distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor, positive, negative):
        how = {"distance_function": self.distance_function, "margin": self.margin}
        how |= {"swap": self.swap, "reduction": self.reduction}
        return margins.triplet_margin_with_distance_loss(anchor, positive, negative, **how)


class CTCLoss(_Loss):
    """The negative log probability of target sequences over all alignments (Graves et al., ICML 2006).

    log_probs (T, N, C), targets (N, S) or in a row, and N lengths of each.
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False):
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(self, log_probs, targets, input_lengths, target_lengths):
        how = (self.blank, self.reduction, self.zero_infinity)
        return ctc.ctc_loss(log_probs, targets, input_lengths, target_lengths, *how)


# --- beyond PyTorch -----------------------------------------------------------------------------------------------------


class ContrastiveLoss(_Loss):
    """Pairs pulled together (target 1) or pushed ``margin`` apart (target 0): Hadsell, Chopra & LeCun, CVPR 2006.

    input1, input2 (N, D), target (N).
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input1, input2, target):
        return margins.contrastive_loss(input1, input2, target, self.margin, self.reduction)


class InfoNCELoss(_Loss):
    """Cross-entropy of picking the positive by cosine similarity (van den Oord et al. 2018, arXiv:1807.03748).

    query, positive (N, D); negatives (M, D) or (N, M, D), by default the other examples' positives.
    """

    def __init__(self, temperature: float = 0.1, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.temperature = temperature

    def forward(self, query, positive, negatives=None):
        return margins.info_nce_loss(query, positive, negatives, self.temperature, self.reduction)


class FocalLoss(_Loss):
    """(1 - p) ** gamma times the cross-entropy: easy examples count less (Lin et al. 2017, arXiv:1708.02002).

    Integer targets (N, *): classes, alpha a factor per class; floating targets of input's shape: binary, alpha a number.
    """

    def __init__(self, alpha=None, gamma: float = 2.0, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        if isinstance(alpha, Tensor):
            self.register_buffer("alpha", alpha)
        else:
            self.alpha = alpha
        self.gamma = gamma

    def forward(self, input, target):
        return classification.focal_loss(input, target, self.alpha, self.gamma, self.reduction)


class DiceLoss(_Loss):
    """1 - (2 |overlap| + smooth) / (|input| + |target| + smooth) per example and class (arXiv:1606.04797).

    input (N, C, *) are probabilities; target the same shape, or class numbers (N, *).
    """

    def __init__(self, smooth: float = 1.0, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.smooth = smooth

    def forward(self, input, target):
        return classification.dice_loss(input, target, self.smooth, self.reduction)
