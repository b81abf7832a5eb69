"""Shapes on every link, without data: blocks run on the "meta" device; what does not fit comes with repairs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import Any

import mlkit
from mlkit.builder.blocks import BlockType, Palette, canonical, palette
from mlkit.builder.document import Block, Document, Link, ModelGraph, unique
from mlkit.builder.module import Step, make_layer, run, settings
from mlkit.compiler.trace import trace
from mlkit.core.dispatch import only_shapes
from mlkit.core.errors import DataError, MlkitError

_PROBES = (11, 13)  # two batch sizes; what differs between them is the batch


@dataclass(frozen=True)
class Repair:
    """A change that makes a link work, as data: "set" a property, or "insert" a block into a link (and set one, too);
    of a training "train" sets, and "fetch" brings data to this machine.

    ``words`` is what a button says.
    """

    action: str
    words: str
    block: str = ""  # of which a property is set
    property: str = ""
    value: Any = None
    link: Link | None = None  # into which a block is inserted
    type: str = ""
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """What does not work: at which block, on which link, in words, with repairs."""

    block: str
    message: str
    link: Link | None = None
    source_shape: tuple | None = None
    expected_shape: tuple | None = None
    repairs: tuple[Repair, ...] = ()


@dataclass(frozen=True)
class Value:
    """What stands on a link: its shape with "batch" as a size, and its dtype; a tuple of values has ``parts``."""

    shape: tuple = ()
    dtype: str = ""
    parts: tuple[Value, ...] = ()

    def __str__(self) -> str:
        if self.parts:
            return f"({', '.join(map(str, self.parts))})"
        return f"({', '.join(map(str, self.shape))}{',' if len(self.shape) == 1 else ''}) {self.dtype}"


@dataclass(frozen=True)
class Cost:
    """Of one block for one example of a batch: parameters, multiply-adds, bytes of weights and of what it gives."""

    parameters: int = 0
    macs: int = 0
    parameter_bytes: int = 0
    activation_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def times(self, n: int) -> Cost:
        """So often this."""
        return Cost(*(n * a for a in vars(self).values()))


@dataclass
class Shapes:
    """The answer of `infer_shapes` for one graph."""

    values: dict[tuple[str, str], Value] = field(default_factory=dict)  # (block, output port)
    problems: list[Problem] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)

    @property
    def total(self) -> Cost:
        """All blocks together; shared weights count once."""
        return sum(self.costs.values(), Cost())

    def of(self, link: Link) -> Value | None:
        """What stands on a link; None where an earlier problem hides it."""
        return self.values.get((link.source, link.output))

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain data, for a canvas."""
        return {
            "values": {f"{b}.{p}": {"shape": list(v.shape), "dtype": v.dtype, "text": str(v)}
                       for (b, p), v in self.values.items()},
            "problems": [
                {"block": p.block, "message": p.message, "link": str(p.link) if p.link else None,
                 "source_shape": p.source_shape and list(p.source_shape),
                 "expected_shape": p.expected_shape and list(p.expected_shape),
                 "repairs": [{**vars(r), "link": str(r.link) if r.link else None} for r in p.repairs]}
                for p in self.problems
            ],
            "costs": {name: vars(c) for name, c in self.costs.items()},
            "total": vars(self.total),
        }  # fmt: skip


class Known:
    """What blocks gave for which inputs: a change of one block computes that block, and what gets something new from it.

    One such memory goes with one palette; it forgets all when it has grown large.
    """

    def __init__(self, limit: int = 20000):
        self.limit = limit
        self.answers: dict[Any, tuple[Any, Cost]] = {}

    def key(self, batch: int, found: BlockType, block: Block, args: list, named: dict[str, Any]) -> Any:
        """By what an answer is known: the class, its settings, and what comes in."""
        given = json.dumps(canonical(found, block.properties), sort_keys=True)
        target = found.target if found.kind == "module" else found.name
        return batch, target, given, tuple(map(_kind, args)), tuple((k, _kind(v)) for k, v in named.items())

    def keep(self, key: Any, result: Any, cost: Cost) -> None:
        """Remember an answer."""
        if len(self.answers) >= self.limit:
            self.answers.clear()
        self.answers[key] = (result, cost)


def infer_shapes(document: Document, graph: str | None = None, types: Palette | None = None,
                 inputs: dict[str, Value] | None = None, known: Known | None = None) -> Shapes:  # fmt: skip
    """Shapes, dtypes, problems and costs of a graph. Nothing is computed and no weight is made.

    A graph that is not finished is no error: blocks behind a problem have no values yet, all others have.

    Args:
        graph: a sub-graph's name; by default the main graph.
        inputs: what comes in, by Input block, where it is not what the blocks themselves say.
        known: a memory of earlier answers, for a document that is asked about again and again.

    >>> from mlkit.builder import templates
    >>> found = infer_shapes(templates.cnn())
    >>> print(found.values["flatten", "output"], found.total.parameters)
    (batch, 1568) float32 20490
    """
    types = types or palette()
    return _answers(document, document.graph(graph), types, inputs, known)[document.graph(graph).name]


def infer_all_shapes(document: Document, types: Palette | None = None, known: Known | None = None) -> dict[str, Shapes]:
    """`infer_shapes` of every graph, by name; a sub-graph gets what really comes into it where it is first used.

    >>> from mlkit.builder import templates
    >>> found = infer_all_shapes(templates.resnet_block(channels=8, size=4))
    >>> print(found["ResidualBlock"].values["input", "output"])
    (batch, 8, 4, 4) float32
    """
    types = types or palette()
    found = _answers(document, document.main, types, None, known)
    for graph in document.graphs.values():
        if graph.name not in found:  # nothing uses it, or what stands before it does not work yet
            found.update(_answers(document, graph, types, None, known))
    return found


def _answers(document: Document, chosen: ModelGraph, types: Palette, inputs: dict[str, Value] | None,
             known: Known | None) -> dict[str, Shapes]:  # fmt: skip
    given = {
        b.name: (inputs or {}).get(b.name)
        or Value(tuple(b.properties.get("shape") or ["batch", 784]), b.properties.get("dtype", "float32"))
        for b in chosen.of_type("Input")
    }
    runs = [_Run(document, types, n, known) for n in _PROBES]
    for one in runs:
        one.graph(chosen, {name: _tensor(v, one.batch) for name, v in given.items()})
    found = {}
    for name, first in runs[0].tables.items():
        second = runs[1].tables.get(name, first)
        answer = found[name] = Shapes()
        for key, value in first.values.items():
            if key in second.values:
                answer.values[key] = _compare(value, second.values[key])
        answer.problems = [replace(p, source_shape=_named(p.source_shape)) for p in first.problems]
        if not answer.problems:  # a layer that takes one of the batch sizes alone: (11, 13) tells
            answer.problems = second.problems
        answer.costs = first.costs
    return found


def _tensor(value: Value, batch: int) -> Any:
    if value.parts:
        return tuple(_tensor(v, batch) for v in value.parts)
    return mlkit.zeros(*(_size(n, batch) for n in value.shape), dtype=getattr(mlkit, value.dtype), device="meta")


def _size(n: Any, batch: int) -> int:
    if isinstance(n, int):
        return n
    text = str(n)
    times, _, rest = text.rpartition("*batch") if "*batch" in text else ("1", "", text.removeprefix("batch"))
    if "*batch" not in text:
        rest = text.removeprefix("batch")
    return int(times or 1) * batch + int(rest or 0)


def _compare(a: Any, b: Any) -> Value:
    if isinstance(a, (tuple, list)):
        return Value(parts=tuple(_compare(x, y) for x, y in zip(a, b, strict=True)))
    return Value(tuple(map(_symbol, a.shape, b.shape)), str(a.dtype).rpartition(".")[2])


def _symbol(first: int, second: int) -> Any:
    if first == second:
        return int(first)
    slope = (second - first) // (_PROBES[1] - _PROBES[0])
    rest = first - slope * _PROBES[0]
    if slope * _PROBES[1] + rest != second:
        return "?"
    return ("batch" if slope == 1 else f"{slope}*batch") + (f"{rest:+d}" if rest else "")


def _named(shape: tuple | None) -> tuple | None:
    if not shape:
        return shape
    return tuple("batch" if n == _PROBES[0] and i == 0 else n for i, n in enumerate(shape))


@dataclass
class _Table:
    values: dict[tuple[str, str], Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)


class _Run:
    """One probe: every block that can run is run on tensors without data."""

    def __init__(self, document: Document, types: Palette, batch: int, known: Known | None = None):
        self.document, self.types, self.batch = document, types, batch
        self.known = known or Known()
        self.tables: dict[str, _Table] = {}  # of each graph where it is used first

    def graph(self, graph: ModelGraph, inputs: dict[str, Any]) -> _Table:
        table = _Table()
        self.tables.setdefault(graph.name, table)
        feeding: dict[str, dict[str, Link]] = {}
        for link in graph.links:
            feeding.setdefault(link.target, {})[link.input] = link
        for block in graph.order():
            found = self.types[block.type]
            links = feeding.get(block.name, {})
            names, optional, outputs = self.document.ports(block, self.types)
            if found.variadic:
                names = sorted(links, key=int)
            missing = [n for n in names if n not in links]
            if missing or (found.variadic and not links):
                table.problems.append(Problem(block.name, f"Nothing is linked to {(missing or ['its inputs'])[0]}."))
                continue
            if any((k.source, k.output) not in table.values for k in links.values()):
                continue  # an earlier problem hides this one
            step = Step(block, found, [links[n] for n in names], {n: links[n] for n in optional if n in links}, outputs)
            try:
                self.step(step, table, inputs, graph)
            except (
                MlkitError,
                TypeError,
                ValueError,
                RuntimeError,
                IndexError,
                AttributeError,
                ArithmeticError,
            ) as error:
                table.problems.append(self.problem(step, table, error))
        return table

    def step(self, step: Step, table: _Table, inputs: dict[str, Any], graph: ModelGraph) -> None:
        block, found = step.block, step.found
        args = [table.values[k.source, k.output] for k in step.args]
        named = {port: table.values[k.source, k.output] for port, k in step.named.items()}
        cost = Cost()
        if found.kind == "input":
            result = inputs[block.name]
        elif found.kind == "output":
            table.values[block.name, "output"] = args[0]
            return
        elif found.kind == "parameter":
            shape = settings(found, block)["shape"]
            result = mlkit.zeros(*(shape if isinstance(shape, tuple) else (shape,)), device="meta")
            cost = Cost(result.numel(), 0, result.numel() * 4)
        elif found.kind == "graph":
            result, cost = self.nested(graph[block.shared] if block.shared else block, args, step)
        else:
            key = self.known.key(self.batch, found, block, args, named)
            if key not in self.known.answers:
                self.known.keep(key, *self.block(found, block, args, named))
            result, cost = self.known.answers[key]
            if block.shared is not None:
                cost = replace(cost, parameters=0, parameter_bytes=0)
        table.costs[block.name] = cost
        if len(step.outputs) == 1 and found.name != "chunk":
            table.values[block.name, step.outputs[0]] = result
        else:
            if not isinstance(result, (tuple, list)) or len(result) < len(step.outputs):
                raise DataError(f"{block.name} gives fewer values than its {len(step.outputs)} outputs.")
            for port, one in zip(step.outputs, result, strict=False):
                table.values[block.name, port] = one

    def block(self, found: BlockType, block: Block, args: list, named: dict[str, Any]) -> tuple[Any, Cost]:
        """Run one block without data."""
        cost = Cost()
        program: Any
        if found.kind == "module":
            program = make_layer(found, block, "meta")
            program.to("meta")
            weights = list(program.parameters())
            cost = Cost(sum(p.numel() for p in weights), 0, sum(p.numel() * p.element_size() for p in weights))
        else:
            program = lambda *args, **named: run(found, block, list(args), named)  # noqa: E731
        results: list = []

        def once(*args, **named):
            with only_shapes():
                results.append(program(*args, **named))
            return results[0]

        seen = trace(once, *args, **named)
        cost = cost + Cost(0, macs_of(seen) // self.batch, 0, _bytes(results[0]) // self.batch)
        return results[0], cost

    def nested(self, block: Block, args: list, step: Step) -> tuple[Any, Cost]:
        inner = self.document.graph(block.properties["graph"])
        times = int(block.properties.get("repeat", 1))
        names = [b.name for b in inner.of_type("Input")]
        total = cost = Cost()
        before: list = []
        for turn in range(times):
            if before and [_kind(a) for a in args] == before:
                total = total + cost.times(times - turn)
                break
            if len(args) != len(names):
                raise DataError(f"{block.name}: a repeated sub-graph needs as many outputs as inputs.")
            before = [_kind(a) for a in args]
            table = self.graph(inner, dict(zip(names, args, strict=True)))
            if table.problems:
                worst = table.problems[0]
                raise DataError(f"in {inner.name}, {worst.block}: {worst.message}")
            args = [table.values[b.name, "output"] for b in inner.of_type("Output")]
            cost = sum(table.costs.values(), Cost())
            total = total + cost
        if step.block.shared:
            total = replace(total, parameters=0, parameter_bytes=0)
        return (args[0] if len(args) == 1 else tuple(args)), total

    def problem(self, step: Step, table: _Table, error: Exception) -> Problem:
        sentence = getattr(error, "sentence", None) or str(error).split("\n")[0] or type(error).__name__
        link = step.args[-1] if step.args else next(iter(step.named.values()), None)
        if link is None:
            return Problem(step.block.name, sentence)
        shapes = [tuple(getattr(table.values[k.source, k.output], "shape", ())) for k in step.args]
        shape = tuple(getattr(table.values[link.source, link.output], "shape", ()))
        expected, repairs = _repairs(step, link, shape, shapes)
        good = tuple(r for r in repairs if self.works(step, r, table))
        return Problem(step.block.name, sentence, link, shape, expected, good)

    def works(self, step: Step, repair: Repair, table: _Table) -> bool:
        """Whether a repair really makes this block run; only those are offered."""
        block = step.block
        args = [table.values[k.source, k.output] for k in step.args]
        try:
            if repair.property:
                block = replace(block, properties={**block.properties, repair.property: repair.value})
            if repair.action == "insert":
                made = self.types[repair.type]
                extra = Block("repair", repair.type, repair.properties)
                place = next(i for i, k in enumerate(step.args) if k == repair.link)
                args[place] = (make_layer(made, extra) if made.kind == "module" else
                               lambda x: run(made, extra, [x], {}))(args[place])  # fmt: skip
            with only_shapes():
                if step.found.kind == "module":
                    layer = make_layer(step.found, block, "meta")
                    layer.to("meta")(*args)
                else:
                    run(step.found, block, args, {})
            return True
        except Exception:
            return False


def _kind(a: Any) -> Any:
    return tuple(map(_kind, a)) if isinstance(a, (tuple, list)) else (tuple(a.shape), str(a.dtype))


def _bytes(result: Any) -> int:
    if isinstance(result, (tuple, list)):
        return sum(_bytes(r) for r in result)
    return result.numel() * result.element_size() if hasattr(result, "numel") else 0


def macs_of(graph: Any) -> int:
    """Multiply-adds of the matrix products and convolutions in a traced graph."""
    total = 0
    for node in graph.nodes:
        shapes = [graph.values[v].shape for v in node.inputs]
        out = graph.values[node.outputs[0]].shape if node.outputs else ()
        if node.op == "linear" or node.op == "matmul":
            total += math.prod(out) * int(shapes[0][-1])
        elif node.op.startswith("conv") and len(shapes) > 1:
            if "transpose" in node.op:
                total += math.prod(shapes[0]) * math.prod(shapes[1][1:])
            else:
                total += math.prod(out) * math.prod(shapes[1][1:])
        elif node.op == "attention":
            q, k, v = shapes[:3]
            total += math.prod(q[:-1]) * k[-2] * (q[-1] + v[-1])
    return int(total)


_IN = {"in_features": -1, "in_channels": 1, "num_features": 1, "num_channels": 1, "input_size": -1, "embed_dim": -1,
       "d_model": -1, "normalized_shape": -1}  # fmt: skip


def _repairs(step: Step, link: Link, shape: tuple, shapes: list[tuple]) -> tuple[tuple | None, list[Repair]]:
    """Candidates for a link that does not fit, the likeliest first, and the shape the block wants where it is known."""
    found, block = step.found, step.block
    repairs: list[Repair] = []
    expected: tuple | None = None
    for name, axis in _IN.items():
        if not found.has(name) or not shape:
            continue
        want = block.properties.get(name)
        flat = math.prod(shape[1:])
        if name == "in_features":
            expected = ("batch", "*", want)
            if len(shape) > 2:
                if flat == want:
                    repairs.append(Repair("insert", "Insert Flatten", link=link, type="Flatten"))
                elif len(shape) > 3:
                    repairs.append(Repair("insert", f"Insert Flatten, set in_features to {flat}", block.name, name, flat,
                                          link, "Flatten"))  # fmt: skip
        elif axis == 1:
            expected = ("batch", want, "*")
        if len(shape) > (1 if axis == 1 else 0):
            value = int(shape[axis])
            repairs.append(Repair("set", f"Set {name} of {block.name} to {value}", block.name, name, value))
        if axis == 1 and len(shape) == 4 and shape[-1] == want:
            repairs.append(Repair("insert", "Insert Permute (channels last to channels first)", link=link,
                                  type="Permute", properties={"dims": [0, 3, 1, 2]}))  # fmt: skip
        if axis == -1 and len(shape) == 3 and shape[1] == want:
            repairs.append(Repair("insert", "Insert transpose", link=link, type="transpose",
                                  properties={"dim0": 1, "dim1": 2}))  # fmt: skip
    if found.kind == "operator" and len(shapes) == 2:
        expected = _named(shapes[0])
        for source, target, k in ((shapes[1], shapes[0], step.args[1]), (shapes[0], shapes[1], step.args[0])):
            if source and target and source[0] == target[0] and math.prod(source) == math.prod(target):
                repairs.append(Repair("insert", f"Insert Reshape to {_named(target)}", link=k, type="Reshape",
                                      properties={"shape": ["batch", *map(int, target[1:])]}))  # fmt: skip
            if found.name == "MatMul" and len(source) >= 2:
                repairs.append(Repair("insert", "Insert transpose", link=k, type="transpose",
                                      properties={"dim0": len(source) - 2, "dim1": len(source) - 1}))  # fmt: skip
    if found.kind == "module" and found.name.endswith("2d") and len(shape) == 3:
        repairs.append(Repair("insert", "Insert unsqueeze", link=link, type="unsqueeze", properties={"dim": 1}))
    if found.kind == "module" and len(shape) == 2 and found.has("in_channels") and found.name.endswith("2d"):
        channels = int(block.properties.get("in_channels", 1) or 1)
        side = math.isqrt(shape[1] // channels)
        if channels * side * side == shape[1]:
            repairs.append(Repair("insert", f"Insert Reshape to (batch, {channels}, {side}, {side})", link=link,
                                  type="Reshape", properties={"shape": ["batch", channels, side, side]}))  # fmt: skip
    return expected, repairs


def apply_repair(document: Document, repair: Repair, graph: str | None = None) -> Document:
    """The document with a repair done."""
    old = document.graph(graph)
    if repair.property:
        owner = old[repair.block].shared or repair.block
        old = replace(old, blocks=tuple(
            replace(b, properties={**b.properties, repair.property: repair.value}) if owner in (b.name, b.shared) else b
            for b in old.blocks
        ))  # fmt: skip
    if repair.action == "set":
        return document.with_graph(old, graph)
    if repair.link is None or repair.link not in old.links:
        raise DataError(f"The link {repair.link} is no longer there.")
    name = unique(repair.type.lower(), {b.name for b in old.blocks})
    one, two = old[repair.link.source].position, old[repair.link.target].position
    made = Block(name, repair.type, dict(repair.properties), ((one[0] + two[0]) / 2, (one[1] + two[1]) / 2))
    place = [b.name for b in old.blocks].index(repair.link.target)
    links = tuple(k for k in old.links if k != repair.link)
    links += (Link(repair.link.source, name, repair.link.output),
              Link(name, repair.link.target, "output", repair.link.input))  # fmt: skip
    return document.with_graph(
        replace(old, blocks=(*old.blocks[:place], made, *old.blocks[place:]), links=links), graph
    )
