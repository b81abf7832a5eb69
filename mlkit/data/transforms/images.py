"""What an image is: a Pillow image, an array [rows, columns(, channels)], or a tensor [..., channels, rows, columns]."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlkit.core.errors import ArgumentError, DataError, MissingFeature, ShapeError, ValueRangeError
from mlkit.data import arrays

__all__ = [
    "InterpolationMode",
    "channels_of",
    "is_pil",
    "on_planes",
    "pair",
    "pillow",
    "planes_of",
    "size_of",
]


class InterpolationMode(enum.Enum):
    """How values between pixels are found. The last three are Pillow's and only for Pillow images."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


#: Pillow's numbers for the modes.
PILLOW_MODES = {
    InterpolationMode.NEAREST: 0,
    InterpolationMode.NEAREST_EXACT: 0,
    InterpolationMode.LANCZOS: 1,
    InterpolationMode.BILINEAR: 2,
    InterpolationMode.BICUBIC: 3,
    InterpolationMode.BOX: 4,
    InterpolationMode.HAMMING: 5,
}


def interpolation_mode(value: Any) -> InterpolationMode:
    """The mode by member, name, or Pillow's number."""
    if isinstance(value, InterpolationMode):
        return value
    if isinstance(value, str):
        for mode in InterpolationMode:
            if value.lower().replace("_", "-") == mode.value:
                return mode
    if isinstance(value, int):  # Pillow's Resampling members are ints too
        for mode, number in PILLOW_MODES.items():
            if number == value:
                return mode
    names = ", ".join(f'"{mode.value}"' for mode in InterpolationMode)
    raise ArgumentError(f"interpolation must be an InterpolationMode or one of {names}, got {value!r}.")


def pillow(name: str = "Image") -> Any:
    """A module of Pillow.

    Raises:
        MissingFeature: It is not installed.
    """
    import importlib

    try:
        return importlib.import_module(f"PIL.{name}")
    except ImportError as error:
        raise MissingFeature(
            "Image files and Pillow images need the package Pillow, which is not installed.",
            hint='Install it: pip install "mlkit[data]" (or pip install pillow).',
        ) from error


def is_pil(image: Any) -> bool:
    """Whether this is a Pillow image."""
    return type(image).__module__.partition(".")[0] == "PIL" or (hasattr(image, "getbands") and hasattr(image, "mode"))


def planes_of(image: Any, doing: str = "this transform") -> np.ndarray:
    """An array's or tensor's values as [..., channels, rows, columns]."""
    if arrays.is_tensor(image):
        if image.ndim < 2:
            raise ShapeError(
                f"{doing}: an image tensor is [..., channels, rows, columns], got {list(image.shape)}.",
                hint="Check that the image comes first and the label second.",
            )
        return arrays.to_numpy(image)
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3):
            raise ShapeError(
                f"{doing}: an image array is [rows, columns] or [rows, columns, channels], got {list(image.shape)}.",
                hint="A tensor (mlkit.from_numpy) is [..., channels, rows, columns].",
            )
        return image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)
    kind = type(image)
    raise ArgumentError(
        f"{doing} takes a Pillow image, an array or a tensor, got a {kind.__module__}.{kind.__qualname__}."
    )


def on_planes(image: Any, change: Callable[[np.ndarray], np.ndarray], doing: str = "this transform") -> Any:
    """`change` applied to [..., channels, rows, columns], the result in the image's own form."""
    planes = planes_of(image, doing)
    if isinstance(image, np.ndarray):
        result = change(planes)
        return np.ascontiguousarray(result[0] if image.ndim == 2 else np.moveaxis(result, 0, 2))
    flat = image.ndim == 2
    result = np.ascontiguousarray(change(planes[None] if flat else planes))
    return arrays.from_numpy(result[0] if flat else result).to(image.device)


def size_of(image: Any, doing: str = "this transform") -> tuple[int, int]:
    """(rows, columns)."""
    if is_pil(image):
        return image.size[1], image.size[0]
    return tuple(planes_of(image, doing).shape[-2:])  # type: ignore[return-value]


def channels_of(image: Any) -> int:
    """How many channels."""
    if is_pil(image):
        return len(image.getbands())
    planes = planes_of(image)
    return planes.shape[-3] if planes.ndim > 2 else 1


def pair(value: Any, name: str, least: int | None = 1) -> tuple[int, int]:
    """(rows, columns) from one number or two.

    Raises:
        ArgumentError, ValueRangeError: Something else, or a number that is too small.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        value = (value, value)
    elif isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 1:
        value = (value[0], value[0])
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ValueRangeError(f"{name} must be one whole number, or two: (rows, columns). Got {value!r}.")
    for number in value:
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise ArgumentError(f"{name} must be whole numbers, got {value!r}.")
        if least is not None and number < least:
            raise ValueRangeError(f"{name} must be at least {least}, got {value!r}.")
    return int(value[0]), int(value[1])


def fill_values(fill: Any, channels: int, name: str = "fill") -> list[float]:
    """One value per channel.

    Raises:
        ValueRangeError: Another number of values.
    """
    values = [0.0] if fill is None else [fill] if isinstance(fill, (int, float)) else list(fill)
    if len(values) == 1:
        values = values * channels
    if len(values) != channels:
        raise ValueRangeError(f"{name} has {len(values)} values for an image of {channels} channels.")
    return values


def must_be_image(image: Any, doing: str) -> None:
    """Raise unless it is an image of a kind known here."""
    if not is_pil(image):
        planes_of(image, doing)


def bound(dtype: np.dtype) -> float:
    """White: 1 for floats, the largest value for whole numbers."""
    return 1.0 if dtype.kind == "f" or dtype.kind == "V" else float(np.iinfo(dtype).max)


def three_or_one(planes: np.ndarray, doing: str, allowed: tuple[int, ...] = (1, 3)) -> None:
    channels = planes.shape[-3] if planes.ndim > 2 else 1
    if channels not in allowed:
        raise DataError(
            f"{doing}: an image of {' or '.join(map(str, allowed))} channels is needed, got {channels}.",
            hint="Tensors are [..., channels, rows, columns], arrays [rows, columns, channels].",
        )
