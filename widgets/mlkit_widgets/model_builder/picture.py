"""The canvas as a still picture for saved notebooks: blocks at their places, shapes on the links."""

from __future__ import annotations

from typing import Any

from mlkit_widgets._svg import document as svg
from mlkit_widgets._svg import shorten, text

WIDTH, HEIGHT = 200.0, 56.0
MOST = 300
"""Blocks drawn at most; a larger picture is for the live view."""


def draw(document: Any, shapes: Any, types: Any) -> str:
    """The main graph of a document as an SVG."""
    graph = document.main
    blocks = graph.blocks[:MOST]
    total = shapes.total
    heading = f"{len(graph.blocks):,} block{'' if len(graph.blocks) == 1 else 's'}, {total.parameters:,} parameters"
    if shapes.problems:
        heading += f", {len(shapes.problems)} problem{'' if len(shapes.problems) == 1 else 's'}"
    body = [text(18, 27, shorten(graph.name, 40), 15, font_weight="600"), text(18, 44, heading, 12, "var(--quiet)")]
    if not blocks:
        body.append(text(18, 78, "An empty canvas.", 12.5, "var(--quiet)"))
        return svg(420, 100, f"Model {graph.name}: empty", "".join(body))
    left = min(b.position[0] for b in blocks)
    top = min(b.position[1] for b in blocks)
    spots = {b.name: (b.position[0] - left + 18, b.position[1] - top + 62) for b in blocks}
    wrong = {p.block for p in shapes.problems}
    for link in graph.links:
        if link.source not in spots or link.target not in spots:
            continue
        x1, y1 = spots[link.source][0] + WIDTH / 2, spots[link.source][1] + HEIGHT
        x2, y2 = spots[link.target][0] + WIDTH / 2, spots[link.target][1]
        bend = max(18.0, abs(y2 - y1) / 2)
        bad = link.target in wrong
        colour = "#c0392b" if bad else "var(--quiet)"
        body.append(f'<path d="M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}" '
                    f'fill="none" stroke="{colour}" stroke-width="1.3"{" stroke-dasharray=" + chr(34) + "4 3" + chr(34) if bad else ""}/>')  # fmt: skip
        value = shapes.of(link)
        if value is not None and not value.parts:
            words = "×".join("N" if n == "batch" else str(n).replace("batch", "N") for n in value.shape)
            body.append(text((x1 + x2) / 2 + 6, (y1 + y2) / 2 + 4, words, 11, "var(--quiet)"))
    for block in blocks:
        x, y = spots[block.name]
        kind = types[block.type].kind
        fill = {"module": "var(--module)", "input": "var(--io)", "output": "var(--io)"}.get(kind, "var(--op)")
        edge = "#c0392b" if block.name in wrong else "var(--quiet)"
        body.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{WIDTH:g}" height="{HEIGHT:g}" rx="8" fill="{fill}" '
                    f'stroke="{edge}"/>')  # fmt: skip
        title = str(block.properties.get("graph")) if block.type == "Graph" else block.type
        times = int(block.properties.get("repeat", 1) or 1) if block.type == "Graph" else 1
        title = shorten(title, 22) + (f" × {times}" if times > 1 else "")
        body.append(text(x + 12, y + 23, title, 12.5, font_weight="600"))
        body.append(text(x + 12, y + 41, shorten(block.name, 28), 11, "var(--quiet)"))
        cost = shapes.costs.get(block.name)
        if cost is not None and cost.parameters:
            body.append(text(x + WIDTH - 10, y + 41, f"{cost.parameters:,}", 11, "var(--quiet)", text_anchor="end"))
    width = max(x for x, _ in spots.values()) + WIDTH + 18
    height = max(y for _, y in spots.values()) + HEIGHT + 18
    return svg(max(320.0, width), height, f"Model {graph.name}: {heading}", "".join(body))
