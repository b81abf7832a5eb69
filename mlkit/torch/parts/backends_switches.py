"""``torch.backends.mha``, ``opt_einsum`` and ``quantized``: their switches can be set and change nothing."""

from __future__ import annotations

__all__ = [
    "enabled",
    "engine",
    "get_fastpath_enabled",
    "is_available",
    "set_fastpath_enabled",
    "strategy",
    "supported_engines",
]

enabled = False
strategy = None
engine = "none"
supported_engines = ["none"]
_fastpath = [False]


def is_available() -> bool:
    """Never: einsum goes from left to right, and tensors are not quantised."""
    return False


def get_fastpath_enabled() -> bool:
    """What `set_fastpath_enabled` said; mlkit's attention has one path."""
    return _fastpath[-1]


def set_fastpath_enabled(value: bool) -> None:
    """Accepted; mlkit's attention has one path."""
    _fastpath[:] = [bool(value)]
