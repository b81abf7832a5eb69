"""Everything a training needs to go on exactly where it was, as one nested dictionary, and back."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import mlkit
from mlkit.core.errors import CheckpointError
from mlkit.core.rng import default_generator
from mlkit.observe import Recorder

if TYPE_CHECKING:
    from mlkit.train.trainer import Trainer

__all__ = ["apply_state", "check_state", "gather_state", "restore_random", "snapshot_random"]


def gather_state(trainer: Trainer) -> dict[str, Any]:
    """Model, optimizer, scheduler, random numbers, place in the data, callbacks and curves."""
    return {
        "kind": "training",
        "mlkit": mlkit.__version__,
        "model": dict(trainer.model.state_dict()),
        "optimizer": trainer.optimizer.state_dict(),
        "scheduler": trainer.scheduler.state_dict() if trainer.scheduler is not None else None,
        "callbacks": [callback.state_dict() for callback in trainer.callbacks],
        "place": dict(trainer.place),
        "random": snapshot_random(trainer.train_loader),
        "epoch_random": trainer.epoch_random,
        "epoch_sums": trainer.epoch_sums.state_dict(),
        "best": trainer.best,
        "history": _history_state(trainer.recorder),
    }


def check_state(trainer: Trainer, state: dict[str, Any], path: Any) -> None:
    """Raise a CheckpointError if this state cannot be applied; nothing is changed."""
    if state.get("kind") != "training" or not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path} is not a checkpoint of a training.", details=f"it holds: {', '.join(state)}")
    _check_model(trainer.model, state["model"], path)
    ours = [len(group["params"]) for group in trainer.optimizer.param_groups]
    theirs = [len(group["params"]) for group in state["optimizer"]["param_groups"]]
    if ours != theirs:
        raise CheckpointError(
            f"The optimizer in {path} does not fit this trainer's.",
            details=f"parameters per group in the checkpoint: {theirs}\nparameters per group here: {ours}",
            hint="Make the optimizer as it was made when the checkpoint was saved.",
        )
    if (state["scheduler"] is None) != (trainer.scheduler is None):
        has = "none" if state["scheduler"] is None else "one"
        raise CheckpointError(f"{path} has {has} scheduler state, and this trainer is the other way round.",
                              hint="Give the trainer the scheduler it had.")  # fmt: skip


def apply_state(trainer: Trainer, state: dict[str, Any]) -> None:
    """Put a checked state into the trainer's parts."""
    trainer.model.load_state_dict({name: _tensor(array) for name, array in state["model"].items()})
    trainer.optimizer.load_state_dict(_tensors(state["optimizer"]))
    if trainer.scheduler is not None:
        trainer.scheduler.load_state_dict(_tensors(state["scheduler"]))
    for callback, its in zip(trainer.callbacks, state["callbacks"]):
        callback.load_state_dict(its)
    trainer.place.update(state["place"])
    trainer.epoch_random = state["epoch_random"]
    trainer.epoch_sums.load_state_dict(state["epoch_sums"])
    trainer.best = state["best"]


def snapshot_random(loader: Any = None) -> dict[str, Any]:
    """Where all streams of random numbers are: mlkit's, the loader's own, NumPy's and Python's."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    own = getattr(loader, "generator", None)
    return {
        "mlkit": default_generator.get_pair(),
        "loader": None if own is None else own.get_pair(),
        "numpy": (name, np.asarray(keys), position, has_gauss, gauss),
        "python": (version, np.array(internal, np.uint64), gauss_next),
    }


def restore_random(state: dict[str, Any], loader: Any = None) -> None:
    """Put all streams of random numbers where they were."""
    default_generator.set_pair(*state["mlkit"])
    own = getattr(loader, "generator", None)
    if own is not None and state["loader"] is not None:
        own.set_pair(*state["loader"])
    np.random.set_state(tuple(state["numpy"]))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(int(word) for word in internal), gauss_next))


def _history_state(recorder: Recorder) -> dict[str, Any]:
    series = {name: recorder.read(name)[1:] for name in recorder.names()}
    epochs = sum(event["kind"] == "epoch" for event in recorder.events()) + recorder.restored_epochs
    return {"series": series, "elapsed": recorder.elapsed, "epochs": epochs}


def _check_model(model: Any, arrays: Mapping[str, np.ndarray], path: Any) -> None:
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    lines = [f"missing in the checkpoint: {name}" for name in own if name not in arrays]
    lines += [f"unknown to the model: {name}" for name in arrays if name not in own]
    lines += [
        f"{name}: {list(arrays[name].shape)} in the checkpoint, {list(shape)} in the model"
        for name, shape in own.items()
        if name in arrays and tuple(arrays[name].shape) != shape
    ]
    if lines:
        more = [f"... and {len(lines) - 12} more"] if len(lines) > 12 else []
        raise CheckpointError(
            f"The model in {path} is not this {type(model).__name__}.",
            details="\n".join(lines[:12] + more),
            hint="Build the model as it was when the checkpoint was saved. Nothing was changed.",
        )


def _tensor(array: np.ndarray) -> Any:
    return mlkit.from_numpy(array.copy())


def _tensors(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _tensor(value)
    if isinstance(value, dict):
        return {key: _tensors(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_tensors(item) for item in value)
    return value
