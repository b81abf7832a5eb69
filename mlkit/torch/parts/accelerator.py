"""``torch.accelerator``: the GPU, by a name that does not say whose."""

from __future__ import annotations

from typing import Any

import mlkit
from mlkit import cuda

__all__ = [
    "current_accelerator",
    "current_device_index",
    "device_count",
    "empty_cache",
    "is_available",
    "memory_allocated",
    "set_device_index",
    "synchronize",
]


def is_available() -> bool:
    """Whether tensors can be put on a GPU."""
    return cuda.is_available()


def current_accelerator(check_available: bool = False) -> Any:
    """The GPU as a device without a number; None where there is none."""
    return mlkit.device("cuda") if cuda.is_available() else None


def device_count() -> int:
    """How many GPUs there are."""
    return cuda.device_count()


def current_device_index() -> int:
    """The number of the GPU in use."""
    return cuda.current_device()


def set_device_index(device: Any) -> None:
    """Use this GPU from now on."""
    from mlkit.torch.parts.cuda import set_device

    set_device(device)


synchronize = cuda.synchronize
empty_cache = cuda.empty_cache
memory_allocated = cuda.memory_allocated
