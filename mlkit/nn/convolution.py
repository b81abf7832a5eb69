"""Convolution layers."""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError
from mlkit.functional import neural
from mlkit.functional.creation import empty
from mlkit.functional.neural import tuple_of
from mlkit.nn import init
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter


class _Convolution(Module):
    n: int  # spatial dims

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ):
        super().__init__()
        if groups <= 0:
            raise ValueRangeError("groups must be a positive integer")
        for label, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueRangeError(f"{label} must be divisible by groups", f"{label}={channels}, groups={groups}")
        if padding_mode != "zeros":
            raise ValueRangeError(f"padding_mode must be 'zeros', but got padding_mode={padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = tuple_of(kernel_size, self.n, "kernel_size")
        self.stride = tuple_of(stride, self.n, "stride")
        self.padding = padding if isinstance(padding, str) else tuple_of(padding, self.n, "padding")
        self.dilation = tuple_of(dilation, self.n, "dilation")
        self.groups = groups
        self.padding_mode = padding_mode
        neural.conv_padding(self.padding, self.kernel_size, self.stride, self.dilation, self.n)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(empty(*shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.default_linear_(self.weight, self.bias)

    def forward(self, input):
        convolve = (neural.conv1d, neural.conv2d, neural.conv3d)[self.n - 1]
        return convolve(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding not in ((0,) * self.n, "valid"):
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.n:
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text + (", bias=False" if self.bias is None else "")


class Conv1d(_Convolution):
    """Convolution over (N, C, L) -> (N, O, L')."""

    n = 1


class Conv2d(_Convolution):
    """Convolution over images: (N, in_channels, H, W) -> (N, out_channels, H', W').

    Args:
        in_channels, out_channels: channels of input and output.
        kernel_size, stride, dilation: one number, or (height, width).
        padding: zeros at each side: a number, (height, width), "same" or "valid".
        groups: channels are convolved in that many independent groups.
        bias: add a learned bias per output channel.

    H' = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1.

    Parameters: weight (out_channels, in_channels / groups, KH, KW), bias (out_channels).

    >>> import mlkit
    >>> mlkit.nn.Conv2d(3, 8, 3, padding=1)(mlkit.randn(2, 3, 10, 10)).shape
    mlkit.Size([2, 8, 10, 10])
    """

    n = 2


class Conv3d(_Convolution):
    """Convolution over (N, C, D, H, W) -> (N, O, D', H', W')."""

    n = 3
