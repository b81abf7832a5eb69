"""Compiled programs as CUDA graphs: what a program sends to the GPU is captured once and sent again as a whole.

A program is cut at what only the host can do: an optimizer's step (which so sees today's learning rate), a check of
numbers. What lies between two cuts becomes one graph. Inputs are copied into memory that stays, keys of random streams
into a few words of the GPU's memory, so each replay draws other numbers. Graphs work in a pool of their own: one block
with a place for every array (see arena), used again inside the graph as soon as a value is dead.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from mlkit.backends.cupy import arena, library, memory

#: what is done on the host at each replay
_HOST = ("call", "check")


class Key(tuple):
    """A key of a random stream that kernels read from the GPU's memory, at ``address``."""

    address: int

    def __new__(cls, pair, address: int):
        made = super().__new__(cls, pair)
        made.address = address
        return made


class Part:
    """A stretch of steps: one graph, or one step on the host."""

    def __init__(self, host: bool):
        self.host = host
        self.steps: list = []
        self.keys: list = []  # the nodes that take a key, in order
        self.words: Any = None  # their keys on the GPU
        self.graph: Any = None


class Replay:
    """How one program is run on a GPU: step by step the first time, captured the second, replayed from then on."""

    def __init__(self, xp, program, borrowed: Replay | None = None) -> None:
        self.xp, self.program = xp, program
        self.lender = borrowed
        self.reason: str | None = None  # why it cannot be captured
        self.own = False  # whether the arrays last given are memory of the graph, which the next replay overwrites
        self.parts = self._cut()
        self.forget()

    def _cut(self) -> list[Part]:
        parts: list[Part] = []
        for step in self.program.steps:
            node = step[0]
            host = node is not None and node.op in _HOST
            if not parts or host or parts[-1].host:
                parts.append(Part(host))
            if node is not None and node.op == "take_key":
                parts[-1].keys.append(node)
            else:
                parts[-1].steps.append(step)
        return parts

    def forget(self) -> None:
        """Drop what was captured; the next calls capture anew."""
        self.calls = 0
        self.ready = False
        self.held: dict[str, Any] = {}  # arrays that stay: inputs, results, what the host's steps read
        self.sent: list = []  # numbers of the host that graphs read
        self.fixed: dict[str, int] = {}  # inputs that must lie where they lay when it was captured
        for part in self.parts:
            part.graph = part.words = None
        self.pool: Any = None
        self.record: Any = None  # how the first run used memory
        self.arena: Any = None  # the block with a place for each array

    @property
    def state(self) -> str:
        """One line for ``explain()``."""
        if self.reason is not None:
            return f"no CUDA graph: {self.reason}"
        count = sum(not p.host for p in self.parts)
        if not self.ready:
            return "CUDA graph: not captured yet (the second replay does that)"
        return f"{count} CUDA graph{'s' if count > 1 else ''}, {self.pool.total_bytes() / 2**20:,.1f} MiB of their own"

    def addresses(self) -> set[int]:
        """Where the arrays lie that it gives."""
        return {x.data.ptr for x in self.held.values() if not isinstance(x, tuple)}

    # --- running --------------------------------------------------------------------------------------------------------

    def run(self, *arrays):
        self.own = False
        if self.reason is not None or not all(map(self._fits, self.program.inputs, arrays)):
            return self.program.flat(*arrays)
        self.calls += 1
        if self.calls == 1:
            return self._first(arrays)
        if not self.ready:
            return self._capture(arrays)
        for name, x in zip(self.program.inputs, arrays, strict=True):
            held = self.held.get(name)
            if held is not None and held is not x and not isinstance(x, tuple) and held.data.ptr != x.data.ptr:
                held[...] = x
        stream = self.xp.cuda.get_current_stream()
        for part in self.parts:
            if part.host:
                self._host(part)
            else:
                self._take(part)
                part.graph.launch(stream)
        self.own = True
        return self._results()

    def _fits(self, name: str, x) -> bool:
        address = self.fixed.get(name)
        if address is None:
            return not isinstance(x, tuple) or isinstance(x, Key) or not self.ready
        return address == (x.address if isinstance(x, Key) else 0 if isinstance(x, tuple) else x.data.ptr)

    def _results(self) -> tuple:
        return tuple(self.held[k] for k in self.program.results)

    def _host(self, part: Part) -> None:
        for _, code, _ in part.steps:
            exec(code, self.program.scope, self.held)  # noqa: S102 - our own text, from the graph

    def _take(self, part: Part) -> None:
        """New keys for a part, put where its kernels read them."""
        if not part.keys:
            return
        words = np.empty((len(part.keys), 2), np.uint64)
        for row, node in zip(words, part.keys, strict=True):
            row[:] = node.attributes["generator"].take(node.attributes["count"])
        if part.words is None:
            part.words = self.xp.empty(words.shape, np.uint64)
        part.words.set(words)
        for i, node in enumerate(part.keys):
            pair = int(words[i, 0]), int(words[i, 1])
            self.held[node.outputs[0]] = Key(pair, part.words.data.ptr + 16 * i)

    def _side(self):
        """The stream that graphs are captured on: never the default one."""
        stream = getattr(self.xp, "_mlkit_capture_stream", None)
        if stream is None:
            stream = self.xp._mlkit_capture_stream = self.xp.cuda.Stream(non_blocking=True)
        return stream

    def _first(self, arrays) -> tuple:
        """Run step by step as the capture will: libraries get ready, and it is written down how long each array lives."""
        xp, program = self.xp, self.program
        here, side = xp.cuda.get_current_stream(), self._side()
        self.pool = memory.Private(xp)
        record = arena.Record(xp, xp.cuda.get_allocator())
        self.held = values = dict(zip(program.inputs, arrays, strict=True))
        stay = self._staying()
        try:
            for part in self.parts:
                if part.host:
                    self._host(part)
                    continue
                self._take(part)
                side.wait_event(here.record())
                with side, xp.cuda.using_allocator(record.malloc):
                    self._steps(part, values, stay)
                here.wait_event(side.record())
            found = self._results()
        except BaseException:
            self.calls = 0  # the next run is the first again
            raise
        finally:
            self.held = {}
            record.close()
        del values
        self.record = record
        return found

    def _staying(self) -> set[str]:
        """The values that live until the next replay: inputs, results, what the host's steps read."""
        program = self.program
        stay = {*program.inputs, *program.results}
        stay.update(k for p in self.parts if p.host for n, _, _ in p.steps for k in n.inputs)
        return stay

    def _steps(self, part: Part, values: dict, stay: set[str]) -> None:
        for _, code, gone in part.steps:
            exec(code, self.program.scope, values)  # noqa: S102 - our own text, from the graph
            for name in gone:
                if name not in stay:
                    del values[name]

    def _allocator(self):
        """Where the capture's memory comes from: a block with a place for each array."""
        record, self.record = self.record, None
        if record is None or not record.sizes or len(record.sizes) > arena.MOST:
            return self.pool.malloc
        self.xp.get_default_memory_pool().free_all_blocks()  # what the first run worked in makes room for it
        try:
            self.arena = arena.Arena(self.xp, self.pool.malloc, record)
        except self.xp.cuda.memory.OutOfMemoryError:  # in smaller pieces it may fit
            return self.pool.malloc
        return self.arena.malloc

    def _capture(self, arrays) -> tuple:
        """Capture part after part, each sent as soon as it is captured."""
        xp, program = self.xp, self.program
        here, side = xp.cuda.get_current_stream(), self._side()
        lent = self.lender.addresses() if self.lender is not None and self.lender.ready else set()
        self.held = values = {}
        for name, x in zip(program.inputs, arrays, strict=True):
            if isinstance(x, tuple):
                values[name] = x
                self.fixed[name] = x.address if isinstance(x, Key) else -1
            elif x.data.ptr in lent:
                values[name] = x
                self.fixed[name] = x.data.ptr
            else:
                with xp.cuda.using_allocator(self.pool.malloc):
                    values[name] = xp.empty_like(x)
                values[name][...] = x
        if -1 in self.fixed.values():  # a key from before: its numbers would be drawn again
            self.calls, self.held, self.fixed = 1, {}, {}
            return program.flat(*arrays)
        stay, allocate = self._staying(), self._allocator()
        for number, part in enumerate(self.parts):
            if part.host:
                self._host(part)
                continue
            self._take(part)
            before = dict(values)
            side.wait_event(here.record())
            try:
                with side, xp.cuda.using_allocator(allocate), library.capturing(self.sent):
                    side.begin_capture()
                    try:
                        self._steps(part, values, stay)
                    finally:
                        part.graph = side.end_capture()
            except Exception as error:
                return self._give_up(error, number, before)
            part.graph.launch(here)
        self.ready = self.own = True
        self.held = {k: x for k, x in values.items() if k in stay}
        return self._results()

    def _give_up(self, error: Exception, number: int, values: dict) -> tuple:
        """Go on without graphs, from the part that could not be captured."""
        self.reason = f"{type(error).__name__}: {error}"
        warnings.warn(
            f"mlkit.compile: {self.program.graph.name} runs without a CUDA graph, step by step ({self.reason}).",
            UserWarning,
            stacklevel=6,
        )
        for part in self.parts[number:]:
            self.held = values
            if part is not self.parts[number]:
                self._take(part)
            for _, code, _ in part.steps:
                exec(code, self.program.scope, values)  # noqa: S102
        found = self._results()
        self.forget()
        return found
