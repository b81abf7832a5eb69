"""Arrays in `.npy` and `.npz` files, read from the disk as they are needed."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.core.errors import DataError, ShapeError
from mlkit.data import arrays
from mlkit.data.dataset import Dataset

__all__ = ["ArrayFiles"]


class ArrayFiles(Dataset):
    """Arrays in files, whose first axes run over the same samples: sample `i` is ``(a[i], b[i], ...)`` as tensors.

    `.npy` files, and arrays that are stored uncompressed in a `.npz`, are mapped into memory: only what is asked for is
    read from the disk, so they may be larger than memory, and worker processes share them. Compressed arrays are read
    whole.

    Args:
        files: Paths of `.npy` files (one array each) or `.npz` files (all of their arrays), one or several.
        keys: Which arrays of the `.npz` files, and in which order; all by default.
        transform: For the first array's part of a sample, as an array.
        target_transform: For the second array's part.

    Raises:
        DataError: A file is missing, damaged, or has no array of that name.
        ShapeError: The first axes differ in length.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "points.npz"
    >>> np.savez(path, x=np.zeros((5, 2), np.float32), y=np.arange(5))
    >>> dataset = ArrayFiles(path, keys=["x", "y"])
    >>> dataset
    ArrayFiles(5 samples: x [2] float32, y [] int64)
    >>> dataset[3][1].item()
    3
    """

    def __init__(
        self,
        files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        keys: Sequence[str] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        several = [files] if isinstance(files, (str, os.PathLike)) else list(files)
        if not several:
            raise DataError("ArrayFiles needs at least one file.")
        self.files = [os.fspath(file) for file in several]
        self.keys = None if keys is None else [keys] if isinstance(keys, str) else list(keys)
        self.transform = transform
        self.target_transform = target_transform
        self._open()

    def _open(self) -> None:
        found: dict[str, np.ndarray] = {}
        for file in self.files:
            for name, array in _arrays_in(Path(file)).items():
                found[name if name not in found else f"{Path(file).stem}/{name}"] = array
        if self.keys is not None:
            missing = [key for key in self.keys if key not in found]
            if missing:
                raise DataError(
                    f"There is no array {missing[0]!r} in {', '.join(self.files)}.",
                    details=f"arrays there: {', '.join(found) or 'none'}",
                )
            found = {key: found[key] for key in self.keys}
        if not found:
            raise DataError(f"There is no array in {', '.join(self.files)}.")
        lengths = {array.shape[0] if array.ndim else None for array in found.values()}
        if len(lengths) > 1 or None in lengths:
            raise ShapeError(
                "ArrayFiles: all arrays must have the same number of samples in their first axis.",
                details="\n".join(f"{name}: {list(array.shape)}" for name, array in found.items()),
                hint="Choose those that do with keys=[...].",
            )
        self.arrays = found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "arrays"}  # a worker maps the files itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)) and not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside this dataset of {len(self)} samples")
        parts = []
        for position, array in enumerate(self.arrays.values()):
            part: Any = np.array(array[index])
            change = (self.transform, self.target_transform)[position] if position < 2 else None
            parts.append(arrays.as_tensor(part) if change is None else change(part))
        return tuple(parts) if len(parts) > 1 else parts[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Many samples in one call, read in the order in which they lie on the disk."""
        order = np.argsort(np.asarray(indices), kind="stable")
        found: list[Any] = [None] * len(order)
        for position in order.tolist():
            found[position] = self[indices[position]]
        return found

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {list(a.shape[1:])} {a.dtype}" for name, a in self.arrays.items())
        return f"ArrayFiles({len(self):,} samples: {parts})"


def _arrays_in(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file:
            start = file.read(6)
        if start == b"\x93NUMPY":
            return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False)}
        if start[:2] != b"PK":
            raise DataError(
                f"{path} is no .npy or .npz file.",
                details=f"its first bytes are {start!r}",
                hint="Save arrays with numpy.save(path, array) or numpy.savez(path, x=..., y=...).",
            )
        return _members(path)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.", hint="Check the path for a typing error.") from None
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        why = str(error)
        hint = "Make it again."
        if "allow_pickle" in why or "Python objects" in why:
            why, hint = "it holds Python objects, which could run code when they are read", "Save plain numbers."
        raise DataError(f"{path} cannot be read.", details=why, hint=hint) from error


def _members(path: Path) -> dict[str, np.ndarray]:
    """A `.npz` file's arrays: mapped where they are stored as they are, else read."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if not entry.filename.endswith(".npy"):
                continue
            name = entry.filename.removesuffix(".npy")
            with archive.open(entry) as member:
                version = np.lib.format.read_magic(member)
                if entry.compress_type != zipfile.ZIP_STORED:
                    member.seek(0)
                    found[name] = np.lib.format.read_array(member, allow_pickle=False)
                    continue
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, fortran, dtype = read(member)
                header = member.tell()
            if dtype.hasobject:
                raise ValueError("Python objects")
            with open(path, "rb") as file:  # the local header says how long itself is
                file.seek(entry.header_offset + 26)
                lengths = np.frombuffer(file.read(4), "<u2")
            start = entry.header_offset + 30 + int(lengths.sum()) + header
            size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            if start + size > os.path.getsize(path):
                raise ValueError(f"it ends before the array {name!r} does")
            if not size:
                found[name] = np.zeros(shape, dtype)
                continue
            order = "F" if fortran else "C"
            found[name] = np.memmap(path, dtype, "r", start, shape, order=order)  # type: ignore[call-overload]
    return found
