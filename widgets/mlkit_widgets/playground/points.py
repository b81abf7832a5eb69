"""The points of the playground: toy problems from `mlkit.data.datasets`, or the user's own two columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlkit.core.errors import DataError

__all__ = ["EXTENT", "OWN", "TOYS", "Points", "make_toy", "read_own"]

EXTENT = 3.0
"""The plane that is shown reaches from -EXTENT to EXTENT in both directions."""

REACH = 2.6
"""Own columns are moved and scaled to reach from -REACH to REACH."""

OWN = "own"
TOYS = ("circles", "xor", "blobs", "moons", "spirals", "plane", "hills")
REGRESSION = ("plane", "hills")
MOST_CLASSES = 8
MOST_POINTS = 5000


@dataclass(frozen=True)
class Points:
    """Points with a target each, in the plane's coordinates.

    Attributes:
        xy: float32 [points, 2].
        target: float32 [points]: the number of the class, or the value scaled to -1..1.
        kind: "classification" or "regression".
        classes: The classes' names; empty for a regression.
        names: What the two columns are called.
        middle, half: The column's own coordinates are `xy / REACH * half + middle`.
        value: Middle and half range of a regression's target.
    """

    xy: np.ndarray
    target: np.ndarray
    kind: str
    classes: tuple[str, ...] = ()
    names: tuple[str, str] = ("x", "y")
    middle: tuple[float, float] = (0.0, 0.0)
    half: tuple[float, float] = (REACH, REACH)
    value: tuple[float, float] = (0.0, 1.0)
    own: Any = field(default=None, repr=False, compare=False)
    """The user's columns and labels as they came, for the exported script."""

    @property
    def outputs(self) -> int:
        """How many numbers a network must give: one is enough for two classes."""
        return len(self.classes) if len(self.classes) > 2 else 1


def make_toy(name: str, samples: int, noise: float, seed: int) -> Points:
    """A toy problem.

    Args:
        name: One of TOYS; the last two are regressions.
        samples: How many points.
        noise: 0 (none) to 1; what that means in units of the plane depends on the problem.
        seed: The same seed gives the same points.

    >>> make_toy("circles", 100, noise=0.1, seed=0).xy.shape
    (100, 2)
    """
    from mlkit.core.rng import Generator
    from mlkit.data import datasets

    generator = Generator().manual_seed(seed)
    made: Any
    if name == "circles":
        made, scale, shift = datasets.circles(samples, 0.3 * noise, factor=0.45, generator=generator), 2.3, (0.0, 0.0)
    elif name == "moons":
        made, scale, shift = datasets.moons(samples, 0.5 * noise, generator=generator), 1.6, (0.5, 0.25)
    elif name == "spirals":
        made = datasets.spirals(samples, 0.15 * noise, classes=2, turns=1.0, generator=generator)
        scale, shift = 2.5, (0.0, 0.0)
    elif name == "blobs":
        centers = [(-1.3, -1.1), (1.4, -0.8), (0.0, 1.4)]
        made, scale, shift = datasets.blobs(samples, centers, 0.3 + noise, generator), 1.0, (0.0, 0.0)
    elif name in RECIPES:
        xy, target = RECIPES[name](samples, noise, np.random.default_rng(seed))
        kind = "regression" if name in REGRESSION else "classification"
        return Points(xy, target, kind, () if kind == "regression" else ("0", "1"))
    else:
        raise ValueError(f"There is no problem called {name!r}; there are {', '.join(TOYS)}.")
    xy = ((made.points.numpy() - np.array(shift, np.float32)) * np.float32(scale)).astype(np.float32)
    return Points(xy, made.targets.numpy().astype(np.float32), "classification", tuple(made.classes))


# The recipes are also written into the exported script, word for word.


def xor(samples, noise, draw):  # type: ignore[no-untyped-def]
    """Opposite quarters of the plane belong together."""
    xy = draw.uniform(-2.5, 2.5, (samples, 2))
    xy += 0.25 * np.sign(xy)  # a gap between the quarters
    target = xy[:, 0] * xy[:, 1] > 0
    return (xy + draw.normal(0, noise, xy.shape)).astype("float32"), target.astype("float32")


def plane(samples, noise, draw):  # type: ignore[no-untyped-def]
    """A value that rises evenly from one corner to the other."""
    xy = draw.uniform(-2.8, 2.8, (samples, 2))
    target = xy.sum(axis=1) / 5.6 + draw.normal(0, 0.5 * noise, samples)
    return xy.astype("float32"), target.clip(-1, 1).astype("float32")


def hills(samples, noise, draw):  # type: ignore[no-untyped-def]
    """Hills and hollows side by side."""
    xy = draw.uniform(-2.8, 2.8, (samples, 2))
    target = np.sin(1.6 * xy[:, 0]) * np.cos(1.2 * xy[:, 1]) + draw.normal(0, 0.5 * noise, samples)
    return xy.astype("float32"), target.clip(-1, 1).astype("float32")


RECIPES: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {"xor": xor, "plane": plane, "hills": hills}


# --- the user's own ---------------------------------------------------------------------------------------------------


def read_own(data: Any, kind: str | None = None) -> Points:
    """The user's own points.

    Args:
        data: `(X, y)` with X of shape [points, 2] (array, tensor, list or DataFrame) and y of shape [points]; or a
            DataFrame of three columns, the last of which is the target.
        kind: "classification" or "regression"; by default texts, booleans and few whole numbers are classes.

    Raises:
        DataError: The data is not that; the message says what came.
    """
    table, labels = _parts(data)
    names = tuple(str(name) for name in getattr(table, "columns", ("x", "y")))
    columns = _numbers(table, "X")
    if columns.ndim != 2 or columns.shape[1] != 2:
        raise DataError(
            f"The playground draws a plane: X must have two columns, got the shape {list(columns.shape)}.",
            hint="Choose two columns, for example X[:, :2], or make two with a projection.",
        )
    values = labels.detach().cpu().numpy() if hasattr(labels, "detach") else np.asarray(labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (len(columns),):
        raise DataError(
            f"X has {len(columns):,} points, so y must have the shape [{len(columns)}]; it has {list(values.shape)}."
        )
    if not 4 <= len(columns) <= MOST_POINTS:
        raise DataError(f"The playground takes 4 to {MOST_POINTS:,} points, got {len(columns):,}.",
                        hint="Give it a random part: X[::10], y[::10].")  # fmt: skip
    if not np.isfinite(columns).all():
        raise DataError("X has missing or infinite values.", hint="Drop those rows first, for example with dropna().")
    if kind not in (None, "classification", "regression"):
        raise ValueError(f"kind must be 'classification', 'regression' or None, got {kind!r}.")
    low, high = columns.min(axis=0), columns.max(axis=0)
    middle, half = (low + high) / 2, np.where(high > low, (high - low) / 2, 1.0)
    xy = ((columns - middle) / half * REACH).astype(np.float32)
    classes: tuple[str, ...] = ()
    if (kind or _guess(values)) == "classification":
        found, number = np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)
        if not 2 <= len(found) <= MOST_CLASSES:
            raise DataError(
                f"The playground tells 2 to {MOST_CLASSES} classes apart, and y has {len(found)} different values.",
                hint="If y is a number to predict, say so: kind='regression'.",
            )
        target = number.astype(np.float64)
        classes, value = tuple(str(name) for name in found), (0.0, 1.0)
    else:
        numbers = _numbers(values, "y")
        if not np.isfinite(numbers).all():
            raise DataError("y has missing or infinite values.", hint="Drop those rows first.")
        least, most = float(numbers.min()), float(numbers.max())
        value = (least + most) / 2, (most - least) / 2 or 1.0
        target = (numbers - value[0]) / value[1]
    return Points(xy, target.astype(np.float32), "classification" if classes else "regression", classes,
                  names, tuple(middle.tolist()), tuple(half.tolist()), value, (columns, target))  # type: ignore[arg-type]  # fmt: skip


def _parts(data: Any) -> tuple[Any, Any]:
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        if len(data.columns) != 3:
            raise DataError(
                f"A table must have three columns, two to draw and the target last; it has {len(data.columns)}.",
                hint="Choose them: Playground(data=table[['width', 'height', 'kind']]).",
            )
        return data.iloc[:, :2], data.iloc[:, 2]
    if isinstance(data, (tuple, list)) and len(data) == 2:
        return data[0], data[1]
    points, targets = getattr(data, "points", None), getattr(data, "targets", None)  # mlkit.data.datasets.moons()
    if points is not None and targets is not None:
        return points, targets
    raise DataError(f"data must be (X, y) or a table of three columns, got {type(data).__name__}.")


def _numbers(values: Any, name: str) -> np.ndarray:
    array = values.detach().cpu().numpy() if hasattr(values, "detach") else values
    try:
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must hold numbers: {error}") from None


def _guess(values: np.ndarray) -> str:
    if values.dtype.kind in "OUSb":
        return "classification"
    whole = values.dtype.kind in "iu" or bool((np.isfinite(values) & (values == np.round(values))).all())
    return "classification" if whole and len(np.unique(values)) <= MOST_CLASSES else "regression"
