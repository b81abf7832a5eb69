"""A recorded graph (``mlkit.compiler.trace``) as a picture: modules as boxes, shapes on the arrows.

Layout is the classic of layered drawing: longest paths give the rows, a few sweeps of averages the order in them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from mlkit.core.frames import file_text
from mlkit.display import svg
from mlkit.display.markup import card, count, escape, number, plural, scroll, shape_text, size_of, table

MIME = "application/vnd.mlkit.graph+json"
MOST_NODES = 1_000  # of a graph that is stored in a notebook
MOST_BOXES = 60
MOST_LETTERS = 36  # in one line of a box


@dataclass
class Box:
    """What is drawn as one rectangle: a module's run of operations, one operation, an input or an output."""

    title: str
    detail: str = ""
    kind: str = "op"  # "op", "module", "input", "output", "bend" (a place where a long arrow passes a row)
    layer: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)


def html(graph: Any) -> str:
    """A Graph (or the dictionary its ``to_dict`` gives) as a card with a picture and a table of its operations."""
    record = graph if isinstance(graph, dict) else _record(graph)
    nodes, modules = record["nodes"], {m["path"]: m for m in record.get("modules", ())}
    root = modules.get("", {})
    words = [plural(len(nodes), "operation")]
    if root.get("parameters"):
        words.append(f"{count(int(root['parameters']))} parameters")
    seconds = sum(float(n.get("seconds") or 0) for n in nodes)
    if seconds:
        words.append(f"{number(seconds * 1e3, 3)} ms")
    head = f'<p class="head"><b>Graph</b> {escape(record.get("name", ""), 80)} <span class="soft">{", ".join(words)}</span></p>'
    if not nodes:
        return card("graph", head, '<p class="note">no operations</p>')
    drawing, alt, width, height, note = draw(record)
    picture = scroll(svg.embed(drawing, alt, width, height), "drawing of the graph", "tall")
    return card("graph", head, picture, note, _operations(record))


def mimebundle(graph: Any) -> dict[str, Any]:
    """The graph's document, which JupyterLab with mlkit's extension draws with modules that open and close.

    Files are named without their folders: a notebook is given to others. Empty for a graph that would swell it.
    """
    record = graph.to_dict()
    if len(record["nodes"]) > MOST_NODES:
        return {}
    for node in record["nodes"]:
        if node["source"]:
            node["source"] = {**node["source"], "file": file_text(str(node["source"].get("file", "")))}
    return {MIME: record}


def _record(graph: Any) -> dict[str, Any]:
    """The graph's document, and which values are views, which the document leaves out."""
    record = graph.to_dict()
    for value in record["values"]:
        value["base"] = graph.values[value["id"]].base
    return record


def _operations(record: dict[str, Any], most: int = 60) -> str:
    values = {v["id"]: v for v in record["values"]}
    rows = []
    for node in record["nodes"][:most]:
        source = node.get("source") or {}
        line = _line_of(str(source.get("file", "")), source.get("line"))
        seconds = node.get("seconds")
        size = sum(_bytes(values.get(v)) for v in node["outputs"])
        rows.append(
            (
                escape(node["op"], 40),
                escape(node.get("module") or "", 60),
                escape(", ".join(_shape(values.get(v)) for v in node["outputs"]), 60),
                number(float(seconds) * 1e3, 3) if seconds else "",
                size_of(size) if size else "",
                escape(line.rpartition("/")[2], 40),
                f"<code>{escape(source.get('code') or '', 80)}</code>",
            )
        )
    more = len(record["nodes"]) - most
    note = f'<p class="note">and {number(more)} more</p>' if more > 0 else ""
    inner = table(rows, ("operation", "module", "output", "ms", "result", "line", "code"), numeric=(3, 4))
    return f'<details><summary class="soft">operations in order</summary>{scroll(inner, "operations in order")}{note}</details>'


def _line_of(file: str, line: Any) -> str:
    if not line:
        return ""
    cell = "ipykernel_" in file or file.startswith("<ipython") or re.fullmatch(r"(.*/)?\d{6,}\.py", file)
    return f"line {line}" if cell else f"{file}:{line}"


def _shape(value: dict[str, Any] | None) -> str:
    if value is None:
        return ""
    dtype = value.get("dtype", "float32")
    return ("" if dtype == "float32" else f"{dtype} ") + shape_text(value.get("shape", ()))


def draw(record: dict[str, Any], most: int = MOST_BOXES) -> tuple[str, str, float, float, str]:
    """(SVG document, words for who does not see it, width, height, a note in HTML)."""
    boxes, edges, note = _boxes(record, most)
    _arrange(boxes, edges)
    width, height = _place(boxes)
    parts = [
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0l8 4l-8 4z" style="fill:var(--soft)"/></marker></defs>'
    ]
    labels, labelled = [], set()
    for (a, b), label in edges.items():
        parts.append(_arrow(boxes, a, b))
        # One label for what leaves a box; inputs and outputs say theirs inside. A bend has said it already.
        if (
            label
            and (a, label) not in labelled
            and boxes[a].kind not in ("input", "bend")
            and boxes[b].kind not in ("output", "bend")
        ):
            labelled.add((a, label))
            labels.append(_arrow_label(boxes[a], boxes[b], label))
    parts += labels
    for box in boxes:
        parts.append(_rectangle(box))
    chain = " then ".join(box.title for box in boxes[:12] if box.kind != "bend")
    alt = f"graph of {len([b for b in boxes if b.kind != 'bend'])} boxes: {chain}"
    return svg.document(width, height, "".join(parts)), alt, width, height, note


# -- boxes and arrows ---------------------------------------------------------------------------------------------------


def _boxes(record: dict[str, Any], most: int) -> tuple[list[Box], dict[tuple[int, int], str], str]:
    nodes = record["nodes"]
    values = {v["id"]: v for v in record["values"]}
    modules = {m["path"]: m for m in record.get("modules", ())}
    deepest = max((n.get("module", "").count(".") + 1 for n in nodes if n.get("module")), default=1)
    for depth in range(deepest, 0, -1):
        runs = _runs(nodes, depth)
        if len(runs) <= most:
            break
    note = ""
    if depth < deepest:
        note = f'<p class="note">modules are drawn down to level {depth} of {deepest}</p>'
    if len(runs) > 2 * most:
        note = f'<p class="note">the first {2 * most} of {number(len(runs))} boxes</p>'
        runs = runs[: 2 * most]
    boxes: list[Box] = []
    made: dict[str, int] = {}
    edges: dict[tuple[int, int], str] = {}
    for value_id in record["inputs"]:
        value = values.get(value_id, {})
        made[value_id] = len(boxes)
        boxes.append(Box(str(value.get("name") or "input"), _shape(value), "input"))
    for path, run in runs:
        me = len(boxes)
        operations = [n["op"] for n in run]
        cost = _cost(run, values)
        if path:
            kind = modules.get(path, {}).get("type", "")
            title = f"{path}: {kind}" if kind else path
            detail = _few(operations) if operations != [kind.lower()] else ""
            whole = ": ".join(part for part in (detail, cost) if part)
            boxes.append(Box(title, whole if len(whole) <= MOST_LETTERS or not cost else cost, "module"))
        else:
            boxes.append(Box(operations[0], cost, "op"))
        for node in run:
            for value_id in node["inputs"]:
                source = made.get(value_id)
                if source is not None and source != me:
                    edges.setdefault((source, me), _shape(values.get(value_id)))
            for value_id in node["outputs"]:
                made[value_id] = me
    for value_id in record["outputs"]:
        source = made.get(value_id)
        if source is not None:
            edges[(source, len(boxes))] = _shape(values.get(value_id))
            boxes.append(
                Box(str(values.get(value_id, {}).get("name") or "output"), _shape(values.get(value_id)), "output")
            )
    return boxes, edges, note


def _cost(run: list[dict[str, Any]], values: dict[str, dict[str, Any]]) -> str:
    """``0.12 ms, 16.0 kB``: the time a box took and the memory of its results, where they were measured."""
    if not any(node.get("seconds") for node in run):
        return ""
    size = sum(_bytes(values.get(v)) for node in run for v in node["outputs"])
    milliseconds = number(1e3 * sum(float(node.get("seconds") or 0) for node in run), 3)
    return f"{milliseconds} ms" + (f", {size_of(size)}" if size else "")


def _bytes(value: dict[str, Any] | None) -> int:
    """The memory of a result; a view of another value takes none."""
    size = 0 if value is None or value.get("base") else value.get("bytes", 0)
    return size if isinstance(size, int) else 0  # of a symbolic size nothing is known


def _runs(nodes: list[dict[str, Any]], depth: int) -> list[tuple[str, list[dict[str, Any]]]]:
    """Consecutive operations of one module (cut to ``depth`` names) together: intervals of the order stay acyclic."""
    runs: list[tuple[str, list[dict[str, Any]]]] = []
    for node in nodes:
        path = ".".join((node.get("module") or "").split(".")[:depth])
        if path and runs and runs[-1][0] == path:
            runs[-1][1].append(node)
        else:
            runs.append((path, [node]))
    return runs


def _few(operations: list[str]) -> str:
    names = list(dict.fromkeys(operations))
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


# -- layout -------------------------------------------------------------------------------------------------------------


def _arrange(boxes: list[Box], edges: dict[tuple[int, int], str]) -> None:
    """Rows by longest path; arrows that pass rows get a bend in each; order in the rows by averages of neighbours."""
    for a, b in sorted(edges, key=lambda edge: edge[1]):  # boxes are in execution order: sources come first
        boxes[b].layer = max(boxes[b].layer, boxes[a].layer + 1)
    for index, box in enumerate(boxes):  # an input used late is drawn just above its use
        uses = [boxes[b].layer for a, b in edges if a == index]
        if box.kind == "input" and uses:
            box.layer = min(uses) - 1
    for (a, b), label in list(edges.items()):
        if boxes[b].layer - boxes[a].layer > 1:
            del edges[(a, b)]
            before = a
            for layer in range(boxes[a].layer + 1, boxes[b].layer):
                boxes.append(Box("", kind="bend", layer=layer))
                edges[(before, len(boxes) - 1)] = label if before == a else ""
                before = len(boxes) - 1
            edges[(before, b)] = ""
    for a, b in edges:
        boxes[a].below.append(b)
        boxes[b].above.append(a)
    for box in boxes:
        box.width = (
            12.0 if box.kind == "bend" else 26 + 6.6 * max(len(_cut(box.title)), 0.86 * len(_cut(box.detail)), 8)
        )


def _cut(words: str, most: int = MOST_LETTERS) -> str:
    return words if len(words) <= most else "…" + words[-(most - 1) :]


def _place(boxes: list[Box], row: float = 66.0, gap: float = 22.0) -> tuple[float, float]:
    layers: dict[int, list[Box]] = {}
    for box in boxes:
        layers.setdefault(box.layer, []).append(box)
    order = sorted(layers)
    for members in layers.values():
        _spread(members, gap)
    for sweep in range(12):
        for layer in order if sweep % 2 == 0 else reversed(order):
            members = layers[layer]
            for box in members:
                near = box.above if sweep % 2 == 0 else box.below
                if near:
                    box.x = sum(boxes[i].x for i in near) / len(near)
            if sweep < 8:
                members.sort(key=lambda box: box.x)
            _apart(members, gap)
    left = min(box.x - box.width / 2 for box in boxes) - 8
    for box in boxes:
        box.x -= left
        box.y = 8 + 19 + (box.layer - order[0]) * row
    width = max(box.x + box.width / 2 for box in boxes) + 8
    # Labels stand to the right of their arrows.
    return max(width, max(box.x + 100 for box in boxes)), 8 + 38 + 8 + (order[-1] - order[0]) * row


def _spread(members: list[Box], gap: float) -> None:
    x = -(sum(box.width for box in members) + gap * (len(members) - 1)) / 2
    for box in members:
        box.x = x + box.width / 2
        x += box.width + gap


def _apart(members: list[Box], gap: float) -> None:
    """Push overlapping boxes apart while keeping their order and, as a whole, their place."""
    wish = [box.x for box in members]
    for left, right in zip(members[:-1], members[1:], strict=True):
        right.x = max(right.x, left.x + (left.width + right.width) / 2 + gap)
    shift = sum(box.x - w for box, w in zip(members, wish, strict=True)) / len(members)
    for box in members:
        box.x -= shift


# -- drawing ------------------------------------------------------------------------------------------------------------


def _arrow(boxes: list[Box], a: int, b: int) -> str:
    start, end = boxes[a], boxes[b]
    y0 = start.y + (0 if start.kind == "bend" else 19)
    y1 = end.y - (0 if end.kind == "bend" else 19)
    middle = (y0 + y1) / 2
    head = "" if end.kind == "bend" else ' marker-end="url(#a)"'
    path = f"M{start.x:.1f} {y0:.1f}C{start.x:.1f} {middle:.1f} {end.x:.1f} {middle:.1f} {end.x:.1f} {y1 - (0 if end.kind == 'bend' else 1):.1f}"
    return f'<path d="{path}" style="fill:none;stroke:var(--soft);stroke-width:1.2"{head}/>'


def _arrow_label(start: Box, end: Box, label: str) -> str:
    # A halo in the ground's colour keeps the words readable where an arrow passes under them.
    halo = ' style="paint-order:stroke;stroke:var(--ground);stroke-width:4px"'
    # Where arrows part or meet, the words stand on the outer side, so that they cover no other arrow.
    left = (len(start.below) > 1 and end.x < start.x - 4) or (len(end.above) > 1 and start.x < end.x - 4)
    x, y = (start.x + end.x) / 2, (start.y + end.y) / 2 + 4
    return svg.text(x - 16, y, label, "e", extra=halo) if left else svg.text(x + 7, y, label, extra=halo)


_FILL = {"input": "--s2", "output": "--s1", "module": "--s0", "op": "--soft"}


def _rectangle(box: Box) -> str:
    if box.kind == "bend":
        return ""
    x, y, radius = box.x - box.width / 2, box.y - 19, 17 if box.kind in ("input", "output") else 5
    colour = _FILL[box.kind]
    title_y = box.y + (-2 if box.detail else 4)
    out = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="38" rx="{radius}" '
        f'style="fill:var(--faint);stroke:var({colour});stroke-width:1.4"/>'
    )
    out += svg.text(box.x, title_y, _cut(box.title), "b m")
    if box.detail:
        out += svg.text(box.x, box.y + 12, _cut(box.detail), "m")
    return out
