"""Whose is a file: the user's own, or of an installed package."""

from __future__ import annotations

from types import FrameType
from typing import Any

from mlkit.core.installed import is_installed_file


def is_users(scope: dict[str, Any] | None, frame: FrameType | None = None) -> bool:
    """Whether code with these globals is the user's own.

    Args:
        scope: The globals of the code that imports.
        frame: Its frame. Code without a file (made by ``exec``) belongs to whoever runs it: the frames tell.
    """
    while True:
        if scope is not None:
            file = scope.get("__file__")
            if isinstance(file, str):
                return not is_installed_file(file)
            if scope.get("__name__") == "__main__":
                return True  # a notebook's cells, ``python -c``, a prompt
            if getattr(scope.get("__spec__"), "origin", None) in ("frozen", "built-in"):
                return False
        if frame is None:
            return False
        if frame.f_globals is scope:
            frame = frame.f_back
        scope = None if frame is None else frame.f_globals
