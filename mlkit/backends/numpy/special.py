"""The error functions on NumPy arrays (W. J. Cody, "Rational Chebyshev approximations for the error function",
Mathematics of Computation 23, 1969): near full double precision in three ranges of |x|."""

from __future__ import annotations

import math

import numpy as np

_A = (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3)
_B = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_C = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
_D = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)
_P = (
    1.63153871373020978e-2,
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
)
_Q = (
    1.0,
    2.56852019228982242,
    1.87295284992346725,
    5.27905102951428412e-1,
    6.05183413124413191e-2,
    2.33520497626869185e-3,
)


def _ratio(top, bottom, x):
    p, q = top[0], bottom[0]
    for a, b in zip(top[1:], bottom[1:], strict=True):
        p, q = p * x + a, q * x + b
    return p / q


def _small(x):
    """erf for |x| <= 0.5."""
    return x * _ratio(_A, _B, x * x)


def _tail(y):
    """erfc for y > 0.46875."""
    with np.errstate(all="ignore"):
        middle = _ratio(_C, _D, np.minimum(y, 4.0))
        inverse = 1 / (y * y)
        far = (1 / math.sqrt(math.pi) - inverse * _ratio(_P, _Q, inverse)) / y
        # exp(-y*y) in two factors, so that the rounding of y*y is not magnified
        whole = np.trunc(y * 16) / 16
        scale = np.exp(-whole * whole) * np.exp(-(y - whole) * (y + whole))
        return np.where(np.isinf(y), 0.0, scale * np.where(y <= 4, middle, far))


def erf(x: np.ndarray) -> np.ndarray:
    """The error function, element by element; computed in float64."""
    wide = np.asarray(x, np.float64)
    y = np.abs(wide)
    out = np.where(y <= 0.46875, _small(np.minimum(y, 0.5)), 1 - _tail(np.maximum(y, 0.46875)))
    out = np.copysign(out, wide)
    return np.where(np.isnan(wide), wide, out).astype(x.dtype)


def erfc(x: np.ndarray) -> np.ndarray:
    """1 - erf(x) without cancellation in the tail; computed in float64."""
    wide = np.asarray(x, np.float64)
    y = np.abs(wide)
    tail = _tail(np.maximum(y, 0.46875))
    out = np.where(y <= 0.46875, 1 - np.copysign(_small(np.minimum(y, 0.5)), wide), np.where(wide < 0, 2 - tail, tail))
    return np.where(np.isnan(wide), wide, out).astype(x.dtype)
