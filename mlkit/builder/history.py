"""Changing a document so that every change can be taken back, and copying parts of it as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from mlkit.builder.blocks import Palette, palette
from mlkit.builder.document import (
    FORMAT,
    LARGEST_FILE,
    Block,
    Document,
    Link,
    ModelGraph,
    default_name,
    unique,
)
from mlkit.builder.shapes import Repair, apply_repair
from mlkit.core.errors import DataError

STEPS = 200


@dataclass(frozen=True)
class Change:
    """One step of the history: what it was called, and the document before and after it."""

    name: str
    before: Document
    after: Document
    merge: str | None = None


class History:
    """A document with its past. Documents never change, so a step keeps what is new in it and shares the rest.

    One history goes over the main graph and all sub-graphs; `limit` steps are kept.

    >>> from mlkit.builder import templates
    >>> history = History(templates.mlp())
    >>> history.add("Dropout", {"p": 0.2})
    'dropout'
    >>> history.undo()
    'Add Dropout'
    >>> history.document == templates.mlp()
    True
    """

    def __init__(self, document: Document | None = None, types: Palette | None = None, limit: int = STEPS):
        self.document = document or Document()
        self.types = types or palette()
        self.limit = limit
        self.on_change: Callable[[], Any] | None = None  # is called after every step, also of undo and redo
        self._past: list[Change] = []
        self._future: list[Change] = []

    # --- past and future -----------------------------------------------------------------------------------------------

    @property
    def undoable(self) -> list[str]:
        """The names of the steps that can be taken back, the latest last."""
        return [change.name for change in self._past]

    @property
    def redoable(self) -> list[str]:
        """The names of the steps that can be done again, the next one last."""
        return [change.name for change in self._future]

    def do(self, name: str, change: Callable[[Document], Document], merge: str | None = None) -> None:
        """Do a step. If it raises, nothing has changed.

        Args:
            name: what a menu calls it.
            change: document -> document.
            merge: steps in a row with the same word become one: the many moves of one drag.
        """
        after = change(self.document)
        if after == self.document:
            return
        after.check(self.types)
        last = self._past[-1] if self._past else None
        if merge is not None and last is not None and last.merge == merge and not self._future:
            self._past[-1] = replace(last, after=after)
        else:
            self._past.append(Change(name, self.document, after, merge))
            del self._past[: -self.limit]
        self._future.clear()
        self._now(after)

    def _now(self, document: Document) -> None:
        self.document = document
        if self.on_change is not None:
            self.on_change()

    def undo(self) -> str | None:
        """Take the last step back; its name, or None when there is none."""
        if not self._past:
            return None
        change = self._past.pop()
        self._future.append(change)
        self._now(change.before)
        return change.name

    def redo(self) -> str | None:
        """Do the step again that was taken back last."""
        if not self._future:
            return None
        change = self._future.pop()
        self._past.append(change)
        self._now(change.after)
        return change.name

    # --- steps -----------------------------------------------------------------------------------------------------------

    def _graph(
        self, name: str, graph: str | None, change: Callable[[ModelGraph], ModelGraph], merge: str | None = None
    ):
        self.do(name, lambda document: document.with_graph(change(document.graph(graph)), graph), merge)

    def add(self, kind: str, properties: dict[str, Any] | None = None, position: tuple[float, float] = (0, 0),
            name: str | None = None, graph: str | None = None) -> str:  # fmt: skip
        """Add a block; returns its name."""
        chosen = self.document.graph(graph).unique_name(name or default_name(kind))
        block = Block(chosen, kind, properties or {}, position)
        self._graph(f"Add {kind}", graph, lambda g: replace(g, blocks=(*g.blocks, block)))
        return chosen

    def remove(self, names: Iterable[str], graph: str | None = None) -> None:
        """Remove blocks with their links; the first block that shared a removed one's weights gets them."""
        gone = set(names)

        def change(g: ModelGraph) -> ModelGraph:
            heirs: dict[str, str] = {}
            blocks = []
            for b in g.blocks:
                if b.name in gone:
                    continue
                if b.shared in gone:
                    heir = heirs.setdefault(b.shared, b.name)
                    owner = g[b.shared]
                    b = replace(b, shared=None if heir == b.name else heir, properties=owner.properties)
                blocks.append(b)
            links = tuple(k for k in g.links if k.source not in gone and k.target not in gone)
            return replace(g, blocks=tuple(blocks), links=links)

        self._graph(f"Remove {', '.join(sorted(gone)[:3])}", graph, change)

    def link(self, source: str, target: str, output: str = "output", input: str = "input",
             graph: str | None = None) -> None:  # fmt: skip
        """Link two ports; a link that ends there already is replaced."""
        made = Link(source, target, output, input)

        def change(g: ModelGraph) -> ModelGraph:
            kept = tuple(k for k in g.links if (k.target, k.input) != (target, input))
            return replace(g, links=(*kept, made))

        self._graph(f"Link {source} to {target}", graph, change)

    def unlink(self, link: Link, graph: str | None = None) -> None:
        """Remove a link."""
        self._graph("Remove link", graph, lambda g: replace(g, links=tuple(k for k in g.links if k != link)))

    def set(self, block: str, name: str, value: Any, graph: str | None = None) -> None:
        """Set a property, in all blocks that share the module."""

        def change(g: ModelGraph) -> ModelGraph:
            owner = g[block].shared or block
            blocks = [
                replace(b, properties={**b.properties, name: value}) if owner in (b.name, b.shared) else b
                for b in g.blocks
            ]
            return replace(g, blocks=tuple(blocks))

        self._graph(f"Set {name} of {block}", graph, change, merge=f"set {graph} {block} {name}")

    def reset(self, block: str, name: str, graph: str | None = None) -> None:
        """Let a property be what it is by default, in all blocks that share the module."""

        def change(g: ModelGraph) -> ModelGraph:
            owner = g[block].shared or block
            blocks = [
                replace(b, properties={k: v for k, v in b.properties.items() if k != name})
                if owner in (b.name, b.shared)
                else b
                for b in g.blocks
            ]
            return replace(g, blocks=tuple(blocks))

        self._graph(f"Reset {name} of {block}", graph, change)

    def place(self, positions: dict[str, tuple[float, float]], notes: dict[int, tuple[float, float]],
              graph: str | None = None, drag: str | None = None) -> None:  # fmt: skip
        """Move blocks and notes together."""

        def change(document: Document) -> Document:
            g = document.graph(graph)
            g = replace(g, blocks=tuple(replace(b, position=positions.get(b.name, b.position)) for b in g.blocks))
            moved = tuple({**n, "position": [*notes[i]]} if i in notes else n for i, n in enumerate(document.notes))
            return replace(document.with_graph(g, graph), notes=moved)

        self.do("Move", change, merge=drag and f"move {drag}")

    # --- notes, name, training -------------------------------------------------------------------------------------------

    def add_note(self, text: str, position: tuple[float, float] = (0, 0), graph: str | None = None) -> int:
        """Put a note on the canvas of a graph; returns its number.

        >>> history = History()
        >>> history.add_note("what this is for")
        0
        """
        note: dict[str, Any] = {"text": text, "position": [*position]}
        if graph is not None and graph != self.document.name:
            note["graph"] = graph
        self.do("Add note", lambda document: replace(document, notes=(*document.notes, note)))
        return len(self.document.notes) - 1

    def set_note(self, number: int, text: str) -> None:
        """Write another text on a note."""
        self._note(number)
        self.do("Edit note", lambda document: replace(document, notes=tuple(
            {**note, "text": text} if i == number else note for i, note in enumerate(document.notes))),
            merge=f"note {number}")  # fmt: skip

    def remove_notes(self, numbers: Iterable[int]) -> None:
        """Take notes away."""
        gone = set(numbers)
        for number in gone:
            self._note(number)
        self.do("Remove note", lambda document: replace(document, notes=tuple(
            note for i, note in enumerate(document.notes) if i not in gone)))  # fmt: skip

    def _note(self, number: int) -> None:
        if not 0 <= number < len(self.document.notes):
            raise DataError(f"There is no note {number}; there are {len(self.document.notes)}.")

    def title(self, name: str, graph: str | None = None) -> None:
        """Give the model, or a sub-graph, another name: the name of its class."""

        def change(document: Document) -> Document:
            g = document.graph(graph)
            if name != g.name and name in {document.name, *document.graphs}:
                raise DataError(f"There is a graph {name!r} already.")
            if g is document.main:
                notes = document.notes
                return replace(document, main=replace(g, name=name), notes=notes)
            graphs = {name if key == g.name else key: replace(
                replace(one, name=name) if key == g.name else one,
                blocks=_regraph(one.blocks, {g.name: name})) for key, one in document.graphs.items()}  # fmt: skip
            main = replace(document.main, blocks=_regraph(document.main.blocks, {g.name: name}))
            notes = tuple({**n, "graph": name} if n.get("graph") == g.name else n for n in document.notes)
            return replace(document, main=main, graphs=graphs, notes=notes)

        self.do(f"Rename {self.document.graph(graph).name}", change)

    def training(self, name: str, value: Any) -> None:
        """Set what the model is trained with: data, loss, optimizer, lr, epochs, ..."""

        def change(document: Document) -> Document:
            settings = {**document.training, name: value}
            if value is None:
                settings.pop(name)
            return replace(document, training=settings)

        self.do(f"Set {name}", change, merge=f"training {name}")

    def replace(self, document: Document, name: str = "Open") -> None:
        """Another document in place of this one, as a step that can be taken back."""
        self.do(name, lambda _: document)

    def add_graph(self, title: str, position: tuple[float, float] = (0, 0), graph: str | None = None) -> str:
        """Add a new sub-graph that gives what it gets, and a block of it; returns the block's name."""
        made: list[str] = []

        def change(document: Document) -> Document:
            name = unique(title, {document.name, *document.graphs, *(t.name for t in self.types)})
            inner = ModelGraph(name, (Block("input", "Input"), Block("output", "Output", {}, (0.0, 180.0))),
                               (Link("input", "output"),))  # fmt: skip
            g = document.graph(graph)
            block = Block(g.unique_name(default_name(title)), "Graph", {"graph": name}, position)
            made.append(block.name)
            document = replace(document, graphs={**document.graphs, name: inner})
            return document.with_graph(replace(g, blocks=(*g.blocks, block)), graph)

        self.do(f"Add {title}", change)
        return made[-1]

    def ungroup(self, block: str, graph: str | None = None) -> list[str]:
        """Write a sub-graph out where it is used once; returns the names of its blocks."""
        made: list[str] = []

        def change(document: Document) -> Document:
            g = document.graph(graph)
            owner = g[block]
            if owner.type != "Graph":
                raise DataError(f"{block} is no sub-graph.")
            if int(owner.properties.get("repeat", 1)) > 1:
                raise DataError(
                    f"{block} is repeated {owner.properties['repeat']} times.", hint="Set repeat to 1 first."
                )
            if owner.shared or any(b.shared == block for b in g.blocks):
                raise DataError(f"{block} shares its weights.", hint="Give it weights of its own first.")
            inner = document.graph(owner.properties["graph"])
            taken = {b.name for b in g.blocks if b.name != block}
            names: dict[str, str] = {}
            for b in inner.blocks:
                if b.type not in ("Input", "Output"):
                    names[b.name] = unique(b.name, taken)
                    taken.add(names[b.name])
            made[:] = names.values()
            middle = [b for b in inner.blocks if b.name in names]
            left = min((b.position[0] for b in middle), default=0.0)
            top = min((b.position[1] for b in middle), default=0.0)
            fresh = tuple(
                replace(b, name=names[b.name], shared=names.get(b.shared or ""),
                        position=(b.position[0] - left + owner.position[0], b.position[1] - top + owner.position[1]))
                for b in middle
            )  # fmt: skip
            coming = {k.input: (k.source, k.output) for k in g.into(block)}
            ends: dict[str, tuple[str, str] | None] = {}
            links = [k for k in g.links if block not in (k.source, k.target)]

            def start(source: str, output: str) -> tuple[str, str] | None:
                return coming.get(source) if inner[source].type == "Input" else (names[source], output)

            for k in inner.links:
                from_ = start(k.source, k.output)
                if inner[k.target].type == "Output":
                    ends[k.target] = from_
                elif from_ is not None:
                    links.append(Link(from_[0], names[k.target], from_[1], k.input))
            for k in g.out_of(block):
                end = ends.get(k.output)
                if end is not None:
                    links.append(replace(k, source=end[0], output=end[1]))
            at = [b.name for b in g.blocks].index(block)
            rest = [b for b in g.blocks if b.name != block]
            blocks = (*rest[:at], *fresh, *rest[at:])
            document = document.with_graph(replace(g, blocks=blocks, links=tuple(links)), graph)
            used = {b.properties.get("graph") for one in document.all_graphs() for b in one.blocks if b.type == "Graph"}
            if inner.name not in used:
                graphs = {n: one for n, one in document.graphs.items() if n != inner.name}
                document = replace(document, graphs=graphs)
            return document

        self.do(f"Write out {block}", change)
        return made

    def move(
        self, positions: dict[str, tuple[float, float]], graph: str | None = None, drag: str | None = None
    ) -> None:
        """Move blocks; the moves of one `drag` are one step."""

        def change(g: ModelGraph) -> ModelGraph:
            return replace(g, blocks=tuple(replace(b, position=positions.get(b.name, b.position)) for b in g.blocks))

        self._graph("Move", graph, change, merge=drag and f"move {drag}")

    def rename(self, old: str, new: str, graph: str | None = None) -> None:
        """Give a block another name, here and where its graph is used."""

        def change(document: Document) -> Document:
            g = document.graph(graph)
            kind = g[old].type
            if old != new and any(b.name == new for b in g.blocks):
                raise DataError(f"There is a block {new!r} already.")
            blocks = tuple(
                replace(b, name=new if b.name == old else b.name, shared=new if b.shared == old else b.shared)
                for b in g.blocks
            )
            links = tuple(
                replace(
                    k,
                    source=new if k.source == old else k.source,
                    target=new if k.target == old else k.target,
                )
                for k in g.links
            )
            document = document.with_graph(replace(g, blocks=blocks, links=links), graph)
            if kind in ("Input", "Output") and graph is not None and graph != document.name:
                for outer in list(document.all_graphs()):
                    users = {b.name for b in outer.of_type("Graph") if b.properties.get("graph") == graph}
                    kept = tuple(
                        replace(
                            k,
                            input=new if kind == "Input" and k.target in users and k.input == old else k.input,
                            output=new if kind == "Output" and k.source in users and k.output == old else k.output,
                        )
                        for k in outer.links
                    )
                    document = document.with_graph(replace(outer, links=kept), outer.name)
            return document

        self.do(f"Rename {old}", change)

    def comment(self, block: str, text: str, graph: str | None = None) -> None:
        """Write a comment on a block; it stands behind its line in the code."""

        def change(g: ModelGraph) -> ModelGraph:
            return replace(g, blocks=tuple(replace(b, comment=text) if b.name == block else b for b in g.blocks))

        self._graph(f"Comment on {block}", graph, change, merge=f"comment {graph} {block}")

    def share(self, block: str, owner: str | None, graph: str | None = None) -> None:
        """Let a block use another's weights, or (None) have its own again."""

        def change(g: ModelGraph) -> ModelGraph:
            base = None if owner is None else (g[owner].shared or owner)
            like = g[block] if base is None else g[base]
            return replace(
                g,
                blocks=tuple(
                    replace(b, shared=base, properties=dict(like.properties)) if b.name == block else b
                    for b in g.blocks
                ),
            )

        self._graph(f"Share {block}", graph, change)

    def repair(self, repair: Repair, graph: str | None = None) -> None:
        """Do a repair that `infer_shapes` offers."""
        self.do(repair.words, lambda document: apply_repair(document, repair, graph))

    def group(self, names: Iterable[str], title: str, repeat: int = 1, graph: str | None = None) -> str:
        """Make chosen blocks a sub-graph; its links outwards become its inputs and outputs. Returns the new block's name."""
        chosen = set(names)
        made: list[str] = []

        def change(document: Document) -> Document:
            g = document.graph(graph)
            if not chosen or any(g[n].type in ("Input", "Output") for n in chosen):
                raise DataError("Choose blocks other than Input and Output for a sub-graph.")
            for b in g.blocks:
                if b.shared and (b.name in chosen) != (b.shared in chosen):
                    raise DataError(f"{b.name} and {b.shared} share weights: choose both or neither.")
            name = unique(title, {document.name, *document.graphs, *(t.name for t in self.types)})
            inner = [b for b in g.blocks if b.name in chosen]
            links = [k for k in g.links if k.source in chosen and k.target in chosen]
            coming = [k for k in g.links if k.source not in chosen and k.target in chosen]
            going = [k for k in g.links if k.source in chosen and k.target not in chosen]
            outer_name = unique(default_name(title), {b.name for b in g.blocks if b.name not in chosen})
            made.append(outer_name)
            taken = set(chosen)
            ports: dict[tuple[str, str], str] = {}
            outside = [k for k in g.links if k not in links and k not in coming and k not in going]
            ins, outs = [], []
            for k in coming:
                if (k.source, k.output) not in ports:
                    port = unique("input", taken)
                    taken.add(port)
                    ports[k.source, k.output] = port
                    ins.append(Block(port, "Input"))
                    outside.append(Link(k.source, outer_name, k.output, port))
                links.append(Link(ports[k.source, k.output], k.target, "output", k.input))
            ends: dict[tuple[str, str], str] = {}
            for k in going:
                if (k.source, k.output) not in ends:
                    port = unique("output", taken)
                    taken.add(port)
                    ends[k.source, k.output] = port
                    outs.append(Block(port, "Output"))
                    links.append(Link(k.source, port, k.output, "input"))
                outside.append(Link(outer_name, k.target, ends[k.source, k.output], k.input))
            new = ModelGraph(name, (*ins, *inner, *outs), tuple(links))
            first = inner[0]
            properties: dict[str, Any] = {"graph": name}
            if repeat > 1:
                properties["repeat"] = repeat
            block = Block(outer_name, "Graph", properties, first.position)
            rest: list[Block] = []
            for b in g.blocks:
                if b is first:
                    rest.append(block)
                elif b.name not in chosen:
                    rest.append(b)
            document = replace(document, graphs={**document.graphs, name: new})
            return document.with_graph(replace(g, blocks=tuple(rest), links=tuple(outside)), graph)

        self.do(f"Make {title}", change)
        return made[-1]

    # --- copy and paste --------------------------------------------------------------------------------------------------------

    def copy(self, names: Iterable[str], graph: str | None = None) -> str:
        """Blocks, the links between them and the sub-graphs they need, as text."""
        chosen = set(names)
        g = self.document.graph(graph)
        blocks = tuple(
            replace(b, shared=b.shared if b.shared in chosen else None) for b in g.blocks if b.name in chosen
        )
        links = tuple(k for k in g.links if k.source in chosen and k.target in chosen)
        needed: dict[str, ModelGraph] = {}

        def need(some: Iterable[Block]) -> None:
            for b in some:
                inner = b.properties.get("graph") if b.type == "Graph" else None
                if inner and inner not in needed:
                    needed[inner] = self.document.graph(inner)
                    need(needed[inner].blocks)

        need(blocks)
        title = unique("Clipping", set(needed))
        return Document(ModelGraph(title, blocks, links), needed).to_text()

    def paste(self, text: str, position: tuple[float, float] | None = None, graph: str | None = None) -> list[str]:
        """Paste what `copy` gave, here or from another document; names that are taken change. Returns the new names."""
        clip = Document.from_text(text, self.types, "the pasted text")
        made: list[str] = []

        def change(document: Document) -> Document:
            graphs = dict(document.graphs)
            inner_names: dict[str, str] = {}
            for inner in clip.graphs.values():
                same = inner.name in graphs and graphs[inner.name] == inner
                inner_names[inner.name] = inner.name if same else unique(inner.name, {document.name, *graphs})
                graphs.setdefault(inner_names[inner.name], inner)
            for new in set(inner_names.values()) - set(document.graphs):
                graphs[new] = replace(graphs[new], name=new, blocks=_regraph(graphs[new].blocks, inner_names))
            document = replace(document, graphs=graphs)
            g = document.graph(graph)
            taken = {b.name for b in g.blocks}
            names: dict[str, str] = {}
            for b in clip.main.blocks:
                names[b.name] = unique(b.name, taken)
                taken.add(names[b.name])
            left = min((b.position[0] for b in clip.main.blocks), default=0.0)
            top = min((b.position[1] for b in clip.main.blocks), default=0.0)
            dx, dy = (30.0, 30.0) if position is None else (position[0] - left, position[1] - top)
            blocks = tuple(
                replace(b, name=names[b.name], shared=names.get(b.shared or ""),
                        position=(b.position[0] + dx, b.position[1] + dy))
                for b in _regraph(clip.main.blocks, inner_names)
            )  # fmt: skip
            links = tuple(replace(k, source=names[k.source], target=names[k.target]) for k in clip.main.links)
            made[:] = names.values()
            return document.with_graph(replace(g, blocks=g.blocks + blocks, links=g.links + links), graph)

        self.do("Paste", change)
        return made


def _regraph(blocks: tuple[Block, ...], names: dict[str, str]) -> tuple[Block, ...]:
    return tuple(
        replace(b, properties={**b.properties, "graph": names.get(b.properties["graph"], b.properties["graph"])})
        if b.type == "Graph"
        else b
        for b in blocks
    )


def is_model_text(text: str) -> bool:
    """Whether a text from the clipboard may be blocks.

    >>> is_model_text("hello")
    False
    """
    if len(text) > LARGEST_FILE:
        return False
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.get("format") == FORMAT
