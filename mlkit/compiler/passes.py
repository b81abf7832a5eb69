"""What is done to a recorded graph before it becomes a program. Each pass takes nodes and gives nodes.

``facts`` (a ``Facts``) says what the nodes alone do not: which values are constants, which memory is changed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mlkit.compiler.graph import Graph, GraphNode, Ref
from mlkit.ops import REGISTRY


@dataclass
class Facts:
    """What a pass may know of the values.

    ``arrays``: id -> the array it was while recording; ``constants``: id -> array, the same in each call; ``results``:
    ids that leave the program; ``written``: ids of memory (roots) that is changed in place.
    """

    graph: Graph
    arrays: dict
    constants: dict[str, np.ndarray]
    results: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)  # constants whose memory somebody else may change

    def root(self, key: str) -> str:
        """The value whose memory this one shows."""
        values = self.graph.values
        while values[key].base is not None and values[key].base != key:
            key = values[key].base  # type: ignore[assignment]
        return key

    def safe(self, key: str) -> bool:
        """Whether its memory stays as it is."""
        return self.root(key) not in self.written

    def replaced(self, old: str, new: str) -> None:
        """``new`` is read instead of ``old`` from here on: what were views of the one show the other's memory."""
        if self.root(old) != self.root(new):
            self.graph.values[self.root(old)].base = new


def in_place(nodes: list[GraphNode], facts: Facts) -> list[GraphNode]:
    """Read a new value instead of writing it over an old one: what was ``x.relu_()`` becomes ``y = x.relu()``.

    For whole values that the nodes make themselves, of which no view was taken before.
    """
    values = facts.graph.values
    views: dict[str, list[str]] = {}
    for k, v in values.items():
        if v.base is not None and v.base != k:
            views.setdefault(facts.root(k), []).append(k)
    made = {k: i for i, n in enumerate(nodes) for k in n.outputs}
    last: dict[str, tuple[int, str]] = {}  # the last write into that value: its place, and what is written
    kept: set[str] = set()
    for i, n in enumerate(nodes):
        if n.op != "write":
            kept.update(facts.root(k) for k in n.changes)
            continue
        into, given = map(str, n.arguments)
        old, new, root = values[into], values[given], facts.root(into)
        last[root] = i, given
        whole = into == root and old.kind == "activation" and (old.shape, old.dtype) == (new.shape, new.dtype)
        if not whole or root in facts.results or not facts.safe(given):
            kept.add(root)
    for root, (i, _) in last.items():
        if any(made.get(k, -1) < i for k in views.get(root, ())):
            kept.add(root)
    names: dict[str, str] = {}
    out = []
    for n in nodes:
        if n.op == "write" and (root := str(n.arguments[0])) in last and root not in kept:
            given = str(n.arguments[1])
            names[root] = names.get(given, given)
        else:
            out.append(renamed(n, names))
    for root in names:
        facts.written.discard(root)
        for k in views.get(root, ()):
            values[k].base = facts.root(names[root])
    return out


def dead_code(nodes: list[GraphNode], facts: Facts) -> list[GraphNode]:
    """Leave out what nobody uses: nodes without effect none of whose outputs is needed later or at the end."""
    needed = set(facts.results)
    kept = []
    for n in reversed(nodes):
        if n.effect or needed.intersection(n.outputs):
            kept.append(n)
            needed.update(n.inputs)
    return kept[::-1]


def renamed(n: GraphNode, names: dict[str, str]) -> GraphNode:
    """The node reading other values where ``names`` has one."""
    if not any(k in names for k in n.inputs):
        return n

    def new(a):
        return Ref(names.get(a, a)) if isinstance(a, Ref) else a

    made = GraphNode(**vars(n))
    made.arguments = [new(a) for a in n.arguments]
    made.attributes = {k: new(a) for k, a in n.attributes.items()}
    made.inputs = [names.get(k, k) for k in n.inputs]
    return made


def _leaves_as_it_is(n: GraphNode, facts: Facts) -> bool:
    """Whether the node gives its first input unchanged."""
    if n.kernel is not None or not n.arguments or not isinstance(n.arguments[0], Ref) or len(n.outputs) != 1:
        return False
    values = facts.graph.values
    a, b = values[n.arguments[0]], values[n.outputs[0]]
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    if n.op in ("cast", "expand", "reshape"):
        return True
    if n.op == "conj":
        return not a.dtype.startswith("complex")
    if n.op in ("mul", "div") and a.dtype.startswith("float"):
        other = n.arguments[1]
        if isinstance(other, Ref):
            array = facts.constants.get(other)
            return array is not None and other not in facts.foreign and facts.safe(other) and bool(np.all(array == 1))
        return isinstance(other, (int, float)) and other == 1
    return n.op == "permute" and list(n.attributes["dims"]) == sorted(n.attributes["dims"])


def simplify(nodes: list[GraphNode], facts: Facts) -> list[GraphNode]:
    """Leave out what changes nothing: a cast to the own dtype, times one, a reshape to the own shape."""
    names: dict[str, str] = {}
    kept = []
    for n in nodes:
        n = renamed(n, names)
        if _leaves_as_it_is(n, facts) and n.outputs[0] not in facts.results:
            source = str(n.arguments[0])
            if facts.safe(source) and facts.safe(n.outputs[0]):
                names[n.outputs[0]] = source
                facts.replaced(n.outputs[0], source)
                continue
        if n.op == "mul" and n.kernel is None and n.outputs[0] not in facts.results and len(n.arguments) == 2:
            # one times x, as the first gradient is
            turned = GraphNode(**vars(n))
            turned.arguments = n.arguments[::-1]
            if _leaves_as_it_is(turned, facts) and facts.safe(turned.arguments[0]) and facts.safe(n.outputs[0]):
                names[n.outputs[0]] = str(turned.arguments[0])
                facts.replaced(n.outputs[0], str(turned.arguments[0]))
                continue
        kept.append(n)
    return kept


def common_subexpressions(nodes: list[GraphNode], facts: Facts) -> list[GraphNode]:
    """Compute once what is computed twice from the same values."""
    names: dict[str, str] = {}
    known: dict[str, GraphNode] = {}
    kept = []
    for n in nodes:
        n = renamed(n, names)
        pure = not n.effect and n.kernel is None and all(facts.safe(k) for k in (*n.inputs, *n.outputs))
        if pure:
            key = repr((n.op, [(type(a).__name__, a) for a in n.arguments], sorted(n.attributes.items())))
            first = known.setdefault(key, n)
            if first is not n and not facts.results.intersection(n.outputs):
                names.update(zip(n.outputs, first.outputs, strict=True))
                for old, new in zip(n.outputs, first.outputs, strict=True):
                    facts.replaced(old, new)
                continue
        kept.append(n)
    return kept


def constant_folding(nodes: list[GraphNode], facts: Facts) -> list[GraphNode]:
    """Keep what follows from constants alone as a constant: masks, positions, the gradient to start with."""
    kept = []
    for n in nodes:
        op = REGISTRY.get(n.op)
        if (
            op is not None
            and not n.effect
            and not op.random
            and n.inputs
            and all(k in facts.constants and k not in facts.foreign and facts.safe(k) for k in n.inputs)
            and all(facts.safe(k) and k not in facts.results for k in n.outputs)
        ):
            for k in n.outputs:
                facts.constants[k] = facts.arrays[k]
        else:
            kept.append(n)
    return kept


#: the passes before fusion, in order, with the words explain() uses
PASSES: list[tuple[str, Callable]] = [
    ("in-place changes", in_place),
    ("dead code", dead_code),
    ("constant folding", constant_folding),
    ("no-ops", simplify),
    ("common subexpressions", common_subexpressions),
    ("dead code again", dead_code),
]


def run_all(nodes: list[GraphNode], facts: Facts) -> tuple[list[GraphNode], list[tuple[str, int, int]]]:
    """The nodes after all passes, and for each pass how many there were before and after it."""
    log = []
    for name, run in PASSES:
        before = len(nodes)
        nodes = run(nodes, facts)
        log.append((name, before, len(nodes)))
    return nodes, log
