"""What the GPU's kernels are told of memory: how matrices lie, batch steps, chunks, channels last, places in a
graph's block. Runs anywhere."""

from __future__ import annotations

import ctypes
import struct
import threading
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.backends.cupy import arena, blas, launch, optimizers, source
from mlkit.backends.cupy.source import last_strides


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda: np.zeros((3, 4)), (False, 4)),
        (lambda: np.zeros((4, 3)).T, (True, 3)),
        (lambda: np.zeros((3, 8))[:, :4], (False, 8)),
        (lambda: np.zeros((8, 3)).T[:, :4], (True, 3)),
        (lambda: np.zeros((3, 8))[:, ::2], None),
        (lambda: np.zeros((1, 4)), (False, 4)),
        (lambda: np.zeros((4, 1)), (False, 1)),
        (lambda: np.broadcast_to(np.zeros(4), (3, 4)), None),
        (lambda: np.broadcast_to(np.zeros((3, 1)), (3, 4)), None),
    ],
)
def test_a_matrix_is_read_as_it_lies(make, expected):
    x = make()
    found = blas.lies(*x.shape, *(s // x.itemsize for s in x.strides))
    assert found == expected
    if found is not None:  # what cuBLAS would read with that step is the matrix
        turned, line = found
        count = (x.shape[1] if turned else x.shape[0]) - 1
        assert line >= (x.shape[0] if turned else x.shape[1])
        assert count * line <= x.base.size if x.base is not None else x.size


@pytest.mark.parametrize(
    "shape, strides, expected",
    [
        ((2, 3), (12, 4), 4),
        ((2, 3), (4, 8), None),
        ((1, 3), (99, 4), 4),
        ((), (), 0),
        ((1, 1), (5, 7), 0),
        ((4,), (0,), 0),
        ((2, 3), (4, 0), None),
        ((2, 3), (0, 4), None),
        ((2, 3), (0, 0), 0),
        ((2, 3, 4), (12, 4, 1), 1),
    ],
)
def test_batches_that_one_step_leads_through(shape, strides, expected):
    assert blas.batch_step(shape, strides) == expected


def test_chunks_cover_every_element_once():
    sizes = [1, 5, 16, 17, 40]
    seen = [np.zeros(n, int) for n in sizes]
    for tensor, start, stop in optimizers.chunks_of(sizes, 16):
        assert stop - start <= 16
        seen[tensor][start:stop] += 1
    assert all((s == 1).all() for s in seen)
    assert optimizers.chunks_of([]).shape == (0, 3)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 7), (1, 2, 3, 4, 5)])
def test_channels_last_strides_are_those_of_a_moved_axis(shape):
    moved = np.moveaxis(np.zeros((shape[0], *shape[2:], shape[1])), -1, 1)
    assert last_strides(shape, 8) == (moved.strides, moved.nbytes)


def test_threads_are_whole_warps():
    for n in (1, 31, 128, 129, 768, 5000, 10**6):
        assert source.threads(n) % 32 == 0 and 32 <= source.threads(n) <= 1024


class Memory:
    """What a pool gives: fresh addresses."""

    def __init__(self, ptr, size, owner=None, device=0):
        self.ptr, self.size, self.owner = ptr, size, owner


class Pointer(Memory):
    def __init__(self, memory, offset):
        super().__init__(memory.ptr + offset, memory.size)
        self.memory = memory


class Pool:
    """A CuPy of allocators alone: every block is new, the largest sum of what was out is kept."""

    def __init__(self):
        self.top = 1 << 20
        self.cuda = SimpleNamespace(
            MemoryPointer=Pointer, UnownedMemory=Memory, runtime=SimpleNamespace(getDevice=lambda: 0)
        )

    def take(self, size):
        self.top += size + arena.STEP if size else 0
        return Memory(self.top - size, size)


def live(malloc, steps):
    """Run (size to make, numbers to drop) steps; after each, that nothing alive overlaps."""
    alive = {}
    for number, (size, drop) in enumerate(steps):
        alive[number] = malloc(size)
        for other in drop:
            alive.pop(other, None)
        spans = sorted((m.ptr, m.ptr + m.size) for m in alive.values() if m.size)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
    return alive


@st.composite
def programs(draw):
    count = draw(st.integers(1, 30))
    sizes = draw(st.lists(st.integers(0, 5000), min_size=count, max_size=count))
    return [(n, draw(st.lists(st.integers(0, i), max_size=3))) for i, n in enumerate(sizes)]


@given(programs(), programs())
def test_arena_gives_no_place_twice_whether_the_run_is_the_recorded_one_or_another(recorded, other):
    pool = Pool()
    record = arena.Record(pool, pool.take)
    kept = live(record.malloc, recorded)
    record.close()
    del kept
    again = arena.Arena(pool, pool.take, record)
    before = pool.top
    kept = live(again.malloc, recorded)
    assert pool.top == before  # the recorded run needs nothing but the block
    del kept
    live(arena.Arena(pool, pool.take, record).malloc, other)


def test_offsets_use_memory_again():
    sizes = [4096] * 10
    chain = arena.offsets(sizes, [i + 2 for i in range(10)])  # each is read by the next alone
    assert chain[1] == 2 * 4096
    places, total = arena.offsets(sizes, [None] * 10)
    assert total == 10 * 4096 and sorted(places) == [4096 * i for i in range(10)]
    assert arena.offsets([], []) == ([], 0)
    mixed = arena.offsets([100, 5000, 100, 4000], [2, 3, 4, 4])  # the last fits where the large one was
    assert mixed[1] <= 5120 + 2 * 512


class Driver:
    """Stands for the GPU's driver: notes what a launch would hand to the kernel."""

    def __init__(self):
        self.sent, self.touched = [], 0
        runtime = SimpleNamespace(getDevice=lambda: 0, memGetInfo=self.touch)
        stream = SimpleNamespace(ptr=7)
        self.cuda = SimpleNamespace(driver=self, runtime=runtime, get_current_stream=lambda: stream)

    def touch(self):
        self.touched += 1

    def launchKernel(self, function, *rest):  # noqa: N802 - CuPy's name
        table = np.frombuffer((ctypes.c_char * 40).from_address(rest[-2]), np.uint64)
        arguments = [(ctypes.c_char * 8).from_address(int(at)).raw for at in table]
        self.sent.append((function, rest[:8], arguments))


def test_a_launch_hands_over_what_the_call_gives_and_what_is_settled():
    xp = Driver()
    kernel = SimpleNamespace(kernel=SimpleNamespace(ptr=99))
    run = launch.Launch(xp, kernel, (3,), (32, 8), "PdP", np.int64(-5), np.float32(0.5))
    for place in (1000, 2000):
        run(place, 2.5, place + 1)
    for place, (function, sizes, arguments) in zip((1000, 2000), xp.sent, strict=True):
        assert function == 99
        assert sizes == (3, 1, 1, 32, 8, 1, 0, 7)
        assert struct.unpack("PdPq", b"".join(arguments[:4])) == (place, 2.5, place + 1, -5)
        assert struct.unpack("f", arguments[4][:4]) == (0.5,)


def test_a_launch_in_the_midst_of_another_does_not_write_over_its_arguments():
    xp = Driver()
    kernel = SimpleNamespace(kernel=SimpleNamespace(ptr=99))
    run = launch.Launch(xp, kernel, (1,), (1,), "PPPPP")
    note = xp.launchKernel

    def send(*given):
        run.send = note
        run(1, 2, 3, 4, 5)
        note(*given)

    run.send = send
    run(10, 20, 30, 40, 50)
    assert [[int.from_bytes(a, "little") for a in arguments] for _, _, arguments in xp.sent] == [
        [1, 2, 3, 4, 5],
        [10, 20, 30, 40, 50],
    ]


def test_a_thread_that_launches_has_a_context_first():
    xp = Driver()
    kernel = SimpleNamespace(kernel=SimpleNamespace(ptr=99))
    run = launch.Launch(xp, kernel, (1,), (1,), "PPPPP")
    run(1, 2, 3, 4, 5)
    before = xp.touched
    thread = threading.Thread(target=run, args=(1, 2, 3, 4, 5))
    thread.start()
    thread.join()
    run(1, 2, 3, 4, 5)
    assert xp.touched == before + 1
    assert len(xp.sent) == 3


def test_small_arrays_share_a_piece_of_memory_and_do_not_overlap():
    taken = []

    def alloc(size):
        taken.append(size)
        return Address(4096)

    class Address(int):
        @property
        def ptr(self):
            return int(self)

    xp = SimpleNamespace(cuda=SimpleNamespace(alloc=alloc), ndarray=lambda *how: how)
    single, double = np.dtype(np.float32), np.dtype(np.float64)
    pieces = launch.Pieces(((2, 5), single), ((3,), double), ((7,), single))
    at, arrays = pieces.arrays(xp)
    assert (at, pieces.at) == (4096, [0, 48, 80])
    assert arrays == [((2, 5), single, 4096), ((3,), double, 4144), ((7,), single, 4176)]
    assert taken == [112]
