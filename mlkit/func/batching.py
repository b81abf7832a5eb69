"""vmap's rules: how each op works on tensors with one more axis in front.

A rule takes ``(size, has, tensors, attributes)``: the length of the axis, for each tensor whether it has the axis (always
in front), the tensors, and the op's canonical attributes as one example has them. It returns the output (or the tuple of
them) with the axis in front, or ``ALONE`` when it does not apply, and vmap then runs the op example by example and stacks
the results, which is right for every op and slow. An op's block may bring its own rule as ``batch``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np

from mlkit.core.dispatch import apply, ops
from mlkit.core.value import Value
from mlkit.ops.indexing import TENSOR
from mlkit.ops.reduce import AlongDim, Reduction
from mlkit.ops.registry import REGISTRY, Elementwise, Op
from mlkit.ops.shape import follow

ALONE = object()
RULES: dict[str, Callable] = {}


def rule(*names: str):
    """Register a rule for ops by name."""

    def register(fn: Callable) -> Callable:
        for name in names:
            RULES[name] = fn
        return fn

    return register


def run(op: Op, size: int, has: tuple, tensors: list, attributes: dict):
    """The op on batched tensors, by the best rule there is."""
    own = getattr(op, "batch", None)
    if own is not None:
        found = own(
            ops, tuple(0 if h else None for h in has), size, *([tensors] if op.variadic else tensors), **attributes
        )
    elif op.name in RULES:
        found = RULES[op.name](op, size, has, tensors, attributes)
    elif isinstance(op, Elementwise):
        found = elementwise(op, size, has, tensors, attributes)
    elif isinstance(op, Reduction):
        found = reduction(op, size, has, tensors, attributes)
    elif isinstance(op, AlongDim):
        found = along_dim(op, size, has, tensors, attributes)
    else:
        found = ALONE
    return one_by_one(op, size, has, tensors, attributes) if found is ALONE else found


# --- small tools ----------------------------------------------------------------------------------------------------------


def shape_of(t) -> tuple:
    return tuple(t._array.shape)


def rank(t, has: bool) -> int:
    """How many dims one example has."""
    return t._array.ndim - has


def spread(t, has: bool, size: int):
    """``t`` with the axis: repeated as a view when it had none."""
    if has or t is None:
        return t
    return ops.expand(ops.unsqueeze(t, 0), shape=(size, *shape_of(t)))


def all_spread(size: int, has: tuple, tensors: list) -> list:
    return [spread(t, h, size) for t, h in zip(tensors, has, strict=True)]


def padded(t, has: bool, to: int):
    """``t`` with ones after the axis until an example has ``to`` dims, so that examples broadcast from the right."""
    if not has or not isinstance(t, Value):
        return t
    missing = to - rank(t, True)
    if missing <= 0:
        return t
    shape = shape_of(t)
    return ops.reshape(t, shape=(shape[0], *[1] * missing, *shape[1:]))


def fold(t, into: int = 0):
    """The axis merged into dim ``into`` of the example: (B, N, ...) -> (B*N, ...), or (N, B*C, ...) for 1."""
    shape = shape_of(t)
    if into:
        order = (*range(1, into + 1), 0, *range(into + 1, len(shape)))
        t = ops.permute(t, dims=order)
        shape = shape_of(t)
    return ops.reshape(t, shape=(*shape[:into], shape[into] * shape[into + 1], *shape[into + 2 :]))


def unfold(t, size: int, at: int = 0):
    """The inverse of fold."""
    shape = shape_of(t)
    t = ops.reshape(t, shape=(*shape[:at], size, shape[at] // size if size else shape[at], *shape[at + 1 :]))
    if at:
        t = ops.permute(t, dims=(at, *range(at), *range(at + 1, len(shape) + 1)))
    return t


def one_by_one(op: Op, size: int, has: tuple, tensors: list, attributes: dict):
    """Each example alone, results stacked."""
    if size == 0:
        examples = [
            ops.reshape(ops.slice_grad(t, shape=(1, *shape_of(t)[1:]), index=(slice(0, 0),)), shape=shape_of(t)[1:])
            if h
            else t
            for t, h in zip(tensors, has, strict=True)
        ]
        outs = apply(op, (examples,) if op.variadic else tuple(examples), attributes)
        many = isinstance(outs, tuple)
        empty = [ops.zeros((0, *shape_of(o)), like=o) for o in (outs if many else (outs,))]
        return tuple(empty) if many else empty[0]
    warnings.warn(
        f"vmap: {op.name} has no batching rule and runs example by example, which is slow.", UserWarning, stacklevel=2
    )
    results = []
    for i in range(size):
        examples = [ops.slice(t, index=(i,)) if h else t for t, h in zip(tensors, has, strict=True)]
        results.append(apply(op, (examples,) if op.variadic else tuple(examples), attributes))
    if isinstance(results[0], tuple):
        return tuple(joined([r[k] for r in results]) for k in range(len(results[0])))
    return joined(results)


def joined(tensors: list):
    return ops.cat([ops.unsqueeze(t, 0) for t in tensors], dim=0)


# --- families ------------------------------------------------------------------------------------------------------------------


def elementwise(op, size, has, tensors, attributes):
    """Examples broadcast from the right: align their ranks."""
    ranks = [rank(t, h) for t, h in zip(tensors, has, strict=True) if isinstance(t, Value)]
    to = max(ranks)
    aligned = [padded(t, h, to) for t, h in zip(tensors, has, strict=True)]
    return apply(op, tuple(aligned), attributes)


def with_a_dim(run_on, t):
    """Run a rule on 0-d examples as examples of one element."""
    return run_on(ops.unsqueeze(t, 1))


def reduction(op, size, has, tensors, attributes):
    (t,) = tensors
    dim, n = attributes["dim"], rank(t, True)
    single = dim is None or isinstance(dim, int)
    if n == 0:
        out = apply(op, (ops.unsqueeze(t, 1),), {**attributes, "dim": 1 if single else (1,), "keepdim": False})
        return out
    if dim is None:  # argmax over the flattened example
        out = apply(
            op, (ops.reshape(t, shape=(size, math.prod(shape_of(t)[1:]))),), {**attributes, "dim": 1, "keepdim": False}
        )
        return ops.reshape(out, shape=(size, *[1] * n)) if attributes["keepdim"] else out
    if single:
        return apply(op, (t,), {**attributes, "dim": dim + 1})
    if not dim:  # nothing to reduce, which the canonical form would read as everything
        out = apply(op, (ops.unsqueeze(t, n + 1),), {**attributes, "dim": (n + 1,), "keepdim": False})
        return out
    return apply(op, (t,), {**attributes, "dim": tuple(d + 1 for d in dim)})


def along_dim(op, size, has, tensors, attributes):
    (t,) = tensors
    if rank(t, True) == 0:
        outs = apply(op, (ops.unsqueeze(t, 1),), {**attributes, "dim": 1})
        return tuple(ops.squeeze(o, 1) for o in outs) if isinstance(outs, tuple) else ops.squeeze(outs, 1)
    return apply(op, (t,), {**attributes, "dim": attributes["dim"] + 1})


@rule("topk")
def _topk(op, size, has, tensors, attributes):
    return along_dim(op, size, has, tensors, attributes)


# --- shape -----------------------------------------------------------------------------------------------------------------------


@rule("cast", "to_device", "frexp", "view_as_real", "view_as_complex")
def _as_is(op, size, has, tensors, attributes):
    return apply(op, tuple(tensors), attributes)


@rule("tril", "triu", "inverse", "det", "cofactors", "off_singular", "slogdet", "cholesky", "lu_factor", "qr", "geqrf")
@rule("eigh", "eig", "svd", "pinv", "matrix_exp", "ldl_factor")
def _matrices(op, size, has, tensors, attributes):
    return apply(op, tuple(tensors), attributes)  # matrices in the last two dims, any dims before


@rule("solve", "triangular_solution")
def _solve(op, size, has, tensors, attributes):
    to = max(rank(t, h) for t, h in zip(tensors, has, strict=True))
    # all with the axis: one of solve's outputs follows from A alone
    out = apply(op, tuple(padded(t, True, to) for t in all_spread(size, has, tensors)), attributes)
    if isinstance(out, tuple) and rank(tensors[0], has[0]) < to:
        batch = shape_of(tensors[0])[int(has[0]) : -2]
        out = (out[0], *(ops.reshape(o, shape=(size, *batch)) for o in out[1:]))
    return out


@rule("vector_norm")
def _vector_norm(op, size, has, tensors, attributes):
    return reduction(op, size, has, tensors, attributes)


@rule("fft_complex", "fft_real", "fft_real_inverse")
def _fft(op, size, has, tensors, attributes):
    return apply(op, tuple(tensors), {**attributes, "dims": tuple(d + 1 for d in attributes["dims"])})


@rule("reshape")
def _reshape(op, size, has, tensors, attributes):
    return ops.reshape(tensors[0], shape=(size, *attributes["shape"]))


@rule("permute")
def _permute(op, size, has, tensors, attributes):
    return ops.permute(tensors[0], dims=(0, *(d + 1 for d in attributes["dims"])))


@rule("expand")
def _expand(op, size, has, tensors, attributes):
    shape = attributes["shape"]
    return ops.expand(padded(tensors[0], True, len(shape)), shape=(size, *shape))


@rule("slice")
def _slice(op, size, has, tensors, attributes):
    return ops.slice(tensors[0], index=(slice(None), *attributes["index"]))


@rule("slice_grad")
def _slice_grad(op, size, has, tensors, attributes):
    index = (slice(None), *attributes["index"])
    return ops.slice_grad(tensors[0], shape=(size, *attributes["shape"]), index=index)


@rule("narrow", "repeat_interleave")
def _narrow(op, size, has, tensors, attributes):
    return apply(op, tuple(tensors), {**attributes, "dim": attributes["dim"] + 1})


@rule("diagonal")
def _diagonal(op, size, has, tensors, attributes):
    how = {**attributes, "dim1": attributes["dim1"] + 1, "dim2": attributes["dim2"] + 1}
    return apply(op, tuple(tensors), how)


@rule("diagonal_grad")
def _diagonal_grad(op, size, has, tensors, attributes):
    shape = (size, *attributes["shape"])
    how = {**attributes, "shape": shape, "dim1": attributes["dim1"] % (len(shape) - 1) + 1}
    how["dim2"] = attributes["dim2"] % (len(shape) - 1) + 1
    return apply(op, tuple(tensors), how)


@rule("unfold")
def _unfold(op, size, has, tensors, attributes):
    if rank(tensors[0], True) == 0:
        return ALONE
    return apply(op, tuple(tensors), {**attributes, "dimension": attributes["dimension"] + 1})


@rule("unfold_grad")
def _unfold_grad(op, size, has, tensors, attributes):
    if not attributes["shape"]:
        return ALONE
    shape = (size, *attributes["shape"])
    return apply(op, tuple(tensors), {**attributes, "shape": shape, "dimension": attributes["dimension"] + 1})


@rule("cat")
def _cat(op, size, has, tensors, attributes):
    full = [(t, h) for t, h in zip(tensors, has, strict=True) if rank(t, h) != 1 or shape_of(t)[-1]] or list(
        zip(tensors, has, strict=True)
    )
    return ops.cat([spread(t, h, size) for t, h in full], dim=attributes["dim"] + 1)


@rule("repeat")
def _repeat(op, size, has, tensors, attributes):
    repeats = attributes["repeats"]
    return ops.repeat(padded(tensors[0], True, len(repeats)), repeats=(1, *repeats))


@rule("flip")
def _flip(op, size, has, tensors, attributes):
    if rank(tensors[0], True) == 0:
        return ops.clone(tensors[0])
    return ops.flip(tensors[0], dims=tuple(d + 1 for d in attributes["dims"]))


@rule("roll")
def _roll(op, size, has, tensors, attributes):
    if rank(tensors[0], True) == 0:
        return ops.clone(tensors[0])
    return ops.roll(tensors[0], shifts=attributes["shifts"], dims=tuple(d + 1 for d in attributes["dims"]))


@rule("constant_pad")
def _constant_pad(op, size, has, tensors, attributes):
    return apply(op, tuple(tensors), {**attributes, "widths": ((0, 0), *attributes["widths"])})


# --- indexing by tensors ------------------------------------------------------------------------------------------------------------


@rule("gather", "scatter", "scatter_add", "scatter_reduce")
def _gather(op, size, has, tensors, attributes):
    if any(rank(t, h) == 0 for t, h in zip(tensors, has, strict=True)):
        return ALONE
    return apply(op, tuple(all_spread(size, has, tensors)), {**attributes, "dim": attributes["dim"] + 1})


@rule("index_select")
def _index_select(op, size, has, tensors, attributes):
    input, index = tensors
    dim = attributes["dim"]
    if rank(input, has[0]) == 0:
        return ALONE
    if not has[1]:
        return ops.index_select(input, index, dim=dim + 1)
    input = spread(input, has[0], size)
    return ops.gather(input, _along(index, shape_of(input), dim + 1), dim=dim + 1)


def _along(index, shape: tuple, dim: int):
    """A batch of index vectors (B, n) as gather wants them: repeated over the other dims of ``shape``."""
    n = shape_of(index)[1] if index._array.ndim > 1 else 1
    index = ops.reshape(index, shape=(shape[0], *[n if d == dim else 1 for d in range(1, len(shape))]))
    return ops.expand(index, shape=tuple(n if d == dim else s for d, s in enumerate(shape)))


@rule("index_add")
def _index_add(op, size, has, tensors, attributes):
    input, index, source = tensors
    dim = attributes["dim"]
    if rank(input, has[0]) == 0:
        return ALONE
    input = spread(input, has[0], size)
    if not has[1]:
        return ops.index_add(input, index, spread(source, has[2], size), dim=dim + 1)
    source = spread(source, has[2], size)
    return ops.scatter_add(input, _along(index, shape_of(source), dim + 1), source, dim=dim + 1)


def _has_mask(has, tensors) -> bool:
    return any(t._array.dtype == bool for t in tensors)


def refuse_masks(name: str, has, tensors) -> None:
    from mlkit.func.vectorize import VmapError

    for t, h in zip(tensors, has, strict=True):
        if h and t._array.dtype == bool:
            raise VmapError(
                f"vmap: {name} with a boolean mask gives each example another number of elements, which vmap cannot batch.",
                hint="Use mlkit.where(mask, x, 0) or masked_fill instead.",
            )


def _indexed(size, has, tensors, pattern):
    """An arange for the axis and index tensors aligned behind it; the pattern with it in front, and where its result
    has the index dims: (pattern, tensors, index rank, position in one example's result)."""
    ranks = [rank(t, h) if t._array.dtype != bool else 1 for t, h in zip(tensors, has, strict=True)]
    to = max(ranks, default=0)
    axis = ops.reshape(ops.index_array(np.arange(size), like=tensors[0]), shape=(size, *[1] * to))
    places = [i for i, item in enumerate(pattern) if item == TENSOR]
    together = places == list(range(places[0], places[-1] + 1))
    position = sum(1 for item in pattern[: places[0]] if item != TENSOR) if together else 0
    return (TENSOR, *pattern), [axis, *(padded(t, h, to) for t, h in zip(tensors, has, strict=True))], to, position


def _moved(t, start: int, length: int, to: int):
    """Dims start .. start+length-1 moved so that they begin at ``to``."""
    n = t._array.ndim
    block = list(range(start, start + length))
    rest = [d for d in range(n) if d not in block]
    rest[to:to] = block
    return ops.permute(t, dims=tuple(rest))


@rule("index")
def _index(op, size, has, tensors, attributes):
    input, *indices = tensors
    refuse_masks("indexing", has[1:], indices)
    pattern = attributes["pattern"]
    pattern, indices, to, position = _indexed(size, has[1:], indices, pattern)
    out = ops.index([spread(input, has[0], size), *indices], pattern=pattern)
    return _moved(out, 1, to, 1 + position) if position else out


@rule("index_put")
def _index_put(op, size, has, tensors, attributes):
    input, values, *indices = tensors
    refuse_masks("writing", has[2:], indices)
    shaped = [spread(t, h, size) for t, h in zip([input], has[:1], strict=True)]
    pattern, indices, to, position = _indexed(size, has[2:], indices, attributes["pattern"])
    masks = sum(t._array.ndim - 1 for t in indices if t._array.dtype == bool)
    slices = sum(1 for item in attributes["pattern"] if item != TENSOR)
    full = to + slices + (rank(input, has[0]) - masks - sum(1 for item in attributes["pattern"] if item is not None))
    if has[1] or position:
        values = spread(values, has[1], size)
        values = padded(values, True, full)
    if position:
        values = _moved(values, 1 + position, to, 1)
    return ops.index_put([shaped[0], values, *indices], pattern=pattern, accumulate=attributes["accumulate"])


@rule("masked_fill")
def _masked_fill(op, size, has, tensors, attributes):
    return elementwise(op, size, has, tensors, attributes)


# --- products -------------------------------------------------------------------------------------------------------------------------


@rule("matmul")
def _matmul(op, size, has, tensors, attributes):
    a, b = tensors
    na, nb = rank(a, has[0]), rank(b, has[1])
    if has[0] and not has[1] and nb == 1:
        return ops.matmul(a, b)
    if has[0] and not has[1] and nb == 2:
        return ops.matmul(a, b)  # (B, ..., k) @ (k, n); a batch of vectors is a matrix
    if has[1] and not has[0] and na == 1 and nb == 1:
        return ops.matmul(b, a)
    row, column = na == 1, nb == 1
    if row:
        a = ops.unsqueeze(a, a._array.ndim - 1)
    if column:
        b = ops.unsqueeze(b, b._array.ndim)
    to = max(na + row, nb + column)
    out = ops.matmul(padded(a, has[0], to), padded(b, has[1], to))
    n = out._array.ndim
    if column:
        out = ops.squeeze(out, n - 1)
        n -= 1
    if row:
        out = ops.squeeze(out, n - 1 if column else n - 2)
    return out


@rule("linear")
def _linear(op, size, has, tensors, attributes):
    x, weight, *rest = tensors
    bias = rest[0] if rest else None
    bias_has = bias is not None and has[2]
    if not has[1] and not bias_has:
        return ops.linear(x, weight, bias)
    if rank(weight, has[1]) == 1:
        out = _matmul(None, size, (has[0], has[1]), [x, weight], {})
        if bias is not None:
            out = elementwise(REGISTRY["add"], size, (True, bias_has), [out, bias], {})
        return out
    turned = ops.mT(weight)
    if has[0] or has[1]:
        out = _matmul(None, size, (has[0], has[1]), [x, turned], {})
        made = True
    else:
        out, made = ops.matmul(x, turned), False
    if bias is not None:
        out = elementwise(REGISTRY["add"], size, (made, bias_has), [out, bias], {})
    return out


# --- convolutions ------------------------------------------------------------------------------------------------------------------------


@rule("conv1d", "conv2d", "conv3d")
def _conv(op, size, has, tensors, attributes):
    x, weight, *rest = tensors
    bias = rest[0] if rest else None
    bias_has = bias is not None and has[2]
    groups = attributes["groups"]
    if not has[1]:
        if has[0]:
            n = shape_of(x)[1]
            out = apply(op, (fold(x), weight, None if bias_has else bias), attributes)
            out = ops.reshape(out, shape=(size, n, *shape_of(out)[1:]))
        else:
            out = spread(apply(op, (x, weight, None), attributes), False, size)
    else:
        # every example is a group of its own
        x = fold(spread(x, has[0], size), 1)
        out = apply(op, (x, fold(weight), None), {**attributes, "groups": groups * size})
        out = unfold(out, size, 1)
    if bias is not None and (bias_has or has[1]):
        dims = out._array.ndim - 3
        bias = ops.reshape(bias, shape=((size, 1) if bias_has else (1, 1)) + (shape_of(bias)[-1], *[1] * dims))
        out = out + bias
    return out


@rule("conv1d_input_grad", "conv2d_input_grad", "conv3d_input_grad")
def _conv_input_grad(op, size, has, tensors, attributes):
    g, weight = tensors
    shape = attributes["shape"]
    if not has[1]:
        out = apply(op, (fold(g), weight), {**attributes, "shape": (size * shape[0], *shape[1:])})
        return unfold(out, size)
    g = fold(spread(g, has[0], size), 1)
    how = {**attributes, "shape": (shape[0], size * shape[1], *shape[2:]), "groups": attributes["groups"] * size}
    return unfold(apply(op, (g, fold(weight)), how), size, 1)


@rule("conv1d_weight_grad", "conv2d_weight_grad", "conv3d_weight_grad")
def _conv_weight_grad(op, size, has, tensors, attributes):
    x, g = (fold(t, 1) for t in all_spread(size, has, tensors))
    shape = attributes["shape"]
    how = {**attributes, "shape": (size * shape[0], *shape[1:]), "groups": attributes["groups"] * size}
    return unfold(apply(op, (x, g), how), size)


# --- pooling: the axis goes into the batch axis -----------------------------------------------------------------------------------------


def _pool(op, size, has, tensors, attributes):
    if "shape" in attributes and attributes["shape"] is not None:
        shape = attributes["shape"]
        attributes = {**attributes, "shape": (size * shape[0], *shape[1:])}
    outs = apply(op, tuple(fold(t) for t in all_spread(size, has, tensors)), attributes)
    return tuple(unfold(o, size) for o in outs) if isinstance(outs, tuple) else unfold(outs, size)


for _n in (1, 2, 3):
    rule(*(f"{kind}{_n}d{part}" for kind in ("max_pool", "avg_pool") for part in ("", "_grad", "_pick")))(_pool)


# --- normalisation -----------------------------------------------------------------------------------------------------------------------


def _channels(t, has, size):
    """Per-channel values (C) of each example in one vector (B*C)."""
    return None if t is None else ops.reshape(spread(t, has, size), shape=(-1,))


@rule("batch_norm_train")
def _batch_norm_train(op, size, has, tensors, attributes):
    full = [*tensors, None, None][:3]
    has = (*has, False, False)[:3]
    x = fold(spread(full[0], has[0], size), 1)
    out, *stats = apply(op, (x, *(_channels(t, h, size) for t, h in zip(full[1:], has[1:], strict=True))), attributes)
    return (unfold(out, size, 1), *(ops.reshape(s, shape=(size, -1)) for s in stats))


@rule("batch_norm_eval")
def _batch_norm_eval(op, size, has, tensors, attributes):
    if not any(has[1:]):
        return unfold(apply(op, (fold(tensors[0]), *tensors[1:]), attributes), size)
    x = fold(spread(tensors[0], has[0], size), 1)
    rest = (_channels(t, h, size) for t, h in zip(tensors[1:], has[1:], strict=True))
    return unfold(apply(op, (x, *rest), attributes), size, 1)


@rule("layer_norm")
def _layer_norm(op, size, has, tensors, attributes):
    x, *rest = tensors
    weight, bias = [*rest, None, None][:2]
    has = (*has, False, False)[:3]
    if not has[1] and not has[2]:
        return apply(op, (x, weight, bias), attributes)
    out = apply(op, (x, None, None), attributes)
    made = has[0]
    if weight is not None:
        out = elementwise(REGISTRY["mul"], size, (made, has[1]), [out, weight], {})
        made = made or has[1]
    if bias is not None:
        out = elementwise(REGISTRY["add"], size, (made, has[2]), [out, bias], {})
    return out


# --- labels and rows ------------------------------------------------------------------------------------------------------------------------


@rule("nll_pick")
def _nll_pick(op, size, has, tensors, attributes):
    x, target = all_spread(size, has, tensors)
    if rank(x, True) == 1:
        return apply(op, (x, target), attributes)
    return unfold(apply(op, (fold(x), fold(target)), attributes), size)


@rule("nll_place")
def _nll_place(op, size, has, tensors, attributes):
    g, target = all_spread(size, has, tensors)
    shape = attributes["shape"]
    if len(shape) == 1:
        return apply(op, (g, target), {**attributes, "shape": (size, *shape)})
    return unfold(apply(op, (fold(g), fold(target)), {**attributes, "shape": (size * shape[0], *shape[1:])}), size)


def _shifted(index, has, size: int, rows: int):
    """Row numbers into the stack of all examples' tables."""
    index = spread(index, has, size)
    start = ops.index_array(np.arange(size) * rows, like=index)
    return ops.cast_like(index, start) + ops.reshape(start, shape=(size, *[1] * (index._array.ndim - 1)))


@rule("embedding")
def _embedding(op, size, has, tensors, attributes):
    index, weight = tensors
    if not has[1]:
        return apply(op, (index, weight), attributes)
    if attributes["padding_idx"] is not None:
        return ALONE
    rows = shape_of(weight)[1]
    return apply(op, (_shifted(index, has[0], size, rows), fold(weight)), attributes)


@rule("embedding_grad")
def _embedding_grad(op, size, has, tensors, attributes):
    g, index = tensors
    if attributes["padding_idx"] is not None:
        return ALONE
    rows, width = attributes["shape"]
    index = _shifted(index, has[1], size, rows)
    out = apply(op, (spread(g, has[0], size), index), {**attributes, "shape": (size * rows, width)})
    return unfold(out, size)


# --- raw memory, and writes seen as values ----------------------------------------------------------------------------------


@rule("as_strided")
def as_strided(op: Op, size: int, has: tuple, tensors: list, attributes: dict):
    """Each example's memory is its own part of the whole."""
    (x,) = tensors
    own = math.prod(shape_of(x)[1:])
    shape, steps, offset = attributes["size"], attributes["stride"], attributes["offset"] or 0
    reach = 1 + offset + sum((n - 1) * s for n, s in zip(shape, steps, strict=True)) if 0 not in shape else 0
    if reach > own or not isinstance(x._array, np.ndarray):
        return ALONE  # which also says what is out of bounds
    # offsets count from the start of the memory, where the first example must lie
    x = ops.clone(ops.contiguous(x)) if x.storage_offset() or not x._array.flags.c_contiguous else x
    return ops.as_strided(x, size=(size, *shape), stride=(own, *steps), offset=offset)


@rule("view_write")
def view_write(op: Op, size: int, has: tuple, tensors: list, attributes: dict):
    """The places that the views look at, numbered once; then a write by index in every example."""
    target, source = all_spread(size, has, tensors)
    shape = shape_of(target)[1:]
    count = math.prod(shape)
    numbers = ops.reshape(ops.index_array(range(count), like=target), shape=shape)
    places = follow(ops, numbers, attributes["path"])
    values = padded(source, True, places._array.ndim)
    values = ops.expand(values, shape=(size, *shape_of(places)))
    out = ops.index_put(
        [
            ops.reshape(target, shape=(size, count)),
            ops.reshape(values, shape=(size, places._array.size)),
            ops.reshape(places, shape=(-1,)),
        ],
        pattern=(slice(None), TENSOR),
        accumulate=False,
    )
    return ops.reshape(out, shape=(size, *shape))


@rule("im2col", "col2im", "interpolate", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def images(op: Op, size: int, has: tuple, tensors: list, attributes: dict):
    """Each image is worked on alone: the axis joins the batch of images."""
    (x,) = tensors
    if not size:
        return ALONE
    out = apply(op, (fold(x),), attributes)
    return tuple(unfold(t, size) for t in out) if isinstance(out, tuple) else unfold(out, size)
