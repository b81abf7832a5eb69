"""The one thread pool of the CPU: ranges of work for kernels that release the GIL, and for NumPy's products.

Two pools that fight for the cores cost more than they give (BLAS threads spin between products), so there is this one,
and BLAS works with one thread inside it. The caller takes part in its own work and never waits for a thread that has
not begun: calls may come from several Python threads at once, and from inside the pool.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

from mlkit.backends.numpy import blas


def _default() -> int:
    for name in ("MLKIT_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0]
        if text.isdigit() and int(text) > 0:
            return int(text)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


_threads: int | None = None
_started = 0
_waiting: queue.SimpleQueue = queue.SimpleQueue()
_lock = threading.Lock()


def threads() -> int:
    """How many threads work on one operation: MLKIT_NUM_THREADS, OMP_NUM_THREADS, or all cores this process may use."""
    global _threads
    if _threads is None:
        _threads = _default()
    return _threads


def set_threads(count: int) -> None:
    """Set it, from the next operation on; for what NumPy's BLAS does alone (decompositions) too."""
    global _threads, _before
    _threads = count
    found = blas.openblas()
    if found is not None:
        with _lock:
            _before = count
            if _alone == 0:
                found[1](count)


class Job:
    """Ranges of one piece of work; whoever is free takes the next.

    An interrupt may hit the caller anywhere, also between taking a range and working on it. So what is counted are the
    pool's threads that are at it: no interrupt ever reaches them.
    """

    __slots__ = ("bounds", "done", "error", "helping", "lock", "next", "work")

    def __init__(self, work: Callable[[int, int], object], bounds: list[int]):
        self.work = work
        self.bounds = bounds
        self.next = self.helping = 0
        self.error: BaseException | None = None
        self.lock = threading.Lock()
        self.done = threading.Lock()
        self.done.acquire()

    def work_on(self) -> None:
        """Take ranges until none is left."""
        while True:
            with self.lock:
                i = self.next
                if i >= len(self.bounds) - 1:
                    return
                self.next = i + 1
            self.work(self.bounds[i], self.bounds[i + 1])

    def help(self) -> None:
        """The same in a thread of the pool. What goes wrong is kept for the caller, and nobody begins another range."""
        with self.lock:
            if self.next >= len(self.bounds) - 1:
                return
            self.helping += 1
        try:
            self.work_on()
        except BaseException as error:
            self.error = error
        with self.lock:
            if self.error is not None:
                self.next = len(self.bounds)
            self.helping -= 1
            last = not self.helping and self.next >= len(self.bounds) - 1
        if last:
            self.done.release()

    def close(self) -> None:
        """Nobody begins another range from now on, and none is under way."""
        with self.lock:
            self.next = len(self.bounds)
            if not self.helping:
                return
        self.done.acquire()


def _work() -> None:
    while True:
        _waiting.get().help()


def _start(count: int) -> None:
    global _started
    with _lock:
        while _started < count:
            threading.Thread(target=_work, name=f"kernels-{_started}", daemon=True).start()
            _started += 1


def split(work: Callable[[int, int], object], total: int, grain: int = 1) -> None:
    """Call ``work(start, stop)`` for ranges that cover 0 .. total, each of at least ``grain``, on the pool's threads.

    ``work`` should spend its time without the GIL. Returns when all is done; an error in any range is raised here, and
    so is an interrupt, after the ranges that had begun.
    """
    count = _threads or threads()
    parts = min(count * 2, total // grain) if count > 1 else 1
    if parts < 2:
        if total:
            work(0, total)
        return
    job = Job(work, [total * i // parts for i in range(parts + 1)])
    helpers = min(count, parts) - 1
    if _started < helpers:
        _start(helpers)
    begun = False
    wrong: BaseException | None = None
    with one_blas_thread():
        while True:  # an interrupt, wherever it comes, is raised when no thread writes any more
            try:
                if not begun:
                    begun = True
                    for _ in range(helpers):
                        _waiting.put(job)
                    job.work_on()
                job.close()
                break
            except BaseException as error:
                wrong = error
    wrong = wrong or job.error
    if wrong is not None:
        raise wrong


# --- BLAS inside ----------------------------------------------------------------------------------------------------------

_alone = 0  # how many are inside one_blas_thread now
_before = 1


class OneBlasThread:
    """NumPy's products inside use one thread, where that can be set; put back when the last of several callers leaves.

    A class, since the context manager that a generator makes costs 2 us, as much as a small product."""

    __slots__ = ()

    def __enter__(self) -> None:
        global _alone, _before
        found = blas.openblas()
        if found is not None:
            with _lock:
                if _alone == 0:
                    _before = found[0]()
                    if _before > 1:
                        found[1](1)
                _alone += 1

    def __exit__(self, *exc) -> None:
        global _alone
        found = blas.openblas()
        if found is not None:
            with _lock:
                _alone -= 1
                if _alone == 0 and _before > 1:
                    found[1](_before)


_one_blas_thread = OneBlasThread()


def one_blas_thread() -> OneBlasThread:
    """``with one_blas_thread():`` see OneBlasThread."""
    return _one_blas_thread


def _forked() -> None:
    """In a forked child: the threads are gone and a lock may be held by one of them."""
    global _started, _waiting, _lock, _alone
    _started, _waiting, _lock = 0, queue.SimpleQueue(), threading.Lock()
    if _alone:
        _alone = 0
        found = blas.openblas()
        if found is not None:
            found[1](_before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
