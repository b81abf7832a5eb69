"""From Python to a document: classes are read with ``ast`` and never run."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from mlkit.builder.arrange import make_room
from mlkit.builder.blocks import OPERATORS, BlockType, Palette, canonical, palette, yours
from mlkit.builder.document import Block, Document, Link, ModelGraph, default_name, unique
from mlkit.core.errors import DataError

LARGEST_SOURCE = 2**20
MOST_TURNS = 1000
_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@", ast.Pow: "**"}
_GENERIC = {"x", "y", "z", "out", "_"}
_LIBRARIES = {"torch", "mlkit"}
# method or function -> block type, where they differ
_NAMES = {"cat": "Concat", "concat": "Concat", "concatenate": "Concat", "stack": "Stack", "reshape": "Reshape",
          "view": "Reshape", "permute": "Permute", "add": "Add", "sub": "Subtract", "subtract": "Subtract",
          "mul": "Mul", "multiply": "Mul", "div": "Divide", "divide": "Divide", "matmul": "MatMul", "bmm": "MatMul",
          "mm": "MatMul", "pow": "Power", "select": "Select", "swapaxes": "transpose"}  # fmt: skip
_NOTHING = {"contiguous", "clone"}  # change no number


class CodeWarning(UserWarning):
    """Something in code that was read and is not in the model: `line` is where."""

    line = 0


class CodeError(DataError):
    """Code that cannot be read as blocks: `line` is where, the sentence says why."""

    line = 0


def read_code(
    source: str,
    name: str | None = None,
    types: Palette | None = None,
    warn: Callable[[CodeWarning], Any] | None = None,
) -> Document:
    """Read classes as a document.

    Args:
        source: Python text with one or more ``nn.Module`` or ``nn.Sequential`` classes, or ``model = nn.Sequential(...)``.
        name: which class is the model; by default the last one that no other uses.
        types: the palette that knows your own classes; by default mlkit's.
        warn: what is told of layers that ``__init__`` makes and ``forward`` never uses, which no block can stand for;
            by default `warnings.warn`.

    Raises:
        CodeError: something in it cannot be a block; the message names the line and says why.

    >>> document = read_code('''
    ... class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = nn.Linear(4, 4)
    ...     def forward(self, x):
    ...         return x + F.relu(self.layer(x))
    ... ''')
    >>> [block.type for block in document.main.blocks]
    ['Input', 'Linear', 'relu', 'Add', 'Output']
    """
    if len(source) > LARGEST_SOURCE:
        raise CodeError(f"The code is too long: {len(source)} characters, at most {LARGEST_SOURCE}.")
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise _error(error.lineno or 0, f"this is not Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise CodeError(f"The code cannot be read: {error}") from None
    try:
        file = _File(tree, _comments(source), types or palette())
        document = file.document(name)
    except RecursionError:
        raise CodeError("The code is nested too deeply.") from None
    for one in file.warnings:
        if warn is None:
            warnings.warn(one, stacklevel=2)
        else:
            warn(one)
    return document


def _error(where: Any, why: str, hint: str | None = None) -> CodeError:
    line = where if isinstance(where, int) else getattr(where, "lineno", 0)
    error = CodeError(f"line {line}: {why}", hint=hint)
    error.line = line
    return error


def _comments(source: str) -> dict[int, str]:
    found = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                found[token.start[0]] = token.string.lstrip("#").strip()
    except (tokenize.TokenError, SyntaxError, IndentationError):
        pass
    return found


@dataclass
class _Layer:
    """What stands in an attribute: a layer, a list of layers, a sub-graph, a parameter, or a number."""

    kind: str  # layer, chain, list, graph, parameter
    type: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    items: list[tuple[str, _Layer]] = field(default_factory=list)
    line: int = 0


@dataclass(frozen=True)
class _Wire:
    """A value of forward: an output of a block."""

    block: str
    output: str = "output"


def _last(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _path(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_path(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


class _File:
    def __init__(self, tree: ast.Module, comments: dict[int, str], types: Palette):
        self.comments, self.types = comments, types
        self.classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
        self.constants: dict[str, Any] = {}
        self.sequentials: dict[str, ast.Call] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                if isinstance(node.value, ast.Call) and _last(node.value.func) == "Sequential":
                    self.sequentials[node.targets[0].id] = node.value
                elif isinstance(node.value, (ast.Constant, ast.UnaryOp, ast.BinOp, ast.Tuple, ast.List)):
                    try:
                        self.constants[node.targets[0].id] = constant(node.value, self.constants)
                    except CodeError:
                        pass
        self.graphs: dict[str, ModelGraph] = {}
        self.busy: list[str] = []
        self.warnings: list[CodeWarning] = []

    def document(self, name: str | None) -> Document:
        if name is None:
            used = {n.id for c in self.classes.values() for n in ast.walk(c) if isinstance(n, ast.Name)}
            models = [c for c in self.classes if _last(self.classes[c].bases[0]) in ("Module", "Sequential")] if all(
                c.bases for c in self.classes.values()) else [c for c, n in self.classes.items() if n.bases]  # fmt: skip
            free = [c for c in models if c not in used] or models
            if not free and not self.sequentials:
                raise _error(1, "there is no nn.Module class here", "Write class Net(nn.Module): ...")
            name = free[-1] if free else list(self.sequentials)[-1]
        if name in self.classes:
            main = self.graph(name, {}, self.classes[name])
        elif name in self.sequentials:
            call = self.sequentials[name]
            writer = _Writer(self, unique(name, set()), self.comments)
            main = writer.sequential(_Init(self, {}).layer(call))
        else:
            raise _error(1, f"there is no class {name}")
        inner = {g.name: g for key, g in self.graphs.items() if g is not main}
        if main.name in inner:
            raise _error(1, f"{main.name} contains itself")
        return Document(main, inner).check(self.types)

    def graph(self, name: str, arguments: dict[str, Any], at: ast.AST) -> ModelGraph:
        """A class as a graph; called with other arguments it is another graph."""
        key = name + (repr(sorted(arguments.items())) if arguments else "")
        if key in self.graphs:
            return self.graphs[key]
        if name in self.busy:
            raise _error(at, f"{name} contains itself")
        self.busy.append(name)
        node = self.classes[name]
        title = unique(name, {g.name for g in self.graphs.values()})
        init = _Init(self, arguments)
        init.read(node)
        writer = _Writer(self, title, self.comments)
        if node.bases and _last(node.bases[0]) == "Sequential":
            made = writer.sequential(init.chain or _Layer("chain"), ast.get_docstring(node))
        else:
            made = writer.module(node, init)
            self.unused(node, init)
        self.busy.pop()
        self.graphs[key] = made
        return made

    def unused(self, node: ast.ClassDef, init: _Init) -> None:
        """Warn of attributes with a layer that no method uses."""
        used = {
            n.attr
            for method in node.body
            if isinstance(method, ast.FunctionDef) and method.name != "__init__"
            for n in ast.walk(method)
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "self"
        }
        for name, layer in init.layers.items():
            if name in used:
                continue
            warning = CodeWarning(
                f"line {layer.line}: self.{name} of {node.name} is made in __init__ and never used in forward, "
                "so it is not in the model."
            )
            warning.line = layer.line
            if not any(str(w) == str(warning) for w in self.warnings):
                self.warnings.append(warning)


def constant(node: ast.AST, known: dict[str, Any]) -> Any:
    """The value of an expression of numbers, texts, lists and known names; nothing is run."""
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (bool, int, float, str))):
        return node.value
    if isinstance(node, (ast.Tuple, ast.List)):
        return [constant(n, known) for n in node.elts]
    if isinstance(node, ast.Name) and node.id in known:
        return known[node.id]
    if isinstance(node, ast.Attribute) and _path(node) in known:
        return known[_path(node)]
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "F":
        return node.attr  # activation=F.gelu
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = constant(node.operand, known)
        if isinstance(value, (int, float)):
            return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        one, two = constant(node.left, known), constant(node.right, known)
        if all(isinstance(v, (int, float)) and abs(v) < 2**40 for v in (one, two)):
            try:
                if isinstance(node.op, ast.Pow) and (abs(two) > 64 or abs(one) > 2**16):
                    raise _error(node, "this power is too large")
                run = {ast.Add: lambda: one + two, ast.Sub: lambda: one - two, ast.Mult: lambda: one * two,
                       ast.Div: lambda: one / two, ast.FloorDiv: lambda: one // two, ast.Mod: lambda: one % two,
                       ast.Pow: lambda: one**two}.get(type(node.op))  # fmt: skip
                if run is not None:
                    return run()
            except ZeroDivisionError:
                raise _error(node, "division by zero") from None
    raise _error(node, f"{ast.unparse(node)[:60]!r} is not known without running the code",
                 "Write a number, a text, or a name that was given one.")  # fmt: skip


class _Init:
    """Reads ``__init__``: which attribute holds which layer."""

    def __init__(self, file: _File, arguments: dict[str, Any]):
        self.file, self.arguments = file, arguments
        self.known: dict[str, Any] = dict(file.constants)
        self.layers: dict[str, _Layer] = {}
        self.chain: _Layer | None = None

    def read(self, node: ast.ClassDef) -> None:
        init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        if init is None:
            return
        names = [a.arg for a in init.args.args][1:]
        for a, default in zip(reversed(init.args.args), reversed(init.args.defaults), strict=False):
            self.known[a.arg] = constant(default, self.known)
        for kw, kw_default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True):
            if kw_default is not None:
                self.known[kw.arg] = constant(kw_default, self.known)
        for i, value in self.arguments.items():
            key = names[i] if isinstance(i, int) and i < len(names) else i
            self.known[str(key)] = value
        for statement in init.body:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value
            if isinstance(call.func, ast.Attribute) and call.func.attr == "__init__":
                if call.args:
                    self.chain = self.sequence(call)
                return
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            node = ast.copy_location(ast.Assign([node.target], node.value), node)
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            own = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self"
            if own or isinstance(target, ast.Name):
                name = target.attr if isinstance(target, ast.Attribute) else _last(target)
                if isinstance(node.value, ast.Call):
                    made = self.layer(node.value)
                    (self.layers if own else self.known)[name] = made
                else:
                    self.known[f"self.{name}" if own else name] = constant(node.value, self.known)
                return
        raise _error(node, f"__init__ may set attributes only; {ast.unparse(node)[:60]!r} cannot be read")

    def layer(self, node: ast.AST) -> _Layer:
        if isinstance(node, ast.Name) and isinstance(self.known.get(node.id), _Layer):
            return self.known[node.id]
        if not isinstance(node, ast.Call):
            raise _error(node, f"{ast.unparse(node)[:60]!r} is no layer")
        name = _last(node.func)
        if name == "Sequential":
            return self.sequence(node)
        if name == "ModuleList":
            return self.module_list(node)
        if name == "Parameter":
            return self.parameter(node)
        if name in self.file.classes:
            arguments: dict[Any, Any] = {i: constant(a, self.known) for i, a in enumerate(node.args)}
            arguments.update({k.arg: constant(k.value, self.known) for k in node.keywords if k.arg})
            return _Layer("graph", self.file.graph(name, arguments, node).name, line=node.lineno)
        if name in self.file.types and self.file.types[name].kind == "module":
            return _Layer("layer", name, properties_of(self.file.types[name], node, node.args, self.known),
                          line=node.lineno)  # fmt: skip
        path = _path(node.func)
        known = path.split(".")[0] in (*_LIBRARIES, "nn")
        near = [b.name for b in self.file.types.search(name[:40]) if b.kind == "module"][:3]
        meant = f"Did you mean {', '.join(near)}?" if near else "The palette has all layers that there are."
        raise _error(node, f"{path} is no block", meant if known else yours(name) + " Or write it into this code.")

    def sequence(self, node: ast.Call) -> _Layer:
        items: list[tuple[str, _Layer]] = []
        for i, arg in enumerate(node.args):
            if isinstance(arg, ast.Call) and _last(arg.func) == "OrderedDict":
                items += [(k.arg, self.layer(k.value)) for k in arg.keywords if k.arg]
                for inner in arg.args:
                    if not isinstance(inner, (ast.List, ast.Tuple)):
                        raise _error(inner, "OrderedDict takes a list of (name, layer) here")
                    for pair in inner.elts:
                        if not isinstance(pair, ast.Tuple) or len(pair.elts) != 2:
                            raise _error(pair, "expected (name, layer)")
                        items.append((str(constant(pair.elts[0], self.known)), self.layer(pair.elts[1])))
            elif isinstance(arg, ast.Starred):
                items += self.layers_of(arg.value)
            else:
                items.append((str(i), self.layer(arg)))
        return _Layer("chain", items=items, line=node.lineno)

    def module_list(self, node: ast.Call) -> _Layer:
        return _Layer("list", items=self.layers_of(node.args[0]) if node.args else [], line=node.lineno)

    def layers_of(self, node: ast.AST) -> list[tuple[str, _Layer]]:
        if isinstance(node, (ast.List, ast.Tuple)):
            return [(str(i), self.layer(item)) for i, item in enumerate(node.elts)]
        if isinstance(node, (ast.ListComp, ast.GeneratorExp)) and len(node.generators) == 1:
            loop = node.generators[0]
            if (isinstance(loop.iter, ast.Call) and _last(loop.iter.func) == "range" and not loop.ifs
                    and isinstance(loop.target, ast.Name)):  # fmt: skip
                numbers = [constant(a, self.known) for a in loop.iter.args]
                if not 1 <= len(numbers) <= 3 or not all(isinstance(n, int) for n in numbers) or 0 in numbers[2:]:
                    raise _error(node, "range takes one to three whole numbers")
                turns = range(*numbers)
                if len(turns) > MOST_TURNS:
                    raise _error(node, f"{len(turns)} layers, at most {MOST_TURNS}")
                made: list[tuple[str, _Layer]] = []
                for i in turns:
                    self.known[loop.target.id] = i
                    made.append((str(len(made)), self.layer(node.elt)))
                self.known.pop(loop.target.id, None)
                return made
        raise _error(node, "layers in a list are written one by one, or as [Layer() for _ in range(n)]")

    def parameter(self, node: ast.Call) -> _Layer:
        inner = node.args[0] if node.args else None
        if isinstance(inner, ast.Call) and _last(inner.func) in ("zeros", "ones", "randn"):
            shape = [constant(a, self.known) for a in inner.args]
            shape = shape[0] if len(shape) == 1 and isinstance(shape[0], list) else shape
            properties: dict[str, Any] = {"shape": shape}
            if _last(inner.func) != "zeros":
                properties["init"] = _last(inner.func)
            return _Layer("parameter", "Parameter", properties, line=node.lineno)
        raise _error(node, "a parameter is written nn.Parameter(torch.zeros(...)), ones or randn")


def properties_of(found: BlockType, node: ast.Call, places: list[ast.expr], known: dict[str, Any],
                  ports: tuple[str, ...] = ()) -> dict[str, Any]:  # fmt: skip
    """The properties that a call gives, by place and by name."""
    names = [p.name for p in found.properties]
    if len(places) > len(names):
        raise _error(node, f"{found.name} takes at most {len(names)} settings here")
    out: dict[str, Any] = {}
    for name, value in zip(names, places, strict=False):
        out[name] = constant(value, known)
    for keyword in node.keywords:
        if keyword.arg in ports or keyword.arg in ("inplace", "training", "device", "dtype"):
            continue
        if keyword.arg is None or not found.has(keyword.arg):
            raise _error(node, f"{found.name} has no setting {keyword.arg or '**'}", f"it has: {', '.join(names)}")
        out[keyword.arg] = constant(keyword.value, known)
    for name, value in out.items():
        wrong = found.property(name).check(value)
        if wrong:
            raise _error(node, wrong)
    return canonical(found, out)


class _Writer:
    """Reads ``forward`` and writes a graph."""

    def __init__(self, file: _File, title: str, comments: dict[int, str]):
        self.file, self.types, self.title, self.comments = file, file.types, title, comments
        self.blocks: dict[str, Block] = {}
        self.links: list[Link] = []
        self.values: dict[str, Any] = {}
        self.init = _Init(file, {})
        self.reserved: set[str] = set()
        self.unrolled: dict[int, str] = {}  # a layer without a block's name of its own -> the block made of it
        self.target: str | None = None
        self.chunks: int | None = None

    # --- blocks ---------------------------------------------------------------------------------------------------------------

    def add(self, kind: str, sources: dict[str, _Wire], properties: dict[str, Any] | None = None, name: str | None = None,
            shared: str | None = None, line: int = 0) -> str:  # fmt: skip
        if name is None or name in self.blocks:
            wish = (
                self.target if self.target and self.target not in self.blocks | dict.fromkeys(self.reserved) else None
            )
            name = wish if wish and unique(wish, set()) == wish else unique(
                default_name(kind), set(self.blocks) | self.reserved)  # fmt: skip
        self.target = None
        if len(self.blocks) > 5000:
            raise _error(line, "more than 5000 blocks")
        spot = (0.0, 90.0 * len(self.blocks))
        self.blocks[name] = Block(name, kind, properties or {}, spot, self.comments.get(line, ""), shared)
        for port, wire in sources.items():
            if not isinstance(wire, _Wire):
                raise _error(line, f"a tensor was expected at {port} of {kind}")
            self.links.append(Link(wire.block, name, wire.output, port))
        return name

    def graph(self) -> ModelGraph:
        return ModelGraph(self.title, tuple(self.blocks.values()), tuple(self.links))

    def inputs(self, names: list[str], doc: str | None) -> list[str]:
        """Input blocks with what the docstring says of them; returns the output names it says."""
        first, _, last = (doc or "").strip().split("\n")[0].partition(" -> ")
        for name in names:
            properties: dict[str, Any] = {}
            found = re.search(rf"(?:^|; ){re.escape(name)}: (?:\(([\w, ]*)\) ?)?(\w+)?(?:;|$)", first)
            if found:
                if found[1] is not None:
                    sizes = [s.strip() for s in found[1].split(",") if s.strip()]
                    if all(s == "batch" or (s.isdecimal() and len(s) < 11) for s in sizes):
                        properties["shape"] = ["batch" if s == "batch" else int(s) for s in sizes]
                kinds = self.types["Input"].property("dtype").choices or ()
                if found[2] in kinds and found[2] != "float32":
                    properties["dtype"] = found[2]
            self.values[name] = _Wire(self.add("Input", {}, properties, name))
        outputs = [s.strip() for s in last.split(",")] if last else []
        return outputs if all(re.fullmatch(r"[A-Za-z]\w{0,63}", s) for s in outputs) else []

    def outputs(self, wires: list[Any], names: list[str], line: int) -> None:
        for i, wire in enumerate(wires):
            wish = names[i] if len(names) == len(wires) else None
            self.target = None
            self.add("Output", {"input": wire}, name=wish, line=line)

    def sequential(self, chain: _Layer, doc: str | None = None) -> ModelGraph:
        name = (doc or "").split(" -> ")[0].partition(":")[0].strip()
        names = [name if re.fullmatch(r"[A-Za-z]\w{0,63}", name) and " -> " in (doc or "") else "input"]
        outputs = self.inputs(names, doc)
        out = self.apply(chain, [self.values[names[0]]], {}, "", chain.line)
        self.outputs([out], outputs, 0)
        return self.graph()

    def module(self, node: ast.ClassDef, init: _Init) -> ModelGraph:
        self.init = init
        self.reserved = set(init.layers)
        forward = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "forward"), None)
        if forward is None:
            raise _error(node, f"{node.name} has no forward")
        if forward.args.vararg or forward.args.kwarg:
            raise _error(forward, "forward takes tensors by name; * and ** cannot be read")
        names = [a.arg for a in [*forward.args.args[1:], *forward.args.kwonlyargs]]
        self.parameters = set(names)
        outputs = self.inputs(names, ast.get_docstring(node) or ast.get_docstring(forward))
        done = False
        for statement in forward.body:
            if done:
                break
            done = self.statement(statement, outputs)
        if not done:
            raise _error(forward, "forward returns nothing")
        return self.ordered(init)

    def ordered(self, init: _Init) -> ModelGraph:
        """Blocks in the order in which they run; layers among them in the order of ``__init__``."""
        order = {name: i for i, name in enumerate(init.layers)}
        owners = [n for n in self.blocks if n in order and self.blocks[n].shared is None]
        queue = iter(sorted(owners, key=order.__getitem__))
        names = [next(queue) if n in set(owners) else n for n in self.blocks]
        return ModelGraph(self.title, tuple(self.blocks[n] for n in names), tuple(self.links))

    # --- statements -------------------------------------------------------------------------------------------------------------

    def statement(self, node: ast.stmt, outputs: list[str]) -> bool:
        if isinstance(node, ast.Return):
            if node.value is None:
                raise _error(node, "forward returns nothing")
            value = self.value(node.value)
            self.outputs(value if isinstance(value, list) else [value], outputs, 0)
            return True
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return False
        if isinstance(node, ast.Assert):
            return False
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            copy = ast.copy_location(ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value), node)
            self.assign(node.target, self.value(ast.fix_missing_locations(copy)), node)
            return False
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            self.assign(node.target, self.value(node.value), node)
            return False
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            first = target.elts[0] if isinstance(target, ast.Tuple) and target.elts else target
            if isinstance(first, ast.Name) and first.id not in _GENERIC | self.parameters:
                self.target = first.id
            self.chunks = len(target.elts) if isinstance(target, ast.Tuple) else None
            value = self.value(node.value)
            self.target = self.chunks = None
            self.assign(target, value, node)
            return False
        if isinstance(node, ast.For):
            self.loop(node)
            return False
        what = {ast.If: "if", ast.While: "while", ast.With: "with", ast.Try: "try"}.get(type(node), type(node).__name__)
        raise _error(node, f"{what!r} in forward cannot be drawn as blocks",
                     "A graph is the same for every input; choose in __init__, or make the class one block.")  # fmt: skip

    def assign(self, target: ast.expr, value: Any, at: ast.AST) -> None:
        if isinstance(target, ast.Name):
            self.values[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            if isinstance(value, list) and len(value) == len(target.elts):
                for t, v in zip(target.elts, value, strict=True):
                    self.assign(t, v, at)
            else:
                raise _error(
                    at, f"{len(target.elts)} names for {len(value) if isinstance(value, list) else 'one'} values"
                )
        else:
            raise _error(at, f"only variables can be set in forward, not {ast.unparse(target)[:60]!r}")

    def loop(self, node: ast.For) -> None:
        layer = self.own(node.iter)
        if layer is None or not isinstance(node.target, ast.Name) or node.orelse:
            raise _error(node, "a loop in forward goes over an nn.ModuleList of this class")
        name, found = layer
        if found.kind not in ("list", "chain"):
            raise _error(node, f"self.{name} is no nn.ModuleList")
        kinds = {item.type for _, item in found.items}
        if found.kind == "list" and len(kinds) == 1 and all(item.kind == "graph" for _, item in found.items):
            if self.repeat(node, name, found, kinds.pop()):
                return
        for key, item in found.items:
            self.values[node.target.id] = _Bound(f"{name}_{key}", item)
            for statement in node.body:
                if self.statement(statement, []):
                    raise _error(statement, "return in a loop cannot be drawn as blocks")
        self.values.pop(node.target.id, None)

    def repeat(self, node: ast.For, name: str, found: _Layer, kind: str) -> bool:
        """``for layer in self.layers: a, b = layer(a, b)`` is one block with a repeat count."""
        if len(node.body) != 1 or not isinstance(node.body[0], ast.Assign) or len(found.items) < 2:
            return False
        target, call = node.body[0].targets[0], node.body[0].value
        if not isinstance(call, ast.Call) or _last(call.func) != _last(node.target) or call.keywords:
            return False
        names = [_last(t) for t in (target.elts if isinstance(target, ast.Tuple) else [target])]
        if names != [_last(a) for a in call.args] or "" in names:
            return False
        wires = [self.name(n, node) for n in names]
        properties = {"graph": kind, "repeat": len(found.items)}
        if names[0] not in _GENERIC | self.parameters:
            self.target = names[0]
        made = self.place(_Layer("graph", kind, properties), name, wires, {}, node.lineno)
        for n, wire in zip(names, made if isinstance(made, list) else [made], strict=True):
            self.values[n] = wire
        return True

    # --- expressions --------------------------------------------------------------------------------------------------------------

    def name(self, name: str, at: ast.AST) -> Any:
        if name not in self.values:
            raise _error(at, f"{name} has no value here")
        return self.values[name]

    def own(self, node: ast.AST) -> tuple[str, _Layer] | None:
        """The layer that ``self.name``, ``self.names[0]`` or a loop's variable stands for."""
        if isinstance(node, ast.Name) and isinstance(self.values.get(node.id), _Bound):
            bound = self.values[node.id]
            return bound.name, bound.layer
        if isinstance(node, ast.Subscript):
            outer = self.own(node.value)
            if outer is not None and outer[1].kind in ("list", "chain"):
                key = constant(node.slice, self.init.known)
                if isinstance(key, int) and -len(outer[1].items) <= key < len(outer[1].items):
                    name, item = outer[1].items[key]
                    return f"{outer[0]}_{name}", item
                raise _error(node, f"{ast.unparse(node)} is not there")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            if node.attr in self.init.layers:
                return node.attr, self.init.layers[node.attr]
        return None

    def value(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name):
            return self.name(node.id, node)
        if isinstance(node, (ast.Tuple, ast.List)):
            target, self.target = self.target, None
            made = [self.value(n) for n in node.elts]
            self.target = target
            return made
        if isinstance(node, ast.BinOp):
            return self.binary(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            wire = self.inner(node.operand)
            return _Wire(self.add("Mul", {"input": wire}, {"value": -1}, line=node.lineno))
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.Subscript):
            return self.subscript(node)
        found = self.own(node)
        if found is not None and found[1].kind == "parameter":
            name, layer = found
            if name not in self.blocks:
                self.target = None
                self.add("Parameter", {}, layer.properties, name, line=layer.line)
            return _Wire(name)
        if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
            wire = self.inner(node.value)
            dims = {"dim0": 0, "dim1": 1} if node.attr == "T" else {"dim0": -2, "dim1": -1}
            return _Wire(self.add("transpose", {"input": wire}, dims, line=node.lineno))
        raise _error(node, f"{ast.unparse(node)[:60]!r} cannot be drawn as blocks")

    def inner(self, node: ast.AST) -> Any:
        """A value on the way to another: the variable's name is not for it."""
        target, self.target = self.target, None
        chunks, self.chunks = self.chunks, None
        made = self.value(node)
        self.target, self.chunks = target, chunks
        return made

    def is_number(self, node: ast.AST) -> Any:
        try:
            value = constant(node, self.init.known)
        except CodeError:
            return None
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def binary(self, node: ast.BinOp) -> _Wire:
        sign = _SIGNS.get(type(node.op))
        kind = next((k for k, s in OPERATORS.items() if s == sign), None)
        if kind is None:
            raise _error(node, f"the operator in {ast.unparse(node)[:60]!r} is no block")
        return self.joined(kind, node.left, node.right, node)

    def joined(self, kind: str, left: ast.AST, right: ast.AST, at: ast.expr) -> _Wire:
        sources: dict[str, _Wire] = {}
        properties: dict[str, Any] = {}
        for port, side in (("input", left), ("other", right)):
            number = self.is_number(side) if kind != "MatMul" else None
            if number is None:
                sources[port] = self.inner(side)
            else:
                properties["value"] = number
        if not sources:
            raise _error(at, "two numbers are no tensor")
        return _Wire(self.add(kind, sources, properties, line=at.lineno))

    def subscript(self, node: ast.Subscript) -> Any:
        value = self.inner(node.value)
        if isinstance(value, list):
            key = constant(node.slice, self.init.known)
            if isinstance(key, int) and -len(value) <= key < len(value):
                return value[key]
            raise _error(node, f"{ast.unparse(node)[:60]!r} is not there")
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        picked = [(i, p) for i, p in enumerate(parts) if not (isinstance(p, ast.Slice) and ast.unparse(p) == ":")]
        if len(picked) == 1 and not isinstance(picked[0][1], ast.Slice) and not any(
            isinstance(p, ast.Constant) and p.value is Ellipsis for p in parts
        ):  # fmt: skip
            index = constant(picked[0][1], self.init.known)
            if isinstance(index, int):
                made = canonical(self.types["Select"], {"dim": picked[0][0], "index": index})
                return _Wire(self.add("Select", {"input": value}, made, line=node.lineno))
        raise _error(
            node, f"of a tensor one place along an axis can be taken, as in x[:, 0]; not {ast.unparse(node)[:60]!r}"
        )

    def call(self, node: ast.Call) -> Any:
        found = self.own(node.func)
        if found is not None:
            name, layer = found
            wires = [self.inner(a) for a in node.args]
            named = {k.arg: self.inner(k.value) for k in node.keywords
                     if k.arg and not (isinstance(k.value, ast.Constant))}  # fmt: skip
            return self.place(layer, name, wires, named, node.lineno)
        if isinstance(node.func, ast.Call):  # nn.ReLU()(x)
            layer = self.init.layer(node.func)
            return self.place(layer, "", [self.inner(a) for a in node.args], {}, node.lineno)
        if isinstance(node.func, ast.Attribute):
            path = _path(node.func.value)
            library = path.split(".")[0] in _LIBRARIES or path in ("F", "nn.functional")
            return self.function(node, node.func.attr, None if library else node.func.value)
        raise _error(node, f"{_path(node.func)} is no block",
                     "Layers are attributes of self; functions come from torch, mlkit or F.")  # fmt: skip

    def function(self, node: ast.Call, name: str, receiver: ast.AST | None) -> Any:
        if isinstance(receiver, ast.Name) and receiver.id == "self":
            raise _error(node, f"self.{name} was not made in __init__")
        args: list[Any] = [receiver, *node.args] if receiver is not None else list(node.args)
        if any(isinstance(a, ast.Starred) for a in args):
            raise _error(node, "* in a call cannot be read")
        if name in _NOTHING and receiver is not None:
            return self.inner(receiver)
        kind = _NAMES.get(name, name)
        if name == "unbind" or kind not in self.types or self.types[kind].kind in ("module", "data", "graph"):
            raise _error(
                node, f"{name} is no block", "A class of yours that does it can be one: ModelBuilder(blocks=[...])."
            )
        found = self.types[kind]
        if not args:
            given = next((k for k in node.keywords if k.arg in ("input", "tensors")), None)
            if given is None:
                raise _error(node, f"{name} is called without a tensor")
            args = [given.value]
        if found.kind == "operator":
            if len(args) != 2:
                raise _error(node, f"{name} takes two tensors")
            return self.joined(kind, args[0], args[1], node)
        if found.variadic:
            if not isinstance(args[0], (ast.List, ast.Tuple)):
                raise _error(node, f"{name} takes its tensors in a list")
            wires = [self.inner(a) for a in args[0].elts]
            properties = properties_of(found, node, args[1:], self.init.known, ("tensors",))
            if len(args) < 2 and not any(k.arg == "dim" for k in node.keywords):
                properties = canonical(found, {"dim": 0})
            return _Wire(self.add(kind, {str(i): w for i, w in enumerate(wires)}, properties, line=node.lineno))
        if found.kind in ("method", "index"):
            return self.method(node, found, name, args)
        ports = found.inputs
        wires = [self.inner(a) for a in args[: len(ports)]]
        for port in ports[len(wires) :]:
            keyword = next((k for k in node.keywords if k.arg == port), None)
            if keyword is None:
                raise _error(node, f"{name} needs {port}")
            wires.append(self.inner(keyword.value))
        properties = properties_of(found, node, args[len(ports) :], self.init.known, (*ports, "input"))
        made = self.add(kind, dict(zip(ports, wires, strict=True)), properties, line=node.lineno)
        if kind == "chunk":
            count = int(properties.get("chunks", 1))
            if count > MOST_TURNS:
                raise _error(node, f"chunks must be at most {MOST_TURNS}")
            return [_Wire(made, str(i)) for i in range(count)]
        return _Wire(made)

    def method(self, node: ast.Call, found: BlockType, name: str, args: list) -> _Wire:
        wire = self.inner(args[0])
        rest = args[1:]
        if len(rest) == 1 and isinstance(rest[0], (ast.Tuple, ast.List)):
            rest = list(rest[0].elts)
        if found.name == "Reshape":
            properties = {"shape": [self.size(a, wire) for a in rest]}
        elif found.name == "Permute":
            properties = {"dims": [constant(a, self.init.known) for a in rest]}
        else:
            properties = canonical(found, properties_of(found, node, rest, self.init.known))
        return _Wire(self.add(found.name, {"input": wire}, properties, line=node.lineno))

    def size(self, node: ast.AST, wire: _Wire) -> Any:
        """A size in reshape: a number, or x.shape[0], x.size(0), len(x), which is the batch."""
        text = ast.unparse(node)
        for variable, value in self.values.items():
            same_batch = isinstance(value, _Wire)
            if same_batch and text in (f"{variable}.shape[0]", f"{variable}.size(0)", f"len({variable})"):
                return "batch"
        return constant(node, self.init.known)

    # --- layers ---------------------------------------------------------------------------------------------------------------------

    def apply(self, chain: _Layer, wires: list[_Wire], named: dict, name: str, line: int) -> Any:
        for key, item in chain.items:
            whole = unique(f"{name}_{key}" if name else key if not key.isdecimal() else default_name(item.type or "chain"),
                           set(self.blocks) | (self.reserved if name else set()))  # fmt: skip
            made = self.place(item, whole, wires, {}, item.line)
            wires = made if isinstance(made, list) else [made]
        return wires[0] if len(wires) == 1 else wires

    def place(self, layer: _Layer, name: str, wires: list[_Wire], named: dict[str, _Wire], line: int) -> Any:
        if layer.kind == "chain":
            return self.apply(layer, wires, named, name, line)
        if layer.kind not in ("layer", "graph"):
            raise _error(line, f"self.{name} cannot be called")
        kind = layer.type if layer.kind == "layer" else "Graph"
        properties = dict(layer.properties)
        if layer.kind == "graph":
            properties = {"graph": layer.type, **layer.properties}
            inner = next(g for g in self.file.graphs.values() if g.name == layer.type)
            ports = [b.name for b in inner.of_type("Input")]
            outputs = [b.name for b in inner.of_type("Output")]
            optional: list[str] = []
        else:
            found = self.types[kind]
            ports, optional, outputs = list(found.inputs), list(found.optional), list(found.outputs)
        every = [*ports, *optional]
        if len(wires) > len(every) or (len(wires) < len(ports) and not set(ports[len(wires) :]) <= set(named)):
            raise _error(line, f"{name or kind} takes {len(ports)} tensors, got {len(wires)}")
        sources = {**dict(zip(every, wires, strict=False)), **{k: v for k, v in named.items() if k in every}}
        shared = self.unrolled.get(id(layer)) or (name if name in self.blocks else None)
        if shared:
            made = self.add(kind, sources, {**self.blocks[shared].properties}, shared=shared, line=line)
        else:
            made = self.add(kind, sources, properties, name or None, line=layer.line or line)
            if layer.kind == "layer":
                self.unrolled[id(layer)] = made
        answer = [_Wire(made, port) for port in outputs]
        return answer[0] if len(answer) == 1 else answer


@dataclass(frozen=True)
class _Bound:
    """A loop's variable: one layer of a list."""

    name: str
    layer: _Layer


def reread(document: Document, source: str, types: Palette | None = None,
           warn: Callable[[CodeWarning], Any] | None = None) -> Document:  # fmt: skip
    """The document of edited code, with the places and notes of blocks that were there before.

    >>> from mlkit.builder import templates
    >>> from mlkit.builder.code import write_code
    >>> before = templates.mlp()
    >>> reread(before, write_code(before)).main["relu"].position == before.main["relu"].position
    True
    """
    new = read_code(source, types=types, warn=warn)
    for graph in list(new.all_graphs()):
        old = document.main if graph is new.main else document.graphs.get(graph.name)
        if old is None:
            continue
        spots = {b.name: b.position for b in old.blocks}
        fresh = [b.name for b in graph.blocks if b.name not in spots]
        if 2 * len(fresh) > len(graph.blocks):
            continue  # another model: its own places are as good
        blocks = tuple(replace(b, position=spots.get(b.name, b.position)) for b in graph.blocks)
        new = new.with_graph(make_room(replace(graph, blocks=blocks), fresh), graph.name)
    return replace(new, notes=document.notes, training=document.training)
