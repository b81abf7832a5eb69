"""``torch.cpu``: the processor, asked as a GPU is."""

from __future__ import annotations

from typing import Any

__all__ = ["current_device", "device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """Always."""
    return True


def device_count() -> int:
    """One."""
    return 1


def current_device() -> str:
    """The name of the only device."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Nothing to wait for: operations are done when they return."""
