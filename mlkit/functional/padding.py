"""Values added around a tensor: a constant, the edge, or the tensor itself, mirrored or repeated."""

from __future__ import annotations

from mlkit.core.dispatch import ops
from mlkit.core.errors import MissingFeature, ShapeError, UnsupportedDtype


def _places(mode: str, n: int, before: int, after: int) -> list[int]:
    """Which place each value along a dim is copied from."""
    found = []
    for i in range(-before, n + after):
        if mode == "replicate":
            i = min(max(i, 0), n - 1)
        elif mode == "circular":
            # a negative width cuts first; what is left goes around
            low, high = max(-before, 0), n - max(-after, 0)
            i = low + (i - low) % (high - low)
        elif i < 0:
            i = -i
        elif i >= n:
            i = 2 * (n - 1) - i
        found.append(i)
    return found


def pad(input, pad, mode: str = "constant", value: float | None = None):  # noqa: A002
    """Padding, given from the last dim backwards: (left, right, top, bottom, ...).

    mode: "constant" (``value``, by default 0; any dims, negative widths cut), "reflect" (mirrored at the edge value),
    "replicate" (the edge repeated), "circular" (the other end). All but "constant" pad the last 1, 2 or 3 dims of a
    tensor with one or two dims before them.

    >>> import mlkit
    >>> mlkit.nn.functional.pad(mlkit.tensor([[1.0, 2.0, 3.0]]), (2, 1), mode="reflect")
    tensor([[3., 2., 1., 2., 3., 2.]])
    """
    widths = tuple(int(w) for w in pad)
    rank, shape = input._array.ndim, tuple(input._array.shape)
    if len(widths) % 2:
        raise ShapeError(f"pad: Padding length must be divisible by 2, got {len(widths)} widths.")
    if len(widths) // 2 > rank:
        raise ShapeError(
            f"pad: Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(widths)} and input of dimension {rank}."
        )
    pairs = [(widths[i], widths[i + 1]) for i in range(0, len(widths), 2)][::-1]
    full = [(0, 0)] * (rank - len(pairs)) + pairs
    if mode == "constant":
        return ops.constant_pad(input, widths=tuple(full), value=0.0 if value is None else value)
    if value is not None and value != 0:
        raise ShapeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in ("reflect", "replicate", "circular"):
        raise MissingFeature(f"Unrecognised padding mode {mode}")
    count = len(pairs)
    if not count:
        raise MissingFeature(f"pad: Padding size 0 is not supported for {rank}D input tensor.")
    if input._array.dtype == bool and mode != "circular":
        raise UnsupportedDtype(f"pad: mode {mode!r} is not implemented for bool.")
    if count > 3 or rank not in (count + 1, count + 2):
        raise MissingFeature(
            f"pad: mode {mode!r} pads the last 1, 2 or 3 dims, with one or two dims before them; got {count} pairs for "
            f"a tensor of {rank} dims."
        )
    for dim, (before, after) in enumerate(full):
        n = shape[dim]
        limit = n - 1 if mode == "reflect" else n if mode == "circular" else None
        if limit is not None and max(before, after) > limit and (before or after):
            raise ShapeError(
                f"pad: Padding size should be {'less than' if mode == 'reflect' else 'at most'} the corresponding input "
                f"dimension, but got padding ({before}, {after}) at dimension {dim} of input {shape}."
            )
        if n + before + after < 1 and (before or after):
            raise ShapeError(f"pad: widths {(before, after)} leave nothing of dim {dim} of size {n}.")
        if before or after:
            index = ops.index_array(_places(mode, n, before, after), like=input)
            input = ops.index_select(input, index, dim=dim)
    return input
