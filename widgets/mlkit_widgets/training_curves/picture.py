"""The curves of a run as a still picture: what a saved notebook shows when there is no kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlkit_widgets._svg import document, nice_ticks, number, shorten, text

WIDTH, PANEL, TOP, BOTTOM = 900.0, 190.0, 54.0, 30.0
POINTS = 240
"""Points drawn of a curve; more would not be seen."""

LAST = ("lr",)
FIRST = ("loss", "accuracy")
LOSSES = ("loss", "error", "perplexity", "mse", "mae", "rmse")
TITLES = {"lr": "learning rate"}


def families(names: Sequence[str], wanted: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Series grouped by what they measure: train and validation of one metric belong together.

    >>> families(["lr", "train/accuracy", "train/loss", "valid/loss"])
    {'loss': ['train/loss', 'valid/loss'], 'accuracy': ['train/accuracy'], 'lr': ['lr']}
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(name.rsplit("/", 1)[-1], []).append(name)

    def place(family: str) -> tuple[int, str]:
        if family in FIRST:
            return FIRST.index(family), family
        return (99 if family in LAST else 50), family

    order = [family for family in wanted if family in groups] if wanted is not None else sorted(groups, key=place)
    return {family: groups[family] for family in order}


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average without the pull of a first guess; NaN passes by. values: float64 [n] -> [n]."""
    result = np.empty_like(values)
    total = scale = 0.0
    for index, value in enumerate(values):
        if np.isfinite(value):
            total = total * weight + (1 - weight) * value
            scale = scale * weight + (1 - weight)
        result[index] = total / scale if scale else np.nan
    return result


def thin(x: np.ndarray, y: np.ndarray, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most `points` points that keep every peak: the lowest and highest of each stretch."""
    if len(x) <= points:
        return x, y
    keep: set[int] = {0, len(x) - 1}
    for part in np.array_split(np.arange(len(x)), max(1, points // 2 - 1)):
        finite = part[np.isfinite(y[part])]
        if len(finite):
            keep.update((int(finite[y[finite].argmin()]), int(finite[y[finite].argmax()])))
    index = np.array(sorted(keep))
    return x[index], y[index]


def draw(source: Any, *, metrics: Sequence[str] | None, x: str, smoothing: float, log_y: bool) -> str:
    """The run behind `source` as an SVG document."""
    status = source.status()
    state = str(status.get("state") or "ready")
    groups = families(source.names(), metrics)
    columns = max(1, min(3, len(groups)))
    rows = max(1, -(-len(groups) // columns))
    height = TOP + rows * PANEL + 8
    title = shorten(str(source.title), 60)
    body = [text(18, 26, title, 15, font_weight="600"), text(18, 43, progress_line(status), 12, "var(--quiet)")]
    if status.get("error"):
        body.append(text(WIDTH - 18, 43, shorten(str(status["error"]).strip().splitlines()[-1], 80), 12,
                         "var(--valid)", text_anchor="end"))  # fmt: skip
    if not groups:
        body.append(text(WIDTH / 2, TOP + PANEL / 2, "Nothing has been recorded yet.", 13, "var(--quiet)",
                         text_anchor="middle"))  # fmt: skip
    per_epoch = steps_per_epoch(status)
    width = (WIDTH - 20) / columns
    for index, (family, names) in enumerate(groups.items()):
        left, top = 10 + (index % columns) * width, TOP + (index // columns) * PANEL
        body.append(_panel(source, family, names, left, top, width, x, smoothing, log_y, per_epoch))
    return document(WIDTH, height, f"Training curves of {title}: {state}", "".join(body))


def steps_per_epoch(status: dict[str, Any]) -> float | None:
    """How many steps make an epoch, where the run knows its length."""
    steps, epochs = status.get("steps"), status.get("epochs")
    return steps / epochs if steps and epochs else None


def progress_line(status: dict[str, Any]) -> str:
    """Where the run is, in words."""
    state, step, steps = str(status.get("state") or "ready"), status.get("step") or 0, status.get("steps")
    parts = [state]
    if status.get("epochs"):
        under_way = status.get("state") in ("running", "paused", "stopping")  # the status counts those that are done
        parts.append(f"epoch {min((status.get('epoch') or 0) + under_way, status['epochs'])} of {status['epochs']}")
    parts.append(f"step {step:,} of {steps:,}" if steps else f"step {step:,}")
    if status.get("lr"):
        parts.append(f"learning rate {number(status['lr'])}")
    return " · ".join(parts)


def _panel(
    source: Any, family: str, names: list[str], left: float, top: float, width: float, x: str,
    smoothing: float, log_y: bool, per_epoch: float | None,
) -> str:  # fmt: skip
    curves = []
    for name in names:
        _, steps, times, values = source.read(name, 0)
        along = times if x == "time" else steps / per_epoch if x == "epoch" and per_epoch else steps.astype(float)
        kept = np.isfinite(values) & ((values > 0) | (not log_y or family not in LOSSES))
        curves.append((name, along[kept], values[kept]))
    log = log_y and family in LOSSES
    x0, x1, y0, y1 = left + 46, left + width - 10, top + 30, top + PANEL - BOTTOM
    out = [text(left + 8, top + 16, TITLES.get(family, family), 12, font_weight="600")]
    everything = np.concatenate([values for _, _, values in curves]) if curves else np.empty(0)
    if not len(everything):
        return "".join(
            [*out, text((x0 + x1) / 2, (y0 + y1) / 2, "no values", 12, "var(--quiet)", text_anchor="middle")]
        )
    low, high = float(everything.min()), float(everything.max())
    if log:
        low, high = np.log10(low), np.log10(high)
    pad = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    low, high = low - pad, high + pad
    begin = min(float(along.min()) for _, along, _ in curves if len(along))
    end = max(float(along.max()) for _, along, _ in curves if len(along))
    begin, end = (begin, end) if end > begin else (begin - 0.5, begin + 0.5)

    def px(value: Any) -> Any:
        return x0 + (value - begin) / (end - begin) * (x1 - x0)

    def py(value: Any) -> Any:
        return y1 - ((np.log10(value) if log else value) - low) / (high - low) * (y1 - y0)

    for tick in _log_ticks(low, high) if log else nice_ticks(low, high):
        y = y1 - (tick - low) / (high - low) * (y1 - y0)
        out.append(f'<path d="M{x0:.1f} {y:.1f}H{x1:.1f}" stroke="var(--grid)"/>')
        out.append(text(x0 - 6, y + 4, number(10**tick if log else tick), 10, "var(--quiet)", text_anchor="end"))
    for tick in nice_ticks(begin, end):
        if x == "step" and tick != int(tick):
            continue
        out.append(text(px(tick), y1 + 15, number(tick), 10, "var(--quiet)", text_anchor="middle"))
    out.append(text(x1, y1 + 27, {"time": "seconds"}.get(x, x), 10, "var(--quiet)", text_anchor="end"))
    legend = left + width - 10
    for name, along, values in reversed(curves):
        if not len(values):
            continue
        part = name.split("/")[0] if "/" in name else ""
        colour = {"train": "var(--train)", "valid": "var(--valid)"}.get(part, "var(--other)")
        if part == "train" and smoothing > 0 and len(values) > 2:
            out.append(_line(px, py, along, values, colour, 1, 0.3))
            values = smooth(values, smoothing)
        out.append(_line(px, py, along, values, colour, 1.8, 1))
        label = f"{part} {number(float(values[-1]))}".strip()
        out.append(text(legend, top + 16, label, 11, colour, text_anchor="end"))
        legend -= 7 * len(label) + 10
        if part == "valid":
            best = int(values.argmin() if family in LOSSES else values.argmax())
            out.append(f'<circle cx="{float(px(along[best])):.1f}" cy="{float(py(values[best])):.1f}" r="4.5" '
                       f'fill="none" stroke="{colour}" stroke-width="2"/>')  # fmt: skip
    return "".join(out)


def _log_ticks(low: float, high: float) -> list[float]:
    """Logarithms of round numbers between 10**low and 10**high: powers of ten, and 2 and 5 times those if they are few."""
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    factors = (1,) if high - low > 3 else (1, 2, 5)
    ticks = [power + float(np.log10(factor)) for power in powers for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]


def _line(px: Any, py: Any, along: np.ndarray, values: np.ndarray, colour: str, width: float, opacity: float) -> str:
    along, values = thin(along, values)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px(along), py(values), strict=True))
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width:g}" '
        f'stroke-opacity="{opacity:g}" stroke-linejoin="round"/>'
    )
