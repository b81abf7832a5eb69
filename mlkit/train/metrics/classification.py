"""Right and wrong answers: accuracy, precision, recall, F1, IoU, Dice, the confusion matrix.

Outputs are a model's scores (logits, unless ``from_logits=False``), float [batch, classes, ...] with class numbers
int64 [batch, ...] as targets; or float [batch] or [batch, 1] with as many 0 and 1 (binary); or float [batch, labels]
with 0 and 1 of the same shape (multilabel: each label by itself). Integer outputs are answers already. The numbers
are those of scikit-learn.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlkit.core.errors import DataError, LabelError
from mlkit.train.metrics.base import Sums, array_of, grown, misfit, register_metric, share

__all__ = ["IoU", "Accuracy", "ConfusionMatrix", "Dice", "F1", "FBeta", "Precision", "Recall", "TopK"]

EXPECTED = "output [batch, classes] with target [batch], or both [batch], or both [batch, labels]"
COUNTS = ("hits", "chosen", "actual")
AVERAGES = ("auto", "micro", "macro", "weighted", "binary", "none", None)


class Answers(NamedTuple):
    """What a batch says: the chosen and the right class of each element, or yes and no for each label."""

    kind: str
    """"classes", "binary" or "labels"."""
    chosen: np.ndarray
    right: np.ndarray
    classes: int


def answers_of(
    name: str, output: Any, target: Any, threshold: float = 0.0, classes: int | None = None, ignore: int | None = None
) -> Answers:
    """Read a batch; raises a ShapeError or a LabelError where output and target do not fit."""
    scores, labels = array_of(output), array_of(target)
    floating = scores.dtype.kind == "f"
    if floating and scores.ndim >= 2 and scores.shape[1] > 1 and scores.shape[:1] + scores.shape[2:] == labels.shape:
        kind, count = "classes", scores.shape[1]
        chosen = scores.argmax(axis=1).reshape(-1)
    elif scores.shape == labels.shape and floating and scores.ndim == 2 and scores.shape[1] > 1:
        return Answers("labels", scores > threshold, _yes_or_no(name, labels), scores.shape[1])
    elif scores.size == labels.size and _without_ones(scores) == _without_ones(labels):
        if floating:
            chosen, labels = scores.reshape(-1) > threshold, labels.reshape(-1)
            kept = slice(None) if ignore is None else labels != ignore
            return Answers("binary", chosen[kept], _yes_or_no(name, labels[kept]), 2)
        kind, chosen = "classes", scores.reshape(-1).astype(np.int64)
        count = classes or 0
    else:
        raise misfit(name, scores, labels, EXPECTED)
    labels = labels.reshape(-1)
    if labels.dtype.kind == "f":
        if not (labels == np.floor(labels)).all():
            raise LabelError(f"{name}: targets must be class numbers, and some are fractions.")
        labels = labels.astype(np.int64)
    if ignore is not None:
        kept = labels != ignore
        chosen, labels = chosen[kept], labels[kept]
    if labels.size:
        low, high = int(min(labels.min(), chosen.min())), int(max(labels.max(), chosen.max()))
        count = count or high + 1
        if low < 0 or high >= count:
            what = f"the model has {count} outputs" if floating else f"classes={count}"
            raise LabelError(
                f"{name}: labels must be 0 to {count - 1}, as {what}.",
                details=f"found labels from {labels.min()} to {labels.max()}",
                hint="Count classes from 0; name a label to leave out with ignore_index." if low < 0 else None,
            )
    return Answers(kind, chosen, labels, count)


def _without_ones(array: np.ndarray) -> tuple[int, ...]:
    return tuple(size for size in array.shape if size != 1)


def _yes_or_no(name: str, labels: np.ndarray) -> np.ndarray:
    if labels.size and not ((labels == 0) | (labels == 1)).all():
        raise LabelError(
            f"{name}: with one output per sample and label, targets must be 0 or 1.",
            details=f"found labels from {labels.min()} to {labels.max()}",
            hint="Labels that are shares of the classes (MixUp, CutMix) become class numbers with target.argmax(1)."
            if labels.ndim > 1
            else None,
        )
    return labels.astype(bool)


class _Counts(Sums):
    """For each class: how often it was right, chosen, and the answer.

    Args:
        average: "macro": the mean over the classes that occur; "weighted": by how often each does; "micro": all
            answers together; "binary": of class `positive` alone; "none" or None: an array [classes]; by default
            "binary" where there is one output per sample, else "macro".
        positive: The class that "binary" is about.
        threshold: An output above it means yes, where there is one output per sample or label; by default 0 for logits
            and 0.5 for probabilities.
        from_logits: False where outputs are probabilities.
        classes: How many there are, for integer outputs; else the model's outputs say so.
        ignore_index: A target that is left out.
        zero_division: The value where nothing was chosen, or nothing was the answer (0/0).
        name: In curves and tables.
    """

    state: tuple[str, ...] = COUNTS

    def __init__(
        self,
        average: str | None = "auto",
        *,
        positive: int = 1,
        threshold: float | None = None,
        from_logits: bool = True,
        classes: int | None = None,
        ignore_index: int | None = None,
        zero_division: float = 0.0,
        name: str | None = None,
    ) -> None:
        if average not in AVERAGES:
            words = ", ".join(repr(one) for one in AVERAGES)
            raise DataError(f"{type(self).__name__}: average must be one of {words}, got {average!r}.")
        self.average = "none" if average is None else average
        self.positive = positive
        self.threshold = (0.0 if from_logits else 0.5) if threshold is None else threshold
        self.classes = classes
        self.ignore_index = ignore_index
        self.zero_division = zero_division
        if name is not None:
            self.name = name
        self.reset()

    def reset(self) -> None:
        super().reset()
        size = self.classes or 0
        self.hits, self.chosen, self.actual = (np.zeros(size, np.int64) for _ in range(3))
        self.kind = ""

    def update(self, output: Any, target: Any) -> None:
        kind, chosen, right, classes = answers_of(
            self.name, output, target, self.threshold, self.classes, self.ignore_index
        )
        if kind == "labels":
            counts = [(chosen & right).sum(0), chosen.sum(0), right.sum(0)]
        else:
            chosen, right = chosen.astype(np.int64), right.astype(np.int64)
            equal = chosen[chosen == right]
            counts = [np.bincount(part, minlength=classes) for part in (equal, chosen, right)]
        for name, count in zip(COUNTS, counts, strict=True):
            old = getattr(self, name)
            size = (max(len(old), len(count)),)
            setattr(self, name, grown(old, size) + grown(count, size))
        self.samples += len(right)
        self.kind = kind

    def merge(self, other: Any) -> None:
        super().merge(other)
        self.kind = self.kind or other.kind

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "kind": self.kind}

    def of_classes(self) -> np.ndarray:
        """The number of each class; float64 [classes]."""
        return np.atleast_1d(self._ratio(self.hits, self.chosen, self.actual))

    def compute(self) -> Any:
        if self.is_empty():
            return float("nan")
        average = self.average
        if average == "auto":
            average = "binary" if self.kind == "binary" else "macro"
        if average == "micro":
            return float(self._ratio(self.hits.sum(), self.chosen.sum(), self.actual.sum()))
        values = self.of_classes()
        if average == "none":
            return values
        if average == "binary":
            if not 0 <= self.positive < len(values):
                raise LabelError(f"{self.name}: there is no class positive={self.positive}; classes: {len(values)}.")
            return float(values[self.positive])
        if average == "weighted":
            total = self.actual.sum()
            return float((values * self.actual).sum() / total) if total else self.zero_division
        occurs = np.ones(len(values), bool) if self.kind == "labels" else self.chosen + self.actual > 0
        return float(values[occurs].mean())

    def applies(self, output: Any, target: Any) -> bool:
        return not target.dtype.is_floating_point

    def _ratio(self, hits: Any, chosen: Any, actual: Any) -> Any:
        raise NotImplementedError


@register_metric("precision")
class Precision(_Counts):
    """Of what was said to be a class, the share that is: hits / chosen.

    >>> import mlkit
    >>> Precision()(mlkit.tensor([2.0, 1.0, -1.0]), mlkit.tensor([1, 0, 1]))
    0.5
    """

    name = "precision"

    def _ratio(self, hits: Any, chosen: Any, actual: Any) -> Any:
        return share(hits, chosen, self.zero_division)


@register_metric("recall", "sensitivity")
class Recall(_Counts):
    """Of what is a class, the share that was found: hits / actual.

    >>> import mlkit
    >>> Recall()(mlkit.tensor([2.0, 1.0, -1.0]), mlkit.tensor([1, 0, 1]))
    0.5
    """

    name = "recall"

    def _ratio(self, hits: Any, chosen: Any, actual: Any) -> Any:
        return share(hits, actual, self.zero_division)


class FBeta(_Counts):
    """The harmonic mean of precision and recall, recall counting `beta` times as much.

    >>> import mlkit
    >>> round(FBeta(2.0)(mlkit.tensor([2.0, 1.0, -1.0]), mlkit.tensor([1, 0, 1])), 4)
    0.5
    """

    name = "fbeta"

    def __init__(self, beta: float = 1.0, average: str | None = "auto", **options: Any) -> None:
        if not beta > 0:
            raise DataError(f"FBeta: beta must be positive, got {beta!r}.")
        self.beta = beta
        super().__init__(average, **options)

    def _ratio(self, hits: Any, chosen: Any, actual: Any) -> Any:
        weight = self.beta**2
        return share((1 + weight) * hits, weight * actual + chosen, self.zero_division)


@register_metric("f1")
class F1(FBeta):
    """The harmonic mean of precision and recall.

    >>> import mlkit
    >>> scores, labels = mlkit.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]]), mlkit.tensor([0, 1, 1])
    >>> F1("none")(scores, labels).round(4).tolist()
    [0.6667, 0.6667]
    """

    name = "f1"

    def __init__(self, average: str | None = "auto", **options: Any) -> None:
        super().__init__(1.0, average, **options)


@register_metric("dice")
class Dice(F1):
    """2 |A and B| / (|A| + |B|), as it is called for segmentations; the same number as F1."""

    name = "dice"


@register_metric("iou", "jaccard")
class IoU(_Counts):
    """Intersection over union: hits / (chosen + actual - hits); scikit-learn's Jaccard score.

    >>> import mlkit
    >>> IoU()(mlkit.tensor([2.0, 1.0, -1.0, -1.0]), mlkit.tensor([1, 0, 0, 0]))
    0.5
    """

    name = "iou"

    def _ratio(self, hits: Any, chosen: Any, actual: Any) -> Any:
        return share(hits, chosen + actual - hits, self.zero_division)


@register_metric("accuracy")
class Accuracy(_Counts):
    """The share of right answers; of multilabel answers, each label counts.

    ``average="macro"`` is the mean of the classes' shares (balanced accuracy), "none" gives each class's.

    >>> import mlkit
    >>> accuracy = Accuracy()
    >>> accuracy.of_batch(mlkit.tensor([[0.1, 0.9], [0.8, 0.2]]), mlkit.tensor([1, 1]))
    0.5
    """

    name = "accuracy"
    per_step = True
    state = (*COUNTS, "right", "total")

    def __init__(self, average: str | None = "micro", **options: Any) -> None:
        super().__init__(average, **options)

    def reset(self) -> None:
        super().reset()
        self.right = self.total = 0

    def update(self, output: Any, target: Any) -> None:
        if self.average not in ("micro", "auto"):
            super().update(output, target)
            return
        _, chosen, right, _ = answers_of(self.name, output, target, self.threshold, self.classes, self.ignore_index)
        self.right += int((chosen == right).sum())
        self.total += right.size
        self.samples += len(right)

    def compute(self) -> Any:
        if self.average in ("micro", "auto"):
            return self.right / self.total if self.total else float("nan")
        if self.average == "macro" and not self.is_empty():  # over the classes that are some sample's answer
            return float(self.of_classes()[self.actual > 0].mean())
        return super().compute()

    def _ratio(self, hits: Any, chosen: Any, actual: Any) -> Any:
        return share(hits, actual, self.zero_division)


class TopK(Sums):
    """The share of samples whose right class is among the `k` highest outputs. Known by name: "top5", "top3", "top2".

    >>> import mlkit
    >>> TopK(2)(mlkit.tensor([[0.1, 0.5, 0.4], [0.8, 0.1, 0.1]]), mlkit.tensor([2, 2]))
    1.0
    """

    state = ("right",)
    per_step = True

    def __init__(self, k: int = 5, name: str | None = None) -> None:
        if k < 1:
            raise DataError(f"TopK: k must be at least 1, got {k}.")
        self.k = k
        self.name = name or f"top{k}"
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.right = 0

    def update(self, output: Any, target: Any) -> None:
        scores, labels = array_of(output), array_of(target)
        if scores.ndim < 2 or scores.shape[:1] + scores.shape[2:] != labels.shape:
            raise misfit(self.name, scores, labels, "output [batch, classes] with target [batch]")
        answers_of(self.name, scores, labels)
        scores, labels = np.moveaxis(scores, 1, -1).reshape(labels.size, -1), labels.reshape(-1)
        # Of equal scores the higher class comes first, as in scikit-learn.
        order = np.argsort(scores, axis=1, kind="stable")[:, ::-1][:, : self.k]
        self.right += int((order == labels[:, None]).any(axis=1).sum())
        self.samples += labels.size

    def compute(self) -> float:
        return self.right / self.samples if self.samples else float("nan")

    def applies(self, output: Any, target: Any) -> bool:
        return not target.dtype.is_floating_point and output.ndim >= 2


for _k in (2, 3, 5, 10):
    register_metric(f"top{_k}", f"top_{_k}")(lambda k=_k: TopK(k))


@register_metric("confusion_matrix", "confusion")
class ConfusionMatrix(Sums):
    """How often each class (rows) was taken for each class (columns); int64 [classes, classes].

    Args:
        normalize: "true": rows sum to 1; "pred": columns do; "all": everything does.

    >>> import mlkit
    >>> ConfusionMatrix()(mlkit.tensor([[0.1, 0.9], [0.8, 0.2]]), mlkit.tensor([1, 1])).tolist()
    [[0, 0], [1, 1]]
    """

    name = "confusion_matrix"
    state = ("matrix",)

    def __init__(
        self,
        normalize: str | None = None,
        *,
        threshold: float | None = None,
        from_logits: bool = True,
        classes: int | None = None,
        ignore_index: int | None = None,
        name: str | None = None,
    ) -> None:
        if normalize not in (None, "true", "pred", "all"):
            raise DataError(f"ConfusionMatrix: normalize must be 'true', 'pred', 'all' or None, got {normalize!r}.")
        self.normalize = normalize
        self.threshold = (0.0 if from_logits else 0.5) if threshold is None else threshold
        self.classes = classes
        self.ignore_index = ignore_index
        self.name = name or self.name
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.matrix = np.zeros((self.classes or 0,) * 2, np.int64)

    def update(self, output: Any, target: Any) -> None:
        kind, chosen, right, classes = answers_of(
            self.name, output, target, self.threshold, self.classes, self.ignore_index
        )
        if kind == "labels":
            raise DataError("confusion_matrix: with several labels per sample there is one matrix for each label.",
                            hint="Look at one label: ConfusionMatrix()(output[:, 0], target[:, 0]).")  # fmt: skip
        size = max(classes, len(self.matrix))
        pairs = right.astype(np.int64) * size + chosen.astype(np.int64)
        counts = np.bincount(pairs, minlength=size * size).reshape(size, size)
        self.matrix = grown(self.matrix, (size, size)) + counts
        self.samples += right.size

    def compute(self) -> np.ndarray:
        if self.normalize is None:
            return self.matrix.copy()
        whole = {"true": self.matrix.sum(1, keepdims=True), "pred": self.matrix.sum(0, keepdims=True),
                 "all": self.matrix.sum()}[self.normalize]  # fmt: skip
        return np.asarray(share(self.matrix, whole))

    def applies(self, output: Any, target: Any) -> bool:
        return not target.dtype.is_floating_point
