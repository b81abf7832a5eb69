"""A training history or a run as HTML: curves and a table of the best values. Also for a recorded ``Source``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlkit.display import svg
from mlkit.display.markup import card, escape, number, plural, scroll, table

# What is better, by the last part of a series' name; anything else is called good when small.
_HIGHER = (
    "accuracy", "precision", "recall", "f1", "fbeta", "dice", "iou", "auc", "average_precision", "score", "r2", "top_5",
    "top2", "top3", "top5", "top10",
)  # fmt: skip
_PARTS = ("train", "valid", "test")


def series_of(history: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """``{name: (steps, values)}`` of a History, a Source, a Run, or a plain ``{name: list of values}``."""
    if hasattr(history, "__mlkit_source__"):  # a Trainer, Run or History tells where it is recorded
        history = history.__mlkit_source__()
    out = {}
    if hasattr(history, "read") and hasattr(history, "names"):
        for name in history.names():
            _, steps, _, values = history.read(name)
            out[name] = (np.asarray(steps, float), np.asarray(values, float))
        return out
    for name in list(history):
        values = np.asarray(history[name], float)
        if isinstance(history, Mapping) and not hasattr(history, "steps"):
            steps = np.arange(1, len(values) + 1, dtype=float)
        else:
            steps = np.asarray(history.steps(name), float)
        length = min(len(steps), len(values))  # a run may be adding to it right now
        out[name] = (steps[:length], values[:length])
    return out


def higher_is_better(name: str) -> bool:
    """Whether a series is good when large.

    >>> higher_is_better("valid/accuracy"), higher_is_better("train/loss")
    (True, False)
    """
    return name.rpartition("/")[2].partition("[")[0].lower() in _HIGHER  # "f1[3]" is the F1 of class 3


def best_of(name: str, steps: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """(best finite value, its step); NaN twice when there is none."""
    good = np.flatnonzero(np.isfinite(values))
    if not len(good):
        return math.nan, math.nan
    at = good[np.argmax(values[good]) if higher_is_better(name) else np.argmin(values[good])]
    return float(values[at]), float(steps[at])


def groups(series: Mapping[str, Any]) -> dict[str, list[str]]:
    """Series that belong in one chart, by the last part of their names: loss, then accuracy, then the others.

    >>> groups({"train/loss": 0, "lr": 0, "valid/loss": 0})
    {'loss': ['train/loss', 'valid/loss'], 'lr': ['lr']}
    """
    found: dict[str, list[str]] = {}
    for name in series:
        found.setdefault(name.rpartition("/")[2], []).append(name)
    first = {"loss": 0, "accuracy": 1, "lr": 9}
    order = sorted(found, key=lambda key: (first.get(key, 5), key))
    return {
        key: sorted(found[key], key=lambda n: (_PARTS.index(p) if (p := n.split("/")[0]) in _PARTS else 9, n))
        for key in order
    }


def figures(
    series: Mapping[str, tuple[np.ndarray, np.ndarray]], width: int = 380, height: int = 205, most: int = 8
) -> str:
    """One chart for each group of series, one after the other."""
    parts = []
    for title, names in list(groups(series).items())[:most]:
        if title == "lr" and constant_rate(series) is not None:
            continue
        drawn = []
        for name in names[:6]:
            steps, values = series[name]
            valid = name.split("/")[0] in ("valid", "test")
            drawn.append(svg.Series(name, steps, values, dashed=valid, dots=valid, smooth=not valid and title != "lr"))
        chart = svg.lines(drawn, title={"lr": "learning rate"}.get(title, title), width=width, height=height)
        last = "; ".join(f"{n} ends at {number(_last(series[n][1]))}" for n in names[:6])
        parts.append(f"<figure>{svg.embed(chart, f'{title} over steps: {last}', width, height)}</figure>")
    return "".join(parts)


def constant_rate(series: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> float | None:
    """The learning rate where there is one that never changed: a fact, not a chart."""
    values = series["lr"][1] if "lr" in series else np.zeros(0)
    return float(values[0]) if len(values) and float(values.min()) == float(values.max()) else None


def _last(values: np.ndarray) -> float:
    return float(values[-1]) if len(values) else math.nan


def best_table(series: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """A table: each series with its best value and where, and its last."""
    rows: list[tuple[str, ...]] = []
    for names in groups(series).values():
        for name in names:
            steps, values = series[name]
            if name == "lr" or not len(values):
                continue
            value, at = best_of(name, steps, values)
            bad = int((~np.isfinite(values)).sum())
            note = f'<span class="warn">{number(bad)} not finite</span>' if bad else ""
            where = number(int(at)) if math.isfinite(at) else "–"
            rows.append((escape(name, 60), number(value), where, number(_last(values)), number(len(values)), note))
    if not rows:
        return ""
    if not any(row[-1] for row in rows):
        rows = [row[:-1] for row in rows]
    return table(rows, ("series", "best", "at step", "last", "points", "")[: len(rows[0])], numeric=(1, 2, 3, 4))


def best(series: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """The table of best values, scrolling where it is too wide."""
    return scroll(best_table(series), "best values")


def body(history: Any) -> str:
    """Curves and best values without the card."""
    return body_of(series_of(history))


def body_of(series: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """The same, of series that have been read."""
    if not any(len(values) for _, values in series.values()):
        return '<p class="note">nothing recorded yet</p>'
    rate = constant_rate(series)
    note = "" if rate is None else f'<p class="note">learning rate {number(rate)} throughout</p>'
    return f'<div class="row">{figures(series)}{best(series)}</div>{note}'


def html(history: Any) -> str:
    """A History as a card."""
    epochs = getattr(history, "epochs", None)
    words = [plural(epochs, "epoch")] if isinstance(epochs, int) else []
    series = series_of(history)
    steps = max((int(s[-1]) for s, _ in series.values() if len(s)), default=0)
    words.append(plural(steps, "step"))
    head = f'<p class="head"><b>{escape(type(history).__name__)}</b> {", ".join(words)}</p>'
    return card("history", head, body(history))


def run_html(run: Any) -> str:
    """A Run or a Source: its state, how far it is, the curves so far, and its error if it failed."""
    source = run.__mlkit_source__() if hasattr(run, "__mlkit_source__") else run
    facts = source.status()
    state = str(facts.get("state", "unknown"))
    bad = state in ("failed", "lost")
    items = []
    for label, done, whole in (("step", "step", "steps"), ("epoch", "epoch", "epochs")):
        if facts.get(done) is not None:
            of = f" of {number(int(facts[whole]))}" if facts.get(whole) else ""
            items.append((label, number(int(facts[done])) + of))
    if facts.get("examples_per_second"):
        items.append(("examples a second", number(float(facts["examples_per_second"]), 3)))
    if facts.get("lr") is not None:
        items.append(("learning rate", number(float(facts["lr"]))))
    error = getattr(run, "error", None) or facts.get("error")
    name = source.title
    tag = f'<span class="tag{" warn" if bad else ""}">{escape(state, 40)}</span>'
    parts = [f'<p class="head"><b>{escape(type(run).__name__)}</b> {escape(name, 80)}{tag}</p>']
    if items:
        parts.append(f'<p class="stats">{" ".join(f"<span><i>{k}</i> {v}</span>" for k, v in items)}</p>')
    if error:
        words = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
        parts.append(f'<div class="failed"><pre>{escape(words, 2000)}</pre></div>')
    directory = getattr(run, "directory", None)
    if directory:
        parts.append(f'<p class="note">recorded in <code>{escape(directory, 200)}</code></p>')
    return card("run", *parts, body(source))
