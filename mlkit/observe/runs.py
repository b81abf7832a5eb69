"""The runs kept in a folder: list, compare, rename, delete, and keep within a quota."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlkit.core.errors import DataError
from mlkit.core.files import atomic_write, explain_os_error
from mlkit.observe import format as layout
from mlkit.observe.source import DirectorySource

__all__ = [
    "RunSummary",
    "RunTable",
    "TidyReport",
    "compare_runs",
    "delete_run",
    "list_runs",
    "rename_run",
    "tidy_runs",
]

DOOMED = ".deleted-"
YOUNG_SECONDS = 60.0
"""A run that has not said anything yet is taken for a beginning one while it is younger than this."""
LOWER_IS_BETTER = ("loss", "error", "mae", "mse", "perplexity")


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
    best: dict[str, float] = field(default_factory=dict)
    """The best value of each series: the smallest of a loss or an error, the largest of anything else."""
    meta: dict[str, Any] = field(default_factory=dict)
    """What the run said about itself: model, optimizer, hyperparameters, ..."""
    seconds: float = 0.0
    """How long it ran."""
    size: int = 0
    """Bytes on the disk, checkpoints included."""
    error: str | None = None

    def open(self) -> DirectorySource:
        """The run's `Source`."""
        return DirectorySource(self.path)

    @property
    def alive(self) -> bool:
        """Whether a process may be writing it now."""
        return _is_alive(self.path)

    @property
    def settings(self) -> dict[str, Any]:
        """Hyperparameters and what else may differ between runs, by name."""
        known = ("model", "optimizer", "scheduler", "loss", "batch_size", "epochs", "precision", "accumulate", "device")
        chosen = {name: self.meta[name] for name in known if self.meta.get(name) is not None}
        given = self.meta.get("hyperparameters")
        return chosen | (given if isinstance(given, dict) else {})


def list_runs(root: str | os.PathLike[str] | None = None) -> list[RunSummary]:
    """All runs in `root` (``$MLKIT_RUNS`` or ``./runs`` by default), the newest first.

    >>> import tempfile
    >>> list_runs(tempfile.mkdtemp())
    []
    """
    summaries = [_summary(child) for child in _run_folders(layout.runs_root(root))]
    return sorted(summaries, key=lambda run: (run.created, run.path.name), reverse=True)


class RunTable:
    """Runs side by side: what differs in their settings, and their best numbers. It shows itself as a table.

    `rows` has a dictionary for each run, `columns` their keys in order.
    """

    def __init__(self, columns: list[str], rows: list[dict[str, Any]], same: dict[str, Any]) -> None:
        self.columns = columns
        self.rows = rows
        self.same = same
        """The settings that all runs share."""

    def __len__(self) -> int:
        return len(self.rows)

    def to_text(self) -> str:
        """The table in plain text."""
        if not self.rows:
            return "no runs"
        cells = [self.columns, *([shown(row.get(name)) for name in self.columns] for row in self.rows)]
        text = aligned(cells)
        if self.same:
            text += "\nsame in all: " + ", ".join(f"{name} {shown(value)}" for name, value in self.same.items())
        return text

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich  # drawn only where something displays it

        return rich.repr_html(self)

    def __repr__(self) -> str:
        return self.to_text()


def compare_runs(
    runs: Iterable[Any] | str | os.PathLike[str] | None = None,
    metrics: Iterable[str] | None = None,
    sort: str | None = None,
) -> RunTable:
    """Settings and best numbers of runs, side by side.

    Args:
        runs: Paths of runs, `RunSummary` objects, or the folder that holds them (``$MLKIT_RUNS`` or ``./runs``).
        metrics: Names of curves; by default the validation's, else the training's.
        sort: A column to sort by, the best first; by default the newest first.

    Raises:
        FileNotFoundError: No run is kept there.
        DataError: There is no such column or metric.
    """
    if runs is None or isinstance(runs, (str, os.PathLike)):
        found = [_summary(Path(runs))] if runs is not None and _is_run(Path(runs)) else list_runs(runs)
    else:
        found = [one if isinstance(one, RunSummary) else summary_of(one) for one in runs]
    names = sorted({name for run in found for name in run.best if name != "lr"})
    if metrics is None:
        wanted = [name for name in names if name.startswith("valid/")] or names
    else:
        wanted = [metrics] if isinstance(metrics, str) else list(metrics)
        for name in wanted:
            if found and name not in names:
                raise DataError(f"None of the runs has a curve {name!r}.", hint=f"There are: {', '.join(names)}.")
    settings = list(dict.fromkeys(name for run in found for name in run.settings))
    differing = [name for name in settings
                 if len({shown(run.settings.get(name)) for run in found}) > 1]  # fmt: skip
    same = {name: found[0].settings.get(name) for name in settings if name not in differing} if found else {}
    columns = ["run", "state", *differing, "step", *wanted, "time"]
    rows: list[dict[str, Any]] = [
        {
            "run": run.path.name, "state": run.state, **{name: run.settings.get(name) for name in differing},
            "step": run.step, **{name: run.best.get(name) for name in wanted}, "time": duration(run.seconds),
        }
        for run in found
    ]  # fmt: skip
    if sort is not None:
        if sort not in columns:
            raise DataError(f"There is no column {sort!r} to sort by.", hint=f"There are: {', '.join(columns)}.")
        known = [row for row in rows if _sortable(row.get(sort))]
        highest_first = sort in wanted and not lower_is_better(sort)
        known.sort(key=lambda row: _order(row[sort]), reverse=highest_first)
        rows = known + [row for row in rows if not _sortable(row.get(sort))]
    return RunTable(columns, rows, same)


def summary_of(path: str | os.PathLike[str]) -> RunSummary:
    """The summary of one run directory."""
    if not _is_run(Path(path)):
        raise FileNotFoundError(f"{path} is not a run directory: it has no {layout.META}. "
                                "`mlkit runs list` names those there are.")  # fmt: skip
    return _summary(Path(path))


def find_run(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """A run by its path, its directory's name, the beginning of it, or "last".

    Raises:
        FileNotFoundError: There is none, or several begin so.
    """
    if _is_run(Path(name)):
        return Path(name)
    folder = layout.runs_root(root)
    known = [run.path for run in list_runs(root)]
    if name == "last" and known:
        return known[0]
    exact = [path for path in known if path.name == name]
    begin = exact or [path for path in known if path.name.startswith(name)]
    if len(begin) == 1:
        return begin[0]
    if begin:
        raise FileNotFoundError(f"{len(begin)} runs in {folder} begin with {name!r}: "
                                f"{', '.join(path.name for path in begin[:5])}. Give more of the name.")  # fmt: skip
    raise FileNotFoundError(f"There is no run {name!r} in {folder}. `mlkit runs list` names those there are.")


def rename_run(path: str | os.PathLike[str], name: str) -> Path:
    """Give a run that has ended another name; its date and number stay.

    Returns:
        Its new path.

    Raises:
        FileNotFoundError: There is no run.
        RuntimeError: It is being written.
        OSError: It cannot be written there.
    """
    old = summary_of(path).path
    _refuse_alive(old, "renamed")
    safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80]
    if not safe:
        raise DataError(f"{name!r} cannot be the name of a run.", hint="Use letters, digits, - and _.")
    stamp = re.search(r"-\d{8}-\d{6}-[0-9a-f]{4}$", old.name)
    new = old.with_name(safe + (stamp[0] if stamp else ""))
    meta = layout.read_json(old / layout.META) or {}
    with atomic_write(old / layout.META, "w") as file:
        file.write(layout.to_json({**meta, "name": name}, indent=1) + "\n")
    if new != old:
        if new.exists():
            raise FileExistsError(f"There is a run {new.name} already.")
        try:
            old.rename(new)
        except OSError as error:
            raise explain_os_error(error, old, "rename the run") from error
    return new


def delete_run(path: str | os.PathLike[str]) -> None:
    """Remove a run and all in it, unless it is being written.

    Raises:
        FileNotFoundError: There is no run.
        RuntimeError: It is being written.
        OSError: It cannot be removed.
    """
    folder = summary_of(path).path
    _refuse_alive(folder, "deleted")
    _remove(folder)


@dataclass(frozen=True)
class TidyReport:
    """What `tidy_runs` removed, or would remove."""

    removed: list[RunSummary]
    kept: list[RunSummary]
    alive: list[RunSummary]
    """Those of the kept that are being written."""
    dry_run: bool = False

    @property
    def freed(self) -> int:
        """Bytes."""
        return sum(run.size for run in self.removed)

    def __repr__(self) -> str:
        did = "would remove" if self.dry_run else "removed"
        left = sum(run.size for run in self.kept)
        removed = f"{did} {layout.so_many_runs(len(self.removed))} ({readable(self.freed)})"
        return f"{removed}; {len(self.kept)} are kept ({readable(left)}), {len(self.alive)} of them being written"


def tidy_runs(
    root: str | os.PathLike[str] | None = None,
    quota: int | str | None = None,
    keep: int | None = None,
    older_than: float | None = None,
    states: Iterable[str] | None = None,
    dry_run: bool = False,
) -> TidyReport:
    """Remove old runs, the oldest first, until what is left fits. A run that is being written is never touched.

    Args:
        root: The folder of the runs; ``$MLKIT_RUNS`` or ``./runs`` by default.
        quota: What all runs together may occupy: bytes, or "500 MB", "2 GB".
        keep: Keep so many of the newest and remove the others.
        older_than: Remove those that ended more than so many days ago.
        states: Only runs in these states: "failed", "stopped", "lost", "finished".
        dry_run: Only tell what would be removed.

    Raises:
        DataError: None of the limits is given, or one that cannot be.
    """
    if quota is None and keep is None and older_than is None and states is None:
        raise DataError("tidy_runs: say what is too much.", hint="Give quota='2 GB', keep=20, older_than=30 or states.")
    limit = None if quota is None else bytes_of(quota)
    if keep is not None and keep < 0 or older_than is not None and older_than < 0:
        raise DataError("tidy_runs: keep and older_than must not be negative.")
    folder = layout.runs_root(root)
    if not dry_run and folder.is_dir():
        for leftover in folder.glob(DOOMED + "*"):  # of a tidying that was interrupted
            shutil.rmtree(leftover, ignore_errors=True)
    runs = list_runs(root)
    chosen = None if states is None else set(states)
    alive = [run for run in runs if run.alive]
    candidates = [run for run in runs if run not in alive and (chosen is None or run.state in chosen)]
    doomed: list[RunSummary] = []
    if limit is None and keep is None and older_than is None:
        doomed = list(candidates)
    for position, run in enumerate(runs):
        if run in candidates:
            too_many = keep is not None and position >= keep
            too_old = older_than is not None and time.time() - _ended(run.path) > older_than * 86400
            if too_many or too_old:
                doomed.append(run)
    if limit is not None:
        total = sum(run.size for run in runs if run not in doomed)
        for run in reversed(candidates):
            if total <= limit:
                break
            if run not in doomed:
                doomed.append(run)
                total -= run.size
    removed = []
    for run in doomed:
        if not dry_run:
            if run.alive:  # it has begun again meanwhile
                continue
            _remove(run.path)
        removed.append(run)
    return TidyReport(removed, [run for run in runs if run not in removed], alive, dry_run)


# -- in words ----------------------------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    """A cell's text."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def aligned(rows: list[list[str]]) -> str:
    """Rows of texts in columns; the first is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(4.21), duration(75), duration(8000)
    ('4.2 s', '1 min 15 s', '2 h 13 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def readable(size: float) -> str:
    """A number of bytes as a person says it.

    >>> readable(512), readable(2_500_000)
    ('512 B', '2.5 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def bytes_of(size: int | str) -> int:
    """A number of bytes from "500 MB", "2GB", "1.5 GiB" or a number.

    >>> bytes_of("2 GB"), bytes_of("1.5KiB"), bytes_of(10)
    (2000000000, 1536, 10)
    """
    if isinstance(size, (int, float)) and not isinstance(size, bool) and size >= 0:
        return int(size)
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)[bB]?\s*", str(size))
    if found is None:
        raise DataError(f"{size!r} is no size.", hint="Write it as 500 MB or 2 GB.")
    power = " KMGT".index(found[2].upper() or " ")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)


def lower_is_better(name: str) -> bool:
    """Whether a curve of this name is better when it is lower."""
    return any(word in name.lower() for word in LOWER_IS_BETTER)


# -- the folders ---------------------------------------------------------------------------------------------------------


def _is_run(path: Path) -> bool:
    return (path / layout.META).is_file() and not path.name.startswith(DOOMED)


def _run_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [child for child in folder.iterdir() if _is_run(child)]


def _summary(path: Path) -> RunSummary:
    source = DirectorySource(path)
    status: dict[str, Any] = source.status()
    last, best = {}, {}
    for name in source.names():
        values = source.read(name)[3]
        if len(values):
            last[name] = float(values[-1])
            finite = values[~(values != values)]
            if len(finite):
                best[name] = float(finite.min() if lower_is_better(name) else finite.max())
    return RunSummary(
        path=path,
        name=str(source.meta.get("name", path.name)),
        created=str(source.meta.get("created", "")),
        state=str(status["state"]),
        step=int(status.get("step") or 0),
        epoch=int(status.get("epoch") or 0),
        last=last,
        best=best,
        meta=source.meta,
        seconds=float(status.get("elapsed") or 0.0),
        size=_size(path),
        error=status.get("error"),
    )


def _size(folder: Path) -> int:
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def _is_alive(path: Path) -> bool:
    """Whether the run may be written by a living process: when in doubt, yes."""
    status = layout.read_json(path / layout.STATUS)
    if status is None:  # just beginning, or never begun
        try:
            return time.time() - path.stat().st_mtime < YOUNG_SECONDS
        except OSError:
            return False
    return DirectorySource(path).status()["state"] in layout.ALIVE


def _ended(path: Path) -> float:
    status = layout.read_json(path / layout.STATUS) or {}
    updated = status.get("updated")
    if isinstance(updated, (int, float)) and math.isfinite(updated):
        return float(updated)
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def _refuse_alive(path: Path, what: str) -> None:
    if _is_alive(path):
        raise RuntimeError(f"The run {path.name} is being written and cannot be {what}. Stop it first.")


def _remove(folder: Path) -> None:
    """Out of sight at once, then removed: nobody reads half a run."""
    aside = folder.with_name(DOOMED + folder.name)
    try:
        folder.rename(aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise explain_os_error(error, folder, "delete the run") from error


def _order(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _sortable(value: Any) -> bool:
    return value is not None and value == value
