"""What became of a compiled function: what was recorded, what each pass did, the loops, the memory; or why it is eager."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlkit.core import rich


@dataclass
class Part:
    """One program: the forward of a function (or a whole step), or its backward."""

    name: str
    source: str  # the flat function that a call runs
    operations: int
    loops: list[dict[str, Any]] = field(default_factory=list)  # fused kernels: ops, source, line, uses
    buffers: list[dict[str, Any]] = field(default_factory=list)  # id, offset, bytes, first and last operation
    block: int = 0  # bytes of the block that the buffers share
    peak: int = 0  # bytes: the block, and the most that lives beside it
    replay: str = ""  # on a GPU: whether it is a CUDA graph


@dataclass
class Recording:
    """One recording: for these arguments, with these passes."""

    arguments: list[str]
    recorded: int  # how many operations the function did
    passes: list[tuple[str, int, int]]  # name, operations before, after
    eager_peak: int  # bytes alive at once when each operation makes a new array
    replays: int
    parts: list[Part]


class Explanation:
    """``compiled.explain()``: print it, or let a notebook show it.

    Attributes:
        name: the function's.
        recordings: a ``Recording`` for each program there is.
        eager: (reason, place) for what runs eagerly.

    >>> import mlkit
    >>> f = mlkit.compile(lambda x: x * 2 + 1)
    >>> f(mlkit.ones(3))
    tensor([3., 3., 3.])
    >>> f.explain().recordings[0].recorded
    2
    """

    def __init__(self, compiled):
        self.name = compiled.name
        self.limit = compiled.settings.limit
        self.recordings = [recording_of(e) for known in list(compiled.entries.values()) for e in list(known)]
        self.eager = list(dict.fromkeys((r.text, r.place) for r in list(compiled.eager.values())))

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self.recordings)} of at most {self.limit} recordings"]
        for text, place in self.eager:
            lines += [f"  runs eagerly: {text}"] + ([f"    at {place}"] if place else [])
        for r in self.recordings:
            lines.append(f"  for {', '.join(r.arguments) or 'no tensors'}: {r.replays} replays")
            lines.append(f"    recorded: {r.recorded} operations")
            lines += [f"    {name}: {before} -> {after}" for name, before, after in r.passes]
            lines.append(f"    memory at once, each result by itself: {size(r.eager_peak)}")
            for part in r.parts:
                loops = sum(x["uses"] for x in part.loops)
                lines.append(
                    f"    {part.name}: {part.operations} calls, {loops} of them fused loops ({len(part.loops)} kernels); "
                    f"{len(part.buffers)} buffers in a block of {size(part.block)}, at most {size(part.peak)} at once"
                )
                if part.replay:
                    lines.append(f"      {part.replay}")
                for x in part.loops:
                    lines.append(f"      loop of {', '.join(x['ops'])}" + (f"  ({x['line']})" if x["line"] else ""))
                    lines += [f"        {line}" for line in x["source"].rstrip().splitlines()]
        if not self.recordings and not self.eager:
            lines.append("  not called yet")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self):
        return rich.repr_html(self)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return rich.repr_mimebundle(self, include, exclude)


def size(count: int) -> str:
    """Bytes for reading."""
    for unit, step in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if count >= step:
            return f"{count / step:.3g} {unit}"
    return f"{count} B"


def recording_of(entry) -> Recording:
    values = entry.graph.values
    arguments = [f"{values[k].dtype} {values[k].shape}" for k in entry.graph.inputs]
    programs = [("forward" if entry.backward is not None else "program", entry.forward)]
    if entry.backward is not None:
        programs.append(("backward", entry.backward))
    parts = [part_of(name, p) for name, p in programs]
    return Recording(arguments, entry.recorded_nodes, list(entry.passes), entry.eager_peak, entry.replays, parts)


def part_of(name: str, program) -> Part:
    loops: dict[str, dict[str, Any]] = {}
    for n in program.nodes:
        if "loop" in n.attributes and n.op.startswith("fused_"):
            place = n.source or {}
            line = f"{place['file']}:{place['line']}" if place else ""
            found = loops.setdefault(
                n.attributes["loop"],
                {"ops": n.attributes["ops"], "source": n.attributes["loop"], "line": line, "uses": 0},
            )
            found["uses"] += 1
    plan = program.plan
    buffers = [
        {
            "id": k,
            "offset": at,
            "bytes": program.graph.values[k].bytes,
            "first": plan.lives[k][0],
            "last": plan.lives[k][1],
        }
        for k, (at, _, _, _) in plan.places.items()
    ]
    replay = program.replay.state if program.replay is not None else ""
    operations = len(program.nodes)
    return Part(name, program.source, operations, list(loops.values()), buffers, plan.size, plan.planned_peak, replay)
