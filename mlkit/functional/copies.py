"""The forms of view functions that copy: ``permute_copy`` is ``permute`` into memory of its own."""

from __future__ import annotations

from collections.abc import Callable

from mlkit.core.dispatch import ops
from mlkit.functional import shaping


def copying(fn: Callable, name: str) -> Callable:
    """``fn`` with its results cloned."""

    def call(*args, **kwargs):
        seen = fn(*args, **kwargs)
        return tuple(ops.clone(x) for x in seen) if isinstance(seen, tuple) else ops.clone(seen)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{name.removesuffix('_copy')}`` into memory of its own."
    return call


def _alias(input):
    return input


def _detach(input):
    return input.detach()


_VIEWS: dict[str, Callable] = {
    "alias": _alias,
    "as_strided": shaping.as_strided,
    "detach": _detach,
    "diagonal": shaping.diagonal,
    "expand": shaping.expand,
    "permute": shaping.permute,
    "select": shaping.select,
    "slice": shaping.slice_of,
    "split": shaping.split,
    "split_with_sizes": shaping.split_with_sizes,
    "squeeze": shaping.squeeze,
    "t": shaping.t,
    "transpose": shaping.transpose,
    "unbind": shaping.unbind,
    "unfold": shaping.unfold,
    "unsqueeze": shaping.unsqueeze,
    "view": shaping.view,
    "view_as_complex": shaping.view_as_complex,
    "view_as_real": shaping.view_as_real,
}
COPIES = {name + "_copy": copying(fn, name + "_copy") for name, fn in _VIEWS.items()}
