"""Turn indices into a batch: the same few lines in the main process and in a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.data.collate import default_collate, default_convert
from mlkit.data.dataset import IterableDataset, Subset, batch_taker
from mlkit.data.streams import EpochStreams

__all__ = ["Fetcher"]


class Fetcher:
    """Fetch batches of a dataset.

    Args:
        dataset: With an index, or iterable.
        collate: Makes a batch of a list of samples; None: `default_collate` (one sample as it is without a batch size).
        batch_size: For iterable datasets; None: samples one by one.
        drop_last: Leave out the last batch of an iterable dataset when it is smaller.
        seed: Of the random numbers of this iteration.
        worker: Number of this worker.
    """

    def __init__(
        self,
        dataset: Any,
        collate: Callable[[Any], Any] | None,
        batch_size: int | None,
        drop_last: bool,
        seed: int,
        worker: int = 0,
    ) -> None:
        self.dataset = dataset
        whole = batch_size is not None
        self.take = batch_taker(dataset) if collate is None and whole else None
        self.many = _many(dataset) if whole else None
        self.collate = collate or (default_collate if whole else default_convert)
        self.batch_size = batch_size
        self.drop_last = drop_last
        streams = isinstance(dataset, IterableDataset)
        self.streams = EpochStreams(seed, worker if streams else 0)
        self.stream = None
        self.place = 0  # in a stream
        if streams:
            with self.streams.batch(-1):
                self.stream = iter(dataset)

    def fetch(self, number: int, place: int, indices: Any) -> Any:
        """The batch of these indices (a list; one index without a batch size), or the next one of a stream.

        Args:
            number: Of the batch in this epoch.
            place: Of its first sample in this epoch.
            indices: What to load; None for a stream.

        Raises:
            StopIteration: The stream has ended.
        """
        if self.take is not None:  # draws nothing
            return self.take(np.asarray(indices, np.int64))
        with self.streams.batch(number):
            if self.stream is not None:
                return self._next(number)
            if self.batch_size is None:
                self.streams.sample(place)
                return self.collate(self.dataset[indices])
            if self.many is not None:
                samples = self.many(indices)
            else:
                samples, dataset, go_to = [], self.dataset, self.streams.sample
                for position, index in enumerate(indices, place):
                    go_to(position)
                    samples.append(dataset[index])
            self.streams.collating(number)
            return self.collate(samples)

    def _next(self, number: int) -> Any:
        assert self.stream is not None
        samples: list[Any] = []
        for _ in range(self.batch_size or 1):
            self.streams.sample(self.place)
            try:
                samples.append(next(self.stream))
            except StopIteration:
                break
            self.place += 1
        if not samples or (self.drop_last and len(samples) < (self.batch_size or 1)):
            raise StopIteration
        self.streams.collating(number)
        return self.collate(samples if self.batch_size is not None else samples[0])


def _many(dataset: Any) -> Callable[[Any], list[Any]] | None:
    """``__getitems__``, where the dataset has it: many samples in one call."""
    inner = dataset
    while isinstance(inner, Subset):
        inner = inner.dataset
    many = getattr(dataset, "__getitems__", None)
    return many if callable(many) and callable(getattr(inner, "__getitems__", None)) else None
