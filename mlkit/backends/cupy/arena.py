"""A static memory plan for a captured graph: one block, and for each array in it the place where nothing alive lies.

A first run with a :class:`Record` for its allocator says how large each array is and how long it lives; ``offsets`` gives
every array a place; an :class:`Arena` hands out these places while the graph is captured. It hands out none that an array
still in use overlaps, whatever the plan says: where the capture asks for something else than the first run did, CuPy's
pool helps out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: arrays begin at multiples of so many bytes, as in CuPy's pool
STEP = 512
#: how many of the plan's arrays may be missing before the one that is asked for
SKIPPED = 8
#: larger programs are left to the pool: the plan's time grows with the square
MOST = 20_000


def offsets(sizes: list[int], ends: list[int | None]) -> tuple[list[int], int]:
    """(each array's place, the bytes of all): array i lives from i, counted in arrays made, until before ``ends[i]``.

    The largest first, each at the lowest place that is free for its whole life.
    """
    count = len(sizes)
    rounded = -(-np.asarray(sizes, np.int64) // STEP) * STEP
    stop = np.array([count if e is None else e for e in ends], np.int64)
    start, found = np.arange(count), np.zeros(count, np.int64)
    placed = np.zeros(count, bool)
    for i in np.argsort(-rounded, kind="stable"):
        beside = np.flatnonzero(placed & (start < stop[i]) & (stop > i))
        beside = beside[np.argsort(found[beside], kind="stable")]
        tops = np.concatenate(([0], np.maximum.accumulate(found[beside] + rounded[beside])))
        gaps = np.append(found[beside], np.iinfo(np.int64).max) - tops
        found[i] = tops[np.argmax(gaps >= rounded[i])]
        placed[i] = True
    return found.tolist(), int((found + rounded).max()) if count else 0


class _Lease:
    """What an array holds instead of its memory: tells when nobody needs it any more."""

    __slots__ = ("book", "memory", "number")

    def __init__(self, book, number: int, memory) -> None:
        self.book, self.number, self.memory = book, number, memory

    def __del__(self) -> None:
        self.book.returned(self.number)


class _Book:
    """Allocations that are counted: what they have in common."""

    def __init__(self, xp, take) -> None:
        self.xp, self.take = xp, take

    def lend(self, number: int, address: int, size: int, memory):
        cuda = self.xp.cuda
        lease = _Lease(self, number, memory)
        return cuda.MemoryPointer(cuda.UnownedMemory(address, size, lease, cuda.runtime.getDevice()), 0)


class Record(_Book):
    """An allocator that writes down what it gives: ``sizes``, and how many were given when each came back."""

    def __init__(self, xp, take) -> None:
        super().__init__(xp, take)
        self.sizes: list[int] = []
        self.ends: list[int | None] = []
        self.open = True

    def malloc(self, size: int):
        memory = self.take(size)
        if not size or not self.open:
            return memory
        self.sizes.append(size)
        self.ends.append(None)
        return self.lend(len(self.sizes) - 1, memory.ptr, size, memory)

    def returned(self, number: int) -> None:
        if self.open:
            self.ends[number] = len(self.sizes)

    def close(self) -> None:
        """The run has ended: what is out now stays."""
        self.open = False


class Arena(_Book):
    """An allocator that gives the places of a plan, from one block that the pool ``take`` gave."""

    def __init__(self, xp, take, record: Record) -> None:
        super().__init__(xp, take)
        self.sizes = record.sizes
        self.places, total = offsets(record.sizes, record.ends)
        self.block: Any = take(total)
        self.next = 0
        self.out: dict[int, tuple[int, int]] = {}  # the places in use: first and last byte

    def malloc(self, size: int):
        number = self._number(size)
        if number is None:
            return self.take(size)
        first = self.places[number]
        last = first + size
        if any(first < b and a < last for a, b in self.out.values()):
            return self.take(size)
        self.out[number] = first, last
        return self.lend(number, self.block.ptr + first, size, self.block)

    def _number(self, size: int) -> int | None:
        """Which of the plan's arrays this is: the next of that size; None where there is none near."""
        if not size:
            return None
        for number in range(self.next, min(self.next + SKIPPED, len(self.sizes))):
            if self.sizes[number] == size:
                self.next = number + 1
                return number
        return None

    def returned(self, number: int) -> None:
        self.out.pop(number, None)
