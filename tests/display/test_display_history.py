"""Histories and runs: curves, best values, and what is not finite."""

import math

import numpy as np
import pytest

from mlkit.display import history as display


class Recorded:
    """A stand-in for a Source: names, read, status."""

    def __init__(self, series, **status):
        self.series, self.facts, self.title = series, {"state": "finished", **status}, "a run"

    def names(self):
        return list(self.series)

    def read(self, name, start=0):
        steps, values = (np.asarray(part) for part in self.series[name])
        return start, steps, steps * 0.1, values

    def status(self):
        return self.facts


def test_curves_of_one_kind_share_a_chart_and_the_best_are_listed(parse):
    source = Recorded(
        {
            "train/loss": (range(1, 101), np.linspace(2, 0.5, 100)),
            "valid/loss": ([50, 100], [1.0, 0.7]),
            "valid/accuracy": ([50, 100], [0.9, 0.8]),
            "lr": (range(1, 101), np.full(100, 1e-3)),
        }
    )
    page = parse(display.html(source))
    pictures = page.all("img")
    assert [a["alt"].split(" over")[0] for a in pictures] == ["loss", "accuracy"]
    assert "learning rate 0.001 throughout" in page.text  # no chart of a line that is level
    assert "valid/accuracy 0.9 50 0.8 2" in page.text and "valid/loss 0.7 100 0.7 2" in page.text
    best, at = display.best_of("valid/accuracy", np.array([50.0, 100.0]), np.array([0.9, 0.8]))
    assert (best, at) == (0.9, 50)
    assert display.best_of("valid/loss", np.array([50.0, 100.0]), np.array([1.0, 0.7])) == (0.7, 100)


def test_what_is_not_finite_is_counted_and_never_best(parse):
    page = parse(display.html(Recorded({"train/loss": (range(4), [2.0, math.nan, math.inf, -math.inf])})))
    assert "3 not finite" in page.text
    assert display.best_of("train/loss", np.arange(4.0), np.array([2.0, math.nan, math.inf, -math.inf])) == (2.0, 0)


@pytest.mark.parametrize("series", [{}, {"train/loss": ([], [])}])
def test_nothing_recorded_is_said(series, parse):
    assert "nothing recorded yet" in parse(display.html(Recorded(series))).text


def test_a_plain_dictionary_is_a_history_too():
    steps, values = display.series_of({"loss": [3.0, 2.0]})["loss"]
    assert steps.tolist() == [1, 2] and values.tolist() == [3, 2]


def test_a_failed_run_shows_its_state_and_error(parse, hostile):
    run = Recorded({hostile: ([1], [1.0])}, state="failed", step=3, steps=10, error=f"ValueError: {hostile}")
    run.title = hostile
    page = parse(display.run_html(run))
    assert page.all("span", "warn") and "step 3 of 10" in page.text and "ValueError" in page.text


def test_a_long_history_stays_small():
    source = Recorded(
        {
            f"{part}/{name}": (np.arange(50_000), np.random.default_rng(0).random(50_000))
            for part in ("train", "valid")
            for name in ("loss", "accuracy", "f1")
        }
    )
    assert len(display.html(source)) < 120_000
