"""Numba: compiled kernels where plain NumPy is slow. No array library of its own: it overrides ops of the NumPy backend.

A family of kernels is two files. ``pooling.py`` is light: it says which op it overrides and from what size on, and brings
the arguments into the kernel's form. ``pooling_kernels.py`` imports Numba and holds the compiled loops; it is imported
when an op above its size is met for the first time. Without Numba, or with ``mlkit.config.numba = False``, NumPy computes
everything; an override gives the same values (to rounding), dtype, shape and errors.

An override takes the kernels' module and then what the op's forward takes; a gradient, what the op's vjp takes::

    @override("gelu", minimum=16384)
    def gelu(kernels, input, *, approximate):
        if input.dtype != np.float32:
            return NotImplemented            # NumPy then does it
        ...

    @gradient("gelu", minimum=16384)
    def gelu_gradient(kernels, g, input, approximate):
        ...

``minimum`` counts elements of the first array; below it the cost is one comparison. Gradients are used when backward
runs on arrays; a gradient of a gradient is computed by the op's own rule.
"""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlkit.core import config

#: The light files, imported with the NumPy backend.
FAMILIES: tuple[str, ...] = (
    "dropout",
    "embedding",
    "norms",
    "pointwise",
    "softmax",
    "conv",
    "pooling",
    "rnn",
    "attention",
    "gemm",
)


@dataclass(frozen=True)
class Override:
    """One function that stands in for an op's forward, or for its gradient rule."""

    op: str
    family: str  # the light module's name; its kernels are in <family>_kernels
    minimum: int
    function: Callable
    input: str | None = None  # of a gradient: the input it is for, None for the rule of all
    row: int | None = None  # how many elements are enough where all dims but the last have one place

    def takes(self, first: np.ndarray) -> bool:
        """Whether the first array has enough elements."""
        size = first.size
        return size >= self.minimum or self.row is not None and size >= self.row and size == first.shape[-1]

    def __call__(self, *arguments, **attributes):
        """Run it, whatever the size: NotImplemented where it leaves the case to NumPy."""
        return self.function(kernels(self.family), *arguments, **attributes)


OVERRIDES: dict[str, Override] = {}
GRADIENTS: dict[tuple[str, str | None], Override] = {}


def override(op: str, *, minimum: int, row: int | None = None) -> Callable[[Callable], Callable]:
    """The decorated function computes ``op`` where the first array has at least ``minimum`` elements, or ``row`` in a single
    row."""

    def register(function: Callable) -> Callable:
        assert op not in OVERRIDES, f"two overrides of {op}"
        OVERRIDES[op] = Override(op, function.__module__, minimum, function, row=row)
        return function

    return register


def gradient(op: str, input: str | None = None, *, minimum: int) -> Callable[[Callable], Callable]:
    """The decorated function stands in for the op's ``vjp`` (or ``vjp_<input>``), by the size of the gradient."""

    def register(function: Callable) -> Callable:
        assert (op, input) not in GRADIENTS, f"two gradients of {op}"
        GRADIENTS[op, input] = Override(op, function.__module__, minimum, function, input)
        return function

    return register


# --- whether Numba can be used ------------------------------------------------------------------------------------------

_lock = threading.RLock()
_loaded: dict[str, Any] = {}
_usable: bool | None = None  # not yet known


def usable() -> bool:
    """Whether kernels can run here; the first call imports Numba. Said once, with the reason, if it is broken."""
    global _usable
    if not config.numba:
        return False
    if _usable is None:
        with _lock:
            if _usable is None:
                _usable = _try()
    return _usable


def _try() -> bool:
    if sys.platform == "emscripten":
        return False
    try:
        importlib.import_module("mlkit.backends.numba.compiling")
    except ModuleNotFoundError as error:
        if error.name in ("numba", "llvmlite"):
            return False  # an ordinary way to install mlkit: NumPy does it all
        reason: Exception = error
    except Exception as error:  # too old for this NumPy, a broken wheel
        reason = error
    else:
        return True
    warnings.warn(
        f"Numba is installed but does not import, so NumPy computes everything, several times slower: {reason}. "
        "`mlkit doctor` says more.",
        UserWarning,
        stacklevel=2,
    )
    return False


def disable() -> None:
    """No kernels in this process from now on."""
    global _usable
    _usable = False


def kernels(family: str):
    """The module with a family's compiled functions."""
    found = _loaded.get(family)
    if found is None:
        with _lock:
            found = _loaded[family] = importlib.import_module(f"{family}_kernels")
    return found


# --- putting them in place ----------------------------------------------------------------------------------------------


def choosing(chosen: Override, reference: Callable) -> Callable:
    """The function that takes ``chosen`` where it applies and ``reference`` elsewhere."""
    minimum, function, family, row = chosen.minimum, chosen.function, chosen.family, chosen.row

    def forward(first, *rest, **attributes):
        if (
            first.__class__ is not np.ndarray
            or (size := first.size) < minimum
            and (row is None or size < row or size != first.shape[-1])
            or not usable()
        ):
            return reference(first, *rest, **attributes)
        out = function(_loaded.get(family) or kernels(family), first, *rest, **attributes)
        return reference(first, *rest, **attributes) if out is NotImplemented else out

    def unary(x):
        if x.__class__ is not np.ndarray or x.size < minimum or not usable():
            return reference(x)
        out = function(_loaded.get(family) or kernels(family), x)
        return reference(x) if out is NotImplemented else out

    code = function.__code__
    return unary if code.co_argcount == 2 and not code.co_kwonlyargcount and not function.__defaults__ else forward


def choosing_gradient(chosen: Override) -> Callable:
    """The same for a gradient: a function (rule, m, g, *kept)."""
    minimum, function, family = chosen.minimum, chosen.function, chosen.family

    def backward(rule, m, g, *kept):
        first = g
        if g.__class__ is list:
            for first in g:
                if first is not None:
                    break
        if first.__class__ is not np.ndarray or first.size < minimum or not usable():
            return rule(m, g, *kept)
        out = function(_loaded.get(family) or kernels(family), g, *kept)
        return rule(m, g, *kept) if out is NotImplemented else out

    return backward


def install(reader, kernels: dict[str, Callable], gradients: dict[tuple[str, str | None], Callable]) -> None:
    """Put the overrides in front of the NumPy reader's own functions."""
    for family in FAMILIES:
        importlib.import_module(f"mlkit.backends.numba.{family}")
    for name, chosen in OVERRIDES.items():
        kernels[name] = choosing(chosen, getattr(reader, name))
        setattr(reader, name, kernels[name])
    for key, chosen in GRADIENTS.items():
        gradients[key] = choosing_gradient(chosen)
