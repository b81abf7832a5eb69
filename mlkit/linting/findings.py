"""What ``mlkit.lint`` finds: a sentence, where, and the repair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One likely mistake. ``rule`` is its short name; ``repair`` is what to do, as code where that can be."""

    rule: str
    sentence: str
    repair: str
    where: str = ""

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        return f"{self.sentence}{place} {self.repair}"


class Findings(list[Finding]):
    """The findings of one look, most serious first; empty when nothing was found."""

    def __init__(self, found: Iterable[Finding] = (), looked_at: str = "") -> None:
        super().__init__(found)
        self.looked_at = looked_at

    def __str__(self) -> str:
        if not self:
            return f"nothing found (looked at {self.looked_at})"
        lines = []
        for finding in self:
            lines.append(f"{finding.rule}: {finding.sentence}" + (f" ({finding.where})" if finding.where else ""))
            lines += [f"    {line}" for line in finding.repair.splitlines()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich

        return rich.repr_html(self)

    def __reduce__(self) -> Any:
        return type(self), (list(self), self.looked_at)
