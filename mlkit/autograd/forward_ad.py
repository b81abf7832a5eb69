"""Forward mode by hand: give a tensor a tangent, compute, and read the tangent of the result.

>>> import mlkit
>>> from mlkit.autograd import forward_ad
>>> with forward_ad.dual_level():
...     x = forward_ad.make_dual(mlkit.tensor([1.0, 2.0]), mlkit.ones(2))
...     forward_ad.unpack_dual(x * x).tangent
tensor([2., 4.])
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from mlkit.autograd.forward_mode import Forward
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, GradientError, ValueRangeError
from mlkit.core.value import Value

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


class _Current(threading.local):
    level: Forward | None = None


_current = _Current()


class UnpackedDualTensor(NamedTuple):
    """A tensor and its tangent (None when it has none)."""

    primal: Any
    tangent: Any


def enter_dual_level() -> int:
    """Begin a level; a ``with dual_level()`` block is easier to get right."""
    if _current.level is not None:
        raise GradientError(
            "Nested forward mode AD is not supported at the moment", hint="mlkit.func.jvp can be nested."
        )
    _current.level = Forward().__enter__()
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the level: tensors forget their tangents."""
    if _current.level is None:
        raise GradientError("Trying to exit a forward AD level that was never entered.")
    found, _current.level = _current.level, None
    found.__exit__(None, None, None)


class dual_level:  # noqa: N801 - PyTorch's name
    """Inside, tensors may carry tangents."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc) -> None:
        exit_dual_level()


def make_dual(tensor, tangent, *, level: int | None = None):
    """``tensor`` with ``tangent`` as its direction of change.

    Raises:
        GradientError: outside a dual_level, or shapes that differ.
        ValueRangeError: dtypes that are neither floating nor complex.
    """
    if _current.level is None:
        raise GradientError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    check_pair(tensor, tangent)
    current = _current.level
    if current.owns(tensor):
        raise GradientError(
            "Making a dual Tensor based on a Tensor that already has a forward gradient at the same level 0 is not "
            "supported."
        )
    out = current.dual(tensor, _like(tangent, tensor))
    out._node = tensor._node
    return out


def _like(tangent, tensor):
    if tangent._array.dtype != tensor._array.dtype:
        return ops.cast_real(tangent, dtypes.from_numpy_dtype(tensor._array.dtype))
    return tangent


def check_pair(primal, tangent) -> None:
    """Raise unless the two are tensors that can be value and tangent."""
    for name, t in (("primal", primal), ("tangent", tangent)):
        if not isinstance(t, Value):
            raise ArgumentError(f"Expected {name} to be a tensor, got {type(t).__name__}.")
        if t._array.dtype.kind not in "fcV":
            raise ValueRangeError(
                f"Expected {name} to be floating point or complex, but got: {dtypes.from_numpy_dtype(t._array.dtype)}"
            )
    if tuple(primal._array.shape) != tuple(tangent._array.shape):
        raise GradientError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(primal._array.shape)} while the given forward gradient is of size "
            f"{list(tangent._array.shape)}."
        )


def unpack_dual(tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The tensor without its tangent, and the tangent (None when it has none)."""
    current = _current.level
    if current is None or not current.owns(tensor):
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(tensor._array.inner, tensor._array.tangent)
