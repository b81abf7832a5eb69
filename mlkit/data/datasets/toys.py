"""Points in a plane, in classes that are more or less hard to tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlkit.core.errors import DataError
from mlkit.data.dataset import TensorDataset
from mlkit.data.streams import numpy_generator

__all__ = ["LabelledPoints", "blobs", "circles", "moons", "spirals"]


class LabelledPoints(TensorDataset):
    """Points with a class each: sample `i` is (point float32 [2], label int64 []).

    Args:
        points: float32 [samples, 2].
        targets: int64 [samples].
        name: What to call it.
    """

    def __init__(self, points: np.ndarray, targets: np.ndarray, name: str = "points") -> None:
        super().__init__(points.astype(np.float32), targets.astype(np.int64))
        self.name = name
        self.classes = [str(number) for number in range(int(targets.max()) + 1)] if len(targets) else []

    @property
    def points(self) -> Any:
        """All points: float32 [samples, 2]."""
        return self.tensors[0]

    @property
    def targets(self) -> Any:
        """All labels: int64 [samples]."""
        return self.tensors[1]

    def __repr__(self) -> str:
        return f"{self.name}: {len(self):,} points in {len(self.classes)} classes"


def moons(samples: int = 200, noise: float = 0.1, generator: Any = None) -> LabelledPoints:
    """Two half circles that reach into each other.

    Args:
        samples: How many points, half of them of each class.
        noise: Standard deviation of what is added to each coordinate.
        generator: An `mlkit.Generator`; mlkit's own by default.

    >>> points = moons(100, noise=0.0).points
    >>> float(points.min()) >= -1, float(points.max()) <= 2
    (True, True)
    """
    draw, counts = _begin("moons", samples, noise, 2, generator)
    upper, lower = (np.linspace(0, np.pi, count) for count in counts)
    points = np.concatenate(
        [
            np.stack([np.cos(upper), np.sin(upper)], axis=1),
            np.stack([1 - np.cos(lower), 0.5 - np.sin(lower)], axis=1),
        ]
    )
    return _end("moons", points, counts, noise, draw)


def circles(samples: int = 200, noise: float = 0.05, factor: float = 0.5, generator: Any = None) -> LabelledPoints:
    """A circle of radius 1 around one of radius `factor`; other arguments as for `moons`."""
    if not 0 < factor < 1:
        raise DataError(f"circles: factor must be between 0 and 1, got {factor}.")
    draw, counts = _begin("circles", samples, noise, 2, generator)
    parts = []
    for radius, count in zip((1.0, factor), counts):
        turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
        parts.append(radius * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    return _end("circles", np.concatenate(parts), counts, noise, draw)


def spirals(
    samples: int = 300, noise: float = 0.02, classes: int = 3, turns: float = 0.75, generator: Any = None
) -> LabelledPoints:
    """Arms that wind around each other from the middle to radius 1.

    Args:
        samples: How many points.
        noise: Standard deviation of what is added to each coordinate.
        classes: How many arms.
        turns: How often each winds round.
        generator: An `mlkit.Generator`; mlkit's own by default.

    >>> spirals(90, classes=3).targets.bincount()
    tensor([30, 30, 30])
    """
    draw, counts = _begin("spirals", samples, noise, classes, generator)
    parts = []
    for number, count in enumerate(counts):
        radius = np.linspace(0.05, 1, count)
        turn = 2 * np.pi * (turns * radius + number / classes)
        parts.append(radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    return _end("spirals", np.concatenate(parts), counts, noise, draw)


def blobs(
    samples: int = 200, centers: int | Sequence[Sequence[float]] = 3, spread: float = 1.0, generator: Any = None
) -> LabelledPoints:
    """Clouds of points, each a normal distribution.

    Args:
        samples: How many points.
        centers: How many clouds (placed at random in -10 to 10), or their middles.
        spread: Standard deviation of each cloud.
        generator: An `mlkit.Generator`; mlkit's own by default.

    >>> blobs(50, centers=[(0, 0), (5, 5)]).classes
    ['0', '1']
    """
    several = not isinstance(centers, int)
    number = len(centers) if several else centers  # type: ignore[arg-type, assignment]
    draw, counts = _begin("blobs", samples, spread, int(number), generator)  # type: ignore[arg-type]
    middles = np.asarray(centers, np.float64) if several else draw.uniform(-10, 10, (int(number), 2))  # type: ignore[arg-type]
    if middles.ndim != 2 or middles.shape[1] != 2:
        raise DataError(f"blobs: centers must be points (x, y), got the shape {list(middles.shape)}.")
    return _end("blobs", np.repeat(middles, counts, axis=0), counts, spread, draw)


def _begin(
    name: str, samples: int, noise: float, classes: int, generator: Any
) -> tuple[np.random.Generator, list[int]]:
    if classes < 1 or samples < classes or int(samples) != samples:
        raise DataError(f"{name}: samples must be a whole number of at least {max(classes, 1)}, got {samples!r}.")
    if not noise >= 0:
        raise DataError(f"{name}: noise must be at least 0, got {noise!r}.")
    whole, rest = divmod(samples, classes)
    return numpy_generator(4 * samples, generator), [whole + (number < rest) for number in range(classes)]


def _end(name: str, points: np.ndarray, counts: list[int], noise: float, draw: np.random.Generator) -> LabelledPoints:
    targets = np.repeat(np.arange(len(counts)), counts)
    points = points + draw.normal(0, noise, points.shape) if noise else points
    order = draw.permutation(len(targets))
    return LabelledPoints(points[order], targets[order], name)
