"""In which order samples are visited, and how they are cut into batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sized
from typing import Any

import numpy as np

from mlkit.core.errors import DataError
from mlkit.data import arrays

__all__ = ["BatchSampler", "RandomSampler", "Sampler", "SequentialSampler"]


class Sampler:
    """Indices in the order of visit. Write ``__iter__`` (and ``__len__`` where it is known) in your class."""

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
        if num_samples is not None and num_samples <= 0:
            raise DataError(f"RandomSampler: num_samples must be positive, got {num_samples}.")
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
            return iter(())
        if self.replacement:
            return iter(arrays.integers(size, wanted, self.generator).tolist())
        rounds = [arrays.permutation(size, self.generator) for _ in range(-(-wanted // size))]
        return iter(np.concatenate(rounds)[:wanted].tolist() if rounds else [])

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Cut another sampler's indices into lists of `batch_size`.

    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool) -> None:
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


def check_batch_size(batch_size: Any) -> int:
    """The batch size, if it is a positive whole number."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise DataError(f"DataLoader: batch_size must be a whole number of at least 1, got {batch_size!r}.")
    return int(batch_size)
