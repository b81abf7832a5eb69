"""Reading and writing where index tensors and masks point."""

import numpy as np

from mlkit.core.errors import DtypeError, ShapeError
from mlkit.core.value import MetaArray
from mlkit.ops.reduce import canonical_dim
from mlkit.ops.registry import REQUIRED, Sample, broadcast_or_explain, op
from mlkit.ops.shape import Moves

GATHER = [((3, 4), Sample((3, 2), "index", "int64", 4), {"dim": 1})]


def check_gather(name, input, index, dim):
    if max(input.ndim, 1) != max(index.ndim, 1):
        raise ShapeError(
            f"{name}: index tensor must have the same number of dimensions as input tensor.",
            f"input: {tuple(input.shape)}\nindex: {tuple(index.shape)}",
        )
    for d in range(input.ndim):
        if d != dim and index.shape[d] > input.shape[d]:
            raise ShapeError(
                f"{name}: size of index at dim {d} ({index.shape[d]}) is larger than input's ({input.shape[d]}).",
                f"input: {tuple(input.shape)}\nindex: {tuple(index.shape)}",
            )


def _fitted(m, values, shape):
    """A source cut to the index's shape: what lies beyond is not used."""
    for dim, n in enumerate(shape):
        if values.shape[dim] != n:
            values = m.narrow(values, dim=dim, start=0, length=n)
    return values


def _padded(m, got, shape):
    """The gradient of a source cut to the index's shape: zeros where it was not used."""
    widths = tuple((0, a - b) for a, b in zip(shape, got.shape, strict=True))
    return got if all(w == (0, 0) for w in widths) else m.constant_pad(got, widths=widths)


@op(onnx="GatherElements", samples=GATHER)
class gather(Moves):
    """out[i][j] = input[i][index[i][j]] for dim 1: one place along dim per output value."""

    def prepare(input, index, *, dim):
        if index.dtype.kind not in "iu":
            raise DtypeError(f"gather: expected an integer index tensor, got {index.dtype}.", hint="Use index.long().")
        dim = canonical_dim("gather", dim, input.ndim)
        if index.size:
            check_gather("gather", input, index, dim)
        return {"dim": dim}

    def infer(input, index, *, dim):
        return MetaArray(index.shape, input.dtype)

    def forward(m, input, index, *, dim=REQUIRED):
        if not input.ndim:
            return m.copy(m.xp.broadcast_to(input, index.shape))
        m.check_index("gather", index, input.shape[dim])
        return m.xp.take_along_axis(m.trim(input, index.shape, dim), index, axis=dim)

    def vjp_input(m, g, index, input_shape, dim):
        return m.scatter_add(m.zeros(tuple(input_shape), like=g), index, g, dim=dim)


@op(onnx="ScatterElements", samples=[((3, 4), Sample((3, 2), "index", "int64", 4), (3, 2), {"dim": 1})])
class scatter_add(Moves):
    """input with src added at the places index names along dim; repeated places add up."""

    linear = False

    def prepare(input, index, src, *, dim):
        dim = canonical_dim("scatter_add", dim, input.ndim)
        if index.size:
            check_gather("scatter_add", input, index, dim)
        return {"dim": dim}

    def infer(input, index, src, *, dim):
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, index, src, *, dim=REQUIRED):
        if not input.ndim:
            return input + src.sum().astype(input.dtype)
        m.check_index("scatter_add", index, input.shape[dim])
        return m.scatter_add_(input, index, src, dim)

    def vjp_input(m, g):
        return g

    def vjp_src(m, g, index, src_shape, dim):
        return _padded(m, m.gather(g, index, dim=dim), src_shape)

    def jvp(m, tangents, index, input_shape, src_shape, dim):
        a, b = tangents[0], tangents[2]
        if a is None:
            a = m.zeros(tuple(input_shape), like=b)
        return a if b is None else m.scatter_add(a, index, b, dim=dim)


@op(onnx="ScatterElements", samples=[((3, 4), Sample((3, 1), "index", "int64", 4), (3, 1), {"dim": 1})])
class scatter(Moves):
    """input with src written at the places index names along dim."""

    linear = False

    def prepare(input, index, src, *, dim):
        return scatter_add.prepare(input, index, src, dim=dim)

    def infer(input, index, src, *, dim):
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, index, src, *, dim=REQUIRED):
        if not input.ndim:
            return m.copy(src.reshape(-1)[-1].reshape(())) if index.size else m.copy(input)
        m.check_index("scatter", index, input.shape[dim])
        out = m.copy(input)
        out[m.places(index, dim)] = m.trim(src, index.shape, None)
        return out

    def vjp_input(m, g, index, src_shape, dim):
        return m.scatter(g, index, m.zeros(tuple(src_shape), like=g), dim=dim)

    def vjp_src(m, g, index, src_shape, dim):
        return _padded(m, m.gather(g, index, dim=dim), src_shape)


REDUCES = ("sum", "prod", "mean", "amax", "amin")


@op(
    samples=[
        ((3, 4), Sample((3, 3), "index", "int64", 4), (3, 3), {"dim": 1, "reduce": r, "include_self": s})
        for r in REDUCES
        for s in (True, False)
    ]
)
class scatter_reduce(Moves):
    """input with the values of src that go to one place along dim combined there: sum, prod, mean, amax or amin."""

    linear = False

    def prepare(input, index, src, *, dim, reduce, include_self=True):
        if reduce not in REDUCES:
            raise DtypeError(
                f"scatter_reduce: reduce argument must be either sum, prod, mean, amax or amin, got {reduce}."
            )
        dim = scatter_add.prepare(input, index, src, dim=dim)["dim"]
        return {"dim": dim, "reduce": reduce, "include_self": bool(include_self)}

    def infer(input, index, src, *, dim, reduce, include_self):
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, index, src, *, dim=REQUIRED, reduce=REQUIRED, include_self=True):
        if not input.ndim:
            one = scatter_reduce.forward(
                m, input.reshape(1), index.reshape(-1), src.reshape(-1), dim=0, reduce=reduce, include_self=include_self
            )
            return one.reshape(())
        m.check_index("scatter_reduce", index, input.shape[dim])
        return m.scatter_reduce_(input, index, m.trim(src, index.shape, None), dim, reduce, include_self)

    def vjp(m, g, input, index, src, out, dim, reduce, include_self, needs):
        if not len(g.shape):
            wide = [m.reshape(x, shape=(-1,)) for x in (g, input, index, src, out)]
            parts = scatter_reduce.vjp(m, *wide, 0, reduce, include_self, needs)
            shapes = (tuple(input.shape), None, tuple(src.shape))
            return tuple(None if p is None else m.reshape(p, shape=s) for p, s in zip(parts, shapes, strict=True))
        used = _fitted(m, src, tuple(index.shape))
        to_input = to_src = None
        if reduce == "sum":
            to_input, to_src = g, m.gather(g, index, dim=dim)
        elif reduce == "mean":
            ones = m.ones_like(input)
            counts = m.scatter_add(ones if include_self else m.zeros_like(ones), index, m.ones_like(used), dim=dim)
            share = g / m.where(m.eq(counts, 0), ones, counts)
            to_input, to_src = share, m.gather(share, index, dim=dim)
        elif reduce == "prod":
            how = {"dim": dim, "reduce": "prod", "include_self": include_self}
            filled = m.where(m.eq(input, 0), m.ones_like(input), input)
            to_input = g * m.scatter_reduce(filled, index, used, **how) / filled
            zero = m.eq(used, 0)
            zeros = m.gather(
                m.scatter_add(m.zeros_like(input), index, m.cast_like(zero, input), dim=dim), index, dim=dim
            )
            alone = m.logical_and(zero, m.eq(zeros, 1))
            others = m.scatter_reduce(input, index, m.where(alone, m.ones_like(used), used), **how)
            rest = m.gather(g * out, index, dim=dim) / m.where(zero, m.ones_like(used), used)
            to_src = m.where(alone, m.gather(g * others, index, dim=dim), rest)
        else:
            hit_input = m.cast_like(m.eq(input, out), g)
            hit_src = m.cast_like(m.eq(used, m.gather(out, index, dim=dim)), g)
            share = g / m.scatter_add(hit_input, index, hit_src, dim=dim)
            to_input, to_src = hit_input * share, hit_src * m.gather(share, index, dim=dim)
        if not include_self:
            to_input = m.scatter(to_input, index, m.zeros_like(used), dim=dim)
        return to_input if needs[0] else None, None, _padded(m, to_src, tuple(src.shape)) if needs[2] else None


TENSOR = "tensor"  # stands in an index pattern where an index tensor comes


def split_pattern(pattern, indices):
    """The pattern with its index tensors put in."""
    rest = iter(indices)
    return tuple(next(rest) if item is TENSOR or item == TENSOR else item for item in pattern)


@op(samples=[(((3, 4), Sample((2,), "index", "int64", 3)), {"pattern": (TENSOR,)})])
class index(Moves):
    """Indexing with tensors in NumPy's way; ``pattern`` holds slices, None and TENSOR for each index tensor in turn.

    The first of ``tensors`` is what is indexed, the others are the integer or bool index tensors.
    """

    variadic = True
    first_kept = 1

    def infer(tensors, *, pattern):
        input, *indices = tensors
        stand_ins = []
        for t in indices:
            if t.dtype.kind == "b":
                raise ShapeError("index: how many a mask picks is not known without data (meta device).")
            stand_ins.append(np.broadcast_to(np.zeros((), np.int64), t.shape))
        probe = np.broadcast_to(np.zeros((), bool), tuple(int(n) for n in input.shape))
        return MetaArray(probe[split_pattern(pattern, stand_ins)].shape, input.dtype)

    def forward(m, tensors, *, pattern=REQUIRED):
        input, *indices = tensors
        return m.copy(input[m.checked_pattern(input.shape, pattern, indices)])

    def vjp(m, g, tensors, tensors_shape, pattern, needs):
        zeros = m.zeros(tuple(tensors_shape[0]), like=g)
        return (m.index_put([zeros, g, *tensors[1:]], pattern=pattern, accumulate=True), *([None] * (len(tensors) - 1)))


@op(samples=[(((3, 4), (2, 4), Sample((2,), "index", "int64", 3)), {"pattern": (TENSOR,), "accumulate": True})])
class index_put(Moves):
    """A copy of the first tensor with the second written (or added) where the index tensors and pattern point."""

    variadic = True
    first_kept = 2
    linear = False

    def infer(tensors, *, pattern, accumulate):
        return MetaArray(tensors[0].shape, tensors[0].dtype)

    def forward(m, tensors, *, pattern=REQUIRED, accumulate=False):
        input, values, *indices = tensors
        place = m.checked_pattern(input.shape, pattern, indices)
        out = m.copy(input)
        if accumulate:
            m.add_at_(out, place, values)
        else:
            out[place] = values
        return out

    def vjp(m, g, tensors, tensors_shape, pattern, accumulate, needs):
        indices = tensors[2:]
        whole = None
        if needs[0]:
            whole = g
            if not accumulate:
                blank = m.zeros((), like=g)
                whole = m.index_put([g, blank, *indices], pattern=pattern, accumulate=False)
        part = m.unbroadcast(m.index([g, *indices], pattern=pattern), tuple(tensors_shape[1])) if needs[1] else None
        return (whole, part, *([None] * len(indices)))


@op(samples=[(Sample((2, 3)), Sample((2, 3), "bool", "bool"))])
class masked_fill(Moves):
    """input with ``value`` (a Python number) where mask is true."""

    linear = False

    def infer(input, mask, *, value):
        return MetaArray(broadcast_or_explain("masked_fill", input, mask, labels=("input", "mask")), input.dtype)

    def forward(m, input, mask, *, value=0.0):
        return m.where_(mask, m.xp.asarray(value, dtype=input.dtype), input)

    def vjp_input(m, g, mask):
        return m.where(mask, m.zeros_like(g), g)

    def jvp(m, tangents, mask):
        return m.where(mask, m.zeros_like(tangents[0]), tangents[0])
