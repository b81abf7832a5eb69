"""Special functions over an array library, in float64: near full precision where the function is well conditioned.

``m`` is the reader (``m.xp``, ``m.erf_``, ``m.erfc_``); arguments are float64 arrays of one shape. Smooth parts are Chebyshev
series from special_tables.py; the formulas are those of the NIST Digital Library of Mathematical Functions (DLMF).
"""

from __future__ import annotations

import math

from mlkit.backends.portable import special_tables as tables

EULER = 0.5772156649015329


def chebyshev(coefficients, t):
    """The series at t in [-1, 1], by Clenshaw's recurrence."""
    twice = t + t
    b1 = b2 = 0.0
    for c in reversed(coefficients[1:]):
        b1, b2 = twice * b1 - b2 + c, b1
    return t * b1 - b2 + coefficients[0]


def on(coefficients, x, low, high, xp):
    """The series fitted on [low, high], at x held inside."""
    inside = xp.minimum(xp.maximum(x, low), high)
    return chebyshev(coefficients, (2 * inside - (low + high)) / (high - low))


def at_least(xp, x, low):
    """x, but no smaller than low (NaN becomes low): a safe argument where another branch is taken."""
    return xp.where(x >= low, x, low)


def horner(coefficients, x):
    out = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        out = out * x + c
    return out


def log1p_minus(xp, x):
    """log(1 + x) - x without cancellation near 0."""
    near = xp.abs(x) < 0.35
    small = xp.where(near, x, 0.0)
    r = small / (2 + small)  # log(1+x) = 2 atanh(r), x = 2 r / (1 - r)
    r2 = r * r
    series = horner([2 / (2 * k + 3) for k in range(18)], r2) * r * r2 - small * r
    return xp.where(near, series, xp.log1p(xp.where(near, 0.0, x)) - xp.where(near, 0.0, x))


# --- error functions ---------------------------------------------------------------------------------------------------


def erfcx(m, x):
    """exp(x^2) erfc(x)."""
    xp = m.xp
    small = xp.minimum(x, 5.0)
    # x * x in two parts, so that exp does not magnify its rounding
    head = xp.where(xp.abs(small) < 1e100, xp.trunc(small * 1024) / 1024, small)
    near = xp.exp(head * head) * xp.exp((small - head) * (small + head)) * m.erfc_(small)
    far = at_least(xp, x, 5.0)
    # continued fraction (DLMF 7.9.3)
    tail = far
    for k in range(60, 0, -1):
        tail = far + (k * 0.5) / tail
    out = xp.where(x > 5.0, 1 / (math.sqrt(math.pi) * tail), near)
    out = xp.where(x == -math.inf, math.inf, out)
    return xp.where(xp.isnan(x), x, out)


def ndtr(m, x):
    """The normal distribution function."""
    xp = m.xp
    left = xp.maximum(xp.minimum(x, -1.0), -40.0)
    head = xp.trunc(left * 16) / 16
    tail = (
        0.5
        * erfcx(m, -left * math.sqrt(0.5))
        * xp.exp(-0.5 * head * head)
        * xp.exp(-0.5 * (left - head) * (left + head))
    )
    return xp.where(x < -1, tail, 0.5 * m.erfc_(-x * math.sqrt(0.5)))


def log_ndtr(m, x):
    xp = m.xp
    left = xp.minimum(x, -1.0)
    right = at_least(xp, x, -1.0)
    tail = xp.log(0.5 * erfcx(m, -left * math.sqrt(0.5))) - 0.5 * left * left
    out = xp.where(x < -1, tail, xp.log1p(-0.5 * m.erfc_(right * math.sqrt(0.5))))
    return xp.where(xp.isnan(x), x, out)


def _quantile_guess(xp, p):
    """A rough x with ndtr(x) = p for p in (0, 0.5] (Abramowitz & Stegun 26.2.23), error below 5e-4."""
    t = xp.sqrt(-2 * xp.log(p))
    top = 2.515517 + t * (0.802853 + t * 0.010328)
    bottom = 1 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    return top / bottom - t


def ndtri(m, p):
    """The inverse of ndtr, by Halley's steps in the smaller tail, on its logarithm where it is tiny."""
    xp = m.xp
    upper = p > 0.5
    q = xp.where(upper, 1 - p, p)
    inside = (q > 0) & (q <= 0.5)
    q_ = xp.where(inside, q, 0.25)
    x = _quantile_guess(xp, q_)
    log_q = xp.log(q_)
    for _ in range(4):  # log ndtr has slope pdf / cdf, curvature -slope (x + slope)
        value = log_ndtr(m, x)
        slope = math.sqrt(2 / math.pi) / erfcx(m, -x * math.sqrt(0.5))
        step = (value - log_q) / slope
        x = x - step / (1 + 0.5 * step * (x + slope))
    # the centre: p - 1/2 is exact there
    centre = xp.abs(p - 0.5) < 0.3
    x = xp.where(centre, _centre(m, xp.where(centre, 2 * p - 1, 0.0)) * math.sqrt(2), xp.where(upper, -x, x))
    x = xp.where(p == 0, -math.inf, xp.where(p == 1, math.inf, x))
    return xp.where((p >= 0) & (p <= 1), x, math.nan)


def _centre(m, y):
    """erfinv for |y| < 0.7: a series, then Halley's steps on erf."""
    scale = math.sqrt(math.pi) / 2
    w = scale * y
    w2 = w * w
    x = w * (1 + w2 * (1 / 3 + w2 * (7 / 30 + w2 * (127 / 630 + w2 * 4369 / 22680))))
    for _ in range(3):
        step = (m.erf_(x) - y) * scale * m.xp.exp(x * x)
        x = x - step / (1 + x * step)
    return x


def erfinv(m, y):
    """The inverse of erf."""
    xp = m.xp
    size = xp.abs(y)
    near = size < 0.7
    small = _centre(m, xp.where(near, y, 0.0))
    rest = xp.where((size >= 0.7) & (size < 1), 1 - size, 0.25)
    x = -_quantile_guess(xp, 0.5 * rest) * math.sqrt(0.5)
    log_rest = xp.log(rest)
    for _ in range(4):
        scaled = erfcx(m, x)
        slope = (2 / math.sqrt(math.pi)) / scaled
        step = (xp.log(scaled) - x * x - log_rest) / slope
        x = x + step / (1 - 0.5 * step * (slope - 2 * x))
    out = xp.where(near, small, xp.copysign(x, y))
    out = xp.where(size == 1, xp.copysign(math.inf, y), out)
    return xp.where(size <= 1, out, math.nan)


# --- gamma ---------------------------------------------------------------------------------------------------------------

_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)


def _stirling(xp, x):
    """log gamma(x) - ((x - 1/2) log x - x + log(2 pi) / 2) for x >= 8."""
    inverse = 1 / x
    return horner(_STIRLING, inverse * inverse) * inverse


def _lgamma_positive(xp, x):
    """log gamma for x >= 0.5."""
    # middle: bring [3, 12] down to [2, 3] by the recurrence, as one product
    middle = xp.minimum(x, 12.0)
    product = xp.ones_like(x)
    for _ in range(10):
        above = middle > 3.0
        middle = xp.where(above, middle - 1, middle)
        product = xp.where(above, product * middle, product)
    fitted = on(tables.LGAMMA, middle, 0.5, 3.0, xp) * ((middle - 1) * (middle - 2))
    large = at_least(xp, x, 12.0)
    far = (large - 0.5) * (xp.log(large) - 1) + (0.5 * math.log(2 * math.pi) - 0.5) + _stirling(xp, large)
    far = xp.where(xp.isinf(x), math.inf, far)
    return xp.where(x < 12.0, fitted + xp.log(product), far)


def _sin_pi(xp, x):
    """sin(pi x) exactly periodic."""
    r = x - 2 * xp.round(x * 0.5)
    return xp.sin(math.pi * xp.where(xp.abs(r) > 0.5, xp.copysign(1.0, r) - r, r))


def lgamma(m, x):
    """log |gamma(x)|; infinite at 0, -1, -2, ..."""
    xp = m.xp
    reflected = x < 0.5
    positive = _lgamma_positive(xp, xp.where(reflected, 1 - x, x))
    sine = xp.abs(_sin_pi(xp, xp.where(reflected & xp.isfinite(x), x, 0.5)))
    out = xp.where(reflected, math.log(math.pi) - xp.log(sine) - positive, positive)
    # near 0 the reflection loses digits: log gamma(x) = log gamma(1 + x) - log |x|
    near = xp.abs(x) < 0.5
    shifted = _lgamma_positive(xp, xp.where(near, 1 + x, 1.0))
    small = xp.where(near & (x != 0), xp.abs(x), 1.0)
    direct = xp.where(xp.abs(x) < 1e-5, x * (-EULER + x * (math.pi**2 / 12)), shifted) - xp.log(small)
    out = xp.where(near, direct, out)
    out = xp.where((x <= 0) & (x == xp.floor(x)), math.inf, out)
    return xp.where(xp.isnan(x), x, out)


_PSI = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12, 3617 / 8160)


def digamma(m, x):
    """The derivative of log gamma; -inf at 0 (inf at -0), NaN at -1, -2, ..."""
    xp = m.xp
    reflected = x < 0
    y = xp.where(reflected, 1 - x, x)
    y = xp.where(y > 0, y, 1.0)
    # (0, 1): one step up; (1, 2): the fit; above: up to 10, then the asymptotic series
    low = y < 1
    shifted = xp.where(low, y + 1, y)
    high, low_part = tables.DIGAMMA_ROOT
    fitted = on(tables.DIGAMMA, shifted, 1.0, 2.0, xp) * ((shifted - high) - low_part)
    fitted = xp.where(low, fitted - 1 / y, fitted)
    z = at_least(xp, y, 2.0)
    total = xp.zeros_like(x)
    for _ in range(8):
        below = z < 10
        total = xp.where(below, total + 1 / z, total)
        z = xp.where(below, z + 1, z)
    inverse = 1 / z
    far = xp.log(z) - 0.5 * inverse + horner(_PSI, inverse * inverse) * inverse * inverse - total
    far = xp.where(xp.isinf(y), math.inf, far)
    out = xp.where(y <= 2, fitted, far)
    r = x - xp.round(xp.where(reflected & xp.isfinite(x), x, 0.25))
    angle = math.pi * xp.where(reflected & (r != 0), r, 0.25)
    out = xp.where(reflected, out - math.pi * xp.cos(angle) / xp.sin(angle), out)
    out = xp.where(reflected & ((x == xp.floor(x)) | xp.isinf(x)), math.nan, out)
    out = xp.where(x == 0, -xp.copysign(math.inf, x), out)
    return xp.where(xp.isnan(x), x, out)


# Bernoulli numbers B_2j / (2j)! for Euler-Maclaurin
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)


def zeta(m, s, q):
    """Hurwitz's zeta function: sum over k >= 0 of (k + q)^-s, by Euler and Maclaurin."""
    xp = m.xp
    whole = q == xp.floor(q)
    bad = ~(s > 1) | ((q <= 0) & (~whole) & (s != xp.floor(s))) | xp.isnan(q)
    pole = (q <= 0) & whole
    ok = ~(bad | pole | (s == 1))
    s_, a = xp.where(ok, s, 2.0), xp.where(ok, q, 1.0)
    total = xp.zeros_like(s_)
    # terms one by one until a >= 10 + s; beyond s = 40 the first few are all there is
    start = 10 + xp.minimum(s_, 40.0)
    count = math.ceil(float((start - a).max())) if a.size else 0
    for _ in range(count):
        below = a < start
        total = xp.where(below, total + xp.power(xp.where(below, a, 1.0), -s_), total)
        a = xp.where(below, a + 1, a)
    power = xp.power(a, -s_)
    tail = power * a / (s_ - 1) + 0.5 * power
    factor, term = s_, power / a
    inverse = 1 / (a * a)
    for j, b in enumerate(_BERNOULLI):
        tail = tail + (b / math.factorial(2 * j + 2)) * factor * term
        factor = factor * (s_ + 2 * j + 1) * (s_ + 2 * j + 2)
        term = term * inverse
    out = total + tail
    out = xp.where(ok & xp.isinf(s), xp.where(q > 1, 0.0, xp.where(q == 1, 1.0, math.inf)), out)
    out = xp.where(s == 1, math.inf, xp.where(pole, math.inf, out))
    return xp.where((s < 1) | xp.isnan(s) | xp.isnan(q) | (bad & (s > 1)), math.nan, out)


def polygamma(m, n: int, x):
    """The n-th derivative of digamma: (-1)^(n+1) n! zeta(n + 1, x)."""
    xp = m.xp
    if n == 0:
        return digamma(m, x)
    if n == 1:
        reflected = x < 0.5  # trigamma(1 - x) + trigamma(x) = (pi / sin(pi x))^2
        other = zeta(m, xp.full_like(x, 2.0), xp.where(reflected, 1 - x, x))
        sine = _sin_pi(xp, xp.where(reflected & xp.isfinite(x), x, 0.5))
        square = (math.pi / xp.where(sine == 0, 1.0, sine)) ** 2
        out = xp.where(reflected, xp.where(sine == 0, math.inf, square - other), other)
        return xp.where(xp.isnan(x), x, out)
    sign = 1.0 if n % 2 else -1.0
    factorial = math.gamma(n + 1) if n <= 170 else math.inf
    return sign * factorial * zeta(m, xp.full_like(x, n + 1.0), x)


# --- incomplete gamma --------------------------------------------------------------------------------------------------------


def _temme(m, a, x, slope: bool):
    """(P, Q, dP/da) near x = a for large a, uniformly (Temme 1979; DLMF 8.12)."""
    xp = m.xp
    ratio = x / a
    mu = (x - a) / a
    half = -log1p_minus(xp, mu)  # eta^2 / 2
    eta = xp.copysign(xp.sqrt(xp.maximum(2 * half, 0.0)), mu)
    inverse = 1 / a
    orders = [horner(row, eta) for row in tables.TEMME]
    series = horner(orders, inverse)
    gauss = xp.exp(-a * half) / xp.sqrt(2 * math.pi * a)
    argument = eta * xp.sqrt(0.5 * a)
    Q = 0.5 * m.erfc_(argument) + gauss * series
    P = 0.5 * m.erfc_(-argument) - gauss * series
    if not slope:
        return P, Q, None
    # eta moves with a at fixed x: eta d eta = (1 - 1/ratio) d ratio, d ratio / da = -ratio / a
    safe = xp.where(eta == 0, 1.0, eta)
    deta = xp.where(eta == 0, -inverse, -(mu / safe) * inverse)
    dhalf = -mu * inverse
    series_eta = horner([horner([k * c for k, c in enumerate(row)][1:], eta) for row in tables.TEMME], inverse)
    series_a = horner([-k * c for k, c in enumerate(orders)], inverse) * inverse
    dgauss = gauss * (-half - a * dhalf - 0.5 * inverse)
    dargument = deta * xp.sqrt(0.5 * a) + eta * 0.25 / xp.sqrt(0.5 * a)
    # 2 / sqrt(pi) exp(-argument^2) / 2, with argument^2 = a eta^2 / 2 = a half
    bell = xp.exp(-a * half) / math.sqrt(math.pi)
    dP = bell * dargument - dgauss * series - gauss * (series_eta * deta + series_a)
    return P, Q, dP * xp.ones_like(ratio)


def _gamma_prefix(m, a, x):
    """x^a exp(-x) / gamma(a + 1), without cancellation for large a."""
    xp = m.xp
    large = a > 12
    a_, x_ = xp.where(large, a, 13.0), xp.where(large, x, 13.0)
    balance = xp.exp(a_ * log1p_minus(xp, (x_ - a_) / a_) - _stirling(xp, a_)) / xp.sqrt(2 * math.pi * a_)
    plain = xp.exp(
        a * xp.log(xp.where(large, 1.0, x)) - xp.where(large, 1.0, x) - lgamma(m, xp.where(large, 1.0, a) + 1)
    )
    return xp.where(large, balance, plain)


def _series(m, a, x, slope: bool):
    """(P, dP/da) for x below about a + 1 (DLMF 8.11.4)."""
    xp = m.xp
    term = total = xp.ones_like(x)
    dterm = dtotal = xp.zeros_like(x)
    for k in range(1, 2000):
        factor = x / (a + k)
        dterm = (dterm - term / (a + k)) * factor if slope else dterm
        term = term * factor
        total = total + term
        dtotal = dtotal + dterm
        if not (xp.abs(term) + (xp.abs(dterm) if slope else 0) > 1e-17 * total).any():
            break
    prefix = _gamma_prefix(m, a, x)
    P = prefix * total
    dP = P * (xp.log(x) - digamma(m, a + 1)) + prefix * dtotal if slope else None
    return P, dP


def _fraction(m, a, x, slope: bool):
    """(Q, dQ/da) for x above about a + 1, by the continued fraction DLMF 8.9.2 (Lentz's way, slope alongside)."""
    xp = m.xp
    tiny = 1e-300
    b = x + 1 - a
    c = xp.full_like(x, 1 / tiny)
    dc = xp.zeros_like(x)
    b = xp.where(b == 0, tiny, b)
    d = 1 / b
    dd = d * d  # d(1/b)/da with db/da = -1
    h, dh = d, dd
    for k in range(1, 2000):
        an = -k * (k - a)
        b = b + 2
        dan = float(k)
        lower = an * d + b
        dlower = dan * d + an * dd - 1
        lower = xp.where(lower == 0, tiny, lower)
        upper = b + an / c
        dupper = -1 + dan / c - an * dc / (c * c)
        upper = xp.where(upper == 0, tiny, upper)
        d = 1 / lower
        dd = -dlower * d * d
        c, dc = upper, dupper
        change = d * c
        dchange = dd * c + d * dc
        dh = dh * change + h * dchange
        h = h * change
        off = xp.abs(change - 1)
        if slope:  # the slope settles later than the value
            off = off + 0.01 * xp.abs(dchange)
        if not (off > 1e-16).any() or (k > 60 and not (off > 4e-16).any()):
            break
    prefix = _gamma_prefix(m, a, x) * a
    Q = prefix * h
    dQ = Q * (xp.log(x) - digamma(m, a)) + prefix * dh if slope else None
    return Q, dQ


def incomplete_gamma(m, a, x, slope: bool = False):
    """(P, Q, dP/da) of the regularized incomplete gamma functions for a > 0, x >= 0; NaN elsewhere."""
    xp = m.xp
    ok = (a > 0) & (x > 0) & xp.isfinite(a) & xp.isfinite(x)
    near = xp.abs(x - a) < xp.where(a > 200, 4.5 / xp.sqrt(xp.maximum(a, 1.0)), 0.3) * a
    uniform = ok & (a > 20) & near
    low = ok & ~uniform & ((x < 1) | (x < a + 1))
    # small x and small a: Q = 1 - P loses nothing while P is not close to 1
    high = ok & ~uniform & ~low
    P, Q, dP = xp.full_like(x, math.nan), xp.full_like(x, math.nan), xp.full_like(x, math.nan)
    if uniform.any():
        p, q, dp = _temme(m, a[uniform], x[uniform], slope)
        P[uniform], Q[uniform] = p, q
        if slope:
            dP[uniform] = dp
    if low.any():
        p, dp = _series(m, a[low], x[low], slope)
        P[low], Q[low] = p, 1 - p
        if slope:
            dP[low] = dp
    if high.any():
        q, dq = _fraction(m, a[high], x[high], slope)
        P[high], Q[high] = 1 - q, q
        if slope:
            dP[high] = -dq
    # small a and x: Q from log gamma(1 + a), since P is near 1
    tiny = ok & (a < 1) & (x < 1.1) & low
    if tiny.any():
        Q[tiny] = _q_small(m, a[tiny], x[tiny])
    edge_zero = (x == 0) & (a > 0)
    P, Q = xp.where(edge_zero, 0.0, P), xp.where(edge_zero, 1.0, Q)
    far = (x == math.inf) & (a >= 0) & (a != math.inf)
    zero = (a == 0) & (x > 0)
    P, Q = xp.where(far | zero, 1.0, P), xp.where(far | zero, 0.0, Q)
    huge = (a == math.inf) & (x >= 0) & (x != math.inf)
    return xp.where(huge, 0.0, P), xp.where(huge, 1.0, Q), dP


def _q_small(m, a, x):
    """Q for a < 1 and x about below 1: 1 - x^a / gamma(1 + a) + x^a / gamma(a + 1) (1 - ...) (DLMF 8.7.1)."""
    xp = m.xp
    log_part = a * xp.log(x) - lgamma(m, 1 + a)
    total = xp.zeros_like(x)
    term = xp.ones_like(x)
    for k in range(1, 40):
        term = term * (-x) / k
        total = total + term / (a + k)
    return -xp.expm1(log_part) - xp.exp(log_part) * a * total


def gammainc(m, a, x):
    return incomplete_gamma(m, a, x)[0]


def gammaincc(m, a, x):
    return incomplete_gamma(m, a, x)[1]


def gammainc_slope(m, a, x):
    """d gammainc / da."""
    return incomplete_gamma(m, a, x, True)[2]


def gamma_sample_slope(m, a, x):
    """How a sample x of the gamma distribution moves with its shape a: -(dP/da) / pdf (implicit reparameterization,
    Figurnov, Mohamed & Mnih 2018)."""
    xp = m.xp
    slope = incomplete_gamma(m, a, x, True)[2]
    density = _gamma_prefix(m, a, x) * a / x
    out = -slope / density
    # far below every density: x is about (u gamma(a + 1))^(1/a)
    small = x < 1e-30
    log_x = xp.log(xp.where(x > 0, x, 1.0))
    limit = -x * (log_x - digamma(m, a + 1)) / a
    return xp.where(small, xp.where(x > 0, limit, 0.0), out)


# --- Bessel functions --------------------------------------------------------------------------------------------------------


def i0e(m, x):
    xp = m.xp
    y = xp.abs(x)
    far = at_least(xp, y, 8.0)
    out = xp.where(y <= 8, on(tables.I0_NEAR, y, 0.0, 8.0, xp), on(tables.I0_FAR, 8 / far, 0.0, 1.0, xp) / xp.sqrt(far))
    return xp.where(xp.isnan(x), x, out)


def i1e(m, x):
    xp = m.xp
    y = xp.abs(x)
    far = at_least(xp, y, 8.0)
    near = on(tables.I1_NEAR, y, 0.0, 8.0, xp) * y
    out = xp.where(y <= 8, near, on(tables.I1_FAR, 8 / far, 0.0, 1.0, xp) / xp.sqrt(far))
    return xp.where(xp.isnan(x), x, xp.copysign(out, x))


def _exp_times(xp, y, scaled):
    """exp(y) * scaled without overflow before the product overflows."""
    half = xp.exp(0.5 * y)
    return xp.where(xp.isinf(y), math.inf, half * scaled * half)


def i0(m, x):
    return _exp_times(m.xp, m.xp.abs(x), i0e(m, x))


def i1(m, x):
    xp = m.xp
    out = xp.copysign(_exp_times(xp, xp.abs(x), xp.abs(i1e(m, x))), x)
    return xp.where(xp.isnan(x), x, out)


def _k(m, x, near_table, far_table, order, scaled):
    xp = m.xp
    inside = (x > 0) & (x <= 2)
    y = xp.where(inside, x, 1.0)
    regular = on(near_table, y * y, 0.0, 4.0, xp)
    if order == 0:
        near = regular - xp.log(0.5 * y) * i0(m, y)
    else:
        near = regular / y + xp.log(0.5 * y) * i1(m, y)
    far = at_least(xp, x, 2.0)
    tail = on(far_table, 2 / far, 0.0, 1.0, xp) / xp.sqrt(far)
    out = xp.where(inside, near * xp.exp(y) if scaled else near, tail if scaled else tail * xp.exp(-far))
    out = xp.where(x == 0, math.inf, out)
    return xp.where(x >= 0, out, math.nan)


def k0(m, x):
    return _k(m, x, tables.K0_NEAR, tables.K0_FAR, 0, False)


def k1(m, x):
    return _k(m, x, tables.K1_NEAR, tables.K1_FAR, 1, False)


def k0e(m, x):
    return _k(m, x, tables.K0_NEAR, tables.K0_FAR, 0, True)


def k1e(m, x):
    return _k(m, x, tables.K1_NEAR, tables.K1_FAR, 1, True)


def _wave(m, x, order, kind):
    """J (kind "j") or Y for x > 8, from amplitude and phase (Hankel; DLMF 10.17)."""
    xp = m.xp
    t = (8 / x) ** 2
    P = on((tables.P0_FAR, tables.P1_FAR)[order], t, 0.0, 1.0, xp)
    Q = on((tables.Q0_FAR, tables.Q1_FAR)[order], t, 0.0, 1.0, xp) * (8 / x)
    s, c = xp.sin(x), xp.cos(x)
    # cos and sin of x - pi/4 (order 0) or x - 3 pi/4 (order 1), times sqrt(2)
    cosine, sine = ((c + s), (s - c)) if order == 0 else ((s - c), -(s + c))
    scale = 1 / xp.sqrt(math.pi * x)
    value = P * cosine - Q * sine if kind == "j" else P * sine + Q * cosine
    return xp.where(xp.isinf(x), 0.0, scale * value)


def _without_roots(xp, y, roots, table):
    value = on(table, y * y, 0.0, 64.0, xp)
    for high, low in (roots[:2], roots[2:]):
        value = value * (((y - high) - low) * (y + high))
    return value


def j0(m, x):
    xp = m.xp
    y = xp.abs(x)
    near = _without_roots(xp, xp.minimum(y, 8.0), tables.J0_ROOTS, tables.J0_NEAR)
    out = xp.where(y <= 8, near, _wave(m, at_least(xp, y, 8.0), 0, "j"))
    return xp.where(xp.isnan(x), x, out)


def j1(m, x):
    xp = m.xp
    y = xp.abs(x)
    small = xp.minimum(y, 8.0)
    near = _without_roots(xp, small, tables.J1_ROOTS, tables.J1_NEAR) * small
    out = xp.where(y <= 8, near, _wave(m, at_least(xp, y, 8.0), 1, "j"))
    return xp.where(xp.isnan(x), x, xp.where(x < 0, -out, out))


def y0(m, x):
    xp = m.xp
    inside = (x > 0) & (x <= 8)
    y = xp.where(inside, x, 1.0)
    near = on(tables.Y0_NEAR, y * y, 0.0, 64.0, xp) + (2 / math.pi) * xp.log(0.5 * y) * j0(m, y)
    out = xp.where(inside, near, _wave(m, at_least(xp, x, 8.0), 0, "y"))
    return xp.where(x == 0, -math.inf, xp.where(x > 0, out, math.nan))


def y1(m, x):
    xp = m.xp
    inside = (x > 0) & (x <= 8)
    y = xp.where(inside, x, 1.0)
    near = on(tables.Y1_NEAR, y * y, 0.0, 64.0, xp) * y + (2 / math.pi) * (xp.log(0.5 * y) * j1(m, y) - 1 / y)
    out = xp.where(inside, near, _wave(m, at_least(xp, x, 8.0), 1, "y"))
    return xp.where(x == 0, -math.inf, xp.where(x > 0, out, math.nan))


def spherical_j0(m, x):
    xp = m.xp
    small = xp.abs(x) < 0.5
    y2 = xp.where(small, x * x, 0.0)
    series = horner([(-1) ** k / math.factorial(2 * k + 1) for k in range(9)], y2)
    y = xp.where(small, 1.0, x)
    out = xp.where(small, series, xp.sin(xp.where(xp.isinf(y), 0.0, y)) / y)
    return xp.where(xp.isnan(x), x, out)


_AIRY_RIGHT = 2 / 3 * 2**1.5
_AIRY_LEFT = 2 / 3 * 8


def airy_ai(m, x):
    xp = m.xp
    right = at_least(xp, x, 2.0)
    zeta_ = 2 / 3 * right * xp.sqrt(right)
    tail = on(tables.AIRY_RIGHT, _AIRY_RIGHT / zeta_, 0.0, 1.0, xp)
    tail = tail * xp.exp(-zeta_) / (2 * math.sqrt(math.pi) * xp.sqrt(xp.sqrt(right)))
    left = at_least(xp, -x, 4.0)
    zeta_ = 2 / 3 * left * xp.sqrt(left)
    t = _AIRY_LEFT / zeta_
    P, Q = on(tables.AIRY_P, t * t, 0.0, 1.0, xp), on(tables.AIRY_Q, t * t, 0.0, 1.0, xp) * t
    c, s = xp.cos(zeta_), xp.sin(zeta_)
    wave = ((c + s) * P + (s - c) * Q) * math.sqrt(0.5) / (math.sqrt(math.pi) * xp.sqrt(xp.sqrt(left)))
    middle = xp.where(x < 0, on(tables.AIRY_LEFT, x, -4.0, 0.0, xp), on(tables.AIRY_MIDDLE, x, 0.0, 2.0, xp))
    out = xp.where(x > 2, tail, xp.where(x < -4, wave, middle))
    out = xp.where(xp.isinf(x), 0.0, out)
    return xp.where(xp.isnan(x), x, out)
