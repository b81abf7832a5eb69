"""Memory that kernels work in, at addresses that a vector register likes."""

from __future__ import annotations

import numpy as np

LINE = 64  # bytes: a cache line, and the widest register


def floats(count: int) -> np.ndarray:
    """``count`` float32 without values, the first at the start of a cache line."""
    raw = np.empty(count + LINE // 4, np.float32)
    skip = (-raw.ctypes.data % LINE) // 4
    return raw[skip : skip + count]


def zeros(count: int) -> np.ndarray:
    """The same, set to zero."""
    raw = np.zeros(count + LINE // 4, np.float32)
    skip = (-raw.ctypes.data % LINE) // 4
    return raw[skip : skip + count]


def address(x: np.ndarray) -> int:
    """Where an array's first element is."""
    return x.__array_interface__["data"][0]
