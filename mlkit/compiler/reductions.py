"""Sums and means in one loop with the elementwise ops that make what they add up.

Three forms, by which dims are summed as memory has them: all of them, the outer ones (a bias's gradient) and the inner
ones (a row's). Numbers are added in float32 over short stretches and in float64 from there on.
"""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlkit.compiler import fusion
from mlkit.compiler.graph import GraphNode, Ref
from mlkit.compiler.memory import dense, order_of
from mlkit.compiler.passes import Facts
from mlkit.ops import REGISTRY

#: below so many elements NumPy's own sum does
SMALLEST = 1 << 14
#: the shortest row or stretch of kept numbers that a loop over it pays for
NARROWEST = 16
STRETCH = 1024  # numbers, or
ROWS = 64  # rows, that are added in float32
_FLOAT32 = np.dtype(np.float32)


@dataclass
class Sum:
    """A sum with its chain: the nodes, what they read and what of them others read too, and the form."""

    last: GraphNode
    chain: list[GraphNode]
    inputs: list[str]
    leaving: list[str]
    order: tuple[int, ...]
    outer: int  # how many elements the dims that come first in memory have
    inner: int
    form: str  # "all", "outer" or "inner": the dims that are summed
    kinds: dict[str, str] = field(
        default_factory=dict
    )  # of each input: "full", "row" (one per inner place) or "number"


def fuse(nodes: list[GraphNode], facts: Facts, kept: set[str], numba: bool) -> list[GraphNode]:
    """The nodes with each large sum as one loop; unchanged where Numba cannot be used."""
    if not numba or not fusion.usable():
        return nodes
    users: dict[str, list[GraphNode]] = {}
    for n in nodes:
        for k in dict.fromkeys(n.inputs):
            users.setdefault(k, []).append(n)
    by_output = {k: n for n in nodes for k in n.outputs}
    gone: dict[str, Any] = {}  # a node's id -> what comes in its place, or None
    for n in nodes:
        found = form_of(n, facts)
        if found is None:
            continue
        grow(found, by_output, users, facts, kept, gone)
        made = node_of(found, facts)
        for m in (*found.chain, n):
            gone[m.id] = None
        gone[(found.chain[-1] if found.leaving else n).id] = made
    return [m for n in nodes if (m := gone.get(n.id, n)) is not None]


def form_of(n: GraphNode, facts: Facts) -> Sum | None:
    """The sum without a chain; None where it is none that a loop does."""
    if n.op not in ("sum", "mean") or n.kernel is not None or len(n.inputs) != 1:
        return None
    (key,) = n.inputs
    array, out = facts.arrays[key], facts.arrays[n.outputs[0]]
    if array.dtype != _FLOAT32 or out.dtype != _FLOAT32 or array.size < SMALLEST or not dense(array):
        return None
    if not facts.safe(key) or not facts.safe(n.outputs[0]):
        return None
    dim = n.attributes["dim"]
    rank = array.ndim
    summed = (
        set(range(rank)) if dim is None else {d % rank for d in (dim if isinstance(dim, (tuple, list)) else (dim,))}
    )
    order = order_of(array)
    order = tuple(d for d in order if array.shape[d] > 1)  # dims of one element lie anywhere
    places = [i for i, d in enumerate(order) if d in summed]
    if not places:
        return None
    sizes = [array.shape[d] for d in order]
    count = len(places)
    if count == len(order):
        form, outer, inner = "all", 1, array.size
    elif places == list(range(count)):
        form, outer, inner = "outer", int(np.prod(sizes[:count])), int(np.prod(sizes[count:]))
    elif places == list(range(len(order) - count, len(order))):
        form, outer, inner = (
            "inner",
            int(np.prod(sizes[: len(order) - count])),
            int(np.prod(sizes[len(order) - count :])),
        )
    else:
        return None
    if inner < NARROWEST:
        return None
    return Sum(n, [], [key], [], order_of(array), outer, inner, form, {key: "full"})


def grow(found: Sum, by_output: dict, users: dict, facts: Facts, kept: set[str], gone: dict) -> None:
    """Take in the nodes that make what is summed, as long as they are elementwise in the same shape and order."""
    (key,) = found.inputs
    shape = facts.arrays[key].shape
    maker = by_output.get(key)
    if maker is None or maker.id in gone or not fits(maker, found, facts):
        return
    others = [u for u in users.get(key, []) if u is not found.last]
    if any(fusion.printable(u, facts) and facts.arrays[u.outputs[0]].shape == shape for u in others):
        return  # it has company in a loop of its own
    if key in kept or others:
        found.leaving = [key]
    chain, inputs, stack = [maker], {}, [maker]
    while stack:
        n = stack.pop()
        for a in n.inputs:
            before = by_output.get(a)
            alone = a not in kept and all(any(u is m for m in chain) for u in users.get(a, []))
            if before is not None and before.id not in gone and alone and fits(before, found, facts):
                if len(chain) < fusion.LONGEST and before not in chain:
                    chain.append(before)
                    stack.append(before)
                    continue
            inputs[a] = kind_of(facts.arrays[a], found, facts)
    made = {m.outputs[0] for m in chain}
    inputs = {a: k for a, k in inputs.items() if a not in made}
    if any(k is None for k in inputs.values()) or len(inputs) + len(found.leaving) > fusion.WIDEST:
        found.leaving = []
        return
    place = {id(m): i for i, m in enumerate(by_output.values())}
    found.chain = sorted(chain, key=lambda m: place[id(m)])
    found.inputs, found.kinds = list(inputs), inputs  # type: ignore[assignment]


def fits(n: GraphNode, found: Sum, facts: Facts) -> bool:
    """Whether a node can be part of the loop: of the sum's shape and order in memory, all its arrays known to it."""
    out = facts.arrays[n.outputs[0]]
    if not fusion.printable(n, facts) or out.dtype != _FLOAT32:
        return False
    first = facts.arrays[found.last.inputs[0]]
    if out.shape != first.shape or not dense(out) or out.size > 1 and order_of(out) != found.order:
        return False
    return all(kind_of(facts.arrays[a], found, facts) for a in n.inputs)


def kind_of(array: np.ndarray, found: Sum, facts: Facts) -> str | None:
    """How the loop reads an array: at each place, along the inner dims alone, or once."""
    first = facts.arrays[found.last.inputs[0]]
    if array.dtype not in (_FLOAT32, np.dtype(bool)):
        return None
    if array.size == 1:
        return "number"
    if array.shape == first.shape:
        return "full" if dense(array) and order_of(array) == found.order else None
    if found.form != "outer" or array.size != found.inner or array.ndim > first.ndim or not array.flags.c_contiguous:
        return None
    wide = (1,) * (first.ndim - array.ndim) + array.shape
    summed = [d for d in range(first.ndim) if wide[d] == 1 and first.shape[d] > 1]
    rest = [d for d in found.order if d not in summed and first.shape[d] > 1]
    return "row" if rest == sorted(rest) and [wide[d] for d in rest] == [first.shape[d] for d in rest] else None


# --- the text -------------------------------------------------------------------------------------------------------------


def source_of(found: Sum, facts: Facts) -> str:
    """The loop: arguments a0.. are read, o0.. written, ``found`` (float64) takes the sums of the turns start .. stop."""
    printer = fusion.Printer()
    names = [f"a{i}" for i in range(len(found.inputs))] + [f"o{i}" for i in range(len(found.leaving))]
    names += ["found", "width", "start", "stop"]
    flat = found.form == "all"
    head, rows, body, symbols = [], [], [], {}
    for i, k in enumerate(found.inputs):
        array, kind = facts.arrays[k], found.kinds[k]
        if kind == "number":
            zero = "()" if array.ndim == 0 else ", ".join("0" * array.ndim)
            head.append(f"x{i} = a{i}[{zero}]")
        elif kind == "row":
            head.append(f"g{i} = ascontiguousarray(a{i}).reshape(width)")
            body.append(f"x{i} = g{i}[c]")
        else:
            sizes = f"a{i}.size" if flat else f"a{i}.size // width, width"
            head.append(f"f{i} = ascontiguousarray(a{i}).reshape({sizes})")
            rows.append(f"g{i} = f{i}[low:high]" if flat else f"g{i} = f{i}[r]")
            body.append(f"x{i} = g{i}[c]")
        symbols[k] = fusion.Symbol(printer, f"x{i}", array.dtype)
    for n in found.chain:
        xs = [symbols[a] if isinstance(a, Ref) else a for a in n.arguments]
        symbols[n.outputs[0]] = printer.op(REGISTRY[n.op], xs, n.attributes)
    total = symbols[found.last.inputs[0]].name
    body += printer.lines
    for i, k in enumerate(found.leaving):
        sizes = f"o{i}.size" if flat else f"o{i}.size // width, width"
        head.append(f"r{i} = o{i}.reshape({sizes})")
        rows.append(f"p{i} = r{i}[low:high]" if flat else f"p{i} = r{i}[r]")
        body.append(f"p{i}[c] = {symbols[k].name}")
    lines = [f"def run({', '.join(names)}):", *(f"    {line}" for line in head)]
    if found.form == "outer":
        lines += [
            "    total = zeros(width, float32)",
            f"    for low in range(start, stop, {ROWS}):",
            f"        for r in range(low, min(low + {ROWS}, stop)):",
            *(f"            {line}" for line in rows),
            "            for c in range(width):",
            *(f"                {line}" for line in body),
            f"                total[c] += {total}",
            "        for c in range(width):",
            "            found[c] += float64(total[c])",
            "            total[c] = float32(0.0)",
        ]
    elif flat:
        lines += [
            f"    part = empty({STRETCH}, float32)",
            f"    for low in range(start, stop, {STRETCH}):",
            f"        high = min(low + {STRETCH}, stop)",
            *(f"        {line}" for line in rows),
            "        for c in range(high - low):",
            *(f"            {line}" for line in body),
            f"            part[c] = {total}",
            "        found[0] += float64(stretch(part[:high - low]))",
        ]
    else:
        lines += [
            f"    part = empty({STRETCH}, float32)",
            "    for r in range(start, stop):",
            *(f"        {line}" for line in rows),
            "        whole = 0.0",
            f"        for low in range(0, width, {STRETCH}):",
            f"            high = min(low + {STRETCH}, width)",
            "            for c in range(low, high):",
            *(f"                {line}" for line in body),
            f"                part[c - low] = {total}",
            "            whole += float64(stretch(part[:high - low]))",
            "        found[r] = whole",
        ]
    return "\n".join(lines) + "\n"


# --- the node -------------------------------------------------------------------------------------------------------------


def node_of(found: Sum, facts: Facts) -> GraphNode:
    source = source_of(found, facts)
    compiled = fusion.function_of(source)
    n = found.last
    first, out = facts.arrays[n.inputs[0]], facts.arrays[n.outputs[0]]
    order, shape = found.order, first.shape
    turn = [found.kinds[k] == "full" and order != tuple(range(first.ndim)) for k in found.inputs]
    back = tuple(int(d) for d in np.argsort(order))
    block = [shape[d] for d in order]
    turns = found.inner if found.form == "all" else found.outer
    each = 1 if found.form == "all" else found.inner
    grain = max(1, fusion.GRAIN // each)
    if found.form == "all":
        grain = -(-grain // STRETCH) * STRETCH
    summed, width = out.size, found.inner
    share = found.last.op == "mean" and out.size / first.size
    # the kept dims as memory has them, and how to turn them into the result's
    alive = [d for d in order if shape[d] > 1 and (found.form == "outer") == _inner(found, shape, d)]
    turned = [shape[d] for d in alive] if found.form != "all" else []
    straight = found.form == "all" or alive == sorted(alive)
    permuted = tuple(int(i) for i in np.argsort(alive))
    pool = importlib.import_module("mlkit.backends.numba.pool")

    def finish(totals: np.ndarray) -> np.ndarray:
        if share:
            totals *= share
        result = totals.astype(np.float32)
        if not straight:
            result = np.ascontiguousarray(result.reshape(turned).transpose(permuted))
        return result.reshape(out.shape)

    def run(*given):
        operands = [a.transpose(order) if t else a for a, t in zip(given, turn, strict=True)]
        made = [np.empty(block, np.float32) for _ in found.leaving]
        if turns < 2 * grain or pool.threads() == 1 or found.form == "inner":
            totals = np.zeros(summed)
            if turns < 2 * grain:
                compiled(*operands, *made, totals, width, 0, turns)
            else:  # each row has a place of its own
                pool.split(lambda start, stop: compiled(*operands, *made, totals, width, start, stop), turns, grain)
        else:
            parts: list = []

            def work(start, stop):
                part = np.zeros(summed)
                compiled(*operands, *made, part, width, start, stop)
                parts.append((start, part))

            pool.split(work, turns, grain)
            parts.sort(key=lambda part: part[0])  # the same sum whichever thread was first
            totals = functools.reduce(np.add, [part for _, part in parts])
        result = finish(totals)
        return (made[0].transpose(back), result) if made else result

    names = [m.op for m in found.chain] + [n.op]
    outputs = [*found.leaving, *n.outputs]
    node = GraphNode(
        id=(found.chain[-1] if found.leaving else n).id,
        op="fused_" + "_".join(dict.fromkeys(names))[:40],
        inputs=list(found.inputs),
        outputs=outputs,
        arguments=[Ref(k) for k in found.inputs],
        module=n.module,
        source=n.source,
        kernel=run,
        picks=None if len(outputs) == 1 else [True] * len(outputs),
    )
    node.attributes = {"loop": source, "ops": names}
    return node


def _inner(found: Sum, shape: tuple, dim: int) -> bool:
    """Whether a dim is one of the inner ones, which come last in memory."""
    size = 1
    for d in reversed(found.order):
        if size >= found.inner:
            break
        size *= shape[d]
        if d == dim:
            return True
    return False
