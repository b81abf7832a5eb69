"""What ``compiled.explain()`` gives, as HTML: the passes, the loops that were printed, and a picture of the memory plan."""

from __future__ import annotations

from typing import Any

from mlkit.display import svg
from mlkit.display.markup import card, escape, number, plural, scroll, size_of, table

MOST_BUFFERS = 400  # in one picture
MOST_LOOPS = 30


def html(explanation: Any) -> str:
    """An Explanation as a card."""
    words = plural(len(explanation.recordings), "recording")
    head = f'<p class="head"><b>Compiled</b> {escape(explanation.name, 80)} <span class="soft">{words}</span></p>'
    parts = [head]
    for text, place in explanation.eager:
        where = f"<br><code>{escape(place, 200)}</code>" if place else ""
        parts.append(f'<p class="note"><b class="warn">runs eagerly:</b> {escape(text, 400)}{where}</p>')
    if not explanation.recordings and not explanation.eager:
        parts.append('<p class="note">not called yet</p>')
    for r in explanation.recordings:
        parts.append(_recording(r))
    return card("compiled", *parts)


def _recording(r: Any) -> str:
    arguments = ", ".join(r.arguments) or "no tensors"
    title = f'<b>{escape(arguments, 200)}</b> <span class="soft">{plural(r.replays, "replay")}</span>'
    rows = [("recorded", "", number(r.recorded))]
    rows += [(escape(name, 40), number(before), number(after)) for name, before, after in r.passes]
    inside = [scroll(table(rows, ("pass", "operations before", "after"), numeric=(1, 2)), "passes")]
    for part in r.parts:
        inside.append(_part(part, r.eager_peak))
    return f"<details open><summary>{title}</summary>{''.join(inside)}</details>"


def _part(part: Any, eager_peak: int) -> str:
    loops = sum(x["uses"] for x in part.loops)
    words = (
        f"{plural(part.operations, 'call')}, {number(loops)} of them fused loops; at most {size_of(part.peak)} at once"
        f" (each result by itself: {size_of(eager_peak)})"
    )
    out = [f'<p><b>{escape(part.name, 40)}</b> <span class="soft">{words}</span></p>']
    if part.buffers:
        drawing, alt, width, height = memory(part)
        out.append(scroll(svg.embed(drawing, alt, width, height), "memory plan"))
    if part.loops:
        shown = "".join(
            f'<details><summary class="soft">{escape(", ".join(x["ops"]), 120)}, {plural(x["uses"], "use")}'
            f"{' at ' + escape(x['line'], 60) if x['line'] else ''}</summary>"
            f"{scroll('<pre>' + escape(x['source']) + '</pre>', 'source of the loop')}</details>"
            for x in part.loops[:MOST_LOOPS]
        )
        more = len(part.loops) - MOST_LOOPS
        note = f'<p class="note">and {number(more)} more</p>' if more > 0 else ""
        out.append(
            f'<details><summary class="soft">{plural(len(part.loops), "fused kernel")}</summary>{shown}{note}</details>'
        )
    source = scroll(f"<pre>{escape(part.source, 20000)}</pre>", "the program")
    out.append(f'<details><summary class="soft">the program, one call a line</summary>{source}</details>')
    return "".join(out)


def memory(part: Any, width: int = 560, height: int = 220) -> tuple[str, str, float, float]:
    """(SVG document, words, width, height): a box per buffer, operations to the right, the block's bytes downwards."""
    left, top, right, bottom = 56.0, 24.0, width - 8.0, height - 26.0
    shown = sorted(part.buffers, key=lambda b: -b["bytes"])[:MOST_BUFFERS]
    steps, block = max(part.operations, 1), max(part.block, 1)
    boxes = []
    for i, b in enumerate(sorted(shown, key=lambda b: b["first"])):
        x = left + (right - left) * b["first"] / steps
        wide = max((right - left) * (b["last"] - b["first"] + 1) / steps, 1.0)
        y = top + (bottom - top) * b["offset"] / block
        tall = max((bottom - top) * b["bytes"] / block, 0.7)
        boxes.append(
            f'<rect x="{x:.4g}" y="{y:.4g}" width="{wide:.4g}" height="{tall:.4g}" '
            f'style="fill:var(--s{i % 3});stroke:var(--ground);stroke-width:.5;opacity:.85"/>'
        )
    frame = f'<rect class="g" x="{left}" y="{top}" width="{right - left:g}" height="{bottom - top:g}"/>'
    words = [
        svg.text(8, 15, f"{len(part.buffers)} buffers in one block of {size_of(part.block)}", "b"),
        svg.text(left - 6, top + 10, "0", "e"),
        svg.text(left - 6, bottom, size_of(part.block), "e"),
        svg.text(left, height - 8, "first operation"),
        svg.text(right, height - 8, f"operation {steps}", "e"),
    ]
    alt = (
        f"Memory plan of {part.name}: {len(part.buffers)} buffers share a block of {size_of(part.block)} over "
        f"{steps} operations."
    )
    return svg.document(width, height, frame + "".join(boxes) + "".join(words)), alt, width, height
