"""A metric as HTML: its number, and a picture where it is more than a number."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlkit.display import svg
from mlkit.display.confusion import confusion
from mlkit.display.markup import card, escape, number, plural, table

CURVES = 6


def html(metric: Any) -> str:
    """A card: a confusion matrix, ROC or precision-recall curves, numbers per class, or one number."""
    kind, name = type(metric).__name__, escape(metric.name, 60)
    samples = getattr(metric, "samples", None)
    seen = (
        f' <span class="soft">{plural(int(np.max(samples)), "sample")}</span>'
        if samples is not None and np.size(samples)
        else ""
    )
    head = f'<p class="head"><b>{escape(kind, 60)}</b> {name}{seen}</p>'
    if metric.is_empty():
        return card("metric", head, '<p class="note">no batch taken in yet: update(output, target)</p>')
    return card("metric", head, _body(metric, kind, metric.compute()))


def _body(metric: Any, kind: str, value: Any) -> str:
    if kind == "ConfusionMatrix":
        matrix = metric.matrix
        right = int(np.trace(matrix))
        total = int(matrix.sum())
        words = f"{number(right)} of {number(total)} on the diagonal ({100 * right / max(total, 1):.1f} %)"
        return f'<p class="note">{words}</p>{confusion(matrix, [str(i) for i in range(len(matrix))])}'
    if kind in ("ROCCurve", "PRCurve"):
        return _curves(kind, value if isinstance(value, list) else [value])
    values = np.asarray(value)
    if values.ndim == 0:
        return f'<p class="stats"><span><i>{escape(metric.name, 60)}</i> {number(float(values))}</span></p>'
    rows = [(str(i), number(float(v))) for i, v in enumerate(values.reshape(-1)[:40].tolist())]
    more = f'<p class="note">and {values.size - 40} more</p>' if values.size > 40 else ""
    return table(rows, ("class", escape(metric.name, 60)), numeric=(1,)) + more


def _curves(kind: str, curves: list) -> str:
    roc = kind == "ROCCurve"
    drawn, areas = [], []
    for k, (a, b, _) in enumerate(curves[:CURVES]):
        x, y = (np.asarray(a, float), np.asarray(b, float)) if roc else (np.asarray(b, float), np.asarray(a, float))
        order = np.argsort(x, kind="stable")
        areas.append(float(np.trapezoid(y[order], x[order])) if roc else _average_precision(x, y))
        label = "area" if roc else "average precision"
        name = f"{label} {areas[-1]:.3f}" if len(curves) == 1 else f"class {k}"
        drawn.append(svg.Series(name, x, y, dashed=k % 2 == 1))
    if roc:
        drawn.append(svg.Series("chance", np.array([0.0, 1.0]), np.array([0.0, 1.0]), dashed=True))
    title = "true positive rate" if roc else "precision"
    xlabel = "false positive rate" if roc else "recall"
    width = max(380, 60 + 90 * len(drawn))
    chart = svg.lines(drawn, title=title, xlabel=xlabel, width=width, height=280, log=False)
    shown = ", ".join(f"{a:.3f}" for a in areas)
    word = "area under the curve" if roc else "average precision"
    alt = f"{title} over {xlabel}; {word} {shown}"
    more = f", the first {CURVES} of {len(curves)} classes" if len(curves) > CURVES else ""
    return f"<figure>{svg.embed(chart, alt, width, 280)}<figcaption>{word} {shown}{more}</figcaption></figure>"


def _average_precision(recall: np.ndarray, precision: np.ndarray) -> float:
    return float(-np.sum(np.diff(recall) * precision[:-1]))  # recall falls along the curve
