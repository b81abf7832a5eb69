"""A model as a document: blocks, links, sub-graphs. Data, never code; checked when it is read; a diff a person can read."""

from __future__ import annotations

import hashlib
import heapq
import json
import keyword
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlkit import nn
from mlkit.builder.blocks import MOST_REPEATS, BlockType, Palette, canonical, palette, yours
from mlkit.core.errors import DataError
from mlkit.core.files import atomic_write

FORMAT, VERSION = "mlkit.model", 1
LARGEST_FILE = 16 * 2**20
MOST_BLOCKS = 5000  # of one graph
MOST_GRAPHS = 500
MOST_EXPANDED = 20000  # blocks when every repeat is written out
LONGEST_TEXT = 10000
DEEPEST = 12  # of nested lists and of graphs within graphs
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_RESERVED = {"self", "torch", "mlkit", "nn", "F", "OrderedDict", "super", "range"} | set(dir(nn.Module()))
_CODE = {"x", "y", "z"}  # variables of the written code

# version -> a function that makes it one version younger; a new format adds one entry
MIGRATIONS: dict[int, Callable[[dict], dict]] = {}


@dataclass(frozen=True)
class Block:
    """One block of a graph. Its name is the attribute in the written class, so it is unique in its graph."""

    name: str
    type: str
    properties: dict[str, Any] = field(default_factory=dict)
    position: tuple[float, float] = (0.0, 0.0)
    comment: str = ""
    shared: str | None = None  # the block whose module (and weights) this one uses


@dataclass(frozen=True)
class Link:
    """From an output port of one block to an input port of another."""

    source: str
    target: str
    output: str = "output"
    input: str = "input"

    def __str__(self) -> str:
        return f"{self.source}.{self.output} -> {self.target}.{self.input}"


@dataclass(frozen=True)
class ModelGraph:
    """Blocks and the links between them."""

    name: str = "Net"
    blocks: tuple[Block, ...] = ()
    links: tuple[Link, ...] = ()

    def __getitem__(self, name: str) -> Block:
        for block in self.blocks:
            if block.name == name:
                return block
        raise DataError(f"There is no block {name!r} in {self.name}.")

    def into(self, name: str) -> list[Link]:
        """The links that end at a block."""
        return [link for link in self.links if link.target == name]

    def out_of(self, name: str) -> list[Link]:
        """The links that start at a block."""
        return [link for link in self.links if link.source == name]

    def of_type(self, kind: str) -> list[Block]:
        """Blocks of one type, in the graph's order."""
        return [block for block in self.blocks if block.type == kind]

    def order(self) -> list[Block]:
        """The blocks so that each stands behind what it needs; among the possible orders the one nearest to the graph's.

        Raises:
            DataError: the links go round in a circle.
        """
        waiting: dict[str, set[str]] = {block.name: set() for block in self.blocks}
        users: dict[str, list[str]] = {}
        for link in self.links:
            waiting[link.target].add(link.source)
            users.setdefault(link.source, []).append(link.target)
        place = {block.name: i for i, block in enumerate(self.blocks)}
        ready = [place[name] for name, needs in waiting.items() if not needs]
        heapq.heapify(ready)
        found = []
        while ready:
            block = self.blocks[heapq.heappop(ready)]
            found.append(block)
            for user in users.get(block.name, ()):
                needs = waiting[user]
                if block.name in needs:
                    needs.discard(block.name)
                    if not needs:
                        heapq.heappush(ready, place[user])
        if len(found) < len(self.blocks):
            left = [name for name, needs in waiting.items() if needs]
            raise DataError(
                f"The links of {self.name} go round in a circle.", f"blocks in it or behind it: {', '.join(left[:8])}"
            )
        return found

    def unique_name(self, wish: str) -> str:
        """A name that no block has yet: conv2d, conv2d_2, ..."""
        taken = {block.name for block in self.blocks}
        return unique(wish, taken)


def unique(wish: str, taken: set[str]) -> str:
    """A valid block name near to the wish.

    >>> unique("class", set()), unique("conv", {"conv"})
    ('class_', 'conv_2')
    """
    name = re.sub(r"\W", "_", wish, flags=re.ASCII).strip("_")[:48] or "block"
    if not name[0].isalpha():
        name = "block_" + name
    if keyword.iskeyword(name) or name in _RESERVED or name in _CODE:
        name += "_"
    base, number = name, 2
    while name in taken:
        name = f"{base.rstrip('_')}_{number}"
        number += 1
    return name


def default_name(kind: str) -> str:
    """What a block of a type is called when nobody names it.

    >>> default_name("Conv2d"), default_name("MatMul")
    ('conv2d', 'matmul')
    """
    return unique(kind.lower(), set())


def has_default_name(block: Block) -> bool:
    """Whether the name was given by `default_name` and numbering."""
    return re.fullmatch(re.escape(default_name(block.type).rstrip("_")) + r"_?(_\d+)?", block.name) is not None


@dataclass(frozen=True)
class Document:
    """A whole model: its graph, its sub-graphs by name, notes on the canvas, and what it is trained with.

    >>> from mlkit.builder import templates
    >>> document = templates.mlp()
    >>> Document.from_text(document.to_text()) == document
    True
    """

    main: ModelGraph = field(default_factory=ModelGraph)
    graphs: dict[str, ModelGraph] = field(default_factory=dict)
    notes: tuple[dict[str, Any], ...] = ()  # {"text": ..., "position": [x, y], "graph": name}
    training: dict[str, Any] = field(default_factory=dict)  # {"data": {...}, "loss": {...}, "optimizer": {...}}

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.main.name

    def graph(self, name: str | None = None) -> ModelGraph:
        """The main graph (None) or a sub-graph."""
        if name is None or name == self.main.name:
            return self.main
        if name not in self.graphs:
            raise DataError(f"There is no sub-graph {name!r}.", f"there are: {', '.join(self.graphs) or 'none'}")
        return self.graphs[name]

    def with_graph(self, graph: ModelGraph, name: str | None = None) -> Document:
        """This document with one graph in place of the one called `name`."""
        if name is None or name == self.main.name:
            return replace(self, main=graph)
        return replace(self, graphs={**self.graphs, name: graph})

    def all_graphs(self) -> Iterator[ModelGraph]:
        """Sub-graphs, then the main graph."""
        yield from self.graphs.values()
        yield self.main

    def ports(self, block: Block, types: Palette | None = None) -> tuple[list[str], list[str], list[str]]:
        """(inputs, optional inputs, outputs) of a block; of a variadic block those that are linked."""
        types = types or palette()
        if block.type == "Graph":
            inner = self.graph(str(block.properties.get("graph")))
            return (
                [b.name for b in inner.of_type("Input")],
                [],
                [b.name for b in inner.of_type("Output")],
            )
        found = types[block.type]
        outputs = list(found.outputs)
        if block.type == "chunk":
            outputs = [str(i) for i in range(int(block.properties.get("chunks", 1)))]
        if found.kind == "operator" and block.properties.get("value") is not None:
            return [], list(found.inputs), outputs
        return list(found.inputs), list(found.optional), outputs

    # --- text ----------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The document as plain data, keys always in the same order."""
        out: dict[str, Any] = {"format": FORMAT, "version": VERSION, **_graph_to_dict(self.main)}
        out["graphs"] = [_graph_to_dict(graph) for graph in self.graphs.values()]
        out["notes"] = [dict(sorted(note.items())) for note in self.notes]
        out["training"] = self.training
        return out

    def to_text(self) -> str:
        """JSON with one block or link a line, so that a diff shows what a person changed."""
        return _write(self.to_dict()) + "\n"

    @staticmethod
    def from_text(text: str, types: Palette | None = None, where: str = "the document") -> Document:
        """Read and check a document.

        Raises:
            DataError: it is not one; the message names the place in the file.
        """
        if len(text) > LARGEST_FILE:
            raise DataError(f"{where} is too large for a model: {len(text)} characters, at most {LARGEST_FILE}.")
        try:
            data = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_twins)
        except RecursionError:
            raise DataError(f"{where} is nested too deeply.") from None
        except json.JSONDecodeError as error:
            raise DataError(f"{where} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from None
        except ValueError as error:  # an integer of thousands of digits
            raise error if isinstance(error, DataError) else DataError(f"{where} cannot be read: {error}") from None
        return Document.from_dict(data, types, where)

    @staticmethod
    def from_dict(data: Any, types: Palette | None = None, where: str = "the document") -> Document:
        """Check plain data and make a document of it; older versions are brought up to date first."""
        try:
            return _Reader(types or palette()).document(migrate(data))
        except DataError as error:
            if error.details is None or "in: " not in error.details:
                error.tell("in", where)
            raise

    def check(self, types: Palette | None = None) -> Document:
        """Raise where this document breaks a rule of the format; returns the document."""
        return Document.from_dict(self.to_dict(), types)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write ``name.mlmodel.json``, whole or not at all."""
        path = Path(path)
        if not path.name.endswith(".mlmodel.json"):
            path = path.with_name(path.name + ".mlmodel.json")
        text = self.check().to_text() if not self._has_own_blocks() else self.to_text()
        with atomic_write(path, "w") as file:
            file.write(text)
        return path

    def _has_own_blocks(self) -> bool:
        known = palette()
        return any(block.type not in known for graph in self.all_graphs() for block in graph.blocks)

    @staticmethod
    def load(path: str | os.PathLike[str], types: Palette | None = None) -> Document:
        """Read ``name.mlmodel.json``."""
        path = Path(path)
        if path.stat().st_size > LARGEST_FILE:
            raise DataError(
                f"{path.name} is too large for a model: {path.stat().st_size} bytes, at most {LARGEST_FILE}."
            )
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{path.name} is not text in UTF-8.") from None
        return Document.from_text(text, types, path.name)

    # --- comparing -----------------------------------------------------------------------------------------------------

    def meaning(self, types: Palette | None = None, functions: bool = True) -> Any:
        """What the model is, without positions, notes, order of links and names that nobody gave.

        Two documents with the same meaning are the same model. Blocks with weights keep their names (they are the
        names in ``state_dict``); a function called by default (relu_3) is known by its place alone.
        With ``functions=False`` all of them are: a module that runs does not tell their names.
        """
        types = types or palette()
        return {graph.name: _meaning(graph, types, functions) for graph in self.all_graphs()}


def _meaning(graph: ModelGraph, types: Palette, functions: bool) -> list:
    keys: dict[str, Any] = {}
    counts: dict[Any, int] = {}
    rows = []
    feeding: dict[str, list[Link]] = {}
    for link in graph.links:
        feeding.setdefault(link.target, []).append(link)
    for block in graph.order():
        found = types[block.type]
        owner = found.kind in ("module", "graph", "parameter", "input") and block.shared is None
        turned = block.type in ("Add", "Mul") and "value" in block.properties  # 2 * x is x * 2
        ports = {"other": "input"} if turned else {}
        feeds = sorted(
            (ports.get(link.input, link.input), keys[link.source], link.output) for link in feeding.get(block.name, ())
        )
        row = (block.type, _frozen(canonical(found, block.properties)), block.shared or "", tuple(feeds))
        name = (
            block.name
            if owner or (functions and block.type != "Output" and not has_default_name(block) and not block.shared)
            else ""
        )
        if not name:  # known by its place: how often the same stood before
            counts[row] = counts.get(row, 0) + 1
            name = f"{block.type}#{hash_text(row)}#{counts[row]}"
        keys[block.name] = name
        rows.append((name, *row))
    inputs = [b.name for b in graph.of_type("Input")]
    outputs = [keys[b.name] for b in graph.of_type("Output")]
    return [inputs, outputs, sorted(rows, key=repr)]


def hash_text(row: Any) -> str:
    """A short stable digest."""
    return hashlib.sha1(repr(row).encode()).hexdigest()[:12]


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple((k, _frozen(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(v) for v in value)
    return repr(value)


# --- writing -----------------------------------------------------------------------------------------------------------


def _graph_to_dict(graph: ModelGraph) -> dict[str, Any]:
    blocks = []
    for block in graph.blocks:
        row: dict[str, Any] = {"name": block.name, "type": block.type}
        if block.properties:
            row["properties"] = block.properties
        if block.shared:
            row["shared"] = block.shared
        if block.comment:
            row["comment"] = block.comment
        blocks.append(row)
    links = [{"from": f"{k.source}.{k.output}", "to": f"{k.target}.{k.input}"} for k in graph.links]
    # apart from the blocks: moving one on the canvas changes no line about the model
    positions = {b.name: [_number(b.position[0]), _number(b.position[1])] for b in graph.blocks if any(b.position)}
    return {"name": graph.name, "blocks": blocks, "links": links, "positions": positions}


def _number(n: float) -> float | int:
    return int(n) if float(n).is_integer() else round(float(n), 2)


def _write(data: Any, indent: str = "", depth: int = 0) -> str:
    """JSON in which a list's entries stand on one line each."""
    inner = indent + " "
    if isinstance(data, dict) and data and depth < 1:
        rows = [f"{inner}{json.dumps(k)}: {_write(v, inner, depth + 1)}" for k, v in data.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(data, list) and data and depth == 1:
        graphs = isinstance(data[0], dict) and "blocks" in data[0]
        rows = [inner + (_write(v, inner, 0) if graphs else json.dumps(v, ensure_ascii=False)) for v in data]
        return "[\n" + ",\n".join(rows) + f"\n{indent}]"
    if isinstance(data, dict) and data and depth == 1:
        rows = [f"{inner}{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in data.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    return json.dumps(data, ensure_ascii=False)


# --- reading -----------------------------------------------------------------------------------------------------------


def _no_constant(text: str):
    raise DataError(f"The document has the number {text}, which JSON does not know.")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DataError(f"The key {key[:80]!r} stands twice in one object of the document.")
        found[key] = value
    return found


def migrate(data: Any) -> dict:
    """Bring a document of an older version up to date, one version at a time."""
    if not isinstance(data, dict):
        raise DataError(f"A model document is an object with format, version, blocks; got {type(data).__name__}.")
    if data.get("format") != FORMAT:
        raise DataError(
            f"format: expected {FORMAT!r}, got {_short(data.get('format'))}.", hint="Is it a model document?"
        )
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DataError(f"version: expected a whole number from 1, got {_short(version)}.")
    if version > VERSION:
        raise DataError(f"version: the document is of version {version}; this mlkit reads up to {VERSION}.",
                        hint="Install a newer mlkit.")  # fmt: skip
    while version < VERSION:
        if version not in MIGRATIONS:
            raise DataError(f"version: nothing here reads version {version}.")
        data = MIGRATIONS[version](data)
        version += 1
        data["version"] = version
    return data


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."


class _Reader:
    """Checks plain data step by step; every message starts with the place, as in ``blocks[3].properties.p``."""

    def __init__(self, types: Palette):
        self.types = types

    def fail(self, where: str, what: str, hint: str | None = None):
        raise DataError(f"{where}: {what}", hint=hint)

    def take(self, data: Any, kind: type | tuple, where: str) -> Any:
        if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            names = {dict: "an object", list: "a list", str: "a text", int: "a whole number", float: "a number"}
            self.fail(where, f"expected {' or '.join(names[k] for k in kinds)}, got {_short(data)}.")
        if isinstance(data, str) and len(data) > LONGEST_TEXT:
            self.fail(where, f"the text is too long: {len(data)} characters, at most {LONGEST_TEXT}.")
        return data

    def keys(self, data: dict, known: set[str], where: str) -> None:
        for key in data:
            if key not in known:
                self.fail(where, f"unknown key {_short(key)}.", f"known: {', '.join(sorted(known))}")

    def name(self, data: Any, where: str) -> str:
        text = self.take(data, str, where)
        if not _NAME.fullmatch(text) or keyword.iskeyword(text) or text in _RESERVED:
            self.fail(where, f"{_short(text)} cannot be a name in Python code.", "Letters, digits and _, no keyword.")
        return text

    def plain(self, value: Any, where: str, depth: int = 0) -> Any:
        if depth > DEEPEST:
            self.fail(where, "is nested too deeply.")
        if isinstance(value, (list, dict)):
            if len(value) > 10000:
                self.fail(where, f"has {len(value)} entries, at most 10000.")
            if isinstance(value, list):
                return [self.plain(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
            return {k: self.plain(v, f"{where}.{k[:60]}", depth + 1) for k, v in value.items()}
        if isinstance(value, float) and not math.isfinite(value):
            self.fail(where, f"expected a finite number, got {value}.")
        if isinstance(value, str):
            self.take(value, str, where)
        elif not (value is None or isinstance(value, (bool, int, float))):
            self.fail(where, f"expected plain data, got {type(value).__name__}.")
        return value

    def document(self, data: dict) -> Document:
        self.keys(
            data,
            {"format", "version", "name", "blocks", "links", "positions", "graphs", "notes", "training"},
            "document",
        )
        raw = self.take(data.get("graphs", []), list, "graphs")
        if len(raw) > MOST_GRAPHS:
            self.fail("graphs", f"{len(raw)} sub-graphs, at most {MOST_GRAPHS}.")
        parts: list[tuple[ModelGraph, str]] = []
        for i, item in enumerate(raw):
            where = f"graphs[{i}]"
            self.keys(self.take(item, dict, where), {"name", "blocks", "links", "positions"}, where)
            parts.append((self.graph(item, where + "."), where + "."))
        main = self.graph(data, "")
        seen = {main.name}
        for graph, where in parts:
            if graph.name in seen:
                self.fail(f"{where}name", f"there are two graphs called {graph.name!r}.")
            seen.add(graph.name)
        notes = []
        for i, note in enumerate(self.take(data.get("notes", []), list, "notes")):
            self.take(note, dict, f"notes[{i}]")
            self.keys(note, {"text", "position", "graph"}, f"notes[{i}]")
            self.take(note.get("text"), str, f"notes[{i}].text")
            self.position(note.get("position", [0, 0]), f"notes[{i}].position")
            notes.append(note)
        training = self.plain(self.take(data.get("training", {}), dict, "training"), "training")
        document = Document(main, {graph.name: graph for graph, _ in parts}, tuple(notes), training)
        self.nesting(document)
        used = {block.type for graph, _ in [*parts, (main, "")] for block in graph.blocks}
        for graph, where in [*parts, (main, "")]:
            if graph.name in used & self.types.noticed:
                self.fail(where + "name", f"{graph.name} is both a part and a class of yours.", "Rename the part.")
        for graph, where in [*parts, (main, "")]:
            self.links(document, graph, where)
        return document

    def graph(self, data: dict, where: str) -> ModelGraph:
        name = self.name(data.get("name"), where + "name")
        if name in self.types and self.types[name].kind == "module" and name not in self.types.noticed:
            self.fail(where + "name", f"{name} is the name of a layer.", "Give the model another name.")
        raw = self.take(data.get("blocks"), list, where + "blocks")
        if len(raw) > MOST_BLOCKS:
            self.fail(where + "blocks", f"{len(raw)} blocks, at most {MOST_BLOCKS}.")
        positions = self.take(data.get("positions", {}), dict, where + "positions")
        blocks: dict[str, Block] = {}
        for i, item in enumerate(raw):
            block = self.block(item, f"{where}blocks[{i}]", positions, f"{where}positions")
            if block.name in blocks:
                self.fail(f"{where}blocks[{i}].name", f"there are two blocks called {block.name!r}.")
            blocks[block.name] = block
        for key in positions:
            if key not in blocks:
                self.fail(f"{where}positions", f"there is no block {_short(key)}.")
        for i, block in enumerate(blocks.values()):
            if block.shared is not None:
                owner = blocks.get(block.shared)
                kind = self.types[block.type].kind
                if owner is None or owner.shared or owner.type != block.type or kind not in ("module", "graph"):
                    self.fail(f"{where}blocks[{i}].shared", f"{_short(block.shared)} is no layer of type {block.type} "
                              "with weights of its own.")  # fmt: skip
        links = []
        raw = self.take(data.get("links", []), list, where + "links")
        if len(raw) > 10 * MOST_BLOCKS:
            self.fail(where + "links", f"{len(raw)} links, at most {10 * MOST_BLOCKS}.")
        for i, item in enumerate(raw):
            place = f"{where}links[{i}]"
            self.keys(self.take(item, dict, place), {"from", "to"}, place)
            source, output = self.end(item.get("from"), place + ".from", blocks)
            target, port = self.end(item.get("to"), place + ".to", blocks)
            links.append(Link(source, target, output, port))
        graph = ModelGraph(name, tuple(blocks.values()), tuple(links))
        try:
            graph.order()
        except DataError as error:
            self.fail(where + "links", error.sentence, error.details)
        return graph

    def end(self, text: Any, where: str, blocks: dict) -> tuple[str, str]:
        name, _, port = self.take(text, str, where).partition(".")
        if name not in blocks:
            self.fail(where, f"there is no block {_short(name)}.")
        if not re.fullmatch(r"\w{1,64}", port):
            self.fail(where, f"expected block.port, got {_short(text)}.")
        return name, port

    def position(self, data: Any, where: str) -> tuple[float, float]:
        pair = self.take(data, list, where)
        if len(pair) != 2:
            self.fail(where, f"expected [x, y], got {_short(data)}.")
        for n in pair:
            self.take(n, (int, float), where)
            if not abs(n) <= 1e7:
                self.fail(where, f"{_short(n)} is outside the canvas.")
        return float(pair[0]), float(pair[1])

    def block(self, item: Any, where: str, positions: dict, positions_at: str) -> Block:
        self.keys(self.take(item, dict, where), {"name", "type", "properties", "shared", "comment"}, where)
        name = self.name(item.get("name"), where + ".name")
        kind = self.take(item.get("type"), str, where + ".type")
        if kind not in self.types or self.types[kind].kind == "data":
            near = [b.name for b in self.types.search(kind[:40])][:3] if kind else []
            meant = f"Did you mean {', '.join(near)}? " if near else ""
            self.fail(where + ".type", f"there is no block {_short(kind)}.", meant + yours(kind))
        found = self.types[kind]
        properties = self.plain(
            self.take(item.get("properties", {}), dict, where + ".properties"), where + ".properties"
        )
        self.properties(found, properties, where + ".properties")
        shared = item.get("shared")
        if shared is not None:
            self.take(shared, str, where + ".shared")
        comment = self.take(item.get("comment", ""), str, where + ".comment")
        spot = self.position(positions.get(name, [0, 0]), f"{positions_at}.{name}")
        return Block(name, kind, properties, spot, comment, shared)

    def properties(self, found: BlockType, properties: dict, where: str) -> None:
        for key, value in properties.items():
            if not found.has(key):
                known = ", ".join(p.name for p in found.properties)
                self.fail(
                    f"{where}.{_short(key)[1:-1]}", f"{found.name} has no such property.", f"it has: {known or 'none'}"
                )
            wrong = found.property(key).check(value)
            if wrong:
                self.fail(f"{where}.{key}", wrong + ".")
        if found.name in ("Input", "Reshape", "Parameter") and "shape" in properties:
            shape = properties["shape"]
            if not isinstance(shape, list) or len(shape) > 12:
                self.fail(where + ".shape", f"expected a list of at most 12 sizes, got {_short(shape)}.")
            for n in shape:
                named = n == "batch" and found.name != "Parameter"
                low = -1 if found.name == "Reshape" else 1
                if not named and (not isinstance(n, int) or isinstance(n, bool) or n < low):
                    self.fail(where + ".shape", f"a size is a whole number or 'batch', got {_short(n)}.")

    def nesting(self, document: Document) -> None:
        """Graphs within graphs: known, not in a circle, not too many when written out."""
        sizes: dict[str, int] = {}

        def size(graph: ModelGraph, path: tuple[str, ...]) -> int:
            if graph.name in path:
                self.fail("graphs", f"{graph.name} contains itself: {' in '.join(path)}.")
            if len(path) > DEEPEST:
                self.fail("graphs", f"more than {DEEPEST} graphs stand in one another.")
            if graph.name not in sizes:
                total = 0
                for block in graph.blocks:
                    times = 1
                    if block.type == "Graph":
                        inner = str(block.properties.get("graph"))
                        if inner not in document.graphs:
                            self.fail(f"{graph.name}.{block.name}", f"there is no sub-graph {_short(inner)}.")
                        times = min(int(block.properties.get("repeat", 1)), MOST_REPEATS) * size(
                            document.graphs[inner], (*path, graph.name)
                        )
                    total += times
                    if total > MOST_EXPANDED:
                        self.fail("graphs", f"written out, {graph.name} has more than {MOST_EXPANDED} blocks.")
                sizes[graph.name] = total
            return sizes[graph.name]

        for graph in document.all_graphs():
            size(graph, ())

    def links(self, document: Document, graph: ModelGraph, where: str) -> None:
        taken: dict[tuple[str, str], int] = {}
        kinds = {block.name: block.type for block in graph.blocks}
        ports = {block.name: document.ports(block, self.types) for block in graph.blocks}
        for i, link in enumerate(graph.links):
            inputs, optional, _ = ports[link.target]
            outputs = ports[link.source][2]
            if link.output not in outputs:
                self.fail(f"{where}links[{i}].from", f"{link.source} has no output {link.output!r}.",
                          f"it has: {', '.join(outputs) or 'none'}")  # fmt: skip
            variadic = self.types[kinds[link.target]].variadic
            if not (link.input.isdecimal() if variadic else link.input in inputs or link.input in optional):
                self.fail(f"{where}links[{i}].to", f"{link.target} has no input {link.input!r}.",
                          f"it has: {', '.join([*inputs, *optional]) or 'none'}")  # fmt: skip
            key = (link.target, link.input)
            if key in taken:
                self.fail(
                    f"{where}links[{i}].to", f"{link.target}.{link.input} has a link already (links[{taken[key]}])."
                )
            taken[key] = i
