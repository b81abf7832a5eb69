"""Gradient flow as a still picture: what a saved notebook shows when there is no kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlkit_widgets._svg import document, number, shorten, text

WIDTH, TOP, ROW, MOST = 900.0, 58.0, 20.0, 24
POINTS = 160
LABELS = {
    "gradient": "gradient norm", "weight": "weight norm", "ratio": "update / weight", "dead": "dead units",
    "activation": "spread of activations",
}  # fmt: skip
WORDS = {"vanishing": "vanishing", "exploding": "exploding", "dead": "dead"}


def tint(at: int, count: int) -> str:
    """A layer's colour by its depth: from blue, the first, to orange, the last. The same rule as `tint` in colours.ts."""
    share = at / max(1, count - 1)
    return f"hsl({215 - 190 * share:.0f} 60% 48%)"


def draw(flow: Any, other: Any, quantity: str, layer: str) -> str:
    """The layers with bars of the last values, and their history, as an SVG document."""
    from mlkit.observe.flow.numbers import middle, values_of

    samples, about = flow.samples(), flow.about()
    layers = about.get("layers", ())
    values = values_of(samples, quantity)
    findings = flow.findings()
    flags: dict[str, list[str]] = {}
    for finding in findings:
        for name in finding.layers:
            flags.setdefault(name, []).append(WORDS[finding.kind])
    order = [row for row in about.get("order", ()) if row < values.shape[1] and np.isfinite(values[:, row]).any()]
    now = middle(values[-5:]) if len(values) else np.empty(0)
    title = shorten(f"{flow.title}", 70)
    step = f"step {int(samples.steps[-1]):,}, {len(samples):,} samples" if len(samples) else "nothing recorded yet"
    body = [
        text(18, 26, title, 15, font_weight="600"),
        text(18, 44, f"{LABELS[quantity]} · {step}", 12, "var(--quiet)"),
    ]
    if other is not None:
        body.append(text(WIDTH - 18, 26, f"dashed: {shorten(other.title, 50)}", 11, "var(--quiet)", text_anchor="end"))
    shown = order[:MOST]
    lines = [f"{_title(one.kind)}: {one.sentence}" for one in findings]
    height = TOP + max(7, len(shown)) * ROW + 26 + 18 * len(lines)
    positive = values[:, order][np.isfinite(values[:, order]) & (values[:, order] > 0)] if order else np.empty(0)
    log = quantity != "dead" and len(positive) > 0
    low, high = _decades(positive) if log else (0.0, 1.0)
    if not order:
        words = "Nothing has been recorded yet." if not len(samples) else "No layer has this quantity."
        if flow.waiting:
            words = flow.waiting.split(". ")[0] + "."
        body.append(text(WIDTH / 2, TOP + 70, words, 13, "var(--quiet)", text_anchor="middle"))

    def along(value: float) -> float:
        value = math.log10(value) if log and value > 0 else low if log else value
        return min(1.0, max(0.0, (value - low) / (high - low)))

    for at, row in enumerate(shown):
        y = TOP + at * ROW
        name, value = str(layers[row]["name"]), float(now[row])
        flagged = flags.get(name)
        weight = {"font_weight": "600"} if name == layer else {}
        body.append(text(160, y + 13, shorten(name, 24), 11, "var(--text)", text_anchor="end", **weight))
        if math.isfinite(value):
            body.append(f'<rect x="168" y="{y + 3:.1f}" width="{max(1.0, along(value) * 170):.1f}" height="12" rx="2" '
                        f'fill="{tint(order.index(row), len(order))}"/>')  # fmt: skip
        shown_value = "" if math.isnan(value) else f"{100 * value:.0f} %" if quantity == "dead" else number(value)
        body.append(text(346, y + 13, shown_value, 11))
        if flagged:
            body.append(text(408, y + 13, ", ".join(flagged), 11, "var(--valid)", font_weight="600"))
    if len(order) > MOST:
        body.append(text(168, TOP + MOST * ROW + 12, f"and {len(order) - MOST} more layers", 11, "var(--quiet)"))
    x0, x1, y0, y1 = 520.0, WIDTH - 18, TOP + 4, TOP + max(7, len(shown)) * ROW - 14
    if order and len(samples):
        body.append(_history(samples.steps, values, order, x0, x1, y0, y1, low, high, log, along, layers, layer))
        if other is not None:
            body.append(
                _other(
                    other, quantity, [str(layers[row]["name"]) for row in order], samples.steps, x0, x1, y0, y1, along
                )
            )
    for at, line in enumerate(lines):
        body.append(text(18, height - 16 - 18 * (len(lines) - 1 - at), shorten(line, 140), 12, "var(--valid)"))
    return document(WIDTH, height, f"Gradient flow of {title}: {step}", "".join(body))


def _history(
    steps: np.ndarray, values: np.ndarray, order: list[int], x0: float, x1: float, y0: float, y1: float, low: float,
    high: float, log: bool, along: Any, layers: Any, chosen: str,
) -> str:  # fmt: skip
    out = []
    ticks = range(math.ceil(low), math.floor(high) + 1) if log else (0, 0.5, 1)
    stride = max(1, len(ticks) // 6) if log else 1
    for tick in list(ticks)[::stride]:
        y = y1 - (tick - low) / (high - low) * (y1 - y0)
        out.append(f'<path d="M{x0:.1f} {y:.1f}H{x1:.1f}" stroke="var(--grid)"/>')
        label = number(10.0**tick) if log else f"{100 * tick:.0f} %"
        out.append(text(x0 - 6, y + 4, label, 10, "var(--quiet)", text_anchor="end"))
    first, last = int(steps[0]), max(int(steps[-1]), int(steps[0]) + 1)
    out.append(text(x0, y1 + 15, f"{first:,}", 10, "var(--quiet)"))
    out.append(text(x1, y1 + 15, f"step {int(steps[-1]):,}", 10, "var(--quiet)", text_anchor="end"))
    for at, row in enumerate(order):
        wide = 2.6 if str(layers[row]["name"]) == chosen else 1.3
        out.append(_line(steps, values[:, row], first, last, x0, x1, y0, y1, along, tint(at, len(order)), wide, ""))
    return "".join(out)


def _other(
    other: Any, quantity: str, names: list[str], own: np.ndarray, x0: float, x1: float, y0: float, y1: float, along: Any
) -> str:
    from mlkit.observe.flow.numbers import values_of

    samples, about = other.samples(), other.about()
    values = values_of(samples, quantity)
    first, last = int(own[0]), max(int(own[-1]), int(own[0]) + 1)
    out = []
    for row in about.get("order", ()):
        name = str(about["layers"][row]["name"])
        if name in names and row < values.shape[1]:
            colour = tint(names.index(name), len(names))
            inside = samples.steps <= last
            out.append(
                _line(
                    samples.steps[inside], values[inside, row], first, last, x0, x1, y0, y1, along, colour, 1.2, "4 3"
                )
            )
    return "".join(out)


def _line(
    steps: np.ndarray, values: np.ndarray, first: int, last: int, x0: float, x1: float, y0: float, y1: float,
    along: Any, colour: str, width: float, dash: str,
) -> str:  # fmt: skip
    kept = np.flatnonzero(np.isfinite(values))
    if len(kept) > POINTS:
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, POINTS).round().astype(int))]
    points = " ".join(
        f"{x0 + (int(steps[i]) - first) / (last - first) * (x1 - x0):.1f},{y1 - along(float(values[i])) * (y1 - y0):.1f}"
        for i in kept
    )
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'
        if points
        else ""
    )


def _decades(positive: np.ndarray) -> tuple[float, float]:
    """A range of decimal logarithms that holds these; at most 16 decades, for numbers can be as small as one likes."""
    high = math.ceil(math.log10(float(positive.max())) - 1e-6)  # a float32 that should be 1e-8 is a little beside it
    low = math.floor(math.log10(max(float(positive.min()), 1e-300)) + 1e-6)
    return max(float(low), high - 16.0), max(float(high), low + 1.0)


def _title(kind: str) -> str:
    return {"vanishing": "Vanishing gradients", "exploding": "Exploding gradients", "dead": "Dead units"}[kind]
