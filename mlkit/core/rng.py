"""Random streams: a seed and an offset. The same pair gives the same numbers on every backend."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.core.value import wrap

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
        if on_take is not None:
            on_take(self, None, None)
        return self._seed

    def get_state(self):
        """Where the stream is, as a uint8 tensor that ``set_state`` takes.

        >>> import mlkit
        >>> g = mlkit.Generator().manual_seed(3)
        >>> state = g.get_state(); a = mlkit.rand(2, generator=g)
        >>> _ = g.set_state(state); bool((a == mlkit.rand(2, generator=g)).all())
        True
        """
        if on_take is not None:
            on_take(self, None, None)
        return wrap(np.array(self.get_pair(), np.uint64).view(np.uint8).copy())

    def set_state(self, new_state) -> Generator:
        """Put the stream where ``get_state`` saw it."""
        array = getattr(new_state, "_array", None)
        if not isinstance(array, np.ndarray):
            raise ArgumentError(f"set_state(): expected a uint8 tensor on the CPU, got {type(new_state).__name__}.")
        if array.dtype != np.uint8 or array.shape != (16,):
            raise ArgumentError(f"set_state(): expected a uint8 tensor of 16 bytes, got {array.dtype} {array.shape}.")
        self.set_pair(*array.copy().view(np.uint64).tolist())
        return self

    def clone_state(self) -> Generator:
        """Another stream that goes on where this one is."""
        other = Generator(self.device)
        other.set_pair(*self.get_pair())
        return other

    def __reduce__(self):
        return _stream, (self.device, *self.get_pair())

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


def _stream(device, seed: int, offset: int) -> Generator:
    out = Generator(device)
    out.set_pair(seed, offset)
    return out


default_generator = Generator()
