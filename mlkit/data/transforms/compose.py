"""Transforms one after the other, and which of them happen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.data import arrays
from mlkit.data.streams import numpy_generator

__all__ = ["Compose", "Lambda", "RandomApply", "RandomChoice", "RandomOrder", "Transform"]


class Transform:
    """One image in, one image out. Write ``forward(image)`` in your class.

    Draw random numbers from ``self.random()``: inside a `DataLoader` they belong to the sample, so that they are the
    same at any number of worker processes.

    >>> class Noise(Transform):
    ...     def forward(self, image):
    ...         return image + self.random().normal(size=image.shape)
    >>> Noise()(np.zeros((2, 2))).shape
    (2, 2)
    """

    def __call__(self, *images: Any) -> Any:
        return self.forward(*images)

    def forward(self, *images: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, image).")

    @staticmethod
    def random(count: int = 4) -> np.random.Generator:
        """NumPy's way of drawing from the sample's stream; `count`: about how many numbers will be drawn."""
        return numpy_generator(count)

    def extra_repr(self) -> str:
        """What stands between the brackets in `repr`."""
        return ", ".join(f"{name}={_short(value)}" for name, value in vars(self).items() if name[0] != "_")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich  # drawn only where something displays it

        return rich.repr_html(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
        from mlkit.core import rich

        return rich.repr_mimebundle(self, include, exclude)


def _short(value: Any) -> str:
    if hasattr(value, "value") and type(value).__mro__[1].__name__ == "Enum":
        return str(value.value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_short, value)) + ("," if len(value) == 1 else "") + ")"
    return repr(value)


def probability(p: Any, name: str) -> float:
    """`p`, if it is a number from 0 to 1."""
    if isinstance(p, bool) or not isinstance(p, (int, float)):
        raise ArgumentError(f"{name}: p must be a number from 0 to 1, got {p!r}.")
    if not 0 <= p <= 1:
        raise ValueRangeError(f"{name}: p must be from 0 to 1, got {p!r}.")
    return p


def several(transforms: Any, name: str) -> list[Callable[..., Any]]:
    """The transforms as they were given, if they are some.

    Raises:
        ArgumentError: No list, or something in it that cannot be called.
    """
    if not isinstance(transforms, Iterable) or isinstance(transforms, str):
        raise ArgumentError(
            f"{name} takes a list of transforms, got a {type(transforms).__qualname__}.",
            hint=f"Write {name}([transform, ...]).",
        )
    transforms = transforms if hasattr(transforms, "__getitem__") else list(transforms)
    for position, transform in enumerate(transforms):
        if not callable(transform):
            raise ArgumentError(f"{name}: transform {position} cannot be called: {transform!r}.")
        if isinstance(transform, type):
            raise ArgumentError(
                f"{name}: transform {position} is the class {transform.__name__}.",
                hint=f"Write {transform.__name__}(...), with its arguments.",
            )
    return transforms


def listed(name: str, transforms: Iterable[Any], notes: str = "") -> str:
    """A transform of transforms, one a line."""
    lines = "".join(f"\n    {line}" for t in transforms for line in repr(t).splitlines())
    return f"{name}({notes}{lines}\n)"


class Compose(Transform):
    """Transforms one after the other.

    >>> from mlkit.data import transforms
    >>> Compose([transforms.Resize(8), transforms.ToTensor()])
    Compose(
        Resize(size=8, interpolation=bilinear, max_size=None, antialias=True)
        ToTensor()
    )
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        self.transforms = several(transforms, "Compose")

    def forward(self, image: Any) -> Any:  # type: ignore[override]
        for position, transform in enumerate(self.transforms):
            try:
                image = transform(image)
            except Exception as error:
                error.add_note(f"(in transform {position} of Compose: {transform!r})")
                raise
        return image

    def __repr__(self) -> str:
        return listed("Compose", self.transforms)


class Lambda(Transform):
    """A function as a transform.

    >>> Lambda(lambda x: x * 2)(4)
    8
    """

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise ArgumentError(f"Lambda takes a function, got a {type(lambd).__qualname__}.")
        self.lambd = lambd

    def forward(self, image: Any) -> Any:  # type: ignore[override]
        return self.lambd(image)

    def extra_repr(self) -> str:
        return getattr(self.lambd, "__name__", repr(self.lambd)).replace("<lambda>", "lambda")


class RandomApply(Transform):
    """All of these transforms with probability `p`, else none.

    >>> RandomApply([Lambda(abs)], p=1.0)(-3)
    3
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: float = 0.5) -> None:
        self.transforms = several(transforms, "RandomApply")
        self.p = probability(p, "RandomApply")

    def forward(self, image: Any) -> Any:  # type: ignore[override]
        if self.random(1).random() < self.p:
            for transform in self.transforms:
                image = transform(image)
        return image

    def __repr__(self) -> str:
        return listed("RandomApply", self.transforms, f"p={self.p}")


class RandomChoice(Transform):
    """One of these transforms.

    Args:
        transforms: To choose from.
        p: How often each is chosen, in proportion; equally often by default.

    >>> RandomChoice([Lambda(abs), Lambda(str)], p=[1, 0])(-3)
    3
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: Sequence[float] | None = None) -> None:
        self.transforms = several(transforms, "RandomChoice")
        if not len(self.transforms):
            raise ValueRangeError("RandomChoice needs at least one transform.")
        if p is not None:
            if not isinstance(p, Sequence):
                raise ArgumentError(f"RandomChoice: p must be a list of numbers, got {p!r}.")
            if len(p) != len(self.transforms) or min(p) < 0 or not sum(p) > 0:
                raise ValueRangeError(
                    f"RandomChoice: p must have a number of at least 0 for each of {len(self.transforms)} transforms, "
                    f"got {list(p)}."
                )
        self.p = p

    def forward(self, *images: Any) -> Any:
        shares = np.ones(len(self.transforms)) if self.p is None else np.asarray(self.p, np.float64)
        chosen = int(np.searchsorted(np.cumsum(shares) / shares.sum(), self.random(1).random(), side="right"))
        return self.transforms[min(chosen, len(self.transforms) - 1)](*images)

    def __repr__(self) -> str:
        return listed("RandomChoice", self.transforms, "" if self.p is None else f"p={list(self.p)}")


class RandomOrder(Transform):
    """All of these transforms, in a random order."""

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        self.transforms = several(transforms, "RandomOrder")

    def forward(self, image: Any) -> Any:  # type: ignore[override]
        for number in self.random(len(self.transforms)).permutation(len(self.transforms)):
            image = self.transforms[number](image)
        return image

    def __repr__(self) -> str:
        return listed("RandomOrder", self.transforms)


def numbers_text(values: Any) -> str:
    """A list of numbers, short."""
    plain = arrays.to_numpy(values).tolist() if arrays.is_tensor(values) else values
    return str(plain)
