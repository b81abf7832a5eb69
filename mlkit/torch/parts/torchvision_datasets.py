"""``torchvision.datasets``: those that mlkit has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlkit
from mlkit.data import Dataset

__all__ = ["MNIST", "FakeData"]


class MNIST(Dataset):
    """Handwritten digits as (Pillow image of 28 by 28, label); ``data`` and ``targets`` hold all of them.

    Args:
        root: Folder to keep the files in; none: mlkit's own.
        train: The 60000 to train on, or the 10000 to test with.
        transform, target_transform: Called with each image, each label.
        download: Load the files from the network when they are missing.
    """

    def __init__(
        self,
        root: Any = None,
        train: bool = True,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        download: bool = False,
    ):
        found = mlkit.data.mnist(train, root=root, download=download)
        self.data = mlkit.as_tensor(found.images).reshape(-1, 28, 28).mul(255).round().to(mlkit.uint8)
        self.targets = mlkit.as_tensor(found.targets).to(mlkit.int64)
        self.root, self.train, self.transform, self.target_transform = root, train, transform, target_transform
        self.classes = [
            f"{i} - {word}" for i, word in enumerate("zero one two three four five six seven eight nine".split())
        ]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        from PIL import Image

        image: Any = Image.fromarray(self.data[index].numpy())
        label: Any = int(self.targets[index])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label


class FakeData(Dataset):
    """Random images and labels, the same for the same index.

    Args:
        size: How many.
        image_size: (channels, height, width).
        num_classes: How many labels.
        transform, target_transform: Called with each image, each label.
        random_offset: Added to the index to start the random numbers.
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        random_offset: int = 0,
    ):
        self.size, self.image_size, self.num_classes, self.random_offset = size, image_size, num_classes, random_offset
        self.transform, self.target_transform = transform, target_transform

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        import numpy as np
        from PIL import Image

        if not 0 <= index < self.size:
            raise IndexError(f"FakeData has {self.size} samples; there is no number {index}.")
        draw = np.random.default_rng(index + self.random_offset)
        channels, height, width = self.image_size
        pixels = draw.integers(0, 256, (height, width, channels), dtype=np.uint8)
        image: Any = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        label: Any = int(draw.integers(self.num_classes))
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label
