"""What a training left behind: its curves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mlkit.observe import Recorder, RecorderSource, Source
from mlkit.observe.runs import lower_is_better

__all__ = ["History", "lower_is_better"]


class History(Mapping[str, list[float]]):
    """The curves of a training, by name: "train/loss", "valid/accuracy", "lr", ...

    It goes on growing while the training runs.

    >>> recorder = Recorder(root=False)
    >>> recorder.record(10, {"valid/accuracy": 0.5}); recorder.record(20, {"valid/accuracy": 0.75})
    >>> history = History(recorder)
    >>> history["valid/accuracy"], history.steps("valid/accuracy"), history.best("valid/accuracy")
    ([0.5, 0.75], [10, 20], 0.75)
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __getitem__(self, name: str) -> list[float]:
        if name not in self._recorder.names():
            raise KeyError(f"{name!r}; recorded are: {', '.join(self) or 'no curves yet'}")
        return self._recorder.read(name)[3].tolist()

    def __iter__(self) -> Iterator[str]:
        return iter(self._recorder.names())

    def __len__(self) -> int:
        return len(self._recorder.names())

    def steps(self, name: str) -> list[int]:
        """The training step of each point."""
        return self._recorder.read(name)[1].tolist()

    def times(self, name: str) -> list[float]:
        """Seconds since the start of the training of each point."""
        return self._recorder.read(name)[2].tolist()

    @property
    def epochs(self) -> int:
        """How many epochs were completed."""
        return sum(event["kind"] == "epoch" for event in self._recorder.events()) + self._recorder.restored_epochs

    def best(self, name: str, mode: str | None = None) -> float:
        """The best value of a curve.

        Args:
            name: Of the curve.
            mode: "max" or "min"; by default the smallest where the name speaks of a loss or an error.

        Raises:
            KeyError: There is no such curve.
            ValueError: It has no number in it.
        """
        values = [value for value in self[name] if not math.isnan(value)]
        if not values:
            raise ValueError(f"{name} has no values.")
        lower = mode == "min" if mode else lower_is_better(name)
        return min(values) if lower else max(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists: {"epochs": 2, "series": {name: {"steps": [...], "times": [...], "values": [...]}}}."""
        series = {}
        for name in self:
            _, steps, times, values = self._recorder.read(name)
            series[name] = {"steps": steps.tolist(), "times": times.tolist(), "values": values.tolist()}
        return {"epochs": self.epochs, "series": series}

    def __mlkit_source__(self) -> Source:
        return RecorderSource(self._recorder)

    def _repr_html_(self) -> str | None:
        return _display("repr_html", self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
        return _display("repr_mimebundle", self, include, exclude)

    def __repr__(self) -> str:
        last = []
        for name in self:
            count = self._recorder.count(name)
            if name != "lr" and count:
                last.append(f"{name} {self._recorder.read(name, count - 1)[3][0]:.4g}")
        step = self._recorder.status()["step"]
        return f"History({self.epochs} epochs, {step:,} steps{': ' if last else ''}{', '.join(last)})"


def _display(function: str, *arguments: Any) -> Any:
    from mlkit.core import rich

    return getattr(rich, function)(*arguments)
