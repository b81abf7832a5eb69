"""How far numbers are from what they should be. Output and target have the same shape, [batch] or [batch, outputs]."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlkit.train.metrics.base import Sums, array_of, misfit, register_metric

__all__ = ["MAE", "MSE", "R2", "RMSE"]


def _pair(name: str, output: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 [batch, outputs]."""
    guess, truth = array_of(output), array_of(target)
    if guess.shape != truth.shape and guess.size == truth.size == max(*guess.shape, *truth.shape):
        guess, truth = guess.reshape(-1), truth.reshape(-1)  # [batch, 1] and [batch]
    if guess.shape != truth.shape:
        raise misfit(name, guess, truth, "output and target of the same shape")
    size = len(guess) if guess.ndim else 1
    return guess.astype(np.float64).reshape(size, -1), truth.astype(np.float64).reshape(size, -1)


class _Errors(Sums):
    better = "lower"
    per_step = True
    state = ("total",)

    def __init__(self, name: str | None = None) -> None:
        self.name = name or self.name
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.total = 0.0

    def update(self, output: Any, target: Any) -> None:
        guess, truth = _pair(self.name, output, target)
        self.total += float(self._errors(guess - truth).sum())
        self.samples += truth.size

    def compute(self) -> float:
        return self.total / self.samples if self.samples else float("nan")

    def _errors(self, differences: np.ndarray) -> np.ndarray:
        return differences**2


@register_metric("mae")
class MAE(_Errors):
    """The mean absolute error.

    >>> import mlkit
    >>> MAE()(mlkit.tensor([1.0, 2.0]), mlkit.tensor([2.0, 5.0]))
    2.0
    """

    name = "mae"

    def _errors(self, differences: np.ndarray) -> np.ndarray:
        return np.abs(differences)


@register_metric("mse")
class MSE(_Errors):
    """The mean squared error.

    >>> import mlkit
    >>> MSE()(mlkit.tensor([1.0, 2.0]), mlkit.tensor([2.0, 5.0]))
    5.0
    """

    name = "mse"


@register_metric("rmse")
class RMSE(_Errors):
    """The root of the mean squared error, in the target's own unit.

    >>> import mlkit
    >>> RMSE()(mlkit.tensor([1.0, 2.0]), mlkit.tensor([1.0, 4.0])) ** 2
    2.0000000000000004
    """

    name = "rmse"

    def compute(self) -> float:
        return float(np.sqrt(super().compute()))


@register_metric("r2")
class R2(Sums):
    """The share of the target's variance that is explained; the mean over outputs, or each with ``average="none"``.

    1 is perfect and 0 what the target's mean as constant answer gives. A target that never varies gives 1 where it is
    met exactly, else 0. Below two samples it is nan.

    >>> import mlkit
    >>> round(R2()(mlkit.tensor([2.5, 0.0, 2.0, 8.0]), mlkit.tensor([3.0, -0.5, 2.0, 7.0])), 4)
    0.9486
    """

    name = "r2"
    state = ("mean", "spread", "residual")

    def __init__(self, average: str | None = "mean", name: str | None = None) -> None:
        self.average = average
        self.name = name or self.name
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.mean = self.spread = self.residual = np.zeros(0)

    def update(self, output: Any, target: Any) -> None:
        guess, truth = _pair(self.name, output, target)
        if not len(truth):
            return
        mean = truth.mean(0)
        self._take(len(truth), mean, ((truth - mean) ** 2).sum(0), ((truth - guess) ** 2).sum(0))

    def merge(self, other: Any) -> None:
        self._take(other.samples, other.mean, other.spread, other.residual)

    def _take(self, count: int, mean: np.ndarray, spread: np.ndarray, residual: np.ndarray) -> None:
        """Means and sums of squares of two sets put together (Chan, Golub and LeVeque 1979)."""
        if not count:
            return
        if not self.samples:
            self.samples, self.mean, self.spread, self.residual = count, mean, spread, residual
            return
        total = self.samples + count
        apart = mean - self.mean
        self.spread = self.spread + spread + apart**2 * (self.samples * count / total)
        self.mean = self.mean + apart * (count / total)
        self.residual = self.residual + residual
        self.samples = total

    def compute(self) -> Any:
        if self.samples < 2:
            return float("nan")
        explained = np.where(self.residual == 0, 1.0, 0.0)
        varies = self.spread > 0
        explained[varies] = 1 - self.residual[varies] / self.spread[varies]
        return explained if self.average in ("none", None) else float(explained.mean())
