"""Pooling layers."""

from __future__ import annotations

from mlkit.functional import neural
from mlkit.nn.module import Module


class _MaxPool(Module):
    n: int

    def __init__(
        self, kernel_size, stride=None, padding=0, dilation=1, return_indices: bool = False, ceil_mode: bool = False
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input):
        pool = (neural.max_pool1d, neural.max_pool2d, neural.max_pool3d)[self.n - 1]
        how = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)
        return pool(input, *how)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest value in each window over (N, C, L)."""

    n = 1


class MaxPool2d(_MaxPool):
    """The largest value in each window over (N, C, H, W).

    >>> import mlkit
    >>> mlkit.nn.MaxPool2d(2)(mlkit.zeros(1, 1, 6, 6)).shape
    mlkit.Size([1, 1, 3, 3])
    """

    n = 2


class MaxPool3d(_MaxPool):
    """The largest value in each window over (N, C, D, H, W)."""

    n = 3


class _AvgPool(Module):
    n: int

    def __init__(
        self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input):
        how = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        if self.n == 1:
            return neural.avg_pool1d(input, *how)
        return (neural.avg_pool2d if self.n == 2 else neural.avg_pool3d)(input, *how, self.divisor_override)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window over (N, C, L)."""

    n = 1


class AvgPool2d(_AvgPool):
    """The mean of each window over (N, C, H, W)."""

    n = 2


class AvgPool3d(_AvgPool):
    """The mean of each window over (N, C, D, H, W)."""

    n = 3
