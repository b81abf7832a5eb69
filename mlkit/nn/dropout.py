"""Dropout layers: active in training, the identity in evaluation."""

from __future__ import annotations

from mlkit.functional import dropout
from mlkit.nn.module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        dropout.check_probability(p)
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Each value zeroed with probability p in training, the others scaled by 1 / (1 - p); the identity in evaluation.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.
    """

    def forward(self, input):
        return dropout.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Whole channels of (N, C, L) or (C, L) zeroed (Tompson et al. 2014, arXiv:1411.4280)."""

    def forward(self, input):
        return dropout.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Whole channels of (N, C, H, W) zeroed."""

    def forward(self, input):
        return dropout.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Whole channels of (N, C, D, H, W) zeroed."""

    def forward(self, input):
        return dropout.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance of SELU activations (Klambauer et al. 2017, arXiv:1706.02515)."""

    def forward(self, input):
        return dropout.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_Dropout):
    """AlphaDropout of whole channels: input (N, C, *)."""

    def forward(self, input):
        return dropout.feature_alpha_dropout(input, self.p, self.training)
