"""Residual networks (He and others, 2015), with more groups (Xie and others, 2016) or more width (Zagoruyko, 2016)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlkit
from mlkit import nn
from mlkit.core.errors import ArgumentError
from mlkit.torch.parts.models.weights import family, load_into

_V2 = (224, 232, "bilinear")
ResNet18_Weights = family("ResNet18_Weights", ("IMAGENET1K_V1", "resnet18-f37072fd.pth"))
ResNet34_Weights = family("ResNet34_Weights", ("IMAGENET1K_V1", "resnet34-b627a593.pth"))
ResNet50_Weights = family(
    "ResNet50_Weights", ("IMAGENET1K_V1", "resnet50-0676ba61.pth"), ("IMAGENET1K_V2", "resnet50-11ad3fa6.pth", *_V2)
)
ResNet101_Weights = family(
    "ResNet101_Weights", ("IMAGENET1K_V1", "resnet101-63fe2227.pth"), ("IMAGENET1K_V2", "resnet101-cd907fc2.pth", *_V2)
)
ResNet152_Weights = family(
    "ResNet152_Weights", ("IMAGENET1K_V1", "resnet152-394f9c45.pth"), ("IMAGENET1K_V2", "resnet152-f82ba261.pth", *_V2)
)
ResNeXt50_32X4D_Weights = family(
    "ResNeXt50_32X4D_Weights",
    ("IMAGENET1K_V1", "resnext50_32x4d-7cdf4587.pth"),
    ("IMAGENET1K_V2", "resnext50_32x4d-1a0047aa.pth", *_V2),
)
ResNeXt101_32X8D_Weights = family(
    "ResNeXt101_32X8D_Weights",
    ("IMAGENET1K_V1", "resnext101_32x8d-8ba56ff5.pth"),
    ("IMAGENET1K_V2", "resnext101_32x8d-110c445d.pth", *_V2),
)
ResNeXt101_64X4D_Weights = family("ResNeXt101_64X4D_Weights", ("IMAGENET1K_V1", "resnext101_64x4d-173b62eb.pth", *_V2))
Wide_ResNet50_2_Weights = family(
    "Wide_ResNet50_2_Weights",
    ("IMAGENET1K_V1", "wide_resnet50_2-95faca4d.pth"),
    ("IMAGENET1K_V2", "wide_resnet50_2-9ba9bcbe.pth", *_V2),
)
Wide_ResNet101_2_Weights = family(
    "Wide_ResNet101_2_Weights",
    ("IMAGENET1K_V1", "wide_resnet101_2-32ee1156.pth"),
    ("IMAGENET1K_V2", "wide_resnet101_2-d733dc28.pth", *_V2),
)


def conv3x3(in_planes: int, out_planes: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution of 3 by 3 that keeps the size at stride 1."""
    return nn.Conv2d(in_planes, out_planes, 3, stride, dilation, dilation=dilation, groups=groups, bias=False)


def conv1x1(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    """A convolution of 1 by 1."""
    return nn.Conv2d(in_planes, out_planes, 1, stride, bias=False)


class BasicBlock(nn.Module):
    """Two convolutions of 3 by 3 beside a way around."""

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[..., Any] = nn.BatchNorm2d,
    ):
        super().__init__()
        if groups != 1 or base_width != 64 or dilation > 1:
            raise ArgumentError("BasicBlock has one group, a base width of 64 and no dilation; use Bottleneck.")
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        around = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + around)


class Bottleneck(nn.Module):
    """Fewer channels, a convolution of 3 by 3 (which has the stride), more channels, beside a way around."""

    expansion = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[..., Any] = nn.BatchNorm2d,
    ):
        super().__init__()
        width = int(planes * (base_width / 64.0)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        around = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + around)


class ResNet(nn.Module):
    """Four groups of residual blocks and a linear layer.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: Blocks in each group.
        num_classes: Outputs.
        zero_init_residual: Each block starts as its way around.
        groups, width_per_group: Of the middle convolution of `Bottleneck`.
        replace_stride_with_dilation: For the last three groups: keep the size and look further instead.
        norm_layer: The normalisation.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: list[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: list[bool] | None = None,
        norm_layer: Callable[..., Any] | None = None,
    ):
        super().__init__()
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self.inplanes, self.dilation = 64, 1
        self.groups, self.base_width = groups, width_per_group
        dilate = replace_stride_with_dilation or [False, False, False]
        if len(dilate) != 3:
            raise ArgumentError(f"replace_stride_with_dilation must have 3 elements, got {dilate}.")
        self.conv1 = nn.Conv2d(3, self.inplanes, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(self.inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], 2, dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], 2, dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], 2, dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)
        if zero_init_residual:
            for m in self.modules():
                last = m.bn3 if isinstance(m, Bottleneck) else m.bn2 if isinstance(m, BasicBlock) else None
                if last is not None and last.weight is not None:
                    nn.init.constant_(last.weight, 0)

    def _make_layer(self, block: Any, planes: int, blocks: int, stride: int = 1, dilate: bool = False) -> nn.Sequential:
        before = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(
                conv1x1(self.inplanes, planes * block.expansion, stride), self._norm_layer(planes * block.expansion)
            )
        layers = []
        for number in range(blocks):
            first = number == 0
            layers.append(
                block(
                    self.inplanes,
                    planes,
                    stride if first else 1,
                    downsample if first else None,
                    self.groups,
                    self.base_width,
                    before if first else self.dilation,
                    self._norm_layer,
                )
            )
            self.inplanes = planes * block.expansion
        return nn.Sequential(*layers)

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(mlkit.flatten(self.avgpool(x), 1))


def _resnet(name: str, block: Any, layers: list[int], kind: Any, **fixed: Any) -> Callable[..., ResNet]:
    def make(*, weights: Any = None, progress: bool = True, pretrained: bool = False, **options: Any) -> ResNet:
        model = ResNet(block, layers, **{**options, **fixed})
        return load_into(model, weights or pretrained, kind, options.get("num_classes"))

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"{name}: {sum(layers)} blocks. ``weights``: None, one of {kind.__name__}, or the path of a file."
    make.weights = kind  # type: ignore[attr-defined]
    return make


resnet18 = _resnet("resnet18", BasicBlock, [2, 2, 2, 2], ResNet18_Weights)
resnet34 = _resnet("resnet34", BasicBlock, [3, 4, 6, 3], ResNet34_Weights)
resnet50 = _resnet("resnet50", Bottleneck, [3, 4, 6, 3], ResNet50_Weights)
resnet101 = _resnet("resnet101", Bottleneck, [3, 4, 23, 3], ResNet101_Weights)
resnet152 = _resnet("resnet152", Bottleneck, [3, 8, 36, 3], ResNet152_Weights)
resnext50_32x4d = _resnet(
    "resnext50_32x4d", Bottleneck, [3, 4, 6, 3], ResNeXt50_32X4D_Weights, groups=32, width_per_group=4
)
resnext101_32x8d = _resnet(
    "resnext101_32x8d", Bottleneck, [3, 4, 23, 3], ResNeXt101_32X8D_Weights, groups=32, width_per_group=8
)
resnext101_64x4d = _resnet(
    "resnext101_64x4d", Bottleneck, [3, 4, 23, 3], ResNeXt101_64X4D_Weights, groups=64, width_per_group=4
)
wide_resnet50_2 = _resnet("wide_resnet50_2", Bottleneck, [3, 4, 6, 3], Wide_ResNet50_2_Weights, width_per_group=128)
wide_resnet101_2 = _resnet("wide_resnet101_2", Bottleneck, [3, 4, 23, 3], Wide_ResNet101_2_Weights, width_per_group=128)
