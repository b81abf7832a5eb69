"""One number and how it came about: terms, steps, and the places that they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


def number(value: float, digits: int = 4) -> str:
    """A number as it stands in a line of arithmetic.

    >>> number(0.1), number(-2.0), number(1.23456789e-7), number(123456.0)
    ('0.1', '-2', '1.235e-07', '1.235e+05')
    """
    return "0" if value == 0 else f"{value:.{digits}g}"


@dataclass
class Cell:
    """One number of a recorded tensor: which value, what people call it, where in it."""

    value: str | None
    label: str
    index: tuple[int, ...]
    number: float

    @property
    def name(self) -> str:
        return f"{self.label}[{', '.join(map(str, self.index))}]" if self.index else self.label

    def to_dict(self) -> dict[str, Any]:
        return {"value": self.value, "name": self.name, "index": list(self.index), "number": _json(self.number)}


@dataclass
class Step:
    """One line of the arithmetic, with what it gives and where its numbers come from."""

    text: str
    number: float
    cells: list[Cell] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {"text": self.text, "number": _json(self.number), "cells": [cell.to_dict() for cell in self.cells]}


@dataclass
class Terms:
    """Many terms of one form. ``operands``: (label, value id or None, indices (n, axes), numbers (n)) for each side.

    ``form`` writes one term: ``"{0} * {1}"``; ``contributions`` (n) is what each gives; ``combine`` is how they meet.
    """

    operands: list[tuple[str, str | None, np.ndarray, np.ndarray]]
    contributions: np.ndarray
    form: str
    combine: str = "sum"

    def __len__(self) -> int:
        return len(self.contributions)

    @property
    def total(self) -> float:
        c = self.contributions
        if self.combine == "sum":
            return float(c.sum())
        if self.combine == "mean":
            return float(c.mean()) if len(c) else float("nan")
        if self.combine == "product":
            return float(c.prod())
        return float({"max": np.max, "min": np.min}[self.combine](c)) if len(c) else float("nan")

    def order(self) -> np.ndarray:
        """The terms, the one that counts most first; NaN before all."""
        c = self.contributions
        if self.combine == "min":
            return np.argsort(c, kind="stable")
        size = (
            c
            if self.combine == "max"
            else np.abs(np.log(np.abs(c) + 1e-300))
            if self.combine == "product"
            else np.abs(c)
        )
        return np.argsort(np.where(np.isnan(size), -np.inf, -size), kind="stable")

    def line(self, i: int) -> str:
        return self.form.format(*(number(float(n[i])) for _, _, _, n in self.operands))

    def cells(self, i: int) -> list[Cell]:
        return [
            Cell(value, label, tuple(int(k) for k in indices[i]), float(numbers[i]))
            for label, value, indices, numbers in self.operands
            if value is not None
        ]


@dataclass
class Explanation:
    """How one number came about. ``total`` is what the arithmetic here gives, ``number`` what was recorded."""

    value: str
    index: tuple[int, ...]
    number: float
    total: float
    title: str
    formula: str | None = None
    before: list[Step] = field(default_factory=list)
    terms: Terms | None = None
    after: list[Step] = field(default_factory=list)
    note: str | None = None
    regions: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    exact: bool = True
    """False where only slopes are known: then ``total`` is the recorded number."""

    def region(self) -> dict[str, list[tuple[int, int]]]:
        """For each tensor that took part, the box [low, high) per axis that the number was made from."""
        boxes = dict(self.regions)
        groups = [(value, indices) for _, value, indices, _ in self.terms.operands if value] if self.terms else []
        for step in (*self.before, *self.after):
            groups += [(cell.value, np.array([cell.index], np.int64)) for cell in step.cells if cell.value]
        for value, indices in groups:
            if value in self.regions or not len(indices) or not indices.shape[1]:
                continue
            low, high = indices.min(0), indices.max(0) + 1
            box = [(int(a), int(b)) for a, b in zip(low, high)]
            if value in boxes:
                box = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(box, boxes[value])]
            boxes[value] = box
        return boxes

    def text(self, most: int = 12) -> str:
        """The arithmetic as lines of text, the largest terms first."""
        lines = [f"{self.title} = {number(self.number, 6)}"]
        if self.formula:
            lines.append(f"  {self.formula}")
        rows: list[tuple[str, str, str]] = []
        for step in self.before:
            rows.append((f"  {step.text}", number(step.number), ""))
        if self.terms is not None:
            order = self.terms.order()
            for i in order[:most]:
                origin = " * ".join(cell.name for cell in self.terms.cells(int(i)))
                plain = self.terms.form == "{0}"
                rows.append((f"    {origin if plain else self.terms.line(int(i))}",
                             number(float(self.terms.contributions[i])), "" if plain else origin))  # fmt: skip
            rest = len(order) - most
            if rest > 0:
                left = self.terms.contributions[order[most:]]
                summed = number(float(left.sum())) if self.terms.combine == "sum" else ""
                rows.append((f"    and {rest:,} more", summed, ""))
            rows.append((f"  {self.terms.combine}", number(self.terms.total), ""))
        for step in self.after:
            rows.append((f"  {step.text}", number(step.number), ""))
        wide = min(40, max((len(left) for left, _, _ in rows), default=0))
        values = max((len(middle) for _, middle, _ in rows), default=0)
        for left, middle, right in rows:
            shown = f"{left.ljust(wide)} = {middle}" if middle else left
            lines.append(f"{shown.ljust(wide + 3 + values)}  {right}".rstrip() if right else shown)
        if self.note:
            lines.append(f"  {self.note}")
        lines.append(f"  = {number(self.total, 6)}")
        return "\n".join(lines)

    __str__ = text

    def to_dict(self, most: int = 12) -> dict[str, Any]:
        """As JSON for a page: the ``most`` largest terms, and how many more there are."""
        terms = None
        if self.terms is not None:
            order = self.terms.order()
            left = self.terms.contributions[order[most:]]
            terms = {
                "combine": self.terms.combine,
                "count": len(self.terms),
                "total": _json(self.terms.total),
                "rest": _json(float(left.sum())) if self.terms.combine == "sum" and len(left) else None,
                "lines": [
                    {
                        "text": self.terms.line(int(i)),
                        "number": _json(float(self.terms.contributions[i])),
                        "cells": [cell.to_dict() for cell in self.terms.cells(int(i))],
                    }
                    for i in order[:most]
                ],
            }
        return {
            "value": self.value,
            "index": list(self.index),
            "number": _json(self.number),
            "total": _json(self.total),
            "exact": self.exact,
            "title": self.title,
            "formula": self.formula,
            "before": [step.to_dict() for step in self.before],
            "terms": terms,
            "after": [step.to_dict() for step in self.after],
            "note": self.note,
            "regions": {key: [list(pair) for pair in box] for key, box in self.region().items()},
        }

    def __repr__(self) -> str:
        return f"<Explanation: {self.title} = {number(self.number, 6)}>"


def _json(value: float) -> float | str:
    return value if np.isfinite(value) else repr(float(value))
