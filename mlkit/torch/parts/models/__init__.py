"""``torchvision.models``: ready-made classifiers, with the names and shapes that public files of weights have.

>>> model = resnet18(num_classes=10)
>>> model.fc.weight.shape, sum(p.numel() for p in model.parameters())
(mlkit.Size([10, 512]), 11181642)

``weights=`` takes the path of a file, or one of the model's enumeration, such as ``ResNet18_Weights.DEFAULT``, whose
file must be on the disk already: nothing is fetched here, and the message says where to get it and where to put it.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from typing import Any

from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.torch.parts.models.densenet import (
    DenseNet,
    DenseNet121_Weights,
    DenseNet161_Weights,
    DenseNet169_Weights,
    DenseNet201_Weights,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
)
from mlkit.torch.parts.models.efficientnet import (
    ConvNeXt,
    ConvNeXt_Base_Weights,
    ConvNeXt_Large_Weights,
    ConvNeXt_Small_Weights,
    ConvNeXt_Tiny_Weights,
    EfficientNet,
    EfficientNet_B0_Weights,
    EfficientNet_B1_Weights,
    EfficientNet_B2_Weights,
    EfficientNet_B3_Weights,
    EfficientNet_B4_Weights,
    EfficientNet_B5_Weights,
    EfficientNet_B6_Weights,
    EfficientNet_B7_Weights,
    convnext_base,
    convnext_large,
    convnext_small,
    convnext_tiny,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
)
from mlkit.torch.parts.models.mobilenet import (
    MobileNet_V2_Weights,
    MobileNet_V3_Large_Weights,
    MobileNet_V3_Small_Weights,
    MobileNetV2,
    MobileNetV3,
    mobilenet_v2,
    mobilenet_v3_large,
    mobilenet_v3_small,
)
from mlkit.torch.parts.models.plain import (
    VGG,
    AlexNet,
    AlexNet_Weights,
    SqueezeNet,
    SqueezeNet1_0_Weights,
    SqueezeNet1_1_Weights,
    VGG11_BN_Weights,
    VGG11_Weights,
    VGG13_BN_Weights,
    VGG13_Weights,
    VGG16_BN_Weights,
    VGG16_Weights,
    VGG19_BN_Weights,
    VGG19_Weights,
    alexnet,
    squeezenet1_0,
    squeezenet1_1,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from mlkit.torch.parts.models.resnet import (
    ResNet,
    ResNet18_Weights,
    ResNet34_Weights,
    ResNet50_Weights,
    ResNet101_Weights,
    ResNet152_Weights,
    ResNeXt50_32X4D_Weights,
    ResNeXt101_32X8D_Weights,
    ResNeXt101_64X4D_Weights,
    Wide_ResNet50_2_Weights,
    Wide_ResNet101_2_Weights,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from mlkit.torch.parts.models.vit import (
    VisionTransformer,
    ViT_B_16_Weights,
    ViT_B_32_Weights,
    ViT_L_16_Weights,
    ViT_L_32_Weights,
    vit_b_16,
    vit_b_32,
    vit_l_16,
    vit_l_32,
)
from mlkit.torch.parts.models.weights import Weights, WeightsEnum

#: name -> what makes the model
MODELS: dict[str, Callable[..., Any]] = {name: one for name, one in list(globals().items()) if hasattr(one, "weights")}

__all__ = [
    *MODELS,
    *(name for name, one in list(globals().items()) if isinstance(one, type) and name[0] != "_" and name != "Any"),
    "get_model",
    "get_model_builder",
    "get_model_weights",
    "get_weight",
    "list_models",
]
__all__ = [name for name in __all__ if name not in ("Callable", "Iterable", "ArgumentError", "ValueRangeError")]


def list_models(
    module: Any = None, include: str | Iterable[str] | None = None, exclude: str | Iterable[str] | None = None
) -> list[str]:
    """The names of the models; `include` and `exclude` are patterns such as ``"resnet*"``.

    >>> list_models(include="resnet*")
    ['resnet101', 'resnet152', 'resnet18', 'resnet34', 'resnet50']
    """

    def fits(name: str, patterns: Any) -> bool:
        return any(fnmatch.fnmatch(name, p) for p in ([patterns] if isinstance(patterns, str) else patterns))

    names = [name for name in sorted(MODELS) if not include or fits(name, include)]
    return [name for name in names if not exclude or not fits(name, exclude)]


def get_model_builder(name: str) -> Callable[..., Any]:
    """What makes the model of this name."""
    if name.lower() not in MODELS:
        raise ValueRangeError(f"Unknown model {name}.", details=f"models: {', '.join(list_models())}")
    return MODELS[name.lower()]


def get_model(name: str, **config: Any) -> Any:
    """The model of this name, made with these arguments."""
    return get_model_builder(name)(**config)


def get_model_weights(name: str | Callable[..., Any]) -> Any:
    """The enumeration of a model's weights."""
    return (get_model_builder(name) if isinstance(name, str) else name).weights  # type: ignore[attr-defined]


def get_weight(name: str) -> Any:
    """One of the weights by its name, such as ``"ResNet50_Weights.DEFAULT"``."""
    family, _, member = name.partition(".")
    kind = globals().get(family)
    if not (isinstance(kind, type) and issubclass(kind, WeightsEnum) and member in kind.__members__):
        raise ArgumentError(f"There are no weights {name!r}.", hint="Write 'ResNet50_Weights.IMAGENET1K_V2'.")
    return kind[member]
