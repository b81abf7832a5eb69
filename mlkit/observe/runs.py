"""The runs kept in a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlkit.observe import format as layout
from mlkit.observe.source import DirectorySource

__all__ = ["RunSummary", "list_runs"]


@dataclass(frozen=True)
class RunSummary:
    """One line about a run; `open` gives everything."""

    path: Path
    name: str
    created: str
    state: str
    step: int
    epoch: int
    last: dict[str, float]
    """The last value of each series."""

    def open(self) -> DirectorySource:
        """The run's `Source`."""
        return DirectorySource(self.path)


def list_runs(root: str | os.PathLike[str] | None = None) -> list[RunSummary]:
    """All runs in `root` (``$MLKIT_RUNS`` or ``./runs`` by default), the newest first.

    >>> import tempfile
    >>> list_runs(tempfile.mkdtemp())
    []
    """
    folder = layout.runs_root(root)
    if not folder.is_dir():
        return []
    summaries = [_summary(child) for child in folder.iterdir() if (child / layout.META).is_file()]
    return sorted(summaries, key=lambda run: (run.created, run.path.name), reverse=True)


def _summary(path: Path) -> RunSummary:
    source = DirectorySource(path)
    status: dict[str, Any] = source.status()
    last = {}
    for name in source.names():
        if count := source.count(name):
            last[name] = float(source.read(name, count - 1)[3][0])
    return RunSummary(
        path=path,
        name=str(source.meta.get("name", path.name)),
        created=str(source.meta.get("created", "")),
        state=str(status["state"]),
        step=int(status.get("step") or 0),
        epoch=int(status.get("epoch") or 0),
        last=last,
    )
