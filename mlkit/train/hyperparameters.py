"""Numbers that a person registers under a name, to turn them while the training goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Hyperparameter", "Hyperparameters"]

LONGEST_NAME = 60


@dataclass
class Hyperparameter:
    """One registered number."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    apply: Callable[[Any, float], Any] | None = None

    @property
    def integer(self) -> bool:
        """Whether it is a whole number: those registered with an int stay one."""
        return isinstance(self.value, int)

    def checked(self, value: Any) -> float:
        """The value as it will be kept.

        Raises:
            ValueError: It is no finite number, no whole one where that is needed, or outside the limits.
        """
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{self.name} must be a finite number, got {value!r}.")
        if self.integer and value != int(value):
            raise ValueError(f"{self.name} must be a whole number, got {value!r}.")
        if self.low is not None and value < self.low:
            raise ValueError(f"{self.name} must be at least {self.low:g}, got {value:g}.")
        if self.high is not None and value > self.high:
            raise ValueError(f"{self.name} must be at most {self.high:g}, got {value:g}.")
        return int(value) if self.integer else float(value)

    def take(self, value: float, model: Any) -> None:
        """Change the value, and put it where it belongs in the model."""
        if self.apply is not None:
            self.apply(model, value)
        self.value = value


class Hyperparameters:
    """The registered numbers of one training, by name.

    >>> numbers = Hyperparameters()
    >>> numbers.register("temperature", 0.7, low=0.0)
    0.7
    >>> numbers.set("temperature", 2)
    2.0
    >>> numbers.values()
    {'temperature': 2.0}
    """

    def __init__(self) -> None:
        self._by_name: dict[str, Hyperparameter] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Hyperparameter:
        return self._by_name[name]

    def values(self) -> dict[str, float]:
        """The present values."""
        return {name: one.value for name, one in list(self._by_name.items())}  # a reader's thread may ask

    def describe(self) -> dict[str, dict[str, Any]]:
        """What a panel needs to make fields of them."""
        return {name: {"low": one.low, "high": one.high, "integer": one.integer}
                for name, one in list(self._by_name.items())}  # fmt: skip

    def register(
        self,
        name: str,
        value: float,
        low: float | None = None,
        high: float | None = None,
        apply: Callable[[Any, float], Any] | None = None,
        *,
        model: Any = None,
        taken: Iterable[str] = (),
    ) -> float:
        """Register a number, and give its value.

        Raises:
            ValueError: A name that cannot be or is taken, a value that is no number or outside the limits.
        """
        if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME:
            raise ValueError(f"A hyperparameter's name is a text of 1 to {LONGEST_NAME} characters, got {name!r}.")
        if name in taken:
            raise ValueError(f"{name!r} is a number of the optimizer already; choose another name.")
        if low is not None and high is not None and low > high:
            raise ValueError(f"{name}: low ({low!r}) must not be larger than high ({high!r}).")
        one = Hyperparameter(name, value, low, high, apply)
        one.take(one.checked(value), model)
        self._by_name[name] = one
        return one.value

    def set(self, name: str, value: float, model: Any = None) -> float:
        """Change a value, checked; gives it as it is kept."""
        one = self._by_name[name]
        one.take(one.checked(value), model)
        return one.value

    def load(self, values: dict[str, float], model: Any) -> None:
        """Take the values of a checkpoint, of those that are registered here."""
        for name, value in values.items():
            if name in self._by_name:
                self.set(name, value, model)
