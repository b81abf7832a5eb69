"""The samples of one training: in memory, and in its run directory, where any other process reads them.

::

    <run directory>/gradients/
        <name>.json     the layers in forward order, and what the numbers in the other file are
        <name>.bin      one record after another: a header (step, seconds, learning rate, cost, number of layers), then
                        float32 [layers, numbers], then float32 [layers, spreads, shares]

A record may have more layers than the one before it: layers that are met later are added at the end.
"""

from __future__ import annotations

import os
import re
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.core.files import atomic_write, explain_os_error
from mlkit.observe import format as layout
from mlkit.observe.flow.measure import NUMBERS, SHARES, SPREADS

FORMAT = 1
FOLDER = "gradients"
AWAIT_SECONDS = 0.5
"""How often a recording that has not begun is looked for."""
HEAD = np.dtype([("step", "<i8"), ("time", "<f8"), ("lr", "<f8"), ("cost", "<f8"), ("rows", "<i4"), ("unused", "<i4")])
PER_ROW = len(NUMBERS) + len(SPREADS) * len(SHARES)


@dataclass
class Samples:
    """Samples from index `start` on.

    Attributes:
        start: The index of the first.
        steps: int64 [n].
        times: Seconds since the training began; float64 [n].
        rates: Learning rates; float64 [n], NaN where not known.
        costs: Seconds that taking the sample cost; float64 [n].
        numbers: float32 [n, layers, numbers], see `measure.NUMBERS`; NaN where there is none.
    """

    start: int
    steps: np.ndarray
    times: np.ndarray
    rates: np.ndarray
    costs: np.ndarray
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)


class Recording:
    """What was sampled, kept in memory. Every method may be called from any thread.

    Args:
        name: Of the recording, by default the model's class.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder: Path | None = None
        self.about: dict[str, Any] = {"layers": [], "order": []}
        self.version = 0
        self._lock = threading.RLock()
        self._heads: list[tuple[int, float, float, float]] = []
        self._numbers: list[np.ndarray] = []
        self._spreads: list[np.ndarray] = []
        self._file = ""
        self._written = 0
        self._end = 0
        self._about_written: dict[str, Any] | None = None
        self._complained = False

    # -- writing ------------------------------------------------------------------------------------------------------

    def append(self, step: int, time: float, lr: float, cost: float, numbers: np.ndarray, spreads: np.ndarray) -> None:
        """Add a sample; numbers float32 [layers, numbers], spreads float32 [layers, spreads, shares]."""
        with self._lock:
            self._heads.append((step, time, lr, cost))
            self._numbers.append(numbers)
            self._spreads.append(spreads)
            self.version += 1

    def describe(self, about: dict[str, Any]) -> None:
        """What the layers are, and in which order they compute."""
        with self._lock:
            if about != self.about:
                self.about = about
                self.version += 1

    def keep_in(self, run: Path | None) -> None:
        """Write to this run directory from now on, with all that was sampled so far."""
        with self._lock:
            if run is None or (self.folder is not None and self.folder.parent == run):
                return
            self.folder, self._written, self._end, self._about_written = run / FOLDER, 0, 0, None
            self._file = _free_name(self.folder, self.name)

    def flush(self) -> None:
        """Write what is new. An error (a full disk) is told once and tried again with the next sample."""
        with self._lock:
            if self.folder is None:
                return
            try:
                if self._about_written is not self.about:
                    self.folder.mkdir(exist_ok=True)
                    self._write_about()
                    self._about_written = self.about
                if self._written < len(self._heads):
                    self._write_samples()
            except OSError as error:
                self._complain(explain_os_error(error, self.folder, "write the gradients' samples"))

    def _write_about(self) -> None:
        assert self.folder is not None
        about = {
            "format": FORMAT, "name": self.name, "numbers": NUMBERS, "spreads": SPREADS, "shares": SHARES, **self.about,
        }  # fmt: skip
        with atomic_write(self.folder / f"{self._file}.json", "w", durable=False) as file:
            file.write(layout.to_json(about) + "\n")

    def _write_samples(self) -> None:
        assert self.folder is not None
        parts = []
        for at in range(self._written, len(self._heads)):
            head = np.zeros((), HEAD)
            head["step"], head["time"], head["lr"], head["cost"] = self._heads[at]
            head["rows"] = len(self._numbers[at])
            parts += [head.tobytes(), self._numbers[at].astype("<f4").tobytes()]
            parts.append(self._spreads[at].astype("<f4").tobytes())
        data = b"".join(parts)
        path = self.folder / f"{self._file}.bin"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "wb") as file:
            file.seek(self._end)  # what a full disk cut short is written over
            file.write(data)
        self._end += len(data)
        self._written = len(self._heads)

    def _complain(self, error: OSError) -> None:
        if self._complained:
            return
        self._complained = True
        warnings.warn(
            f"{error.strerror or error} The gradients are recorded in memory; other programs do not see them all.",
            UserWarning,
            stacklevel=4,
        )

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        return len(self._heads)

    def read(self, start: int = 0) -> Samples:
        with self._lock:
            return _samples(start, self._heads[start:], self._numbers[start:])

    def spreads(self, row: int, which: int, start: int = 0) -> np.ndarray:
        """Quantiles over time of one layer; float32 [n, shares]."""
        with self._lock:
            return _spreads(self._spreads[start:], row, which)


class DirectoryRecording:
    """The samples in a run directory, perhaps of another process that goes on writing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._heads: list[tuple[int, float, float, float]] = []
        self._numbers: list[np.ndarray] = []
        self._spreads: list[np.ndarray] = []
        self._end = 0
        self._about: dict[str, Any] = {"layers": [], "order": []}
        self._stamp: tuple[int, int] | None = None
        self._changes = 0

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def about(self) -> dict[str, Any]:
        self._look()
        return self._about

    @property
    def version(self) -> int:
        self._look()
        return len(self._heads) + (self._changes << 32)

    @property
    def count(self) -> int:
        self._look()
        return len(self._heads)

    def read(self, start: int = 0) -> Samples:
        with self._lock:
            self._look()
            return _samples(start, self._heads[start:], self._numbers[start:])

    def spreads(self, row: int, which: int, start: int = 0) -> np.ndarray:
        with self._lock:
            self._look()
            return _spreads(self._spreads[start:], row, which)

    def _look(self) -> None:
        with self._lock:
            about = self.path.with_name(f"{self.path.name}.json")
            try:
                stat = about.stat()
            except OSError:
                return
            if (stat.st_mtime_ns, stat.st_size) != self._stamp:
                found = layout.read_json(about)
                if found is None or found.get("format") != FORMAT:
                    return
                if found.get("numbers") != list(NUMBERS) or len(found.get("shares") or ()) != len(SHARES):
                    return
                self._stamp, self._about, self._changes = (stat.st_mtime_ns, stat.st_size), found, self._changes + 1
            data = self._new_bytes()
            at = 0
            while at + HEAD.itemsize <= len(data):
                head = np.frombuffer(data, HEAD, 1, at)[0]
                rows = int(head["rows"])
                if not 0 <= rows < 1 << 20:
                    break
                size = HEAD.itemsize + rows * PER_ROW * 4
                if at + size > len(data):
                    break  # a record that is not whole yet is left for the next look
                values = np.frombuffer(data, "<f4", rows * PER_ROW, at + HEAD.itemsize)
                cut = rows * len(NUMBERS)
                self._heads.append((int(head["step"]), float(head["time"]), float(head["lr"]), float(head["cost"])))
                self._numbers.append(values[:cut].reshape(rows, len(NUMBERS)))
                self._spreads.append(values[cut:].reshape(rows, len(SPREADS), len(SHARES)))
                at += size
            self._end += at

    def _new_bytes(self) -> bytes:
        try:
            with open(self.path.with_name(f"{self.path.name}.bin"), "rb") as file:
                file.seek(self._end)
                return file.read()
        except OSError:
            return b""


class AwaitedRecording(DirectoryRecording):
    """A recording that a run may yet begin: empty until its files are there.

    Args:
        run: The run directory.
        wanted: The recording's name; the first that comes where it is None.
    """

    def __init__(self, run: Path, wanted: str | None) -> None:
        super().__init__(run / FOLDER / (wanted or "awaited"))
        self._run, self._wanted = run, wanted
        self._look_at = 0.0
        self.found = self.ended = False

    @property
    def version(self) -> int:
        return super().version + (int(self.ended) << 62)

    def _look(self) -> None:
        with self._lock:
            now = time.monotonic()
            if not self.found and now >= self._look_at:
                self._look_at = now + AWAIT_SECONDS
                self.ended = not is_going_on(self._run)  # before looking: the last thing a run writes is that it ended
                come = [one for one in recordings_in(self._run) if self._wanted in (None, one.name)]
                if come:
                    self.path, self.found = come[0], True
            if self.found:
                super()._look()


def is_going_on(run: Path) -> bool:
    """Whether the run of that directory is being trained, by whatever process."""
    from mlkit.observe.source import DirectorySource

    state = DirectorySource(run).status()["state"]
    return state in layout.ALIVE or state == "ready" and (run / layout.META).is_file()  # it is about to begin


def recordings_in(run: Path) -> list[Path]:
    """The recordings of a run directory: paths without their endings, oldest first."""
    found = [path.with_suffix("") for path in (run / FOLDER).glob("*.json") if not path.name.startswith(".")]
    return sorted(found, key=lambda path: (path.with_suffix(".json").stat().st_mtime_ns, path.name))


def _free_name(folder: Path, name: str) -> str:
    safe = re.sub(r"[^\w-]+", "-", name).strip("-")[:80] or "model"
    number, free = 1, safe
    while (folder / f"{free}.json").exists() or (folder / f"{free}.bin").exists():
        number += 1
        free = f"{safe}-{number}"
    return free


def _samples(start: int, heads: list[tuple[int, float, float, float]], numbers: list[np.ndarray]) -> Samples:
    table = np.array(heads, np.float64).reshape(len(heads), 4)
    rows = max((len(one) for one in numbers), default=0)
    filled = np.full((len(numbers), rows, len(NUMBERS)), np.nan, np.float32)
    for at, one in enumerate(numbers):
        filled[at, : len(one)] = one
    steps = np.array([head[0] for head in heads], np.int64)
    return Samples(start, steps, table[:, 1], table[:, 2], table[:, 3], filled)


def _spreads(kept: list[np.ndarray], row: int, which: int) -> np.ndarray:
    empty = np.full(len(SHARES), np.nan, np.float32)
    found = [one[row, which] if row < len(one) else empty for one in kept]
    return np.stack(found) if found else np.empty((0, len(SHARES)), np.float32)
