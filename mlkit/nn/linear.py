"""Linear layers and the layers that only reshape."""

from __future__ import annotations

import math

from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.functional import linear, shaping
from mlkit.functional.creation import empty
from mlkit.nn import init
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter


class Identity(Module):
    """Gives back its input; any arguments are accepted and ignored."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, input):
        return input


class Linear(Module):
    """input @ weight.T + bias: (*, in_features) -> (*, out_features).

    Args:
        in_features: size of the last axis of the input.
        out_features: size of the last axis of the output.
        bias: add a learned bias.

    Parameters: weight (out_features, in_features), bias (out_features), both uniform within 1 / sqrt(in_features).

    >>> import mlkit
    >>> mlkit.nn.Linear(20, 30)(mlkit.randn(128, 20)).shape
    mlkit.Size([128, 30])
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device=None, dtype=None):
        super().__init__()
        if in_features < 0 or out_features < 0:
            raise ValueRangeError(f"Linear: sizes must not be negative, got {in_features} and {out_features}.")
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.default_linear_(self.weight, self.bias)

    def forward(self, input):
        own = self._parameters
        if self._as_registered and "weight" in own and "bias" in own:
            return linear.linear(input, own["weight"], own["bias"])
        return linear.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class NonDynamicallyQuantizableLinear(Linear):
    """Linear under the name that PyTorch's attention uses for its last layer."""


class Bilinear(Module):
    """input1 @ weight[o] @ input2 + bias: (*, in1_features), (*, in2_features) -> (*, out_features).

    Parameters: weight (out_features, in1_features, in2_features), bias (out_features), uniform within
    1 / sqrt(in1_features).
    """

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, device=None, dtype=None
    ):
        super().__init__()
        if in1_features <= 0:
            raise ValueRangeError(f"in1_features must be > 0, but got {in1_features}")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in1_features, in2_features, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.weight.shape[1])
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1, input2):
        return linear.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Flatten(Module):
    """Dims start_dim .. end_dim as one; by default all but the batch axis.

    >>> import mlkit
    >>> mlkit.nn.Flatten()(mlkit.zeros(32, 1, 28, 28)).shape
    mlkit.Size([32, 784])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input):
        return shaping.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One dim as several: ``unflattened_size`` is a tuple, or for named tensors pairs of name and size."""

    def __init__(self, dim, unflattened_size):
        super().__init__()
        if isinstance(dim, int):
            if not isinstance(unflattened_size, tuple) or not all(isinstance(n, int) for n in unflattened_size):
                raise ArgumentError(
                    f"unflattened_size must be tuple of ints, but found type {type(unflattened_size).__name__}"
                )
        else:
            raise ArgumentError(f"Unflatten: dim must be an integer, got {type(dim).__name__}.")
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input):
        return shaping.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
