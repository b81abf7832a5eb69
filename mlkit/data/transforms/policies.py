"""Automatic augmentation: AutoAugment (arXiv:1805.09501), RandAugment (1909.13719), TrivialAugment (2103.10158), AugMix
(1912.02781)."""

from __future__ import annotations

import enum
import math
from typing import Any

import numpy as np

from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.data.transforms import functional as F
from mlkit.data.transforms import images
from mlkit.data.transforms.compose import Transform
from mlkit.data.transforms.images import InterpolationMode, interpolation_mode, size_of

__all__ = ["AugMix", "AutoAugment", "AutoAugmentPolicy", "RandAugment", "TrivialAugmentWide"]


class AutoAugmentPolicy(enum.Enum):
    """The data set on which an AutoAugment policy was found."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


#: The policies of the paper's appendix: 25 pairs of (operation, probability in tenths, magnitude 0 to 9 or - for none).
POLICIES = {
    AutoAugmentPolicy.IMAGENET: """
        Posterize 4 8 Rotate 6 9, Solarize 6 5 AutoContrast 6 -, Equalize 8 - Equalize 6 -, Posterize 6 7 Posterize 6 6,
        Equalize 4 - Solarize 2 4, Equalize 4 - Rotate 8 8, Solarize 6 3 Equalize 6 -, Posterize 8 5 Equalize 10 -,
        Rotate 2 3 Solarize 6 8, Equalize 6 - Posterize 4 6, Rotate 8 8 Color 4 0, Rotate 4 9 Equalize 6 -,
        Equalize 0 - Equalize 8 -, Invert 6 - Equalize 10 -, Color 6 4 Contrast 10 8, Rotate 8 8 Color 10 2,
        Color 8 8 Solarize 8 7, Sharpness 4 7 Invert 6 -, ShearX 6 5 Equalize 10 -, Color 4 0 Equalize 6 -,
        Equalize 4 - Solarize 2 4, Solarize 6 5 AutoContrast 6 -, Invert 6 - Equalize 10 -, Color 6 4 Contrast 10 8,
        Equalize 8 - Equalize 6 -""",
    AutoAugmentPolicy.CIFAR10: """
        Invert 1 - Contrast 2 6, Rotate 7 2 TranslateX 3 9, Sharpness 8 1 Sharpness 9 3, ShearY 5 8 TranslateY 7 9,
        AutoContrast 5 - Equalize 9 -, ShearY 2 7 Posterize 3 7, Color 4 3 Brightness 6 7, Sharpness 3 9 Brightness 7 9,
        Equalize 6 - Equalize 5 -, Contrast 6 7 Sharpness 6 5, Color 7 7 TranslateX 5 8, Equalize 3 - AutoContrast 4 -,
        TranslateY 4 3 Sharpness 2 6, Brightness 9 6 Color 2 8, Solarize 5 2 Invert 0 -, Equalize 2 - AutoContrast 6 -,
        Equalize 2 - Equalize 6 -, Color 9 9 Equalize 6 -, AutoContrast 8 - Solarize 2 8, Brightness 1 3 Color 7 0,
        Solarize 4 5 AutoContrast 9 -, TranslateY 9 9 TranslateY 7 9, AutoContrast 9 - Solarize 8 3,
        Equalize 8 - Invert 1 -, TranslateY 7 9 AutoContrast 9 -""",
    AutoAugmentPolicy.SVHN: """
        ShearX 9 4 Invert 2 -, ShearY 9 8 Invert 7 -, Equalize 6 - Solarize 6 6, Invert 9 - Equalize 6 -,
        Equalize 6 - Rotate 9 3, ShearX 9 4 AutoContrast 8 -, ShearY 9 8 Invert 4 -, ShearY 9 5 Solarize 2 6,
        Invert 9 - AutoContrast 8 -, Equalize 6 - Rotate 9 3, ShearX 9 4 Solarize 3 3, ShearY 8 8 Invert 7 -,
        Equalize 9 - TranslateY 6 6, Invert 9 - Equalize 6 -, Contrast 3 3 Rotate 8 4, Invert 8 - TranslateY 0 2,
        ShearY 7 6 Solarize 4 8, Invert 6 - Rotate 8 4, ShearY 3 7 TranslateX 9 3, ShearX 1 6 Invert 6 -,
        Solarize 7 2 TranslateY 6 7, ShearY 8 4 Invert 8 -, ShearX 7 9 TranslateY 8 3, ShearY 8 5 AutoContrast 7 -,
        ShearX 7 2 Invert 1 -""",
}


def policy_pairs(policy: AutoAugmentPolicy) -> list[list[tuple[str, float, int | None]]]:
    """The policy's pairs of (operation, probability, magnitude)."""
    pairs = []
    for text in POLICIES[policy].split(","):
        words = text.split()
        pairs.append([(words[i], int(words[i + 1]) / 10, _number(words[i + 2])) for i in (0, 3)])
    return pairs


def _number(word: str) -> int | None:
    return None if word == "-" else int(word)


def apply_op(img: Any, name: str, magnitude: float, interpolation: InterpolationMode, fill: Any) -> Any:
    """One of the operations by its name in the papers."""
    if name in ("ShearX", "ShearY"):
        degrees = math.degrees(math.atan(magnitude))
        shear = (degrees, 0.0) if name == "ShearX" else (0.0, degrees)
        return F.affine(img, 0.0, (0, 0), 1.0, shear, interpolation, fill, center=(0, 0))
    if name in ("TranslateX", "TranslateY"):
        move = (int(magnitude), 0) if name == "TranslateX" else (0, int(magnitude))
        return F.affine(img, 0.0, move, 1.0, (0.0, 0.0), interpolation, fill)
    if name == "Rotate":
        return F.rotate(img, magnitude, interpolation, fill=fill)
    if name in _COLOR:
        return _COLOR[name](img, 1.0 + magnitude)
    if name == "Posterize":
        return F.posterize(img, int(magnitude))
    if name == "Solarize":
        return F.solarize(img, magnitude)
    return {"AutoContrast": F.autocontrast, "Equalize": F.equalize, "Invert": F.invert, "Identity": lambda one: one}[
        name
    ](img)


_COLOR = {
    "Brightness": F.adjust_brightness,
    "Color": F.adjust_saturation,
    "Contrast": F.adjust_contrast,
    "Sharpness": F.adjust_sharpness,
}


def space(bins: int, shear: float, across: float, down: float, turn: float, color: float, bits: int) -> dict[str, Any]:
    """Operation: (its magnitudes, whether they may be negative)."""
    nothing = np.zeros(bins)
    return {
        "Identity": (nothing, False),
        "ShearX": (np.linspace(0.0, shear, bins), True),
        "ShearY": (np.linspace(0.0, shear, bins), True),
        "TranslateX": (np.linspace(0.0, across, bins), True),
        "TranslateY": (np.linspace(0.0, down, bins), True),
        "Rotate": (np.linspace(0.0, turn, bins), True),
        "Brightness": (np.linspace(0.0, color, bins), True),
        "Color": (np.linspace(0.0, color, bins), True),
        "Contrast": (np.linspace(0.0, color, bins), True),
        "Sharpness": (np.linspace(0.0, color, bins), True),
        "Posterize": (8 - np.rint(np.arange(bins) / max((bins - 1) / bits, 1e-9)), False),
        "Solarize": (np.linspace(255.0, 0.0, bins), False),
        "AutoContrast": (nothing, False),
        "Equalize": (nothing, False),
    }


class _Automatic(Transform):
    """What they have in common."""

    interpolation: InterpolationMode
    fill: Any

    def _check(self, img: Any) -> None:
        images.must_be_image(img, type(self).__name__)
        if not images.is_pil(img) and images.planes_of(img).dtype != np.uint8:
            raise ArgumentError(
                f"{type(self).__name__} takes a Pillow image or one of uint8, got {images.planes_of(img).dtype}.",
                hint="Put it before ToTensor().",
            )

    def _do(self, img: Any, name: str, magnitude: float) -> Any:
        return apply_op(img, name, magnitude, self.interpolation, self.fill)


class AutoAugment(_Automatic):
    """One of the 25 pairs of operations that a search found for a data set.

    Args:
        policy: "imagenet", "cifar10", "svhn", or a member of `AutoAugmentPolicy`.
        interpolation: "nearest" (the default) or "bilinear".
        fill: What comes in from outside; black by default.
    """

    def __init__(
        self,
        policy: Any = AutoAugmentPolicy.IMAGENET,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        try:
            self.policy = AutoAugmentPolicy(policy)
        except ValueError as error:
            names = ", ".join(f'"{one.value}"' for one in AutoAugmentPolicy)
            raise ValueRangeError(f"AutoAugment: policy must be one of {names}, got {policy!r}.") from error
        self.interpolation = interpolation_mode(interpolation)
        self.fill = fill
        self._pairs = policy_pairs(self.policy)

    @staticmethod
    def get_params(transform_num: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Draw which pair, a number in 0..1 for each operation, and a sign for each."""
        draw = Transform.random(8)
        return int(draw.integers(transform_num)), draw.random(2), draw.integers(0, 2, 2)

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        self._check(img)
        rows, columns = size_of(img)
        ways = space(10, 0.3, 150.0 / 331.0 * columns, 150.0 / 331.0 * rows, 30.0, 0.9, 4)
        number, chances, signs = self.get_params(len(self._pairs))
        for (name, p, level), chance, sign in zip(self._pairs[number], chances, signs):
            if chance <= p:
                magnitudes, signed = ways.get(name, (None, False))
                magnitude = float(magnitudes[level]) if level is not None and magnitudes is not None else 0.0
                img = self._do(img, name, -magnitude if signed and sign == 0 else magnitude)
        return img


class RandAugment(_Automatic):
    """`num_ops` operations chosen at random, all of one strength.

    Args:
        num_ops: How many.
        magnitude: The strength, 0 to ``num_magnitude_bins - 1``.
        num_magnitude_bins: Into how many steps strengths are divided.
        interpolation: "nearest" (the default) or "bilinear".
        fill: What comes in from outside; black by default.

    >>> RandAugment(num_ops=3)
    RandAugment(num_ops=3, magnitude=9, num_magnitude_bins=31, interpolation=nearest, fill=None)
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        if not isinstance(num_ops, int) or num_ops < 0:
            raise ValueRangeError(f"RandAugment: num_ops must be a whole number of at least 0, got {num_ops!r}.")
        if not isinstance(num_magnitude_bins, int) or num_magnitude_bins < 2:
            raise ValueRangeError(f"RandAugment: num_magnitude_bins must be at least 2, got {num_magnitude_bins!r}.")
        if not isinstance(magnitude, int) or not 0 <= magnitude < num_magnitude_bins:
            raise ValueRangeError(
                f"RandAugment: magnitude must be a whole number from 0 to {num_magnitude_bins - 1}, got {magnitude!r}."
            )
        self.num_ops = int(num_ops)
        self.magnitude = int(magnitude)
        self.num_magnitude_bins = int(num_magnitude_bins)
        self.interpolation = interpolation_mode(interpolation)
        self.fill = fill

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        self._check(img)
        rows, columns = size_of(img)
        ways = space(self.num_magnitude_bins, 0.3, 150.0 / 331.0 * columns, 150.0 / 331.0 * rows, 30.0, 0.9, 4)
        draw = self.random(2 * self.num_ops)
        for _ in range(self.num_ops):
            name = list(ways)[int(draw.integers(len(ways)))]
            magnitudes, signed = ways[name]
            magnitude = float(magnitudes[self.magnitude])
            img = self._do(img, name, -magnitude if signed and draw.integers(2) else magnitude)
        return img


class TrivialAugmentWide(_Automatic):
    """One operation chosen at random, of a random strength from a wide range; nothing to tune.

    Args:
        num_magnitude_bins: Into how many steps strengths are divided.
        interpolation: "nearest" (the default) or "bilinear".
        fill: What comes in from outside; black by default.
    """

    def __init__(
        self, num_magnitude_bins: int = 31, interpolation: Any = InterpolationMode.NEAREST, fill: Any = None
    ) -> None:
        if not isinstance(num_magnitude_bins, int) or num_magnitude_bins < 2:
            raise ValueRangeError(
                f"TrivialAugmentWide: num_magnitude_bins must be at least 2, got {num_magnitude_bins!r}."
            )
        self.num_magnitude_bins = int(num_magnitude_bins)
        self.interpolation = interpolation_mode(interpolation)
        self.fill = fill

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        self._check(img)
        ways = space(self.num_magnitude_bins, 0.99, 32.0, 32.0, 135.0, 0.99, 6)
        draw = self.random(4)
        name = list(ways)[int(draw.integers(len(ways)))]
        magnitudes, signed = ways[name]
        magnitude = float(magnitudes[int(draw.integers(self.num_magnitude_bins))])
        return self._do(img, name, -magnitude if signed and draw.integers(2) else magnitude)


class AugMix(_Automatic):
    """The image mixed with several versions of itself, each changed by a short chain of random operations.

    The share of the image itself is drawn from a beta distribution, those of its versions from a Dirichlet one.

    Args:
        severity: The strongest strength that is drawn, 1 to 10.
        mixture_width: How many versions.
        chain_depth: Operations in each chain; -1: 1 to 3, drawn for each.
        alpha: Of both distributions: 1 is even, small makes one of the parts prevail.
        all_ops: With brightness, colour, contrast and sharpness, too. (Some benchmarks of robustness test with these.)
        interpolation: "bilinear" (the default) or "nearest".
        fill: What comes in from outside; black by default.

    >>> AugMix(severity=5)
    AugMix(severity=5, mixture_width=3, chain_depth=-1, alpha=1, all_ops=True, interpolation=bilinear, fill=None)
    """

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: Any = InterpolationMode.BILINEAR,
        fill: Any = None,
    ) -> None:
        if not isinstance(severity, int) or not 1 <= severity <= 10:
            raise ValueRangeError(f"AugMix: severity must be a whole number from 1 to 10, got {severity!r}.")
        if not isinstance(mixture_width, int) or mixture_width < 1:
            raise ValueRangeError(f"AugMix: mixture_width must be a whole number of at least 1, got {mixture_width!r}.")
        if not isinstance(chain_depth, int) or (chain_depth < 1 and chain_depth != -1):
            raise ValueRangeError(f"AugMix: chain_depth must be at least 1, or -1 for 1 to 3, got {chain_depth!r}.")
        if not alpha > 0:
            raise ValueRangeError(f"AugMix: alpha must be larger than 0, got {alpha!r}.")
        self.severity = severity
        self.mixture_width = mixture_width
        self.chain_depth = chain_depth
        self.alpha = float(alpha)
        self.all_ops = bool(all_ops)
        self.interpolation = interpolation_mode(interpolation)
        self.fill = fill

    def forward(self, img: Any) -> Any:  # type: ignore[override]
        self._check(img)
        rows, columns = size_of(img)
        ways = space(10, 0.3, columns / 3.0, rows / 3.0, 30.0, 0.9, 4)
        del ways["Identity"]
        names = [name for name in ways if self.all_ops or name not in _COLOR]
        depth = 3 if self.chain_depth == -1 else self.chain_depth
        draw = self.random(4 + self.mixture_width * (2 + 3 * depth))
        own = draw.beta(self.alpha, self.alpha)
        shares = (1.0 - own) * draw.dirichlet([self.alpha] * self.mixture_width)
        mixed = own * _pixels(img)
        for share in shares:
            one = img
            for _ in range(int(draw.integers(1, 4)) if self.chain_depth == -1 else depth):
                name = names[int(draw.integers(len(names)))]
                magnitudes, signed = ways[name]
                magnitude = float(magnitudes[int(draw.integers(self.severity))])
                one = self._do(one, name, -magnitude if signed and draw.integers(2) else magnitude)
            mixed += share * _pixels(one)
        mixed = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
        if images.is_pil(img):
            return images.pillow().fromarray(mixed, img.mode)
        return images.on_planes(img, lambda planes: mixed.reshape(planes.shape), "AugMix")


def _pixels(img: Any) -> np.ndarray:
    """The values as float32: a Pillow image's [rows, columns, channels], others' [..., channels, rows, columns]."""
    return np.asarray(img if images.is_pil(img) else images.planes_of(img), dtype=np.float32)
