"""A learning-rate curve as a card and as a figure."""

import numpy as np
import pytest

from mlkit.train import LearningRateCurve


def curve(losses):
    return LearningRateCurve(np.geomspace(1e-6, 1, len(losses)), np.array(losses), np.array(losses))


def test_it_shows_itself():
    falling = curve([1.0, 1.0, 0.98, 0.9, 0.6, 0.4, 0.38, 2.0, 9.0])
    assert falling.suggestion == pytest.approx(1e-3, rel=1e-6)
    html = falling._repr_html_()
    assert "suggestion 0.001" in html and "log10" in html
    assert "no suggestion: the loss never falls" in curve([1.0, 1.1, 1.2, 1.3, 2.0])._repr_html_()
    assert "none: the loss never falls" in repr(curve([1.0, 1.1, 1.2, 1.3, 2.0]))


def test_it_draws_itself():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = curve([1.0, 0.9, 0.5, 0.4, 3.0]).plot()
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "learning rate"
    matplotlib.pyplot.close(axes.figure)
