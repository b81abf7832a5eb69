"""``torch.compiler``: marks that PyTorch's compiler reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlkit.torch.parts.root import compile  # noqa: A004 - PyTorch's name

__all__ = ["allow_in_graph", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling", "reset"]


def disable(fn: Callable | None = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function as it is."""
    return (lambda function: function) if fn is None else fn


def allow_in_graph(fn: Callable) -> Callable:
    """The function as it is."""
    return fn


def is_compiling() -> bool:
    """Whether a program is being compiled: never."""
    return False


def reset() -> None:
    """Nothing is kept."""


def cudagraph_mark_step_begin() -> None:
    """Nothing to mark."""
