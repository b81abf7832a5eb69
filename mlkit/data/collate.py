"""Make one batch of many samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlkit.core.errors import DataError, ShapeError
from mlkit.core.value import Value
from mlkit.data import arrays

__all__ = ["collate", "default_collate", "default_collate_fn_map", "default_convert", "map_tensors"]


class KindError(DataError, TypeError):
    """Samples of a kind that cannot be stacked."""


class StructureError(DataError, RuntimeError):
    """Samples that are built differently from each other."""


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples: tensors and arrays along a new first axis, numbers into a tensor; pairs, dictionaries and
    named tuples part by part; texts stay a list (in a pair or a list: a tuple).

    Args:
        batch: The samples.

    Raises:
        ShapeError: Samples of different shapes.
        DataError: Samples of a kind that cannot be stacked (a TypeError as well), or of different structure (a
            RuntimeError as well).

    >>> images, labels = default_collate([(np.zeros((1, 2)), 3), (np.ones((1, 2)), 4)])
    >>> tuple(images.shape), labels.tolist()
    ((2, 1, 2), [3, 4])
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(
    batch: Sequence[Any],
    *,
    collate_fn_map: dict[type | tuple[type, ...], Callable[..., Any]] | None = None,
) -> Any:
    """Like `default_collate`, with your own way for each type of part.

    Args:
        batch: The samples.
        collate_fn_map: Type (or types): ``function(parts, *, collate_fn_map)``. The exact type is looked for first, then
            the first entry that the part is an instance of. Start from a copy of `default_collate_fn_map`.

    >>> def join(texts, *, collate_fn_map=None):
    ...     return "/".join(texts)
    >>> collate([("a", 1), ("b", 2)], collate_fn_map={**default_collate_fn_map, str: join})
    ['a/b', tensor([1, 2])]
    """
    if not len(batch):
        raise DataError("default_collate: the batch holds no samples.")
    first = batch[0]
    ways = collate_fn_map or {}
    kind = type(first)
    if kind in ways:
        return ways[kind](batch, collate_fn_map=ways)
    for types, way in ways.items():
        if isinstance(first, types):
            return way(batch, collate_fn_map=ways)
    if isinstance(first, Mapping):
        for position, sample in enumerate(batch):
            if not isinstance(sample, Mapping) or sample.keys() != first.keys():
                raise _different(position, f"the keys {list(first)}", sample)
        return {key: collate([sample[key] for sample in batch], collate_fn_map=ways) for key in first}
    if isinstance(first, (tuple, list)):
        for position, sample in enumerate(batch):
            if not isinstance(sample, (tuple, list)) or len(sample) != len(first):
                raise _different(position, f"{len(first)} parts", sample)
        parts = [collate(part, collate_fn_map=ways) for part in zip(*batch)]
        return kind(*parts) if hasattr(first, "_fields") else parts
    raise KindError(
        f"default_collate: samples of type {kind.__module__}.{kind.__qualname__} cannot be stacked.",
        hint=_advice(first),
    )


def default_convert(data: Any) -> Any:
    """One sample without a batch axis: arrays and NumPy numbers in it become tensors, the rest stays.

    >>> default_convert({"x": np.zeros(2), "name": "a"})
    {'x': tensor([0., 0.], dtype=mlkit.float64), 'name': 'a'}
    """
    return map_tensors(data, arrays.as_tensor, _numeric)


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


def _collate_tensors(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    _check_shapes(batch, arrays.is_tensor)
    return arrays.stack(batch)


def _collate_arrays(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    if batch[0].dtype.kind in "OSUVM":
        raise KindError(
            f"default_collate: arrays of {batch[0].dtype} cannot be stacked into a tensor.",
            hint="Return numbers: convert texts to indices, and objects to arrays of one shape.",
        )
    if isinstance(batch[0], np.generic) and {type(part) for part in batch} == {type(batch[0])}:
        return arrays.as_tensor(np.array(batch))
    _check_shapes(batch, lambda part: isinstance(part, (np.ndarray, np.generic)))
    return arrays.as_tensor(arrays.stack_arrays([np.asarray(part) for part in batch]))


def _collate_as(dtype: type) -> Callable[..., Any]:
    def together(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
        try:
            return arrays.as_tensor(np.array(batch, dtype))
        except (TypeError, ValueError, OverflowError) as error:
            odd = next((i for i, part in enumerate(batch) if type(part) is not type(batch[0])), 0)
            raise _different(odd, f"the {type(batch[0]).__name__} {batch[0]!r}", batch[odd]) from error

    return together


def _collate_integers(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    if any(isinstance(part, float) for part in batch):  # [1, 2.5] is [1., 2.5], as in PyTorch
        return _collate_as(np.float64)(batch)
    return _collate_as(np.int64)(batch)


def _collate_texts(batch: Sequence[Any], *, collate_fn_map: Any = None) -> Any:
    return batch if isinstance(batch, tuple) else list(batch)  # PyTorch: a tuple where they are part of a pair


#: How `default_collate` treats each type; add to a copy of it for `collate`.
default_collate_fn_map: dict[type | tuple[type, ...], Callable[..., Any]] = {
    Value: _collate_tensors,
    (np.ndarray, np.generic): _collate_arrays,
    bool: _collate_as(np.bool_),
    int: _collate_integers,
    float: _collate_as(np.float64),
    complex: _collate_as(np.complex128),
    (str, bytes): _collate_texts,
}


def _numeric(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind not in "OSUVM"


def _check_shapes(batch: Sequence[Any], wanted: Callable[[Any], bool]) -> None:
    expected, kind = batch[0].shape, type(batch[0])
    if all(type(sample) is kind and sample.shape == expected for sample in batch):
        return
    for position, sample in enumerate(batch):
        if not wanted(sample):
            raise _different(position, f"a {type(batch[0]).__name__}", sample)
        if sample.shape != expected:
            raise ShapeError(
                "DataLoader: all samples of a batch must have the same shape.",
                details=f"sample 0 of this batch: {list(expected)}\nsample {position} of this batch: {list(sample.shape)}",
                hint="Resize or pad them in the dataset, use batch_size=1, or give a collate_fn.",
            )


def _advice(first: Any) -> str:
    if type(first).__module__.startswith("PIL."):
        return "It is a Pillow image: put transforms.ToTensor() (or PILToTensor) at the end of the transform."
    if first is None:
        return "The dataset gives None: leave such samples out of it (Subset), or drop them in a collate_fn."
    return "Return tensors, arrays, numbers, texts, or tuples and dictionaries of them; or give a collate_fn."


def _different(position: int, expected: str, sample: Any) -> DataError:
    text = repr(sample)
    return StructureError(
        f"DataLoader: sample {position} of the batch is built differently: sample 0 has {expected}.",
        details=f"sample {position}: {text if len(text) < 200 else text[:200] + '...'}",
        hint="Each sample of a batch must be built alike; give a collate_fn where they cannot be.",
    )
