"""Weights of ready-made models: where the file is, how pictures are prepared for it, and loading it from the disk.

Nothing is fetched here: a file that is not on the disk is named with its address and the place where it belongs.
"""

from __future__ import annotations

import os
import warnings
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import mlkit
from mlkit.core.errors import ArgumentError, CheckpointError, DataError
from mlkit.data.transforms import InterpolationMode, functional
from mlkit.data.transforms.images import is_pil

__all__ = ["ImageClassification", "Weights", "WeightsEnum", "family", "load_into"]

ADDRESS = "https://download.pytorch.org/models/"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageClassification:
    """How a picture is prepared for a classifier: resized, cropped, as numbers from 0 to 1, normalised.

    >>> from PIL import Image
    >>> ImageClassification(crop_size=8, resize_size=10)(Image.new("RGB", (20, 12))).shape
    mlkit.Size([3, 8, 8])
    """

    def __init__(
        self,
        *,
        crop_size: int,
        resize_size: int = 256,
        mean: tuple[float, ...] = MEAN,
        std: tuple[float, ...] = STD,
        interpolation: Any = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.crop_size, self.resize_size = [crop_size], [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation, self.antialias = interpolation, antialias

    def __call__(self, img: Any) -> Any:
        img = functional.resize(img, self.resize_size, self.interpolation, antialias=self.antialias)
        img = functional.center_crop(img, self.crop_size)
        if is_pil(img):
            img = functional.pil_to_tensor(img)
        return functional.normalize(functional.convert_image_dtype(img, mlkit.float32), self.mean, self.std)

    forward = __call__

    def __repr__(self) -> str:
        return (
            f"ImageClassification(\n    crop_size={self.crop_size}\n    resize_size={self.resize_size}\n"
            f"    mean={self.mean}\n    std={self.std}\n    interpolation={self.interpolation}\n)"
        )


class _Meta(dict):
    """What is known of some weights; the names of ImageNet's classes are not shipped."""

    def __missing__(self, key: str) -> Any:
        raise KeyError(
            f"{key!r} is not kept here (kept: {', '.join(self)}). The names of ImageNet's classes are in torchvision's "
            "documentation, or in the file imagenet_classes.txt that its tutorials use."
        )


class Weights(NamedTuple):
    """One file of weights."""

    file: str
    crop_size: int
    resize_size: int
    interpolation: str


class WeightsEnum(Enum):
    """The files of weights that a model has; ``DEFAULT`` is the best of them."""

    @property
    def url(self) -> str:
        """Where torchvision offers the file."""
        return ADDRESS + self.value.file

    @property
    def meta(self) -> dict[str, Any]:
        """What is known of the weights."""
        return _Meta(min_size=(1, 1), num_classes=1000)

    def transforms(self) -> ImageClassification:
        """How pictures are prepared for these weights."""
        return ImageClassification(
            crop_size=self.value.crop_size,
            resize_size=self.value.resize_size,
            interpolation=InterpolationMode(self.value.interpolation),
        )

    def path(self) -> Path:
        """Where the file belongs on this machine."""
        from mlkit.torch.parts.hub import get_dir

        return Path(get_dir()) / "checkpoints" / self.value.file

    def get_state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:
        """The weights from the file on the disk.

        Raises:
            DataError: The file is not there; the message says where it is had and where to put it.
        """
        path = self.path()
        if not path.exists():
            raise DataError(
                f"The weights {self} are not on this machine.",
                details=f"address: {self.url}\nplace:   {path}",
                hint="Get the file from the address with your browser (or torch.hub.load_state_dict_from_url) and put it "
                "there, or give its path: weights='/somewhere/file.pth'. weights=None starts from random numbers.",
            )
        return _read(path)

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    __repr__ = __str__

    @classmethod
    def verify(cls, obj: Any) -> Any:
        """One of these, from itself, its name or ``"Class.NAME"``; None for None."""
        if obj is None or isinstance(obj, cls):
            return obj
        if isinstance(obj, str):
            name = obj.replace(cls.__name__ + ".", "")
            if name in cls.__members__:
                return cls[name]
        raise ArgumentError(
            f"These weights are not of this model: {obj!r}.", hint=f"It has {', '.join(map(str, cls))}, and None."
        )


def family(name: str, *files: tuple[Any, ...]) -> Any:
    """An enumeration of weights: for each (name, file, crop size, resize size, interpolation); the last is DEFAULT."""
    members = []
    for key, file, *prepared in files:
        crop, resize, interpolation = prepared or (224, 256, "bilinear")
        members.append((key, Weights(file, crop, resize, interpolation)))
    members.append(("DEFAULT", members[-1][1]))
    make: Any = WeightsEnum
    return make(name, members, module=__name__)


def _read(path: Any) -> dict[str, Any]:
    state = mlkit.load(path, map_location="cpu")
    return state.get("state_dict", state) if isinstance(state, dict) else state


def load_into(model: Any, weights: Any, kind: Any, classes: int | None) -> Any:
    """Give the model what was asked for with ``weights=``: None, one of `kind`, its name, or the path of a file."""
    if weights is None or weights is False:
        return model
    is_path = isinstance(weights, (str, os.PathLike)) and (
        os.path.sep in os.fspath(weights) or os.fspath(weights).endswith((".pth", ".pt", ".safetensors"))
    )
    if is_path:
        if not os.path.exists(weights):
            raise DataError(f"There is no file {os.fspath(weights)!r} of weights.")
        state, source = _read(weights), os.fspath(weights)
    else:
        if weights is True:
            warnings.warn("pretrained=True is torchvision's old way; say weights='DEFAULT'.", UserWarning, stacklevel=4)
            weights = "DEFAULT"
        chosen = kind.verify(weights)
        if classes not in (None, 1000):
            raise ArgumentError(
                f"{chosen} are for 1000 classes, and num_classes={classes} was asked for.",
                hint="Make the model with its 1000 classes, then replace its last layer.",
            )
        state, source = chosen.get_state_dict(), str(chosen.path())
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"The weights in {source} are not of this model.", details=str(error)) from None
    return model
