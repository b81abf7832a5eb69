"""From images to tensors and back, and the range of their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

import mlkit
from mlkit.core.errors import ArgumentError, DataError, ShapeError
from mlkit.data import arrays
from mlkit.data.transforms import functional as F
from mlkit.data.transforms.compose import Transform, numbers_text
from mlkit.data.transforms.images import is_pil

__all__ = [
    "ConvertImageDtype",
    "LinearTransformation",
    "Normalize",
    "PILToTensor",
    "ToDtype",
    "ToImage",
    "ToPILImage",
    "ToTensor",
]


class ToTensor(Transform):
    """A Pillow image or an array [rows, columns(, channels)] as a tensor [channels, rows, columns]; bytes become
    float32 in 0..1.

    >>> ToTensor()(np.full((1, 2), 51, np.uint8))
    tensor([[[0.2000, 0.2000]]])
    """

    def forward(self, pic: Any) -> Any:  # type: ignore[override]
        return F.to_tensor(pic)


class PILToTensor(Transform):
    """A Pillow image as a tensor [channels, rows, columns] of its own numbers, mostly uint8."""

    def forward(self, pic: Any) -> Any:  # type: ignore[override]
        return F.pil_to_tensor(pic)


class ToImage(Transform):
    """A Pillow image or an array as a tensor [channels, rows, columns] of its own numbers; a tensor stays."""

    def forward(self, pic: Any) -> Any:  # type: ignore[override]
        if arrays.is_tensor(pic):
            return pic
        return F.pil_to_tensor(pic) if is_pil(pic) else arrays.from_numpy(np.array(F._pixels(pic, "ToImage")))


class ToPILImage(Transform):
    """A tensor [channels, rows, columns] or an array [rows, columns(, channels)] as a Pillow image.

    Args:
        mode: Pillow's mode; by default what fits the channels and the type.
    """

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def forward(self, pic: Any) -> Any:  # type: ignore[override]
        return F.to_pil_image(pic, self.mode)


class ConvertImageDtype(Transform):
    """A tensor image in another type, with its range: bytes 0..255 become 0..1, and back."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def forward(self, image: Any) -> Any:  # type: ignore[override]
        return F.convert_image_dtype(image, self.dtype)


class ToDtype(Transform):
    """A tensor in another type.

    Args:
        dtype: The new type.
        scale: Change the range with it: bytes 0..255 become 0..1, and back.

    >>> ToDtype(mlkit.float32, scale=True)(mlkit.tensor([[[255]]], dtype=mlkit.uint8)).item()
    1.0
    """

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        self.dtype = dtype
        self.scale = scale

    def forward(self, image: Any) -> Any:  # type: ignore[override]
        if not arrays.is_tensor(image):
            return image
        return F.convert_image_dtype(image, self.dtype) if self.scale else image.to(self.dtype)


class Normalize(Transform):
    """(value - mean) / std, channel by channel.

    Args:
        mean, std: One number per channel.
        inplace: Change the tensor itself.

    >>> Normalize([0.5], [0.5])(mlkit.tensor([[[0.0, 1.0]]]))
    tensor([[[-1.,  1.]]])
    """

    def __init__(self, mean: Any, std: Any, inplace: bool = False) -> None:
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def forward(self, tensor: Any) -> Any:  # type: ignore[override]
        return F.normalize(tensor, self.mean, self.std, self.inplace)

    def extra_repr(self) -> str:
        return f"mean={numbers_text(self.mean)}, std={numbers_text(self.std)}"


class LinearTransformation(Transform):
    """The image as one long vector, minus `mean_vector`, times a matrix (whitening).

    Args:
        transformation_matrix: [channels * rows * columns, the same].
        mean_vector: [channels * rows * columns].
    """

    def __init__(self, transformation_matrix: Any, mean_vector: Any) -> None:
        shape = tuple(transformation_matrix.shape)
        if len(shape) != 2 or shape[0] != shape[1] or tuple(mean_vector.shape) != shape[:1]:
            raise ShapeError(
                "LinearTransformation: the matrix must be square, and the mean as long as it.",
                details=f"matrix: {list(shape)}\nmean:   {list(mean_vector.shape)}",
            )
        self.transformation_matrix = transformation_matrix
        self.mean_vector = mean_vector

    def forward(self, tensor: Any) -> Any:  # type: ignore[override]
        if not arrays.is_tensor(tensor):
            raise ArgumentError(f"LinearTransformation takes a tensor, got a {type(tensor).__qualname__}.")
        size = int(np.prod(tensor.shape[-3:]))
        if size != self.transformation_matrix.shape[0]:
            raise DataError(
                f"LinearTransformation: the image has {size} values, and the matrix is for "
                f"{self.transformation_matrix.shape[0]}."
            )
        flat = tensor.reshape(-1, size) - self.mean_vector
        return mlkit.mm(flat, self.transformation_matrix).reshape(tensor.shape)

    def extra_repr(self) -> str:
        size = self.transformation_matrix.shape[0]
        return f"transformation_matrix=[{size}, {size}], mean_vector=[{size}]"
