"""The line search of L-BFGS: a step that lowers the loss enough and ends where it is flat enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple


class Point(NamedTuple):
    """A place on the line: how far, the loss there, its gradient, and the slope along the line."""

    t: float
    loss: float
    gradient: Any
    slope: float


def cubic_minimum(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points with their slopes is lowest, kept within ``bounds``."""
    low, high = bounds if bounds is not None else (min(a.t, b.t), max(a.t, b.t))
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    d2 = math.sqrt(square)
    if a.t <= b.t:
        lowest = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    else:
        lowest = a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2))
    return min(max(lowest, low), high)


def strong_wolfe(
    evaluate: Callable,
    t: float,
    d,
    loss: float,
    gradient,
    slope: float,
    max_evaluations: int,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
) -> tuple:
    """A step t along d with loss(t) <= loss + c1 t slope and |slope(t)| <= c2 |slope|.

    Nocedal & Wright, "Numerical optimization", algorithms 3.5 (bracket) and 3.6 (zoom). ``evaluate(t)`` gives loss and
    gradient. Returns (loss, gradient, t, evaluations).
    """

    def look(t: float) -> Point:
        value, g = evaluate(t)
        return Point(t, value, g, float(g @ d))

    start = Point(0, loss, gradient, slope)
    enough = lambda p: p.loss <= loss + c1 * p.t * slope  # noqa: E731
    flat = lambda p: abs(p.slope) <= -c2 * slope  # noqa: E731
    width = float(abs(d).max())
    before, now, evaluations, n = start, look(t), 1, 0

    # 1. go on until a step is good, or the good ones are known to lie between two
    while n < max_evaluations:
        if not enough(now) or (n > 1 and now.loss >= before.loss):
            bracket = [before, now]
            break
        if flat(now):
            return now.loss, now.gradient, now.t, evaluations
        if now.slope >= 0:
            bracket = [before, now]
            break
        bounds = (now.t + 0.01 * (now.t - before.t), now.t * 10)
        t = cubic_minimum(before, now, bounds)
        before, now = now, look(t)
        evaluations += 1
        n += 1
    else:
        bracket = [start, now]

    # 2. make the bracket smaller; its lower end is the best step so far
    stuck = False
    low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
    while n < max_evaluations:
        if abs(bracket[1].t - bracket[0].t) * width < tolerance_change:
            break
        left, right = sorted(p.t for p in bracket)
        t = cubic_minimum(bracket[0], bracket[1])
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:  # too near an end, twice or fully: step 0.1 away from it
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        now = look(t)
        evaluations += 1
        n += 1
        if not enough(now) or now.loss >= bracket[low].loss:
            bracket[high] = now
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        if not flat(now) and now.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = now
        if flat(now):
            break
    best = bracket[low]
    return best.loss, best.gradient, best.t, evaluations
