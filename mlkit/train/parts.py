"""What a batch is made of: inputs by position or by name, and the target."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import mlkit
from mlkit.core.errors import DataError
from mlkit.core.value import is_tensor
from mlkit.train.checks import describe_batch

__all__ = ["TARGET_KEYS", "inputs_only", "labels_of", "size_of", "split_batch"]

TARGET_KEYS = ("target", "targets", "label", "labels", "y")
"""A dictionary's entry of one of these names is the target; without any of them its last entry is."""


def split_batch(batch: Any, model: Any) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """(positional inputs, named inputs, target) of a batch.

    Args:
        batch: ``(inputs..., target)``, ``((inputs...), target)``, ``({name: input}, target)``, or a dictionary.
        model: Whose ``forward`` takes the inputs; a dictionary's entries go to its parameters of those names where it
            has all that it needs (others are left out), else by position.

    Raises:
        DataError: It is none of these.
    """
    if isinstance(batch, Mapping) and len(batch) >= 2:
        key = next((key for key in TARGET_KEYS if key in batch), list(batch)[-1])
        rest = {name: value for name, value in batch.items() if name != key}
        return (*_named(rest, model), batch[key])
    if isinstance(batch, (list, tuple)) and len(batch) >= 2:
        *inputs, target = batch
        if len(inputs) == 1:
            return (*_unwrapped(inputs[0], model), target)
        return tuple(inputs), {}, target
    raise DataError(
        f"Trainer: a batch must be (inputs..., target), got {describe_batch(batch)}.",
        hint="Let the dataset return (input, target), or override Trainer.compute.",
    )


def inputs_only(batch: Any, model: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The inputs of a batch that may or may not hold a target."""
    if isinstance(batch, Mapping):
        key = next((key for key in TARGET_KEYS if key in batch), None)
        takes = _parameters(model)
        if key is None and len(batch) > 1 and not (takes is not None and all(name in takes for name in batch)):
            key = list(batch)[-1]
        return _named({name: value for name, value in batch.items() if name != key}, model)
    if isinstance(batch, (list, tuple)):
        parts = list(batch)
        nested = len(parts) == 2 and isinstance(parts[0], (Mapping, list, tuple))
        if nested or (len(parts) > 1 and len(parts) > _required(model)):
            parts = parts[:-1]
        return _unwrapped(parts[0], model) if len(parts) == 1 else (tuple(parts), {})
    return (batch,), {}


def size_of(batch: Any) -> int:
    """How many samples a batch holds: the first axis of its first tensor; 1 where there is none."""
    if is_tensor(batch) or hasattr(batch, "shape"):
        return int(batch.shape[0]) if len(batch.shape) else 1
    items = list(batch.values()) if isinstance(batch, Mapping) else batch if isinstance(batch, (list, tuple)) else ()
    for item in items:
        if is_tensor(item) or isinstance(item, (Mapping, list, tuple)):
            return size_of(item)
    return max(1, len(items))


def _unwrapped(inputs: Any, model: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, Mapping):
        return _named(dict(inputs), model)
    if isinstance(inputs, (list, tuple)):
        return tuple(inputs), {}
    return (inputs,), {}


def _named(inputs: dict[str, Any], model: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    takes = _parameters(model)
    if takes is None:
        return tuple(inputs.values()), {}
    if all(isinstance(name, str) and name in takes for name in inputs):
        return (), inputs
    taken = {name: value for name, value in inputs.items() if name in takes}
    required = _required_names(model)
    if taken and required <= taken.keys():  # the others are about the sample: a file name, a number
        return (), taken
    most = _most(model)
    if len(inputs) > most:
        inputs = {name: value for name, value in inputs.items() if is_tensor(value)}  # no texts, no lists of names
    if len(inputs) > most:
        raise DataError(
            f"Trainer: {type(model).__name__}.forward takes {', '.join(sorted(required))}, and the batch has no entries "
            "of these names.",
            details=f"entries beside the target: {', '.join(map(repr, inputs))}",
            hint="Name the dataset's entries as forward names its parameters, or override Trainer.compute.",
        )
    return tuple(inputs.values()), {}


class _Everything:
    def __contains__(self, name: object) -> bool:
        return True


def _parameters(model: Any) -> Any:
    """The names that the model's forward takes; None where this cannot be told."""
    try:
        parameters = inspect.signature(getattr(model, "forward", model)).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return _Everything()
    return {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL}


def _required(model: Any) -> int:
    try:
        parameters = inspect.signature(getattr(model, "forward", model)).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in positional and parameter.default is parameter.empty for parameter in parameters)


def _most(model: Any) -> float:
    """How many arguments forward takes by position."""
    parameters = list(inspect.signature(getattr(model, "forward", model)).parameters.values())
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return float("inf")
    return sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)


def _required_names(model: Any) -> set[str]:
    """The parameters of forward that have no default."""
    parameters = inspect.signature(getattr(model, "forward", model)).parameters.values()
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {one.name for one in parameters if one.kind not in several and one.default is one.empty}


def labels_of(loss: Any, output: Any, target: Any) -> Any:
    """The target as metrics want it: where a cross entropy is given shares of the classes (one-hot labels, or those
    that MixUp and CutMix make), the class with the largest share; else the target itself."""
    if not isinstance(loss, mlkit.nn.CrossEntropyLoss) or not is_tensor(target) or not is_tensor(output):
        return target
    if target.dtype.is_floating_point and target.ndim > 1 and target.shape == output.shape and target.shape[1] > 1:
        return target.argmax(dim=1)
    return target
