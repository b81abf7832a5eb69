"""The worker process of a `DataLoader`: it receives indices and sends batches.

Each worker has a pipe of its own, so a killed worker leaves no lock behind for the others to wait on. A thread reads
the orders: the loader never waits for a worker that is busy sending, and a worker whose loader is gone ends by itself.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from mlkit.core import rich
from mlkit.data import arrays
from mlkit.data.fetch import Fetcher
from mlkit.data.transport import Channel, Shared, close_inherited

__all__ = ["WorkerInfo", "get_worker_info", "work"]


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker this process is."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process, its `WorkerInfo`; None in the main process.

    >>> get_worker_info() is None
    True
    """
    return _info


class Failure:
    """An exception on its way to the main process, with its traceback as text."""

    def __init__(self, error: BaseException, where: str) -> None:
        self.where = where
        self.text = "".join(traceback.format_exception(error)).rstrip()
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes, this moment)
            self.error: BaseException | None = error
        except Exception:
            self.error = None
        self.summary = f"{type(error).__name__}: {error}"

    def raise_here(self) -> None:
        """Raise the worker's exception in this process; its own traceback is shown above it."""
        error = self.error if self.error is not None else RuntimeError(self.summary)
        error.add_note(f"(raised in {self.where})")
        error._render_traceback_ = rich.Rendered(error)  # type: ignore[attr-defined]  # a card in a notebook
        raise error from WorkerTraceback(f"\n\nIn {self.where}:\n{self.text}")


class WorkerTraceback(Exception):
    """The traceback inside the worker process, as text."""


def work(connection: Connection, payload: bytes, sizes: list[int], worker: int, count: int) -> None:
    """The main function of a worker process.

    Args:
        connection: To the loader.
        payload: Pickled (functions to call first, pickled work); the work is
            (dataset, collate_fn, batch size, drop_last, worker_init_fn).
        sizes: Of its large arrays in bytes; where there are some, their memory comes through the connection.
        worker: Number of this worker, from 0.
        count: How many workers there are.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which then ends its workers
    orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
    name = f"data loader worker {worker}"
    close_inherited()
    channel = Channel(connection)
    try:
        large = Shared.parts(channel.receive_descriptor(), sizes) if sizes else []
        before, rest = pickle.loads(payload)  # noqa: S301 (from our parent)
        for call in before:
            call()
        content = pickle.loads(rest, buffers=large)  # noqa: S301 (from our parent)
        dataset, collate, batch_size, drop_last, init = content
    except BaseException as error:
        channel.send("failed", None, Failure(error, f"{name}, while it was started"))
        return
    threading.Thread(target=_listen, args=(connection, orders), daemon=True).start()
    channel.send("ready", None, None)
    fetcher, epoch = None, None
    while True:
        order = orders.get()
        if order is None:
            return
        key, place, indices, seed = order
        where = name
        kind: str
        answer: Any
        try:
            if key[0] != epoch:
                epoch = key[0]
                _begin_epoch(worker, count, seed, dataset)
                if init is not None:
                    init(worker)
                fetcher = Fetcher(dataset, collate, batch_size, drop_last, seed, worker)
            if indices is not None:
                where = f"{name}, loading samples {shortened(indices)}"
            assert fetcher is not None
            channel.collect()
            try:
                kind, answer = "batch", fetcher.fetch(key[1], place, indices)
            except StopIteration:
                kind, answer = "exhausted", None
        except Exception as error:
            kind, answer = "failed", Failure(error, where)
        try:
            try:
                channel.send(kind, key, answer)
            except OSError:  # the loader is gone
                return
            except Exception as error:  # a batch that cannot be pickled, or has no room
                channel.send("failed", key, Failure(error, f"{where}, while it was sent"))
        except OSError:
            return
        kind = answer = None  # type: ignore[assignment]  # the batch's memory is not ours while we wait


def _listen(connection: Connection, orders: queue.SimpleQueue[Any]) -> None:
    try:
        while (order := connection.recv()) is not None:
            orders.put(order)
    except (EOFError, OSError):
        os._exit(0)  # the main process has died: nobody is left to send to, or to report to
    orders.put(None)


def _begin_epoch(worker: int, count: int, seed: int, dataset: Any) -> None:
    global _info
    _info = WorkerInfo(worker, count, seed + worker, dataset)
    arrays.seed_everything(seed + worker)


def shortened(indices: Any) -> str:
    """Indices in a few words: "[3, 5, 8] " or "[0, 1, 2, 3, 4, 5, ...] (64 samples)"."""
    if not isinstance(indices, (list, tuple)):
        return f"[{indices}]"
    shown = ", ".join(str(index) for index in indices[:6])
    return f"[{shown}, ...] ({len(indices)} samples)" if len(indices) > 6 else f"[{shown}]"
