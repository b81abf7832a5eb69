"""``torchvision.transforms.v2.functional``: the functions of images that only its second version has."""

from mlkit.torch.parts.torchvision_v2 import (
    gaussian_noise,
    get_num_channels,
    get_size,
    grayscale_to_rgb,
    horizontal_flip,
    jpeg,
    permute_channels,
    to_dtype,
    to_image,
    vertical_flip,
)

__all__ = [
    "gaussian_noise",
    "get_num_channels",
    "get_size",
    "grayscale_to_rgb",
    "horizontal_flip",
    "jpeg",
    "permute_channels",
    "to_dtype",
    "to_image",
    "vertical_flip",
]
