"""Arguments as layers take them: one number, or one per spatial dim."""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError


def tuple_of(value, n: int, name: str) -> tuple[int, ...]:
    """``value`` once per spatial dim."""
    if isinstance(value, int):
        return (value,) * n
    value = tuple(value)
    if len(value) == 1:
        return value * n
    if len(value) != n:
        raise ValueRangeError(f"{name}: expected one number or {n}, got {value}.")
    return value
