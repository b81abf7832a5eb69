"""Windows for spectral analysis and filter design, in ``torch.signal.windows``'s names.

Each takes the number of points M and ``sym``: True for a symmetric window (filter design), False for a periodic one
(spectral analysis), and ``dtype`` (float32 or float64), ``layout``, ``device`` and ``requires_grad`` by keyword.
"""

from __future__ import annotations

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.device import device as as_device
from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.core.layout import strided
from mlkit.core.value import wrap
from mlkit.functional.placement import get_default_device, on_device, wants_grad

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]


def _finished(name, M, dtype, layout, place, requires_grad, make):  # noqa: N803 - PyTorch's name
    """The window ``make()`` gives for M > 1 points, as a tensor; none or a single 1 for fewer."""
    if not hasattr(M, "__index__"):
        raise ArgumentError(f"{name}(): argument 'M' must be int, not {type(M).__name__}.")
    if not isinstance(requires_grad, bool):
        raise ArgumentError(f"{name}(): argument 'requires_grad' must be bool, not {type(requires_grad).__name__}.")
    if M < 0:
        raise ValueRangeError(f"{name} requires non-negative window length, got M={M}")
    if layout is not None and layout is not strided:
        raise ValueRangeError(f"{name} is implemented for strided tensors only, got: {layout}")
    d = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if d not in (dtypes.float32, dtypes.float64):
        raise ValueRangeError(f"{name} expects float32 or float64 dtypes, got: {d}")
    array = np.zeros(0) if M == 0 else make() if M > 1 else np.ones(1)
    where = as_device(place) if place is not None else get_default_device()
    return wants_grad(wrap(on_device(array.astype(d.numpy), where)), requires_grad)


def _steps(M, sym) -> np.ndarray:  # noqa: N803
    """0, 1, ... M - 1 as parts of the window's length: M - 1 when symmetric, M when periodic."""
    return np.arange(M) / (M - 1 if sym else M)


def general_cosine(M, *, a, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """A sum of cosines: a[0] - a[1] cos(2 pi n / (M - 1)) + a[2] cos(4 pi n / (M - 1)) - ...

    >>> import mlkit
    >>> mlkit.signal.windows.general_cosine(5, a=[0.5, 0.5])
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    a = list(a)
    if not a:
        raise ValueRangeError("Coefficients cannot be empty")

    def make():
        angle = 2 * np.pi * _steps(M, sym)
        return sum((-1) ** i * weight * np.cos(i * angle) for i, weight in enumerate(a))

    return _finished("general_cosine", M, dtype, layout, device, requires_grad, make)


def general_hamming(M, *, alpha=0.54, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """alpha - (1 - alpha) cos(2 pi n / (M - 1))."""
    how = {"sym": sym, "dtype": dtype, "layout": layout, "device": device, "requires_grad": requires_grad}
    return general_cosine(M, a=[alpha, 1.0 - alpha], **how)


def hamming(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """The Hamming window: a cosine on a pedestal of 0.08."""
    how = {"sym": sym, "dtype": dtype, "layout": layout, "device": device, "requires_grad": requires_grad}
    return general_hamming(M, **how)


def hann(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """The Hann window: a raised cosine, 0 at both ends."""
    how = {"sym": sym, "dtype": dtype, "layout": layout, "device": device, "requires_grad": requires_grad}
    return general_hamming(M, alpha=0.5, **how)


def blackman(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """The Blackman window, three cosine terms."""
    how = {"sym": sym, "dtype": dtype, "layout": layout, "device": device, "requires_grad": requires_grad}
    return general_cosine(M, a=[0.42, 0.5, 0.08], **how)


def nuttall(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """Nuttall's minimum 4-term Blackman-Harris window (Nuttall 1981, doi:10.1109/TASSP.1981.1163506)."""
    how = {"sym": sym, "dtype": dtype, "layout": layout, "device": device, "requires_grad": requires_grad}
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], **how)


def bartlett(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """The triangular Bartlett window."""

    def make():
        return 1 - np.abs(2 * _steps(M, sym) - 1)

    return _finished("bartlett", M, dtype, layout, device, requires_grad, make)


def cosine(M, *, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """Half a period of a sine, sampled between its zeros."""

    def make():
        return np.sin(np.pi * (np.arange(M) + 0.5) / (M if sym else M + 1))

    return _finished("cosine", M, dtype, layout, device, requires_grad, make)


def exponential(  # noqa: N803
    M, *, center=None, tau=1.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False
):
    """exp(-|n - center| / tau); the center may be given for a periodic window only."""
    if tau <= 0:
        raise ValueRangeError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueRangeError("Center must be None for symmetric windows")

    def make():
        middle = (M - 1 if sym else M) / 2 if center is None else center
        return np.exp(-np.abs(np.arange(M) - middle) / tau)

    return _finished("exponential", M, dtype, layout, device, requires_grad, make)


def gaussian(M, *, std=1.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """exp(-(n - center)**2 / (2 std**2))."""
    if std <= 0:
        raise ValueRangeError(f"Standard deviation must be positive, got: {std} instead.")

    def make():
        return np.exp(-((np.arange(M) - (M - 1 if sym else M) / 2) ** 2) / (2 * std * std))

    return _finished("gaussian", M, dtype, layout, device, requires_grad, make)


def kaiser(M, *, beta=12.0, sym=True, dtype=None, layout=None, device=None, requires_grad=False):  # noqa: N803
    """The Kaiser window: large beta for low side lobes, 0 for a rectangle."""
    if beta < 0:
        raise ValueRangeError(f"beta must be non-negative, got: {beta} instead.")

    def make():
        position = 2 * _steps(M, sym) - 1
        return np.i0(beta * np.sqrt(np.maximum(1 - position * position, 0))) / np.i0(beta)

    return _finished("kaiser", M, dtype, layout, device, requires_grad, make)
