"""The kernel's half of TrainingCurves: it sends what runs recorded and passes commands on.

A page keeps what it got and says how much that is; the kernel sends the rest. A curve travels as buckets (see
`mlkit.observe.overview`), at most two thousand however long it is; each piece carries the size of its buckets and the index
of its first one, so a page that was reloaded, a second display and a message lost on the way all end in the same place: the
page sees a gap, asks with "sync", and gets what is missing. A part that is zoomed into comes in finer buckets of its own.

    page -> kernel  {"kind": "sync", "runs": {key: {"stream": s, "have": {series: [size, buckets]}, "events": count}}}
                    {"kind": "command", "id": n, "run": key, "command": "pause", "name": null, "value": null}
                    {"kind": "export", "id": n, "format": "svg" | "csv", "theme": "dark", "part": 0}
                    {"kind": "watch", "id": n, "names": [...]}          (a monitor: which runs of the folder to show)
    kernel -> page  {"kind": "update", "order": [keys], "runs": [{key, stream, series, windows, events, status,
                     about: {title, families, reachable, clonable, ...} or null}]}
                    {"kind": "reply", "id": n, "ok": bool, "error": text}
                    {"kind": "problem", "text": text}
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import traitlets

from mlkit.core.files import atomic_write
from mlkit_widgets._base import Widget, pump
from mlkit_widgets.training_curves.following import ALIVE, Following
from mlkit_widgets.training_curves.picture import draw
from mlkit_widgets.training_curves.table import csv_parts

__all__ = ["TrainingCurves", "Watch"]

COMMANDS = ("pause", "resume", "step", "stop", "checkpoint", "set", "clone")
STATUS_SECONDS = 0.5
"""How often the status is sent when nothing else changed: it carries the clock, and tells that a run was lost."""

DEAF_SECONDS = 3.0
"""How often everything is sent while a training holds the kernel, which then hears no page."""

AGAIN_SECONDS = 1.0
"""After so long without news the last state is sent once more: a kernel that is busy with many messages can lose one."""

PICTURE_SECONDS = 15.0
"""How often the picture for a saved notebook is renewed while training goes on."""
MOST_RUNS = 24
"""Runs on one picture; more could not be told apart."""


class TrainingCurves(Widget):
    """Curves of one training run or of several, growing while they train, with buttons that steer them.

    Buttons: Pause, Resume, Step (one training step, then pause again), Stop, Save checkpoint; "Clone from here" starts a
    second run with changed settings, drawn beside the first. A field "learning rate" and one for each registered
    hyperparameter are applied with Enter from the next step on and marked on the curves. They reach a run started with
    `trainer.start(...)`, a `mlkit.live` loop in a thread, and a run directory of any process on this machine.
    `trainer.fit(...)` holds the cell itself: the widget then says so and draws only. While a cell awaits (``await run``),
    buttons are heard with ipykernel 7.1 or newer; with 6.x leave the cell free.

    Drag over a curve to zoom in, double-click to see all again; with the keyboard: arrow keys read values, + and - zoom,
    Shift with an arrow key moves, 0 shows all. Everything is read from the runs, nothing is kept here: a reloaded page, a
    second display and another notebook show the whole curve.

    Args:
        run: A `Trainer`, a run (`trainer.start(...)`), a `mlkit.live` loop, a `History`, the path of a run directory, or a
            list of these (what `mlkit.observe.list_runs()` gives, too).
        metrics: Which families to show, in this order ("loss", "accuracy", "lr"); by default the usual ones.
        x: What lies along the x axis: "step", "epoch" or "time" (seconds of training).
        smoothing: Weight of the past in the smoothed training curves, 0 (as recorded) up to but without 1, over the
            points that are drawn. The recorded curve stays visible, paler.
        log_x: Whether the x axis is logarithmic.
        log_y: Whether the y axes are logarithmic, where there are positive values.
        zoom: The part of the x axis to show, (from, to); None: all of it.

    Raises:
        TypeError: `run` is none of these.
        ValueError: An option is out of its range, or there are too many runs.
        FileNotFoundError: No run is kept in that directory, or the browser half has not been built.

    >>> watch = Watch(run)                                  # doctest: +SKIP
    >>> watch                                               # doctest: +SKIP
    <TrainingCurves of digits-20260101-120000-a1b2: finished, step 940, valid accuracy 0.98>
    >>> Watch([run, "runs/digits-20260101-110000-c3d4"]).save("both.svg")     # doctest: +SKIP
    """

    _folder: ClassVar[Path] = Path(__file__).parent

    x = traitlets.Enum(["step", "epoch", "time"], "step").tag(sync=True)
    smoothing = traitlets.Float(0.6).tag(sync=True)
    log_x = traitlets.Bool(False).tag(sync=True)
    log_y = traitlets.Bool(False).tag(sync=True)
    metrics = traitlets.List(traitlets.Unicode(), None, allow_none=True).tag(sync=True)
    zoom = traitlets.List(traitlets.Float(), None, allow_none=True).tag(sync=True)
    hidden = traitlets.List(traitlets.Unicode()).tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)
    _library = traitlets.Dict(default_value=None, allow_none=True).tag(sync=True)

    def __init__(
        self,
        run: Any,
        *,
        metrics: Sequence[str] | None = None,
        x: str = "step",
        smoothing: float = 0.6,
        log_x: bool = False,
        log_y: bool = False,
        zoom: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        if x not in ("step", "epoch", "time"):
            raise ValueError(f"x must be 'step', 'epoch' or 'time', got {x!r}.")
        if isinstance(metrics, str):
            raise ValueError(f"metrics must be a list of names, for example metrics=[{metrics!r}].")
        self._followed: list[Following] = []
        self._keys = 0
        self._status_sent = 0.0
        self._answered = False
        self._announce_at = 0.0
        self._states: dict[str, Any] = {}
        self._pictured = 0.0
        self._redraw = self._unsure = False
        for one in run if isinstance(run, (list, tuple)) else [run]:
            self._follow(open_source(one))
        super().__init__(
            x=x, smoothing=smoothing, log_x=log_x, log_y=log_y, metrics=None if metrics is None else list(metrics),
            zoom=None if zoom is None else list(zoom), **kwargs,
        )  # fmt: skip
        pump.add(self)

    def _follow(self, source: Any) -> bool:
        """Put a run on the picture, unless it is there."""
        fresh = Following(source, f"run{self._keys}")
        if any(one.place == fresh.place or one.identity == fresh.identity for one in self._followed):
            return False
        if len(self._followed) >= MOST_RUNS:
            raise ValueError(f"At most {MOST_RUNS} runs are drawn on one picture.")
        self._keys += 1
        self._followed.append(fresh)
        return True

    @traitlets.validate("smoothing")
    def _check_smoothing(self, proposal: Any) -> float:
        if not 0 <= proposal["value"] < 1:
            raise ValueError(f"smoothing must be at least 0 and less than 1, got {proposal['value']}.")
        return float(proposal["value"])

    @traitlets.validate("zoom")
    def _check_zoom(self, proposal: Any) -> Any:
        value = proposal["value"]
        if value is not None and (len(value) != 2 or not value[0] < value[1]):
            raise ValueError(f"zoom is None or two rising numbers (from, to), got {value!r}.")
        return value

    @traitlets.observe("zoom", "metrics", "x")
    def _look_again(self, change: Any) -> None:
        self._redraw = True  # the next tick sends what this part needs

    @property
    def source(self) -> Any:
        """The `mlkit.observe.Source` that is drawn: the first where there are several."""
        return self._followed[0].source

    @property
    def sources(self) -> list[Any]:
        """The `mlkit.observe.Source` of every run on the picture."""
        return [one.source for one in self._followed]

    @property
    def steered(self) -> Any:
        """The `mlkit.observe.Source` of the run that the buttons steer; None where no run is shown."""
        chosen = [one.source for one in self._followed if one.key == self.selected]
        return (chosen or self.sources or [None])[0]

    def close(self) -> None:
        """Take the widget away; the runs go on."""
        pump.discard(self)
        super().close()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write what is shown to a file: a drawing (``.svg``), or every recorded point in a table (``.csv``).

        Returns:
            The path.

        Raises:
            ValueError: The name ends in neither.
            OSError: It cannot be written; an older file is as it was.
        """
        target = Path(path)
        if target.suffix.lower() not in (".svg", ".csv"):
            raise ValueError(
                f"save writes .svg or .csv, got {target.name!r}. The panel's Export menu makes a PNG as well."
            )
        with self._guard, atomic_write(target, "w") as file:
            if target.suffix.lower() == ".svg":
                file.write(self._draw())
            else:
                for part in csv_parts(self._on_picture(), self.metrics):
                    file.write(part())
        return target

    # --- to the browser -----------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Send what is new. Called by the pump, at most UPDATES_PER_SECOND times a second."""
        now = time.monotonic()
        due = now - self._status_sent >= STATUS_SECONDS
        redraw, self._redraw = self._redraw, False  # what is asked while this is sent is for the next turn
        if redraw and self._answered and not self._followed:
            self._tell({"kind": "update", "order": [], "runs": []})
        fresh = [one for one in self._followed if redraw or one.changed() or due and self._may_change(one)]
        if not fresh:
            if any(one.state != self._states.get(one.key) for one in self._followed):
                self._keep_picture(now)  # the page was told already, in an answer to what it asked
            if self._unsure and self._answered and now - self._status_sent >= AGAIN_SECONDS:
                self._unsure = False
                self._send_runs(self._followed)
            return
        if self._answered and now >= self._announce_at and any(one.holds_the_kernel() for one in fresh):
            # A page that is reloaded now cannot be heard asking: everything, every few seconds.
            for one in self._followed:
                one.forget()
            fresh = self._followed
            self._announce_at = now + DEAF_SECONDS
        if self._answered:
            self._send_runs(fresh)
        elif now >= self._announce_at:
            # No page has asked yet: either none is open, or it cannot be heard because training holds the kernel.
            # Everything is sent each time then, less often the more there is, for a page that has just come up.
            for one in self._followed:
                one.forget()
            self._send_runs(self._followed)
            self._announce_at = now + 0.25 * max(1, len(self._followed))
        else:
            self._redraw = redraw
            return
        self._status_sent, self._unsure = now, True
        self._keep_picture(now)

    def _may_change(self, one: Following) -> bool:
        """Whether its status can change though nothing is recorded: the clock of a run that lives."""
        return one.state in ALIVE or one.source.status().get("state") != one.state

    def _send_runs(self, runs: list[Following]) -> None:
        zoom = None if self.zoom is None else (self.zoom[0], self.zoom[1])
        waiting, updates = list(runs), []
        while waiting:
            one = waiting.pop(0)
            updates.append(one.update(self.metrics, zoom, self.x))
            for source in one.new_clones():
                with contextlib.suppress(ValueError):  # more clones than can be drawn
                    if self._follow(source):
                        waiting.append(self._followed[-1])
                        self.selected = self._followed[-1].key
        self._tell({"kind": "update", "order": [one.key for one in self._followed], "runs": updates})

    # --- from the browser ---------------------------------------------------------------------------------------

    def _answer(self, message: dict[str, Any]) -> dict[str, Any] | None:
        kind = message.get("kind")
        if kind == "sync":
            self._answered = True
            pump.add(self)
            known = message.get("runs") or {}
            for one in self._followed:
                page = known.get(one.key) or {}
                one.forget(page.get("have"), page.get("events") or 0, page.get("stream"))
            self._send_runs(self._followed)
        elif kind == "command":
            self._command(message)
        elif kind == "export":
            return self._export(message)
        return None

    def _command(self, message: dict[str, Any]) -> None:
        command = message.get("command")
        if command not in COMMANDS:
            raise ValueError(f"A run does not know the command {command!r}.")
        wanted = message.get("run")
        source = next((one.source for one in self._followed if one.key == wanted), None)
        if source is None:
            raise ValueError("This run is not shown any more.")
        if command == "clone":
            source.send("clone", None, message.get("value"))
            return
        reachable, reason = source.reachable
        if not reachable:
            raise RuntimeError(reason)
        if command == "set":
            source.send("set", message.get("name"), message.get("value"))
        else:
            source.send(command)

    def _export(self, message: dict[str, Any]) -> dict[str, Any]:
        if message.get("format") == "svg":
            theme = message.get("theme")
            return {"text": self._draw("dark" if theme == "dark" else "light"), "parts": 1}
        if message.get("format") == "csv":
            parts = csv_parts(self._on_picture(), self.metrics)
            at = int(message.get("part") or 0)
            if not 0 <= at < len(parts):
                raise ValueError(f"There is no part {at} of this table.")
            return {"text": parts[at](), "parts": len(parts)}
        raise ValueError(f"There is no export as {message.get('format')!r}.")

    # --- pictures -----------------------------------------------------------------------------------------------

    def _on_picture(self) -> list[Following]:
        return [one for one in self._followed if one.key not in self.hidden]

    def _keep_picture(self, now: float) -> None:
        states = {one.key: one.state for one in self._followed}
        came_to_rest = any(state != "running" and state != self._states.get(key) for key, state in states.items())
        self._states = states
        if came_to_rest:
            self._pictured = now
            self._renew_picture()
        elif "running" in states.values() and now - self._pictured > PICTURE_SECONDS:
            self._pictured = now
            self._picture = self._draw()

    def _draw(self, theme: str | None = None) -> str:
        with self._guard:  # drawing reads on, as updates do
            return draw(
                self._on_picture(), metrics=self.metrics, x=self.x, smoothing=self.smoothing, log_x=self.log_x,
                log_y=self.log_y, zoom=self.zoom, theme=theme,
            )  # fmt: skip

    def _describe(self) -> str:
        kind = type(self).__name__
        if not self._followed:
            return f"{kind} of no run"
        if len(self._followed) > 1:
            return f"{kind} of {len(self._followed)} runs: {', '.join(one.source.title for one in self._followed)}"
        source = self.source
        status = source.status()
        parts = [f"{status.get('state', 'ready')}", f"step {status.get('step') or 0}"]
        for name in ("valid/accuracy", "valid/loss", "train/loss"):
            count = source.count(name)
            if count:
                value = source.read(name, count - 1)[3][-1]
                parts.append(f"{name.replace('/', ' ')} {value:.4g}")
                break
        return f"{kind} of {source.title}: {', '.join(parts)}"

    def __repr__(self) -> str:
        with contextlib.suppress(Exception):
            return super().__repr__()
        return f"<{type(self).__name__}>"


Watch = TrainingCurves
"""`Watch(run)` reads better in a notebook; it is TrainingCurves."""


def open_source(run: Any) -> Any:
    """The `Source` of whatever was given; a Source stays what it is."""
    if all(hasattr(run, part) for part in ("names", "read", "status", "reachable", "version", "send")):
        return run
    from mlkit.observe import RunSummary
    from mlkit.observe import open_source as open_any

    return run.open() if isinstance(run, RunSummary) else open_any(run)
