"""Pooling: each window of the input becomes one value."""

from __future__ import annotations

import functools
import math

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import check_numbers, composite, ops
from mlkit.core.errors import (
    ArgumentError,
    BatchError,
    RefusedError,
    ShapeError,
    StrideError,
    UnpoolError,
    UnsupportedDtype,
    ValueRangeError,
)
from mlkit.core.rng import default_generator
from mlkit.functional.arguments import check_floating, check_not_empty, check_window, tuple_of
from mlkit.functional.arithmetic import pow
from mlkit.functional.shaping import unsqueeze


def _pool_arguments(n, kernel_size, stride, padding):
    kernel = tuple_of(kernel_size, n, "kernel_size")
    stride = kernel if stride is None or stride == () else tuple_of(stride, n, "stride")
    padding = tuple_of(padding, n, "padding")
    check_window("pooling", kernel_size=kernel, stride=stride, padding=padding)
    return kernel, stride, padding


def _batched(n, input, fn):
    """Run ``fn`` on a batch, adding the batch axis for a single example."""
    if input._array.ndim == n + 1:
        out = fn(unsqueeze(input, 0))
        one = lambda t: ops.reshape(t, shape=tuple(t._array.shape[1:]))  # noqa: E731
        return tuple(map(one, out)) if isinstance(out, tuple) else one(out)
    return fn(input)


def _max_settings(n, kernel_size, stride, padding, dilation, ceil_mode) -> dict:
    """The arguments in the op's form."""
    kernel, stride, padding = _pool_arguments(n, kernel_size, stride, padding)
    how = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    how["dilation"] = tuple_of(dilation, n, "dilation")
    check_window(f"max_pool{n}d", dilation=how["dilation"])
    return how


_known_max_settings = functools.lru_cache(256, typed=True)(_max_settings)  # a layer's are the same in every call


def _max_pool(n, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    given = n, kernel_size, stride, padding, dilation, ceil_mode
    try:
        how = _known_max_settings(*given)
    except TypeError:  # a list is no key
        how = _max_settings(*given)
    if input._array.dtype.kind in "bc":
        raise UnsupportedDtype(f"max_pool{n}d: not implemented for {input.dtype}.")
    check_not_empty(f"max_pool{n}d", tuple(input._array.shape), n)
    values, indices = _batched(n, input, lambda x: getattr(ops, f"max_pool{n}d")(x, **how))
    return (values, indices) if return_indices else values


def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest value in each window over (N, C, L)."""
    if not return_indices:
        check_floating("max_pool1d", input)
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest value in each window over (N, C, H, W)."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest value in each window over (N, C, D, H, W)."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(n, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override=None):
    kernel, stride, padding = _pool_arguments(n, kernel_size, stride, padding)
    if input._array.dtype.kind in "bc":
        raise UnsupportedDtype(f"avg_pool{n}d: not implemented for {input.dtype}.")
    check_not_empty(f"avg_pool{n}d", input._array.shape, n)
    how = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    how |= {"count_include_pad": count_include_pad, "divisor_override": divisor_override}
    if divisor_override is not None and not hasattr(divisor_override, "__index__"):
        raise ArgumentError(f"avg_pool{n}d(): argument 'divisor_override' must be int, got {divisor_override!r}.")
    if divisor_override == 0:
        raise RefusedError(f"avg_pool{n}d: divisor_override must not be zero.")
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


# --- power averages -----------------------------------------------------------------------------------------------------


@composite
def _lp_pool(n, input, norm_type, kernel_size, stride, ceil_mode):
    kernel = tuple_of(kernel_size, n, "kernel_size")
    powers = pow(input, float(norm_type))
    mean = _avg_pool(n, powers, kernel, stride, 0, ceil_mode, True)
    sums = ops.mul(ops.mul(ops.sign(mean), ops.relu(ops.abs(mean))), math.prod(kernel))
    return pow(sums, 1.0 / norm_type)


def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode: bool = False):
    """The p-norm of each window over (N, C, L)."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode: bool = False):
    """The p-norm of each window over (N, C, H, W)."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode: bool = False):
    """The p-norm of each window over (N, C, D, H, W)."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# --- as many windows as asked for ---------------------------------------------------------------------------------------


def _output_size(n, input, output_size, name):
    """``output_size`` per spatial dim; None keeps that dim's size."""
    given = (output_size,) * n if isinstance(output_size, int) or output_size is None else tuple(output_size)
    rank = input._array.ndim
    if len(given) != n or rank not in (n + 1, n + 2):
        raise BatchError(
            f"{name}: expected input with {n + 1} or {n + 2} dims and {n} output sizes, got {tuple(input._array.shape)} "
            f"and {output_size}."
        )
    sizes = tuple(own if s is None else s for s, own in zip(given, input._array.shape[-n:], strict=True))
    if min(sizes) < 0:
        raise ShapeError(f"{name}: elements of output_size must be greater than or equal to 0, got {sizes}.")
    return sizes


def _adaptive_avg(n, input, output_size):
    sizes = _output_size(n, input, output_size, f"adaptive_avg_pool{n}d")
    check_floating(f"adaptive_avg_pool{n}d", input)
    if 0 in tuple(input._array.shape)[-n:]:
        raise ShapeError(
            f"adaptive_avg_pool{n}d: expected input whose spatial dims are not empty.",
            f"input: {tuple(input._array.shape)}",
        )
    if 0 in sizes:  # no windows at all
        return ops.zeros((*input._array.shape[:-n], *sizes), like=input)
    if set(sizes) == {1}:
        return ops.mean(input, dim=tuple(range(-n, 0)), keepdim=True)
    return _batched(n, input, lambda x: ops.interpolate(x, sizes=sizes, mode="area"))


def adaptive_avg_pool1d(input, output_size):
    """The means of ``output_size`` even windows over (N, C, L)."""
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input, output_size):
    """The means of (rows, columns) even windows over (N, C, H, W); None keeps a size.

    >>> import mlkit
    >>> mlkit.nn.functional.adaptive_avg_pool2d(mlkit.ones(1, 8, 7, 5), (1, None)).shape
    mlkit.Size([1, 8, 1, 5])
    """
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input, output_size):
    """The means of even windows over (N, C, D, H, W)."""
    return _adaptive_avg(3, input, output_size)


def _adaptive_max(n, input, output_size, return_indices):
    sizes = _output_size(n, input, output_size, f"adaptive_max_pool{n}d")
    check_floating(f"adaptive_max_pool{n}d", input)
    check_not_empty(f"adaptive_max_pool{n}d", tuple(input._array.shape), n)
    if not input._array.size:  # no examples: the averages' shape, and indices of nothing
        values = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[n - 1](input, sizes)
        return (values, ops.cast(values.detach(), dtype=dtypes.int64)) if return_indices else values
    values, indices = _batched(n, input, lambda x: getattr(ops, f"adaptive_max_pool{n}d")(x, sizes=sizes))
    return (values, indices) if return_indices else values


def adaptive_max_pool1d(input, output_size, return_indices: bool = False):
    """The largest values of ``output_size`` even windows over (N, C, L)."""
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input, output_size, return_indices: bool = False):
    """The largest values of even windows over (N, C, H, W)."""
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input, output_size, return_indices: bool = False):
    """The largest values of even windows over (N, C, D, H, W)."""
    return _adaptive_max(3, input, output_size, return_indices)


# --- windows at random places -------------------------------------------------------------------------------------------


def _fractional(n, input, kernel_size, output_size, output_ratio, return_indices, samples):
    name = f"fractional_max_pool{n}d"
    kernel = tuple_of(kernel_size, n, "kernel_size")
    if output_size is None and output_ratio is None:
        raise ValueRangeError(f"{name} requires specifying either an output_size or an output_ratio")
    if input._array.ndim == n + 1:
        out = _fractional(
            n, unsqueeze(input, 0), kernel_size, output_size, output_ratio, True, samples
        )  # fmt: skip
        out = tuple(ops.reshape(t, shape=tuple(t._array.shape[1:])) for t in out)
        return out if return_indices else out[0]
    shape = tuple(input._array.shape)
    if len(shape) != n + 2:
        raise ShapeError(f"{name}: expected input (batch, channel, ...) with {n} spatial dims, got {shape}.")
    check_not_empty(name, shape, n)
    if output_size is None:
        output_size = [int(s * r) for s, r in zip(shape[2:], tuple_of(output_ratio, n, "output_ratio"), strict=True)]
    sizes = tuple_of(output_size, n, "output_size")
    for size, k, own in zip(sizes, kernel, shape[2:], strict=True):
        if size + k - 1 > own:
            raise ShapeError(f"{name}: kernel {kernel} and output_size {sizes} are too large for input {shape}.")
    if samples is None:
        d = dtypes.from_numpy_dtype(input._array.dtype)
        samples = ops.uniform(shape=(*shape[:2], n), dtype=d, key=default_generator.take(math.prod(shape[:2]) * n))
        if input._array.__class__ is not samples._array.__class__:
            samples = ops.to_device(samples, device=ops.device_of(input))
    # the flat place of every value of every window: (N, C, *sizes, *kernel)
    flat = None
    for axis, (size, k, own) in enumerate(zip(sizes, kernel, shape[2:], strict=True)):
        u = ops.unsqueeze(ops.slice(samples, index=(slice(None), slice(None), n - 1 - axis if n == 2 else axis)), -1)
        u = u.detach()
        if size > 1:
            alpha = (own - k) / (size - 1)
            steps = ops.cast_like(ops.index_array(range(size - 1), like=input), u)
            start = ops.sub(ops.floor(ops.mul(ops.add(u, steps), alpha)), ops.floor(ops.mul(u, alpha)))
            last = ops.add(ops.mul(u, 0.0), float(own - k))
            start = ops.cat([start, last], dim=2)
        else:
            start = ops.add(ops.mul(u, 0.0), float(own - k))
        start = ops.cast(start, dtype=dtypes.int64)
        start = ops.reshape(start, shape=(*shape[:2], *(size if a == axis else 1 for a in range(n)), *([1] * n)))
        reach = ops.reshape(ops.index_array(range(k), like=input), shape=tuple(k if a == axis else 1 for a in range(n)))
        here = ops.add(start, reach)
        flat = here if flat is None else ops.add(ops.mul(flat, own), here)
    flat = ops.reshape(flat, shape=(*shape[:2], math.prod(sizes), math.prod(kernel)))
    rows = ops.reshape(input, shape=(*shape[:2], math.prod(shape[2:])))
    seen = ops.gather(rows.detach(), ops.reshape(flat, shape=(*shape[:2], math.prod(sizes) * math.prod(kernel))), dim=2)
    best = ops.argmax(ops.reshape(seen, shape=tuple(flat._array.shape)), dim=3, keepdim=True)
    indices = ops.reshape(ops.gather(flat, best, dim=3), shape=(*shape[:2], math.prod(sizes)))
    values = ops.reshape(ops.gather(rows, indices, dim=2), shape=(*shape[:2], *sizes))
    return (values, ops.reshape(indices, shape=(*shape[:2], *sizes))) if return_indices else values


def fractional_max_pool2d(
    input, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None
):
    """The largest value of windows at random places over (N, C, H, W) (Graham 2014, arXiv:1412.6071)."""
    return _fractional(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None
):
    """The largest value of windows at random places over (N, C, D, H, W)."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


# --- back from maxima ---------------------------------------------------------------------------------------------------


@composite
def _unpool(n, input, indices, kernel_size, stride, padding, output_size):
    name = f"max_unpool{n}d"
    try:
        kernel, stride, padding = _pool_arguments(n, kernel_size, stride, padding)
    except RefusedError as error:  # with output_size given, PyTorch says that it is the size that is wrong
        if output_size is None:
            raise
        raise StrideError(error.sentence, error.details, error.hint) from None
    shape = tuple(input._array.shape)
    if len(shape) not in (n + 1, n + 2):
        raise UnpoolError(f"{name}: expected input (batch, channel, ...) with {n} spatial dims, got {shape}.")
    check_floating(name, input)
    if tuple(indices._array.shape) != shape:
        raise UnpoolError(f"{name}: expected shape of indices to be that of input.", f"{indices.shape} and {shape}")
    if indices._array.dtype.name != "int64":
        raise UnpoolError(f"{name}: elements in indices should be type int64, got {indices._array.dtype}.")
    usual = [(m - 1) * s + k - 2 * p for m, k, s, p in zip(shape[-n:], kernel, stride, padding, strict=True)]
    sizes = usual
    if output_size is not None:
        sizes = list(output_size)[-n:]
        for size, s, d in zip(sizes, stride, usual, strict=True):
            if not d - s < size < d + s:
                raise UnpoolError(
                    f"invalid output_size {list(output_size)}: each must be within one stride {stride} of {usual}."
                )
    total = math.prod(sizes)

    def check(array) -> None:
        if array.size and (int(array.min()) < 0 or int(array.max()) >= total):
            raise UnpoolError(f"Found an invalid max index: {int(array.max())} (output volumes are of size {sizes}).")

    check_numbers(indices, check)
    lead = shape[:-n]
    blank = ops.zeros((*lead, total), like=input)
    places, values = (ops.reshape(t, shape=(*lead, math.prod(shape[-n:]))) for t in (indices, input))
    return ops.reshape(ops.scatter(blank, places, values, dim=len(lead)), shape=(*lead, *sizes))


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Maxima put back where max_pool1d took them, zeros elsewhere."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Maxima put back where max_pool2d took them, zeros elsewhere."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Maxima put back where max_pool3d took them, zeros elsewhere."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _with_indices(fn):
    def call(*args, **kwargs):
        return fn(*args, **kwargs, return_indices=True)

    call.__name__ = call.__qualname__ = fn.__name__ + "_with_indices"
    call.__doc__ = f"{fn.__name__} that also returns where the values were."
    return call


max_pool1d_with_indices, max_pool2d_with_indices, max_pool3d_with_indices = map(
    _with_indices, (max_pool1d, max_pool2d, max_pool3d)
)
adaptive_max_pool1d_with_indices, adaptive_max_pool2d_with_indices, adaptive_max_pool3d_with_indices = map(
    _with_indices, (adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d)
)
fractional_max_pool2d_with_indices, fractional_max_pool3d_with_indices = map(
    _with_indices, (fractional_max_pool2d, fractional_max_pool3d)
)
