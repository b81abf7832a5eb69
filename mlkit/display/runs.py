"""Runs side by side, as an HTML table."""

from __future__ import annotations

from typing import Any

from mlkit.display.markup import card, escape, plural, scroll, table
from mlkit.observe.runs import shown


def html(runs: Any) -> str:
    """A `RunTable` as a card: what differs, the best numbers, and below it what all runs share."""
    head = f'<p class="head"><b>{escape(type(runs).__name__)}</b> {plural(len(runs), "run")}</p>'
    if not len(runs):
        return card("runs", head)
    rows = [tuple(escape(shown(row.get(name)), 60) for name in runs.columns) for row in runs.rows]
    columns = range(len(runs.columns))
    numeric = tuple(k for k in columns if all(not isinstance(row.get(runs.columns[k]), str) for row in runs.rows))
    body = scroll(table(rows, tuple(escape(name, 40) for name in runs.columns), numeric=numeric), "runs")
    same = ", ".join(f"{escape(name, 40)} {escape(shown(value), 60)}" for name, value in runs.same.items())
    return card("runs", head, body + (f'<p class="note">same in all: {same}</p>' if same else ""))
