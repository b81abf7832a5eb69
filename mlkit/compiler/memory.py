"""Where values live: which share one block of memory because they never live at the same time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mlkit.compiler.graph import GraphNode
from mlkit.compiler.into import writer
from mlkit.compiler.passes import Facts
from mlkit.ops import REGISTRY

ALIGNMENT = 64  # bytes: a cache line, and what AVX-512 likes


@dataclass
class Plan:
    """``into``: id of a node's first result -> a function that writes all its results into their buffers; ``places``:
    id -> (offset, shape, dtype, order of dims)."""

    size: int = 0
    places: dict[str, tuple[int, tuple, np.dtype, tuple]] = field(default_factory=dict)
    into: dict[str, Callable] = field(default_factory=dict)
    fresh: dict[str, tuple[Callable, list[Callable]]] = field(
        default_factory=dict
    )  # those that leave: and who makes each
    makers: dict[str, Callable] = field(
        default_factory=dict
    )  # id -> what makes an array that lies in memory as it does
    lives: dict[str, tuple[int, int]] = field(default_factory=dict)  # id -> number of its first and last node
    eager_peak: int = 0  # bytes of results alive at once when each op makes a new array, dropped after its last use
    planned_peak: int = 0  # the block, and what lives beside it
    _block: np.ndarray | None = None

    def buffers(self) -> dict[str, np.ndarray]:
        """Each planned value's array, in one block of memory."""
        if not self.places:
            return {}
        if self._block is None:
            whole = np.empty(self.size + ALIGNMENT, np.uint8)
            start = -whole.ctypes.data % ALIGNMENT
            self._block = whole[start : start + self.size]
        out = {}
        for key, (offset, shape, dtype, order) in self.places.items():
            count = int(np.prod(shape)) * dtype.itemsize
            flat = self._block[offset : offset + count].view(dtype)
            out[key] = flat.reshape([shape[d] for d in order]).transpose(np.argsort(order))
        return out


def order_of(array: np.ndarray) -> tuple[int, ...]:
    """The dims from the one with the largest step in memory to the smallest."""
    if array.flags.c_contiguous:
        return tuple(range(array.ndim))
    return tuple(sorted(range(array.ndim), key=lambda d: (-array.strides[d], d)))


def dense(array: np.ndarray) -> bool:
    """Whether it fills its memory without gaps, in whatever order of dims."""
    return array.flags.c_contiguous or array.transpose(order_of(array)).flags.c_contiguous


def lifetimes(nodes: list[GraphNode], facts: Facts) -> dict[str, tuple[int, int]]:
    """For each piece of memory made by the nodes: the node that makes it, and the last that reads it or a view of it."""
    lives: dict[str, tuple[int, int]] = {}
    for i, n in enumerate(nodes):
        for k in n.outputs:
            root = facts.root(k)
            if root == k:
                lives[k] = (i, i)
            elif root in lives:
                lives[root] = (lives[root][0], i)
        for k in n.inputs:
            root = facts.root(k)
            if root in lives:
                lives[root] = (lives[root][0], i)
    for n in reversed(nodes):  # a reshape that copied may look at its input next time: both live as long
        op = REGISTRY.get(n.op)
        if op is not None and op.view and n.inputs:
            source = facts.root(n.inputs[0])
            for k in n.outputs:
                if source in lives and k in lives:
                    lives[source] = (lives[source][0], max(lives[source][1], lives[k][1]))
    return lives


def offsets(lives: dict[str, tuple[int, int]], sizes: dict[str, int]) -> tuple[dict[str, int], int]:
    """A place for each in one block, the largest first: the lowest gap among those that live at the same time."""
    placed: list[tuple[int, int, int, int]] = []  # start, end, first, last
    found: dict[str, int] = {}
    total = 0
    for k in sorted(sizes, key=lambda k: (-sizes[k], lives[k][0])):
        size = -(-sizes[k] // ALIGNMENT) * ALIGNMENT
        first, last = lives[k]
        at = 0
        for start, end in sorted((s, e) for s, e, f, last_of in placed if f <= last and first <= last_of):
            if at + size <= start:
                break
            at = max(at, end)
        found[k] = at
        placed.append((at, at + size, first, last))
        total = max(total, at + size)
    return found, total


#: ops that may write over an input: each place is read before it is written, and no other is
_OVER = {"add", "sub", "mul", "div", "neg", "exp", "sqrt", "tanh", "relu", "relu_grad", "square", "maximum", "minimum"}


def share(nodes: list[GraphNode], facts: Facts, sizes: dict[str, int], lives: dict) -> dict[str, str]:
    """id -> the value whose block it uses: an elementwise result takes over the block of an input that ends there."""
    blocks: dict[str, str] = {}
    for i, n in enumerate(nodes):
        for k in n.outputs:
            if k not in sizes:
                continue
            blocks[k] = k
            if n.op not in _OVER and not n.over:
                continue
            array = facts.arrays[k]
            roots = [facts.root(a) for a in n.inputs]
            for a in n.inputs:
                old = facts.arrays[a]
                if (
                    a in blocks
                    and lives[a][1] == i
                    and roots.count(a) == n.inputs.count(a)  # not seen through a view as well
                    and (old.shape, old.dtype) == (array.shape, array.dtype)
                    and order_of(old) == order_of(array)
                ):
                    blocks[k] = blocks[a]
                    break
    return blocks


def peak(lives: dict[str, tuple[int, int]], facts: Facts, count: int) -> int:
    """The most bytes that live at once."""
    change = [0] * (count + 2)
    for k, (first, last) in lives.items():
        size = facts.graph.values[k].bytes if facts.graph.values[k].kind != "key" else 0
        change[first] += size
        change[last + 1] -= size
    most = now = 0
    for c in change:
        now += c
        most = max(most, now)
    return most


def plan(nodes: list[GraphNode], facts: Facts, kept: set[str]) -> Plan:
    """A plan for the values that some function can write into a given buffer, and that do not leave the program.

    ``kept``: ids that leave it (results, gradients handed to an optimizer); they get memory of their own in each call.
    The block stays when the program is not running; where leaving large values out of it needs less in all, they are.
    """
    lives = lifetimes(nodes, facts)
    outside = {facts.root(k) for k in kept}
    outside |= {facts.root(k) for n in nodes if n.op == "as_strided" for k in n.inputs}  # it counts from memory's start
    into: dict[str, Callable] = {}
    results: dict[str, list[str]] = {}
    fresh: dict[str, tuple[Callable, list[Callable]]] = {}
    for n in nodes:
        if n.outputs and not n.effect:
            for k in n.outputs:
                if facts.root(k) != k or k in facts.written or not dense(facts.arrays[k]):
                    break
            else:
                write = writer(n, facts)
                if write is not None and outside.isdisjoint(n.outputs):
                    into[n.outputs[0]] = write
                    results[n.outputs[0]] = n.outputs
                elif write is not None:
                    fresh[n.outputs[0]] = write, [maker(facts.arrays[k]) for k in n.outputs]
    best = None
    for limit in LIMITS:
        some = {k: w for k, w in into.items() if max(facts.graph.values[o].bytes for o in results[k]) <= limit}
        made = planned(nodes, facts, lives, some, [o for k in some for o in results[k]])
        if best is None or made.planned_peak < best.planned_peak:
            best = made
        if made.planned_peak <= made.eager_peak:
            break
    assert best is not None
    best.fresh = fresh
    for key in {k for n in nodes if n.outputs and n.outputs[0] in {**into, **fresh} for k in (*n.inputs, *n.outputs)}:
        if dense(facts.arrays[key]):
            best.makers[key] = maker(facts.arrays[key])
    return best


def maker(array: np.ndarray) -> Callable[[], np.ndarray]:
    """What makes arrays like it, without values."""
    if array.flags.c_contiguous:
        return functools.partial(np.empty, array.shape, array.dtype)
    order = order_of(array)
    shape, back = [array.shape[d] for d in order], np.argsort(order)
    return lambda: np.empty(shape, array.dtype).transpose(back)


#: the largest value that may have a place in the block, tried in this order
LIMITS = (1 << 62, 4 << 20, 1 << 20, 1 << 16)


def planned(nodes: list[GraphNode], facts: Facts, lives: dict, into: dict[str, Callable], keys: list[str]) -> Plan:
    """The plan for just these values."""
    made = Plan(lives=lives, into=into)
    sizes = {k: facts.graph.values[k].bytes for k in keys}
    blocks = share(nodes, facts, sizes, lives)
    spans: dict[str, tuple[int, int]] = {}
    for k, block in blocks.items():
        first, last = lives[k]
        old = spans.get(block, (first, last))
        spans[block] = (min(old[0], first), max(old[1], last))
    where, made.size = offsets(spans, {b: sizes[b] for b in spans})
    for k, block in blocks.items():
        at, array = where[block], facts.arrays[k]
        made.places[k] = (at, array.shape, array.dtype, order_of(array))
    made.eager_peak = peak(lives, facts, len(nodes))
    made.planned_peak = made.size + peak({k: span for k, span in lives.items() if k not in sizes}, facts, len(nodes))
    return made
