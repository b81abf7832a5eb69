"""Dropout layers."""

from __future__ import annotations

from mlkit.functional import neural
from mlkit.nn.module import Module


class Dropout(Module):
    """Each value zeroed with probability p in training, the others scaled by 1 / (1 - p); the identity in evaluation.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        neural.check_probability(p)
        self.p = p
        self.inplace = inplace

    def forward(self, input):
        return neural.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
