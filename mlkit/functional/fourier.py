"""Discrete Fourier transforms in PyTorch's signatures: what ``mlkit.fft`` shows.

``n`` or ``s`` cut or zero-pad the signal first; ``norm`` is "backward" (the default: the inverse carries 1/n), "ortho"
or "forward". Integer signals become floats of the default dtype.
"""

from __future__ import annotations

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, DtypeError, RankError, ShapeError
from mlkit.core.value import Value, wrap
from mlkit.functional import placement
from mlkit.functional.results import takes_out
from mlkit.functional.shaping import roll
from mlkit.ops.fourier import SWAPPED
from mlkit.ops.reduce import canonical_dim


def _norm(norm: str | None) -> str:
    if norm is None:
        return "backward"
    if norm not in SWAPPED:
        raise ShapeError(f'Invalid normalization mode: "{norm}".', hint='Use "backward", "ortho" or "forward".')
    return norm


def _signal(name: str, input, want: str):
    """``input`` as a floating (or complex) tensor."""
    if not isinstance(input, Value):
        raise ArgumentError(f"fft_{name}(): argument 'input' must be Tensor, not {type(input).__name__}.")
    d = dtypes.from_numpy_dtype(input._array.dtype)
    if d.category < 2:
        d = dtypes.get_default_dtype()
        input = ops.cast(input, dtype=d)
    if d.itemsize < 4 and not d.is_complex:
        raise DtypeError(f"{name}: Unsupported dtype {d}.", hint="Convert first: x.float().")
    if want == "real" and d.is_complex:
        raise DtypeError(f"{name} expects a real input tensor, but got {d}.", hint="Use fft, or x.real.")
    if want == "complex" and not d.is_complex:
        input = ops.cast(input, dtype=d.to_complex())
    return input


def _resize(input, sizes: dict[int, int]):
    """Cut or zero-pad dims to the sizes given."""
    shape = tuple(input._array.shape)
    widths = [(0, 0)] * len(shape)
    for d, n in sizes.items():
        if n < 1:
            raise ShapeError(f"Invalid number of data points ({n}) specified.")
        if n < shape[d]:
            input = ops.narrow(input, dim=d, start=0, length=n)
        elif n > shape[d]:
            widths[d] = (0, n - shape[d])
    if any(w != (0, 0) for w in widths):
        input = ops.constant_pad(input, widths=tuple(widths), value=0.0)
    return input


def _dims(name: str, input, s, dim) -> tuple[tuple[int, ...], list[int | None]]:
    """The dims to transform, and the sizes asked for (None: as they are)."""
    rank = input._array.ndim
    if not name.endswith(("2", "n")) and s is not None and min(s) < 1:
        raise ShapeError(f"Invalid number of data points ({s[0]}) specified.")
    s = None if s is None else ([s] if isinstance(s, int) else list(s))
    if dim is not None:
        listed = [dim] if isinstance(dim, int) else list(dim)
        dims = tuple(canonical_dim(name, d, rank) for d in listed)
        if len(set(dims)) != len(dims):
            raise ShapeError(f"{name}: FFT dims must be unique, got {tuple(listed)}.")
        if s is not None and len(s) != len(dims):
            raise ShapeError(
                f"{name}: When given, dim and shape arguments must have the same length, got {s}, {listed}."
            )
    elif s is not None:
        if len(s) > rank:
            raise ShapeError(f"{name}: Got shape with {len(s)} values but input tensor only has {rank} dimensions.")
        dims = tuple(range(rank - len(s), rank))
    else:
        dims = tuple(range(rank))
    return dims, [None if n in (None, -1) else n for n in (s or [None] * len(dims))]


def _check_sizes(input, dims) -> None:
    for d in dims:
        n = input._array.shape[d]
        if n < 1:
            raise ShapeError(f"Invalid number of data points ({n}) specified.", f"input: {tuple(input._array.shape)}")


def _complex_to_complex(name, input, s, dim, norm, forward):
    x = _signal(name, input, "complex")
    dims, sizes = _dims(name, x, s, dim)
    x = _resize(x, {d: n for d, n in zip(dims, sizes, strict=True) if n is not None})
    _check_sizes(x, dims)
    if not dims:
        return ops.clone(x)
    return ops.fft_complex(x, dims=dims, norm=_norm(norm), forward=forward)


def _real_to_half(name, input, s, dim, norm):
    x = _signal(name, input, "real")
    dims, sizes = _dims(name, x, s, dim)
    if not dims:
        raise ShapeError(f"{name} must transform at least one axis.")
    x = _resize(x, {d: n for d, n in zip(dims, sizes, strict=True) if n is not None})
    _check_sizes(x, dims)
    return ops.fft_real(x, dims=dims, norm=_norm(norm))


def _half_to_real(name, input, s, dim, norm):
    x = _signal(name, input, "complex")
    dims, sizes = _dims(name, x, s, dim)
    if not dims:
        raise ShapeError(f"{name} must transform at least one axis.")
    last = dims[-1]
    size = 2 * (x._array.shape[last] - 1) if sizes[-1] is None else sizes[-1]
    if size < 1:
        raise ShapeError(f"Invalid number of data points ({size}) specified.", f"input: {tuple(x._array.shape)}")
    wanted = {d: n for d, n in zip(dims, sizes, strict=True) if n is not None}
    x = _resize(x, {**wanted, last: size // 2 + 1})
    _check_sizes(x, dims)
    return ops.fft_real_inverse(x, dims=dims, norm=_norm(norm), size=size)


@takes_out
def fft(input, n: int | None = None, dim: int = -1, norm: str | None = None):
    """The Fourier transform along ``dim``: sum over t of input[t] exp(-2 pi i k t / n).

    >>> import mlkit
    >>> mlkit.fft.fft(mlkit.tensor([1.0, 0.0, 0.0, 0.0])).real
    tensor([1., 1., 1., 1.])
    """
    return _complex_to_complex("fft", input, None if n is None else (n,), (dim,), norm, True)


@takes_out
def ifft(input, n: int | None = None, dim: int = -1, norm: str | None = None):
    """The inverse of ``fft``."""
    return _complex_to_complex("ifft", input, None if n is None else (n,), (dim,), norm, False)


@takes_out
def fft2(input, s=None, dim=(-2, -1), norm: str | None = None):
    """``fft`` over two dims."""
    return _complex_to_complex("fft2", input, s, dim, norm, True)


@takes_out
def ifft2(input, s=None, dim=(-2, -1), norm: str | None = None):
    """The inverse of ``fft2``."""
    return _complex_to_complex("ifft2", input, s, dim, norm, False)


@takes_out
def fftn(input, s=None, dim=None, norm: str | None = None):
    """``fft`` over several dims (all of them for None)."""
    return _complex_to_complex("fftn", input, s, dim, norm, True)


@takes_out
def ifftn(input, s=None, dim=None, norm: str | None = None):
    """The inverse of ``fftn``."""
    return _complex_to_complex("ifftn", input, s, dim, norm, False)


@takes_out
def rfft(input, n: int | None = None, dim: int = -1, norm: str | None = None):
    """``fft`` of a real signal without the mirrored half: n // 2 + 1 places.

    >>> import mlkit
    >>> mlkit.fft.rfft(mlkit.ones(4)).real
    tensor([4., 0., 0.])
    """
    return _real_to_half("rfft", input, None if n is None else (n,), (dim,), norm)


@takes_out
def irfft(input, n: int | None = None, dim: int = -1, norm: str | None = None):
    """The inverse of ``rfft``; ``n`` is the signal's length, by default 2 * (m - 1) for m places."""
    return _half_to_real("irfft", input, None if n is None else (n,), (dim,), norm)


@takes_out
def rfft2(input, s=None, dim=(-2, -1), norm: str | None = None):
    """``rfft`` over two dims, the last one halved."""
    return _real_to_half("rfft2", input, s, dim, norm)


@takes_out
def irfft2(input, s=None, dim=(-2, -1), norm: str | None = None):
    """The inverse of ``rfft2``."""
    return _half_to_real("irfft2", input, s, dim, norm)


@takes_out
def rfftn(input, s=None, dim=None, norm: str | None = None):
    """``rfft`` over several dims, the last one halved."""
    return _real_to_half("rfftn", input, s, dim, norm)


@takes_out
def irfftn(input, s=None, dim=None, norm: str | None = None):
    """The inverse of ``rfftn``."""
    return _half_to_real("irfftn", input, s, dim, norm)


def _hermitian(name, input, s, dim, norm):
    x = ops.conj(_signal(name, input, "complex"))
    return _half_to_real(name, x, s, dim, SWAPPED[_norm(norm)])


def _inverse_hermitian(name, input, s, dim, norm):
    return ops.conj(_real_to_half(name, input, s, dim, SWAPPED[_norm(norm)]))


@takes_out
def hfft(input, n: int | None = None, dim: int = -1, norm: str | None = None):
    """``fft`` of a signal with Hermitian symmetry given by its half: a real spectrum of ``n`` places."""
    return _hermitian("hfft", input, None if n is None else (n,), (dim,), norm)


@takes_out
def ihfft(input, n: int | None = None, dim: int = -1, norm: str | None = None):
    """The inverse of ``hfft``: the half of a Hermitian signal from its real spectrum."""
    return _inverse_hermitian("ihfft", input, None if n is None else (n,), (dim,), norm)


def _many(name, input, s, dim):
    dims, sizes = _dims(name, input, s, dim)
    if not dims:
        raise ShapeError(f"{name} must transform at least one axis.")
    return dims, sizes


@takes_out
def hfftn(input, s=None, dim=None, norm: str | None = None):
    """``hfft`` along the last of ``dim`` after ``fft`` along the others."""
    x = _signal("hfftn", input, "complex")
    dims, sizes = _many("hfftn", x, s, dim)
    if len(dims) > 1:
        x = _complex_to_complex("hfftn", x, [-1 if n is None else n for n in sizes[:-1]], dims[:-1], norm, True)
    return _hermitian("hfftn", x, [-1 if sizes[-1] is None else sizes[-1]], dims[-1:], norm)


@takes_out
def ihfftn(input, s=None, dim=None, norm: str | None = None):
    """The inverse of ``hfftn``."""
    x = _signal("ihfftn", input, "real")
    dims, sizes = _many("ihfftn", x, s, dim)
    x = _inverse_hermitian("ihfftn", x, [-1 if sizes[-1] is None else sizes[-1]], dims[-1:], norm)
    if len(dims) > 1:
        x = _complex_to_complex("ihfftn", x, [-1 if n is None else n for n in sizes[:-1]], dims[:-1], norm, False)
    return x


@takes_out
def hfft2(input, s=None, dim=(-2, -1), norm: str | None = None):
    """``hfftn`` over two dims."""
    return hfftn(input, s, dim, norm)


@takes_out
def ihfft2(input, s=None, dim=(-2, -1), norm: str | None = None):
    """The inverse of ``hfft2``."""
    return ihfftn(input, s, dim, norm)


def _frequencies(counts, n, d, dtype, device, requires_grad):
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    values = (counts * (1.0 / (n * d))).astype(kind.numpy)
    place = placement.place_or_default(device)
    return placement.wants_grad(wrap(placement.on_device(values, place)), requires_grad)


@takes_out
def fftfreq(n: int, d: float = 1.0, *, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of ``fft``'s places in cycles per unit, for samples ``d`` apart.

    >>> import mlkit
    >>> mlkit.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    counts = np.concatenate((np.arange((n + 1) // 2), np.arange(-(n // 2), 0)))
    return _frequencies(counts, n, d, dtype, device, requires_grad)


@takes_out
def rfftfreq(n: int, d: float = 1.0, *, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of ``rfft``'s places in cycles per unit, for samples ``d`` apart."""
    return _frequencies(np.arange(n // 2 + 1), n, d, dtype, device, requires_grad)


def _shift(input, dim, sign):
    rank = input._array.ndim
    if not rank:
        raise RankError(
            f"{'fftshift' if sign > 0 else 'ifftshift'}: a tensor without dims has nothing to shift (`shifts` required)."
        )
    listed = range(rank) if dim is None else ((dim,) if isinstance(dim, int) else dim)
    dims = tuple(canonical_dim("fftshift", d, rank) for d in listed)
    shape = input._array.shape
    shifts = tuple(shape[d] // 2 if sign > 0 else (shape[d] + 1) // 2 for d in dims)
    return roll(input, shifts, dims) if dims else ops.clone(input)


def fftshift(input, dim=None):
    """Frequency zero moved to the middle of ``dim`` (all dims for None)."""
    return _shift(input, dim, 1)


def ifftshift(input, dim=None):
    """The inverse of ``fftshift``."""
    return _shift(input, dim, -1)


__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft",
    "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip
