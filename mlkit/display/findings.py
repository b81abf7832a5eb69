"""What ``mlkit.lint`` found, as HTML: one entry for each likely mistake, with its repair."""

from __future__ import annotations

from typing import Any

from mlkit.display.markup import card, escape, plural


def html(findings: Any) -> str:
    """A card."""
    head = f'<p class="head"><b>Lint</b> {plural(len(findings), "finding")} <span class="soft">looked at {escape(findings.looked_at, 120)}</span></p>'
    if not findings:
        return card("lint", head, '<p class="note">nothing found</p>')
    parts = []
    for finding in findings:
        where = f'<p class="note">{escape(finding.where, 300)}</p>' if finding.where else ""
        parts.append(
            f'<div class="failed"><p><b>{escape(finding.sentence, 800)}</b> <span class="tag">{escape(finding.rule, 40)}</span></p>'
            f'{where}<div class="hint"><p><code>{escape(finding.repair, 800)}</code></p></div></div>'
        )
    return card("lint", head, *parts)
