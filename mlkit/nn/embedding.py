"""Tables of vectors, looked up by number."""

from __future__ import annotations

from mlkit.autograd.grad_mode import no_grad
from mlkit.core.errors import ValueRangeError
from mlkit.functional import neural
from mlkit.functional.creation import empty
from mlkit.nn import init
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter


class Embedding(Module):
    """Rows of a table (num_embeddings, embedding_dim) named by integers (*): -> (*, embedding_dim).

    ``padding_idx`` names a row that starts at zero and gets no gradient.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device=None,
        dtype=None,
    ):
        super().__init__()
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueRangeError("Padding_idx must be within num_embeddings")
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def forward(self, input):
        return neural.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"
