"""A run without training: what TrainingCurves needs of a `mlkit.observe.Source`, filled by hand."""

from __future__ import annotations

from typing import Any

import numpy as np


class FakeSource:
    """Honours the interface of `mlkit.observe.Source`; commands are kept in `commands`."""

    def __init__(self, title: str = "fake") -> None:
        self.title = title
        self.identity = "first"
        self.version = 0
        self.reachable: tuple[bool, str] = (True, "")
        self.series: dict[str, list[tuple[int, float, float]]] = {}
        self.recorded: list[dict[str, Any]] = []
        self.commands: list[tuple[str, str | None, Any]] = []
        self.now: dict[str, Any] = {"state": "running", "step": 0, "steps": 100, "epoch": 1, "epochs": 5, "lr": 0.01}

    def add(self, name: str, step: int, value: float, seconds: float | None = None) -> None:
        self.series.setdefault(name, []).append((step, step * 0.1 if seconds is None else seconds, value))
        self.now["step"] = step
        self.version += 1

    def event(self, kind: str, **details: Any) -> None:
        self.recorded.append({"t": 0.0, "step": self.now["step"], "kind": kind, **details})
        self.version += 1

    def names(self) -> list[str]:
        return sorted(self.series)

    def count(self, name: str) -> int:
        return len(self.series.get(name, []))

    def read(
        self, name: str, start: int = 0, stop: int | None = None
    ) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        points = self.series.get(name, [])[start:stop]
        steps, times, values = zip(*points, strict=True) if points else ((), (), ())
        return start, np.array(steps, np.int64), np.array(times, np.float64), np.array(values, np.float64)

    def status(self) -> dict[str, Any]:
        return dict(self.now)

    def events(self, start: int = 0) -> list[dict[str, Any]]:
        return self.recorded[start:]

    def send(self, command: str, name: str | None = None, value: Any = None) -> None:
        self.commands.append((command, name, value))
