"""Images at other sizes and places: interpolation, sampling on a grid, and rearranged pixels."""

from __future__ import annotations

import math
import warnings

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import composite, ops
from mlkit.core.errors import ArgumentError, InputRankError, MissingFeature, ShapeError, ValueRangeError
from mlkit.functional.arguments import check_floating, check_same_dtype
from mlkit.ops.interpolate import sizes_from

_MODES = {3: {"linear": "linear"}, 4: {"bilinear": "linear", "bicubic": "cubic"}, 5: {"trilinear": "linear"}}


def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
):
    """input (N, C, *spatial) at another size.

    Args:
        size: the new spatial size, one number or one per dim; or
        scale_factor: how much larger, one number or one per dim.
        mode: "nearest", "nearest-exact", "area"; "linear" for one spatial dim, "bilinear" or "bicubic" for two,
            "trilinear" for three.
        align_corners: the centres of the corner pixels stay in place (the smooth modes); otherwise their outer edges.
        recompute_scale_factor: use the ratio of the sizes instead of scale_factor for the step.
        antialias: average over what an output pixel covers when shrinking ("bilinear" and "bicubic").

    >>> import mlkit
    >>> mlkit.nn.functional.interpolate(mlkit.arange(4.0).reshape(1, 1, 4), scale_factor=2)
    tensor([[[0., 0., 1., 1., 2., 2., 3., 3.]]])
    """
    rank, shape = input._array.ndim, tuple(input._array.shape)
    if mode in ("nearest", "area", "nearest-exact"):
        if align_corners is not None:
            raise ValueRangeError(
                "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
            )
        kind = mode
    else:
        align_corners = bool(align_corners)
        if mode not in {name for table in _MODES.values() for name in table}:
            raise InputRankError(f"interpolate: there is no mode {mode!r}.")
        if rank not in _MODES or mode not in _MODES[rank]:
            raise InputRankError(
                f"Got {rank}D input, but {mode} mode needs another: 3D (linear), 4D (bilinear, bicubic) or 5D (trilinear)."
            )
        kind = _MODES[rank][mode]
    if rank not in (3, 4, 5):
        raise InputRankError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {rank}D) for mode {mode!r}."
        )
    whole_pixels = input._array.dtype.name == "uint8" and (kind.startswith("nearest") or rank == 4 and kind != "area")
    if input._array.dtype.kind not in "fV" and not whole_pixels:
        check_floating(f"interpolate (mode {mode!r})", input)
    n = rank - 2
    if (size is None) == (scale_factor is None):
        which = "either size or scale_factor should be defined" if size is None else (
            "only one of size or scale_factor should be defined"
        )  # fmt: skip
        raise ValueRangeError(which)
    factors = None
    if size is not None:
        if recompute_scale_factor:
            raise ValueRangeError("recompute_scale_factor is not meaningful with an explicit size.")
        if any(not hasattr(s, "__index__") for s in (size if isinstance(size, (tuple, list)) else (size,))):
            raise ArgumentError(f"interpolate: expected size to be an int or a tuple of ints, got {size!r}.")
        sizes = _each(size, n, "size", shape)
    else:
        given = _each(scale_factor, n, "scale_factor", shape)
        sizes = sizes_from(shape[2:], given)
        if kind == "area":
            recompute_scale_factor = True
        factors = None if recompute_scale_factor else tuple(map(float, given))
    if antialias and not (mode in ("bilinear", "bicubic") and rank == 4):
        raise ValueRangeError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D tensor as input"
        )
    if min(*sizes, *shape[1:]) < 1:
        raise ShapeError(f"Input and output sizes should be greater than 0, but got input {shape} and output {sizes}.")
    if kind == "area":
        return ops.interpolate(input, sizes=sizes, mode="area")
    how = {"mode": kind, "align_corners": bool(align_corners), "factors": factors, "antialias": antialias}
    return ops.interpolate(input, sizes=sizes, **how)


def _each(given, n, name, shape) -> tuple:
    if isinstance(given, (list, tuple)):
        if len(given) != n:
            raise ValueRangeError(
                f"Input and {name} must have the same number of spatial dimensions, but got input with shape {shape} and "
                f"{name} of {list(given)}."
            )
        return tuple(given)
    return (given,) * n


def upsample(input, size=None, scale_factor=None, mode: str = "nearest", align_corners: bool | None = None):
    """interpolate, under its old name."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None):
    """interpolate with the nearest value."""
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input, size=None, scale_factor=None):
    """interpolate in two dims, corners aligned."""
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


# --- sampling on a grid -------------------------------------------------------------------------------------------------


def affine_grid(theta, size, align_corners: bool | None = None):
    """Where each output pixel looks under affine maps: theta (N, 2, 3) and size (N, C, H, W) -> (N, H, W, 2).

    Coordinates run from -1 to 1 over the image; theta (N, 3, 4) with size (N, C, D, H, W) gives (N, D, H, W, 3).
    For grid_sample (Jaderberg et al. 2015, arXiv:1506.02025).
    """
    if theta._array.dtype.kind != "f":
        raise ValueRangeError(f"Expected theta to have floating point type, but got {theta._array.dtype}")
    size = tuple(size)
    n = len(size) - 2
    if n not in (2, 3):
        raise MissingFeature(
            f"affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms. Got size {size}."
        )
    if theta._array.ndim != 3 or tuple(theta._array.shape[1:]) != (n, n + 1):
        raise ValueRangeError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got {theta.shape}."
        )
    if min(size) <= 0:
        raise ValueRangeError(f"Expected non-zero, positive output size. Got {size}")
    if align_corners is None:
        warnings.warn("Default grid_sample and affine_grid behavior is align_corners=False.", stacklevel=2)
    spatial = size[2:]
    base = []
    for axis in reversed(range(n)):  # x comes first, it runs along the last axis
        count = spatial[axis]
        steps = ops.cast_like(ops.index_array(range(count), like=theta), theta)
        if align_corners:
            line = ops.add(ops.mul(steps, 2 / (count - 1)), -1.0) if count > 1 else ops.mul(steps, 0.0)
        else:
            line = ops.add(ops.mul(steps, 2 / count), 1 / count - 1)
        line = ops.reshape(line, shape=tuple(count if a == axis else 1 for a in range(n)))
        base.append(ops.reshape(ops.expand(line, shape=spatial), shape=(-1, 1)))
    base.append(ops.add(ops.mul(base[0], 0.0), 1.0))
    points = ops.matmul(ops.unsqueeze(ops.cat(base, dim=1), 0), ops.mT(theta))
    return ops.reshape(points, shape=(theta._array.shape[0], *spatial, n))


def _clipped(x, limit: int):
    """x within 0 .. limit - 1, without slope at the ends and beyond."""
    x = ops.where(ops.gt(x, 0), x, ops.mul(x.detach(), 0.0))
    top = ops.add(ops.mul(x.detach(), 0.0), float(limit - 1))
    return ops.where(ops.lt(x, limit - 1), x, top)


def _reflected(x, twice_low: int, twice_high: int):
    """x mirrored at low and high (given doubled, so that halves are integers) until it lies between."""
    if twice_low == twice_high:
        return ops.mul(x, 0.0)
    low, span = twice_low / 2, (twice_high - twice_low) / 2
    x = ops.abs(ops.sub(x, low))
    turns = ops.floor(ops.div(x.detach(), span))
    extra = ops.sub(x, ops.mul(turns, span))
    odd = ops.ne(ops.remainder(turns, 2.0), 0)
    return ops.where(odd, ops.add(ops.neg(extra), span + low), ops.add(extra, low))


def _within(x, n: int, padding_mode: str, align_corners: bool):
    """Coordinates (in pixels) moved into the image as the padding mode says."""
    if padding_mode == "border":
        return _clipped(x, n)
    if padding_mode == "reflection":
        x = _reflected(x, 0, 2 * (n - 1)) if align_corners else _reflected(x, -1, 2 * n - 1)
        return _clipped(x, n)
    return x


@composite
def grid_sample(input, grid, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None):
    """input (N, C, H, W) read at the places of grid (N, H', W', 2) -> (N, C, H', W').

    Places are (x, y) from -1 to 1 over the image; for (N, C, D, H, W) the grid is (N, D', H', W', 3) with (x, y, z).

    Args:
        mode: "bilinear" (also for three dims), "nearest", "bicubic" (two dims).
        padding_mode: what lies outside: "zeros", "border" (the edge), "reflection".
        align_corners: whether -1 and 1 are the centres of the corner pixels or the outer edges.
    """
    check_floating("grid_sample", input)
    check_same_dtype("grid_sample", input, parameters=False, grid=grid)
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueRangeError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueRangeError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    if align_corners is None:
        warnings.warn("Default grid_sample and affine_grid behavior is align_corners=False.", stacklevel=3)
    align_corners = bool(align_corners)
    shape, places = tuple(input._array.shape), tuple(grid._array.shape)
    n = len(shape) - 2
    if n not in (2, 3) or len(places) != n + 2 or places[0] != shape[0] or places[-1] != n:
        raise ShapeError(
            "grid_sample(): expected input (N, C, H, W) with grid (N, H', W', 2), or 5-D input with grid (..., 3).",
            f"input: {shape}\ngrid:  {places}",
        )
    if mode == "bicubic" and n == 3:
        raise ShapeError("grid_sample(): bicubic interpolation only supports 4D input")
    if 0 in shape[1:]:
        raise ShapeError(f"grid_sample(): expected input to have non-empty spatial dimensions, but got {shape}.")
    spatial = shape[2:]
    coordinates = []
    for axis in range(n):
        x = ops.slice(grid, index=(*([slice(None)] * (n + 1)), n - 1 - axis))
        size = spatial[axis]
        x = (
            ops.mul(ops.add(x, 1.0), (size - 1) / 2)
            if align_corners
            else ops.div(ops.sub(ops.mul(ops.add(x, 1.0), size), 1.0), 2.0)
        )
        coordinates.append(x)
    if mode == "bicubic":
        return _read_cubic(input, coordinates, padding_mode, align_corners)
    coordinates = [_within(x, s, padding_mode, align_corners) for x, s in zip(coordinates, spatial, strict=True)]
    if mode == "nearest":
        out = _read(input, [ops.round(x.detach()) for x in coordinates])
        for x in coordinates:  # the grid belongs to the graph, with slope 0
            never = ops.lt(ops.mul(ops.isnan(x), 0), 0)
            out = ops.add(out, ops.unsqueeze(ops.where(never, x, ops.zeros_like(x)), 1))
        return out
    low = [ops.floor(x.detach()) for x in coordinates]
    total = None
    for corner in range(2**n):
        at, weight = [], None
        for axis in range(n):
            high = corner >> axis & 1
            part = ops.sub(coordinates[axis], low[axis])
            part = part if high else ops.sub(1.0, part)
            weight = part if weight is None else ops.mul(weight, part)
            at.append(ops.add(low[axis], 1.0) if high else low[axis])
        term = ops.mul(_read(input, at), ops.unsqueeze(weight, 1))
        total = term if total is None else ops.add(total, term)
    return total


def _read(input, at: list):
    """input at whole-numbered places, one tensor (N, *out) per spatial axis; zeros outside."""
    shape = tuple(input._array.shape)
    spatial, out = shape[2:], tuple(at[0]._array.shape[1:])
    inside = flat = None
    for x, size in zip(at, spatial, strict=True):
        ok = ops.logical_and(ops.ge(x, 0.0), ops.le(x, float(size - 1)))
        place = ops.cast(ops.where(ok, x, ops.mul(x, 0.0)), dtype=dtypes.int64)
        place = ops.where(ok, place, ops.zeros_like(place))  # also where x is NaN
        inside = ok if inside is None else ops.logical_and(inside, ok)
        flat = place if flat is None else ops.add(ops.mul(flat, size), place)
    index = ops.expand(ops.reshape(flat, shape=(shape[0], 1, -1)), shape=(shape[0], shape[1], math.prod(out)))
    rows = ops.reshape(input, shape=(shape[0], shape[1], math.prod(spatial)))
    values = ops.reshape(ops.gather(rows, index, dim=2), shape=(shape[0], shape[1], *out))
    return ops.where(ops.unsqueeze(inside, 1), values, ops.zeros_like(values))


def _cubic_weights(t):
    """Keys' kernel with a = -0.75 at the four neighbours of a place t after the second."""
    a = -0.75

    def near(x):
        return ops.add(ops.mul(ops.mul(ops.sub(ops.mul(x, a + 2), a + 3), x), x), 1.0)

    def far(x):
        inner = ops.sub(ops.mul(ops.add(ops.mul(ops.sub(x, 5.0), x), 8.0), x), 4.0)
        return ops.mul(inner, a)

    return [far(ops.add(t, 1.0)), near(t), near(ops.sub(1.0, t)), far(ops.sub(2.0, t))]


def _read_cubic(input, coordinates, padding_mode, align_corners):
    spatial = tuple(input._array.shape[2:])
    low = [ops.floor(x.detach()) for x in coordinates]
    weights = [_cubic_weights(ops.sub(x, a)) for x, a in zip(coordinates, low, strict=True)]
    total = None
    for i in range(4):
        for j in range(4):
            at = [
                _within(ops.add(a, float(k - 1)), s, padding_mode, align_corners).detach()
                for a, k, s in zip(low, (i, j), spatial, strict=True)
            ]
            # reflection gives halves where the edge, not the pixel, is the mirror
            at = [ops.round(x) for x in at] if padding_mode == "reflection" else at
            term = ops.mul(_read(input, at), ops.unsqueeze(ops.mul(weights[0][i], weights[1][j]), 1))
            total = term if total is None else ops.add(total, term)
    return total


# --- rearranged pixels --------------------------------------------------------------------------------------------------


def pixel_shuffle(input, upscale_factor: int):
    """Channels laid out as pixels: (*, C r^2, H, W) -> (*, C, H r, W r) (Shi et al. 2016, arXiv:1609.05158)."""
    r, shape = upscale_factor, tuple(input._array.shape)
    if len(shape) < 3:
        raise ShapeError(f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {len(shape)}.")
    if r <= 0 or shape[-3] % (r * r):
        raise ShapeError(
            f"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but "
            f"input.size(-3)={shape[-3]} is not divisible by {r * r}."
        )
    *lead, c, h, w = shape
    k = len(lead)
    x = ops.reshape(input, shape=(*lead, c // (r * r), r, r, h, w))
    x = ops.permute(x, dims=(*range(k), k, k + 3, k + 1, k + 4, k + 2))
    return ops.reshape(x, shape=(*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input, downscale_factor: int):
    """Pixels gathered into channels: (*, C, H r, W r) -> (*, C r^2, H, W)."""
    r, shape = downscale_factor, tuple(input._array.shape)
    if len(shape) < 3:
        raise ShapeError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {len(shape)}."
        )
    *lead, c, h, w = shape
    if r <= 0 or h % r or w % r:
        raise ShapeError(
            f"pixel_unshuffle expects height and width to be divisible by downscale_factor, but {h} x {w} is not divisible "
            f"by {r}."
        )
    k = len(lead)
    x = ops.reshape(input, shape=(*lead, c, h // r, r, w // r, r))
    x = ops.permute(x, dims=(*range(k), k, k + 2, k + 4, k + 1, k + 3))
    return ops.reshape(x, shape=(*lead, c * r * r, h // r, w // r))


def channel_shuffle(input, groups: int):
    """Channels of (N, C, *) dealt out: the first of each group, then the second ... (Zhang et al. 2017, arXiv:1707.01083)."""
    shape = tuple(input._array.shape)
    if len(shape) < 3:
        raise ShapeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(shape)}.")
    if groups <= 0 or shape[1] % groups:
        raise ShapeError(
            f"Number of channels must be divisible by groups. Got {shape[1]} channels and {groups} groups."
        )
    x = ops.reshape(input, shape=(shape[0], groups, shape[1] // groups, math.prod(shape[2:])))
    return ops.reshape(ops.permute(x, dims=(0, 2, 1, 3)), shape=shape)


native_channel_shuffle = channel_shuffle
