"""The kernel's half of GradientFlow: it sends what was sampled of each layer, and how the chosen layer's values spread.

The browser keeps the numbers it got and says how many samples that are; the kernel sends the rest, as TrainingCurves does.
The spread of values over time is large, so only that of the chosen layer travels, thinned to what a screen can show.

    page -> kernel  {"kind": "sync", "streams": [a, b], "have": [samples of a, samples of b]}
                    {"kind": "show", "layer": name, "of": "gradient"}
    kernel -> page  {"kind": "update", "runs": [{stream, title, model, layers, order, start, steps, numbers, more}],
                     "findings": [...], "verdict": text, "watching": bool, "waiting": text, "cost": share, "others": [names]}
                    {"kind": "spread", "layer": name, "of": "gradient", "log": bool, "edges": [bins + 1],
                     "runs": [{steps [columns], shares [columns, bins], marks [columns, 3]}]}
                    {"kind": "problem", "text": text}

`numbers` is float32 [samples, layers, quantities], in the order of NAMES. `marks` are the values (or sizes, where `log`)
below which a twentieth, a half and nineteen twentieths of all lie.
"""

from __future__ import annotations

import base64
import contextlib
import io
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import traitlets

from mlkit_widgets._base import Widget, pump
from mlkit_widgets.gradient_flow.picture import draw

__all__ = ["GradientFlow"]

NAMES = ("gradient", "weight", "ratio", "dead", "activation")
SPREAD_OF = {
    "gradient": "gradient",
    "ratio": "gradient",
    "weight": "weight",
    "dead": "activation",
    "activation": "activation",
}
CHUNK = 400_000
"""The most numbers of one run in one message."""
COLUMNS, BINS = 160, 48
"""Of a heat map; a screen shows no more."""
JUDGE_SECONDS = 0.5
SPREAD_SECONDS = 0.25
PICTURE_SECONDS = 10.0
REST_SECONDS = 1.5
"""Without a new sample for so long, what is shown has come to rest, and its picture is kept."""
OTHERS = 50


class GradientFlow(Widget):
    """Gradients, weights and activations of each layer, live while the model trains.

    Layers are listed in the order in which they compute, each with a bar of the chosen quantity: gradient norm, weight norm,
    update in proportion to the weights, dead units, spread of activations. Choose a layer, by mouse or arrow keys, for
    its history and for how its values were spread over time (heat map or ridges). What vanishes, explodes or is dead is
    flagged, with the likely cause and what to try.

    Given a model, it watches it from now on (see `mlkit.observe.GradientFlow`): one line before any training loop is
    enough. What it shows is kept in the run directory of the training, so another kernel shows the same from its path.

    Args:
        source: A model to watch; a `mlkit.observe.GradientFlow`; a `Trainer`, a run or a `mlkit.live` loop, whose model is
            watched; or the path of a run directory.
        compare: A second run to draw beside it: a path, or anything that was watched.
        quantity: "gradient", "weight", "ratio", "dead" or "activation".
        layer: The name of the layer to show; by default the first.
        spread: "heatmap" or "ridge".
        every, share, name, run_dir: How to watch a model, as in `mlkit.observe.GradientFlow`.

    Raises:
        TypeError: `source` is none of these.
        ValueError: An option is out of its range.
        FileNotFoundError: No gradients were recorded in that directory and its run has ended, or the browser half has not
            been built.

    >>> flow = GradientFlow(model)                          # doctest: +SKIP
    >>> flow                                                # doctest: +SKIP
    <GradientFlow of Sequential: 7 layers, 42 samples, step 940, nothing to complain of>
    """

    _folder: ClassVar[Path] = Path(__file__).parent

    quantity = traitlets.Enum(NAMES, "gradient").tag(sync=True)
    layer = traitlets.Unicode("").tag(sync=True)
    spread = traitlets.Enum(["heatmap", "ridge"], "heatmap").tag(sync=True)
    compare = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        source: Any,
        *,
        compare: Any = None,
        quantity: str = "gradient",
        layer: str | None = None,
        spread: str = "heatmap",
        every: int | None = None,
        share: float | None = None,
        name: str | None = None,
        run_dir: Any = None,
        **kwargs: Any,
    ) -> None:
        if quantity not in NAMES:
            raise ValueError(f"quantity must be one of {', '.join(map(repr, NAMES))}, got {quantity!r}.")
        if spread not in ("heatmap", "ridge"):
            raise ValueError(f"spread must be 'heatmap' or 'ridge', got {spread!r}.")
        options = {"every": every, "share": share, "name": name, "run_dir": run_dir}
        self._flow = _watch(source, {key: value for key, value in options.items() if value is not None})
        if layer is not None and not self._flow.waiting:
            self._flow._row(layer)  # a KeyError that names those there are
        self._other: Any = None
        self._sent = [0, 0]
        self._streams = ["", ""]
        self._versions: tuple[Any, ...] = ()
        self._answered = False
        self._announce_at = self._judge_at = self._spread_at = self._pictured = self._changed_at = 0.0
        self._resting = False
        self._spread_key: tuple[Any, ...] = ()
        self._shown: tuple[str, str] | None = None  # what the page shows: the chosen layer may not have the quantity
        self._findings: Any = []
        if compare is not None:
            self._other = _open(compare)
        super().__init__(
            quantity=quantity,
            layer=layer or "",
            spread=spread,
            compare=self._other.title if self._other else "",
            **kwargs,
        )
        pump.add(self)

    # --- the same in plain Python ----------------------------------------------------------------------------------

    @property
    def flow(self) -> Any:
        """The `mlkit.observe.GradientFlow` (or what was read from a directory) that is drawn."""
        return self._flow

    def findings(self) -> Any:
        """What is wrong, why probably and what to try: see `mlkit.observe.GradientFlow.findings`."""
        return self._flow.findings()

    def table(self, step: int | None = None) -> Any:
        """The layers with their numbers: see `mlkit.observe.GradientFlow.table`."""
        return self._flow.table(step)

    def plot(self, quantity: str | None = None, layer: str | int | None = None, **options: Any) -> Any:
        """The same with matplotlib: see `mlkit.observe.GradientFlow.plot`."""
        return self._flow.plot(quantity or self.quantity, layer, **options)

    def detach(self) -> None:
        """Stop watching the model; what was recorded stays to be seen."""
        if hasattr(self._flow, "detach"):
            self._flow.detach()

    def close(self) -> None:
        """Take the widget away; the model is watched on until `detach`."""
        pump.discard(self)
        super().close()

    # --- to the browser -----------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Send what is new. Called by the pump, at most UPDATES_PER_SECOND times a second."""
        now = time.monotonic()
        flows = self._flows()
        versions = (*(one.version for one in flows), getattr(self._flow, "attached", None))
        if versions != self._versions:
            if self._answered:
                self._send_from(self._sent, now)
            elif now >= self._announce_at:
                # No page has asked yet: either none is open, or it cannot be heard because training holds the kernel.
                self._send_from([0, 0], now)
                self._announce_at = now + max(0.25, len(self._flow) / 2000)
            else:
                return
            self._versions, self._changed_at, self._resting = versions, now, False
            if now - self._pictured > PICTURE_SECONDS:
                self._pictured = now
                self._picture = self._draw()
        elif not self._resting and now - self._changed_at > REST_SECONDS:
            self._resting, self._pictured = True, now
            self._judge(now, always=True)
            self._tell(self._verdict())
            self._renew_picture()
        self._send_spread(now)

    def _flows(self) -> list[Any]:
        return [self._flow] if self._other is None else [self._flow, self._other]

    def _judge(self, now: float, always: bool = False) -> None:
        if always or now >= self._judge_at:
            self._judge_at = now + JUDGE_SECONDS
            self._findings = self._flow.findings()

    def _verdict(self) -> dict[str, Any]:
        return {
            "kind": "verdict",
            "findings": [one.to_dict() for one in self._findings],
            "verdict": "" if self._findings else str(self._findings or self._flow.findings()),
            "watching": bool(getattr(self._flow, "attached", False)),
            "waiting": self._flow.waiting,
            "cost": cost_of(self._flow),
            "others": self._others(),
        }

    def _send_from(self, have: list[int], now: float) -> None:
        self._judge(now)
        runs = []
        for at, flow in enumerate(self._flows()):
            start = have[at] if self._streams[at] == flow.identity else 0
            self._streams[at] = flow.identity
            runs.append(self._piece(flow, start))
            self._sent[at] = start + len(runs[-1]["steps"])
        self._tell({**self._verdict(), "kind": "update", "runs": runs})

    def _piece(self, flow: Any, start: int) -> dict[str, Any]:
        from mlkit.observe.flow.numbers import values_of

        samples = flow.samples(start)
        about = flow.about()
        rows = max(1, len(about.get("layers", ())))
        most = max(1, CHUNK // (rows * len(NAMES)))
        numbers = np.stack([values_of(samples, name) for name in NAMES], axis=-1).astype(np.float32)[:most]
        return {
            "stream": flow.identity,
            "title": flow.title,
            "model": flow.name,
            "layers": [
                {
                    key: one.get(key)
                    for key in ("name", "kind", "parameters", "shared", "frozen", "rectifier", "activation")
                }
                for one in about.get("layers", ())
            ],
            "order": list(about.get("order", ())),
            "start": start,
            "steps": samples.steps[:most],
            "rows": numbers.shape[1],
            "numbers": numbers,
            "more": len(samples) > most,
        }

    def _send_spread(self, now: float) -> None:
        """How the chosen layer's values were spread, when that or the choice has changed."""
        if not self._answered or now < self._spread_at:
            return
        usual = self.layer or next((one.name for one in self._flow.layers), ""), SPREAD_OF[self.quantity]
        name, of = self._shown or usual
        key = (name, of, self._versions, len(self._flow))
        if not name or key == self._spread_key:
            return
        self._spread_key, self._spread_at = key, now + SPREAD_SECONDS
        self._tell(spread_of(self._flows(), name, of))

    # --- from the browser ---------------------------------------------------------------------------------------

    def _answer(self, message: dict[str, Any]) -> None:
        if message.get("kind") == "sync":
            self._answered = True
            pump.add(self)
            streams, have = list(message.get("streams") or []), list(message.get("have") or [])
            for at, flow in enumerate(self._flows()):
                self._streams[at] = flow.identity
            known = [
                int(have[at]) if at < len(streams) and at < len(have) and streams[at] == flow.identity else 0
                for at, flow in enumerate(self._flows())
            ]
            self._judge(time.monotonic(), always=True)
            self._send_from([max(0, one) for one in known] + [0], time.monotonic())
            self._spread_key, self._spread_at = (), 0.0
            self._send_spread(time.monotonic())

        elif message.get("kind") == "show":
            name, of = str(message.get("layer")), str(message.get("of"))
            self._flow._row(name)
            if of not in SPREAD_OF.values():
                raise ValueError(f"There is no spread of {of!r}.")
            self._shown, self._spread_at = (name, of), 0.0
            self._send_spread(time.monotonic())

    @traitlets.observe("layer", "quantity")
    def _chosen(self, _: Any) -> None:
        self._shown, self._spread_at = None, 0.0
        pump.add(self)

    @traitlets.observe("compare")
    def _compared(self, change: dict[str, Any]) -> None:
        wanted = change["new"]
        if self._other is not None and wanted == self._other.title:
            return
        with self._guard:
            self._other = None
            if wanted in self._others():
                folder = self._flow.directory
                with contextlib.suppress(OSError, TypeError):
                    self._other = _open(folder.parent / wanted)
            self._streams[1], self._sent[1], self._versions = "", 0, ()

    def _others(self) -> list[str]:
        """Runs beside this one in which gradients were recorded, newest first."""
        folder = self._flow.directory
        own = "" if folder is None else folder.name
        names = []
        if folder is not None:
            now = time.monotonic()
            if now >= getattr(self, "_listed_at", 0.0):
                self._listed_at = now + 2.0
                self._listed = _recorded_in(folder.parent)
            names = [name for name in self._listed if name != own]
        if self._other is not None and self._other.title not in names:
            names.insert(0, self._other.title)
        return names[:OTHERS]

    # --- pictures -----------------------------------------------------------------------------------------------

    def _draw(self) -> str:
        return draw(self._flow, self._other, self.quantity, self.layer)

    def _bundle(self) -> dict[str, Any]:
        bundle = super()._bundle()
        with contextlib.suppress(Exception):  # for viewers that show no SVG, where there is matplotlib
            bundle["image/png"] = _png(self._flow, self.quantity)
        return bundle

    def _describe(self) -> str:
        flow = self._flow
        samples = len(flow)
        parts = [f"{len(flow.layers)} layers", f"{samples:,} samples"]
        if samples:
            parts.append(f"step {int(flow.samples(samples - 1).steps[-1]):,}")
            kinds = [one.kind for one in flow.findings()]
            parts.append(", ".join(kinds) if kinds else "nothing to complain of")
        return f"{type(self).__name__} of {flow.title}: {', '.join(parts)}"

    def __repr__(self) -> str:
        with contextlib.suppress(Exception):
            return super().__repr__()
        return f"<{type(self).__name__}>"


def cost_of(flow: Any) -> float:
    """The share of the time that watching takes; 0 where somebody else decided how often to look, or it is not known."""
    automatic = getattr(flow, "attached", False) and flow.every is None
    return float(flow.cost) if automatic else 0.0


def spread_of(flows: list[Any], name: str, of: str) -> dict[str, Any]:
    """The message that shows how one layer's values were spread in each run, over the same bins."""
    from mlkit.observe.flow.numbers import shared_edges, shares_in

    log = of == "gradient"
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for flow in flows:
        try:
            steps, values = flow.spread(name, of)
        except KeyError:  # the other run's model has no such layer
            steps, values = np.empty(0, np.int64), np.empty((0, 0), np.float32)
        whole = np.isfinite(values).all(axis=1) if len(values) else np.zeros(0, bool)
        steps, values = steps[whole], values[whole]
        if len(steps) > COLUMNS:
            at = np.unique(np.linspace(0, len(steps) - 1, COLUMNS).round().astype(int))
            steps, values = steps[at], values[at]
        kept.append((steps, values))
    everything = [values for _, values in kept if len(values)]
    edges = shared_edges(np.concatenate(everything), BINS, log) if everything else np.zeros(0)
    runs = []
    for steps, values in kept:
        shares = [shares_in(one, edges, log) for one in values]
        marks = [_marks(one, share, edges, log) for one, share in zip(values, shares)]
        runs.append({
            "steps": steps,
            "shares": np.array(shares, np.float32).reshape(len(steps), BINS if len(edges) else 0),
            "marks": np.array(marks, np.float64).reshape(len(steps), 3),
        })  # fmt: skip
    return {"kind": "spread", "layer": name, "of": of, "log": log, "edges": edges, "runs": runs}


def _marks(quantiles: np.ndarray, shares: np.ndarray, edges: np.ndarray, log: bool) -> np.ndarray:
    from mlkit.observe.flow import SHARES

    wanted = (0.05, 0.5, 0.95)
    if not log:
        return np.interp(wanted, SHARES, quantiles)
    below = np.concatenate([[0.0], np.cumsum(shares)])
    return 10.0 ** np.interp(np.array(wanted) * below[-1], below, edges) if below[-1] > 0 else np.zeros(3)


def _watch(source: Any, options: dict[str, Any]) -> Any:
    """What to draw: a model is watched from now on, anything else is looked up."""
    from mlkit.nn import Module
    from mlkit.observe import GradientFlow as Recorded
    from mlkit.observe.flow.attach import watching

    if isinstance(source, (str, Path)):
        return _open(source)
    known = watching(source)
    model = next(
        (
            one
            for one in (
                source,
                getattr(source, "model", None),
                getattr(getattr(source, "trainer", None), "model", None),
            )
            if isinstance(one, Module)
        ),
        None,
    )
    if known is not None and not options:
        return known
    return _open(source) if model is None else Recorded(model, **options)


def _open(source: Any) -> Any:
    from mlkit.observe import open_flow

    return open_flow(source)


def _recorded_in(root: Path) -> list[str]:
    found = []
    with contextlib.suppress(OSError):
        for path in root.iterdir():
            with contextlib.suppress(OSError):
                if any((path / "gradients").glob("*.json")):
                    found.append((path.stat().st_mtime, path.name))
    return [name for _, name in sorted(found, reverse=True)]


def _png(flow: Any, quantity: str) -> str:
    """The lines over time as a PNG, in base64; raises where matplotlib is missing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    flow.plot(quantity, ax=figure.subplots())
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    return base64.b64encode(file.getvalue()).decode("ascii")
