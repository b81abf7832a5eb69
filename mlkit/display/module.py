"""A module as HTML: the foldable tree of its layers. ``mlkit.summary(model, input)`` adds shapes and costs to it."""

from __future__ import annotations

from typing import Any

from mlkit.display import summary as _summary


def html(module: Any) -> str:
    """The tree of ``module`` with its parameters; frozen, shared and repeated parts are marked."""
    return _summary.html(_summary.summary(module))


def text(module: Any) -> str:
    """The same tree for a terminal."""
    return str(_summary.summary(module))
