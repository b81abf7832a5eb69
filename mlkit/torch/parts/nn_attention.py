"""``torch.nn.attention``: which attention kernels may be used. mlkit chooses its own."""

from __future__ import annotations

import contextlib
import enum
from typing import Any

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(enum.IntEnum):
    """PyTorch's kernels for attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False):
    """PyTorch's choice of kernel inside a block. Results are the same here."""
    yield
