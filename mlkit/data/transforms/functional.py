"""One image in, one image out, nothing random: torchvision.transforms.functional's names and arguments.

An image is a Pillow image, an array [rows, columns] or [rows, columns, channels], or a tensor [..., channels, rows,
columns]; what comes out is of the same kind. Pillow images are changed by Pillow itself, the others by NumPy with the
formulas that torchvision has for tensors. Gradients do not flow through image transforms.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

import mlkit
from mlkit.core.errors import ArgumentError, DataError, ShapeError, ValueRangeError
from mlkit.data import arrays
from mlkit.data.transforms import images, planes
from mlkit.data.transforms.images import InterpolationMode, channels_of, interpolation_mode, is_pil, on_planes, size_of

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "affine",
    "autocontrast",
    "center_crop",
    "convert_image_dtype",
    "crop",
    "equalize",
    "erase",
    "five_crop",
    "gaussian_blur",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "hflip",
    "invert",
    "normalize",
    "pad",
    "perspective",
    "pil_to_tensor",
    "posterize",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "rotate",
    "solarize",
    "ten_crop",
    "to_grayscale",
    "to_pil_image",
    "to_tensor",
    "vflip",
]

# --- from kind to kind -----------------------------------------------------------------------------------------------


def to_tensor(pic: Any) -> Any:
    """A Pillow image or an array [rows, columns(, channels)] as a tensor [channels, rows, columns].

    Bytes 0..255 become float32 0..1; other numbers keep their type and values.

    >>> to_tensor(np.full((2, 2, 3), 255, np.uint8)).shape
    mlkit.Size([3, 2, 2])
    """
    values = _pixels(pic, "to_tensor")
    if values.dtype == np.uint8:
        shares = np.ascontiguousarray(values).astype(np.float32)
        shares /= np.float32(255)
        return arrays.from_numpy(shares)
    if values.dtype == np.bool_:
        return arrays.from_numpy(values.astype(np.float32))
    return arrays.from_numpy(np.ascontiguousarray(values))


def pil_to_tensor(pic: Any) -> Any:
    """A Pillow image as a tensor [channels, rows, columns] of its own numbers, mostly uint8."""
    if not is_pil(pic):
        raise ArgumentError(f"pil_to_tensor takes a Pillow image, got a {type(pic).__qualname__}.")
    return arrays.from_numpy(np.array(_pixels(pic, "pil_to_tensor"), order="C"))


def _pixels(pic: Any, doing: str) -> np.ndarray:
    """[channels, rows, columns] of a Pillow image or an array."""
    if is_pil(pic):
        values = np.asarray(pic)
        if pic.mode == "1":
            values = values.astype(np.uint8) * np.uint8(255)
        elif pic.mode.startswith("I;16"):
            values = values.astype(np.int16)
        return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    if isinstance(pic, np.ndarray):
        return images.planes_of(pic, doing)
    raise ArgumentError(
        f"{doing} takes a Pillow image or an array, got a {type(pic).__module__}.{type(pic).__qualname__}.",
        hint="It is a tensor already; leave ToTensor() out." if arrays.is_tensor(pic) else None,
    )


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """A tensor [channels, rows, columns] or an array [rows, columns(, channels)] as a Pillow image.

    Floating-point tensors are taken as 0..1 (except with mode "F"), arrays as they are.

    Args:
        pic: 1 to 4 channels.
        mode: Pillow's mode; by default "L", "LA", "RGB", "RGBA" for bytes, "I;16", "I", "F" for one channel of int16,
            int32, float32.
    """
    if arrays.is_tensor(pic):
        values = arrays.to_numpy(pic)
        if values.ndim not in (2, 3):
            raise ShapeError(
                f"to_pil_image: a tensor must be [channels, rows, columns] or [rows, columns], got {list(values.shape)}."
            )
        values = values[None] if values.ndim == 2 else values
        if values.shape[0] > 4:
            raise ShapeError(f"to_pil_image: an image has 1 to 4 channels, got {values.shape[0]}.")
        if values.dtype.kind == "f" and mode != "F":
            values = (values * values.dtype.type(255)).astype(np.uint8)
        values = values.transpose(1, 2, 0)
    elif isinstance(pic, np.ndarray):
        values = pic[:, :, None] if pic.ndim == 2 else pic
        if values.ndim != 3 or values.shape[2] > 4:
            raise ShapeError(
                f"to_pil_image: an array must be [rows, columns] or [rows, columns, 1 to 4 channels], got {list(pic.shape)}."
            )
    else:
        raise ArgumentError(f"to_pil_image takes a tensor or an array, got a {type(pic).__qualname__}.")
    channels = values.shape[2]
    if channels == 1:
        values = values[:, :, 0]
        own = {"uint8": "L", "int16": "I;16", "int32": "I", "float32": "F"}.get(str(values.dtype))
        allowed: tuple[str | None, ...] = (own,)
    else:
        own = {2: "LA", 3: "RGB", 4: "RGBA"}[channels] if values.dtype == np.uint8 else None
        allowed = {2: ("LA",), 3: ("RGB", "YCbCr", "HSV", "LAB"), 4: ("RGBA", "CMYK", "RGBX")}[channels]
    if own is None:
        raise ArgumentError(
            f"to_pil_image: Pillow has no images of {channels} channels of {values.dtype}.",
            hint="Convert it to uint8 first.",
        )
    if mode is not None and mode not in allowed:
        raise ValueRangeError(f"to_pil_image: {channels} channels of {values.dtype} have mode {allowed}, got {mode!r}.")
    image = images.pillow()
    values = np.ascontiguousarray(values)
    if channels == 1 or mode in (None, own):
        return image.fromarray(values)
    return image.frombytes(mode, (values.shape[1], values.shape[0]), values.tobytes())


def convert_image_dtype(image: Any, dtype: Any = None) -> Any:
    """A tensor image in another type, with its range: bytes 0..255 become 0..1, and back.

    Args:
        dtype: float32 by default.
    """
    dtype = mlkit.float32 if dtype is None else dtype
    if not arrays.is_tensor(image):
        raise ArgumentError(f"convert_image_dtype takes a tensor, got a {type(image).__qualname__}.")
    if image.dtype == dtype:
        return image
    values = arrays.to_numpy(image)
    target = arrays.to_numpy(mlkit.zeros((), dtype=dtype)).dtype
    if values.dtype.kind == "f":
        if target.kind == "f":
            return image.to(dtype)
        if (values.dtype, target.itemsize) in ((np.float32, 4), (np.float32, 8), (np.float64, 8)):
            raise DataError(f"convert_image_dtype: {values.dtype} cannot hold all values of {target}.")
        result = (values * (images.bound(target) + 1.0 - 1e-3)).astype(target)
    elif target.kind == "f":
        result = values.astype(target) / target.type(images.bound(values.dtype))
    else:
        before, after = int(images.bound(values.dtype)), int(images.bound(target))
        if before > after:
            result = (values // ((before + 1) // (after + 1))).astype(target)
        else:
            result = values.astype(target) * target.type((after + 1) // (before + 1))
    return arrays.from_numpy(np.asarray(result)).to(image.device)


# --- size and place --------------------------------------------------------------------------------------------------


def get_dimensions(img: Any) -> list[int]:
    """[channels, rows, columns]."""
    return [channels_of(img), *size_of(img, "get_dimensions")]


def get_image_size(img: Any) -> list[int]:
    """[columns, rows]."""
    rows, columns = size_of(img, "get_image_size")
    return [columns, rows]


def get_image_num_channels(img: Any) -> int:
    """The number of channels."""
    return channels_of(img)


def resize(
    img: Any,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """Another size.

    Args:
        size: (rows, columns); or one number for the shorter side, the other in proportion.
        interpolation: How values between pixels are found.
        max_size: The longer side is not longer than this; only with one number as size.
        antialias: Look at all pixels where several become one. Pillow images always do.
    """
    mode = interpolation_mode(interpolation)
    height, width = size_of(img, "resize")
    rows, columns = resized(height, width, size, max_size)
    if is_pil(img):
        return img.resize((columns, rows), images.PILLOW_MODES[mode])
    if mode not in _FOR_ARRAYS:
        raise ValueRangeError(
            f"resize: {mode.value!r} is only for Pillow images.", hint="Use nearest, bilinear or bicubic."
        )
    if not (height and width):
        raise DataError(f"resize: the image is empty, {height} x {width} pixels.")
    return on_planes(img, lambda p: planes.resize(p, rows, columns, mode, bool(antialias)), "resize")


_FOR_ARRAYS = {
    InterpolationMode.NEAREST,
    InterpolationMode.NEAREST_EXACT,
    InterpolationMode.BILINEAR,
    InterpolationMode.BICUBIC,
}


def resized(height: int, width: int, size: Any, max_size: int | None = None) -> tuple[int, int]:
    """The (rows, columns) that `resize` gives an image of this size."""
    one = isinstance(size, numbers.Integral) or (isinstance(size, Sequence) and len(size) == 1)
    rows, columns = images.pair(size, "resize: size")
    if not one:
        if max_size is not None:
            raise ValueRangeError("resize: max_size goes with one number as size, for the shorter side.")
        return rows, columns
    short, long = min(height, width), max(height, width)
    if not short:
        raise DataError(f"resize: the image is empty, {height} x {width} pixels.")
    new_short, new_long = rows, int(rows * long / short)
    if max_size is not None:
        if max_size <= rows:
            raise ValueRangeError(f"resize: max_size = {max_size} must be greater than the shorter side's {rows}.")
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """The part of this place and size; what lies outside of the image is black."""
    if is_pil(img):
        return img.crop((left, top, left + width, top + height))

    def cut(p: np.ndarray) -> np.ndarray:
        rows, columns = p.shape[-2:]
        bottom, right = top + height, left + width
        if top < 0 or left < 0 or bottom > rows or right > columns:
            edges = [(0, 0)] * (p.ndim - 2)
            edges += [(max(-top, 0), max(bottom - rows, 0)), (max(-left, 0), max(right - columns, 0))]
            inner = p[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
            return np.pad(inner, edges)[..., :height, :width]
        return p[..., top:bottom, left:right]

    return on_planes(img, cut, "crop")


def center_crop(img: Any, output_size: Any) -> Any:
    """The middle, (rows, columns); an image that is smaller gets a black edge."""
    height, width = images.pair(output_size, "center_crop: size")
    rows, columns = size_of(img, "center_crop")
    if width > columns or height > rows:
        left = (width - columns) // 2 if width > columns else 0
        top = (height - rows) // 2 if height > rows else 0
        right = (width - columns + 1) // 2 if width > columns else 0
        bottom = (height - rows + 1) // 2 if height > rows else 0
        img = pad(img, [left, top, right, bottom])
        rows, columns = size_of(img)
        if (height, width) == (rows, columns):
            return img
    return crop(img, round((rows - height) / 2), round((columns - width) / 2), height, width)


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Any,
    interpolation: Any = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """`crop`, then `resize`."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def pad(img: Any, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Any:
    """An edge around the image.

    Args:
        padding: One width; or (left and right, top and bottom); or (left, top, right, bottom). Negative ones cut off.
        fill: The edge's colour: one value, or one per channel (Pillow images).
        padding_mode: "constant", "edge" (the outermost pixel), "reflect" (mirrored, without it), "symmetric" (with it).
    """
    left, top, right, bottom = padding_of(padding)
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueRangeError(
            f'pad: padding_mode must be "constant", "edge", "reflect" or "symmetric", got {padding_mode!r}.'
        )
    rows, columns = size_of(img, "pad")
    if padding_mode == "reflect" and (max(left, right) >= max(columns, 1) or max(top, bottom) >= max(rows, 1)):
        raise DataError(
            f"pad: an image of {rows} x {columns} pixels cannot be mirrored over {[left, top, right, bottom]}."
        )
    edges = [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    inner = (slice(max(-top, 0), rows - max(-bottom, 0)), slice(max(-left, 0), columns - max(-right, 0)))

    def widen(p: np.ndarray) -> np.ndarray:
        around = [(0, 0)] * (p.ndim - 2) + edges
        p = p[..., inner[0], inner[1]]
        if padding_mode != "constant":
            return np.pad(p, around, mode=padding_mode)  # type: ignore[call-overload]
        values = np.asarray(images.fill_values(fill, p.shape[-3], "pad: fill")).astype(p.dtype)
        wide = np.empty((*p.shape[:-2], *(p.shape[i - 2] + sum(edges[i]) for i in range(2))), p.dtype)
        wide[...] = values[:, None, None]
        wide[..., edges[0][0] : edges[0][0] + p.shape[-2], edges[1][0] : edges[1][0] + p.shape[-1]] = p
        return wide

    if not is_pil(img):
        return on_planes(img, widen, "pad")
    if padding_mode == "constant" and img.mode != "P" and min(left, top, right, bottom) >= 0:
        return images.pillow("ImageOps").expand(img, border=(left, top, right, bottom), fill=_pil_fill(fill, img))
    if img.mode == "P":
        palette = img.getpalette()
        wide = images.pillow().fromarray(on_planes(np.asarray(img), widen))
        wide.putpalette(palette)
        return wide
    return images.pillow().fromarray(on_planes(np.asarray(img), widen))


def padding_of(padding: Any) -> tuple[int, int, int, int]:
    """(left, top, right, bottom)."""
    values = [padding] if isinstance(padding, numbers.Integral) else padding
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) not in (1, 2, 4):
        raise ValueRangeError(
            "pad: padding must be one number, (left and right, top and bottom), or (left, top, right, bottom); "
            f"got {padding!r}."
        )
    if any(isinstance(v, bool) or not isinstance(v, numbers.Integral) for v in values):
        raise ArgumentError(f"pad: padding must be whole numbers, got {padding!r}.")
    left, top, right, bottom = (int(v) for v in (list(values) * (4 // len(values))))
    return left, top, right, bottom


def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    if is_pil(img):
        return img.transpose(0)
    return on_planes(img, lambda p: p[..., ::-1], "hflip")


def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    if is_pil(img):
        return img.transpose(1)
    return on_planes(img, lambda p: p[..., ::-1, :], "vflip")


def five_crop(img: Any, size: Any) -> tuple[Any, ...]:
    """The four corners and the middle: (top left, top right, bottom left, bottom right, middle)."""
    height, width = images.pair(size, "five_crop: size")
    rows, columns = size_of(img, "five_crop")
    if height > rows or width > columns:
        raise ValueRangeError(f"five_crop: {height} x {width} is larger than the image's {rows} x {columns}.")
    down, across = rows - height, columns - width
    corners = [crop(img, top, left, height, width) for top, left in ((0, 0), (0, across), (down, 0), (down, across))]
    return (*corners, center_crop(img, (height, width)))


def ten_crop(img: Any, size: Any, vertical_flip: bool = False) -> tuple[Any, ...]:
    """`five_crop` of the image, and of the image flipped."""
    return five_crop(img, size) + five_crop(vflip(img) if vertical_flip else hflip(img), size)


def affine_matrix(
    center: Sequence[float], angle: float, translate: Sequence[float], scale: float, shear: Sequence[float]
) -> np.ndarray:
    """From new places to old ones, [3, 3] on (x, y, 1) in pixels from the image's corner.

    The image is sheared along x, then along y, made larger, turned clockwise by `angle` degrees, all around `center`,
    then moved by `translate`.
    """
    turn, along_x, along_y = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    shear_y = np.array([[1, 0], [-math.tan(along_y), 1]])
    shear_x = np.array([[1, -math.tan(along_x)], [0, 1]])
    forward = np.eye(3)
    forward[:2, :2] = scale * rotation @ shear_y @ shear_x
    middle = np.asarray(center, np.float64)
    forward[:2, 2] = middle + np.asarray(translate, np.float64) - forward[:2, :2] @ middle
    return np.linalg.inv(forward)


def affine(
    img: Any,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: Any,
    interpolation: Any = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Sequence[float] | None = None,
) -> Any:
    """Turn, move, scale and shear.

    Args:
        angle: Degrees, clockwise.
        translate: (across, down) in pixels.
        scale: Above 1 makes larger.
        shear: Degrees along x, or (along x, along y).
        interpolation: "nearest" or "bilinear"; Pillow images also "bicubic".
        fill: What comes in from outside; black by default.
        center: (x, y) of what stays in place, from the upper left corner; the middle by default.
    """
    if not isinstance(angle, (int, float)):
        raise ArgumentError(f"affine: angle must be a number, got {angle!r}.")
    if not isinstance(translate, (list, tuple)) or len(translate) != 2:
        raise ValueRangeError(f"affine: translate must be two numbers, (across, down), got {translate!r}.")
    if not scale > 0:
        raise ValueRangeError(f"affine: scale must be above 0, got {scale!r}.")
    shear = (shear, 0.0) if isinstance(shear, numbers.Real) else tuple(shear)
    shear = (shear[0], 0.0) if len(shear) == 1 else shear
    if len(shear) != 2:
        raise ValueRangeError(f"affine: shear must be one or two numbers, got {shear!r}.")
    mode = _warp_mode(interpolation, img, "affine")
    rows, columns = size_of(img, "affine")
    middle = (columns * 0.5, rows * 0.5) if center is None else center
    matrix = affine_matrix(middle, angle, translate, scale, shear)
    if is_pil(img):
        return img.transform(
            img.size, 0, matrix[:2].reshape(-1).tolist(), images.PILLOW_MODES[mode], fillcolor=_pil_fill(fill, img)
        )
    return _warped(img, matrix, rows, columns, mode, fill, "affine")


def rotate(
    img: Any,
    angle: float,
    interpolation: Any = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Any = None,
) -> Any:
    """Turn counter-clockwise.

    Args:
        angle: Degrees.
        interpolation: "nearest" or "bilinear"; Pillow images also "bicubic".
        expand: Make the image large enough for all of it; else it keeps its size.
        center: (x, y) of what stays in place, from the upper left corner; the middle by default.
        fill: What comes in from outside; black by default.
    """
    if not isinstance(angle, (int, float)):
        raise ArgumentError(f"rotate: angle must be a number, got {angle!r}.")
    mode = _warp_mode(interpolation, img, "rotate")
    if is_pil(img):
        return img.rotate(angle, images.PILLOW_MODES[mode], expand, center, fillcolor=_pil_fill(fill, img))
    rows, columns = size_of(img, "rotate")
    middle = (columns * 0.5, rows * 0.5) if center is None else tuple(center)
    matrix = affine_matrix(middle, -angle, (0.0, 0.0), 1.0, (0.0, 0.0))
    new_rows, new_columns = rows, columns
    if expand:
        # Where the corners go, to within 1e-4 of a pixel, so that a right angle gives the exact size. The matrix goes
        # the other way round, for which the extent is the same.
        corners = np.array([[x, y, 1.0] for x in (-columns / 2, columns / 2) for y in (-rows / 2, rows / 2)])
        around = matrix.copy()
        around[:2, 2] += matrix[:2, :2] @ np.array([columns / 2, rows / 2]) - np.array([columns / 2, rows / 2])
        places = (corners @ around.T)[:, :2] + np.array([columns / 2, rows / 2])
        high, low = (np.trunc(np.round(values / 1e-4, 3)) * 1e-4 for values in (places.max(0), places.min(0)))
        new_columns, new_rows = (int(v) for v in np.ceil(np.round(high, 7)) - np.floor(np.round(low, 7)))
        shift = np.eye(3)
        shift[:2, 2] = (columns - new_columns) / 2, (rows - new_rows) / 2
        matrix = matrix @ shift
    return _warped(img, matrix, new_rows, new_columns, mode, fill, "rotate")


def perspective(
    img: Any,
    startpoints: Sequence[Sequence[float]],
    endpoints: Sequence[Sequence[float]],
    interpolation: Any = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> Any:
    """Seen from elsewhere: four points of the image go to four others.

    Args:
        startpoints: Four (x, y): top left, top right, bottom right, bottom left.
        endpoints: Where they go.
        interpolation: "nearest" or "bilinear"; Pillow images also "bicubic".
        fill: What comes in from outside; black by default.
    """
    if len(startpoints) != 4 or len(endpoints) != 4:
        raise ValueRangeError("perspective: startpoints and endpoints must be four points each.")
    mode = _warp_mode(interpolation, img, "perspective")
    rows, columns = size_of(img, "perspective")
    coefficients = perspective_coefficients(startpoints, endpoints)
    if is_pil(img):
        return img.transform(img.size, 2, coefficients, images.PILLOW_MODES[mode], fillcolor=_pil_fill(fill, img))
    return _warped(img, np.append(coefficients, 1.0).reshape(3, 3), rows, columns, mode, fill, "perspective")


def perspective_coefficients(start: Sequence[Sequence[float]], end: Sequence[Sequence[float]]) -> list[float]:
    """The eight numbers a..h with (x, y) = (a X + b Y + c, d X + e Y + f) / (g X + h Y + 1) for each pair of points."""
    lines, wanted = [], []
    for (x, y), (to_x, to_y) in zip(start, end):
        lines.append([to_x, to_y, 1, 0, 0, 0, -x * to_x, -x * to_y])
        lines.append([0, 0, 0, to_x, to_y, 1, -y * to_x, -y * to_y])
        wanted += [x, y]
    found = np.linalg.lstsq(np.array(lines, np.float64), np.array(wanted, np.float64), rcond=None)[0]
    # As torchvision rounds them: the last bits differ from one BLAS to the other, and pixels' edges lie on whole numbers.
    return found.astype(np.float32).tolist()


def _warped(
    img: Any, matrix: np.ndarray, rows: int, columns: int, mode: InterpolationMode, fill: Any, doing: str
) -> Any:
    # In float32 and in PyTorch's order (affine_grid, grid_sample), so that places halfway between pixels fall alike.
    height, width = size_of(img)
    x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    flat = not matrix[2, :2].any()
    center = np.array([columns, rows]) / 2 if flat else np.zeros(2)
    moved = matrix.copy()
    moved[:, 2] = matrix @ np.array([*center, 1.0])  # for places counted from there
    x, y = (x - center[0]).astype(np.float32), (y - center[1]).astype(np.float32)
    old = []
    for row, size in zip(moved[:2], (width, height)):
        a, b, c = ((row - [0, 0, size / 2 if flat else 0]) / (0.5 * size)).astype(np.float32)
        place = x * a + y * b + c
        if not flat:
            place = place / (x * np.float32(matrix[2, 0]) + y * np.float32(matrix[2, 1]) + np.float32(1)) - np.float32(
                1
            )
        old.append(((place + np.float32(1)) * np.float32(size) - np.float32(1)) / np.float32(2))
    old_x, old_y = old
    values = None if fill is None else images.fill_values(fill, channels_of(img), f"{doing}: fill")
    return on_planes(img, lambda p: planes.warp(p, old_x, old_y, mode, values), doing)


def _warp_mode(interpolation: Any, img: Any, doing: str) -> InterpolationMode:
    mode = interpolation_mode(interpolation)
    allowed = [InterpolationMode.NEAREST, InterpolationMode.BILINEAR] + [InterpolationMode.BICUBIC] * is_pil(img)
    if mode not in allowed:
        names = ", ".join(f'"{one.value}"' for one in allowed)
        raise ValueRangeError(f"{doing}: interpolation must be one of {names} for this image, got {mode.value!r}.")
    return mode


def _pil_fill(fill: Any, img: Any) -> Any:
    values = images.fill_values(fill, channels_of(img))
    if img.mode not in ("F", "I"):
        values = [int(value) for value in values]
    return values[0] if len(values) == 1 else tuple(values)


# --- colours ---------------------------------------------------------------------------------------------------------


def _enhanced(img: Any, name: str, factor: float) -> Any:
    return getattr(images.pillow("ImageEnhance"), name)(img).enhance(factor)


def _factor(value: Any, name: str) -> float:
    if not isinstance(value, (int, float, np.number)) or not value >= 0:
        raise ValueRangeError(f"{name} must be a number of at least 0 (1 changes nothing), got {value!r}.")
    return float(value)


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """0 is black, 1 the image itself, 2 twice as bright."""
    factor = _factor(brightness_factor, "brightness_factor")
    if is_pil(img):
        return _enhanced(img, "Brightness", factor)
    return on_planes(img, lambda p: planes.blend(p, np.float32(0), factor), "adjust_brightness")


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """0 is all gray, 1 the image itself."""
    factor = _factor(contrast_factor, "contrast_factor")
    if is_pil(img):
        return _enhanced(img, "Contrast", factor)
    return on_planes(img, lambda p: planes.blend(p, planes.contrast_center(p), factor), "adjust_contrast")


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """0 is black and white, 1 the image itself."""
    factor = _factor(saturation_factor, "saturation_factor")
    if is_pil(img):
        return _enhanced(img, "Color", factor)

    def change(p: np.ndarray) -> np.ndarray:
        gray = planes.grayscale(p)
        return p if p.shape[-3] == 1 else planes.blend(p, planes.working(gray), factor)

    return on_planes(img, change, "adjust_saturation")


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Turn the colours by this part of the colour circle, -0.5 to 0.5."""
    if not isinstance(hue_factor, (int, float, np.number)) or not -0.5 <= hue_factor <= 0.5:
        raise ValueRangeError(f"hue_factor must be a number in -0.5 to 0.5, got {hue_factor!r}.")
    if is_pil(img):
        if img.mode in ("L", "1", "I", "F"):
            return img
        hue, saturation, value = img.convert("HSV").split()
        turned = np.array(hue, np.uint8) + np.array(int(hue_factor * 255)).astype(np.uint8)
        return images.pillow().merge("HSV", (images.pillow().fromarray(turned), saturation, value)).convert(img.mode)
    if channels_of(img) == 1:
        return img

    def change(p: np.ndarray) -> np.ndarray:
        images.three_or_one(p, "adjust_hue")
        return planes.hsv_shift(p, float(hue_factor))

    return on_planes(img, change, "adjust_hue")


def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """white * gain * (value / white) ** gamma: above 1 shadows get darker."""
    if not gamma >= 0:
        raise ValueRangeError(f"gamma must be at least 0, got {gamma!r}.")
    if is_pil(img):
        table = [int((255 + 1 - 1e-3) * gain * pow(value / 255.0, gamma)) for value in range(256)] * 3
        mode = img.mode
        color = img.convert("RGB").point(table)
        return color.convert(mode)

    def change(p: np.ndarray) -> np.ndarray:
        white = images.bound(p.dtype)
        whole = p.dtype.kind in "iu"
        values = planes.working(p) / np.float32(white) if whole else p
        result = np.clip(gain * values**gamma, 0, 1)
        return (result * np.float32(white + 1.0 - 1e-3)).astype(p.dtype) if whole else result.astype(p.dtype)

    return on_planes(img, change, "adjust_gamma")


def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """0 is soft, 1 the image itself, 2 sharper."""
    factor = _factor(sharpness_factor, "sharpness_factor")
    if is_pil(img):
        return _enhanced(img, "Sharpness", factor)
    return on_planes(img, lambda p: planes.sharpened(p, factor), "adjust_sharpness")


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """Black and white.

    Args:
        num_output_channels: 1, or 3 equal ones.
    """
    if num_output_channels not in (1, 3):
        raise ValueRangeError(f"num_output_channels must be 1 or 3, got {num_output_channels!r}.")
    if is_pil(img):
        gray = img.convert("L")
        return gray if num_output_channels == 1 else images.pillow().merge("RGB", (gray, gray, gray))
    gray = on_planes(
        img[:, :, None] if isinstance(img, np.ndarray) and img.ndim == 2 else img,
        lambda p: np.repeat(planes.grayscale(p), num_output_channels, axis=-3),
        "rgb_to_grayscale",
    )
    return gray[:, :, 0] if isinstance(img, np.ndarray) and num_output_channels == 1 else gray


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """`rgb_to_grayscale`."""
    return rgb_to_grayscale(img, num_output_channels)


def invert(img: Any) -> Any:
    """Black and white exchanged."""
    if is_pil(img):
        return images.pillow("ImageOps").invert(img)
    return on_planes(img, lambda p: (p.dtype.type(images.bound(p.dtype)) - p).astype(p.dtype), "invert")


def posterize(img: Any, bits: int) -> Any:
    """Only this many bits of each value, 0 to 8; bytes only."""
    if not isinstance(bits, (int, np.integer)) or not 0 <= bits <= 8:
        raise ValueRangeError(f"posterize: bits must be 0 to 8, got {bits!r}.")
    if is_pil(img):
        if not bits:
            return img.point(lambda value: 0)
        return images.pillow("ImageOps").posterize(img, int(bits))
    _must_be_bytes(img, "posterize")
    return on_planes(img, lambda p: planes.posterize(p, int(bits)), "posterize")


def solarize(img: Any, threshold: float) -> Any:
    """Invert what is at least as bright as `threshold` (0..255 for bytes, 0..1 for floats)."""
    if is_pil(img):
        return images.pillow("ImageOps").solarize(img, threshold)

    def change(p: np.ndarray) -> np.ndarray:
        if threshold > images.bound(p.dtype):
            raise ValueRangeError(
                f"solarize: the threshold must be at most {images.bound(p.dtype):g} for {p.dtype}, got {threshold}."
            )
        return np.where(p >= threshold, p.dtype.type(images.bound(p.dtype)) - p, p)

    return on_planes(img, change, "solarize")


def autocontrast(img: Any) -> Any:
    """Each channel from black to white."""
    if is_pil(img):
        return images.pillow("ImageOps").autocontrast(img)
    return on_planes(img, planes.autocontrast, "autocontrast")


def equalize(img: Any) -> Any:
    """All brightnesses about equally frequent; bytes only."""
    if is_pil(img):
        return images.pillow("ImageOps").equalize(img)
    _must_be_bytes(img, "equalize")
    return on_planes(img, planes.equalize, "equalize")


def _must_be_bytes(img: Any, doing: str) -> None:
    dtype = images.planes_of(img, doing).dtype
    if dtype != np.uint8:
        raise ArgumentError(f"{doing} takes images of uint8, got {dtype}.", hint="Put it before ToTensor().")


def gaussian_blur(img: Any, kernel_size: Any, sigma: Any = None) -> Any:
    """Blur by a bell curve.

    Args:
        kernel_size: Odd number of pixels, or (across, down).
        sigma: The bell's width in pixels, or (across, down); by default 0.3 * ((kernel_size - 1) * 0.5 - 1) + 0.8.
    """
    sizes = images.pair(kernel_size, "gaussian_blur: kernel_size")
    if any(size % 2 == 0 for size in sizes):
        raise ValueRangeError(f"gaussian_blur: kernel_size must be odd, got {kernel_size!r}.")
    if sigma is None:
        widths = [0.3 * ((size - 1) * 0.5 - 1) + 0.8 for size in sizes]
    else:
        widths = [float(sigma)] * 2 if isinstance(sigma, numbers.Real) else [float(value) for value in sigma]
        widths = widths * 2 if len(widths) == 1 else widths
    if len(widths) != 2 or any(not width > 0 for width in widths):
        raise ValueRangeError(f"gaussian_blur: sigma must be above 0, got {sigma!r}.")
    if is_pil(img):
        return images.pillow().fromarray(gaussian_blur(np.asarray(img), sizes, widths))
    rows, columns = size_of(img, "gaussian_blur")
    if sizes[0] // 2 >= columns or sizes[1] // 2 >= rows:
        raise DataError(f"gaussian_blur: a kernel of {sizes} is too large for an image of {rows} x {columns} pixels.")
    return on_planes(img, lambda p: planes.gaussian_blur(p, sizes, (widths[0], widths[1])), "gaussian_blur")


# --- numbers ---------------------------------------------------------------------------------------------------------


def normalize(tensor: Any, mean: Any, std: Any, inplace: bool = False) -> Any:
    """(value - mean) / std, channel by channel.

    Args:
        tensor: Floating point, [..., channels, rows, columns].
        mean, std: One number per channel.
        inplace: Change the tensor itself.
    """
    if not arrays.is_tensor(tensor):
        raise ArgumentError(
            f"normalize takes a tensor, got a {type(tensor).__module__}.{type(tensor).__qualname__}.",
            hint="Put ToTensor() before Normalize(...).",
        )
    values = arrays.to_numpy(tensor)
    if values.dtype.kind in "iub":
        raise ArgumentError(
            f"normalize takes a tensor of floats, got {values.dtype}.",
            hint="Convert it with ToTensor() or .float() / 255.",
        )
    if values.ndim < 3:
        raise ShapeError(f"normalize takes a tensor [..., channels, rows, columns], got {list(values.shape)}.")
    channels = values.shape[-3]
    center, spread = (np.atleast_1d(np.asarray(_plain(v), np.float64)).astype(values.dtype) for v in (mean, std))
    for name, given in (("mean", center), ("std", spread)):
        if given.ndim != 1 or len(given) not in (1, channels):
            raise ValueRangeError(f"normalize: {name} has {given.size} values for an image of {channels} channels.")
    if (spread == 0).any():
        raise ValueRangeError(f"normalize: std must not be 0, got {std}.")
    if inplace:
        np.subtract(values, center[:, None, None], out=values)
        np.divide(values, spread[:, None, None], out=values)
        return tensor
    result = values - center[:, None, None]
    result /= spread[:, None, None]
    return arrays.from_numpy(result).to(tensor.device)


def _plain(value: Any) -> Any:
    return arrays.to_numpy(value) if arrays.is_tensor(value) else value


def erase(img: Any, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Any:
    """Put `v` in the place of `h` rows and `w` columns from row `i` and column `j`.

    Args:
        img: A tensor [..., channels, rows, columns], or an array.
        v: A number, or a tensor that broadcasts to [channels, h, w].
        inplace: Change the image itself.
    """
    if is_pil(img):
        raise ArgumentError("erase takes a tensor or an array, got a Pillow image.", hint="Put ToTensor() before it.")
    values = _plain(v)
    if inplace:
        images.planes_of(img, "erase")[..., i : i + h, j : j + w] = values
        return img

    def change(p: np.ndarray) -> np.ndarray:
        p = p.copy()
        p[..., i : i + h, j : j + w] = values
        return p

    return on_planes(img, change, "erase")
