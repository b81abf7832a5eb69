"""A ``state_dict`` as HTML: each tensor by its path, with shape, dtype, memory, and what its values look like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlkit.display.markup import card, count, escape, number, plural, scroll, shape_text, size_of, table
from mlkit.display.sample import dtype_name, raw, statistics

MOST = 60


def is_state(mapping: Any) -> bool:
    """Whether a dictionary is what ``Module.state_dict()`` gives."""
    return hasattr(mapping, "_metadata") and all(isinstance(key, str) for key in mapping)


def html(mapping: Mapping[str, Any]) -> str | None:
    """A card for a state_dict; None for any other ordered dictionary."""
    if not is_state(mapping):
        return None
    tensors = {key: value for key, value in mapping.items() if hasattr(value, "shape") and hasattr(value, "dtype")}
    values = sum(value.numel() for value in tensors.values())
    memory = sum(value.numel() * value.element_size() for value in tensors.values())
    head = (
        f'<p class="head"><b>state_dict</b> {plural(len(mapping), "entry").replace("entrys", "entries")}, '
        f'{count(values)} values <span class="soft">{size_of(memory)}</span></p>'
    )
    rows = [_row(key, value) for key, value in list(mapping.items())[:MOST]]
    head_row: tuple[str, ...] = ("name", "shape", "dtype", "memory", "mean", "std", "NaN, Inf")
    if not any(row[-1] for row in rows):
        rows, head_row = [row[:-1] for row in rows], head_row[:-1]
    more = len(mapping) - MOST
    note = f'<p class="note">and {number(more)} more</p>' if more > 0 else ""
    shown = table(rows, head_row, numeric=(3, 4, 5))
    return card(
        "state", head, scroll(shown, "entries of the state_dict") if rows else '<p class="note">empty</p>', note
    )


def _row(key: str, value: Any) -> tuple[str, ...]:
    name = escape(key, 80)
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return name, escape(type(value).__name__, 40), "", "", "", "", ""
    facts = [shape_text(value.shape), dtype_name(value), size_of(value.numel() * value.element_size())]
    array = raw(value)
    if array is None:
        return name, *facts, "", "", "meta"
    if not array.size:
        return name, *facts, "", "", ""
    found = statistics(array)
    bad = ", ".join(f"{n} {label}" for label, n in (("NaN", found.nan), ("Inf", found.inf)) if n)
    warning = f'<span class="warn">{bad}</span>' if bad else ""
    return name, *facts, number(found.mean), number(found.std), warning
