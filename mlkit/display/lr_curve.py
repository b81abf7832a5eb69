"""A learning-rate range test as HTML: the loss over the rates, and the suggestion."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlkit.display import svg
from mlkit.display.markup import card, escape, number


def html(curve: Any) -> str:
    """A `LearningRateCurve` as a card. The horizontal axis is the rate's power of ten."""
    powers = np.log10(curve.rates)
    highest = 1.5 * float(np.max(curve.smoothed[: max(1, int(np.argmin(curve.smoothed)) + 1)]))
    shown = curve.smoothed <= highest  # where it explodes, the rest would be a flat line
    drawn = [svg.Series("smoothed loss", powers[shown], curve.smoothed[shown])]
    chart = svg.lines(drawn, title="loss", xlabel="log10 of the learning rate", width=460, height=220)
    found = curve.suggestion
    words = "no suggestion: the loss never falls" if found is None else f"suggestion {number(found)}"
    head = f'<p class="head"><b>{escape(type(curve).__name__)}</b> {escape(words)}</p>'
    alt = f"loss over the logarithm of the learning rate; {words}"
    return card("history", head, f"<figure>{svg.embed(chart, alt, 460, 220)}</figure>")
