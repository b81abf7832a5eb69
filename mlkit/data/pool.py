"""The main process's side of the workers: start them, order batches, notice when one dies, end them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import weakref
from collections.abc import Iterator
from multiprocessing.connection import wait
from typing import Any

from mlkit.core.errors import DataError, MlkitError
from mlkit.data import parcel
from mlkit.data.transport import Channel, Shared, supported
from mlkit.data.worker import Failure, shortened, work

__all__ = ["WorkerDied", "WorkerPool", "WorkerTimeout"]

NOTEBOOK = (
    "Worker processes cannot see what is defined in a notebook or typed at a prompt, unless the package cloudpickle is "
    "installed (pip install cloudpickle). Or put the class or function in a .py file and import it, or use "
    "num_workers=0."
)
GUARD = (
    'In a script, put what starts the training under\n    if __name__ == "__main__":\nbecause each worker process '
    "imports the script. Or use num_workers=0."
)


class WorkerDied(MlkitError, RuntimeError):
    """A worker process of a DataLoader ended by itself or was killed."""


class WorkerTimeout(DataError, RuntimeError):
    """No worker delivered within the DataLoader's timeout."""


class WorkerPool:
    """Worker processes with one copy of a dataset each; its large arrays are shared between them.

    Args:
        payload: (dataset, collate_fn, batch size, drop_last, worker_init_fn), sent to each worker.
        count: How many workers.
        context: How processes are started: "forkserver", "spawn", "fork"; None: the first of these that the system has.
        timeout: Seconds to wait for a batch; 0: as long as it takes.
    """

    def __init__(self, payload: tuple[Any, ...], count: int, context: Any = None, timeout: float = 0) -> None:
        self.timeout = timeout
        self.epoch = 0
        self.busy = False
        self._processes: list[Any] = []
        self._channels: list[Channel] = []
        self._doing: list[dict[Any, Any]] = [{} for _ in range(count)]  # key: indices that each worker was asked for
        # Workers are ended when the pool is forgotten, and at the latest with the interpreter.
        self._close = weakref.finalize(self, _end, os.getpid(), self._processes, self._channels)
        large: list[Any] | None = [] if supported() else None
        data, by_value = parcel.pack(payload, large)
        start: Any = context if hasattr(context, "Process") else multiprocessing.get_context(context or _start_method())
        if start.get_start_method() == "forkserver":
            _warm_up()
        shared: Shared | None = None
        try:
            shared = Shared(large) if large else None
            sizes = shared.sizes if shared is not None else []
            for worker in range(count):
                ours, theirs = start.Pipe()
                process = start.Process(
                    target=work, args=(theirs, data, sizes, worker, count), name=f"mlkit-data-{worker}", daemon=True
                )
                self._channels.append(Channel(ours))
                with parcel.main_stays_out(by_value):
                    process.start()
                self._processes.append(process)
                theirs.close()
                if shared is not None:
                    with contextlib.suppress(OSError):  # it has ended already, which is told below
                        self._channels[worker].send_descriptor(shared.segment.descriptor)
            for worker in range(count):
                self._receive([worker])  # "ready", or why not
        except BaseException:
            self.close()
            raise
        finally:
            if shared is not None:
                shared.close()

    def __len__(self) -> int:
        return len(self._processes)

    @property
    def closed(self) -> bool:
        return not self._close.alive

    def close(self) -> None:
        """End the workers; none is left when this returns."""
        self._close()

    def batches(self, orders: Iterator[Any], seed: int, prefetch: int, in_order: bool = True) -> Iterator[Any]:
        """Batches in the order of `orders`; workers take turns and are `prefetch` batches ahead each.

        Args:
            orders: (number of the batch, place of its first sample, indices), for a stream with None as indices.
            seed: Of this epoch.
            prefetch: Batches per worker that are ordered ahead.
            in_order: Else in the order in which they are ready, and a quick worker gets more to do.
        """
        self.busy = True
        try:
            yield from self._batches(orders, seed, prefetch, in_order)
        finally:
            self.busy = False

    def _batches(self, orders: Iterator[Any], seed: int, prefetch: int, in_order: bool) -> Iterator[Any]:
        self.epoch += 1
        count = len(self)
        done: dict[tuple[int, int], tuple[str, Any]] = {}
        waiting: dict[tuple[int, int], int] = {}  # key: worker, in order
        exhausted: set[int] = set()

        def order(worker: int) -> bool:
            try:
                number, place, indices = next(orders)
            except StopIteration:
                return False
            key = (self.epoch, number)
            self._doing[worker][key] = indices
            self._send(worker, (key, place, indices, seed))
            waiting[key] = worker
            return True

        more = True
        for _ in range(prefetch):
            for worker in range(count):
                more = more and order(worker)
        while waiting:
            key = next(iter(waiting))
            while not done if not in_order else key not in done:
                kind, came, content = self._receive(sorted(set(waiting.values())))
                if came is not None and came[0] == self.epoch:  # else of an iteration that was left early
                    done[came] = (kind, content)
            if not in_order:
                key = next(iter(done))
            worker = waiting.pop(key)
            kind, content = done.pop(key)
            if kind == "exhausted":
                exhausted.add(worker)
                more = more and len(exhausted) < count
                continue
            if more:
                # the worker that has just delivered has room for one more
                more = order(worker) if worker not in exhausted else more
            yield content
            content = None  # the user's now, to be freed when they let go

    def _send(self, worker: int, order: Any) -> None:
        try:
            self._channels[worker].connection.send(order)
        except OSError:
            self._died(worker)

    def _receive(self, workers: list[int]) -> tuple[str, Any, Any]:
        """The next answer of any of these workers."""
        connections = {self._channels[worker].connection: worker for worker in workers}
        ready: list[Any] = wait(list(connections), self.timeout or None)
        if not ready:
            late = [worker for worker in workers if self._doing[worker]]
            lines = [f"worker {worker}: {self._task(worker)}" for worker in late]
            self.close()
            raise WorkerTimeout(
                f"DataLoader: no batch came within timeout={self.timeout} s.",
                details="\n".join(lines) or None,
                hint="Make the dataset faster, use more workers, or allow more time.",
            )
        worker = connections[ready[0]]
        try:
            kind, key, content = self._channels[worker].receive()
        except (EOFError, OSError):
            self._died(worker)
        self._doing[worker].pop(key, None)
        if kind == "failed":
            assert isinstance(content, Failure)
            if key is None:
                self.close()
                if isinstance(content.error, AttributeError) and "__main__" in content.summary:
                    raise DataError("DataLoader: a worker process could not load the dataset.",
                                    details=content.summary, hint=NOTEBOOK)  # fmt: skip
                content.raise_here()
            if key[0] == self.epoch:
                content.raise_here()
        return kind, key, content

    def _task(self, worker: int) -> str:
        indices = next(iter(self._doing[worker].values()), None)
        return "loading the next samples" if indices is None else f"loading samples {shortened(indices)}"

    def _died(self, worker: int) -> Any:
        process = self._processes[worker]
        process.join(5)
        code = process.exitcode
        doing = f"It was {self._task(worker)}." if self._doing[worker] else None
        self.close()
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in {int(s) for s in signal.Signals} else str(-code)
            if name in ("SIGKILL", "SIGBUS"):
                hint = (
                    "Most likely the machine ran out of memory: use fewer workers, smaller batches or a smaller "
                    "prefetch_factor."
                )
            else:
                hint = "A library used by the dataset crashed: try num_workers=0 to see where."
            raise WorkerDied(
                f"DataLoader: worker process {worker} (pid {process.pid}) was killed by {name}.", doing, hint
            )
        raise WorkerDied(
            f"DataLoader: worker process {worker} (pid {process.pid}) ended with exit code {code}.", doing, GUARD
        )


def _start_method() -> str:
    # "fork" copies locks that other threads hold (a training thread, BLAS); it must be asked for.
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def _warm_up() -> None:
    """Let the server that forks workers import this library once, so that a worker is there in an instant."""
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    with server._lock:
        if server._forkserver_pid is not None or server._preload_modules not in ([], ["__main__"]):
            return  # it runs already, or the user has said what to load
    # It looks for modules in its own sys.path, which before Python 3.13 is not ours: it must be this very library.
    kept = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path if isinstance(path, str))
    forkserver.set_forkserver_preload(["mlkit.data.worker", "mlkit.data.transforms", "PIL.Image"])
    try:
        with parcel.main_stays_out(True):
            forkserver.ensure_running()
    finally:
        if kept is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = kept


def _end(owner: int, processes: list[Any], channels: list[Channel]) -> None:
    if os.getpid() != owner:  # a fork of the process that has the workers
        return
    for channel in channels:
        with contextlib.suppress(OSError):
            channel.close()  # each worker's listening thread sees the end and leaves
    for process in processes:
        process.join(1)
        if process.is_alive():
            process.terminate()
            process.join(1)
        if process.is_alive():
            process.kill()
            process.join()
