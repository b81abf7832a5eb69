"""Arguments as layers take them: one number, or one per spatial dim."""

from __future__ import annotations

import numpy as np

from mlkit.core.errors import DtypeError, RefusedError, ShapeError, UnsupportedDtype

_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)


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
        if values and min(values) < 1:
            raise RefusedError(f"{name}: {label} must be greater than zero, got {tuple(values)}.")
    if padding and min(padding) < 0:
        raise RefusedError(f"{name}: padding must be non-negative, got {tuple(padding)}.")


def check_not_empty(name: str, shape, n: int) -> None:
    """Only the batch axis of an input of pooling may have size 0: (N, C, ...) with ``n`` spatial dims."""
    if len(shape) in (n + 1, n + 2) and 0 in shape[len(shape) - n - 1 :]:
        raise ShapeError(
            f"{name}: expected input (batch, channel, ...) whose dims other than batch are not empty, got {tuple(shape)}."
        )


def usual(*tensors) -> bool:
    """Whether those that are there are NumPy's, of float32 or float64, all of one type: nothing to refuse then."""
    first = None
    for t in tensors:
        if t is None:
            continue
        x = t._array
        if x.__class__ is not np.ndarray:
            return False
        if first is None:
            first = x.dtype
            if first is not _F32 and first is not _F64:
                return False
        elif x.dtype is not first:
            return False
    return first is not None


def check_floating(name: str, input) -> None:
    """Refuse integers, bools and complex numbers where only real floating point makes sense."""
    if input._array.dtype.kind not in "fV":
        raise UnsupportedDtype(f"{name}: not implemented for {input.dtype}.", hint="Convert first: x.float().")


def check_same_dtype(name: str, input, parameters: bool = True, **others) -> None:
    """Refuse others of another element type than input's; float32 ``parameters`` go along with half precision."""
    own = input._array.dtype
    for label, t in others.items():
        if t is None or t._array.dtype == own:
            continue
        if parameters and own.itemsize == 2 and t._array.dtype == _F32:
            continue
        raise DtypeError(
            f"{name}: expected {label} to have the same dtype as input, but got {input.dtype} and {t.dtype}.",
            f"input: {tuple(input._array.shape)} {input.dtype}\n{label}: {tuple(t._array.shape)} {t.dtype}",
            "Convert one: input.float(), or the model with model.double().",
        )
