"""Make mlkit/backends/portable/special_tables.py and special_exact.npz with mpmath: ``python -m tests.oracle.make_special``.

Chebyshev coefficients of the special functions' smooth parts, 40 digits while computing and rounded to float64, and the
coefficients of Temme's expansion of the incomplete gamma function, in exact fractions. The output is the same each time.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import mpmath as mp
import numpy as np

TARGET = Path(__file__).resolve().parents[2] / "mlkit" / "backends" / "portable" / "special_tables.py"
mp.mp.dps = 45


def chebyshev(f, low, high, nodes=64):
    """Coefficients of f on [low, high] in Chebyshev polynomials, cut where they no longer matter in float64."""
    low, high = mp.mpf(low), mp.mpf(high)
    angles = [mp.pi * (k + mp.mpf(1) / 2) / nodes for k in range(nodes)]
    values = [f((low + high) / 2 + (high - low) / 2 * mp.cos(a)) for a in angles]
    found = [2 * mp.fsum(v * mp.cos(j * a) for v, a in zip(values, angles)) / nodes for j in range(nodes)]
    found[0] /= 2
    largest = max(abs(c) for c in found)
    while abs(found[-1]) < largest * mp.mpf(2) ** -60:
        found.pop()
    assert len(found) < nodes - 4, "not converged"
    return [float(c) for c in found]


def digamma_root():
    return mp.findroot(mp.digamma, 1.4616)


def hankel(order, which):
    """The amplitude parts P and Q of J and Y beyond x = 8, as functions of t = (8 / x)**2."""

    def f(t):
        x = 8 / mp.sqrt(t)
        j, y = mp.besselj(order, x), mp.bessely(order, x)
        angle = x - (2 * order + 1) * mp.pi / 4
        scale = mp.sqrt(mp.pi * x / 2)
        if which == "p":
            return scale * (j * mp.cos(angle) + y * mp.sin(angle))
        return scale * (y * mp.cos(angle) - j * mp.sin(angle)) * x / 8

    return f


def airy_tail(which):
    """Ai left of -4: the parts of its cosine and sine, as functions of t = (zeta(4) / zeta)**2."""
    first = mp.mpf(2) / 3 * 8

    def f(t):
        zeta = first / mp.sqrt(t)
        x = (zeta * 3 / 2) ** (mp.mpf(2) / 3)
        scale = mp.sqrt(mp.pi) * x ** mp.mpf("0.25")
        a, b = mp.airyai(-x) * scale, mp.airybi(-x) * scale
        angle = zeta - mp.pi / 4
        # Ai(-x) scale = cos P + sin Q, Bi(-x) scale = -sin P + cos Q
        if which == "p":
            return a * mp.cos(angle) - b * mp.sin(angle)
        return (a * mp.sin(angle) + b * mp.cos(angle)) * zeta / first

    return f


def airy_right(t):
    zeta = (mp.mpf(2) / 3 * mp.mpf(2) ** mp.mpf("1.5")) / t
    x = (zeta * 3 / 2) ** (mp.mpf(2) / 3)
    return mp.airyai(x) * mp.exp(zeta) * 2 * mp.sqrt(mp.pi) * x ** mp.mpf("0.25")


def bessel_roots(order):
    r1, r2 = mp.besseljzero(order, 1), mp.besseljzero(order, 2)
    return r1, r2


def without_roots(order):
    r1, r2 = bessel_roots(order)

    def f(t):
        x = mp.sqrt(t)
        value = mp.besselj(order, x) / (x if order else 1)
        return value / ((t - r1**2) * (t - r2**2))

    return f


def y0_regular(t):
    x = mp.sqrt(t)
    return mp.bessely(0, x) - 2 / mp.pi * mp.log(x / 2) * mp.besselj(0, x)


def y1_regular(t):
    x = mp.sqrt(t)
    return (mp.bessely(1, x) - 2 / mp.pi * (mp.log(x / 2) * mp.besselj(1, x) - 1 / x)) / x


def k0_regular(t):
    x = mp.sqrt(t)
    return mp.besselk(0, x) + mp.log(x / 2) * mp.besseli(0, x)


def k1_regular(t):
    x = mp.sqrt(t)
    return (mp.besselk(1, x) - mp.log(x / 2) * mp.besseli(1, x)) * x


def temme(orders=24, terms=24):
    """Coefficients of c_k(eta) (DLMF 8.12.9 to 8.12.11), c_k a power series in eta."""
    length = terms + 2 * orders + 6
    mu = [Fraction(0), Fraction(1)]  # mu mu' = eta (1 + mu)
    for n in range(2, length):
        known = sum(mu[i] * mu[n + 1 - i] * (n + 1 - i) for i in range(2, n))
        # coefficient of eta**n on both sides: mu_1 n mu_n + mu_n mu_1 + known = mu_{n-1}
        mu.append((mu[n - 1] - known) / (n + 1))
    # eta / mu as a series
    shifted = mu[1:]
    inverse = [Fraction(1)]
    for n in range(1, len(shifted)):
        inverse.append(-sum(shifted[i] * inverse[n - i] for i in range(1, n + 1)))
    # Stirling's g_k from exp of the Bernoulli series
    bernoulli = _bernoulli(2 * orders + 4)
    exponent = [Fraction(0)] * (orders + 1)
    for k in range(1, orders + 1):
        if k % 2:
            exponent[k] = bernoulli[k + 1] / (k * (k + 1))
    g = [Fraction(1)]
    for n in range(1, orders + 1):
        g.append(sum(k * exponent[k] * g[n - k] for k in range(1, n + 1)) / n)
    rows = []
    current = inverse[1:]  # 1/mu - 1/eta
    for k in range(orders):
        if k:
            # (1/eta) c' has the term c_1 / eta, which (-1)**k g_k / mu takes away
            derivative = [n * c for n, c in enumerate(current)][1:]
            sign = (-1) ** k * g[k]
            full = [a + sign * b for a, b in zip(derivative, inverse)]
            assert full[0] == 0
            current = full[1:]
        rows.append([float(c) for c in current[:terms]])
    return rows


def _bernoulli(count):
    found = [Fraction(1)]
    for n in range(1, count + 1):
        total = Fraction(0)
        binomial = 1
        for k in range(n):
            total += binomial * found[k]
            binomial = binomial * (n + 1 - k) // (k + 1)
        found.append(-total / (n + 1))
    return found


def main() -> None:
    root = digamma_root()
    high = float(root)
    tables = {
        # lgamma(x) / ((x - 1) (x - 2)) on [0.5, 3]
        "LGAMMA": chebyshev(lambda x: mp.loggamma(x) / ((x - 1) * (x - 2)), 0.5, 3, 80),
        "DIGAMMA_ROOT": [high, float(root - mp.mpf(high))],
        # digamma(x) / (x - root) on [1, 2]
        "DIGAMMA": chebyshev(lambda x: mp.digamma(x) / (x - root), 1, 2),
        # exp(-x) I0(x) and exp(-x) I1(x) / x on [0, 8]; the same times sqrt(x) in 8 / x on [0, 1]
        "I0_NEAR": chebyshev(lambda x: mp.exp(-x) * mp.besseli(0, x), 0, 8),
        "I0_FAR": chebyshev(lambda t: mp.exp(-8 / t) * mp.besseli(0, 8 / t) * mp.sqrt(8 / t), 0, 1),
        "I1_NEAR": chebyshev(lambda x: mp.exp(-x) * mp.besseli(1, x) / x, 0, 8),
        "I1_FAR": chebyshev(lambda t: mp.exp(-8 / t) * mp.besseli(1, 8 / t) * mp.sqrt(8 / t), 0, 1),
        # K0(x) + log(x/2) I0(x), x K1(x) - x log(x/2) I1(x) in x**2 on [0, 4]; exp(x) sqrt(x) K(x) in 2 / x on [0, 1]
        "K0_NEAR": chebyshev(k0_regular, 0, 4),
        "K0_FAR": chebyshev(lambda t: mp.exp(2 / t) * mp.besselk(0, 2 / t) * mp.sqrt(2 / t), 0, 1),
        "K1_NEAR": chebyshev(k1_regular, 0, 4),
        "K1_FAR": chebyshev(lambda t: mp.exp(2 / t) * mp.besselk(1, 2 / t) * mp.sqrt(2 / t), 0, 1),
        # J0(x) and J1(x) / x without their first two zeros, in x**2 on [0, 64]
        "J0_ROOTS": [p for r in bessel_roots(0) for p in (float(r), float(r - mp.mpf(float(r))))],
        "J0_NEAR": chebyshev(without_roots(0), 0, 64),
        "J1_ROOTS": [p for r in bessel_roots(1) for p in (float(r), float(r - mp.mpf(float(r))))],
        "J1_NEAR": chebyshev(without_roots(1), 0, 64),
        "Y0_NEAR": chebyshev(y0_regular, 0, 64),
        "Y1_NEAR": chebyshev(y1_regular, 0, 64),
        # beyond 8: sqrt(2 / (pi x)) (P cos(angle) - 8/x Q sin(angle)), in (8 / x)**2 on [0, 1]
        "P0_FAR": chebyshev(hankel(0, "p"), 0, 1),
        "Q0_FAR": chebyshev(hankel(0, "q"), 0, 1),
        "P1_FAR": chebyshev(hankel(1, "p"), 0, 1),
        "Q1_FAR": chebyshev(hankel(1, "q"), 0, 1),
        # Ai: on [-4, 0], on [0, 2], right of 2 in zeta(2) / zeta, left of -4 in (zeta(4) / zeta)**2
        "AIRY_LEFT": chebyshev(mp.airyai, -4, 0),
        "AIRY_MIDDLE": chebyshev(mp.airyai, 0, 2),
        "AIRY_RIGHT": chebyshev(airy_right, 0, 1),
        "AIRY_P": chebyshev(airy_tail("p"), 0, 1),
        "AIRY_Q": chebyshev(airy_tail("q"), 0, 1),
    }
    lines = [
        '"""Coefficients for special.py, made by tests/oracle/make_special.py (do not edit)."""',
        "",
    ]
    for name, values in tables.items():
        lines += [f"{name} = (", *[f"    {v!r}," for v in values], ")"]
    lines.append("TEMME = (")
    for row in temme():
        lines += ["    (", *[f"        {v!r}," for v in row], "    ),"]
    lines.append(")")
    TARGET.write_text("\n".join(lines) + "\n")
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")
    exact = exact_values()
    path = Path(__file__).with_name("special_exact.npz")
    np.savez_compressed(path, **exact)
    print(f"{path}: {path.stat().st_size:,} bytes")


def exact_values() -> dict[str, np.ndarray]:
    """Function values to full float64 precision: ``NAME`` holds rows (arguments..., value)."""
    rng = np.random.default_rng(5)
    wide = np.concatenate((rng.uniform(-5, 5, 60), rng.uniform(-30, 30, 20)))
    positive = np.concatenate((rng.uniform(0, 3, 60), rng.uniform(0, 30, 30), 10 ** rng.uniform(-8, 3, 30)))
    near_one = np.concatenate((1 + rng.uniform(-0.01, 0.01, 10), 2 + rng.uniform(-0.01, 0.01, 10)))
    chances = np.concatenate((rng.uniform(0, 1, 60), 10 ** rng.uniform(-18, -1, 20)))
    one = {
        "erf": (mp.erf, wide),
        "erfc": (mp.erfc, rng.uniform(-5, 26, 80)),
        "erfcx": (lambda x: mp.exp(x * x) * mp.erfc(x), rng.uniform(-20, 30, 80)),
        "ndtr": (mp.ncdf, rng.uniform(-35, 8, 80)),
        "log_ndtr": (lambda x: mp.log(mp.ncdf(x)), rng.uniform(-35, 4, 80)),
        "ndtri": (lambda p: -mp.sqrt(2) * mp.erfinv(1 - 2 * p), chances),
        "erfinv": (mp.erfinv, np.concatenate((rng.uniform(-1, 1, 60), 1 - 10 ** rng.uniform(-15, -1, 20)))),
        "lgamma": (lambda x: mp.log(abs(mp.gamma(x))), np.concatenate((positive, near_one))),
        "digamma": (mp.digamma, np.concatenate((positive, 1.4616 + rng.uniform(-0.01, 0.01, 20)))),
        "digamma_negative": (mp.digamma, rng.uniform(-20, 0, 40)),
        "i0": (lambda x: mp.besseli(0, x), wide),
        "i0e": (lambda x: mp.exp(-abs(x)) * mp.besseli(0, x), wide * 9),
        "i1": (lambda x: mp.besseli(1, x), wide),
        "i1e": (lambda x: mp.exp(-abs(x)) * mp.besseli(1, x), wide * 9),
        "k0": (lambda x: mp.besselk(0, x), positive[positive < 600]),
        "k0e": (lambda x: mp.exp(x) * mp.besselk(0, x), positive),
        "k1": (lambda x: mp.besselk(1, x), positive[positive < 600]),
        "k1e": (lambda x: mp.exp(x) * mp.besselk(1, x), positive),
        "j0": (lambda x: mp.besselj(0, x), wide * 3),
        "j1": (lambda x: mp.besselj(1, x), wide * 3),
        "y0": (lambda x: mp.bessely(0, x), positive[positive > 0.1]),
        "y1": (lambda x: mp.bessely(1, x), positive[positive > 0.1]),
        "spherical_j0": (lambda x: mp.sin(x) / x, wide),
        "airy_ai": (mp.airyai, rng.uniform(-40, 15, 60)),
    }
    found = {}
    for name, (function, arguments) in one.items():
        found[name] = np.array([(x, float(function(mp.mpf(float(x))))) for x in arguments])
    for n in (1, 2, 3, 5):
        found[f"polygamma{n}"] = np.array([(x, float(mp.polygamma(n, mp.mpf(float(x))))) for x in positive])
    pairs = zip(1 + 10 ** rng.uniform(-2, 1.4, 50), rng.uniform(0.1, 20, 50))
    found["zeta"] = np.array([(s, q, float(mp.zeta(mp.mpf(float(s)), mp.mpf(float(q))))) for s, q in pairs])
    a = np.concatenate((10 ** rng.uniform(-3, 1.3, 80), 10 ** rng.uniform(1.3, 4, 40)))
    x = np.where(a < 20, rng.gamma(a) + 1e-9, a + np.sqrt(a) * rng.normal(size=a.size) * 2)
    rows = []
    for s, t in zip(a, x):
        s, t = mp.mpf(float(s)), mp.mpf(float(t))
        lower = mp.gammainc(s, 0, t, regularized=True)
        upper = mp.gammainc(s, t, mp.inf, regularized=True)
        slope = mp.diff(lambda b, t=t: mp.gammainc(b, 0, t, regularized=True), s)
        rows.append((float(s), float(t), float(lower), float(upper), float(slope)))
    found["incomplete_gamma"] = np.array(rows)
    return found


if __name__ == "__main__":
    main()
