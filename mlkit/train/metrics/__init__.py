"""How good a model is: numbers gathered batch by batch, equal to scikit-learn's.

Each has `update(output, target)`, `compute()`, `reset()` and `merge(other)`, and is called on one batch for its number
there. ``Trainer(metrics=["accuracy", F1("macro")])`` takes them by name or as objects.
"""

from mlkit.train.metrics.base import FunctionMetric, Metric, metrics_of, register_metric
from mlkit.train.metrics.classification import (
    F1,
    Accuracy,
    ConfusionMatrix,
    Dice,
    FBeta,
    IoU,
    Precision,
    Recall,
    TopK,
)
from mlkit.train.metrics.ranking import AUC, AveragePrecision, CalibrationError, Perplexity, PRCurve, ROCCurve
from mlkit.train.metrics.regression import MAE, MSE, R2, RMSE

__all__ = [
    "AUC",
    "F1",
    "MAE",
    "MSE",
    "R2",
    "RMSE",
    "Accuracy",
    "AveragePrecision",
    "CalibrationError",
    "ConfusionMatrix",
    "Dice",
    "FBeta",
    "FunctionMetric",
    "IoU",
    "Metric",
    "PRCurve",
    "Perplexity",
    "Precision",
    "ROCCurve",
    "Recall",
    "TopK",
    "metrics_of",
    "register_metric",
]
