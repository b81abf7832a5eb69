"""Ops that move, repeat or look at values without changing them. Those with ``view = True`` share memory."""

import math
from typing import Any

import numpy as np

from mlkit.core.errors import DimensionError, RefusedError, ShapeError, ValueRangeError
from mlkit.core.size import Symbol
from mlkit.core.value import LevelArray, MetaArray
from mlkit.ops.reduce import canonical_dim, count
from mlkit.ops.registry import REQUIRED, Op, Sample, broadcast_or_explain, op


class Moves(Op):
    """Linear and exact for every dtype."""

    promotion: Any = None
    linear = True


class Look(Moves):
    """A view: the output is the same memory, seen otherwise."""

    view = True


def resolve_shape(name: str, shape, size: int, old: tuple) -> tuple[int, ...]:
    """``shape`` with its -1 worked out; raises ShapeError when the element counts differ."""
    known = 1
    for n in shape:
        if n.__class__ is not int or n < 0:
            break
        known *= n
    else:
        if known == size:  # as most are
            return tuple(shape)
    shape = tuple(n if isinstance(n, Symbol) else int(n) for n in shape)
    unknown = [i for i, n in enumerate(shape) if n == -1]
    if len(unknown) > 1:
        raise ShapeError(f"{name}: only one dimension can be inferred (-1), got {shape}.")
    known = 1
    for n in shape:
        if n < -1:
            raise ShapeError(f"{name}: invalid shape dimension {n} in {shape}.")
        if n != -1:
            known = known * n
    if unknown:
        if known == 0 or size % known:
            raise ShapeError(
                f"{name}: shape {list(shape)} is invalid for input of size {size}.",
                f"input: {tuple(old)} has {size} elements, not a multiple of {known}" if known else None,
            )
        i = unknown[0]
        shape = (*shape[:i], size // known, *shape[i + 1 :])
    elif known != size:
        raise ShapeError(
            f"{name}: shape {list(shape)} is invalid for input of size {size}.",
            f"input: {tuple(old)} has {size} elements; {shape} has {known}",
            "Use -1 for the size that should follow from the others." if len(shape) > 1 else None,
        )
    return shape


@op(onnx="Reshape", samples=[((3, 4), {"shape": (2, 6)}), ((3, 4), {"shape": (-1,)}), ((), {"shape": (1, 1)})])
class reshape(Look):
    """The same values in order under another shape; one size may be -1. Copies only when strides do not allow a view."""

    def prepare(input, *, shape):
        return {"shape": resolve_shape("reshape", shape, input.size, input.shape)}

    def infer(input, *, shape):
        return MetaArray(shape, input.dtype)

    def forward(m, input, *, shape=REQUIRED):
        return input.reshape(shape)

    def vjp(m, g, input_shape):
        return m.reshape(g, shape=tuple(input_shape))


#: (dims, how many there are) that were looked at and found right; a program uses few
_ORDERS: set[tuple[tuple[int, ...], int]] = set()


@op(onnx="Transpose", samples=[((2, 3, 4), {"dims": (2, 0, 1)}), ((3, 4), {"dims": (-1, 0)})])
class permute(Look):
    """The dims in another order: output dim i is input dim dims[i]."""

    def prepare(input, *, dims):
        for d in dims:
            if d.__class__ is not int:
                break
        else:
            if (tuple(dims), input.ndim) in _ORDERS:
                return {"dims": tuple(dims)}
        found = tuple(canonical_dim("permute", d, input.ndim) for d in dims)
        if len(found) != input.ndim or len(set(found)) != len(found):
            raise ShapeError(
                f"permute: expected each of the {input.ndim} dims once, got {tuple(dims)}.", f"input: {input.shape}"
            )
        if len(_ORDERS) < 1000:
            _ORDERS.add((found, input.ndim))
        return {"dims": found}

    def infer(input, *, dims):
        return MetaArray(tuple(input.shape[d] for d in dims), input.dtype)

    def forward(m, input, *, dims=REQUIRED):
        return input.transpose(dims)

    def vjp(m, g, dims):
        return m.permute(g, dims=tuple(sorted(range(len(dims)), key=dims.__getitem__)))


@op(onnx="Expand", samples=[((3, 1), {"shape": (2, 3, 4)}), ((1,), {"shape": (5,)}), ((), {"shape": (2,)})])
class expand(Look):
    """Size-1 dims (and new leading ones) repeated without copying; -1 keeps a size."""

    def prepare(input, *, shape):
        shape = tuple(shape)
        lead = len(shape) - input.ndim
        if lead < 0:
            raise ShapeError(
                f"expand: the number of sizes provided ({len(shape)}) must be greater or equal to the number of "
                f"dimensions in the tensor ({input.ndim}).",
                f"input: {tuple(input.shape)}, asked for: {shape}",
            )
        full = []
        for axis, n in enumerate(shape):
            own = input.shape[axis - lead] if axis >= lead else None
            if n == -1 and own is None:
                raise ShapeError(f"expand: -1 cannot stand for a new leading dim, in {shape}.")
            if own is not None and n not in (-1, own) and own != 1:
                raise ShapeError(
                    f"expand: the expanded size ({n}) must match the existing size ({own}) at dim {axis}.",
                    f"input: {tuple(input.shape)}, asked for: {shape}",
                    "Only axes of size 1 expand; input.repeat(...) copies an axis several times.",
                )
            full.append(own if n == -1 else n)
        return {"shape": tuple(full)}

    def infer(input, *, shape):
        return MetaArray(shape, input.dtype)

    def forward(m, input, *, shape=REQUIRED):
        return m.xp.broadcast_to(input, shape)

    def vjp(m, g, input_shape):
        return m.unbroadcast(g, tuple(input_shape))


def basic_shape(shape, index) -> tuple[int, ...]:
    """The shape that basic indexing (ints, slices, None) gives; sizes may be symbols."""
    out, axis = [], 0
    for item in index:
        if item is None:
            out.append(1)
        elif isinstance(item, slice):
            n = shape[axis]
            if item == slice(None):
                out.append(n)
            else:
                out.append(len(range(*item.indices(int(n)))))
            axis += 1
        else:
            axis += 1
    return (*out, *shape[axis:])


@op(onnx="Slice", samples=[((3, 4), {"index": (1, slice(None, None, 2))}), ((2, 3), {"index": (None, slice(1, 2))})])
class slice_(Look):
    """Basic indexing: integers, slices with positive step, and None for a new dim."""

    def prepare(input, *, index):
        axis = 0
        clean = []
        for item in index:
            if item is None:
                clean.append(None)
                continue
            if axis >= input.ndim:
                raise DimensionError(
                    f"too many indices for tensor of dimension {input.ndim}.", f"input: {tuple(input.shape)}"
                )
            n = input.shape[axis]
            if isinstance(item, slice):
                if item.step is not None and item.step <= 0:
                    raise ValueRangeError("slice: step must be greater than zero.", hint="Reverse with x.flip(dim).")
            else:
                item = int(item)
                if not -n <= item < n:
                    raise DimensionError(
                        f"index {item} is out of bounds for dimension {axis} with size {n}.",
                        f"input: {tuple(input.shape)}",
                    )
                item = item + n if item < 0 else item
            clean.append(item)
            axis += 1
        return {"index": tuple(clean)}

    def infer(input, *, index):
        return MetaArray(basic_shape(input.shape, index), input.dtype)

    def forward(m, input, *, index=REQUIRED):
        return input[(*index, ...)]

    def vjp(m, g, input_shape, index):
        return m.slice_grad(g, shape=tuple(input_shape), index=index)


@op(samples=[((2,), {"shape": (3, 4), "index": (1, slice(None, None, 2))})])
class slice_grad(Moves):
    """Zeros of ``shape`` with input at the place that ``index`` names."""

    def infer(input, *, shape, index):
        return MetaArray(shape, input.dtype)

    def forward(m, input, *, shape=REQUIRED, index=REQUIRED):
        out = m.xp.zeros(shape, input.dtype)
        out[(*index, ...)] = input
        return out

    def vjp(m, g, index):
        return m.slice(g, index=index)


@op(samples=[((3, 4), {"dim": 1, "start": 1, "length": 2})])
class narrow(Look):
    """length slices along dim, from start on."""

    def prepare(input, *, dim, start, length):
        if not input.ndim:
            raise ShapeError("narrow() cannot be applied to a 0-dim tensor.")
        dim = canonical_dim("narrow", dim, input.ndim)
        n = input.shape[dim]
        if length < 0:
            raise ShapeError(f"narrow(): length must be non-negative, got {length}.")
        if not -n <= start <= n:
            raise DimensionError(
                f"narrow: start out of range (expected to be in range of [{-n}, {n}], but got {start})."
            )
        start = start + n if start < 0 else start
        if length < 0 or not 0 <= start <= n - length:
            raise ShapeError(
                f"narrow: start ({start}) + length ({length}) exceeds dimension size ({n}).",
                f"input: {tuple(input.shape)}, dim {dim}",
            )
        return {"dim": dim, "start": start, "length": length}

    def infer(input, *, dim, start, length):
        return MetaArray(tuple(length if i == dim else n for i, n in enumerate(input.shape)), input.dtype)

    def forward(m, input, *, dim=REQUIRED, start=REQUIRED, length=REQUIRED):
        return input[(slice(None),) * dim + (slice(start, start + length),)]

    def vjp(m, g, input_shape, dim, start, length):
        index = (slice(None),) * dim + (slice(start, start + length),)
        return m.slice_grad(g, shape=tuple(input_shape), index=index)


@op(samples=[((3, 4), {}), ((3, 4), {"offset": 1}), ((2, 3, 4), {"offset": -1, "dim1": 0, "dim2": 2})])
class diagonal(Look):
    """The diagonal of dims dim1 and dim2 as a new last dim."""

    def prepare(input, *, offset=0, dim1=0, dim2=1):
        dim1, dim2 = (canonical_dim("diagonal", d, input.ndim) for d in (dim1, dim2))
        if dim1 == dim2:
            raise ShapeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}.")
        return {"offset": offset, "dim1": dim1, "dim2": dim2}

    def infer(input, *, offset, dim1, dim2):
        rows, columns = input.shape[dim1], input.shape[dim2]
        n = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
        rest = [s for i, s in enumerate(input.shape) if i not in (dim1, dim2)]
        return MetaArray((*rest, n), input.dtype)

    def forward(m, input, *, offset=0, dim1=0, dim2=1):
        out = m.xp.diagonal(input, offset, dim1, dim2)
        if isinstance(out, np.ndarray) and not out.flags.writeable and input.flags.writeable:
            out.flags.writeable = True  # NumPy guards it; views of tensors may be written through
        return out

    def vjp(m, g, input_shape, offset, dim1, dim2):
        return m.diagonal_grad(g, shape=tuple(input_shape), offset=offset, dim1=dim1, dim2=dim2)


@op(samples=[((3,), {"shape": (3, 4), "offset": 0, "dim1": 0, "dim2": 1})])
class diagonal_grad(Moves):
    """Zeros of ``shape`` with input on the diagonal."""

    def infer(input, *, shape, offset, dim1, dim2):
        return MetaArray(shape, input.dtype)

    def forward(m, input, *, shape=REQUIRED, offset=0, dim1=0, dim2=1):
        out = m.xp.zeros(shape, input.dtype)
        n = input.shape[-1]
        front = m.xp.moveaxis(out, (dim1, dim2), (-2, -1))
        i = m.xp.arange(n)
        front[..., i + max(-offset, 0), i + max(offset, 0)] = input
        return out

    def vjp(m, g, offset, dim1, dim2):
        return m.diagonal(g, offset=offset, dim1=dim1, dim2=dim2)


@op(samples=[((7,), {"dimension": 0, "size": 3, "step": 2}), ((3, 5), {"dimension": 1, "size": 2, "step": 1})])
class unfold(Look):
    """All windows of ``size`` along dimension, ``step`` apart; the window becomes a new last dim."""

    def prepare(input, *, dimension, size, step):
        dimension = canonical_dim("unfold", dimension, input.ndim)
        n = input.shape[dimension] if input.ndim else 1
        if not 0 <= size <= n:
            raise RefusedError(f"unfold: maximum size for tensor at dimension {dimension} is {n} but size is {size}.")
        if step <= 0:
            raise RefusedError(f"unfold: step is {step} but must be > 0.")
        return {"dimension": dimension, "size": size, "step": step}

    def infer(input, *, dimension, size, step):
        if not input.ndim:
            return MetaArray((size,), input.dtype)
        windows = (input.shape[dimension] - size) // step + 1
        shape = [windows if i == dimension else n for i, n in enumerate(input.shape)]
        return MetaArray((*shape, size), input.dtype)

    def forward(m, input, *, dimension=REQUIRED, size=REQUIRED, step=REQUIRED):
        if not input.ndim:
            return input.reshape(1)[:size]
        windows = m.windows_(input, dimension, size)
        return windows[(slice(None),) * dimension + (slice(None, None, step),)]

    def vjp(m, g, input_shape, dimension, size, step):
        return m.unfold_grad(g, shape=tuple(input_shape), dimension=dimension, size=size, step=step)


@op(samples=[((3, 3), {"shape": (7,), "dimension": 0, "size": 3, "step": 2})])
class unfold_grad(Moves):
    """Windows added back where they came from."""

    def infer(input, *, shape, dimension, size, step):
        return MetaArray(shape, input.dtype)

    def forward(m, input, *, shape=REQUIRED, dimension=REQUIRED, size=REQUIRED, step=REQUIRED):
        if not shape:
            return input.sum()
        out = m.xp.zeros(shape, input.dtype)
        windows = input.shape[dimension]
        for k in range(size):
            place = (slice(None),) * dimension + (slice(k, k + (windows - 1) * step + 1, step),)
            out[place] += input[..., k]
        return out

    def vjp(m, g, dimension, size, step):
        return m.unfold(g, dimension=dimension, size=size, step=step)


# --- joining and repeating ------------------------------------------------------------------------------------------------


def _other_dim(a, b) -> str | None:
    """The one dim along which two shapes can be joined."""
    differ = [i for i, (m, n) in enumerate(zip(a, b, strict=False)) if m != n]
    return f"They can be joined along dim={differ[0]}." if len(a) == len(b) and len(differ) == 1 else None


@op(onnx="Concat", samples=[(((2, 3), (2, 1)), {"dim": 1}), (((2,), (0,), (3,)), {"dim": 0})])
class cat(Moves):
    """Tensors joined along an existing dim; all other sizes agree."""

    variadic = True
    promotion = "common"

    def prepare(tensors, *, dim=0):
        if not tensors:
            raise ValueRangeError("cat: expected a non-empty list of tensors.")
        # PyTorch lets 1-d empty tensors pass whatever the rank of the others
        full = [t for t in tensors if t.shape != (0,)] or list(tensors)
        first = full[0]
        if first.ndim == 0:
            raise ShapeError("cat: zero-dimensional tensors cannot be concatenated.", hint="Use mlkit.stack instead.")
        dim = canonical_dim("cat", dim, first.ndim)
        for number, t in enumerate(full):
            same = t.ndim == first.ndim and all(
                a == b for i, (a, b) in enumerate(zip(t.shape, first.shape, strict=True)) if i != dim
            )
            if not same and t.ndim != first.ndim:
                raise ShapeError(
                    f"cat: tensors must have the same number of dimensions: got {first.ndim} and {t.ndim}.",
                    f"tensors[0]: {tuple(first.shape)}\ntensors[{number}]: {tuple(t.shape)}",
                    f"Give the smaller an axis first: {f'tensors[{number}]' if t.ndim < first.ndim else 'tensors[0]'}"
                    ".unsqueeze(0).",
                )
            if not same:
                clash = next(
                    i for i, (a, b) in enumerate(zip(first.shape, t.shape, strict=True)) if a != b and i != dim
                )
                raise ShapeError(
                    f"cat: sizes of tensors must match except in dimension {dim}; in dimension {clash} they are "
                    f"{first.shape[clash]} != {t.shape[clash]}.",
                    f"tensors[0]: {tuple(first.shape)}\ntensors[{number}]: {tuple(t.shape)}",
                    _other_dim(first.shape, t.shape),
                )
        return {"dim": dim}

    def infer(tensors, *, dim):
        full = [t for t in tensors if t.shape != (0,)] or list(tensors)
        total = 0
        for t in full:
            total = t.shape[dim] + total
        shape = tuple(total if i == dim else n for i, n in enumerate(full[0].shape))
        return MetaArray(shape, full[0].dtype)

    def forward(m, tensors, *, dim=0):
        full = [t for t in tensors if t.shape != (0,)] or list(tensors)
        return m.xp.concatenate(full, axis=dim)

    def vjp(m, g, tensors_shape, dim, needs):
        grads, start = [], 0
        for shape, wanted in zip(tensors_shape, needs, strict=True):
            if tuple(shape) == (0,) and len(g.shape) > 1:
                grads.append(m.zeros((0,), like=g))
                continue
            grads.append(m.narrow(g, dim=dim, start=start, length=shape[dim]) if wanted else None)
            start += shape[dim]
        return tuple(grads)


@op(onnx="Tile", samples=[((2, 3), {"repeats": (2, 1)}), ((2,), {"repeats": (2, 3)})])
class repeat(Moves):
    """The whole tensor repeated along each dim; more repeats than dims add leading ones."""

    def prepare(input, *, repeats):
        repeats = tuple(int(r) for r in repeats)
        if len(repeats) < input.ndim:
            raise ShapeError(
                f"repeat: number of dimensions of repeat dims ({len(repeats)}) can not be smaller than number of "
                f"dimensions of tensor ({input.ndim})."
            )
        if any(r < 0 for r in repeats):
            raise RefusedError(f"repeat: repeats must not be negative, got {repeats}.")
        return {"repeats": repeats}

    def infer(input, *, repeats):
        shape = (1,) * (len(repeats) - input.ndim) + tuple(input.shape)
        return MetaArray(tuple(n * r for n, r in zip(shape, repeats, strict=True)), input.dtype)

    def forward(m, input, *, repeats=REQUIRED):
        return m.xp.tile(input, repeats)

    def vjp(m, g, input_shape, repeats):
        lead = len(repeats) - len(input_shape)
        shape = (1,) * lead + tuple(input_shape)
        if 0 in repeats:
            return m.zeros(tuple(input_shape), like=g)
        split = tuple(x for r, n in zip(repeats, shape, strict=True) for x in (r, n))
        summed = m.sum(m.reshape(g, shape=split), dim=tuple(range(0, len(split), 2)))
        return m.reshape(summed, shape=tuple(input_shape))


@op(samples=[((2, 3), {"repeats": 2, "dim": 1}), ((3,), {"repeats": (1, 0, 2), "dim": 0})])
class repeat_interleave(Moves):
    """Each slice along dim repeated; ``repeats`` an int, or a tuple with one number per slice."""

    def prepare(input, *, repeats, dim):
        dim = canonical_dim("repeat_interleave", dim, input.ndim)
        if not isinstance(repeats, int):
            repeats = tuple(int(r) for r in repeats)
            if len(repeats) != input.shape[dim]:
                raise ShapeError(
                    f"repeat_interleave: repeats has {len(repeats)} entries, dim {dim} has size {input.shape[dim]}."
                )
        return {"repeats": repeats, "dim": dim}

    def infer(input, *, repeats, dim):
        n = input.shape[dim] * repeats if isinstance(repeats, int) else sum(repeats)
        return MetaArray(tuple(n if i == dim else s for i, s in enumerate(input.shape)), input.dtype)

    def forward(m, input, *, repeats=REQUIRED, dim=REQUIRED):
        return m.xp.repeat(input, repeats if isinstance(repeats, int) else list(repeats), axis=dim)

    def vjp(m, g, input_shape, repeats, dim):
        n = input_shape[dim]
        times = (repeats,) * n if isinstance(repeats, int) else repeats
        place = m.index_array([i for i, r in enumerate(times) for _ in range(r)], like=g)
        return m.index_add(m.zeros(tuple(input_shape), like=g), place, g, dim=dim)


@op(samples=[((2, 3), {"dims": (0, 1)}), ((4,), {"dims": (0,)})])
class flip(Moves):
    """The order along dims reversed."""

    def prepare(input, *, dims):
        dims = dims if isinstance(dims, (tuple, list)) else (dims,)
        return {"dims": tuple(canonical_dim("flip", d, input.ndim) for d in dims)}

    def infer(input, *, dims):
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, *, dims=REQUIRED):
        return m.copy(m.xp.flip(input, axis=dims))

    def vjp(m, g, dims):
        return m.flip(g, dims=dims)


@op(samples=[((3, 4), {"shifts": (1,), "dims": (1,)}), ((5,), {"shifts": (-2,), "dims": (0,)})])
class roll(Moves):
    """Values moved along dims by shifts; what leaves at one end enters at the other."""

    def prepare(input, *, shifts, dims):
        if not shifts:
            raise ShapeError("`shifts` required.")
        if len(shifts) != len(dims):
            raise ShapeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims: {len(dims)}.")
        return {"shifts": tuple(shifts), "dims": tuple(canonical_dim("roll", d, input.ndim) for d in dims)}

    def infer(input, *, shifts, dims):
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, *, shifts=REQUIRED, dims=REQUIRED):
        return m.xp.roll(input, shifts, axis=dims)

    def vjp(m, g, shifts, dims):
        return m.roll(g, shifts=tuple(-s for s in shifts), dims=dims)


def _triangle(name: str, doc: str) -> Op:
    class Triangle(Moves):
        def prepare(input, *, diagonal=0):
            if input.ndim < 2:
                raise ShapeError(f"{name}: input tensor must have at least 2 dimensions, got {tuple(input.shape)}.")
            return {"diagonal": int(diagonal)}

        def infer(input, *, diagonal):
            return MetaArray(input.shape, input.dtype)

        def forward(m, input, *, diagonal=0):
            return getattr(m.xp, name)(input, diagonal)

        def vjp(m, g, diagonal):
            return getattr(m, name)(g, diagonal=diagonal)

    Triangle.__doc__ = doc
    return op(onnx="Trilu", samples=[((3, 4),), ((2, 3, 3), {"diagonal": 1})], name=name)(Triangle)


tril = _triangle("tril", "The lower triangle of the last two dims, zeros above diagonal.")
triu = _triangle("triu", "The upper triangle of the last two dims, zeros below diagonal.")


@op(onnx="Pad", samples=[((2, 3), {"widths": ((0, 1), (2, 0))}), ((3,), {"widths": ((1, 1),), "value": 2.0})])
class constant_pad(Moves):
    """``value`` around the tensor; widths is (before, after) per dim, negative ones cut."""

    linear = False

    def prepare(input, *, widths, value=0.0):
        if len(widths) != input.ndim:
            raise ShapeError(f"pad: expected {input.ndim} pairs of widths, got {len(widths)}.")
        for d, ((a, b), n) in enumerate(zip(widths, input.shape, strict=True)):
            if n + a + b < 0:
                raise ShapeError(f"pad: widths {(a, b)} cut more than dim {d} of size {n} has.")
        return {"widths": tuple((int(a), int(b)) for a, b in widths), "value": value}

    def infer(input, *, widths, value):
        return MetaArray(tuple(n + (a + b) for n, (a, b) in zip(input.shape, widths, strict=True)), input.dtype)

    def forward(m, input, *, widths=REQUIRED, value=0.0):
        cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(input.shape, widths, strict=True))
        shape = tuple(n + a + b for n, (a, b) in zip(input.shape, widths, strict=True))
        out = m.xp.full(shape, value, input.dtype)
        place = tuple(slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(shape, widths, strict=True))
        out[place] = input[cut]
        return out

    def vjp(m, g, widths):
        return m.constant_pad(g, widths=tuple((-a, -b) for a, b in widths))

    def jvp(m, tangents, widths):
        return m.constant_pad(tangents[0], widths=widths)


# --- indexing by tensors ------------------------------------------------------------------------------------------------------

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


@op(onnx="GatherElements", samples=GATHER)
class gather(Moves):
    """out[i][j] = input[i][index[i][j]] for dim 1: one place along dim per output value."""

    def prepare(input, index, *, dim):
        if index.dtype.kind not in "iu":
            from mlkit.core.errors import DtypeError

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
        got = m.gather(g, index, dim=dim)
        widths = tuple((0, a - b) for a, b in zip(src_shape, got.shape, strict=True))
        return (
            got if not count(range(0), ()) or all(w == (0, 0) for w in widths) else m.constant_pad(got, widths=widths)
        )

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
        got = m.gather(g, index, dim=dim)
        widths = tuple((0, a - b) for a, b in zip(src_shape, got.shape, strict=True))
        return got if all(w == (0, 0) for w in widths) else m.constant_pad(got, widths=widths)


def _fitted(m, values, shape):
    """A source cut to the index's shape: what lies beyond is not used."""
    for dim, n in enumerate(shape):
        if values.shape[dim] != n:
            values = m.narrow(values, dim=dim, start=0, length=n)
    return values


def _padded(m, got, shape):
    """The gradient of ``_fitted``."""
    widths = tuple((0, a - b) for a, b in zip(shape, got.shape, strict=True))
    return got if all(w == (0, 0) for w in widths) else m.constant_pad(got, widths=widths)


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
            from mlkit.core.errors import DtypeError

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
                from mlkit.core.errors import ShapeError

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


def geometry(array) -> tuple[tuple[int, ...], int]:
    """How an array lies in its memory, in elements: (strides, the place of its first element)."""
    if isinstance(array, LevelArray) and array.plain:  # it only watches an array
        array = array.inner._array
    if isinstance(array, np.ndarray):
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        start = array.ctypes.data - base.ctypes.data
    elif not isinstance(array, (MetaArray, LevelArray)):
        start = array.data.ptr - array.data.mem.ptr
    else:  # no data: as a new tensor lies
        shape = tuple(array.shape)
        return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape))), 0
    size = array.itemsize
    return tuple(s // size for s in array.strides), start // size


def addresses(size, stride, start: int):
    """The places in memory of a tensor's elements, in its own order."""
    found = np.full((), start, np.int64)
    for n, s in zip(size, stride, strict=True):
        found = found[..., None] + np.arange(n, dtype=np.int64) * s
    return found.reshape(-1)


@op(samples=[((2, 3), {"size": (2, 2), "stride": (3, 1), "offset": 1})])
class as_strided(Look):
    """A view of the memory by raw sizes, strides and offset, counted in elements."""

    def prepare(input, *, size, stride, offset=None, source=None):
        if len(size) != len(stride):
            raise ShapeError(f"as_strided: size {tuple(size)} and stride {tuple(stride)} differ in length.")
        source = geometry(input) if source is None else source
        return {"size": tuple(size), "stride": tuple(stride), "offset": offset, "source": source}

    def infer(input, *, size, stride, offset, source):
        return MetaArray(size, input.dtype)

    def forward(m, input, *, size=REQUIRED, stride=REQUIRED, offset=None, source=None):
        reach = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else 0
        room = m.memory_size(input) - (offset or 0)
        if reach > room or min(stride, default=0) < 0 or (offset or 0) < 0:
            raise ShapeError(
                f"as_strided: setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset or 0} "
                f"require {reach + (offset or 0)} elements and are out of bounds for storage of {room + (offset or 0)}."
            )
        return m.as_strided_(input, size, stride, offset)

    def vjp(m, g, input_shape, size, stride, offset, source):
        # what lies in memory at the output's places is the input's element there, if it has one
        shape, (strides, start) = tuple(input_shape), source
        own = addresses(shape, strides, start)
        seen = addresses(size, stride, start if offset is None else offset)
        span = int(max(own.max(initial=-1), seen.max(initial=-1))) + 1
        memory = m.zeros((span,), like=g)
        memory = m.index_add(memory, m.index_array(seen, like=g), m.reshape(g, shape=(-1,)), dim=0)
        out = m.index_select(memory, m.index_array(own, like=g), dim=0)
        times = np.bincount(own, minlength=1)[own] if own.size else own
        if (times > 1).any():  # several of the input's elements share a place, and its gradient
            out = out / m.cast_like(m.index_array(times, like=g), out)
        return m.reshape(out, shape=shape)


@op(samples=[(Sample((3, 4), "normal", "complex128"),)])
class view_as_real(Look):
    """A complex tensor as a real one with a last dim (real, imaginary); shares memory."""

    def infer(input):
        if input.dtype.kind != "c":
            raise ShapeError("view_as_real is only supported for complex tensors.")
        return MetaArray((*input.shape, 2), np.dtype(f"f{input.dtype.itemsize // 2}"))

    def forward(m, input):
        if input.dtype.kind != "c":
            raise ShapeError("view_as_real is only supported for complex tensors.")
        return m.pairs_(input)

    def vjp(m, g):
        return m.view_as_complex(m.contiguous(g))


@op(samples=[((3, 2),), ((2,),)])
class view_as_complex(Look):
    """A real tensor with a last dim of size 2 as complex numbers; shares memory."""

    def infer(input):
        if not input.ndim or input.shape[-1] != 2:
            raise ShapeError("view_as_complex: the tensor must have a last dimension of size 2.", f"{input.shape}")
        return MetaArray(input.shape[:-1], np.dtype(f"c{input.dtype.itemsize * 2}"))

    def forward(m, input):
        if input.dtype.kind != "f":
            raise ShapeError("view_as_complex is only supported for floating point tensors.")
        if not input.ndim or input.shape[-1] != 2:
            raise ShapeError("view_as_complex: the tensor must have a last dimension of size 2.", f"{input.shape}")
        if input.strides[-1] != input.itemsize or any(s % (2 * input.itemsize) for s in input.strides[:-1]):
            if not input.size:
                return m.xp.empty(input.shape[:-1], f"c{input.itemsize * 2}")
            raise ShapeError(
                "view_as_complex: the tensor must have a last dimension with stride 1.", hint="Use x.contiguous()."
            )
        return input.view(f"c{input.itemsize * 2}")[..., 0]

    def vjp(m, g):
        return m.view_as_real(m.contiguous(g))


def stack_shape_check(name: str, shapes) -> None:
    for number, shape in enumerate(shapes):
        if tuple(shape) != tuple(shapes[0]):
            raise ShapeError(
                f"{name}: expects each tensor to be equal size, but got {list(shapes[0])} at entry 0 and "
                f"{list(shape)} at entry {number}."
            )


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


# --- writing through views -------------------------------------------------------------------------------------


def follow(m, x, path):
    """Look at ``x`` through a chain of view ops."""
    for view_op, attributes in path:
        x = getattr(m, view_op.name)(x, **attributes)
    return x


@op(samples=[])
class view_write(Op):
    """A copy of input with source written where the chain of views ``path`` looks: in-place change, seen as a value."""

    promotion = None

    def infer(input, source, *, path):
        return MetaArray(input.shape, input.dtype)

    def forward(m, input, source, *, path=REQUIRED):
        out = m.copy(input)
        follow(m, out, path)[...] = source
        return out

    def vjp_input(m, g, source_shape, path):
        return m.view_write(g, m.zeros(tuple(source_shape), like=g), path=path)

    def vjp_source(m, g, source_shape, path):
        if any(view.name == "as_strided" for view, _ in path):
            g = m.clone(g)  # it reads raw memory, which must be laid out as the input's was
        return m.unbroadcast(follow(m, g, path), tuple(source_shape))
