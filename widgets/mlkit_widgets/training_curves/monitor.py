"""A folder of runs, live: which there are, and the chosen ones drawn side by side and steered."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import traitlets

from mlkit.observe import DirectorySource
from mlkit.observe import format as layout
from mlkit.observe.runs import DOOMED
from mlkit_widgets.training_curves.following import ALIVE
from mlkit_widgets.training_curves.widget import MOST_RUNS, TrainingCurves

__all__ = ["TrainingMonitor"]

SCAN_SECONDS = 2.0
MOST_LISTED = 300
AT_FIRST = 4
"""Live runs that are shown unasked when the monitor opens."""


class TrainingMonitor(TrainingCurves):
    """All runs kept in a folder, the newest first: tick some, and they are drawn side by side, live or finished.

    A run of any process on this machine is steered through its mailbox; new ones appear by themselves. It is what the
    dashboard ``notebooks/dashboards/training-monitor.ipynb`` shows.

    Args:
        root: The folder; ``$MLKIT_RUNS`` or ``./runs`` by default. It need not exist yet.
        follow_new: Whether a run that begins is drawn unasked.
        options: The options of `TrainingCurves`: metrics, x, smoothing, log_x, log_y.

    >>> TrainingMonitor("runs")                                  # doctest: +SKIP
    <TrainingMonitor of 2 runs: digits-20260101-120000-a1b2, digits-20260101-110000-c3d4>
    """

    follow_new = traitlets.Bool(True).tag(sync=True)

    def __init__(self, root: str | os.PathLike[str] | None = None, *, follow_new: bool = True, **options: Any) -> None:
        self._root = layout.runs_root(root).absolute()
        self._scanned_at = 0.0
        self._known: dict[str, _Listed] = {}
        self._opened = False
        super().__init__([], follow_new=follow_new, **options)
        self._scan()

    @property
    def root(self) -> Path:
        """The folder that is watched."""
        return self._root

    def show(self, *names: str) -> None:
        """Draw exactly these runs, by the names of their directories.

        Raises:
            ValueError: There is no such run in the folder, or there are too many.
        """
        with self._guard:
            self._scan()
            self._show(list(names))

    def _show(self, names: list[str]) -> None:
        unknown = [name for name in names if name not in self._known]
        if unknown:
            raise ValueError(f"There is no run {unknown[0]!r} in {self._root}.")
        if len(names) > MOST_RUNS:
            raise ValueError(f"At most {MOST_RUNS} runs are drawn on one picture.")
        self._followed = [one for one in self._followed if one.source.title in names]
        shown = {one.source.title for one in self._followed}
        for name in names:
            if name not in shown:
                self._follow(DirectorySource(self._root / name))
        if self.selected not in {one.key for one in self._followed}:
            self.selected = self._followed[-1].key if self._followed else ""
        self._redraw = True
        self._publish()

    # --- the folder ---------------------------------------------------------------------------------------------

    def _scan(self) -> None:
        self._scanned_at = time.monotonic()
        found = {}
        try:
            with os.scandir(self._root) as entries:
                names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(DOOMED)]
        except OSError:
            names = []
        for name in names:
            one = self._known.get(name) or _Listed(self._root / name)
            if one.look():
                found[name] = one
        fresh = [name for name in found if name not in self._known]
        gone = [name for name in self._known if name not in found]
        self._known = found
        if not self._opened:
            self._opened = True
            alive = [one.name for one in self._newest() if one.alive][:AT_FIRST]
            newest = [one.name for one in self._newest()[:1]]
            self._show(alive or newest)
        elif self.follow_new and any(found[name].alive for name in fresh):
            shown = [one.source.title for one in self._followed]
            joining = [name for name in fresh if found[name].alive and name not in shown]
            self._show((shown + joining)[-MOST_RUNS:])
        elif gone:
            self._show([one.source.title for one in self._followed if one.source.title in found])
        self._publish()

    def _newest(self) -> list[_Listed]:
        return sorted(self._known.values(), key=lambda one: (one.created, one.name), reverse=True)

    def _publish(self) -> None:
        shown = [one.source.title for one in self._followed]
        library = {
            "root": str(self._root),
            "runs": [one.line() for one in self._newest()[:MOST_LISTED]],
            "more": max(0, len(self._known) - MOST_LISTED),
            "shown": shown,
        }
        if library != self._library:
            self._library = library

    def _tick(self) -> None:
        if time.monotonic() - self._scanned_at >= SCAN_SECONDS:
            self._scan()
        super()._tick()

    def _send_runs(self, runs: list[Any]) -> None:
        before = len(self._followed)
        super()._send_runs(runs)
        if len(self._followed) != before:  # a clone has joined
            self._scan()

    def _answer(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if message.get("kind") == "watch":
            self._show([str(name) for name in message.get("names") or ()])
            return None
        return super()._answer(message)


class _Listed:
    """One line of the list: what meta.json and status.json say, read again when they change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.created = ""
        self._meta: dict[str, Any] = {}
        self._stamp: Any = None
        self._source = DirectorySource(path)
        self._status: dict[str, Any] = {}

    def look(self) -> bool:
        """Look again; False where there is no run (any more)."""
        try:
            stamps = [os.stat(self.path / layout.META).st_mtime_ns]
        except OSError:
            return False
        try:
            stamps.append(os.stat(self.path / layout.STATUS).st_mtime_ns)
        except OSError:
            pass  # it is only just beginning
        if stamps != self._stamp or self.alive:  # a run that lives may be lost without a change
            self._stamp = stamps
            self._meta, self._status = self._source.meta, self._source.status()
            self.created = str(self._meta.get("created") or "")
        return True

    @property
    def alive(self) -> bool:
        return self._status.get("state") in ALIVE

    def line(self) -> dict[str, Any]:
        status = self._status
        step, steps = status.get("step") or 0, status.get("steps")
        return {
            "name": self.name,
            "state": status.get("state") or "ready",
            "share": round(min(1.0, step / steps), 3) if steps else None,
            "model": self._meta.get("model"),
            "created": self.created,
        }
