"""Taking turns with a training thread: whoever wants to use the model does so between two steps."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

__all__ = ["Turns"]


class Turns:
    """A lock that the loop holds during each step and that lets guests in before the next one."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._guests = 0
        self._counting = threading.Lock()

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """The loop's turn; guests that wait go first."""
        while self._guests:
            time.sleep(0.0005)
        with self._lock:
            yield

    @contextlib.contextmanager
    def guest(self) -> Iterator[None]:
        """A guest's turn: no step is running and none begins. On the loop's own thread this is always so."""
        with self._counting:
            self._guests += 1
        try:
            self._lock.acquire()
        finally:
            with self._counting:
                self._guests -= 1
        try:
            yield
        finally:
            self._lock.release()
