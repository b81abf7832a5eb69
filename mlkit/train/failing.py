"""What ended a training, in a form that a panel can draw and a file can keep."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["report_of"]


def report_of(error: BaseException) -> dict[str, Any] | None:
    """The error's sentence, facts, the user's own line and what to do next; None where that cannot be told."""
    try:
        return importlib.import_module("mlkit.display.error").facts(error)
    except Exception:  # an error whose own words fail: its name and text stand in the status anyway
        return None
