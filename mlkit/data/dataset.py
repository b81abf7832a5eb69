"""What a dataset is: something with a length and samples by index, or something to iterate over."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from mlkit.core.errors import DataError, ShapeError
from mlkit.data import arrays

__all__ = ["ConcatDataset", "Dataset", "IterableDataset", "Subset", "TensorDataset", "random_split"]


class Dataset:
    """Samples by index. Write ``__getitem__(index)`` and ``__len__`` in your class.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, index):
    ...         return index**2
    >>> Squares()[3]
    9
    """

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(self, index).")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich  # drawn only where something displays it

        return rich.repr_html(self)


class IterableDataset(Dataset):
    """Samples one after the other, for streams without an index. Write ``__iter__`` in your class.

    With worker processes each worker iterates over its own copy: ask `get_worker_info` which part is its own.
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__(self).")


class TensorDataset(Dataset):
    """Tensors whose first axes run over the same samples: sample `i` is ``(a[i], b[i], ...)``.

    A `DataLoader` takes a whole batch from it with one indexing.

    Args:
        tensors: Tensors or NumPy arrays of shape [samples, ...]; an array is not copied.

    Raises:
        ShapeError: The first axes differ in length.

    >>> dataset = TensorDataset(np.zeros((5, 2), np.float32), np.arange(5))
    >>> len(dataset), dataset[3][1].item()
    (5, 3)
    """

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise DataError("TensorDataset needs at least one tensor.", hint="Write TensorDataset(images, labels).")
        self.tensors = tuple(arrays.as_tensor(tensor) for tensor in tensors)
        shapes = [tuple(tensor.shape) for tensor in self.tensors]
        if any(not shape for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
            raise ShapeError(
                "TensorDataset: all tensors must have the same number of samples in their first axis.",
                details="\n".join(f"tensor {i}: {_shape(shape)}" for i, shape in enumerate(shapes)),
            )

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def take(self, indices: np.ndarray) -> list[Any]:
        """The batch of these samples: each tensor indexed once, always a copy.

        Args:
            indices: int64 [batch].
        """
        return [arrays.take(tensor, indices) for tensor in self.tensors]

    def __repr__(self) -> str:
        parts = ", ".join(f"{_shape(tuple(t.shape)[1:])} {arrays.dtype_name(t)}" for t in self.tensors)
        return f"{type(self).__name__}({len(self):,} samples: {parts})"


class Subset(Dataset):
    """Some samples of another dataset, in the given order.

    >>> Subset([10, 11, 12, 13], [3, 1])[0]
    13
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def take(self, indices: np.ndarray) -> list[Any]:
        """The batch of these samples; only where the underlying dataset has `take`."""
        return self.dataset.take(np.asarray(self.indices, np.int64)[indices])

    def __repr__(self) -> str:
        return f"Subset({len(self):,} of {self.dataset!r})"


class ConcatDataset(Dataset):
    """Several datasets, one after the other.

    >>> len(ConcatDataset([[1, 2], [3]])), ConcatDataset([[1, 2], [3]])[-1]
    (3, 3)
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise DataError("ConcatDataset needs at least one dataset.")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise DataError("ConcatDataset cannot join an IterableDataset: it has no index.")
        self.cumulative_sizes = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside this dataset of {len(self)} samples")
        part = bisect_right(self.cumulative_sizes, index)
        return self.datasets[part][index - (self.cumulative_sizes[part - 1] if part else 0)]

    def __repr__(self) -> str:
        return f"ConcatDataset({len(self):,} samples: {', '.join(map(repr, self.datasets))})"


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Any = None) -> list[Subset]:
    """Split a dataset at random into parts that do not overlap.

    Args:
        dataset: Any dataset with a length.
        lengths: Whole numbers that add up to ``len(dataset)``, or fractions that add up to 1.
        generator: An `mlkit.Generator`; mlkit's own by default.

    Raises:
        DataError: The lengths do not add up.

    >>> [len(part) for part in random_split(range(10), [0.75, 0.25])]
    [8, 2]
    """
    total = len(dataset)
    if abs(sum(lengths) - 1) < 1e-6 and all(0 <= length <= 1 for length in lengths):
        sizes = [int(total * length) for length in lengths]
        for i in range(total - sum(sizes)):  # what rounding left over, one each
            sizes[i % len(sizes)] += 1
    else:
        sizes = [int(length) for length in lengths]
        if sum(sizes) != total or any(size != length or size < 0 for size, length in zip(sizes, lengths)):
            raise DataError(
                f"random_split: the lengths {list(lengths)} must add up to the dataset's {total} samples.",
                hint="Give whole numbers that add up to it, or fractions that add up to 1, such as [0.8, 0.2].",
            )
    order = arrays.permutation(total, generator)
    ends = list(itertools.accumulate(sizes))
    return [Subset(dataset, order[end - size : end].tolist()) for size, end in zip(sizes, ends)]


def batch_taker(dataset: Any) -> Callable[[np.ndarray], list[Any]] | None:
    """The dataset's own way of taking a whole batch, where that gives what its samples would give one by one."""
    if isinstance(dataset, TensorDataset):
        # a subclass with its own __getitem__ (say, an augmentation) means it
        same = type(dataset).__getitem__ is TensorDataset.__getitem__ or type(dataset).take is not TensorDataset.take
        return dataset.take if same else None
    if type(dataset) is Subset and batch_taker(dataset.dataset) is not None:
        return dataset.take
    return None


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
