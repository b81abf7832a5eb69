"""Whether a file is the user's own or belongs to something installed."""

from __future__ import annotations

import functools
import os
import sys

_PARTS = {"site-packages", "dist-packages"}


@functools.cache
def _roots() -> tuple[str, ...]:
    """Folders whose files are never the user's: Python itself, what pip installs, and mlkit."""
    import sysconfig

    return tuple(
        {
            os.path.join(form(path), "")
            for path in (*sysconfig.get_paths().values(), os.path.dirname(os.path.dirname(__file__)))
            for form in (os.path.abspath, os.path.realpath)
            if os.path.basename(path) not in ("bin", "Scripts", "")
            and os.path.abspath(path) not in (sys.prefix, sys.base_prefix)
        }
    )


@functools.lru_cache(maxsize=4096)
def is_installed_file(file: str) -> bool:
    """Whether a file belongs to Python, to an installed package or to mlkit.

    Installed is what lies in ``site-packages`` or ``dist-packages``, and what a package's own list of files (the RECORD
    of ``pip install --target``) names in another folder of ``sys.path``. A project installed with ``pip install -e`` lies
    in its own folder and counts as the user's.
    """
    path = os.path.abspath(file)
    if path.startswith(_roots()) or not _PARTS.isdisjoint(path.split(os.sep)):
        return True
    for entry in sys.path:
        folder = os.path.join(os.path.abspath(entry), "")
        if path.startswith(folder) and path[len(folder) :].split(os.sep)[0] in _recorded(folder):
            return True
    return False


@functools.lru_cache(maxsize=256)
def _recorded(folder: str) -> frozenset[str]:
    """The names at the top of a folder that installed packages say are theirs."""
    from pathlib import Path

    names: set[str] = set()
    try:
        for record in Path(folder).glob("*.dist-info/RECORD"):
            for line in record.read_text("utf-8", "replace").splitlines():
                names.add(line.split(",")[0].split("/")[0])
    except OSError:
        pass
    return frozenset(names - {"..", ""})
