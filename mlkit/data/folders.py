"""Image files in folders, one folder per class."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from mlkit.core.errors import DataError, ValueRangeError
from mlkit.data.dataset import Dataset
from mlkit.data.transforms.images import pillow

__all__ = ["IMG_EXTENSIONS", "DatasetFolder", "ImageFolder", "default_loader", "load_image"]

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def load_image(path: str | os.PathLike[str], mode: str | None = "RGB") -> Any:
    """The image in a file, read whole.

    Args:
        path: JPEG, PNG, or whatever else Pillow reads.
        mode: Pillow's mode to bring it into, such as "RGB" or "L"; None: as it is in the file.

    Raises:
        DataError: The file is missing, damaged or no image; the message names it and says what to do.
    """
    image = pillow()
    try:
        with open(path, "rb") as file, image.open(file) as found:
            if mode is None or found.mode == mode:
                found.load()
                return found.copy() if mode is None else found
            return found.convert(mode)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.", hint="It was there when the dataset was made.") from None
    except image.DecompressionBombError as error:
        raise DataError(f"The image {path} is too large to be sane.", details=str(error), hint=_DAMAGED) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow raises all of these for damaged files
        try:
            size = f"{os.path.getsize(path):,} bytes"
        except OSError:
            size = "cannot be read"
        raise DataError(
            f"The image {path} is damaged or no image.",
            details=f"{type(error).__name__}: {error}\n{size}",
            hint=_DAMAGED,
        ) from error


_DAMAGED = (
    "Delete it or get it again. To leave such files out, give is_valid_file=..., or catch this DataError in the "
    "dataset's loader."
)


def default_loader(path: str) -> Any:
    """`load_image` as RGB."""
    return load_image(path)


class DatasetFolder(Dataset):
    """Files in folders: ``root/class/.../file``; sample `i` is (what the loader made of the file, number of its class).

    Args:
        root: The folder with a folder for each class. Classes are numbered by their sorted names.
        loader: Reads a file, given its path.
        extensions: Endings of the files to take, such as (".npy",); or give `is_valid_file`.
        transform: For what the loader gives.
        target_transform: For the class's number.
        is_valid_file: Which files to take, given their path.
        allow_empty: Accept folders without any file.

    Raises:
        DataError: The folder is missing, has no folders in it, or one of them has no file to take.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        loader: Callable[[str], Any],
        extensions: Sequence[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        if (extensions is None) == (is_valid_file is None):
            raise ValueRangeError("DatasetFolder: give extensions or is_valid_file, one of them.")
        self.root = os.fspath(root)
        self.loader = loader
        self.extensions = extensions
        self.transform = transform
        self.target_transform = target_transform
        self.classes, self.class_to_idx = self.find_classes(self.root)
        self.samples = self.make_dataset(self.root, self.class_to_idx, extensions, is_valid_file, allow_empty)
        self.targets = [target for _, target in self.samples]

    @staticmethod
    def find_classes(directory: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
        """The folders' sorted names, and each one's number."""
        try:
            classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
        except OSError as error:
            raise DataError(
                f"The folder {directory} cannot be read: {error.strerror}.", hint="Check the path for a typing error."
            ) from error
        if not classes:
            raise DataError(
                f"There is no folder in {directory}.",
                hint="Files belong in one folder per class: root/cat/1.jpg, root/dog/2.jpg.",
            )
        return classes, {name: number for number, name in enumerate(classes)}

    @staticmethod
    def make_dataset(
        directory: str | os.PathLike[str],
        class_to_idx: dict[str, int],
        extensions: Sequence[str] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> list[tuple[str, int]]:
        """(path, number of the class) of each file, sorted."""
        endings = tuple(ending.lower() for ending in extensions or ())
        found: list[tuple[str, int]] = []
        empty: list[str] = []
        for name in sorted(class_to_idx):
            before = len(found)
            for folder, _, files in sorted(os.walk(os.path.join(directory, name), followlinks=True)):
                for file in sorted(files):
                    path = os.path.join(folder, file)
                    if is_valid_file(path) if is_valid_file is not None else file.lower().endswith(endings):
                        found.append((path, class_to_idx[name]))
            if len(found) == before:
                empty.append(name)
        if empty and not allow_empty:
            kinds = f" (looked for {', '.join(endings)})" if endings else ""
            raise DataError(
                f"No file was found for {len(empty)} of {len(class_to_idx)} classes in {directory}{kinds}.",
                details="without a file: " + ", ".join(empty[:10]) + (", ..." if len(empty) > 10 else ""),
                hint="Put files there, remove these folders, or use allow_empty=True.",
            )
        return found

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        sample = self.loader(path)
        try:
            if self.transform is not None:
                sample = self.transform(sample)
        except Exception as error:
            error.add_note(f"(sample {index}, {path})")
            raise
        return sample, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        transform = f", transform={self.transform!r}" if self.transform is not None else ""
        return f"{type(self).__name__}({len(self):,} files in {len(self.classes)} classes of {self.root}{transform})"


class ImageFolder(DatasetFolder):
    """Images in folders: ``root/class/.../image.jpg``; sample `i` is (Pillow image in RGB, number of its class).

    Args:
        root: The folder with a folder for each class. Classes are numbered by their sorted names.
        transform: For the image; it should end in `transforms.ToTensor` for a `DataLoader`.
        target_transform: For the class's number.
        loader: Reads a file, given its path.
        is_valid_file: Which files to take, given their path; by default by their ending (`IMG_EXTENSIONS`).
        allow_empty: Accept folders without any image.

    Raises:
        DataError: The folder is missing or has no images; when a sample is read, its file is damaged: it is named.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (root / name).mkdir()
    ...     Image.new("RGB", (6, 4)).save(root / name / "1.png")
    >>> dataset = ImageFolder(root)
    >>> dataset.classes, dataset[1][0].size, dataset[1][1]
    (['cat', 'dog'], (6, 4), 1)
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        loader: Callable[[str], Any] = default_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        endings = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(root, loader, endings, transform, target_transform, is_valid_file, allow_empty)
        self.imgs = self.samples
