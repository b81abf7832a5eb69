"""The learning-rate range test: which rates does a model learn at, and where does it blow up?

Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, arXiv:1506.01186.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlkit.core.errors import DataError
from mlkit.train.state import restore_random, snapshot_random

if TYPE_CHECKING:
    from mlkit.train.trainer import Trainer

__all__ = ["LearningRateCurve", "find_lr"]

EXPLODED = 4.0
"""The test ends where the smoothed loss is so many times its smallest value."""


@dataclass(frozen=True)
class LearningRateCurve:
    """What `Trainer.find_lr` found. It shows itself as a curve in a notebook."""

    rates: np.ndarray
    """The learning rates that were tried, rising."""
    losses: np.ndarray
    """The loss at each."""
    smoothed: np.ndarray
    """The same, smoothed; the suggestion is read from it."""

    @property
    def suggestion(self) -> float | None:
        """The rate where the loss falls the fastest; None where it never falls.

        >>> rates = np.geomspace(1e-4, 1, 9)
        >>> loss = np.array([1, 1, 1, 0.9, 0.5, 0.3, 0.3, 0.6, 2.0])
        >>> round(LearningRateCurve(rates, loss, loss).suggestion, 4)
        0.01
        """
        begin = len(self.rates) // 10  # smoothing has to settle first
        end = begin + int(np.argmin(self.smoothed[begin:])) + 1
        if end - begin < 3:
            return None
        slopes = np.gradient(self.smoothed[begin:end], np.log(self.rates[begin:end]))
        at = int(np.argmin(slopes))
        return float(self.rates[begin + at]) if slopes[at] < 0 else None

    def plot(self, axes: Any = None) -> Any:
        """Draw it with matplotlib; returns the Axes."""
        if axes is None:
            import matplotlib.pyplot as plt

            axes = plt.figure(figsize=(6, 3.5)).add_subplot()
        axes.plot(self.rates, self.losses, alpha=0.35, label="loss")
        axes.plot(self.rates, self.smoothed, label="smoothed")
        if self.suggestion is not None:
            axes.axvline(self.suggestion, linestyle="--", color="gray", label=f"suggestion {self.suggestion:.2g}")
        low = float(np.min(self.smoothed))
        axes.set_ylim(min(0.0, low), max(self.smoothed[0], low) * 1.5 + 1e-12)
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
        axes.legend()
        return axes

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich

        return rich.repr_html(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
        from mlkit.core import rich

        return rich.repr_mimebundle(self, include, exclude)

    def __repr__(self) -> str:
        found = "none: the loss never falls" if self.suggestion is None else f"{self.suggestion:.3g}"
        return (
            f"LearningRateCurve({len(self.rates)} rates from {self.rates[0]:.1e} to {self.rates[-1]:.1e}, "
            f"suggestion {found})"
        )


def find_lr(
    trainer: Trainer, loader: Any, lowest: float, highest: float, steps: int, smooth: float
) -> LearningRateCurve:
    """The range test itself; everything of the trainer is as before when it ends, however it ends."""
    if not 0 < lowest < highest or not math.isfinite(highest):
        raise DataError(f"find_lr: the rates must rise from above 0, got {lowest!r} to {highest!r}.")
    if steps < 5 or not 0 <= smooth < 1:
        raise DataError(f"find_lr: at least 5 steps and 0 <= smooth < 1, got steps={steps!r}, smooth={smooth!r}.")
    model, optimizer = trainer.model, trainer.optimizer
    kept = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    kept_optimizer = copy.deepcopy(optimizer.state_dict())
    kept_precision = copy.deepcopy(trainer.precision.state_dict())
    kept_loss = {name: one.detach().clone() for name, one in trainer.loss.state_dict().items()} if hasattr(
        trainer.loss, "state_dict") else {}  # fmt: skip
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    random = snapshot_random(loader)
    rates, losses, smoothed = [], [], []
    try:
        model.train()
        average, best = 0.0, math.inf
        first = optimizer.param_groups[0]["lr"]  # 0 at the end of a schedule: then all groups alike
        shares = [group["lr"] / first if first else 1.0 for group in optimizer.param_groups]
        for step, batch in zip(range(steps), _endless(loader)):
            rate = lowest * (highest / lowest) ** (step / (steps - 1))
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] = rate * share
            optimizer.zero_grad()
            _, _, loss = trainer._compute(trainer._to_device(batch), model)
            value = float(loss.item())
            if not math.isfinite(value):
                break
            average = smooth * average + (1 - smooth) * value
            rates.append(rate)
            losses.append(value)
            smoothed.append(average / (1 - smooth ** (step + 1)))
            best = min(best, smoothed[-1])
            if step > steps // 10 and smoothed[-1] > EXPLODED * best:
                break
            trainer.precision.backward(loss)
            trainer.precision.step(optimizer)
    finally:
        model.load_state_dict(kept)
        if kept_loss:
            trainer.loss.load_state_dict(kept_loss)
        optimizer.load_state_dict(kept_optimizer)
        trainer.precision.load_state_dict(kept_precision)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, mode in modes:
            module.training = mode
        restore_random(random, loader)
    if len(rates) < 3:
        raise DataError(
            f"find_lr: the loss is no number after {len(rates)} steps already.",
            hint="Look for NaN in the inputs, or begin with a smaller `lowest`.",
        )
    return LearningRateCurve(np.array(rates), np.array(losses), np.array(smoothed))


def _endless(loader: Any) -> Any:
    while True:
        yield from loader
