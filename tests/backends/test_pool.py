"""The thread pool: ranges cover the work, errors and interrupts arrive after all threads have stopped, forks work."""

from __future__ import annotations

import faulthandler
import linecache
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import mlkit
from mlkit.backends import numba
from mlkit.backends.numba import pool
from mlkit.backends.numba.scratch import address
from mlkit.backends.numpy import blas

needs_openblas = pytest.mark.skipif(blas.openblas() is None, reason="NumPy here uses another BLAS")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.fixture
def threads():
    before = pool.threads()
    yield pool.set_threads
    pool.set_threads(before)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("total, grain", [(0, 1), (1, 1), (7, 3), (1000, 1), (1000, 999)])
def test_ranges_cover_the_work_once(threads, count, total, grain):
    threads(count)
    seen = np.zeros(total, int)

    def work(start, stop):
        assert stop > start and (stop - start >= grain or total < 2 * grain)
        seen[start:stop] += 1

    pool.split(work, total, grain)
    assert (seen == 1).all()


def test_the_work_is_done_by_several_threads(threads):
    threads(3)
    names, meet = set(), threading.Barrier(3, timeout=30)

    def work(start, stop):
        if threading.current_thread().name not in names:
            names.add(threading.current_thread().name)
            meet.wait()

    pool.split(work, 6)
    assert len(names) == 3


def test_an_error_is_raised_when_all_have_stopped(threads):
    threads(2)
    running = []

    def work(start, stop):
        running.append(1)
        try:
            if start == 0:
                raise ZeroDivisionError("here")
            time.sleep(0.05)
        finally:
            running.pop()

    with pytest.raises(ZeroDivisionError, match="here"):
        pool.split(work, 4)
    assert not running


def test_many_callers_and_calls_from_inside(threads):
    threads(2)
    totals = [0] * 8

    def caller(number):
        for _ in range(50):
            found = np.zeros(16, int)

            def inner(a, b, found=found):
                found[a:b] += 1

            pool.split(lambda a, b, inner=inner: pool.split(lambda c, d: inner(a + c, a + d), b - a), 16)
            totals[number] += found.sum()

    callers = [threading.Thread(target=caller, args=(i,)) for i in range(8)]
    for t in callers:
        t.start()
    for t in callers:
        t.join(60)
    assert totals == [50 * 16] * 8


@pytest.mark.skipif(not hasattr(signal, "raise_signal") or os.name == "nt", reason="POSIX signals")
def test_an_interrupt_waits_for_the_threads(threads):
    threads(2)
    begun, running = threading.Event(), []

    def work(start, stop):
        if threading.current_thread() is threading.main_thread():
            begun.wait(30)
            os.kill(os.getpid(), signal.SIGINT)
            return
        running.append(1)
        begun.set()
        time.sleep(0.2)
        running.pop()

    with pytest.raises(KeyboardInterrupt):
        pool.split(work, 2)
        time.sleep(1)
    assert begun.is_set() and not running
    pool.split(lambda a, b: None, 4)  # and the pool still works


def interrupted(call, line: int) -> bool | None:
    """Call it with an interrupt before that line of the caller's way through the pool: whether it comes out; None where
    the way had fewer lines, as it has when others take more of the work."""
    passed = 0

    def trace(frame, event, _):
        nonlocal passed
        if frame.f_code.co_filename != pool.__file__ or frame.f_code.co_name not in (
            "split",
            "share",
            "work_on",
            "close",
        ):
            return None
        # these are lines for a tracer (a "with" on its way out, too), but no places where Python looks for interrupts
        text = linecache.getline(pool.__file__, frame.f_lineno).strip()
        if event == "line" and not text.startswith(("with ", "try:")):
            passed += 1
            if passed == line:
                raise KeyboardInterrupt
        return trace

    faulthandler.dump_traceback_later(60, exit=True)  # a wait without end is what this is about
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
        faulthandler.cancel_dump_traceback_later()
    return False if passed >= line else None


@pytest.mark.skipif(not numba.usable(), reason="Numba is not there")
@pytest.mark.parametrize("shared", [False, True])
def test_an_interrupt_at_any_line_leaves_nobody_at_work(threads, mark, shared):
    threads(2)
    running: list[int] = []

    def work(start, stop):
        running.append(start)
        time.sleep(0.001)
        running.pop()

    def share():
        seen = np.zeros(64, np.int64)
        if pool._team is not None:  # not alone, however late the others were in the call before
            pool._team.again, pool._team.missed = 0.0, 0
        pool.share(mark, (address(seen), 0), 64, 1, 1, 1, 32)
        assert (seen == 1).all()

    call = share if shared else lambda: pool.split(work, 8)
    call()
    hits = 0
    for line in range(1, 200):
        out = interrupted(call, line)
        assert out is not False, f"the interrupt before line {line} was lost"
        assert not running
        hits += out is not None
    assert hits > 15
    assert not running and (pool._team is None or pool._team.busy[0] == 0)
    call()


@needs_fork
def test_a_forked_child_has_threads_of_its_own(threads):
    threads(2)
    pool.split(lambda a, b: None, 4)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            seen = np.zeros(64, int)

            def work(a, b):
                seen[a:b] += 1

            pool.split(work, 64)
            os.write(write, b"yes" if (seen == 1).all() else b"no")
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 3) == b"yes"
    os.waitpid(child, 0)


@needs_openblas
def test_blas_has_one_thread_inside_and_as_before_outside(threads):
    get, _ = blas.openblas()
    threads(2)
    assert get() == 2
    with pool.one_blas_thread():
        assert get() == 1
        with pool.one_blas_thread():
            assert get() == 1
        assert get() == 1
    assert get() == 2
    with pytest.raises(ZeroDivisionError), pool.one_blas_thread():
        1 / 0
    assert get() == 2
    mlkit.nn.Conv2d(1, 1, 1)(mlkit.zeros(1, 1, 2, 2))
    assert get() == 2


@needs_openblas
def test_blas_threads_are_put_back_after_overlapping_callers(threads):
    get, _ = blas.openblas()
    threads(2)
    first, second = pool.one_blas_thread(), pool.one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert get() == 1
    second.__exit__(None, None, None)
    assert get() == 2


def test_set_num_threads_is_the_pools(threads):
    mlkit.set_num_threads(3)
    assert pool.threads() == 3 == mlkit.get_num_threads()


# --- ranges without Python ------------------------------------------------------------------------------------------------

needs_numba = pytest.mark.skipif(not numba.usable(), reason="Numba is not there")


def compiled(function):
    """A kernel that is no part of mlkit: not kept on disk."""
    from numba import njit

    return njit(nogil=True)(function)


def counting():
    """A kernel that adds one to int64 numbers, and as much to a thread's own room."""
    from mlkit.backends.numba.team_kernels import add

    @compiled
    def mark(numbers, room, first, last):
        for i in range(first, last):
            add(numbers + 8 * i, 1)
            add(room, 1)

    return mark


@pytest.fixture(scope="module")
def mark():
    return counting()


@needs_numba
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(
    "total, grain, step", [(0, 1, 1), (1, 1, 1), (7, 3, 1), (1000, 1, 12), (1000, 999, 4), (5, 1, 4)]
)
def test_shared_ranges_cover_the_work_once(threads, mark, count, total, grain, step):
    threads(count)
    seen = np.zeros(total + 1, np.int64)
    for repeat in range(1, 30):
        pool.share(mark, (address(seen), 0), total, grain, step, 1, 32)
        assert (seen[:-1] == repeat).all() and seen[-1] == 0


@needs_numba
def test_shared_work_is_done_by_several_threads(threads):
    threads(2)
    from mlkit.backends.numba.team_kernels import add, look, relax

    @compiled
    def meet(here, first, last):
        add(here, 1)
        for _ in range(1 << 27):  # some seconds, until another thread is in here as well
            if look(here) >= 2:
                return
            relax(1)

    inside = np.zeros(1, np.int64)
    pool._gather(2).again = 0.0
    pool.share(meet, (address(inside),), 2)
    assert inside[0] == 2


@needs_numba
def test_fewer_threads_than_there_were_keep_to_their_rooms(threads, mark):
    threads(5)
    seen, rooms = np.zeros(512, np.int64), []
    pool.share(mark, (address(seen), 0), 512, 1, 1, 1, 32)
    threads(2)
    floats = pool.floats
    try:
        pool.floats = lambda count: rooms.append(np.zeros(count + 5 * 32, np.float32)) or rooms[-1]
        for _ in range(200):
            pool._team.again = 0.0
            pool.share(mark, (address(seen), 0), 512, 1, 1, 1, 32)
    finally:
        pool.floats = floats
    assert (seen == 201).all()
    for room in rooms:
        counts = room.view(np.int64)
        assert counts[::16][:2].sum() == 512 and counts.sum() == 512


@needs_numba
def test_many_callers_share_at_once(threads, mark):
    threads(2)
    seen = [np.zeros(256, np.int64) for _ in range(6)]

    def caller(mine):
        for _ in range(200):
            pool.share(mark, (address(mine), 0), 256, 1, 1, 1, 32)
            pool.split(lambda a, b: None, 4)

    callers = [threading.Thread(target=caller, args=(mine,)) for mine in seen]
    for t in callers:
        t.start()
    for t in callers:
        t.join(60)
    assert all((mine == 200).all() for mine in seen)


@needs_numba
def test_a_machine_with_other_work_leaves_the_caller_alone(threads, mark):
    threads(2)
    seen = np.zeros(8, np.int64)
    pool.share(mark, (address(seen), 0), 8, 1, 1, 1, 32)
    team = pool._team
    before, team.again = int(team.memory[0]), time.perf_counter() + 60
    pool.share(mark, (address(seen), 0), 8, 1, 1, 1, 32)
    assert team.memory[0] == before and (seen == 2).all()
    team.again = 0.0
    pool.share(mark, (address(seen), 0), 8, 1, 1, 1, 32)
    assert team.memory[0] > before and (seen == 3).all()


@needs_numba
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_waits_for_shared_ranges(threads):
    threads(2)
    from mlkit.backends.numba.team_kernels import add, look, relax

    @compiled
    def slow(state, first, last):
        add(state, 1)
        for _ in range(1 << 24):
            if look(state + 8):
                break
            relax(1)
        add(state, -1)

    state = np.zeros(2, np.int64)
    state[1] = 1
    pool.share(slow, (address(state),), 2)  # it is compiled
    state[1] = 0
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    threading.Timer(0.4, state.__setitem__, (1, 1)).start()
    with pytest.raises(KeyboardInterrupt):
        pool.share(slow, (address(state),), 2)
        time.sleep(1)
    assert state[0] == 0 and pool._team.busy[0] == 0


@needs_numba
@needs_fork
def test_a_forked_child_shares_with_threads_of_its_own(threads, mark):
    threads(2)
    seen = np.zeros(64, np.int64)
    pool.share(mark, (address(seen), 0), 64, 1, 1, 1, 32)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            pool.share(mark, (address(seen), 0), 64, 1, 1, 1, 32)
            os.write(write, b"yes" if (seen == 2).all() and pool._team.count == 2 else b"no")
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 3) == b"yes"
    os.waitpid(child, 0)


@needs_numba
def test_a_process_ends_while_its_threads_watch():
    code = (
        "import mlkit\nmlkit.set_num_threads(2)\nx, layer = mlkit.ones(64, 784), mlkit.nn.Linear(784, 256)\n"
        "for _ in range(3): layer(x)\nfrom mlkit.backends.numba import pool\nassert pool._team is not None\n"
    )
    for _ in range(5):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@needs_numba
@pytest.mark.parametrize("rows, inputs, outputs", [(64, 784, 256), (512, 128, 10), (200, 300, 500), (1024, 512, 512)])
def test_a_linear_layers_gradients_are_the_same_for_every_number_of_threads(threads, rows, inputs, outputs):
    found = []
    for count in (1, 2, 4):
        threads(count)
        draw = np.random.default_rng(1)
        shapes = (rows, inputs), (outputs, inputs), (outputs,)
        given = [mlkit.from_numpy(draw.normal(size=s).astype(np.float32)).requires_grad_() for s in shapes]
        mlkit.nn.functional.linear(*given).square().sum().backward()
        found.append([x.grad.numpy() for x in given])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
