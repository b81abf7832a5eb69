"""Initial values for parameters, in place and without history.

Glorot & Bengio 2010 (xavier), He et al. 2015, arXiv:1502.01852 (kaiming).
"""

from __future__ import annotations

import math
import warnings

from mlkit.autograd.grad_mode import no_grad
from mlkit.core.errors import ValueRangeError
from mlkit.functional.random import randn


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps variance through that activation.

    >>> from mlkit.nn import init
    >>> round(init.calculate_gain("relu"), 4)
    1.4142
    """
    linear = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
    if nonlinearity in linear or nonlinearity == "sigmoid":
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ValueRangeError(f"negative_slope {param} not a valid number")
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueRangeError(f"Unsupported nonlinearity {nonlinearity}.")


def _calculate_fan_in_and_fan_out(tensor) -> tuple[int, int]:
    if tensor.dim() < 2:
        raise ValueRangeError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


@no_grad()
def uniform_(tensor, a: float = 0.0, b: float = 1.0, generator=None):
    """Numbers uniform on [a, b)."""
    return tensor.uniform_(a, b, generator=generator)


@no_grad()
def normal_(tensor, mean: float = 0.0, std: float = 1.0, generator=None):
    """Numbers from a normal distribution."""
    return tensor.normal_(mean, std, generator=generator)


@no_grad()
def trunc_normal_(tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator=None):
    """A normal distribution cut to [a, b]: values outside are drawn again."""
    if tensor.is_meta:
        return tensor
    fresh = randn(*tensor.shape, generator=generator, dtype=tensor.dtype, device=tensor.device) * std + mean
    for _ in range(200):
        outside = (fresh < a) | (fresh > b)
        if not bool(outside.any()):
            break
        again = randn(*tensor.shape, generator=generator, dtype=tensor.dtype, device=tensor.device) * std + mean
        fresh = again.where(outside, fresh)
    return tensor.copy_(fresh.clamp(a, b))


@no_grad()
def constant_(tensor, val: float):
    """``val`` everywhere."""
    return tensor.fill_(val)


def zeros_(tensor):
    """Zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor):
    """Ones."""
    return constant_(tensor, 1.0)


@no_grad()
def eye_(tensor):
    """The identity matrix."""
    from mlkit.functional.creation import eye

    if tensor.dim() != 2:
        raise ValueRangeError(f"Only tensors with 2 dimensions are supported, got {tuple(tensor.shape)}.")
    return tensor.copy_(eye(*tensor.shape, dtype=tensor.dtype))


@no_grad()
def dirac_(tensor, groups: int = 1):
    """A convolution weight that passes its input on: each output channel sees the middle of its own input channel."""
    if tensor.dim() not in (3, 4, 5):
        raise ValueRangeError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.shape[0] % groups:
        raise ValueRangeError("dim 0 must be divisible by groups")
    each = tensor.shape[0] // groups
    tensor.zero_()
    middle = tuple(n // 2 for n in tensor.shape[2:])
    for group in range(groups):
        for i in range(min(each, tensor.shape[1])):
            tensor[(group * each + i, i, *middle)] = 1
    return tensor


@no_grad()
def orthogonal_(tensor, gain: float = 1, generator=None):
    """Rows (or columns, if there are more rows) of length ``gain`` at right angles (Saxe et al. 2013, arXiv:1312.6120)."""
    from mlkit.core import backend as backends
    from mlkit.core.value import wrap

    if tensor.dim() < 2:
        raise ValueRangeError("Only tensors with 2 or more dimensions are supported")
    if not tensor.numel() or tensor.is_meta:
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    flat = randn(rows, columns, generator=generator, dtype=tensor.dtype, device=tensor.device)
    if rows < columns:
        flat = flat.T
    xp = backends.for_array(flat._array).m.xp
    q, r = xp.linalg.qr(flat._array)
    q = q * xp.sign(xp.diagonal(r))  # the sign that makes the distribution uniform
    q = (q.T if rows < columns else q) * gain
    return tensor.copy_(wrap(q.reshape(tuple(tensor.shape)).astype(q.dtype)))


@no_grad()
def sparse_(tensor, sparsity: float, std: float = 0.01, generator=None):
    """A normal distribution with the share ``sparsity`` of each column at zero (Martens, ICML 2010)."""
    from mlkit.functional.random import randperm

    if tensor.dim() != 2:
        raise ValueRangeError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    tensor.normal_(0, std, generator=generator)
    for column in range(columns):
        gone = randperm(rows, generator=generator, device=tensor.device)[: math.ceil(sparsity * rows)]
        tensor[gone, column] = 0
    return tensor


def xavier_uniform_(tensor, gain: float = 1.0, generator=None):
    """Uniform with variance 2 gain^2 / (fan_in + fan_out)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    bound = gain * math.sqrt(6.0 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor, gain: float = 1.0, generator=None):
    """Normal with variance 2 gain^2 / (fan_in + fan_out)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator)


def _kaiming_std(tensor, a, mode, nonlinearity) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueRangeError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out'].")
    fan = _calculate_fan_in_and_fan_out(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator=None):
    """Uniform with variance gain^2 / fan."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator=None):
    """Normal with variance gain^2 / fan."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


@no_grad()
def default_linear_(weight, bias=None) -> None:
    """PyTorch's start for linear and convolution layers: uniform within 1 / sqrt(fan_in)."""
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in, _ = _calculate_fan_in_and_fan_out(weight)
        bound = 1 / math.sqrt(fan_in) if fan_in else 0
        uniform_(bias, -bound, bound)


def _old_name(fn):
    """PyTorch's old name, without the underscore."""

    def call(*args, **kwargs):
        warnings.warn(
            f"`nn.init.{fn.__name__[:-1]}` is now deprecated in favor of `nn.init.{fn.__name__}`.",
            FutureWarning,
            stacklevel=2,
        )
        return fn(*args, **kwargs)

    call.__name__ = call.__qualname__ = fn.__name__[:-1]
    call.__doc__ = f"{fn.__name__} under its old name."
    return call


uniform, normal, constant, eye, dirac = map(_old_name, (uniform_, normal_, constant_, eye_, dirac_))
xavier_uniform, xavier_normal, kaiming_uniform = map(_old_name, (xavier_uniform_, xavier_normal_, kaiming_uniform_))
kaiming_normal, orthogonal, sparse = map(_old_name, (kaiming_normal_, orthogonal_, sparse_))
