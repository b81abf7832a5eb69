"""The playground's network and its training, without any screen: it steps when told, and can be looked at in between."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import mlkit
from mlkit import nn, optim
from mlkit_widgets.playground.points import EXTENT, OWN, Points, make_toy

GRID = 50
"""Each picture has GRID x GRID values."""

MOST_LAYERS, MOST_NEURONS = 6, 8
HISTORY = 400
"""Points of the curves that are kept; older ones are thinned by halves."""

FEATURES: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "x": ("x", lambda x, y: x),
    "y": ("y", lambda x, y: y),
    "x2": ("x²", lambda x, y: x * x),
    "y2": ("y²", lambda x, y: y * y),
    "xy": ("xy", lambda x, y: x * y),
    "sin_x": ("sin x", lambda x, y: np.sin(x)),
    "sin_y": ("sin y", lambda x, y: np.sin(y)),
}
ACTIVATIONS = {"tanh": "Tanh", "relu": "ReLU", "sigmoid": "Sigmoid", "gelu": "GELU", "linear": "Identity"}
OPTIMIZERS = {
    "sgd": ("SGD", ""),
    "momentum": ("SGD", ", momentum=0.9"),
    "adam": ("Adam", ""),
    "rmsprop": ("RMSprop", ""),
}
REGULARIZATIONS = ("none", "l1", "l2")


@dataclass(frozen=True)
class Settings:
    """Everything that decides what is learned and how."""

    dataset: str = "circles"
    samples: int = 200
    noise: float = 0.1
    train_share: float = 0.5
    features: tuple[str, ...] = ("x", "y")
    layers: tuple[int, ...] = (4, 2)
    activation: str = "tanh"
    optimizer: str = "adam"
    lr: float = 0.03
    regularization: str = "none"
    regularization_rate: float = 0.001
    batch_size: int = 10
    seed: int = 0

    def points(self) -> tuple[Any, ...]:
        """What the points depend on."""
        return self.dataset, self.samples, self.noise, self.train_share, self.seed

    def network(self) -> tuple[Any, ...]:
        """What the network depends on."""
        return *self.points(), self.features, self.layers, self.activation


class Engine:
    """A network, its points and its optimizer. Every method may be called from any thread.

    >>> engine = Engine(Settings(layers=(3,)))
    >>> engine.step(10)
    >>> engine.steps, len(engine.weights())
    (10, 2)
    """

    def __init__(self, settings: Settings, own: Points | None = None) -> None:
        self.guard = threading.RLock()
        self.settings = settings
        self.version = 0
        """Grows with every change; who has seen it need not look again."""
        self._own = own
        self._make_points()
        self.reset()

    # --- making -----------------------------------------------------------------------------------------------------

    def _make_points(self) -> None:
        s = self.settings
        if s.dataset == OWN:
            if self._own is None:
                raise ValueError("There is no data of your own here: Playground(data=(X, y)) brings it.")
            self.points = self._own
        else:
            self.points = make_toy(s.dataset, s.samples, s.noise, s.seed)

    def reset(self) -> None:
        """A fresh network, the same each time for the same seed, and the same order of points."""
        with self.guard:
            s, count = self.settings, len(self.points.xy)
            self._draw = np.random.default_rng(s.seed)
            order = self._draw.permutation(count)
            trained = min(count - 1, max(1, round(s.train_share * count)))
            self.is_train = np.zeros(count, bool)
            self.is_train[order[:trained]] = True
            self._train, self._test = order[:trained], order[trained:]
            self._batches: list[np.ndarray] = []
            with mlkit.random.fork_rng():
                mlkit.manual_seed(s.seed)
                self.model = _build(s, self.points.outputs)
            self._make_optimizer()
            self._inputs = features(self.points.xy, s.features)
            axis = np.linspace(-EXTENT, EXTENT, GRID, dtype=np.float32)
            grid = np.stack(np.meshgrid(axis, axis[::-1]), axis=-1).reshape(-1, 2)  # the first row is the top
            self._grid = features(grid, s.features)
            self.steps = 0
            self.trouble = ""
            self.history: list[tuple[float, float, float]] = []
            self.record()
            self.version += 1

    def _make_optimizer(self) -> None:
        s = self.settings
        parameters = self.model.parameters()
        self._optimizer: Any
        if s.optimizer == "sgd":
            self._optimizer = optim.SGD(parameters, lr=s.lr)
        elif s.optimizer == "momentum":
            self._optimizer = optim.SGD(parameters, lr=s.lr, momentum=0.9)
        elif s.optimizer == "rmsprop":
            self._optimizer = optim.RMSprop(parameters, lr=s.lr)
        else:
            self._optimizer = optim.Adam(parameters, lr=s.lr)

    def change(self, settings: Settings) -> None:
        """Take new settings: what the network hangs on makes a fresh one, the rest counts from the next step on."""
        with self.guard:
            old, self.settings = self.settings, settings
            try:
                if old.points() != settings.points():
                    self._make_points()
            except Exception:
                self.settings = old
                raise
            if old.network() != settings.network():
                self.reset()
            elif old.optimizer != settings.optimizer:
                self._make_optimizer()
            elif old.batch_size != settings.batch_size:
                self._batches = []
            for group in self._optimizer.param_groups:
                group["lr"] = settings.lr
            self.version += 1

    # --- training ---------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> float:
        """How often every training point has been seen."""
        return self.steps * min(self.settings.batch_size, len(self._train)) / len(self._train)

    def step(self, count: int = 1) -> None:
        """Train on `count` batches. Stops with `trouble` when the loss is no number any more."""
        for _ in range(count):
            with self.guard:
                if self.trouble:
                    return
                if not self._batches:
                    order = self._draw.permutation(self._train)
                    size = self.settings.batch_size
                    self._batches = [order[i : i + size] for i in range(0, len(order), size)]
                batch = self._batches.pop(0)
                loss = self._loss(self.model(mlkit.as_tensor(self._inputs[batch])), self.points.target[batch])
                loss = loss + self._penalty()
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()
                self.steps += 1
                self.version += 1
                if not math.isfinite(loss.item()):
                    self.trouble = (
                        f"At step {self.steps:,} the loss is no number any more: the learning rate {self.settings.lr:g} "
                        "is too high for this network. Choose a lower one and press Reset."
                    )

    def _loss(self, out: Any, target: np.ndarray) -> Any:
        if self.points.kind == "regression":
            return nn.functional.mse_loss(out[:, 0], mlkit.as_tensor(target))
        if self.points.outputs == 1:
            return nn.functional.binary_cross_entropy_with_logits(out[:, 0], mlkit.as_tensor(target))
        return nn.functional.cross_entropy(out, mlkit.as_tensor(target.astype(np.int64)))

    def _penalty(self) -> Any:
        s = self.settings
        if s.regularization == "none":
            return 0.0
        weights = [layer.weight for layer in self._linear()]
        if s.regularization == "l1":
            return s.regularization_rate * sum(weight.abs().sum() for weight in weights)
        return s.regularization_rate * sum((weight**2).sum() for weight in weights)

    def _linear(self) -> list[Any]:
        return [layer for layer in self.model if isinstance(layer, nn.Linear)]

    def record(self) -> None:
        """Put the present losses on the curves."""
        with self.guard:
            if self.history and self.history[-1][0] == self.steps:
                return
            losses = self.losses()
            self.history.append((self.steps, losses["train"], losses["test"]))
            if len(self.history) > HISTORY:
                self.history = self.history[:-1:2] + self.history[-1:]

    # --- looking ----------------------------------------------------------------------------------------------------

    def losses(self) -> dict[str, float]:
        """Mean loss over all points of each part, without regularization."""
        return {part: self._judge(index)[0] for part, index in (("train", self._train), ("test", self._test))}

    def accuracies(self) -> dict[str, float]:
        """Share of each part's points that are told right; NaN for a regression."""
        return {part: self._judge(index)[1] for part, index in (("train", self._train), ("test", self._test))}

    def _judge(self, index: np.ndarray) -> tuple[float, float]:
        with self.guard, mlkit.no_grad():
            out, target = self.model(mlkit.as_tensor(self._inputs[index])), self.points.target[index]
            loss = self._loss(out, target).item()
            values = out.numpy()
        if self.points.kind == "regression":
            return loss, math.nan
        told = values.argmax(axis=1) if values.shape[1] > 1 else values[:, 0] > 0
        return loss, float((told == target).mean())

    def weights(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weight [out, in] and bias [out] of each linear layer, copied."""
        with self.guard:
            return [(layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy()) for layer in self._linear()]  # fmt: skip

    def pictures(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What every neuron gives over the plane, first row at the top.

        Returns:
            pictures: int8 [neurons, GRID, GRID]: features, each hidden layer, outputs; 127 is the neuron's largest size.
            scales: float32 [neurons]: that size.
            surface: int8 [outputs, GRID, GRID]: the answer. One output: -127 (the first class, or the value -1) to 127;
                several: the probability of each class, 0 to 127.
        """
        with self.guard, mlkit.no_grad():
            x = mlkit.as_tensor(self._grid)
            layers = [self._grid]
            for layer in self.model:
                x = layer(x)
                if not isinstance(layer, nn.Linear):
                    layers.append(x.numpy())
            out = x.numpy()
        layers.append(out)
        values = np.nan_to_num(np.concatenate(layers, axis=1).T, posinf=0.0, neginf=0.0)
        scales = np.abs(values).max(axis=1)
        pictures = np.rint(values * (127 / np.where(scales > 0, scales, 1))[:, None])
        if self.points.kind == "regression":
            surface = np.clip(out, -1, 1)
        elif out.shape[1] == 1:
            surface = np.tanh(out / 2)  # 2 * sigmoid - 1
        else:
            odds = np.exp(out - out.max(axis=1, keepdims=True))
            surface = odds / odds.sum(axis=1, keepdims=True)
        surface = np.rint(np.nan_to_num(surface).T * 127)
        shape = (-1, GRID, GRID)
        return pictures.astype(np.int8).reshape(shape), scales.astype(np.float32), surface.astype(np.int8).reshape(shape)  # fmt: skip


def features(xy: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The inputs of the network, float32 [points, features], from xy float32 [points, 2]."""
    x, y = xy[:, 0], xy[:, 1]
    return np.stack([FEATURES[name][1](x, y) for name in names], axis=1).astype(np.float32)


def _build(settings: Settings, outputs: int) -> nn.Sequential:
    layers: list[Any] = []
    before = len(settings.features)
    for size in settings.layers:
        layers += [nn.Linear(before, size), getattr(nn, ACTIVATIONS[settings.activation])()]
        before = size
    return nn.Sequential(*layers, nn.Linear(before, outputs))
