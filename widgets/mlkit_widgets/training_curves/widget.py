"""The kernel's half of TrainingCurves: it sends what a run recorded and passes commands on.

The browser keeps everything it got and says how much that is; the kernel sends the rest. Each piece carries the absolute
index at which it starts, so a page that was reloaded, a second display and a message lost on the way all end in the same
place: the page sees a gap, asks with `{"kind": "sync", "have": {...}}`, and gets the missing part.

    page -> kernel  {"kind": "sync", "stream": s, "have": {series: count}, "events": count}
                    {"kind": "command", "id": n, "command": "pause", "name": null, "value": null}
    kernel -> page  {"kind": "update", "stream": s, "series": [{name, start, steps, times, values}],
                     "events": {start, items}, "status": {...}, "reachable": [yes, why not], "more": bool}
                    {"kind": "reply", "id": n, "ok": bool, "error": text}
                    {"kind": "problem", "text": text}
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import traitlets

from mlkit_widgets._base import Widget, pump
from mlkit_widgets.training_curves.picture import draw

__all__ = ["TrainingCurves", "Watch"]

CHUNK = 20_000
"""The most points of one series in one message: 20 such messages a second are 8 MB/s, which a browser can follow."""

COMMANDS = ("pause", "resume", "step", "stop", "checkpoint", "set")
ALIVE = ("running", "paused", "stopping")
STATUS_SECONDS = 0.5
"""How often the status is sent when nothing else changed: it carries the clock, and tells that a run was lost."""

PICTURE_SECONDS = 15.0
"""How often the picture for a saved notebook is renewed while training goes on."""


class TrainingCurves(Widget):
    """Curves of a training run, growing while it trains, with buttons that steer it.

    Buttons: Pause, Resume, Step (one training step, then pause again), Stop, Save checkpoint; and a field
    "Learning rate", applied with Enter from the next step on and marked on the curves. They reach a run started with
    `trainer.start(...)`, and a run directory of any process on this machine. `trainer.fit(...)` holds the cell itself:
    the widget then says so and draws only.

    Everything is read from the run, nothing is kept here: a reloaded page, a second display and another notebook show
    the whole curve.

    Args:
        run: A `Trainer`, a run (`trainer.start(...)`), a `History`, or the path of a run directory.
        metrics: Which families to show, in this order ("loss", "accuracy", "lr"); by default every one there is.
        x: What lies along the x axis: "step", "epoch" or "time" (seconds of training).
        smoothing: Weight of the past in the smoothed training curves, 0 (as recorded) up to but without 1.
            The recorded curve stays visible, paler.
        log_y: Whether the y axes of losses are logarithmic.

    Raises:
        TypeError: `run` is none of these.
        ValueError: An option is out of its range.
        FileNotFoundError: No run is kept in that directory, or the browser half has not been built.

    >>> watch = Watch(run)                                  # doctest: +SKIP
    >>> watch                                               # doctest: +SKIP
    <TrainingCurves of digits-20260101-120000-a1b2: finished, step 940, valid accuracy 0.98>
    """

    _folder: ClassVar[Path] = Path(__file__).parent

    x = traitlets.Enum(["step", "epoch", "time"], "step").tag(sync=True)
    smoothing = traitlets.Float(0.6).tag(sync=True)
    log_y = traitlets.Bool(False).tag(sync=True)
    metrics = traitlets.List(traitlets.Unicode(), None, allow_none=True).tag(sync=True)

    def __init__(
        self,
        run: Any,
        *,
        metrics: Sequence[str] | None = None,
        x: str = "step",
        smoothing: float = 0.6,
        log_y: bool = False,
        **kwargs: Any,
    ) -> None:
        if x not in ("step", "epoch", "time"):
            raise ValueError(f"x must be 'step', 'epoch' or 'time', got {x!r}.")
        if isinstance(metrics, str):
            raise ValueError(f"metrics must be a list of names, for example metrics=[{metrics!r}].")
        self._source = open_source(run)
        self._stream = ""
        self._sent: dict[str, int] = {}
        self._sent_events = 0
        self._version: int | None = None
        self._status_sent = 0.0
        self._answered = False
        self._announce_at = 0.0
        self._state: str | None = None
        self._pictured = 0.0
        super().__init__(
            x=x, smoothing=smoothing, log_y=log_y, metrics=None if metrics is None else list(metrics), **kwargs
        )
        pump.add(self)

    @traitlets.validate("smoothing")
    def _check_smoothing(self, proposal: Any) -> float:
        if not 0 <= proposal["value"] < 1:
            raise ValueError(f"smoothing must be at least 0 and less than 1, got {proposal['value']}.")
        return float(proposal["value"])

    @property
    def source(self) -> Any:
        """The `mlkit.observe.Source` that is drawn."""
        return self._source

    def close(self) -> None:
        """Take the widget away; the run goes on."""
        pump.discard(self)
        super().close()

    # --- to the browser -----------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Send what is new. Called by the pump, at most UPDATES_PER_SECOND times a second."""
        now = time.monotonic()
        version = self._source.version
        changed = version != self._version
        if not changed and now - self._status_sent < STATUS_SECONDS:
            return
        status = self._source.status()
        if not changed and not self._behind() and self._answered and status.get("state") not in ALIVE:
            if status.get("state") == self._state:
                return
        if self._answered:
            self._send_from(self._sent, self._sent_events, status)
        elif now >= self._announce_at:
            # No page has asked yet: either none is open, or it cannot be heard because training holds the kernel.
            # Everything is sent each time then, less often the more there is, for a page that has just come up.
            self._send_from({}, 0, status)
            self._announce_at = now + max(0.25, sum(self._sent.values()) / 50_000)
        else:
            return
        self._version = version
        self._status_sent = now
        self._keep_picture(status, now)

    def _behind(self) -> bool:
        return any(self._source.count(name) > self._sent.get(name, 0) for name in self._source.names())

    def _send_from(self, have: dict[str, int], have_events: int, status: dict[str, Any] | None = None) -> None:
        source = self._source
        stream = str(getattr(source, "identity", ""))
        if stream != self._stream:  # another run behind the same trainer: indices begin again
            self._stream, self._sent, self._sent_events = stream, {}, 0
            have, have_events = {}, 0
        series, more = [], False
        for name in source.names():
            begin = have.get(name, 0)
            start, steps, times, values = source.read(name, begin)
            if len(steps) == 0:
                continue
            more = more or len(steps) > CHUNK
            piece = slice(0, CHUNK)
            series.append(
                {"name": name, "start": start, "steps": steps[piece], "times": times[piece], "values": values[piece]}
            )
            self._sent[name] = max(self._sent.get(name, 0), start + len(steps[piece]))
        events = source.events(have_events)
        self._sent_events = max(self._sent_events, have_events + len(events))
        self._tell(
            {
                "kind": "update",
                "stream": stream,
                "title": source.title,
                "series": series,
                "events": {"start": have_events, "items": events},
                "status": source.status() if status is None else status,
                "reachable": list(source.reachable),
                "more": more,
            }
        )

    # --- from the browser ---------------------------------------------------------------------------------------

    def _answer(self, message: dict[str, Any]) -> None:
        kind = message.get("kind")
        if kind == "sync":
            self._answered = True
            pump.add(self)
            same = message.get("stream") == getattr(self._source, "identity", "")
            have = message.get("have") if same else {}
            events = message.get("events") if same else 0
            self._send_from(
                {str(name): int(count) for name, count in (have or {}).items()},
                int(events or 0),
            )
        elif kind == "command":
            command = message.get("command")
            if command not in COMMANDS:
                raise ValueError(f"A run does not know the command {command!r}.")
            reachable, reason = self._source.reachable
            if not reachable:
                raise RuntimeError(reason)
            if command == "set":
                self._source.send("set", message.get("name"), message.get("value"))
            else:
                self._source.send(command)

    # --- pictures -----------------------------------------------------------------------------------------------

    def _keep_picture(self, status: dict[str, Any], now: float) -> None:
        state = status.get("state")
        at_rest = state != "running" and state != self._state
        self._state = state
        if at_rest:
            self._pictured = now
            self._renew_picture()
        elif state == "running" and now - self._pictured > PICTURE_SECONDS:
            self._pictured = now
            self._picture = self._draw()

    def _draw(self) -> str:
        return draw(self._source, metrics=self.metrics, x=self.x, smoothing=self.smoothing, log_y=self.log_y)

    def _describe(self) -> str:
        status = self._source.status()
        parts = [f"{status.get('state', 'ready')}", f"step {status.get('step') or 0}"]
        for name in ("valid/accuracy", "valid/loss", "train/loss"):
            count = self._source.count(name)
            if count:
                value = self._source.read(name, count - 1)[3][-1]
                parts.append(f"{name.replace('/', ' ')} {value:.4g}")
                break
        return f"{type(self).__name__} of {self._source.title}: {', '.join(parts)}"

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
    from mlkit.observe import open_source as open_any

    return open_any(run)
