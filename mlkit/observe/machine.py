"""What the process uses of the machine."""

from __future__ import annotations

from mlkit.core.machine import memory_bytes

__all__ = ["memory_bytes"]
