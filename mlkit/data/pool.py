"""The main process's side of the workers: start them, order batches, notice when one dies, end them."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import weakref
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from mlkit.core.errors import DataError
from mlkit.data.worker import Failure, unpack, work

__all__ = ["WorkerPool"]

NOTEBOOK = (
    "Worker processes cannot see what is defined in a notebook or typed at a prompt. Put the class or function in a "
    ".py file and import it, or use num_workers=0."
)
GUARD = (
    'In a script, put what starts the training under\n    if __name__ == "__main__":\nbecause each worker process '
    "imports the script. Or use num_workers=0."
)


class WorkerPool:
    """Worker processes with one copy of a dataset each.

    Args:
        payload: (dataset, collate_fn, batch size, drop_last, worker_init_fn), sent to each worker.
        count: How many workers.
        context: How processes are started: "forkserver", "spawn", "fork"; None: the first of these that the system has.
        timeout: Seconds to wait for a batch; 0: as long as it takes.
    """

    def __init__(self, payload: tuple[Any, ...], count: int, context: Any = None, timeout: float = 0) -> None:
        self.timeout = timeout
        self.epoch = 0
        self._processes: list[Any] = []
        self._connections: list[Connection] = []
        # Workers are ended when the pool is forgotten, and at the latest with the interpreter.
        self._close = weakref.finalize(self, _end, self._processes, self._connections)
        data = _pickled(payload)
        start: Any = context if hasattr(context, "Process") else multiprocessing.get_context(context or _start_method())
        try:
            for worker in range(count):
                ours, theirs = start.Pipe()
                process = start.Process(
                    target=work, args=(theirs, data, worker, count), name=f"mlkit-data-{worker}", daemon=True
                )
                self._connections.append(ours)
                process.start()
                self._processes.append(process)
                theirs.close()
            for worker in range(count):
                self._receive([worker])  # "ready", or why not
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._processes)

    @property
    def closed(self) -> bool:
        return not self._close.alive

    def close(self) -> None:
        """End the workers; none is left when this returns."""
        self._close()

    def batches(self, orders: Iterator[Any], seed: int, prefetch: int) -> Iterator[Any]:
        """Batches in the order of `orders`; workers take turns and are `prefetch` batches ahead each.

        Args:
            orders: Lists of indices; for a stream, None as often as one likes.
            seed: Of this epoch.
            prefetch: Batches per worker that are ordered ahead.
        """
        self.epoch += 1
        count = len(self)
        done: dict[tuple[int, int], tuple[str, Any]] = {}
        waiting: list[tuple[tuple[int, int], int]] = []  # (key, worker) in order
        exhausted: set[int] = set()
        number = 0

        def order(worker: int) -> bool:
            nonlocal number
            try:
                indices = next(orders)
            except StopIteration:
                return False
            key = (self.epoch, number)
            number += 1
            self._send(worker, (key, indices, seed))
            waiting.append((key, worker))
            return True

        more = True
        for _ in range(prefetch):
            for worker in range(count):
                more = more and order(worker)
        while waiting:
            key, worker = waiting.pop(0)
            while key not in done:
                kind, came, content = self._receive(sorted({w for _, w in [(key, worker), *waiting]}))
                if came is not None and came[0] == self.epoch:  # else of an iteration that was left early
                    done[came] = (kind, content)
            kind, content = done.pop(key)
            if kind == "exhausted":
                exhausted.add(worker)
                more = more and len(exhausted) < count
                continue
            if more:
                # the worker that has just delivered has room for one more
                more = order(worker) if worker not in exhausted else more
            yield unpack(content)

    def _send(self, worker: int, order: Any) -> None:
        try:
            self._connections[worker].send(order)
        except OSError:
            self._died(worker)

    def _receive(self, workers: list[int]) -> tuple[str, Any, Any]:
        """The next answer of any of these workers."""
        connections = {self._connections[worker]: worker for worker in workers}
        ready: list[Any] = wait(list(connections), self.timeout or None)
        if not ready:
            self.close()
            raise DataError(
                f"DataLoader: no batch came within timeout={self.timeout} s.",
                hint="Make the dataset faster, use more workers, or allow more time.",
            )
        connection = ready[0]
        try:
            kind, key, content = pickle.loads(connection.recv_bytes())  # noqa: S301 (from our own workers)
        except (EOFError, OSError):
            self._died(connections[connection])
        if kind == "failed":
            if key is None:
                self.close()
                if isinstance(content.error, AttributeError) and "__main__" in content.summary:
                    raise DataError("DataLoader: a worker process could not load the dataset.",
                                    details=content.summary, hint=NOTEBOOK)  # fmt: skip
            assert isinstance(content, Failure)
            content.raise_here()
        return kind, key, content

    def _died(self, worker: int) -> Any:
        process = self._processes[worker]
        process.join(5)
        code = process.exitcode
        self.close()
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in {int(s) for s in signal.Signals} else str(-code)
            raise RuntimeError(
                f"DataLoader: worker process {worker} (pid {process.pid}) was killed by {name}. "
                + ("The machine may be out of memory: use fewer workers or smaller batches." if name == "SIGKILL"
                   else "A library used by the dataset crashed: try num_workers=0 to see where.")
            )  # fmt: skip
        raise RuntimeError(
            f"DataLoader: worker process {worker} (pid {process.pid}) ended with exit code {code}. {GUARD}"
        )


def _start_method() -> str:
    # "fork" copies locks that other threads hold (a training thread, BLAS); it must be asked for.
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def _pickled(payload: tuple[Any, ...]) -> bytes:
    try:
        return pickle.dumps(payload, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise DataError(
            "DataLoader: the dataset (or collate_fn, or worker_init_fn) cannot be sent to worker processes.",
            details=f"{type(error).__name__}: {error}",
            hint="Functions must be defined at the top of a module, not as lambda or inside a function; open files in "
            "__getitem__ and not in __init__. Or use num_workers=0.",
        ) from error


def _end(processes: list[Any], connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()  # each worker's listening thread sees the end and leaves
    for process in processes:
        process.join(1)
        if process.is_alive():
            process.terminate()
            process.join(1)
        if process.is_alive():
            process.kill()
            process.join()
