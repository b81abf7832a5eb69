"""What every metric is: numbers gathered batch by batch, and how they are known by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from mlkit.core.errors import DataError, ShapeError

__all__ = ["FunctionMetric", "Metric", "Sums", "array_of", "metrics_of", "register_metric", "share"]

_registry: dict[str, Callable[[], Metric]] = {}


class Metric:
    """A number over many batches. Write `reset`, `update` and `compute`; `name` is the series' last part.

    `better` is "higher" or "lower". `per_step`: whether a single training batch's number is worth a point in a curve;
    else the training's curve has a point for each epoch.
    """

    name = "metric"
    better = "higher"
    per_step = True

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError

    def update(self, output: Any, target: Any) -> None:
        """Take in a batch: the model's output and what it should have been, as Tensors."""
        raise NotImplementedError

    def compute(self) -> Any:
        """The number (or an array of one per class) over the batches since `reset`; nan without any."""
        raise NotImplementedError

    def merge(self, other: Any) -> None:
        """Take in what another metric of this kind has gathered, from other batches."""
        raise NotImplementedError(f"{type(self).__name__} does not say how two of it are merged.")

    @property
    def mergeable(self) -> bool:
        """Whether `merge` is written."""
        return type(self).merge is not Metric.merge

    def is_empty(self) -> bool:
        """Whether nothing was taken in since `reset`, where that is known."""
        return False

    def applies(self, output: Any, target: Any) -> bool:
        """Whether the metric means anything for such outputs and targets."""
        return True

    def of_batch(self, output: Any, target: Any) -> Any:
        """The number over this batch alone."""
        self.reset()
        self.update(output, target)
        return self.compute()

    __call__ = of_batch

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich  # drawn only where something displays it

        return rich.repr_html(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
        from mlkit.core import rich

        return rich.repr_mimebundle(self, include, exclude)

    def state_dict(self) -> dict[str, Any]:
        """What has been gathered, for a checkpoint: by default every attribute that one can hold."""
        return {name: value for name, value in vars(self).items() if _can_be_kept(value)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        vars(self).update(state)


class Sums(Metric):
    """A metric whose state are numbers, arrays and lists that add up. `state` names them."""

    state: tuple[str, ...] = ()
    per_step = False

    def is_empty(self) -> bool:
        return not np.any(self.samples)

    samples: Any = 0
    """How many samples (or elements) were taken in."""

    def merge(self, other: Any) -> None:
        if type(other) is not type(self):
            raise DataError(f"A {type(self).__name__} cannot take in a {type(other).__name__}.")
        for name in ("samples", *self.state):
            setattr(self, name, _sum(getattr(self, name), getattr(other, name)))

    def reset(self) -> None:
        self.samples = 0

    def state_dict(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in ("samples", *self.state)}
        return {name: [np.concatenate(value)] if isinstance(value, list) and value else value
                for name, value in kept.items()}  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value.copy() if isinstance(value, np.ndarray) else value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} over {int(np.max(self.samples)):,} samples>"


def _sum(a: Any, b: Any) -> Any:
    """a + b; of arrays with different first axes (classes seen so far) the shorter is filled up with zeros."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.shape != b.shape and a.ndim:
        size = tuple(max(pair) for pair in zip(a.shape, b.shape, strict=True))
        return grown(a, size) + grown(b, size)
    return a + b


def grown(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The array with zeros after its end on each axis, up to this shape."""
    return np.pad(array, [(0, max(0, wanted - now)) for now, wanted in zip(array.shape, shape, strict=True)])


def share(part: Any, whole: Any, otherwise: float = 0.0) -> Any:
    """part / whole, and `otherwise` where the whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    result = np.full(np.broadcast(part, whole).shape, otherwise)
    np.divide(part, whole, out=result, where=whole != 0)
    return result if result.ndim else float(result)


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
        value = self.function(output, target)
        self.sum += self._number(value) * size
        self.total += size

    def _number(self, value: Any) -> float:
        shape = getattr(value, "shape", None)
        if shape is not None and all(size == 1 for size in shape):
            return float(value.item())
        if shape is None:
            try:
                return float(value)
            except (TypeError, ValueError):
                pass
        raise DataError(
            f"The metric {self.name!r} must give one number for a batch.",
            details=f"it gave: {f'a tensor {list(shape)}' if shape is not None else f'a {type(value).__qualname__}'}",
            hint="Reduce it in the function, for example with .mean().",
        )

    def compute(self) -> float:
        return self.sum / self.total if self.total else float("nan")

    def merge(self, other: Any) -> None:
        self.sum, self.total = self.sum + other.sum, self.total + other.total

    def is_empty(self) -> bool:
        return not self.total


def register_metric(*names: str) -> Callable[[Any], Any]:
    """Make a metric known by a name: ``Trainer(metrics=("accuracy",))``. A class decorator."""

    def register(make: Any) -> Any:
        for name in names:
            _registry[name] = make
        return make

    return register


def metrics_of(wanted: Any) -> list[Metric]:
    """Metrics from names, `Metric` objects, functions, or a dictionary of names and functions.

    Raises:
        DataError: An unknown name, or two metrics of one name.
    """
    if wanted is None:
        return []
    if isinstance(wanted, Mapping):
        return [_one(value, name) for name, value in wanted.items()]
    if isinstance(wanted, (str, Metric)) or callable(wanted):
        wanted = [wanted]
    if not isinstance(wanted, Iterable):
        raise DataError(f"{wanted!r} is no metric.", hint="Give a name, a Metric, or a function of (output, target).")
    found = [_one(value, None) for value in wanted]
    names = [metric.name for metric in found]
    for name in names:
        if names.count(name) > 1:
            raise DataError(
                f"Two metrics are called {name!r}.",
                hint="Name them with a dictionary: metrics={'a': F1('macro'), 'b': F1('micro')}.",
            )
        if name == "loss":
            raise DataError("A metric cannot be called 'loss': that is the loss itself.")
    return found


def _one(value: Any, name: str | None) -> Metric:
    if isinstance(value, str):
        if value not in _registry:
            import difflib

            near = difflib.get_close_matches(value, _registry, n=1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(f"There is no metric {value!r}.{guess}", hint=f"There are: {', '.join(sorted(_registry))}.")
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


def array_of(tensor: Any) -> np.ndarray:
    """A tensor's (or an array's, or a list's) numbers; half precisions as float32."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        if tensor.dtype.is_floating_point and tensor.element_size() < 4:
            tensor = tensor.float()
        return tensor.numpy()
    return np.asarray(tensor)


def misfit(name: str, output: np.ndarray, target: np.ndarray, expected: str) -> ShapeError:
    """The error for outputs and targets that do not belong together."""
    return ShapeError(
        f"{name}: output and target do not fit each other.",
        details=f"output: {list(output.shape)}\ntarget: {list(target.shape)}",
        hint=f"Expected {expected}.",
    )


def _can_be_kept(value: Any) -> bool:
    if value is None or isinstance(value, (bool, int, float, str, np.ndarray, np.number)):
        return True
    if isinstance(value, (list, tuple)):
        return all(_can_be_kept(item) for item in value)
    return isinstance(value, dict) and all(isinstance(key, str) and _can_be_kept(item) for key, item in value.items())
