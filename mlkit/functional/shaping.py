"""Functions that move values about: reshape, join, split, turn."""

from __future__ import annotations

import numpy as np

from mlkit.core import backend as backends
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, ShapeError, ValueRangeError
from mlkit.core.size import broadcast_shapes as _broadcast_shapes
from mlkit.core.value import MetaArray, Value
from mlkit.ops.reduce import canonical_dim, canonical_dims
from mlkit.ops.shape import resolve_shape, stack_shape_check


def sizes(args) -> tuple:
    """Sizes given as separate ints or as one sequence."""
    if len(args) == 1 and not hasattr(args[0], "__index__"):
        args = tuple(args[0])
    return tuple(a.item() if isinstance(a, Value) else a for a in args)


def reshape(input, *shape):
    """The same values in order under another shape; one size may be -1.

    >>> import mlkit
    >>> mlkit.reshape(mlkit.arange(6), (2, -1)).shape
    mlkit.Size([2, 3])
    """
    return ops.reshape(input, shape=sizes(shape))


def view(input, *shape):
    """``reshape`` that never copies: raises when the memory does not allow the new shape; a dtype reinterprets bytes."""
    from mlkit.core.dtype import dtype as dtype_class

    if len(shape) == 1 and isinstance(shape[0], dtype_class):
        from mlkit.core.value import wrap

        return wrap(input._array.view(shape[0].numpy))
    array = input._array
    if array.__class__ is not MetaArray:
        full = resolve_shape("view", sizes(shape), array.size, array.shape)
        if array.size and not array.flags.c_contiguous and not view_possible(array, full):
            raise ShapeError(
                "view: view size is not compatible with input tensor's size and stride (at least one dimension spans "
                "across two contiguous subspaces).",
                f"input: {tuple(array.shape)}, asked for: {full}",
                "Use .reshape(...) instead.",
            )
    return ops.reshape(input, shape=sizes(shape))


def view_possible(array, shape) -> bool:
    """Whether an array can take a shape without moving data."""
    xp = backends.for_array(array).m.xp
    return bool(xp.may_share_memory(array, array.reshape(shape)))


def flatten(input, start_dim: int = 0, end_dim: int = -1):
    """Dims start_dim .. end_dim as one."""
    rank = input._array.ndim
    if rank == 0:
        return ops.reshape(input, shape=(1,))
    start, end = canonical_dim("flatten", start_dim, rank), canonical_dim("flatten", end_dim, rank)
    if start > end:
        raise ValueRangeError(f"flatten: start_dim ({start_dim}) cannot come after end_dim ({end_dim}).")
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
    return ops.reshape(input, shape=tuple(n for i, n in enumerate(shape) if i not in drop))


def unsqueeze(input, dim: int):
    """A new dim of size 1 at ``dim``."""
    shape = list(input._array.shape)
    dim = canonical_dim("unsqueeze", dim, len(shape) + 1)
    return ops.reshape(input, shape=(*shape[:dim], 1, *shape[dim:]))


def transpose(input, dim0: int, dim1: int):
    """Dims dim0 and dim1 exchanged."""
    rank = input._array.ndim
    a, b = canonical_dim("transpose", dim0, rank), canonical_dim("transpose", dim1, rank)
    if rank == 0:
        return ops.permute(input, dims=())
    order = list(range(rank))
    order[a], order[b] = b, a
    return ops.permute(input, dims=order)


def t(input):
    """The transpose of a matrix; 0-d and 1-d tensors as they are."""
    if input._array.ndim > 2:
        raise ShapeError(f"t() expects a tensor with <= 2 dimensions, but self is {input._array.ndim}D.")
    return input if input._array.ndim < 2 else ops.permute(input, dims=(1, 0))


def permute(input, *dims):
    """The dims in another order: output dim i is input dim dims[i]."""
    return ops.permute(input, dims=sizes(dims))


def movedim(input, source, destination):
    """Dims moved from source to destination, the others in order."""
    rank = input._array.ndim
    src = [canonical_dim("movedim", d, rank) for d in (source if isinstance(source, (tuple, list)) else [source])]
    listed = destination if isinstance(destination, (tuple, list)) else [destination]
    dst = [canonical_dim("movedim", d, rank) for d in listed]
    if len(src) != len(dst) or len(set(src)) != len(src) or len(set(dst)) != len(dst):
        raise ValueRangeError(f"movedim: source {source} and destination {destination} must pair up, each dim once.")
    rest = iter([d for d in range(rank) if d not in src])
    place = dict(zip(dst, src, strict=True))
    return ops.permute(input, dims=tuple(place[i] if i in place else next(rest) for i in range(rank)))


def expand(input, *shape):
    """Dims of size 1 repeated without copying; -1 keeps a size."""
    return ops.expand(input, shape=sizes(shape))


def broadcast_to(input, size):
    """``input`` expanded to that shape."""
    return ops.expand(input, shape=tuple(size))


def broadcast_shapes(*shapes):
    """The shape that all of them broadcast to."""
    from mlkit.core.size import Size

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
        raise ValueRangeError("stack expects a non-empty list of tensors.")
    stack_shape_check("stack", [x._array.shape for x in tensors])
    return ops.cat([unsqueeze(x, dim) for x in tensors], dim=dim)


def hstack(tensors):
    """Joined along the second dim (the first for 1-d tensors)."""
    tensors = [ops.reshape(x, shape=(1,)) if x._array.ndim == 0 else x for x in tensors]
    return ops.cat(tensors, dim=0 if tensors[0]._array.ndim == 1 else 1)


def vstack(tensors):
    """Joined as rows."""
    return ops.cat([ops.reshape(x, shape=(1, -1)) if x._array.ndim < 2 else x for x in tensors], dim=0)


def split(tensor, split_size_or_sections, dim: int = 0):
    """Views along ``dim``: of that size each (the last may be smaller), or of the listed sizes."""
    dim = canonical_dim("split", dim, tensor._array.ndim)
    total = tensor._array.shape[dim]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size < 0 or (size == 0 and total):
            raise ValueRangeError(f"split expects split_size be positive, but got split_size={size}.")
        parts = [size] * (total // size) + ([total % size] if total % size else []) if size else [0]
        parts = parts or [0]
    else:
        parts = list(split_size_or_sections)
        if sum(parts) != total or min(parts, default=0) < 0:
            raise ValueRangeError(
                f"split_with_sizes expects split_sizes to sum exactly to {total} (input tensor's size at dimension "
                f"{dim}), but got split_sizes={parts}."
            )
    out, start = [], 0
    for n in parts:
        out.append(ops.narrow(tensor, dim=dim, start=start, length=n))
        start += n
    return tuple(out)


def chunk(input, chunks: int, dim: int = 0):
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
    if chunks <= 0:
        raise ValueRangeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}.")
    dim = canonical_dim("chunk", dim, input._array.ndim)
    total = input._array.shape[dim]
    size = -(-total // chunks)
    return split(input, size, dim) if size else split(input, [0] * chunks, dim)


def tensor_split(input, indices_or_sections, dim: int = 0):
    """Views along ``dim``: so many as equal as possible, or cut at the listed places."""
    dim = canonical_dim("tensor_split", dim, input._array.ndim)
    total = input._array.shape[dim]
    if isinstance(indices_or_sections, Value):
        indices_or_sections = indices_or_sections._array.tolist()
    if isinstance(indices_or_sections, int):
        n = indices_or_sections
        if n <= 0:
            raise ValueRangeError(f"number of sections must be larger than 0, got {n}.")
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
    return tuple(ops.slice(input, index=(*lead, i)) for i in range(input._array.shape[dim]))


def select(input, dim: int, index: int):
    """The slice at ``index`` along ``dim``, without that dim; a view."""
    dim = canonical_dim("select", dim, input._array.ndim)
    return ops.slice(input, index=(*((slice(None),) * dim), index))


def narrow(input, dim: int, start: int, length: int):
    """``length`` slices along ``dim`` from ``start`` on; a view."""
    return ops.narrow(input, dim=dim, start=int(start), length=length)


def repeat(input, *repeats):
    """The whole tensor repeated along each dim."""
    return ops.repeat(input, repeats=sizes(repeats))


def tile(input, *dims):
    """``repeat`` with leading ones where too few repeats are given."""
    dims = sizes(dims)
    return ops.repeat(input, repeats=(1,) * (input._array.ndim - len(dims)) + dims)


def repeat_interleave(input, repeats, dim=None):
    """Each slice repeated: ``repeats`` times, or by its own number from a tensor."""
    if dim is None:
        input, dim = ops.reshape(input, shape=(-1,)), 0
    if isinstance(repeats, Value):
        counts = np.atleast_1d(repeats._array)
        n = input._array.shape[dim]
        repeats = int(counts[0]) if counts.size == 1 else tuple(int(c) for c in counts)
        if not isinstance(repeats, int) and len(repeats) != n:
            raise ShapeError(f"repeat_interleave: repeats has {len(repeats)} entries, dim {dim} has size {n}.")
    return ops.repeat_interleave(input, repeats=repeats, dim=dim)


def flip(input, *dims):
    """The order along dims reversed."""
    return ops.flip(input, dims=sizes(dims))


def roll(input, shifts, dims=None):
    """Values moved by shifts along dims (over the flattened tensor for None); what leaves enters at the other end."""
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None or dims == ():
        flat = ops.roll(ops.reshape(input, shape=(-1,)), shifts=shifts, dims=(0,))
        return ops.reshape(flat, shape=tuple(input._array.shape))
    return ops.roll(input, shifts=shifts, dims=(dims,) if isinstance(dims, int) else tuple(dims))


def rot90(input, k: int = 1, dims=(0, 1)):
    """Turned by k quarter turns in the plane of dims, from the first towards the second."""
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
        raise ValueRangeError(f"meshgrid: indexing must be one of 'xy' or 'ij', but received: {indexing}.")
    swap = indexing == "xy" and len(tensors) >= 2
    if swap:
        tensors = (tensors[1], tensors[0], *tensors[2:])
    shape = tuple(x._array.size for x in tensors)
    grids = []
    for i, x in enumerate(tensors):
        lined = ops.reshape(x, shape=tuple(-1 if j == i else 1 for j in range(len(shape))))
        grids.append(ops.expand(lined, shape=shape))
    if swap:
        grids = [transpose(g, 0, 1) for g in grids]
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def contiguous(input, memory_format=None):
    """The tensor itself when its memory is in order, else a copy that is."""
    array = input._array
    if array.__class__ is MetaArray or array.flags.c_contiguous:
        return input
    return ops.clone(input)


def atleast_1d(input):
    """With at least one dim."""
    return ops.reshape(input, shape=(1,)) if input._array.ndim == 0 else input


def atleast_2d(input):
    """With at least two dims, new ones in front."""
    return ops.reshape(input, shape=(1, -1)) if input._array.ndim < 2 else input


def numel(input) -> int:
    """How many elements."""
    return input._array.size
