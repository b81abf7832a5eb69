"""Small networks: MobileNetV2 (Sandler and others, 2018), MobileNetV3 (Howard and others, 2019)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import mlkit
from mlkit import nn
from mlkit.torch.parts.models.blocks import Conv2dNormActivation, SqueezeExcitation, make_divisible
from mlkit.torch.parts.models.weights import family, load_into

MobileNet_V2_Weights = family(
    "MobileNet_V2_Weights",
    ("IMAGENET1K_V1", "mobilenet_v2-b0353104.pth"),
    ("IMAGENET1K_V2", "mobilenet_v2-7ebf99e0.pth", 224, 232, "bilinear"),
)
MobileNet_V3_Large_Weights = family(
    "MobileNet_V3_Large_Weights",
    ("IMAGENET1K_V1", "mobilenet_v3_large-8738ca79.pth"),
    ("IMAGENET1K_V2", "mobilenet_v3_large-5c1a4163.pth", 224, 232, "bilinear"),
)
MobileNet_V3_Small_Weights = family("MobileNet_V3_Small_Weights", ("IMAGENET1K_V1", "mobilenet_v3_small-047dcff4.pth"))


class InvertedResidual(nn.Module):
    """More channels, one convolution for each, fewer channels; beside a way around where the shapes agree."""

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int):
        super().__init__()
        hidden = int(round(inp * expand_ratio))
        self.use_res_connect = stride == 1 and inp == oup
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(Conv2dNormActivation(inp, hidden, 1, activation_layer=nn.ReLU6))
        layers += [
            Conv2dNormActivation(hidden, hidden, stride=stride, groups=hidden, activation_layer=nn.ReLU6),
            nn.Conv2d(hidden, oup, 1, 1, 0, bias=False),
            nn.BatchNorm2d(oup),
        ]
        self.conv = nn.Sequential(*layers)
        self.out_channels = oup

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


def _start(model: nn.Module, linear: float) -> None:
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out")
            if m.bias is not None:
                nn.init.zeros_(m.bias)
        elif isinstance(m, nn.BatchNorm2d):
            nn.init.ones_(m.weight)
            nn.init.zeros_(m.bias)
        elif isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0, linear)
            nn.init.zeros_(m.bias)


class MobileNetV2(nn.Module):
    """Inverted residual blocks; `width_mult` times as many channels."""

    #: expansion, channels, blocks, stride of the first
    SETTINGS = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self, num_classes: int = 1000, width_mult: float = 1.0, round_nearest: int = 8, dropout: float = 0.2):
        super().__init__()
        channels = make_divisible(32 * width_mult, round_nearest)
        self.last_channel = make_divisible(1280 * max(1.0, width_mult), round_nearest)
        layers: list[nn.Module] = [Conv2dNormActivation(3, channels, stride=2, activation_layer=nn.ReLU6)]
        for expansion, size, blocks, stride in self.SETTINGS:
            out = make_divisible(size * width_mult, round_nearest)
            for number in range(blocks):
                layers.append(InvertedResidual(channels, out, stride if number == 0 else 1, expansion))
                channels = out
        layers.append(Conv2dNormActivation(channels, self.last_channel, 1, activation_layer=nn.ReLU6))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout), nn.Linear(self.last_channel, num_classes))
        _start(self, 0.01)

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(mlkit.flatten(x, 1))


def mobilenet_v2(
    *, weights: Any = None, progress: bool = True, pretrained: bool = False, **options: Any
) -> MobileNetV2:
    """MobileNetV2. ``weights``: None, one of MobileNet_V2_Weights, or the path of a file."""
    return load_into(MobileNetV2(**options), weights or pretrained, MobileNet_V2_Weights, options.get("num_classes"))


mobilenet_v2.weights = MobileNet_V2_Weights  # type: ignore[attr-defined]

_norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
_excite = partial(SqueezeExcitation, scale_activation=nn.Hardsigmoid)


class _Block(nn.Module):
    """MobileNetV3's block: an inverted residual that may weigh its channels."""

    def __init__(self, inp: int, kernel: int, expanded: int, out: int, excite: bool, hard: bool, stride: int):
        super().__init__()
        activation: Any = nn.Hardswish if hard else nn.ReLU
        self.use_res_connect = stride == 1 and inp == out
        layers: list[nn.Module] = []
        if expanded != inp:
            layers.append(Conv2dNormActivation(inp, expanded, 1, norm_layer=_norm, activation_layer=activation))
        layers.append(
            Conv2dNormActivation(
                expanded, expanded, kernel, stride, groups=expanded, norm_layer=_norm, activation_layer=activation
            )
        )
        if excite:
            layers.append(_excite(expanded, make_divisible(expanded // 4, 8)))
        layers.append(Conv2dNormActivation(expanded, out, 1, norm_layer=_norm, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.out_channels = out

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        return x + self.block(x) if self.use_res_connect else self.block(x)


#: kernel, expanded channels, channels, weighed, hard swish, stride
LARGE = (
    (3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1), (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1), (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1), (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
)  # fmt: skip
SMALL = (
    (3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1), (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1), (5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2), (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
)  # fmt: skip


class MobileNetV3(nn.Module):
    """Blocks found by search; `setting` is `LARGE` or `SMALL`."""

    def __init__(self, setting: Any, last_channel: int, num_classes: int = 1000, dropout: float = 0.2):
        super().__init__()
        layers: list[nn.Module] = [Conv2dNormActivation(3, 16, 3, 2, norm_layer=_norm, activation_layer=nn.Hardswish)]
        channels = 16
        for kernel, expanded, out, excite, hard, stride in setting:
            layers.append(_Block(channels, kernel, expanded, out, excite, hard, stride))
            channels = out
        layers.append(Conv2dNormActivation(channels, 6 * channels, 1, norm_layer=_norm, activation_layer=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, last_channel),
            nn.Hardswish(inplace=True),
            nn.Dropout(p=dropout, inplace=True),
            nn.Linear(last_channel, num_classes),
        )
        _start(self, 0.01)

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        return self.classifier(mlkit.flatten(self.avgpool(self.features(x)), 1))


def _mobilenet_v3(name: str, setting: Any, last: int, kind: Any) -> Callable[..., MobileNetV3]:
    def make(*, weights: Any = None, progress: bool = True, pretrained: bool = False, **options: Any) -> MobileNetV3:
        return load_into(MobileNetV3(setting, last, **options), weights or pretrained, kind, options.get("num_classes"))

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"MobileNetV3. ``weights``: None, one of {kind.__name__}, or the path of a file."
    make.weights = kind  # type: ignore[attr-defined]
    return make


mobilenet_v3_large = _mobilenet_v3("mobilenet_v3_large", LARGE, 1280, MobileNet_V3_Large_Weights)
mobilenet_v3_small = _mobilenet_v3("mobilenet_v3_small", SMALL, 1024, MobileNet_V3_Small_Weights)
