"""What can be wrong before a training begins, said before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mlkit.core.errors import DataError
from mlkit.core.value import is_tensor
from mlkit.data import Dataset, IterableDataset

__all__ = ["check_epochs", "check_loader", "check_optimizer", "describe_batch", "length_of"]


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


def check_optimizer(model: Any, optimizer: Any) -> None:
    """Raise a DataError when the optimizer moves nothing of this model, the commonest slip in a notebook."""
    ours = {id(parameter) for parameter in model.parameters()}
    if not ours:
        raise DataError(f"{type(model).__name__} has no parameters to train.")
    if not any(id(parameter) in ours for group in optimizer.param_groups for parameter in group["params"]):
        raise DataError(
            f"The optimizer holds no parameter of this {type(model).__name__}: it would train another model.",
            hint="Make it from this model: optim.AdamW(model.parameters(), lr=1e-3).",
        )


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
