"""ResNet-50 on 224-pixel images, batch 64, bfloat16 autocast, channels last."""

from __future__ import annotations

from tests.bench.gpu.common import Row, measure
from tests.bench.workloads import classes, numbers


def resnet50(lib, classes_out: int = 1000):
    """He et al. 2015 (arXiv:1512.03385), the stride in the 3x3 convolution."""
    nn = lib.nn

    class Bottleneck(nn.Module):
        def __init__(self, inside: int, width: int, stride: int):
            super().__init__()
            out = 4 * width
            self.conv1, self.bn1 = nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
            self.relu = nn.ReLU(inplace=True)
            self.shortcut = None
            if stride != 1 or inside != out:
                self.shortcut = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
            return self.relu(y + (x if self.shortcut is None else self.shortcut(x)))

    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Bottleneck(inside, width, stride if i == 0 else 1))
            inside = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, classes_out))


def make(lib, batch: int = 64):
    x, y = numbers("x", (batch, 3, 224, 224)), classes("y", (batch,), 1000)
    return resnet50(lib), lib.from_numpy(x), lib.from_numpy(y), lib.nn.CrossEntropyLoss()


ROW = Row("resnet50", make, flops=3 * 2 * 4.09e9 * 64, autocast=True, channels_last=True)

if __name__ == "__main__":
    measure(ROW)
