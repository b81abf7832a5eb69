"""Networks without ways around: AlexNet (Krizhevsky, 2014), VGG (Simonyan and Zisserman, 2014), SqueezeNet (2016)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlkit
from mlkit import nn
from mlkit.core.errors import ValueRangeError
from mlkit.torch.parts.models.weights import family, load_into

AlexNet_Weights = family("AlexNet_Weights", ("IMAGENET1K_V1", "alexnet-owt-7be5be79.pth"))
VGG11_Weights = family("VGG11_Weights", ("IMAGENET1K_V1", "vgg11-8a719046.pth"))
VGG11_BN_Weights = family("VGG11_BN_Weights", ("IMAGENET1K_V1", "vgg11_bn-6002323d.pth"))
VGG13_Weights = family("VGG13_Weights", ("IMAGENET1K_V1", "vgg13-19584684.pth"))
VGG13_BN_Weights = family("VGG13_BN_Weights", ("IMAGENET1K_V1", "vgg13_bn-abd245e5.pth"))
VGG16_Weights = family("VGG16_Weights", ("IMAGENET1K_V1", "vgg16-397923af.pth"))
VGG16_BN_Weights = family("VGG16_BN_Weights", ("IMAGENET1K_V1", "vgg16_bn-6c64b313.pth"))
VGG19_Weights = family("VGG19_Weights", ("IMAGENET1K_V1", "vgg19-dcbb9e9d.pth"))
VGG19_BN_Weights = family("VGG19_BN_Weights", ("IMAGENET1K_V1", "vgg19_bn-c79401a0.pth"))
SqueezeNet1_0_Weights = family("SqueezeNet1_0_Weights", ("IMAGENET1K_V1", "squeezenet1_0-b66bff10.pth"))
SqueezeNet1_1_Weights = family("SqueezeNet1_1_Weights", ("IMAGENET1K_V1", "squeezenet1_1-b8a52dc0.pth"))


class AlexNet(nn.Module):
    """Five convolutions and three linear layers."""

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        return self.classifier(mlkit.flatten(self.avgpool(self.features(x)), 1))


def alexnet(*, weights: Any = None, progress: bool = True, pretrained: bool = False, **options: Any) -> AlexNet:
    """AlexNet. ``weights``: None, one of AlexNet_Weights, or the path of a file."""
    return load_into(AlexNet(**options), weights or pretrained, AlexNet_Weights, options.get("num_classes"))


alexnet.weights = AlexNet_Weights  # type: ignore[attr-defined]

#: channels of each convolution; "M" halves the size
CONFIGURATIONS: dict[str, list[int | str]] = {
    "11": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "13": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "16": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    "19": [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M"],
}


class VGG(nn.Module):
    """Convolutions of 3 by 3, as `features` has them, and three linear layers."""

    def __init__(self, features: nn.Module, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5):
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            for m in self.modules():
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                    nn.init.constant_(m.bias, 0)
                elif isinstance(m, nn.BatchNorm2d):
                    nn.init.constant_(m.weight, 1)
                    nn.init.constant_(m.bias, 0)
                elif isinstance(m, nn.Linear):
                    nn.init.normal_(m.weight, 0, 0.01)
                    nn.init.constant_(m.bias, 0)

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        return self.classifier(mlkit.flatten(self.avgpool(self.features(x)), 1))


def _features(sizes: list[int | str], batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for size in sizes:
        if isinstance(size, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        layers.append(nn.Conv2d(channels, size, kernel_size=3, padding=1))
        layers += [nn.BatchNorm2d(size)] if batch_norm else []
        layers.append(nn.ReLU(inplace=True))
        channels = size
    return nn.Sequential(*layers)


def _vgg(depth: str, batch_norm: bool, kind: Any) -> Callable[..., VGG]:
    def make(*, weights: Any = None, progress: bool = True, pretrained: bool = False, **options: Any) -> VGG:
        wanted = weights or pretrained
        model = VGG(_features(CONFIGURATIONS[depth], batch_norm), **{"init_weights": not wanted, **options})
        return load_into(model, wanted, kind, options.get("num_classes"))

    make.__name__ = make.__qualname__ = f"vgg{depth}{'_bn' * batch_norm}"
    make.__doc__ = f"VGG of {depth} layers. ``weights``: None, one of {kind.__name__}, or the path of a file."
    make.weights = kind  # type: ignore[attr-defined]
    return make


vgg11, vgg11_bn = _vgg("11", False, VGG11_Weights), _vgg("11", True, VGG11_BN_Weights)
vgg13, vgg13_bn = _vgg("13", False, VGG13_Weights), _vgg("13", True, VGG13_BN_Weights)
vgg16, vgg16_bn = _vgg("16", False, VGG16_Weights), _vgg("16", True, VGG16_BN_Weights)
vgg19, vgg19_bn = _vgg("19", False, VGG19_Weights), _vgg("19", True, VGG19_BN_Weights)


class Fire(nn.Module):
    """Few channels, then many: of 1 by 1 and of 3 by 3, side by side."""

    def __init__(self, inplanes: int, squeeze_planes: int, expand1x1_planes: int, expand3x3_planes: int):
        super().__init__()
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, kernel_size=1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, kernel_size=1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, kernel_size=3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        return mlkit.cat(
            [self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))], 1
        )


class SqueezeNet(nn.Module):
    """AlexNet's accuracy with fifty times fewer parameters; `version` "1_0" or "1_1"."""

    def __init__(self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5):
        super().__init__()
        if version not in ("1_0", "1_1"):
            raise ValueRangeError(f"SqueezeNet's version is '1_0' or '1_1', got {version!r}.")
        first = version == "1_0"
        start = nn.Conv2d(3, 96, kernel_size=7, stride=2) if first else nn.Conv2d(3, 64, kernel_size=3, stride=2)
        sizes = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
        pool_after = (2, 6) if first else (1, 3)
        layers: list[nn.Module] = [start, nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True)]
        channels = 96 if first else 64
        for number, (squeeze, expand) in enumerate(sizes):
            layers.append(Fire(channels, squeeze, expand, expand))
            channels = 2 * expand
            if number in pool_after:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        self.num_classes = num_classes
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(512, num_classes, kernel_size=1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout), last, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                if m is last:
                    nn.init.normal_(m.weight, mean=0.0, std=0.01)
                else:
                    nn.init.kaiming_uniform_(m.weight)
                nn.init.constant_(m.bias, 0)

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        return mlkit.flatten(self.classifier(self.features(x)), 1)


def _squeezenet(version: str, kind: Any) -> Callable[..., SqueezeNet]:
    def make(*, weights: Any = None, progress: bool = True, pretrained: bool = False, **options: Any) -> SqueezeNet:
        return load_into(SqueezeNet(version, **options), weights or pretrained, kind, options.get("num_classes"))

    make.__name__ = make.__qualname__ = f"squeezenet{version}"
    make.__doc__ = f"SqueezeNet. ``weights``: None, one of {kind.__name__}, or the path of a file."
    make.weights = kind  # type: ignore[attr-defined]
    return make


squeezenet1_0, squeezenet1_1 = _squeezenet("1_0", SqueezeNet1_0_Weights), _squeezenet("1_1", SqueezeNet1_1_Weights)
