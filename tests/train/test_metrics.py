"""Metrics against scikit-learn: any scores with ties, absent classes, one class only; in one batch or in many."""

import copy
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlkit
from mlkit.core.errors import DataError, LabelError, ShapeError
from mlkit.train import metrics as M
from mlkit.train.metrics import metrics_of
from mlkit.train.metrics.ranking import softmax

sk = pytest.importorskip("sklearn.metrics")
sk_calibration = pytest.importorskip("sklearn.calibration")

pytestmark = pytest.mark.filterwarnings("ignore")
thorough = settings(max_examples=60, deadline=None)


@st.composite
def several_classes(draw):
    """(scores [n, C] with ties, labels [n]); some classes may be absent."""
    count, size = draw(st.integers(3, 6)), draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = random.integers(-4, 5, (size, count)) / draw(st.sampled_from([1, 2, 3.7]))
    labels = random.integers(0, draw(st.integers(1, count)), size)
    return scores.astype(np.float32), labels


@st.composite
def yes_or_no(draw):
    """(scores [n] with ties, labels [n]); all may be of one class."""
    size = draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = random.integers(-5, 6, size) / 2.5
    return scores.astype(np.float32), (random.random(size) < draw(st.sampled_from([0, 0.1, 0.5, 1]))).astype(np.int64)


@st.composite
def several_labels(draw):
    """(scores [n, L], labels [n, L])."""
    size, count = draw(st.integers(1, 25)), draw(st.integers(2, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = random.integers(-4, 5, (size, count)) / 2
    return scores.astype(np.float32), (random.random((size, count)) < draw(st.sampled_from([0.1, 0.5]))).astype(
        np.int64
    )


def of(metric, output, target, parts=1):
    """The metric over the data in so many batches, half of them gathered by another metric and merged."""
    other = copy.deepcopy(metric)
    for at, (a, b) in enumerate(zip(np.array_split(output, parts), np.array_split(target, parts))):
        if len(a):
            (metric if at % 2 == 0 else other).update(mlkit.from_numpy(a.copy()), mlkit.from_numpy(b.copy()))
    if not other.is_empty():
        restored = copy.deepcopy(metric)
        restored.reset()
        restored.load_state_dict(other.state_dict())
        metric.merge(restored)
    return metric.compute()


def same(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


SCORES = {
    "precision": (M.Precision, sk.precision_score),
    "recall": (M.Recall, sk.recall_score),
    "f1": (M.F1, sk.f1_score),
    "f2": (lambda *a, **k: M.FBeta(2.0, *a, **k), lambda *a, **k: sk.fbeta_score(*a, beta=2.0, **k)),
    "iou": (M.IoU, sk.jaccard_score),
    "dice": (M.Dice, sk.f1_score),
}


@pytest.mark.parametrize("name", SCORES)
@given(data=several_classes(), average=st.sampled_from(["micro", "macro", "weighted", "none"]), parts=st.integers(1, 3))
@thorough
def test_scores_of_several_classes(name, data, average, parts):
    scores, labels = data
    ours, theirs = SCORES[name]
    chosen, classes = scores.argmax(1), scores.shape[1]
    options = {"labels": range(classes), "average": None} if average == "none" else {"average": average}
    same(of(ours(average), scores, labels, parts), theirs(labels, chosen, zero_division=0, **options))


@pytest.mark.parametrize("name", SCORES)
@given(data=yes_or_no(), parts=st.integers(1, 3), average=st.sampled_from(["auto", "macro", "micro", "weighted"]))
@thorough
def test_scores_of_yes_or_no(name, data, parts, average):
    scores, labels = data
    ours, theirs = SCORES[name]
    expected = theirs(labels, scores > 0, zero_division=0, average="binary" if average == "auto" else average)
    same(of(ours(average), scores, labels, parts), expected)
    same(of(ours(average), scores[:, None], labels[:, None], parts), expected)
    probabilities = 1 / (1 + np.exp(-scores.astype(np.float64)))
    same(of(ours(average, from_logits=False), probabilities, labels, parts), expected)


@pytest.mark.parametrize("name", SCORES)
@given(data=several_labels(), parts=st.integers(1, 3), average=st.sampled_from(["macro", "micro", "weighted", "none"]))
@thorough
def test_scores_of_several_labels(name, data, parts, average):
    scores, labels = data
    ours, theirs = SCORES[name]
    expected = theirs(labels, scores > 0, zero_division=0, average=None if average == "none" else average)
    same(of(ours(average), scores, labels, parts), expected)


@given(data=several_classes(), parts=st.integers(1, 3))
@thorough
def test_accuracy_and_top_k_and_confusion(data, parts):
    scores, labels = data
    chosen, classes = scores.argmax(1), scores.shape[1]
    same(of(M.Accuracy(), scores, labels, parts), sk.accuracy_score(labels, chosen))
    same(of(M.Accuracy("macro"), scores, labels, parts), sk.balanced_accuracy_score(labels, chosen))
    for k in (1, 2, classes):
        theirs = sk.top_k_accuracy_score(labels, scores, k=k, labels=range(classes))
        same(of(M.TopK(k), scores, labels, parts), theirs)
    for normalize in (None, "true", "pred", "all"):
        theirs = sk.confusion_matrix(labels, chosen, labels=range(classes), normalize=normalize)
        same(of(M.ConfusionMatrix(normalize), scores, labels, parts), theirs)
    same(of(M.F1("macro"), chosen, labels, parts), sk.f1_score(labels, chosen, average="macro", zero_division=0))


@given(data=yes_or_no(), parts=st.integers(1, 3))
@thorough
def test_curves_and_areas(data, parts):
    scores, labels = data
    one_class = len(set(labels.tolist())) < 2
    if one_class:
        assert math.isnan(of(M.AUC(), scores, labels, parts))
    else:
        same(of(M.AUC(), scores, labels, parts), sk.roc_auc_score(labels, scores))
        for mine, theirs in zip(of(M.ROCCurve(), scores, labels, parts),
                                sk.roc_curve(labels, scores, drop_intermediate=False)):  # fmt: skip
            same(mine, theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(of(M.AveragePrecision(), scores, labels, parts), sk.average_precision_score(labels, scores))
        theirs = sk.precision_recall_curve(labels, scores)
    for mine, expected in zip(of(M.PRCurve(), scores, labels, parts), theirs):
        same(mine, expected)


@given(data=several_classes(), parts=st.integers(1, 2), average=st.sampled_from(["macro", "weighted", "micro"]))
@thorough
def test_one_class_against_the_others(data, parts, average):
    scores, labels = data
    classes = scores.shape[1]
    probabilities = softmax(scores)  # the very same roundings, which decide about ties
    np.testing.assert_allclose(probabilities, np.exp(scores) / np.exp(scores).sum(1, keepdims=True), rtol=1e-5)
    truth = labels[:, None] == np.arange(classes)
    metric = M.AUC("none", from_logits=False)
    for k, value in enumerate(of(metric, probabilities, labels, parts)):
        if truth[:, k].all() or not truth[:, k].any():
            assert math.isnan(value)
        else:
            same(value, sk.roc_auc_score(truth[:, k], probabilities[:, k]))
    if len(set(labels.tolist())) == classes:
        theirs = sk.roc_auc_score(labels, probabilities, multi_class="ovr", average=average)
        same(of(M.AUC(average), scores, labels, parts), theirs)
        same(of(M.AveragePrecision(average), scores, labels, parts),
             sk.average_precision_score(truth, probabilities, average=average))  # fmt: skip


@given(data=several_labels(), average=st.sampled_from(["macro", "micro", "weighted"]))
@thorough
def test_average_precision_of_several_labels(data, average):
    scores, labels = data
    if average == "weighted" and not labels.any():
        return
    same(
        of(M.AveragePrecision(average), scores, labels, 2), sk.average_precision_score(labels, scores, average=average)
    )
    if ((labels.sum(0) > 0) & (labels.sum(0) < len(labels))).all():
        same(of(M.AUC(average), scores, labels, 2), sk.roc_auc_score(labels, scores, average=average))


@given(data=yes_or_no(), parts=st.integers(1, 3), bins=st.integers(1, 12))
@thorough
def test_calibration_error(data, parts, bins):
    scores, labels = data
    probabilities = 1 / (1 + np.exp(-scores.astype(np.float64)))
    happened, stated = sk_calibration.calibration_curve(labels, probabilities, n_bins=bins)
    where = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probabilities)
    weights = np.bincount(where, minlength=bins)
    expected = (weights[weights > 0] * np.abs(happened - stated)).sum() / len(labels)
    same(of(M.CalibrationError(bins, from_logits=False), probabilities, labels, parts), expected)
    same(of(M.CalibrationError(bins), scores.astype(np.float64), labels, parts), expected)


@given(st.integers(0, 2**32), st.integers(2, 30), st.sampled_from([(), (1,), (3,)]), st.integers(1, 3))
@thorough
def test_regression(seed, size, shape, parts):
    random = np.random.default_rng(seed)
    truth = (random.standard_normal((size, *shape)) * 10 + 1000 * random.integers(0, 2)).astype(np.float32)
    guess = (truth + random.standard_normal((size, *shape)) * random.integers(0, 2)).astype(np.float32)
    if random.integers(0, 4) == 0:
        truth = np.full_like(truth, 3.0)
    flat = [array.reshape(size, -1).astype(np.float64) for array in (truth, guess)]
    for metric, theirs in [
        (M.MAE(), sk.mean_absolute_error),
        (M.MSE(), sk.mean_squared_error),
        (M.RMSE(), lambda *pair: math.sqrt(sk.mean_squared_error(*pair))),
        (M.R2(), sk.r2_score),
        (M.R2("none"), lambda *pair: sk.r2_score(*pair, multioutput="raw_values")),
    ]:
        np.testing.assert_allclose(of(metric, guess, truth, parts), theirs(*flat), rtol=1e-6, atol=1e-9)


@given(data=several_classes(), parts=st.integers(1, 3))
@thorough
def test_perplexity(data, parts):
    scores, labels = data
    powers = np.exp(scores.astype(np.float64))
    probabilities = powers / powers.sum(1, keepdims=True)
    expected = math.exp(sk.log_loss(labels, probabilities, labels=range(scores.shape[1])))
    np.testing.assert_allclose(of(M.Perplexity(), scores, labels, parts), expected, rtol=1e-6)
    padded = np.where(np.arange(len(labels)) % 2, -100, labels)
    kept = padded != -100
    expected = of(M.Perplexity(), scores[kept], labels[kept])
    np.testing.assert_allclose(of(M.Perplexity(), scores, padded), expected, rtol=1e-9)


def test_segmentations_are_counted_by_element():
    random = np.random.default_rng(0)
    scores = random.standard_normal((4, 3, 5, 6)).astype(np.float32)
    labels = random.integers(0, 3, (4, 5, 6))
    flat = scores.argmax(1).ravel()
    same(of(M.IoU("none"), scores, labels, 2), sk.jaccard_score(labels.ravel(), flat, average=None))
    same(of(M.Accuracy(), scores, labels, 2), sk.accuracy_score(labels.ravel(), flat))
    labels[0, 0] = 255
    kept = labels.ravel() != 255
    expected = sk.f1_score(labels.ravel()[kept], flat[kept], average="macro")
    same(of(M.F1(ignore_index=255), scores, labels, 2), expected)


def test_nothing_measured_is_nan_and_reset_forgets():
    for metric in metrics_of(["accuracy", "f1", "auc", "average_precision", "ece", "mae", "rmse", "r2", "perplexity"]):
        assert math.isnan(metric.compute()) and metric.is_empty(), metric
    metric = M.Accuracy()
    assert metric(mlkit.tensor([1.0, -1.0]), mlkit.tensor([1, 1])) == 0.5
    assert metric(mlkit.tensor([1.0]), mlkit.tensor([1])) == 1.0


def test_half_precision_outputs():
    scores = mlkit.tensor([[0.25, 0.5], [1.0, 0.5]], dtype=mlkit.bfloat16)
    for metric in (M.Accuracy(), M.F1(), M.AUC(), M.CalibrationError(), M.Perplexity(), M.TopK(1)):
        assert math.isfinite(metric(scores, mlkit.tensor([1, 0])))


@pytest.mark.parametrize("name", ["accuracy", "f1", "auc", "ece", "confusion_matrix", "perplexity", "top2", "iou"])
def test_what_does_not_fit_is_told_by_name(name):
    (metric,) = metrics_of(name)
    with pytest.raises(ShapeError, match="do not fit") as caught:
        metric.update(mlkit.zeros(4, 3), mlkit.zeros(5, dtype=mlkit.int64))
    assert metric.name in str(caught.value) and "[4, 3]" in str(caught.value)
    with pytest.raises(LabelError, match="labels must be 0 to 2"):
        metric.update(mlkit.zeros(2, 3), mlkit.tensor([0, 3]))
    with pytest.raises(LabelError):
        metric.update(mlkit.zeros(2, 3), mlkit.tensor([0, -1]))
    assert metric.is_empty()


def test_bad_options():
    for make, words in [
        (lambda: M.F1("mean"), "average must be one of"),
        (lambda: M.AUC("mean"), "average must be"),
        (lambda: M.TopK(0), "at least 1"),
        (lambda: M.FBeta(0), "positive"),
        (lambda: M.ConfusionMatrix("rows"), "normalize must be"),
        (lambda: metrics_of(["f1", "f1"]), "Two metrics are called 'f1'"),
        (lambda: metrics_of("acuracy"), "Did you mean"),
    ]:
        with pytest.raises(DataError, match=words):
            make()
    with pytest.raises(LabelError, match="must be 0 or 1"):
        M.F1()(mlkit.zeros(2), mlkit.tensor([0, 2]))
    with pytest.raises(DataError, match="between 0 and 1"):
        M.CalibrationError(from_logits=False)(mlkit.tensor([2.0]), mlkit.tensor([1]))


def test_scores_that_are_no_numbers_have_no_ranking():
    scores = np.array([[np.nan, 0.1], [0.3, 0.2], [0.2, 0.9]], np.float32)
    for metric in (M.AUC(), M.AveragePrecision()):
        metric.update(scores, np.array([0, 1, 1]))
        assert np.isnan(metric.compute())


def test_a_function_that_gives_no_number_is_named():
    from mlkit.core.errors import DataError
    from mlkit.train.metrics import metrics_of

    def spread(output, target):
        return output

    for wanted, gave in ((spread, r"\[3, 2\]"), ({"spread": lambda o, t: None}, "NoneType")):
        (metric,) = metrics_of(wanted)
        with pytest.raises(DataError, match=f"(?s)'spread' must give one number.*{gave}"):
            metric.update(mlkit.zeros(3, 2), mlkit.zeros(3))
    (metric,) = metrics_of({"half": lambda o, t: mlkit.tensor([0.5])})
    metric.update(mlkit.zeros(3, 2), mlkit.zeros(3))
    assert metric.compute() == 0.5
