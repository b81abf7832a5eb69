"""Train models: the `Trainer`, its runs in the background, their history, callbacks and metrics."""

from mlkit.train.callbacks import Callback, EarlyStopping, ProgressBar
from mlkit.train.history import History
from mlkit.train.metrics import Accuracy, Metric, register_metric
from mlkit.train.run import Run
from mlkit.train.trainer import Step, Trainer

__all__ = [
    "Accuracy",
    "Callback",
    "EarlyStopping",
    "History",
    "Metric",
    "ProgressBar",
    "Run",
    "Step",
    "Trainer",
    "register_metric",
]
