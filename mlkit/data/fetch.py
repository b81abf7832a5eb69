"""Turn indices into a batch: the same few lines in the main process and in a worker."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.data.collate import default_collate
from mlkit.data.dataset import IterableDataset, batch_taker

__all__ = ["Fetcher"]


class Fetcher:
    """Fetch batches of a dataset.

    Args:
        dataset: With an index, or iterable.
        collate: Makes a batch of a list of samples; None: `default_collate` (one sample as it is without a batch size).
        batch_size: For iterable datasets; None: samples one by one.
        drop_last: Leave out the last batch of an iterable dataset when it is smaller.
    """

    def __init__(self, dataset: Any, collate: Callable[[Any], Any] | None, batch_size: int | None, drop_last: bool):
        self.dataset = dataset
        self.take = batch_taker(dataset) if collate is None and batch_size is not None else None
        self.collate = collate or (default_collate if batch_size is not None else single)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.stream = iter(dataset) if isinstance(dataset, IterableDataset) else None

    def fetch(self, indices: Any) -> Any:
        """The batch of these indices (a list; one index without a batch size), or the next one of a stream.

        Raises:
            StopIteration: The stream has ended.
        """
        if self.stream is not None:
            return self._next()
        if self.batch_size is None:
            return self.collate(self.dataset[indices])
        if self.take is not None:
            return self.take(np.asarray(indices, np.int64))
        return self.collate([self.dataset[index] for index in indices])

    def _next(self) -> Any:
        assert self.stream is not None
        if self.batch_size is None:
            return self.collate(next(self.stream))
        samples = list(itertools.islice(self.stream, self.batch_size))
        if not samples or (self.drop_last and len(samples) < self.batch_size):
            raise StopIteration
        return self.collate(samples)


def single(sample: Any) -> Any:
    """One sample without a batch axis: arrays and numbers in it become tensors, the rest stays."""
    from mlkit.data import arrays
    from mlkit.data.collate import map_tensors

    return map_tensors(sample, arrays.as_tensor, lambda value: isinstance(value, (np.ndarray, np.generic)))
