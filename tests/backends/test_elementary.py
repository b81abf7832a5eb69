"""The float32 functions that kernels are made of, against mpmath or float64: the error, near zero and in the tails."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.backends.kernel_checks import needs_numba

pytestmark = needs_numba
mpmath = pytest.importorskip("mpmath")


def grid(low: float, high: float) -> np.ndarray:
    """Numbers of both signs on a logarithmic scale, and a plain one, between the bounds."""
    rng = np.random.default_rng(7)
    size = np.exp(rng.uniform(math.log(1e-38), math.log(max(-low, high)), 1500))
    both = np.concatenate([size, -size, rng.uniform(low, high, 1500)])
    return both[(both >= low) & (both <= high)].astype(np.float32)


CASES = {  # exact function, bounds, largest error in units of the last place
    "exp": (mpmath.exp, -87.3, 88.7, 1.6),
    "log": (mpmath.log, 1e-38, 3e38, 1.6),
    "tanh": (mpmath.tanh, -20, 20, 3),
    "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), -87, 87, 4),
    "erf": (mpmath.erf, -8, 8, 3),
    "erfc": (mpmath.erfc, -8, 9, 16),
    "softplus": (lambda x: mpmath.log1p(mpmath.exp(x)), -86, 80, 6),
}


@pytest.mark.parametrize("name", CASES)
def test_relative_error(name):
    from mlkit.backends.numba import elementary

    exact, low, high, bound = CASES[name]
    function = getattr(elementary, name)
    mpmath.mp.dps = 30
    worst = 0.0
    for x in grid(low, high):
        true = exact(mpmath.mpf(float(x)))
        got = float(function(x))
        unit = float(np.spacing(np.float32(abs(true)))) or 1e-45
        worst = max(worst, abs(float(true - mpmath.mpf(got))) / unit)
    assert worst <= bound, f"{name}: {worst:.2f} units in the last place"


@pytest.mark.parametrize("name", CASES)
def test_special_values(name):
    from mlkit.backends.numba import elementary

    exact = {
        "exp": np.exp,
        "log": np.log,
        "tanh": np.tanh,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "erf": np.vectorize(math.erf),
        "erfc": np.vectorize(math.erfc),
        "softplus": lambda x: np.logaddexp(x, 0),
    }[name]
    x = np.array(
        [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, 3.4e38, -3.4e38, 89.5, -104.5], np.float32
    )
    got = np.array([getattr(elementary, name)(v) for v in x], np.float32)
    with np.errstate(all="ignore"):
        want = exact(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-45)
    if name in ("tanh", "erf"):
        assert np.array_equal(np.signbit(got), np.signbit(x))


def test_denormal_results():
    from mlkit.backends.numba import elementary

    x = np.linspace(-103.5, -87.4, 300, dtype=np.float32)
    got = np.array([elementary.exp(v) for v in x])
    np.testing.assert_allclose(got, np.exp(x.astype(np.float64)), atol=1.5e-45, rtol=1e-6)
