"""Means of named numbers over batches, each weighted by its size."""

from __future__ import annotations

from typing import Any

__all__ = ["Means"]


class Means:
    """Sums and weights by name.

    >>> means = Means()
    >>> means.add({"loss": 1.0}, 3); means.add({"loss": 2.0}, 1); means.means()
    {'loss': 1.25}
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all."""
        self._sums: dict[str, float] = {}
        self._weights: dict[str, int] = {}

    def add(self, values: dict[str, float], size: int) -> None:
        """Take in the numbers of a batch of that size."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value * size
            self._weights[name] = self._weights.get(name, 0) + size

    def means(self) -> dict[str, float]:
        """The mean of each name."""
        return {name: total / max(1, self._weights[name]) for name, total in self._sums.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "weights": dict(self._weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums, self._weights = dict(state["sums"]), dict(state["weights"])
