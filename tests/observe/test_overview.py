"""Curves in buckets: compared with what NumPy says about the same stretches, however the points came."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlkit.observe import Overview, Recorder, RecorderSource
from mlkit.observe.overview import window

values_of = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan")), st.just(float("inf"))), max_size=200)


def expected(steps, values, size):
    """Each bucket by hand."""
    rows = []
    for begin in range(0, len(values), size):
        part = values[begin : begin + size]
        finite = part[np.isfinite(part)]
        some = len(finite) > 0
        rows.append((steps[min(begin + size, len(values)) - 1], finite.mean() if some else np.nan,
                     finite.min() if some else np.nan, finite.max() if some else np.nan, len(finite)))  # fmt: skip
    return np.array(rows, np.float64).reshape(-1, 5)


@given(pieces=st.lists(values_of, max_size=8), limit=st.integers(2, 40))
@settings(max_examples=150, deadline=None)
def test_buckets_are_those_of_the_whole_curve_however_it_came(pieces, limit):
    overview, values = Overview(limit), np.array([value for piece in pieces for value in piece], np.float64)
    steps, at = np.arange(len(values)) * 3 + 1, 0
    for piece in pieces:
        part = slice(at, at + len(piece))
        overview.extend(steps[part], steps[part] / 10, values[part])
        at += len(piece)
    buckets = overview.buckets()
    assert len(buckets) == -(-len(values) // overview.size) <= limit
    assert overview.complete == len(values) // overview.size
    want = expected(steps, values, overview.size)
    got = np.stack([buckets.step, buckets.mean, buckets.low, buckets.high, buckets.finite], axis=1)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-6)
    np.testing.assert_array_equal(buckets.time, buckets.step / 10)
    finite = values[np.isfinite(values)]
    if len(finite):
        assert overview.lowest is not None and overview.highest is not None and overview.last is not None
        assert (overview.lowest.value, overview.highest.value) == (finite.min(), finite.max())
        assert values[(overview.lowest.step - 1) // 3] == finite.min()
        assert overview.last.step == steps[-1]
    else:
        assert overview.lowest is None


def test_a_long_curve_keeps_its_peaks_in_few_buckets():
    values = np.sin(np.arange(300_000) / 500)
    values[123_456], values[299_999] = 7.0, -7.0
    overview = Overview()
    for begin in range(0, len(values), 7_001):
        part = slice(begin, begin + 7_001)
        overview.extend(np.arange(len(values))[part], np.arange(len(values))[part] / 1000, values[part])
    assert 1024 <= len(overview) <= 2048
    assert overview.buckets().high.max() == 7.0 and overview.buckets().low.min() == -7.0
    assert overview.highest is not None and overview.highest.step == 123_456


@pytest.fixture
def long_curve():
    recorder = Recorder(root=False)
    rng = np.random.default_rng(0)
    steps = np.arange(1, 50_001)
    recorder.restore({"loss": (steps, steps / 10, rng.standard_normal(50_000))}, 5000.0)
    source, overview = RecorderSource(recorder), Overview(256)
    overview.extend(*source.read("loss")[1:])
    return source, overview


@pytest.mark.parametrize(("low", "high"), [(1, 50_000), (20_000, 20_050), (49_990, 60_000), (-5, 3), (7, 7)])
def test_a_window_is_finer_and_has_every_point_in_it(long_curve, low, high):
    source, overview = long_curve
    values = source.read("loss")[3]
    for axis, scale in (("step", 1), ("time", 10)):
        buckets = window(source, "loss", overview, axis, low / scale, high / scale, 500)
        inside = values[max(0, low - 1) : min(high, 50_000)]
        assert len(buckets) <= 502
        assert buckets.low.min() <= inside.min() and buckets.high.max() >= inside.max()
        if len(inside) < 400:
            np.testing.assert_array_equal(buckets.mean[np.isin(buckets.step, np.arange(low, high + 1))], inside)


def test_a_window_beside_the_curve_has_at_most_its_edge(long_curve):
    source, overview = long_curve
    assert len(window(source, "loss", overview, "step", 60_000, 70_000, 100)) <= 2
    assert len(window(source, "loss", overview, "step", 20, 10, 100)) == 0
    assert len(window(source, "nothing", Overview(), "step", 0, 10, 100)) == 0
