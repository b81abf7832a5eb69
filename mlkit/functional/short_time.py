"""The short-time Fourier transform: the spectrum of each of many overlapping frames of a signal, and the way back."""

from __future__ import annotations

from mlkit.core.dispatch import ops
from mlkit.core.errors import DtypeError, RefusedError, ShapeError
from mlkit.core.value import MetaArray
from mlkit.functional import fourier
from mlkit.functional.padding import pad


def _lengths(name: str, n_fft: int, hop_length: int | None, win_length: int | None) -> tuple[int, int]:
    hop = n_fft // 4 if hop_length is None else int(hop_length)
    width = n_fft if win_length is None else int(win_length)
    if hop <= 0:
        raise RefusedError(f"{name}: expected hop_length > 0, but got hop_length={hop}.")
    if not 0 < width <= n_fft:
        raise RefusedError(f"{name}: expected 0 < win_length <= n_fft, but got win_length={width} and n_fft={n_fft}.")
    return hop, width


def _full_window(name: str, window, width: int, n_fft: int, like):
    """The window with zeros on both sides up to n_fft values; ones when none is given."""
    if window is None:
        window = ops.cast_like(ops.index_array([1] * width, like=like), like)
        window = ops.real(window) if ops.is_complex(window) else window
    elif tuple(window._array.shape) != (width,):
        raise ShapeError(
            f"{name}: expected a 1D window tensor of size equal to win_length={width}, but got window with size "
            f"{list(window._array.shape)}."
        )
    left = (n_fft - width) // 2
    return ops.constant_pad(window, widths=((left, n_fft - width - left),)) if width < n_fft else window


def _smooth(name: str, x, label: str) -> None:
    if x._array.dtype.kind not in "fcV":
        raise DtypeError(f"{name}: expected a tensor of floating point or complex values for {label}, got {x.dtype}.")


def stft(
    input,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window=None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
):
    """The spectrum of overlapping frames: input (L) or (B, L) -> (n_fft // 2 + 1, T) or (B, ..., T), complex.

    Frame t holds the ``n_fft`` samples around t * hop_length (``center``, the ends padded by ``pad_mode``), or those
    from t * hop_length on. hop_length is n_fft // 4 by default, ``window`` (win_length values, put in the middle of the
    frame) ones; ``normalized`` divides by sqrt(n_fft). ``onesided`` leaves out the half that mirrors, the default for
    real input. ``return_complex`` must be said for real input; False gives a last dim of (real, imaginary).

    >>> import mlkit
    >>> wave = mlkit.sin(mlkit.arange(400.0) * 0.3)
    >>> spectrum = mlkit.stft(wave, 64, window=mlkit.hann_window(64), return_complex=True); spectrum.shape
    mlkit.Size([33, 26])
    >>> mlkit.allclose(mlkit.istft(spectrum, 64, window=mlkit.hann_window(64)), wave, atol=1e-4)
    True
    """
    name = "stft"
    _smooth(name, input, "input")
    rank = input._array.ndim
    if rank not in (1, 2):
        raise ShapeError(f"{name}: expected a 1D or 2D tensor, got {tuple(input._array.shape)}.")
    complex_in = ops.is_complex(input) or window is not None and ops.is_complex(window)
    if return_complex is None:
        if not complex_in:
            raise RefusedError(
                "stft requires the return_complex parameter be given for real inputs.",
                hint="Pass return_complex=True; view_as_real(output) gives the pairs.",
            )
        return_complex = True
    if center and align_to_window is not None:
        raise RefusedError("stft: align_to_window should only be set when center = False.")
    x = input if rank == 2 else ops.unsqueeze(input, 0)
    hop, width = _lengths(name, n_fft, hop_length, win_length)
    if center:
        half = n_fft // 2
        x = ops.reshape(pad(ops.unsqueeze(x, 0), (half, half), mode=pad_mode), shape=(x._array.shape[0], -1))
    elif align_to_window:
        edge = (n_fft - width) // 2
        x = ops.constant_pad(x, widths=((0, 0), (edge, n_fft - width - edge)))
    length = x._array.shape[1]
    if not 0 < n_fft <= length:
        raise RefusedError(f"{name}: expected 0 < n_fft <= {length}, but got n_fft={n_fft}.")
    frame = _full_window(name, window, width, n_fft, x)
    frames = ops.mul(ops.unfold(x, dimension=1, size=n_fft, step=hop), frame)  # (B, T, n_fft)
    if onesided is None:
        onesided = not complex_in
    if onesided and complex_in:
        raise RefusedError("stft: cannot have onesided output if window or input is complex.")
    how = {"dim": -1, "norm": "ortho" if normalized else "backward"}
    out = fourier.rfft(frames, **how) if onesided else fourier.fft(frames, **how)
    out = ops.permute(out, dims=(0, 2, 1))
    out = out if rank == 2 else ops.squeeze(out, 0)
    return out if return_complex else ops.view_as_real(out)


def istft(
    input,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window=None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
):
    """The signal whose ``stft`` is nearest to ``input``: complex (N, T) or (B, N, T) -> (L) or (B, L).

    The frames are added up where they overlap and divided by the squared windows' sum there (Griffin & Lim 1984,
    doi:10.1109/TASSP.1984.1164317). Arguments as in ``stft``; ``length`` cuts or fills the signal with zeros.
    """
    name = "istft"
    shape = tuple(input._array.shape)
    if not ops.is_complex(input):
        raise RefusedError(f"{name} requires a complex-valued input tensor matching the output from stft.")
    if 0 in shape or len(shape) not in (2, 3):
        raise RefusedError(f"{name}: expected a non-empty tensor with 2 or 3 dimensions, got {shape}.")
    hop, width = _lengths(name, n_fft, hop_length, win_length)
    x = input if len(shape) == 3 else ops.unsqueeze(input, 0)
    bins, count = x._array.shape[1:]
    if onesided is None:
        onesided = bins != n_fft
    wanted = n_fft // 2 + 1 if onesided else n_fft
    if bins != wanted:
        raise RefusedError(
            f"{name}: expected the frequency dimension (3rd to the last) of the input tensor to match n_fft"
            f"{' / 2 + 1' if onesided else ''} = {wanted}, but got {bins}."
        )
    if onesided and (return_complex or window is not None and ops.is_complex(window)):
        raise RefusedError(f"{name}: cannot have onesided input if window or output is complex.")
    frame = _full_window(name, window, width, n_fft, ops.real(x))
    how = {"dim": -1, "norm": "ortho" if normalized else "backward"}
    spectra = ops.permute(x, dims=(0, 2, 1))
    if return_complex:
        frames = fourier.ifft(spectra, **how)
    else:  # of both halves, the first one says what a real signal's second is
        half = spectra if onesided else ops.narrow(spectra, dim=2, start=0, length=n_fft // 2 + 1)
        frames = fourier.irfft(half, n_fft, **how)
    frames = ops.mul(frames, frame)  # (B, T, n_fft)
    total = n_fft + hop * (count - 1)
    places = ops.index_array([t * hop + i for t in range(count) for i in range(n_fft)], like=x)
    batch = x._array.shape[0]
    signal = ops.index_add(
        ops.zeros((batch, total), like=frames), places, ops.reshape(frames, shape=(batch, count * n_fft)), dim=1
    )
    squares = ops.reshape(ops.expand(ops.square(frame), shape=(count, n_fft)), shape=(-1,))
    envelope = ops.index_add(ops.zeros((total,), like=squares), places, squares, dim=0)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - (n_fft // 2 if center else 0)
    kept = min(end, total) - start
    signal = ops.narrow(signal, dim=1, start=start, length=kept)
    envelope = ops.narrow(envelope, dim=0, start=start, length=kept)
    if envelope._array.__class__ is not MetaArray and kept:
        smallest = float(ops.amin(ops.abs(envelope.detach()), dim=(0,))._array)
        if not smallest > 1e-11:
            raise RefusedError(
                f"istft: window overlap add min: {smallest}: some samples lie under no window, so they cannot be found.",
                hint="Use a smaller hop_length, center=True, or a window that is not 0 at its ends.",
            )
    signal = ops.div(signal, envelope)
    if end > total:
        signal = ops.constant_pad(signal, widths=((0, 0), (0, end - total)))
    return signal if len(shape) == 3 else ops.squeeze(signal, 0)
