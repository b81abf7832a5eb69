"""Random streams: a seed and an offset. The same pair gives the same numbers on every backend."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mlkit.core.errors import ValueRangeError

#: set while a function is being recorded for compiling: told of every key taken, and (without one) of every jump
on_take: Callable | None = None


class Generator:
    """A stream of random numbers: ``manual_seed`` starts it, each random op moves ``offset`` on.

    >>> import mlkit
    >>> g = mlkit.Generator().manual_seed(3)
    >>> a = mlkit.rand(2, generator=g); b = mlkit.rand(2, generator=mlkit.Generator().manual_seed(3))
    >>> bool((a == b).all())
    True
    """

    def __init__(self, device="cpu"):
        self.device = device
        self._lock = threading.Lock()
        self._seed = 67280421310721  # PyTorch's default seed
        self._offset = 0

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, offset={self._offset})"

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream named ``seed`` (any integer) at its beginning."""
        if isinstance(seed, bool) or not hasattr(seed, "__index__"):
            raise ValueRangeError(f"manual_seed: expected an integer, got {seed!r}.")
        with self._lock:
            self._seed, self._offset = int(seed) & ((1 << 64) - 1), 0
        if on_take is not None:
            on_take(self, None, None)
        return self

    def seed(self) -> int:
        """Start a stream with a seed from the operating system, and return that seed."""
        import secrets

        fresh = secrets.randbits(63)
        self.manual_seed(fresh)
        return fresh

    def initial_seed(self) -> int:
        return self._seed

    def take(self, numel: int) -> tuple[int, int]:
        """A key for an op that draws up to one 64-bit word per element; the stream moves on behind them."""
        with self._lock:
            key = (self._seed, self._offset)
            self._offset += numel // 4 + 2
        if on_take is not None:
            on_take(self, numel, key)
        return key

    def get_pair(self) -> tuple[int, int]:
        """(seed, offset): the whole state."""
        return self._seed, self._offset

    def set_pair(self, seed: int, offset: int) -> None:
        with self._lock:
            self._seed, self._offset = int(seed), int(offset)
        if on_take is not None:
            on_take(self, None, None)


default_generator = Generator()
