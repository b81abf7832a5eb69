"""Names of ``torch`` itself that are nowhere else in mlkit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlkit.amp import GradScaler
from mlkit.core.errors import DeviceError
from mlkit.torch.hook import warn_once
from mlkit.torch.parts.version import __version__

__all__ = ["__version__", "GradScaler", "OutOfMemoryError", "compile", "typename"]


class OutOfMemoryError(DeviceError):
    """The GPU's memory is full."""


def compile(model: Callable | None = None, **options: Any) -> Any:  # noqa: A001 - PyTorch's name
    """The model itself, or what mlkit's compiler makes of it where there is one. Results are the same either way."""
    if model is None:
        return lambda function: compile(function, **options)
    import mlkit

    ours = getattr(mlkit, "compile", None)
    if ours is not None:
        return ours(model)
    warn_once("torch.compile: mlkit runs the model as it is; the results are the same, not the speed.")
    return model


def typename(obj: Any) -> str:
    """The name of an object's type, as ``torch.FloatTensor``."""
    from mlkit.functional.settings import typename as ours

    return ours(obj)
