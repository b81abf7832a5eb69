"""Train models: the `Trainer`, its runs in the background, loops of one's own, history, callbacks and metrics."""

from mlkit.train import metrics
from mlkit.train.callbacks import Callback, EarlyStopping, ProgressBar
from mlkit.train.history import History
from mlkit.train.live import Live
from mlkit.train.lr_finder import LearningRateCurve
from mlkit.train.metrics import Accuracy, Metric, register_metric
from mlkit.train.run import Run
from mlkit.train.trainer import NotFiniteLoss, Step, Trainer
from mlkit.train.turns import between_steps

__all__ = [
    "Accuracy",
    "Callback",
    "EarlyStopping",
    "History",
    "LearningRateCurve",
    "Live",
    "Metric",
    "NotFiniteLoss",
    "ProgressBar",
    "Run",
    "Step",
    "Trainer",
    "between_steps",
    "metrics",
    "register_metric",
]
