"""Make one batch of many samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlkit.core.errors import DataError, ShapeError
from mlkit.data import arrays

__all__ = ["default_collate", "map_tensors"]


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples: tensors and arrays along a new first axis, numbers into a tensor; pairs, dictionaries and
    named tuples part by part; texts stay a list.

    Args:
        batch: The samples.

    Raises:
        ShapeError: Samples of different shapes.
        DataError: Samples of a kind that cannot be stacked, or of different structure.

    >>> images, labels = default_collate([(np.zeros((1, 2)), 3), (np.ones((1, 2)), 4)])
    >>> tuple(images.shape), labels.tolist()
    ((2, 1, 2), [3, 4])
    """
    if not len(batch):
        raise DataError("default_collate: the batch holds no samples.")
    first = batch[0]
    if arrays.is_tensor(first):
        _check_shapes(batch)
        return arrays.stack(batch)
    if isinstance(first, (np.ndarray, np.generic)):
        _check_shapes(batch)
        return arrays.as_tensor(np.stack([np.asarray(sample) for sample in batch]))
    if isinstance(first, bool):
        return arrays.as_tensor(np.array(batch, np.bool_))
    if isinstance(first, int):
        return arrays.as_tensor(np.array(batch, np.int64))
    if isinstance(first, float):
        return arrays.as_tensor(np.array(batch, np.float64))
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        for position, sample in enumerate(batch):
            if not isinstance(sample, Mapping) or sample.keys() != first.keys():
                raise _different(position, f"the keys {list(first)}", sample)
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, (tuple, list)):
        for position, sample in enumerate(batch):
            if not isinstance(sample, (tuple, list)) or len(sample) != len(first):
                raise _different(position, f"{len(first)} parts", sample)
        parts = [default_collate(part) for part in zip(*batch)]
        return type(first)(*parts) if hasattr(first, "_fields") else parts
    raise DataError(
        f"default_collate: samples of type {type(first).__module__}.{type(first).__qualname__} cannot be stacked.",
        hint="Return tensors, arrays, numbers, texts, or tuples and dictionaries of them; or give a collate_fn.",
    )


def map_tensors(value: Any, change: Callable[[Any], Any], wanted: Callable[[Any], bool] = arrays.is_tensor) -> Any:
    """The same structure (lists, tuples, dictionaries) with `change` applied to each tensor in it."""
    if wanted(value):
        return change(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(item, change, wanted) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(item, change, wanted) for item in value))
    if type(value) in (list, tuple):
        return type(value)(map_tensors(item, change, wanted) for item in value)
    return value


def _check_shapes(batch: Sequence[Any]) -> None:
    expected = tuple(np.shape(batch[0])) if not hasattr(batch[0], "shape") else tuple(batch[0].shape)
    for position, sample in enumerate(batch):
        shape = tuple(getattr(sample, "shape", np.shape(sample)))
        if shape != expected:
            raise ShapeError(
                "DataLoader: all samples of a batch must have the same shape.",
                details=f"sample 0 of this batch: {list(expected)}\nsample {position} of this batch: {list(shape)}",
                hint="Resize or pad them in the dataset, use batch_size=1, or give a collate_fn.",
            )


def _different(position: int, expected: str, sample: Any) -> DataError:
    text = repr(sample)
    return DataError(
        f"DataLoader: sample {position} of the batch is built differently: sample 0 has {expected}.",
        details=f"sample {position}: {text if len(text) < 200 else text[:200] + '...'}",
    )
