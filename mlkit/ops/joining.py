"""Joining, repeating, turning and padding; triangles."""

from mlkit.core.errors import RefusedError, ShapeError, ValueRangeError
from mlkit.core.value import MetaArray
from mlkit.ops.reduce import canonical_dim
from mlkit.ops.registry import REQUIRED, Op, op
from mlkit.ops.shape import Moves


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


def stack_shape_check(name: str, shapes) -> None:
    for number, shape in enumerate(shapes):
        if tuple(shape) != tuple(shapes[0]):
            raise ShapeError(
                f"{name}: expects each tensor to be equal size, but got {list(shapes[0])} at entry 0 and "
                f"{list(shape)} at entry {number}."
            )
