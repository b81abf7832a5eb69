"""Tables of vectors, looked up by number, alone or in bags."""

from __future__ import annotations

from mlkit.autograd.grad_mode import no_grad
from mlkit.functional import embedding
from mlkit.functional.creation import empty
from mlkit.nn import init
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter


class _Table(Module):
    def _configure(self, rows, features, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight, how):
        if padding_idx is not None:
            if not -rows <= padding_idx < rows:
                raise AssertionError("Padding_idx must be within num_embeddings")
            padding_idx %= rows
        self.num_embeddings = rows
        self.embedding_dim = features
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        if _weight is None:
            self.weight = Parameter(empty(rows, features, **how))
            self.reset_parameters()
        else:
            if tuple(_weight.shape) != (rows, features):
                raise AssertionError("Shape of weight does not match num_embeddings and embedding_dim")
            self.weight = Parameter(_weight)

    def reset_parameters(self) -> None:
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def _options(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq is not False:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        return text


class Embedding(_Table):
    """Rows of a table (num_embeddings, embedding_dim) named by integers (*): -> (*, embedding_dim).

    Args:
        padding_idx: a row that starts at zero and gets no gradient.
        max_norm: rows that are read and longer (in the ``norm_type``-norm) are shortened to it, in place.
        scale_grad_by_freq: divide each row's gradient by how often the batch names the row.
        sparse: accepted; the gradient here is a dense tensor with the same numbers.

    Parameters: weight, from a normal distribution.

    >>> import mlkit
    >>> mlkit.nn.Embedding(10, 3)(mlkit.tensor([[1, 2, 4], [4, 3, 9]])).shape
    mlkit.Size([2, 3, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight=None,
        _freeze: bool = False,
        device=None,
        dtype=None,
    ):
        super().__init__()
        how = {"device": device, "dtype": dtype}
        self._configure(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight, how
        )  # fmt: skip
        self.weight.requires_grad_(not _freeze)

    @classmethod
    def from_pretrained(
        cls, embeddings, freeze: bool = True, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False,
        sparse=False,
    ):  # fmt: skip
        """An Embedding with these rows; ``freeze`` keeps them from being trained."""
        if embeddings.dim() != 2:
            raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
        how = (padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        rows, features = embeddings.shape
        return cls(rows, features, *how, _weight=embeddings, _freeze=freeze)

    def forward(self, input):
        how = (self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse)
        return embedding.embedding(input, self.weight, *how)

    def extra_repr(self) -> str:
        return self._options() + (", sparse=True" if self.sparse else "")


class EmbeddingBag(_Table):
    """Sums, means or maxima of bags of rows: (bags, count), or flat with offsets (bags) -> (bags, embedding_dim).

    ``mode`` is "sum", "mean" or "max"; rows named padding_idx do not count; per_sample_weights (mode "sum") scale.

    >>> import mlkit
    >>> mlkit.nn.EmbeddingBag(10, 3)(mlkit.tensor([1, 2, 4, 5]), mlkit.tensor([0, 3])).shape
    mlkit.Size([2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight=None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device=None,
        dtype=None,
    ):
        super().__init__()
        how = {"device": device, "dtype": dtype}
        self._configure(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight, how
        )  # fmt: skip
        self.mode = mode
        self.include_last_offset = include_last_offset

    @classmethod
    def from_pretrained(
        cls, embeddings, freeze: bool = True, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, mode="mean",
        sparse=False, include_last_offset=False, padding_idx=None,
    ):  # fmt: skip
        """An EmbeddingBag with these rows; ``freeze`` keeps them from being trained."""
        if embeddings.dim() != 2:
            raise AssertionError("Embeddings parameter is expected to be 2-dimensional")
        how = (max_norm, norm_type, scale_grad_by_freq, mode, sparse)
        more = {"include_last_offset": include_last_offset, "padding_idx": padding_idx}
        rows, features = embeddings.shape
        out = cls(rows, features, *how, _weight=embeddings, **more)
        out.weight.requires_grad_(not freeze)
        return out

    def forward(self, input, offsets=None, per_sample_weights=None):
        how = (self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse)
        more = (per_sample_weights, self.include_last_offset, self.padding_idx)
        return embedding.embedding_bag(input, self.weight, offsets, *how, *more)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq is not False:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        text += f", mode={self.mode!r}"
        return text + (f", padding_idx={self.padding_idx}" if self.padding_idx is not None else "")
