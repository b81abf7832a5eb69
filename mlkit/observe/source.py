"""Reading a run, wherever it is: in this process, or in a directory that another process writes."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.observe import format as layout
from mlkit.observe.mailbox import Mailbox, check_message
from mlkit.observe.recorder import Recorder

__all__ = ["DirectorySource", "RecorderSource", "Source", "open_source"]

LOST_SECONDS = 10.0
LOST_ELSEWHERE_SECONDS = 60.0
BLOCKING = (
    "This training holds the cell itself (trainer.fit), so buttons cannot reach it: stop it with the notebook's "
    "interrupt. Start it with trainer.start(...) to steer it from here."
)
NO_CLONE = (
    "This run cannot be cloned: only a Trainer knows how to start a second one. A loop of your own is cloned by running "
    "it again from a checkpoint."
)
GONE = (
    "The run has ended, and another process cannot start a second one for it. In the notebook that trained it "
    "run.clone(lr=...) does, as long as that kernel lives. "
)
GONE_WITH = (
    "Anywhere else: make its model, optimizer and Trainer as before, take up its checkpoint, and change what should differ:"
    "\n\nrun = trainer.start(train_loader, epochs=..., resume={path!r})\nrun.lr = ..."
)
GONE_WITHOUT = (
    "Anywhere else it cannot be: it left no checkpoint in its directory (Save checkpoint leaves one). If its Trainer had a "
    "checkpoint_dir, make the Trainer again and take up one of those: trainer.start(..., resume=checkpoint_dir)."
)
WATCHED = "This loop is only watched; it takes no commands. One around mlkit.live(loader) does."


class Source(ABC):
    """One view of a run for whoever draws or steers it. Every method may be called from any thread.

    Points have absolute indices that only grow, so a reader keeps one number per series and asks for the rest. Only
    when `identity` changes (a trainer took up another run) it begins again at 0.
    """

    @property
    @abstractmethod
    def title(self) -> str:
        """What to call the run."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Stays the same as long as indices go on counting."""

    @property
    @abstractmethod
    def version(self) -> int:
        """Changes whenever anything changed; cheap to ask."""

    @property
    @abstractmethod
    def reachable(self) -> tuple[bool, str]:
        """Whether commands reach the run, and if not, why."""

    @abstractmethod
    def names(self) -> list[str]:
        """Names of the series, sorted: "lr", "train/loss", "valid/accuracy", ..."""

    @abstractmethod
    def count(self, name: str) -> int:
        """Number of points in a series; 0 for an unknown one."""

    @abstractmethod
    def read(
        self, name: str, start: int = 0, stop: int | None = None
    ) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """Points from index `start` up to `stop`: (start, steps int64 [n], seconds float64 [n], values float64 [n])."""

    @abstractmethod
    def status(self) -> dict[str, Any]:
        """State, step, epoch, speed, learning rate, error... as in ``status.json``. A state may also be "ready"
        (nothing has run yet) and "lost" (the process ended without saying so)."""

    @abstractmethod
    def events(self, start: int = 0) -> list[dict[str, Any]]:
        """Sparse events from index `start` on."""

    @property
    @abstractmethod
    def meta(self) -> dict[str, Any]:
        """What the run said about itself when it began, as in ``meta.json``: name, model, hyperparameters, ..."""

    @property
    @abstractmethod
    def path(self) -> Path | None:
        """The run directory; None where there is none."""

    @property
    @abstractmethod
    def clonable(self) -> tuple[bool, str]:
        """Whether a second run can be started from this one, and if not, why."""

    @abstractmethod
    def send(self, command: str, name: str | None = None, value: Any = None) -> None:
        """Send "pause", "resume", "step", "stop", "checkpoint", "set" (with name and value) or "clone" (with a
        dictionary as value, see `clone`). The methods of these names are shorter to write.

        Raises:
            ValueError: The run could not understand this command.
            RuntimeError: The run cannot be reached; the message says why.
        """

    # -- steering in words; each raises what `send` raises --------------------------------------------------------------

    def pause(self) -> None:
        """Stand still before the next step."""
        self.send("pause")

    def resume(self) -> None:
        """Go on."""
        self.send("resume")

    def step(self) -> None:
        """Do one training step, then pause."""
        self.send("step")

    def stop(self) -> None:
        """End the training after the step it is in."""
        self.send("stop")

    def save_checkpoint(self) -> None:
        """Save a checkpoint between two steps; an event tells where."""
        self.send("checkpoint")

    def set(self, name: str, value: float) -> None:
        """Change a hyperparameter from the next step on."""
        self.send("set", name, value)

    def clone(
        self, settings: dict[str, float] | None = None, *, checkpoint: str | None = None, name: str | None = None
    ) -> None:
        """Start a second run from this one, with other settings; it goes on in the process that holds the first.

        Args:
            settings: New values of hyperparameters, by name.
            checkpoint: File name of one of the run's checkpoints; by default it goes on from where the run is now.
            name: Of the new run.
        """
        self.send("clone", None, {"settings": settings or {}, "checkpoint": checkpoint, "name": name})

    def clones(self) -> list[Source]:
        """The runs that were started from this one, as far as they are still there."""
        return []

    def checkpoints(self) -> list[str]:
        """File names of the checkpoints in the run directory, oldest first."""
        if self.path is None:
            return []
        try:
            with os.scandir(self.path / layout.CHECKPOINTS) as entries:
                found = [(entry.stat().st_mtime_ns, entry.name) for entry in entries
                         if entry.name.endswith(".safetensors") and not entry.name.startswith(".")]  # fmt: skip
        except OSError:
            return []
        return [name for _, name in sorted(found)]

    def _refuse_if_unreachable(self) -> None:
        possible, reason = self.reachable
        if not possible:
            raise RuntimeError(reason)

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich  # drawn only where something displays it

        return rich.repr_html(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
        from mlkit.core import rich

        return rich.repr_mimebundle(self, include, exclude)

    def __repr__(self) -> str:
        status = self.status()
        return f"<{type(self).__name__} {self.title!r}: {status.get('state')}, step {status.get('step')}>"


class RecorderSource(Source):
    """A run of this process.

    Args:
        recorder: A function that gives the recorder, for a trainer may take up a new one.
        send: Where commands go; None for a run that has nothing to steer.
        clone: Starts a second run from this one after it has ended; None where that cannot be.
        cannot_clone: Why there can be no second run, in words.
        clones: Gives the sources of the runs that were started from this one.
    """

    def __init__(
        self,
        recorder: Callable[[], Recorder] | Recorder,
        send: Callable[[str, str | None, Any], None] | None = None,
        clone: Callable[[Any], Any] | None = None,
        cannot_clone: str = "",
        clones: Callable[[], list[Source]] | None = None,
    ) -> None:
        self._recorder = (lambda: recorder) if isinstance(recorder, Recorder) else recorder
        self._send = send
        self._clone = clone
        self._cannot_clone = cannot_clone
        self._clones = clones

    @property
    def title(self) -> str:
        recorder = self._recorder()
        return recorder.name if recorder.path is None else recorder.path.name

    @property
    def identity(self) -> str:
        return self._recorder().key

    @property
    def version(self) -> int:
        return self._recorder().version

    @property
    def meta(self) -> dict[str, Any]:
        recorder = self._recorder()
        return {"name": recorder.name, "created": recorder.created.isoformat(timespec="seconds"), **recorder.meta}

    @property
    def path(self) -> Path | None:
        return self._recorder().path

    @property
    def clonable(self) -> tuple[bool, str]:
        status = self._recorder().status()
        if self._clone is None:
            return False, self._cannot_clone or NO_CLONE
        if status["state"] == "ready":
            return False, _not_running("ready")
        return self.reachable if status["state"] in layout.ALIVE else (True, "")

    @property
    def reachable(self) -> tuple[bool, str]:
        status = self._recorder().status()
        if status["state"] in layout.ALIVE and self._send is not None:
            return (False, BLOCKING) if status["mode"] == "blocking" else (True, "")
        return False, _not_running(status["state"])

    def clones(self) -> list[Source]:
        return [] if self._clones is None else self._clones()

    def names(self) -> list[str]:
        return self._recorder().names()

    def count(self, name: str) -> int:
        return self._recorder().count(name)

    def read(
        self, name: str, start: int = 0, stop: int | None = None
    ) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        return self._recorder().read(name, start, stop)

    def status(self) -> dict[str, Any]:
        return self._recorder().status()

    def events(self, start: int = 0) -> list[dict[str, Any]]:
        return self._recorder().events(start)

    def send(self, command: str, name: str | None = None, value: Any = None) -> None:
        message = check_message(command, name, value)
        if command == "clone":
            possible, reason = self.clonable
            if not possible:
                raise RuntimeError(reason)
            if self._recorder().state not in layout.ALIVE:
                assert self._clone is not None
                self._clone(message.value)
                return
        self._refuse_if_unreachable()
        assert self._send is not None
        self._send(*message)


class DirectorySource(Source):
    """A run directory, perhaps of another process that is writing it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._signature: tuple[Any, ...] = ()
        self._version = 0
        self._status: dict[str, Any] = {}
        self._events: list[dict[str, Any]] = []
        self._events_end = 0
        self._mailbox = Mailbox(self._path / layout.MAILBOX)
        self._meta: dict[str, Any] = {}
        self._meta_stamp = -1

    @property
    def path(self) -> Path:
        return self._path

    @property
    def meta(self) -> dict[str, Any]:
        try:
            stamp = os.stat(self.path / layout.META).st_mtime_ns
        except OSError:
            return self._meta
        if stamp != self._meta_stamp:
            self._meta = layout.read_json(self.path / layout.META) or self._meta
            self._meta_stamp = stamp
        return self._meta

    @property
    def title(self) -> str:
        return self.path.name

    @property
    def identity(self) -> str:
        return str(self.path)

    @property
    def version(self) -> int:
        signature = (*self._stamps(), self.status().get("state"))
        with self._lock:
            if signature != self._signature:
                self._signature = signature
                self._version += 1
            return self._version

    def _stamps(self) -> list[tuple[str, int, int]]:
        stamps = []
        for name in (layout.STATUS, layout.EVENTS):
            try:
                stat = os.stat(self.path / name)
            except OSError:
                continue
            stamps.append((name, stat.st_mtime_ns, stat.st_size))
        for entry in self._scalar_files():
            try:
                stamps.append((entry.name, 0, entry.stat().st_size))
            except OSError:
                continue
        return sorted(stamps)

    def _scalar_files(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.path / layout.SCALARS) as entries:
                return [entry for entry in entries if entry.name.endswith(".bin") and not entry.name.startswith(".")]
        except OSError:
            return []

    @property
    def reachable(self) -> tuple[bool, str]:
        status = self.status()
        if status["state"] not in layout.ALIVE:
            return False, _not_running(status["state"])
        if status.get("mode") == "watched":
            return False, WATCHED
        if status.get("mode") == "blocking" and status.get("pid") == os.getpid():
            return False, BLOCKING
        return self._mailbox_is_open()

    @property
    def clonable(self) -> tuple[bool, str]:
        status = self.status()
        if not status.get("clonable"):
            return False, NO_CLONE
        if status["state"] in layout.ALIVE:
            return self.reachable
        files = self.checkpoints()
        path = str((self.path / layout.CHECKPOINTS / files[-1]).absolute()) if files else ""
        return False, GONE + (GONE_WITH.format(path=path) if files else GONE_WITHOUT)

    def clones(self) -> list[Source]:
        named = (event.get("run") for event in self.events() if event.get("kind") == "clone")
        paths = [
            self.path.parent / Path(name).name for name in named if isinstance(name, str)
        ]  # beside it, not anywhere
        return [DirectorySource(path) for path in paths if (path / layout.META).is_file()]

    def _mailbox_is_open(self) -> tuple[bool, str]:
        if not os.access(self.path / layout.MAILBOX, os.W_OK):
            return False, f"You may not write to {self.path / layout.MAILBOX}, where the run takes its commands."
        return True, ""

    def names(self) -> list[str]:
        return sorted(layout.series_name(entry.name) for entry in self._scalar_files())

    def count(self, name: str) -> int:
        try:
            return os.stat(self.path / layout.SCALARS / layout.file_name(name)).st_size // layout.RECORD.itemsize
        except (OSError, ValueError):
            return 0

    def read(
        self, name: str, start: int = 0, stop: int | None = None
    ) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        start = max(0, start)
        size = layout.RECORD.itemsize
        try:
            with open(self.path / layout.SCALARS / layout.file_name(name), "rb") as file:
                file.seek(start * size)
                data = file.read() if stop is None else file.read(max(0, stop - start) * size)
        except (OSError, ValueError):
            data = b""
        # A last record that is not whole yet is left for the next reading.
        points = np.frombuffer(data, layout.RECORD, count=len(data) // layout.RECORD.itemsize)
        return (
            start,
            points["step"].astype(np.int64),
            points["time"].astype(np.float64),
            points["value"].astype(np.float64),
        )

    def status(self) -> dict[str, Any]:
        status = layout.read_json(self.path / layout.STATUS)
        with self._lock:
            if status is not None:
                self._status = status
            status = dict(self._status)
        status.setdefault("state", "ready")
        if status["state"] in layout.ALIVE and _is_lost(status):
            status["state"] = "lost"
        return status

    def events(self, start: int = 0) -> list[dict[str, Any]]:
        with self._lock:
            try:
                with open(self.path / layout.EVENTS, "rb") as file:
                    file.seek(self._events_end)
                    data = file.read()
            except OSError:
                data = b""
            whole = data[: data.rfind(b"\n") + 1]
            for line in whole.splitlines():
                try:
                    event = json.loads(line)
                except ValueError:
                    event = {"kind": "message", "level": "warning", "text": "An event in this file cannot be read."}
                self._events.append(event if isinstance(event, dict) else {"kind": "message", "text": str(event)})
            self._events_end += len(whole)
            return [dict(event) for event in self._events[max(0, start) :]]

    def send(self, command: str, name: str | None = None, value: Any = None) -> None:
        check_message(command, name, value)
        if command == "clone":
            possible, reason = self.clonable
            if not possible:
                raise RuntimeError(reason)
        self._refuse_if_unreachable()
        self._mailbox.send(command, name, value)


def open_source(obj: Any) -> Source:
    """The `Source` of a trainer, a run, a history, or a run directory's path.

    Raises:
        TypeError: `obj` is none of these.
        FileNotFoundError: No run is kept in that folder.

    >>> recorder = Recorder("demo", root=False)
    >>> open_source(recorder).status()["state"]
    'ready'
    """
    if isinstance(obj, Source):
        return obj
    if isinstance(obj, Recorder):
        return RecorderSource(obj)
    if isinstance(obj, (str, os.PathLike)):
        return _open_directory(Path(obj))
    if hasattr(obj, "__mlkit_source__"):
        return obj.__mlkit_source__()
    raise TypeError(
        f"Expected a Trainer, a Run, a History or the path of a run directory, got {type(obj).__module__}."
        f"{type(obj).__qualname__}."
    )


def _open_directory(path: Path) -> DirectorySource:
    if (path / layout.META).is_file() or (path / layout.STATUS).is_file():
        return DirectorySource(path)
    if not path.is_dir():
        raise FileNotFoundError(f"There is no run directory {path}. mlkit.observe.list_runs() names those there are.")
    inside = sorted(child.parent.name for child in path.glob(f"*/{layout.META}"))
    hint = f" It holds {layout.so_many_runs(len(inside))}: open {path / inside[-1]}, say." if inside else ""
    raise FileNotFoundError(f"{path} is not a run directory: it has no {layout.META}.{hint}")


def _is_lost(status: dict[str, Any]) -> bool:
    age = time.time() - float(status.get("updated") or 0)
    if status.get("host") not in (None, platform.node()):
        return age > LOST_ELSEWHERE_SECONDS  # another machine's processes cannot be asked
    return age > LOST_SECONDS and _process_is_dead(int(status.get("pid") or 0))


def _process_is_dead(pid: int) -> bool:
    """True unless the process is known to live."""
    return layout.process_is_alive(pid) is not True


def _not_running(state: str) -> str:
    return {
        "ready": "The training has not started yet.",
        "finished": "The training has finished.",
        "stopped": "The training was stopped.",
        "failed": "The training ended with an error.",
        "lost": "The training's process has ended without saying so.",
    }.get(state, f"The training is {state}.")
