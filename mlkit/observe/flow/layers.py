"""The layers of a model as rows of a table: in the order in which they compute, with the parameters that each has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from mlkit import nn
from mlkit.nn import activation as activations
from mlkit.nn.parameter import is_lazy

__all__ = ["Layer", "Layers"]

#: activations whose output is flat where they are off: name -> the upper flat part, or None
RECTIFIERS: dict[str, float | None] = {"ReLU": None, "ReLU6": 6.0, "Threshold": None, "relu": None, "relu6": 6.0}
#: activations that flatten out at both ends, with those ends
SATURATING: dict[str, tuple[float, float]] = {
    "Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Hardtanh": (-1.0, 1.0), "Hardsigmoid": (0.0, 1.0), "Softsign": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "hardtanh": (-1.0, 1.0),
}  # fmt: skip
#: operations that are activations where they are called as functions, and the names they get
FUNCTIONS = {
    "relu": "relu", "leaky_relu": "leaky_relu", "sigmoid": "sigmoid", "tanh": "tanh", "gelu": "gelu", "silu": "silu",
    "elu": "elu", "hardtanh": "hardtanh",
}  # fmt: skip

ACTIVATIONS = tuple(
    one
    for name, one in vars(activations).items()
    if isinstance(one, type)
    and issubclass(one, nn.Module)
    and one.__module__ == activations.__name__
    and name not in ("Softmax", "Softmin", "LogSoftmax", "Softmax2d", "GLU", "PReLU")
)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
CALLS = 24
"""Calls of one activation in one forward pass that get a row each; a loop over time is not followed further."""


@dataclass
class Layer:
    """One row: a module with parameters of its own, or an activation.

    Attributes:
        name: Its path in the model ("features.0"); a further use of an activation, or one that is a function, has more
            ("block:relu", "act#2").
        kind: The module's class, or the function's name.
        parameters: How many numbers it can learn.
        shared: The layer that has the very same parameter, where there is one.
        frozen: None of its parameters is trained.
        matrix: Whether a parameter has two axes or more; biases and scales alone say little about depth.
        fan_in: Values that go into one output of it, where that is known.
    """

    name: str
    kind: str
    parameters: int = 0
    shared: str | None = None
    frozen: bool = False
    matrix: bool = False
    fan_in: int | None = None
    activation: bool = False
    rectifier: bool = False
    saturating: bool = False
    recurrent: bool = False
    normalizing: bool = False
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name with its kind, for a list."""
        return f"{self.name} ({self.kind})" if self.name and self.kind not in self.name else self.name or self.kind

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Layer:
        known = {key: value for key, value in values.items() if key in cls.__dataclass_fields__}
        return cls(**known)


class Layers:
    """The rows of a model. New ones are added at the end of `rows`; `order` tells how they follow in the forward pass.

    >>> from mlkit import nn
    >>> [layer.name for layer in Layers(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))).rows]
    ['0', '1', '2']
    """

    def __init__(self, model: Any) -> None:
        self.rows: list[Layer] = []
        self.order: list[int] = []
        self.row_of: dict[
            Any, int
        ] = {}  # id of a module, or (id of a module, call number), or (path, function, number)
        self.modules: dict[int, str] = {}  # paths by the modules' ids: nothing here keeps the model alive
        self.version = 0
        owners: dict[int, str] = {}
        for path, module in model.named_modules():
            path = path or type(model).__name__
            self.modules[id(module)] = path
            own = [one for one in module._parameters.values() if one is not None]
            if own:
                self._add_parameters(path, module, own, owners)
            elif isinstance(module, ACTIVATIONS):
                self._add_activation(path, type(module).__name__, (id(module), 0))
        self.order = list(range(len(self.rows)))

    def _add_parameters(self, path: str, module: Any, own: list[Any], owners: dict[int, str]) -> None:
        shared = next((owners[id(one)] for one in own if id(one) in owners), None)
        for one in own:
            owners.setdefault(id(one), path)
        layer = Layer(
            path,
            type(module).__name__,
            shared=shared,
            frozen=not any(one.requires_grad for one in own),
            recurrent=isinstance(module, RECURRENT),
            normalizing="Norm" in type(module).__name__,
        )
        if not any(is_lazy(one) for one in own):
            _measure(layer, module, own)
        self.row_of[id(module)] = len(self.rows)
        self.rows.append(layer)

    def _add_activation(self, name: str, kind: str, key: Any) -> int:
        self.row_of[key] = len(self.rows)
        layer = Layer(name, kind, activation=True, rectifier=kind in RECTIFIERS, saturating=kind in SATURATING)
        self.rows.append(layer)
        self.order.append(len(self.rows) - 1)
        self.version += 1
        return len(self.rows) - 1

    def activation_row(self, path: str, kind: str, module: int | None, call: int) -> int | None:
        """The row of an activation's call, made where it is new; None beyond CALLS."""
        if call >= CALLS:
            return None
        key = (module, call) if module is not None else (path, kind, call)
        row = self.row_of.get(key)
        if row is None:
            name = path if module is not None else f"{path}:{kind}"
            row = self._add_activation(f"{name}#{call + 1}" if call else name, kind, key)
        return row

    def arrange(self, seen: list[int]) -> None:
        """Put the rows into the order in which a forward pass met them; what it did not meet stays behind what stood
        before it."""
        if not seen:
            return
        place = {row: at for at, row in enumerate(seen)}
        order: list[tuple[float, int, int]] = []
        last = -1.0
        for at, row in enumerate(self.order):
            if row in place:
                last = place[row]
                order.append((last, 0, at))
            else:
                order.append((last, 1, at))
        arranged = [self.order[at] for _, _, at in sorted(order)]
        if arranged != self.order:
            self.order = arranged
            self.version += 1

    def refresh(self, model: Any) -> None:
        """Note which layers are frozen now, and the sizes of those that were made on first use."""
        if model is None:
            return
        for module in model.modules():
            own = [one for one in module._parameters.values() if one is not None]
            row = self.row_of.get(id(module))
            if row is None or not own:
                continue
            layer = self.rows[row]
            frozen = not any(one.requires_grad for one in own)
            if frozen != layer.frozen:
                layer.frozen = frozen
                self.version += 1
            if layer.parameters == 0 and not any(is_lazy(one) for one in own):
                _measure(layer, module, own)
                self.version += 1

    def named(self) -> Iterator[tuple[int, Layer]]:
        """(row, layer) in forward order."""
        for row in self.order:
            yield row, self.rows[row]

    def to_dict(self) -> dict[str, Any]:
        return {"layers": [layer.to_dict() for layer in self.rows], "order": list(self.order)}


def _measure(layer: Layer, module: Any, own: list[Any]) -> None:
    matrices = [one for one in own if one.ndim > 1]
    layer.kind = type(module).__name__  # a lazy module becomes another when its sizes are known
    layer.parameters = sum(one.numel() for one in own)
    layer.matrix = bool(matrices)
    if matrices and not isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        layer.fan_in = matrices[0].numel() // max(1, matrices[0].shape[0])
