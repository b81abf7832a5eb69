"""Optimizers and learning-rate schedules in PyTorch's names."""

from mlkit.optim import lr_scheduler, swa_utils
from mlkit.optim.adadelta import Adadelta
from mlkit.optim.adafactor import Adafactor
from mlkit.optim.adagrad import Adagrad
from mlkit.optim.adam import Adam
from mlkit.optim.adamax import Adamax
from mlkit.optim.adamw import AdamW
from mlkit.optim.asgd import ASGD
from mlkit.optim.lbfgs import LBFGS
from mlkit.optim.muon import Muon
from mlkit.optim.nadam import NAdam
from mlkit.optim.optimizer import Optimizer
from mlkit.optim.radam import RAdam
from mlkit.optim.rmsprop import RMSprop
from mlkit.optim.rprop import Rprop
from mlkit.optim.sgd import SGD
from mlkit.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]
