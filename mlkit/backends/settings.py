"""PyTorch's switches for what a backend may do, under its names and with its defaults."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mlkit.core import config


class Matmul:
    """Products of float32 matrices on a GPU."""

    #: sums of float16 and bfloat16 products may be rounded on the way, as in PyTorch
    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True

    @property
    def allow_tf32(self) -> bool:
        """Round the factors of float32 products to TF32 (10 bits after the point), several times as quick."""
        return config.cuda_matmul_tf32

    @allow_tf32.setter
    def allow_tf32(self, on: bool) -> None:
        config.cuda_matmul_tf32 = bool(on)


class CUDA:
    """``backends.cuda``."""

    matmul = Matmul()

    @staticmethod
    def is_built() -> bool:
        """Whether CuPy is installed, which is what the "cuda" device needs."""
        from mlkit.core import backend as backends
        from mlkit.core.errors import DeviceError

        try:
            backends.load("cupy")
        except DeviceError:
            return False
        return True

    @staticmethod
    def flash_sdp_enabled() -> bool:
        return config.cudnn_attention and config.cudnn

    @staticmethod
    def enable_flash_sdp(enabled: bool) -> None:
        """Attention by one fused kernel on a GPU, through cuDNN."""
        config.cudnn_attention = bool(enabled)


class CuDNN:
    """``backends.cudnn``: convolution, normalisation and attention on a GPU by NVIDIA's library."""

    #: the plan that cuDNN's heuristic puts first is taken; timing the others is not done
    benchmark = False
    benchmark_limit = 10

    @property
    def enabled(self) -> bool:
        return config.cudnn

    @enabled.setter
    def enabled(self, on: bool) -> None:
        config.cudnn = bool(on)

    @property
    def allow_tf32(self) -> bool:
        """Round the factors of float32 convolutions to TF32."""
        return config.cudnn_tf32

    @allow_tf32.setter
    def allow_tf32(self, on: bool) -> None:
        config.cudnn_tf32 = bool(on)

    @property
    def deterministic(self) -> bool:
        """Only kernels that give the same bits every time."""
        return config.cudnn_deterministic

    @deterministic.setter
    def deterministic(self, on: bool) -> None:
        config.cudnn_deterministic = bool(on)

    @staticmethod
    def is_available() -> bool:
        """Whether cuDNN and its Python binding are installed and a GPU is there."""
        if not cuda.is_built():
            return False
        from mlkit.backends.cupy import cudnn

        return cudnn.usable()

    @staticmethod
    def version() -> int | None:
        """cuDNN's version as a number, 91200 for 9.12.0; None without it."""
        if not CuDNN.is_available():
            return None
        from mlkit.backends.cupy import cudnn

        return cudnn.version()

    @contextlib.contextmanager
    def flags(
        self, enabled=True, benchmark=False, benchmark_limit=10, deterministic=False, allow_tf32=True
    ) -> Iterator:
        """These switches inside a ``with`` block."""
        given = {
            "enabled": enabled,
            "benchmark": benchmark,
            "benchmark_limit": benchmark_limit,
            "deterministic": deterministic,
            "allow_tf32": allow_tf32,
        }
        before = {name: getattr(self, name) for name in given}
        for name, on in given.items():
            setattr(self, name, on)
        try:
            yield
        finally:
            for name, on in before.items():
                setattr(self, name, on)


class Absent:
    """A library of PyTorch's that is not used here."""

    def __init__(self, name: str) -> None:
        self._name = name

    @staticmethod
    def is_available() -> bool:
        return False

    is_built = is_available

    def __repr__(self) -> str:
        return f"<mlkit.backends.{self._name}: not used here>"


class CPU:
    """``backends.cpu``."""

    @staticmethod
    def get_cpu_capability() -> str:
        """The instruction set NumPy found, by its name: "AVX512_SKX", "AVX2", "NEON" ..."""
        import numpy as np

        found = getattr(np, "show_config")(mode="dicts").get("SIMD Extensions", {}).get("found", [])  # noqa: B009
        return found[-1] if found else "DEFAULT"


cuda, cudnn, cpu = CUDA(), CuDNN(), CPU()
mps, mkl, mkldnn, openmp = (Absent(name) for name in ("mps", "mkl", "mkldnn", "openmp"))
