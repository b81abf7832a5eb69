"""The runs that a Jupyter server can see, as the side panel shows them: a row each, with curves of a few dozen points."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.observe import format as layout
from mlkit.observe.source import DirectorySource

__all__ = ["Runs"]

POINTS = 48
"""Of a tiny curve."""

NEAR = 16
"""Records around a point that are averaged: a loss jumps from batch to batch."""

MOST = 40
"""Runs in an answer, the newest first."""

DEEP, WIDE, AGE = 4, 3_000, 20.0
"""How deep below the server's folder, through how many folders, and how often in seconds "runs" is looked for."""

SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "checkpoints", "scalars", "mailbox"})
ALIVE_ROWS = (*layout.ALIVE, "ready")


class Runs:
    """Finds run directories below a folder, and reads them with as little work as changes need.

    Args:
        root: The folder the server shows.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve()
        self._lock = threading.Lock()
        self._found: list[Path] = []
        self._looked = -AGE
        self._rows: dict[Path, tuple[Any, dict[str, Any]]] = {}
        self._sources: dict[Path, DirectorySource] = {}

    def answer(self, folders: Iterable[str] = (), most: int = MOST) -> dict[str, Any]:
        """The newest runs, those that are going on first.

        Args:
            folders: More folders of runs, from the settings: absolute, with "~", or below the server's folder.
            most: Rows at most; ``total`` says how many runs there are.
        """
        with self._lock:
            places = self._places(folders)
            known = sorted(((_stamp(run), run) for run in _runs_in(places)), reverse=True)
            kept = [run for _, run in known[: max(1, most)]]
            rows = [row for run in kept if (row := self._row(run)) is not None]
            for gone in set(self._sources) - set(kept):
                self._sources.pop(gone, None)
                self._rows.pop(gone, None)
            rows.sort(key=lambda row: not row["alive"])  # stable: the newest first within each
            return {"runs": rows, "total": len(known), "folders": [str(place) for place in places],
                    "root": str(self.root)}  # fmt: skip

    def send(self, run: str, command: str, folders: Iterable[str] = (), name: str | None = None, value: Any = None):
        """Leave a command in the mailbox of one of the runs that `answer` shows.

        Raises:
            LookupError: It is none of them.
            RuntimeError: It has ended, or cannot be reached; the message says why.
            ValueError: There is no such command.
        """
        with self._lock:
            path = Path(run)
            if path not in _runs_in(self._places(folders)):
                raise LookupError(f"{path.name} is none of the runs shown here; it may have been deleted or renamed.")
            source = self._source(path)
        source.send(command, name, value)

    # --- finding --------------------------------------------------------------------------------------------------

    def _places(self, folders: Iterable[str]) -> list[Path]:
        now = time.monotonic()
        if now - self._looked >= AGE:
            self._found, self._looked = list(_folders_of_runs(self.root)), now
        named = [Path(os.path.expanduser(folder)) for folder in folders if folder.strip()]
        default = layout.runs_root()
        places = [default if default.is_absolute() else self.root / default, *self._found]
        places += [place if place.is_absolute() else self.root / place for place in named]
        return list(dict.fromkeys(place.resolve() for place in places if place.is_dir()))

    # --- reading --------------------------------------------------------------------------------------------------

    def _source(self, run: Path) -> DirectorySource:
        if run not in self._sources:
            self._sources[run] = DirectorySource(run)
        return self._sources[run]

    def _row(self, run: Path) -> dict[str, Any] | None:
        source = self._source(run)
        try:
            version = source.version
            known = self._rows.get(run)
            if known is not None and known[0] == version:
                return known[1]
            row = _read(source, self.root)
        except (OSError, ValueError, TypeError):  # deleted while it was read, or not written by mlkit
            return None
        self._rows[run] = (version, row)
        return row


def _folders_of_runs(root: Path) -> Iterator[Path]:
    """Folders named "runs" below `root`, without following links."""
    waiting, seen = [(root, 0)], 0
    while waiting and seen < WIDE:
        folder, depth = waiting.pop(0)
        seen += 1
        try:
            with os.scandir(folder) as entries:
                inside = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        for entry in inside:
            if entry.name.startswith(".") or entry.name in SKIPPED:
                continue
            if entry.name == "runs":
                yield Path(entry.path)
            elif depth + 1 < DEEP:
                waiting.append((Path(entry.path), depth + 1))


def _runs_in(places: Iterable[Path]) -> list[Path]:
    """Run directories, each once: a folder of the settings may be a run itself, or lie in another."""
    found: dict[Path, None] = {}
    for place in places:
        if (place / layout.META).is_file():
            found[place] = None
            continue
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if not entry.name.startswith(".") and os.path.isfile(os.path.join(entry.path, layout.META)):
                        found[Path(entry.path)] = None
        except OSError:
            continue
    return list(found)


def _stamp(run: Path) -> float:
    for name in (layout.STATUS, layout.META):
        try:
            return os.stat(run / name).st_mtime
        except OSError:
            continue
    return 0.0


def _read(source: DirectorySource, root: Path) -> dict[str, Any]:
    status, meta = source.status(), source.meta
    state = str(status["state"])
    reachable, reason = source.reachable
    names = source.names()
    try:
        folder = source.path.parent.relative_to(root).as_posix()
    except ValueError:
        folder = str(source.path.parent)
    numbers = {key: _number(status.get(key)) for key in ("step", "steps", "epoch", "epochs", "elapsed", "eta",
                                                         "examples_per_second", "memory_bytes", "lr", "updated", "pid")}  # fmt: skip
    return {
        "id": str(source.path),
        "title": source.title,
        "name": str(meta.get("name") or source.title),
        "folder": folder,
        "created": str(meta.get("created") or ""),
        "model": str(meta.get("model") or ""),
        "device": str(meta.get("device") or ""),
        "state": state,
        "alive": state in layout.ALIVE,
        "reachable": reachable,
        "reason": reason,
        "error": None if status.get("error") is None else str(status["error"])[:2_000],
        **numbers,
        "series": {name: _thin(source, name) for name in _shown(names)},
        "last": {name: _last(source, name) for name in names if name != "lr"},
    }


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value else None


def _shown(names: list[str]) -> list[str]:
    """The curves of a tiny picture: a loss in training and validation, else what there is first."""
    losses: list[str] = [name for name in ("train/loss", "valid/loss") if name in names]
    return losses or [name for name in names if name != "lr"][:2]


def _thin(source: DirectorySource, name: str) -> list[list[float | None]]:
    """[steps, values] of a curve at POINTS places, each the mean of the records there; only those are read."""
    count = source.count(name)
    if count <= POINTS * NEAR:
        _, steps, _, values = source.read(name, 0, count)
        if len(values) > POINTS:
            edges = np.linspace(0, len(values), POINTS + 1).astype(int)
            pairs = [(float(steps[b - 1]), _mean(values[a:b])) for a, b in zip(edges[:-1], edges[1:])]
        else:
            pairs = [(float(step), _mean(values[i : i + 1])) for i, step in enumerate(steps)]
    else:
        pairs = []
        for end in np.linspace(NEAR, count, POINTS).astype(int):
            _, steps, _, values = source.read(name, int(end) - NEAR, int(end))
            if len(steps):
                pairs.append((float(steps[-1]), _mean(values)))
    return [[step for step, _ in pairs], [value for _, value in pairs]]


def _mean(values: np.ndarray) -> float | None:
    """None where one of them is no number: a gap in the curve is what people must see."""
    return float(values.mean()) if len(values) and np.isfinite(values).all() else None


def _last(source: DirectorySource, name: str) -> float | None:
    count = source.count(name)
    _, _, _, values = source.read(name, max(0, count - 1), count)
    return float(values[-1]) if len(values) and np.isfinite(values[-1]) else None
