"""From a module to a document: it is run once, its layers become blocks, its modules sub-graphs."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field, replace
from typing import Any

from mlkit import nn
from mlkit.autograd.grad_mode import no_grad
from mlkit.builder.blocks import BlockType, Palette, canonical, palette
from mlkit.builder.document import Block, Document, Link, ModelGraph, default_name, unique
from mlkit.builder.module import build
from mlkit.builder.parse import _NAMES
from mlkit.compiler.graph import Graph
from mlkit.compiler.trace import Tracer
from mlkit.core import events
from mlkit.core.dispatch import apply
from mlkit.core.errors import DataError
from mlkit.core.tensor import Tensor as Value

__all__ = ["Opened", "from_module"]

_OPS = {"add": "Add", "sub": "Subtract", "mul": "Mul", "div": "Divide", "matmul": "MatMul"}
_LISTS = (nn.Sequential, nn.ModuleList)


@dataclass
class Opened:
    """A module as a document; `weights_into` carries its weights to a module built from it."""

    document: Document
    module: nn.Module
    paths: dict[str, dict[str, str]] = field(default_factory=dict)  # graph -> block -> the module's path in it

    def names(self) -> dict[str, str]:
        """Names in the built module's ``state_dict`` -> names in the opened module's."""
        found: dict[str, str] = {}
        known = self.module.state_dict()

        def walk(graph: ModelGraph, new: str, old: str) -> None:
            paths = self.paths.get(graph.name, {})
            for block in graph.blocks:
                if block.shared or block.name not in paths:
                    continue
                one, two = new + block.name, old + paths[block.name]
                if block.type == "Graph":
                    times = int(block.properties.get("repeat", 1))
                    inner = self.document.graph(block.properties["graph"])
                    for i in range(times):
                        part = f".{i}" if times > 1 else ""
                        walk(inner, one + part + ".", two + part + ".")
                else:
                    for key in known:
                        if key == two or key.startswith(two + "."):
                            found[one + key[len(two) :]] = key

        walk(self.document.main, "", "")
        return found

    def build(self, types: Palette | None = None) -> nn.Module:
        """The document as a live module with the opened module's weights."""
        made = build(self.document, types)
        have = self.module.state_dict()
        made.load_state_dict({new: have[old] for new, old in self.names().items()})
        made.train(self.module.training)
        return made


def from_module(module: nn.Module, *inputs: Any, types: Palette | None = None) -> Opened:
    """Open a module as blocks.

    Args:
        module: any module made of layers and tensor operations; it is run once in evaluation mode without gradients.
        inputs: what it is run on. The first size of the first input is the batch.
        types: the palette that knows your own classes. A class in it is one block; others are opened.

    Raises:
        DataError: it does something that no block does; the message names the module and the operation.

    >>> import mlkit
    >>> opened = from_module(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), mlkit.zeros(2, 4))
    >>> [block.type for block in opened.document.main.blocks]
    ['Input', 'Linear', 'ReLU', 'Output']
    """
    tracer = _Opener(Graph(module._get_name()), module, types or palette())
    modes = {m: m.training for m in module.modules()}
    module.eval()
    # Dropout that is off gives back its input itself, and the same tensor cannot be on two links
    hooks = [m.register_forward_hook(_apart) for m in module.modules()]
    try:
        trace_with(tracer, module, inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for one, mode in modes.items():
            one.training = mode
    main = tracer.finished[0]
    inner = {g.name: g for g in tracer.definitions}
    document = Document(main, inner).check(tracer.types)
    return Opened(document, module, tracer.path_tables)


def _apart(module: nn.Module, args: tuple, output: Any) -> Any:
    return output.detach() if any(output is a for a in args) and isinstance(output, Value) else None


def trace_with(tracer: _Opener, module: nn.Module, inputs: tuple) -> Any:
    """Run a module under a tracer that hears of its modules."""
    stops = [events.subscribe("module_enter", tracer.enter), events.subscribe("module_exit", tracer.leave)]
    try:
        with no_grad(), tracer:
            return module(*inputs)
    finally:
        for stop in stops:
            stop()


def layer_settings(found: BlockType, module: nn.Module) -> dict[str, Any] | None:
    """The properties with which a layer was made, read from its attributes; None where one cannot be read."""
    out: dict[str, Any] = {}
    for p in found.properties:
        if p.name == "bias":
            kept = [
                v for n, v in vars(module).get("_parameters", {}).items() if n in ("bias", "bias_ih_l0", "in_proj_bias")
            ]
            value: Any = getattr(module, "bias", None)
            value = value if isinstance(value, bool) else any(v is not None for v in kept)
        elif not hasattr(module, p.name):
            if p.required:
                return None
            continue
        else:
            value = getattr(module, p.name)
        if callable(value) and not isinstance(value, Value):
            value = getattr(value, "__name__", None)
        if isinstance(value, tuple):
            value = list(value)
        if not (value is None or isinstance(value, (bool, int, float, str, list))) or p.check(value):
            if p.required:
                return None
            continue
        out[p.name] = value
    return canonical(found, out)


class _Frame:
    """One module that is being opened."""

    def __init__(self, module: nn.Module, path: str):
        self.module, self.path = module, path
        self.blocks: list[Block] = []
        self.links: list[Link] = []
        self.values: dict[Any, tuple[str, str]] = {}
        self.of_module: dict[int, str] = {}
        self.paths: dict[str, str] = {}
        self.sources: list[tuple[str, tuple[str, str]]] = []

    def add(self, kind: str, properties: dict, sources: list[tuple[str, tuple[str, str]]], name: str | None = None,
            shared: str | None = None) -> str:  # fmt: skip
        name = unique(name or default_name(kind), {b.name for b in self.blocks})
        self.blocks.append(Block(name, kind, properties, (0.0, 90.0 * len(self.blocks)), "", shared))
        self.links += [Link(block, name, output, port) for port, (block, output) in sources]
        return name


def _key(value: Any) -> Any:
    return tuple(map(_key, value)) if isinstance(value, (tuple, list)) else id(value)


class _Opener(Tracer):
    """The tracer of `mlkit.compiler.trace`, which writes blocks instead of nodes."""

    def __init__(self, graph: Graph, root: nn.Module, types: Palette):
        super().__init__(graph, root)
        self.types, self.root = types, root
        self.frames: list[_Frame] = []
        self.inside: list[Any] = []  # modules that are not opened: a layer and what it calls
        self.silent: list[nn.Module] = []
        self.definitions: list[ModelGraph] = []
        self.path_tables: dict[str, dict[str, str]] = {}
        self.finished: list[ModelGraph] = []
        self.batch: int | None = None
        self.kept: list[Any] = []
        self.pending: Any = None

    # --- modules ------------------------------------------------------------------------------------------------------------

    def enter(self, module, args, kwargs) -> None:
        if self.inside:
            self.inside.append(module)
            return
        found = self.types.types.get(type(module).__name__)
        known = found is not None and found.target is type(module) and found.name not in self.types.noticed
        if module is not self.root and found is not None and known:
            given = layer_settings(found, module)
            if given is not None:
                self.inside.append(module)
                self.pending = (found, given, args, kwargs)
                return
        if module is not self.root and isinstance(module, nn.Sequential):
            self.silent.append(module)
            return
        frame = _Frame(module, self.paths.get(id(module), ""))
        names = getattr(module, "input_names", None) or [
            p.name for p in inspect.signature(module.forward).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]  # fmt: skip
        named = [(names[i] if i < len(names) else "input", a) for i, a in enumerate(args)] + list(kwargs.items())
        for name, value in named:
            if not isinstance(value, Value):
                continue
            if self.batch is None:
                self.batch = int(value.shape[0]) if value.shape else 1
            sizes: list[Any] = [int(n) for n in value.shape]
            if sizes and sizes[0] == self.batch:
                sizes[0] = "batch"
            dtype = str(value.dtype).rpartition(".")[2]
            properties = canonical(self.types["Input"], {"shape": sizes, "dtype": dtype})
            taken = {b.name for b in frame.blocks}
            wish = name if name in ("x", "y", "z") and name not in taken else unique(name, taken)
            frame.blocks.append(Block(wish, "Input", properties, (0.0, 90.0 * len(frame.blocks))))
            if self.frames:
                frame.sources.append((wish, self.wire(value, f"the input of {frame.path}")))
            frame.values[_key(value)] = (wish, "output")
            self.kept.append(value)
        self.frames.append(frame)

    def leave(self, module, output) -> None:
        if output is None:  # an error is on its way out; it says more than this could
            return
        if self.inside:
            self.inside.pop()
            if not self.inside:
                self.layer(module, output)
            return
        if self.silent and self.silent[-1] is module:
            self.silent.pop()
            return
        if not self.frames or self.frames[-1].module is not module:
            return
        frame = self.frames[-1]
        outputs = list(output) if isinstance(output, (tuple, list)) else [output]
        wires = [self.wire(v, f"the output of {frame.path or 'the model'}") for v in outputs]
        names = getattr(module, "output_names", None) or ["output"] * len(wires)
        ports = [frame.add("Output", {}, [("input", wire)], name) for wire, name in zip(wires, names, strict=True)]
        self.frames.pop()
        title = unique(module._get_name(), {t.name for t in self.types if t.kind == "module"} - self.types.noticed)
        graph = _fold(ModelGraph(title, tuple(frame.blocks), tuple(frame.links)), frame)
        if not self.frames:
            main = replace(graph, name=unique(title, {g.name for g in self.definitions}))
            self.finished.append(main)
            self.path_tables[main.name] = frame.paths
            return
        same = next((g for g in self.definitions if replace(g, name="") == replace(graph, name="")), None)
        if same is None or self.path_tables[same.name] != frame.paths:
            same = replace(graph, name=unique(title, {g.name for g in self.definitions}))
            self.definitions.append(same)
            self.path_tables[same.name] = frame.paths
        outer = self.frames[-1]
        shared = outer.of_module.get(id(module))
        relative = frame.path[len(outer.path) + 1 if outer.path else 0 :]
        name = outer.add("Graph", {"graph": same.name}, frame.sources, None if shared else relative, shared)
        if not shared:
            outer.of_module[id(module)] = name
            outer.paths[name] = relative
        for value, port in zip(outputs, ports, strict=True):
            self.gives(outer, value, (name, port))

    def gives(self, frame: _Frame, value: Any, wire: tuple[str, str]) -> None:
        frame.values[_key(value)] = wire
        self.kept.append(value)

    def layer(self, module, output) -> None:
        found, given, args, kwargs = self.pending
        frame = self.frames[-1]
        ports = [*found.inputs, *found.optional]
        pairs = [*zip(ports, args, strict=False), *((k, v) for k, v in kwargs.items() if k in ports)]
        sources = [(port, self.wire(v, f"{port} of {found.name}")) for port, v in pairs
                   if isinstance(v, (Value, tuple, list))]  # fmt: skip
        shared = frame.of_module.get(id(module))
        path = self.paths.get(id(module), "")
        relative = path[len(frame.path) + 1 if frame.path else 0 :]
        plain = relative if not relative.isdecimal() else None
        name = frame.add(found.name, given, sources, None if shared else plain, shared)
        if not shared:
            frame.of_module[id(module)] = name
            frame.paths[name] = relative
        made = output if len(found.outputs) > 1 and isinstance(output, (tuple, list)) else [output]
        for port, value in zip(found.outputs, made, strict=False):
            if value is not None:
                self.gives(frame, value, (name, port))

    # --- ops ------------------------------------------------------------------------------------------------------------------

    def process(self, op, tensors, attributes):
        outputs = apply(op, tensors, attributes)
        if self.inside or not self.frames:
            return outputs
        operands = [t for t in (list(tensors[0]) if op.variadic else list(tensors)) if t is not None]
        made = outputs if isinstance(outputs, tuple) else (outputs,)
        frame = self.frames[-1]
        self.gives(frame, made[0], self.operation(op.name, operands, dict(attributes), made[0]))
        return outputs

    def wire(self, value: Any, what: str) -> tuple[str, str]:
        frame = self.frames[-1]
        known = frame.values.get(_key(value))
        if known is not None:
            return known
        for name, p in frame.module.named_parameters():
            if p is value:
                numbers = p.detach().cpu().numpy()
                first = "zeros" if (numbers == 0).all() else "ones" if (numbers == 1).all() else "randn"
                given = {"shape": [int(n) for n in p.shape], "init": first}
                made = frame.add("Parameter", canonical(self.types["Parameter"], given), [], name)
                frame.paths[made] = name
                frame.values[_key(value)] = (made, "output")
                self.kept.append(value)
                return made, "output"
        raise self.no(f"{what} is a tensor that comes from no block (a buffer, a constant, or made in forward)")

    def no(self, why: str) -> DataError:
        frame = self.frames[-1]
        return DataError(f"{frame.path or 'the model'} ({frame.module._get_name()}) cannot be drawn as blocks: {why}.",
                         hint=f"Name its class to have it as one block: blocks=[{frame.module._get_name()}].")  # fmt: skip

    def operation(self, op: str, operands: list, attributes: dict, output: Any) -> tuple[str, str]:
        frame = self.frames[-1]
        if op in _OPS:
            sources, properties = [], {}
            for port, value in zip(("input", "other"), operands, strict=True):
                if not isinstance(value, Value):
                    properties["value"] = value
                elif value.ndim == 0 and _key(value) not in frame.values:
                    properties["value"] = value.item()
                else:
                    sources.append((port, self.wire(value, f"{port} of {op}")))
            return frame.add(_OPS[op], properties, sources), "output"
        if op == "cat":
            return frame.add("Concat", canonical(self.types["Concat"], attributes),
                             [(str(i), self.wire(v, "an input of cat")) for i, v in enumerate(operands)]), "output"  # fmt: skip
        kind, given, ports = self.function(op, operands, attributes, output)
        sources = [(port, self.wire(v, f"{port} of {op}")) for port, v in zip(ports, operands, strict=False)]
        return frame.add(kind, canonical(self.types[kind], given), sources), "output"

    def function(self, op: str, operands: list, attributes: dict, output: Any) -> tuple[str, dict, tuple[str, ...]]:
        one = ("input",)
        before: list[int] = [int(n) for n in operands[0].shape]
        if op == "reshape":
            after = [int(n) for n in output.shape]
            keep = len(after) - 1
            if 0 < len(after) < len(before) and before[:keep] == after[:keep]:
                return "flatten", {"start_dim": keep}, one
            if len(after) == len(before) + 1 and 0 not in before:
                spot = next(
                    (i for i in range(len(after)) if after[i] == 1 and after[:i] + after[i + 1 :] == before), None
                )
                if spot is not None:
                    return "unsqueeze", {"dim": spot}, one
            sizes: list[Any] = list(after)
            if before and after and before[0] == after[0] == self.batch:
                sizes[0] = "batch"
            return "Reshape", {"shape": sizes}, one
        if op == "permute":
            dims = [int(d) % len(before) for d in attributes["dims"]]
            moved = [i for i, d in enumerate(dims) if i != d]
            if len(moved) == 2:
                return "transpose", {"dim0": moved[0], "dim1": moved[1]}, one
            return "Permute", {"dims": dims}, one
        if op == "neg":
            return "Mul", {"value": -1}, one
        if op == "pow_scalar":
            return "Power", {"value": attributes["exponent"]}, one
        if op == "slice":
            index = attributes["index"]
            index = index if isinstance(index, tuple) else (index,)
            picked = [(i, n) for i, n in enumerate(index) if not (isinstance(n, slice) and n == slice(None))]
            if len(picked) == 1 and isinstance(picked[0][1], int):
                return "Select", {"dim": picked[0][0], "index": int(picked[0][1])}, one
        if op == "attention" and len(operands) == 3:
            if math.isclose(attributes.get("scale") or 0, before[-1] ** -0.5, rel_tol=1e-6):
                return "scaled_dot_product_attention", {"is_causal": attributes.get("is_causal", False)}, (
                    "query", "key", "value")  # fmt: skip
        if op == "interpolate" and attributes.get("mode") == "area":
            sizes = list(attributes["sizes"])
            return f"adaptive_avg_pool{len(sizes)}d", {"output_size": sizes}, one
        found = self.types.types.get(_NAMES.get(op, op))
        if found is not None and found.kind == "function" and len(operands) == len(found.inputs):
            extra = {k: v for k, v in attributes.items() if found.has(k)}
            given = {k: list(v) if isinstance(v, tuple) else v for k, v in extra.items()}
            return found.name, given, found.inputs
        raise self.no(f"there is no block for the operation {op}")


def _fold(graph: ModelGraph, frame: _Frame) -> ModelGraph:
    """Sub-graphs of one definition in a row, each fed by the one before alone, become one block with a repeat count."""
    lists: dict[str, list[str]] = {}
    for name, path in frame.paths.items():
        head, dot, last = path.rpartition(".")
        if dot and last.isdecimal() and graph[name].type == "Graph" and int(last) == len(lists.get(head, [])):
            lists.setdefault(head, []).append(name)
    for head, names in lists.items():
        kinds = {graph[n].properties["graph"] for n in names}
        shared = any(b.shared in names for b in graph.blocks)
        whole = frame.module.get_submodule(head)
        if len(names) < 2 or len(kinds) > 1 or shared or not isinstance(whole, _LISTS) or len(whole) != len(names):
            continue
        if not all(_follows(graph, one, two) for one, two in zip(names, names[1:], strict=False)):
            continue
        first, last_one = names[0], names[-1]
        title = unique(head, {b.name for b in graph.blocks})
        block = replace(graph[first], name=title, properties={**graph[first].properties, "repeat": len(names)})
        links = []
        for k in graph.links:
            if k.target in names and k.target != first:
                continue
            links.append(replace(k, target=title if k.target == first else k.target,
                                 source=title if k.source == last_one else k.source))  # fmt: skip
        blocks = tuple(block if b.name == first else b for b in graph.blocks if b.name == first or b.name not in names)
        graph = replace(graph, blocks=blocks, links=tuple(links))
        for n in names:
            frame.paths.pop(n)
        frame.paths[title] = head
    return graph


def _follows(graph: ModelGraph, one: str, two: str) -> bool:
    into, out = graph.into(two), graph.out_of(one)
    return len(into) == 1 and len(out) == 1 and into == out
