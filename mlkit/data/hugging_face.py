"""Data sets of the Hugging Face `datasets` library, or anything that looks like one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlkit.core.errors import ArgumentError, DataError
from mlkit.data import arrays
from mlkit.data.dataset import Dataset
from mlkit.data.transforms.images import is_pil

__all__ = ["HuggingFaceDataset"]


class HuggingFaceDataset(Dataset):
    """A `datasets.Dataset` whose samples are tensors: a dictionary by column, or a tuple of the columns asked for.

    A `DataLoader` takes a `datasets.Dataset` as it is, too; this adds the choice of columns, tensors, transforms and
    whole batches at once.

    Args:
        dataset: With ``features`` or ``column_names``, ``__getitem__`` and ``__len__``: what
            ``datasets.load_dataset(..., split="train")`` gives.
        columns: Which columns, as a tuple in this order; by default all, as a dictionary.
        transform: For the first of the columns (an image, a text).
        target_transform: For the second one.

    Numbers and lists of numbers become tensors, images stay Pillow images for the transform (without one they become
    tensors [channels, rows, columns] in 0..1), texts stay texts. `classes` has the names of a label column.

    Raises:
        DataError: A column is missing, or it is a dictionary of splits.

    >>> class Table(list):
    ...     column_names = ["text", "label"]
    >>> table = HuggingFaceDataset(Table([{"text": "good", "label": 1}]), columns=["text", "label"])
    >>> table[0]
    ('good', 1)
    """

    def __init__(
        self,
        dataset: Any,
        columns: Sequence[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        if isinstance(dataset, Mapping):
            raise DataError(
                f"HuggingFaceDataset takes one split, and this is a dictionary of {', '.join(map(repr, dataset))}.",
                hint=f"Write dataset[{next(iter(dataset), 'train')!r}].",
            )
        names = getattr(dataset, "column_names", None) or list(getattr(dataset, "features", None) or ())
        if not names or not hasattr(dataset, "__getitem__"):
            raise ArgumentError(
                f"HuggingFaceDataset takes a datasets.Dataset, got a {type(dataset).__qualname__}.",
                hint="A streamed one (IterableDataset) goes through mlkit.data.IterableDataset: iterate over it there.",
            )
        missing = [name for name in columns or () if name not in names]
        if missing:
            raise DataError(f"There is no column {missing[0]!r}.", details=f"columns: {', '.join(names)}")
        # Plain Python values and images: a format set for another library would give its tensors.
        self.dataset = dataset.with_format(None) if hasattr(dataset, "with_format") else dataset
        self.columns = None if columns is None else list(columns)
        self.column_names = list(names)
        self.transform = transform
        self.target_transform = target_transform
        features = getattr(dataset, "features", None) or {}
        labels = [getattr(features.get(name), "names", None) for name in self.columns or names]
        self.classes: list[str] | None = next((list(found) for found in labels if found), None)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        return self._sample(self.dataset[int(index)])

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Many samples in one call, read from the table at once."""
        wanted = [int(index) for index in indices]
        many = getattr(self.dataset, "__getitems__", None)
        rows = many(wanted) if callable(many) else [self.dataset[index] for index in wanted]
        return [self._sample(row) for row in rows]

    def _sample(self, row: Mapping[str, Any]) -> Any:
        if self.columns is None:
            return {name: _value(value) for name, value in row.items()}
        parts = []
        for position, name in enumerate(self.columns):
            change = (self.transform, self.target_transform)[position] if position < 2 else None
            parts.append(_value(row[name]) if change is None else change(row[name]))
        return tuple(parts) if len(parts) > 1 else parts[0]

    def __repr__(self) -> str:
        return f"HuggingFaceDataset({len(self):,} samples: {', '.join(self.columns or self.column_names)})"


def _value(value: Any) -> Any:
    if is_pil(value):
        from mlkit.data.transforms.functional import to_tensor

        return to_tensor(value)
    if isinstance(value, (list, np.ndarray)):
        array = np.asarray(value) if _regular(value) else None
        if array is not None and array.dtype.kind in "biuf":
            return arrays.as_tensor(array.astype(np.float32) if array.dtype == np.float64 else array)
    if isinstance(value, Mapping):
        return {name: _value(part) for name, part in value.items()}
    return value


def _regular(value: Any) -> bool:
    """Whether a list of lists is a box, which NumPy can hold."""
    if isinstance(value, np.ndarray):
        return True
    parts = [part for part in value if isinstance(part, (list, np.ndarray))]
    if not parts:
        return not any(isinstance(part, (str, bytes, Mapping)) or part is None or is_pil(part) for part in value)
    return len(parts) == len(value) and len({len(part) for part in parts}) == 1 and all(map(_regular, parts))
