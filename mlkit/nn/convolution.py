"""Convolution layers, their transposes, and windows as columns."""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError
from mlkit.functional import convolution
from mlkit.functional.arguments import tuple_of
from mlkit.functional.creation import empty
from mlkit.functional.padding import pad
from mlkit.nn import init
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """Shared by both directions: arguments, parameters and text."""

    n: int  # spatial dims
    transposed = False

    def _configure(self, ins, outs, kernel_size, stride, padding, output_padding, dilation, groups, bias, mode, how):
        if groups <= 0:
            raise ValueRangeError("groups must be a positive integer")
        for label, channels in (("in_channels", ins), ("out_channels", outs)):
            if channels % groups:
                raise ValueRangeError(f"{label} must be divisible by groups", f"{label}={channels}, groups={groups}")
        if mode not in _PADDING_MODES:
            raise ValueRangeError(f"padding_mode must be one of {_PADDING_MODES}, but got padding_mode={mode!r}")
        self.in_channels = ins
        self.out_channels = outs
        self.kernel_size = tuple_of(kernel_size, self.n, "kernel_size")
        self.stride = tuple_of(stride, self.n, "stride")
        self.padding = padding if isinstance(padding, str) else tuple_of(padding, self.n, "padding")
        self.dilation = tuple_of(dilation, self.n, "dilation")
        self.output_padding = tuple_of(output_padding, self.n, "output_padding")
        self.groups = groups
        self.padding_mode = mode
        channels = (ins, outs // groups) if self.transposed else (outs, ins // groups)
        self.weight = Parameter(empty(*channels, *self.kernel_size, **how))
        if bias:
            self.bias = Parameter(empty(outs, **how))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.default_linear_(self.weight, self.bias)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self.n:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.n:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * self.n:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text + (f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "")


class _Convolution(_ConvNd):
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
        how = {"device": device, "dtype": dtype}
        self._configure(
            in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias, padding_mode, how
        )  # fmt: skip
        pairs = convolution.conv_padding(self.padding, self.kernel_size, self.stride, self.dilation, self.n)
        #: the widths of the padding as functional.pad takes them, from the last dim backwards
        self._reversed_padding_repeated_twice = [width for pair in reversed(pairs) for width in pair]

    def forward(self, input):
        convolve = (convolution.conv1d, convolution.conv2d, convolution.conv3d)[self.n - 1]
        own = self._parameters
        if self._as_registered and "weight" in own and "bias" in own:
            weight, bias = own["weight"], own["bias"]
        else:
            weight, bias = self.weight, self.bias
        if self.padding_mode == "zeros":
            return convolve(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        input = pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        return convolve(input, weight, bias, self.stride, 0, self.dilation, self.groups)


class Conv1d(_Convolution):
    """Convolution over (N, C, L) -> (N, O, L'); arguments as in Conv2d."""

    n = 1


class Conv2d(_Convolution):
    """Convolution over images: (N, in_channels, H, W) -> (N, out_channels, H', W').

    Args:
        in_channels, out_channels: channels of input and output.
        kernel_size, stride, dilation: one number, or (height, width).
        padding: at each side: a number, (height, width), "same" or "valid".
        groups: channels are convolved in that many independent groups.
        bias: add a learned bias per output channel.
        padding_mode: what the padding holds: "zeros", "reflect", "replicate" or "circular".

    H' = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1.

    Parameters: weight (out_channels, in_channels / groups, KH, KW), bias (out_channels), both uniform within
    1 / sqrt(in_channels / groups * KH * KW).

    >>> import mlkit
    >>> mlkit.nn.Conv2d(3, 8, 3, padding=1)(mlkit.randn(2, 3, 10, 10)).shape
    mlkit.Size([2, 8, 10, 10])
    """

    n = 2


class Conv3d(_Convolution):
    """Convolution over (N, C, D, H, W) -> (N, O, D', H', W'); arguments as in Conv2d."""

    n = 3


class _ConvTranspose(_ConvNd):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups: int = 1,
        bias: bool = True,
        dilation=1,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ):
        super().__init__()
        if padding_mode != "zeros":
            raise ValueRangeError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        how = {"device": device, "dtype": dtype}
        self._configure(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation, groups, bias, padding_mode,
            how,
        )  # fmt: skip

    def _output_padding(self, input, output_size):
        """The output padding that gives ``output_size``, which the other arguments leave open by one stride."""
        if output_size is None:
            return self.output_padding
        sizes = list(output_size)[-self.n :]
        if len(output_size) not in (self.n, input.ndim):
            raise ValueRangeError(
                f"ConvTranspose{self.n}D: for {input.ndim}D input, output_size must have {self.n} or {input.ndim} elements "
                f"(got {len(output_size)})"
            )
        found = []
        spatial = zip(
            sizes, input.shape[-self.n :], self.kernel_size, self.stride, self.padding, self.dilation, strict=True
        )
        for size, own, k, s, p, d in spatial:
            least = (own - 1) * s - 2 * p + d * (k - 1) + 1
            if not least <= size < least + s:
                raise ValueRangeError(
                    f"requested an output size of {sizes}, but valid sizes along that dim range from {least} to "
                    f"{least + s - 1} (for an input of {tuple(input.shape)})"
                )
            found.append(size - least)
        return tuple(found)

    def forward(self, input, output_size=None):
        transposed = (convolution.conv_transpose1d, convolution.conv_transpose2d, convolution.conv_transpose3d)
        extra = self._output_padding(input, output_size)
        how = (self.stride, self.padding, extra, self.groups, self.dilation)
        return transposed[self.n - 1](input, self.weight, self.bias, *how)


class ConvTranspose1d(_ConvTranspose):
    """The transpose of Conv1d: (N, C, L) -> (N, O, L')."""

    n = 1


class ConvTranspose2d(_ConvTranspose):
    """The transpose of Conv2d, often called deconvolution: (N, in_channels, H, W) -> (N, out_channels, H', W').

    H' = (H - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1; ``output_size`` at the call
    picks among the sizes that a stride leaves open.

    Parameters: weight (in_channels, out_channels / groups, KH, KW), bias (out_channels).

    >>> import mlkit
    >>> mlkit.nn.ConvTranspose2d(4, 2, 2, stride=2)(mlkit.randn(1, 4, 5, 5)).shape
    mlkit.Size([1, 2, 10, 10])
    """

    n = 2


class ConvTranspose3d(_ConvTranspose):
    """The transpose of Conv3d: (N, C, D, H, W) -> (N, O, D', H', W')."""

    n = 3


class Unfold(Module):
    """The windows of images as columns: (N, C, H, W) -> (N, C * KH * KW, windows)."""

    def __init__(self, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input):
        return convolution.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """Columns added back into images: (N, C * KH * KW, windows) -> (N, C, *output_size)."""

    def __init__(self, output_size, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input):
        return convolution.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
