"""Order statistics, covariance, histograms and numerical calculus along a dim."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops, state
from mlkit.core.errors import ArgumentError, DimensionError, DtypeError, RefusedError, ShapeError, UnsupportedDtype
from mlkit.core.value import Value, wrap
from mlkit.functional.conversion import tensor, to_numpy_array
from mlkit.functional.placement import on_device
from mlkit.functional.results import named_result
from mlkit.functional.shaping import cat, stack
from mlkit.ops.reduce import canonical_dim

nanmedian_result = named_result("nanmedian", ("values", "indices"))
mode_result = named_result("mode", ("values", "indices"))
histogram_result = named_result("histogram", ("hist", "bin_edges"))
histogramdd_result = named_result("histogramdd", ("hist", "bin_edges"))


def _shape(x) -> tuple:
    return tuple(x._array.shape)


def _place(x):
    return backends.for_array(x._array).device_of(x._array)


def _like(x, array) -> Value:
    """A NumPy array as a tensor beside ``x``."""
    return wrap(on_device(np.asarray(array), _place(x)))


def _picked(input, indices, dim: int, keepdim: bool):
    """(values at one index along dim, the indices)."""
    values = ops.gather(input, indices, dim=dim)
    if not keepdim:
        values, indices = ops.squeeze(values, dim), ops.squeeze(indices, dim)
    return values, indices


# --- order statistics -------------------------------------------------------------------------------------------------


def nanmedian(input, dim=None, keepdim: bool = False):
    """The median of what is not NaN (the lower one of two); with ``dim`` (values, indices).

    >>> import mlkit
    >>> mlkit.nanmedian(mlkit.tensor([1.0, mlkit.nan, 3.0, 2.0]))
    tensor(2.)
    """
    if dim is None:
        flat = ops.reshape(input, shape=(-1,))
        if not flat._array.size:
            return ops.sum(flat) * float("nan") if flat.is_floating_point() else nanmedian(flat, 0).values
        if input._node is not None and state.grad:
            return ops.one_of_all(input, which="nanmedian")
        return nanmedian(flat, 0).values
    dim = canonical_dim("nanmedian", dim, input._array.ndim)
    if not input._array.ndim:
        return nanmedian_result(ops.clone(input), ops.cast(ops.zeros_like(input), dtype=dtypes.int64))
    if not _shape(input)[dim]:
        raise DimensionError(f"nanmedian(): Expected reduction dim {dim} to have non-zero size.")
    order = ops.sort(input, dim=dim)[1]  # NaN comes last
    known = ops.sum(ops.logical_not(ops.isnan(input)), dim=dim, keepdim=True)
    middle = ops.floor_divide(ops.maximum(known - 1, ops.zeros_like(known)), 2)
    return nanmedian_result(*_picked(input, ops.gather(order, middle, dim=dim), dim, keepdim))


def mode(input, dim: int = -1, keepdim: bool = False):
    """The most frequent value along ``dim`` (the smallest of several) and where it last is."""
    dim = canonical_dim("mode", dim, input._array.ndim)
    if not input._array.ndim:
        return mode_result(ops.clone(input), ops.cast(ops.zeros_like(input), dtype=dtypes.int64))
    if not _shape(input)[dim]:
        raise DimensionError(f"mode(): Expected reduction dim {dim} to have non-zero size.")
    rows = np.moveaxis(to_numpy_array(input), dim, -1)
    ordered, order = np.sort(rows, axis=-1), np.argsort(rows, axis=-1, kind="stable")
    n = rows.shape[-1]
    place = np.arange(n)
    fresh = np.concatenate([np.ones((*rows.shape[:-1], 1), bool), ordered[..., 1:] != ordered[..., :-1]], -1)
    start = np.maximum.accumulate(np.where(fresh, place, 0), axis=-1)
    last = np.argmax(place - start, axis=-1)  # the end of the first longest run
    indices = np.take_along_axis(order, last[..., None], -1)
    return mode_result(*_picked(input, _like(input, np.moveaxis(indices, -1, dim)), dim, keepdim))


def msort(input):
    """The values in order along the first dim."""
    return ops.sort(input, dim=0)[0]


def _quantile(name, input, q, dim, keepdim, interpolation, ignore_nan):
    ways = ("linear", "lower", "higher", "midpoint", "nearest")
    if interpolation not in ways:
        raise ShapeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}."
        )
    if not input.is_floating_point() or input._array.dtype.itemsize < 4:
        raise ShapeError(f"{name}() input tensor must be either float or double dtype.")
    if not isinstance(q, Value):
        if not 0 <= q <= 1:
            raise ShapeError(f"{name}() q values must be in the range [0, 1].")
        q = tensor(float(q), dtype=input.dtype, device=input.device)
    elif q._array.ndim > 1:
        raise ShapeError(f"{name}() q must be a scalar or 1D tensor.")
    elif q._array.dtype != input._array.dtype:
        raise DtypeError(f"{name}() q tensor must be same dtype as the input tensor.")
    elif bool(ops.any(ops.logical_or(ops.lt(q, 0), ops.gt(q, 1)))._array):
        raise ShapeError(f"{name}() q values must be in the range [0, 1].")
    rank = input._array.ndim
    if not input._array.size:
        raise ShapeError(f"{name}() input tensor must be non-empty.")
    if dim is None:
        whole = (1,) * rank if keepdim else ()
        rows = ops.reshape(input, shape=(1, -1))
    else:
        dim = canonical_dim(name, dim, rank)
        wide = input if rank else ops.reshape(input, shape=(1,))
        shape = list(_shape(wide))
        del shape[dim]
        whole = (*shape[:dim], 1, *shape[dim:]) if keepdim and rank else tuple(shape)
        order = tuple(i for i in range(wide._array.ndim) if i != dim)
        rows = ops.reshape(ops.permute(wide, dims=(*order, dim)), shape=(math.prod(shape), -1))
    ordered = ops.sort(rows, dim=1)[0]  # NaN comes last
    flat_q = ops.reshape(q, shape=(-1,))
    last = ops.sum(ops.logical_not(ops.isnan(rows)), dim=1, keepdim=True) - 1
    if not ignore_nan:
        spoiled = ops.ne(last, rows._array.shape[1] - 1)
        last = ops.zeros_like(last) + (rows._array.shape[1] - 1)
    rank_of = ops.mul(ops.cast_like(ops.maximum(last, ops.zeros_like(last)), q), flat_q)  # (rows, q)
    if not ignore_nan:  # a NaN is sorted last, and taken
        rank_of = ops.where(spoiled, ops.ones_like(rank_of) * (rows._array.shape[1] - 1), rank_of)
    if interpolation == "lower":
        rank_of = ops.floor(rank_of)
    elif interpolation == "higher":
        rank_of = ops.ceil(rank_of)
    elif interpolation == "nearest":
        rank_of = ops.round(rank_of)
    below = ops.cast(rank_of, dtype=dtypes.int64)
    values = ops.gather(ordered, below, dim=1)
    if interpolation in ("linear", "midpoint"):
        above = ops.cast(ops.ceil(rank_of), dtype=dtypes.int64)
        weight = rank_of - ops.cast_like(below, rank_of)
        if interpolation == "midpoint":
            weight = ops.ones_like(weight) * 0.5
        values = ops.lerp(values, ops.gather(ordered, above, dim=1), weight)
    values = ops.permute(values, dims=(1, 0))
    return ops.reshape(values, shape=(*_shape(q), *whole))


def quantile(input, q, dim=None, keepdim: bool = False, *, interpolation: str = "linear"):
    """The q-quantiles along ``dim`` (of all values for None); several q make a leading dim.

    >>> import mlkit
    >>> mlkit.quantile(mlkit.tensor([0.0, 1.0, 2.0, 4.0]), 0.5)
    tensor(1.5000)
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


def nanquantile(input, q, dim=None, keepdim: bool = False, *, interpolation: str = "linear"):
    """``quantile`` of what is not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


# --- covariance -------------------------------------------------------------------------------------------------------


def cov(input, *, correction: int = 1, fweights=None, aweights=None):
    """The covariance matrix of variables in rows and observations in columns: (variables, n) -> (variables, variables).

    ``fweights`` are integer repeats of the observations, ``aweights`` their importance.
    """
    if input._array.ndim > 2:
        raise ShapeError(f"cov(): expected input to have two or fewer dimensions but got {input._array.ndim}.")
    if input._array.dtype == bool:
        raise DtypeError("cov(): bool dtype is not supported for input.")
    rows = ops.reshape(input, shape=(1, -1)) if input._array.ndim < 2 else input
    n = rows._array.shape[1]
    weights = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        if given._array.ndim > 1:
            raise ShapeError(f"cov(): expected {name} to have one or fewer dimensions but got {given._array.ndim}.")
        kind = given._array.dtype.kind
        if name == "fweights" and kind not in "iu":
            raise DtypeError(f"cov(): expected fweights to have integral dtype but got {given.dtype}.")
        if name == "aweights" and kind not in "fV":
            raise DtypeError(f"cov(): expected aweights to have floating point dtype but got {given.dtype}.")
        if given._array.size != n:
            raise ShapeError(f"cov(): expected {name} to have the same numel as there are observations in the input.")
        if bool(ops.any(ops.lt(given, 0))._array):
            raise ShapeError(f"cov(): {name} cannot be negative.")
        flat = ops.reshape(given, shape=(-1,))
        weights = flat if weights is None else ops.mul(weights, flat)
    if not input.is_floating_point() and not input.is_complex():
        rows = ops.cast(rows, dtype=dtypes.get_default_dtype())
    if weights is None:
        total: Any = n
        centre = ops.mean(rows, dim=1, keepdim=True)
    else:
        total = ops.sum(weights)
        if n and not bool(ops.ne(total, 0)._array):
            raise ShapeError("cov(): weights sum to zero, can't be normalized.")
        centre = ops.div(ops.sum(ops.mul(rows, weights), dim=1, keepdim=True), total)
    if weights is not None and aweights is not None and correction != 0:
        squares = ops.mul(weights, ops.reshape(aweights, shape=(-1,)))
        freedom = ops.sub(total, ops.div(ops.mul(ops.sum(squares), correction), total))
    else:
        freedom = total - correction
    if not isinstance(freedom, Value):
        freedom = max(freedom, 0)
    else:
        freedom = ops.maximum(freedom, ops.zeros_like(freedom))
    away = ops.sub(rows, centre)
    weighted = away if weights is None else ops.mul(away, weights)
    product = ops.matmul(weighted, ops.conj(ops.permute(away, dims=(1, 0))))
    out = ops.div(product, freedom if isinstance(freedom, Value) else float(freedom))
    return ops.reshape(out, shape=()) if out._array.size == 1 else out


def corrcoef(input):
    """The correlation coefficients of variables in rows."""
    if input._array.ndim > 2:
        raise ShapeError(f"corrcoef(): expected input to have two or fewer dimensions but got {input._array.ndim}.")
    c = cov(input)
    if not c._array.ndim:
        return ops.div(c, c)
    size = ops.sqrt(ops.diagonal(c))
    if size.is_complex():
        size = ops.real(size)
    c = ops.div(ops.div(c, ops.unsqueeze(size, 1)), size)
    if c.is_complex():
        return ops.complex(ops.clamp(ops.real(c), min=-1, max=1), ops.clamp(ops.imag(c), min=-1, max=1))
    return ops.clamp(c, min=-1, max=1)


# --- histograms -------------------------------------------------------------------------------------------------------


def histc(input, bins: int = 100, min=0, max=0):  # noqa: A002
    """How many elements fall into each of ``bins`` equal bins between min and max (both 0: the data's range)."""
    return ops.histc(input, bins=bins, min=min, max=max)


def bincount(input, weights=None, minlength: int = 0):
    """How often each of 0, 1, 2, ... occurs in a vector of integers, or the sum of their weights."""
    if input._array.ndim != 1 or input._array.dtype.kind not in "iu":
        raise UnsupportedDtype(
            "bincount only supports 1-d non-negative integral inputs.", f"{input.dtype} {_shape(input)}"
        )
    if minlength < 0:
        raise RefusedError("minlength should be >= 0.")
    if weights is not None and _shape(weights) != _shape(input):
        raise ShapeError("weights should be 1-d and have the same length as input.", f"{_shape(weights)}")
    if input._array.size and int(ops.amin(input)._array) < 0:
        raise DtypeError("bincount only supports 1-d non-negative integral inputs.", "there is a negative one")
    xp = backends.for_array(input._array).m.xp
    given = None if weights is None else weights._array
    counts = xp.bincount(input._array, weights=given, minlength=minlength)
    if weights is None:
        return wrap(xp.asarray(counts, dtype=np.int64))
    return wrap(xp.asarray(counts, dtype=np.float32 if given.dtype == np.float32 else np.float64))


def histogram(input, bins=100, *, range=None, weight=None, density: bool = False):  # noqa: A002
    """(counts or density, bin edges) over equal bins (a number of them) or over the given edges (a tensor)."""
    if not input.is_floating_point():
        raise DtypeError(f"histogram: expected a floating point tensor, got {input.dtype}.")
    hist, edges = _histogram("histogram", ops.reshape(input, shape=(-1, 1)), [bins], range, weight, density)
    return histogram_result(hist, edges[0])


def histogramdd(input, bins, *, range=None, weight=None, density: bool = False):  # noqa: A002
    """(counts or density, bin edges per dim) of points (*, dims)."""
    if input._array.ndim < 2:
        raise ShapeError("torch.histogramdd: input tensor should have at least 2 dimensions.", f"{_shape(input)}")
    dims = _shape(input)[-1]
    if isinstance(bins, (int, Value)):
        bins = [bins] * dims
    if len(bins) != dims:
        raise ShapeError(
            "histogramdd: the size of bins must be equal to the innermost dimension of the input tensor.",
            f"bins: {len(bins)}\ninput: {_shape(input)}",
        )
    hist, edges = _histogram("histogramdd", ops.reshape(input, shape=(-1, dims)), list(bins), range, weight, density)
    return histogramdd_result(hist, edges)


def _histogram(name, points, bins, bounds, weight, density):
    dims = points._array.shape[1]
    if bounds is not None and len(bounds) != 2 * dims:
        raise ShapeError(f"{name}: range should have {2 * dims} elements, got {len(bounds)}.")
    values = to_numpy_array(points)
    edges = []
    for d, b in enumerate(bins):
        if isinstance(b, Value):
            if b._array.dtype != points._array.dtype:
                raise DtypeError(f"{name}: input tensor and bins tensors should have the same dtype.")
            if b._array.ndim != 1 or not b._array.size:
                raise ShapeError(f"{name}: bins tensor should have one dimension and at least one edge.")
            edges.append(to_numpy_array(b))
            continue
        if b <= 0:
            raise RefusedError(f"{name}: bins must be > 0, but got {b}.")
        if bounds is not None:
            low, high = bounds[2 * d], bounds[2 * d + 1]
        else:
            low, high = (values[:, d].min(), values[:, d].max()) if len(values) else (0.0, 1.0)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise RefusedError(f"{name}: dimension {d}'s range [{low}, {high}] is not finite.")
        if low > high:
            raise RefusedError(f"{name}: min should not exceed max, but got min {low} max {high}.")
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges.append(np.linspace(low, high, b + 1).astype(values.dtype))
    weights = None
    if weight is not None:
        if weight._array.dtype != points._array.dtype:
            raise DtypeError(f"{name}: if weight tensor is provided, it should have the same dtype as input.")
        weights = to_numpy_array(weight).reshape(-1)
        if weights.size != len(values):
            raise ShapeError(f"{name}: if weight tensor is provided it should have the same shape as the input.")
    # half-open bins, the last one closed; the edges need not be sorted (then it is whatever bisection finds)
    places, inside = [], np.ones(len(values), bool)
    for d, e in enumerate(edges):
        inside &= (values[:, d] >= e[0]) & (values[:, d] <= e[-1])
        places.append(np.minimum(np.searchsorted(e, values[:, d], side="right") - 1, len(e) - 2))
    hist = np.zeros([len(e) - 1 for e in edges])
    np.add.at(hist, tuple(p[inside] for p in places), 1.0 if weights is None else weights[inside])
    if density:
        volume = np.ones(hist.shape)
        for d, e in enumerate(edges):
            volume = volume * np.diff(e).reshape([-1 if i == d else 1 for i in range(dims)])
        hist = hist / hist.sum() / volume
    return _like(points, hist.astype(values.dtype)), tuple(_like(points, e) for e in edges)


# --- calculus along a dim ---------------------------------------------------------------------------------------------


def _slices(x, dim: int, start: int, stop: int):
    n = _shape(x)[dim]
    stop = stop + n if stop <= 0 else stop
    return ops.narrow(x, dim=dim, start=start, length=max(stop - start, 0))


def trapezoid(y, x=None, *, dx=None, dim: int = -1):
    """The integral along ``dim`` by the trapezoidal rule, at points ``x`` or ``dx`` apart (1).

    >>> import mlkit
    >>> mlkit.trapezoid(mlkit.tensor([1.0, 5.0, 10.0]))
    tensor(10.5000)
    """
    return ops.sum(_trapezoids("trapezoid", y, x, dx, dim), dim=canonical_dim("trapezoid", dim, y._array.ndim))


def cumulative_trapezoid(y, x=None, *, dx=None, dim: int = -1):
    """The running integral along ``dim`` by the trapezoidal rule; one value fewer than y."""
    parts = _trapezoids("cumulative_trapezoid", y, x, dx, dim)
    return ops.cumsum(parts, dim=canonical_dim("cumulative_trapezoid", dim, y._array.ndim))


def _trapezoids(name, y, x, dx, dim):
    if x is not None and dx is not None:
        raise ArgumentError(f"{name}: give x or dx, not both.")
    if not y._array.ndim and x is not None:
        raise DimensionError(f"{name}: expected y with at least one dim, got a 0-d tensor.")
    dim = canonical_dim(name, dim, y._array.ndim)
    n = _shape(y)[dim] if y._array.ndim else 1
    if y._array.dtype == bool or (x is not None and x._array.dtype == bool):
        raise DtypeError(f"{name}: received a bool input.")
    if not y._array.ndim or n == 0:
        return ops.reshape(y, shape=(1,)) * 0 if not y._array.ndim else y
    if x is None:
        pairs = ops.add(_slices(y, dim, 1, 0), _slices(y, dim, 0, -1)) if n > 1 else _slices(y, dim, 0, 0)
        if n == 1:
            pairs = ops.narrow(y, dim=dim, start=0, length=0)
        return ops.mul(ops.div(pairs, 2.0), 1 if dx is None else dx)
    if x._array.ndim == 1:
        if x._array.size != n:
            raise ShapeError(f"{name}: there must be one x value for each sample point.")
        x = ops.reshape(x, shape=(n, *(1,) * (y._array.ndim - dim - 1)))
    elif x._array.ndim < y._array.ndim:
        x = ops.reshape(x, shape=(*(1,) * (y._array.ndim - x._array.ndim), *_shape(x)))
    along = dim - y._array.ndim
    steps = ops.sub(_slices(x, x._array.ndim + along, 1, 0), _slices(x, x._array.ndim + along, 0, -1))
    if n == 1:
        return ops.mul(ops.narrow(y, dim=dim, start=0, length=0), steps)
    return ops.div(ops.mul(steps, ops.add(_slices(y, dim, 1, 0), _slices(y, dim, 0, -1))), 2.0)


def diff(input, n: int = 1, dim: int = -1, prepend=None, append=None):
    """The n-th differences of neighbours along ``dim``, with values put before and behind first."""
    if not input._array.ndim:
        raise ShapeError("diff expects input to be at least one-dimensional.")
    if n == 0:
        return ops.clone(input)
    dim = canonical_dim("diff", dim, input._array.ndim)
    if n < 0:
        raise ShapeError(f"order must be non-negative but got {n}.")
    parts = [x for x in (prepend, input, append) if x is not None]
    for x in parts:
        if x._array.ndim != input._array.ndim:
            raise ShapeError("diff expects prepend or append to be the same dimension as input.")
    out = cat(parts, dim) if len(parts) > 1 else input
    for _ in range(n):
        if _shape(out)[dim] < 2:
            return ops.narrow(out, dim=dim, start=0, length=0)
        after, before = _slices(out, dim, 1, 0), _slices(out, dim, 0, -1)
        out = ops.logical_xor(after, before) if out._array.dtype == bool else ops.sub(after, before)
    return out


def gradient(input, *, spacing=1, dim=None, edge_order: int = 1):
    """The derivative of samples along each dim by central differences, one-sided at the edges: a list of tensors.

    ``spacing`` is a step, a list of steps, or a list of coordinate vectors.

    >>> import mlkit
    >>> mlkit.gradient(mlkit.tensor([1.0, 4.0, 9.0, 16.0]))[0]
    tensor([3., 4., 6., 7.])
    """
    spacing = 1 if spacing is None else spacing
    if edge_order not in (1, 2):
        raise ShapeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    rank = input._array.ndim
    several = isinstance(spacing, (list, tuple))
    if dim is None:
        dims = list(range(rank)) if not several or len(spacing) != 1 or rank == 1 else list(range(rank))
    else:
        dims = [canonical_dim("gradient", d, rank) for d in (dim if isinstance(dim, (list, tuple)) else [dim])]
        if len(set(dims)) != len(dims):
            raise ShapeError(f"dim {dims[0]} appears multiple times in the list of dims.")
    if several and len(spacing) != len(dims):
        raise ShapeError(
            f"torch.gradient expected spacing to be unspecified, a scalar or a list of length equal to 'dim' "
            f"({len(dims)}), got {len(spacing)}."
        )
    if input._array.dtype == np.uint8:
        raise RefusedError("torch.gradient does not support uint8 input.")
    out = []
    for position, d in enumerate(dims):
        n = _shape(input)[d]
        if n < edge_order + 1:
            raise ShapeError("torch.gradient expected each dimension size to be at least edge_order+1.", f"{n}")
        step = spacing[position] if several else spacing
        if isinstance(step, Value) and step._array.ndim:
            if step._array.ndim != 1 or step._array.size != n:
                raise ShapeError(
                    f"torch.gradient expected each element of spacing to have {n} coordinates along dim {d}."
                )
            steps = ops.reshape(
                ops.sub(_slices(step, 0, 1, 0), _slices(step, 0, 0, -1)), shape=(-1, *(1,) * (rank - d - 1))
            )
            out.append(_uneven(input, steps, d, edge_order))
        else:
            out.append(_even(input, step, d, edge_order))
    return tuple(out)


def _at(x, dim, i):
    n = _shape(x)[dim]
    return ops.narrow(x, dim=dim, start=i + n if i < 0 else i, length=1)


def _even(f, h, dim, edge_order):
    middle = ops.div(
        ops.sub(_slices(f, dim, 2, 0), _slices(f, dim, 0, -2)), 2 * h if not isinstance(h, Value) else h * 2
    )
    if edge_order == 1:
        first = ops.div(ops.sub(_at(f, dim, 1), _at(f, dim, 0)), h)
        last = ops.div(ops.sub(_at(f, dim, -1), _at(f, dim, -2)), h)
    else:
        first = ops.div(_at(f, dim, 0) * -1.5 + _at(f, dim, 1) * 2 - _at(f, dim, 2) * 0.5, h)
        last = ops.div(_at(f, dim, -1) * 1.5 - _at(f, dim, -2) * 2 + _at(f, dim, -3) * 0.5, h)
    return cat([first, middle, last], dim)


def _uneven(f, steps, dim, edge_order):
    along = 0
    left, right = _slices(steps, along, 0, -1), _slices(steps, along, 1, 0)
    a = ops.div(ops.neg(right), ops.mul(left, ops.add(left, right)))
    b = ops.div(ops.sub(right, left), ops.mul(left, right))
    c = ops.div(left, ops.mul(right, ops.add(left, right)))
    middle = a * _slices(f, dim, 0, -2) + b * _slices(f, dim, 1, -1) + c * _slices(f, dim, 2, 0)
    h0, h1 = _at(steps, along, 0), _at(steps, along, -1)
    if edge_order == 1:
        first = ops.div(ops.sub(_at(f, dim, 1), _at(f, dim, 0)), h0)
        last = ops.div(ops.sub(_at(f, dim, -1), _at(f, dim, -2)), h1)
    else:
        g0, g1 = _at(steps, along, 1), _at(steps, along, -2)
        first = (
            _at(f, dim, 0) * (-(h0 * 2 + g0) / (h0 * (h0 + g0)))
            + _at(f, dim, 1) * ((h0 + g0) / (h0 * g0))
            - _at(f, dim, 2) * (h0 / (g0 * (h0 + g0)))
        )
        last = (
            _at(f, dim, -3) * (h1 / (g1 * (g1 + h1)))
            - _at(f, dim, -2) * ((h1 + g1) / (g1 * h1))
            + _at(f, dim, -1) * ((h1 * 2 + g1) / (h1 * (g1 + h1)))
        )
    return cat([first, middle, last], dim)


def vander(x, N=None, increasing: bool = False):  # noqa: N803 - PyTorch's name
    """The Vandermonde matrix of a vector: its powers as columns, the highest first unless ``increasing``."""
    if x._array.ndim != 1:
        raise ShapeError("x must be a one-dimensional tensor.", f"x: {_shape(x)}")
    n = x._array.size if N is None else N
    if n < 0:
        raise ShapeError("N must be non-negative.")
    base = ops.cast(x, dtype=dtypes.int64) if x._array.dtype == bool else x
    if x._array.dtype.kind in "iub":
        base = ops.cast(x, dtype=dtypes.int64)
    if not n:
        return wrap(base._array[:, None][:, :0])
    columns = [ops.ones_like(base)]
    for _ in range(n - 1):
        columns.append(ops.mul(columns[-1], base))
    return stack(columns if increasing else columns[::-1], 1)


def renorm(input, p: float, dim: int, maxnorm: float):
    """Slices along ``dim`` whose p-norm is above maxnorm, scaled down to it."""
    if input._array.ndim < 2:
        raise ShapeError(f"renorm: input needs at least 2 dimensions, got {input._array.ndim} dimensions.")
    if p <= 0:
        raise RefusedError("renorm: non-positive-norm not supported.")
    if not maxnorm >= 0:
        raise RefusedError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}.")
    from mlkit.functional.reductions import norm

    dim = canonical_dim("renorm", dim, input._array.ndim)
    others = tuple(i for i in range(input._array.ndim) if i != dim)
    size = norm(input, p=float(p), dim=others, keepdim=True)
    factor = ops.where(ops.gt(size, maxnorm), ops.div(ops.ones_like(size) * maxnorm, size + 1e-7), ops.ones_like(size))
    return ops.mul(input, factor)
