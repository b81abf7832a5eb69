"""Write a file whole or not at all.

Everything mlkit saves goes through `atomic_write`: the bytes are written to a file aside, in the same folder, and
renamed over the old file only when they are all safely there. A full disk, an exception or a power cut leaves the old
file as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

__all__ = ["atomic_write", "explain_os_error", "make_folder"]

# Errors of write() itself carry no file name; these are the ones that speak of the disk and not of something else.
_DISK_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EIO} | (
    {errno.EDQUOT} if hasattr(errno, "EDQUOT") else set()
)


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike[str], mode: str = "wb", *, encoding: str | None = None, durable: bool = True
) -> Iterator[IO[Any]]:
    """Open a file that takes the place of `path` when the block ends well, and vanishes when it does not.

    Args:
        path: The file to write. Its folder must exist.
        mode: ``"wb"`` for bytes (the default) or ``"w"`` for text.
        encoding: Of text; UTF-8 by default.
        durable: Wait until the bytes are on the disk (fsync) before the rename. Switch it off only for files that are
            rewritten several times a second.

    Raises:
        OSError: The folder is missing, read-only or full. The message names the file and the next step; `path` is as
            it was before.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "note.txt", "w") as file:
    ...     _ = file.write("all or nothing")
    >>> (folder / "note.txt").read_text()
    'all or nothing'
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"atomic_write writes a whole new file: mode must be 'wb' or 'w', got {mode!r}.")
    path = Path(path)
    try:
        descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    except OSError as error:
        raise explain_os_error(error, path, "write") from error
    try:
        with open(descriptor, mode, encoding=None if mode == "wb" else encoding or "utf-8") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.chmod(aside, _permissions(path))
        os.replace(aside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        if isinstance(error, OSError) and _is_about(error, aside):
            raise explain_os_error(error, path, "write") from error
        raise
    if durable:
        _sync_folder(path.parent)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder and its parents where they are missing; return it as a `Path`.

    Raises:
        OSError: It cannot be made; the message names the folder and the next step.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, path, "make the folder") from error
    return path


def explain_os_error(error: OSError, path: str | os.PathLike[str], doing: str, hint: str | None = None) -> OSError:
    """The same error (class, errno, filename) in words that name the file, the reason and the next step."""
    path = Path(path)
    # An error of the file aside is an error about the folder or the disk, which the person knows by `path`.
    code = error.errno or 0
    parent = path.parent
    if code == errno.ENOSPC:
        reason = f"the disk is full ({_free_space(parent)})"
        step = "Free some space or choose a folder on another disk."
    elif code == getattr(errno, "EDQUOT", -1):
        reason, step = "your disk quota is used up", "Delete files or choose a folder on another disk."
    elif code == errno.EFBIG:
        reason = "the file is larger than the system allows (see `ulimit -f`)"
        step = "Raise the limit or write to another file system."
    elif code == errno.EROFS:
        reason, step = "the file system is read-only", "Choose a folder that you may write to."
    elif code in (errno.EACCES, errno.EPERM):
        reason, step = "you may not write there", "Choose a folder that you may write to, or change its permissions."
    elif code == errno.ENOENT:
        reason = f"the folder {_nearest_missing(parent)} does not exist"
        step = "Make the folder first, or check the path for a typing error."
    elif code in (errno.ENOTDIR, errno.EEXIST):
        reason = f"{_nearest_file(path)} is a file where a folder is needed"
        step = "Choose another path, or move that file away."
    elif code == errno.EISDIR:
        reason, step = "it is a folder", "Give the path of a file."
    else:
        reason = error.strerror or str(error)
        step = "Check the path and the disk."
    described = OSError(code, f"Cannot {doing} {path}: {reason}. {hint or step}")
    described.filename = None  # the sentence names it already
    return described


def _is_about(error: OSError, aside: str) -> bool:
    if error.filename is None:
        return error.errno in _DISK_ERRORS
    return os.fspath(error.filename) == aside


def _permissions(path: Path) -> int:
    """What `open` would have given: the old file's permissions, else what the umask leaves."""
    try:
        return path.stat().st_mode & 0o7777
    except OSError:
        return 0o666 & ~_umask()


def _umask() -> int:
    try:  # reading it by setting it would, for a moment, change it for other threads
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except (OSError, ValueError):
        pass
    return 0o022


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system can sync a folder (not on Windows)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _free_space(folder: Path) -> str:
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return "no space left"
    return f"{free / 1e6:.1f} MB free"


def _nearest_missing(folder: Path) -> Path:
    missing = folder
    while missing.parent != missing and not missing.parent.exists():
        missing = missing.parent
    return missing


def _nearest_file(path: Path) -> Path:
    for part in [path, *path.parents]:
        if part.exists() and not part.is_dir():
            return part
    return path
