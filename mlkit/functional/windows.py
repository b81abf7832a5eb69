"""Windows for spectral analysis and filter design: vectors that fall off towards both ends."""

from __future__ import annotations

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.device import device
from mlkit.core.errors import DtypeError, ShapeError
from mlkit.core.value import wrap
from mlkit.functional.placement import get_default_device, on_device, wants_grad


def _window(name, length, periodic, dtype, place, requires_grad, make):
    if length < 0:
        raise ShapeError(f"{name} requires non-negative window_length, got window_length={length}.")
    d = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if not d.is_floating_point:
        raise DtypeError(f"{name} expects floating point dtypes, got: {d}.")
    if length == 1:
        array = np.ones(1)
    elif length == 0:
        array = np.zeros(0)
    else:
        array = make(length + 1)[:-1] if periodic else make(length)
    return wants_grad(
        wrap(on_device(array.astype(d.numpy), device(place) if place is not None else get_default_device())),
        requires_grad,
    )


def hann_window(window_length: int, periodic=True, *, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: A002
    """The Hann window; periodic for spectral analysis, symmetric (False) for filter design."""
    return _window("hann_window", window_length, periodic, dtype, device, requires_grad, np.hanning)


def hamming_window(  # noqa: A002
    window_length: int,
    periodic=True,
    alpha=0.54,
    beta=0.46,
    *,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
):
    """The Hamming window, alpha - beta * cos(2 pi n / (N - 1))."""

    def make(n):
        return alpha - beta * np.cos(2 * np.pi * np.arange(n) / (n - 1))

    return _window("hamming_window", window_length, periodic, dtype, device, requires_grad, make)


def bartlett_window(window_length: int, periodic=True, *, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: A002
    """The triangular Bartlett window."""
    return _window("bartlett_window", window_length, periodic, dtype, device, requires_grad, np.bartlett)


def blackman_window(window_length: int, periodic=True, *, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: A002
    """The Blackman window."""

    def make(n):  # in the window's own type, as PyTorch: its ends are not quite 0
        d = (dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)).numpy
        angle = np.arange(n, dtype=d) * d.type(np.pi / (n - 1))
        return np.cos(angle * 4) * d.type(0.08) - np.cos(angle * 2) * d.type(0.5) + d.type(0.42)

    return _window("blackman_window", window_length, periodic, dtype, device, requires_grad, make)


def kaiser_window(  # noqa: A002
    window_length: int, periodic=True, beta=12.0, *, dtype=None, layout=None, device=None, requires_grad=False
):
    """The Kaiser window with shape parameter ``beta``."""

    def make(n):
        return np.kaiser(n, beta)

    return _window("kaiser_window", window_length, periodic, dtype, device, requires_grad, make)
