"""Numbers of a recording as readers want them: one quantity at a time, medians, histograms from quantiles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlkit.observe.flow import measure
from mlkit.observe.flow.measure import SHARES
from mlkit.observe.flow.recording import Samples

QUANTITIES = {
    "gradient": "gradient norm",
    "weight": "weight norm",
    "ratio": "update / weight",
    "dead": "dead units",
    "activation": "spread of activations",
}
"""What there is one number of per layer and sample, and what it is called."""


def values_of(samples: Samples, quantity: str) -> np.ndarray:
    """One quantity of all layers; float64 [samples, rows]."""
    numbers = samples.numbers.astype(np.float64)
    if quantity == "gradient":
        return numbers[:, :, measure.NORM]
    if quantity == "weight":
        return numbers[:, :, measure.WEIGHT]
    if quantity == "ratio":
        weight, update = numbers[:, :, measure.WEIGHT], numbers[:, :, measure.UPDATE]
        with np.errstate(all="ignore"):
            return np.where(weight > 0, update / weight, np.where(update > 0, np.inf, np.nan))
    if quantity == "dead":
        return numbers[:, :, measure.DEAD]
    if quantity == "activation":
        return numbers[:, :, measure.STD]
    raise ValueError(f"quantity must be {one_of(QUANTITIES)}, got {quantity!r}.")


def middle(values: np.ndarray) -> np.ndarray:
    """The median over the first axis of what is a number; NaN where nothing is."""
    if not len(values):
        return np.full(values.shape[1:], np.nan)
    ordered = np.sort(values, axis=0)  # NaN last
    count = (~np.isnan(values)).sum(axis=0)
    at = np.maximum(count - 1, 0) // 2
    return np.take_along_axis(ordered, at[None], 0)[0]


def shared_edges(kept: np.ndarray, bins: int, log: bool) -> np.ndarray:
    """Edges of bins that suit all of these quantiles [n, shares]; of logarithms of sizes where `log`."""
    finite = kept[np.isfinite(kept)]
    if not finite.size:
        return np.linspace(-8.0, 0.0, bins + 1) if log else np.linspace(-1.0, 1.0, bins + 1)
    if log:
        sizes = np.abs(finite[finite != 0])
        if not sizes.size:
            return np.linspace(-8.0, 0.0, bins + 1)
        top = math.ceil(math.log10(float(sizes.max())))
        bottom = math.floor(math.log10(max(float(np.quantile(sizes, 0.02)), 1e-38)))
        return np.linspace(max(bottom, top - 14), max(top, bottom + 1), bins + 1)
    inner = kept[:, 1:-1] if kept.shape[1] > 4 else kept  # a single far value must not squeeze all others
    inner = inner[np.isfinite(inner)]
    low, high = float(inner.min()), float(inner.max())
    pad = 0.05 * (high - low) or 0.5 * abs(high) or 1.0
    return np.linspace(low - pad, high + pad, bins + 1)


def shares_in(quantiles: np.ndarray, edges: np.ndarray, log: bool) -> np.ndarray:
    """The share of values in each bin, from one set of quantiles [shares]; NaN where there is none."""
    if not np.isfinite(quantiles).all():
        return np.full(len(edges) - 1, np.nan)
    values = quantiles.astype(np.float64)
    # Equal quantiles (zeros of a rectifier) are a step of the distribution: np.interp wants rising values.
    spacing = np.maximum(np.abs(values) * 1e-9, 1e-45)
    rising = np.maximum.accumulate(values + spacing * np.arange(len(values)) * 1e-3)

    def below(x: np.ndarray) -> np.ndarray:
        return np.interp(x, rising, SHARES, left=0.0, right=1.0)

    if not log:
        return np.diff(below(edges))
    size = 10.0**edges
    return np.diff(below(size) - below(-size))


def short(value: float) -> str:
    """A number as short as it can be read.

    >>> short(0.00012), short(123.4), short(float("nan"))
    ('1.2e-04', '123', '')
    """
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    size = abs(value)
    if value == 0:
        return "0"
    return f"{value:.1e}" if size < 1e-3 or size >= 1e5 else f"{value:.3g}"


def one_of(names: Any) -> str:
    """Names as a sentence lists them: 'a', 'b' or 'c'."""
    names = [repr(name) for name in names]
    return f"{', '.join(names[:-1])} or {names[-1]}"
