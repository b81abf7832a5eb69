"""The standard's ``fft`` extension. Transforms of arrays that want a gradient go through ``mlkit.fft``."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np

from mlkit.array_api._array import Array, array, cast, check_kind, library, new, result, through_ops
from mlkit.array_api._creation import _make
from mlkit.array_api._manipulation import axes_of, axis_of, roll
from mlkit.core import dtype as dtypes
from mlkit.core.errors import MissingFeature, ValueRangeError

__all__ = "fft fftfreq fftn fftshift hfft ifft ifftn ifftshift ihfft irfft irfftn rfft rfftfreq rfftn".split()

# name: (kind of its argument, over one axis or several, whether the result is complex, what it computes)
_TRANSFORMS = {
    "fft": ("floating-point", 1, True, "The discrete Fourier transform along an axis."),
    "ifft": ("floating-point", 1, True, "The inverse of fft."),
    "fftn": ("floating-point", 2, True, "The discrete Fourier transform over axes."),
    "ifftn": ("floating-point", 2, True, "The inverse of fftn."),
    "rfft": ("real floating-point", 1, True, "fft of real numbers: the half without the mirrored part."),
    "irfft": ("floating-point", 1, False, "The inverse of rfft."),
    "rfftn": ("real floating-point", 2, True, "fftn of real numbers: the half without the mirrored part."),
    "irfftn": ("floating-point", 2, False, "The inverse of rfftn."),
    "hfft": ("floating-point", 1, False, "fft of a sequence whose mirrored half is left out: the result is real."),
    "ihfft": ("real floating-point", 1, True, "The inverse of hfft."),
}


def _computed(name: str, kind: str, complex_result: bool, x, norm: str, theirs: dict, how: dict) -> Array:
    x = array(x, name)
    check_kind(name, kind, x)
    if norm not in ("backward", "ortho", "forward"):
        raise ValueRangeError(f"{name}: norm must be 'backward', 'ortho' or 'forward', not {norm!r}.")
    if through_ops(x):
        try:
            function = getattr(importlib.import_module("mlkit.fft"), name)
        except (ImportError, AttributeError):
            raise MissingFeature(
                f"fft.{name} has no gradient here.", hint="Take it of x.detach(), or under mlkit.no_grad()."
            ) from None
        return result(function(x, norm=norm, **theirs))
    out = new(getattr(library(x).fft, name)(x._array, norm=norm, **how))
    real = x.dtype.to_real()
    return cast(out, real.to_complex() if complex_result else real)


def _transform(name: str, kind: str, rank: int, complex_result: bool, words: str) -> Callable:
    if rank == 1:

        def function(x, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
            place = axis_of(name, axis, array(x, name).ndim)
            return _computed(name, kind, complex_result, x, norm, {"n": n, "dim": place}, {"n": n, "axis": place})

    else:

        def function(x, /, *, s=None, axes=None, norm: str = "backward") -> Array:  # type: ignore[misc]
            rank_of = array(x, name).ndim
            if axes is None:
                places = tuple(range(rank_of)) if s is None else tuple(range(rank_of - len(s), rank_of))
            else:
                places = axes_of(name, tuple(axes), rank_of)
            return _computed(name, kind, complex_result, x, norm, {"s": s, "dim": places}, {"s": s, "axes": places})

    function.__name__ = function.__qualname__ = name
    function.__module__ = "mlkit.array_api.fft"
    function.__doc__ = f"{words}\n\n    x: {kind}; norm: 'backward', 'ortho' or 'forward'."
    return function


globals().update({name: _transform(name, *row) for name, row in _TRANSFORMS.items()})


def _frequencies(name: str, n: int, d: float, dtype, device) -> Array:
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if not kind.is_floating_point:
        raise ValueRangeError(f"{name}: dtype must be a real floating-point type, not {kind}.")
    return _make(getattr(np.fft, name)(n, d).astype(kind.numpy), device)


def fftfreq(n: int, /, *, d: float = 1.0, dtype=None, device=None) -> Array:
    """The frequencies of fft's entries for n samples d apart."""
    return _frequencies("fftfreq", n, d, dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype=None, device=None) -> Array:
    """The frequencies of rfft's entries for n samples d apart."""
    return _frequencies("rfftfreq", n, d, dtype, device)


def _shifted(name: str, x, axes, sign: int) -> Array:
    x = array(x, name)
    check_kind(name, "floating-point", x)
    places = axes_of(name, axes, x.ndim)
    steps = tuple(x._array.shape[p] // 2 if sign > 0 else -(x._array.shape[p] // 2) for p in places)
    return roll(x, steps, axis=places)


def fftshift(x, /, *, axes=None) -> Array:
    """The frequency 0 moved to the middle of axes."""
    return _shifted("fftshift", x, axes, 1)


def ifftshift(x, /, *, axes=None) -> Array:
    """The inverse of fftshift."""
    return _shifted("ifftshift", x, axes, -1)
