"""Handwritten digits: a small set shipped with mlkit, and MNIST from its files or the network."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np

from mlkit.core.errors import DataError
from mlkit.data.idx import read_idx
from mlkit.data.images import LabelledImages
from mlkit.data.network import cache_folder, download

__all__ = ["digits", "handwritten_digits", "mnist"]

CLASSES = [str(digit) for digit in range(10)]
MIRRORS = ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/")
FILES = {  # name: (size in bytes, sha256) of the gzipped file
    "train-images-idx3-ubyte": (9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    "train-labels-idx1-ubyte": (28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    "t10k-images-idx3-ubyte": (1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    "t10k-labels-idx1-ubyte": (4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
}


def digits(train: bool = True) -> LabelledImages:
    """1,797 handwritten digits of 8x8 pixels, shipped with mlkit: no network, no files.

    From the Optical Recognition of Handwritten Digits data (E. Alpaydin, C. Kaynak; UCI Machine Learning
    Repository, CC BY 4.0).

    Args:
        train: The 1,500 images for training; else the 297 held out. The split is fixed and has every digit in both
            parts in the same proportion.

    Returns:
        Images float32 [1, 8, 8] in 0..1 and labels int64.

    >>> digits()
    digits (train): 1,500 images of 1x8x8, 10 classes
    """
    with resources.files("mlkit.data").joinpath("shipped/digits.npz").open("rb") as file:
        with np.load(file, allow_pickle=False) as arrays:
            images, targets = arrays["images"], arrays["targets"]
    chosen = _split(targets, held_out=297)[0 if train else 1]
    return _dataset("digits", train, images[chosen], targets[chosen], scale=16)


def mnist(
    train: bool = True,
    held_out: int = 1000,
    root: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> LabelledImages:
    """MNIST: handwritten digits of 28x28 pixels.

    The four IDX files (gzipped or not) are looked for in `root`; without it in ``$MLKIT_DATA/mnist``, then in mlkit's
    cache (``$MLKIT_HOME`` or the system's folder for caches), where they are downloaded to if they are nowhere
    (11.6 MB). A folder with only the 10,000 images of the original test set is enough: they are split in two.

    Args:
        train: The training images (60,000; or 9,000 of the 10,000), else those for testing (10,000; or 1,000).
        held_out: How many to keep for testing where there are only the 10,000. The split is fixed, and every digit
            has the same share in both parts.
        root: The folder to use, for reading and for downloading.
        download: Whether the network may be used.

    Returns:
        Images float32 [1, 28, 28] in 0..1 and labels int64.

    Raises:
        DataError: A file is missing, damaged, or cannot be downloaded; the message names it and the next step.
    """
    folder = _find_mnist(root)
    if folder is None:
        home = Path(root) if root is not None else cache_folder() / "mnist"
        if not download:
            raise DataError(
                "The MNIST files are not on this machine.",
                details="looked in: " + ", ".join(str(place) for place in _places(root)),
                hint="Use download=True, put the four files there, or take mlkit.data.digits(), which needs none.",
            )
        folder = _download_mnist(home)
    if _file(folder, "train-images-idx3-ubyte") and _file(folder, "train-labels-idx1-ubyte"):
        return _dataset("MNIST", train, *_read_mnist(folder, "train" if train else "t10k"), scale=255)
    images, targets = _read_mnist(folder, "t10k")
    if not 0 < held_out < len(images):
        raise DataError(f"mnist: held_out must be between 1 and {len(images) - 1:,}, got {held_out}.")
    chosen = _split(targets, held_out)[0 if train else 1]
    return _dataset("MNIST", train, images[chosen], targets[chosen], scale=255)


def handwritten_digits(train: bool = True) -> LabelledImages:
    """MNIST where it can be had quickly (its files, or the network), else the shipped 8x8 `digits`, and it says so.

    Args:
        train: The training images, else those held out for testing.
    """
    global _without_mnist
    if _without_mnist is None:
        if _find_mnist(None) is None:
            try:
                _download_mnist(cache_folder() / "mnist", timeout=4.0, patience=30.0)
            except (DataError, OSError) as error:
                details = getattr(error, "details", None)
                _without_mnist = details.splitlines()[0].partition(": ")[2] if details else str(error)
                print("MNIST is not on this machine and could not be downloaded, so these are the 8x8 digits shipped "
                      f"with mlkit. ({_without_mnist})")  # fmt: skip
                return digits(train)
        return mnist(train)
    return digits(train)


#: Why this process has given up on MNIST: training and test images must be of one kind, and one try is enough.
_without_mnist: str | None = None


def _dataset(name: str, train: bool, images: np.ndarray, targets: np.ndarray, scale: int) -> LabelledImages:
    pixels = images[:, None].astype(np.float32) / np.float32(scale)
    return LabelledImages(pixels, targets.astype(np.int64), CLASSES, f"{name} ({'train' if train else 'test'})")


def _split(targets: np.ndarray, held_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and indices held out. Sorted by class, every k-th is held out: fixed, the same share of
    every class, and spread over the whole file (MNIST's second half is written worse than its first)."""
    by_class = np.argsort(targets, kind="stable")
    chosen = by_class[(np.arange(held_out) * len(targets) + len(targets) // 2) // held_out]
    held = np.zeros(len(targets), bool)
    held[chosen] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def _places(root: str | os.PathLike[str] | None) -> list[Path]:
    if root is not None:
        folders = [Path(root)]
    else:
        data = os.environ.get("MLKIT_DATA")
        folders = ([Path(data) / "mnist"] if data else []) + [cache_folder() / "mnist"]
    return folders


def _find_mnist(root: str | os.PathLike[str] | None) -> Path | None:
    for place in _places(root):
        for folder in (place, place / "raw", place / "MNIST" / "raw"):  # the last two as torchvision keeps them
            if _file(folder, "t10k-images-idx3-ubyte") and _file(folder, "t10k-labels-idx1-ubyte"):
                if folder != cache_folder() / "mnist" or _file(folder, "train-images-idx3-ubyte"):
                    return folder
    return None


def _file(folder: Path, name: str) -> Path | None:
    for candidate in (folder / f"{name}.gz", folder / name, folder / name.replace("-idx", ".idx")):
        if candidate.is_file():
            return candidate
    return None


def _read_mnist(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    files = []
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        file = _file(folder, f"{part}-{kind}")
        if file is None:
            raise DataError(
                f"{folder} has no file {part}-{kind} or {part}-{kind}.gz.",
                hint="Copy it there, or delete the folder to have all files downloaded again.",
            )
        files.append(file)
    images, targets = read_idx(files[0], axes=3), read_idx(files[1], axes=1)
    if len(images) != len(targets):
        raise DataError(
            f"{files[0].name} and {files[1].name} in {folder} do not belong together.",
            details=f"images: {len(images):,}\nlabels: {len(targets):,}",
            hint="Get both again from one place.",
        )
    return images, targets


def _download_mnist(folder: Path, timeout: float = 30.0, patience: float | None = None) -> Path:
    # The small files first: without a network nothing is begun that stays unfinished.
    fetch: list[Callable[[], Path]] = [
        partial(download, [mirror + f"{name}.gz" for mirror in MIRRORS], folder / f"{name}.gz", sha256, size=size,
                timeout=timeout, patience=patience)
        for name, (size, sha256) in sorted(FILES.items(), key=lambda item: item[1][0])
    ]  # fmt: skip
    for one in fetch:
        one()
    return folder
