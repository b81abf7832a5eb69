"""``torch.hub``: files from the network; programs of other people are not run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mlkit.core.absent import MissingName

__all__ = ["download_url_to_file", "get_dir", "list", "load", "load_state_dict_from_url", "load_url", "set_dir"]

_folder: list[str] = []


def get_dir() -> str:
    """Where files are kept: what `set_dir` said, or ``hub`` in mlkit's cache folder."""
    from mlkit.data.network import cache_folder

    return _folder[-1] if _folder else str(Path(cache_folder()) / "hub")


def set_dir(d: str | os.PathLike) -> None:
    """Keep files in this folder."""
    _folder[:] = [os.path.expanduser(d)]


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Load a file from the network. `hash_prefix` is the beginning of its SHA-256."""
    import hashlib
    import urllib.request

    from mlkit.core.errors import DataError
    from mlkit.core.files import atomic_write

    with urllib.request.urlopen(url) as answer, atomic_write(dst, mode="wb") as file:
        size, digest = int(answer.headers.get("Content-Length") or 0) or None, hashlib.sha256()
        bar = None
        if progress:
            from tqdm.auto import tqdm

            bar = tqdm(total=size, unit="B", unit_scale=True, desc=os.path.basename(dst))
        while block := answer.read(1 << 20):
            file.write(block)
            digest.update(block)
            if bar is not None:
                bar.update(len(block))
        if bar is not None:
            bar.close()
        if hash_prefix and not digest.hexdigest().startswith(hash_prefix):
            raise DataError(
                f"{url}: the file's SHA-256 begins with {digest.hexdigest()[: len(hash_prefix)]}, not {hash_prefix}.",
                hint="It was damaged on its way, or is another file. Nothing was kept.",
            )


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> dict[str, Any]:
    """A state_dict from the network, kept for the next time."""
    import re
    from urllib.parse import urlparse

    import mlkit

    folder = model_dir or os.path.join(get_dir(), "checkpoints")
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        found = re.search(r"-([a-f0-9]{8,})\.", name) if check_hash else None
        download_url_to_file(url, path, found.group(1) if found else None, progress)
    return mlkit.load(path, map_location=map_location)


load_url = load_state_dict_from_url


def load(repo_or_dir: str, model: str, *args: Any, **options: Any) -> Any:
    """Raises: it would run a program from the network."""
    raise MissingName(
        "torch.hub.load is not in mlkit.",
        "It loads a program from the network and runs it; what it needs of PyTorch may not be here.",
        "Copy the model's class into your program, and load its numbers with torch.hub.load_state_dict_from_url.",
    )


def list(github: str, *args: Any, **options: Any) -> Any:  # noqa: A001 - PyTorch's name
    """Raises: it would run a program from the network."""
    raise MissingName("torch.hub.list is not in mlkit.", "It loads a program from the network and runs it.")
