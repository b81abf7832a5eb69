"""Modules made without setting their first values."""

from __future__ import annotations

from collections.abc import Callable

from mlkit.nn.module import Module


def skip_init(module_cls: Callable[..., Module], *args, **kwargs) -> Module:
    """A module whose parameters are allocated but not initialised, for values that are loaded anyway.

    >>> import mlkit
    >>> from mlkit.nn.utils import skip_init
    >>> skip_init(mlkit.nn.Linear, 2, 3).weight.shape
    mlkit.Size([3, 2])
    """
    place = kwargs.pop("device", None)
    return module_cls(*args, **kwargs, device="meta").to_empty(device="cpu" if place is None else place)
