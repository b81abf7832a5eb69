"""Image operations on arrays [..., channels, rows, columns], in NumPy. The formulas are torchvision's for tensors."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from mlkit.data.transforms.images import InterpolationMode, bound, three_or_one

__all__ = [
    "autocontrast",
    "blend",
    "equalize",
    "gaussian_blur",
    "grayscale",
    "hsv_shift",
    "posterize",
    "resize",
    "sharpened",
    "warp",
]


def working(planes: np.ndarray) -> np.ndarray:
    """As floats to compute with: float64 stays, everything else is float32."""
    return planes if planes.dtype == np.float64 else planes.astype(np.float32)


def back(values: np.ndarray, dtype: np.dtype, round_first: bool) -> np.ndarray:
    """In the image's own type; whole numbers are kept within its range."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values) if round_first else values, limits.min, limits.max)
    return values.astype(dtype, copy=False)


# --- sizes -----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def weights(before: int, after: int, mode: str, antialias: bool) -> np.ndarray:
    """float64 [after, before]: how much of each old pixel is in each new one."""
    scale = before / after
    stretch = max(scale, 1.0) if antialias else 1.0  # shrinking with antialias looks at all pixels that become one
    reach = (1.0 if mode == "bilinear" else 2.0) * stretch
    matrix = np.zeros((after, before))
    for row in range(after):
        center = (row + 0.5) * scale
        if antialias:  # pixels beyond the edge do not count
            first, last = max(int(center - reach + 0.5), 0), min(int(center + reach + 0.5), before)
            places = np.arange(first, last)
            share = kernel((places - center + 0.5) / stretch, mode, -0.5)
            matrix[row, places] = share / share.sum()
        else:  # the pixel at the edge stands for those beyond it
            at = center - 0.5 if mode == "bicubic" else max(center - 0.5, 0.0)
            first = math.floor(at)
            places = np.arange(first, first + 2) if mode == "bilinear" else np.arange(first - 1, first + 3)
            np.add.at(matrix[row], np.clip(places, 0, before - 1), kernel(places - at, mode, -0.75))
    matrix.setflags(write=False)
    return matrix


def kernel(x: np.ndarray, mode: str, a: float) -> np.ndarray:
    """The triangle, or Keys' cubic with parameter `a`."""
    x = np.abs(x)
    if mode == "bilinear":
        return np.maximum(1 - x, 0)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * a * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def resize(planes: np.ndarray, rows: int, columns: int, mode: InterpolationMode, antialias: bool) -> np.ndarray:
    height, width = planes.shape[-2:]
    if (height, width) == (rows, columns):
        return planes
    if mode in (InterpolationMode.NEAREST, InterpolationMode.NEAREST_EXACT):
        half = 0.5 if mode is InterpolationMode.NEAREST_EXACT else 0.0
        down = np.minimum(((np.arange(rows) + half) * (height / rows)).astype(np.int64), height - 1)
        across = np.minimum(((np.arange(columns) + half) * (width / columns)).astype(np.int64), width - 1)
        return planes[..., down[:, None], across]
    values = working(planes)
    if width != columns:
        values = values @ weights(width, columns, mode.value, antialias).T.astype(values.dtype)
    if height != rows:
        values = weights(height, rows, mode.value, antialias).astype(values.dtype) @ values
    return back(values, planes.dtype, round_first=True)


# --- geometry --------------------------------------------------------------------------------------------------------


def warp(
    planes: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    mode: InterpolationMode,
    fill: list[float] | None,
) -> np.ndarray:
    """Each new pixel takes its value from the place (x, y) of the old image, in pixels; outside is `fill`, or black.

    Args:
        planes: [..., channels, rows, columns].
        x, y: float64 [new rows, new columns]; 0 is the middle of the first pixel.
    """
    rows, columns = planes.shape[-2:]
    values = working(planes)
    if mode is InterpolationMode.NEAREST:
        column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        result = planes[..., np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)]
        outside = np.asarray([0.0] * planes.shape[-3] if fill is None else fill).astype(planes.dtype)
        return np.where(inside, result, outside[:, None, None])
    left, top = np.floor(x), np.floor(y)
    right_share, low_share = x - left, y - top
    column, row = left.astype(np.int64), top.astype(np.int64)
    total: Any = 0.0
    covered = np.zeros(x.shape)
    for down, vertical in ((0, 1 - low_share), (1, low_share)):
        for across, horizontal in ((0, 1 - right_share), (1, right_share)):
            r, c = row + down, column + across
            share = vertical * horizontal * ((r >= 0) & (r < rows) & (c >= 0) & (c < columns))
            total = total + values[..., np.clip(r, 0, rows - 1), np.clip(c, 0, columns - 1)] * share.astype(
                values.dtype
            )
            covered += share
    if fill is not None:
        inside, outside = covered.astype(values.dtype), np.asarray(fill, values.dtype)[:, None, None]
        total = total * inside + (1 - inside) * outside  # counts `inside` twice at the edge, as torchvision does
    return back(total, planes.dtype, round_first=True)


# --- colours ---------------------------------------------------------------------------------------------------------


def blend(one: np.ndarray, other: Any, ratio: float) -> np.ndarray:
    """ratio * one + (1 - ratio) * other, kept between black and white; whole numbers are cut off, as in PyTorch."""
    mixed = working(one) * np.float32(ratio) + np.float32(1.0 - ratio) * other
    return np.clip(mixed, 0, bound(one.dtype)).astype(one.dtype)


def grayscale(planes: np.ndarray) -> np.ndarray:
    """Brightness as the eye sees it (ITU-R 601-2): [..., 1, rows, columns]."""
    three_or_one(planes, "grayscale")
    if planes.shape[-3] == 1:
        return planes.copy()
    red, green, blue = (working(planes[..., i, :, :]) for i in range(3))
    gray = np.float32(0.2989) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    return gray.astype(planes.dtype)[..., None, :, :]


def contrast_center(planes: np.ndarray) -> np.ndarray:
    """The mean brightness of each image."""
    return working(grayscale(planes)).mean((-3, -2, -1), keepdims=True)


def hsv_shift(planes: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue by `shift` of a full circle."""
    whole = planes.dtype.kind in "iu"
    white = bound(planes.dtype)
    values = planes / np.float32(white) if whole else planes
    red, green, blue = values[..., 0, :, :], values[..., 1, :, :], values[..., 2, :, :]
    most, least = values.max(-3), values.min(-3)
    span = most - least
    same = span == 0
    saturation = span / np.where(same, 1, most)
    divisor = np.where(same, 1, span)
    r, g, b = (most - red) / divisor, (most - green) / divisor, (most - blue) / divisor
    hue = (most == red) * (b - g)
    hue = hue + ((most == green) & (most != red)) * (2.0 + r - b)
    hue = hue + ((most != green) & (most != red)) * (4.0 + g - r)
    hue = np.fmod(np.fmod(hue / 6.0 + 1.0, 1.0) + shift, 1.0)
    hue = np.where(hue < 0, hue + 1, hue).astype(values.dtype)
    sector = np.floor(hue * 6.0)
    rest = hue * 6.0 - sector
    p = np.clip(most * (1 - saturation), 0, 1)
    q = np.clip(most * (1 - saturation * rest), 0, 1)
    t = np.clip(most * (1 - saturation * (1 - rest)), 0, 1)
    which = sector.astype(np.int64) % 6
    turned = np.stack(
        [
            np.choose(which, [most, q, p, p, t, most]),
            np.choose(which, [t, most, most, q, p, p]),
            np.choose(which, [p, p, t, most, most, q]),
        ],
        axis=-3,
    )
    if whole:
        return (turned * np.float32(white + 1.0 - 1e-3)).astype(planes.dtype)
    return turned.astype(planes.dtype)


def posterize(planes: np.ndarray, bits: int) -> np.ndarray:
    return planes & np.uint8(256 - 2 ** (8 - bits))


def autocontrast(planes: np.ndarray) -> np.ndarray:
    """Stretch each channel from black to white."""
    white = bound(planes.dtype)
    values = working(planes)
    least, most = values.min((-2, -1), keepdims=True), values.max((-2, -1), keepdims=True)
    with np.errstate(divide="ignore"):
        scale = np.float32(white) / (most - least)
    flat = ~np.isfinite(scale)
    stretched = (values - np.where(flat, 0, least)) * np.where(flat, 1, scale)
    return np.clip(stretched, 0, white).astype(planes.dtype)


def equalize(planes: np.ndarray) -> np.ndarray:
    """Make all brightnesses about equally frequent in each channel; uint8 only."""
    result = np.empty_like(planes)
    for place in np.ndindex(*planes.shape[:-2]):
        plane = planes[place]
        counts = np.bincount(plane.reshape(-1), minlength=256)
        used = counts[counts != 0]
        step = used[:-1].sum() // 255
        if step == 0:
            result[place] = plane
            continue
        table = np.concatenate([[0], (np.cumsum(counts) + step // 2)[:-1] // step])
        result[place] = np.clip(table, 0, 255).astype(np.uint8)[plane]
    return result


def sharpened(planes: np.ndarray, factor: float) -> np.ndarray:
    """Towards a softened copy (0) or away from it (above 1)."""
    if planes.shape[-1] <= 2 or planes.shape[-2] <= 2:
        return planes
    values = working(planes)
    soft = values.copy()
    total: Any = 0.0
    rows, columns = planes.shape[-2:]
    for down in range(3):
        for across in range(3):
            weight = np.float32((5.0 if down == across == 1 else 1.0) / 13.0)
            total = total + weight * values[..., down : rows - 2 + down, across : columns - 2 + across]
    soft[..., 1:-1, 1:-1] = back(total, planes.dtype, round_first=True)
    return blend(planes, soft.astype(values.dtype), factor)


def gaussian_kernel(size: int, sigma: float) -> np.ndarray:
    x = np.linspace(-(size - 1) * 0.5, (size - 1) * 0.5, size)
    bell = np.exp(-0.5 * (x / sigma) ** 2)
    return bell / bell.sum()


def gaussian_blur(planes: np.ndarray, kernel_size: tuple[int, int], sigma: tuple[float, float]) -> np.ndarray:
    """Kernel size and sigma across and down, in this order; the image goes on mirrored beyond its edges."""
    across, down = (gaussian_kernel(size, s) for size, s in zip(kernel_size, sigma))
    edges = [(0, 0)] * (planes.ndim - 2) + [(len(down) // 2,) * 2, (len(across) // 2,) * 2]
    values = np.pad(working(planes), edges, mode="reflect")
    rows, columns = planes.shape[-2:]
    smooth = sum(w * values[..., :, i : i + columns] for i, w in enumerate(across.astype(values.dtype)))
    smooth = sum(w * smooth[..., i : i + rows, :] for i, w in enumerate(down.astype(values.dtype)))  # type: ignore[index]
    return back(np.asarray(smooth), planes.dtype, round_first=True)
