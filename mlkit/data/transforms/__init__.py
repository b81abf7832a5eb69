"""Image transforms under torchvision's names, on Pillow images, arrays and tensors.

Random ones draw from the stream of the sample that is being loaded: inside a `DataLoader` an image is changed in the
same way at any number of worker processes. Their numbers are therefore not torchvision's, but their distributions are.

>>> import numpy as np
>>> from mlkit.data import transforms
>>> change = transforms.Compose([
...     transforms.RandomCrop(28, padding=4),
...     transforms.RandomHorizontalFlip(),
...     transforms.ToTensor(),
...     transforms.Normalize([0.5, 0.5, 0.5], [0.25, 0.25, 0.25]),
... ])
>>> change(np.zeros((28, 28, 3), np.uint8)).shape
mlkit.Size([3, 28, 28])
"""

from mlkit.data.transforms import functional
from mlkit.data.transforms.color import (
    ColorJitter,
    GaussianBlur,
    Grayscale,
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomErasing,
    RandomGrayscale,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
)
from mlkit.data.transforms.compose import Compose, Lambda, RandomApply, RandomChoice, RandomOrder, Transform
from mlkit.data.transforms.convert import (
    ConvertImageDtype,
    LinearTransformation,
    Normalize,
    PILToTensor,
    ToDtype,
    ToImage,
    ToPILImage,
    ToTensor,
)
from mlkit.data.transforms.geometry import (
    CenterCrop,
    ElasticTransform,
    FiveCrop,
    Pad,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomPerspective,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    TenCrop,
)
from mlkit.data.transforms.images import InterpolationMode
from mlkit.data.transforms.mix import CutMix, MixUp
from mlkit.data.transforms.policies import AugMix, AutoAugment, AutoAugmentPolicy, RandAugment, TrivialAugmentWide

__all__ = [
    "AugMix",
    "AutoAugment",
    "AutoAugmentPolicy",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "CutMix",
    "ElasticTransform",
    "FiveCrop",
    "GaussianBlur",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "LinearTransformation",
    "MixUp",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandAugment",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomApply",
    "RandomAutocontrast",
    "RandomChoice",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomOrder",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSolarize",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
    "ToDtype",
    "ToImage",
    "ToPILImage",
    "ToTensor",
    "Transform",
    "TrivialAugmentWide",
    "functional",
]
