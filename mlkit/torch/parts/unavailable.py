"""Libraries and devices that mlkit never uses: asking says no."""

from __future__ import annotations

from mlkit.core.errors import DeviceError

__all__ = [
    "device_count",
    "empty_cache",
    "is_available",
    "is_built",
    "is_macos13_or_newer",
    "manual_seed",
    "synchronize",
]


def is_available() -> bool:
    """Never."""
    return False


is_built = is_available


def is_macos13_or_newer(minor: int = 0) -> bool:
    """Asked by programs that then use Apple's GPU, which is not there."""
    return False


def device_count() -> int:
    """None."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing to seed."""


def empty_cache() -> None:
    """Nothing to empty."""


def synchronize() -> None:
    """Raises: there is no such device."""
    raise DeviceError("This device is not supported by mlkit.", hint="Use 'cpu', or 'cuda' with an NVIDIA GPU.")
