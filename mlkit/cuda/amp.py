"""PyTorch's old path of mixed precision on a GPU: ``mlkit.amp`` with "cuda" given."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

from mlkit import amp
from mlkit.core.dtype import dtype, float16

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


def _old(name: str) -> None:
    warnings.warn(
        f"`mlkit.cuda.amp.{name}(args...)` is deprecated. Please use `mlkit.amp.{name}('cuda', args...)` instead.",
        FutureWarning,
        stacklevel=3,
    )


class autocast(amp.autocast):  # noqa: N801 - PyTorch's name
    """``mlkit.autocast("cuda", ...)``."""

    def __init__(self, enabled: bool = True, dtype: dtype = float16, cache_enabled: bool = True):  # noqa: F811
        _old("autocast")
        super().__init__("cuda", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


class GradScaler(amp.GradScaler):
    """``mlkit.amp.GradScaler("cuda", ...)``."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        _old("GradScaler")
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


def custom_fwd(fwd: Callable | None = None, *, cast_inputs: dtype | None = None) -> Callable:
    """``mlkit.amp.custom_fwd(device_type="cuda")``."""
    _old("custom_fwd")
    return functools.partial(amp.custom_fwd, device_type="cuda", cast_inputs=cast_inputs)(fwd)


def custom_bwd(bwd: Callable | None = None) -> Callable:
    """``mlkit.amp.custom_bwd(device_type="cuda")``."""
    _old("custom_bwd")
    return functools.partial(amp.custom_bwd, device_type="cuda")(bwd)
