"""Fetch a file from the network: with a progress bar and a checksum, resumed after an interruption, whole or absent."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from mlkit.core.errors import DataError
from mlkit.core.files import explain_os_error, make_folder

__all__ = ["cache_folder", "download"]

CHUNK = 1 << 16
CHOOSE = "Choose another folder with the environment variable MLKIT_HOME (or root=...)."


def cache_folder() -> Path:
    """Where downloaded data are kept: ``$MLKIT_HOME``, else the folder this system has for caches."""
    if home := os.environ.get("MLKIT_HOME"):
        return Path(home).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mlkit"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "mlkit" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlkit"


def download(
    urls: str | Sequence[str],
    path: str | os.PathLike[str],
    sha256: str | None = None,
    *,
    md5: str | None = None,
    size: int | None = None,
    timeout: float = 30.0,
    patience: float | None = None,
    progress: bool = True,
) -> Path:
    """Fetch a file to `path`, unless it is there already.

    The bytes are kept in ``.<name>.partial`` beside it until their checksum is right, then renamed. An interrupted
    download goes on from there the next time.

    Args:
        urls: One address, or several of the same file to be tried in turn.
        path: Where to put it; missing folders are made.
        sha256: Checksum of the whole file, 64 hexadecimal digits; or
        md5: an MD5 sum, 32 hexadecimal digits, where only that was published. One of them is needed.
        size: Its size in bytes, for the progress bar where the server does not tell.
        timeout: Seconds without an answer after which an address is given up.
        patience: Seconds after which the download as a whole is given up; no limit by default.
        progress: Show a progress bar.

    Returns:
        `path`.

    Raises:
        DataError: No address gave the right file; the message says what each gave.
        OSError: The folder cannot be written; the message says how to choose another one.
    """
    path = Path(path)
    if (sha256 is None) == (md5 is None):
        raise DataError("download: give the file's sha256, or its md5.", hint="Without a checksum damage goes unseen.")
    kind, expected = ("sha256", str(sha256)) if sha256 is not None else ("md5", str(md5))
    if path.exists():
        return path
    problems = []
    deadline = None if patience is None else time.monotonic() + patience
    with _partial_file(path) as part:
        if path.exists():  # another process has just finished it
            return path
        for url in [urls] if isinstance(urls, str) else urls:
            try:
                _fetch(url, part, size, timeout, deadline, progress)
            except _ServerProblem as problem:
                problems.append(f"{url}: {problem}")
                continue
            except OSError as error:
                raise explain_os_error(error, path, "write", CHOOSE) from error
            found = _checksum(part, kind)
            if found == expected.lower():
                part.flush()
                os.fsync(part.fileno())
                os.replace(part.name, path)
                return path
            problems.append(f"{url}: wrong checksum, expected {kind} {expected}, got {found}")
            part.truncate(0)  # perhaps the two halves are of different files: begin anew
    raise DataError(
        f"{path.name} could not be downloaded.",
        details="\n".join(problems),
        hint=f"Check the network connection, or put the file at {path} yourself.",
    )


class _ServerProblem(Exception):
    """The address gave no file, in words."""


@contextlib.contextmanager
def _partial_file(path: Path) -> Iterator[IO[Any]]:
    """``.<name>.partial``, held by a lock; a file of our own when another process is downloading into it."""
    try:
        make_folder(path.parent)
        part: IO[Any] = open(path.parent / f".{path.name}.partial", "a+b")
        if not _try_lock(part):
            part.close()
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
            os.close(descriptor)
            part = open(name, "a+b")
    except OSError as error:
        raise explain_os_error(error, path.parent, "write to", CHOOSE) from error
    with part:
        try:
            yield part
        finally:
            # Kept for resuming, unless it holds nothing or is a second one nobody would find again.
            kept = Path(str(part.name))
            part.flush()
            if kept.exists() and (kept.name != f".{path.name}.partial" or not kept.stat().st_size):
                kept.unlink()


def _try_lock(file: IO[Any]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: two downloads at once would be caught by the checksum
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _fetch(url: str, part: IO[Any], size: int | None, timeout: float, deadline: float | None, progress: bool) -> None:
    """Append what is missing in `part`."""
    have = part.seek(0, os.SEEK_END)
    request = urllib.request.Request(url, headers={"User-Agent": "mlkit"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing is left to send: the checksum decides
            return
        raise _ServerProblem(f"the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _ServerProblem(_reason(error)) from error
    with answer:
        if have and answer.status != 206:  # the server does not resume
            part.truncate(0)
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else size
        with _bar(Path(str(part.name)).name.removeprefix(".").removesuffix(".partial"), total, have, progress) as bar:
            while True:
                try:
                    chunk = answer.read(CHUNK)
                except (OSError, http.client.HTTPException) as error:
                    raise _ServerProblem(f"the connection broke: {_reason(error)}") from error
                if not chunk:
                    break
                part.write(chunk)
                part.flush()
                have += len(chunk)
                bar.update(len(chunk))
                if deadline is not None and time.monotonic() > deadline:
                    raise _ServerProblem("too slow")
    if length and total is not None and have < total:
        raise _ServerProblem(f"the connection broke after {have:,} of {total:,} bytes")


def _bar(name: str, total: int | None, have: int, progress: bool) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=total, initial=have, desc=name, unit="B", unit_scale=True, dynamic_ncols=True, disable=not progress
    )


def _checksum(file: IO[Any], kind: str) -> str:
    file.flush()
    file.seek(0)
    digest = hashlib.new(kind, usedforsecurity=kind != "md5")
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", error)
    return f"no connection ({reason})" if isinstance(error, urllib.error.URLError) else f"{reason or error!r}"
