"""EfficientNet (Tan and Le, 2019) and ConvNeXt (Liu and others, 2022)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import mlkit
from mlkit import nn
from mlkit.torch.parts.models.blocks import (
    Conv2dNormActivation,
    LayerNorm2d,
    Permute,
    SqueezeExcitation,
    StochasticDepth,
    make_divisible,
)
from mlkit.torch.parts.models.weights import family, load_into

#: kernel, stride, channels in, channels out, expansion, blocks
SETTINGS = (
    (3, 1, 32, 16, 1, 1), (3, 2, 16, 24, 6, 2), (5, 2, 24, 40, 6, 2), (3, 2, 40, 80, 6, 3),
    (5, 1, 80, 112, 6, 3), (5, 2, 112, 192, 6, 4), (3, 1, 192, 320, 6, 1),
)  # fmt: skip


class MBConv(nn.Module):
    """An inverted residual block with weighed channels, left out now and then while training."""

    def __init__(self, kernel: int, stride: int, inp: int, out: int, expansion: int, depth: float, norm_layer: Any):
        super().__init__()
        self.use_res_connect = stride == 1 and inp == out
        layer = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        expanded = make_divisible(inp * expansion, 8)
        layers: list[nn.Module] = [] if expanded == inp else [layer(inp, expanded, 1)]
        layers += [
            layer(expanded, expanded, kernel, stride, groups=expanded),
            SqueezeExcitation(expanded, max(1, inp // 4), activation=partial(nn.SiLU, inplace=True)),
            Conv2dNormActivation(expanded, out, 1, norm_layer=norm_layer, activation_layer=None),
        ]
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(depth, "row")
        self.out_channels = out

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        out = self.block(x)
        return x + self.stochastic_depth(out) if self.use_res_connect else out


class EfficientNet(nn.Module):
    """MBConv blocks, `width` times as many channels and `depth` times as many blocks as B0."""

    def __init__(
        self,
        width: float,
        depth: float,
        dropout: float,
        num_classes: int = 1000,
        stochastic_depth_prob: float = 0.2,
        norm_layer: Callable[..., Any] = nn.BatchNorm2d,
    ):
        super().__init__()

        def wide(channels: int) -> int:
            return make_divisible(channels * width, 8)

        counts = [math.ceil(setting[-1] * depth) for setting in SETTINGS]
        first = wide(SETTINGS[0][2])
        layers: list[nn.Module] = [
            Conv2dNormActivation(3, first, 3, 2, norm_layer=norm_layer, activation_layer=nn.SiLU)
        ]
        number = 0
        for (kernel, stride, inp, out, expansion, _), count in zip(SETTINGS, counts, strict=True):
            stage = []
            for i in range(count):
                rate = stochastic_depth_prob * number / sum(counts)
                step, channels = (stride, wide(inp)) if i == 0 else (1, wide(out))
                stage.append(MBConv(kernel, step, channels, wide(out), expansion, rate, norm_layer))
                number += 1
            layers.append(nn.Sequential(*stage))
        channels = wide(SETTINGS[-1][3])
        layers.append(Conv2dNormActivation(channels, 4 * channels, 1, norm_layer=norm_layer, activation_layer=nn.SiLU))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout, inplace=True), nn.Linear(4 * channels, num_classes))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
            elif isinstance(m, nn.Linear):
                bound = 1.0 / math.sqrt(m.out_features)
                nn.init.uniform_(m.weight, -bound, bound)
                nn.init.zeros_(m.bias)

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        return self.classifier(mlkit.flatten(self.avgpool(self.features(x)), 1))


def _efficientnet(number: int, width: float, depth: float, dropout: float, *files: Any) -> tuple[Any, Any]:
    kind = family(f"EfficientNet_B{number}_Weights", *files)
    norm = {} if number < 5 else {"norm_layer": partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)}

    def make(*, weights: Any = None, progress: bool = True, pretrained: bool = False, **options: Any) -> EfficientNet:
        model = EfficientNet(width, depth, **{"dropout": dropout, **norm, **options})
        return load_into(model, weights or pretrained, kind, options.get("num_classes"))

    make.__name__ = make.__qualname__ = f"efficientnet_b{number}"
    make.__doc__ = f"EfficientNet B{number}. ``weights``: None, one of {kind.__name__}, or the path of a file."
    make.weights = kind  # type: ignore[attr-defined]
    return make, kind


_V1 = "IMAGENET1K_V1"
efficientnet_b0, EfficientNet_B0_Weights = _efficientnet(
    0, 1.0, 1.0, 0.2, (_V1, "efficientnet_b0_rwightman-7f5810bc.pth", 224, 256, "bicubic")
)
efficientnet_b1, EfficientNet_B1_Weights = _efficientnet(
    1, 1.0, 1.1, 0.2, (_V1, "efficientnet_b1_rwightman-bac287d4.pth", 240, 256, "bicubic"),
    ("IMAGENET1K_V2", "efficientnet_b1-c27df63c.pth", 240, 255, "bilinear"),
)  # fmt: skip
efficientnet_b2, EfficientNet_B2_Weights = _efficientnet(
    2, 1.1, 1.2, 0.3, (_V1, "efficientnet_b2_rwightman-c35c1473.pth", 288, 288, "bicubic")
)
efficientnet_b3, EfficientNet_B3_Weights = _efficientnet(
    3, 1.2, 1.4, 0.3, (_V1, "efficientnet_b3_rwightman-b3899882.pth", 300, 320, "bicubic")
)
efficientnet_b4, EfficientNet_B4_Weights = _efficientnet(
    4, 1.4, 1.8, 0.4, (_V1, "efficientnet_b4_rwightman-23ab8bcd.pth", 380, 384, "bicubic")
)
efficientnet_b5, EfficientNet_B5_Weights = _efficientnet(
    5, 1.6, 2.2, 0.4, (_V1, "efficientnet_b5_lukemelas-1a07897c.pth", 456, 456, "bicubic")
)
efficientnet_b6, EfficientNet_B6_Weights = _efficientnet(
    6, 1.8, 2.6, 0.5, (_V1, "efficientnet_b6_lukemelas-24a108a5.pth", 528, 528, "bicubic")
)
efficientnet_b7, EfficientNet_B7_Weights = _efficientnet(
    7, 2.0, 3.1, 0.5, (_V1, "efficientnet_b7_lukemelas-c5b4e57e.pth", 600, 600, "bicubic")
)


class CNBlock(nn.Module):
    """A convolution of 7 by 7 for each channel, two linear layers, a weight for each channel; beside a way around."""

    def __init__(self, dim: int, layer_scale: float, stochastic_depth_prob: float):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim, bias=True),
            Permute([0, 2, 3, 1]),
            nn.LayerNorm(dim, eps=1e-6),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale = nn.Parameter(mlkit.ones(dim, 1, 1) * layer_scale)
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, input: mlkit.Tensor) -> mlkit.Tensor:
        return input + self.stochastic_depth(self.layer_scale * self.block(input))


class ConvNeXt(nn.Module):
    """Four groups of `CNBlock`.

    Args:
        block_setting: (channels, blocks) of each group.
        stochastic_depth_prob: How often the last block is left out while training.
        layer_scale: What each block's weights start with.
        num_classes: Outputs.
    """

    def __init__(
        self,
        block_setting: Any,
        stochastic_depth_prob: float = 0.0,
        layer_scale: float = 1e-6,
        num_classes: int = 1000,
    ):
        super().__init__()
        norm = partial(LayerNorm2d, eps=1e-6)
        first = block_setting[0][0]
        layers: list[nn.Module] = [
            Conv2dNormActivation(3, first, 4, 4, padding=0, norm_layer=norm, activation_layer=None, bias=True)
        ]
        total, number = sum(count for _, count in block_setting), 0
        for position, (channels, count) in enumerate(block_setting):
            stage = []
            for _ in range(count):
                stage.append(CNBlock(channels, layer_scale, stochastic_depth_prob * number / (total - 1.0)))
                number += 1
            layers.append(nn.Sequential(*stage))
            if position + 1 < len(block_setting):
                out = block_setting[position + 1][0]
                layers.append(nn.Sequential(norm(channels), nn.Conv2d(channels, out, kernel_size=2, stride=2)))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(norm(channels), nn.Flatten(1), nn.Linear(channels, num_classes))
        for m in self.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(m.weight, std=0.02)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        return self.classifier(self.avgpool(self.features(x)))


def _convnext(name: str, widths: tuple[int, ...], deep: int, depth: float, resize: int, file: str) -> tuple[Any, Any]:
    kind = family(f"ConvNeXt_{name.title()}_Weights", (_V1, file, 224, resize, "bilinear"))

    def make(*, weights: Any = None, progress: bool = True, pretrained: bool = False, **options: Any) -> ConvNeXt:
        settings = tuple(zip(widths, (3, 3, deep, 3), strict=True))
        model = ConvNeXt(settings, **{"stochastic_depth_prob": depth, **options})
        return load_into(model, weights or pretrained, kind, options.get("num_classes"))

    make.__name__ = make.__qualname__ = f"convnext_{name}"
    make.__doc__ = f"ConvNeXt {name}. ``weights``: None, one of {kind.__name__}, or the path of a file."
    make.weights = kind  # type: ignore[attr-defined]
    return make, kind


_SMALL, _BASE, _BIG = (96, 192, 384, 768), (128, 256, 512, 1024), (192, 384, 768, 1536)
convnext_tiny, ConvNeXt_Tiny_Weights = _convnext("tiny", _SMALL, 9, 0.1, 236, "convnext_tiny-983f1562.pth")
convnext_small, ConvNeXt_Small_Weights = _convnext("small", _SMALL, 27, 0.4, 230, "convnext_small-0c510722.pth")
convnext_base, ConvNeXt_Base_Weights = _convnext("base", _BASE, 27, 0.5, 232, "convnext_base-6075fbad.pth")
convnext_large, ConvNeXt_Large_Weights = _convnext("large", _BIG, 27, 0.5, 232, "convnext_large-ea097f82.pth")
