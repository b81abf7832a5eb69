"""``torch.backends.cudnn``: its switches can be set; mlkit chooses its kernels itself."""

from __future__ import annotations

import contextlib
from typing import Any

from mlkit import cuda

__all__ = ["allow_tf32", "benchmark", "benchmark_limit", "deterministic", "enabled", "flags", "is_available", "version"]

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """Whether there is a GPU to run convolutions on."""
    return cuda.is_available()


def version() -> int | None:
    """cuDNN's version as a number; None without a GPU."""
    if not cuda.is_available():
        return None
    try:
        import cudnn
    except ImportError:
        return None
    return int(cudnn.backend_version())


@contextlib.contextmanager
def flags(**switches: Any):
    """Switches inside a block. They change nothing here."""
    yield
