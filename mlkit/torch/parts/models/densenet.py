"""Densely connected networks (Huang and others, 2016): each layer sees all earlier ones of its block."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import mlkit
from mlkit import nn
from mlkit.torch.parts.models.weights import family, load_into

DenseNet121_Weights = family("DenseNet121_Weights", ("IMAGENET1K_V1", "densenet121-a639ec97.pth"))
DenseNet161_Weights = family("DenseNet161_Weights", ("IMAGENET1K_V1", "densenet161-8d451a50.pth"))
DenseNet169_Weights = family("DenseNet169_Weights", ("IMAGENET1K_V1", "densenet169-b2777c0a.pth"))
DenseNet201_Weights = family("DenseNet201_Weights", ("IMAGENET1K_V1", "densenet201-c1103571.pth"))


class _DenseLayer(nn.Module):
    def __init__(self, channels: int, growth_rate: int, bn_size: int, drop_rate: float):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels, bn_size * growth_rate, kernel_size=1, stride=1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth_rate)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(bn_size * growth_rate, growth_rate, kernel_size=3, stride=1, padding=1, bias=False)
        self.drop_rate = drop_rate

    def forward(self, earlier: Any) -> mlkit.Tensor:
        x = mlkit.cat(earlier, 1) if isinstance(earlier, (list, tuple)) else earlier
        x = self.conv1(self.relu1(self.norm1(x)))
        x = self.conv2(self.relu2(self.norm2(x)))
        return nn.functional.dropout(x, self.drop_rate, self.training) if self.drop_rate > 0 else x


class _DenseBlock(nn.ModuleDict):
    def __init__(self, layers: int, channels: int, bn_size: int, growth_rate: int, drop_rate: float):
        super().__init__()
        for i in range(layers):
            layer = _DenseLayer(channels + i * growth_rate, growth_rate, bn_size, drop_rate)
            self.add_module(f"denselayer{i + 1}", layer)

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return mlkit.cat(features, 1)


class _Transition(nn.Sequential):
    def __init__(self, channels: int, out: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(channels, out, kernel_size=1, stride=1, bias=False)
        self.pool = nn.AvgPool2d(kernel_size=2, stride=2)


class DenseNet(nn.Module):
    """Dense blocks with halvings between them.

    Args:
        growth_rate: Channels that each layer adds.
        block_config: Layers in each block.
        num_init_features: Channels of the first convolution.
        bn_size: Channels inside a layer, times the growth rate.
        drop_rate: Dropout after each layer.
        num_classes: Outputs.
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: tuple[int, ...] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0,
        num_classes: int = 1000,
    ):
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(3, num_init_features, kernel_size=7, stride=2, padding=3, bias=False),
                norm0=nn.BatchNorm2d(num_init_features),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
            )
        )
        channels = num_init_features
        for i, layers in enumerate(block_config):
            block = _DenseBlock(layers, channels, bn_size, growth_rate, drop_rate)
            self.features.add_module(f"denseblock{i + 1}", block)
            channels += layers * growth_rate
            if i != len(block_config) - 1:
                self.features.add_module(f"transition{i + 1}", _Transition(channels, channels // 2))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight)
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)
            elif isinstance(m, nn.Linear):
                nn.init.constant_(m.bias, 0)

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        x = nn.functional.relu(self.features(x), inplace=True)
        return self.classifier(mlkit.flatten(nn.functional.adaptive_avg_pool2d(x, (1, 1)), 1))


def _densenet(name: str, growth: int, blocks: tuple[int, ...], first: int, kind: Any) -> Callable[..., DenseNet]:
    def make(*, weights: Any = None, progress: bool = True, pretrained: bool = False, **options: Any) -> DenseNet:
        model = DenseNet(growth, blocks, first, **options)
        state = weights or pretrained
        if not state:
            return model
        return load_into(_Older(model), state, kind, options.get("num_classes")).model

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"DenseNet. ``weights``: None, one of {kind.__name__}, or the path of a file."
    make.weights = kind  # type: ignore[attr-defined]
    return make


class _Older:
    """Reads the public files, whose names are from when a layer's name could hold a point: ``norm.1`` is ``norm1``."""

    def __init__(self, model: DenseNet):
        self.model = model

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(
            {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", name): value for name, value in state.items()}
        )


densenet121 = _densenet("densenet121", 32, (6, 12, 24, 16), 64, DenseNet121_Weights)
densenet161 = _densenet("densenet161", 48, (6, 12, 36, 24), 96, DenseNet161_Weights)
densenet169 = _densenet("densenet169", 32, (6, 12, 32, 32), 64, DenseNet169_Weights)
densenet201 = _densenet("densenet201", 32, (6, 12, 48, 32), 64, DenseNet201_Weights)
