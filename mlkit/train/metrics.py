"""How good a model is: numbers gathered batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from mlkit.core.errors import DataError, LabelError, ShapeError

__all__ = ["Accuracy", "Metric", "metrics_of", "register_metric"]

_registry: dict[str, Callable[[], Metric]] = {}


class Metric:
    """A number over many batches. Write `reset`, `update` and `compute`; `name` is the series' last part.

    `better` is "higher" or "lower".
    """

    name = "metric"
    better = "higher"

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError

    def update(self, output: Any, target: Any) -> None:
        """Take in a batch: the model's output and what it should have been, as Tensors."""
        raise NotImplementedError

    def compute(self) -> float:
        """The number over the batches since `reset`; nan without any."""
        raise NotImplementedError

    def applies(self, output: Any, target: Any) -> bool:
        """Whether the metric means anything for such outputs and targets."""
        return True

    def of_batch(self, output: Any, target: Any) -> float:
        """The number over this batch alone."""
        self.reset()
        self.update(output, target)
        return self.compute()


def register_metric(name: str) -> Callable[[Callable[[], Metric]], Callable[[], Metric]]:
    """Make a metric known by a name: ``Trainer(metrics=("accuracy",))``. A class decorator."""

    def register(make: Callable[[], Metric]) -> Callable[[], Metric]:
        _registry[name] = make
        return make

    return register


@register_metric("accuracy")
class Accuracy(Metric):
    """The share of right answers.

    `output` float [batch, classes, ...] (scores; the highest wins) and `target` int64 [batch, ...]; or `output`
    float [batch] or [batch, 1] (a score above 0 means yes) and `target` of as many 0 and 1.

    >>> import mlkit
    >>> accuracy = Accuracy()
    >>> accuracy.of_batch(mlkit.tensor([[0.1, 0.9], [0.8, 0.2]]), mlkit.tensor([1, 1]))
    0.5
    """

    name = "accuracy"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.right = self.total = 0

    def update(self, output: Any, target: Any) -> None:
        scores, labels = _numpy(output), _numpy(target)
        if scores.ndim >= 2 and scores.shape[:1] + scores.shape[2:] == labels.shape and scores.shape[1] > 1:
            chosen = scores.argmax(axis=1)
            if labels.size and not 0 <= labels.min() <= labels.max() < scores.shape[1]:
                raise LabelError(
                    f"accuracy: labels must be 0 to {scores.shape[1] - 1}, as the model has {scores.shape[1]} outputs.",
                    details=f"found labels from {labels.min()} to {labels.max()}",
                )
        elif scores.size == labels.size:
            chosen, labels = scores.reshape(-1) > 0, labels.reshape(-1).astype(bool)
        else:
            raise ShapeError(
                "accuracy: output and target do not fit each other.",
                details=f"output: {list(scores.shape)}\ntarget: {list(labels.shape)}",
                hint="Expected output [batch, classes] with target [batch], or both [batch].",
            )
        self.right += int((chosen == labels).sum())
        self.total += labels.size

    def compute(self) -> float:
        return self.right / self.total if self.total else float("nan")

    def applies(self, output: Any, target: Any) -> bool:
        return not target.dtype.is_floating_point


class FunctionMetric(Metric):
    """A plain function of (output, target), averaged over batches by their size."""

    def __init__(self, name: str, function: Callable[[Any, Any], Any]) -> None:
        self.name = name
        self.function = function
        self.reset()

    def reset(self) -> None:
        self.sum, self.total = 0.0, 0

    def update(self, output: Any, target: Any) -> None:
        size = len(target)
        self.sum += float(self.function(output, target)) * size
        self.total += size

    def compute(self) -> float:
        return self.sum / self.total if self.total else float("nan")


def metrics_of(wanted: str | Metric | Iterable[Any] | Mapping[str, Any] | None) -> list[Metric]:
    """Metrics from names, `Metric` objects, functions, or a dictionary of names and functions.

    Raises:
        DataError: An unknown name.
    """
    if wanted is None:
        return []
    if isinstance(wanted, Mapping):
        return [_one(value, name) for name, value in wanted.items()]
    if isinstance(wanted, (str, Metric)) or callable(wanted):
        wanted = [wanted]
    return [_one(value, None) for value in wanted]


def _one(value: Any, name: str | None) -> Metric:
    if isinstance(value, str):
        if value not in _registry:
            raise DataError(f"There is no metric {value!r}.", hint=f"There are: {', '.join(sorted(_registry))}.")
        value = _registry[value]()
    if isinstance(value, type) and issubclass(value, Metric):
        value = value()
    if isinstance(value, Metric):
        if name is not None:
            value.name = name
        return value
    if callable(value):
        return FunctionMetric(str(name or getattr(value, "__name__", "metric")), value)
    raise DataError(f"{value!r} is no metric.", hint="Give a name, a Metric, or a function of (output, target).")


def _numpy(tensor: Any) -> np.ndarray:
    return tensor.detach().cpu().numpy()
