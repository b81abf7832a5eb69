"""Where a tensor's numbers live: ``cpu`` (NumPy), ``cuda:0`` (CuPy) or ``meta`` (nowhere: shape and dtype only)."""

from __future__ import annotations

import threading
from typing import Any

from mlkit.core.errors import ArgumentError, RefusedError

#: device type -> backend name; a backend's folder is mlkit/backends/<name>
BACKEND_OF = {"cpu": "numpy", "cuda": "cupy", "meta": "meta"}


#: the ``with device:`` blocks that this thread is in
_blocks = threading.local()


class device:  # noqa: N801 - PyTorch's name
    """A place for tensors. ``placement`` is free for layouts over several devices.

    In a ``with`` block, new tensors of this thread are made there when no device is named.

    >>> import mlkit
    >>> mlkit.device("cuda:1").index
    1
    >>> with mlkit.device("meta"):
    ...     mlkit.nn.Linear(10_000, 10_000).weight.device
    device(type='meta')
    """

    __slots__ = ("index", "placement", "type")

    def __init__(self, type: Any = "cpu", index: int | None = None, placement: Any = None):
        if isinstance(type, device):
            type, index, placement = type.type, type.index, type.placement
        elif isinstance(type, int):
            type, index = "cuda", type
        name, colon, number = str(type).partition(":")
        if name not in BACKEND_OF or (colon and not number.isdigit()):
            raise (RefusedError if isinstance(type, str) else ArgumentError)(
                f"Expected a device such as 'cpu', 'cuda', 'cuda:1' or 'meta', got {type!r}.",
            )
        self.type = name
        self.index = int(number) if colon else index
        self.placement = placement

    def __eq__(self, other) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __enter__(self) -> device:
        if not hasattr(_blocks, "devices"):
            _blocks.devices = []
        _blocks.devices.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        _blocks.devices.pop()

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return (
            f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"
        )


def block_device() -> device | None:
    """The device of the innermost ``with device:`` block of this thread; None outside."""
    devices = getattr(_blocks, "devices", None)
    return devices[-1] if devices else None


CPU = device("cpu")
META = device("meta")
