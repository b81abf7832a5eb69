"""Tables of vectors, looked up by number."""

from __future__ import annotations

import functools

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import check_numbers, composite, ops
from mlkit.core.errors import ArgumentError, DtypeError, MissingFeature, ShapeError, ValueRangeError
from mlkit.core.value import LevelArray, MetaArray, mark_mutated, wrap
from mlkit.functional.arguments import check_same_dtype


def _padding(padding_idx, rows: int):
    """``padding_idx`` counted from the front."""
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx % rows


def _renormalise(weight, indices, max_norm: float, norm_type: float) -> None:
    """Rows longer than max_norm brought to that length, in place and without history."""
    table, places = weight._array, indices._array
    if table.__class__ is MetaArray or places.size == 0:
        return
    xp = backends.for_array(table).m.xp
    rows = xp.unique(places)
    found = table[rows]
    lengths = (xp.abs(found) ** norm_type).sum(axis=1) ** (1 / norm_type)
    scale = xp.where(lengths > max_norm, max_norm / (lengths + 1e-7), xp.ones_like(lengths))
    table[rows] = found * scale[:, None].astype(table.dtype)
    mark_mutated(weight)


def _shared_out(out, indices, rows: int):
    """Let each row's gradient be divided by how often the row is named (scale_grad_by_freq)."""
    if out._node is None or indices._array.__class__ is MetaArray:
        return out
    xp = backends.for_array(indices._array).m.xp
    counts = xp.bincount(indices._array.reshape(-1), minlength=rows)[indices._array]
    share = wrap((1.0 / counts)[..., None].astype(out._array.dtype))
    out.register_hook(lambda g: ops.mul(g, share))
    return out


def embedding(
    input,
    weight,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
):
    """Rows of weight (count, features) named by input (*) -> (*, features).

    Args:
        padding_idx: this row gets no gradient.
        max_norm: rows that are read and longer than this are first shortened, in the weight itself.
        norm_type: the p of that length.
        scale_grad_by_freq: divide each row's gradient by how often the batch names the row.
        sparse: accepted; the gradient here is a dense tensor with the same numbers.

    >>> import mlkit
    >>> mlkit.nn.functional.embedding(mlkit.tensor([2, 0]), mlkit.eye(3))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    if weight._array.ndim != 2:
        raise ShapeError(f"embedding: 'weight' must be 2-D, got {tuple(weight._array.shape)}.")
    if input._array.dtype.name not in ("int32", "int64"):
        raise DtypeError(
            f"embedding: expected indices of dtype int32 or int64, got {input.dtype}.", hint="Use input.long()."
        )
    padding_idx = _padding(padding_idx, weight._array.shape[0])
    if max_norm is not None:
        _renormalise(weight, input, max_norm, norm_type)
    out = ops.embedding(input, weight, padding_idx=padding_idx)
    return _shared_out(out, input, weight._array.shape[0]) if scale_grad_by_freq else out


@composite
def embedding_bag(
    input,
    weight,
    offsets=None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights=None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
):
    """Sums, means or maxima of bags of rows: input (bags, count), or (total) with offsets (bags) -> (bags, features).

    ``offsets`` say where each bag starts in a flat input; with include_last_offset the last one is its end.
    ``per_sample_weights`` scale the rows (mode "sum" only). Rows named padding_idx do not count.

    >>> import mlkit
    >>> table = mlkit.eye(3)
    >>> mlkit.nn.functional.embedding_bag(mlkit.tensor([0, 1, 1]), table, mlkit.tensor([0, 1]), mode="sum")
    tensor([[1., 0., 0.],
            [0., 2., 0.]])
    """
    if mode not in ("sum", "mean", "max"):
        raise ValueRangeError("mode has to be one of sum or mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueRangeError("max mode does not support scaling the gradient by the frequency")
    shape = tuple(input._array.shape)
    if per_sample_weights is not None:
        check_same_dtype("embedding_bag", weight, False, per_sample_weights=per_sample_weights)
        if tuple(per_sample_weights._array.shape) != shape:
            raise ValueRangeError(
                f"embedding_bag: If per_sample_weights ({tuple(per_sample_weights._array.shape)}) is not None, then it "
                f"must have the same shape as the input ({shape})"
            )
        if mode != "sum":
            raise MissingFeature(
                f"embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
                f"(got mode='{mode}')."
            )
    if len(shape) == 2:
        if offsets is not None:
            raise ValueRangeError("if input is 2D, then offsets has to be None, as input is treated is a mini-batch.")
        starts = list(range(0, shape[0] * shape[1], shape[1])) if shape[1] else [0] * shape[0]
        input = ops.reshape(input, shape=(-1,))
        if per_sample_weights is not None:
            per_sample_weights = ops.reshape(per_sample_weights, shape=(-1,))
    elif len(shape) == 1:
        if offsets is None:
            raise ValueRangeError("offsets has to be a 1D Tensor but got None")
        if offsets._array.ndim != 1:
            raise ValueRangeError("offsets has to be a 1D Tensor")
        starts = offsets.tolist()
        if starts and starts[0] != 0:
            raise ShapeError(f"offsets[0] has to be 0, i.e., the first sequence starts at position 0, got {starts[0]}.")
        if starts and starts[-1] > shape[0]:
            raise ShapeError(f"offsets[-1] can not be greater than input's length {shape[0]}, but got {starts[-1]}.")
        if include_last_offset:
            starts = starts[:-1]
    else:
        raise ValueRangeError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {len(shape)}")
    padding_idx = _padding(padding_idx, weight._array.shape[0])
    if max_norm is not None:
        _renormalise(weight, input, max_norm, norm_type)
    rows = ops.embedding(input, weight, padding_idx=padding_idx)
    if scale_grad_by_freq:
        rows = _shared_out(rows, input, weight._array.shape[0])
    return _bags(rows, input, starts, mode, per_sample_weights, padding_idx)


def _bags(rows, input, starts, mode, per_sample_weights, padding_idx):
    total, bags = rows._array.shape[0], len(starts)
    ends = [*starts[1:], total]
    members = [list(range(a, b)) for a, b in zip(starts, ends, strict=True)]
    if padding_idx is not None:
        named = input.tolist()
        members = [[i for i in bag if named[i] != padding_idx] for bag in members]
    if per_sample_weights is not None:
        rows = ops.mul(rows, ops.unsqueeze(per_sample_weights, -1))
    blank = ops.zeros((bags, rows._array.shape[1]), like=rows)
    if mode == "max":
        longest = max(map(len, members), default=0)
        if not longest:
            return blank
        # short bags repeat their first member, which changes no maximum
        grid = [[bag[i] if i < len(bag) else bag[0] if bag else 0 for i in range(longest)] for bag in members]
        seen = ops.reshape(
            ops.index_select(rows, ops.index_array(sum(grid, []), like=input), dim=0), shape=(bags, longest, -1)
        )
        best = ops.argmax(seen.detach(), dim=1, keepdim=True)
        top = ops.reshape(ops.gather(seen, best, dim=1), shape=tuple(blank._array.shape))
        empty = ops.reshape(ops.eq(ops.index_array([len(bag) for bag in members], like=input), 0), shape=(bags, 1))
        return ops.where(empty, blank, top)
    bag_of = [number for number, bag in enumerate(members) for _ in bag]
    place = ops.index_array(sum(members, []), like=input)
    out = ops.index_add(blank, ops.index_array(bag_of, like=input), ops.index_select(rows, place, dim=0), dim=0)
    if mode == "mean":
        counts = ops.index_array([max(len(bag), 1) for bag in members], like=input)
        out = ops.div(out, ops.unsqueeze(ops.cast_like(counts, out), -1))
    return out


def _check_classes(array, classes: int) -> None:
    if array.size and (int(array.min()) < 0 or int(array.max()) >= classes):
        bad = int(array.min()) if int(array.min()) < 0 else int(array.max())
        raise ShapeError(f"one_hot: class values must be in 0 .. {classes - 1}, got {bad}.")


def one_hot(tensor, num_classes: int = -1):
    """Class numbers (*) as vectors of 0 and 1 (*, num_classes), int64.

    >>> import mlkit
    >>> mlkit.nn.functional.one_hot(mlkit.tensor([0, 2]), 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor._array.dtype != "int64":
        raise DtypeError("one_hot is only applicable to index tensor of type LongTensor.", hint="Use x.long().")
    array = tensor._array
    if not isinstance(num_classes, int):
        raise ArgumentError(f"one_hot: num_classes must be an integer, got {type(num_classes).__name__}.")
    if isinstance(array, LevelArray) and num_classes >= 0:
        check_numbers(tensor, functools.partial(_check_classes, classes=num_classes))
        classes = ops.index_array(range(num_classes), like=tensor)
        return ops.cast(ops.eq(ops.unsqueeze(tensor, -1), classes), dtype=dtypes.int64)
    if num_classes == -1:
        if not array.size:
            raise ShapeError("Can not infer total number of classes from empty tensor.")
        num_classes = int(array.max()) + 1
    if num_classes < 1:
        raise ShapeError(f"num_classes should be positive, got {num_classes}.")
    if array.__class__ is MetaArray:
        return wrap(MetaArray((*array.shape, num_classes), array.dtype))
    xp = backends.for_array(array).m.xp
    _check_classes(array, num_classes)
    return wrap((array[..., None] == xp.arange(num_classes)).astype(xp.int64))
