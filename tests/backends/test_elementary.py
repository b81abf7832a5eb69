"""The float32 functions that kernels are made of, against mpmath or float64: the error, near zero and in the tails.

Each is measured twice: alone, and as the kernels run it over an array, where LLVM makes vectors of it.
"""

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
    both = np.concatenate([size, -size, rng.uniform(low, high, 1500), rng.uniform(max(low, -3), min(high, 3), 500)])
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


def scalar(name: str):
    from mlkit.backends.numba import elementary

    function = getattr(elementary, name)
    return lambda x: np.array([function(v) for v in x], np.float32)


def kernel(name: str):
    """The kernel of that name over an array, as an override calls it."""
    from mlkit.backends.numba import pointwise_kernels

    function = getattr(pointwise_kernels, name)

    def run(x):
        out = np.empty_like(x)
        function(x, out, 0, x.size)
        return out

    return run


def vectors(name: str):
    """The function of sixteen lanes that kernels of whole layers use: attention, LSTM, GRU."""
    import numba

    from mlkit.backends.numba import scratch, simd

    inner = getattr(simd, name)

    def over(e, x, y):
        e.store(y, inner(e, e.load(x)))

    emitted = simd.emitted(over)

    @numba.njit
    def all_of(x, y, vectors):
        for i in range(vectors):
            emitted(x + i * 64, y + i * 64)

    def run(x):
        padded = np.concatenate([x, np.zeros(-x.size % 16, np.float32)])
        out = np.empty_like(padded)
        all_of(scratch.address(padded), scratch.address(out), padded.size // 16)
        return out[: x.size]

    return run


WAYS = {
    **{f"{name} alone": (scalar, name) for name in CASES},
    **{f"{name} in kernels": (kernel, name) for name in CASES if name != "tanh"},
    **{f"{name} of vectors": (vectors, name) for name in ("exp", "tanh", "sigmoid")},
}
WAYS.pop("tanh in kernels", None)  # NumPy's own is vector code


def units(got: np.ndarray, exact: list) -> float:
    """The largest error in units of the last place of the exact result."""
    worst = 0.0
    for value, true in zip(got, exact, strict=True):
        unit = float(np.spacing(np.float32(abs(true)))) or 1e-45
        worst = max(worst, abs(float(true - mpmath.mpf(float(value)))) / unit)
    return worst


@pytest.mark.parametrize("way", WAYS)
def test_relative_error(way):
    make, name = WAYS[way]
    exact, low, high, bound = CASES[name]
    mpmath.mp.dps = 30
    x = grid(low, high)
    found = units(make(name)(x), [exact(mpmath.mpf(float(v))) for v in x])
    assert found <= bound, f"{way}: {found:.2f} units in the last place"


@pytest.mark.parametrize("way", [w for w in WAYS if w.startswith("log ")])
def test_log_keeps_its_digits_near_one(way):
    make, name = WAYS[way]
    near = np.concatenate([1 + 2.0 ** -np.arange(1, 24), 1 - 2.0 ** -np.arange(1, 25)]).astype(np.float32)
    assert units(make(name)(near), [mpmath.log(mpmath.mpf(float(v))) for v in near]) <= 1.6


@pytest.mark.parametrize("way", WAYS)
def test_special_values(way):
    make, name = WAYS[way]
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
    got = make(name)(x)
    with np.errstate(all="ignore"):
        want = exact(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-45)
    if name in ("tanh", "erf"):
        assert np.array_equal(np.signbit(got), np.signbit(x))


@pytest.mark.parametrize("way", [w for w in WAYS if w.split()[0] in ("tanh", "erf", "log")])
def test_denormal_numbers_are_not_taken_for_zero(way):
    make, name = WAYS[way]
    x = (np.float32(1e-45) * np.array([1, 2, 3, 100, 12345, 8388607], np.float32)).astype(np.float32)
    want = {"tanh": x, "erf": x.astype(np.float64) * 2 / math.sqrt(math.pi), "log": np.log(x.astype(np.float64))}[name]
    np.testing.assert_allclose(make(name)(x), want, rtol=1e-6, atol=0.8e-45)


@pytest.mark.parametrize("way", [w for w in WAYS if w.startswith("exp ")])
def test_denormal_results(way):
    make, name = WAYS[way]
    x = np.linspace(-103.5, -87.4, 300, dtype=np.float32)
    np.testing.assert_allclose(make(name)(x), np.exp(x.astype(np.float64)), atol=1.5e-45, rtol=1e-6)


#: activations, whose error is that of a product: exact function, bounds, largest error relative to the result
ACTIVATIONS = {
    "gelu": (lambda x: x * mpmath.ncdf(x), -5, 30, 2e-6),
    "gelu_tanh": (
        lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3))),
        *(-4, 30, 3e-6),
    ),
    "silu": (lambda x: x / (1 + mpmath.exp(-x)), -80, 80, 1e-6),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_keep_their_digits_near_zero_and_in_the_left_tail(name):
    exact, low, high, bound = ACTIVATIONS[name]
    mpmath.mp.dps = 30
    x = grid(low, high)
    x = x[np.abs(x) > 1e-37]
    got = kernel(name)(x)
    for value, given in zip(got, x, strict=True):
        true = exact(mpmath.mpf(float(given)))
        assert abs(float((mpmath.mpf(float(value)) - true) / true)) <= bound, (name, given, value, float(true))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_of_activations(name):
    """The gradients' kernels against mpmath's derivative."""
    from mlkit.backends.numba import pointwise_kernels

    exact = ACTIVATIONS[name][0]
    mpmath.mp.dps = 30
    x = np.concatenate([np.linspace(-8, 8, 401), [0.0, 1e-30, -1e-30, 1e-45]]).astype(np.float32)
    out, ones = np.empty_like(x), np.ones_like(x)
    getattr(pointwise_kernels, f"{name}_gradient")(ones, x, out, 0, x.size)
    want = [float(mpmath.diff(exact, mpmath.mpf(float(v)))) for v in x]
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-6)


def test_shares_by_powers_of_two():
    """1 / (1 + 2**z), from which the GELU by tanh is made: near 1, in its tail, at its ends."""
    mpmath.mp.dps = 40
    z = np.concatenate([grid(-126, 120), np.float32([-1e30, -126.5, 0, 127.4])]).astype(np.float32)
    assert units(scalar("logistic")(z), [1 / (1 + mpmath.mpf(2) ** mpmath.mpf(float(v))) for v in z]) <= 3
    ends = scalar("logistic")(np.float32([-np.inf, 127.6, 200, np.inf]))
    np.testing.assert_array_equal(ends, [1, 0, 0, 0])
