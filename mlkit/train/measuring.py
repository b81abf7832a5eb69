"""What a trainer measures and predicts with its model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import numpy as np

import mlkit
from mlkit.core.errors import DataError
from mlkit.core.value import is_tensor
from mlkit.data.arrays import as_tensor
from mlkit.data.collate import map_tensors
from mlkit.train.checks import check_loader, length_of
from mlkit.train.means import Means
from mlkit.train.metrics import Metric
from mlkit.train.parts import inputs_only, labels_of, size_of
from mlkit.train.precision import Precision
from mlkit.train.turns import Turns

__all__ = ["Measuring", "Step"]


class Step(NamedTuple):
    """What `Trainer.steps` yields: whether the model was changed, and what was recorded."""

    trained: bool
    values: dict[str, float]


class Measuring:
    """The part of `Trainer` that runs the model without training it."""

    model: Any
    ema: Any
    metrics: list[Metric]
    precision: Precision
    progress: bool
    loss: Any
    _turns: Turns
    _only_where_it_applies: bool
    _compute: Callable[..., tuple[Any, Any, Any]]

    def evaluate(self, loader: Any) -> dict[str, Any]:
        """Loss and metrics over all batches, each weighted by its size; the model is not changed.

        With `ema` the averaged weights are measured. While a training runs in the background, this takes its turn
        between two steps.

        Returns:
            {"loss": ..., "accuracy": ...}; a metric with a number per class gives an array.
        """
        check_loader(loader, "evaluate")
        with self.between_steps(), self._evaluation_mode():
            measuring = self._measure(loader)
            while True:
                try:
                    next(measuring)
                except StopIteration as end:
                    return end.value

    validate = evaluate
    test = evaluate

    def predict(self, data: Any, activation: str | Callable[[Any], Any] | None = None, progress: bool = False) -> Any:
        """The model's outputs for all inputs, in order. With `ema` the averaged weights answer.

        Args:
            data: A loader of (inputs..., target) or of inputs alone; or one Tensor, a batch of inputs.
            activation: What to do with each output: "softmax", "sigmoid", "argmax" (over the classes) or a function.
            progress: Show a progress bar.

        Returns:
            Tensor [samples, ...]; where the model gives a tuple or a dictionary, one of these.
        """
        change = _activation(activation)
        with self.between_steps(), self._evaluation_mode(), mlkit.no_grad(), self.precision.region():
            if mlkit.is_tensor(data):
                return change(self.evaluated_model(self._to_device(data)))
            check_loader(data, "predict")
            outputs = []
            for batch in _with_bar(data, progress, "predict"):
                inputs, named = inputs_only(self._to_device(batch), self.model)
                outputs.append(change(self.evaluated_model(*inputs, **named)))
            if not outputs:
                raise DataError("predict: the loader gave no batch.", hint="Check where its samples come from.")
            return _join(outputs)

    @property
    def evaluated_model(self) -> Any:
        """What is measured: the averaged weights where there are any, else the model."""
        return self.model if self.ema is None else self.ema.module

    def _measure(self, loader: Any) -> Generator[Step, None, dict[str, Any]]:
        """Measure batch by batch; gives the means. The mode is set for each batch, as others may use the model."""
        means, metrics = Means(), list(self.metrics)
        for metric in metrics:
            metric.reset()
        counted = False
        for batch in loader:
            with self._evaluation_mode(), mlkit.no_grad():
                batch = self._to_device(batch)
                output, target, loss = self._compute(batch, self.evaluated_model)
                target = labels_of(self.loss, output, target)
                if not counted:
                    metrics, counted = self._metrics_for(output, target), True
                means.add({"loss": float(loss.item())}, size_of(batch))
                for metric in metrics:
                    metric.update(output, target)
            yield Step(False, {})
        if not counted:
            raise DataError("The loader gave no batch to measure on.", hint="Check where its samples come from.")
        return means.means() | {metric.name: metric.compute() for metric in metrics}

    def _metrics_for(self, output: Any, target: Any) -> list[Metric]:
        if not self._only_where_it_applies:
            return self.metrics
        return [metric for metric in self.metrics if metric.applies(output, target)]

    def between_steps(self) -> contextlib.AbstractContextManager[None]:
        """``with trainer.between_steps():`` the model is yours; a training in the background waits meanwhile."""
        return self._turns.guest()

    def _training_mode(self) -> None:
        if not self.model.training:  # also when someone has switched it while the training was paused
            self.model.train()

    @contextlib.contextmanager
    def _evaluation_mode(self) -> Iterator[None]:
        models = (self.model,) if self.ema is None else (self.model, self.ema.module)
        modes = [(module, module.training) for model in models for module in model.modules()]
        for model in models:
            model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    @property
    def device(self) -> Any:
        """Where the model's parameters are."""
        return next(iter(self.model.parameters())).device

    def _to_device(self, batch: Any) -> Any:
        """The batch on the model's device; NumPy arrays in it (from loaders of one's own) become tensors."""
        device = self.device

        def moved(part: Any) -> Any:
            tensor = part if is_tensor(part) else as_tensor(part)
            return tensor if tensor.device == device else tensor.to(device)

        return map_tensors(batch, moved, lambda part: is_tensor(part) or _is_numbers(part))


def _is_numbers(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype.kind in "biufc"


def numbers_of(measured: dict[str, Any]) -> dict[str, float]:
    """What of a measurement can be a curve: numbers as they are, one number per class under ``name[class]``.

    >>> numbers_of({"loss": 0.5, "f1": np.array([0.25, 1.0]), "confusion": np.eye(2)})
    {'loss': 0.5, 'f1[0]': 0.25, 'f1[1]': 1.0}
    """
    curves = {}
    for name, value in measured.items():
        if isinstance(value, (int, float, np.number)):
            curves[name] = float(value)
        elif isinstance(value, np.ndarray) and value.ndim == 1 and value.size <= 1000:
            curves |= {f"{name}[{index}]": float(number) for index, number in enumerate(value)}
    return curves


def _activation(wanted: Any) -> Callable[[Any], Any]:
    if wanted is None:
        return lambda output: output
    if callable(wanted):
        return wanted
    known: dict[str, Callable[[Any], Any]] = {
        "softmax": lambda output: mlkit.softmax(output, 1),
        "sigmoid": lambda output: output.sigmoid(),
        "argmax": lambda output: output.argmax(1),
    }
    if wanted not in known:
        raise DataError(f"predict: there is no activation {wanted!r}.", hint=f"There are: {', '.join(known)}.")
    return known[wanted]


def _join(outputs: list[Any]) -> Any:
    first = outputs[0]
    if isinstance(first, dict):
        return {key: _join([one[key] for one in outputs]) for key in first}
    if isinstance(first, (list, tuple)):
        return tuple(_join(list(parts)) for parts in zip(*outputs, strict=True))
    return mlkit.cat(outputs)


def _with_bar(loader: Any, show: bool, words: str) -> Any:
    if not show:
        return loader
    from mlkit.train.callbacks import bar_class

    kind = bar_class()
    return loader if kind is None else kind(loader, total=length_of(loader), desc=words, unit="batch", leave=False)
