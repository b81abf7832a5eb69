"""What data sets of labelled images have in common."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.core.errors import ValueRangeError
from mlkit.data import arrays
from mlkit.data.dataset import Dataset
from mlkit.data.network import cache_folder
from mlkit.data.transforms.images import pillow

__all__ = ["ImagesInMemory", "VisionDataset"]


class VisionDataset(Dataset):
    """Images from a folder, with a transform for the image and one for the label, or one for both.

    Args:
        root: The folder.
        transforms: For both, ``image, label = transforms(image, label)``; excludes the other two.
        transform: For the image.
        target_transform: For the label.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        transforms: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        if transforms is not None and (transform is not None or target_transform is not None):
            raise ValueRangeError("Give transforms for both, or transform and target_transform.")
        self.root = os.path.expanduser(os.fspath(root if root is not None else cache_folder()))
        self.transforms = transforms
        self.transform = transform
        self.target_transform = target_transform

    def changed(self, image: Any, target: Any) -> tuple[Any, Any]:
        """The sample after its transforms."""
        if self.transforms is not None:
            return self.transforms(image, target)
        image = image if self.transform is None else self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__(self).")


class ImagesInMemory(VisionDataset):
    """Images held as bytes; sample `i` is (Pillow image, label), after the transforms.

    ``data`` are all images as uint8, ``targets`` all labels, ``classes`` their names.
    """

    classes: list[str]
    data: Any
    targets: Any
    train: bool

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Name of each class: its number."""
        return {name: number for number, name in enumerate(self.classes)}

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        pixels = self.data[index]
        pixels = arrays.to_numpy(pixels) if arrays.is_tensor(pixels) else pixels
        image = pillow().fromarray(np.ascontiguousarray(pixels))
        return self.changed(image, int(self.targets[index]))

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        size = "x".join(map(str, tuple(self.data.shape)[1:3]))
        part = "train" if self.train else "test"
        transform = f"\n    transform={self.transform!r}".replace("\n", "\n    ") if self.transform is not None else ""
        return f"{type(self).__name__} ({part}): {len(self):,} images of {size}, {len(self.classes)} classes{transform}"


def places(root: str, *names: str) -> list[Path]:
    """Where files may be: in the folder itself, or where torchvision puts them."""
    return [Path(root), *(Path(root) / name for name in names)]
