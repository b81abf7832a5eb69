"""Functions that move values about: reshape, join, split, turn."""

from __future__ import annotations

import functools

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import (
    ArgumentError,
    DtypeError,
    MlkitError,
    RankError,
    RefusedError,
    ShapeError,
    ValueRangeError,
)
from mlkit.core.inplace import root_of
from mlkit.core.size import broadcast_shapes as _broadcast_shapes
from mlkit.core.value import LevelArray, MetaArray, Value, shown_as, wrap
from mlkit.functional.arithmetic import conj
from mlkit.ops.joining import stack_shape_check
from mlkit.ops.reduce import canonical_dim, canonical_dims
from mlkit.ops.shape import follow, resolve_shape


def sizes(args) -> tuple:
    """Sizes given as separate ints or as one sequence."""
    if len(args) == 1 and not hasattr(args[0], "__index__"):
        args = tuple(args[0])
    for a in args:
        if a.__class__ is not int:
            break
    else:
        return args
    args = tuple([a.item() if isinstance(a, Value) else a for a in args])
    for a in args:
        if a.__class__ is float or a.__class__ is str or a is None:
            raise ArgumentError(f"expected sizes of whole numbers, got {a!r} in {args}.")
    return args


def reshape(input, *args, shape=None):
    """The same values in order under another shape; one size may be -1.

    >>> import mlkit
    >>> mlkit.reshape(mlkit.arange(6), (2, -1)).shape
    mlkit.Size([2, 3])
    """
    if shape is None:
        shape = args
        if not args:
            raise ArgumentError('reshape() missing 1 required positional arguments: "shape".')
    else:
        shape = (shape,)
    return ops.reshape(input, shape=sizes(shape))


def view(input, *shape, size=None, dtype=None):
    """``reshape`` that never copies: raises when the memory does not allow the new shape; a dtype reinterprets bytes."""
    if dtype is not None:
        shape = (dtype,)
    if size is not None:
        shape = (size,)
    if not shape:
        raise ArgumentError("view() expects sizes or a dtype: x.view(2, -1), x.view(mlkit.int32).")
    if len(shape) == 1 and isinstance(shape[0], dtypes.dtype):
        return _reinterpreted(input, shape[0])
    wanted = sizes(shape)
    array = input._array
    if array.__class__ is np.ndarray:
        try:
            out = ops.reshape(input, shape=wanted)
        except MlkitError:
            out = input  # said below, in view's own words
        if out._view_of is not None and out is not input:  # it shows the same memory, which is all that is asked
            return out
    if isinstance(array, LevelArray) and not array.plain:
        array = array.memory()
    if array.__class__ is not MetaArray:
        full = resolve_shape("view", wanted, array.size, array.shape)
        possible = not array.size or array.flags.c_contiguous or view_possible(array, full)
        if not possible and array is not input._array:  # in vmap: a convolution's result lies otherwise
            possible = array.ndim > 2 and np.moveaxis(array, 1, -1).flags.c_contiguous
        if not possible and not (usual_layout(input) and view_possible(input._array, full)):
            raise ShapeError(
                "view: view size is not compatible with input tensor's size and stride (at least one dimension spans "
                "across two contiguous subspaces).",
                f"input: {tuple(array.shape)}, asked for: {full}",
                "Use .reshape(...) instead.",
            )
    return ops.reshape(input, shape=wanted)


def _reinterpreted(input, d):
    """The same bytes as another dtype; the last dim grows or shrinks with the element size."""
    from mlkit.core.value import storage_of, wrap

    array = input._array
    old, new = array.dtype.itemsize, d.itemsize
    if array.__class__ is MetaArray:
        shape = tuple(array.shape) if old == new else (*array.shape[:-1], array.shape[-1] * old // new)
        return wrap(MetaArray(shape, d.numpy))
    if old != new:
        if not array.ndim:
            raise DtypeError(f"self.dim() cannot be 0 to view {input.dtype} as {d} (different element sizes).")
        if array.shape[-1] * old % new or array.strides[-1] != old and array.shape[-1] != 1:
            raise DtypeError(
                f"self.size(-1) must be divisible by {new // old or 1} (and its stride 1) to view {input.dtype} as {d}.",
                f"input: {tuple(array.shape)}",
            )
    try:
        out = wrap(array.view(d.numpy))
    except (ValueError, TypeError) as error:
        raise RefusedError(f"view: the memory does not allow {d}.", str(error)) from None
    out._storage = storage_of(input)
    return out


def view_possible(array, shape) -> bool:
    """Whether an array can take a shape without moving data."""
    if isinstance(array, LevelArray) and array.plain:
        array = array.inner._array
    xp = backends.for_array(array).m.xp
    return bool(xp.may_share_memory(array, array.reshape(shape)))


def usual_layout(tensor) -> bool:
    """Bring memory that a convolution laid out with channels last into the usual order; False when it must stay.

    How the results of convolutions lie in memory is mlkit's own choice, so ``conv(x).view(n, -1)`` must work as it does
    where they lie in the usual order. The tensor moves together with its views; a detached tensor or a NumPy array made
    of it before keeps the old memory.
    """
    root = root_of(tensor)
    array, storage = root._array, root._storage
    if array.ndim < 3 or (storage is not None and storage.given):
        return False
    if isinstance(array, LevelArray):
        viewed = storage is not None and any(r() is not None for r in storage.views)
        if not array.plain or not np.moveaxis(array.inner._array, 1, -1).flags.c_contiguous:
            return False
        if viewed:
            array.settle()  # its views would have to move too: from here on the function runs eagerly
            return usual_layout(tensor)
        root._array = ops.clone(wrap(array))._array  # a function that is being recorded: the copy is a step of it
        return True
    xp = backends.for_array(array).m.xp
    if not xp.moveaxis(array, 1, -1).flags.c_contiguous:
        return False
    views = [v for v in (r() for r in (storage.views if storage is not None else ())) if v is not None]
    fresh = wrap(xp.ascontiguousarray(array))
    moved = []
    for view in views:
        seen = follow(ops, fresh, view._view_of[1])
        if seen._array.size and not xp.may_share_memory(seen._array, fresh._array):
            return False
        moved.append(seen._array)
    root._array = fresh._array
    for view, there in zip(views, moved, strict=True):
        view._array = there
    return True


def flatten(input, start_dim: int = 0, end_dim: int = -1):
    """Dims start_dim .. end_dim as one."""
    rank = input._array.ndim
    if rank == 0:
        canonical_dim("flatten", start_dim, 1), canonical_dim("flatten", end_dim, 1)
        return ops.reshape(input, shape=(1,))
    start, end = canonical_dim("flatten", start_dim, rank), canonical_dim("flatten", end_dim, rank)
    if start > end:
        raise RefusedError(f"flatten: start_dim ({start_dim}) cannot come after end_dim ({end_dim}).")
    shape = tuple(input._array.shape)
    if start == end:
        return input
    joined = 1
    for n in shape[start : end + 1]:
        joined = joined * n
    return ops.reshape(input, shape=(*shape[:start], joined, *shape[end + 1 :]))


def unflatten(input, dim: int, sizes):  # noqa: A002
    """One dim as several; one of ``sizes`` may be -1."""
    dim = canonical_dim("unflatten", dim, input._array.ndim)
    shape = tuple(input._array.shape)
    new = resolve_shape("unflatten", sizes, shape[dim], (shape[dim],))
    return ops.reshape(input, shape=(*shape[:dim], *new, *shape[dim + 1 :]))


def squeeze(input, dim=None):
    """Without the dims of size 1 (all of them, or those named)."""
    shape = tuple(input._array.shape)
    dims = range(len(shape)) if dim is None else canonical_dims("squeeze", dim, len(shape))
    if dim is not None and dim == ():
        return input
    drop = {d for d in dims if d < len(shape) and shape[d] == 1}
    out = ops.reshape(input, shape=tuple(n for i, n in enumerate(shape) if i not in drop))
    return out if out._node is None else shown_as(out, f"SqueezeBackward{0 if dim is None else 1}")


def unsqueeze(input, dim: int):
    """A new dim of size 1 at ``dim``."""
    shape = list(input._array.shape)
    dim = canonical_dim("unsqueeze", dim, len(shape) + 1)
    out = ops.reshape(input, shape=(*shape[:dim], 1, *shape[dim:]))
    return out if out._node is None else shown_as(out, "UnsqueezeBackward0")


def transpose(input, dim0: int, dim1: int):
    """Dims dim0 and dim1 exchanged."""
    try:
        order = _exchanged(dim0, dim1, input._array.ndim)
    except ArgumentError:
        raise
    except TypeError:  # a dim that is no key
        order = _exchanged.__wrapped__(dim0, dim1, input._array.ndim)
    out = ops.permute(input, dims=order)
    return out if out._node is None else shown_as(out, "TransposeBackward0")


@functools.lru_cache(256, typed=True)
def _exchanged(dim0: int, dim1: int, rank: int) -> tuple[int, ...]:
    """The dims in order, but for these two."""
    a, b = canonical_dim("transpose", dim0, rank), canonical_dim("transpose", dim1, rank)
    order = list(range(rank))
    if rank:
        order[a], order[b] = b, a
    return tuple(order)


def t(input):
    """The transpose of a matrix, a view; of a tensor with fewer dims just a view."""
    if input._array.ndim > 2:
        raise ShapeError(f"t() expects a tensor with <= 2 dimensions, but self is {input._array.ndim}D.")
    out = ops.permute(input, dims=(1, 0)[2 - input._array.ndim :])
    return out if out._node is None else shown_as(out, "TBackward0")


def permute(input, *args, dims=None):
    """The dims in another order: output dim i is input dim dims[i]."""
    return ops.permute(input, dims=sizes(args if dims is None else (dims,)))


def movedim(input, source, destination):
    """Dims moved from source to destination, the others in order."""
    rank = input._array.ndim
    src = [canonical_dim("movedim", d, rank) for d in (source if isinstance(source, (tuple, list)) else [source])]
    listed = destination if isinstance(destination, (tuple, list)) else [destination]
    dst = [canonical_dim("movedim", d, rank) for d in listed]
    if len(src) != len(dst) or len(set(src)) != len(src) or len(set(dst)) != len(dst):
        raise ShapeError(f"movedim: source {source} and destination {destination} must pair up, each dim once.")
    rest = iter([d for d in range(rank) if d not in src])
    place = dict(zip(dst, src, strict=True))
    return ops.permute(input, dims=tuple(place[i] if i in place else next(rest) for i in range(rank)))


def expand(input, *shape, size=None, implicit=False):
    """Dims of size 1 repeated without copying; -1 keeps a size."""
    return ops.expand(input, shape=sizes(shape if size is None else (size,)))


def broadcast_to(input, size):
    """``input`` expanded to that shape."""
    if isinstance(size, int):
        raise RefusedError(f"broadcast_to: size must be a tuple of ints, got {size}.")
    return ops.expand(input, shape=tuple(size))


def broadcast_shapes(*shapes):
    """The shape that all of them broadcast to."""
    from mlkit.core.size import Size

    for shape in shapes:
        for n in (shape,) if isinstance(shape, int) else shape:
            if not hasattr(n, "__index__"):
                raise ArgumentError(f"broadcast_shapes: sizes must be integers, got {n!r}.")
            if n < 0:
                raise ValueRangeError(
                    f"broadcast_shapes: Attempting to broadcast a dimension with negative length: {n}."
                )
    try:
        return Size(_broadcast_shapes(*[(s,) if isinstance(s, int) else tuple(s) for s in shapes]))
    except ValueError as error:
        raise ShapeError("Shape mismatch: objects cannot be broadcast to a single shape.", str(error)) from None


def broadcast_tensors(*tensors):
    """All tensors expanded to their common shape."""
    shape = broadcast_shapes(*[x._array.shape for x in tensors])
    return tuple(ops.expand(x, shape=tuple(shape)) for x in tensors)


def cat(tensors, dim: int = 0):
    """Tensors joined along an existing dim.

    >>> import mlkit
    >>> mlkit.cat([mlkit.zeros(2, 1), mlkit.ones(2, 2)], dim=1).shape
    mlkit.Size([2, 3])
    """
    tensors = list(tensors)
    for i, x in enumerate(tensors):
        if not isinstance(x, Value):
            raise ArgumentError(f"cat: expected Tensor as element {i}, got {type(x).__name__}.")
    return ops.cat(tensors, dim=dim)


def stack(tensors, dim: int = 0):
    """Tensors of one shape joined along a new dim."""
    tensors = list(tensors)
    if not tensors:
        raise RefusedError("stack expects a non-empty list of tensors.")
    for i, x in enumerate(tensors):
        if not isinstance(x, Value):
            raise ArgumentError(f"stack: expected Tensor as element {i}, got {type(x).__name__}.")
    stack_shape_check("stack", [x._array.shape for x in tensors])
    return shown_as(ops.cat([unsqueeze(x, dim) for x in tensors], dim=dim), "StackBackward0")


def hstack(tensors):
    """Joined along the second dim (the first for 1-d tensors)."""
    tensors = _listed("hstack", [ops.reshape(x, shape=(1,)) if x._array.ndim == 0 else x for x in tensors])
    return ops.cat(tensors, dim=0 if tensors[0]._array.ndim == 1 else 1)


def vstack(tensors):
    """Joined as rows."""
    return ops.cat(_listed("vstack", [atleast_2d(x) for x in tensors]), dim=0)


def _has_dims(name: str, tensor) -> None:
    if not tensor._array.ndim:
        raise RankError(f"{name} expects at least a 1-dimensional tensor.")


def split(tensor, split_size_or_sections, dim: int = 0):
    """Views along ``dim``: of that size each (the last may be smaller), or of the listed sizes."""
    _has_dims("split", tensor)
    dim = canonical_dim("split", dim, tensor._array.ndim)
    total = tensor._array.shape[dim]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 0 or (size == 0 and total):
            raise RefusedError(f"split expects split_size be positive, but got split_size={size}.")
        parts = [size] * (total // size) + ([total % size] if total % size else []) if size else [0]
        parts = parts or [0]
    else:
        parts = list(split_size_or_sections)
        if sum(parts) != total or min(parts, default=0) < 0:
            raise RefusedError(
                f"split_with_sizes expects split_sizes to sum exactly to {total} (input tensor's size at dimension "
                f"{dim}), but got split_sizes={parts}."
            )
    out, start = [], 0
    for n in parts:
        out.append(ops.narrow(tensor, dim=dim, start=start, length=n))
        start += n
    return _one_of_several(out)


def _one_of_several(views) -> tuple:
    """Views that one call made together: PyTorch refuses to change one of them in place where that needs a gradient."""
    for x in views:
        if x._node is not None:
            x._one_of_several = True
    return tuple(views)


def chunk(input, chunks: int, dim: int = 0):
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
    if chunks <= 0:
        raise RefusedError(f"chunk expects `chunks` to be greater than 0, got: {chunks}.")
    _has_dims("chunk", input)
    dim = canonical_dim("chunk", dim, input._array.ndim)
    total = input._array.shape[dim]
    size = -(-total // chunks)
    return split(input, size, dim) if size else split(input, [0] * chunks, dim)


def tensor_split(input, indices_or_sections, dim: int = 0):
    """Views along ``dim``: so many as equal as possible, or cut at the listed places."""
    dim = canonical_dim("tensor_split", dim, input._array.ndim)
    total = input._array.shape[dim]
    if isinstance(indices_or_sections, Value):
        if indices_or_sections._array.dtype != np.int64 or indices_or_sections._array.ndim > 1:
            raise RefusedError("tensor_split expected tensor_indices_or_sections to be a zero or 1-d int64 tensor.")
        indices_or_sections = indices_or_sections._array.tolist()
    if isinstance(indices_or_sections, int):
        n = indices_or_sections
        if n <= 0:
            raise RefusedError(f"number of sections must be larger than 0, got {n}.")
        small, extra = divmod(total, n)
        cuts = list(np.cumsum([small + (i < extra) for i in range(n)])[:-1])
    else:
        cuts = [slice(None, c).indices(total)[1] for c in indices_or_sections]
    edges = [0, *[int(c) for c in cuts], total]
    pairs = zip(edges[:-1], edges[1:], strict=True)
    return tuple(ops.narrow(input, dim=dim, start=min(a, total), length=max(b - a, 0)) for a, b in pairs)


def unbind(input, dim: int = 0):
    """Views of the slices along ``dim``, without that dim."""
    dim = canonical_dim("unbind", dim, input._array.ndim)
    lead = (slice(None),) * dim
    return _one_of_several([ops.slice(input, index=(*lead, i)) for i in range(input._array.shape[dim])])


def select(input, dim: int, index: int):
    """The slice at ``index`` along ``dim``, without that dim; a view."""
    dim = canonical_dim("select", dim, input._array.ndim)
    return ops.slice(input, index=(*((slice(None),) * dim), index))


def narrow(input, dim: int, start: int, length: int):
    """``length`` slices along ``dim`` from ``start`` on; a view."""
    if isinstance(start, Value) and (start._array.ndim or start._array.dtype.kind not in "iu"):
        raise RefusedError(f"narrow: start must be an 0-dim integral Tensor, got {start.dtype} {tuple(start.shape)}.")
    if not hasattr(start, "__index__"):
        raise ArgumentError(f"narrow(): argument 'start' must be int, not {type(start).__name__}.")
    return ops.narrow(input, dim=dim, start=int(start), length=length)


def repeat(input, *args, repeats=None):
    """The whole tensor repeated along each dim."""
    return ops.repeat(input, repeats=sizes(args if repeats is None else (repeats,)))


def tile(input, *args, dims=None):
    """``repeat`` with leading ones where too few repeats are given."""
    if dims is None and not args:
        raise ArgumentError("tile() missing 1 required positional argument: 'dims'.")
    dims = sizes(args if dims is None else (dims,))
    return ops.repeat(input, repeats=(1,) * (input._array.ndim - len(dims)) + dims)


def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Each slice repeated: ``repeats`` times, or by its own number from a tensor.

    With counts alone: each place's index, as often as its count says.
    """
    if repeats is None:
        from mlkit.functional.creation import arange

        repeats, input = input, arange(input._array.shape[0], device=input.device)
    if dim is None:
        input, dim = ops.reshape(input, shape=(-1,)), 0
    if isinstance(repeats, Value):
        counts = np.atleast_1d(repeats._array)
        n = input._array.shape[dim]
        repeats = int(counts[0]) if counts.size == 1 else tuple(int(c) for c in counts)
        if not isinstance(repeats, int) and len(repeats) != n:
            raise ShapeError(f"repeat_interleave: repeats has {len(repeats)} entries, dim {dim} has size {n}.")
    return ops.repeat_interleave(input, repeats=repeats, dim=dim)


def flip(input, *args, dims=None):
    """The order along dims reversed."""
    dims = sizes(args if dims is None else (dims,))
    canonical_dims("flip", dims or None, input._array.ndim)  # raises when one is there twice
    return ops.flip(input, dims=dims if input._array.ndim else ())


def roll(input, shifts, dims=None):
    """Values moved by shifts along dims (over the flattened tensor for None); what leaves enters at the other end."""
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None or dims == ():
        flat = ops.roll(ops.reshape(input, shape=(-1,)), shifts=shifts, dims=(0,))
        return shown_as(ops.reshape(flat, shape=tuple(input._array.shape)), "RollBackward0")
    return ops.roll(input, shifts=shifts, dims=(dims,) if isinstance(dims, int) else tuple(dims))


def rot90(input, k: int = 1, dims=(0, 1)):
    """Turned by k quarter turns in the plane of dims, from the first towards the second."""
    if len(dims) != 2:
        raise RefusedError(f"expected total rotation dims == 2, but got dims = {len(dims)}.")
    if input._array.ndim < 2:
        raise RefusedError(f"expected total dims >= 2, but got total dims = {input._array.ndim}.")
    a, b = (d + input._array.ndim if -input._array.ndim <= d < 0 else d for d in dims)
    if a == b:
        raise RefusedError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}.")
    dims = tuple(canonical_dim("rot90", d, input._array.ndim) for d in dims)
    k %= 4
    if k == 0:
        return ops.clone(input)
    if k == 2:
        return ops.flip(input, dims=tuple(dims))
    turned = transpose(input, *dims)
    return ops.flip(turned, dims=(dims[0],) if k == 1 else (dims[1],))


def tril(input, diagonal: int = 0):
    """The lower triangle of the last two dims."""
    return ops.tril(input, diagonal=diagonal)


def triu(input, diagonal: int = 0):
    """The upper triangle of the last two dims."""
    return ops.triu(input, diagonal=diagonal)


def diagonal(input, offset: int = 0, dim1: int = 0, dim2: int = 1):
    """The diagonal of two dims as a new last dim; a view."""
    return ops.diagonal(input, offset=offset, dim1=dim1, dim2=dim2)


def diag(input, diagonal: int = 0):
    """A vector on the diagonal of a matrix of zeros, or the diagonal of a matrix."""
    if input._array.ndim == 1:
        return diag_embed(input, diagonal)
    if input._array.ndim != 2:
        raise ShapeError(f"diag(): Supports 1D or 2D tensors. Got {input._array.ndim}D.")
    return ops.clone(ops.diagonal(input, offset=diagonal))


def diag_embed(input, offset: int = 0, dim1: int = -2, dim2: int = -1):
    """The last dim put on the diagonal of two new dims."""
    n = input._array.shape[-1] + abs(offset)
    rank = input._array.ndim + 1
    a, b = canonical_dim("diag_embed", dim1, rank), canonical_dim("diag_embed", dim2, rank)
    lead = iter(input._array.shape[:-1])
    shape = tuple(n if d in (a, b) else next(lead) for d in range(rank))
    return ops.diagonal_grad(input, shape=shape, offset=offset, dim1=a, dim2=b)


def meshgrid(*tensors, indexing: str = "ij"):
    """Grids of coordinates from vectors: one tensor per vector, all of the grid's shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    if indexing not in ("ij", "xy"):
        raise RefusedError(f"meshgrid: indexing must be one of 'xy' or 'ij', but received: {indexing}.")
    if not tensors:
        raise RefusedError("meshgrid expects a non-empty TensorList.")
    for x in tensors:
        if x._array.dtype != tensors[0]._array.dtype:
            raise DtypeError(
                f"meshgrid expects all tensors to have the same dtype, got {x.dtype} and {tensors[0].dtype}."
            )
        if x._array.ndim > 1:
            raise RefusedError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {x._array.ndim}D."
            )
    swap = indexing == "xy" and len(tensors) >= 2
    if swap:
        tensors = (tensors[1], tensors[0], *tensors[2:])
    shape = tuple(x._array.size for x in tensors)
    grids = []
    for i, x in enumerate(tensors):
        lined = ops.reshape(x, shape=tuple(-1 if j == i else 1 for j in range(len(shape))))
        grids.append(ops.expand(lined, shape=shape))
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def contiguous(input, memory_format=None):
    """The tensor itself when its memory is in order, else a copy that is."""
    array = input._array
    if array.__class__ is MetaArray or array.flags.c_contiguous:
        return input
    return ops.clone(input)


def _each(fn, tensors):
    """fn of one tensor, or of each of several given as arguments or in one list."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
        return tuple(fn(x) for x in tensors)
    return fn(tensors[0]) if len(tensors) == 1 else tuple(fn(x) for x in tensors)


def atleast_1d(*tensors):
    """With at least one dim."""
    return _each(lambda x: ops.reshape(x, shape=(1,)) if x._array.ndim == 0 else x, tensors)


def atleast_2d(*tensors):
    """With at least two dims, new ones in front."""
    return _each(lambda x: ops.reshape(x, shape=(1, -1)) if x._array.ndim < 2 else x, tensors)


def atleast_3d(*tensors):
    """With at least three dims: (n) becomes (1, n, 1), (n, m) becomes (n, m, 1)."""

    def wide(x):
        shape = tuple(x._array.shape)
        if len(shape) < 2:
            return ops.reshape(x, shape=(1, *(shape or (1,)), 1))
        return ops.reshape(x, shape=(*shape, 1)) if len(shape) == 2 else x

    return _each(wide, tensors)


def numel(input) -> int:
    """How many elements."""
    return input._array.size


def dstack(tensors):
    """Joined along the third dim."""
    return ops.cat(_listed("dstack", [atleast_3d(x) for x in tensors]), dim=2)


def column_stack(tensors):
    """Joined as columns: vectors become columns, matrices stay."""
    tensors = list(tensors)
    wide = [ops.reshape(x, shape=(x._array.size, 1)) if x._array.ndim <= 1 else x for x in tensors]
    return ops.cat(_listed("column_stack", wide), dim=1)


def _listed(name: str, tensors: list) -> list:
    if not tensors:
        raise RefusedError(f"{name} expects a non-empty TensorList.")
    return tensors


def _split_along(name: str, input, where, dim: int):
    if isinstance(where, int) and where <= 0:
        raise RefusedError(f"number of sections must be larger than 0, got {where}.")
    if isinstance(where, int) and input._array.shape[dim] % where:
        raise RefusedError(
            f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension "
            f"{input._array.shape[dim]} is not divisible by the split_size {where}!"
        )
    return tensor_split(input, where, dim)


def hsplit(input, indices_or_sections):
    """Views split along the second dim (the first of a vector)."""
    if input._array.ndim < 1:
        raise RefusedError(f"torch.hsplit requires a tensor with at least 1 dimension, but got {input._array.ndim}.")
    return _split_along("hsplit", input, indices_or_sections, 0 if input._array.ndim == 1 else 1)


def vsplit(input, indices_or_sections):
    """Views split along the first dim."""
    if input._array.ndim < 2:
        raise RefusedError(f"torch.vsplit requires a tensor with at least 2 dimension, but got {input._array.ndim}.")
    return _split_along("vsplit", input, indices_or_sections, 0)


def dsplit(input, indices_or_sections):
    """Views split along the third dim."""
    if input._array.ndim < 3:
        raise RefusedError(f"torch.dsplit requires a tensor with at least 3 dimension, but got {input._array.ndim}.")
    return _split_along("dsplit", input, indices_or_sections, 2)


def split_with_sizes(input, split_sizes, dim: int = 0):
    """Views of the listed sizes along ``dim``."""
    return split(input, list(split_sizes), dim)


def unsafe_split(tensor, split_size, dim: int = 0):
    """``split`` into tensors of their own."""
    return tuple(ops.clone(x) for x in split(tensor, split_size, dim))


def unsafe_chunk(input, chunks: int, dim: int = 0):
    """``chunk`` into tensors of their own."""
    return tuple(ops.clone(x) for x in chunk(input, chunks, dim))


def fliplr(input):
    """The second dim reversed."""
    if input._array.ndim < 2:
        raise RefusedError("Input must be >= 2-d.")
    return ops.flip(input, dims=(1,))


def flipud(input):
    """The first dim reversed."""
    if input._array.ndim < 1:
        raise RefusedError("Input must be >= 1-d.")
    return ops.flip(input, dims=(0,))


def ravel(input):
    """The values as a vector; a view where memory allows."""
    return ops.reshape(input, shape=(-1,))


def adjoint(input):
    """The last two dims exchanged, conjugated."""
    if input._array.ndim == 1:
        raise RefusedError("tensor.adjoint() is only supported on matrices or batches of matrices.")
    return conj(ops.mT(input) if input._array.ndim else input)


def diagflat(input, offset: int = 0):
    """The values on a diagonal of a matrix of zeros."""
    return diag(ops.reshape(input, shape=(-1,)), offset)


def block_diag(*tensors):
    """Matrices along the diagonal of one matrix of zeros.

    >>> import mlkit
    >>> mlkit.block_diag(mlkit.ones(1, 2), mlkit.tensor(7.0))
    tensor([[1., 1., 0.],
            [0., 0., 7.]])
    """
    blocks = []
    for x in tensors:
        if x._array.ndim > 2:
            raise RefusedError(
                "torch.block_diag: Input tensors must have 2 or fewer dimensions.", f"input: {tuple(x._array.shape)}"
            )
        blocks.append(atleast_2d(x))
    if not blocks:
        from mlkit.functional.creation import zeros

        return zeros(1, 0)
    shared = blocks[0].dtype
    if any(x.dtype != shared for x in blocks):  # numbers (0-d) yield to vectors and matrices
        kinds = [[x.dtype for x in tensors if bool(x._array.ndim) is wide] for wide in (True, False)]
        shared = dtypes.result_dtype(*(functools.reduce(dtypes.promote_types, k) if k else None for k in kinds), None)
        blocks = [ops.cast(x, dtype=shared) for x in blocks]
    columns = sum(x._array.shape[1] for x in blocks)
    rows, before = [], 0
    for x in blocks:
        n = x._array.shape[1]
        rows.append(ops.constant_pad(x, widths=((0, 0), (before, columns - before - n)), value=0))
        before += n
    return ops.cat(rows, dim=0)


def as_strided(input, size, stride, storage_offset=None):
    """A view of the memory by raw sizes, strides and offset, counted in elements.

    >>> import mlkit
    >>> mlkit.as_strided(mlkit.arange(6), (2, 2), (1, 2))
    tensor([[0, 2],
            [1, 3]])
    """
    return ops.as_strided(input, size=tuple(size), stride=tuple(stride), offset=storage_offset)


def unfold(input, dimension: int, size: int, step: int):
    """All windows of ``size`` along ``dimension``, ``step`` apart, as a new last dim; a view."""
    return ops.unfold(input, dimension=dimension, size=size, step=step)


def view_as_real(input):
    """A complex tensor as a real one with a last dim (real, imaginary); shares memory."""
    return ops.view_as_real(input)


def view_as_complex(input):
    """A real tensor with a last dim of size 2 as complex numbers; shares memory."""
    return ops.view_as_complex(input)


def narrow_copy(input, dim: int, start: int, length: int):
    """``narrow`` into memory of its own."""
    if not -input._array.ndim <= dim < input._array.ndim:
        raise RankError(f"narrow_copy: expected a dim below {input._array.ndim}, got {dim}.")
    if isinstance(start, float):
        raise ArgumentError("narrow_copy(): argument 'start' (position 3) must be int, not float.")
    return ops.clone(ops.narrow(input, dim=dim, start=int(start), length=length))


def sum_to_size(input, *size):
    """Summed over the dims along which ``size`` broadcasts to the tensor's shape."""
    if not size:
        raise ArgumentError("sum_to_size() missing 1 required positional argument: 'size'.")
    wanted = sizes(size)
    shape = tuple(input._array.shape)
    if not wanted:
        return ops.sum(input)
    lead = len(shape) - len(wanted)
    if lead < 0 or any(b not in (1, a) for a, b in zip(shape[lead:], wanted, strict=True)):
        raise ShapeError(f"size {list(wanted)} is not expandable to size {list(shape)}.")
    return ops.unbroadcast(input, wanted)


def slice_of(input, dim: int = 0, start=None, end=None, step: int = 1):
    """input[start:end:step] along ``dim``."""
    dim = canonical_dim("slice", dim, input._array.ndim)
    return ops.slice(input, index=(*(slice(None),) * dim, slice(start, end, step)))
