"""The functions of neural networks: layers without their parameters, activations, losses."""

from __future__ import annotations

from mlkit.core import config
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import composite, ops
from mlkit.core.errors import ArgumentError, DtypeError, ShapeError, ValueRangeError
from mlkit.core.rng import default_generator
from mlkit.core.value import LevelArray, MetaArray, Value
from mlkit.functional.shaping import unsqueeze


def tuple_of(value, n: int, name: str) -> tuple[int, ...]:
    """``value`` once per spatial dim."""
    if isinstance(value, int):
        return (value,) * n
    value = tuple(value)
    if len(value) == 1:
        return value * n
    if len(value) != n:
        raise ValueRangeError(f"{name}: expected one number or {n}, got {value}.")
    return value


# --- linear and convolution --------------------------------------------------------------------------------------------


def linear(input, weight, bias=None):
    """input @ weight.T + bias: input (*, in), weight (out, in), bias (out) -> (*, out).

    >>> import mlkit
    >>> mlkit.nn.functional.linear(mlkit.ones(2, 3), mlkit.ones(4, 3)).shape
    mlkit.Size([2, 4])
    """
    return ops.linear(input, weight, bias)


def conv_padding(padding, kernel, stride, dilation, n: int):
    """PyTorch's ``padding`` (number, tuple, "same", "valid") as (before, after) pairs."""
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * n
        if padding != "same":
            raise ValueRangeError(f"conv{n}d: padding must be a number, a tuple, 'same' or 'valid', got {padding!r}.")
        if any(s != 1 for s in stride):
            raise ValueRangeError("padding='same' is not supported for strided convolutions.")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((t // 2, t - t // 2) for t in totals)
    return tuple((p, p) for p in tuple_of(padding, n, "padding"))


def _convolution(n, input, weight, bias, stride, padding, dilation, groups):
    stride, dilation = tuple_of(stride, n, "stride"), tuple_of(dilation, n, "dilation")
    how = {"stride": stride, "dilation": dilation, "groups": groups}
    how["padding"] = conv_padding(padding, tuple(weight._array.shape[2:]), stride, dilation, n)
    op = getattr(ops, f"conv{n}d")
    if (
        input._array.ndim == n + 1
        and weight._array.ndim == n + 2
        and input._array.shape[0] == _channels(weight, groups)
    ):
        out = op(unsqueeze(input, 0), weight, bias, **how)
        return ops.reshape(out, shape=tuple(out._array.shape[1:]))
    return op(input, weight, bias, **how)


def _channels(weight, groups):
    return weight._array.shape[1] * groups


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups: int = 1):
    """Convolution: input (N, C, L), weight (O, C/groups, K) -> (N, O, L')."""
    return _convolution(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups: int = 1):
    """Convolution: input (N, C, H, W), weight (O, C/groups, KH, KW) -> (N, O, H', W')."""
    return _convolution(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups: int = 1):
    """Convolution: input (N, C, D, H, W), weight (O, C/groups, KD, KH, KW) -> (N, O, D', H', W')."""
    return _convolution(3, input, weight, bias, stride, padding, dilation, groups)


# --- pooling -----------------------------------------------------------------------------------------------------------------


def _pool_arguments(n, kernel_size, stride, padding):
    kernel = tuple_of(kernel_size, n, "kernel_size")
    stride = kernel if stride is None or stride == () else tuple_of(stride, n, "stride")
    return kernel, stride, tuple_of(padding, n, "padding")


def _batched(n, input, fn):
    """Run ``fn`` on a batch, adding the batch axis for a single example."""
    if input._array.ndim == n + 1:
        out = fn(unsqueeze(input, 0))
        one = lambda t: ops.reshape(t, shape=tuple(t._array.shape[1:]))  # noqa: E731
        return tuple(map(one, out)) if isinstance(out, tuple) else one(out)
    return fn(input)


def _max_pool(n, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    kernel, stride, padding = _pool_arguments(n, kernel_size, stride, padding)
    how = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    how["dilation"] = tuple_of(dilation, n, "dilation")
    values, indices = _batched(n, input, lambda x: getattr(ops, f"max_pool{n}d")(x, **how))
    return (values, indices) if return_indices else values


def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest value in each window over (N, C, L)."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest value in each window over (N, C, H, W)."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest value in each window over (N, C, D, H, W)."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(n, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override=None):
    kernel, stride, padding = _pool_arguments(n, kernel_size, stride, padding)
    how = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    how |= {"count_include_pad": count_include_pad, "divisor_override": divisor_override}
    return _batched(n, input, lambda x: getattr(ops, f"avg_pool{n}d")(x, **how))


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of each window over (N, C, L)."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """The mean of each window over (N, C, H, W)."""
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    """The mean of each window over (N, C, D, H, W)."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


# --- activations ------------------------------------------------------------------------------------------------------------------


def relu(input, inplace: bool = False):
    """max(input, 0)."""
    if inplace:
        return input.relu_()
    return ops.relu(input)


def gelu(input, *, approximate: str = "none"):
    """input * Phi(input); ``approximate="tanh"`` for the tanh form."""
    if approximate not in ("none", "tanh"):
        raise ValueRangeError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}.")
    return ops.gelu(input, approximate=approximate)


def silu(input, inplace: bool = False):
    """input * sigmoid(input)."""
    return ops.silu(input)


def leaky_relu(input, negative_slope: float = 0.01, inplace: bool = False):
    """input where positive, negative_slope * input elsewhere."""
    return ops.leaky_relu(input, negative_slope=negative_slope)


def elu(input, alpha: float = 1.0, inplace: bool = False):
    """input where positive, alpha * (exp(input) - 1) elsewhere."""
    return ops.elu(input, alpha=alpha)


def softplus(input, beta: float = 1.0, threshold: float = 20.0):
    """log(1 + exp(beta * input)) / beta."""
    return ops.softplus(input, beta=beta, threshold=threshold)


def softmax(input, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    """exp(input) / sum of exp along ``dim``.

    >>> import mlkit
    >>> mlkit.nn.functional.softmax(mlkit.zeros(2), dim=0)
    tensor([0.5000, 0.5000])
    """
    if dtype is not None:
        input = ops.cast(input, dtype=dtypes.as_dtype(dtype))
    return ops.softmax(input, dim=_default_dim("softmax", input, dim))


def log_softmax(input, dim: int | None = None, _stacklevel: int = 3, dtype=None):
    """log of softmax along ``dim``, stable."""
    if dtype is not None:
        input = ops.cast(input, dtype=dtypes.as_dtype(dtype))
    return ops.log_softmax(input, dim=_default_dim("log_softmax", input, dim))


def _default_dim(name, input, dim):
    if dim is None:
        import warnings

        warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Pass dim=X.", stacklevel=3)
        return 0 if input._array.ndim in (0, 1, 3) else 1
    return dim


# --- dropout and normalisation -----------------------------------------------------------------------------------------------------


def dropout(input, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Each value zeroed with probability p, the others scaled by 1 / (1 - p); the identity unless training."""
    check_probability(p)
    if not training or p == 0:
        return input
    key = default_generator.take(input._array.size)
    out = ops.dropout(input, p=float(p), key=key)
    return input.copy_(out) if inplace else out


def check_probability(p) -> None:
    if not 0 <= p <= 1:
        raise ValueRangeError(f"dropout probability has to be between 0 and 1, but got {p}.")


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps: float = 1e-5
):
    """Normalisation of each channel over the batch (Ioffe & Szegedy 2015).

    input (N, C, *). In training the batch's own statistics are used and the running ones moved towards them by
    ``momentum``; otherwise the running ones are used.
    """
    if not training:
        if running_mean is None or running_var is None:
            raise ValueRangeError("batch_norm: expected running_mean and running_var to be given when training=False.")
        return ops.batch_norm_eval(input, running_mean, running_var, weight, bias, eps=eps)
    size = input._array.size
    if input._array.ndim >= 2 and input._array.shape[1] and size // input._array.shape[1] <= 1:
        raise ValueRangeError(
            f"Expected more than 1 value per channel when training, got input size {list(input._array.shape)}.",
            hint="Use a larger batch, drop_last=True in the DataLoader, or model.eval().",
        )
    out, mean, var, _ = ops.batch_norm_train(input, weight, bias, eps=eps)
    if running_mean is not None and input._array.__class__ is not MetaArray:
        n = size // input._array.shape[1]
        for running, fresh, scale in ((running_mean, mean, 1.0), (running_var, var, n / (n - 1))):
            if isinstance(fresh._array, LevelArray) or isinstance(running._array, LevelArray):
                running.copy_((running * (1 - momentum) + fresh * (momentum * scale)).detach())
                continue
            into = running._array
            into *= 1 - momentum
            into += (momentum * scale) * fresh._array
            _mutated(running)
    return out


def _mutated(tensor) -> None:
    from mlkit.core.value import mark_mutated

    mark_mutated(tensor)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps: float = 1e-5):
    """Normalisation over the last dims, whose sizes are ``normalized_shape`` (Ba et al. 2016)."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    tail = tuple(input._array.shape[-len(shape) :]) if shape else ()
    if tail != shape:
        raise ShapeError(
            f"layer_norm: given normalized_shape={list(shape)}, expected input with shape [*, "
            f"{', '.join(map(str, shape))}], but got input of size {list(input._array.shape)}."
        )
    return ops.layer_norm(input, weight, bias, dims=len(shape), eps=eps)


# --- embedding --------------------------------------------------------------------------------------------------------------------------


def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    """Rows of weight (count, features) named by input (*) -> (*, features)."""
    if padding_idx is not None and padding_idx < 0:
        padding_idx += weight._array.shape[0]
    return ops.embedding(input, weight, padding_idx=padding_idx)


def one_hot(tensor, num_classes: int = -1):
    """Class numbers (*) as vectors of 0 and 1 (*, num_classes), int64."""
    if tensor._array.dtype.kind not in "iu":
        raise DtypeError("one_hot is only applicable to index tensor of type LongTensor.", hint="Use x.long().")
    from mlkit.core import backend as backends
    from mlkit.core.value import wrap

    array = tensor._array
    xp = backends.for_array(array).m.xp
    if isinstance(array, LevelArray) and num_classes >= 0:
        classes = ops.index_array(range(num_classes), like=tensor)
        return ops.cast(ops.eq(ops.unsqueeze(tensor, -1), classes), dtype=dtypes.int64)
    if num_classes == -1:
        num_classes = int(array.max()) + 1
    if array.size and (int(array.min()) < 0 or int(array.max()) >= num_classes):
        raise ValueRangeError(f"one_hot: class values must be in 0 .. {num_classes - 1}, got {int(array.max())}.")
    return wrap((array[..., None] == xp.arange(num_classes)).astype(xp.int64))


# --- losses -------------------------------------------------------------------------------------------------------------------------------


def reduce(loss, reduction: str):
    """The loss per element, its mean or its sum."""
    if reduction == "mean":
        return ops.mean(loss)
    if reduction == "sum":
        return ops.sum(loss)
    if reduction == "none":
        return loss
    raise ValueRangeError(f"{reduction} is not a valid value for reduction: use 'mean', 'sum' or 'none'.")


def check_same_shape(name: str, input, target) -> None:
    """Refuse a loss between shapes that only agree by broadcasting, which is nearly always a mistake."""
    a, b = tuple(input._array.shape), tuple(target._array.shape)
    if a == b or not config.strict_broadcast:
        return
    hint = (
        f"Give both the same shape, for example target.reshape(input.shape) or {name}(input.expand_as(target), target)."
    )
    if len(a) == len(b) + 1 and a[-1] == 1 and a[:-1] == b:
        hint = "Remove the extra axis of the prediction: input.squeeze(-1)."
    elif len(b) == len(a) + 1 and b[-1] == 1 and b[:-1] == a:
        hint = "Remove the extra axis of the target: target.squeeze(-1)."
    raise ShapeError(
        f"{name}: input and target must have the same shape; broadcasting {a} with {b} would compare every prediction "
        "with every target.",
        f"input:  {a}\ntarget: {b}",
        hint + "\nIf broadcasting is what you want: mlkit.config.strict_broadcast = False.",
    )


@composite
def mse_loss(input, target, size_average=None, reduce_=None, reduction: str = "mean"):
    """The mean of (input - target)**2.

    >>> import mlkit
    >>> mlkit.nn.functional.mse_loss(mlkit.tensor([1.0, 2.0]), mlkit.tensor([1.0, 4.0]))
    tensor(2.)
    """
    check_same_shape("mse_loss", input, target)
    return reduce(ops.square(ops.sub(input, target)), reduction)


@composite
def l1_loss(input, target, size_average=None, reduce_=None, reduction: str = "mean"):
    """The mean of |input - target|."""
    check_same_shape("l1_loss", input, target)
    return reduce(ops.abs(ops.sub(input, target)), reduction)


@composite
def nll_loss(
    input, target, weight=None, size_average=None, ignore_index: int = -100, reduce_=None, reduction: str = "mean"
):
    """The negative of input (log probabilities, (N, C, *)) at each label of target (N, *)."""
    if target._array.dtype.kind not in "iu":
        raise DtypeError(
            f"nll_loss: expected integer class labels, got {dtypes.from_numpy_dtype(target._array.dtype)}.",
            hint="Use target.long().",
        )
    picked = ops.nll_pick(input, target, ignore_index=ignore_index)
    if weight is not None:
        if tuple(weight._array.shape) != (input._array.shape[1 if input._array.ndim > 1 else 0],):
            raise ShapeError(
                f"weight tensor should be defined either for all classes or no classes but got weight tensor of shape: "
                f"{list(weight._array.shape)}.",
                f"input: (batch, class, ...): {tuple(input._array.shape)}",
            )
        safe = ops.where(ops.ne(target, ignore_index), target, ops.zeros_like(target))
        scale = ops.reshape(
            ops.index_select(weight, ops.reshape(safe, shape=(-1,)), dim=0), shape=tuple(target._array.shape)
        )
        scale = ops.mul(scale, ops.cast_like(ops.ne(target, ignore_index), scale))
        loss = ops.mul(ops.neg(picked), scale)
        return ops.div(ops.sum(loss), ops.sum(scale)) if reduction == "mean" else reduce(loss, reduction)
    if reduction == "mean" and target._array.__class__ is not MetaArray:
        counted = ops.sum(ops.ne(target, ignore_index))
        if isinstance(target._array, LevelArray) or int(counted._array) != target._array.size:
            return ops.div(ops.neg(ops.sum(picked)), ops.cast_like(counted, picked))
    return reduce(ops.neg(picked), reduction)


@composite
def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index: int = -100,
    reduce_=None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
):
    """The cross-entropy of softmax(input) against target.

    Args:
        input: scores before softmax, (C), (N, C) or (N, C, *).
        target: class numbers (N, *), or class probabilities of input's shape (floating point).
        weight: one factor per class (C).
        ignore_index: labels that do not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: share of the target given evenly to all classes (Szegedy et al. 2015, arXiv:1512.00567).

    Raises:
        LabelError: a label outside 0 .. C-1.
        ShapeError: shapes that do not fit.

    >>> import mlkit
    >>> mlkit.nn.functional.cross_entropy(mlkit.zeros(2, 4), mlkit.tensor([0, 3]))
    tensor(1.3863)
    """
    if not isinstance(target, Value):
        raise ArgumentError(f"cross_entropy: expected target as a Tensor, got {type(target).__name__}.")
    axis = 1 if input._array.ndim > 1 else 0
    if target._array.dtype.kind in "fV":
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing, axis)
    if target._array.dtype.kind not in "iu":
        raise DtypeError(
            f"cross_entropy: expected integer labels or floating probabilities, got "
            f"{dtypes.from_numpy_dtype(target._array.dtype)}.",
            hint="Use target.long() for class numbers.",
        )
    if label_smoothing < 0 or label_smoothing > 1:
        raise ValueRangeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}.")
    log_p = ops.log_softmax(input, dim=axis)
    plain = nll_loss(log_p, target, weight, ignore_index=ignore_index, reduction=reduction)
    if label_smoothing == 0:
        return plain
    classes = input._array.shape[axis]
    counted = ops.cast_like(ops.ne(target, ignore_index), log_p)
    spread = log_p
    if weight is not None:
        spread = ops.mul(spread, ops.reshape(weight, shape=_wide(classes, input._array.ndim)))
    smooth = ops.mul(ops.neg(ops.sum(spread, dim=axis)), counted)
    if reduction == "mean":
        if weight is None:
            total = ops.sum(counted)
        else:
            safe = ops.where(ops.ne(target, ignore_index), target, ops.zeros_like(target))
            picked = ops.index_select(weight, ops.reshape(safe, shape=(-1,)), dim=0)
            total = ops.sum(ops.mul(picked, ops.reshape(counted, shape=(-1,))))
        smooth = ops.div(ops.sum(smooth), total)
    else:
        smooth = reduce(smooth, reduction)
    return ops.add(ops.mul(plain, 1 - label_smoothing), ops.mul(smooth, label_smoothing / classes))


def _wide(classes, rank):
    return (classes,) if rank == 1 else (1, classes, *([1] * (rank - 2)))


def _soft_cross_entropy(input, target, weight, reduction, label_smoothing, axis):
    if tuple(target._array.shape) != tuple(input._array.shape):
        hint = "For class numbers use integers: target.long()."
        raise ShapeError(
            "cross_entropy: class probabilities must have the shape of input.",
            f"input:  {tuple(input._array.shape)}\ntarget: {tuple(target._array.shape)} (floating point)",
            hint,
        )
    classes = input._array.shape[axis]
    if label_smoothing:
        target = ops.add(ops.mul(target, 1 - label_smoothing), label_smoothing / classes)
    terms = ops.mul(ops.log_softmax(input, dim=axis), target)
    if weight is not None:
        terms = ops.mul(terms, ops.reshape(weight, shape=_wide(classes, input._array.ndim)))
    loss = ops.neg(ops.sum(terms, dim=axis))
    return reduce(loss, reduction)


@composite
def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce_=None, reduction: str = "mean", pos_weight=None
):
    """The cross-entropy of sigmoid(input) against target in [0, 1], stable for large |input|."""
    if tuple(input._array.shape) != tuple(target._array.shape):
        raise ValueRangeError(
            f"Target size ({list(target._array.shape)}) must be the same as input size ({list(input._array.shape)})."
        )
    if pos_weight is None:
        loss = ops.sub(ops.softplus(input, threshold=1e30), ops.mul(input, target))
    else:
        log_weight = ops.add(ops.mul(ops.sub(pos_weight, 1), target), 1)
        tail = ops.mul(log_weight, ops.neg(ops.log_sigmoid(input)))
        loss = ops.add(ops.mul(ops.sub(1, target), input), tail)
    if weight is not None:
        loss = ops.mul(loss, weight)
    return reduce(loss, reduction)


def normalize(input, p: float = 2.0, dim: int = 1, eps: float = 1e-12):
    """input divided by its p-norm along ``dim``."""
    from mlkit.functional.arithmetic import clamp
    from mlkit.functional.reductions import norm

    return ops.div(input, clamp(norm(input, p, dim, keepdim=True), min=eps))


def pad(input, pad, mode: str = "constant", value=None):  # noqa: A002
    """Padding, given from the last dim backwards: (left, right, top, bottom, ...)."""
    widths = tuple(int(w) for w in pad)
    if len(widths) % 2 or len(widths) // 2 > input._array.ndim:
        raise ValueRangeError(f"pad: expected pairs for at most {input._array.ndim} dims, got {widths}.")
    if mode != "constant":
        raise ValueRangeError(f"pad: mode must be 'constant', got {mode!r}.")
    pairs = [(widths[i], widths[i + 1]) for i in range(0, len(widths), 2)][::-1]
    full = [(0, 0)] * (input._array.ndim - len(pairs)) + pairs
    return ops.constant_pad(input, widths=tuple(full), value=0.0 if value is None else value)
