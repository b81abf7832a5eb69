"""A training as one HTML page that needs nothing else: no script, no network, no folder beside it."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.display import history as _history
from mlkit.display import picture, registry
from mlkit.display import summary as _summary
from mlkit.display.confusion import confusion as confusion_table
from mlkit.display.confusion import percent
from mlkit.display.markup import card, count, escape, image, number, stylesheet, table
from mlkit.display.sample import raw, to_numpy

MOST_WRONG = 30


def write_report(
    path: str | os.PathLike[str],
    *,
    history: Any = None,
    model: Any = None,
    confusion: Any = None,
    wrong: Iterable[Any] = (),
    summary: Any = None,
    info: Mapping[str, Any] | None = None,
    title: str = "Training report",
    classes: Sequence[str] | None = None,
) -> Path:
    """Write a self-contained page and return its path. Every part is optional; what is missing is left out.

    ``history``: a History, a Source, or ``{series name: values}``: curves and best values.
    ``model``: an ``nn.Module``; ``summary``: what ``mlkit.summary(model, input)`` gave (with shapes), else it is made.
    ``confusion``: counts, shape (class true, class predicted): a matrix with the recall of each class.
    ``wrong``: examples the model got wrong, each a mapping (or a tuple in this order) with ``image`` (height, width) or
    (channel, height, width), ``true``, ``predicted`` and, where known, ``probability`` of the predicted class in 0..1.
    ``info``: ``{"Settings": {...}, "Machine": {...}}``: one table a section; values that are not mappings go to "Facts".
    ``classes``: names of the classes.

    The file appears whole or not at all. ``OSError`` where it cannot be written.

    >>> import tempfile, pathlib
    >>> folder = tempfile.mkdtemp()
    >>> page = write_report(pathlib.Path(folder, "report.html"), confusion=[[9, 1], [0, 10]], title="Digits")
    >>> "95 %" in page.read_text("utf-8")
    True
    """
    matrix = None if confusion is None else _matrix(confusion)
    if summary is None and model is not None:
        summary = _summary.summary(model)
    series = {} if history is None else _history.series_of(history)
    mistakes = [_mistake(item, i) for i, item in enumerate(wrong)]
    names = [str(c) for c in classes] if classes is not None else None
    if matrix is not None:
        names = names or [str(i) for i in range(len(matrix))]
        if len(names) != len(matrix):
            raise ValueError(f"write_report: {len(names)} class names for a confusion matrix of {len(matrix)} classes")
    sections = []
    if any(len(values) for _, values in series.values()):
        sections.append(
            _section(
                "Curves", f'<div class="charts">{_history.figures(series)}{_history.best(series)}</div>', wide=True
            )
        )
    tables = _info(info or {})
    facts = [_section(heading, _facts(rows), wide=len(tables) == 1) for heading, rows in tables.items()]
    small = matrix is not None and len(matrix) <= 12
    if matrix is not None:
        drawn = _section("Confusion matrix", confusion_table(matrix, names or []), wide=not small)
        if small and mistakes:  # beside the wrong answers there is room for the facts below the matrix
            drawn, facts = f'<div class="stack">{drawn}{"".join(facts)}</div>', []
        sections.append(drawn)
    if mistakes:
        total = None if matrix is None else int(matrix.sum() - np.trace(matrix))
        sections.append(_section("Wrong answers", _wrong(mistakes, names, total), wide=not small))
    if summary is not None:
        sections.append(_section("Model", _summary.body(summary), wide=True))
    sections += facts
    head = f"<header><h1>{escape(title, 200)}</h1>{_when()}{_numbers(series, matrix, summary)}</header>"
    from mlkit import __version__

    foot = f"<footer>Made by mlkit {escape(__version__)}. This page is one file: no script, no network.</footer>"
    return _write(path, page(title, f"{head}<main>{''.join(sections)}</main>{foot}", css=_report_css()))


def save(obj: Any, path: str | os.PathLike[str], title: str | None = None) -> Path:
    """Write what a notebook would show of ``obj`` as a self-contained HTML page, and return its path."""
    drawn = registry.html(obj)
    if drawn is None:
        raise TypeError(f"save: nothing is registered to display {type(obj).__name__}; see mlkit.display.register")
    css = ":root{color-scheme:light dark}body{margin:16px;background:light-dark(#fff,#111)}"
    return _write(path, page(title or type(obj).__name__, f"<main>{drawn}</main>", css=css))


def page(title: str, body: str, css: str = "") -> str:
    """A whole HTML document. ``body`` is HTML already; ``title`` is not. Nothing may be loaded from anywhere."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title, 200)}</title><style>{css}</style></head>\n<body>{body}</body>\n</html>\n"
    )


def _write(path: str | os.PathLike[str], text: str) -> Path:
    from mlkit.core.files import atomic_write

    target = Path(path)
    with atomic_write(target, mode="wb") as file:
        file.write(text.encode("utf-8"))
    return target


@functools.cache
def _report_css() -> str:
    text = resources.files("mlkit.display").joinpath("report.css").read_text("utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
    return stylesheet() + text


def _section(title: str, body: str, wide: bool = False) -> str:
    # The page holds the stylesheet once; cards inside come without it.
    whole = card("report", body)
    start, end = whole.index("<style>"), whole.index("</style>") + len("</style>")
    return (
        f"<section{' class=wide' if wide else ''}><h2>{escape(title, 100)}</h2>{whole[:start]}{whole[end:]}</section>"
    )


def _when() -> str:
    now = datetime.now(UTC).astimezone()
    return f'<p class="when">{now:%Y-%m-%d %H:%M}</p>'


# -- parts --------------------------------------------------------------------------------------------------------------


def _numbers(series: Mapping[str, Any], matrix: np.ndarray | None, summary: Any) -> str:
    items = []
    if matrix is not None and matrix.sum():
        right, total = int(np.trace(matrix)), int(matrix.sum())
        items += [("accuracy", f"{percent(right / total)} %"), ("right", f"{number(right)} of {number(total)}")]
    elif series.get("valid/accuracy") is not None and len(series["valid/accuracy"][1]):
        best, _ = _history.best_of("valid/accuracy", *series["valid/accuracy"])
        items.append(("best validation accuracy", f"{percent(best)} %"))
    if summary is not None:
        items.append(("parameters", count(summary.parameters)))
        if summary.macs:
            items.append(("multiply-adds", count(summary.macs)))
    steps = max((int(s[-1]) for s, _ in series.values() if len(s)), default=0)
    if steps:
        items.append(("steps", number(steps)))
    if not items:
        return ""
    cells = "".join(
        f"<div{' class=main' if i == 0 else ''}><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>"
        for i, (label, value) in enumerate(items)
    )
    return f'<dl class="numbers">{cells}</dl>'


def _matrix(confusion: Any) -> np.ndarray:
    array = to_numpy(raw(confusion)) if hasattr(confusion, "_array") else np.asarray(confusion)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.dtype.kind not in "iuf":
        raise ValueError(
            f"write_report: confusion must be counts of shape (class true, class predicted), got {array.dtype} {list(array.shape)}"
        )
    return array.astype(np.int64)


def _mistake(item: Any, i: int) -> tuple[np.ndarray, Any, Any, float | None]:
    if isinstance(item, Mapping):
        values = [item.get(key) for key in ("image", "true", "predicted", "probability")]
    elif isinstance(item, (tuple, list)) and len(item) in (3, 4):
        values = [*item, None][:4]
    else:
        values = [getattr(item, key, None) for key in ("image", "true", "predicted", "probability")]
    picture_, true, predicted, probability = values
    if picture_ is None or true is None or predicted is None:
        raise ValueError(f"write_report: wrong[{i}] needs image, true and predicted; got {type(item).__name__}")
    array = to_numpy(raw(picture_)) if hasattr(picture_, "_array") else np.asarray(picture_)
    if array.ndim == 2:
        array = array[..., None]
    elif array.ndim == 3 and array.shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[-1] not in (1, 3):
        raise ValueError(
            f"write_report: the image of wrong[{i}] must be (height, width) or (1 or 3, height, width), got {list(array.shape)}"
        )
    return array, _item(true), _item(predicted), None if probability is None else float(_item(probability))


def _item(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _name(value: Any, names: Sequence[str] | None) -> str:
    return names[value] if names and isinstance(value, int) and 0 <= value < len(names) else str(value)


def _wrong(mistakes: list, names: Sequence[str] | None, total: int | None) -> str:
    figures = []
    for array, true, predicted, probability in mistakes[:MOST_WRONG]:
        low, high, _ = picture.brightness(array)
        step = max(1, -(-max(array.shape[:2]) // 96))
        uri, width, height = picture.image_png(picture.pixels(array[::step, ::step], low, high), 84)
        sure = "" if probability is None else f" {100 * probability:.0f} %"
        words = f"{_name(true, names)} taken for {_name(predicted, names)}{sure}"
        figures.append(
            f"<figure>{image(uri, words, width, height, 'pixels')}<figcaption>true <b>{escape(_name(true, names), 16)}</b><br>"
            f'said <b class="warn">{escape(_name(predicted, names), 16)}</b>{sure}</figcaption></figure>'
        )
    whole = len(mistakes) if total is None else max(total, len(mistakes))
    note = f"{len(figures)} of {number(whole)}" if len(figures) < whole else f"all {number(whole)}"
    return f'<p class="note">{note} wrong answers: the true class, what the model said, and how sure it was</p><div class="wrong">{"".join(figures)}</div>'


def _info(info: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    out: dict[str, Any] = {}
    for key, value in info.items():
        if isinstance(value, Mapping):
            out[str(key)] = value
        else:
            out.setdefault("Facts", {})[key] = value
    return out


def _facts(facts: Mapping[str, Any]) -> str:
    return table([(escape(key, 60), escape(_fact(value), 400)) for key, value in facts.items()], css="facts")


def _fact(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return "yes" if value is True else "no" if value is False else "–" if value is None else str(value)
