"""From a document to Python: classes a person would write, which run with mlkit and with PyTorch."""

from __future__ import annotations

import re
from typing import Any

from mlkit.builder.blocks import BlockType, Palette, palette
from mlkit.builder.document import Block, Document, Link, ModelGraph, has_default_name
from mlkit.builder.module import Step, settings, steps
from mlkit.builder.suggest import starting_settings
from mlkit.core.errors import DataError

WIDTH = 110


LIBRARIES = {"both": "mlkit, else PyTorch", "mlkit": "mlkit", "torch": "PyTorch"}


def write_code(document: Document, library: str = "both", types: Palette | None = None) -> str:
    """Python source of a document.

    Args:
        library: Whose names are imported. "both": mlkit's, and PyTorch's where there is no mlkit, so that one text runs
            unchanged in either place; "mlkit" or "torch": that one's alone. The classes are the same.
        types: the palette that knows your own classes; by default mlkit's.

    Raises:
        DataError: the document breaks a rule of its format, or something in it is not linked or not set.

    >>> from mlkit.builder import templates
    >>> print(write_code(templates.mlp(4, 8, 2)))
    from collections import OrderedDict
    <BLANKLINE>
    try:
        from mlkit import nn
    except ImportError:  # the same with PyTorch
        from torch import nn
    <BLANKLINE>
    <BLANKLINE>
    class MLP(nn.Sequential):
        \"\"\"input: (batch, 4) float32 -> output\"\"\"
    <BLANKLINE>
        def __init__(self):
            super().__init__(
                OrderedDict(
                    linear=nn.Linear(4, 8),
                    relu=nn.ReLU(),
                    linear_2=nn.Linear(8, 2),
                )
            )
    <BLANKLINE>
    """
    if library not in LIBRARIES:
        raise DataError(f"Code is written for {', '.join(map(repr, LIBRARIES))}, not for {library!r}.")
    types = types or palette()
    document.check(types)
    word = "mlkit" if library == "mlkit" else "torch"
    classes = [_Class(document, graph, types, word).write() for graph in _inner_first(document)]
    body = "\n\n\n".join(classes) + "\n"
    own = sorted({b.type for g in document.all_graphs() for b in g.blocks if types[b.type].group == "Yours"})
    head = []
    if "OrderedDict(" in body:
        head += ["from collections import OrderedDict", ""]
    head += _imports(body, library, word)
    for name in own:
        home = types[name].target.__module__
        head.append(f"from {home} import {name}" if home != "__main__" else f"# {name} is a class of your notebook")
    return "\n".join(head) + "\n\n\n" + body


def _imports(body: str, library: str, word: str) -> list[str]:
    """Only what the classes use."""
    used = [bool(re.search(rf"\b{word}\.", body)), bool(re.search(r"\bF\.", body)), True]

    def lines(home: str) -> list[str]:
        made = (f"import {home}" if home == word else f"import {home} as {word}", f"import {home}.nn.functional as F",
                f"from {home} import nn")  # fmt: skip
        return [line for line, wanted in zip(made, used, strict=True) if wanted]

    if library != "both":
        return lines(library)
    one, two = (["    " + line for line in lines(home)] for home in ("mlkit", "torch"))
    return ["try:", *one, "except ImportError:  # the same with PyTorch", *two]


def _inner_first(document: Document) -> list[ModelGraph]:
    done: dict[str, ModelGraph] = {}

    def visit(graph: ModelGraph) -> None:
        for block in graph.of_type("Graph"):
            inner = document.graph(block.properties["graph"])
            if inner.name not in done:
                visit(inner)
        done[graph.name] = graph

    visit(document.main)
    for graph in document.graphs.values():
        if graph.name not in done:
            visit(graph)
    return list(done.values())


def literal(value: Any) -> str:
    """A property as Python: a tuple for a list.

    >>> literal([3, 3]), literal("same"), literal(None)
    ('(3, 3)', '"same"', 'None')
    """
    if isinstance(value, (list, tuple)):
        inner = ", ".join(literal(v) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return '"' + value + '"' if isinstance(value, str) and value.isidentifier() else repr(value)


def arguments(found: BlockType, block: Block) -> str:
    """The properties as they stand in a call: what is required by place, the rest by name."""
    parts: list[str] = []
    by_place = True
    given = settings(found, block)
    for p in found.properties:
        if p.name not in given:
            by_place = False
            continue
        by_place = by_place and p.required and p.name not in ("dim", "p")
        parts.append(literal(given[p.name]) if by_place else f"{p.name}={literal(given[p.name])}")
    return ", ".join(parts)


class _Class:
    """Writes one graph as one class."""

    def __init__(self, document: Document, graph: ModelGraph, types: Palette, library: str):
        self.document, self.graph, self.types, self.library = document, graph, types, library
        self.steps = steps(document, graph, types)
        self.inputs = [b.name for b in graph.of_type("Input")]
        self.outputs = [b.name for b in graph.of_type("Output")]
        if not self.outputs:
            raise DataError(
                f"{graph.name} has no Output block.", hint="Add an Output and link what the model gives to it."
            )
        names = {b.name for b in graph.blocks}
        self.generic = [v for v in ("x", "y", "z") if v not in {b.name for b in graph.blocks if b.type != "Input"}]
        self.held: dict[str, tuple[str, str]] = {}  # variable -> the value in it
        self.variable: dict[tuple[str, str], str] = {}
        self.loop = next(v for v in ("layer", "block", "each", "each_") if v not in names)

    def write(self) -> str:
        chain = self.chain()
        lines = [
            f"class {self.graph.name}({'nn.Sequential' if chain else 'nn.Module'}):",
            f'    """{self.doc()}"""',
            "",
        ]
        lines.append("    def __init__(self):")
        if chain:
            lines += ["        super().__init__(", "            OrderedDict("]
            for step in chain:
                lines.append(f"                {step.block.name}={self.layer(step)},{_comment(step.block)}")
            lines += ["            )", "        )"]
            return "\n".join(lines)
        lines.append("        super().__init__()")
        place = {block.name: i for i, block in enumerate(self.graph.blocks)}
        for step in sorted(self.steps, key=lambda s: place[s.block.name]):
            if step.block.shared is None and step.found.kind in ("module", "graph", "parameter"):
                lines.append(f"        self.{step.block.name} = {self.layer(step)}{_comment(step.block)}")
        lines += ["", f"    def forward({', '.join(['self', *self.inputs])}):"]
        lines += ["        " + line for line in self.forward()]
        return "\n".join(lines)

    def doc(self) -> str:
        ins = []
        for block in self.graph.of_type("Input"):
            shape = block.properties.get("shape")
            dtype = block.properties.get("dtype", "float32")
            sizes = "" if shape is None else f": ({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''}) {dtype}"
            if shape is None and dtype != "float32":
                sizes = f": {dtype}"
            ins.append(block.name + sizes)
        return f"{'; '.join(ins)} -> {', '.join(self.outputs)}".strip()

    def chain(self) -> list[Step] | None:
        """The layers, where the graph is one chain of them."""
        middle = [s for s in self.steps if s.found.kind not in ("input", "output")]
        if len(self.inputs) != 1 or len(self.outputs) != 1 or not middle:
            return None
        before = self.inputs[0]
        found = []
        for step in self.steps:
            if step.found.kind == "input":
                continue
            plain = step.found.kind in ("module", "output") and not step.named and step.block.shared is None
            if not plain or len(step.args) != 1 or step.args[0].source != before or step.args[0].output != "output":
                if not (len(step.args) == 1 and step.args[0].source == before == self.inputs[0] and plain):
                    return None
            if len(step.outputs) > 1:
                return None
            before = step.block.name
            if step.found.kind == "module":
                found.append(step)
        order = [b.name for b in self.graph.blocks if b.type not in ("Input", "Output")]
        return found if order == [s.block.name for s in found] else None

    def layer(self, step: Step) -> str:
        block, found = step.block, step.found
        if found.kind == "graph":
            name, times = block.properties["graph"], int(block.properties.get("repeat", 1))
            return f"{name}()" if times == 1 else f"nn.ModuleList([{name}() for _ in range({times})])"
        if found.kind == "parameter":
            given = settings(found, block)
            shape = given["shape"] if isinstance(given["shape"], tuple) else (given["shape"],)
            return f"nn.Parameter({self.library}.{given.get('init', 'zeros')}({', '.join(map(str, shape))}))"
        where = "" if found.group == "Yours" else "nn."
        return f"{where}{block.type}({arguments(found, block)})"

    # --- forward ---------------------------------------------------------------------------------------------------------

    def forward(self) -> list[str]:
        last: dict[tuple[str, str], int] = {}
        for i, step in enumerate(self.steps):
            for link in [*step.args, *step.named.values()]:
                last[link.source, link.output] = i
        ends = {s.block.name: s.args[0] for s in self.steps if s.found.kind == "output"}
        for link in ends.values():
            last[link.source, link.output] = len(self.steps)
        self.last = last
        for name in self.inputs:
            self.keep(name, (name, "output"))
        lines: list[str] = []
        for i, step in enumerate(self.steps):
            if step.found.kind in ("input", "output", "parameter"):
                if step.found.kind == "parameter":
                    self.variable[step.block.name, "output"] = f"self.{step.block.name}"
                continue
            lines += self.statement(i, step)
        found = ", ".join(self.name_of(ends[name]) for name in self.outputs)
        return [*lines, f"return {found}"]

    def name_of(self, link: Link) -> str:
        return self.variable[link.source, link.output]

    def keep(self, variable: str, value: tuple[str, str]) -> None:
        self.held[variable] = value
        self.variable[value] = variable

    def free(self, variable: str, i: int) -> bool:
        value = self.held.get(variable)
        return value is None or self.last.get(value, -1) <= i

    def choose(self, i: int, step: Step, port: str, taken: list[str]) -> str:
        """A variable for a value: x as long as nothing needs the old x, else y, z, else the block's own name."""
        block = step.block
        if self.last.get((block.name, port), -1) < 0:
            return "_"
        named = step.found.kind not in ("module", "graph") or block.shared is not None
        many = len(step.outputs) > 1
        if named and not has_default_name(block):
            return f"{block.name}_{port}" if many and port != step.outputs[0] else block.name
        for variable in self.generic:
            if variable not in taken and self.free(variable, i):
                return variable
        used = {b.name for b in self.graph.blocks} | set(self.held) | set(taken)
        wish = f"{block.name}_{port}" if many and port != step.outputs[0] else block.name
        while wish in taken or (wish != block.name and wish in used):
            wish += "_"
        return wish

    def statement(self, i: int, step: Step) -> list[str]:
        block, found = step.block, step.found
        args = [self.name_of(link) for link in step.args]
        named = {port: self.name_of(link) for port, link in step.named.items()}
        targets: list[str] = []
        for port in step.outputs:
            targets.append(self.choose(i, step, port, targets))
        note = _comment(block) if block.shared is not None or found.kind not in ("module", "graph") else ""
        left = ", ".join(targets) + ("," if found.name == "chunk" and len(targets) == 1 else "")
        owner = f"self.{block.shared or block.name}"
        if found.kind == "graph" and int(self.times(block)) > 1:
            if len(args) != len(targets):
                raise DataError(
                    f"{block.name}: a repeated sub-graph needs as many outputs as inputs, it has {len(args)} inputs and "
                    f"{len(targets)} outputs."
                )
            fresh = [t if t != "_" else f"{block.name}_{p}" for t, p in zip(targets, step.outputs, strict=True)]
            left = ", ".join(fresh)
            lines = [] if fresh == args else [f"{left} = {', '.join(args)}"]
            lines += [f"for {self.loop} in {owner}:{note}", f"    {left} = {self.loop}({left})"]
            targets = fresh
        else:
            lines = [f"{left} = {self.call(step, owner, args, named)}{note}"]
        for port, variable in zip(step.outputs, targets, strict=True):
            if variable != "_":
                self.keep(variable, (block.name, port))
        return lines

    def times(self, block: Block) -> int:
        return int((self.graph[block.shared] if block.shared else block).properties.get("repeat", 1))

    def call(self, step: Step, owner: str, args: list[str], named: dict[str, str]) -> str:
        block, found = step.block, step.found
        if found.kind in ("module", "graph"):
            return f"{owner}({', '.join([*args, *(f'{port}={v}' for port, v in named.items())])})"
        given = settings(found, block)
        if found.kind == "operator":
            if "value" in given:
                ((port, v),) = named.items()
                number = repr(given["value"])
                pair = (v, f"({number})" if number.startswith("-") else number) if port == "input" else (number, v)
                if port == "other" and number.startswith("-"):
                    pair = (f"({number})", v)
            else:
                pair = (args[0], args[1])
            return f"{pair[0]} {found.symbol} {pair[1]}"
        if found.kind == "method":
            x = args[0]
            if found.symbol == "reshape":
                inner = ", ".join(f"{x}.shape[0]" if n == "batch" else str(n) for n in given["shape"])
            else:
                dims = given["dims"] if isinstance(given["dims"], tuple) else (given["dims"],)
                inner = ", ".join(map(str, dims))
            return f"{x}.{found.symbol}({inner})"
        if found.kind == "index":
            return f"{args[0]}.select({given.get('dim', 1)}, {given.get('index', 0)})"
        home = "F" if found.symbol == "F" else self.library
        name = {"Concat": "cat", "Stack": "stack"}.get(found.name, found.name)
        first = f"[{', '.join(args)}]" if found.variadic else ", ".join(args)
        extra = arguments(found, block)
        if found.name == "dropout":
            extra = ", ".join(filter(None, [extra, "training=self.training"]))
        return f"{home}.{name}({', '.join(filter(None, [first, extra]))})"


def _comment(block: Block) -> str:
    text = " ".join(block.comment.split())
    return f"  # {text}" if text else ""


def snippet(found: BlockType) -> str:
    """An entry of the palette as a line of Python, for a cell it is dropped into: what must be given and has no usual
    value is left as ``...`` to be filled in.

    >>> snippet(palette()["Linear"]), snippet(palette()["Concat"])
    ('nn.Linear(in_features=..., out_features=...)', 'mlkit.cat([x, y], dim=1)')
    """
    wanted = {p.name: "..." if p.default is None else literal(p.default) for p in found.properties if p.required}
    usual = starting_settings(found)
    wanted |= {name: literal(v) for name, v in usual.items() if not found.property(name).required}
    given = ", ".join(f"{name}={value}" for name, value in wanted.items())
    variables = ["x", "y", "z"][: max(1, len(found.inputs))]
    if found.kind == "module":
        return f"{'' if found.group == 'Yours' else 'nn.'}{found.name}({given})"
    if found.kind == "data":
        return f"{found.name} = mlkit.data.{'datasets.' if found.symbol == 'points' else ''}{found.name.lower()}()"
    if found.kind == "operator":
        return f"x {found.symbol} y"
    if found.kind == "input":
        return "x = mlkit.randn(64, 784)"
    if found.kind == "parameter":
        return "nn.Parameter(mlkit.zeros(...))"
    if found.kind == "method":
        return "x.permute(...)" if found.symbol == "permute" else "x.reshape(x.shape[0], -1)"
    if found.kind == "index":
        return "x.select(1, 0)"
    if found.variadic:
        return f"mlkit.{ {'Concat': 'cat', 'Stack': 'stack'}[found.name] }([x, y], dim={found.property('dim').default})"
    if found.kind == "function":
        home = "nn.functional" if found.symbol == "F" else "mlkit"
        return f"{home}.{found.name}({', '.join(filter(None, [*variables, given]))})"
    return ""
