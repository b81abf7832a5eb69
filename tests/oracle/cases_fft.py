"""Fourier transforms. Inputs: ``x`` (3, 4), ``y`` (2, 5, 4), ``z`` (3, 4) complex, ``c`` (2, 3, 5) complex, ``f`` (6,)
float32, ``k`` (5,) int64."""

from __future__ import annotations

import zlib

import numpy as np

CASES: dict[str, str] = {}
for _name in "fft ifft hfft irfft".split():
    CASES[_name] = f"T.fft.{_name}(z)"
    CASES[f"{_name}_real"] = f"T.fft.{_name}(x)"
    CASES[f"{_name}_short"] = f"T.fft.{_name}(c, n=3, dim=1)"
    CASES[f"{_name}_long"] = f"T.fft.{_name}(c, 7, 0, 'ortho')"
    CASES[f"{_name}_forward"] = f"T.fft.{_name}(c, norm='forward')"
    CASES[f"{_name}_f32"] = f"T.fft.{_name}(f)"
    CASES[f"{_name}_integer"] = f"T.fft.{_name}(k)"
for _name in "rfft ihfft".split():
    CASES[_name] = f"T.fft.{_name}(x)"
    CASES[f"{_name}_odd"] = f"T.fft.{_name}(y, dim=1)"
    CASES[f"{_name}_short"] = f"T.fft.{_name}(y, n=3, dim=1)"
    CASES[f"{_name}_long"] = f"T.fft.{_name}(y, 7, 0, 'ortho')"
    CASES[f"{_name}_forward"] = f"T.fft.{_name}(y, norm='forward')"
    CASES[f"{_name}_f32"] = f"T.fft.{_name}(f)"
    CASES[f"{_name}_integer"] = f"T.fft.{_name}(k)"
for _name, _input in {"fft": "c", "ifft": "c", "rfft": "y", "irfft": "c", "hfft": "c", "ihfft": "y"}.items():
    CASES[f"{_name}2"] = f"T.fft.{_name}2({_input})"
    CASES[f"{_name}2_dims"] = f"T.fft.{_name}2({_input}, dim=(0, 1), norm='ortho')"
    CASES[f"{_name}2_size"] = f"T.fft.{_name}2({_input}, s=(4, 6), norm='forward')"
    CASES[f"{_name}n"] = f"T.fft.{_name}n({_input})"
    CASES[f"{_name}n_size"] = f"T.fft.{_name}n({_input}, s=(3, 4))"
    CASES[f"{_name}n_dims"] = f"T.fft.{_name}n({_input}, dim=(2, 0), norm='ortho')"
    CASES[f"{_name}n_keep"] = f"T.fft.{_name}n({_input}, s=(-1, 4), dim=(0, 1))"
CASES |= {
    "fftfreq": "T.fft.fftfreq(5, 0.2), T.fft.fftfreq(4), T.fft.fftfreq(6, d=2, dtype=T.float64)",
    "rfftfreq": "T.fft.rfftfreq(5, 0.2), T.fft.rfftfreq(4, dtype=T.float64)",
    "fftshift": "T.fft.fftshift(y), T.fft.fftshift(y, 1), T.fft.fftshift(k), T.fft.fftshift(x, dim=(0,))",
    "ifftshift": "T.fft.ifftshift(y), T.fft.ifftshift(y, 1), T.fft.ifftshift(k)",
    "round_trip": "T.fft.ifft(T.fft.fft(z)), T.fft.irfft(T.fft.rfft(y), n=4)",
    "scalar": "T.fft.fftn(x[0, 0])",
}

ERRORS: dict[str, str] = {
    "norm": "T.fft.fft(x, norm='unitary')",
    "rfft_complex": "T.fft.rfft(z)",
    "ihfft_complex": "T.fft.ihfft(z)",
    "zero_points": "T.fft.fft(x, n=0)",
    "negative_points": "T.fft.fft(x, n=-2)",
    "empty": "T.fft.fft(x[:, :0])",
    "dim_range": "T.fft.fft(x, dim=3)",
    "dims_twice": "T.fft.fft2(x, dim=(0, 0))",
    "lengths": "T.fft.fftn(x, s=(2,), dim=(0, 1))",
    "too_many": "T.fft.fftn(x, s=(2, 2, 2))",
    "irfft_one": "T.fft.irfft(z[:, :1])",
    "not_a_tensor": "T.fft.fft(3.0)",
    "half": "T.fft.fft(x.half())",
    "scalar": "T.fft.fft(x[0, 0])",
    "rfftn_scalar": "T.fft.rfftn(x[0, 0])",
}


def inputs(name: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(name.encode()))

    def normal(*shape):
        return rng.normal(size=shape)

    return {
        "x": normal(3, 4),
        "y": normal(2, 5, 4),
        "z": normal(3, 4) + 1j * normal(3, 4),
        "c": normal(2, 3, 5) + 1j * normal(2, 3, 5),
        "f": normal(6).astype(np.float32),
        "k": rng.integers(-5, 5, 5),
    }
