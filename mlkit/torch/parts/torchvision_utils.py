"""``torchvision.utils``: many images in one."""

from __future__ import annotations

import math
from typing import Any

import mlkit
from mlkit.core.errors import ShapeError

__all__ = ["make_grid", "save_image"]


def make_grid(
    tensor: Any,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> mlkit.Tensor:
    """Images side by side in one.

    Args:
        tensor: (N, C, H, W), (C, H, W), (H, W), or a list of images of one size.
        nrow: Images in a row.
        padding: Pixels between them.
        normalize: Stretch the values to 0..1, from `value_range` or from the least and the greatest.
        scale_each: Stretch each image by itself.
        pad_value: What is between them.

    Returns:
        (C, rows * (H + padding) + padding, columns * (W + padding) + padding); one channel becomes three. A single
        image comes back as it is.

    >>> make_grid(mlkit.zeros(5, 1, 4, 4), nrow=3).shape.numel()
    840
    """
    images = mlkit.stack(list(tensor), dim=0) if isinstance(tensor, (list, tuple)) else tensor
    images = images.detach()
    if images.dim() == 2:
        images = images.unsqueeze(0)
    if images.dim() == 3:
        images = images.unsqueeze(0) if images.shape[0] in (1, 3) else images.unsqueeze(1)
    if images.dim() != 4:
        raise ShapeError(f"make_grid expects images (N, C, H, W), got a tensor of shape {tuple(images.shape)}.")
    if images.shape[1] == 1:
        images = mlkit.cat((images, images, images), 1)
    if normalize:
        images = images.clone()
        for part in images if scale_each else (images,):
            low, high = value_range if value_range is not None else (float(part.min()), float(part.max()))
            part.clamp_(min=low, max=high)
            part.sub_(low).div_(max(high - low, 1e-5))
    if images.shape[0] == 1:
        return images.squeeze(0)
    count, channels, height, width = images.shape
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    height, width = height + padding, width + padding
    grid = mlkit.full((channels, height * rows + padding, width * columns + padding), pad_value, dtype=images.dtype)
    for number, image in enumerate(images):
        y, x = number // columns * height + padding, number % columns * width + padding
        grid[:, y : y + height - padding, x : x + width - padding] = image
    return grid


def save_image(tensor: Any, fp: Any, format: str | None = None, **options: Any) -> None:  # noqa: A002 - PyTorch's name
    """Write the images, as `make_grid` lays them out, to a file of a kind that Pillow knows; values are 0..1."""
    from PIL import Image

    grid = make_grid(tensor, **options)
    pixels = grid.mul(255).add_(0.5).clamp_(0, 255).permute(1, 2, 0).to(mlkit.uint8).cpu().numpy()
    Image.fromarray(pixels).save(fp, format=format)
