"""How well scores put the right ones first, and how far probabilities can be believed.

These keep all scores of an epoch (the calibration error only sums). Outputs are logits unless ``from_logits=False``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.core.errors import DataError
from mlkit.train.metrics.base import Sums, array_of, misfit, register_metric, share
from mlkit.train.metrics.classification import EXPECTED, _yes_or_no, answers_of

__all__ = ["AUC", "AveragePrecision", "CalibrationError", "PRCurve", "Perplexity", "ROCCurve"]


class _Ranked(Sums):
    """All scores and right answers.

    Args:
        average: Over classes or labels, where there are several: "macro" (those for which it is defined), "weighted",
            "micro" or "none" (an array). Each class is held against all others.
        from_logits: Outputs of several classes are logits, and softmax makes them probabilities. Say False where they
            are probabilities.
        name: In curves and tables.
    """

    state = ("scores", "right")

    def __init__(self, average: str | None = "macro", *, from_logits: bool = True, name: str | None = None) -> None:
        if average not in ("macro", "weighted", "micro", "none", None):
            raise DataError(f"{type(self).__name__}: average must be 'macro', 'weighted', 'micro' or 'none', "
                            f"got {average!r}.")  # fmt: skip
        self.average = "none" if average is None else average
        self.from_logits = from_logits
        self.name = name or self.name
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.scores: list[np.ndarray] = []
        self.right: list[np.ndarray] = []

    def update(self, output: Any, target: Any) -> None:
        scores, right = self._read(array_of(output), array_of(target))
        if self.scores and self.scores[0].shape[1:] != scores.shape[1:]:
            raise misfit(self.name, scores, self.scores[0], "as many outputs as in the batches before")
        self.scores.append(scores)
        self.right.append(right)
        self.samples += len(scores)

    def _read(self, scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(scores [n] or [n, classes], right bool of the same shape)."""
        if scores.ndim == 2 and scores.shape[1] > 1 and labels.shape == scores.shape[:1]:
            answers_of(self.name, scores, labels)
            scores = softmax(scores) if self.from_logits else scores.astype(np.float64)
            if scores.shape[1] == 2:  # two outputs say the same thing twice
                return scores[:, 1], labels.astype(np.int64) == 1
            return scores, labels.astype(np.int64)[:, None] == np.arange(scores.shape[1])
        if scores.shape == labels.shape and scores.ndim == 2 and scores.shape[1] > 1:
            return scores.astype(np.float64), _yes_or_no(self.name, labels)
        if scores.size == labels.size == max(scores.shape, default=0):
            return scores.reshape(-1).astype(np.float64), _yes_or_no(self.name, labels.reshape(-1))
        raise misfit(self.name, scores, labels, EXPECTED)

    def gathered(self) -> tuple[np.ndarray, np.ndarray]:
        """(scores, right) of all batches."""
        return np.concatenate(self.scores), np.concatenate(self.right).astype(bool)

    def _averaged(self, number: Callable[[np.ndarray, np.ndarray], float]) -> Any:
        if self.is_empty():
            return float("nan")
        scores, right = self.gathered()
        if np.isnan(scores).any():  # they have no order: any number would be made up
            return np.full(scores.shape[1], np.nan) if self.average == "none" and scores.ndim > 1 else float("nan")
        if scores.ndim == 1:
            return number(scores, right)
        if self.average == "micro":
            return number(scores.reshape(-1), right.reshape(-1))
        values = np.array([number(scores[:, k], right[:, k]) for k in range(scores.shape[1])])
        if self.average == "none":
            return values
        defined = ~np.isnan(values)
        if not defined.any():
            return float("nan")
        if self.average == "weighted":
            weights = right.sum(0)[defined]
            return float(share((values[defined] * weights).sum(), weights.sum(), float("nan")))
        return float(values[defined].mean())

    def applies(self, output: Any, target: Any) -> bool:
        return not target.dtype.is_floating_point


@register_metric("auc", "auroc", "roc_auc")
class AUC(_Ranked):
    """The area under the ROC curve: how often a right one has a higher score than a wrong one. nan where all samples
    are right, or all wrong.

    >>> import mlkit
    >>> AUC()(mlkit.tensor([0.1, 0.4, 0.35, 0.8]), mlkit.tensor([0, 0, 1, 1]))
    0.75
    """

    name = "auc"

    def compute(self) -> Any:
        return self._averaged(area_under_roc)


@register_metric("average_precision", "ap", "map")
class AveragePrecision(_Ranked):
    """The mean precision at each right sample, in the order of falling scores; 0 where no sample is right.

    >>> import mlkit
    >>> round(AveragePrecision()(mlkit.tensor([0.1, 0.4, 0.35, 0.8]), mlkit.tensor([0, 0, 1, 1])), 4)
    0.8333
    """

    name = "average_precision"

    def compute(self) -> Any:
        return self._averaged(average_precision)


@register_metric("roc_curve")
class ROCCurve(_Ranked):
    """(false positive rates, true positive rates, thresholds), for all thresholds; of several classes, a list of them.

    >>> import mlkit
    >>> false, true, thresholds = ROCCurve()(mlkit.tensor([0.1, 0.4, 0.35, 0.8]), mlkit.tensor([0, 0, 1, 1]))
    >>> false.tolist(), true.tolist()
    ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """

    name = "roc_curve"

    def compute(self) -> Any:
        return _for_each(self, roc)


@register_metric("pr_curve", "precision_recall_curve")
class PRCurve(_Ranked):
    """(precisions, recalls, thresholds), for all thresholds; of several classes, a list of them.

    >>> import mlkit
    >>> precision, recall, _ = PRCurve()(mlkit.tensor([0.1, 0.4, 0.35, 0.8]), mlkit.tensor([0, 0, 1, 1]))
    >>> precision.round(2).tolist(), recall.tolist()
    ([0.5, 0.67, 0.5, 1.0, 1.0], [1.0, 1.0, 0.5, 0.5, 0.0])
    """

    name = "pr_curve"

    def compute(self) -> Any:
        return _for_each(self, precision_recall)


def _for_each(metric: _Ranked, curve: Callable[..., Any]) -> Any:
    if metric.is_empty():
        return None
    scores, right = metric.gathered()
    if scores.ndim == 1:
        return curve(scores, right)
    return [curve(scores[:, k], right[:, k]) for k in range(scores.shape[1])]


@register_metric("calibration_error", "ece")
class CalibrationError(Sums):
    """How far stated probabilities are from what happens (expected calibration error, Guo et al. 2017,
    arXiv:1706.04599): over `bins` equal bins, the mean of |share that was right - mean probability|.

    With several classes it is about the probability of the chosen class, with one output about that of "yes".

    >>> import mlkit
    >>> always = mlkit.tensor([0.75, 0.75, 0.75, 0.75])
    >>> CalibrationError(from_logits=False)(always, mlkit.tensor([1, 1, 1, 0]))
    0.0
    """

    name = "calibration_error"
    better = "lower"
    state = ("counts", "stated", "happened")

    def __init__(self, bins: int = 15, *, from_logits: bool = True, name: str | None = None) -> None:
        if bins < 1:
            raise DataError(f"CalibrationError: bins must be at least 1, got {bins}.")
        self.bins = bins
        self.from_logits = from_logits
        self.name = name or self.name
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.counts, self.stated, self.happened = (np.zeros(self.bins) for _ in range(3))

    def update(self, output: Any, target: Any) -> None:
        scores, labels = array_of(output).astype(np.float64), array_of(target)
        _, chosen, right, _ = answers_of(self.name, scores, labels)
        if scores.ndim >= 2 and scores.shape[1] > 1 and labels.shape == scores.shape[:1] + scores.shape[2:]:
            probabilities = softmax(scores) if self.from_logits else scores
            stated, happened = probabilities.max(axis=1).reshape(-1), (chosen == right).astype(np.float64)
        else:
            stated = (1 / (1 + np.exp(-np.clip(scores, -700, 700))) if self.from_logits else scores).reshape(-1)
            happened = right.reshape(-1).astype(np.float64)
        if stated.size and not (stated.min() >= 0 and stated.max() <= 1 + 1e-6):
            raise DataError(
                "calibration_error: probabilities must be between 0 and 1.",
                details=f"found {stated.min():.4g} to {stated.max():.4g}",
                hint="Leave from_logits=True where the outputs are logits.",
            )
        edges = np.linspace(0, 1, self.bins + 1)[1:-1]
        bins = np.searchsorted(edges, stated)
        self.counts = self.counts + np.bincount(bins, minlength=self.bins)
        self.stated = self.stated + np.bincount(bins, stated, self.bins)
        self.happened = self.happened + np.bincount(bins, happened, self.bins)
        self.samples += stated.size

    def compute(self) -> float:
        return float(np.abs(self.happened - self.stated).sum() / self.samples) if self.samples else float("nan")

    def applies(self, output: Any, target: Any) -> bool:
        return not target.dtype.is_floating_point


@register_metric("perplexity")
class Perplexity(Sums):
    """exp of the mean negative log-likelihood per token: among how many equally likely words a model hesitates.

    Output float [batch, classes, ...] (logits), target int64 [batch, ...]; targets of `ignore_index` are left out.

    >>> import mlkit
    >>> round(Perplexity()(mlkit.zeros(2, 5), mlkit.tensor([1, 3])), 4)
    5.0
    """

    name = "perplexity"
    better = "lower"
    per_step = True
    state = ("total",)

    def __init__(self, ignore_index: int | None = -100, name: str | None = None) -> None:
        self.ignore_index = ignore_index
        self.name = name or self.name
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.total = 0.0

    def update(self, output: Any, target: Any) -> None:
        scores, labels = array_of(output), array_of(target)
        if scores.ndim < 2 or scores.shape[:1] + scores.shape[2:] != labels.shape:
            raise misfit(self.name, scores, labels, "output [batch, classes, ...] with target [batch, ...]")
        answers_of(self.name, scores, labels, ignore=self.ignore_index)
        scores = np.moveaxis(scores, 1, -1).reshape(labels.size, -1).astype(np.float64)
        labels = labels.reshape(-1)
        if self.ignore_index is not None:
            kept = labels != self.ignore_index
            scores, labels = scores[kept], labels[kept]
        highest = scores.max(axis=1, keepdims=True)
        spread = np.log(np.exp(scores - highest).sum(axis=1)) + highest[:, 0]
        self.total += float((spread - scores[np.arange(len(labels)), labels]).sum())
        self.samples += len(labels)

    def compute(self) -> float:
        return float(np.exp(self.total / self.samples)) if self.samples else float("nan")

    def applies(self, output: Any, target: Any) -> bool:
        return not target.dtype.is_floating_point


# -- the numbers themselves ----------------------------------------------------------------------------------------------


def softmax(scores: np.ndarray) -> np.ndarray:
    """Over axis 1, in float64."""
    scores = scores.astype(np.float64)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _cumulated(scores: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At each different score, from the highest: (wrong, right, score) of all that are at least as high."""
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], right[order].astype(np.float64)
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of each run of equal scores
    hits = np.cumsum(right)[last]
    return 1.0 + last - hits, hits, scores[last]


def area_under_roc(scores: np.ndarray, right: np.ndarray) -> float:
    """By trapezoids, so that equal scores count half; nan where there is only one class."""
    if right.all() or not right.any():
        return float("nan")
    wrong, hits, _ = _cumulated(scores, right)
    return float(np.trapezoid(np.append(0, hits), np.append(0, wrong)) / (hits[-1] * wrong[-1]))


def average_precision(scores: np.ndarray, right: np.ndarray) -> float:
    """The sum of the precisions, each times the step in recall."""
    if not right.any():
        return 0.0
    wrong, hits, _ = _cumulated(scores, right)
    return float((np.diff(np.append(0, hits)) * hits / (hits + wrong)).sum() / hits[-1])


def roc(scores: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(false positive rates, true positive rates, thresholds falling from infinity)."""
    wrong, hits, thresholds = _cumulated(scores, right)
    nothing = float("nan")
    return (
        np.append(0, share(wrong, wrong[-1], nothing)),
        np.append(0, share(hits, hits[-1], nothing)),
        np.append(np.inf, thresholds),
    )


def precision_recall(scores: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(precisions, recalls, rising thresholds); at the end precision 1 and recall 0, which have no threshold."""
    wrong, hits, thresholds = _cumulated(scores, right)
    precision = share(hits, hits + wrong)
    recall = share(hits, hits[-1], 1.0)
    return np.append(precision[::-1], 1), np.append(recall[::-1], 0), thresholds[::-1]
