"""What the GPU's kernels are told of memory: how matrices lie, batch steps, chunks, channels last, places in a
graph's block. Runs anywhere."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit.backends.cupy import arena, blas, optimizers, source
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
