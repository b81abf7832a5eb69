"""Every recorded point as a table: run, metric, step, seconds, value."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

from mlkit_widgets.training_curves.following import families

__all__ = ["csv_parts"]

PART = 50_000
"""Rows of a part: some two megabytes of text, which a page takes without a pause."""
HEADING = ("run", "metric", "step", "seconds", "value")


def csv_parts(runs: Sequence[Any], metrics: Sequence[str] | None) -> list[Callable[[], str]]:
    """The table in parts, each made when it is asked for; together they are one CSV file (RFC 4180).

    Args:
        runs: What is followed, in order.
        metrics: Families; None: all that was recorded.
    """
    parts: list[Callable[[], str]] = [lambda: _rows([HEADING])]
    for run in runs:
        for names in families(run.source.names(), metrics).values():
            for name in names:
                for start in range(0, run.source.count(name), PART):
                    parts.append(_part(run.source, name, start))
    return parts


def _part(source: Any, name: str, start: int) -> Callable[[], str]:
    def make() -> str:
        _, steps, times, values = source.read(name, start, start + PART)
        points = zip(steps.tolist(), times.tolist(), values.tolist(), strict=True)
        return _rows([source.title, name, step, time, value] for step, time, value in points)

    return make


def _rows(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
