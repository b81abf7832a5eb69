"""What a widget has sent of one run: the curves in few numbers, so that a million points travel as two thousand."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from mlkit.observe.overview import Overview, window

__all__ = ["Following", "families", "is_loss", "steps_per_epoch"]

PARTS = ("train", "valid", "val", "validation", "test", "eval")
FIRST = ("loss", "accuracy")
LAST = ("lr",)
LOSSES = ("loss", "error", "perplexity", "mse", "mae", "rmse")
PANELS = 6
"""Panels that are shown unasked; the others can be chosen."""
ALIVE = ("running", "paused", "stopping")
ABOUT_SECONDS = 0.5
"""How often what changes rarely is looked at: checkpoints, settings, whether buttons reach the run."""
WINDOW_POINTS = 1200
"""Buckets of a part that was zoomed into: more than a panel is wide."""
STATUS_PARTS = (
    "state", "step", "steps", "epoch", "epochs", "examples_per_second", "elapsed", "eta", "memory_bytes", "lr",
    "hyperparameters", "registered", "error", "report",
)  # fmt: skip


def family_of(name: str) -> str:
    """What a curve measures: train and validation of one metric belong together.

    >>> family_of("train/loss"), family_of("valid/loss"), family_of("gradients/0.weight")
    ('loss', 'loss', 'gradients/0.weight')
    """
    head, _, rest = name.partition("/")
    return rest if rest and head in PARTS else name


def families(names: Iterable[str], wanted: Iterable[str] | None = None) -> dict[str, list[str]]:
    """Series grouped by what they measure, in the order of the panels.

    >>> families(["lr", "train/accuracy", "train/loss", "valid/loss"])
    {'loss': ['train/loss', 'valid/loss'], 'accuracy': ['train/accuracy'], 'lr': ['lr']}
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(family_of(name), []).append(name)

    def place(family: str) -> tuple[int, str]:
        if family in FIRST:
            return FIRST.index(family), family
        return (99 if family in LAST else 70 if "/" in family else 50), family

    order = sorted(groups, key=place) if wanted is None else [family for family in wanted if family in groups]
    return {family: groups[family] for family in order}


def usual(everything: dict[str, Any]) -> list[str]:
    """The families that are shown unasked: not all of a hundred, and the learning rate among them."""
    plain = [family for family in everything if "/" not in family] or list(everything)
    if len(plain) > PANELS and "lr" in plain:
        return [*[family for family in plain if family != "lr"][: PANELS - 1], "lr"]
    return plain[:PANELS]


def is_loss(family: str) -> bool:
    """Whether less is better."""
    return family.rsplit("/", 1)[-1] in LOSSES


def steps_per_epoch(status: dict[str, Any]) -> float | None:
    """How many steps make an epoch, where the run knows its length."""
    steps, epochs = status.get("steps"), status.get("epochs")
    return steps / epochs if steps and epochs else None


class Following:
    """One run behind a widget.

    Args:
        source: The run's `mlkit.observe.Source`.
        key: The widget's name for it.
    """

    def __init__(self, source: Any, key: str) -> None:
        self.source = source
        self.key = key
        self.stream = ""
        self.overviews: dict[str, Overview] = {}
        self.version: int | None = None
        self.status: dict[str, Any] = {}
        """As of the last `update`."""
        self._names: list[str] = []
        self._groups: dict[str, list[str]] = {}
        self._about_at = 0.0
        self._sent: dict[str, tuple[int, int]] = {}  # bucket size, complete buckets
        self._sent_points: dict[str, int] = {}
        self._sent_events = 0
        self._windows: dict[str, tuple[Any, ...]] = {}
        self._clones_due = True

    @property
    def identity(self) -> str:
        return str(getattr(self.source, "identity", ""))

    @property
    def place(self) -> str:
        """Where the run is kept: two sources of one run have the same."""
        path = getattr(self.source, "path", None)
        return self.identity if path is None else str(path)

    @property
    def state(self) -> Any:
        """The run's state as of the last `update`."""
        return self.status.get("state")

    def holds_the_kernel(self) -> bool:
        """Whether this very kernel is busy with the training, in the cell itself: it hears no page then."""
        return self.status.get("mode") == "blocking" and self.status.get("pid") == os.getpid() and self.state in ALIVE

    def changed(self) -> bool:
        """Whether the run has anything new since `update`."""
        return self.source.version != self.version

    def new_clones(self) -> list[Any]:
        """Runs that were started from this one, whenever there may be more of them than before."""
        if not self._clones_due or not hasattr(self.source, "clones"):
            return []
        self._clones_due = False
        return self.source.clones()

    def forget(self, have: dict[str, Any] | None = None, events: int = 0, stream: Any = None) -> None:
        """A page says what it has; everything else is sent again."""
        self._windows, self._sent_points = {}, {}
        self._about_at = 0.0
        if stream != self.identity:
            have, events = None, 0
        known = {}
        for name, (size, count) in (have or {}).items():
            known[str(name)] = (int(size), int(count))
        self._sent, self._sent_events = known, int(events)

    def update(self, shown: list[str] | None, zoom: tuple[float, float] | None, axis: str) -> dict[str, Any]:
        """What is new, for the page.

        Args:
            shown: Families that the page draws; None: the usual ones.
            zoom: The part of the x axis that the page shows, None: all of it.
            axis: What lies along x.
        """
        source = self.source
        self.version = source.version
        if self.identity != self.stream:  # another run behind the same trainer: counting begins again
            self.stream, self.overviews = self.identity, {}
            self._sent, self._sent_points, self._sent_events, self._windows = {}, {}, 0, {}
        before, self.status = self.state, source.status()
        status = self.status
        names = source.names()
        if names != self._names:
            self._names, self._groups, self._about_at = names, families(names), 0.0
        groups = self._groups
        drawn = [name for family in (usual(groups) if shown is None else shown) for name in groups.get(family, ())]
        series = [piece for name in drawn if (piece := self._piece(name)) is not None]
        first, events = self._sent_events, source.events(self._sent_events)
        self._sent_events += len(events)
        self._clones_due = self._clones_due or any(event.get("kind") == "clone" for event in events)
        now = time.monotonic()
        about = None
        if now - self._about_at >= ABOUT_SECONDS or self.state != before:
            self._about_at = now
            about = self._about(groups)
        return {
            "key": self.key,
            "stream": self.stream,
            "about": about,
            "series": series,
            "windows": self._windows_for(drawn, zoom, axis, steps_per_epoch(status)),
            "events": {"start": first, "items": events},
            "status": {part: status.get(part) for part in STATUS_PARTS},
        }

    def _about(self, groups: dict[str, list[str]]) -> dict[str, Any]:
        """What changes rarely."""
        source = self.source
        meta = getattr(source, "meta", {}) or {}
        return {
            "title": source.title,
            "families": groups,
            "reachable": list(source.reachable),
            "clonable": list(getattr(source, "clonable", (False, ""))),
            "checkpoints": source.checkpoints()[-20:] if hasattr(source, "checkpoints") else [],
            "settings": _settings(meta),
            "cloned_from": meta.get("cloned_from"),
        }

    def follow(self, name: str) -> Overview:
        """The overview of one curve, with all points there are."""
        overview = self.overviews.setdefault(name, Overview())
        if self.source.count(name) > overview.points:
            _, steps, times, values = self.source.read(name, overview.points)
            overview.extend(steps, times, values)
        return overview

    def _piece(self, name: str) -> dict[str, Any] | None:
        overview = self.follow(name)
        size, have = self._sent.get(name, (0, 0))
        start = min(have, len(overview)) if size == overview.size else 0
        if self._sent_points.get(name) == overview.points:
            return None
        self._sent_points[name] = overview.points
        buckets = overview.buckets(start)
        self._sent[name] = (overview.size, overview.complete)
        return {
            "name": name, "size": overview.size, "start": start, "points": overview.points,
            **_columns(buckets, overview.size),
            "lowest": list(overview.lowest or ()), "highest": list(overview.highest or ()),
            "last": list(overview.last or ()),
        }  # fmt: skip

    def _windows_for(
        self, drawn: list[str], zoom: tuple[float, float] | None, axis: str, per_epoch: float | None
    ) -> list[dict[str, Any]]:
        """Zoomed into: each curve's part, finer than the overview, when it is new or has grown."""
        if zoom is None:
            self._windows = {}
            return []
        low, high = zoom
        scale = per_epoch if axis == "epoch" and per_epoch else 1.0
        pieces = []
        for name in drawn:
            overview = self.overviews[name]
            if overview.size == 1 or overview.last is None:
                continue  # the overview has every point
            reach = overview.last.time if axis == "time" else overview.last.step / scale
            asked = (low, high, axis, overview.points if high >= reach else -1)
            if self._windows.get(name) == asked:
                continue
            self._windows[name] = asked
            along = "time" if axis == "time" else "step"
            buckets = window(self.source, name, overview, along, low * scale, high * scale, WINDOW_POINTS)
            pieces.append({"name": name, "zoom": [low, high], **_columns(buckets, 0)})
        return pieces


def _columns(buckets: Any, size: int) -> dict[str, Any]:
    columns = {"step": buckets.step, "time": buckets.time, "mean": buckets.mean}
    if size != 1:
        columns |= {"low": buckets.low, "high": buckets.high}
    # The edges of a stretch are only drawn: half the bytes are enough for them.
    return {name: column.astype(np.float32) if name in ("low", "high") else column for name, column in columns.items()}


def _settings(meta: dict[str, Any]) -> dict[str, Any]:
    """What may differ between runs, in short."""
    known = ("model", "optimizer", "scheduler", "loss", "batch_size", "epochs", "precision", "device")
    chosen = {name: meta[name] for name in known if meta.get(name) is not None}
    given = meta.get("hyperparameters")
    return chosen | (given if isinstance(given, dict) else {})
