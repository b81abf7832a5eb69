"""exp, log, tanh, sigmoid and the error functions in float32 arithmetic that LLVM turns into vector instructions.

No branches, no tables, no calls: every case is computed and the right one selected, so a loop over an array becomes SIMD
code. Each follows NumPy for NaN, infinities, signed zeros and denormals. Largest error against exact results, in units of
the last place (tests/backends/test_elementary.py measures it): exp 1, log 1, tanh 2, sigmoid 3, erf 2.

The polynomials are least-squares fits at Chebyshev points, weighted for relative error.
"""

# The names in capitals are float32 and int32: a Python number in an expression would make it float64.

from __future__ import annotations

import numpy as np
from numba import njit

F, I = np.float32, np.int32  # noqa: E741

ZERO, HALF, ONE, TWO = F(0), F(0.5), F(1), F(2)
INFINITY, NAN = F(np.inf), F(np.nan)
LOG2_E = F(1.4426950408889634)
LN2_HIGH, LN2_LOW = F(0.693359375), F(-2.12194440e-4)  # the first has few digits: its multiples are exact
ROUNDING = F(12582912.0)  # 1.5 * 2**23: adding and subtracting it rounds to a whole number
EXP_MIN, EXP_MAX = F(-104), F(89)  # beyond, the result is 0 or infinity

E2, E3, E4, E5, E6 = F(0.5000000081), F(0.1666651594), F(0.04166626301), F(0.008369157164), F(0.001394645535)
P1, P2, P3 = F(0.6931471824645996), F(0.24022647738456726), F(0.05550329014658928)  # of 2**x
P4, P5, P6 = F(0.009618373587727547), F(0.0013399848248809576), F(0.00015370704932138324)
HALVES_MIN, HALVES_MAX = F(-126), F(128)  # powers of two: below, 1 + 2**z is 1; from there on it is infinite
T0, T1, T2, T3, T4 = F(-0.3333331439), F(0.1333247422), F(-0.05384005263), F(0.0210191275), F(-0.006197164606)
TANH_SMALL = F(0.56)
L0, L1, L2, L3 = F(0.3333332903), F(-0.2500084621), F(0.2000141236), F(-0.1662275246)
L4, L5, L6, L7 = F(0.1419787663), F(-0.1316160575), F(0.1278633053), F(-0.07660818947)
R0, R1, R2, R3 = F(1.1283791671), F(-0.3761263848), F(0.1128378262), F(-0.02686543831)
R4, R5, R6, R7 = F(0.005221053411), F(-0.0008484396525), F(0.0001126825371), F(-9.67359028e-06)
C0, C1, C2, C3 = F(1.276978392), F(-0.0927639025), F(-0.1660313392), F(0.1640532755)
C4, C5, C6, C7 = F(-0.0542053014), F(-0.008045223175), F(0.008638677018), F(0.001274574103)
C8, C9, C10 = F(-0.001253207545), F(-0.0003652674444), F(2.624584524e-05)
ERFC_MAX = F(10.1)
ROOT_HALF = F(0.7071067811865476)

SMALLEST_NORMAL, TWO_23 = F(1.1754944e-38), F(8388608.0)
BITS_ROOT_HALF, MANTISSA, I23, I127 = I(0x3F3504F3), I(0x007FFFFF), I(23), I(127)

# contract: a product and a sum may become one rounding (FMA); nothing else that would change special values
inline = njit(nogil=True, fastmath={"contract"}, error_model="numpy", forceinline=True)


@inline
def exp(x):
    """e**x."""
    bounded = EXP_MIN if x < EXP_MIN else x
    bounded = EXP_MAX if bounded > EXP_MAX else bounded
    bounded = bounded if bounded == bounded else ZERO
    n = (bounded * LOG2_E + ROUNDING) - ROUNDING
    r = (bounded - n * LN2_HIGH) - n * LN2_LOW
    p = ((((E6 * r + E5) * r + E4) * r + E3) * r + E2) * (r * r) + r + ONE
    whole = I(n)
    half = I(whole >> I(1))
    low = I(I(half + I127) << I23).view(np.float32)  # 2**n as two factors, since n may be outside float32's exponents
    high = I(I(whole - half + I127) << I23).view(np.float32)
    y = p * low * high
    return y if x == x else x


@inline
def logistic(z):
    """1 / (1 + 2**z), zero from 2**127.5 on; for a NaN what is there is a number."""
    bounded = z if z > HALVES_MIN else HALVES_MIN
    bounded = bounded if bounded < HALVES_MAX else HALVES_MAX
    n = (bounded + ROUNDING) - ROUNDING
    r = bounded - n
    p = (((((P6 * r + P5) * r + P4) * r + P3) * r + P2) * r + P1) * r + ONE
    return ONE / (ONE + p * I(I(I(n) + I127) << I23).view(np.float32))


@inline
def log(x):
    """The natural logarithm; NaN below 0."""
    tiny = x < SMALLEST_NORMAL
    scaled = x * TWO_23 if tiny else x
    bits = I(F(scaled).view(np.int32) - BITS_ROOT_HALF)
    e = F(I(bits >> I23)) - (F(23) if tiny else ZERO)
    f = I(I(bits & MANTISSA) + BITS_ROOT_HALF).view(np.float32) - ONE
    p = ((((((L7 * f + L6) * f + L5) * f + L4) * f + L3) * f + L2) * f + L1) * f + L0
    square = f * f
    y = e * LN2_HIGH + (f + (e * LN2_LOW + square * (f * p - HALF)))
    y = y if x < INFINITY else x  # infinity and NaN
    y = y if x > ZERO else (-INFINITY if x == ZERO else NAN)
    return y if x == x else x


@inline
def tanh(x):
    a = abs(x)
    e = exp(-TWO * a)
    large = (ONE - e) / (ONE + e)
    s = x * x
    small = a + a * s * ((((T4 * s + T3) * s + T2) * s + T1) * s + T0)
    y = small if a < TANH_SMALL else large
    y = y if x == x else x
    return np.copysign(y, x)


@inline
def sigmoid(x):
    """1 / (1 + exp(-x)), to the last digits of its left tail."""
    e = exp(-abs(x))
    y = ONE / (ONE + e)
    return y if x >= ZERO else e * y


@inline
def erfc_scaled(a):
    """exp(a**2) * erfc(a) for 0 <= a <= 10.1."""
    t = (a - TWO) / (a + TWO)
    p = ((((C10 * t + C9) * t + C8) * t + C7) * t + C6) * t + C5
    p = ((((p * t + C4) * t + C3) * t + C2) * t + C1) * t + C0
    return p / (ONE + TWO * a)


@inline
def erfc_positive(a):
    """erfc(a) for a >= 0, relative error 1e-6 down to where it vanishes."""
    bounded = ERFC_MAX if a > ERFC_MAX else a
    # a**2 as the sum of an exact square and a rest: exp would magnify the rounding of the plain square
    coarse = (bounded * F(4097)) - (bounded * F(4097) - bounded)
    rest = bounded - coarse
    y = exp(-coarse * coarse) * exp(-rest * (coarse + bounded)) * erfc_scaled(bounded)
    return y if a == a else a


@inline
def erfc(x):
    y = erfc_positive(abs(x))
    return TWO - y if x < ZERO else y


@inline
def erf(x):
    a = abs(x)
    s = x * x
    s = s if a < ONE else ONE
    small = a * (((((((R7 * s + R6) * s + R5) * s + R4) * s + R3) * s + R2) * s + R1) * s + R0)
    y = small if a < ONE else ONE - erfc_positive(a)
    y = y if x == x else x
    return np.copysign(y, x)


@inline
def normal_cdf(x, e):
    """The distribution function of the normal distribution; ``e`` is exp(-x**2 / 2)."""
    a = abs(x) * ROOT_HALF
    half = HALF * e * erfc_scaled(ERFC_MAX if a > ERFC_MAX else a)
    return ONE - half if x > ZERO else half


@inline
def softplus(x):
    """log(1 + exp(x))."""
    e = exp(-abs(x))
    # log1p(e) for 0 <= e <= 1: log of the rounded sum, corrected by what the rounding lost
    u = ONE + e
    d = u - ONE
    y = log(u) * (e / d) if d != ZERO else e
    return (x if x > ZERO else ZERO) + y
