"""Lines of text files: by number, from an index of where they begin, or as a stream."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from mlkit.core.errors import DataError
from mlkit.data.dataset import Dataset, IterableDataset
from mlkit.data.worker import get_worker_info

__all__ = ["TextLines", "TextStream"]

BLOCK = 1 << 22


class TextLines(Dataset):
    """Lines of text files, by their number: sample `i` is line `i` as a string, without its end.

    The files are read once to find where each line begins (8 bytes of memory per line); lines are then read from the
    disk as they are asked for, so the files may be larger than memory. Empty lines at the end of a file do not count.

    Args:
        files: One path or several.
        transform: For a line.
        encoding: Of the files.
        skip_empty: Leave out lines that are empty.

    Raises:
        DataError: A file is missing, has no lines, or a line is not in that encoding; file and line are named.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "poem.txt"
    >>> _ = path.write_text("one\\ntwo\\nthree\\n")
    >>> lines = TextLines(path)
    >>> len(lines), lines[1], lines[-1]
    (3, 'two', 'three')
    """

    def __init__(
        self,
        files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        transform: Callable[[str], Any] | None = None,
        encoding: str = "utf-8",
        skip_empty: bool = False,
    ) -> None:
        self.files = _paths(files)
        self.transform = transform
        self.encoding = encoding
        self.skip_empty = skip_empty
        spans = [_spans(file, skip_empty) for file in self.files]
        self._spans = np.concatenate(spans)
        self._file = np.repeat(np.arange(len(spans), dtype=np.int32), [len(part) for part in spans])
        self._numbers = np.cumsum([0, *(len(part) for part in spans)])
        if not len(self._spans):
            raise DataError(f"There are no lines in {', '.join(self.files)}.")
        self._open = _Files()

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside these {len(self)} lines")
        index %= len(self)
        start, end = self._spans[index]
        path = self.files[self._file[index]]
        data = self._open.read(path, int(start), int(end - start))
        line = _decoded(data, self.encoding, path, index - int(self._numbers[self._file[index]]) + 1)
        return line if self.transform is None else self.transform(line)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open = _Files()

    def __repr__(self) -> str:
        return f"TextLines({len(self):,} lines of {', '.join(self.files[:3])}{', ...' if len(self.files) > 3 else ''})"


class TextStream(IterableDataset):
    """Lines of text files one after the other, without an index: for files that are read once, or grow.

    With several workers each takes every so-many-th line.

    Args:
        files: One path or several.
        transform: For a line.
        encoding: Of the files.
        skip_empty: Leave out lines that are empty.
    """

    def __init__(
        self,
        files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        transform: Callable[[str], Any] | None = None,
        encoding: str = "utf-8",
        skip_empty: bool = False,
    ) -> None:
        self.files = _paths(files)
        self.transform = transform
        self.encoding = encoding
        self.skip_empty = skip_empty

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        mine, step = (0, 1) if info is None else (info.id, info.num_workers)
        count = 0
        for path in self.files:
            with _opened(path) as file:
                for number, data in enumerate(file, 1):
                    data = data.rstrip(b"\r\n")
                    if self.skip_empty and not data:
                        continue
                    if count % step == mine:
                        line = _decoded(data, self.encoding, path, number)
                        yield line if self.transform is None else self.transform(line)
                    count += 1

    def __repr__(self) -> str:
        return f"TextStream(lines of {', '.join(self.files[:3])}{', ...' if len(self.files) > 3 else ''})"


class _Files(threading.local):
    """The files that are open in this thread: a file has one place to read from."""

    def __init__(self) -> None:
        self.files: dict[str, IO[bytes]] = {}

    def read(self, path: str, start: int, size: int) -> bytes:
        if path not in self.files:
            if len(self.files) >= 16:
                self.files.pop(next(iter(self.files))).close()
            self.files[path] = _opened(path)
        file = self.files[path]
        file.seek(start)
        return file.read(size)


def _paths(files: Any) -> list[str]:
    several = [files] if isinstance(files, (str, os.PathLike)) else list(files)
    if not several:
        raise DataError("At least one file is needed.")
    return [os.fspath(Path(file)) for file in several]


def _opened(path: str) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise DataError(
            f"The file {path} cannot be read: {error.strerror}.", hint="Check the path for a typing error."
        ) from error


def _spans(path: str, skip_empty: bool) -> np.ndarray:
    """Where each line begins and ends, without its end-of-line: int64 [lines, 2]."""
    ends, carriage, at = [], [], 0
    last = b""
    with _opened(path) as file:
        while block := file.read(BLOCK):
            data = np.frombuffer(block, np.uint8)
            places = np.flatnonzero(data == 10)
            before = np.where(places > 0, data[places - 1], last[-1] if last else 0)
            ends.append(places + at)
            carriage.append(before == 13)
            at += len(block)
            last = block
    stops = np.concatenate([*ends, np.zeros(0, np.int64)]).astype(np.int64)
    returns = np.concatenate([*carriage, np.zeros(0, bool)])
    starts = np.concatenate([[0], stops + 1]).astype(np.int64)
    spans = np.stack([starts, np.append(stops - returns, at)], axis=1)
    if spans[-1, 0] >= at:  # the last line has its end
        spans = spans[:-1]
    if skip_empty:
        return spans[spans[:, 0] < spans[:, 1]]
    filled = np.flatnonzero(spans[:, 0] < spans[:, 1])
    return spans[: filled[-1] + 1 if len(filled) else 0]


def _decoded(data: bytes, encoding: str, path: str, number: int) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"Line {number} of {path} is not in {encoding}.",
            details=f"{data[max(error.start - 20, 0) : error.end + 20]!r}",
            hint='Give its encoding=..., such as "latin-1".',
        ) from error
