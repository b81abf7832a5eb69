"""Two samples mixed into one, images and labels: for whole batches.

>>> import numpy as np
>>> from mlkit.data import DataLoader, TensorDataset, default_collate
>>> from mlkit.data.transforms import MixUp
>>> mix = MixUp(num_classes=3)
>>> dataset = TensorDataset(np.zeros((8, 1, 4, 4), np.float32), np.arange(8) % 3)
>>> loader = DataLoader(dataset, batch_size=8, collate_fn=lambda samples: mix(default_collate(samples)))
>>> images, labels = next(iter(loader))
>>> labels.shape
mlkit.Size([8, 3])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mlkit.core.errors import ArgumentError, ShapeError, ValueRangeError
from mlkit.data import arrays
from mlkit.data.transforms.compose import Transform

__all__ = ["CutMix", "MixUp"]

NAMES = ("label", "labels", "target", "targets")


class _Mix(Transform):
    def __init__(
        self,
        *,
        alpha: float = 1.0,
        num_classes: int | None = None,
        labels_getter: Callable[[Any], Any] | str | None = "default",
    ) -> None:
        if not alpha > 0:
            raise ValueRangeError(f"{type(self).__name__}: alpha must be above 0, got {alpha!r}.")
        if num_classes is not None and num_classes < 1:
            raise ValueRangeError(f"{type(self).__name__}: num_classes must be at least 1, got {num_classes!r}.")
        self.alpha = float(alpha)
        self.num_classes = num_classes
        self._labels_getter = labels_getter

    def forward(self, *batch: Any) -> Any:
        inputs = batch[0] if len(batch) == 1 else batch
        if not isinstance(inputs, (tuple, list, Mapping)):
            raise ArgumentError(
                f"{type(self).__name__} takes a batch, images and labels; got a {type(inputs).__qualname__}.",
                hint=f"Use it on what a DataLoader gives, or in collate_fn: lambda samples: {type(self).__name__.lower()}"
                "(default_collate(samples)).",
            )
        labels = self._labels(inputs)
        parts = list(inputs.values() if isinstance(inputs, Mapping) else inputs)
        images = [p for p in parts if arrays.is_tensor(p) and p is not labels and p.ndim >= 4]
        if not images:
            raise ShapeError(
                f"{type(self).__name__} needs a batch of images [batch, channels, rows, columns] and their labels.",
                details="\n".join(f"part {i}: {list(getattr(p, 'shape', []))}" for i, p in enumerate(parts)),
                hint="It works on batches: use it after the DataLoader or in its collate_fn, not in the dataset.",
            )
        share = float(self.random(4).beta(self.alpha, self.alpha))
        plan = self._plan(images[0].shape, share)
        done = {id(image): self._mixed(image, plan) for image in images}
        done[id(labels)] = self._mixed_labels(labels, plan[0], len(images[0]))
        if isinstance(inputs, Mapping):
            return {name: done.get(id(part), part) for name, part in inputs.items()}
        mixed = [done.get(id(part), part) for part in inputs]
        kind: Any = type(inputs)
        return kind(*mixed) if hasattr(inputs, "_fields") else kind(mixed)

    def _labels(self, inputs: Any) -> Any:
        if callable(self._labels_getter):
            return self._labels_getter(inputs)
        if isinstance(inputs, Mapping):
            found = [inputs[name] for name in inputs if str(name).lower() in NAMES]
            if not found:
                raise ArgumentError(
                    f"{type(self).__name__}: which of {list(inputs)} are the labels?",
                    hint=f"Call it one of {', '.join(NAMES)}, or give labels_getter=lambda batch: batch[...].",
                )
            return found[0]
        return inputs[1]

    def _plan(self, shape: Any, share: float) -> tuple[Any, ...]:
        raise NotImplementedError

    def _mixed(self, images: Any, plan: tuple[Any, ...]) -> Any:
        raise NotImplementedError

    def _mixed_labels(self, labels: Any, share: float, size: int) -> Any:
        values = arrays.to_numpy(labels)
        if len(values) != size:
            raise ShapeError(f"{type(self).__name__}: {size} images and {len(values)} labels in one batch.")
        if values.ndim == 1:
            if values.dtype.kind not in "iu":
                raise ArgumentError(
                    f"{type(self).__name__}: labels must be whole numbers [batch], or shares [batch, classes]; "
                    f"got {values.dtype} {list(values.shape)}."
                )
            if self.num_classes is None:
                raise ValueRangeError(
                    f"{type(self).__name__}: labels are numbers of classes, so it must know how many there are.",
                    hint=f"Write {type(self).__name__}(num_classes=10).",
                )
            if values.min() < 0 or values.max() >= self.num_classes:
                raise ValueRangeError(
                    f"{type(self).__name__}: labels must be 0 to {self.num_classes - 1}, found {values.min()} to "
                    f"{values.max()}."
                )
            values = np.eye(self.num_classes, dtype=np.float32)[values]
        values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
        kept = values.dtype.type(share)
        return arrays.from_numpy(np.roll(values, 1, axis=0) * (1 - kept) + values * kept).to(labels.device)


class MixUp(_Mix):
    """Each image is laid over another one of its batch, labels in the same proportion. arXiv:1710.09412.

    Args:
        alpha: The share is drawn from a beta distribution (alpha, alpha): 1 is even, small is mostly one image.
        num_classes: Labels that are whole numbers become shares of this many classes.
        labels_getter: Finds the labels in the batch; by default the second part, or the part called "label(s)" or
            "target(s)".

    Takes and gives a batch ``(images, labels)`` or a dictionary; labels come out as float32 [batch, classes].

    >>> import mlkit
    >>> images, labels = MixUp(num_classes=2)(mlkit.zeros(4, 3, 2, 2), mlkit.tensor([0, 1, 0, 1]))
    >>> [round(x, 5) for x in labels.sum(1).tolist()]
    [1.0, 1.0, 1.0, 1.0]
    """

    def _plan(self, shape: Any, share: float) -> tuple[Any, ...]:
        return (share,)

    def _mixed(self, images: Any, plan: tuple[Any, ...]) -> Any:
        values = arrays.to_numpy(images)
        if values.dtype.kind in "iu":
            raise ArgumentError(f"MixUp takes images of floats, got {values.dtype}.", hint="Use ToTensor() before it.")
        share = values.dtype.type(plan[0])
        return arrays.from_numpy(np.roll(values, 1, axis=0) * (1 - share) + values * share).to(images.device)


class CutMix(_Mix):
    """Each image gets a rectangle of another one of its batch, labels in proportion to the areas. arXiv:1905.04899.

    Args:
        alpha: The area is drawn from a beta distribution (alpha, alpha).
        num_classes: Labels that are whole numbers become shares of this many classes.
        labels_getter: Finds the labels in the batch; by default the second part, or the part called "label(s)" or
            "target(s)".
    """

    def _plan(self, shape: Any, share: float) -> tuple[Any, ...]:
        rows, columns = shape[-2:]
        draw = self.random(2)
        x, y = int(draw.integers(columns)), int(draw.integers(rows))
        half = 0.5 * math.sqrt(1.0 - share)
        across, down = int(half * columns), int(half * rows)
        left, right = max(x - across, 0), min(x + across, columns)
        top, bottom = max(y - down, 0), min(y + down, rows)
        return 1.0 - (right - left) * (bottom - top) / (rows * columns), top, bottom, left, right

    def _mixed(self, images: Any, plan: tuple[Any, ...]) -> Any:
        _, top, bottom, left, right = plan
        values = arrays.to_numpy(images).copy()
        inside = (..., slice(top, bottom), slice(left, right))
        values[inside] = np.roll(arrays.to_numpy(images)[inside], 1, axis=0)
        return arrays.from_numpy(values).to(images.device)
