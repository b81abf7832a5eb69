"""Activation functions. ``inplace=True`` writes the result into the input's memory."""

from __future__ import annotations

import math
import warnings

from mlkit.core import dtype as dtypes
from mlkit.core import inplace as in_place
from mlkit.core.dispatch import composite, ops
from mlkit.core.errors import DtypeError, ShapeError, StrideError, ValueRangeError
from mlkit.core.rng import default_generator
from mlkit.functional.arguments import check_floating
from mlkit.ops.reduce import canonical_dim


def placed(input, out, inplace: bool, name: str):
    """``out``, or for ``inplace`` the input with its values replaced by it."""
    if not inplace:
        return out
    in_place.check_leaf(input)
    return in_place.update(input, out, name)


# --- rectifiers ---------------------------------------------------------------------------------------------------------


def relu(input, inplace: bool = False):
    """max(input, 0), shape (*) -> (*)."""
    return placed(input, ops.relu(input), inplace, "relu_")


def relu6(input, inplace: bool = False):
    """min(max(input, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def leaky_relu(input, negative_slope: float = 0.01, inplace: bool = False):
    """input where positive, negative_slope * input elsewhere."""
    return placed(input, ops.leaky_relu(input, negative_slope=negative_slope), inplace, "leaky_relu_")


@composite
def prelu(input, weight):
    """input where positive, weight * input elsewhere (He et al. 2015, arXiv:1502.01852).

    weight has one value, or one per channel (axis 1 of input).
    """
    if input._array.dtype != weight._array.dtype:
        a, b = (dtypes.from_numpy_dtype(t._array.dtype).name for t in (input, weight))
        raise DtypeError(f"prelu: Type promoting not supported. Got {a} and {b}.", hint="Convert one of them.")
    shape, rank = tuple(weight._array.shape), input._array.ndim
    count = weight._array.size
    if len(shape) > 1:
        raise ShapeError(f"prelu: expected weight to have 0 or 1 dims, got {shape}.")
    if count != 1:
        channels = input._array.shape[1] if rank > 1 else 1
        if not rank:
            raise ShapeError("prelu: a 0-d input goes with one weight.", f"weight: {shape}")
        if channels != count:
            raise ShapeError(
                f"prelu: the number of weights must be 1 or the number of channels: {count} weights, {channels} channels.",
                f"input: (batch, channel, ...): {tuple(input._array.shape)}\nweight: {shape}",
            )
        weight = ops.reshape(weight, shape=(1, count, *([1] * (rank - 2))) if rank > 1 else (count,))
    elif len(shape):
        weight = ops.reshape(weight, shape=())
    return ops.where(ops.gt(input, 0), input, ops.mul(weight, input))


def rrelu(input, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False):
    """leaky_relu whose slope is drawn for each negative value, uniform on [lower, upper); the mean slope otherwise.

    Xu et al. 2015, arXiv:1505.00853.
    """
    if lower > upper:
        raise StrideError(f"rrelu: the lower bound {lower} is above the upper bound {upper}.")
    if not (math.isfinite(lower) and math.isfinite(upper)):
        raise StrideError(f"rrelu: lower and upper bound must be finite, got {lower} and {upper}.")
    check_floating("rrelu", input)
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    shape = tuple(input._array.shape)
    how = {"dtype": dtypes.from_numpy_dtype(input._array.dtype), "key": default_generator.take(input._array.size)}
    how["device"] = ops.device_of(input)
    slope = ops.uniform(shape=shape, low=float(lower), high=float(upper), **how)
    return placed(input, ops.where(ops.gt(input, 0), input, ops.mul(input, slope)), inplace, "rrelu_")


def threshold(input, threshold: float, value: float, inplace: bool = False):
    """input where it is above ``threshold``, else ``value``."""
    return placed(input, ops.threshold(input, threshold=threshold, value=value), inplace, "threshold_")


# --- smooth ones --------------------------------------------------------------------------------------------------------


def gelu(input, approximate: str = "none"):
    """input * Phi(input); ``approximate="tanh"`` for the tanh form."""
    if approximate not in ("none", "tanh"):
        raise ShapeError(f"gelu: approximate argument must be either none or tanh, got {approximate!r}.")
    return ops.gelu(input, approximate=approximate)


def silu(input, inplace: bool = False):
    """input * sigmoid(input), also called swish."""
    return placed(input, ops.silu(input), inplace, "silu_")


swish = silu


def mish(input, inplace: bool = False):
    """input * tanh(softplus(input))."""
    return placed(input, ops.mish(input), inplace, "mish_")


def elu(input, alpha: float = 1.0, inplace: bool = False):
    """input where positive, alpha * (exp(input) - 1) elsewhere."""
    return placed(input, ops.elu(input, alpha=alpha), inplace, "elu_")


def selu(input, inplace: bool = False):
    """ELU with the scale and alpha that keep mean 0 and variance 1."""
    return placed(input, ops.selu(input), inplace, "selu_")


def celu(input, alpha: float = 1.0, inplace: bool = False):
    """input where positive, alpha * (exp(input / alpha) - 1) elsewhere."""
    if alpha == 0:
        raise ShapeError("celu: alpha cannot be 0: it divides the input.")
    return placed(input, ops.celu(input, alpha=alpha), inplace, "celu_")


def softplus(input, beta: float = 1.0, threshold: float = 20.0):
    """log(1 + exp(beta * input)) / beta; the input itself above ``threshold`` (in beta * input)."""
    return ops.softplus(input, beta=beta, threshold=threshold)


def logsigmoid(input):
    """log(sigmoid(input)), stable."""
    check_floating("logsigmoid", input)
    return ops.log_sigmoid(input)


def softsign(input):
    """input / (1 + |input|)."""
    if input._array.dtype.kind == "c":
        return ops.div(input, ops.add(ops.abs(input), 1))
    return ops.softsign(input)


def tanhshrink(input):
    """input - tanh(input)."""
    return ops.sub(input, ops.tanh(input))


def sigmoid(input):
    """1 / (1 + exp(-input))."""
    return ops.sigmoid(input)


def tanh(input):
    """Hyperbolic tangent."""
    return ops.tanh(input)


# --- hard ones ----------------------------------------------------------------------------------------------------------


def hardtanh(input, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False):
    """input bounded to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueRangeError("min_val cannot be greater than max_val")
    return placed(input, ops.hardtanh(input, min_val=min_val, max_val=max_val), inplace, "hardtanh_")


def hardsigmoid(input, inplace: bool = False):
    """min(max(input + 3, 0), 6) / 6."""
    return placed(input, ops.hardsigmoid(input), inplace, "hardsigmoid_")


def hardswish(input, inplace: bool = False):
    """input * hardsigmoid(input)."""
    return placed(input, ops.hardswish(input), inplace, "hardswish_")


def hardshrink(input, lambd: float = 0.5):
    """input, but 0 where |input| <= lambd."""
    return ops.hardshrink(input, lambd=lambd)


def softshrink(input, lambd: float = 0.5):
    """input brought lambd nearer to zero; 0 where |input| <= lambd."""
    if not lambd >= 0:
        raise ShapeError(f"softshrink: lambda must be greater or equal to 0, but found to be {lambd}.")
    return ops.softshrink(input, lambd=lambd)


# --- along a dim --------------------------------------------------------------------------------------------------------


def _converted(input, dtype):
    return input if dtype is None else ops.cast(input, dtype=dtypes.as_dtype(dtype))


def softmax(input, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    """exp(input) / sum of exp along ``dim``.

    >>> import mlkit
    >>> mlkit.nn.functional.softmax(mlkit.zeros(2), dim=0)
    tensor([0.5000, 0.5000])
    """
    return ops.softmax(_converted(input, dtype), dim=_default_dim("softmax", input, dim))


def softmin(input, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    """softmax of -input along ``dim``."""
    return ops.softmax(_converted(ops.neg(input), dtype), dim=_default_dim("softmin", input, dim))


def log_softmax(input, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    """log of softmax along ``dim``, stable."""
    return ops.log_softmax(_converted(input, dtype), dim=_default_dim("log_softmax", input, dim))


def _default_dim(name, input, dim):
    if dim is None:
        warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Pass dim=X.", stacklevel=3)
        return 0 if input._array.ndim in (0, 1, 3) else 1
    return dim


@composite
def glu(input, dim: int = -1):
    """a * sigmoid(b), where a and b are the halves of input along ``dim`` (Dauphin et al. 2016, arXiv:1612.08083)."""
    check_floating("glu", input)
    if not input._array.ndim:
        raise ShapeError("glu does not support 0-dimensional tensors.")
    dim = canonical_dim("glu", dim, input._array.ndim)
    size = input._array.shape[dim]
    if size % 2:
        raise ShapeError(f"Halving dimension must be even, but dimension {dim} is size {size}.")
    a = ops.narrow(input, dim=dim, start=0, length=size // 2)
    b = ops.narrow(input, dim=dim, start=size // 2, length=size // 2)
    return ops.mul(a, ops.sigmoid(b))


def gumbel_softmax(logits, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1):
    """A sample from the Gumbel-softmax distribution (Jang et al. 2016, arXiv:1611.01144).

    ``hard=True`` gives one-hot vectors whose gradient is that of the soft sample.
    """
    array = logits._array
    how = {"dtype": dtypes.from_numpy_dtype(array.dtype), "key": default_generator.take(array.size)}
    how["device"] = ops.device_of(logits)
    u = ops.uniform(shape=tuple(array.shape), low=1e-30, **how)
    gumbel = ops.neg(ops.log(ops.neg(ops.log(u))))
    soft = ops.softmax(ops.div(ops.add(logits, gumbel), tau), dim=dim)
    if not hard:
        return soft
    best = ops.argmax(soft, dim=dim, keepdim=True)
    one_hot = ops.scatter(ops.zeros_like(soft), best, ops.ones_like(soft), dim=canonical_dim("gumbel", dim, array.ndim))
    return ops.add(ops.sub(one_hot, soft.detach()), soft)


def _written(fn):
    """The form whose name ends in ``_``: always in place."""

    def call(input, *args, **kwargs):
        return fn(input, *args, inplace=True, **kwargs)

    call.__name__ = call.__qualname__ = fn.__name__ + "_"
    call.__doc__ = f"In-place form of {fn.__name__}."
    return call


relu_, elu_, selu_, celu_ = _written(relu), _written(elu), _written(selu), _written(celu)
hardtanh_, leaky_relu_, rrelu_, threshold_ = (
    _written(hardtanh), _written(leaky_relu), _written(rrelu), _written(threshold),
)  # fmt: skip


# --- as torch.* and Tensor.* have them -----------------------------------------------------------------------------------


def plain_softmax(input, dim: int, dtype=None, *, out=None):
    """``nn.functional.softmax``; ``dim`` must be given, the result may be written into ``out``.

    >>> import mlkit
    >>> mlkit.softmax(mlkit.tensor([0.0, 0.0]), 0)
    tensor([0.5000, 0.5000])
    """
    return _given(out, softmax(input, dim, dtype=dtype))


def plain_log_softmax(input, dim: int, dtype=None, *, out=None):
    """``nn.functional.log_softmax``; ``dim`` must be given, the result may be written into ``out``."""
    return _given(out, log_softmax(input, dim, dtype=dtype))


def _given(out, fresh):
    from mlkit.functional.public import check_out, write_out

    if out is None:
        return fresh
    check_out("softmax", out, fresh, ())
    return write_out("softmax", out, fresh)


plain_softmax.__name__, plain_log_softmax.__name__ = "softmax", "log_softmax"
