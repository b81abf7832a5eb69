"""Batches of a dataset, in this process or from worker processes."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from mlkit.core.errors import ArgumentError, DataError
from mlkit.core.rng import Generator, default_generator
from mlkit.data import arrays
from mlkit.data.dataset import IterableDataset
from mlkit.data.fetch import Fetcher
from mlkit.data.pool import WorkerPool
from mlkit.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, check_batch_size

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
            dataset, whose large arrays they share.
        collate_fn: Makes a batch of a list of samples; `default_collate` by default.
        pin_memory: Put batches into page-locked memory, from which a GPU copies faster; without a GPU they stay as
            they are, and a warning says so.
        drop_last: Leave out the last batch when it is smaller.
        timeout: Seconds to wait for a worker's batch; 0: as long as it takes.
        worker_init_fn: Called in each worker with its number at the beginning of an iteration.
        multiprocessing_context: "forkserver" (the default where there is one), "spawn", "fork", or a context of
            `multiprocessing`.
        generator: An `mlkit.Generator` for the order and the seeds; mlkit's own by default.
        prefetch_factor: Batches each worker loads ahead; 2 by default.
        persistent_workers: Keep the workers between iterations. They keep the dataset as it was when they started.
        pin_memory_device: Accepted for PyTorch's sake.
        in_order: Give batches in the sampler's order. False: as soon as they are ready, so that a slow sample holds
            nobody up; what is in the batches stays the same.

    Raises:
        DataError: Options that exclude each other or cannot work.

    A `TensorDataset` (or a `Subset` of one) is indexed once per batch; a dataset with ``__getitems__(indices)`` is
    asked once per batch. Large arrays come from workers through shared memory, without a copy. An exception in a worker
    arrives here with the worker's traceback; a killed worker is an error, not a hang; leaving the loop ends the workers.

    Random numbers are the same at any number of workers: each sample is loaded with mlkit's generator (and
    `mlkit.data.transforms`) at the beginning of a stream of its own; NumPy's and Python's global generators start anew
    with each batch.

    `state_dict` and `load_state_dict` take up an epoch in the middle.

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
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
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
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        streams = isinstance(dataset, IterableDataset)
        if not streams and not hasattr(dataset, "__getitem__"):
            raise DataError(
                f"DataLoader: a {type(dataset).__qualname__} is no dataset.",
                hint="A dataset has __getitem__(index) and __len__(); for a stream, inherit from IterableDataset.",
            )
        if not streams and sampler is None and batch_sampler is None and not hasattr(dataset, "__len__"):
            raise DataError(
                f"DataLoader: a {type(dataset).__qualname__} is no dataset: it has no length.",
                hint="Define __len__(), or give a sampler that says which indices to visit.",
            )
        _check_options(num_workers, prefetch_factor, persistent_workers, timeout, collate_fn, worker_init_fn, generator)
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
        self.pin_memory_device = pin_memory_device
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = _check_context(multiprocessing_context, self.num_workers)
        self.generator = generator
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self._pool: WorkerPool | None = None
        self._streams = streams
        self._latest: _Progress | None = None
        self._resume: dict[str, Any] | None = None
        self._pin = arrays.pinner() if pin_memory else None
        self.sampler: Any
        self.batch_sampler: Any
        if streams:
            self.sampler, self.batch_sampler = None, None
        else:
            self.sampler = sampler
            if sampler is None and (batch_sampler is None or hasattr(dataset, "__len__")):
                self.sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
            self.batch_sampler = batch_sampler
            if batch_sampler is None and self.batch_size is not None:
                self.batch_sampler = BatchSampler(self.sampler, self.batch_size, drop_last)
        self._fixed = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and self.__dict__.get("_fixed"):
            raise DataError(
                f"DataLoader: {name} cannot be changed once the loader is made.",
                hint="Make a new DataLoader; it costs nothing.",
            )
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[Any]:
        return self.iterate()

    def iterate(self, skip: int = 0) -> Iterator[Any]:
        """Iterate as ``iter(loader)`` does, without the first batches: they are drawn but not loaded.

        Args:
            skip: How many to leave out; used to take up an interrupted epoch.
        """
        resume, self._resume = self._resume, None
        if resume is not None:
            skip += resume["batches"]
            now = self._random_state()
            self._set_random_state(resume)
        start = self._random_state()
        orders = self._orders()
        if not self._streams:
            for _ in itertools.islice(orders, skip):
                pass
        # Drawn now like the order, not at the first batch: what draws in between must not change it.
        seed = arrays.draw_seed(self.generator)
        if resume is not None:
            self._set_random_state(now, others_only=True)
        batches = self._with_workers(orders, seed) if self.num_workers else self._here(orders, seed)
        self._latest = _Progress(start, skip)
        return _Batches(self, batches, self._latest, drop=skip if self._streams else 0)

    def _orders(self) -> Iterator[tuple[int, int, Any]]:
        """(number, place of the first sample, indices) of each batch; for a stream just "the next one"."""
        if self._streams:
            return ((number, 0, None) for number in itertools.count())
        if self.batch_sampler is not None:
            return _numbered(iter(self.batch_sampler), many=True)
        return _numbered(iter(self.sampler), many=False)

    def _fetch_size(self) -> int | None:
        return 1 if self.batch_sampler is not None and self.batch_size is None else self.batch_size

    def _here(self, orders: Iterator[Any], seed: int) -> Iterator[Any]:
        fetcher = Fetcher(self.dataset, self.collate_fn, self._fetch_size(), self.drop_last, seed)
        for number, place, indices in orders:
            try:
                batch = fetcher.fetch(number, place, indices)
            except StopIteration:
                return
            yield batch
            batch = None

    def _with_workers(self, orders: Iterator[Any], seed: int) -> Iterator[Any]:
        pool = self._pool
        if pool is None or pool.closed or pool.busy:
            payload = (self.dataset, self.collate_fn, self._fetch_size(), self.drop_last, self.worker_init_fn)
            pool = WorkerPool(payload, self.num_workers, self.multiprocessing_context, self.timeout)
        kept = self.persistent_workers and (self._pool is None or self._pool.closed or self._pool is pool)
        if kept:
            self._pool = pool
        try:
            yield from pool.batches(orders, seed, self.prefetch_factor or 2, self.in_order)
        finally:
            if not kept:
                pool.close()

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration is: numbers and lists only, fit for JSON.

        In the middle of an epoch (inside the loop, or after leaving it early), a loader built alike that gets this by
        `load_state_dict` goes on with the next batch: same order, same random transforms, at any number of workers. At
        the end of an epoch it begins the next one. A stream is read again from its beginning to that place.

        >>> from mlkit.data import TensorDataset
        >>> loader = DataLoader(TensorDataset(np.arange(6)), batch_size=2, shuffle=True)
        >>> for i, batch in enumerate(loader):
        ...     if i == 1:
        ...         state = loader.state_dict()
        >>> again = DataLoader(TensorDataset(np.arange(6)), batch_size=2, shuffle=True)
        >>> again.load_state_dict(state)
        >>> [bool((a[0] == batch[0]).all()) for a in again]
        [True]
        """
        if self._resume is not None:
            return dict(self._resume)
        latest = self._latest
        if latest is None or latest.finished:
            return {"format": 1, "batches": 0, **self._random_state()}
        if not self.in_order:
            warnings.warn(
                "DataLoader.state_dict: with in_order=False batches come in any order, and which of them were seen is "
                "not kept; the epoch is taken up after as many batches of the sampler's order.",
                stacklevel=2,
            )
        return {"format": 1, "batches": latest.count, **latest.start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration go on where `state_dict` was taken.

        Raises:
            DataError: It is no state of a DataLoader.
        """
        if not isinstance(state, dict) or state.get("format") != 1 or "batches" not in state:
            raise DataError("DataLoader.load_state_dict: this is no state of a DataLoader.", details=repr(state)[:200])
        self._resume = dict(state)

    def _random_state(self) -> dict[str, Any]:
        """All that the next order is drawn from."""
        state: dict[str, Any] = {"generator": list((self.generator or default_generator).get_pair())}
        for source in (self.sampler, self.batch_sampler):
            own = getattr(source, "generator", None)
            if isinstance(own, Generator) and own is not self.generator:
                state.setdefault("samplers", []).append(list(own.get_pair()))
        for name, source in (("sampler", self.sampler), ("batch_sampler", self.batch_sampler)):
            if not type(source).__module__.startswith("mlkit.data") and isinstance(source, Sampler):
                state["numpy"], state["python"] = _numpy_state(), _python_state()
            if callable(getattr(source, "state_dict", None)):
                state[name] = source.state_dict()
        return state

    def _set_random_state(self, state: dict[str, Any], others_only: bool = False) -> None:
        """Put it back; `others_only` leaves streams that belong to this loader where the order has left them."""
        if self.generator is None:
            default_generator.set_pair(*state["generator"])
        elif not others_only:
            self.generator.set_pair(*state["generator"])
        if "numpy" in state:
            name, keys, position, has_gauss, gauss = state["numpy"]
            np.random.set_state((name, np.array(keys, np.uint32), position, has_gauss, gauss))
            version, words, gauss_next = state["python"]
            random.setstate((version, tuple(words), gauss_next))
        if others_only:
            return
        pairs = iter(state.get("samplers", ()))
        for name, source in (("sampler", self.sampler), ("batch_sampler", self.batch_sampler)):
            own = getattr(source, "generator", None)
            if isinstance(own, Generator) and own is not self.generator:
                own.set_pair(*next(pairs, own.get_pair()))
            if name in state and callable(getattr(source, "load_state_dict", None)):
                source.load_state_dict(state[name])

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

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
        from mlkit.core import rich

        return rich.repr_mimebundle(self, include, exclude)

    def __repr__(self) -> str:
        workers = f", num_workers={self.num_workers}" if self.num_workers else ""
        shuffled = ", shuffle=True" if isinstance(self.sampler, RandomSampler) else ""
        return f"DataLoader({self.dataset!r}, batch_size={self.batch_size}{shuffled}{workers})"


#: Attributes that the samplers were made from.
_FIXED = {"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"}


class _Progress:
    """How far an iteration is. The loader knows this and not the iterator, which ends its workers when it is dropped."""

    def __init__(self, start: dict[str, Any], count: int) -> None:
        self.start, self.count, self.finished = start, count, False


class _Batches:
    """One iteration over a loader."""

    def __init__(self, loader: DataLoader, batches: Any, progress: _Progress, drop: int) -> None:
        self._loader, self._batches, self._progress, self._drop = loader, batches, progress, drop
        self._warned = False

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> Any:
        try:
            for _ in range(self._drop):
                next(self._batches)
            self._drop = 0
            batch = next(self._batches)
        except StopIteration:
            self._progress.finished = True
            raise
        self._progress.count += 1
        loader, count = self._loader, self._progress.count
        if loader._streams and not self._warned and count > (_length(loader) or count):
            self._warned = True
            warnings.warn(
                f"The IterableDataset {type(loader.dataset).__qualname__} says its length is {len(loader.dataset)}, "
                f"which makes {len(loader)} batches, and has given {count}. With worker processes, each of them "
                "must iterate over its own part: see get_worker_info.",
                stacklevel=2,
            )
        return batch if loader._pin is None else loader._pin(batch)

    def __len__(self) -> int:
        return len(self._loader)

    def close(self) -> None:
        """End the iteration; its workers end, unless they are persistent."""
        self._batches.close()


def _length(loader: DataLoader) -> int | None:
    try:
        return len(loader)
    except TypeError:
        return None


def _numbered(indices: Iterator[Any], many: bool) -> Iterator[tuple[int, int, Any]]:
    place = 0
    for number, some in enumerate(indices):
        if many and not isinstance(some, (list, tuple)):
            some = list(some)
        yield number, place, some
        place += len(some) if many else 1


def _check_options(
    num_workers: Any, prefetch: Any, persistent: bool, timeout: Any, collate: Any, init: Any, generator: Any
) -> None:
    if isinstance(num_workers, bool) or num_workers < 0 or int(num_workers) != num_workers:
        raise DataError(f"DataLoader: num_workers must be a whole number of at least 0, got {num_workers!r}.")
    if prefetch is not None and (not num_workers or prefetch < 1):
        raise DataError(
            f"DataLoader: prefetch_factor must be at least 1 and needs num_workers > 0, got {prefetch} "
            f"with num_workers={num_workers}."
        )
    if persistent and not num_workers:
        raise DataError("DataLoader: persistent_workers needs num_workers > 0.")
    if timeout < 0:
        raise DataError(f"DataLoader: timeout must be at least 0 (0: wait as long as it takes), got {timeout}.")
    for name, value in (("collate_fn", collate), ("worker_init_fn", init)):
        if value is not None and not callable(value):
            raise ArgumentError(f"DataLoader: {name} must be a function, got a {type(value).__qualname__}.")
    if generator is not None and not isinstance(generator, Generator):
        raise ArgumentError(
            f"DataLoader: generator must be an mlkit.Generator, got a {type(generator).__qualname__}.",
            hint="Write mlkit.Generator().manual_seed(0).",
        )


def _check_context(context: Any, num_workers: int) -> Any:
    if context is None:
        return None
    if not num_workers:
        raise DataError("DataLoader: multiprocessing_context needs num_workers > 0.")
    if isinstance(context, str):
        known = multiprocessing.get_all_start_methods()
        if context not in known:
            raise DataError(f"DataLoader: multiprocessing_context must be one of {known}, got {context!r}.")
    elif not hasattr(context, "Process"):
        raise ArgumentError(
            f"DataLoader: multiprocessing_context must be a name or a multiprocessing context, got {context!r}."
        )
    return context


def _numpy_state() -> list[Any]:
    name, keys, position, has_gauss, gauss = np.random.get_state()
    return [name, np.asarray(keys).tolist(), int(position), int(has_gauss), float(gauss)]


def _python_state() -> list[Any]:
    version, words, gauss_next = random.getstate()
    return [version, list(words), gauss_next]
