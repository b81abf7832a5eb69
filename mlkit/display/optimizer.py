"""An optimizer as HTML: its groups with their settings, how many values each moves, and what it remembers."""

from __future__ import annotations

from typing import Any

from mlkit.display.markup import card, count, escape, number, plural, scroll, size_of, table


def html(optimizer: Any) -> str:
    """A card with one row for each parameter group."""
    groups = list(optimizer.param_groups)
    every = [key for key in dict.fromkeys(k for g in groups for k in g) if key != "params"]
    off = [key for key in every if all(group.get(key) is None or group.get(key) is False for group in groups)]
    settings = [key for key in every if key not in off]
    rows, missing = [], 0
    for i, group in enumerate(groups):
        parameters = list(group["params"])
        missing += sum(p.requires_grad and p.grad is None for p in parameters)
        cells = [_setting(group.get(key)) for key in settings]
        rows.append((str(i), number(len(parameters)), count(sum(p.numel() for p in parameters)), *cells))
    total = sum(p.numel() for g in groups for p in g["params"])
    memory = _state_bytes(optimizer)
    words = [f"{count(total)} parameters in {plural(len(groups), 'group')}"]
    if memory:
        words.append(f"state {size_of(memory)}")
    head = f'<p class="head"><b>{escape(type(optimizer).__name__)}</b> {", ".join(words)}</p>'
    note = f'<p class="note">off: {escape(", ".join(off), 200)}</p>' if off else ""
    note += f'<p class="note">no gradient yet: {plural(missing, "tensor")}</p>' if missing else ""
    shown = table(
        rows, ("group", "tensors", "values", *(escape(s, 40) for s in settings)), numeric=range(1, 3 + len(settings))
    )
    return card("optimizer", head, scroll(shown, "parameter groups"), note)


def _setting(value: Any) -> str:
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, (tuple, list)) and all(isinstance(v, (int, float)) for v in value):
        return "(" + ", ".join(number(v) for v in value) + ")"
    return escape(value, 60)


def _state_bytes(optimizer: Any) -> int:
    total = 0
    for state in getattr(optimizer, "state", {}).values():
        for value in state.values() if hasattr(state, "values") else ():
            if hasattr(value, "element_size"):
                total += value.numel() * value.element_size()
            else:
                total += int(getattr(value, "nbytes", 0))
    return total
