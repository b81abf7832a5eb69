"""``DataParallel`` with one device is the module itself, one name deeper."""

from __future__ import annotations

from typing import Any

from mlkit.core.absent import MissingName
from mlkit.nn import Module

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]


class DataParallel(Module):
    """Runs the module on one device. Its state_dict has PyTorch's keys, ``module.`` in front.

    Args:
        module: What to run.
        device_ids, output_device, dim: Accepted for PyTorch's sake.
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0):
        super().__init__()
        self.module = module
        self.device_ids = list(device_ids) if device_ids is not None else []
        self.output_device = output_device
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Any = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: Any = None,
) -> Any:
    """``module(*inputs)`` on one device."""
    return module(*(inputs if isinstance(inputs, tuple) else (inputs,)), **(module_kwargs or {}))


class DistributedDataParallel(Module):
    """Raises: several processes cannot train together in this version."""

    def __init__(self, module: Module, *args: Any, **options: Any):
        raise MissingName(
            "nn.parallel.DistributedDataParallel is not in this version of mlkit.",
            "One process trains.",
            "Use the module itself, or nn.DataParallel, which runs it on one device.",
        )
