"""Read IDX files, the format of MNIST: a magic number, the size of each axis, and the bytes.

The magic number is 0, 0, the code of the element type, the number of axes; all numbers are big-endian.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

from mlkit.core.errors import DataError

__all__ = ["read_idx"]

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
LARGEST = 1 << 33
"""Bytes; a header that promises more is taken for damage and not for data."""


def read_idx(path: str | os.PathLike[str], axes: int | None = None) -> np.ndarray:
    """The array in an IDX file, gzipped or not.

    Args:
        path: The file; whether it is gzipped is seen from its first bytes.
        axes: How many axes it must have: 3 for MNIST's images [images, rows, columns], 1 for labels.

    Raises:
        DataError: The file is missing, damaged, cut short, or something else than expected.
    """
    path = Path(path)
    data = _contents(path)
    if len(data) < 4 or data[0] or data[1] or data[2] not in TYPES:
        start = data[:16]
        looks = " It looks like a web page." if start.lstrip()[:1] == b"<" else ""
        raise _damaged(path, "an IDX file begins with 0, 0, an element type and the number of axes",
                       f"the first bytes are {start!r}.{looks}")  # fmt: skip
    if axes is not None and data[3] != axes:
        raise _damaged(path, f"{axes} axes (magic number {0x0800 + axes})",
                       f"{data[3]} axes (magic number {int.from_bytes(data[:4], 'big')})",
                       "Are the files of images and labels exchanged?")  # fmt: skip
    header = 4 + 4 * data[3]
    if len(data) < header:
        raise _damaged(path, f"a header of {header} bytes", f"{len(data)} bytes")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", data[3], 4))
    dtype = np.dtype(TYPES[data[2]])
    expected = header + dtype.itemsize * math.prod(shape)
    if expected > LARGEST or len(data) != expected:
        raise _damaged(path, f"{expected:,} bytes for the shape {list(shape)} in its header", f"{len(data):,} bytes")
    return np.frombuffer(data, dtype, offset=header).reshape(shape).astype(dtype.newbyteorder("="))


def _contents(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.", hint="Check the path for a typing error.") from None
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except EOFError as error:
        raise _damaged(path, "a whole gzip file", f"it ends too early, after {len(data):,} bytes") from error
    except (OSError, zlib.error) as error:
        raise _damaged(path, "a sound gzip file", f"{error}") from error


def _damaged(path: Path, expected: str, found: str, hint: str | None = None) -> DataError:
    return DataError(
        f"{path} is damaged or not what it should be.",
        details=f"expected: {expected}\nfound:    {found}",
        hint=hint or "Delete it and get it again.",
    )
