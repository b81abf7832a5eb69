"""Reductions, scans and norms: many values along some dims become one, or a running one."""

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.errors import DimensionError, RefusedError, ShapeError
from mlkit.core.value import MetaArray
from mlkit.ops.registry import REQUIRED, Op, Sample, op

ALL_WAYS = [
    ((3, 4),),
    ((3, 4), {"dim": 1}),
    ((2, 3, 4), {"dim": (0, -1), "keepdim": True}),
    ((),),
    ((2, 0), {"dim": 0}),
]
NON_EMPTY = ALL_WAYS[:4]
DISTINCT = [
    (Sample((3, 4), "distinct"), {"dim": 1}),
    (Sample((2, 3, 4), "distinct"), {"dim": 0, "keepdim": True}),
]


def canonical_dim(name: str, dim: int, rank: int) -> int:
    """``dim`` counted from the front; raises DimensionError when the tensor has no such dim."""
    limit = rank if rank else 1
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)):
        from mlkit.core.errors import ArgumentError

        raise ArgumentError(f"{name}: dim must be an integer, got {dim!r}.")
    if not -limit <= dim < limit:
        raise DimensionError(
            f"{name}: Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {dim}).",
            f"the tensor has {rank} dims",
        )
    return int(dim) + limit if dim < 0 else int(dim)


def canonical_dims(name: str, dim, rank: int) -> tuple[int, ...]:
    """All dims for None or (), else the named ones, sorted, each once."""
    if dim is None or (isinstance(dim, (tuple, list)) and len(dim) == 0):
        return tuple(range(rank))
    dims = dim if isinstance(dim, (tuple, list)) else (dim,)
    found = [canonical_dim(name, d, rank) for d in dims]
    if len(set(found)) != len(found):
        raise ShapeError(f"{name}: a dim appears multiple times in the list of dims {tuple(dims)}.")
    return tuple(sorted(d for d in found if d < rank))


def reduced_shape(shape, dim: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    if keepdim:
        return tuple(1 if i in dim else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in dim)


def spread(m, g, shape, dim, keepdim):
    """A reduction's gradient brought back to the input's rank and expanded over the reduced dims."""
    if not keepdim and dim:
        g = m.reshape(g, shape=reduced_shape(shape, dim, True))
    return m.expand(g, shape=tuple(shape))


def count(shape, dim) -> int:
    total = 1
    for d in dim:
        total = total * shape[d]
    return total


class Reduction(Op):
    """dim: int, tuple or None (all); keepdim keeps the reduced dims with size 1."""

    def prepare(self, input, *, dim=None, keepdim=False, **rest):
        return {"dim": canonical_dims(self.name, dim, input.ndim), "keepdim": bool(keepdim), **rest}

    def infer(self, input, *, dim, keepdim, **rest):
        return MetaArray(reduced_shape(input.shape, dim, keepdim), self.result_dtype(input.dtype))

    def result_dtype(self, d: np.dtype) -> np.dtype:
        return d


class EmptyReduction(DimensionError, RuntimeError):
    """The largest of no values: PyTorch raises IndexError with a dim and RuntimeError without."""


def needs_elements(name: str, shape, dim) -> None:
    for d in dim:
        if shape[d] == 0:
            raise EmptyReduction(
                f"{name}: cannot reduce over dim {d}, which has size 0: there is no value to return.",
                f"input: {tuple(shape)}",
            )


@op(onnx="ReduceSum", samples=ALL_WAYS)
class sum(Reduction):  # noqa: A001
    """The sum over dims; integers and bools are summed as int64."""

    linear = True

    def result_dtype(self, d):
        return np.dtype(np.int64) if d.kind in "biu" else d

    def forward(m, input, *, dim=None, keepdim=False):
        return m.sum_(input, dim, keepdim)

    def vjp(m, g, input_shape, dim, keepdim):
        return spread(m, g, input_shape, dim, keepdim)


@op(onnx="ReduceMean", samples=NON_EMPTY)
class mean(Reduction):
    """The mean over dims of a floating or complex tensor."""

    linear = True

    def prepare(self, input, **attributes):
        if input.dtype.kind in "biu":
            d = dtypes.from_numpy_dtype(input.dtype)
            from mlkit.core.errors import DtypeError

            raise DtypeError(
                f"mean: expected a floating point or complex tensor, got {d}.",
                hint="Convert first: x.float().mean().",
            )
        return Reduction.prepare(self, input, **attributes)

    def forward(m, input, *, dim=None, keepdim=False):
        return m.mean_(input, dim, keepdim)

    def vjp(m, g, input_shape, dim, keepdim):
        return spread(m, g / count(input_shape, dim), input_shape, dim, keepdim)


@op(onnx="ReduceProd", samples=NON_EMPTY)
class prod(Reduction):
    """The product over dims; its gradient is right with zeros too."""

    def result_dtype(self, d):
        return np.dtype(np.int64) if d.kind in "biu" else d

    def forward(m, input, *, dim=None, keepdim=False):
        out = m.xp.prod(input, axis=dim, keepdims=keepdim)
        return out.astype(np.int64) if input.dtype.kind in "biu" else out

    def vjp(m, g, input, dim, keepdim):
        # the product of all the others, from products before and after each place along one flattened dim
        shape = tuple(input.shape)
        kept = tuple(i for i in range(len(shape)) if i not in dim)
        order = (*kept, *dim)
        flat = m.reshape(m.permute(input, dims=order), shape=(*(shape[i] for i in kept), count(shape, dim)))
        axis, last = len(kept), count(shape, dim)
        one = m.ones_like(m.narrow(flat, dim=axis, start=0, length=1)) if last else flat
        before = m.cat([one, m.narrow(flat, dim=axis, start=0, length=last - 1)], dim=axis) if last else flat
        after = m.cat([m.narrow(flat, dim=axis, start=1, length=last - 1), one], dim=axis) if last else flat
        others = m.cumprod(before, dim=axis) * m.flip(m.cumprod(m.flip(after, dims=(axis,)), dim=axis), dims=(axis,))
        others = m.reshape(others, shape=tuple(shape[i] for i in order))
        inverse = tuple(sorted(range(len(order)), key=order.__getitem__))
        return spread(m, g, shape, dim, keepdim) * m.conj(m.permute(others, dims=inverse))


def _extreme(name: str, best: str, doc: str, onnx: str) -> Op:
    class Extreme(Reduction):
        refuses_any = "c"

        def prepare(self, input, **attributes):
            canonical = Reduction.prepare(self, input, **attributes)
            needs_elements(self.name, input.shape, canonical["dim"])
            return canonical

        def forward(m, input, *, dim=None, keepdim=False):
            return getattr(m.xp, best)(input, axis=dim, keepdims=keepdim)

        def vjp(m, g, input, out, dim, keepdim):
            hit = m.eq(input, spread(m, out, tuple(input.shape), dim, keepdim))
            hits = m.cast_like(hit, g)
            share = g / m.sum(hits, dim=dim, keepdim=keepdim)
            return spread(m, share, tuple(input.shape), dim, keepdim) * hits

    Extreme.__doc__ = doc
    return op(onnx=onnx, samples=NON_EMPTY, name=name)(Extreme)


amax = _extreme("amax", "max", "The largest value over dims; equal maxima share the gradient.", "ReduceMax")
amin = _extreme("amin", "min", "The smallest value over dims; equal minima share the gradient.", "ReduceMin")


@op(samples=[(Sample((3, 4), "distinct"), {"which": which}) for which in ("max", "min", "median", "nanmedian")])
class one_of_all(Op):
    """The largest, smallest or middle one of all elements; the gradient goes in equal parts to all that equal it, NaN too."""

    promotion = None

    def infer(input, *, which):
        return MetaArray((), input.dtype)

    def forward(m, input, *, which=REQUIRED):
        if which in ("max", "min"):
            return getattr(m.xp, which)(input)
        ordered = m.xp.sort(input.reshape(-1))  # NaN comes last
        known = (ordered == ordered).sum()
        place = m.xp.maximum(known - 1, 0) // 2
        if which == "median":
            place = m.xp.where(known < ordered.size, ordered.size - 1, place)
        return ordered[place]

    def vjp(m, g, input, out):
        hit = m.logical_or(m.eq(input, out), m.logical_and(m.isnan(input), m.isnan(out)))
        hits = m.cast_like(hit, g)
        return hits * (g / m.sum(hits, dim=None, keepdim=False))


def _arg_extreme(name: str, doc: str, onnx: str) -> Op:
    class ArgExtreme(Reduction):
        refuses_any = "bc"
        differentiable = False

        def prepare(self, input, *, dim=None, keepdim=False):
            if dim is not None:
                dim = canonical_dim(self.name, dim, input.ndim)
                needs_elements(self.name, input.shape or (1,), (dim,))
            elif input.size == 0:
                raise DimensionError(f"{self.name}: the tensor has no elements.", f"input: {tuple(input.shape)}")
            return {"dim": dim, "keepdim": bool(keepdim)}

        def infer(input, *, dim, keepdim):
            dims = tuple(range(input.ndim)) if dim is None else (dim,)
            return MetaArray(reduced_shape(input.shape, dims, keepdim), np.dtype(np.int64))

        def forward(m, input, *, dim=None, keepdim=False):
            out = getattr(m.xp, name)(input, axis=dim if input.ndim else None, keepdims=keepdim and input.ndim > 0)
            return m.xp.asarray(out, dtype=np.int64)

    ArgExtreme.__doc__ = doc
    return op(onnx=onnx, samples=[((3, 4), {"dim": 1}), ((3, 4),)], name=name)(ArgExtreme)


argmax = _arg_extreme("argmax", "Where the largest value is along dim (in the flattened tensor for None).", "ArgMax")
argmin = _arg_extreme("argmin", "Where the smallest value is along dim (in the flattened tensor for None).", "ArgMin")


def _truth(name: str, doc: str) -> Op:
    class Truth(Reduction):
        differentiable = False

        def result_dtype(self, d):
            return np.dtype(np.uint8) if d == np.uint8 else np.dtype(bool)

        def forward(m, input, *, dim=None, keepdim=False):
            out = getattr(m.xp, name)(input, axis=dim, keepdims=keepdim)
            return m.xp.asarray(out, dtype=np.uint8) if input.dtype == np.uint8 else out

    Truth.__doc__ = doc
    return op(samples=[(Sample((3, 4), "bool", "bool"), {"dim": 1}), (Sample((3, 4), "bool", "bool"),)], name=name)(
        Truth
    )


any = _truth("any", "True where at least one element over dims is non-zero.")  # noqa: A001
all = _truth("all", "True where every element over dims is non-zero.")  # noqa: A001


@op(samples=[((3, 4), {"dim": 1}), ((3, 4), {"correction": 0}), ((2, 3, 4), {"dim": (0, 2), "keepdim": True})])
class var(Reduction):
    """The variance over dims; ``correction`` 1 divides by n - 1 (Bessel), 0 by n."""

    refuses_any = "biu"

    def prepare(self, input, *, dim=None, correction=1, keepdim=False):
        return {**Reduction.prepare(self, input, dim=dim, keepdim=keepdim), "correction": correction}

    def infer(input, *, dim, correction, keepdim):
        real = dtypes.from_numpy_dtype(input.dtype).to_real().numpy
        return MetaArray(reduced_shape(input.shape, dim, keepdim), real)

    def forward(m, input, *, dim=None, correction=1, keepdim=False):
        n = count(input.shape, dim)
        centred = input - m.mean_(input, dim, True)
        squares = centred * centred if input.dtype.kind != "c" else m.xp.square(m.xp.abs(centred))
        with m.errstate():
            return m.sum_(squares, dim, keepdim) / m.xp.asarray(max_(n - correction, 0), dtype=squares.dtype)

    def vjp(m, g, input, dim, correction, keepdim):
        shape = tuple(input.shape)
        n = count(shape, dim)
        centred = input - m.mean(input, dim=dim, keepdim=True)
        rest = n - correction
        return spread(m, g, shape, dim, keepdim) * centred * (2 / rest if rest > 0 else float("nan"))


def max_(a, b):
    return a if a > b else b


@op(onnx="ReduceLogSumExp", samples=NON_EMPTY[:3])
class logsumexp(Reduction):
    """log of the sum of exp over dims, shifted by the maximum so that nothing overflows."""

    promotion = "float"

    def forward(m, input, *, dim=None, keepdim=False):
        xp = m.xp
        if input.size == 0:
            with m.errstate():
                return xp.log(xp.sum(xp.exp(input), axis=dim, keepdims=keepdim))
        top = xp.max(input.real, axis=dim, keepdims=True)
        top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
        with m.errstate():
            out = xp.log(xp.sum(xp.exp(input - top), axis=dim, keepdims=True)) + top
        return out if keepdim else out.reshape(reduced_shape(input.shape, dim, False))

    def vjp(m, g, input, out, dim, keepdim):
        shape = tuple(input.shape)
        return spread(m, g, shape, dim, keepdim) * m.conj(m.exp(input - spread(m, out, shape, dim, keepdim)))


# --- along one dim ------------------------------------------------------------------------------------------------------


class AlongDim(Op):
    """Works along one dim and keeps the shape."""

    def prepare(self, input, *, dim, **rest):
        return {"dim": canonical_dim(self.name, dim, input.ndim), **rest}

    def infer(self, input, *, dim, **rest):
        return MetaArray(input.shape, input.dtype)


LOWEST = -1e30  # a logarithm of nothing that float32 still holds
SCANS = [((3, 4), {"dim": 1}), ((2, 3, 2), {"dim": 0}), ((), {"dim": 0})]


class Scan(AlongDim):
    def infer(self, input, *, dim):
        return MetaArray(input.shape, np.dtype(np.int64) if input.dtype.kind in "biu" else input.dtype)


@op(onnx="CumSum", samples=SCANS)
class cumsum(Scan):
    """The running sum along dim."""

    linear = True

    def forward(m, input, *, dim=REQUIRED):
        if input.dtype.kind in "biu":
            input = input.astype(np.int64)
        return m.xp.cumsum(input, axis=dim, dtype=input.dtype) if input.ndim else m.copy(input)

    def vjp(m, g, dim):
        return m.flip(m.cumsum(m.flip(g, dims=(dim,)), dim=dim), dims=(dim,)) if len(g.shape) else g


@op(samples=[((3, 4), {"dim": 1}), ((2, 3, 2), {"dim": 0})])
class logcumsumexp(AlongDim):
    """log of the running sum of exp along dim, stable."""

    promotion = "float"

    def forward(m, input, *, dim=REQUIRED):
        return m.logcumsumexp_(input, dim) if input.ndim and input.size else m.copy(input)

    def vjp(m, g, input, out, dim):
        if not len(g.shape) or 0 in g.shape:
            return g
        # exp(input) * sum of g * exp(-out) from here on, the sum taken in logarithms by sign so that nothing overflows

        def part(wanted, size):
            low = m.ones_like(size) * LOWEST
            logs = m.where(wanted, m.log(m.where(wanted, size, m.ones_like(size))), low)
            back = m.flip(m.logcumsumexp(m.flip(logs - out, dims=(dim,)), dim=dim), dims=(dim,))
            return m.exp(back + input)

        if m.is_complex(g):  # the sign is in the imaginary part of the logarithm
            none = m.eq(g, 0)
            logs = m.where(none, m.ones_like(g) * LOWEST, m.log(m.where(none, m.ones_like(g), g)))
            back = m.flip(m.logcumsumexp(m.flip(logs - m.conj(out), dims=(dim,)), dim=dim), dims=(dim,))
            return m.exp(back + m.conj(input))
        return part(m.gt(g, 0), g) - part(m.lt(g, 0), -g)

    def jvp(m, tangents, input, out, dim):
        t = tangents[0]
        if not len(t.shape) or 0 in t.shape:
            return t
        if m.is_complex(t):
            return m.cumsum(m.exp(input) * t, dim=dim) * m.exp(-out)

        def part(wanted, size):
            low = m.ones_like(size) * LOWEST
            logs = m.where(wanted, m.log(m.where(wanted, size, m.ones_like(size))), low)
            return m.exp(m.logcumsumexp(logs + input, dim=dim) - out)

        return part(m.gt(t, 0), t) - part(m.lt(t, 0), -t)


@op(samples=[(Sample((3, 4), "positive"), {"dim": 1}), ((2, 3), {"dim": 0})])
class cumprod(Scan):
    """The running product along dim."""

    def forward(m, input, *, dim=REQUIRED):
        if input.dtype.kind in "biu":
            input = input.astype(np.int64)
        return m.xp.cumprod(input, axis=dim, dtype=input.dtype) if input.ndim else m.copy(input)

    def vjp(m, g, input, out, dim):
        if not len(g.shape) or 0 in g.shape:
            return g
        # d out[j] / d input[k] is out[j] / input[k]; zeros are stepped around by products that leave k out
        n = g.shape[dim]
        parts = []
        for k in range(n):
            after = m.narrow(input, dim=dim, start=k + 1, length=n - k - 1)
            one = m.ones_like(m.narrow(input, dim=dim, start=k, length=1))
            tail = m.cumprod(m.cat([one, after], dim=dim), dim=dim) if k + 1 < n else one
            head = m.narrow(out, dim=dim, start=k - 1, length=1) if k else one
            gk = m.narrow(g, dim=dim, start=k, length=n - k)
            parts.append(m.sum(gk * m.conj(head * tail), dim=(dim,), keepdim=True))
        return m.cat(parts, dim=dim)


def _running_extreme(name: str, ufunc: str, doc: str) -> Op:
    class Running(AlongDim):
        outputs = 2
        reads_outputs = (1,)

        def infer(self, input, *, dim):
            return MetaArray(input.shape, input.dtype), MetaArray(input.shape, np.dtype(np.int64))

        def forward(m, input, *, dim=REQUIRED):
            if not input.ndim:
                return m.copy(input), m.xp.zeros((), np.int64)
            values = m.running_(ufunc, input, dim)
            shape = [1] * input.ndim
            shape[dim] = input.shape[dim]
            place = m.xp.arange(input.shape[dim]).reshape(shape)
            fresh = (input == values) | m.xp.isnan(input) if input.dtype.kind == "f" else input == values
            indices = m.running_("maximum", m.xp.where(fresh, place, 0), dim)
            return values, indices.astype(np.int64)

        def vjp(m, g, input_shape, out, dim):
            if g[0] is None:
                return None
            if not len(input_shape):
                return g[0]
            return m.scatter_add(m.zeros_like(g[0]), out[1], g[0], dim=dim)

    Running.__doc__ = doc
    return op(samples=[(Sample((3, 4), "distinct"), {"dim": 1})], name=name)(Running)


cummax = _running_extreme("cummax", "maximum", "The largest value so far along dim, and where it was.")
cummin = _running_extreme("cummin", "minimum", "The smallest value so far along dim, and where it was.")


@op(onnx="Softmax", samples=[((3, 4), {"dim": 1}), ((2, 3, 2), {"dim": 0}), ((), {"dim": 0})])
class softmax(AlongDim):
    """exp(input) / sum of exp along dim, shifted by the maximum so that nothing overflows."""

    refuses_any = "biuc"

    def forward(m, input, *, dim=REQUIRED):
        return m.softmax_(input, dim)

    def vjp(m, g, out, dim):
        weighted = g * out
        return weighted - out * m.sum(weighted, dim=(dim,) if len(out.shape) else (), keepdim=True)


@op(onnx="LogSoftmax", samples=[((3, 4), {"dim": 1}), ((2, 3, 2), {"dim": 0})])
class log_softmax(AlongDim):
    """log of softmax along dim, stable."""

    refuses_any = "biuc"

    def forward(m, input, *, dim=REQUIRED):
        return m.log_softmax_(input, dim)

    def vjp(m, g, out, dim):
        return g - m.exp(out) * m.sum(g, dim=(dim,) if len(out.shape) else (), keepdim=True)


@op(samples=[(Sample((3, 4), "distinct"), {"dim": 1}), (Sample((3, 4), "distinct"), {"dim": 0, "descending": True})])
class sort(AlongDim):
    """Values in order along dim, and where each was. NaN counts as largest."""

    refuses_any = "c"

    outputs = 2
    reads_outputs = (1,)

    def infer(self, input, *, dim, descending, stable):
        return MetaArray(input.shape, input.dtype), MetaArray(input.shape, np.dtype(np.int64))

    def forward(m, input, *, dim=-1, descending=False, stable=False):
        if not input.ndim:
            return m.copy(input), m.xp.zeros((), np.int64)
        if input.dtype.kind == "b":
            input = input.view(np.uint8)
            values, order = sort.forward(m, input, dim=dim, descending=descending)
            return values.view(bool), order
        if descending:  # a stable sort of the reversed array, reversed, keeps equal elements in their order
            order = m.xp.flip(m.xp.argsort(m.xp.flip(input, axis=dim), axis=dim, kind="stable"), axis=dim)
            order = input.shape[dim] - 1 - order
        else:
            order = m.xp.argsort(input, axis=dim, kind="stable")
        return m.xp.take_along_axis(input, order, axis=dim), order.astype(np.int64)

    def vjp(m, g, out, dim):
        if g[0] is None:
            return None
        if not len(g[0].shape):
            return g[0]
        return m.scatter_add(m.zeros_like(g[0]), out[1], g[0], dim=dim)


@op(onnx="TopK", samples=[(Sample((3, 5), "distinct"), {"k": 2, "dim": 1}), (Sample((4,), "distinct"), {"k": 3})])
class topk(Op):
    """The k largest (or smallest) values along dim in order, and where they were."""

    outputs = 2
    reads_outputs = (1,)

    def prepare(input, *, k, dim=-1, largest=True, sorted=True):
        dim = canonical_dim("topk", dim, input.ndim)
        size = input.shape[dim] if input.ndim else 1
        if not 0 <= k <= size:
            raise RefusedError(f"topk: k={k} is not between 0 and {size}, the size of dim {dim}.")
        return {"k": k, "dim": dim, "largest": largest, "sorted": sorted}

    def infer(input, *, k, dim, largest, sorted):
        shape = tuple(k if i == dim else n for i, n in enumerate(input.shape))
        return MetaArray(shape, input.dtype), MetaArray(shape, np.dtype(np.int64))

    def forward(m, input, *, k=REQUIRED, dim=-1, largest=True, sorted=True):
        if not input.ndim:
            return m.copy(input), m.xp.zeros((), np.int64)
        values, order = m.sort(input, dim=dim, descending=largest)
        cut = (slice(None),) * dim + (slice(0, k),)
        return m.copy(values[cut]), m.copy(order[cut])

    def vjp(m, g, input_shape, out, dim):
        if g[0] is None:
            return None
        if not len(input_shape):
            return g[0]
        return m.scatter_add(m.zeros(input_shape, like=g[0]), out[1], g[0], dim=dim)


# --- where classes meet --------------------------------------------------------------------------------------------------


@op(samples=[((3, 4), Sample((5,), "index", "int64", 3), {"dim": 0})])
class index_select(Op):
    """The rows (slices along dim) that index names, in its order."""

    promotion = None

    def prepare(input, index, *, dim):
        dim = canonical_dim("index_select", dim, input.ndim)
        return {"dim": dim}

    def infer(input, index, *, dim):
        n = index.shape[0] if index.ndim else 1
        return MetaArray(tuple(n if i == dim else s for i, s in enumerate(input.shape)), input.dtype)

    def forward(m, input, index, *, dim=REQUIRED):
        if not input.ndim:
            return m.copy(input)
        index = index.reshape(-1)
        m.check_index("index_select", index, input.shape[dim])
        return m.xp.take(input, index, axis=dim)

    def vjp_input(m, g, index, input_shape, dim):
        return m.index_add(m.zeros(input_shape, like=g), index, g, dim=dim) if len(input_shape) else g


@op(samples=[((3, 4), Sample((2,), "index", "int64", 3), (2, 4), {"dim": 0})])
class index_add(Op):
    """input with the slices of source added at the places along dim that index names; repeated places add up."""

    promotion = None

    def prepare(input, index, source, *, dim):
        return {"dim": canonical_dim("index_add", dim, input.ndim)}

    def infer(input, index, source, *, dim):
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, index, source, *, dim=REQUIRED):
        m.check_index("index_add", index, input.shape[dim])
        return m.index_add_(input, index.reshape(-1), source, dim)

    def vjp_input(m, g):
        return g

    def vjp_source(m, g, index, dim):
        return m.index_select(g, index, dim=dim)


# --- norms ------------------------------------------------------------------------------------------------------------


@op(
    samples=[
        ((3, 4), {"ord": 2.0, "dim": (0, 1)}),
        ((3, 4), {"ord": 1.0, "dim": (1,)}),
        ((3, 4), {"ord": 3.0, "dim": (1,), "keepdim": True}),
        ((3, 4), {"ord": 0.5, "dim": (0,)}),
        ((3, 4), {"ord": float("inf"), "dim": (0,)}),
        ((3, 4), {"ord": -1.5, "dim": (0,)}),
        (Sample((3, 4), "normal", "complex128"), {"ord": 2.0, "dim": (1,)}),
        (Sample((3, 4), "normal", "complex128"), {"ord": 3.0, "dim": (1,)}),
    ]
)
class vector_norm(Op):
    """(sum |input|^ord)^(1/ord) over dims; ord may be 0 (how many are not zero) and plus or minus infinity.

    At zero the gradient is zero, the smallest of the slopes there; there is no gradient of it (NaN, as PyTorch says).
    """

    promotion = None

    def infer(input, *, ord, dim, keepdim):
        real = dtypes.from_numpy_dtype(input.dtype).to_real().numpy
        return MetaArray(reduced_shape(input.shape, dim, keepdim), real)

    def forward(m, input, *, ord=2.0, dim=REQUIRED, keepdim=False):
        xp = m.xp
        size = xp.abs(input)
        how = {"axis": dim, "keepdims": keepdim}
        if ord == 0:
            return xp.sum(size != 0, **how).astype(size.dtype)
        if ord == float("inf"):
            return xp.max(size, **how)
        if ord == -float("inf"):
            return xp.min(size, **how)
        if ord == 1:
            return xp.sum(size, dtype=size.dtype, **how)
        if ord == 2:
            return xp.sqrt(xp.sum(size * size, dtype=size.dtype, **how))
        return xp.sum(size**ord, dtype=size.dtype, **how) ** (1.0 / ord)

    def vjp(m, g, input, out, ord, dim, keepdim):
        shape = tuple(input.shape)
        if ord == 0:
            return m.zeros_like(input)
        g = spread(m, g, shape, dim, keepdim)
        if ord == 1:
            return g * m.sgn(input)
        norm = spread(m, out, shape, dim, keepdim)
        flat = m.eq(norm, 0)
        if ord == 2:
            with np.errstate(divide="ignore", invalid="ignore"):
                direction = input / norm
            return g * m.where(flat, m.zeros_like(input), direction)
        size = m.abs(input)
        if ord in (float("inf"), -float("inf")):
            unknown = m.logical_and(m.isnan(size), m.isnan(norm))  # a NaN is the extreme: it has a slope of 0
            hit = m.cast_like(m.logical_or(m.eq(size, norm), unknown), g)
            return m.sgn(input) * (g * hit / m.sum(hit, dim=dim, keepdim=True))
        gone = m.eq(size, 0)
        if ord > 2:  # a slope of 0 has one too
            norm = m.where(flat, m.ones_like(norm), norm)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = m.pow_scalar(m.where(gone, m.ones_like(size), size) / norm, exponent=ord - 1)
        # beside a NaN all slopes are NaN, that of 0 too
        slope = m.where(flat, m.zeros_like(slope), m.where(gone, slope * 0, slope))
        return m.sgn(input) * (g * slope)
