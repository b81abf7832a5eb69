"""A dataset of labelled images held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlkit.core.errors import DataError
from mlkit.data.dataset import TensorDataset

__all__ = ["LabelledImages"]


class LabelledImages(TensorDataset):
    """Images with a class each: sample `i` is (image float32 [channels, rows, columns] in 0..1, label int64 []).

    Args:
        images: float32 [samples, channels, rows, columns].
        targets: int64 [samples], each an index into `classes`.
        classes: The classes' names.
        name: What to call it.

    >>> LabelledImages(np.zeros((2, 1, 8, 8), np.float32), np.array([0, 1]), ["no", "yes"], "answers")
    answers: 2 images of 1x8x8, 2 classes
    """

    def __init__(self, images: np.ndarray, targets: np.ndarray, classes: Sequence[str], name: str = "images") -> None:
        super().__init__(images, targets)
        self.classes = list(classes)
        self.name = name
        if len(targets) and not 0 <= int(np.min(targets)) <= int(np.max(targets)) < len(self.classes):
            raise DataError(
                f"{name}: labels must be 0 to {len(self.classes) - 1} for {len(self.classes)} classes.",
                details=f"found labels from {int(np.min(targets))} to {int(np.max(targets))}",
            )

    @property
    def images(self) -> Any:
        """All images: float32 [samples, channels, rows, columns], 0 (black) to 1 (white)."""
        return self.tensors[0]

    @property
    def targets(self) -> Any:
        """All labels: int64 [samples]."""
        return self.tensors[1]

    def __repr__(self) -> str:
        shape = "x".join(map(str, tuple(self.images.shape)[1:]))
        return f"{self.name}: {len(self):,} images of {shape}, {len(self.classes)} classes"
