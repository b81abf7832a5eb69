"""Transformers: layers of attention and two linear maps (Vaswani et al. 2017, arXiv:1706.03762)."""

from __future__ import annotations

import copy

from mlkit.core.errors import ShapeError
from mlkit.functional import activation as activations
from mlkit.functional.creation import full
from mlkit.nn import init
from mlkit.nn.attention import MultiheadAttention
from mlkit.nn.container import ModuleList
from mlkit.nn.dropout import Dropout
from mlkit.nn.linear import Linear
from mlkit.nn.module import Module
from mlkit.nn.normalization import LayerNorm


def _activation(given):
    if not isinstance(given, str):
        return given
    if given not in ("relu", "gelu"):
        raise ShapeError(f"activation should be relu/gelu, not {given}")
    return getattr(activations, given)


def _copies(module: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(module) for _ in range(count)])


class _Layer(Module):
    """What encoder and decoder layers share: two linear maps with an activation between, and the text of options."""

    def _feed_forward(self, d_model, dim_feedforward, dropout, bias, how) -> None:
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **how)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **how)

    def _norms(self, count, d_model, layer_norm_eps, bias, dropout, how) -> None:
        for i in range(1, count + 1):
            setattr(self, f"norm{i}", LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **how))
        for i in range(1, count + 1):
            setattr(self, f"dropout{i}", Dropout(dropout))

    def _mapped(self, x):
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def _joined(self, x, norm, drop, block):
        """x plus what the block makes of it, normalised before the block or after the sum."""
        return x + drop(block(norm(x))) if self.norm_first else norm(x + drop(block(x)))

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("activation", activations.relu)


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear maps, each with a shortcut and normalisation: (L, N, d_model) -> the same.

    ``norm_first`` normalises before each block instead of after; ``batch_first`` takes (N, L, d_model).

    >>> import mlkit
    >>> mlkit.nn.TransformerEncoderLayer(8, 2, dim_feedforward=16)(mlkit.randn(5, 3, 8)).shape
    mlkit.Size([5, 3, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation=activations.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        how = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **how)
        self._feed_forward(d_model, dim_feedforward, dropout, bias, how)
        self.norm_first = norm_first
        self._norms(2, d_model, layer_norm_eps, bias, dropout, how)
        self.activation = _activation(activation)

    def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal: bool = False):
        def attend(x):
            how = {"attn_mask": src_mask, "key_padding_mask": src_key_padding_mask, "is_causal": is_causal}
            return self.self_attn(x, x, x, need_weights=False, **how)[0]

        x = self._joined(src, self.norm1, self.dropout1, attend)
        return self._joined(x, self.norm2, self.dropout2, self._mapped)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to ``memory`` (S, N, d_model), then two linear maps: (L, N, d_model) -> the same."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation=activations.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        how = {"device": device, "dtype": dtype}
        heads = {"dropout": dropout, "bias": bias, "batch_first": batch_first, **how}
        self.self_attn = MultiheadAttention(d_model, nhead, **heads)
        self.multihead_attn = MultiheadAttention(d_model, nhead, **heads)
        self._feed_forward(d_model, dim_feedforward, dropout, bias, how)
        self.norm_first = norm_first
        self._norms(3, d_model, layer_norm_eps, bias, dropout, how)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ):
        def attend(x):
            how = {"attn_mask": tgt_mask, "key_padding_mask": tgt_key_padding_mask, "is_causal": tgt_is_causal}
            return self.self_attn(x, x, x, need_weights=False, **how)[0]

        def remember(x):
            how = {"attn_mask": memory_mask, "key_padding_mask": memory_key_padding_mask, "is_causal": memory_is_causal}
            return self.multihead_attn(x, memory, memory, need_weights=False, **how)[0]

        x = self._joined(tgt, self.norm1, self.dropout1, attend)
        x = self._joined(x, self.norm2, self.dropout2, remember)
        return self._joined(x, self.norm3, self.dropout3, self._mapped)


class TransformerEncoder(Module):
    """``num_layers`` copies of an encoder layer one after the other, and a last normalisation if given."""

    def __init__(
        self, encoder_layer, num_layers: int, norm=None, enable_nested_tensor: bool = True, mask_check: bool = True
    ):
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(self, src, mask=None, src_key_padding_mask=None, is_causal: bool | None = None):
        for layer in self.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """``num_layers`` copies of a decoder layer one after the other, and a last normalisation if given."""

    def __init__(self, decoder_layer, num_layers: int, norm=None):
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ):
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=bool(tgt_is_causal),
                memory_is_causal=memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder that reads ``src`` (S, N, d_model) and a decoder that turns ``tgt`` (T, N, d_model) into the output.

    >>> import mlkit
    >>> model = mlkit.nn.Transformer(8, 2, 1, 1, 16)
    >>> model(mlkit.randn(6, 3, 8), mlkit.randn(4, 3, 8)).shape
    mlkit.Size([4, 3, 8])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation=activations.relu,
        custom_encoder=None,
        custom_decoder=None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        how = {"device": device, "dtype": dtype}
        options = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **how)

        if custom_encoder is None:
            custom_encoder = TransformerEncoder(TransformerEncoderLayer(*options, **how), num_encoder_layers, norm())
        if custom_decoder is None:
            custom_decoder = TransformerDecoder(TransformerDecoderLayer(*options, **how), num_decoder_layers, norm())
        self.encoder = custom_encoder
        self.decoder = custom_decoder
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src,
        tgt,
        src_mask=None,
        tgt_mask=None,
        memory_mask=None,
        src_key_padding_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ):
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and (tgt.ndim != 3 or src.shape[batch] != tgt.shape[batch]):
            raise ShapeError(
                "the batch number of src and tgt must be equal", f"src: {tuple(src.shape)}\ntgt: {tuple(tgt.shape)}"
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(
                "the feature number of src and tgt must be equal to d_model",
                f"src: {tuple(src.shape)}\ntgt: {tuple(tgt.shape)}",
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask,
            memory_mask,
            tgt_key_padding_mask,
            memory_key_padding_mask,
            tgt_is_causal,
            memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device=None, dtype=None):
        """(sz, sz): 0 where a place may look, -inf at the places after it."""
        return full((sz, sz), float("-inf"), dtype=dtype, device=device).triu(1)
