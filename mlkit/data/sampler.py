"""In which order samples are visited, and how they are cut into batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from mlkit.core.errors import ArgumentError, DataError
from mlkit.data import arrays

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Indices in the order of visit. Write ``__iter__`` (and ``__len__`` where it is known) in your class.

    A sampler that draws at random should draw in ``__iter__`` itself, before it returns its iterator, and from
    ``generator`` (an `mlkit.Generator`) or mlkit's own: then an epoch can be taken up in the middle.
    """

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__(self).")


class SequentialSampler(Sampler):
    """0, 1, 2, ...

    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """A new random order each time it is iterated.

    Args:
        data_source: What to draw from; only its length matters.
        replacement: Draw each index independently instead of a permutation.
        num_samples: How many to draw; all by default.
        generator: An `mlkit.Generator`; mlkit's own by default.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        if num_samples is not None:
            check_count("RandomSampler: num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise ArgumentError(f"RandomSampler: replacement must be True or False, got {replacement!r}.")
        self.data_source = data_source
        self.replacement = replacement
        self.generator = generator
        self._num_samples = num_samples

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        # Drawn now and not at the first index: what draws in between must not change the order.
        size, wanted = len(self.data_source), self.num_samples
        if not size:
            if self._num_samples:
                raise DataError(f"RandomSampler: {wanted} samples were asked for of a dataset that is empty.")
            return iter(())
        if self.replacement:
            return iter(arrays.integers(size, wanted, self.generator).tolist())
        rounds = [arrays.permutation(size, self.generator) for _ in range(-(-wanted // size))]
        return iter(np.concatenate(rounds)[:wanted].tolist() if rounds else [])

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """These indices in a new random order each time.

    Args:
        indices: What to visit.
        generator: An `mlkit.Generator`; mlkit's own by default.

    >>> sorted(SubsetRandomSampler([7, 2, 5]))
    [2, 5, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[Any]:
        order = arrays.permutation(len(self.indices), self.generator).tolist()
        return iter([self.indices[i] for i in order])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Indices drawn with given probabilities, for classes of very different size.

    Args:
        weights: One non-negative number per sample; they need not add up to 1.
        num_samples: How many indices an iteration has.
        replacement: Draw each time among all; else an index comes once at most.
        generator: An `mlkit.Generator`; mlkit's own by default.

    Raises:
        DataError: Weights that are negative, not finite or all zero; more draws without replacement than samples with
            a weight above zero.

    >>> labels = np.array([0, 0, 0, 1])
    >>> weights = 1 / np.bincount(labels)[labels]           # each class equally often
    >>> set(WeightedRandomSampler(weights, 100)) == {0, 1, 2, 3}
    True
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, generator: Any = None) -> None:
        check_count("WeightedRandomSampler: num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise DataError(f"WeightedRandomSampler: replacement must be True or False, got {replacement!r}.")
        values = arrays.to_numpy(weights) if arrays.is_tensor(weights) else np.asarray(weights)
        values = values.astype(np.float64)
        if values.ndim != 1:
            raise DataError(f"WeightedRandomSampler: weights must have one axis, got the shape {list(values.shape)}.")
        bad = np.flatnonzero(~np.isfinite(values) | (values < 0))
        if len(bad) or not values.sum() > 0:
            raise DataError(
                "WeightedRandomSampler: weights must be finite, not negative, and not all zero.",
                details=f"weight of sample {bad[0]}: {values[bad[0]]}" if len(bad) else f"{len(values)} weights of 0",
            )
        if not replacement and num_samples > np.count_nonzero(values):
            raise DataError(
                f"WeightedRandomSampler: {num_samples} different samples cannot be drawn where only "
                f"{np.count_nonzero(values)} have a weight above zero.",
                hint="Use replacement=True or a smaller num_samples.",
            )
        self.weights = arrays.from_numpy(values)
        self.num_samples = int(num_samples)
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        values = arrays.to_numpy(self.weights)
        draw = arrays.numpy_generator(len(values) + self.num_samples, self.generator)
        if self.replacement:
            ends = np.cumsum(values)
            found = np.searchsorted(ends, draw.random(self.num_samples) * ends[-1], side="right")
            return iter(np.minimum(found, np.flatnonzero(values)[-1]).tolist())
        # Exponential clocks: the order in which clocks of these rates ring is the order of weighted draws.
        with np.errstate(divide="ignore"):
            rings = draw.standard_exponential(len(values)) / values
        return iter(np.argsort(rings, kind="stable")[: self.num_samples].tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Cut another sampler's indices into lists of `batch_size`.

    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool) -> None:
        if not isinstance(drop_last, bool):
            raise DataError(f"BatchSampler: drop_last must be True or False, got {drop_last!r}.")
        self.sampler = sampler
        self.batch_size = check_batch_size(batch_size)
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[Any]]:
        return self._cut(iter(self.sampler))  # the sampler draws its order now

    def _cut(self, indices: Iterator[Any]) -> Iterator[list[Any]]:
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return whole + (1 if rest and not self.drop_last else 0)


def check_count(name: str, value: Any) -> int:
    """The number, if it is a positive whole one."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise DataError(f"{name} must be a positive whole number, got {value!r}.")
    return int(value)


def check_batch_size(batch_size: Any) -> int:
    """The batch size, if it is a positive whole number."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise DataError(f"DataLoader: batch_size must be a whole number of at least 1, got {batch_size!r}.")
    return int(batch_size)
