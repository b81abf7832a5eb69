"""A second training from a first one: the same model, optimizer and place in the data, with other settings."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlkit.core.errors import CheckpointError, DataError
from mlkit.train.callbacks import ProgressBar

if TYPE_CHECKING:
    from mlkit.train.run import Run
    from mlkit.train.trainer import Trainer

__all__ = ["start_clone"]

OWN = ("control", "recorder", "run", "loaders", "checkpoint_dir", "resumed_from", "clones", "_lineage", "_taken_up",
       "_saved_at", "_turns", "_driving", "_occupied")  # fmt: skip
"""What a trainer does not share with its clone, nor copies."""


def start_clone(
    trainer: Trainer, settings: dict[str, float], checkpoint: Any, name: str | None, epochs: int | None
) -> Run:
    """A copy of the trainer as it is now, or was in a checkpoint, training in the background.

    Raises:
        RuntimeError: The trainer has not been trained yet.
        DataError: A part of it cannot be copied.
        ValueError: There is no such setting.
        CheckpointError: The checkpoint does not fit, or is not there.
    """
    if trainer.loaders[0] is None:
        raise RuntimeError("There is nothing to clone yet: begin the training first, with fit or start.")
    state = path = None
    if checkpoint is not None:
        path = _find(trainer, checkpoint)
        state = trainer._read(path)
    for key, value in settings.items():
        trainer._check_setting(key, value)
    with trainer.between_steps():
        clone = _copied(trainer)
        place, series = dict(trainer.place), _curves(trainer)
        elapsed, epochs_done = trainer.recorder.elapsed, trainer.history.epochs
        at_end = not trainer.training
    clone.name = name or f"{trainer.name}-clone"
    clone.recorder = clone._new_recorder()
    if state is not None:
        clone._put_in_place(state)
        place = dict(clone.place)
        history = state["history"]
        series, elapsed, epochs_done = history["series"], history["elapsed"], history["epochs"]
    clone.epoch_random = None  # the streams of random numbers belong to both now: it draws orders of its own
    clone.random_before_validation = None
    clone.recorder.restore(series, elapsed, epochs_done)
    clone.recorder.update(step=place["step"], epoch=place["epoch"])
    left = _epochs_left(trainer, place, at_end and state is None, epochs)
    for key, value in settings.items():
        clone.set(key, value)
    clone.recorder.meta["cloned_from"] = {
        "run": trainer.recorder.path and trainer.recorder.path.name, "key": trainer.recorder.key,
        "step": place["step"], "checkpoint": path and path.name, "settings": settings,
    }  # fmt: skip
    run = clone._start_here(*trainer.loaders, epochs=left, keeps=trainer.checkpoint_dir is not None)
    trainer.clones.append(run)
    trainer.recorder.event("clone", run=None if run.directory is None else str(run.directory), key=clone.recorder.key,
                           name=clone.name, from_step=place["step"], settings=settings)  # fmt: skip
    if not trainer.training:
        trainer.recorder.flush()
    return run


def _copied(trainer: Trainer) -> Trainer:
    """The trainer with parts of its own. Models, optimizer, schedule... are copied in one go, so that they go on
    belonging together."""
    clone = copy.copy(trainer)
    shared = [
        one for loader in trainer.loaders if loader is not None for one in (loader, getattr(loader, "dataset", None))
    ]
    memo: dict[int, Any] = {id(one): one for one in shared if one is not None}
    memo[id(trainer)] = clone
    parts = {name: part for name, part in vars(trainer).items() if name not in OWN}
    parts["callbacks"] = [one for one in trainer.callbacks if not isinstance(one, ProgressBar)]
    for name, part in parts.items():
        try:
            setattr(clone, name, copy.deepcopy(part, memo))
        except Exception as error:
            raise DataError(
                f"The training cannot be cloned: its {name} cannot be copied ({type(error).__name__}: {error}).",
                hint="Give that object a __deepcopy__ that says what a second training should have of it.",
            ) from error
    if hasattr(trainer.optimizer, "_opt_called"):  # which a copy of an optimizer leaves out, and schedulers read
        clone.optimizer._opt_called = trainer.optimizer._opt_called
    clone._made_from(trainer)
    return clone


def _curves(trainer: Trainer) -> dict[str, Any]:
    return {name: trainer.recorder.read(name)[1:] for name in trainer.recorder.names()}


def _epochs_left(trainer: Trainer, place: dict[str, int], ended: bool, epochs: int | None) -> int:
    """For `_begin`: epochs counted from where the first training began."""
    done = place["epoch"] - place["fit_began_at_epoch"]
    if epochs is not None:
        return done + epochs
    wanted = (trainer.recorder.epochs or place["epoch"] + 1) - place["fit_began_at_epoch"]
    return wanted if wanted > done else done + max(1, wanted)


def _find(trainer: Trainer, checkpoint: Any) -> Path:
    """A checkpoint by its path, or by its file name in the run directory or `checkpoint_dir`."""
    path = Path(checkpoint)
    if path.is_absolute() or path.exists():
        return path
    folders = [trainer.recorder.path and trainer.recorder.path / "checkpoints", trainer.checkpoint_dir]
    for folder in folders:
        if folder is not None and (folder / path).exists():
            return folder / path
    looked = ", ".join(str(folder) for folder in folders if folder is not None) or "no folder: the run has none"
    raise CheckpointError(f"There is no checkpoint {checkpoint}.", details=f"looked in: {looked}")
