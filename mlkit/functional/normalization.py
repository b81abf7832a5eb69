"""Normalisation: values brought to mean 0 and variance 1 over some dims, then scaled and shifted."""

from __future__ import annotations

import math

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import composite, ops, state
from mlkit.core.errors import ShapeError, UnsupportedDtype, ValueRangeError
from mlkit.core.value import LevelArray, MetaArray, is_plain, mark_all_mutated, mark_mutated
from mlkit.functional.arguments import check_floating, check_same_dtype, usual
from mlkit.functional.placement import with_names


def _more_than_one(shape) -> None:
    """Refuse training statistics over a single value."""
    values = shape[0] * math.prod(shape[2:])
    if values == 1:
        raise ValueRangeError(
            f"Expected more than 1 value per channel when training, got input size {list(shape)}.",
            hint="Use a larger batch, drop_last=True in the DataLoader, or model.eval().",
        )


def _move(running, fresh, momentum: float, scale: float = 1.0) -> None:
    """running = (1 - momentum) * running + momentum * scale * fresh, in place and without history."""
    if running is None or running._array.__class__ is MetaArray:
        return
    if isinstance(fresh._array, LevelArray) or isinstance(running._array, LevelArray):
        running.copy_((running * (1 - momentum) + fresh * (momentum * scale)).detach())
        return
    into = running._array
    into *= 1 - momentum
    into += (momentum * scale) * fresh._array
    mark_mutated(running)


def batch_norm(
    input,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-05,
):
    """Normalisation of each channel over the batch (Ioffe & Szegedy 2015, arXiv:1502.03167).

    input (N, C, *). In training the batch's own statistics are used and the running ones moved towards them by
    ``momentum``; otherwise the running ones are used.
    """
    return counting_batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps, None)


def counting_batch_norm(input, running_mean, running_var, weight, bias, training: bool, momentum, eps: float, batches):
    """``batch_norm`` that moves ``batches`` (0-d int64 or None) one further where it moves the running statistics."""
    if not training and _four_vectors(input, running_mean, running_var, weight, bias):
        return ops.batch_norm_eval(input, running_mean, running_var, weight, bias, eps=eps)
    check_floating("batch_norm", input)
    check_same_dtype("batch_norm", input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if training and (running_mean is None) != (running_var is None):
        raise ValueRangeError("batch_norm: running_mean and running_var must either both be None or neither be None.")
    if training and eps <= 0:
        raise ValueRangeError(f"batch_norm eps must be positive during training, but got {eps}.")
    for label, t in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        if t is not None and not t._array.ndim:
            raise ShapeError(f"batch_norm: {label} should be a vector with one element per channel, got 0 dims.")
    if tuple(input._array.shape) == (0,):  # nothing of no channels
        for label, t in (
            ("running_mean", running_mean),
            ("running_var", running_var),
            ("weight", weight),
            ("bias", bias),
        ):
            if t is not None and t._array.size:
                raise ShapeError(f"batch_norm: {label} should contain 0 elements not {t._array.size}.")
        count_batch(batches)
        return ops.clone(input)
    if not training:
        if running_mean is None or running_var is None:
            raise ShapeError("batch_norm: expected running_mean and running_var to be given when training=False.")
        return ops.batch_norm_eval(input, running_mean, running_var, weight, bias, eps=eps)
    shape = tuple(input._array.shape)
    if len(shape) >= 2:
        _more_than_one(shape)
    out, mean, var, _ = ops.batch_norm_train(input, weight, bias, eps=eps)
    n = input._array.size // max(shape[1], 1)
    wider = n / (n - 1) if n > 1 else 1.0
    if not _moved(running_mean, running_var, mean, var, momentum, wider, batches):
        count_batch(batches)
        _move(running_mean, mean, momentum)
        _move(running_var, var, momentum, wider)
    return out


def count_batch(batches) -> None:
    """One more batch, in place; nothing where none are counted."""
    if batches is None:
        return
    plain = isinstance(batches._array, (np.ndarray, LevelArray, MetaArray))
    if plain or state.recorder is not None:
        batches.add_(1)
        return
    batches._array += 1  # on a GPU: one launch
    mark_mutated(batches)


def _four_vectors(input, mean, var, weight, bias) -> bool:
    """Whether these are what they are nearly always: nothing to look at closer."""
    if mean is None or var is None or weight is None or bias is None or not usual(input, mean, var, weight, bias):
        return False
    vector = mean._array.shape
    return (
        input._array.ndim > 1
        and len(vector) == 1
        and var._array.shape == vector
        and weight._array.shape == vector
        and bias._array.shape == vector
    )


def _moved(running_mean, running_var, mean, var, momentum: float, wider: float, batches) -> bool:
    """Whether a backend has moved both statistics at once, and the count with them."""
    if running_mean is None or running_var is None:
        return False
    changed = [running_mean, running_var]
    if batches is not None:
        changed.append(batches)
    kind = mean._array.__class__
    library = backends.by_array_type.get(kind)
    move = None if library is None else library.functions.get("move_statistics")
    if move is None or any(t._array.__class__ is not kind for t in changed):
        return False
    count = None if batches is None else batches._array
    if not move(running_mean._array, running_var._array, mean._array, var._array, momentum, wider, count):
        return False
    mark_all_mutated(changed)
    return True


@composite
def instance_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-05,
):
    """Normalisation of each channel of each example (Ulyanov et al. 2016, arXiv:1607.08022): input (N, C, *)."""
    shape = tuple(input._array.shape)
    check_floating("instance_norm", input)
    check_same_dtype("instance_norm", input, weight=weight, bias=bias)
    if (running_mean is None) != (running_var is None):
        raise ValueRangeError(
            "instance_norm: running_mean and running_var must either both be None or neither be None."
        )
    if running_mean is not None:
        check_same_dtype("instance_norm", input, running_mean=running_mean, running_var=running_var)
    if len(shape) < 3:
        raise ShapeError(f"instance_norm: expected input (batch, channel, ...), got {shape}.")
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    n, channels, count = shape[0], shape[1], math.prod(shape[2:])
    if count == 1:
        raise ValueRangeError(f"Expected more than 1 spatial element when training, got input size {list(shape)}.")
    for label, t in (("weight", weight), ("bias", bias)):
        if t is not None and tuple(t._array.shape) != (channels,):
            raise ShapeError(
                f"instance_norm: {label} has one value per channel: {tuple(t._array.shape)}, not {channels}."
            )
    flat = ops.reshape(input, shape=(1, n * channels, *shape[2:]))
    out, mean, var, _ = ops.batch_norm_train(flat, None, None, eps=eps)
    if running_mean is not None and input._array.__class__ is not MetaArray:
        for running, fresh, scale in ((running_mean, mean, 1.0), (running_var, var, count / (count - 1))):
            average = ops.mean(ops.reshape(fresh.detach(), shape=(n, channels)), dim=0)
            _move(running, average, momentum, scale)
    return ops.cast_like(_scaled(ops.reshape(out, shape=shape), weight, bias), input)


def _scaled(out, weight, bias):
    """Times weight plus bias, one value of each per channel (axis 1)."""
    wide = (1, out._array.shape[1], *([1] * (out._array.ndim - 2)))
    if weight is not None:
        out = ops.mul(out, ops.reshape(weight, shape=wide))
    return out if bias is None else ops.add(out, ops.reshape(bias, shape=wide))


@composite
def group_norm(input, num_groups: int, weight=None, bias=None, eps: float = 1e-05):
    """Normalisation over groups of channels of each example (Wu & He 2018, arXiv:1803.08494): input (N, C, *).

    >>> import mlkit
    >>> mlkit.nn.functional.group_norm(mlkit.randn(2, 6, 4), 3).shape
    mlkit.Size([2, 6, 4])
    """
    shape = tuple(input._array.shape)
    if len(shape) < 2:
        raise ShapeError(f"Expected at least 2 dimensions for input tensor but received {len(shape)}.")
    if num_groups <= 0 or shape[1] % num_groups:
        raise ShapeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape {list(shape)} "
            f"and num_groups={num_groups}."
        )
    check_same_dtype("group_norm", input, weight=weight, bias=bias)
    for label, t in (("weight", weight), ("bias", bias)):
        if t is not None and tuple(t._array.shape) != (shape[1],):
            raise ShapeError(
                f"Expected {label} to be a vector of size equal to the number of channels in input, but got {label} of "
                f"shape {list(t._array.shape)} and input of shape {list(shape)}."
            )
    rows = ops.reshape(input, shape=(shape[0], num_groups, math.prod(shape[1:]) // num_groups))
    out = _scaled(ops.reshape(ops.layer_norm(rows, None, None, dims=1, eps=eps), shape=shape), weight, bias)
    if out._array.dtype != input._array.dtype:  # half precision with parameters of float32
        out = ops.cast_like(out, input)
    return out if input._names is None else with_names(out.rename(None), input.names)


def _checked_shape(name, input, normalized_shape) -> tuple:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape:
        raise ShapeError(f"{name}: expected normalized_shape to be at least 1-dimensional, got {normalized_shape}.")
    if tuple(input._array.shape[-len(shape) :]) != shape:
        raise ShapeError(
            f"{name}: given normalized_shape={list(shape)}, expected input with shape [*, "
            f"{', '.join(map(str, shape))}], but got input of size {list(input._array.shape)}.",
            hint=f"Make it nn.LayerNorm({input._array.shape[-1]}), the size of the last axis."
            if len(shape) == 1 and input._array.ndim and name == "layer_norm"
            else None,
        )
    return shape


def layer_norm(input, normalized_shape, weight=None, bias=None, eps: float = 1e-05):
    """Normalisation over the last dims, whose sizes are ``normalized_shape`` (Ba et al. 2016, arXiv:1607.06450)."""
    if normalized_shape.__class__ is tuple and weight is not None and bias is not None and usual(input, weight, bias):
        count = len(normalized_shape)
        if count and input._array.shape[-count:] == weight._array.shape == bias._array.shape == normalized_shape:
            return ops.layer_norm(input, weight, bias, dims=count, eps=eps)
    check_floating("layer_norm", input)
    shape = _checked_shape("layer_norm", input, normalized_shape)
    check_same_dtype("layer_norm", input, weight=weight, bias=bias)
    for label, t in (("weight", weight), ("bias", bias)):
        if t is not None and tuple(t._array.shape) != shape:
            raise ShapeError(
                f"layer_norm: expected {label} to be of same shape as normalized_shape, but got {label} of shape "
                f"{list(t._array.shape)} and normalized_shape = {list(shape)}."
            )
    return ops.layer_norm(input, weight, bias, dims=len(shape), eps=eps)


@composite
def rms_norm(input, normalized_shape, weight=None, eps: float | None = None):
    """input / sqrt(mean of squares + eps) over the last dims (Zhang & Sennrich 2019, arXiv:1910.07467).

    ``eps=None`` is the dtype's machine epsilon.
    """
    shape = _checked_shape("rms_norm", input, normalized_shape)
    if weight is not None and tuple(weight._array.shape) != shape:
        raise ShapeError(f"rms_norm: expected weight of shape {shape}, got {tuple(weight._array.shape)}.")
    if eps is None:
        eps = dtypes.finfo(dtypes.from_numpy_dtype(input._array.dtype)).eps
    same = weight is None or weight._array.dtype == input._array.dtype
    if same and input._array.dtype.kind == "f" and is_plain(input._array):
        return ops.rms_norm(input, weight, dims=len(shape), eps=eps)
    over = tuple(range(-len(shape), 0))
    short = input._array.dtype.itemsize == 2  # whose squares soon overflow
    wide = ops.cast(input, dtype=dtypes.float32) if short else input
    squares = ops.mean(ops.square(wide), dim=over, keepdim=True)
    out = ops.mul(wide, ops.rsqrt(ops.add(squares, eps)))
    if weight is not None:
        out = ops.mul(out, weight)
    elif not short:
        return out
    return ops.cast_like(out, input) if out._array.dtype.kind != "c" else out


@composite
def local_response_norm(input, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
    """input / (k + alpha * mean of squares over ``size`` neighbouring channels) ** beta: input (N, C, *).

    Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", NIPS 2012.
    """
    rank = input._array.ndim
    if rank < 3:
        raise ValueRangeError(f"Expected 3D or higher dimensionality input (got {rank} dimensions)")
    if input._array.dtype == bool:
        raise UnsupportedDtype("local_response_norm: not implemented for bool.")
    if size < 1:
        raise ShapeError(f"local_response_norm: size should be greater than zero, got {size}.")
    if input._array.size == 0:
        return input
    widths = ((0, 0), (size // 2, (size - 1) // 2), *([(0, 0)] * (rank - 2)))
    squares = ops.constant_pad(ops.square(input), widths=widths)
    windows = ops.unfold(squares, dimension=1, size=size, step=1)
    if input._array.dtype.kind in "iub":  # whole numbers stay whole, as PyTorch's pooling of them
        near = ops.trunc_divide(ops.sum(windows, dim=(-1,)), size)
    else:
        near = ops.mean(windows, dim=-1)
    return ops.div(input, ops.pow_scalar(ops.add(ops.mul(near, alpha), k), exponent=beta))
