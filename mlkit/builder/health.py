"""How a network feels while it trains: what its blocks give, and how large their gradients are, a few times a second."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from mlkit.builder.module import GraphModule
from mlkit.train import Callback

SECONDS = 0.3  # between two looks
MOST = 4096  # numbers that are looked at in one value
BINS = 12
TOO_SMALL, TOO_LARGE = 1e-8, 1e3  # root mean square of a gradient


class Health(Callback):
    """Looks at one training step every `SECONDS`.

    ``report`` maps "graph/block" to {"mean", "std", "zeros" (a share), "bins" (a histogram), "gradient" (root mean
    square over the block's weights), "words" (what is wrong, or "")}; of a repeated sub-graph its first turn is shown.
    ``version`` grows with every look.
    """

    def __init__(self, seconds: float = SECONDS):
        self.seconds = seconds
        self.report: dict[str, dict[str, Any]] = {}
        self.version = 0
        self._last = -math.inf
        self._values: dict[str, dict[str, Any]] = {}
        self._looking = False

    def on_step_start(self, trainer: Any, step: int, batches: list[Any]) -> None:
        """Look at this step if it is time."""
        now = time.monotonic()
        self._looking = now - self._last >= self.seconds
        if self._looking:
            self._last = now
            self._values = {}
            self._set(trainer.model, self._see)

    def on_after_backward(self, trainer: Any) -> None:
        """Gradients are there: the look is complete."""
        if not self._looking:
            return
        self._looking = False
        self._set(trainer.model, None)
        for name, rms in gradients(trainer.model).items():
            self._values.setdefault(name, {})["gradient"] = rms
        for seen in self._values.values():
            seen["words"] = words(seen)
        self.report = self._values
        self.version += 1

    def on_fit_end(self, trainer: Any, state: str) -> None:
        """Nothing of this stays in the model."""
        self._set(trainer.model, None)

    def _set(self, model: Any, watch: Any) -> None:
        for module in model.modules():
            if isinstance(module, GraphModule):
                module._watch = watch

    def _see(self, graph: str, block: str, value: Any) -> None:
        key = f"{graph}/{block}"
        if key not in self._values:
            seen = look(value)
            if seen is not None:
                self._values[key] = seen


def look(value: Any) -> dict[str, Any] | None:
    """Mean, spread, share of zeros and a histogram of a tensor of floats; None of anything else.

    >>> import mlkit
    >>> look(mlkit.tensor([0.0, 0.0, 1.0, 3.0]))["zeros"]
    0.5
    """
    if isinstance(value, (tuple, list)):
        value = value[0] if value else None
    if value is None or not hasattr(value, "is_floating_point") or not value.is_floating_point() or not value.numel():
        return None
    flat = value.detach().reshape(-1)
    step = max(1, flat.numel() // MOST)
    numbers = np.asarray(flat[::step].float().cpu().numpy(), dtype=np.float64)
    good = numbers[np.isfinite(numbers)]
    bad = 1 - len(good) / len(numbers)
    if not len(good):
        return {"mean": None, "std": None, "zeros": 0.0, "bad": 1.0, "bins": [], "low": None, "high": None}
    low, high = float(good.min()), float(good.max())
    counts, _ = np.histogram(good, BINS, (low, high) if high > low else (low - 0.5, low + 0.5))
    most = max(int(counts.max()), 1)
    return {
        "mean": float(good.mean()), "std": float(good.std()), "zeros": float((good == 0).mean()), "bad": float(bad),
        "bins": [round(float(c) / most, 3) for c in counts], "low": low, "high": high,
    }  # fmt: skip


def gradients(model: Any) -> dict[str, float]:
    """Root mean square of the gradients of every block's weights, by "graph/block"."""
    found: dict[str, float] = {}
    for module in model.modules():
        if not isinstance(module, GraphModule):
            continue
        parts = [(n, list(c.parameters())) for n, c in module.named_children()]
        parts += [(n, [p]) for n, p in module.named_parameters(recurse=False)]
        for name, weights in parts:
            key = f"{module._title}/{name}"
            grads = [p.grad for p in weights if p.grad is not None]
            if not grads or key in found:
                continue
            total = sum(float((g.detach().float() ** 2).sum()) for g in grads)
            found[key] = math.sqrt(total / sum(g.numel() for g in grads))
    return found


def words(seen: dict[str, Any]) -> str:
    """What is wrong with a block, in a few words; nothing when all is well.

    >>> words({"bad": 0.0, "zeros": 0.995, "gradient": 0.1})
    'almost all zero'
    """
    gradient = seen.get("gradient")
    if seen.get("bad", 0) > 0 or (gradient is not None and not math.isfinite(gradient)):
        return "not finite"
    if gradient is not None and gradient > TOO_LARGE:
        return "gradient explodes"
    if gradient is not None and gradient < TOO_SMALL:
        return "gradient vanishes"
    if seen.get("zeros", 0) > 0.99:
        return "almost all zero"
    return ""
