"""Convolutions and their transposes, and windows of images as columns."""

from __future__ import annotations

import functools
import math

from mlkit.core.dispatch import composite, ops
from mlkit.core.errors import RefusedError, ShapeError, StrideError, UnsupportedDtype
from mlkit.functional.arguments import check_same_dtype, check_window, tuple_of
from mlkit.functional.shaping import unsqueeze


class WrongPadding(RefusedError, ValueError):
    """A word that names no padding: PyTorch's functions raise RuntimeError, its layers ValueError."""


def conv_padding(padding, kernel, stride, dilation, n: int):
    """PyTorch's ``padding`` (number, tuple, "same", "valid") as (before, after) pairs."""
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * n
        if padding != "same":
            raise WrongPadding(f"conv{n}d: padding must be a number, a tuple, 'same' or 'valid', got {padding!r}.")
        if any(s != 1 for s in stride):
            raise StrideError("padding='same' is not supported for strided convolutions.")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((t // 2, t - t // 2) for t in totals)
    return tuple((p, p) for p in tuple_of(padding, n, "padding"))


def _single(n, input, weight, channels) -> bool:
    """Whether input is one example without its batch axis."""
    return input._array.ndim == n + 1 and weight._array.ndim == n + 2 and input._array.shape[0] == channels


def _settings(n: int, stride, padding, dilation, groups, kernel) -> dict:
    """The arguments in the op's form; ``kernel`` None where only they are looked at."""
    name = f"conv{n}d"
    stride, dilation = tuple_of(stride, n, "stride"), tuple_of(dilation, n, "dilation")
    check_window(name, stride=stride, dilation=dilation)
    if not isinstance(padding, str):
        check_window(name, padding=tuple_of(padding, n, "padding"))
    if groups < 1:
        raise RefusedError(f"{name}: groups must be at least 1, got {groups}.")
    how = {"stride": stride, "dilation": dilation, "groups": groups}
    if kernel is not None:
        how["padding"] = conv_padding(padding, kernel, stride, dilation, n)
    return how


_known_settings = functools.lru_cache(256, typed=True)(_settings)  # a layer's are the same in every call


def _convolution(n, input, weight, bias, stride, padding, dilation, groups):
    name = f"conv{n}d"
    kernel = weight._array.shape[2:] if weight._array.ndim == n + 2 else None
    given = n, stride, padding, dilation, groups, kernel
    try:
        how = _known_settings(*given)
    except TypeError:  # a list is no key
        how = _settings(*given)
    if kernel is None:
        raise ShapeError(
            f"{name}: expected a weight (out, in / groups, ...) with {n} spatial dims.",
            f"input:  {tuple(input._array.shape)}\nweight: {tuple(weight._array.shape)}",
        )
    if input._array.dtype.kind == "b":
        raise UnsupportedDtype(f"{name}: not implemented for bool.", hint="Convert first: x.float().")
    if input._array.ndim >= n and 0 in tuple(input._array.shape)[-n:]:
        raise ShapeError(
            f"{name}: only the batch and the channels may be empty, not a spatial dim.",
            f"input: {tuple(input._array.shape)}",
        )
    if bias is not None and bias._array.ndim != 1:
        raise ShapeError(f"{name}: expected bias to be 1-dimensional, got {tuple(bias._array.shape)}.")
    op = getattr(ops, f"conv{n}d")
    if _single(n, input, weight, weight._array.shape[1] * groups):
        out = op(unsqueeze(input, 0), weight, bias, **how)
        return ops.reshape(out, shape=tuple(out._array.shape[1:]))
    return op(input, weight, bias, **how)


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups: int = 1):
    """Convolution: input (N, C, L), weight (O, C/groups, K) -> (N, O, L')."""
    return _convolution(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups: int = 1):
    """Convolution: input (N, C, H, W), weight (O, C/groups, KH, KW) -> (N, O, H', W')."""
    return _convolution(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups: int = 1):
    """Convolution: input (N, C, D, H, W), weight (O, C/groups, KD, KH, KW) -> (N, O, D', H', W')."""
    return _convolution(3, input, weight, bias, stride, padding, dilation, groups)


@composite
def _transposed(n, input, weight, bias, stride, padding, output_padding, groups, dilation):
    name = f"conv_transpose{n}d"
    stride, padding = tuple_of(stride, n, "stride"), tuple_of(padding, n, "padding")
    dilation = tuple_of(dilation, n, "dilation")
    check_window(name, stride=stride, padding=padding, dilation=dilation)
    output_padding = tuple_of(output_padding, n, "output_padding")
    shape, kernel = tuple(input._array.shape), tuple(weight._array.shape)
    if len(kernel) != n + 2 or len(shape) not in (n + 1, n + 2):
        raise ShapeError(
            f"{name}: expected input (batch, channel, ...) with {n} spatial dims and weight (in, out / groups, ...).",
            f"input:  {shape}\nweight: {kernel}",
        )
    if len(shape) == n + 1:
        out = _transposed(
            n, unsqueeze(input, 0), weight, bias, stride, padding, output_padding, groups, dilation
        )  # fmt: skip
        return ops.reshape(out, shape=tuple(out._array.shape[1:]))
    if shape[1] != kernel[0]:
        raise ShapeError(
            f"{name}: the weight expects {kernel[0]} input channels, input has {shape[1]}.",
            f"input:  (batch, channel, ...): {shape}\nweight: (in, out / groups, ...): {kernel}",
        )
    if groups < 1 or kernel[0] % groups:
        raise ShapeError(f"{name}: groups={groups} does not divide the {kernel[0]} input channels.")
    if input._array.dtype != weight._array.dtype:
        from mlkit.core.refusals import different_dtypes

        raise different_dtypes(ops.conv2d.op, [input, weight])
    if input._array.dtype == bool:
        raise UnsupportedDtype(f"{name}: not implemented for bool.", hint="Convert first: x.float().")
    if bias is not None and (n == 3 or bias.is_complex()):
        check_same_dtype(name, input, False, bias=bias)
    elif bias is not None and bias._array.dtype != input._array.dtype:
        bias = ops.cast_like(bias, input)
    sizes = []
    for n_in, k, s, p, o, d in zip(shape[2:], kernel[2:], stride, padding, output_padding, dilation, strict=True):
        if o >= max(s, d):
            raise ShapeError(
                f"output padding must be smaller than either stride or dilation, but got output_padding {output_padding}, "
                f"stride {stride}, dilation {dilation}."
            )
        size = (n_in - 1) * s - 2 * p + d * (k - 1) + o + 1
        if size < 1:
            raise ShapeError(f"{name}: padding {padding} leaves no output for input {shape} and kernel {kernel[2:]}.")
        sizes.append(size)
    how = {"stride": stride, "padding": tuple((p, p) for p in padding), "dilation": dilation, "groups": groups}
    out_shape = (shape[0], kernel[1] * groups, *sizes)
    out = getattr(ops, f"conv{n}d_input_grad")(input, weight, shape=out_shape, **how)
    if bias is None:
        return out
    if tuple(bias._array.shape) != out_shape[1:2]:
        raise ShapeError(f"{name}: bias needs shape ({out_shape[1]},), got {tuple(bias._array.shape)}.")
    return ops.add(out, ops.reshape(bias, shape=(1, out_shape[1], *([1] * n))))


def conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups: int = 1, dilation=1):
    """The transpose of conv1d: input (N, C, L), weight (C, O/groups, K) -> (N, O, L')."""
    return _transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups: int = 1, dilation=1):
    """The transpose of conv2d: input (N, C, H, W), weight (C, O/groups, KH, KW) -> (N, O, H', W').

    H' = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1.

    >>> import mlkit
    >>> mlkit.nn.functional.conv_transpose2d(mlkit.ones(1, 2, 4, 4), mlkit.ones(2, 3, 2, 2), stride=2).shape
    mlkit.Size([1, 3, 8, 8])
    """
    return _transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups: int = 1, dilation=1):
    """The transpose of conv3d: input (N, C, D, H, W), weight (C, O/groups, KD, KH, KW) -> (N, O, D', H', W')."""
    return _transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_tbc(input, weight, bias, pad: int = 0):
    """conv1d with other axes: input (L, N, C), weight (K, C, O), bias (O) -> (L', N, O)."""
    out = conv1d(ops.permute(input, dims=(1, 2, 0)), ops.permute(weight, dims=(2, 1, 0)), bias, padding=pad)
    return ops.permute(out, dims=(2, 0, 1))


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """The windows of images as columns: (N, C, H, W) -> (N, C * KH * KW, windows).

    >>> import mlkit
    >>> mlkit.nn.functional.unfold(mlkit.zeros(1, 3, 4, 4), 2).shape
    mlkit.Size([1, 12, 9])
    """
    how = {"kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride}
    how = {k: tuple_of(v, 2, k) for k, v in how.items()}
    check_window("unfold", **how)
    if input._array.dtype.kind in "iu":
        raise UnsupportedDtype(f"unfold: not implemented for {input.dtype}.")
    rank = input._array.ndim
    if rank not in (3, 4):
        raise ShapeError(f"unfold: expected 3D or 4D (batch mode) tensor for input, got {tuple(input._array.shape)}.")
    if rank == 4:
        return ops.im2col(input, **how)
    out = ops.im2col(unsqueeze(input, 0), **how)
    return ops.reshape(out, shape=tuple(out._array.shape[1:]))


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns added back into images: (N, C * KH * KW, windows) -> (N, C, *output_size)."""
    how = {"kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride}
    how = {k: tuple_of(v, 2, k) for k, v in how.items()}
    size = tuple_of(output_size, 2, "output_size")
    rank = input._array.ndim
    if rank not in (2, 3):
        raise ShapeError(f"fold: expected 2D or 3D (batch mode) tensor for input, got {tuple(input._array.shape)}.")
    if math.prod(how["kernel_size"]) <= 0:
        raise ShapeError(f"fold: kernel size should be greater than zero, got {kernel_size}.")
    if rank == 3:
        return ops.col2im(input, size=size, **how)
    out = ops.col2im(unsqueeze(input, 0), size=size, **how)
    return ops.reshape(out, shape=tuple(out._array.shape[1:]))
