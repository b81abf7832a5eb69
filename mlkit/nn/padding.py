"""Padding layers. ``padding`` is one number for every side, or (left, right, top, bottom, front, back)."""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError
from mlkit.functional.padding import pad
from mlkit.nn.module import Module


class _Pad(Module):
    n: int  # spatial dims
    mode: str

    def __init__(self, padding):
        super().__init__()
        self.padding = (padding,) * (2 * self.n) if isinstance(padding, int) else tuple(padding)

    def forward(self, input):
        return pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding, value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input):
        return pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ReflectionPad(_Pad):
    mode = "reflect"


class _ReplicationPad(_Pad):
    mode = "replicate"


class _CircularPad(_Pad):
    mode = "circular"

    def forward(self, input):
        if input.ndim not in (self.n + 1, self.n + 2):
            raise ValueRangeError(f"expected {self.n + 1}D or {self.n + 2}D input (got {input.ndim}D input)")
        return super().forward(input)


class ConstantPad1d(_ConstantPad):
    """``value`` around the last dim."""

    n = 1


class ConstantPad2d(_ConstantPad):
    """``value`` around the last two dims."""

    n = 2


class ConstantPad3d(_ConstantPad):
    """``value`` around the last three dims."""

    n = 3


class ZeroPad1d(_ZeroPad):
    """Zeros around the last dim."""

    n = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around the last two dims."""

    n = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around the last three dims."""

    n = 3


class ReflectionPad1d(_ReflectionPad):
    """The last dim mirrored at the edge values."""

    n = 1


class ReflectionPad2d(_ReflectionPad):
    """The last two dims mirrored at the edge values."""

    n = 2


class ReflectionPad3d(_ReflectionPad):
    """The last three dims mirrored at the edge values."""

    n = 3


class ReplicationPad1d(_ReplicationPad):
    """The edge values repeated around the last dim."""

    n = 1


class ReplicationPad2d(_ReplicationPad):
    """The edge values repeated around the last two dims."""

    n = 2


class ReplicationPad3d(_ReplicationPad):
    """The edge values repeated around the last three dims."""

    n = 3


class CircularPad1d(_CircularPad):
    """The last dim continued from the other end."""

    n = 1


class CircularPad2d(_CircularPad):
    """The last two dims continued from the other end."""

    n = 2


class CircularPad3d(_CircularPad):
    """The last three dims continued from the other end."""

    n = 3
