"""Ops that see the same values under another shape, and write through it. Those with ``view = True`` share memory."""

import math
from typing import Any

import numpy as np

from mlkit.core.errors import DimensionError, RefusedError, ShapeError, ValueRangeError
from mlkit.core.size import Symbol
from mlkit.core.value import LevelArray, MetaArray
from mlkit.ops.reduce import canonical_dim
from mlkit.ops.registry import REQUIRED, Op, Sample, op


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


# --- raw memory, complex numbers as pairs, writing through views ------------------------------------------------------


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
        out = m.copy(m.xp.asarray(input))  # a gradient without dims may come as a number
        follow(m, out, path)[...] = source
        return out

    def vjp_input(m, g, source_shape, path):
        return m.view_write(g, m.zeros(tuple(source_shape), like=g), path=path)

    def vjp_source(m, g, source_shape, path):
        if any(view.name == "as_strided" for view, _ in path):
            g = m.clone(g)  # it reads raw memory, which must be laid out as the input's was
        return m.unbroadcast(follow(m, g, path), tuple(source_shape))
