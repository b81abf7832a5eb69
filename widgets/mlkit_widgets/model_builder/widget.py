"""The kernel's half of the model builder's canvas: it shows a `mlkit.builder.ModelBuilder` and does what the page asks.

Python holds the model. A page sends steps, when something was done and never while a block is being dragged; each is
checked and done here, and what it changed goes to all pages as traits.

    page -> kernel  {"kind": "step", "id": n, "do": "add", "graph": name | null, ...}   (mlkit/builder/commands.py)
                    {"kind": "train", "id": n} | {"kind": "sync"}
    kernel -> page  {"kind": "reply", "id": n, "ok": bool, "error": text, ...}
                    {"kind": "training", "state": ..., "curves": {...}, "health": {...}, ...}
"""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import traitlets

from mlkit_widgets._base import Widget, pump
from mlkit_widgets.model_builder.picture import draw

__all__ = ["ModelCanvas"]

SECONDS = 0.15
"""Between two looks at a running training: a curve that grows seven times a second looks alive."""

POINTS = 160
"""Of a curve on the canvas; longer ones are thinned by their means."""

ORDER = (
    "Yours", "Inputs", "Data", "Linear", "Convolution", "Activations", "Pooling", "Normalization", "Dropout", "Shapes", "Joins",
    "Attention", "Transformer", "Recurrent", "Embedding", "Functions", "Losses", "Padding", "Resampling", "Distances",
)  # fmt: skip
CURVES = ("train/loss", "valid/loss", "train/accuracy", "valid/accuracy")


class ModelCanvas(Widget):
    """The canvas of a `ModelBuilder`: blocks are dragged, linked, set and trained. ``builder.widget`` makes it.

    Args:
        builder: The builder that is shown.
    """

    _folder: ClassVar[Path] = Path(__file__).parent

    _palette = traitlets.Dict().tag(sync=True)
    _document = traitlets.Dict().tag(sync=True)
    _shapes = traitlets.Dict().tag(sync=True)
    _history = traitlets.Dict().tag(sync=True)
    _code = traitlets.Dict().tag(sync=True)
    _training = traitlets.Dict().tag(sync=True)
    _home = traitlets.Dict({"kind": "notebook"}).tag(sync=True)
    height = traitlets.Int(600).tag(sync=True)

    def __init__(self, builder: Any, **kwargs: Any) -> None:
        self._builder = builder
        self._source: Any = None
        self._source_of: Any = None
        self._looked = 0.0
        self._seen: Any = None
        self._preparing = False
        self._trouble = ""
        self._holding = False  # a step of the page is under way and will be shown when it is done
        super().__init__(height=builder.height, **kwargs)
        self.refresh(palette=True)

    @property
    def builder(self) -> Any:
        """The `ModelBuilder` that is shown."""
        return self._builder

    def close(self) -> None:
        """Take the canvas away; the builder and its training go on."""
        pump.discard(self)
        super().close()

    # --- to the page ----------------------------------------------------------------------------------------------

    def refresh(self, palette: bool = False, run: bool = False) -> None:
        """Show the builder's present state."""
        if self._holding:
            return
        with self._guard, self.hold_sync():
            builder = self._builder
            if palette:
                self._palette = _palette(builder)
            document = builder.document
            self._document = document.to_dict()
            self._shapes = {name: _shapes(found, document, name, builder.types)
                            for name, found in builder.shapes().items()}  # fmt: skip
            past, future = builder.history.undoable, builder.history.redoable
            self._history = {"undo": past[-1] if past else "", "redo": future[-1] if future else "", "steps": len(past)}
            self._code = self._write_code()
            self._training = self._settings()
        if run or builder.run is not None:
            pump.add(self)
        if self._displayed:
            self._renew_picture()

    def _write_code(self) -> dict[str, Any]:
        builder = self._builder
        told = [{"line": w.line, "text": str(w)} for w in builder.code_warnings]
        answer = {"library": builder.library, "warnings": told}
        try:
            return {**answer, "text": builder.code, "missing": ""}
        except Exception as error:  # not whole yet, which is how every model begins
            return {**answer, "text": "", "missing": getattr(error, "sentence", None) or str(error)}

    def _settings(self) -> dict[str, Any]:
        from mlkit.builder.training import LOSSES, OPTIMIZERS, shape_text

        builder = self._builder
        chosen = builder.training
        data = {name: one.words for name, one in builder.catalogue().items()}
        answer: dict[str, Any] = {"chosen": chosen, "data": data, "losses": LOSSES, "optimizers": OPTIMIZERS}
        if not builder.document.main.blocks:
            return {**answer, "sample": "", "objections": [{"message": "The canvas is empty.", "repair": ""}]}
        found = [{"message": o.message, "repair": o.repair.words if o.repair else ""} for o in builder.objections()]
        try:
            sample = builder.sample()
        except Exception:
            return {**answer, "sample": "", "objections": found}
        words = " and ".join(shape_text(["batch", *shape]) for shape in sample.shapes)
        if sample.classes is not None:
            words += f", {sample.classes} classes"
        if sample.length is not None:
            words += f", {sample.length:,} examples"
        return {**answer, "sample": words, "objections": found}

    # --- from the page --------------------------------------------------------------------------------------------

    def _answer(self, message: dict[str, Any]) -> dict[str, Any] | None:
        kind = message.get("kind")
        if kind == "sync":
            self._seen = None
            self._look()
            if self._builder.run is not None:
                pump.add(self)
            return None
        if kind == "train":
            self._train()
            return None
        if kind != "step":
            return None
        from mlkit.builder.commands import perform

        question = message.get("do") in ("fits", "steer")
        self._holding = True
        try:
            answer = perform(self._builder, {k: v for k, v in message.items() if k not in ("kind", "id")})
        finally:
            self._holding = False
        if not question:
            self.refresh()
        return answer

    def _train(self) -> None:
        """Begin on another thread: reading data and making weights may take longer than a page waits for an answer."""
        builder = self._builder
        if self._preparing or (builder.run is not None and not builder.run.done):
            raise RuntimeError("The model is being trained already.")
        self._preparing, self._trouble = True, ""

        def begin() -> None:
            try:
                builder.train()
            except Exception as error:  # shown where the button is
                self._trouble = str(error) or type(error).__name__
            finally:
                self._preparing = False
                with self._guard:
                    self._seen = None
                    self._look()
                pump.add(self)

        threading.Thread(target=begin, name="mlkit-canvas-train", daemon=True).start()
        self._seen = None
        self._look()

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._looked < SECONDS:
            return
        self._looked = now
        run = self._builder.run
        done = run is not None and run.done
        self._look()
        if done and not self._preparing:  # the last look was at the end
            pump.discard(self)
            self._renew_picture()

    def _look(self) -> None:
        """Send how the training stands, if anything has changed."""
        builder = self._builder
        run = builder.run
        if run is None or self._preparing:
            state = "preparing" if self._preparing else "failed" if self._trouble else "none"
            message: dict[str, Any] = {"kind": "training", "state": state, "error": self._trouble}
        else:
            if self._source_of is not run:
                from mlkit.observe import open_source

                self._source, self._source_of = open_source(run), run
            source, health = self._source, builder.health
            version = (source.version, health.version if health else 0, run.done)
            if version == self._seen:
                return
            self._seen = version
            message = _standing(source, run, self._trouble)
            message["health"] = health.report if health else {}
            message["names"] = {kind: name for name, kind in builder.variables.items()}
        self._tell(message)

    # --- pictures -------------------------------------------------------------------------------------------------

    def _draw(self) -> str:
        builder = self._builder
        return draw(builder.document, builder.shapes()[builder.document.name], builder.types)

    def _describe(self) -> str:
        return repr(self._builder)


def _palette(builder: Any) -> dict[str, Any]:
    """The palette in the order in which people look for things; only what differs from the usual is said."""
    from mlkit.builder.code import snippet
    from mlkit.builder.suggest import FAVOURITES

    groups = builder.types.groups()
    place = {name: i for i, name in enumerate(FAVOURITES)}
    names = [g for g in ORDER if g in groups] + [g for g in groups if g not in ORDER]
    out = []
    for name in names:
        blocks = []
        for block in sorted(groups[name], key=lambda block: place.get(block.name, len(place))):
            row: dict[str, Any] = {"name": block.name, "kind": block.kind, "doc": _short(block.doc),
                                   "in": list(block.inputs), "out": list(block.outputs)}  # fmt: skip
            if block.optional:
                row["optional"] = list(block.optional)
            if block.variadic:
                row["variadic"] = True
            row["code"] = snippet(block)
            row["properties"] = [
                {k: v for k, v in p.to_dict().items() if v is not None and v is not False or k in ("name", "type")}
                for p in block.properties
            ]
            blocks.append(row)
        if name == "Data":
            own = [n for n in builder.data if n not in builder.types]
            blocks[:0] = [{"name": n, "kind": "data", "doc": "Data of yours", "in": [], "out": ["inputs", "targets"],
                           "code": n if n.isidentifier() else "", "properties": []} for n in own]  # fmt: skip
        out.append({"name": name, "blocks": blocks})
    return {"groups": out}


def _short(doc: str, most: int = 160) -> str:
    first = re.split(r"(?<!\.)\. ", doc)[0].rstrip(".")
    return first if len(first) <= most else first[: most - 1].rsplit(" ", 1)[0] + "…"


def _shapes(found: Any, document: Any, name: str, types: Any) -> dict[str, Any]:
    graph = document.graph(name)
    special = {b.name: [list(part) for part in document.ports(b, types)] for b in graph.blocks
               if b.type in ("Graph", "chunk") or types[b.type].kind == "operator"}  # fmt: skip
    return {
        "values": {f"{b}.{p}": [_sizes(v), "" if v.dtype == "float32" else v.dtype]
                   for (b, p), v in found.values.items()},
        "problems": [
            {"block": p.block, "message": p.message, "link": str(p.link) if p.link else None,
             "came": None if p.source_shape is None else _sizes(p.source_shape),
             "wanted": None if p.expected_shape is None else _sizes(p.expected_shape),
             "repairs": [r.words for r in p.repairs],
             "open": p.link is None and p.message.startswith("Nothing is linked")}
            for p in found.problems
        ],
        "costs": {b: [c.parameters, c.macs, c.parameter_bytes, c.activation_bytes] for b, c in found.costs.items()},
        "total": [found.total.parameters, found.total.macs, found.total.parameter_bytes, found.total.activation_bytes],
        "ports": special,
    }  # fmt: skip


def _sizes(value: Any) -> list[Any] | str:
    """Sizes as the page shows them: N for the batch."""
    if getattr(value, "parts", None):
        return f"{len(value.parts)} tensors"
    shape = getattr(value, "shape", value)
    return ["N" if n == "batch" else n if isinstance(n, int) else str(n).replace("batch", "N") for n in shape]


def _standing(source: Any, run: Any, trouble: str) -> dict[str, Any]:
    status = source.status()
    curves, last = {}, {}
    names = set(source.names())
    for name in CURVES:
        if name not in names:
            continue
        _, steps, _, values = source.read(name)
        if len(values):
            curves[name] = _thin(steps, values)
            last[name] = float(values[-1])
    error = status.get("error") or (str(run.error) if run.error is not None else "") or trouble
    return {
        "kind": "training",
        "state": status.get("state", "running"),
        "error": error,
        **{key: status.get(key) for key in ("step", "steps", "epoch", "epochs", "eta", "elapsed")},
        "curves": curves,
        "last": last,
        "title": source.title,
    }


def _thin(steps: Any, values: Any) -> list[list[float | None]]:
    """[steps, values] with at most POINTS points, each the mean of its piece; None where a value is not finite."""
    import numpy as np

    steps, values = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    if len(values) > POINTS:
        edges = np.linspace(0, len(values), POINTS + 1).astype(int)[:-1]
        counts = np.diff([*edges, len(values)])
        steps, values = np.add.reduceat(steps, edges) / counts, np.add.reduceat(values, edges) / counts
    return [steps.tolist(), [v if np.isfinite(v) else None for v in values.tolist()]]
