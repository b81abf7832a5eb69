"""What a canvas asks for, as messages of plain data: each is one step of the history, checked like any other."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlkit.builder import templates
from mlkit.builder.arrange import STEP_Y, arrange, arrange_document, make_room
from mlkit.builder.code import LIBRARIES
from mlkit.builder.document import Block, Document, Link, ModelGraph, default_name
from mlkit.builder.model_builder import ModelBuilder
from mlkit.builder.shapes import Repair, Value, apply_repair
from mlkit.builder.suggest import FAVOURITES, fill_from, fits, starting_settings
from mlkit.builder.training import check_setting
from mlkit.core.errors import DataError

Answer = dict[str, Any]


def perform(builder: ModelBuilder, message: dict[str, Any]) -> Answer:
    """Do what a message says.

    ``message["do"]`` is the name of a step, ``message["graph"]`` the graph it is meant for (None: the main graph); the
    rest are its arguments.

    Returns:
        What the canvas does next: {"select": names} of new blocks, or the answer to a question.

    Raises:
        DataError: The step is not known, or cannot be done; nothing has changed then.

    >>> builder = ModelBuilder()
    >>> perform(builder, {"do": "add", "type": "Input"}), perform(builder, {"do": "add", "type": "ReLU", "after": "input"})
    ({'select': ['input']}, {'select': ['relu']})
    >>> [str(link) for link in builder.document.main.links]
    ['input.output -> relu.input']
    """
    name = message.get("do")
    step = _STEPS.get(name) if isinstance(name, str) else None
    if step is None:
        raise DataError(f"A canvas has no step {name!r}.")
    graph = message.get("graph")
    if graph is not None and graph != builder.document.name and graph not in builder.document.graphs:
        raise DataError(f"There is no sub-graph {str(graph)[:60]!r} any more.")
    try:
        return step(builder, message, graph) or {}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"The step {name} was not understood: {type(error).__name__}: {error}") from error


def _spot(data: Any) -> tuple[float, float] | None:
    if data is None:
        return None
    x, y = (float(n) for n in data)
    if not (math.isfinite(x) and math.isfinite(y)):
        raise DataError("A position is two finite numbers.")
    return round(x, 1), round(y, 1)


def _link(text: str) -> Link:
    source, _, target = text.partition(" -> ")
    one, _, output = source.partition(".")
    two, _, port = target.partition(".")
    return Link(one, two, output, port)


def _value(builder: ModelBuilder, graph: str | None, block: str, output: str) -> Value | None:
    shapes = builder.shapes().get(graph or builder.document.name)
    return shapes.values.get((block, output)) if shapes else None


def _free_input(document: Document, g: ModelGraph, block: Block, builder: ModelBuilder) -> str | None:
    """The first input of a block that nothing is linked to."""
    taken = {k.input for k in g.into(block.name)}
    found = builder.types[block.type]
    if found.variadic:
        return str(next(i for i in range(len(taken) + 1) if str(i) not in taken))
    inputs, optional, _ = document.ports(block, builder.types)
    return next((p for p in [*inputs, *optional] if p not in taken), None)


# --- blocks and links ----------------------------------------------------------------------------------------------------


def _add(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    """Add a block; behind another it is linked to it, and gets its sizes from it."""
    kind = message["type"]
    data = {name.lower(): name for name in builder.catalogue()}.get(str(kind).lower())
    if data is not None and (kind not in builder.types or builder.types[kind].kind == "data"):
        return _pick(builder, data, message, graph)
    found = builder.types[kind]
    if found.kind == "graph":
        return {"select": [builder.history.add_graph("Part", _spot(message.get("position")) or (0, 0), graph)]}
    after, output = message.get("after"), message.get("output")
    before, port = message.get("before"), message.get("input")
    spot = _spot(message.get("position"))
    made: list[str] = []

    def change(document: Document) -> Document:
        g = document.graph(graph)
        value = None
        outputs: list[str] = []
        if after is not None:
            outputs = document.ports(g[after], builder.types)[2]
            if outputs:
                value = _value(builder, graph, after, output or outputs[0])
        settings = {**starting_settings(found, value), **(message.get("properties") or {})}
        if kind == "Input" and not g.of_type("Input") and g is document.main and "properties" not in message:
            with contextlib.suppress(
                Exception
            ):  # the data is the user's and may be anything; a shape can be set by hand
                settings["shape"] = ["batch", *builder.sample().shapes[0]]
        name = g.unique_name(default_name(kind))
        made[:] = [name]
        place = spot
        if place is None:
            below = [b.position for b in g.blocks]
            place = (below[0][0] if below else 0.0, max((y for _, y in below), default=-STEP_Y) + STEP_Y)
        blocks = (*g.blocks, Block(name, kind, settings, place))
        links = g.links
        if after is not None and outputs:
            inputs = [*found.inputs, *found.optional] if not found.variadic else ["0"]
            if inputs:
                made_link = Link(after, name, output or outputs[0], inputs[0])
                if spot is None:  # by keyboard: it goes between the block and what follows, where that is one link
                    following = g.out_of(after)
                    if len(following) == 1 and found.outputs and found.kind != "output":
                        links = tuple(k for k in links if k != following[0])
                        links += (replace(following[0], source=name, output=found.outputs[0]),)
                links += (made_link,)
        if before is not None and found.outputs:
            links = tuple(k for k in links if (k.target, k.input) != (before, port))
            links += (Link(name, before, found.outputs[0], port or "input"),)
        new = replace(g, blocks=blocks, links=links)
        if spot is None:
            new = make_room(new, [name])
        return document.with_graph(new, graph)

    builder.history.do(f"Add {kind}", change)
    return {"select": made}


def _pick(builder: ModelBuilder, data: str, message: dict, graph: str | None) -> Answer:
    """Train on this data; a model without an Input gets one that takes it."""
    value = check_setting("data", data, builder.catalogue())
    made: list[str] = []

    def change(document: Document) -> Document:
        document = replace(document, training={**document.training, "data": value})
        if document.main.of_type("Input") or (graph is not None and graph != document.name):
            return document
        with contextlib.suppress(Exception):  # the data is the user's and may be anything; a shape can be set by hand
            name = document.main.unique_name("input")
            picked = builder.catalogue()[value]
            sample = picked.sample if picked.fetch and picked.sample else builder._load(value)[1]
            settings: dict[str, Any] = {"shape": ["batch", *sample.shapes[0]]}
            if sample.dtypes[0] in ("int64", "int32", "uint8"):
                settings["dtype"] = sample.dtypes[0]
            block = Block(name, "Input", settings, _spot(message.get("position")) or (0.0, 0.0))
            document = document.with_graph(replace(document.main, blocks=(block, *document.main.blocks)))
            made[:] = [name]
        return document

    builder.history.do(f"Pick {data}", change)
    said = f"It will be trained on {builder.catalogue()[value].words}."
    return {"select": made, "said": said} if made else {"panel": "train", "said": said}


def _connect(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    """Link two ports; sizes of the target that are not set are taken from what comes in."""
    source, target = message["source"], message["target"]
    output = message.get("output")

    def change(document: Document) -> Document:
        g = document.graph(graph)
        if source == target:
            raise DataError(f"{source} cannot be linked to itself.")
        outputs = document.ports(g[source], builder.types)[2]
        if not outputs:
            raise DataError(f"{source} gives nothing that could be linked.")
        end = output or outputs[0]
        port = message.get("input") or _free_input(document, g, g[target], builder)
        if port is None:
            inputs, optional, _ = document.ports(g[target], builder.types)
            port = next(iter([*inputs, *optional]), None)
            if port is None:
                raise DataError(f"{target} takes nothing that could be linked.")
        kept = tuple(k for k in g.links if (k.target, k.input) != (target, port))
        new = replace(g, links=(*kept, Link(source, target, end, port)))
        try:
            new.order()
        except DataError:
            raise DataError(f"{source} cannot be linked to {target}: {target} comes before it, the links would go round "
                            "in a circle.") from None  # fmt: skip
        owner = g[target]
        fill = fill_from(builder.types[owner.type], owner.properties, _value(builder, graph, source, end))
        if fill and owner.shared is None:
            new = replace(new, blocks=tuple(
                replace(b, properties={**b.properties, **fill}) if b.name == target else b for b in new.blocks))  # fmt: skip
        return document.with_graph(new, graph)

    builder.history.do(f"Link {source} to {target}", change)
    return {}


def _disconnect(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    gone = {_link(text) for text in message["links"]}
    builder.history.do("Remove link", lambda d: d.with_graph(
        replace(d.graph(graph), links=tuple(k for k in d.graph(graph).links if k not in gone)), graph))  # fmt: skip
    return {}


def _remove(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    """Remove blocks, links and notes in one step; with ``heal`` a lone block's neighbours are linked to each other."""
    names = [str(n) for n in message.get("blocks", [])]
    links = {_link(text) for text in message.get("links", [])}
    notes = {int(n) for n in message.get("notes", [])}
    history = builder.history

    def change(document: Document) -> Document:
        scratch = type(history)(document, builder.types)
        g = document.graph(graph)
        if links:
            document = document.with_graph(replace(g, links=tuple(k for k in g.links if k not in links)), graph)
            scratch.document = document
        if names:
            bridge = _bridge(builder, document, document.graph(graph), names) if not links else []
            scratch.remove(names, graph)
            if bridge:
                g = scratch.document.graph(graph)
                scratch.document = scratch.document.with_graph(replace(g, links=(*g.links, *bridge)), graph)
        if notes:
            scratch.remove_notes(notes)
        return scratch.document

    words = ", ".join(names[:3]) or ("link" if links else "note")
    history.do(f"Remove {words}", change)
    return {}


def _bridge(builder: ModelBuilder, document: Document, g: ModelGraph, names: list[str]) -> list[Link]:
    """When one block is taken out of a chain, what fed it feeds what followed, if the shapes are the same."""
    if len(names) != 1:
        return []
    into, out = g.into(names[0]), g.out_of(names[0])
    if len(into) != 1 or not out:
        return []
    shapes = builder.shapes().get(g.name)
    if shapes is None:
        return []
    came = shapes.of(into[0])
    if came is None or any(shapes.of(k) is None or shapes.of(k).shape != came.shape for k in out):  # type: ignore[union-attr]
        return []
    return [replace(k, source=into[0].source, output=into[0].output) for k in out]


def _set(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    block, name, value = message["block"], message["name"], message.get("value")
    if message.get("reset"):
        builder.history.reset(block, name, graph)
    else:
        found = builder.types[builder.document.graph(graph)[block].type]
        if not found.has(name):
            raise DataError(f"{found.name} has no setting {name!r}.")
        wrong = found.property(name).check(value)
        if wrong:
            raise DataError(wrong + ".")
        builder.history.set(block, name, value, graph)
    return {}


def _move(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    spots = {str(n): _spot(p) or (0.0, 0.0) for n, p in message.get("positions", {}).items()}
    notes = {int(n): _spot(p) or (0.0, 0.0) for n, p in message.get("notes", {}).items()}
    builder.history.place(spots, notes, graph, message.get("drag"))
    return {}


def _rename(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    builder.rename(message["block"], message["name"], graph)
    return {"select": [message["name"]]}


def _comment(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    builder.history.comment(message["block"], str(message["text"]), graph)
    return {}


def _share(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    builder.history.share(message["block"], message.get("owner"), graph)
    return {}


def _repair(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    """Do the repair of that number that a block's problem offers."""
    name = graph or builder.document.name
    shapes = builder.shapes()[name]
    problem = next((p for p in shapes.problems if p.block == message["block"]), None)
    if problem is None or not 0 <= int(message["number"]) < len(problem.repairs):
        raise DataError("This repair is no longer needed.")
    return _do_repair(builder, problem.repairs[int(message["number"])], graph)


def _do_repair(builder: ModelBuilder, repair: Repair, graph: str | None) -> Answer:
    if repair.action == "train":
        builder.set_training(repair.property, repair.value)
        return {}
    if repair.action == "fetch":  # a network takes longer than a page waits: how it goes is said in the panel
        threading.Thread(target=_fetch, args=(builder, repair.value), name="mlkit-builder-fetch", daemon=True).start()
        return {"said": repair.words}
    made: list[str] = []

    def change(document: Document) -> Document:
        before = {b.name for b in document.graph(graph).blocks}
        document = apply_repair(document, repair, graph)
        g = document.graph(graph)
        made[:] = [b.name for b in g.blocks if b.name not in before]
        return document.with_graph(make_room(g, made), graph) if made else document

    builder.history.do(repair.words, change)
    return {"select": made or ([repair.block] if repair.block else []), "room": bool(made)}


def _fetch(builder: ModelBuilder, data: str) -> None:
    with contextlib.suppress(Exception):  # the panel says what went wrong
        builder.fetch(data)


# --- parts -----------------------------------------------------------------------------------------------------------------


def _paste(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    return {"select": builder.history.paste(message["text"], _spot(message.get("position")), graph)}


def _group(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    """Make blocks a sub-graph, laid out, with the shapes that come in now."""
    title = str(message.get("title") or "Part")
    history = builder.history
    made: list[str] = []

    def change(document: Document) -> Document:
        scratch = type(history)(document, builder.types)
        made[:] = [scratch.group([str(n) for n in message["blocks"]], title, 1, graph)]
        document = scratch.document
        inner = document.graph(document.graph(graph)[made[0]].properties["graph"])
        outer = builder.shapes().get(graph or document.name)
        shapes: dict[str, list] = {}
        for link in document.graph(graph).into(made[0]):
            value = outer.values.get((link.source, link.output)) if outer else None
            if value is not None and not value.parts and all(isinstance(n, int) or n == "batch" for n in value.shape):
                shapes[link.input] = list(value.shape)
        blocks = tuple(replace(b, properties={**b.properties, "shape": shapes[b.name]}) if b.name in shapes else b
                       for b in inner.blocks)  # fmt: skip
        return document.with_graph(arrange(replace(inner, blocks=blocks)), inner.name)

    history.do(f"Make {title}", change)
    return {"select": made}


def _ungroup(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    return {"select": builder.history.ungroup(message["block"], graph)}


def _arrange(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    builder.history.do("Arrange", lambda d: d.with_graph(arrange(d.graph(graph)), graph))
    return {"fit": True}


def _title(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    builder.history.title(str(message["name"]), graph)
    return {}


def _note(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    if "number" in message:
        builder.history.set_note(int(message["number"]), str(message["text"]))
        return {}
    number = builder.history.add_note(str(message.get("text", "")), _spot(message.get("position")) or (0, 0), graph)
    return {"note": number}


def _template(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    name = message["name"]
    if name not in templates.TEMPLATES:
        raise DataError(f"There is no template {name!r}.", f"there are: {', '.join(templates.TEMPLATES)}")
    made = templates.TEMPLATES[name]()
    if builder.document.training:
        made = replace(made, training=builder.document.training)
    builder.history.replace(arrange_document(made), f"Template {name}")
    return {"fit": True}


# --- history, code, training, questions ------------------------------------------------------------------------------------


def _undo(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    return {"said": builder.history.undo()}


def _redo(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    return {"said": builder.history.redo()}


def _code(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    text = message["text"]
    if not isinstance(text, str):
        raise DataError("Code is a text.")
    builder.read(text)
    return {}


def _library(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    if message["name"] not in LIBRARIES:
        raise DataError(f"Code is written for {', '.join(map(repr, LIBRARIES))}, not for {message['name']!r}.")
    builder.library = message["name"]
    return {}


def _training(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    builder.set_training(message["name"], message.get("value"))
    return {}


def _overcome(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    """Do the repair of an objection against training."""
    found = builder.objections()
    number = int(message["number"])
    repair = found[number].repair if 0 <= number < len(found) else None
    if repair is None:
        raise DataError("This repair is no longer needed.")
    return _do_repair(builder, repair, None)


def _fits(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    """Which blocks fit behind an output (or before an input, where all that give something may)."""
    if message.get("source") is not None:
        value = _value(builder, graph, message["source"], message.get("output") or "output")
        if value is not None and not value.parts:
            return {"fits": fits(value, builder.types, _memory(builder))}
        named = [b for b in builder.types if (b.inputs or b.variadic) and b.kind not in ("data", "graph")]
    else:
        named = [b for b in builder.types if b.outputs and b.kind not in ("data", "graph", "output")]
    place = {name: i for i, name in enumerate(FAVOURITES)}
    return {"fits": sorted((b.name for b in named), key=lambda name: (place.get(name, len(place)), name))}


def _memory(builder: ModelBuilder) -> dict:
    return builder.__dict__.setdefault("_fitting", {})


def _steer(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    run = builder.run
    what = message["what"]
    if what not in ("pause", "resume", "stop"):
        raise DataError(f"A training has no {what!r}.")
    if run is None or run.done:
        raise DataError("No training is under way.")
    if what == "stop":
        run.stop(wait=False)
    else:
        getattr(run, what)()
    return {}


def _save(builder: ModelBuilder, message: dict, graph: str | None) -> Answer:
    if builder.path is None:
        path = Path(f"{builder.document.name}.mlmodel.json")
        if path.exists():
            raise DataError(f"There is a file {path} already.", hint=f'Choose: builder.save("another-name") or '
                            f'builder.save("{builder.document.name}").')  # fmt: skip
        builder.save(path)
    else:
        builder.save()
    return {"said": f"Saved {builder.path}"}


_STEPS: dict[str, Callable[[ModelBuilder, dict, str | None], Answer | None]] = {
    "add": _add, "connect": _connect, "disconnect": _disconnect, "remove": _remove, "set": _set, "move": _move,
    "rename": _rename, "comment": _comment, "share": _share, "repair": _repair, "paste": _paste, "group": _group,
    "ungroup": _ungroup, "arrange": _arrange, "title": _title, "note": _note, "template": _template, "undo": _undo,
    "redo": _redo, "code": _code, "library": _library, "training": _training, "overcome": _overcome, "fits": _fits,
    "steer": _steer, "save": _save,
}  # fmt: skip
