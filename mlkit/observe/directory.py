"""The writing side of a run directory."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.core.files import atomic_write, explain_os_error
from mlkit.observe import format as layout
from mlkit.observe.mailbox import Mailbox

__all__ = ["RunDirectory"]


class RunDirectory:
    """Files of one run, written by the one process that trains.

    Make one with `RunDirectory.create`. Points and events are appended at offsets the writer remembers, so that what
    a full disk cut short is overwritten by the next try and never misread.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.mailbox = Mailbox(self.path / layout.MAILBOX)
        self._points: dict[str, int] = {}
        self._events_end = 0

    @classmethod
    def create(cls, name: str, root: str | os.PathLike[str] | None = None) -> RunDirectory:
        """Make a fresh directory ``<root>/<name>-<date>-<time>-<4 hex>``.

        Raises:
            OSError: It cannot be made; the message says how to choose another place.
        """
        safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80] or "run"
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        folder = layout.runs_root(root).absolute()
        hint = "Choose another place with run_dir=... or the environment variable MLKIT_RUNS."
        while True:
            path = folder / f"{safe}-{stamp}-{secrets.token_hex(2)}"
            try:
                path.mkdir(parents=True)
                for part in (layout.SCALARS, layout.MAILBOX, layout.CHECKPOINTS):
                    (path / part).mkdir()
            except FileExistsError as error:
                if path.is_dir():
                    continue  # another run took this very name
                raise explain_os_error(error, path, "make the run directory", hint) from error
            except OSError as error:
                raise explain_os_error(error, path, "make the run directory", hint) from error
            return cls(path)

    def write_meta(self, meta: dict[str, Any]) -> None:
        """Write ``meta.json``."""
        self._write_json(layout.META, {"format": layout.FORMAT, **meta}, durable=True)

    def write_status(self, status: dict[str, Any]) -> None:
        """Replace ``status.json``."""
        self._write_json(layout.STATUS, status, durable=False)

    def append_points(self, series: str, points: np.ndarray) -> None:
        """Append records (dtype `format.RECORD`) to a series' file."""
        start = self._points.get(series, 0)
        _write_at(
            self.path / layout.SCALARS / layout.file_name(series), start * layout.RECORD.itemsize, points.tobytes()
        )
        self._points[series] = start + len(points)

    def append_events(self, events: list[dict[str, Any]]) -> None:
        """Append events, one JSON object a line."""
        lines = "".join(layout.to_json(event) + "\n" for event in events).encode()
        _write_at(self.path / layout.EVENTS, self._events_end, lines)
        self._events_end += len(lines)

    def lock(self) -> None:
        """Say which process writes here."""
        with atomic_write(self.path / layout.LOCK, "w", durable=False) as file:
            file.write(f"{os.getpid()}\n")

    def unlock(self) -> None:
        """The writing has ended."""
        with contextlib.suppress(OSError):
            (self.path / layout.LOCK).unlink()

    def _write_json(self, name: str, value: dict[str, Any], durable: bool) -> None:
        with atomic_write(self.path / name, "w", durable=durable) as file:
            file.write(layout.to_json(value, indent=1) + "\n")

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"


def _write_at(path: Path, offset: int, data: bytes) -> None:
    try:
        with open(
            os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "wb", buffering=0
        ) as file:
            file.seek(offset)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
    except OSError as error:
        raise explain_os_error(error, path, "write") from error
