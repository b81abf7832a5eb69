"""Everything a training needs to go on exactly where it was, as one nested dictionary, and back."""

from __future__ import annotations

import random
import warnings
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
    """Everything that the steps to come depend on, and the curves."""
    return {
        "kind": "training",
        "mlkit": mlkit.__version__,
        "model": dict(trainer.model.state_dict()),
        "loss": _state_of(trainer.loss),
        "optimizer": trainer.optimizer.state_dict(),
        "scheduler": trainer.scheduler.state_dict() if trainer.scheduler is not None else None,
        "precision": trainer.precision.state_dict(),
        "ema": None if trainer.ema is None else dict(trainer.ema.state_dict()),
        "stateful": {name: one.state_dict() for name, one in trainer.stateful.items()},
        "callbacks": [{"type": type(one).__name__, "state": one.state_dict()} for one in trainer.callbacks],
        "metrics": [metric.state_dict() for metric in trainer.epoch_metrics],
        "place": dict(trainer.place),
        # In the middle of a validation, which is done anew: what it had before.
        "random": trainer.random_before_validation or snapshot_random(*trainer.loaders),
        "epoch_random": trainer.epoch_random,
        "epoch_sums": trainer.epoch_sums.state_dict(),
        "best": trainer.best,
        "hyperparameters": trainer._registered.values(),
        "history": _history_state(trainer.recorder),
    }


def _state_of(loss: Any) -> dict[str, Any]:
    return dict(loss.state_dict()) if hasattr(loss, "state_dict") else {}


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
    if (state["ema"] is None) != (trainer.ema is None):
        has = "no averaged weights" if state["ema"] is None else "averaged weights"
        raise CheckpointError(f"{path} has {has}, and this trainer is the other way round.",
                              hint="Give the trainer the ema it had.")  # fmt: skip
    theirs_precision, ours_precision = state["precision"]["name"], trainer.precision.name
    if theirs_precision != ours_precision:
        warnings.warn(
            f"{path} was trained in {theirs_precision} and goes on in {ours_precision}.", UserWarning, stacklevel=2
        )
    kinds, own = [one["type"] for one in state["callbacks"]], [type(one).__name__ for one in trainer.callbacks]
    if kinds != own and any(one["state"] for one in state["callbacks"]):
        raise CheckpointError(
            f"The callbacks in {path} are not this trainer's, and some of them have a state.",
            details=f"in the checkpoint: {', '.join(kinds) or 'none'}\nhere: {', '.join(own) or 'none'}",
            hint="Give the trainer the callbacks it had, in the same order.",
        )
    if set(state["stateful"]) != set(trainer.stateful):
        raise CheckpointError(
            f"{path} keeps other objects than this trainer's `stateful`.",
            details=f"in the checkpoint: {', '.join(state['stateful']) or 'none'}\n"
            f"here: {', '.join(trainer.stateful) or 'none'}",
        )


def apply_state(trainer: Trainer, state: dict[str, Any]) -> None:
    """Put a checked state into the trainer's parts."""
    trainer.model.load_state_dict({name: _tensor(array) for name, array in state["model"].items()})
    if state["loss"]:
        trainer.loss.load_state_dict({name: _tensor(array) for name, array in state["loss"].items()})
    trainer.optimizer.load_state_dict(_tensors(state["optimizer"]))
    if trainer.scheduler is not None:
        trainer.scheduler.load_state_dict(_tensors(state["scheduler"]))
    trainer.precision.load_state_dict(state["precision"])
    if trainer.ema is not None:
        trainer.ema.load_state_dict({name: _tensor(array) for name, array in state["ema"].items()})
    for name, one in trainer.stateful.items():
        one.load_state_dict(_tensors(state["stateful"][name]))
    for callback, its in zip(trainer.callbacks, state["callbacks"]):
        callback.load_state_dict(its["state"])
    for metric, its in zip(trainer.epoch_metrics, state["metrics"]):
        metric.load_state_dict(its)
    if state["place"]["step"] and hasattr(trainer.optimizer, "_opt_called"):
        trainer.optimizer._opt_called = True  # so that schedulers do not miss the steps made before
    trainer.place.update(state["place"])
    trainer.epoch_random = state["epoch_random"]
    trainer.epoch_sums.load_state_dict(state["epoch_sums"])
    trainer.best = state["best"]
    trainer._registered.load(state.get("hyperparameters") or {}, trainer.model)


def snapshot_random(*loaders: Any) -> dict[str, Any]:
    """Where all that draws an order is: the streams of random numbers of mlkit, NumPy and Python, the loaders' own
    generators, and samplers (or streams) with a state of their own."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    return {
        "mlkit": default_generator.get_pair(),
        "own": [generator.get_pair() for generator in _generators(loaders)],
        "samplers": [one.state_dict() for one in _with_state(loaders)],
        "numpy": (name, np.asarray(keys), position, has_gauss, gauss),
        "python": (version, np.array(internal, np.uint64), gauss_next),
    }


def restore_random(state: dict[str, Any], *loaders: Any, samplers: bool = True) -> None:
    """Put all of that where it was; ``samplers=False`` leaves samplers, in the middle of their order, alone."""
    default_generator.set_pair(*state["mlkit"])
    for generator, pair in zip(_generators(loaders), state["own"]):
        generator.set_pair(*pair)
    if samplers:
        for one, its in zip(_with_state(loaders), state["samplers"]):
            one.load_state_dict(its)
    np.random.set_state(tuple(state["numpy"]))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(int(word) for word in internal), gauss_next))


def _sources(loaders: tuple[Any, ...]) -> list[Any]:
    """The loaders, their samplers and their datasets, each once."""
    found: list[Any] = []
    for loader in loaders:
        batch_sampler = getattr(loader, "batch_sampler", None)
        owners = (loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None),
                  getattr(loader, "dataset", None))  # fmt: skip
        found += [one for one in owners if one is not None and all(one is not other for other in found)]
    return found


def _generators(loaders: tuple[Any, ...]) -> list[Any]:
    found: list[Any] = []
    for owner in _sources(loaders):
        own = getattr(owner, "generator", None)
        if hasattr(own, "get_pair") and own is not default_generator and all(own is not one for one in found):
            found.append(own)
    return found


def _with_state(loaders: tuple[Any, ...]) -> list[Any]:
    """Samplers and datasets that say themselves how far they are; the loaders' own state is their order's beginning
    and a number of batches, which the trainer keeps anyway."""
    return [one for one in _sources(loaders)
            if all(one is not other for other in loaders)
            and hasattr(one, "state_dict") and hasattr(one, "load_state_dict")]  # fmt: skip


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
