"""Colours, blur, and erasing: torchvision's names and arguments."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.data import arrays
from mlkit.data.transforms import functional as F
from mlkit.data.transforms import images
from mlkit.data.transforms.compose import Transform, probability
from mlkit.data.transforms.geometry import _range

__all__ = [
    "ColorJitter",
    "GaussianBlur",
    "Grayscale",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPosterize",
    "RandomSolarize",
]


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue changed at random, in a random order.

    Args:
        brightness, contrast, saturation: How much: a factor from max(0, 1 - value) to 1 + value; or (least, most).
        hue: How far round the colour circle, from -value to value, at most 0.5; or (least, most).

    >>> ColorJitter(brightness=0.4, hue=0.1)
    ColorJitter(brightness=(0.6, 1.4), contrast=None, saturation=None, hue=(-0.1, 0.1))
    """

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0) -> None:
        self.brightness = self._check(brightness, "brightness")
        self.contrast = self._check(contrast, "contrast")
        self.saturation = self._check(saturation, "saturation")
        self.hue = self._check(hue, "hue", center=0, most=0.5)

    @staticmethod
    def _check(value: Any, name: str, center: float = 1, most: float = math.inf) -> tuple[float, float] | None:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if value < 0:
                raise ValueRangeError(f"ColorJitter: a single number as {name} must not be negative, got {value!r}.")
            least, largest = center - float(value), center + float(value)
            if center == 1:
                least = max(least, 0.0)
        elif isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
            least, largest = float(value[0]), float(value[1])
        else:
            raise ArgumentError(f"ColorJitter: {name} must be one number, or two: (least, most). Got {value!r}.")
        lowest = 0.0 if center == 1 else -most
        if not lowest <= least <= largest <= most:
            raise ValueRangeError(
                f"ColorJitter: {name} must be (least, most) within {lowest:g} to {most:g}, got {(least, largest)}."
            )
        return None if least == largest == center else (least, largest)

    @staticmethod
    def get_params(
        brightness: Any, contrast: Any, saturation: Any, hue: Any
    ) -> tuple[np.ndarray, float | None, float | None, float | None, float | None]:
        """Draw the order (of 0 brightness, 1 contrast, 2 saturation, 3 hue) and the four numbers."""
        draw = Transform.random(12)
        order = draw.permutation(4)
        b, c, s, h = (
            None if span is None else float(draw.uniform(span[0], span[1]))
            for span in (brightness, contrast, saturation, hue)
        )
        return order, b, c, s, h

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        order, *values = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        ways = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for number in order:
            value = values[number]
            if value is not None:
                img = ways[number](img, value)
        return img


class Grayscale(Transform):
    """Black and white.

    Args:
        num_output_channels: 1, or 3 equal ones.
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise ValueRangeError(f"Grayscale: num_output_channels must be 1 or 3, got {num_output_channels!r}.")
        self.num_output_channels = num_output_channels

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return F.rgb_to_grayscale(img, self.num_output_channels)


class RandomGrayscale(Transform):
    """Black and white with probability `p`; the number of channels stays."""

    def __init__(self, p: float = 0.1) -> None:
        self.p = probability(p, "RandomGrayscale")

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        channels = images.channels_of(img)
        if self.random(1).random() < self.p:
            return F.rgb_to_grayscale(img, channels)
        return img


class GaussianBlur(Transform):
    """Blurred by a bell curve of random width.

    Args:
        kernel_size: Odd number of pixels, or (across, down).
        sigma: The bell's width in pixels: one number, or (least, most).
    """

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)) -> None:
        self.kernel_size = images.pair(kernel_size, "GaussianBlur: kernel_size")
        if any(size % 2 == 0 for size in self.kernel_size):
            raise ValueRangeError(f"GaussianBlur: kernel_size must be odd, got {kernel_size!r}.")
        if isinstance(sigma, numbers.Real):
            sigma = (float(sigma), float(sigma))
        self.sigma = _range(sigma, "GaussianBlur: sigma", above=0)

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """Draw the width."""
        return float(Transform.random(1).uniform(sigma_min, sigma_max))

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        width = self.get_params(*self.sigma)
        return F.gaussian_blur(img, self.kernel_size, [width, width])


class RandomInvert(Transform):
    """Black and white exchanged with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, "RandomInvert")

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return F.invert(img) if self.random(1).random() < self.p else img


class RandomPosterize(Transform):
    """Only `bits` bits of each value (0 to 8), with probability `p`; bytes only."""

    def __init__(self, bits: int, p: float = 0.5) -> None:
        if not isinstance(bits, int) or not 0 <= bits <= 8:
            raise ValueRangeError(f"RandomPosterize: bits must be 0 to 8, got {bits!r}.")
        self.bits = int(bits)
        self.p = probability(p, "RandomPosterize")

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return F.posterize(img, self.bits) if self.random(1).random() < self.p else img


class RandomSolarize(Transform):
    """What is at least as bright as `threshold` inverted, with probability `p`."""

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        self.threshold = threshold
        self.p = probability(p, "RandomSolarize")

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return F.solarize(img, self.threshold) if self.random(1).random() < self.p else img


class RandomAdjustSharpness(Transform):
    """Softer (below 1) or sharper (above 1) with probability `p`."""

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        self.sharpness_factor = F._factor(sharpness_factor, "RandomAdjustSharpness: sharpness_factor")
        self.p = probability(p, "RandomAdjustSharpness")

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return F.adjust_sharpness(img, self.sharpness_factor) if self.random(1).random() < self.p else img


class RandomAutocontrast(Transform):
    """Each channel from black to white, with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, "RandomAutocontrast")

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return F.autocontrast(img) if self.random(1).random() < self.p else img


class RandomEqualize(Transform):
    """All brightnesses about equally frequent, with probability `p`; bytes only."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, "RandomEqualize")

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return F.equalize(img) if self.random(1).random() < self.p else img


class RandomErasing(Transform):
    """A rectangle put over the image, with probability `p`. Zhong et al., arXiv:1708.04896.

    Args:
        p: How often.
        scale: The rectangle's area, from the least to the most, of the image's.
        ratio: Its height by its width, from the least to the most, evenly by its logarithm.
        value: Its colour: a number, one per channel, or "random" for noise of a standard normal distribution.
        inplace: Change the image itself.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        if not isinstance(value, (numbers.Number, str, tuple, list)):
            raise ArgumentError(f'RandomErasing: value must be a number, one per channel, or "random"; got {value!r}.')
        if isinstance(value, str) and value != "random":
            raise ValueRangeError(f'RandomErasing: the only text allowed as value is "random", got {value!r}.')
        self.p = probability(p, "RandomErasing")
        self.scale = _range(scale, "RandomErasing: scale")
        if not 0 <= self.scale[0] <= self.scale[1] <= 1:
            raise ValueRangeError(f"RandomErasing: scale is a part of the image, 0 to 1, got {scale!r}.")
        self.ratio = _range(ratio, "RandomErasing: ratio", above=0)
        self.value = value
        self.inplace = inplace

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float], value: Any = None) -> Any:
        """Draw (top, left, rows, columns, what to put there); the image itself where no rectangle fits.

        Args:
            value: One number per channel, or None for noise.
        """
        channels, (rows, columns) = images.channels_of(img), images.size_of(img, "RandomErasing")
        draw = Transform.random(40 + 2 * rows * columns)
        for _ in range(10):
            area = rows * columns * draw.uniform(scale[0], scale[1])
            shape = math.exp(draw.uniform(math.log(ratio[0]), math.log(ratio[1])))
            height, width = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if not (height < rows and width < columns):
                continue
            dtype = images.planes_of(img).dtype
            if value is None:
                content = draw.standard_normal((channels, height, width)).astype(dtype)
            else:
                content = np.asarray(value).astype(dtype)[:, None, None]
            top, left = int(draw.integers(rows - height + 1)), int(draw.integers(columns - width + 1))
            return top, left, height, width, arrays.from_numpy(content)
        return 0, 0, rows, columns, img

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        if images.is_pil(img):
            raise ArgumentError(
                "RandomErasing takes a tensor or an array, got a Pillow image.", hint="Put ToTensor() before it."
            )
        channels = images.channels_of(img)
        if self.random(1).random() >= self.p:
            return img
        value = None
        if self.value != "random":
            value = [self.value] if isinstance(self.value, numbers.Number) else list(self.value)
            if len(value) not in (1, channels):
                raise ValueRangeError(
                    f"RandomErasing: value has {len(value)} numbers for an image of {channels} channels."
                )
        top, left, height, width, content = self.get_params(img, self.scale, self.ratio, value)
        if content is img:
            return img
        return F.erase(img, top, left, height, width, content, self.inplace)
