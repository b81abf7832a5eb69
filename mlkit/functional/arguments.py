"""Arguments as layers take them: one number, or one per spatial dim."""

from __future__ import annotations

from mlkit.core.errors import RefusedError, ShapeError


def tuple_of(value, n: int, name: str) -> tuple[int, ...]:
    """``value`` once per spatial dim."""
    if isinstance(value, int):
        return (value,) * n
    value = tuple(value)
    if len(value) == 1:
        return value * n
    if len(value) != n:
        raise RefusedError(f"{name}: expected one number or {n}, got {value}.")
    return value


def check_window(name: str, *, kernel_size=(), stride=(), padding=(), dilation=()) -> None:
    """Refuse windows that cannot be: sizes and steps below 1, widths below 0."""
    for label, values in (("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation)):
        if any(v < 1 for v in values):
            raise RefusedError(f"{name}: {label} must be greater than zero, got {tuple(values)}.")
    if any(v < 0 for v in padding):
        raise RefusedError(f"{name}: padding must be non-negative, got {tuple(padding)}.")


def check_not_empty(name: str, shape, n: int) -> None:
    """Only the batch axis of an input of pooling may have size 0: (N, C, ...) with ``n`` spatial dims."""
    if len(shape) in (n + 1, n + 2) and 0 in shape[len(shape) - n - 1 :]:
        raise ShapeError(
            f"{name}: expected input (batch, channel, ...) whose dims other than batch are not empty, got {tuple(shape)}."
        )
