"""Views by raw strides, complex numbers as pairs, and writing through a chain of views."""

import math

import numpy as np

from mlkit.core.errors import ShapeError
from mlkit.core.value import LevelArray, MetaArray
from mlkit.ops.registry import REQUIRED, Op, Sample, op
from mlkit.ops.shape import Look


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
