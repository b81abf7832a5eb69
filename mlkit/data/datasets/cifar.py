"""CIFAR-10 and CIFAR-100: 32x32 colour images (A. Krizhevsky, 2009), from their binary or their Python files."""

from __future__ import annotations

import os
import pickle
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.core.errors import DataError
from mlkit.data.datasets.vision import ImagesInMemory, places
from mlkit.data.network import download as fetch

__all__ = ["CIFAR10", "CIFAR100"]


class CIFAR10(ImagesInMemory):
    """Photographs of ten kinds of things, 50,000 to train on and 10,000 to test: (Pillow image 32x32, label).

    Files are looked for in `root`: the folder of the binary version (which is what `download` fetches, 170 MB), or that
    of the Python version as torchvision keeps it, whose pickles are read without running anything in them.

    Args:
        root: The folder; mlkit's folder for downloads by default.
        train: The images for training, else those for testing.
        transform: For the image, such as `transforms.ToTensor`.
        target_transform: For the label.
        download: Fetch the files if they are missing, with a progress bar; the checksum is verified.

    Raises:
        DataError: A file is missing, damaged, or cannot be downloaded; the message names it and the next step.

    ``data`` is a uint8 array [images, 32, 32, 3], ``targets`` a list.
    """

    urls: tuple[str, ...] = ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",)
    md5 = "c32a1d4ab5d03f1284b67883e8d87530"
    binary_folder = "cifar-10-batches-bin"
    python_folder = "cifar-10-batches-py"
    binary_files = {True: [f"data_batch_{i}.bin" for i in range(1, 6)], False: ["test_batch.bin"]}
    python_files = {True: [f"data_batch_{i}" for i in range(1, 6)], False: ["test_batch"]}
    label_bytes = 1
    label_key = b"labels"
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

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
        folder = self._find()
        if folder is None and download:
            self._download()
            folder = self._find()
        if folder is None:
            raise DataError(
                f"{type(self).__name__} is not in {self.root}.",
                details=f"looked for: {self.binary_folder}, {self.python_folder}, {self._archive_name}",
                hint="Use download=True, or unpack the archive there yourself.",
            )
        if folder.name == self.python_folder:
            parts = [_read_python(folder / name, self.label_key) for name in self.python_files[train]]
        else:
            parts = [_read_binary(folder / name, self.label_bytes) for name in self.binary_files[train]]
        planes = np.concatenate([pixels for pixels, _ in parts]).reshape(-1, 3, 32, 32)
        self.data = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        labels = np.concatenate([numbers for _, numbers in parts])
        if len(labels) and labels.max() >= len(self.classes):
            raise DataError(
                f"{folder} has the label {labels.max()}, and there are {len(self.classes)} classes.",
                hint="Delete the folder and get it again.",
            )
        self.targets = labels.tolist()

    @property
    def _archive_name(self) -> str:
        return self.urls[0].rpartition("/")[2]

    def _find(self) -> Path | None:
        for place in places(self.root):
            for name, files in ((self.binary_folder, self.binary_files), (self.python_folder, self.python_files)):
                for folder in (place / name, place):
                    if (folder == place) != (place.name == name):
                        continue
                    if (folder / files[self.train][0]).is_file():
                        return folder
            archive = place / self._archive_name
            if archive.is_file():
                return self._unpack(archive)
        return None

    def _download(self) -> None:
        fetch(self.urls, Path(self.root) / self._archive_name, md5=self.md5)

    def _unpack(self, archive: Path) -> Path:
        """The archive's folder beside it: whole, or not there."""
        aside = Path(tempfile.mkdtemp(dir=archive.parent, prefix=f".{self.binary_folder}."))
        try:
            with tarfile.open(archive) as content:
                content.extractall(aside, filter="data")
            os.replace(aside / self.binary_folder, archive.parent / self.binary_folder)
        except (OSError, EOFError, tarfile.TarError) as error:
            raise DataError(
                f"The archive {archive} cannot be unpacked.", details=str(error), hint="Delete it and get it again."
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return archive.parent / self.binary_folder


class CIFAR100(CIFAR10):
    """Photographs of a hundred kinds of things, 50,000 to train on and 10,000 to test. Arguments as for `CIFAR10`."""

    urls = ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",)
    md5 = "03b5dce01913d631647c71ecec9e9cb8"
    binary_folder = "cifar-100-binary"
    python_folder = "cifar-100-python"
    binary_files = {True: ["train.bin"], False: ["test.bin"]}
    python_files = {True: ["train"], False: ["test"]}
    label_bytes = 2  # the coarse class, then the fine one
    label_key = b"fine_labels"
    classes = (
        "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
        "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
        "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster "
        "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
        "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
        "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger "
        "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
    ).split()


def _read_binary(path: Path, label_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [images, 3072], int64 [images]): records of label bytes and 3072 bytes, red, green, blue."""
    record = label_bytes + 3072
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"The file {path} cannot be read: {error.strerror}.", hint="Get the folder again.") from error
    if not len(data) or len(data) % record:
        raise DataError(
            f"{path} is damaged: images of {record:,} bytes are expected.",
            details=f"found: {len(data):,} bytes",
            hint="Delete the folder and get it again.",
        )
    rows = data.reshape(-1, record)
    return rows[:, label_bytes:], rows[:, label_bytes - 1].astype(np.int64)


class _NumbersOnly(pickle.Unpickler):
    """Reads pickles of dictionaries, lists and arrays, and refuses everything that could run."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            from numpy._core.multiarray import _reconstruct  # type: ignore[attr-defined]

            return _reconstruct
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return lambda text, encoding: text.encode("latin1")
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")


def _read_python(path: Path, label_key: bytes) -> tuple[np.ndarray, np.ndarray]:
    try:
        with open(path, "rb") as file:
            content = _NumbersOnly(file, encoding="bytes").load()
        by_name = {key.encode() if isinstance(key, str) else key: value for key, value in content.items()}
        pixels = np.asarray(by_name[b"data"], np.uint8).reshape(-1, 3072)
        labels = np.asarray(by_name[label_key], np.int64)
    except Exception as error:
        raise DataError(
            f"{path} is damaged or no file of CIFAR.",
            details=f"{type(error).__name__}: {error}",
            hint="Delete the folder and get it again.",
        ) from error
    if len(pixels) != len(labels):
        raise DataError(f"{path} is damaged: {len(pixels):,} images and {len(labels):,} labels.")
    return pixels, labels
