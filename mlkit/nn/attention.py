"""Attention layers, positions, and the memory of past keys and values."""

from __future__ import annotations

from mlkit.core.errors import ShapeError, ValueRangeError
from mlkit.functional import attention
from mlkit.functional.creation import empty, zeros
from mlkit.functional.dropout import dropout
from mlkit.functional.shaping import cat
from mlkit.nn import init
from mlkit.nn.linear import NonDynamicallyQuantizableLinear
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter


class MultiheadAttention(Module):
    """Attention in ``num_heads`` heads, each over its share of the features (Vaswani et al. 2017, arXiv:1706.03762).

    Args:
        embed_dim: features of query and output; a multiple of num_heads.
        dropout: share of the attention weights zeroed while training.
        bias: learned biases of the projections.
        add_bias_kv: one more, learned, key and value.
        add_zero_attn: one more key and value of zeros.
        kdim, vdim: features of key and value, by default embed_dim.
        batch_first: (N, L, E) instead of (L, N, E).

    query (L, N, E), key (S, N, kdim), value (S, N, vdim) -> output (L, N, E), weights (N, L, S) or None. Masks are bool
    (true is left out) or numbers to add: key_padding_mask (N, S), attn_mask (L, S) or (N * num_heads, L, S).

    >>> import mlkit
    >>> x = mlkit.randn(5, 2, 8)
    >>> output, weights = mlkit.nn.MultiheadAttention(8, 2)(x, x, x)
    >>> output.shape, weights.shape
    (mlkit.Size([5, 2, 8]), mlkit.Size([2, 5, 5]))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device=None,
        dtype=None,
    ):
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueRangeError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        if embed_dim % num_heads:
            raise AssertionError("embed_dim must be divisible by num_heads")
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        how = {"device": device, "dtype": dtype}
        same = self._qkv_same_embed_dim
        shapes = {} if same else {"q": (embed_dim, embed_dim), "k": (embed_dim, self.kdim), "v": (embed_dim, self.vdim)}
        for name in "qkv":
            weight = None if same else Parameter(empty(*shapes[name], **how))
            self.register_parameter(f"{name}_proj_weight", weight)
        packed = Parameter(empty(3 * embed_dim, embed_dim, **how)) if same else None
        self.register_parameter("in_proj_weight", packed)
        self.register_parameter("in_proj_bias", Parameter(empty(3 * embed_dim, **how)) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **how)
        self.bias_k = Parameter(empty(1, 1, embed_dim, **how)) if add_bias_kv else None
        self.bias_v = Parameter(empty(1, 1, embed_dim, **how)) if add_bias_kv else None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for row in (self.bias_k, self.bias_v):
            if row is not None:
                init.xavier_normal_(row)

    reset_parameters = _reset_parameters

    def forward(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights: bool = True,
        attn_mask=None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ):
        turn = self.batch_first and query.ndim == 3
        if turn:
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
        out, weights = attention.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (out.transpose(0, 1) if turn else out), weights


# --- beyond PyTorch -----------------------------------------------------------------------------------------------------


class SinusoidalPositions(Module):
    """Adds sines and cosines of the place to x (N, L, features) (Vaswani et al. 2017, arXiv:1706.03762).

    ``max_length`` places are kept in a buffer that is not part of the state_dict; ``start`` is the first place.

    >>> import mlkit
    >>> mlkit.nn.SinusoidalPositions(8)(mlkit.zeros(2, 5, 8)).shape
    mlkit.Size([2, 5, 8])
    """

    def __init__(self, features: int, max_length: int = 5000, dropout: float = 0.0, base: float = 10000.0):
        super().__init__()
        self.features = features
        self.max_length = max_length
        self.dropout = dropout
        table = attention.sinusoidal_positions(max_length, features, base=base)
        self.register_buffer("table", table, persistent=False)

    def forward(self, x, start: int = 0):
        length = x.shape[-2]
        if start + length > self.max_length or x.shape[-1] != self.features:
            raise ShapeError(
                f"SinusoidalPositions: expected (*, length, {self.features}) with at most {self.max_length} places.",
                f"x: {tuple(x.shape)}, start: {start}",
            )
        return dropout(x + self.table[start : start + length].to(x.dtype), self.dropout, self.training)

    def extra_repr(self) -> str:
        return f"{self.features}, max_length={self.max_length}, dropout={self.dropout}"


class RotaryPositions(Module):
    """Turns each pair of features by an angle that grows with the place (Su et al. 2021, arXiv:2104.09864).

    For queries and keys (*, L, features of a head); ``start`` is the first place. ``interleaved`` pairs features
    (2i, 2i + 1), as in the paper; otherwise (i, i + features / 2).
    """

    def __init__(self, features: int, base: float = 10000.0, interleaved: bool = False):
        super().__init__()
        if features % 2:
            raise ValueRangeError(f"RotaryPositions: features must be even, got {features}.")
        self.features = features
        self.base = base
        self.interleaved = interleaved

    def forward(self, x, start: int = 0):
        cos, sin = attention.rotary_angles(x.shape[-2], self.features, base=self.base, start=start, like=x)
        return attention.apply_rotary(x, cos, sin, self.interleaved)

    def extra_repr(self) -> str:
        return f"{self.features}, base={self.base}, interleaved={self.interleaved}"


class KVCache:
    """Keys and values of the places seen so far, for generating one token after the other.

    ``update(key, value)`` takes the new ones (*, new, features) and returns all. With ``max_length`` the memory is taken
    once and written in place, which is for use without gradients.

    >>> import mlkit
    >>> cache = mlkit.nn.KVCache()
    >>> _ = cache.update(mlkit.ones(1, 2, 3, 4), mlkit.ones(1, 2, 3, 4))
    >>> key, value = cache.update(mlkit.ones(1, 2, 1, 4), mlkit.ones(1, 2, 1, 4))
    >>> key.shape, len(cache)
    (mlkit.Size([1, 2, 4, 4]), 4)
    """

    def __init__(self, max_length: int | None = None):
        self.max_length = max_length
        self.key = None
        self.value = None
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def update(self, key, value):
        """Add keys and values at the end; returns those of all places."""
        new = key.shape[-2]
        if self.max_length is None:
            first = self.key is None
            self.key = key if first else cat([self.key, key], -2)
            self.value = value if first else cat([self.value, value], -2)
            self._length += new
            return self.key, self.value
        if self._length + new > self.max_length:
            raise ShapeError(
                f"KVCache: {self._length} places are taken, {new} more exceed max_length={self.max_length}."
            )
        if self.key is None:
            self.key, self.value = (
                zeros(*t.shape[:-2], self.max_length, t.shape[-1], dtype=t.dtype, device=t.device) for t in (key, value)
            )
        place = slice(self._length, self._length + new)
        self.key[..., place, :] = key.detach()
        self.value[..., place, :] = value.detach()
        self._length += new
        return self.key[..., : self._length, :], self.value[..., : self._length, :]

    def reset(self) -> None:
        """Forget everything."""
        self.key = self.value = None
        self._length = 0
