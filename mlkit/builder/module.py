"""From a document to a live ``nn.Module``: the same attributes, weights and outputs as the written class."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import mlkit
from mlkit import nn
from mlkit.builder.blocks import BlockType, Palette, canonical, palette
from mlkit.builder.document import Block, Document, Link, ModelGraph
from mlkit.core.errors import DataError, MlkitError

LARGEST_MODEL = 2**34  # bytes of weights


@dataclass
class Step:
    """One block in running order: which values go in, and under which names."""

    block: Block
    found: BlockType
    args: list[Link]
    named: dict[str, Link]
    outputs: list[str]


def steps(document: Document, graph: ModelGraph, types: Palette) -> list[Step]:
    """The blocks of a graph in running order with their links.

    Raises:
        DataError: an input that must be linked is not.
    """
    feeding: dict[str, dict[str, Link]] = {}
    for link in graph.links:
        feeding.setdefault(link.target, {})[link.input] = link
    made = []
    for block in graph.order():
        found = types[block.type]
        links = feeding.get(block.name, {})
        inputs, optional, outputs = document.ports(block, types)
        if found.variadic:
            args = [links[k] for k in sorted(links, key=int)]
            if not args:
                raise DataError(
                    f"{block.name}: nothing is linked to it.", hint="Link at least one block to its inputs."
                )
        else:
            missing = [port for port in inputs if port not in links]
            if missing:
                raise DataError(
                    f"{block.name}: nothing is linked to its input {missing[0]!r}.", f"graph: {graph.name}",
                    "Link a block to it, or remove the block.",
                )  # fmt: skip
            args = [links[port] for port in inputs]
        if found.kind == "operator" and not inputs and len(links) != 1:
            raise DataError(f"{block.name}: with a value it takes one link, it has {len(links)}.")
        named = {port: links[port] for port in optional if port in links}
        made.append(Step(block, found, args, named, outputs))
    return made


def settings(found: BlockType, block: Block) -> dict[str, Any]:
    """The properties of a block with lists as tuples, ready for a call; what is required must be there."""
    given = canonical(found, block.properties)
    for p in found.properties:
        if p.required and p.name not in given:
            if p.default is None and p.name != "shape":
                raise DataError(f"{block.name}: {p.name} is not set.", hint=f"Set {p.name} of {block.name}.")
            given[p.name] = p.default
        elif p.name == "dim" and found.name in ("Concat", "Stack"):
            given.setdefault("dim", p.default)
    return {n: _tuples(given[n]) for n in [p.name for p in found.properties] if n in given}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def make_layer(found: BlockType, block: Block, device: Any = None) -> nn.Module:
    """The layer of one block."""
    given = settings(found, block)
    if device is not None and _takes_device(found.target):
        given["device"] = device
    try:
        return found.target(**given)
    except MlkitError:
        raise
    except (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError, OverflowError) as error:
        raise DataError(f"{block.name}: {found.name} cannot be made with these properties: {error}") from error


def _takes_device(cls: type) -> bool:
    return cls.__module__.startswith("mlkit.nn") and any(
        "device" in inspect.signature(vars(base)["__init__"]).parameters
        for base in cls.__mro__
        if "__init__" in vars(base)
    )


def run(found: BlockType, block: Block, args: list, named: dict, training: bool = False) -> Any:
    """What a block without weights gives for its inputs."""
    given = settings(found, block)
    if found.kind == "operator":
        if "value" in given:
            ((port, tensor),) = named.items()
            pair = (tensor, given["value"]) if port == "input" else (given["value"], tensor)
        else:
            pair = (args[0], args[1])
        return _OPERATORS[found.symbol](*pair)
    if found.variadic:
        return found.target(list(args), **given)
    if found.kind == "function":
        if found.name == "dropout":
            given["training"] = training
        return found.target(*args, **given)
    if found.kind == "method":
        x = args[0]
        if found.symbol == "permute":
            return x.permute(*(given["dims"] if isinstance(given["dims"], tuple) else (given["dims"],)))
        return x.reshape(*(x.shape[0] if n == "batch" else n for n in given["shape"]))
    if found.kind == "index":
        return args[0].select(given.get("dim", 1), given.get("index", 0))
    raise DataError(f"{block.name}: {found.name} cannot run by itself.")


_OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "@": lambda a, b: a @ b,
    "**": lambda a, b: a**b,
}


class GraphModule(nn.Module):
    """A graph of a document as a module: its layers are attributes under their blocks' names.

    >>> from mlkit.builder import templates
    >>> model = build(templates.mlp())
    >>> tuple(model(mlkit.zeros(5, 784)).shape)
    (5, 10)
    """

    def __init__(self, document: Document, graph: ModelGraph, types: Palette, device: Any = None):
        super().__init__()
        self._steps = steps(document, graph, types)
        self._watch: Any = None  # is told (graph, block, value) of what every block gives, while someone looks
        self._title = graph.name
        self.input_names = [b.name for b in graph.of_type("Input")]
        self.output_names = [b.name for b in graph.of_type("Output")]
        self._place = {block.name: i for i, block in enumerate(graph.blocks)}
        for step in self._in_document_order(graph):
            block, kind = step.block, step.found.kind
            if block.shared is not None:
                continue
            if kind == "module":
                setattr(self, block.name, make_layer(step.found, block, device))
            elif kind == "parameter":
                setattr(self, block.name, nn.Parameter(_start(step.found, block, device)))
            elif kind == "graph":
                inner = document.graph(block.properties["graph"])
                times = int(block.properties.get("repeat", 1))
                made = [GraphModule(document, inner, types, device) for _ in range(times)]
                setattr(self, block.name, made[0] if times == 1 else nn.ModuleList(made))

    def _in_document_order(self, graph: ModelGraph) -> list[Step]:
        found = {step.block.name: step for step in self._steps}
        return [found[block.name] for block in graph.blocks]

    def _get_name(self) -> str:
        return self._title

    def forward(self, *inputs: Any) -> Any:
        """One value for each Input block; gives what the Output blocks get, a tuple when there are several."""
        ports = [s.block.name for s in self._in_order("input")]
        if len(inputs) != len(ports):
            raise DataError(f"{self._title} takes {len(ports)} inputs ({', '.join(ports)}), got {len(inputs)}.")
        values: dict[tuple[str, str], Any] = {}
        outputs: dict[str, Any] = {}
        given = dict(zip(ports, inputs, strict=True))
        for step in self._steps:
            block, kind = step.block, step.found.kind
            args = [values[k.source, k.output] for k in step.args]
            named = {port: values[k.source, k.output] for port, k in step.named.items()}
            if kind == "input":
                result = given[block.name]
            elif kind == "output":
                outputs[block.name] = args[0]
                continue
            elif kind == "parameter":
                result = getattr(self, block.name)
            elif kind in ("module", "graph"):
                layer = getattr(self, block.shared or block.name)
                if isinstance(layer, nn.ModuleList):
                    for one in layer:
                        result = one(*args)
                        args = list(result) if isinstance(result, tuple) else [result]
                else:
                    result = layer(*args, **named)
            else:
                result = run(step.found, block, args, named, self.training)
            if self._watch is not None:
                self._watch(self._title, block.name, result)
            if len(step.outputs) == 1 and not (step.found.name == "chunk"):
                values[block.name, step.outputs[0]] = result
            else:
                for port, one in zip(step.outputs, result, strict=False):
                    values[block.name, port] = one
        found = tuple(outputs[s.block.name] for s in self._in_order("output"))
        return found[0] if len(found) == 1 else found

    def _in_order(self, kind: str) -> list[Step]:
        return sorted((s for s in self._steps if s.found.kind == kind), key=lambda s: self._place[s.block.name])


def _start(found: BlockType, block: Block, device: Any) -> Any:
    given = settings(found, block)
    shape = given["shape"] if isinstance(given["shape"], tuple) else (given["shape"],)
    return getattr(mlkit, given.get("init", "zeros"))(*shape, device=device)


def build(document: Document, types: Palette | None = None, device: Any = None) -> nn.Module:
    """The document as a live module.

    Args:
        types: the palette that knows your own classes; by default mlkit's.
        device: where the weights are made; "meta" makes none.

    Raises:
        DataError: something is not linked or not set, or the weights would take more than 16 GiB.
    """
    types = types or palette()
    if device != "meta":
        rough = sum(p.numel() * p.element_size() for p in build(document, types, "meta").parameters())
        if rough > LARGEST_MODEL:
            raise DataError(f"The weights of {document.name} would take {rough / 2**30:.1f} GiB.",
                            hint="Look for a size that is too large; at most 16 GiB are made.")  # fmt: skip
    return GraphModule(document, document.main, types, device)


def keep_weights(old: nn.Module, new: nn.Module, renamed: dict[str, str] | None = None) -> list[str]:
    """Copy weights and buffers whose name and shape are in both modules; returns the names that were kept.

    Args:
        renamed: new name of a block -> its old one.

    >>> from mlkit.builder import templates
    >>> one, two = build(templates.mlp(classes=10)), build(templates.mlp(classes=3))
    >>> keep_weights(one, two)
    ['linear.weight', 'linear.bias']
    """
    have = old.state_dict()
    kept = []
    with mlkit.no_grad():
        for name, tensor in new.state_dict().items():
            first, dot, rest = name.partition(".")
            source = have.get((renamed or {}).get(first, first) + dot + rest)
            if source is not None and tuple(source.shape) == tuple(tensor.shape) and source.dtype == tensor.dtype:
                tensor.copy_(source)
                kept.append(name)
    return kept
