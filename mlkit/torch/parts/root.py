"""Names of ``torch`` itself that are nowhere else in mlkit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlkit.amp import GradScaler
from mlkit.core.errors import DeviceError
from mlkit.torch.parts.version import __version__

__all__ = ["__version__", "GradScaler", "OutOfMemoryError", "compile", "typename"]


class OutOfMemoryError(DeviceError):
    """The GPU's memory is full."""


def compile(  # noqa: A001 - PyTorch's name
    model: Callable | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str | Callable = "inductor",
    mode: str | None = None,
    options: dict | None = None,
    disable: bool = False,
) -> Any:
    """mlkit's compiler under PyTorch's arguments.

    PyTorch's backends "eager" and "aot_eager" compile nothing here either; every other means mlkit's own.
    """
    import mlkit

    how: dict[str, Any] = {
        "fullgraph": fullgraph, "dynamic": dynamic, "mode": mode, "options": options, "disable": disable
    }  # fmt: skip
    if backend in ("eager", "aot_eager"):
        how["backend"] = "eager"
    return mlkit.compile(model, **how)


def typename(obj: Any) -> str:
    """The name of an object's type, as ``torch.FloatTensor``."""
    from mlkit.functional.settings import typename as ours

    return ours(obj)
