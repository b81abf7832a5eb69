"""Checkpoints of a training: when they are written, which are kept, and how one is taken up."""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlkit.core.errors import CheckpointError, DataError
from mlkit.core.files import explain_os_error
from mlkit.io import load_checkpoint, save_checkpoint
from mlkit.observe import Recorder
from mlkit.observe.directory import RunDirectory
from mlkit.train.history import lower_is_better
from mlkit.train.measuring import Measuring
from mlkit.train.state import apply_state, check_state, gather_state, restore_random
from mlkit.train.steering import Steering

if TYPE_CHECKING:
    from mlkit.train.trainer import Trainer

__all__ = ["Keeping"]

LAST, BEST, RECENT = "last.safetensors", "best.safetensors", "recent-{:08d}.safetensors"
STALE_SECONDS = 60.0
"""A file aside that is older than this was left by a process that was killed while it wrote."""


class Keeping(Measuring, Steering):
    """The part of `Trainer` that saves and loads."""

    checkpoint_dir: Path | None
    checkpoint_every: int | None
    keep: int
    monitor: str | None
    mode: str | None
    best: float | None
    name: str
    place: dict[str, int]
    resumed_from: Path | None
    _run_dir: Any
    _saved_at: tuple[int, ...] | None
    _taken_up: dict[str, Any] | None
    _tell: Callable[..., None]
    _claim: Callable[[], None]
    _release: Callable[[], None]
    _new_recorder: Callable[[], Recorder]
    loaders: tuple[Any, Any]

    # -- saving -----------------------------------------------------------------------------------------------------

    def save_checkpoint(self, path: Any = None) -> Path:
        """Save everything needed to go on exactly from here: model, optimizer, scheduler, averaged weights, gradient
        scale, random numbers, the place in the data, metrics, callbacks, curves.

        While a training runs, this happens between two steps.

        Args:
            path: The file; by default ``step-<number>.safetensors`` in `checkpoint_dir`, or in the run directory.

        Returns:
            The path.

        Raises:
            CheckpointError: There is no place to save to by default.
            OSError: The disk is full or the folder read-only; an older file is as it was.
        """
        with self.between_steps():
            target = self._default_checkpoint() if path is None else Path(path)
            save_checkpoint(gather_state(cast("Trainer", self)), target)
            self.recorder.event("checkpoint", path=str(target))
            self._tell("on_checkpoint", target)
            return target

    def _default_checkpoint(self) -> Path:
        folder = self.checkpoint_dir
        if folder is None and self.recorder.path is None and not self.training and self._run_dir is not False:
            self.recorder.directory = RunDirectory.create(self.name, self._run_dir)
        if folder is None and self.recorder.path is not None:
            folder = self.recorder.path / "checkpoints"
        if folder is None:
            raise CheckpointError("There is no folder to save a checkpoint to.",
                                  hint="Give a path, or give the Trainer a checkpoint_dir.")  # fmt: skip
        return folder / f"step-{self.place['step']:08d}.safetensors"

    def _save_from_control(self, path: str | None) -> None:
        self._save_or_warn(path)

    def _save_or_warn(self, path: Any) -> bool:
        """A checkpoint that cannot be saved must not cost the training: it is told, and the training goes on."""
        try:
            self.save_checkpoint(path)
            return True
        except (OSError, CheckpointError) as error:
            if isinstance(error, OSError):
                error = explain_os_error(error, path, "save the checkpoint") if not error.strerror else error
            text = f"{getattr(error, 'strerror', None) or error} The training goes on."
            self.recorder.event("checkpoint", path=None if path is None else str(path), error=text)
            warnings.warn(text, UserWarning, stacklevel=2)
            return False

    def _save_last(self) -> None:
        """Bring ``last.safetensors`` up to date, if it is not."""
        place = tuple(self.place.values())
        if self.checkpoint_dir is None or place == self._saved_at:
            return
        self._saved_at = place
        last = self.checkpoint_dir / LAST
        if self.keep == 1:
            saved = self._save_or_warn(last)
        else:
            recent = self.checkpoint_dir / RECENT.format(self.place["step"])
            saved = self._save_or_warn(recent) and (_link(recent, last) or self._save_or_warn(last))
        if saved:
            self._tidy()

    def _tidy(self) -> None:
        """Remove recent checkpoints beyond `keep`, and what a killed process left half written."""
        assert self.checkpoint_dir is not None
        with contextlib.suppress(OSError):
            recent = sorted(self.checkpoint_dir.glob(RECENT.replace("{:08d}", "*")))
            for path in recent[: -self.keep] if self.keep > 1 else ():
                path.unlink()
            for path in self.checkpoint_dir.glob(".*.safetensors.*.partial"):
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()

    def _save_best(self, measured: dict[str, float]) -> None:
        if self._is_best(measured) and self.checkpoint_dir is not None:
            self._save_or_warn(self.checkpoint_dir / BEST)

    def _is_best(self, measured: dict[str, float]) -> bool:
        name = self.monitor
        if name is None:
            name = "valid/accuracy" if "valid/accuracy" in measured else "valid/loss"
        elif name not in measured:
            raise DataError(
                f"Trainer: monitor={name!r} is not measured.",
                details=f"measured: {', '.join(measured)}",
                hint="Monitor one of these; those of the validation need a valid_loader.",
            )
        value = measured.get(name, math.nan)
        if math.isnan(value):
            return False
        lower = self.mode == "min" if self.mode else lower_is_better(name)
        better = self.best is None or (value < self.best if lower else value > self.best)
        if better:
            self.best = value
        return better

    # -- loading ----------------------------------------------------------------------------------------------------

    def load_checkpoint(self, path: Any) -> None:
        """Take up a checkpoint: everything that `save_checkpoint` kept. Its curves begin a new recording.

        Raises:
            CheckpointError: It is damaged or of another model; nothing was changed.
            RuntimeError: A training is running.
        """
        self._claim()
        try:
            self._take_up(self._read(path), path)
        finally:
            self._release()

    def _read(self, path: Any) -> dict[str, Any]:
        """A checkpoint's state, checked against this trainer; nothing is changed."""
        state = load_checkpoint(path)
        try:
            check_state(cast("Trainer", self), state, path)
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path} lacks a part of a training: {error!r}.") from error
        return state

    def _take_up(self, state: dict[str, Any], path: Any) -> None:
        if self.recorder.names():
            self.recorder = self._new_recorder()
        self._apply(state)
        history = state["history"]
        self.recorder.restore(history["series"], history["elapsed"], history["epochs"])
        self.recorder.meta["resumed_from"] = str(path)
        self.recorder.update(step=self.place["step"], epoch=self.place["epoch"])
        self.recorder.event("message", text=f"Taken up from {path} at step {self.place['step']}.")
        self._saved_at = tuple(self.place.values())

    def _apply(self, state: dict[str, Any]) -> None:
        apply_state(cast("Trainer", self), state)
        restore_random(state["random"], *self.loaders)

    def _put_in_place(self, state: dict[str, Any]) -> None:
        """The parts of a checkpoint, without its random numbers: another training goes on drawing from them."""
        apply_state(cast("Trainer", self), state)

    def _resume(self, resume: Any) -> bool:
        """Take up the checkpoint that `fit` was asked for; whether there was one."""
        self.resumed_from = self._taken_up = None
        if resume is None or resume is False:
            return False
        if resume == "auto":
            if self.checkpoint_dir is None:
                raise CheckpointError("resume='auto' looks into checkpoint_dir, and this trainer has none.",
                                      hint="Give the Trainer a checkpoint_dir.")  # fmt: skip
            found = self._find_last(self.checkpoint_dir)
        elif Path(resume).is_dir():
            found = self._find_last(Path(resume))
            if found is None:
                raise CheckpointError(f"There is no checkpoint in {resume}.", hint="Check the path for a typing error.")
        else:
            found = Path(resume), self._read(resume)
        if found is None:
            self.recorder.event("message", text=f"No checkpoint in {self.checkpoint_dir} yet: from the beginning.")
            return False
        path, state = found
        self._take_up(state, path)
        self.resumed_from, self._taken_up = path, state
        return True

    def _find_last(self, folder: Path) -> tuple[Path, dict[str, Any]] | None:
        """The newest whole checkpoint of a folder; damaged ones are passed over, and that is said."""
        recent = sorted(folder.glob(RECENT.replace("{:08d}", "*")), reverse=True)
        candidates = [folder / LAST, *recent, folder / BEST]
        problem: CheckpointError | None = None
        for path in (path for path in candidates if path.exists()):
            try:
                load_checkpoint(path)
            except CheckpointError as error:
                problem = problem or error
                continue
            state = self._read(path)
            if problem is not None:
                text = f"{problem.sentence} Taken up from {path} instead."
                self.recorder.event("message", level="warning", text=text)
                warnings.warn(text, UserWarning, stacklevel=4)
            return path, state
        if problem is not None:
            raise problem
        return None


def _link(source: Path, target: Path) -> bool:
    """Make `target` another name of `source`, at once; False where the file system has no such names."""
    aside = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
        os.link(source, aside)
        os.replace(aside, target)
        return True
    except OSError:
        return False
