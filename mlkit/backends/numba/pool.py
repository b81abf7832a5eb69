"""The one thread pool of the CPU: ranges of work for kernels that release the GIL, and for NumPy's products.

Two pools that fight for the cores cost more than they give (BLAS threads spin between products), so there is this one,
and BLAS works with one thread inside it. The caller takes part in its own work and never waits for a thread that has
not begun: calls may come from several Python threads at once, and from inside the pool.

There are two ways in. ``split`` gives ranges to a Python function. ``share`` gives them to a kernel whose arguments are
whole numbers, without Python and without waking a thread (see team_kernels.py), so it pays for small work too.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import itertools
import os
import queue
import threading
import time
from collections.abc import Callable

import numpy as np

from mlkit.backends import numba
from mlkit.backends.numba.scratch import address, floats
from mlkit.backends.numpy import blas
from mlkit.core import machine


def _default() -> int:
    for name in ("MLKIT_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0]
        if text.isdigit() and int(text) > 0:
            return int(text)
    return machine.cores()


_threads: int | None = None
_started = 0
_waiting: queue.SimpleQueue = queue.SimpleQueue()
_lock = threading.Lock()


def threads() -> int:
    """How many threads work on one operation: MLKIT_NUM_THREADS, OMP_NUM_THREADS, or all cores this process may use
    (see `mlkit.core.machine.cores`)."""
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


def _work(number: int) -> None:
    mine = _waiting
    while True:
        # watch for kernels' ranges for a while, then sleep until something comes
        wanted = _team.serve(number) if _team is not None else 0
        while True:
            try:
                job = mine.get(not wanted)
            except queue.Empty:
                if _team is not None:
                    _team.calls[0] = 0
                if mine.empty():
                    break
                continue
            if job is Stop:
                return
            if job is None:
                break
            job.help()
            wanted = 1  # no sleep before the next look around


class Stop:
    """Ends a thread that takes it."""


def _start(count: int) -> None:
    global _started
    with _lock:
        while _started < count:
            _started += 1
            threading.Thread(target=_work, args=(_started,), name=f"kernels-{_started - 1}", daemon=True).start()


def _ended() -> None:
    """With the interpreter: a thread that came back from a kernel after that could not go on."""
    for _ in range(_started):
        _waiting.put(Stop)
    if _team is not None:
        _team.calls[0] = 1
        end = time.monotonic() + 0.1
        while _team.awake[0] > 0 and time.monotonic() < end:
            time.sleep(0.0005)


atexit.register(_ended)


def split(work: Callable[[int, int], object], total: int, grain: int = 1, step: int = 1) -> None:
    """Call ``work(start, stop)`` for ranges that cover 0 .. total, each of at least ``grain`` and beginning at a multiple of
    ``step``, on the pool's threads.

    ``work`` should spend its time without the GIL. Returns when all is done; an error in any range is raised here, and
    so is an interrupt, after the ranges that had begun.
    """
    count = _threads or threads()
    parts = min(count * 2, total // max(grain, step)) if count > 1 else 1
    if parts < 2:
        if total:
            work(0, total)
        return
    job = Job(work, [*(total * i // parts // step * step for i in range(parts)), total])
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
                    if _team is not None:
                        _team.calls[0] = 1
                    job.work_on()
                job.close()
                break
            except BaseException as error:
                wrong = error
    wrong = wrong or job.error
    if wrong is not None:
        raise wrong


# --- ranges without Python ------------------------------------------------------------------------------------------------

WATCH = 1e-3  # seconds that a thread looks for work before it sleeps
LATE = 1e-3  # seconds that a caller waits for the others; where that is longer than its own work took, it works alone
ALONE = 20  # for as long, for twice as long if that comes again, at most for so many times: the machine has other work
MOST = 255  # threads that work on one job
MISSED, PAUSE = 4, 2.5e-4  # so many jobs that nobody else took part in count like a wait of so many seconds
WOKEN = 1 / 8  # a job for which threads first had to be woken counts as so much of one
PATIENCE = 3e-5  # seconds that a caller looks whether the others are done before it lets other threads run

_team: Team | None = None
_names = itertools.count(1)


class Team:
    """The threads that watch for kernels' ranges: the numbers they watch, as arrays, and what kernels are to be called."""

    def __init__(self, count: int):
        self.k = k = numba.kernels(f"{__package__}.team")
        self.count = count
        self.again = 0.0  # until then the caller works alone
        self.times = 1  # how many times what it lost
        self.missed = 0.0  # jobs one after another of which the others took nothing
        self.kernels: dict = {}  # kernel -> (address, arguments)
        self.memory = floats((k.SIZE + k.MOST * count) * 2).view(np.int64)
        self.memory[:] = 0
        self.box = address(self.memory)
        self.awake, self.calls, self.busy = [self.memory[at // 8 :][:1] for at in (k.AWAKE, k.CALLS, k.BUSY)]
        self.way = _way()
        k.serve(self.box, 0, 1, 0)
        began = time.perf_counter()
        k.serve(self.box, 0, 2000, self.way)
        each = (time.perf_counter() - began) / 2000
        self.patience = max(1, int(PATIENCE / each))
        self.looks = max(1, int(WATCH / each)) if count <= machine.cores() else 1

    def serve(self, number: int) -> int:
        return self.k.serve(self.box, number, self.looks, self.way) if number < self.count else 0

    def known(self, kernel) -> tuple[int, int]:
        """A kernel's address, and how many arguments it has besides its range."""
        found = self.kernels.get(kernel)
        if found is None:
            compiling = importlib.import_module(f"{__package__}.compiling")
            found = self.kernels[kernel] = compiling.address_of(kernel), kernel.py_func.__code__.co_argcount - 2
        return found

    def share(self, kernel, arguments, total: int, parts: int, most: int, step: int, room: int, each: int) -> bool:
        """Whether it was done: not where another thread's job is under way."""
        place, count = self.known(kernel)
        given = np.array(arguments, np.int64)
        assert given.size == count, f"{kernel.__name__} has {count} arguments besides its range, and got {given.size}"
        missing = most - 1 - int(self.awake[0]) - _waiting.qsize()
        for _ in range(missing):
            _waiting.put(None)
        name, begun, done = next(_names), False, 1
        interrupt: BaseException | None = None
        began = worked = time.perf_counter()
        while True:  # threads that still work write into memory that the caller has a right to, whatever interrupts it
            try:
                if not begun:
                    begun = True
                    done = self.k.share(
                        self.box,
                        name,
                        place,
                        count,
                        address(given),
                        total,
                        parts,
                        most,
                        step,
                        room,
                        each,
                        self.patience,
                    )
                    worked = time.perf_counter()
                while self.busy[0] == name:
                    time.sleep(0)
                    self.k.wait(self.box, self.patience)
                break
            except BaseException as error:
                interrupt = error
        now = time.perf_counter()
        if now - worked > max(worked - began, LATE):  # something else has the others' cores
            self.leave(now, now - worked)
        self.missed = self.missed + (WOKEN if missing > 0 else 1) if done == parts + 1 else 0
        if self.missed >= MISSED:  # they do not come to it
            self.leave(now, PAUSE)
        if interrupt is not None:
            raise interrupt
        return bool(done)

    def leave(self, now: float, lost: float) -> None:
        """The caller lost so many seconds by the others: it works alone for a while, longer each time where this goes on."""
        self.times = min(2 * self.times, ALONE) if now - self.again < ALONE * lost else 1
        self.again, self.missed = max(self.again, now + self.times * lost), 0


def _way() -> int:
    """The address of the system's function that lets other threads run, 0 where it is not found."""
    try:
        library = ctypes.CDLL("kernel32" if os.name == "nt" else None)
        function = library.SwitchToThread if os.name == "nt" else library.sched_yield
        return ctypes.cast(function, ctypes.c_void_p).value or 0
    except (OSError, AttributeError, TypeError):
        return 0


def _gather(count: int) -> Team:
    """The team of so many threads, its threads started."""
    global _team
    with _lock:
        if _team is None or _team.count < count:
            _team = Team(max(count, 2))
    _start(count - 1)
    return _team


def share(kernel, arguments: tuple, total: int, grain: int = 1, step: int = 1, room: int = -1, size: int = 0) -> None:
    """Call ``kernel(*arguments, start, stop)`` for ranges that cover 0 .. total, as ``split`` does, but without Python: the
    kernel's arguments are whole numbers. Ranges begin at multiples of ``step``. Where ``room`` is a place in ``arguments``,
    the address there is replaced by that of ``size`` numbers (float32) which a thread has for itself."""
    count = _threads or threads()
    parts = min(count * 2, total // grain) if count > 1 else 1
    helping = min(count, parts, MOST)
    if room >= 0:
        size = -(-size // 16) * 16
        space = floats(size * max(helping, 1))
        arguments = (*arguments[:room], address(space), *arguments[room + 1 :])
    if helping > 1:
        team = _team if _team is not None and _team.count >= count and _started >= count - 1 else _gather(count)
        if time.perf_counter() >= team.again and team.share(
            kernel, arguments, total, parts, helping, step, room, size * 4
        ):
            return
    if total:
        kernel(*arguments, 0, total)


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
    global _started, _waiting, _lock, _alone, _team
    _started, _waiting, _lock, _team = 0, queue.SimpleQueue(), threading.Lock(), None
    if _alone:
        _alone = 0
        found = blas.openblas()
        if found is not None:
            found[1](_before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
