"""Activations as layers. ``inplace=True`` writes the result into the input's memory."""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError
from mlkit.functional import activation
from mlkit.functional.creation import empty
from mlkit.nn import init
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter


def _also(text: str, inplace: bool) -> str:
    """A layer's text with its in-place mark."""
    return text + (", " if text and inplace else "") + ("inplace=True" if inplace else "")


class _InPlace(Module):
    """An activation whose only option is where the result goes."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return _also("", self.inplace)


class ReLU(_InPlace):
    """max(input, 0): (*) -> (*).

    >>> import mlkit
    >>> mlkit.nn.ReLU()(mlkit.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, input):
        return activation.relu(input, self.inplace)


class SiLU(_InPlace):
    """input * sigmoid(input), also called swish (Elfwing et al. 2017, arXiv:1702.03118)."""

    def forward(self, input):
        return activation.silu(input, self.inplace)


class Mish(_InPlace):
    """input * tanh(softplus(input)) (Misra 2019, arXiv:1908.08681)."""

    def forward(self, input):
        return activation.mish(input, self.inplace)


class SELU(_InPlace):
    """Scaled ELU that keeps mean 0 and variance 1 (Klambauer et al. 2017, arXiv:1706.02515)."""

    def forward(self, input):
        return activation.selu(input, self.inplace)


class _Quiet(_InPlace):
    def extra_repr(self) -> str:
        return ""


class Hardsigmoid(_Quiet):
    """min(max(input + 3, 0), 6) / 6."""

    def forward(self, input):
        return activation.hardsigmoid(input, self.inplace)


class Hardswish(_Quiet):
    """input * hardsigmoid(input) (Howard et al. 2019, arXiv:1905.02244)."""

    def forward(self, input):
        return activation.hardswish(input, self.inplace)


class Hardtanh(Module):
    """input bounded to [min_val, max_val]; raises ValueError unless min_val < max_val."""

    def __init__(
        self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False, min_value=None, max_value=None
    ):
        super().__init__()
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if self.max_val <= self.min_val:
            raise AssertionError("max_val must be larger than min_val")

    def forward(self, input):
        return activation.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return _also(f"min_val={self.min_val}, max_val={self.max_val}", self.inplace)


class ReLU6(Hardtanh):
    """min(max(input, 0), 6)."""

    def __init__(self, inplace: bool = False):
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return _also("", self.inplace)


class RReLU(Module):
    """leaky_relu with a slope drawn for each negative value while training, the mean slope in evaluation."""

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False):
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input):
        return activation.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return _also(f"lower={self.lower}, upper={self.upper}", self.inplace)


class Threshold(Module):
    """input where it is above ``threshold``, else ``value``."""

    def __init__(self, threshold: float, value: float, inplace: bool = False):
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input):
        return activation.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return _also(f"threshold={self.threshold}, value={self.value}", self.inplace)


class LeakyReLU(Module):
    """input where positive, negative_slope * input elsewhere."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input):
        return activation.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return _also(f"negative_slope={self.negative_slope}", self.inplace)


class ELU(Module):
    """input where positive, alpha * (exp(input) - 1) elsewhere."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input):
        return activation.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return _also(f"alpha={self.alpha}", self.inplace)


class CELU(Module):
    """input where positive, alpha * (exp(input / alpha) - 1) elsewhere."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input):
        return activation.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return _also(f"alpha={self.alpha}", self.inplace)


class GELU(Module):
    """input * Phi(input), Phi the normal distribution function; ``approximate`` "none" or "tanh"."""

    def __init__(self, approximate: str = "none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, input):
        return activation.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class PReLU(Module):
    """input where positive, weight * input elsewhere; weight is learned, one value or one per channel (axis 1)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device=None, dtype=None):
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.constant_(self.weight, self.init)

    def forward(self, input):
        return activation.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Softplus(Module):
    """log(1 + exp(beta * input)) / beta."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input):
        return activation.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Hardshrink(Module):
    """input, but 0 where |input| <= lambd."""

    def __init__(self, lambd: float = 0.5):
        super().__init__()
        self.lambd = lambd

    def forward(self, input):
        return activation.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Softshrink(Module):
    """input brought lambd nearer to zero; 0 where |input| <= lambd."""

    def __init__(self, lambd: float = 0.5):
        super().__init__()
        self.lambd = lambd

    def forward(self, input):
        return activation.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Sigmoid(Module):
    """1 / (1 + exp(-input))."""

    def forward(self, input):
        return activation.sigmoid(input)


class LogSigmoid(Module):
    """log(sigmoid(input)), stable."""

    def forward(self, input):
        return activation.logsigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, input):
        return activation.tanh(input)


class Tanhshrink(Module):
    """input - tanh(input)."""

    def forward(self, input):
        return activation.tanhshrink(input)


class Softsign(Module):
    """input / (1 + |input|)."""

    def forward(self, input):
        return activation.softsign(input)


class _AlongDim(Module):
    def __init__(self, dim: int | None = None):
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """exp(input) / sum of exp along ``dim``."""

    def forward(self, input):
        return activation.softmax(input, self.dim)


class Softmin(_AlongDim):
    """softmax of -input along ``dim``."""

    def forward(self, input):
        return activation.softmin(input, self.dim)


class LogSoftmax(_AlongDim):
    """log of softmax along ``dim``."""

    def forward(self, input):
        return activation.log_softmax(input, self.dim)


class Softmax2d(Module):
    """softmax over the channels at each place of (N, C, H, W) or (C, H, W)."""

    def forward(self, input):
        if input.ndim not in (3, 4):
            raise ValueRangeError(f"Softmax2d: expected input to be 3D or 4D (got {input.ndim}D instead)")
        return activation.softmax(input, -3)


class GLU(Module):
    """a * sigmoid(b), a and b being the halves of input along ``dim``."""

    def __init__(self, dim: int = -1):
        super().__init__()
        self.dim = dim

    def forward(self, input):
        return activation.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
