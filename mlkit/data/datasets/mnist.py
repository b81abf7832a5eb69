"""Data sets in MNIST's form: 28x28 gray images in IDX files; and the 8x8 digits shipped with mlkit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.core.errors import DataError
from mlkit.data import arrays
from mlkit.data.datasets.vision import ImagesInMemory, places
from mlkit.data.handwriting import digits
from mlkit.data.idx import read_idx
from mlkit.data.network import download as fetch

__all__ = ["KMNIST", "MNIST", "Digits", "FashionMNIST"]


class MNIST(ImagesInMemory):
    """Handwritten digits, 60,000 to train on and 10,000 to test: sample `i` is (gray Pillow image 28x28, label).

    The four IDX files, gzipped or not, are looked for in `root`, ``root/raw`` and ``root/MNIST/raw`` (where torchvision
    keeps them).

    Args:
        root: The folder; mlkit's folder for downloads by default.
        train: The images for training, else those for testing.
        transform: For the image, such as `transforms.ToTensor`.
        target_transform: For the label.
        download: Fetch files that are missing, with a progress bar; their checksums are verified.

    Raises:
        DataError: A file is missing, damaged, or cannot be downloaded; the message names it and the next step.
    """

    mirrors: tuple[str, ...] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    #: (file, MD5 sum)
    resources: tuple[tuple[str, str], ...] = (
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    )
    classes = [
        "0 - zero",
        "1 - one",
        "2 - two",
        "3 - three",
        "4 - four",
        "5 - five",
        "6 - six",
        "7 - seven",
        "8 - eight",
        "9 - nine",
    ]

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        part = "train" if train else "t10k"
        wanted = [(name, md5) for name, md5 in self.resources if name.startswith(part)]
        files = [self._file(name.removesuffix(".gz")) for name, _ in wanted]
        if download:
            for name, md5 in self.resources:
                if self._file(name.removesuffix(".gz")) is None:
                    urls = [mirror + name for mirror in self.mirrors]
                    fetch(urls, Path(self.raw_folder) / name, md5=md5)
            files = [self._file(name.removesuffix(".gz")) for name, _ in wanted]
        missing = [name for (name, _), file in zip(wanted, files) if file is None]
        if missing:
            raise DataError(
                f"{type(self).__name__}: {missing[0]} is not in {self.root}.",
                details="looked in: " + ", ".join(str(place) for place in self._places()),
                hint="Use download=True, or put the files there yourself.",
            )
        images, labels = read_idx(files[0], axes=3), read_idx(files[1], axes=1)  # type: ignore[arg-type]
        if len(images) != len(labels):
            raise DataError(
                f"{type(self).__name__}: {files[0]} and {files[1]} do not belong together.",
                details=f"images: {len(images):,}\nlabels: {len(labels):,}",
                hint="Get both again from one place.",
            )
        if len(labels) and labels.max() >= len(self.classes):
            raise DataError(f"{files[1]} has the label {labels.max()}, and there are {len(self.classes)} classes.")
        self.data = arrays.from_numpy(images)
        self.targets = arrays.from_numpy(labels.astype(np.int64))

    @property
    def raw_folder(self) -> str:
        """Where downloaded files are put."""
        return os.path.join(self.root, type(self).__name__, "raw")

    def _places(self) -> list[Path]:
        return places(self.root, "raw", os.path.join(type(self).__name__, "raw"))

    def _file(self, name: str) -> Path | None:
        for folder in self._places():
            for candidate in (folder / name, folder / f"{name}.gz", folder / name.replace("-idx", ".idx")):
                if candidate.is_file():
                    return candidate
        return None


class FashionMNIST(MNIST):
    """Zalando's photographs of clothes, in MNIST's form. arXiv:1708.07747. Arguments as for `MNIST`."""

    mirrors = ("https://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
               "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/")  # fmt: skip
    resources = (
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    )
    classes = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]


class KMNIST(MNIST):
    """Classical Japanese characters, in MNIST's form. arXiv:1812.01718. Arguments as for `MNIST`."""

    mirrors = ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
    resources = (
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    )
    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


class Digits(ImagesInMemory):
    """The 8x8 handwritten digits shipped with mlkit, 1,500 to train on and 297 to test: (gray Pillow image, label).

    No file and no network is needed; `root` and `download` are there so that it can stand in for `MNIST`.

    Args:
        root, download: Not used.
        train: The images for training, else those for testing.
        transform: For the image.
        target_transform: For the label.

    >>> len(Digits(train=False))
    297
    """

    classes = [str(digit) for digit in range(10)]

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        shipped = digits(train)
        pixels = np.rint(arrays.to_numpy(shipped.images)[:, 0] * 255).astype(np.uint8)
        self.data = arrays.from_numpy(pixels)
        self.targets = shipped.targets
