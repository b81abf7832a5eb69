"""A graph as a still picture, laid out without a browser: rows by how far from the input, open modules as frames.

The graph is the one that the page shows (`places.with_places`): runs of like blocks are one box, what raised is red.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mlkit_widgets._svg import document, shorten, text

GAP_X, GAP_Y, PAD, HEADER = 24.0, 40.0, 14.0, 28.0
MOST = 120
"""Boxes drawn at most in one module; a larger picture is for the live view."""
WHOLE = 300
"""Boxes drawn at most altogether."""


@dataclass
class Box:
    """Something with a place: an operation, a closed module, an input or output, or an open module with its inside."""

    id: str
    title: str
    subtitle: str = ""
    kind: str = "op"
    bad: bool = False
    times: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    inside: list[Box] = field(default_factory=list)
    wires: list[tuple[Box, Box, str]] = field(default_factory=list)


def draw(graph: dict[str, Any], open: Iterable[str] = ()) -> str:
    """The graph's document as an SVG, with the modules in `open` unfolded."""
    index = Index(graph)
    opened, closed = index.fitting(set(open))
    root = _level(index, "", opened)
    said = _trouble(graph)
    width = max(320.0, root.width + 40, 6.4 * len(said) + 40)
    height = root.height + 74 + (18 if said else 0)
    title = f"Graph of {graph['name']}"
    root.x, root.y = (width - root.width) / 2, 74.0 if said else 56.0
    count = len(graph["nodes"])
    words = f"{count:,} operation{'s' if count != 1 else ''}"
    if closed:
        words += f"; {closed:,} open module{'s are' if closed != 1 else ' is'} drawn closed here"
    if index.cut:
        words += f"; the first {MOST} boxes of {index.cut:,}"
    body = [
        text(18, 27, shorten(graph["name"], 40), 15, font_weight="600"),
        text(18, 44, words, 12, "var(--quiet)"),
    ]
    if said:
        body.append(text(18, 63, said, 12, "var(--bad)", font_weight="600"))
    _paint(root, 0.0, 0.0, body)
    return document(width, height, title, "".join(body))


def _trouble(graph: dict[str, Any]) -> str:
    """What went wrong in one line, "" when nothing did."""
    if graph.get("error"):
        words = str(graph["error"].get("message") or "").partition("\n")[0]
        return shorten(f"✕ {graph['error'].get('type', 'Error')}: {words}", 110)
    words = (graph.get("trouble") or {}).get("words", "")
    return shorten(f"⚠ {words}", 110) if words else ""


def _place(node: dict[str, Any]) -> str:
    return node.get("place", node["module"])


def _inside(path: str, level: str) -> bool:
    return not level or path == level or path.startswith(level + ".")


def _item(level: str, node: dict[str, Any]) -> str | None:
    path = _place(node)
    if not _inside(path, level):
        return None
    if path == level:
        return f"n:{node['id']}"
    rest = path[len(level) + 1 :] if level else path
    head = rest.split(".", 1)[0]
    return f"m:{level}.{head}" if level else f"m:{head}"


class Index:
    """The graph's parts by their ids, made once for a picture."""

    def __init__(self, graph: dict[str, Any]):
        self.values = {value["id"]: value for value in graph["values"]}
        self.nodes = {node["id"]: node for node in graph["nodes"]}
        self.modules = {module.get("place", module["path"]): module for module in graph["modules"]}
        self.producer = {output: node for node in graph["nodes"] for output in node["outputs"]}
        self.outputs = set(graph["outputs"])
        self.bad = graph.get("failed") or (graph.get("trouble") or {}).get("node")
        self.where = _place(self.nodes[self.bad]) if self.bad in self.nodes else None
        self.cut = 0
        self.inside: dict[str, list[dict[str, Any]]] = {"": []}
        for node in graph["nodes"]:
            parts = _place(node).split(".") if _place(node) else []
            for end in range(len(parts) + 1):
                self.inside.setdefault(".".join(parts[:end]), []).append(node)

    def fitting(self, wanted: set[str]) -> tuple[set[str], int]:
        """Of the modules to open as many as a still picture can hold, outer ones first; and how many stay closed."""
        chosen: set[str] = set()
        boxes = len({_item("", node) for node in self.inside[""]})
        left = 0
        for path in sorted((p for p in wanted if p in self.inside), key=lambda p: (p.count("."), p)):
            own = len({_item(path, node) for node in self.inside[path]})
            above = path.rpartition(".")[0]
            if boxes + own > WHOLE or (above and above not in chosen):
                left += 1
                continue
            boxes += own
            chosen.add(path)
        return chosen, left


def _level(index: Index, level: str, open: set[str]) -> Box:
    values, nodes, modules, producer = index.values, index.nodes, index.modules, index.producer
    bad, where = index.bad, index.where
    boxes: dict[str, Box] = {}
    wires: dict[tuple[str, str], str] = {}

    def box(key: str) -> Box:
        if key not in boxes:
            kind, name = key.split(":", 1)
            if kind == "n":
                boxes[key] = Box(key, shorten(nodes[name]["op"], 30), bad=name == bad)
            elif kind == "m" and name in open:
                boxes[key] = _level(index, name, open)
            elif kind == "m":
                module = modules.get(name, {"type": "", "path": name})
                fold = module.get("fold") or {}
                weights = f" · {module['parameters']:,} parameters" if module.get("parameters") else ""
                label = shorten(fold.get("type") or module.get("type") or name.rsplit(".", 1)[-1], 30)
                if fold:
                    label += f" × {fold['times']}"
                broken = where is not None and _inside(where, name)
                boxes[key] = Box(
                    key, label, shorten(module["path"] + weights, 44), "module", broken, fold.get("times", 0)
                )
            else:
                fallback = "input" if kind == "in" else "output"
                boxes[key] = Box(key, shorten(values[name].get("name") or fallback, 24), kind="port")
        return boxes[key]

    def connect(source: str, target: str, value: str) -> None:
        box(source)
        box(target)
        wires.setdefault((source, target), "×".join(map(str, values[value]["shape"])) or "scalar")

    for node in index.inside.get(level, ()):
        here = _item(level, node)
        if here is None:
            continue
        if here not in boxes and len(boxes) >= MOST:
            index.cut = max(index.cut, len(index.inside[level]))
            break
        box(here)
        for value in node["inputs"]:
            maker = producer.get(value)
            there = _item(level, maker) if maker else None
            if there is not None and there != here:
                connect(there, here, value)
            elif maker is None and not level and values[value]["kind"] == "input":
                connect(f"in:{value}", here, value)
        if not level:
            for value in node["outputs"]:
                if value in index.outputs:
                    connect(here, f"out:{value}", value)
    return _arrange(level, modules, list(boxes.values())[:MOST], wires)


def _arrange(level: str, modules: dict[str, Any], boxes: list[Box], wires: dict[tuple[str, str], str]) -> Box:
    """Rows by the longest way from the start, ordered by where their makers stand."""
    known = {box.id: box for box in boxes}
    links = [(a, b, label) for (a, b), label in wires.items() if a in known and b in known]
    row = dict.fromkeys(known, 0)
    for _ in range(len(known)):  # a module that is called twice can make a loop, so the number of rounds is bounded
        moved = False
        for a, b, _label in links:
            if row[b] < row[a] + 1 <= len(known):
                row[b] = row[a] + 1
                moved = True
        if not moved:
            break
    rows: dict[int, list[Box]] = {}
    for box in boxes:
        if not box.width:
            box.width = max(84.0, 7.4 * len(box.title) + 28, 6.2 * len(box.subtitle) + 24)
            box.height = 42.0 if box.subtitle else 27.0
        rows.setdefault(row[box.id], []).append(box)
    place: dict[str, float] = {}
    y = 0.0
    width = max((sum(b.width for b in r) + GAP_X * (len(r) - 1) for r in rows.values()), default=0.0)
    for number in sorted(rows):
        line = rows[number]
        makers = {box.id: [place[a] for a, b, _l in links if b == box.id and a in place] for box in line}
        line.sort(key=lambda box: sum(makers[box.id]) / len(makers[box.id]) if makers[box.id] else 0.0)
        x = (width - sum(box.width for box in line) - GAP_X * (len(line) - 1)) / 2
        for box in line:
            box.x, box.y = x, y
            place[box.id] = x + box.width / 2
            x += box.width + GAP_X
        y += max(box.height for box in line) + GAP_Y
    height = max(0.0, y - GAP_Y)
    drawn = [(known[a], known[b], label) for a, b, label in links]
    if not level:
        return Box("", "", kind="root", width=width, height=height, inside=boxes, wires=drawn)
    for box in boxes:
        box.x += PAD
        box.y += HEADER
    module = modules.get(level, {})
    fold = module.get("fold") or {}
    kind = f"{fold['type']} × {fold['times']}" if fold else module.get("type") or level.rsplit(".", 1)[-1]
    title = shorten(f"{kind}  {module.get('path', level)}", 44)
    frame = Box(f"m:{level}", title, kind="open", inside=boxes, wires=drawn)
    frame.width = max(width + 2 * PAD, 7.4 * len(title) + 2 * PAD)
    frame.height = height + HEADER + PAD
    return frame


def _paint(box: Box, left: float, top: float, out: list[str]) -> None:
    x, y = left + box.x, top + box.y
    if box.kind in ("root", "open"):
        if box.kind == "open":
            out.append(_rect(x, y, box.width, box.height, 9, "var(--module)", "var(--line)"))
            out.append(text(x + PAD, y + 18, box.title, 12, font_weight="600"))
        for a, b, label in box.wires:
            x1, y1 = x + a.x + a.width / 2, y + a.y + a.height
            x2, y2 = x + b.x + b.width / 2, y + b.y
            bend = max(10.0, abs(y2 - y1) / 2)
            out.append(f'<path d="M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}" '
                       'fill="none" stroke="var(--quiet)" stroke-width="1.3"/>')  # fmt: skip
            out.append(
                f'<path d="M{x2 - 4:.1f} {y2 - 6:.1f}L{x2:.1f} {y2:.1f}L{x2 + 4:.1f} {y2 - 6:.1f}z" fill="var(--quiet)"/>'
            )
            out.append(text((x1 + x2) / 2 + 6, (y1 + y2) / 2 + 3, label, 11, "var(--quiet)"))
        for inner in box.inside:
            _paint(inner, x, y, out)
        return
    fill, radius = {"module": ("var(--module)", 8), "port": ("var(--io)", 13)}.get(box.kind, ("var(--op)", 13))
    edge = "var(--bad)" if box.bad else "var(--quiet)"
    for behind in (6, 3) if box.times else ():
        out.append(_rect(x + behind, y + behind, box.width, box.height, radius, fill, edge))
    out.append(_rect(x, y, box.width, box.height, radius, fill, edge, 2.2 if box.bad else 1.0))
    middle = x + box.width / 2
    out.append(text(middle, y + 18, box.title, 12.5, font_weight="600", text_anchor="middle"))
    if box.subtitle:
        out.append(text(middle, y + 34, box.subtitle, 11, "var(--quiet)", text_anchor="middle"))


def _rect(
    x: float, y: float, width: float, height: float, radius: float, fill: str, stroke: str, thick: float = 1.0
) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:g}" '
        f'fill="{fill}" stroke="{stroke}"' + (f' stroke-width="{thick:g}"/>' if thick != 1 else "/>")
    )
