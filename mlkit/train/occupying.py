"""One training at a time writes to a folder of checkpoints: a lock that the system lets go when its process ends."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from mlkit.core.errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows: folders are not locked there
    fcntl = None  # type: ignore[assignment]

PATIENCE_SECONDS = 3.0
"""How long to wait for a process that was killed a moment ago and whose helpers are still ending."""

_held: set[int] = set()


def occupy(folder: Path) -> int | None:
    """Lock a folder for this training; gives what `leave` takes, None where folders cannot be locked.

    Raises:
        CheckpointError: Another training, in this process or another, writes to it.
    """
    if fcntl is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)  # the folder itself: nothing is left in it
    except OSError:  # a folder that cannot be made is told when a checkpoint is due
        return None
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(0.05)
                continue
            os.close(handle)
            raise CheckpointError(
                f"Another training writes its checkpoints to {folder}.",
                hint="Give this Trainer a checkpoint_dir of its own, or stop the other one first.",
            ) from None
        except OSError:  # a file system without locks
            os.close(handle)
            return None
        _held.add(handle)
        return handle


def leave(handle: int | None) -> None:
    """Let the folder go."""
    if handle in _held:
        _held.discard(handle)
        os.close(handle)


def _in_a_forked_child() -> None:
    """A worker process is not the training: it must not hold the lock on when the training has been killed."""
    for handle in list(_held):
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_forked_child)
