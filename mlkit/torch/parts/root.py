"""Names of ``torch`` itself that are nowhere else in mlkit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlkit.amp import GradScaler
from mlkit.core.errors import DeviceError
from mlkit.torch.parts.version import __version__

__all__ = ["__version__", "GradScaler", "OutOfMemoryError", "compile", "typename"]


#: what mlkit's compiler can be told; PyTorch's own options are for kernels that are not here
OPTIONS = ("recompile_limit", "fusion", "memory_plan")


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
    """`mlkit.compile`. PyTorch's backends "eager" and "aot_eager" compile nothing here either; every other means mlkit's
    own, whose options are taken from `options`; each shape has its own program, also with ``dynamic=True``.
    """
    import mlkit

    return mlkit.compile(
        model,
        backend="eager" if backend in ("eager", "aot_eager") else "mlkit",
        fullgraph=fullgraph,
        dynamic=None if dynamic else dynamic,
        mode=mode,
        options={name: value for name, value in (options or {}).items() if name in OPTIONS} or None,
        disable=disable,
    )


def typename(obj: Any) -> str:
    """The name of an object's type, as ``torch.FloatTensor``."""
    from mlkit.functional.settings import typename as ours

    return ours(obj)
