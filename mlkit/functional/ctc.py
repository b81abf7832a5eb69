"""Connectionist temporal classification: the loss of a sequence whose alignment is not known."""

from __future__ import annotations

import math

from mlkit.core.dispatch import composite, ops
from mlkit.core.errors import ArgumentError, DtypeError, ShapeError, ValueRangeError
from mlkit.core.value import MetaArray, Value
from mlkit.functional.arguments import check_floating

#: the logarithm of "impossible": finite, so that differences of two of them are no NaN
NEVER = -1e30


def _lengths(name, given, batch: int, limit: int) -> list[int]:
    found = given.tolist() if isinstance(given, Value) else given
    found = [found] if isinstance(found, int) else [int(n) for n in found]
    if len(found) != batch:
        raise ShapeError(f"{name} must be of size batch_size: expected {batch} entries, got {len(found)}.")
    for n in found:
        if n < 0:
            raise ShapeError(f"Expected {name} to have value at least 0, but got value {n}.")
        if n > limit:
            raise ShapeError(f"Expected {name} to have value at most {limit}, but got value {n}.")
    return found


@composite
def ctc_loss(
    log_probs,
    targets,
    input_lengths,
    target_lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
):
    """The negative log probability of target sequences, summed over all alignments (Graves et al., ICML 2006).

    Args:
        log_probs: (T, N, C) logarithms of probabilities (after log_softmax), or (T, C).
        targets: class numbers without blanks, (N, S), or all of them in a row (sum of target_lengths).
        input_lengths, target_lengths: how much of each counts, N numbers each.
        blank: the class that stands for nothing.
        reduction: "mean" divides each loss by its target length, then averages over the batch; "sum"; "none".
        zero_infinity: a target that cannot be aligned costs 0 instead of infinity.

    As in PyTorch the gradient is the one that belongs to log_probs made by log_softmax: it contains
    exp(log_probs), which log_softmax's own gradient would otherwise add.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueRangeError(f"{reduction} is not a valid value for reduction")
    check_floating("ctc_loss", log_probs)
    for label, lengths in (("input_lengths", input_lengths), ("target_lengths", target_lengths)):
        if isinstance(lengths, Value):
            if lengths._array.dtype.kind not in "iu":
                raise DtypeError(f"ctc_loss: {label} must be integral, got {lengths.dtype}.")
        elif any(not hasattr(n, "__index__") for n in lengths):
            raise ArgumentError(f"ctc_loss(): argument '{label}' must be whole numbers, got {list(lengths)}.")
    single = log_probs._array.ndim == 2
    if single:
        log_probs = ops.unsqueeze(log_probs, 1)
        if isinstance(targets, Value) and targets._array.ndim == 1:
            targets = ops.unsqueeze(targets, 0)
    if log_probs._array.ndim != 3:
        raise ShapeError(f"ctc_loss: expected log_probs (time, batch, class), got {tuple(log_probs._array.shape)}.")
    steps, batch, classes = log_probs._array.shape
    if not 0 <= blank < classes:
        raise ShapeError(f"blank must be in label range: 0 .. {classes - 1}, got {blank}.")
    if log_probs._array.__class__ is MetaArray:
        return ops.sum(log_probs) if reduction != "none" else ops.sum(log_probs, dim=(0, 2))
    times = _lengths("input_lengths", input_lengths, batch, steps)
    rows = targets.tolist()
    flat = targets._array.ndim == 1
    sizes = _lengths("target_lengths", target_lengths, batch, len(rows) if flat else len(rows[0]) if rows else 0)
    if flat:
        if sum(sizes) != len(rows):
            raise ShapeError(f"ctc_loss: targets has {len(rows)} labels, target_lengths add up to {sum(sizes)}.")
        starts = [sum(sizes[:i]) for i in range(batch)]
        rows = [rows[a : a + n] for a, n in zip(starts, sizes, strict=True)]
    labels = [row[:n] for row, n in zip(rows, sizes, strict=True)]
    losses = _alignments(log_probs, labels, times, blank)
    impossible = ops.gt(losses, -NEVER / 10)
    never = ops.mul(losses.detach(), 0.0) if zero_infinity else ops.add(ops.mul(losses.detach(), 0.0), math.inf)
    losses = ops.where(impossible, never, losses)
    losses = _with_scores_gradient(losses, log_probs, times, impossible if zero_infinity else None)
    if reduction == "mean":
        counts = ops.cast_like(ops.index_array([max(n, 1) for n in sizes], like=log_probs), losses)
        return ops.mean(ops.div(losses, counts))
    if reduction == "sum":
        return ops.sum(losses)
    return ops.reshape(losses, shape=()) if single else losses


def _alignments(log_probs, labels, times, blank):
    """-log of the total probability of all alignments, (N): the forward recursion over 2 S + 1 states."""
    steps, batch, classes = log_probs._array.shape
    width = 2 * max(map(len, labels), default=0) + 1
    states = [[blank] * width for _ in labels]  # blank, label, blank, label, ..., blank
    skip = [[False] * width for _ in labels]  # a label may follow the one before directly, unless it is the same
    for row, jump, label in zip(states, skip, labels, strict=True):
        for i, k in enumerate(label):
            row[2 * i + 1] = k
            jump[2 * i + 1] = i > 0 and label[i - 1] != k
    index = ops.reshape(ops.index_array(sum(states, []), like=log_probs), shape=(1, batch, width))
    seen = ops.gather(log_probs, ops.expand(index, shape=(steps, batch, width)), dim=2)  # (T, N, width)
    jumps = ops.reshape(ops.ne(ops.index_array(sum(skip, []), like=log_probs), 0), shape=(batch, width))
    never = ops.add(ops.zeros((batch, width), like=log_probs), NEVER)
    number = ops.reshape(ops.index_array(range(width), like=log_probs), shape=(1, width))
    start = ops.le(number, 1)
    alpha = ops.where(start, ops.slice(seen, index=(0,)), never) if steps else never
    longest = max(times, default=0)
    duration = ops.reshape(ops.index_array(times, like=log_probs), shape=(batch, 1))
    for t in range(1, longest):
        one = _shifted(alpha, never, 1)
        two = ops.where(jumps, _shifted(alpha, never, 2), never)
        moved = ops.add(ops.logaddexp(ops.logaddexp(alpha, one), two), ops.slice(seen, index=(t,)))
        moved = ops.maximum(moved, never)
        alpha = ops.where(ops.gt(duration, t), moved, alpha)
    last = ops.index_array([[2 * len(label)] for label in labels], like=log_probs)
    before = ops.index_array([[max(2 * len(label) - 1, 0)] for label in labels], like=log_probs)
    end = ops.gather(alpha, last, dim=1)
    other = ops.gather(alpha, before, dim=1)
    has_label = ops.reshape(ops.index_array([bool(label) for label in labels], like=log_probs), shape=(batch, 1))
    other = ops.where(ops.ne(has_label, 0), other, ops.add(ops.mul(other.detach(), 0.0), NEVER))
    return ops.neg(ops.reshape(ops.logaddexp(end, other), shape=(batch,)))


def _shifted(alpha, never, by: int):
    """alpha moved ``by`` states on."""
    width = alpha._array.shape[1]
    if width <= by:
        return never
    head = ops.narrow(never, dim=1, start=0, length=by)
    return ops.cat([head, ops.narrow(alpha, dim=1, start=0, length=width - by)], dim=1)


def _with_scores_gradient(losses, log_probs, times, skipped):
    """losses plus nothing: a term of value 0 whose gradient is exp(log_probs) where the input counts."""
    steps, batch, _ = log_probs._array.shape
    p = ops.exp(log_probs)
    number = ops.reshape(ops.index_array(range(steps), like=log_probs), shape=(steps, 1))
    counts = ops.lt(number, ops.reshape(ops.index_array(times, like=log_probs), shape=(1, batch)))
    if skipped is not None:
        counts = ops.logical_and(counts, ops.logical_not(skipped))
    p = ops.where(ops.unsqueeze(counts, -1), p, ops.mul(p.detach(), 0.0))
    total = ops.sum(p, dim=(0, 2))
    return ops.add(losses, ops.sub(total, total.detach()))
