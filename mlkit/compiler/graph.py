"""The one graph that displays, widgets, exporters and compilers work on: values, nodes, modules."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from mlkit.core import rich
from mlkit.core.dtype import dtype
from mlkit.core.size import Symbol
from mlkit.core.value import Value

FORMAT, VERSION = "mlkit.graph", 1


class Ref(str):
    """A value's id among a node's arguments (other arguments are numbers, or None)."""

    __slots__ = ()


@dataclass
class GraphValue:
    """One tensor of the program: what it is, not its numbers."""

    id: str
    kind: str  # input, parameter, buffer, constant or activation
    name: str
    shape: tuple
    dtype: str
    base: str | None = None  # the value whose memory this one shows

    @property
    def bytes(self) -> int:
        from mlkit.core.dtype import as_dtype

        total = as_dtype(self.dtype).itemsize
        for n in self.shape:
            total = total * int(n)
        return total


@dataclass
class GraphNode:
    """One op: what goes in, what comes out, where it stands in model and source."""

    id: str
    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    module: str = ""
    composites: tuple[str, ...] = ()
    source: dict | None = None
    seconds: float | None = None
    random: bool = False
    # what a compiler needs besides; not part of the document
    arguments: list = field(default_factory=list, repr=False)  # operands in order: Ref, number or None
    effect: bool = False  # happens even when nobody uses its outputs, and stays in its place
    kernel: Any = field(default=None, repr=False)  # what computes it, for nodes that are no registered op
    picks: list | None = None  # of a kernel that returns a tuple: which of its results are the outputs
    writes: Any = field(default=None, repr=False)  # of a made node: a function (operands..., out)
    over: bool = field(default=False, repr=False)  # which may be an operand: each place is read before it is written
    changes: list[str] = field(default_factory=list)  # values an effect changes in place, besides a write's first


@dataclass
class GraphModule:
    """A module that took part, by its path."""

    path: str
    type: str
    parameters: int
    extra: str


@dataclass
class Graph:
    """A recorded program. ``to_dict`` and ``to_json`` are its document form (``application/vnd.mlkit.graph+json``)."""

    name: str
    values: dict[str, GraphValue] = field(default_factory=dict)
    nodes: list[GraphNode] = field(default_factory=list)
    modules: list[GraphModule] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    error: dict | None = None  # what a forward that failed raised, after the last node
    _tensors: dict[str, Value] = field(default_factory=dict, repr=False)

    def value(self, id: str) -> Value:
        """The recorded tensor (detached); only with ``trace(..., keep=True)``."""
        if id not in self.values:
            raise KeyError(f"no value {id!r} in graph {self.name!r}")
        if id not in self._tensors:
            raise KeyError(f"the tensor of {id!r} was not kept: record with trace(..., keep=True)")
        return self._tensors[id]

    def to_dict(self) -> dict:
        """Plain dictionaries and lists, ready for JSON."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "modules": [vars(m).copy() for m in self.modules],
            "values": [
                {
                    "id": v.id,
                    "kind": v.kind,
                    "name": v.name,
                    "shape": [_plain(n) for n in v.shape],
                    "dtype": v.dtype,
                    "bytes": v.bytes,
                }
                for v in self.values.values()
            ],
            "nodes": [
                {
                    "id": n.id,
                    "op": n.op,
                    "module": n.module,
                    "composites": list(n.composites),
                    "inputs": list(n.inputs),
                    "outputs": list(n.outputs),
                    "attrs": {k: _plain(v) for k, v in n.attributes.items()},
                    "source": n.source,
                    "seconds": n.seconds,
                }
                for n in self.nodes
            ],
            "error": self.error,
        }

    def to_json(self, indent: int | None = None) -> str:
        """The document as text, keys in a fixed order."""
        return json.dumps(self.to_dict(), indent=indent)

    def __repr__(self) -> str:
        return f"Graph({self.name!r}, {len(self.nodes)} nodes, {len(self.values)} values, {len(self.modules)} modules)"

    def _repr_html_(self):
        return rich.repr_html(self)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return rich.repr_mimebundle(self, include, exclude)


def _plain(x):
    """Anything an attribute may be, as JSON."""
    if isinstance(x, Symbol):
        return x.name
    if isinstance(x, (bool, str)) or x is None:
        return x
    if isinstance(x, int):
        return int(x)
    if isinstance(x, float):
        return x if x == x and abs(x) != float("inf") else repr(x)
    if isinstance(x, slice):
        return ":".join("" if p is None else str(p) for p in (x.start, x.stop, x.step))
    if isinstance(x, dtype):
        return x.name
    if isinstance(x, (tuple, list)):
        return [_plain(v) for v in x]
    if isinstance(x, dict):
        return {str(k): _plain(v) for k, v in x.items()}
    return str(x)
