"""Noise in the form of an image data set, for trying out a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.core.errors import ValueRangeError
from mlkit.core.rng import Generator
from mlkit.data.datasets.vision import VisionDataset
from mlkit.data.streams import numpy_generator
from mlkit.data.transforms.images import pillow

__all__ = ["FakeData"]


class FakeData(VisionDataset):
    """Images of noise with labels drawn at random; sample `i` is the same each time.

    Args:
        size: How many.
        image_size: (channels, rows, columns), with 1 or 3 channels.
        num_classes: Labels are 0 to this - 1.
        transform: For the image.
        target_transform: For the label.
        random_offset: Another number gives other images.

    >>> FakeData(3, (3, 8, 6))[2][0].size
    (6, 8)
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(transform=transform, target_transform=target_transform)
        if len(image_size) != 3 or image_size[0] not in (1, 3) or min(image_size) < 1:
            raise ValueRangeError(f"FakeData: image_size must be (1 or 3, rows, columns), got {image_size!r}.")
        self.size = size
        self.image_size = tuple(image_size)
        self.num_classes = num_classes
        self.random_offset = random_offset

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not 0 <= index < self.size:
            raise IndexError(f"index {index} is outside this dataset of {self.size} samples")
        draw = numpy_generator(generator=Generator().manual_seed(index + self.random_offset))
        channels, rows, columns = self.image_size
        pixels = draw.integers(0, 256, (rows, columns, channels), np.uint8)
        image = pillow().fromarray(pixels if channels == 3 else pixels[:, :, 0])
        return self.changed(image, int(draw.integers(self.num_classes)))

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"FakeData({self.size:,} images of {'x'.join(map(str, self.image_size))}, {self.num_classes} classes)"
