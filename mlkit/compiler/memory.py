"""Where values live: which share one block of memory because they never live at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Plan:
    """``into``: id -> a function that writes that value into its buffer; ``places``: id -> (offset, shape, dtype)."""

    size: int = 0
    places: dict[str, tuple[int, tuple, np.dtype]] = field(default_factory=dict)
    into: dict[str, Callable] = field(default_factory=dict)
    _block: np.ndarray | None = None

    def buffers(self) -> dict[str, np.ndarray]:
        """Each planned value's array, in one block of memory."""
        if not self.places:
            return {}
        if self._block is None:
            self._block = np.empty(self.size, np.uint8)
        out = {}
        for key, (offset, shape, dtype) in self.places.items():
            count = int(np.prod(shape)) * dtype.itemsize
            out[key] = self._block[offset : offset + count].view(dtype).reshape(shape)
        return out
