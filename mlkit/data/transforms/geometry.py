"""Sizes, crops, flips, and turning: torchvision's names and arguments."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlkit.core.errors import ArgumentError, DataError, ValueRangeError
from mlkit.data.transforms import functional as F
from mlkit.data.transforms import images, planes
from mlkit.data.transforms.compose import Transform, probability
from mlkit.data.transforms.images import InterpolationMode, channels_of, interpolation_mode, is_pil, on_planes, size_of

__all__ = [
    "CenterCrop",
    "ElasticTransform",
    "FiveCrop",
    "Pad",
    "RandomAffine",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomPerspective",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
]


class Resize(Transform):
    """Another size.

    Args:
        size: (rows, columns); or one number for the shorter side, the other in proportion.
        interpolation: "nearest", "bilinear" (the default), "bicubic", ...
        max_size: The longer side is not longer than this; only with one number as size.
        antialias: Look at all pixels where several become one. Pillow images always do.

    >>> Resize((4, 6))(np.zeros((8, 8, 3), np.uint8)).shape
    (4, 6, 3)
    """

    def __init__(
        self,
        size: Any,
        interpolation: Any = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        F.resized(1, 1, size, max_size)  # says what is wrong with them
        self.size = size
        self.interpolation = interpolation_mode(interpolation)
        self.max_size = max_size
        self.antialias = antialias

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)


class CenterCrop(Transform):
    """The middle, (rows, columns) or one number for both; an image that is smaller gets a black edge."""

    def __init__(self, size: Any) -> None:
        self.size = images.pair(size, "CenterCrop: size")

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return F.center_crop(img, self.size)


class Pad(Transform):
    """An edge around the image.

    Args:
        padding: One width; or (left and right, top and bottom); or (left, top, right, bottom).
        fill: The edge's colour: one value, or one per channel.
        padding_mode: "constant", "edge" (the outermost pixel), "reflect" (mirrored, without it), "symmetric" (with it).
    """

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        F.padding_of(padding)
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueRangeError(
                f'Pad: padding_mode must be "constant", "edge", "reflect" or "symmetric", got {padding_mode!r}.'
            )
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return F.pad(img, self.padding, self.fill, self.padding_mode)


class RandomCrop(Transform):
    """A part of this size, anywhere in the image.

    Args:
        size: (rows, columns) or one number for both.
        padding: An edge that is added first, as in `Pad`.
        pad_if_needed: Add an edge where the image is too small; else that is an error.
        fill, padding_mode: Of these edges, as in `Pad`.

    >>> RandomCrop(3, padding=1)(np.zeros((4, 4), np.uint8)).shape
    (3, 3)
    """

    def __init__(
        self,
        size: Any,
        padding: Any = None,
        pad_if_needed: bool = False,
        fill: Any = 0,
        padding_mode: str = "constant",
    ) -> None:
        self.size = images.pair(size, "RandomCrop: size")
        if padding is not None:
            F.padding_of(padding)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Draw (top, left, rows, columns)."""
        rows, columns = size_of(img, "RandomCrop")
        height, width = output_size
        if height > rows or width > columns:
            raise DataError(
                f"RandomCrop: {height} x {width} pixels cannot be cut from an image of {rows} x {columns}.",
                hint="Resize it first, or use padding=... or pad_if_needed=True.",
            )
        draw = Transform.random(2)
        return int(draw.integers(rows - height + 1)), int(draw.integers(columns - width + 1)), height, width

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        rows, columns = size_of(img, "RandomCrop")
        if self.pad_if_needed and columns < self.size[1]:
            img = F.pad(img, [self.size[1] - columns, 0], self.fill, self.padding_mode)
        if self.pad_if_needed and rows < self.size[0]:
            img = F.pad(img, [0, self.size[0] - rows], self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))


class RandomHorizontalFlip(Transform):
    """Left and right exchanged with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, "RandomHorizontalFlip")

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        if self.random(1).random() < self.p:
            return F.hflip(img)
        images.must_be_image(img, "RandomHorizontalFlip")
        return img


class RandomVerticalFlip(Transform):
    """Top and bottom exchanged with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, "RandomVerticalFlip")

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        if self.random(1).random() < self.p:
            return F.vflip(img)
        images.must_be_image(img, "RandomVerticalFlip")
        return img


def _range(values: Any, name: str, above: float | None = None) -> tuple[float, float]:
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 2:
        raise ArgumentError(f"{name} must be two numbers, (least, most), got {values!r}.")
    if values[0] > values[1]:
        raise ValueRangeError(f"{name} must be (least, most), got {values!r}.")
    if above is not None and not values[0] > above:
        raise ValueRangeError(f"{name} must be above {above:g}, got {values!r}.")
    return values[0], values[1]


class RandomResizedCrop(Transform):
    """A part of random size and shape, brought to one size.

    Args:
        size: (rows, columns) of the result, or one number for both.
        scale: The part's area, from the least to the most, of the image's.
        ratio: The part's width by its height, from the least to the most, evenly by its logarithm.
        interpolation, antialias: As in `Resize`.
    """

    def __init__(
        self,
        size: Any,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.size = images.pair(size, "RandomResizedCrop: size")
        self.scale = _range(scale, "RandomResizedCrop: scale", above=0)
        self.ratio = _range(ratio, "RandomResizedCrop: ratio", above=0)
        self.interpolation = interpolation_mode(interpolation)
        self.antialias = antialias

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int, int, int]:
        """Draw (top, left, rows, columns)."""
        rows, columns = size_of(img, "RandomResizedCrop")
        draw = Transform.random(40)
        for _ in range(10):
            area = rows * columns * draw.uniform(scale[0], scale[1])
            shape = math.exp(draw.uniform(math.log(ratio[0]), math.log(ratio[1])))
            width, height = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if 0 < width <= columns and 0 < height <= rows:
                return int(draw.integers(rows - height + 1)), int(draw.integers(columns - width + 1)), height, width
        # No luck: the middle, as much as the allowed shapes can hold.
        if columns / rows < min(ratio):
            width, height = columns, round(columns / min(ratio))
        elif columns / rows > max(ratio):
            width, height = round(rows * max(ratio)), rows
        else:
            width, height = columns, rows
        return (rows - height) // 2, (columns - width) // 2, height, width

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        place = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *place, self.size, self.interpolation, self.antialias)


class FiveCrop(Transform):
    """The four corners and the middle, as a tuple of five images."""

    def __init__(self, size: Any) -> None:
        self.size = images.pair(size, "FiveCrop: size")

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return F.five_crop(img, self.size)


class TenCrop(Transform):
    """`FiveCrop` of the image and of the image flipped, as a tuple of ten images.

    Args:
        size: (rows, columns) or one number for both.
        vertical_flip: Exchange top and bottom instead of left and right.
    """

    def __init__(self, size: Any, vertical_flip: bool = False) -> None:
        self.size = images.pair(size, "TenCrop: size")
        self.vertical_flip = vertical_flip

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return F.ten_crop(img, self.size, self.vertical_flip)


def _around_zero(value: Any, name: str) -> tuple[float, ...]:
    """(least, most) from one number, which means from minus that to that."""
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        if value < 0:
            raise ValueRangeError(f"{name}: a single number must not be negative, got {value!r}.")
        return (-float(value), float(value))
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ValueRangeError(f"{name} must be one number, or two: (least, most). Got {value!r}.")
    return tuple(float(v) for v in value)


def _middle(center: Any, name: str) -> Any:
    if center is not None and (not isinstance(center, Sequence) or isinstance(center, str) or len(center) != 2):
        raise ArgumentError(f"{name}: center must be two numbers, (x, y), got {center!r}.")
    return center


class RandomRotation(Transform):
    """Turned by a random angle.

    Args:
        degrees: (least, most), counter-clockwise; or one number: from minus that to that.
        interpolation: "nearest" (the default), "bilinear"; for Pillow images "bicubic".
        expand: Make the image large enough for all of it.
        center: (x, y) of what stays in place; the middle by default.
        fill: What comes in from outside; black by default.
    """

    def __init__(
        self,
        degrees: Any,
        interpolation: Any = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Any = None,
        fill: Any = 0,
    ) -> None:
        self.degrees = _around_zero(degrees, "RandomRotation: degrees")
        self.interpolation = interpolation_mode(interpolation)
        self.expand = expand
        self.center = _middle(center, "RandomRotation")
        self.fill = 0 if fill is None else fill

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """Draw the angle."""
        return float(Transform.random(1).uniform(degrees[0], degrees[1]))

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        angle = self.get_params(self.degrees)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, self.fill)


class RandomAffine(Transform):
    """Turned, moved, scaled and sheared at random, around the middle.

    Args:
        degrees: (least, most), or one number: from minus that to that; 0: not turned.
        translate: The most that it moves (across, down), as parts of the image's size.
        scale: (least, most).
        shear: Degrees along x: (least, most), or one number; or four numbers, with those along y.
        interpolation, fill, center: As in `RandomRotation`.
    """

    def __init__(
        self,
        degrees: Any,
        translate: Any = None,
        scale: Any = None,
        shear: Any = None,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Any = None,
    ) -> None:
        self.degrees = _around_zero(degrees, "RandomAffine: degrees")
        if translate is not None:
            if not isinstance(translate, Sequence) or len(translate) != 2:
                raise ArgumentError(f"RandomAffine: translate must be two numbers, (across, down), got {translate!r}.")
            if not all(0 <= part <= 1 for part in translate):
                raise ValueRangeError(f"RandomAffine: translate is a part of the image, 0 to 1, got {translate!r}.")
        self.translate = translate
        self.scale = None if scale is None else _range(scale, "RandomAffine: scale", above=0)
        self.shear: tuple[float, ...] | None = None
        if shear is not None:
            four = isinstance(shear, Sequence) and len(shear) == 4
            self.shear = tuple(float(v) for v in shear) if four else _around_zero(shear, "RandomAffine: shear")
        self.interpolation = interpolation_mode(interpolation)
        self.fill = 0 if fill is None else fill
        self.center = _middle(center, "RandomAffine")

    @staticmethod
    def get_params(
        degrees: Sequence[float],
        translate: Sequence[float] | None,
        scale_ranges: Sequence[float] | None,
        shears: Sequence[float] | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """Draw (angle, (across, down), scale, (shear along x, along y)); `img_size` is [columns, rows]."""
        draw = Transform.random(8)
        angle = float(draw.uniform(degrees[0], degrees[1]))
        moved = (0, 0)
        if translate is not None:
            most = [float(part * size) for part, size in zip(translate, img_size)]
            moved = (round(draw.uniform(-most[0], most[0])), round(draw.uniform(-most[1], most[1])))
        scale = 1.0 if scale_ranges is None else float(draw.uniform(scale_ranges[0], scale_ranges[1]))
        along_x = along_y = 0.0
        if shears is not None:
            along_x = float(draw.uniform(shears[0], shears[1]))
            along_y = float(draw.uniform(shears[2], shears[3])) if len(shears) == 4 else 0.0
        return angle, moved, scale, (along_x, along_y)

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        rows, columns = size_of(img, "RandomAffine")
        chosen = self.get_params(self.degrees, self.translate, self.scale, self.shear, [columns, rows])
        return F.affine(img, *chosen, interpolation=self.interpolation, fill=self.fill, center=self.center)


class RandomPerspective(Transform):
    """Seen from a random direction, with probability `p`.

    Args:
        distortion_scale: 0 (not at all) to 1: how far the corners move inwards.
        p: How often.
        interpolation: "bilinear" (the default) or "nearest"; for Pillow images "bicubic".
        fill: What comes in from outside; black by default.
    """

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        if not isinstance(distortion_scale, (int, float)) or not 0 <= distortion_scale <= 1:
            raise ValueRangeError(f"RandomPerspective: distortion_scale must be 0 to 1, got {distortion_scale!r}.")
        self.p = probability(p, "RandomPerspective")
        self.distortion_scale = float(distortion_scale)
        self.interpolation = interpolation_mode(interpolation)
        self.fill = 0 if fill is None else fill

    @staticmethod
    def get_params(width: int, height: int, distortion_scale: float) -> tuple[list[list[int]], list[list[int]]]:
        """Draw where the four corners come from and go to."""
        draw = Transform.random(8)
        across, down = int(distortion_scale * (width // 2)) + 1, int(distortion_scale * (height // 2)) + 1
        ends = [
            [int(draw.integers(0, across)), int(draw.integers(0, down))],
            [int(draw.integers(width - across, width)), int(draw.integers(0, down))],
            [int(draw.integers(width - across, width)), int(draw.integers(height - down, height))],
            [int(draw.integers(0, across)), int(draw.integers(height - down, height))],
        ]
        return [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], ends

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        rows, columns = size_of(img, "RandomPerspective")
        if self.random(1).random() >= self.p:
            return img
        start, end = self.get_params(columns, rows, self.distortion_scale)
        return F.perspective(img, start, end, self.interpolation, self.fill)


class ElasticTransform(Transform):
    """Pixels moved about at random, neighbours together, as handwriting varies.

    Simard, Steinkraus, Platt, "Best Practices for Convolutional Neural Networks" (2003).

    Args:
        alpha: How far, in pixels (across, down) or one number.
        sigma: How smoothly: the width of the blur of the movements (across, down) or one number.
        interpolation: "bilinear" (the default) or "nearest".
        fill: What comes in from outside; black by default.
    """

    def __init__(
        self, alpha: Any = 50.0, sigma: Any = 5.0, interpolation: Any = InterpolationMode.BILINEAR, fill: Any = 0
    ) -> None:
        self.alpha = self._two(alpha, "alpha")
        self.sigma = self._two(sigma, "sigma")
        self.interpolation = interpolation_mode(interpolation)
        self.fill = fill

    @staticmethod
    def _two(value: Any, name: str) -> tuple[float, float]:
        values = [value] if isinstance(value, numbers.Real) else list(value)
        values = values * 2 if len(values) == 1 else values
        if len(values) != 2 or any(v < 0 for v in values):
            raise ValueRangeError(f"ElasticTransform: {name} must be one or two numbers of at least 0, got {value!r}.")
        return float(values[0]), float(values[1])

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        rows, columns = size_of(img, "ElasticTransform")
        draw = self.random(2 * rows * columns)
        moves = []
        for alpha, sigma in zip(self.alpha, self.sigma):
            move = draw.uniform(-1, 1, (1, rows, columns))
            if sigma > 0:
                size = int(8 * sigma + 1) | 1
                # as far as the image goes; beyond it there is nothing to mirror
                kernel = (min(size, 2 * columns - 1) | 1, min(size, 2 * rows - 1) | 1)
                kernel = (kernel[0] - 2 * (kernel[0] // 2 >= columns), kernel[1] - 2 * (kernel[1] // 2 >= rows))
                move = planes.gaussian_blur(move, kernel, (sigma, sigma))
            moves.append(move[0] * alpha)
        if is_pil(img):
            return images.pillow().fromarray(self._moved(np.asarray(img), moves))
        return self._moved(img, moves)

    def _moved(self, img: Any, moves: list[np.ndarray]) -> Any:
        rows, columns = moves[0].shape
        x, y = np.meshgrid(np.arange(columns, dtype=np.float64), np.arange(rows, dtype=np.float64))
        fill = images.fill_values(self.fill, channels_of(img), "ElasticTransform: fill")
        return on_planes(
            img, lambda p: planes.warp(p, x + moves[0], y + moves[1], self.interpolation, fill), "ElasticTransform"
        )
