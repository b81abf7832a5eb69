"""The ``torch`` name: unmodified programs that import ``torch`` run on mlkit.

``python -m mlkit.torch script.py`` runs a program so, and ``%load_ext mlkit.torch`` a notebook. Only imports made by the
user's own files are redirected; installed packages see what they saw before. Nothing changes without that call.

The same names are also here without redirecting anything:

>>> import mlkit.torch as torch
>>> torch.nn.functional.relu(torch.tensor([-1.0, 2.0]))
tensor([0., 2.])
"""

from __future__ import annotations

from typing import Any

from mlkit.torch import namespace as _namespace
from mlkit.torch.hook import install, is_installed, uninstall

__all__ = ["install", "is_installed", "load_ipython_extension", "uninstall", "unload_ipython_extension"]


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext mlkit.torch``: from now on this notebook's ``import torch`` gives mlkit."""
    import sys
    import warnings

    there = [name for name in ("torch", "torchvision") if name in sys.modules]
    held = [name for name, value in shell.user_ns.items() if getattr(value, "__name__", None) in there]
    install()
    if held:
        warnings.warn(
            f"This notebook imported {' and '.join(there)} before; {', '.join(sorted(held))} still means that one. "
            "Import again, or restart the kernel and load mlkit.torch first.",
            stacklevel=2,
        )


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext mlkit.torch``: later imports are as they were; names already imported stay."""
    uninstall()


def __getattr__(name: str) -> Any:
    return getattr(_namespace.load("torch"), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *dir(_namespace.load("torch"))})
