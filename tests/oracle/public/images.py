"""Networks for pictures, in the style of torchvision and of well-known repositories."""

from collections import OrderedDict
from functools import partial

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn import init


def lenet(run):
    class LeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, 5)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(16 * 4 * 4, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = x.view(-1, self.num_flat_features(x))
            x = F.relu(self.fc1(x))
            x = F.relu(self.fc2(x))
            return self.fc3(x)

        def num_flat_features(self, x):
            size = x.size()[1:]
            num_features = 1
            for s in size:
                num_features *= s
            return num_features

    net = run.fill(LeNet())
    x, y = run.numbers(4, 1, 28, 28), run.integers(10, 4)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    run.train(net, lambda: criterion(net(x), y), optimizer)


def alexnet(run):
    class AlexNet(nn.Module):
        def __init__(self, num_classes: int = 5, dropout: float = 0.0) -> None:
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(3, 8, kernel_size=11, stride=4, padding=2),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(kernel_size=3, stride=2),
                nn.Conv2d(8, 12, kernel_size=5, padding=2),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(kernel_size=3, stride=2),
                nn.Conv2d(12, 16, kernel_size=3, padding=1),
                nn.ReLU(inplace=True),
            )
            self.avgpool = nn.AdaptiveAvgPool2d((3, 3))
            self.classifier = nn.Sequential(
                nn.Dropout(p=dropout),
                nn.Linear(16 * 3 * 3, 24),
                nn.ReLU(inplace=True),
                nn.Dropout(p=dropout),
                nn.Linear(24, num_classes),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.features(x)
            x = self.avgpool(x)
            x = torch.flatten(x, 1)
            return self.classifier(x)

    model = run.fill(AlexNet())
    x, y = run.numbers(2, 3, 63, 63), run.integers(5, 2)
    run.train(model, lambda: F.cross_entropy(model(x), y), torch.optim.Adam(model.parameters(), lr=1e-3))


def vgg(run):
    cfgs = {"A": [6, "M", 8, "M", 12, 12, "M"]}

    def make_layers(cfg, batch_norm=False):
        layers = []
        in_channels = 3
        for v in cfg:
            if v == "M":
                layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
            else:
                conv2d = nn.Conv2d(in_channels, v, kernel_size=3, padding=1)
                if batch_norm:
                    layers += [conv2d, nn.BatchNorm2d(v), nn.ReLU(inplace=True)]
                else:
                    layers += [conv2d, nn.ReLU(inplace=True)]
                in_channels = v
        return nn.Sequential(*layers)

    class VGG(nn.Module):
        def __init__(self, features, num_classes=4, init_weights=True):
            super().__init__()
            self.features = features
            self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
            self.classifier = nn.Sequential(
                nn.Linear(12 * 2 * 2, 16), nn.ReLU(True), nn.Dropout(0.0), nn.Linear(16, num_classes)
            )
            if init_weights:
                for m in self.modules():
                    if isinstance(m, nn.Conv2d):
                        nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                        if m.bias is not None:
                            nn.init.constant_(m.bias, 0)
                    elif isinstance(m, nn.BatchNorm2d):
                        nn.init.constant_(m.weight, 1)
                        nn.init.constant_(m.bias, 0)
                    elif isinstance(m, nn.Linear):
                        nn.init.normal_(m.weight, 0, 0.01)
                        nn.init.constant_(m.bias, 0)

        def forward(self, x):
            x = self.avgpool(self.features(x))
            return self.classifier(x.flatten(1))

    model = run.fill(VGG(make_layers(cfgs["A"], batch_norm=True)))
    x, y = run.numbers(2, 3, 16, 16), run.integers(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
    run.train(model, lambda: nn.CrossEntropyLoss(label_smoothing=0.1)(model(x), y), optimizer)


def conv3x3(in_planes: int, out_planes: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        in_planes,
        out_planes,
        kernel_size=3,
        stride=stride,
        padding=dilation,
        groups=groups,
        bias=False,
        dilation=dilation,
    )


def conv1x1(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_planes, out_planes, kernel_size=1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    expansion: int = 1

    def __init__(self, inplanes, planes, stride=1, downsample=None, norm_layer=None):
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Bottleneck(nn.Module):
    expansion: int = 4

    def __init__(self, inplanes, planes, stride=1, downsample=None, norm_layer=None):
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        self.conv1 = conv1x1(inplanes, planes)
        self.bn1 = norm_layer(planes)
        self.conv2 = conv3x3(planes, planes, stride)
        self.bn2 = norm_layer(planes)
        self.conv3 = conv1x1(planes, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, block, layers, num_classes=5, zero_init_residual=False, width=8):
        super().__init__()
        self.inplanes = width
        self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        for i, n in enumerate(layers):
            setattr(self, f"layer{i + 1}", self._make_layer(block, width * 2**i, n, stride=1 if i == 0 else 2))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(self.inplanes, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)
        if zero_init_residual:
            for m in self.modules():
                if isinstance(m, Bottleneck):
                    nn.init.constant_(m.bn3.weight, 0)
                elif isinstance(m, BasicBlock):
                    nn.init.constant_(m.bn2.weight, 0)

    def _make_layer(self, block, planes, blocks, stride=1):
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(
                conv1x1(self.inplanes, planes * block.expansion, stride), nn.BatchNorm2d(planes * block.expansion)
            )
        layers = [block(self.inplanes, planes, stride, downsample)]
        self.inplanes = planes * block.expansion
        for _ in range(1, blocks):
            layers.append(block(self.inplanes, planes))
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        for i in range(3, 5):
            if hasattr(self, f"layer{i}"):
                x = getattr(self, f"layer{i}")(x)
        x = torch.flatten(self.avgpool(x), 1)
        return self.fc(x)


def resnet18(run):
    model = run.fill(ResNet(BasicBlock, [2, 2, 2, 2], zero_init_residual=True, width=4))
    x, y = run.numbers(3, 3, 32, 32), run.integers(5, 3)
    params = [
        {"params": [p for n, p in model.named_parameters() if p.ndim > 1], "weight_decay": 1e-2},
        {"params": [p for n, p in model.named_parameters() if p.ndim <= 1]},
    ]
    optimizer = torch.optim.SGD(params, lr=0.05, momentum=0.9)
    run.train(model, lambda: F.cross_entropy(model(x), y), optimizer)


def resnet50_frozen(run):
    model = run.fill(ResNet(Bottleneck, [1, 2], width=4))
    for name, param in model.named_parameters():
        if not name.startswith(("fc", "layer2")):
            param.requires_grad = False
    model.fc = run.fill(nn.Sequential(OrderedDict([("drop", nn.Dropout(0.0)), ("out", nn.Linear(32, 3))])))
    x, y = run.numbers(3, 3, 32, 32), run.integers(3, 3)
    optimizer = torch.optim.AdamW(filter(lambda p: p.requires_grad, model.parameters()), lr=1e-3)
    run.train(model, lambda: F.nll_loss(F.log_softmax(model(x), dim=1), y), optimizer)


def mobilenet(run):
    class ConvBNReLU(nn.Sequential):
        def __init__(self, in_planes, out_planes, kernel_size=3, stride=1, groups=1, norm_layer=None):
            padding = (kernel_size - 1) // 2
            super().__init__(
                nn.Conv2d(in_planes, out_planes, kernel_size, stride, padding, groups=groups, bias=False),
                (norm_layer or partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01))(out_planes),
                nn.ReLU6(inplace=True),
            )
            self.out_channels = out_planes

    class SqueezeExcitation(torch.nn.Module):
        def __init__(self, channels, squeeze):
            super().__init__()
            self.avgpool = torch.nn.AdaptiveAvgPool2d(1)
            self.fc1 = torch.nn.Conv2d(channels, squeeze, 1)
            self.fc2 = torch.nn.Conv2d(squeeze, channels, 1)
            self.activation, self.scale_activation = nn.ReLU(), nn.Hardsigmoid()

        def forward(self, input):
            scale = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(input)))))
            return scale * input

    class InvertedResidual(nn.Module):
        def __init__(self, inp, oup, stride, expand_ratio):
            super().__init__()
            hidden_dim = int(round(inp * expand_ratio))
            self.use_res_connect = stride == 1 and inp == oup
            layers = []
            if expand_ratio != 1:
                layers.append(ConvBNReLU(inp, hidden_dim, kernel_size=1))
            layers.extend(
                [
                    ConvBNReLU(hidden_dim, hidden_dim, stride=stride, groups=hidden_dim),
                    SqueezeExcitation(hidden_dim, 4),
                    nn.Conv2d(hidden_dim, oup, 1, 1, 0, bias=False),
                    nn.BatchNorm2d(oup),
                    nn.Hardswish(),
                ]
            )
            self.conv = nn.Sequential(*layers)

        def forward(self, x):
            return x + self.conv(x) if self.use_res_connect else self.conv(x)

    class MobileNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                ConvBNReLU(3, 8, stride=2), InvertedResidual(8, 8, 1, 1), InvertedResidual(8, 12, 2, 3)
            )
            self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(12, 4))
            self.apply(self._init_weights)

        @staticmethod
        def _init_weights(m):
            if isinstance(m, nn.Linear):
                init.xavier_uniform_(m.weight, gain=init.calculate_gain("relu"))
                init.zeros_(m.bias)

        def forward(self, x):
            x = self.features(x)
            return self.classifier(x.mean([2, 3]))

    model = run.fill(MobileNet())
    x, y = run.numbers(3, 3, 12, 12), run.integers(4, 3)
    run.train(
        model,
        lambda: F.cross_entropy(model(x), y),
        torch.optim.RMSprop(model.parameters(), 1e-3, alpha=0.9, momentum=0.9),
    )


def densenet(run):
    class _DenseLayer(nn.Module):
        def __init__(self, num_input_features, growth_rate, bn_size, drop_rate):
            super().__init__()
            self.norm1 = nn.BatchNorm2d(num_input_features)
            self.relu1 = nn.ReLU(inplace=True)
            self.conv1 = nn.Conv2d(num_input_features, bn_size * growth_rate, kernel_size=1, stride=1, bias=False)
            self.norm2 = nn.BatchNorm2d(bn_size * growth_rate)
            self.relu2 = nn.ReLU(inplace=True)
            self.conv2 = nn.Conv2d(bn_size * growth_rate, growth_rate, kernel_size=3, padding=1, bias=False)
            self.drop_rate = float(drop_rate)

        def forward(self, input):
            prev_features = [input] if isinstance(input, torch.Tensor) else input
            bottleneck_output = self.conv1(self.relu1(self.norm1(torch.cat(prev_features, 1))))
            new_features = self.conv2(self.relu2(self.norm2(bottleneck_output)))
            if self.drop_rate > 0:
                new_features = F.dropout(new_features, p=self.drop_rate, training=self.training)
            return new_features

    class _DenseBlock(nn.ModuleDict):
        def __init__(self, num_layers, num_input_features, bn_size, growth_rate, drop_rate):
            super().__init__()
            for i in range(num_layers):
                layer = _DenseLayer(num_input_features + i * growth_rate, growth_rate, bn_size, drop_rate)
                self.add_module("denselayer%d" % (i + 1), layer)

        def forward(self, init_features):
            features = [init_features]
            for name, layer in self.items():
                features.append(layer(features))
            return torch.cat(features, 1)

    class _Transition(nn.Sequential):
        def __init__(self, num_input_features, num_output_features):
            super().__init__()
            self.add_module("norm", nn.BatchNorm2d(num_input_features))
            self.add_module("relu", nn.ReLU(inplace=True))
            self.add_module("conv", nn.Conv2d(num_input_features, num_output_features, kernel_size=1, bias=False))
            self.add_module("pool", nn.AvgPool2d(kernel_size=2, stride=2))

    model = nn.Sequential(
        OrderedDict(
            [
                ("conv0", nn.Conv2d(3, 6, kernel_size=3, padding=1, bias=False)),
                ("block1", _DenseBlock(2, 6, 2, 4, 0)),
                ("transition1", _Transition(14, 7)),
                ("block2", _DenseBlock(2, 7, 2, 4, 0)),
                ("pool", nn.AdaptiveAvgPool2d(1)),
                ("flat", nn.Flatten()),
                ("classifier", nn.Linear(15, 3)),
            ]
        )
    )
    run.fill(model)
    x, y = run.numbers(2, 3, 8, 8), run.integers(3, 2)
    run.train(model, lambda: F.cross_entropy(model(x), y), torch.optim.Adagrad(model.parameters(), lr=0.01))


def unet(run):
    class DoubleConv(nn.Module):
        def __init__(self, in_channels, out_channels, mid_channels=None):
            super().__init__()
            if not mid_channels:
                mid_channels = out_channels
            self.double_conv = nn.Sequential(
                nn.Conv2d(in_channels, mid_channels, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(mid_channels),
                nn.ReLU(inplace=True),
                nn.Conv2d(mid_channels, out_channels, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            )

        def forward(self, x):
            return self.double_conv(x)

    class Down(nn.Module):
        def __init__(self, in_channels, out_channels):
            super().__init__()
            self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(in_channels, out_channels))

        def forward(self, x):
            return self.maxpool_conv(x)

    class Up(nn.Module):
        def __init__(self, in_channels, out_channels, bilinear=True):
            super().__init__()
            if bilinear:
                self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
                self.conv = DoubleConv(in_channels + out_channels, out_channels, in_channels // 2)
            else:
                self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, kernel_size=2, stride=2)
                self.conv = DoubleConv(in_channels // 2 + out_channels, out_channels)

        def forward(self, x1, x2):
            x1 = self.up(x1)
            diffY = x2.size()[2] - x1.size()[2]
            diffX = x2.size()[3] - x1.size()[3]
            x1 = F.pad(x1, [diffX // 2, diffX - diffX // 2, diffY // 2, diffY - diffY // 2])
            return self.conv(torch.cat([x2, x1], dim=1))

    class UNet(nn.Module):
        def __init__(self, n_channels, n_classes):
            super().__init__()
            self.inc = DoubleConv(n_channels, 4)
            self.down1, self.down2 = Down(4, 8), Down(8, 12)
            self.up1, self.up2 = Up(12, 8, bilinear=False), Up(8, 4)
            self.outc = nn.Conv2d(4, n_classes, kernel_size=1)

        def forward(self, x):
            x1 = self.inc(x)
            x2 = self.down1(x1)
            x = self.up1(self.down2(x2), x2)
            return self.outc(self.up2(x, x1))

    def dice_coeff(input, target, epsilon=1e-6):
        inter = 2 * (input * target).sum(dim=(-1, -2))
        sets_sum = input.sum(dim=(-1, -2)) + target.sum(dim=(-1, -2))
        sets_sum = torch.where(sets_sum == 0, inter, sets_sum)
        return ((inter + epsilon) / (sets_sum + epsilon)).mean()

    model = run.fill(UNet(1, 3))
    x, mask = run.numbers(2, 1, 11, 10), run.integers(3, 2, 11, 10)

    def loss():
        masks_pred = model(x)
        one_hot = F.one_hot(mask, 3).permute(0, 3, 1, 2).float().to(masks_pred.dtype)
        return F.cross_entropy(masks_pred, mask) + 1 - dice_coeff(F.softmax(masks_pred, dim=1), one_hot)

    run.train(model, loss, torch.optim.RMSprop(model.parameters(), lr=1e-3, weight_decay=1e-8, momentum=0.9), clip=1.0)


def siamese(run):
    class SiameseNetwork(nn.Module):
        def __init__(self):
            super().__init__()
            self.cnn = nn.Sequential(
                nn.ReflectionPad2d(1),
                nn.Conv2d(1, 4, kernel_size=3),
                nn.ReLU(inplace=True),
                nn.BatchNorm2d(4),
                nn.Dropout2d(p=0.0),
            )
            self.fc = nn.Sequential(nn.Linear(4 * 6 * 6, 8), nn.PReLU(), nn.Linear(8, 5))

        def forward_once(self, x):
            output = self.cnn(x)
            return self.fc(output.view(output.size()[0], -1))

        def forward(self, input1, input2):
            return self.forward_once(input1), self.forward_once(input2)

    class ContrastiveLoss(torch.nn.Module):
        def __init__(self, margin=2.0):
            super().__init__()
            self.margin = margin

        def forward(self, output1, output2, label):
            distance = F.pairwise_distance(output1, output2, keepdim=True)
            return torch.mean(
                (1 - label) * torch.pow(distance, 2)
                + label * torch.pow(torch.clamp(self.margin - distance, min=0.0), 2)
            )

    net = run.fill(SiameseNetwork())
    a, b, c = run.numbers(4, 1, 6, 6), run.numbers(4, 1, 6, 6), run.numbers(4, 1, 6, 6)
    label = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    contrastive, triplet = ContrastiveLoss(), nn.TripletMarginLoss(margin=1.0, p=2)

    def loss():
        first, second = net(a, b)
        return contrastive(first, second, label) + triplet(first, second, net.forward_once(c))

    run.train(net, loss, torch.optim.Adam(net.parameters(), lr=5e-4))


def convnext(run):
    class LayerNorm2d(nn.LayerNorm):
        def forward(self, x: Tensor) -> Tensor:
            x = x.permute(0, 2, 3, 1)
            x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
            return x.permute(0, 3, 1, 2)

    class Permute(nn.Module):
        def __init__(self, dims):
            super().__init__()
            self.dims = dims

        def forward(self, x):
            return torch.permute(x, self.dims)

    class CNBlock(nn.Module):
        def __init__(self, dim, layer_scale):
            super().__init__()
            self.block = nn.Sequential(
                nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim, bias=True),
                Permute([0, 2, 3, 1]),
                partial(nn.LayerNorm, eps=1e-6)(dim),
                nn.Linear(in_features=dim, out_features=4 * dim, bias=True),
                nn.GELU(),
                nn.Linear(in_features=4 * dim, out_features=dim, bias=True),
                Permute([0, 3, 1, 2]),
            )
            self.layer_scale = nn.Parameter(torch.ones(dim, 1, 1) * layer_scale)

        def forward(self, input: Tensor) -> Tensor:
            result = self.layer_scale * self.block(input)
            result += input
            return result

    model = nn.Sequential(
        nn.Conv2d(3, 6, 4, 4), LayerNorm2d(6), CNBlock(6, 1e-1), nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(6, 3)
    )
    run.fill(model)
    for m in model.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)):
            assert m.weight.requires_grad and m.bias is not None
    x, y = run.numbers(2, 3, 16, 16), run.integers(3, 2)
    run.train(
        model, lambda: F.cross_entropy(model(x), y), torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    )
