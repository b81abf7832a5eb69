"""Losses of margins and distances: hinges, rankings, triplets, contrasts."""

from __future__ import annotations

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import composite, ops
from mlkit.core.errors import DtypeError, ShapeError, ValueRangeError
from mlkit.functional.arguments import check_floating
from mlkit.functional.classification import cross_entropy
from mlkit.functional.distance import normalize, pairwise_distance
from mlkit.functional.loss import as_numbers, check_reduction, check_same_shape, reduced


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
    input, target = as_numbers(input, target)
    if not input._array.ndim and target._array.ndim:
        raise ShapeError("soft_margin_loss: output with shape [] doesn't match the broadcast shape of target.")
    if input._array.dtype.kind not in "fV":
        raise DtypeError(f"soft_margin_loss: expected a floating point input, got {input.dtype}.")
    if target._array.dtype.kind == "c":
        raise DtypeError(f"soft_margin_loss: result type {target.dtype} can't be cast to {input.dtype}.")
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


# --- beyond PyTorch ---------------------------------------------------------------------------------------------------


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
