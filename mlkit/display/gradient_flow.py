"""How gradients flow, as HTML: what is wrong in words, and the layers with their numbers."""

from __future__ import annotations

from typing import Any

from mlkit.display.markup import card, escape, plural, scroll, table

TITLES = {"vanishing": "Vanishing gradients", "exploding": "Exploding gradients", "dead": "Dead units"}


def html(flow: Any) -> str:
    """A flow as a card: findings and table."""
    found = flow.table()
    about = f"{plural(len(found), 'layer')}, {plural(len(flow), 'sample')}"
    head = f'<p class="head"><b>Gradient flow</b> {escape(flow.title, 80)} <span class="soft">{about}</span></p>'
    return card("gradient-flow", head, _findings(flow.findings()), _table(found))


def findings_html(findings: Any) -> str:
    """Findings as a card."""
    head = f'<p class="head"><b>Gradient flow</b> {plural(len(findings), "finding")}</p>'
    return card("gradient-flow", head, _findings(findings))


def table_html(found: Any) -> str:
    """A table as a card."""
    where = "nothing recorded yet" if found.step is None else f"step {found.step:,}"
    head = f'<p class="head"><b>Gradient flow</b> {escape(found.title, 80)} <span class="soft">{where}</span></p>'
    return card("gradient-flow", head, _table(found))


def _findings(findings: Any) -> str:
    if not findings:
        return f'<p class="note">{escape(str(findings), 300)}</p>'
    parts = []
    for one in findings:
        advice = "".join(f"<p>{escape(text, 400)}</p>" for text in one.advice)
        parts.append(
            f'<div class="failed"><p><b>{escape(TITLES[one.kind])}</b> {escape(one.sentence, 800)}</p>'
            f'<p class="note">Likely cause: {escape(one.cause, 800)}</p><div class="hint">{advice}</div></div>'
        )
    return "".join(parts)


def _table(found: Any) -> str:
    rows = [tuple(escape(cell, 80) for cell in row) for row in found.texts()]
    numeric = (False, False, True, True, True, True, False, False)
    columns = tuple(at for at, right in enumerate(numeric) if right)
    return scroll(table(rows, tuple(escape(head) for head in found.HEADS), numeric=columns), "layers")
