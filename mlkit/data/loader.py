"""Batches of a dataset, in this process or from worker processes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mlkit.core.errors import DataError
from mlkit.data import arrays
from mlkit.data.dataset import IterableDataset
from mlkit.data.fetch import Fetcher
from mlkit.data.pool import WorkerPool
from mlkit.data.sampler import BatchSampler, RandomSampler, SequentialSampler, check_batch_size

__all__ = ["DataLoader"]


class DataLoader:
    """Iterate over a dataset in batches.

    Args:
        dataset: Anything with ``__getitem__`` and ``__len__``, or an `IterableDataset`.
        batch_size: Samples per batch; None: single samples without a batch axis.
        shuffle: Visit the samples in a new random order each time.
        sampler: Gives the order instead (indices); excludes `shuffle`.
        batch_sampler: Gives lists of indices, whole batches; excludes the four options above.
        num_workers: Worker processes that load ahead; 0 loads in this process. Each process has its copy of the
            dataset, so it must be picklable, and a script needs ``if __name__ == "__main__":``.
        collate_fn: Makes a batch of a list of samples; `default_collate` by default.
        pin_memory: Accepted for PyTorch's sake; batches are copied to the device as they are.
        drop_last: Leave out the last batch when it is smaller.
        timeout: Seconds to wait for a worker's batch; 0: as long as it takes.
        worker_init_fn: Called in each worker with its number at the beginning of an iteration.
        multiprocessing_context: "forkserver" (the default where there is one), "spawn" or "fork".
        generator: An `mlkit.Generator` for the order and the workers' seeds; mlkit's own by default.
        prefetch_factor: Batches each worker loads ahead; 2 by default.
        persistent_workers: Keep the workers between iterations.

    Raises:
        DataError: Options that exclude each other or cannot work.

    A `TensorDataset` (or a `Subset` of one) is indexed once per batch. An exception in a worker arrives here with the
    worker's traceback; a killed worker is an error, not a hang; leaving the loop ends the workers.

    >>> import numpy as np
    >>> from mlkit.data import TensorDataset
    >>> loader = DataLoader(TensorDataset(np.arange(10)), batch_size=4)
    >>> [batch.tolist() for batch, in loader], len(loader)
    ([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]], 3)
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
    ) -> None:
        streams = isinstance(dataset, IterableDataset)
        if not streams and not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise DataError(
                f"DataLoader: a {type(dataset).__qualname__} is no dataset.",
                hint="A dataset has __getitem__(index) and __len__(); for a stream, inherit from IterableDataset.",
            )
        if num_workers < 0 or int(num_workers) != num_workers:
            raise DataError(f"DataLoader: num_workers must be a whole number of at least 0, got {num_workers!r}.")
        if prefetch_factor is not None and (not num_workers or prefetch_factor < 1):
            raise DataError(
                f"DataLoader: prefetch_factor must be at least 1 and needs num_workers > 0, got {prefetch_factor} "
                f"with num_workers={num_workers}."
            )
        if persistent_workers and not num_workers:
            raise DataError("DataLoader: persistent_workers needs num_workers > 0.")
        if sampler is not None and shuffle:
            raise DataError("DataLoader: sampler and shuffle exclude each other.", hint="The sampler gives the order.")
        if streams and (shuffle or sampler is not None or batch_sampler is not None):
            raise DataError("DataLoader: an IterableDataset gives its own order.", hint="Shuffle inside its __iter__.")
        if batch_sampler is not None and (batch_size not in (1, None) or shuffle or sampler is not None or drop_last):
            raise DataError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last.")
        if batch_size is None and drop_last:
            raise DataError("DataLoader: drop_last needs a batch_size.")

        self.dataset = dataset
        self.batch_size = None if batch_size is None or batch_sampler is not None else check_batch_size(batch_size)
        self.num_workers = int(num_workers)
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor = prefetch_factor if prefetch_factor is not None else 2
        self.persistent_workers = persistent_workers
        self._pool: WorkerPool | None = None
        self._streams = streams
        if streams:
            self.sampler, self.batch_sampler = None, None
        else:
            order = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
            self.sampler = sampler if sampler is not None else order
            self.batch_sampler = batch_sampler
            if batch_sampler is None and self.batch_size is not None:
                self.batch_sampler = BatchSampler(self.sampler, self.batch_size, drop_last)

    def __iter__(self) -> Iterator[Any]:
        return self.iterate()

    def iterate(self, skip: int = 0) -> Iterator[Any]:
        """Iterate as ``iter(loader)`` does, without the first batches: they are drawn but not loaded.

        Args:
            skip: How many to leave out; used to take up an interrupted epoch.
        """
        orders = self._orders()
        if not self._streams:
            for _ in itertools.islice(orders, skip):
                pass
            skip = 0
        # Drawn now like the order, not at the first batch: what draws in between must not change it.
        seed = arrays.draw_seed(self.generator)
        batches = self._with_workers(orders, seed) if self.num_workers else self._here(orders)
        return itertools.islice(batches, skip, None) if skip else batches

    def _orders(self) -> Iterator[Any]:
        """Indices for each batch; for a stream just "the next one"."""
        if self._streams:
            return itertools.repeat(None)
        return iter(self.batch_sampler if self.batch_sampler is not None else self.sampler)  # type: ignore[arg-type]

    def _fetch_size(self) -> int | None:
        return 1 if self.batch_sampler is not None and self.batch_size is None else self.batch_size

    def _here(self, orders: Iterator[Any]) -> Iterator[Any]:
        fetcher = Fetcher(self.dataset, self.collate_fn, self._fetch_size(), self.drop_last)
        for indices in orders:
            try:
                batch = fetcher.fetch(indices)
            except StopIteration:
                return
            yield batch

    def _with_workers(self, orders: Iterator[Any], seed: int) -> Iterator[Any]:
        pool = self._pool
        if pool is None or pool.closed:
            payload = (self.dataset, self.collate_fn, self._fetch_size(), self.drop_last, self.worker_init_fn)
            pool = WorkerPool(payload, self.num_workers, self.multiprocessing_context, self.timeout)
        if self.persistent_workers:
            self._pool = pool
        try:
            yield from pool.batches(orders, seed, self.prefetch_factor)
        finally:
            if not self.persistent_workers:
                pool.close()

    def __len__(self) -> int:
        """Number of batches.

        Raises:
            TypeError: The dataset is a stream of unknown length.
        """
        if self._streams:
            if not hasattr(self.dataset, "__len__"):
                raise TypeError(f"A DataLoader of {type(self.dataset).__qualname__} has no length: it is a stream.")
            if self.batch_size is None:
                return len(self.dataset)
            whole, rest = divmod(len(self.dataset), self.batch_size)
            return whole + (1 if rest and not self.drop_last else 0)
        return len(self.batch_sampler if self.batch_sampler is not None else self.sampler)  # type: ignore[arg-type]

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich

        return rich.repr_html(self)

    def __repr__(self) -> str:
        workers = f", num_workers={self.num_workers}" if self.num_workers else ""
        shuffled = ", shuffle=True" if isinstance(self.sampler, RandomSampler) else ""
        return f"DataLoader({self.dataset!r}, batch_size={self.batch_size}{shuffled}{workers})"
