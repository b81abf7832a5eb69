"""Losses: how far predictions are from targets."""

from __future__ import annotations

import functools
import math
import warnings

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import config, frames
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import check_numbers, composite, ops, state
from mlkit.core.errors import ArgumentError, BatchError, DtypeError, ShapeError, UnsupportedDtype, ValueRangeError
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import LevelArray, MetaArray, Value, is_plain, shown_as, wrap
from mlkit.functional.arguments import check_floating, check_same_dtype
from mlkit.functional.distance import normalize, pairwise_distance


def reduced(loss, reduction: str, size_average=None, reduce=None):
    """The loss per element, its mean or its sum; size_average and reduce are PyTorch's old way to say which."""
    if size_average is not None or reduce is not None:
        reduction = old_reduction(size_average, reduce)
    if reduction == "mean":
        return ops.mean(loss)
    if reduction == "sum":
        return ops.sum(loss)
    if reduction == "none":
        return loss
    raise ValueRangeError(f"{reduction} is not a valid value for reduction: use 'mean', 'sum' or 'none'.")


def shows(name: str):
    """Have the node of what a function gives bear the function's own name, as PyTorch prints it."""

    def decorate(fn):
        @functools.wraps(fn)
        def call(*args, **kwargs):
            return shown_as(fn(*args, **kwargs), name)

        return call

    return decorate


def check_reduction(reduction) -> None:
    """Refuse a reduction that is none before anything else is looked at."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueRangeError(f"{reduction} is not a valid value for reduction: use 'mean', 'sum' or 'none'.")


def old_reduction(size_average, reduce) -> str:
    """PyTorch's old ``size_average`` and ``reduce`` as a reduction."""
    warnings.warn("size_average and reduce args will be deprecated, please use reduction instead.", stacklevel=4)
    return "none" if reduce is False else "sum" if size_average is False else "mean"


#: element types of class numbers
LABELS = (np.dtype(np.int64), np.dtype(np.uint8))
#: losses that PyTorch warns of when their shapes differ
_WARNS = {"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"}


def _warn_of_broadcasting(input, target) -> None:
    """PyTorch's warning, at the line of the user's program."""
    file, line, _ = frames.user_place() or ("<unknown>", 0, "")
    warnings.warn_explicit(
        f"Using a target size ({target.shape!r}) that is different to the input size ({input.shape!r}). This will likely "
        "lead to incorrect results due to broadcasting. Please ensure they have the same size.",
        UserWarning,
        file,
        line,
    )


def check_same_shape(name: str, input, target) -> None:
    """Refuse a loss between shapes that only agree by broadcasting, which is nearly always a mistake."""
    a, b = tuple(input._array.shape), tuple(target._array.shape)
    if a == b or not a or not b:  # one number against all is no accident of shapes
        return
    if not config.strict_broadcast:
        if name in _WARNS:
            _warn_of_broadcasting(input, target)
        return
    hint = (
        f"Give both the same shape, for example target.reshape(input.shape) or {name}(input.expand_as(target), target)."
    )
    hint = _one_axis_less(a, b) or hint
    facts = f"input:  {a}\ntarget: {b}"
    try:
        broadcast_shapes(a, b)
    except ValueError:
        raise ShapeError(f"{name}: input and target must have the same shape.", facts, hint) from None
    raise ShapeError(
        f"{name}: input and target must have the same shape; broadcasting {a} with {b} would compare every prediction "
        "with every target.",
        facts,
        hint + "\nIf broadcasting is what you want: mlkit.config.strict_broadcast = False.",
    )


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


def _one_axis_less(a: tuple, b: tuple) -> str | None:
    """How to bring predictions (N, 1) and targets (N) together; None when it is something else."""
    if len(a) == len(b) + 1 and a[-1] == 1 and a[:-1] == b:
        return "Remove the extra axis of the prediction: input.squeeze(-1)."
    if len(b) == len(a) + 1 and b[-1] == 1 and b[:-1] == a:
        return "Remove the extra axis of the target: target.squeeze(-1)."
    return None


def _numbers(input, target) -> tuple:
    """Both, a bool one as the other's numbers: labels that came out of a comparison."""
    if input._array.dtype == bool and target._array.dtype != bool:
        return ops.cast_like(input, target), target
    if target._array.dtype == bool and input._array.dtype != bool:
        return input, ops.cast_like(target, input)
    return input, target


def _refuse_whole(name: str, input, target) -> None:
    if input._array.dtype.kind in "iub" and target._array.dtype.kind in "iub":
        raise UnsupportedDtype(f"{name}: not implemented for {input.dtype}.", hint="Convert first: x.float().")


def _of_one_dtype(input, target) -> tuple:
    """Both; where one has no dims, in the dtype of both together: PyTorch gives it the other's shape before it promotes."""
    a, b = input._array, target._array
    if a.dtype == b.dtype or bool(a.ndim) == bool(b.ndim):
        return input, target
    d = dtypes.promote_types(dtypes.from_numpy_dtype(a.dtype), dtypes.from_numpy_dtype(b.dtype))
    return ops.cast(input, dtype=d), ops.cast(target, dtype=d)


def _weighted(loss, weight, reduction, size_average=None, reduce=None):
    """The loss with one factor per element: the mean is then the weighted one."""
    if weight is None:
        return reduced(loss, reduction, size_average, reduce)
    if tuple(weight._array.shape) != tuple(loss._array.shape):
        raise ValueRangeError("Weights and input must have the same size.", f"{weight.shape} and {loss.shape}")
    loss = ops.mul(loss, weight)
    return ops.div(ops.sum(loss), ops.sum(weight)) if reduction == "mean" else reduced(loss, reduction)


@composite
@shows("MseLossBackward0")
def mse_loss(input, target, size_average=None, reduce=None, reduction: str = "mean", weight=None):
    """The mean of (input - target)**2; with ``weight`` (input's shape) the weighted mean.

    >>> import mlkit
    >>> mlkit.nn.functional.mse_loss(mlkit.tensor([1.0, 2.0]), mlkit.tensor([1.0, 4.0]))
    tensor(2.)
    """
    check_same_shape("mse_loss", input, target)
    return _weighted(
        ops.square(ops.sub(*_of_one_dtype(*_numbers(input, target)))), weight, reduction, size_average, reduce
    )


@composite
def l1_loss(input, target, size_average=None, reduce=None, reduction: str = "mean", weight=None):
    """The mean of |input - target|; with ``weight`` (input's shape) the weighted mean."""
    check_same_shape("l1_loss", input, target)
    return _weighted(ops.abs(ops.sub(*_of_one_dtype(input, target))), weight, reduction, size_average, reduce)


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
            hint=_one_axis_less(tuple(input._array.shape), tuple(target._array.shape)),
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


def _check_variance(array) -> None:
    if bool((array < 0).any()):
        raise ValueRangeError("var has negative entry/entries")


@composite
@shows("SmoothL1LossBackward0")
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction: str = "mean", beta: float = 1.0):
    """Squares divided by 2 beta below beta, |input - target| - beta / 2 above (Girshick 2015, arXiv:1504.08083)."""
    check_same_shape("smooth_l1_loss", input, target)
    _refuse_whole("smooth_l1_loss", input, target)
    if beta < 0:
        raise ShapeError(f"smooth_l1_loss does not support negative values for beta, got {beta}.")
    distance = ops.abs(ops.sub(*_of_one_dtype(*_numbers(input, target))))
    if beta == 0:
        return reduced(distance, reduction, size_average, reduce)
    small = ops.mul(ops.square(distance), 0.5 / beta)
    loss = ops.where(ops.lt(distance, beta), small, ops.sub(distance, 0.5 * beta))
    return reduced(loss, reduction, size_average, reduce)


@composite
@shows("HuberLossBackward0")
def huber_loss(input, target, reduction: str = "mean", delta: float = 1.0, weight=None):
    """Half squares up to delta, delta * (|input - target| - delta / 2) beyond (Huber 1964)."""
    check_same_shape("huber_loss", input, target)
    _refuse_whole("huber_loss", input, target)
    if input._array.dtype.kind in "biu" and target._array.dtype.kind in "fV":
        raise DtypeError(f"huber_loss: expected a floating point input, got {input.dtype}.")
    if not delta > 0:
        raise ShapeError(f"huber_loss does not support non-positive values for delta, got {delta}.")
    distance = ops.abs(ops.sub(*_numbers(input, target)))
    small, large = ops.mul(ops.square(distance), 0.5), ops.mul(ops.sub(distance, 0.5 * delta), delta)
    loss = ops.where(ops.le(distance, delta), small, large)
    if weight is not None:  # unlike the other weighted losses, the mean is over the count, not the weights
        if tuple(weight._array.shape) != tuple(loss._array.shape):
            raise ValueRangeError("Weights and input must have the same size.", f"{weight.shape} and {loss.shape}")
        loss = ops.mul(loss, weight)
    if loss._array.dtype != input._array.dtype and input._array.dtype.kind in "fV":
        loss = ops.cast_like(loss, input)  # as PyTorch, which writes it over a tensor like the input
    return reduced(loss, reduction)


@composite
def kl_div(input, target, size_average=None, reduce=None, reduction: str = "mean", log_target: bool = False):
    """target * (log(target) - input), input being log probabilities (Kullback & Leibler 1951).

    reduction "batchmean" (the sum over the batch size) is the divergence; "mean" divides by all elements.
    """
    if size_average is not None or reduce is not None:
        reduction = old_reduction(size_average, reduce)
    if log_target:
        loss = ops.mul(ops.exp(target), ops.sub(target, input))
    else:  # 0 * log(0) is 0
        loss = ops.sub(ops.xlogy(target, target), ops.mul(target, input))
    if reduction == "batchmean":
        total = ops.sum(loss)
        return ops.div(total, input._array.shape[0]) if input._array.ndim else total
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size. 'batchmean' divides "
            "only by the batch size, and aligns with the KL div math definition.",
            stacklevel=3,
        )
    return reduced(loss, reduction)


@composite
def poisson_nll_loss(
    input,
    target,
    log_input: bool = True,
    full: bool = False,
    size_average=None,
    eps: float = 1e-8,
    reduce=None,
    reduction: str = "mean",
):
    """The negative log likelihood of counts under a Poisson distribution with (log of the) mean input.

    ``full`` adds Stirling's approximation of log(target!) where target > 1.
    """
    if log_input:
        loss = ops.sub(ops.exp(input), ops.mul(target, input))
    else:
        loss = ops.sub(input, ops.mul(target, ops.log(ops.add(input, eps))))
    if full:
        large = ops.gt(target, 1)
        safe = ops.where(large, target, ops.ones_like(target))
        stirling = ops.add(
            ops.sub(ops.mul(safe, ops.log(safe)), safe), ops.mul(ops.log(ops.mul(safe, 2 * math.pi)), 0.5)
        )
        loss = ops.add(loss, ops.where(large, stirling, ops.zeros_like(stirling)))
    return reduced(loss, reduction, size_average, reduce)


@composite
def gaussian_nll_loss(input, target, var, full: bool = False, eps: float = 1e-6, reduction: str = "mean"):
    """The negative log likelihood of target under a normal distribution with mean input and variance var.

    var has input's shape, or input's without the last dim (or with 1 there), or is a positive number.
    """
    shape = tuple(input._array.shape)
    if not isinstance(var, Value):
        if var < 0:
            raise ValueRangeError("var has negative entry/entries")
        var = ops.add(ops.mul(input.detach(), 0.0), float(var))
    own = tuple(var._array.shape)
    if own != shape:
        if shape[:-1] == own:
            var = ops.unsqueeze(var, -1)
        elif not (shape[:-1] == own[:-1] and own[-1:] == (1,)) and own != ():
            raise ValueRangeError("var is of incorrect size", f"input: {shape}\nvar:   {own}")
    if reduction not in ("none", "mean", "sum"):
        raise ValueRangeError(f"{reduction} is not valid")
    check_numbers(var, _check_variance)
    if var._array.dtype.kind not in "fV":
        raise DtypeError(
            f"gaussian_nll_loss: the bound eps, a float, can't be cast to the type of var, {var.dtype}.",
            hint="Give var as floating point: var.float().",
        )
    # the bound on var has no part in the gradient: where it applies the slope passes as if it did not
    bounded = ops.add(var, ops.sub(ops.clamp(var.detach(), min=eps), var.detach()))
    loss = ops.mul(ops.add(ops.log(bounded), ops.div(ops.square(ops.sub(input, target)), bounded)), 0.5)
    if full:
        loss = ops.add(loss, 0.5 * math.log(2 * math.pi))
    return reduced(loss, reduction)


# --- margins ------------------------------------------------------------------------------------------------------------


@composite
def hinge_embedding_loss(input, target, margin: float = 1.0, size_average=None, reduce=None, reduction: str = "mean"):
    """input where target is 1, max(0, margin - input) where it is -1."""
    if input._array.dtype.kind in "iu":
        margin = int(margin)
    zero = ops.zeros_like(input) if input._array.dtype.kind in "iub" else ops.mul(input, 0.0)
    apart = ops.where(ops.ne(target, 1), ops.relu(ops.sub(margin, input)), zero)
    together = ops.where(ops.ne(target, -1), input, zero)
    return reduced(ops.add(apart, together), reduction, size_average, reduce)


@composite
def margin_ranking_loss(
    input1, input2, target, margin: float = 0, size_average=None, reduce=None, reduction: str = "mean"
):
    """max(0, -target * (input1 - input2) + margin): target 1 wants input1 larger, -1 input2."""
    ranks = {t._array.ndim for t in (input1, input2, target)}
    if len(ranks) != 1:
        raise ShapeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape}."
        )
    loss = _hinge(ops.add(ops.mul(ops.neg(target), ops.sub(input1, input2)), margin))
    return reduced(loss, reduction, size_average, reduce)


def _hinge(x):
    """max(x, 0) whose slope at 0 is 1, as that of PyTorch's clamp_min."""
    return ops.clamp(x, min=0.0)


@composite
def soft_margin_loss(input, target, size_average=None, reduce=None, reduction: str = "mean"):
    """log(1 + exp(-target * input)), target being 1 or -1; exp overflows where a wrong prediction is too sure."""
    if input._array.dtype == bool:
        raise DtypeError("soft_margin_loss: expected a floating point input, got bool.", hint="Use input.float().")
    input, target = _numbers(input, target)
    if not input._array.ndim and target._array.ndim:
        raise ShapeError("soft_margin_loss: output with shape [] doesn't match the broadcast shape of target.")
    if input._array.dtype.kind not in "fV":
        raise DtypeError(f"soft_margin_loss: expected a floating point input, got {input.dtype}.")
    product = ops.mul(ops.neg(input), target)
    if product._array.dtype != input._array.dtype:
        product = ops.cast_like(product, input)
    with np.errstate(over="ignore"):
        loss = ops.log(ops.add(ops.exp(product), 1))
    if loss._array.dtype != input._array.dtype:
        loss = ops.cast_like(loss, input)
    return reduced(loss, reduction, size_average, reduce)


@composite
def cosine_embedding_loss(
    input1, input2, target, margin: float = 0, size_average=None, reduce=None, reduction: str = "mean"
):
    """1 - cosine where target is 1, max(0, cosine - margin) where it is -1: (N, D), (N, D), (N) or (D), (D), ()."""
    ranks = (input1._array.ndim, input2._array.ndim, target._array.ndim)
    if ranks not in ((2, 2, 1), (1, 1, 0)):
        raise ShapeError(
            f"{ranks[2]}D target tensor expects {ranks[2] + 1}D input tensors, but found inputs with sizes "
            f"{list(input1._array.shape)} and {list(input2._array.shape)}."
        )
    eps = 1e-12
    product = ops.sum(ops.mul(input1, input2), dim=-1)
    squares = [ops.add(ops.sum(ops.square(x), dim=-1), eps) for x in (input1, input2)]
    cosine = ops.div(product, ops.sqrt(ops.mul(*squares)))
    zero = ops.zeros_like(cosine)
    together = ops.where(ops.eq(target, 1), ops.sub(1, cosine), zero)
    apart = ops.where(ops.eq(target, -1), _hinge(ops.sub(cosine, margin)), zero)
    return reduced(ops.add(together, apart), reduction, size_average, reduce)


def _classes(name, input, target):
    """input as (N, C) and target as (N, ...), and whether there was a batch axis."""
    if input._array.dtype.kind not in "fV":
        check_floating(name, input)
    if target._array.dtype != np.int64:
        raise DtypeError(f"{name}: expected target of dtype int64, but got {target.dtype}.", hint="Use target.long().")
    a, b = tuple(input._array.shape), tuple(target._array.shape)
    if len(a) == 2:
        return input, target, True
    if len(a) == 1:
        return ops.unsqueeze(input, 0), ops.reshape(target, shape=(1, *b)), False
    if not a:
        return ops.reshape(input, shape=(1, 1)), ops.reshape(target, shape=(1, *(b and (1,)))), False
    raise ShapeError(f"{name}: expected input (batch, class) or (class), got {a} with target {b}.")


@composite
def multi_margin_loss(
    input,
    target,
    p: int = 1,
    margin: float = 1.0,
    weight=None,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
):
    """The mean over classes of max(0, margin - input[label] + input[class]) ** p: input (N, C), target (N)."""
    check_reduction(reduction)
    if p not in (1, 2):
        raise ValueRangeError("only p == 1 and p == 2 supported")
    if weight is not None and weight._array.ndim != 1:
        raise ValueRangeError("weight must be one-dimensional")
    rows, labels, batched = _classes(
        "multi_margin_loss", input, ops.reshape(target, shape=(-1,)) if input._array.ndim == 2 else target
    )
    if not batched:
        labels = ops.reshape(labels, shape=(-1,))
    n, classes = rows._array.shape
    if tuple(labels._array.shape) != (n,):
        raise ShapeError(
            f"multi_margin_loss: inconsistent target size, expected {n} but got {tuple(target._array.shape)}."
        )
    column = ops.unsqueeze(labels, -1)
    own = ops.gather(rows, column, dim=1)
    loss = ops.relu(ops.add(ops.sub(margin, own), rows))
    loss = loss if p == 1 else ops.square(loss)
    if weight is not None:
        loss = ops.mul(loss, ops.unsqueeze(ops.index_select(weight, labels, dim=0), -1))
    others = ops.scatter(ops.ones_like(loss), column, ops.zeros_like(own), dim=1)
    loss = ops.div(ops.sum(ops.mul(loss, others.detach()), dim=1), classes)
    loss = loss if batched else ops.reshape(loss, shape=())
    return reduced(loss, reduction, size_average, reduce)


@composite
def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction: str = "mean"):
    """Hinges between every true and every other class: input (N, C), target (N, C) lists labels, ended by -1."""
    check_reduction(reduction)
    if tuple(input._array.shape) != tuple(target._array.shape):
        raise ShapeError(
            "multilabel_margin_loss: input and target must have the same shape.",
            f"input:  {tuple(input._array.shape)}\ntarget: {tuple(target._array.shape)}",
        )
    if not input._array.ndim:
        input, target = ops.reshape(input, shape=(1,)), ops.reshape(target, shape=(1,))
    rows, labels, batched = _classes("multilabel_margin_loss", input, target)
    classes = rows._array.shape[1]
    # labels up to the first -1 count
    ended = ops.cumsum(ops.cast(ops.lt(labels, 0), dtype=dtypes.int64), dim=1)
    counts = ops.eq(ended, 0)
    safe = ops.where(counts, labels, ops.zeros_like(labels))
    hit = ops.cast_like(counts, rows)
    true = ops.scatter_add(ops.zeros_like(rows).detach(), safe, hit, dim=1)
    own = ops.gather(rows, safe, dim=1)
    gaps = ops.relu(ops.add(ops.sub(1.0, ops.unsqueeze(own, 2)), ops.unsqueeze(rows, 1)))  # (N, label, class)
    other = ops.cast_like(ops.eq(true, 0), rows)
    loss = ops.mul(ops.mul(gaps, ops.unsqueeze(hit, 2)), ops.unsqueeze(other, 1))
    loss = ops.div(ops.sum(loss, dim=(1, 2)), classes)
    loss = loss if batched else ops.reshape(loss, shape=())
    return reduced(loss, reduction, size_average, reduce)


@composite
def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction: str = "mean"):
    """The mean over classes of the cross-entropy of sigmoid(input) against target in {0, 1}: (N, C), (N, C)."""
    check_same_shape("multilabel_soft_margin_loss", input, target)
    check_floating("multilabel_soft_margin_loss", input)
    yes = ops.mul(target, ops.log_sigmoid(input))
    no = ops.mul(ops.sub(1, target), ops.log_sigmoid(ops.neg(input)))
    loss = ops.neg(ops.add(yes, no))
    if weight is not None:
        loss = ops.mul(loss, weight)
    return reduced(ops.div(ops.sum(loss, dim=-1), input._array.shape[-1]), reduction, size_average, reduce)


@composite
def triplet_margin_loss(
    anchor,
    positive,
    negative,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d the p-norm distance (Balntas et al. 2016).

    ``swap`` takes the nearer of anchor and positive for the negative.
    """
    if margin <= 0:
        raise ValueRangeError(f"margin must be greater than 0, got {margin}")
    if not anchor._array.ndim == positive._array.ndim == negative._array.ndim:
        raise ShapeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"{anchor.shape}, {positive.shape}, {negative.shape}."
        )
    ranks = {t._array.ndim for t in (anchor, positive, negative)}
    if len(ranks) != 1:
        raise ShapeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"{anchor.shape}, {positive.shape}, {negative.shape}."
        )

    def distance(a, b):
        return pairwise_distance(a, b, p, eps)

    return _triplet(anchor, positive, negative, distance, margin, swap, reduction, size_average, reduce)


def _triplet(anchor, positive, negative, distance, margin, swap, reduction, size_average=None, reduce=None):
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return reduced(_hinge(ops.add(ops.sub(near, far), margin)), reduction, size_average, reduce)


def triplet_margin_with_distance_loss(
    anchor,
    positive,
    negative,
    *,
    distance_function=None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
):
    """triplet_margin_loss with any distance: a function of two tensors."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueRangeError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueRangeError(f"margin must be greater than 0, got {margin}")
    ranks = [x._array.ndim for x in (anchor, positive, negative)]
    if len(set(ranks)) > 1:
        raise ShapeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {ranks[0]}D, positive {ranks[1]}D, and negative {ranks[2]}D inputs."
        )
    return _triplet(
        anchor, positive, negative, distance_function or pairwise_distance, margin, swap, reduction
    )  # fmt: skip


# --- beyond PyTorch -----------------------------------------------------------------------------------------------------


@composite
def contrastive_loss(input1, input2, target, margin: float = 1.0, reduction: str = "mean"):
    """Pairs pulled together or pushed apart (Hadsell, Chopra & LeCun, CVPR 2006).

    With d the Euclidean distance of input1 and input2 (N, D): d**2 / 2 where target (N) is 1 (the same),
    max(0, margin - d)**2 / 2 where it is 0.

    >>> import mlkit
    >>> a, b = mlkit.tensor([[0.0, 0.0]]), mlkit.tensor([[3.0, 4.0]])
    >>> mlkit.nn.functional.contrastive_loss(a, b, mlkit.tensor([1.0]))
    tensor(12.5000)
    """
    if tuple(target._array.shape) != tuple(input1._array.shape[:-1]):
        raise ShapeError(
            "contrastive_loss: expected one label per pair.",
            f"input1: (batch, feature): {tuple(input1._array.shape)}\ntarget: (batch): {tuple(target._array.shape)}",
        )
    d = pairwise_distance(input1, input2, 2.0, 0.0)
    same, apart = ops.square(d), ops.square(ops.relu(ops.sub(margin, d)))
    loss = ops.mul(ops.add(ops.mul(target, same), ops.mul(ops.sub(1, target), apart)), 0.5)
    return reduced(loss, reduction)


@composite
def info_nce_loss(query, positive, negatives=None, temperature: float = 0.1, reduction: str = "mean"):
    """Cross-entropy of picking the positive by cosine similarity (van den Oord et al. 2018, arXiv:1807.03748).

    query, positive (N, D). Without ``negatives`` the other examples' positives are the negatives; with negatives
    (M, D), or (N, M, D) for each query its own, those are.

    >>> import mlkit
    >>> x = mlkit.eye(4)
    >>> mlkit.nn.functional.info_nce_loss(x, x, temperature=0.1) < 1e-3
    tensor(True)
    """
    if temperature <= 0:
        raise ValueRangeError(f"info_nce_loss: temperature must be positive, got {temperature}.")
    if query._array.ndim != 2 or tuple(query._array.shape) != tuple(positive._array.shape):
        raise ShapeError(
            "info_nce_loss: query and positive must have the same shape (batch, feature).",
            f"query:    {tuple(query._array.shape)}\npositive: {tuple(positive._array.shape)}",
        )
    q, k = normalize(query, dim=-1), normalize(positive, dim=-1)
    n = q._array.shape[0]
    if negatives is None:
        scores = ops.matmul(q, ops.mT(k))
        labels = ops.index_array(range(n), like=query)
    else:
        other = normalize(negatives, dim=-1)
        own = ops.sum(ops.mul(q, k), dim=-1, keepdim=True)
        if other._array.ndim == 2:
            rest = ops.matmul(q, ops.mT(other))
        else:
            rest = ops.reshape(ops.matmul(ops.unsqueeze(q, 1), ops.mT(other)), shape=(n, -1))
        scores, labels = ops.cat([own, rest], dim=1), ops.index_array([0] * n, like=query)
    return cross_entropy(ops.div(scores, temperature), labels, reduction=reduction)


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
