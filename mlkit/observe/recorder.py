"""Keep what a training run reports: curves, events and where it is now; in memory, and in a run directory.

The training loop only leaves a note of each step. Whoever reads enters the notes into the curves first; a small thread
does so five times a second, writes what is new to the run directory and keeps the heartbeat. So a step never waits for
the disk.
"""

from __future__ import annotations

import datetime
import math
import os
import platform
import secrets
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.observe import format as layout
from mlkit.observe.directory import RunDirectory
from mlkit.observe.machine import memory_bytes
from mlkit.observe.series import Series

__all__ = ["Recorder"]

FLUSH_SECONDS = 0.2
HEARTBEAT_SECONDS = 2.0
RATE_SECONDS = 5.0
"""Over how long the examples per second are averaged."""
MOST_NOTES = 4096
"""Enter them where nobody else has done so until then."""


class Recorder:
    """The memory of one run. All methods may be called from any thread.

    Args:
        name: Of the run; part of its directory's name.
        root: Folder that holds run directories; ``$MLKIT_RUNS`` or ``./runs`` by default. ``False``: memory only.
        meta: More about the run, for ``meta.json``.

    >>> recorder = Recorder("demo", root=False)
    >>> recorder.begin()
    >>> recorder.record(1, {"train/loss": 2.5, "lr": 0.1})
    >>> recorder.end("finished")
    >>> recorder.names(), recorder.status()["state"]
    (['lr', 'train/loss'], 'finished')
    """

    def __init__(
        self, name: str = "run", root: str | os.PathLike[str] | bool | None = None, meta: dict[str, Any] | None = None
    ) -> None:
        self.name = name
        self.key = secrets.token_hex(8)
        """Tells this recording from every other, also from those of other processes."""
        self.created = datetime.datetime.now(datetime.UTC)
        self.meta: dict[str, Any] = dict(meta or {})
        self.directory: RunDirectory | None = None
        self.restored_epochs = 0  # completed before this recording began
        self.details: Callable[[], dict[str, Any]] | None = None
        """Gives entries of the status that any step may change (lr, ...). Asked by readers instead of told at each step,
        in their threads; dropped at the end, when its last answer stays."""
        self._root = root
        self._lock = threading.RLock()
        self._flushing = threading.Lock()
        self._version = 0
        self._notes: deque[tuple[int, float, dict[str, float], int | None]] = deque()
        """Step, time (as by ``time.perf_counter``), values, and the examples of a training step or None."""
        self._series: dict[str, Series] = {}
        self._full: set[str] = set()
        self._events: list[dict[str, Any]] = []
        self._written: dict[str, int] = {}
        self._events_written = 0
        self._flushed_version = -1
        self._flushed_at = -math.inf
        self._complained = False
        self._status: dict[str, Any] = {
            "state": "ready", "step": 0, "steps": None, "epoch": 0, "epochs": None, "lr": None, "hyperparameters": {},
            "registered": {}, "clonable": False, "error": None, "report": None, "mode": None,
        }  # fmt: skip
        self._origin: float | None = None
        self._elapsed = 0.0
        self._rate = _Rate()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    # -- beginning and end ------------------------------------------------------------------------------------------

    def begin(self, mode: str = "background") -> None:
        """Start the clock, the run directory (the first time) and the heartbeat.

        Args:
            mode: ``"background"``, or ``"blocking"`` when the loop holds the thread that would serve buttons.
        """
        with self._lock:
            self._enter_notes()
            self._origin = time.perf_counter() - self._elapsed
            self._rate.restart()
            self._status.update(state="running", error=None, report=None, mode=mode)
            self.event("state", state="running")
        self._open_directory()
        self.flush()
        self._start_heartbeat()

    def end(self, state: str, error: str | None = None, report: dict[str, Any] | None = None) -> None:
        """The run is ``"finished"``, ``"stopped"`` or ``"failed"``: write everything and stop the heartbeat.

        Args:
            state: One of these.
            error: What ended it, in words.
            report: The same in parts, for whoever draws it: type, sentence, details, hint, place, source.
        """
        with self._lock:
            self._enter_notes()
            self._elapsed = self.elapsed
            self._origin = None
            self._ask_for_details()
            self.details = None
            self._status.update(state=state, error=error, report=report)
            if error is not None:
                self.event("error", error=error)
            self.event("state", state=state)
        self._stop_heartbeat()
        self.flush()
        if self.directory is not None:
            self.directory.unlock()

    def set_state(self, state: str) -> None:
        """Note that the run is paused, running again or stopping; everything so far is written at once."""
        with self._lock:
            if self._status["state"] == state:
                return
            self._enter_notes()
            self._status["state"] = state
            self._rate.restart()
            self.event("state", state=state)
        self.flush()

    # -- what the loop reports --------------------------------------------------------------------------------------

    def record(self, step: int, values: dict[str, float], examples: int | None = None) -> None:
        """Add a point to each named series at this step.

        Args:
            step: Which.
            values: Numbers by the names of their series; none is fine.
            examples: A training step on as many is done; the throughput and the time left follow from these calls.
        """
        now = time.perf_counter()
        noted = {}
        for name, value in values.items():
            if name not in self._series:
                layout.file_name(name)  # a name that could not be kept is refused here, where it is given
                with self._lock:
                    self._series.setdefault(name, Series())
            noted[name] = float(value)
        if examples is not None:
            self._status["step"] = step
        self._notes.append((step, now, noted, examples))
        if len(self._notes) > MOST_NOTES:
            self._enter_notes()
        if self._thread is None and self.directory is not None and now - self._flushed_at >= FLUSH_SECONDS:
            self.flush()  # where there can be no thread, as in a browser

    def _enter_notes(self) -> None:
        """What the loop noted becomes points of the curves."""
        if not self._notes:
            return
        with self._lock:
            points: dict[str, list[tuple[int, float, float]]] = {}
            steps_done = examples_seen = 0
            last = 0.0
            while self._notes:  # the loop may go on noting meanwhile
                step, at, values, examples = self._notes.popleft()
                seconds = self._elapsed if self._origin is None else at - self._origin
                for name, value in values.items():
                    points.setdefault(name, []).append((step, seconds, value))
                if examples is not None:
                    steps_done, examples_seen, last = steps_done + 1, examples_seen + examples, at
                self._version += 1
            if steps_done:
                self._rate.add(examples_seen, steps_done, last)
            for name, new in points.items():
                series = self._series[name]
                if series.extend(*zip(*new, strict=True)) < len(new) and name not in self._full:
                    self._full.add(name)
                    self.event("message", level="warning", text=f"{name}: full at {series.capacity:,} points; "
                               "later points of this series are not recorded.")  # fmt: skip

    def event(self, kind: str, **details: Any) -> None:
        """Add a sparse event: "state", "hyper", "epoch", "checkpoint", "error" or "message"."""
        with self._lock:
            entry = {"t": round(self.elapsed, 6), "step": self._status["step"], "kind": kind}
            self._events.append({**entry, **layout.plain(details)})
            self._version += 1

    def update(self, **status: Any) -> None:
        """Change entries of the status (step, epoch, lr, ...)."""
        with self._lock:
            self._status.update(status)
            self._version += 1

    # -- what readers ask -------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Grows with everything that is recorded."""
        self._enter_notes()
        return self._version

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, pauses included."""
        return self._elapsed if self._origin is None else time.perf_counter() - self._origin

    @property
    def state(self) -> str:
        """The state's name; "ready" before the first beginning."""
        return self._status["state"]

    @property
    def step(self) -> int:
        """How many training steps are done."""
        return self._status["step"]

    @property
    def epochs(self) -> int | None:
        """How many epochs the training has, where that is known."""
        return self._status["epochs"]

    def names(self) -> list[str]:
        """Names of all series, sorted."""
        with self._lock:
            return sorted(self._series)

    def count(self, name: str) -> int:
        """Number of points of a series; 0 for an unknown one."""
        with self._lock:
            self._enter_notes()
            series = self._series.get(name)
            return 0 if series is None else series.count

    def read(
        self, name: str, start: int = 0, stop: int | None = None
    ) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """Points from absolute index `start` up to `stop`: (start, steps int64 [n], times float64 [n], values
        float64 [n])."""
        start = max(0, start)
        with self._lock:
            self._enter_notes()
            series = self._series.get(name) or Series(0)
            return start, series.steps(start, stop), series.times(start, stop), series.values(start, stop)

    def events(self, start: int = 0) -> list[dict[str, Any]]:
        """Events from index `start` on."""
        with self._lock:
            self._enter_notes()
            return [dict(event) for event in self._events[max(0, start) :]]

    def status(self) -> dict[str, Any]:
        """Where the run is now, as in ``status.json``."""
        with self._lock:
            self._enter_notes()
            self._ask_for_details()
            status = dict(self._status)
            step, steps = status["step"], status["steps"]
            per_step = self._rate.seconds_per_step()
            alive = status["state"] in layout.ALIVE
            status.update(
                hyperparameters=dict(status["hyperparameters"]),
                registered=dict(status["registered"]),
                examples_per_second=self._rate.examples_per_second(),
                elapsed=self.elapsed,
                eta=max(0, steps - step) * per_step if alive and steps is not None and per_step is not None else None,
                memory_bytes=memory_bytes(),
                updated=time.time(),
                pid=os.getpid(),
                host=platform.node(),
            )
            return status

    def _ask_for_details(self) -> None:
        if self.details is not None:
            self._status.update(self.details())

    def restore(self, series: dict[str, tuple[Any, Any, Any]], elapsed: float, epochs: int = 0) -> None:
        """Take over the curves of an earlier run (from its checkpoint), so that they go on."""
        with self._lock:
            self._enter_notes()
            for name, (steps, times, values) in series.items():
                layout.file_name(name)
                self._series[name] = one = Series()
                one.extend(steps, times, values)
            self._elapsed = float(elapsed)
            self.restored_epochs = epochs
            self._version += 1

    # -- the run directory ------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path | None:
        """The run directory, or None while there is none."""
        return None if self.directory is None else self.directory.path

    def _open_directory(self) -> None:
        if self._root is False:
            return
        try:
            if self.directory is not None and not self.directory.path.is_dir():
                self.directory = None  # deleted since the run before: everything goes into a new one
                self._written, self._events_written = {}, 0
            if self.directory is None:
                directory = RunDirectory.create(self.name, None if self._root is True else self._root)
                self.directory = directory
            self._write_meta(self.directory)
            self.directory.lock()
        except OSError as error:
            self._complain(error)
            if self.directory is None:
                self._root = False  # memory only from here on, told once

    def _write_meta(self, directory: RunDirectory) -> None:
        directory.write_meta({
            "name": self.name, "created": self.created.isoformat(timespec="seconds"), "pid": os.getpid(),
            "host": platform.node(), **self.meta,
        })  # fmt: skip

    def rewrite_meta(self) -> None:
        """Write ``meta.json`` again, after something was added to `meta` while the run goes on."""
        if self.directory is not None:
            try:
                self._write_meta(self.directory)
            except OSError as error:
                self._complain(error)

    def flush(self) -> None:
        """Write what is new to the run directory. An error (full disk) is told once and tried again later."""
        directory = self.directory
        if directory is None:
            return
        with self._flushing:
            with self._lock:
                version = self.version
                status = self.status()
                points = {name: self._new_points(name) for name, one in self._series.items()
                          if one.count > self._written.get(name, 0)}  # fmt: skip
                events = self._events[self._events_written :]
            self._flushed_at = time.perf_counter()
            try:
                for name, new in points.items():
                    directory.append_points(name, new)
                    self._written[name] = self._written.get(name, 0) + len(new)
                if events:
                    directory.append_events(events)
                    self._events_written += len(events)
                directory.write_status(status)
                self._flushed_version = version
            except OSError as error:
                self._complain(error)

    def _new_points(self, name: str) -> np.ndarray:
        _, steps, times, values = self.read(name, self._written.get(name, 0))
        points = np.empty(len(steps), layout.RECORD)
        points["step"], points["time"], points["value"] = steps, times, values
        return points

    def _complain(self, error: OSError) -> None:
        if self._complained:
            return
        self._complained = True
        text = (
            f"{error.strerror or error} The run goes on and is recorded in memory; "
            "other programs and a restarted kernel cannot see all of it."
        )
        self.event("message", level="warning", text=text)
        warnings.warn(text, UserWarning, stacklevel=4)

    # -- the heartbeat ----------------------------------------------------------------------------------------------

    def _start_heartbeat(self) -> None:
        if self.directory is None or self._thread is not None:
            return
        self._wake.clear()
        thread = threading.Thread(target=self._beat, name="mlkit-recorder", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no threads here (a browser): `advance` flushes instead
            return
        self._thread = thread

    def _stop_heartbeat(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            self._wake.set()
            thread.join()

    def _beat(self) -> None:
        while not self._wake.wait(FLUSH_SECONDS):
            due = time.perf_counter() - self._flushed_at >= HEARTBEAT_SECONDS
            if due or self.version != self._flushed_version:
                self.flush()


class _Rate:
    """Examples and steps per second, averaged over the last seconds of actual work."""

    def __init__(self) -> None:
        self.seconds = self.examples = self.steps = 0.0
        self.last: float | None = None

    def restart(self) -> None:
        """The time until the next step counts from now (after a pause)."""
        self.last = time.perf_counter()

    def add(self, examples: int, steps: int, now: float) -> None:
        """So many more since the last time; `now` as by ``time.perf_counter``."""
        passed = max(0.0, now - (self.last if self.last is not None else now))
        self.last = now
        keep = math.exp(-passed / RATE_SECONDS)
        self.seconds = keep * self.seconds + passed
        self.examples = keep * self.examples + examples
        self.steps = keep * self.steps + steps

    def examples_per_second(self) -> float | None:
        return self.examples / self.seconds if self.seconds > 0 else None

    def seconds_per_step(self) -> float | None:
        return self.seconds / self.steps if self.steps > 0 else None
