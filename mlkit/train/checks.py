"""What can be wrong before a training begins, said before it begins."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from mlkit.core.errors import DataError
from mlkit.core.value import is_tensor
from mlkit.data import Dataset, IterableDataset
from mlkit.linting.outputs import of_output

__all__ = [
    "check_epochs",
    "check_first",
    "check_loader",
    "check_mode",
    "check_optimizer",
    "describe_batch",
    "length_of",
    "warn",
]


def check_loader(loader: Any, name: str) -> None:
    """Raise a DataError unless `loader` gives batches."""
    if isinstance(loader, Dataset) and not isinstance(loader, IterableDataset):
        raise DataError(
            f"{name}: a dataset gives single samples, and training needs batches.",
            hint=f"Write DataLoader({type(loader).__name__}(...), batch_size=64, shuffle=True).",
        )
    if is_tensor(loader) or not isinstance(loader, Iterable):
        raise DataError(
            f"{name}: expected a DataLoader (or anything that gives batches), got a {type(loader).__qualname__}.",
            hint="Write DataLoader(TensorDataset(inputs, targets), batch_size=64, shuffle=True).",
        )
    if isinstance(loader, Iterator):
        raise DataError(
            f"{name}: a {type(loader).__qualname__} can be gone through only once, and each epoch needs all batches.",
            hint="Give a DataLoader, a list of batches, or an IterableDataset in a DataLoader.",
        )
    if length_of(loader) == 0:
        size = length_of(getattr(loader, "dataset", None))
        batch_size = getattr(loader, "batch_size", None)
        found = f"{size} samples, batch_size={batch_size}, drop_last=True" if size else "the dataset is empty"
        raise DataError(
            f"{name}: there is no batch in it.",
            details=found,
            hint="Check where the samples come from." if not size else "Use a smaller batch_size or drop_last=False.",
        )


def check_epochs(epochs: Any) -> int:
    """The number of epochs, if it is one."""
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise DataError(f"epochs must be a whole number of at least 1, got {epochs!r}.")
    return epochs


def check_optimizer(model: Any, optimizer: Any, loss: Any = None) -> None:
    """Raise a DataError when the optimizer moves nothing of this model, the commonest slip in a notebook.

    Warns where it moves only a part of it, or something else besides.
    """
    ours = dict(model.named_parameters())
    ids = {id(parameter) for parameter in ours.values()}
    if not ours:
        raise DataError(f"{type(model).__name__} has no parameters to train.")
    empty = [name for name, one in [*ours.items(), *model.named_buffers()] if one.is_meta]
    if empty:
        raise DataError(
            f"{type(model).__name__} has weights without numbers: they are on the device 'meta'.",
            details=", ".join(empty[:6]) + (f", and {len(empty) - 6} more" if len(empty) > 6 else ""),
            hint="Make the model on the CPU, or model.to_empty(device='cpu') and load a state_dict into it. Then make the "
            "optimizer and the Trainer.",
        )
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if not any(id(parameter) in ids for parameter in held):
        raise DataError(
            f"The optimizer holds no parameter of this {type(model).__name__}: it would train another model.",
            hint="Make it from this model: optim.AdamW(model.parameters(), lr=1e-3).",
        )
    if not any(parameter.requires_grad for parameter in held):
        raise DataError(
            f"All parameters of {type(model).__name__} that the optimizer holds are frozen: nothing can be trained.",
            hint="Unfreeze some with parameter.requires_grad_(True).",
        )
    in_optimizer = {id(parameter) for parameter in held}
    left_out = [name for name, one in ours.items() if one.requires_grad and id(one) not in in_optimizer]
    if left_out:
        warn(
            f"The optimizer does not hold {len(left_out)} of the model's {len(ours)} parameters, which will stay as they "
            f"are: {_shortened(left_out)}. Pass model.parameters() to it, or freeze them with requires_grad_(False)."
        )
    also = {id(parameter) for parameter in loss.parameters()} if hasattr(loss, "parameters") else set()
    strange = [parameter for parameter in held if id(parameter) not in ids | also]
    if strange:
        shapes = _shortened([str(list(parameter.shape)) for parameter in strange])
        warn(
            f"The optimizer holds {len(strange)} parameters that are not of this {type(model).__name__} (shapes {shapes}): "
            "perhaps of an older model from an earlier cell. Make the optimizer from this model."
        )


def check_mode(model: Any) -> None:
    """Warn when a model that is about to be trained is in evaluation mode."""
    if not model.training:
        warn(
            f"{type(model).__name__} was in evaluation mode (model.eval()), where dropout and batch norm do not train. "
            "It was switched with model.train()."
        )


def check_first(output: Any, loss: Any) -> None:
    """Warn of outputs that a loss is not made for, from the first batch."""
    for finding in of_output(output, loss):
        warn(f"{finding.sentence} {finding.repair}")


def warn(text: str) -> None:
    """A `UserWarning` that points at the caller's own line."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("mlkit."):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, UserWarning, stacklevel=level - 1)


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def length_of(loader: Any) -> int | None:
    """``len(loader)``, or None where there is none."""
    try:
        return len(loader)
    except TypeError:
        return None


def describe_batch(batch: Any) -> str:
    """The shapes and dtypes in a batch, for an error message: "float32 [64, 1, 28, 28], int64 [64]"."""
    if is_tensor(batch):
        return f"{str(batch.dtype).rpartition('.')[2]} {list(batch.shape)}"
    if isinstance(batch, dict):
        return ", ".join(f"{key}: {describe_batch(value)}" for key, value in batch.items())
    if isinstance(batch, (list, tuple)):
        return ", ".join(describe_batch(part) for part in batch)
    return type(batch).__qualname__
