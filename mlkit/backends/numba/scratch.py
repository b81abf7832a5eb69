"""Memory that kernels work in, at addresses that a vector register likes."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable

import numpy as np

LINE = 64  # bytes: a cache line, and the widest register


def _described(x: np.ndarray) -> int:
    """Where an array's first element is, as NumPy tells it to everybody: in a dictionary made for the answer."""
    return x.__array_interface__["data"][0]


def _way() -> Callable[[np.ndarray], int]:
    """How addresses are found: read from the array object itself, a tenth of the time, where a look shows them there.

    NumPy's C interface fixes that an array object begins with Python's own head and goes on with the pointer to its data.
    """
    if sys.implementation.name != "cpython":  # where an object's id is not where it lies
        return _described
    head = object.__basicsize__
    read = ctypes.c_ssize_t.from_address

    def there(x: np.ndarray) -> int:
        return read(id(x) + head).value

    probe = np.zeros((3, 4), np.float32)
    views = probe, probe[1:], probe[::-1, 2:], np.broadcast_to(probe, (2, 3, 4)), np.zeros(0, np.float32), np.array(1.0)
    return there if all(there(x) == _described(x) for x in views) else _described


#: (an array) -> where its first element is
address = _way()


def floats(count: int) -> np.ndarray:
    """``count`` float32 without values, the first at the start of a cache line."""
    raw = np.empty(count + LINE // 4, np.float32)
    skip = (-address(raw) % LINE) // 4
    return raw[skip : skip + count]


@functools.lru_cache(256)
def nothing(count: int) -> np.ndarray:
    """The same, set to zero, one for all: to begin sums with, never to be written."""
    return zeros(count)


def zeros(count: int) -> np.ndarray:
    """The same, set to zero."""
    raw = np.zeros(count + LINE // 4, np.float32)
    skip = (-address(raw) % LINE) // 4
    return raw[skip : skip + count]
