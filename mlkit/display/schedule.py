"""A learning-rate schedule as HTML: the rates to come as a curve, from a copy, so that nothing moves."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from mlkit.display import svg
from mlkit.display.markup import card, escape, number, plural

MOST = 20_000  # steps that are looked ahead
_LENGTHS = (("T_max", 1.0), ("total_iters", 1.25), ("step_size", 5.0), ("T_0", 3.0), ("total_size", 2.0))


class _StandIn:
    """What a schedule needs of an optimizer: the settings of its groups, without parameters and state."""

    def __init__(self, optimizer: Any):
        self.param_groups = [
            {key: copy.copy(value) for key, value in group.items() if key != "params"} | {"params": []}
            for group in optimizer.param_groups
        ]
        self.defaults = dict(getattr(optimizer, "defaults", {}))
        self._opt_called = True
        self._step_seen = None


def html(scheduler: Any) -> str:
    """A card with the curve of each group's rate, from where the schedule is now."""
    kind = type(scheduler).__name__
    rates = [_plain(lr) for lr in _rates(scheduler)]
    at = int(getattr(scheduler, "last_epoch", 0))
    shown = ", ".join(number(lr) for lr in rates[:6]) + (", …" if len(rates) > 6 else "")
    head = (
        f'<p class="head"><b>{escape(kind, 60)}</b> rate {shown} after {plural(max(at, 0), "step")} '
        f'<span class="soft">of {escape(type(scheduler.optimizer).__name__, 60)}</span></p>'
    )
    settings = _settings(scheduler)
    facts = f'<p class="stats">{settings}</p>' if settings else ""
    if kind == "ReduceLROnPlateau":
        note = "the rate falls when the watched number stops improving, so the curve cannot be known before"
        return card("history", head, facts, f'<p class="note">{note}</p>')
    curves, failure = ahead(scheduler)
    if failure:
        return card("history", head, facts, f'<p class="note">the rates to come could not be told: {failure}</p>')
    steps = np.arange(at, at + len(curves))
    distinct: dict[bytes, int] = {}
    for group in range(curves.shape[1]):
        distinct.setdefault(curves[:, group].tobytes(), group)
    drawn = [
        svg.Series(
            "learning rate" if len(distinct) == 1 else f"group {group}", steps, curves[:, group], dashed=i % 2 == 1
        )
        for i, group in enumerate(list(distinct.values())[:6])
    ]
    # A warm-up from next to nothing is no reason for a logarithmic axis; a decay that is soon flat on a linear one is.
    highest = float(curves.max())
    log = None if highest > 0 and float((curves < highest / 50).mean()) > 0.5 else False
    chart = svg.lines(drawn, title="learning rate", width=460, height=200, legend=len(drawn) > 1, log=log)
    low, high = float(curves.min()), float(curves.max())
    alt = f"learning rate over the next {plural(len(curves), 'step')}, from {number(low)} to {number(high)}"
    caption = f"the next {plural(len(curves), 'step')}: from {number(low)} to {number(high)}, at the end {number(float(curves[-1, 0]))}"
    return card(
        "history", head, facts, f"<figure>{svg.embed(chart, alt, 460, 200)}<figcaption>{caption}</figcaption></figure>"
    )


def ahead(scheduler: Any, steps: int | None = None) -> tuple[np.ndarray, str]:
    """(float64 [steps, groups] of the rates from now on, "" or why there are none). The schedule itself stays."""
    steps = length(scheduler) if steps is None else steps
    try:
        stand_in = _StandIn(scheduler.optimizer)
        copied = copy.deepcopy(scheduler, {id(scheduler.optimizer): stand_in})
        out = [[_plain(group["lr"]) for group in stand_in.param_groups]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(min(steps, MOST) - 1):
                try:
                    copied.step()
                except ValueError:  # OneCycleLR ends
                    break
                out.append([_plain(group["lr"]) for group in stand_in.param_groups])
    except Exception as error:
        return np.zeros((0, 1)), escape(f"{type(error).__name__}: {error}", 300)
    return np.asarray(out, np.float64), ""


def length(scheduler: Any) -> int:
    """How many steps show the schedule's shape: what it says itself, else 100."""
    if isinstance(getattr(scheduler, "total_steps", None), int):
        return min(max(scheduler.total_steps - max(scheduler.last_epoch, 0), 2), MOST)
    found = [_own_length(scheduler)]
    members = list(getattr(scheduler, "_schedulers", ()))
    if members:
        marks = list(getattr(scheduler, "_milestones", ()))
        found.append(max(marks, default=0) + _own_length(members[-1]))
        found += [_own_length(member) for member in members]
    return int(min(max(found) + 1, MOST)) if max(found) > 0 else 100


def _own_length(scheduler: Any) -> float:
    found = [0.0]
    for name, times in _LENGTHS:
        value = getattr(scheduler, name, None)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append(value * times)
    if hasattr(scheduler, "milestones"):
        found.append(max(scheduler.milestones, default=0) * 1.25)
    return max(found)


def _rates(scheduler: Any) -> list:
    return [group["lr"] for group in scheduler.optimizer.param_groups]


def _plain(lr: Any) -> float:
    return float(lr.detach().item()) if hasattr(lr, "detach") else float(lr)


def _settings(scheduler: Any) -> str:
    hidden = {"last_epoch", "verbose", "base_lrs"}
    out = []
    for name, value in vars(scheduler).items():
        if (
            name.startswith("_")
            or name in hidden
            or isinstance(value, bool)
            or not isinstance(value, (int, float, str))
        ):
            continue
        shown = number(value) if isinstance(value, (int, float)) else escape(value, 40)
        out.append(f"<span><i>{escape(name, 40)}</i> {shown}</span>")
    return " ".join(out[:12])
