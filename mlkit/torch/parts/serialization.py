"""``torch.serialization``: `load` reads data only, so nothing needs to be declared safe."""

from __future__ import annotations

import contextlib
from typing import Any

from mlkit.io.torch_file import load, save

__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "load", "safe_globals", "save"]


def add_safe_globals(safe_globals: Any) -> None:
    """Accepted: mlkit makes no object of a class that a file names, whatever is declared."""


def clear_safe_globals() -> None:
    """Nothing is declared."""


def get_safe_globals() -> list[Any]:
    """None is declared."""
    return []


@contextlib.contextmanager
def safe_globals(safe_globals: Any):  # noqa: F811
    """Accepted: mlkit makes no object of a class that a file names, whatever is declared."""
    yield
