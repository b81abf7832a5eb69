"""The GPU, by a name that does not say whose.

>>> from mlkit import accelerator
>>> device = accelerator.current_accelerator() if accelerator.is_available() else "cpu"
"""

from __future__ import annotations

from mlkit import cuda
from mlkit.core.device import device

__all__ = [
    "current_accelerator",
    "current_device_idx",
    "current_device_index",
    "current_stream",
    "device_count",
    "empty_cache",
    "get_memory_info",
    "is_available",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_peak_memory_stats",
    "set_device_idx",
    "set_device_index",
    "synchronize",
]


def current_accelerator(check_available: bool = False) -> device | None:
    """The GPU as a device without a number; None where there is none."""
    return device("cuda") if cuda.is_available() else None


is_available = cuda.is_available
device_count = cuda.device_count
current_device_index = current_device_idx = cuda.current_device
set_device_index = set_device_idx = cuda.set_device
current_stream = cuda.current_stream
synchronize = cuda.synchronize
empty_cache = cuda.empty_cache
get_memory_info = cuda.mem_get_info
memory_allocated = cuda.memory_allocated
max_memory_allocated = cuda.max_memory_allocated
memory_reserved = cuda.memory_reserved
max_memory_reserved = cuda.max_memory_reserved
memory_stats = cuda.memory_stats
reset_peak_memory_stats = cuda.reset_peak_memory_stats
