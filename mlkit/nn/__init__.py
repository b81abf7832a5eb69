"""Layers and losses in PyTorch's names: a layer is one class, its parameters, and one call into functional/."""

from mlkit.nn import functional, init
from mlkit.nn.activation import (
    CELU, ELU, GELU, GLU, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyReLU, LogSigmoid, LogSoftmax, Mish,
    PReLU, RReLU, ReLU, ReLU6, SELU, SiLU, Sigmoid, Softmax, Softmax2d, Softmin, Softplus, Softshrink, Softsign, Tanh,
    Tanhshrink, Threshold,
)  # fmt: skip
from mlkit.nn.adaptive import AdaptiveLogSoftmaxWithLoss
from mlkit.nn.attention import KVCache, MultiheadAttention, RotaryPositions, SinusoidalPositions
from mlkit.nn.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from mlkit.nn.convolution import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Fold, Unfold
from mlkit.nn.distance import CosineSimilarity, PairwiseDistance
from mlkit.nn.dropout import AlphaDropout, Dropout, Dropout1d, Dropout2d, Dropout3d, FeatureAlphaDropout
from mlkit.nn.embedding import Embedding, EmbeddingBag
from mlkit.nn.lazy import (
    LazyBatchNorm1d, LazyBatchNorm2d, LazyBatchNorm3d, LazyConv1d, LazyConv2d, LazyConv3d, LazyConvTranspose1d,
    LazyConvTranspose2d, LazyConvTranspose3d, LazyInstanceNorm1d, LazyInstanceNorm2d, LazyInstanceNorm3d, LazyLinear,
)  # fmt: skip
from mlkit.nn.linear import Bilinear, Flatten, Identity, Linear, Unflatten
from mlkit.nn.loss import (
    BCELoss, BCEWithLogitsLoss, CTCLoss, ContrastiveLoss, CosineEmbeddingLoss, CrossEntropyLoss, DiceLoss, FocalLoss,
    GaussianNLLLoss, HingeEmbeddingLoss, HuberLoss, InfoNCELoss, KLDivLoss, L1Loss, MSELoss, MarginRankingLoss,
    MultiLabelMarginLoss, MultiLabelSoftMarginLoss, MultiMarginLoss, NLLLoss, NLLLoss2d, PoissonNLLLoss, SmoothL1Loss,
    SoftMarginLoss, TripletMarginLoss, TripletMarginWithDistanceLoss,
)  # fmt: skip
from mlkit.nn.module import Module
from mlkit.nn.normalization import (
    BatchNorm1d, BatchNorm2d, BatchNorm3d, GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, LayerNorm,
    LocalResponseNorm, RMSNorm, SyncBatchNorm,
)  # fmt: skip
from mlkit.nn.padding import (
    CircularPad1d, CircularPad2d, CircularPad3d, ConstantPad1d, ConstantPad2d, ConstantPad3d, ReflectionPad1d,
    ReflectionPad2d, ReflectionPad3d, ReplicationPad1d, ReplicationPad2d, ReplicationPad3d, ZeroPad1d, ZeroPad2d,
    ZeroPad3d,
)  # fmt: skip
from mlkit.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter
from mlkit.nn.pooling import (
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d,
    AvgPool1d, AvgPool2d, AvgPool3d, FractionalMaxPool2d, FractionalMaxPool3d, LPPool1d, LPPool2d, LPPool3d,
    MaxPool1d, MaxPool2d, MaxPool3d, MaxUnpool1d, MaxUnpool2d, MaxUnpool3d,
)  # fmt: skip
from mlkit.nn.recurrent import GRU, GRUCell, LSTM, LSTMCell, RNN, RNNBase, RNNCell, RNNCellBase
from mlkit.nn.resampling import (
    ChannelShuffle, PixelShuffle, PixelUnshuffle, Upsample, UpsamplingBilinear2d, UpsamplingNearest2d,
)  # fmt: skip
from mlkit.nn.transformer import (
    Transformer, TransformerDecoder, TransformerDecoderLayer, TransformerEncoder, TransformerEncoderLayer,
)  # fmt: skip
from mlkit.nn import utils  # after the layers it works on

_MODULES = {"functional", "init", "utils"}
__all__ = sorted(name for name, found in globals().items() if isinstance(found, type) or name in _MODULES)


def __getattr__(name: str):
    import importlib

    if name in ("modules", "parallel"):  # PyTorch's import paths
        return importlib.import_module(f"mlkit.nn.{name}")
    if name == "DataParallel":
        return importlib.import_module("mlkit.nn.parallel").DataParallel
    raise AttributeError(f"module 'mlkit.nn' has no attribute {name!r}")
