"""``torchvision.transforms.v2``: the transforms of images that only its second version has."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

import mlkit
from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.data import arrays
from mlkit.data.transforms import ColorJitter, InterpolationMode, Transform, functional
from mlkit.data.transforms.images import is_pil

__all__ = [
    "JPEG",
    "RGB",
    "GaussianNoise",
    "Identity",
    "RandomChannelPermutation",
    "RandomPhotometricDistort",
    "RandomResize",
    "RandomShortestSize",
    "ScaleJitter",
    "ToPureTensor",
]


class Identity(Transform):
    """The image as it is.

    >>> Identity()(3)
    3
    """

    def forward(self, *images: Any) -> Any:
        return images[0] if len(images) == 1 else images


class ToPureTensor(Identity):
    """The image as it is: tensors are plain here."""


class RGB(Transform):
    """Three channels: a grey image three times, a colour image as it is, transparency left out."""

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return grayscale_to_rgb(img)


class GaussianNoise(Transform):
    """Noise added to a tensor of decimal numbers.

    Args:
        mean, sigma: Of the noise.
        clip: Keep the result from 0 to 1.
    """

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        self.mean, self.sigma, self.clip = mean, sigma, clip

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return gaussian_noise(img, self.mean, self.sigma, self.clip)


class RandomChannelPermutation(Transform):
    """The channels in a random order."""

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return permute_channels(img, self.random().permutation(functional.get_image_num_channels(img)).tolist())


class RandomPhotometricDistort(Transform):
    """Brightness, contrast, saturation and hue, each changed with probability `p`; the channels may change places."""

    def __init__(
        self,
        brightness: tuple[float, float] = (0.875, 1.125),
        contrast: tuple[float, float] = (0.5, 1.5),
        saturation: tuple[float, float] = (0.5, 1.5),
        hue: tuple[float, float] = (-0.05, 0.05),
        p: float = 0.5,
    ) -> None:
        if not 0 <= p <= 1:
            raise ValueRangeError(f"RandomPhotometricDistort: p must be from 0 to 1, got {p!r}.")
        self.brightness, self.contrast, self.saturation, self.hue, self.p = brightness, contrast, saturation, hue, p
        ColorJitter(brightness, contrast, saturation, hue)  # says what is wrong with a range

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        draw = self.random(16)
        happens = draw.random(6) < self.p
        changes = [
            (happens[0], functional.adjust_brightness, self.brightness),
            (happens[1] and happens[5], functional.adjust_contrast, self.contrast),
            (happens[2], functional.adjust_saturation, self.saturation),
            (happens[3], functional.adjust_hue, self.hue),
            (happens[1] and not happens[5], functional.adjust_contrast, self.contrast),
        ]
        for wanted, change, (low, high) in changes:
            amount = float(draw.uniform(low, high))
            if wanted:
                img = change(img, amount)
        if happens[4]:
            img = permute_channels(img, draw.permutation(functional.get_image_num_channels(img)).tolist())
        return img


class RandomResize(Transform):
    """The shorter side becomes a random length from `min_size` up to, not with, `max_size`."""

    def __init__(
        self,
        min_size: int,
        max_size: int,
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        if not 0 < min_size < max_size:
            raise ValueRangeError(f"RandomResize: min_size must be below max_size, got {min_size} and {max_size}.")
        self.min_size, self.max_size, self.interpolation, self.antialias = min_size, max_size, interpolation, antialias

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        size = int(self.random(1).integers(self.min_size, self.max_size))
        return functional.resize(img, [size], self.interpolation, antialias=self.antialias)


class RandomShortestSize(Transform):
    """The shorter side becomes one of `min_size`; the longer one at most `max_size`."""

    def __init__(
        self,
        min_size: int | Sequence[int],
        max_size: int | None = None,
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.min_size = [min_size] if isinstance(min_size, int) else list(min_size)
        self.max_size, self.interpolation, self.antialias = max_size, interpolation, antialias

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        height, width = get_size(img)
        scale = self.min_size[int(self.random(1).integers(len(self.min_size)))] / min(height, width)
        if self.max_size is not None:
            scale = min(scale, self.max_size / max(height, width))
        size = [int(height * scale), int(width * scale)]
        return functional.resize(img, size, self.interpolation, antialias=self.antialias)


class ScaleJitter(Transform):
    """Fitted into `target_size`, then scaled by a random factor."""

    def __init__(
        self,
        target_size: tuple[int, int],
        scale_range: tuple[float, float] = (0.1, 2.0),
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.target_size, self.scale_range = target_size, scale_range
        self.interpolation, self.antialias = interpolation, antialias

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        height, width = get_size(img)
        scale = float(self.random(1).uniform(*self.scale_range))
        scale *= min(self.target_size[0] / height, self.target_size[1] / width)
        size = [max(int(height * scale), 1), max(int(width * scale), 1)]
        return functional.resize(img, size, self.interpolation, antialias=self.antialias)


class JPEG(Transform):
    """As if saved as JPEG of a random quality (1 to 100) and read again; bytes only."""

    def __init__(self, quality: int | tuple[int, int]) -> None:
        low, high = (quality, quality) if isinstance(quality, int) else quality
        if not 1 <= low <= high <= 100:
            raise ValueRangeError(f"JPEG: quality must be from 1 to 100, got {quality!r}.")
        self.quality = (low, high)

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        return jpeg(img, int(self.random(1).integers(self.quality[0], self.quality[1] + 1)))


# -- torchvision.transforms.v2.functional -----------------------------------------------------------------------------

horizontal_flip, vertical_flip = functional.hflip, functional.vflip
get_num_channels = functional.get_image_num_channels


def to_image(inpt: Any) -> mlkit.Tensor:
    """A tensor [channels, rows, columns] of an image, an array or a tensor; bytes stay bytes."""
    if arrays.is_tensor(inpt):
        return inpt
    if is_pil(inpt):
        return functional.pil_to_tensor(inpt)
    if isinstance(inpt, np.ndarray):
        pixels = inpt[:, :, None] if inpt.ndim == 2 else inpt
        return mlkit.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    raise ArgumentError(f"to_image takes a Pillow image, an array or a tensor, got a {type(inpt).__qualname__}.")


def to_dtype(inpt: Any, dtype: Any = mlkit.float32, scale: bool = False) -> Any:
    """A tensor in another type; with `scale` bytes 0..255 become 0..1, and back."""
    return functional.convert_image_dtype(inpt, dtype) if scale else inpt.to(dtype)


def get_size(inpt: Any) -> list[int]:
    """[height, width]."""
    return functional.get_dimensions(inpt)[1:]


def permute_channels(inpt: Any, permutation: list[int]) -> Any:
    """The channels in this order."""
    if is_pil(inpt):
        return functional.to_pil_image(np.asarray(inpt)[..., permutation])
    return inpt[..., permutation] if isinstance(inpt, np.ndarray) else inpt[..., permutation, :, :]


def grayscale_to_rgb(inpt: Any) -> Any:
    """Three channels: a grey image three times, a colour image as it is, transparency left out."""
    if is_pil(inpt):
        return inpt.convert("RGB")
    channels = inpt.shape[-3]
    return inpt[..., :3, :, :] if channels >= 3 else inpt[..., :1, :, :].expand(*inpt.shape[:-3], 3, *inpt.shape[-2:])


def gaussian_noise(inpt: Any, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> Any:
    """Noise added to a tensor of decimal numbers; `clip`: the result is kept from 0 to 1."""
    if not arrays.is_tensor(inpt) or not inpt.is_floating_point():
        raise ArgumentError(
            "gaussian_noise takes a tensor of decimal numbers.",
            hint="Put ToImage() and ToDtype(torch.float32, scale=True) before it.",
        )
    if sigma < 0:
        raise ValueRangeError(f"gaussian_noise: sigma must be at least 0, got {sigma!r}.")
    noise = Transform.random(inpt.numel()).standard_normal(tuple(inpt.shape)).astype(np.float32)
    out = inpt + (mlkit.from_numpy(noise) * sigma + mean).to(inpt.dtype)
    return out.clamp(0, 1) if clip else out


def jpeg(image: Any, quality: int) -> Any:
    """As if saved as JPEG of this quality (1 to 100) and read again."""
    from PIL import Image

    picture = image if is_pil(image) else functional.to_pil_image(image)
    with io.BytesIO() as file:
        picture.save(file, "JPEG", quality=quality)
        again = Image.open(file)
        again.load()
    return again if is_pil(image) else functional.pil_to_tensor(again)
