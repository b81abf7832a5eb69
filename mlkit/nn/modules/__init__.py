"""PyTorch's import paths ``nn.modules.*``: the layers live one folder up."""

import importlib
import sys

from mlkit.nn import (
    activation, adaptive, attention, container, convolution, distance, dropout, embedding, lazy, linear, loss, module,
    normalization, padding, pooling, recurrent, resampling, transformer,
)  # fmt: skip
from mlkit.nn import *  # noqa: F403

#: PyTorch's file -> ours
_FILES = {
    "activation": activation, "adaptive": adaptive, "batchnorm": normalization, "channelshuffle": resampling,
    "container": container, "conv": convolution, "distance": distance, "dropout": dropout, "flatten": linear,
    "fold": convolution, "instancenorm": normalization, "lazy": lazy, "linear": linear, "loss": loss, "module": module,
    "normalization": normalization, "padding": padding, "pixelshuffle": resampling, "pooling": pooling,
    "rnn": recurrent, "sparse": embedding, "transformer": transformer, "upsampling": resampling,
}  # fmt: skip
for _name, _file in _FILES.items():
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = _file

utils = importlib.import_module(f"{__name__}.utils")  # not mlkit.nn's
