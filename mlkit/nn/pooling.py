"""Pooling layers."""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError
from mlkit.functional import pooling
from mlkit.functional.arguments import tuple_of
from mlkit.nn.module import Module


class _Pool(Module):
    """Base: ``n`` spatial dims, ``named`` the attributes in the layer's text."""

    n: int
    named: tuple[str, ...] = ()

    def _call(self, family: str, *args):
        return getattr(pooling, f"{family}{self.n}d")(*args)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.named)


class _MaxPool(_Pool):
    named = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

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
        how = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)
        return self._call("max_pool", input, *how)


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


class _MaxUnpool(_Pool):
    named = ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        self.kernel_size = tuple_of(kernel_size, self.n, "kernel_size")
        self.stride = tuple_of(kernel_size if stride is None else stride, self.n, "stride")
        self.padding = tuple_of(padding, self.n, "padding")

    def forward(self, input, indices, output_size=None):
        return self._call("max_unpool", input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool1d(_MaxUnpool):
    """Maxima put back where MaxPool1d(return_indices=True) took them, zeros elsewhere."""

    n = 1


class MaxUnpool2d(_MaxUnpool):
    """Maxima put back where MaxPool2d(return_indices=True) took them, zeros elsewhere.

    >>> import mlkit
    >>> x = mlkit.arange(4.0).reshape(1, 1, 2, 2)
    >>> mlkit.nn.MaxUnpool2d(2)(*mlkit.nn.MaxPool2d(2, return_indices=True)(x))
    tensor([[[[0., 0.],
              [0., 3.]]]])
    """

    n = 2


class MaxUnpool3d(_MaxUnpool):
    """Maxima put back where MaxPool3d(return_indices=True) took them, zeros elsewhere."""

    n = 3


class _AvgPool(_Pool):
    named = ("kernel_size", "stride", "padding")

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
        return self._call("avg_pool", input, *how, self.divisor_override)


class AvgPool1d(_AvgPool):
    """The mean of each window over (N, C, L)."""

    n = 1

    def __init__(
        self, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True
    ):  # no divisor_override
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        for name in ("kernel_size", "stride", "padding"):
            setattr(self, name, tuple_of(getattr(self, name), 1, name))
        del self.divisor_override

    def forward(self, input):
        how = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return self._call("avg_pool", input, *how)


class AvgPool2d(_AvgPool):
    """The mean of each window over (N, C, H, W); ``divisor_override`` divides the sums instead of the count."""

    n = 2


class AvgPool3d(_AvgPool):
    """The mean of each window over (N, C, D, H, W); ``divisor_override`` divides the sums instead of the count."""

    n = 3


class _LPPool(_Pool):
    named = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(self, norm_type: float, kernel_size, stride=None, ceil_mode: bool = False):
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input):
        how = (float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)
        return self._call("lp_pool", input, *how)


class LPPool1d(_LPPool):
    """The p-norm of each window over (N, C, L)."""

    n = 1


class LPPool2d(_LPPool):
    """The p-norm of each window over (N, C, H, W)."""

    n = 2


class LPPool3d(_LPPool):
    """The p-norm of each window over (N, C, D, H, W)."""

    n = 3


class _AdaptiveAvgPool(_Pool):
    named = ("output_size",)

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def forward(self, input):
        return self._call("adaptive_avg_pool", input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of ``output_size`` even windows over (N, C, L)."""

    n = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of even windows over (N, C, H, W); None keeps a size.

    >>> import mlkit
    >>> mlkit.nn.AdaptiveAvgPool2d((1, 1))(mlkit.zeros(2, 8, 7, 7)).shape
    mlkit.Size([2, 8, 1, 1])
    """

    n = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The means of even windows over (N, C, D, H, W)."""

    n = 3


class _AdaptiveMaxPool(_Pool):
    named = ("output_size",)

    def __init__(self, output_size, return_indices: bool = False):
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input):
        return self._call("adaptive_max_pool", input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest values of ``output_size`` even windows over (N, C, L)."""

    n = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest values of even windows over (N, C, H, W)."""

    n = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest values of even windows over (N, C, D, H, W)."""

    n = 3


class _FractionalMaxPool(_Pool):
    def __init__(
        self, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None
    ):
        super().__init__()
        if output_size is None and output_ratio is None:
            raise ValueRangeError(
                f"{type(self).__name__} requires specifying either an output size, or a pooling ratio"
            )
        if output_size is not None and output_ratio is not None:
            raise ValueRangeError("only one of output_size and output_ratio may be specified")
        self.kernel_size = tuple_of(kernel_size, self.n, "kernel_size")
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else tuple_of(output_size, self.n, "output_size")
        ratio = None
        if output_ratio is not None:
            ratio = (output_ratio,) * self.n if isinstance(output_ratio, (int, float)) else tuple(output_ratio)
            if not all(0 < r < 1 for r in ratio):
                raise ValueRangeError(f"output_ratio must be between 0 and 1 (got {output_ratio})")
        self.output_ratio = ratio

    def forward(self, input):
        how = (self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples)
        return self._call("fractional_max_pool", input, *how)


class FractionalMaxPool2d(_FractionalMaxPool):
    """The largest value of windows at random places over (N, C, H, W) (Graham 2014, arXiv:1412.6071)."""

    n = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """The largest value of windows at random places over (N, C, D, H, W)."""

    n = 3
