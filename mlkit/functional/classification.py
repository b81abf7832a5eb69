"""Losses of classes: cross-entropy in its forms, and losses for classes that are rare."""

from __future__ import annotations

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import check_numbers, composite, ops, state
from mlkit.core.errors import ArgumentError, BatchError, DtypeError, ShapeError, ValueRangeError
from mlkit.core.value import LevelArray, MetaArray, Value, is_plain, shown_as, wrap
from mlkit.functional.arguments import check_floating, check_same_dtype
from mlkit.functional.loss import check_same_shape, old_reduction, one_axis_less, reduced, shows

#: element types of class numbers
LABELS = (np.dtype(np.int64), np.dtype(np.uint8))


# --- one class --------------------------------------------------------------------------------------------------------


@composite
@shows("NllLossBackward0")
def nll_loss(
    input, target, weight=None, size_average=None, ignore_index: int = -100, reduce=None, reduction: str = "mean"
):
    """The negative of input (log probabilities, (N, C, *)) at each label of target (N, *)."""
    if size_average is not None or reduce is not None:
        reduction = old_reduction(size_average, reduce)
    if target._array.dtype.kind not in "iu":
        raise DtypeError(
            f"nll_loss: expected integer class labels, got {dtypes.from_numpy_dtype(target._array.dtype)}.",
            hint="Use target.long().",
        )
    if target._array.dtype not in LABELS:
        raise DtypeError(
            f"expected target dtype to be int64 or uint8, but got {target.dtype}.", hint="Use target.long()."
        )
    scores, labels = tuple(input._array.shape), tuple(target._array.shape)
    if len(scores) > 1 and labels and isinstance(scores[0], int) and scores[0] != labels[0]:
        raise BatchError(
            f"Expected input batch_size ({scores[0]}) to match target batch_size ({labels[0]}).",
            f"input:  (batch, class, ...): {scores}\ntarget: (batch, ...): {labels}",
        )
    check_floating("nll_loss", input)
    check_same_dtype("nll_loss", input, parameters=False, weight=weight)
    picked = ops.nll_pick(input, target, ignore_index=ignore_index)
    if weight is not None:
        if tuple(weight._array.shape) != (input._array.shape[1 if input._array.ndim > 1 else 0],):
            raise ShapeError(
                f"weight tensor should be defined either for all classes or no classes but got weight tensor of shape: "
                f"{list(weight._array.shape)}.",
                f"input: (batch, class, ...): {tuple(input._array.shape)}",
            )
        safe = ops.where(ops.ne(target, ignore_index), target, ops.zeros_like(target))
        scale = ops.reshape(
            ops.index_select(weight, ops.reshape(safe, shape=(-1,)), dim=0), shape=tuple(target._array.shape)
        )
        scale = ops.mul(scale, ops.cast_like(ops.ne(target, ignore_index), scale))
        loss = ops.mul(ops.neg(picked), scale)
        return ops.div(ops.sum(loss), ops.sum(scale)) if reduction == "mean" else reduced(loss, reduction)
    if reduction == "mean" and target._array.__class__ is not MetaArray:
        counted = ops.sum(ops.ne(target, ignore_index))
        unknown = isinstance(target._array, LevelArray) or backends.for_array(target._array).name != "numpy"
        if unknown or int(counted._array) != target._array.size:
            return ops.div(ops.neg(ops.sum(picked)), ops.cast_like(counted, picked))
    return reduced(ops.neg(picked), reduction)


@composite
def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index: int = -100,
    reduce=None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
):
    """The cross-entropy of softmax(input) against target.

    Args:
        input: scores before softmax, (C), (N, C) or (N, C, *).
        target: class numbers (N, *), or class probabilities of input's shape (floating point).
        weight: one factor per class (C).
        ignore_index: labels that do not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: share of the target given evenly to all classes (Szegedy et al. 2015, arXiv:1512.00567).

    Raises:
        LabelError: a label outside 0 .. C-1.
        ShapeError: shapes that do not fit.

    >>> import mlkit
    >>> mlkit.nn.functional.cross_entropy(mlkit.zeros(2, 4), mlkit.tensor([0, 3]))
    tensor(1.3863)
    """
    if not isinstance(target, Value):
        raise ArgumentError(f"cross_entropy: expected target as a Tensor, got {type(target).__name__}.")
    if size_average is not None or reduce is not None:
        reduction = old_reduction(size_average, reduce)
    axis = 1 if input._array.ndim > 1 else 0
    if target._array.dtype.kind in "fV":
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing, axis)
    if target._array.dtype not in LABELS:
        raise DtypeError(
            f"cross_entropy: expected labels of int64 (or uint8) or floating probabilities, got "
            f"{dtypes.from_numpy_dtype(target._array.dtype)}.",
            hint="Use target.long() for class numbers.",
        )
    if label_smoothing < 0 or label_smoothing > 1:
        raise BatchError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}.")
    if weight is None and label_smoothing == 0 and _rows_with_labels(input._array, target._array):
        losses = ops.softmax_cross_entropy(input, target, ignore_index=ignore_index)
        if reduction == "mean" and state.recorder is not None:  # another call may have other labels
            return ops.div(ops.sum(losses), ops.cast_like(ops.sum(ops.ne(target, ignore_index)), losses))
        count = backends.for_array(target._array).functions.get("counted")
        if reduction == "mean" and count is not None:  # on the device, without asking it
            counted = count(target._array, ignore_index, losses._array.dtype)
            if counted is not None:
                return shown_as(ops.div(ops.sum(losses), wrap(counted)), "NllLossBackward0")
        if reduction == "mean" and (target._array == ignore_index).any():
            return shown_as(ops.div(ops.sum(losses), float((target._array != ignore_index).sum())), "NllLossBackward0")
        return shown_as(reduced(losses, reduction), "NllLossBackward0")
    log_p = ops.log_softmax(input, dim=axis)
    plain = nll_loss(log_p, target, weight, ignore_index=ignore_index, reduction=reduction)
    if label_smoothing == 0:
        return plain
    classes = input._array.shape[axis]
    counted = ops.cast_like(ops.ne(target, ignore_index), log_p)
    spread = log_p
    if weight is not None:
        spread = ops.mul(spread, ops.reshape(weight, shape=_wide(classes, input._array.ndim)))
    smooth = ops.mul(ops.neg(ops.sum(spread, dim=axis)), counted)
    if reduction == "mean":
        if weight is None:
            total = ops.sum(counted)
        else:
            safe = ops.where(ops.ne(target, ignore_index), target, ops.zeros_like(target))
            picked = ops.index_select(weight, ops.reshape(safe, shape=(-1,)), dim=0)
            total = ops.sum(ops.mul(picked, ops.reshape(counted, shape=(-1,))))
        smooth = ops.div(ops.sum(smooth), total)
    else:
        smooth = reduced(smooth, reduction)
    return ops.add(ops.mul(plain, 1 - label_smoothing), ops.mul(smooth, label_smoothing / classes))


def _rows_with_labels(input, target) -> bool:
    """Whether these are plain arrays of scores (N, C) and labels (N), for which one op does it all."""
    return (
        len(input.shape) == 2
        and tuple(target.shape) == tuple(input.shape[:1])
        and input.dtype.kind in "fV"
        and is_plain(input)
        and is_plain(target)
    )


def _wide(classes, rank):
    return (classes,) if rank == 1 else (1, classes, *([1] * (rank - 2)))


def _soft_cross_entropy(input, target, weight, reduction, label_smoothing, axis):
    if tuple(target._array.shape) != tuple(input._array.shape):
        hint = "For class numbers use integers: target.long()."
        if input._array.dtype.kind in "iu":
            hint = "The arguments look swapped: cross_entropy(input, target) takes the model's output first."
        scores, given = tuple(input._array.shape), tuple(target._array.shape)
        kind = BatchError if len(scores) > 1 and scores[:1] != given[:1] else ShapeError
        raise kind(
            "cross_entropy: class probabilities must have the shape of input.",
            f"input:  {tuple(input._array.shape)}\ntarget: {tuple(target._array.shape)} (floating point)",
            hint,
        )
    classes = input._array.shape[axis]
    if label_smoothing:
        target = ops.add(ops.mul(target, 1 - label_smoothing), label_smoothing / classes)
    terms = ops.mul(ops.log_softmax(input, dim=axis), target)
    if weight is not None:
        terms = ops.mul(terms, ops.reshape(weight, shape=_wide(classes, input._array.ndim)))
    loss = ops.neg(ops.sum(terms, dim=axis))
    return reduced(loss, reduction)


@composite
def linear_cross_entropy(
    input,
    linear_weight,
    target,
    *,
    linear_bias=None,
    weight=None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options=None,
):
    """``cross_entropy(linear(input, linear_weight, linear_bias), target)``: the last layer of a classifier and its loss.

    Args:
        input: (batch, in) or (in,).
        linear_weight: (class, in), or (class, d1, ..., dK, in) for one loss at each of d1 x ... x dK places.
        target: labels (batch, d1, ..., dK), or probabilities in the shape of the logits.
        linear_bias: (class, d1, ..., dK).
        weight, reduction, label_smoothing: as in ``cross_entropy``.
        ignore_index: the label that counts for nothing, -100 when not given.
        options: accepted for PyTorch's sake, where it has the logits computed in pieces to save memory. Here they are
            computed at once: the numbers are the same.

    >>> import mlkit
    >>> x, w = mlkit.ones(1, 2), mlkit.tensor([[0.0, 0.0], [1.0, 1.0]])
    >>> mlkit.nn.functional.linear_cross_entropy(x, w, mlkit.tensor([1]))
    tensor(0.1269)
    """
    shape, table = tuple(input._array.shape), tuple(linear_weight._array.shape)
    if len(shape) not in (1, 2):
        raise ShapeError(f"linear_cross_entropy: expected input (batch, in) or (in,), got {shape}.")
    if len(table) < 2:
        raise ShapeError(
            f"linear_cross_entropy: expected linear_weight with dimensionality at least 2, got {len(table)}."
        )
    if shape[-1] != table[-1]:
        raise ShapeError(
            f"linear_cross_entropy: the last axes of input and linear_weight must agree: {shape[-1]} != {table[-1]}.",
            f"input: {shape}\nlinear_weight: {table}",
        )
    if linear_bias is not None and tuple(linear_bias._array.shape) != table[:-1]:
        raise ShapeError(
            f"linear_cross_entropy: expected linear_bias of shape {table[:-1]}, got {tuple(linear_bias._array.shape)}."
        )
    if len(table) > 2 and len(shape) == 1:
        raise ShapeError(f"linear_cross_entropy: linear_weight {table} requires a batched input (batch, {shape[-1]}).")
    flat = ops.reshape(linear_weight, shape=(-1, table[-1]))
    bias = None if linear_bias is None else ops.reshape(linear_bias, shape=(-1,))
    logits = ops.reshape(ops.linear(input, flat, bias), shape=(*shape[:-1], *table[:-1]))
    if ignore_index is not None and tuple(target._array.shape) == tuple(logits._array.shape):
        raise ShapeError("linear_cross_entropy: ignore_index cannot be specified when target contains probabilities.")
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(
        logits, target, weight, ignore_index=ignored, reduction=reduction, label_smoothing=label_smoothing
    )


# --- yes or no --------------------------------------------------------------------------------------------------------


@composite
def _of_one_size(input, target) -> str | None:
    """What brings outputs and targets of as many elements together."""
    a, b = tuple(input._array.shape), tuple(target._array.shape)
    if a == (*b, 1):
        return f"Drop the outputs' axis of size 1: input.squeeze({len(a) - 1})."
    if b == (*a, 1):
        return f"Drop the targets' axis of size 1: target.squeeze({len(b) - 1})."
    return None


@shows("BinaryCrossEntropyWithLogitsBackward0")
def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction: str = "mean", pos_weight=None
):
    """The cross-entropy of sigmoid(input) against target in [0, 1], stable for large |input|."""
    if tuple(input._array.shape) != tuple(target._array.shape):
        raise ValueRangeError(
            f"Target size ({list(target._array.shape)}) must be the same as input size ({list(input._array.shape)}).",
            hint=_of_one_size(input, target),
        )
    own, theirs = input._array.dtype, target._array.dtype
    if own != theirs:  # the loss has the target's type, which must be able to hold it
        if theirs.kind == "b" or theirs.kind in "iu" and own.kind not in "iub":
            raise DtypeError(
                f"binary_cross_entropy_with_logits: result type {input.dtype} can't be cast to the target's type "
                f"{target.dtype}.",
                hint="Give the target as floating point: target.float().",
            )
    if pos_weight is None:
        loss = ops.sub(ops.softplus(input, threshold=1e30), ops.mul(input, target))
    else:
        log_weight = ops.add(ops.mul(ops.sub(pos_weight, 1), target), 1)
        tail = ops.mul(log_weight, ops.neg(ops.log_sigmoid(input)))
        loss = ops.add(ops.mul(ops.sub(1, target), input), tail)
    if weight is not None:
        loss = ops.mul(loss, weight)
    if own != theirs and loss._array.dtype != theirs:
        loss = ops.cast_like(loss, target)
    return reduced(loss, reduction, size_average, reduce)


@composite
@shows("BinaryCrossEntropyBackward0")
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction: str = "mean"):
    """The cross-entropy of probabilities input in [0, 1] against target in [0, 1]; logarithms are kept above -100."""
    if tuple(input._array.shape) != tuple(target._array.shape):
        raise ValueRangeError(
            f"Using a target size ({list(target._array.shape)}) that is different to the input size "
            f"({list(input._array.shape)}) is deprecated. Please ensure they have the same size.",
            hint=one_axis_less(tuple(input._array.shape), tuple(target._array.shape)),
        )
    check_same_dtype("binary_cross_entropy", input, parameters=False, target=target)
    check_numbers(input, _check_probabilities)
    if target._array.dtype.kind not in "fcV":
        raise DtypeError(
            f"binary_cross_entropy: expected a floating target, got {dtypes.from_numpy_dtype(target._array.dtype)}.",
            hint="Use target.float().",
        )
    loss = ops.binary_cross_entropy_terms(input, target)
    if weight is not None:
        loss = ops.mul(loss, weight)
    return reduced(loss, reduction, size_average, reduce)


def _check_probabilities(array) -> None:
    if array.size and not bool(((array >= 0) & (array <= 1)).all()):
        raise ShapeError(
            "binary_cross_entropy: all elements of input should be between 0 and 1.",
            hint="Apply a sigmoid first, or use binary_cross_entropy_with_logits on the scores.",
        )


# --- beyond PyTorch ---------------------------------------------------------------------------------------------------


@composite
def focal_loss(input, target, alpha=None, gamma: float = 2.0, reduction: str = "mean"):
    """(1 - p) ** gamma times the cross-entropy, p the probability of the truth (Lin et al. 2017, arXiv:1708.02002).

    Easy examples count less. With integer target (N, *) input (N, C, *) are scores of classes and ``alpha`` may hold a
    factor per class (C); with floating target of input's shape both are binary, and a number ``alpha`` weighs 1 against
    1 - alpha of the zeros (the paper: 0.25).
    """
    if gamma < 0:
        raise ValueRangeError(f"focal_loss: gamma must not be negative, got {gamma}.")
    if target._array.dtype.kind in "iu" and tuple(target._array.shape) != tuple(input._array.shape):
        axis = 1 if input._array.ndim > 1 else 0
        log_p = ops.nll_pick(ops.log_softmax(input, dim=axis), target, ignore_index=-100)
        loss = ops.mul(ops.neg(log_p), ops.pow(ops.sub(1, ops.exp(log_p)), gamma))
        if alpha is not None:
            scale = ops.index_select(alpha, ops.reshape(target, shape=(-1,)), dim=0)
            loss = ops.mul(loss, ops.reshape(scale, shape=tuple(target._array.shape)))
        return reduced(loss, reduction)
    check_same_shape("focal_loss", input, target)
    target = ops.cast_like(target, input)
    ce = binary_cross_entropy_with_logits(input, target, reduction="none")
    p = ops.sigmoid(input)
    wrong = ops.add(ops.mul(target, ops.sub(1, p)), ops.mul(ops.sub(1, target), p))
    loss = ops.mul(ce, ops.pow(wrong, gamma))
    if alpha is not None:
        loss = ops.mul(loss, ops.add(ops.mul(target, alpha), ops.mul(ops.sub(1, target), 1 - alpha)))
    return reduced(loss, reduction)


@composite
def dice_loss(input, target, smooth: float = 1.0, reduction: str = "mean"):
    """1 - (2 |overlap| + smooth) / (|input| + |target| + smooth) per example and class (Milletari et al. 2016).

    "V-Net", arXiv:1606.04797. input (N, C, *) are probabilities (after sigmoid or softmax), target the same shape in
    [0, 1], or class numbers (N, *).
    """
    shape = tuple(input._array.shape)
    if len(shape) < 2:
        raise ShapeError(f"dice_loss: expected input (batch, class, ...), got {shape}.")
    if tuple(target._array.shape) != shape:
        if tuple(target._array.shape) != (shape[0], *shape[2:]) or target._array.dtype.kind not in "iu":
            raise ShapeError(
                "dice_loss: target needs input's shape, or class numbers (batch, ...).",
                f"input:  {shape}\ntarget: {tuple(target._array.shape)}",
            )
        numbers = ops.reshape(ops.index_array(range(shape[1]), like=input), shape=_wide(shape[1], len(shape)))
        target = ops.eq(ops.unsqueeze(target, 1), numbers)
    target = ops.cast_like(target, input)
    over = tuple(range(2, len(shape)))
    overlap = ops.mul(input, target)
    both = ops.add(input, target)
    if over:
        overlap, both = ops.sum(overlap, dim=over), ops.sum(both, dim=over)
    loss = ops.sub(1, ops.div(ops.add(ops.mul(overlap, 2.0), smooth), ops.add(both, smooth)))
    return reduced(loss, reduction)
