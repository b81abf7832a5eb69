"""Layers and losses in PyTorch's names: a layer is one class, its parameters, and one call into functional/."""

from mlkit.nn import functional, init
from mlkit.nn.activation import ELU, GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from mlkit.nn.container import ModuleDict, ModuleList, Sequential
from mlkit.nn.convolution import Conv1d, Conv2d, Conv3d
from mlkit.nn.dropout import Dropout
from mlkit.nn.embedding import Embedding
from mlkit.nn.linear import Flatten, Identity, Linear, Unflatten
from mlkit.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
from mlkit.nn.module import Module
from mlkit.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d, LayerNorm
from mlkit.nn.parameter import Buffer, Parameter
from mlkit.nn.pooling import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d

__all__ = [
    "ELU",
    "GELU",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Buffer",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "Unflatten",
    "functional",
    "init",
]
