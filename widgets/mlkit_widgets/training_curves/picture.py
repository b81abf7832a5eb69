"""The curves of runs as a still picture: what a saved notebook shows when there is no kernel, and what is exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mlkit_widgets._svg import document, nice_ticks, number, shorten, text
from mlkit_widgets.training_curves.following import Following, families, is_loss, steps_per_epoch, usual, window

WIDTH, PANEL, TOP, BOTTOM, ROW = 900.0, 190.0, 54.0, 30.0, 18.0
POINTS = 240
"""Points drawn of a curve; more would not be seen."""
COLOURS = 8
TITLES = {"lr": "learning rate"}


class Curve(NamedTuple):
    """One line of a panel."""

    label: str
    colour: str
    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    smooth: bool
    best: tuple[float, float] | None


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


def draw(
    runs: Sequence[Following], *, metrics: Sequence[str] | None, x: str, smoothing: float, log_y: bool,
    log_x: bool = False, zoom: Sequence[float] | None = None, theme: str | None = None,
) -> str:  # fmt: skip
    """The runs as an SVG document."""
    several = len(runs) > 1
    panels = _panels(runs, metrics, several)
    columns = max(1, min(3, len(panels)))
    top = TOP + (ROW * len(runs) - 4 if several else 0)
    height = top + max(1, -(-len(panels) // columns)) * PANEL + 8
    body, title = _heading(runs)
    if not panels:
        words = "Nothing has been recorded yet." if runs else "No run is shown."
        body.append(text(WIDTH / 2, top + PANEL / 2, words, 13, "var(--quiet)", text_anchor="middle"))
    width = (WIDTH - 20) / columns
    for index, (heading, family, lines) in enumerate(panels):
        place = (10 + (index % columns) * width, top + (index // columns) * PANEL, width)
        curves = [one for run, name, label, colour in lines
                  if (one := _curve(run, name, label, colour, family, x, zoom, several, runs)) is not None]  # fmt: skip
        body.append(_panel(heading, curves, place, x, smoothing, log_x, log_y, zoom))
    return document(WIDTH, height, title, "".join(body), theme)


def _heading(runs: Sequence[Following]) -> tuple[list[str], str]:
    """What is shown, in words: (the drawing of it, the document's title)."""
    if len(runs) == 1:
        status = runs[0].source.status()
        title = shorten(str(runs[0].source.title), 60)
        body = [text(18, 26, title, 15, font_weight="600"), text(18, 43, progress_line(status), 12, "var(--quiet)")]
        if status.get("error"):
            body.append(text(WIDTH - 18, 26, shorten(str(status["error"]).strip().splitlines()[0], 70), 12,
                             "var(--valid)", text_anchor="end"))  # fmt: skip
        return body, f"Training curves of {title}: {status.get('state') or 'ready'}"
    body = [text(18, 26, f"{len(runs)} runs", 15, font_weight="600")]
    for index, run in enumerate(runs):
        y = 46 + ROW * index
        body.append(f'<path d="M18 {y - 4:.0f}h16" stroke="{colour_of(run)}" stroke-width="3"/>')
        body.append(text(40, y, shorten(str(run.source.title), 48), 12))
        body.append(text(400, y, progress_line(run.source.status()), 12, "var(--quiet)"))
    return body, f"Training curves of {len(runs)} runs"


def colour_of(run: Following) -> str:
    """Each run has a colour of its own, as in the live view."""
    return f"var(--run-{int(run.key.removeprefix('run') or 0) % COLOURS})"


def _panels(
    runs: Sequence[Following], metrics: Sequence[str] | None, several: bool
) -> list[tuple[str, str, list[tuple[Following, str, str, str]]]]:
    """(heading, family, [(run, series, label, colour)]): with several runs train and validation are apart."""
    groups = families({name for run in runs for name in run.source.names()}, metrics)
    shown = usual(groups) if metrics is None else list(groups)
    panels = []
    for family in shown:
        title = TITLES.get(family, family)
        if not several:
            lines = [(runs[0], name, _part(name), _part_colour(name)) for name in groups[family]]
            panels.append((title, family, lines))
            continue
        for name in groups[family]:
            part = _part(name)
            owners = [(run, name, str(run.source.title), colour_of(run)) for run in runs if run.source.count(name)]
            panels.append((f"{title} · {part}" if part else title, family, owners))
    return panels


def _part(name: str) -> str:
    return name.split("/")[0] if "/" in name else ""


def _part_colour(name: str) -> str:
    return {"train": "var(--train)", "valid": "var(--valid)"}.get(_part(name), "var(--other)")


def _curve(
    run: Following, name: str, label: str, colour: str, family: str, x: str, zoom: Sequence[float] | None,
    several: bool, runs: Sequence[Following],
) -> Curve | None:  # fmt: skip
    overview = run.follow(name)
    per_epoch = steps_per_epoch(run.source.status())
    scale = per_epoch if x == "epoch" and per_epoch else 1.0
    if zoom is None:
        buckets = overview.buckets()
    else:
        along = "time" if x == "time" else "step"
        buckets = window(run.source, name, overview, along, zoom[0] * scale, zoom[1] * scale, 2 * POINTS)
    begin = branch(run, runs) if several else None
    if begin is not None:
        kept = buckets.step >= begin
        buckets = type(buckets)(*(column[kept] for column in buckets))
    if not len(buckets):
        return None
    best = None
    point = overview.lowest if is_loss(family) else overview.highest
    if point is not None and (_part(name) == "valid" or several and family != "lr" and _part(name) != "train"):
        best = (point.time if x == "time" else point.step / scale, point.value)
    where = buckets.time if x == "time" else buckets.step / scale
    recorded = _part(name) == "train"
    return Curve(label, colour, where, buckets.mean, buckets.low, buckets.high, recorded, best)


def branch(run: Following, runs: Sequence[Following]) -> float | None:
    """The step at which a clone left a run that is shown beside it; what came before is drawn there."""
    origin = (getattr(run.source, "meta", None) or {}).get("cloned_from")
    if not isinstance(origin, dict) or not isinstance(origin.get("step"), int):
        return None
    for other in runs:
        if other is not run and (other.identity == origin.get("key") or other.source.title == origin.get("run")):
            return float(origin["step"])
    return None


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
    heading: str, curves: list[Curve], place: tuple[float, float, float], x: str, smoothing: float, log_x: bool,
    log_y: bool, zoom: Sequence[float] | None,
) -> str:  # fmt: skip
    left, top, width = place
    x0, x1, y0, y1 = left + 46, left + width - 10, top + 30, top + PANEL - BOTTOM
    out = [text(left + 8, top + 16, shorten(heading, 40), 12, font_weight="600")]
    log_y = log_y and any((curve.high > 0).any() for curve in curves)
    log_x = log_x and any((curve.x > 0).any() for curve in curves)
    shown = []
    for curve in curves:
        kept = np.isfinite(curve.mean) & ((curve.mean > 0) | (not log_y)) & ((curve.x > 0) | (not log_x))
        if kept.any():
            shown.append(curve._replace(**{name: getattr(curve, name)[kept] for name in ("x", "mean", "low", "high")}))
    if not shown:
        return "".join(
            [*out, text((x0 + x1) / 2, (y0 + y1) / 2, "no values", 12, "var(--quiet)", text_anchor="middle")]
        )
    lows = np.concatenate([np.where(curve.low > 0, curve.low, curve.mean) if log_y else curve.low for curve in shown])
    low, high = float(lows.min()), float(max(curve.high.max() for curve in shown))
    if log_y:
        low, high = float(np.log10(low)), float(np.log10(high))
    pad = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    low, high = low - pad, high + pad
    begin, end = zoom or (min(curve.x[0] for curve in shown), max(curve.x[-1] for curve in shown))
    if log_x:
        begin, end = np.log10(max(begin, min(curve.x[0] for curve in shown))), np.log10(end)
    begin, end = (begin, end) if end > begin else (begin - 0.5, begin + 0.5)

    def px(value: Any) -> Any:
        return np.clip(x0 + ((np.log10(value) if log_x else value) - begin) / (end - begin) * (x1 - x0), x0, x1)

    def py(value: Any) -> Any:
        return y1 - ((np.log10(value) if log_y else value) - low) / (high - low) * (y1 - y0)

    for tick in _log_ticks(low, high) if log_y else nice_ticks(low, high):
        y = y1 - (tick - low) / (high - low) * (y1 - y0)
        out.append(f'<path d="M{x0:.1f} {y:.1f}H{x1:.1f}" stroke="var(--grid)"/>')
        out.append(text(x0 - 6, y + 4, number(10**tick if log_y else tick), 10, "var(--quiet)", text_anchor="end"))
    for tick in _log_ticks(begin, end) if log_x else nice_ticks(begin, end):
        value = 10**tick if log_x else tick
        if x == "step" and abs(value - round(value)) > 1e-9:
            continue
        at = x0 + (tick - begin) / (end - begin) * (x1 - x0)
        out.append(text(at, y1 + 15, _short(value), 10, "var(--quiet)", text_anchor="middle"))
    out.append(text(x1, y1 + 27, {"time": "seconds"}.get(x, x), 10, "var(--quiet)", text_anchor="end"))
    legend = left + width - 10
    for curve in reversed(shown):
        values = curve.mean
        if (curve.high > curve.low).any():
            edge = np.where(curve.low > 0, curve.low, values) if log_y else curve.low
            out.append(_band(px, py, curve.x, edge, curve.high, curve.colour))
        if curve.smooth and smoothing > 0 and len(values) > 2:
            out.append(_line(px, py, curve.x, values, curve.colour, 1, 0.3))
            values = smooth(values, smoothing)
        out.append(_line(px, py, curve.x, values, curve.colour, 1.8, 1))
        if len(curves) <= 2:
            label = f"{curve.label} {number(float(values[-1]))}".strip()
            if len(label) < 30:
                out.append(text(legend, top + 16, label, 11, curve.colour, text_anchor="end"))
                legend -= 7 * len(label) + 10
        if curve.best is not None and (zoom is None or zoom[0] <= curve.best[0] <= zoom[1]):
            if not (log_y and curve.best[1] <= 0) and not (log_x and curve.best[0] <= 0):
                out.append(f'<circle cx="{float(px(curve.best[0])):.1f}" cy="{float(py(curve.best[1])):.1f}" r="4.5" '
                           f'fill="none" stroke="{curve.colour}" stroke-width="2"/>')  # fmt: skip
    return "".join(out)


def _short(value: float) -> str:
    """A large number of steps in few letters.

    >>> _short(250), _short(50_000), _short(1_500_000)
    ('250', '50k', '1.5M')
    """
    if abs(value) >= 1e6:
        return f"{number(value / 1e6)}M"
    return f"{number(value / 1e3)}k" if abs(value) >= 1e4 else number(value)


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


def _band(px: Any, py: Any, along: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> str:
    """Between the lowest and the highest value of each stretch."""
    groups = np.array_split(np.arange(len(along)), min(len(along), POINTS))
    at = px(np.array([along[group[-1]] for group in groups]))
    upper = py(np.array([high[group].max() for group in groups]))
    lower = py(np.array([low[group].min() for group in groups]))
    outline = [f"{a:.1f},{b:.1f}" for a, b in zip(at, upper, strict=True)]
    outline += [f"{a:.1f},{b:.1f}" for a, b in zip(at[::-1], lower[::-1], strict=True)]
    return f'<polygon points="{" ".join(outline)}" fill="{colour}" fill-opacity=".16"/>'
