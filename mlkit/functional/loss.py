"""Losses between numbers and numbers, and what all losses share: reductions and the checks of shapes."""

from __future__ import annotations

import functools
import math
import warnings

from mlkit.core import config, frames
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import check_numbers, composite, ops
from mlkit.core.errors import DtypeError, ShapeError, UnsupportedDtype, ValueRangeError
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import Value, shown_as

# --- what losses share ------------------------------------------------------------------------------------------------


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
    hint = one_axis_less(a, b) or hint
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


def one_axis_less(a: tuple, b: tuple) -> str | None:
    """How to bring predictions (N, 1) and targets (N) together; None when it is something else."""
    if len(a) == len(b) + 1 and a[-1] == 1 and a[:-1] == b:
        return "Remove the extra axis of the prediction: input.squeeze(-1)."
    if len(b) == len(a) + 1 and b[-1] == 1 and b[:-1] == a:
        return "Remove the extra axis of the target: target.squeeze(-1)."
    return None


def as_numbers(input, target) -> tuple:
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


# --- between numbers --------------------------------------------------------------------------------------------------


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
        ops.square(ops.sub(*_of_one_dtype(*as_numbers(input, target)))), weight, reduction, size_average, reduce
    )


@composite
def l1_loss(input, target, size_average=None, reduce=None, reduction: str = "mean", weight=None):
    """The mean of |input - target|; with ``weight`` (input's shape) the weighted mean."""
    check_same_shape("l1_loss", input, target)
    return _weighted(ops.abs(ops.sub(*_of_one_dtype(input, target))), weight, reduction, size_average, reduce)


@composite
@shows("SmoothL1LossBackward0")
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction: str = "mean", beta: float = 1.0):
    """Squares divided by 2 beta below beta, |input - target| - beta / 2 above (Girshick 2015, arXiv:1504.08083)."""
    check_same_shape("smooth_l1_loss", input, target)
    _refuse_whole("smooth_l1_loss", input, target)
    if beta < 0:
        raise ShapeError(f"smooth_l1_loss does not support negative values for beta, got {beta}.")
    distance = ops.abs(ops.sub(*_of_one_dtype(*as_numbers(input, target))))
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
    distance = ops.abs(ops.sub(*as_numbers(input, target)))
    small, large = ops.mul(ops.square(distance), 0.5), ops.mul(ops.sub(distance, 0.5 * delta), delta)
    loss = ops.where(ops.le(distance, delta), small, large)
    if weight is not None:  # unlike the other weighted losses, the mean is over the count, not the weights
        if tuple(weight._array.shape) != tuple(loss._array.shape):
            raise ValueRangeError("Weights and input must have the same size.", f"{weight.shape} and {loss.shape}")
        loss = ops.mul(loss, weight)
    if loss._array.dtype != input._array.dtype and input._array.dtype.kind in "fV":
        loss = ops.cast_like(loss, input)  # as PyTorch, which writes it over a tensor like the input
    return reduced(loss, reduction)


# --- of distributions -------------------------------------------------------------------------------------------------


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


def _check_variance(array) -> None:
    if bool((array < 0).any()):
        raise ValueRangeError("var has negative entry/entries")
