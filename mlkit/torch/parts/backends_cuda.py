"""``torch.backends.cuda``: its switches can be set; mlkit chooses its kernels itself."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

from mlkit import cuda

__all__ = ["flash_sdp_enabled", "is_built", "math_sdp_enabled", "matmul", "mem_efficient_sdp_enabled", "sdp_kernel"]

matmul = SimpleNamespace(
    allow_tf32=False, allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True
)
cufft_plan_cache = SimpleNamespace(size=0, max_size=0, clear=lambda: None)


def is_built() -> bool:
    """Whether GPU tensors can be made."""
    return cuda.is_available()


def flash_sdp_enabled() -> bool:
    """Whether attention may use a fused kernel."""
    return True


def enable_flash_sdp(enabled: bool) -> None:
    """Accepted; mlkit chooses its kernels itself."""


mem_efficient_sdp_enabled = math_sdp_enabled = cudnn_sdp_enabled = flash_sdp_enabled
enable_mem_efficient_sdp = enable_math_sdp = enable_cudnn_sdp = enable_flash_sdp


@contextlib.contextmanager
def sdp_kernel(*args: Any, **switches: Any):
    """Which attention kernels may be used inside a block. It changes nothing here."""
    yield
