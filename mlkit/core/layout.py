"""Memory layouts and formats, by PyTorch's names. There is one of each here; the names are accepted and printed."""

from __future__ import annotations

from mlkit.core import config


class layout(str):  # noqa: N801 - PyTorch's name
    """How a tensor lies in memory; only ``strided`` is here."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{config.shown_name}.{str.__str__(self)}"

    __str__ = __repr__


class memory_format(str):  # noqa: N801 - PyTorch's name
    """The order of dims in memory; accepted everywhere, and kept only as strides."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{config.shown_name}.{str.__str__(self)}"

    __str__ = __repr__


strided = layout("strided")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
