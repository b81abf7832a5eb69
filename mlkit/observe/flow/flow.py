"""What can be asked of recorded gradients, wherever they are: numbers, a table, a figure, findings in words."""

from __future__ import annotations

import importlib
import math
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.observe.flow import measure
from mlkit.observe.flow.diagnose import Findings, diagnose
from mlkit.observe.flow.layers import Layer
from mlkit.observe.flow.measure import SPREADS
from mlkit.observe.flow.numbers import QUANTITIES, middle, one_of, shared_edges, shares_in, short, values_of
from mlkit.observe.flow.recording import (
    AwaitedRecording,
    DirectoryRecording,
    Recording,
    Samples,
    is_going_on,
    recordings_in,
)

__all__ = ["Flow", "FlowTable", "RecordedFlow", "open_flow"]

WATCH = "Watch the model before it is trained: GradientFlow(model)."


class Flow(ABC):
    """Gradients, weights and activations of a model over a training. Every method may be called from any thread."""

    name: str

    @property
    def waiting(self) -> str:
        """Why there is nothing yet, in words, where it is read from a run in which nothing has been recorded; else ""."""
        return ""

    @property
    @abstractmethod
    def _recording(self) -> Recording | DirectoryRecording:
        """Where the samples are."""

    # -- what was recorded ----------------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """Layers with parameters and activations, in the order in which they compute."""
        return [layer for _, layer in _in_order(self._recording.about)]

    @property
    def steps(self) -> np.ndarray:
        """The steps that were looked at; int64 [samples]."""
        return self._recording.read().steps

    def __len__(self) -> int:
        return self._recording.count

    @property
    def title(self) -> str:
        """What to call it."""
        folder = self.directory
        return self.name if folder is None else folder.name

    @property
    def directory(self) -> Path | None:
        """The run directory; None for what is in memory only."""
        return None

    @property
    def identity(self) -> str:
        """Stays the same as long as the samples go on being counted."""
        return f"{id(self._recording):x}"

    @property
    def version(self) -> int:
        """Changes whenever anything changed; cheap to ask."""
        return self._recording.version

    def samples(self, start: int = 0) -> Samples:
        """The samples from index `start` on; their layers are in the order of `about`, not the forward one."""
        return self._recording.read(start)

    def about(self) -> dict[str, Any]:
        """The layers as dictionaries, and their forward order."""
        return self._recording.about

    def history(self, layer: str | int, quantity: str = "gradient") -> tuple[np.ndarray, np.ndarray]:
        """One quantity of one layer over time: (steps int64 [n], values float64 [n]); NaN where there is none.

        Args:
            layer: Its name, or its place in `layers`.
            quantity: "gradient", "weight", "ratio", "dead" or "activation".
        """
        row = self._row(layer)
        samples = self._recording.read()
        return samples.steps, values_of(samples, quantity)[:, row]

    def histogram(
        self, layer: str | int, of: str = "gradient", bins: int = 40, log: bool = False, step: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """How the values of a layer were spread at one step: (shares float64 [bins], edges float64 [bins + 1]).

        Args:
            layer: Its name, or its place in `layers`.
            of: "gradient", "weight" or "activation".
            bins: How many.
            log: Of the decimal logarithm of the values' sizes.
            step: The sample nearest to it; by default the last.
        """
        kept = self.spread(layer, of)[1]
        steps = self.steps
        if not len(steps):
            raise ValueError("Nothing has been recorded yet.")
        at = len(steps) - 1 if step is None else int(np.abs(steps - step).argmin())
        edges = shared_edges(kept[at : at + 1], bins, log)
        return shares_in(kept[at], edges, log), edges

    def spread(self, layer: str | int, of: str = "gradient") -> tuple[np.ndarray, np.ndarray]:
        """How the values of a layer are spread, over time: (steps int64 [n], values float32 [n, shares]).

        Column k has the values below which the share ``mlkit.observe.flow.SHARES[k]`` of all lies: the first is the
        smallest value, the last the largest.
        """
        if of not in SPREADS:
            raise ValueError(f"of must be {one_of(SPREADS)}, got {of!r}.")
        row = self._row(layer)
        kept = self._recording.spreads(row, SPREADS.index(of))
        return self._recording.read().steps[: len(kept)], kept

    def _row(self, layer: str | int) -> int:
        rows = list(_in_order(self._recording.about))
        if isinstance(layer, int) and not isinstance(layer, bool) and -len(rows) <= layer < len(rows):
            return rows[layer][0]
        for row, one in rows:
            if one.name == layer:
                return row
        raise KeyError(f"There is no layer {layer!r}. There are: {', '.join(one.name for _, one in rows) or 'none'}.")

    # -- what it says -------------------------------------------------------------------------------------------------

    def findings(self) -> Findings:
        """What is wrong, where, why probably, and what to try. Printing it gives readable text; it is empty when all is
        well.

        Judged by the last samples: gradients that vanish towards the first layers, gradients or updates that explode,
        and units that are dead.
        """
        recording = self._recording
        samples = recording.read(max(0, recording.count - 400))
        about = recording.about
        layers = [Layer.from_dict(one) for one in about.get("layers", ())]

        return diagnose(layers, list(about.get("order", ())), samples)

    def table(self, step: int | None = None) -> FlowTable:
        """One line per layer, in forward order: gradient, weights, update in proportion, dead units, activations.

        Args:
            step: The sample nearest to it; by default the median of the last five.
        """
        recording = self._recording
        samples = recording.read()
        rows = []
        if len(samples):
            near = int(np.abs(samples.steps - step).argmin()) if step is not None else len(samples) - 1
            part = slice(near, near + 1) if step is not None else slice(max(0, near - 4), near + 1)
            shown = {name: middle(values_of(samples, name)[part]) for name in QUANTITIES}
            shown["mean"] = middle(samples.numbers[part, :, measure.MEAN])
            at = int(samples.steps[near])
        else:
            shown, at = {}, None
        flags: dict[str, list[str]] = {}
        for finding in self.findings():
            for name in finding.layers:
                flags.setdefault(name, []).append(finding.kind)
        for row, layer in _in_order(recording.about):
            values = {name: float(one[row]) if row < len(one) else math.nan for name, one in shown.items()}
            rows.append({
                "layer": layer.name, "kind": layer.kind, "parameters": layer.parameters,
                "gradient": values.get("gradient", math.nan), "weight": values.get("weight", math.nan),
                "ratio": values.get("ratio", math.nan), "dead": values.get("dead", math.nan),
                "activation_mean": values.get("mean", math.nan), "activation_std": values.get("activation", math.nan),
                "flags": flags.get(layer.name, []), "frozen": layer.frozen, "shared": layer.shared,
            })  # fmt: skip
        return FlowTable(rows, at, self.title)

    def plot(
        self, quantity: str = "gradient", layer: str | int | None = None, *, kind: str | None = None, ax: Any = None
    ) -> Any:
        """Draw with matplotlib.

        Args:
            quantity: "gradient", "weight", "ratio", "dead" or "activation".
            layer: Only this one, by its name or its place in `layers`.
            kind: "lines" (over time, one line per layer; the default), "bars" (the last values in forward order), or, for one
                layer and for gradient, weight and activation, "heatmap" and "ridge": how the values were spread over
                time.
            ax: The ``Axes`` to draw on; by default new ones.

        Returns:
            The ``Axes``.
        """
        return importlib.import_module("mlkit.plot").gradient_flow(self, quantity, layer, kind=kind, ax=ax)

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich  # drawn only where something displays it

        return rich.repr_html(self)


class RecordedFlow(Flow):
    """Gradients read from a run directory, perhaps while another process goes on training. See `open_flow`."""

    def __init__(self, run: Path, recorded: DirectoryRecording) -> None:
        self.run = run
        self._recorded = recorded

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.run.name if self.waiting else self._recorded.name

    @property
    def waiting(self) -> str:
        recorded = self._recorded
        if not isinstance(recorded, AwaitedRecording) or recorded.about["layers"] or recorded.found:
            return ""
        if recorded.ended:
            return f"The run has ended, and no gradients were recorded in it. {WATCH}"
        return f"Waiting for the first sample of this run. If none comes, its model is not watched. {WATCH}"

    @property
    def _recording(self) -> DirectoryRecording:
        return self._recorded

    @property
    def directory(self) -> Path | None:
        return self.run

    @property
    def identity(self) -> str:
        return str(self._recorded.path)

    def __repr__(self) -> str:
        return f"<RecordedFlow of {self.run.name}: {len(self.layers)} layers, {len(self):,} samples>"


class FlowTable:
    """Layers in forward order with their numbers. Iterate over it, or print it.

    Attributes:
        rows: A dictionary per layer: "layer", "kind", "parameters", "gradient" (norm), "weight" (norm), "ratio"
            (update / weight), "dead" (a share), "activation_mean", "activation_std", "flags", "frozen", "shared".
        step: The step it is of; None where nothing has been recorded.
    """

    HEADS = ("layer", "kind", "gradient", "weight", "update/weight", "dead", "activation", "flags")

    def __init__(self, rows: list[dict[str, Any]], step: int | None, title: str) -> None:
        self.rows, self.step, self.title = rows, step, title

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, layer: str | int) -> dict[str, Any]:
        if isinstance(layer, int):
            return self.rows[layer]
        for row in self.rows:
            if row["layer"] == layer:
                return row
        raise KeyError(f"There is no layer {layer!r}. There are: {', '.join(row['layer'] for row in self.rows)}.")

    def texts(self) -> list[tuple[str, ...]]:
        """The table's cells as text."""
        return [
            (
                row["layer"],
                row["kind"],
                "frozen" if row["frozen"] else short(row["gradient"]),
                short(row["weight"]),
                short(row["ratio"]),
                "" if math.isnan(row["dead"]) else f"{100 * row['dead']:.0f} %",
                ""
                if math.isnan(row["activation_std"])
                else f"{short(row['activation_mean'])} ± {short(row['activation_std'])}",
                ", ".join(row["flags"]) + (f" (shares with {row['shared']})" if row["shared"] else ""),
            )
            for row in self.rows
        ]

    def __str__(self) -> str:
        lines = [self.HEADS, *self.texts()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.HEADS))]
        right = (False, False, True, True, True, True, False, False)
        cells = [
            "  ".join(
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(line, widths, right)
            )
            for line in lines
        ]
        where = f"step {self.step:,}" if self.step is not None else "nothing recorded yet"
        return "\n".join([f"{self.title}: {where}", *(line.rstrip() for line in cells)])

    __repr__ = __str__

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich

        return rich.repr_html(self)


def open_flow(obj: Any, name: str | None = None) -> Flow:
    """The gradients of a model that is watched, of a `Trainer`, a run, or a run directory of any process.

    Args:
        obj: A `GradientFlow`; a model that one watches; a `Trainer`, a `Run` or a `mlkit.live` loop whose model one
            watches; or the path of a run directory.
        name: Which of a directory's recordings, where several models were watched; by default the last.

    The directory of a run that is going on and has not been sampled yet is waited for: what is given is empty, `waiting`
    says so, and it fills by itself.

    Raises:
        TypeError: `obj` is none of these.
        FileNotFoundError: There is no such directory, or nothing was watched in that run.
    """
    if isinstance(obj, Flow):
        return obj
    from mlkit.observe.flow.attach import watching

    if isinstance(obj, (str, os.PathLike)):
        return _open_directory(Path(obj), name, wait=True)
    flow = watching(obj)
    if flow is not None:
        return flow
    directory = getattr(obj, "directory", None) or getattr(getattr(obj, "recorder", None), "path", None)
    if directory is not None:
        return _open_directory(Path(directory), name)
    if hasattr(obj, "modules") or hasattr(obj, "model"):
        raise FileNotFoundError(
            f"The gradients of this {type(obj).__name__} are not recorded. Watch the model before it is trained: "
            "GradientFlow(model)."
        )
    raise TypeError(
        "Expected a GradientFlow, a model, a Trainer, a run or the path of a run directory, got a "
        f"{type(obj).__module__}.{type(obj).__qualname__}."
    )


def _open_directory(run: Path, name: str | None, wait: bool = False) -> RecordedFlow:
    if not run.is_dir():
        raise FileNotFoundError(f"There is no run directory {run}. mlkit.observe.list_runs() names those there are.")
    going_on = wait and is_going_on(run)  # asked first: what it writes meanwhile is found
    found = {path.name: path for path in recordings_in(run)}
    if going_on and (not found if name is None else name not in found):
        return RecordedFlow(run, AwaitedRecording(run, name))
    if name is not None and name not in found:
        raise FileNotFoundError(f"{run.name} has no recording {name!r}. It has: {', '.join(found) or 'none'}.")
    if not found:
        raise FileNotFoundError(f"No gradients were recorded in {run}. {WATCH}")
    return RecordedFlow(run, DirectoryRecording(found[name] if name is not None else list(found.values())[-1]))


def _in_order(about: dict[str, Any]) -> list[tuple[int, Layer]]:
    layers = about.get("layers", ())
    return [(row, Layer.from_dict(layers[row])) for row in about.get("order", ()) if row < len(layers)]
