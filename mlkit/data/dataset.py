"""What a dataset is: something with a length and samples by index, or something to iterate over."""

from __future__ import annotations

import itertools
import math
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from mlkit.core.errors import DataError, ShapeError
from mlkit.data import arrays

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Samples by index. Write ``__getitem__(index)`` and ``__len__`` in your class.

    With ``__getitems__(indices)``, which returns a list of samples, a `DataLoader` asks once for a whole batch.

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

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
        from mlkit.core import rich

        return rich.repr_mimebundle(self, include, exclude)


class IterableDataset(Dataset[T_co]):
    """Samples one after the other, for streams without an index. Write ``__iter__`` in your class.

    With worker processes each worker iterates over its own copy: ask `get_worker_info` which part is its own.

    >>> from mlkit.data import DataLoader, get_worker_info
    >>> class Countdown(IterableDataset):
    ...     def __iter__(self):
    ...         info = get_worker_info()
    ...         first, step = (0, 1) if info is None else (info.id, info.num_workers)
    ...         return iter([3, 2, 1][first::step])
    >>> [batch.tolist() for batch in DataLoader(Countdown(), batch_size=2)]
    [[3, 2], [1]]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__(self).")

    def __add__(self, other: Dataset) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


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

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Many samples in one call, where the underlying dataset can do that."""
        own = [self.indices[i] for i in indices]
        many = getattr(self.dataset, "__getitems__", None)
        return many(own) if callable(many) else [self.dataset[i] for i in own]

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


class ChainDataset(IterableDataset):
    """Several streams, one after the other.

    >>> class Letters(IterableDataset):
    ...     def __init__(self, text): self.text = text
    ...     def __iter__(self): return iter(self.text)
    >>> list(ChainDataset([Letters("ab"), Letters("c")]))
    ['a', 'b', 'c']
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        for position, dataset in enumerate(self.datasets):
            if not isinstance(dataset, IterableDataset):
                raise DataError(
                    f"ChainDataset joins IterableDatasets; number {position} is a {type(dataset).__qualname__}.",
                    hint="Datasets with an index are joined by ConcatDataset.",
                )

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"ChainDataset({', '.join(map(repr, self.datasets))})"


class StackDataset(Dataset):
    """Several datasets side by side: sample `i` is a tuple of sample `i` of each, or a dictionary by their names.

    Args:
        args: Datasets of equal length, for tuples.
        kwargs: Or datasets by name, for dictionaries.

    >>> StackDataset([1, 2], ["a", "b"])[1], StackDataset(number=[1, 2], letter="ab")[0]
    ((2, 'b'), {'number': 1, 'letter': 'a'})
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise DataError(
                "StackDataset takes datasets either one after the other or by name"
                + (", not both." if args else "; it got none."),
                hint="Write StackDataset(images, labels) or StackDataset(image=images, label=labels).",
            )
        self.datasets: Any = args or kwargs
        lengths = [(name, len(part)) for name, part in (kwargs.items() if kwargs else enumerate(args))]
        if len({length for _, length in lengths}) > 1:
            raise ShapeError(
                "StackDataset: all datasets must have the same number of samples.",
                details="\n".join(f"dataset {name}: {length:,}" for name, length in lengths),
            )
        self._length = lengths[0][1]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Many samples in one call: each dataset is asked in its own way."""
        named = isinstance(self.datasets, dict)
        columns = []
        for dataset in self.datasets.values() if named else self.datasets:
            many = getattr(dataset, "__getitems__", None)
            column = many(indices) if callable(many) else [dataset[index] for index in indices]
            if len(column) != len(indices):
                raise DataError(
                    f"{type(dataset).__qualname__}.__getitems__ gave {len(column)} samples for {len(indices)} indices."
                )
            columns.append(column)
        return [dict(zip(self.datasets, row)) if named else row for row in zip(*columns)]

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        named = isinstance(self.datasets, dict)
        parts = [f"{k}={v!r}" for k, v in self.datasets.items()] if named else [repr(d) for d in self.datasets]
        return f"StackDataset({len(self):,} samples: {', '.join(parts)})"


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
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1 + 1e-6 and all(0 <= length <= 1 for length in lengths):
        sizes = [int(total * length) for length in lengths]
        for i in range(total - sum(sizes)):  # what rounding left over, one each
            sizes[i % len(sizes)] += 1
        for i, size in enumerate(sizes):
            if not size and total:
                warnings.warn(f"random_split: part {i} (of {list(lengths)}) gets no sample.", stacklevel=2)
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
    if type(dataset) is StackDataset and isinstance(dataset.datasets, tuple):
        takers = [batch_taker(part) for part in dataset.datasets]
        if all(takers):
            return lambda indices: [take(indices) for take in takers if take is not None]
    return None


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
