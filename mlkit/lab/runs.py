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
"""Of a tiny curve, at most."""

NEAR = 16
"""Records around a point that are averaged: a loss jumps from batch to batch."""

MOST = 40
"""Runs in an answer, the newest first."""

DEEP, WIDE, AGE = 4, 3_000, 20.0
"""How deep below the server's folder, through how many folders, and how often in seconds "runs" is looked for."""

QUICK = 0.05
"""Seconds that such a look may take; one that takes longer (many folders, a slow disk) comes as much less often."""

SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "checkpoints", "scalars", "mailbox"})
ENDED = frozenset({"finished", "stopped", "failed"})


class Runs:
    """Finds run directories below a folder, and reads them with as little work as changes need.

    Args:
        root: The folder the server shows.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve()
        self._lock = threading.Lock()
        self._found: list[Path] = []
        self._look_at = 0.0
        self._rows: dict[Path, tuple[Any, dict[str, Any]]] = {}
        self._sources: dict[Path, DirectorySource] = {}
        self._curves: dict[Path, dict[str, _Curve]] = {}

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
                self._curves.pop(gone, None)
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
        if now >= self._look_at:
            self._found, took = list(_folders_of_runs(self.root)), time.monotonic() - now
            self._look_at = now + AGE * max(1.0, took / QUICK)
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
        known = self._rows.get(run)
        try:
            # What has ended says so in its status, and changes no more until that file does.
            stat = os.stat(run / layout.STATUS) if known is not None and known[1]["state"] in ENDED else None
            if known is not None and stat is not None and known[0] == (stat.st_mtime_ns, stat.st_size):
                return known[1]
            version = source.version
            if known is not None and known[0] == version:
                return known[1]
            row = _read(source, self.root, self._curves.setdefault(run, {}))
            mark: Any = version
            if row["state"] in ENDED:
                stat = os.stat(run / layout.STATUS)
                mark = (stat.st_mtime_ns, stat.st_size)
        except (OSError, ValueError, TypeError):  # deleted while it was read, or not written by mlkit
            return None
        self._rows[run] = (mark, row)
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


def _read(source: DirectorySource, root: Path, curves: dict[str, _Curve]) -> dict[str, Any]:
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
        "series": {name: curves.setdefault(name, _Curve()).read(source, name) for name in _shown(names)},
        "last": {name: _last(source, name) for name in names if name != "lr"},
    }


def _number(value: Any) -> float | int | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value else None


def _shown(names: list[str]) -> list[str]:
    """The curves of a tiny picture: a loss in training and validation, else what there is first."""
    losses: list[str] = [name for name in ("train/loss", "valid/loss") if name in names]
    return losses or [name for name in names if name != "lr"][:2]


class _Curve:
    """A curve at up to POINTS places, each the mean of the records before it. What was read is not read again: places
    stand still while the curve grows, until it is twice as long and every other one is left out."""

    def __init__(self) -> None:
        self._every = 1
        self._known: dict[int, tuple[float, float | None]] = {}

    def read(self, source: DirectorySource, name: str) -> list[list[float | None]]:
        """[steps, values]; only the new places of the file are read."""
        count = source.count(name)
        every = 1
        while count > every * POINTS:
            every *= 2
        if every != self._every or len(self._known) > count // every:  # longer by half, or begun again
            kept = self._known if every > self._every and count >= max(self._known, default=0) else {}
            # Short stretches are averaged whole, so they change with the spacing; NEAR records stay the same.
            self._known = {end: kept[end] for end in kept if end % every == 0} if self._every >= NEAR else {}
            self._every = every
        ends = list(range(every, count + 1, every))
        fresh = [end for end in ends if end not in self._known]
        if fresh and every <= NEAR:  # all in one piece: it is short
            first = fresh[0] - every
            _, steps, _, values = source.read(name, first, fresh[-1])
            for end in fresh:
                part = values[end - every - first : end - first]
                if len(part) == every:
                    self._known[end] = (float(steps[end - 1 - first]), _mean(part))
        else:
            for end in fresh:
                self._look(source, name, end)
        pairs = [self._known[end] for end in ends if end in self._known]
        if count % every:
            _, steps, _, values = source.read(name, max(count - min(every, NEAR), 0), count)
            if len(steps):
                pairs.append((float(steps[-1]), _mean(values)))
        return [[step for step, _ in pairs], [value for _, value in pairs]]

    def _look(self, source: DirectorySource, name: str, end: int) -> None:
        _, steps, _, values = source.read(name, end - NEAR, end)
        if len(steps) == NEAR:
            self._known[end] = (float(steps[-1]), _mean(values))


def _mean(values: np.ndarray) -> float | None:
    """None where one of them is no number: a gap in the curve is what people must see."""
    return float(values.mean()) if len(values) and np.isfinite(values).all() else None


def _last(source: DirectorySource, name: str) -> float | None:
    count = source.count(name)
    _, _, _, values = source.read(name, max(0, count - 1), count)
    return float(values[-1]) if len(values) and np.isfinite(values[-1]) else None
