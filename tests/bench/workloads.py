"""What is measured: models and training steps written once in the API that mlkit and PyTorch share.

Each function takes the library (``mlkit`` or ``torch``) and gives a :class:`Workload`. Weights and data come from NumPy
by name, so both libraries start from the same numbers and their losses can be compared.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Workload:
    """A model with its data: ``loss(model(x), y)`` is what a step minimises; ``y`` None means inference on ``x``."""

    model: Any
    loss: Callable | None
    x: Any
    y: Any
    optimizer: str = "adamw"
    images: bool = False  # PyTorch may like channels_last better


def numbers(name: str, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    """Normal float32 numbers that depend on the name alone."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return (rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)).astype(np.float32)


def classes(name: str, shape: tuple[int, ...], count: int) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(name.encode())).integers(0, count, shape)


def set_weights(lib, model) -> None:
    """Give every parameter numbers by its name: scaled by fan-in; ones for norms, zeros for biases."""
    with lib.no_grad():
        for name, p in model.named_parameters():
            shape = tuple(p.shape)
            if len(shape) > 1:
                fan_in = math.prod(shape[1:])
                p.copy_(lib.from_numpy(numbers(name, shape, 1 / math.sqrt(fan_in))))
            elif name.endswith("weight"):
                p.fill_(1.0)
            else:
                p.fill_(0.0)


def mlp(lib, batch: int) -> Workload:
    nn = lib.nn
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    set_weights(lib, model)
    return Workload(
        model,
        nn.CrossEntropyLoss(),
        lib.from_numpy(numbers("x", (batch, 784))),
        lib.from_numpy(classes("y", (batch,), 10)),
    )


def cnn(lib, batch: int) -> Workload:
    nn = lib.nn
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    set_weights(lib, model)
    return Workload(
        model,
        nn.CrossEntropyLoss(),
        lib.from_numpy(numbers("x", (batch, 1, 28, 28))),
        lib.from_numpy(classes("y", (batch,), 10)),
        images=True,
    )


def resnet18(lib, batch: int) -> Workload:
    """ResNet-18 as He et al. (2016) use it on CIFAR's 32 x 32 images."""
    nn = lib.nn

    class Block(nn.Module):
        def __init__(self, inside: int, out: int, stride: int):
            super().__init__()
            self.conv1 = nn.Conv2d(inside, out, 3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(out)
            self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(out)
            self.relu = nn.ReLU()
            self.shortcut = None
            if stride != 1 or inside != out:
                self.shortcut = nn.Sequential(nn.Conv2d(inside, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))

        def forward(self, x):
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + (x if self.shortcut is None else self.shortcut(x)))

    layers: list = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    inside = 64
    for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(inside, out, stride), Block(out, out, 1)]
        inside = out
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    set_weights(lib, model)
    return Workload(
        model,
        nn.CrossEntropyLoss(),
        lib.from_numpy(numbers("x", (batch, 3, 32, 32))),
        lib.from_numpy(classes("y", (batch,), 10)),
        optimizer="sgd",
        images=True,
    )


def transformer_block(lib, width: int, heads: int):
    """GPT-2's block (Radford et al. 2019): norm, causal attention, norm, feed forward, each with its sum."""
    nn, functional = lib.nn, lib.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.gelu, self.down = nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)

        def forward(self, x):
            n, length, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).split(width, dim=2)
            q, k, v = (t.view(n, length, heads, width // heads).transpose(1, 2) for t in (q, k, v))
            seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).reshape(n, length, width))
            return x + self.down(self.gelu(self.up(self.norm2(x))))

    return Block()


def gpt(lib, batch: int, length: int = 64, width: int = 128, layers: int = 4, heads: int = 4, vocabulary: int = 65):
    nn = lib.nn

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, width)
            self.positions = nn.Embedding(length, width)
            self.blocks = nn.Sequential(*[transformer_block(lib, width, heads) for _ in range(layers)])
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary, bias=False)

        def forward(self, x):
            h = self.tokens(x) + self.positions.weight
            return self.head(self.norm(self.blocks(h)))

    model = GPT()
    set_weights(lib, model)
    cross_entropy = nn.CrossEntropyLoss()
    return Workload(
        model,
        lambda out, y: cross_entropy(out.reshape(-1, vocabulary), y.reshape(-1)),
        lib.from_numpy(classes("x", (batch, length), vocabulary)),
        lib.from_numpy(classes("y", (batch, length), vocabulary)),
    )


def gpt2_block(lib, batch: int) -> Workload:
    model = transformer_block(lib, 768, 12)
    set_weights(lib, model)
    return Workload(
        model,
        lib.nn.MSELoss(),
        lib.from_numpy(numbers("x", (batch, 256, 768))),
        lib.from_numpy(numbers("y", (batch, 256, 768))),
    )


def lstm(lib, batch: int) -> Workload:
    nn = lib.nn

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(128, 128, batch_first=True)
            self.head = nn.Linear(128, 65)

        def forward(self, x):
            return self.head(self.lstm(x)[0])

    model = Reader()
    set_weights(lib, model)
    cross_entropy = nn.CrossEntropyLoss()
    return Workload(
        model,
        lambda out, y: cross_entropy(out.reshape(-1, 65), y.reshape(-1)),
        lib.from_numpy(numbers("x", (batch, 64, 128))),
        lib.from_numpy(classes("y", (batch, 64), 65)),
    )


def chain(lib, batch: int) -> Workload:
    """100 operations on 32 x 32, forward and backward, no optimizer: what one small operation costs."""
    nn = lib.nn

    class Chain(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(lib.ones(32, 32) * 0.01, requires_grad=False)
            self.b = nn.Parameter(lib.ones(32, 32) * 0.5, requires_grad=False)
            self.w = nn.Parameter(lib.eye(32) * 0.9)

        def forward(self, x):
            y = x + self.a
            for _ in range(33):
                y = ((y + self.a) * self.b) @ self.w
            return y

    x = lib.ones(32, 32)
    return Workload(Chain(), lambda out, y: out.sum(), x, x, optimizer="none")


#: name -> (builder, batch, goal for eager, goal for compiled): the goals are ratios to PyTorch eager's time
TRAINING: dict[str, tuple[Callable, int, float, float]] = {
    "mlp-64": (mlp, 64, 0.7, 0.5),
    "mlp-512": (mlp, 512, 0.7, 0.5),
    "cnn-64": (cnn, 64, 0.5, 0.45),
    "resnet18-32": (resnet18, 32, 0.55, 0.5),
    "gpt-32": (gpt, 32, 0.8, 0.7),
    "gpt2-block-4": (gpt2_block, 4, 0.8, 0.7),
    "lstm-32": (lstm, 32, 1.0, 0.9),
    "chain": (chain, 1, 0.7, 0.2),
}
INFERENCE: dict[str, tuple[Callable, int, float, float]] = {
    f"{name}-infer-{batch}": (build, batch, 0.7, 0.5)
    for name, build in (
        *(("mlp", mlp), ("cnn", cnn), ("resnet18", resnet18)),
        *(("gpt", gpt), ("gpt2-block", gpt2_block), ("lstm", lstm)),
    )
    for batch in (1, 64)
}
WORKLOADS = {**TRAINING, **INFERENCE}
