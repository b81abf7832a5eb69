"""Attention: weighted sums of values, weighted by how well queries and keys agree."""

from __future__ import annotations

import math

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import composite, ops
from mlkit.core.errors import DtypeError, ShapeError, ValueRangeError
from mlkit.functional.dropout import dropout

NEGATIVE = -math.inf


def causal_mask(rows: int, columns: int, like):
    """(rows, columns), true where a query may look: at its own place and before, counted from the first key."""
    i = ops.reshape(ops.index_array(range(rows), like=like), shape=(rows, 1))
    j = ops.reshape(ops.index_array(range(columns), like=like), shape=(1, columns))
    return ops.le(j, i)


@composite
def scaled_dot_product_attention(
    query,
    key,
    value,
    attn_mask=None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
):
    """softmax(query @ key.T * scale + mask) @ value (Vaswani et al. 2017, arXiv:1706.03762).

    Args:
        query: (*, heads, L, E); key (*, heads, S, E); value (*, heads, S, Ev) -> (*, heads, L, Ev).
        attn_mask: broadcastable to (*, heads, L, S): bool (true takes part) or numbers that are added.
        dropout_p: share of the weights zeroed (always, also in evaluation: pass 0 there).
        is_causal: each query sees the keys up to its own place; excludes attn_mask.
        scale: by default 1 / sqrt(E).
        enable_gqa: key and value may have fewer heads, each serving several query heads (arXiv:2305.13245).

    A query whose keys are all masked out gives zeros.

    >>> import mlkit
    >>> x = mlkit.ones(1, 2, 5, 4)
    >>> mlkit.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True).shape
    mlkit.Size([1, 2, 5, 4])
    """
    q, k, v = (tuple(t._array.shape) for t in (query, key, value))
    shown = f"query: {q}\nkey:   {k}\nvalue: {v}"
    if min(len(q), len(k), len(v)) < 2:
        raise ShapeError(
            "scaled_dot_product_attention: query, key and value need at least 2 dims (sequence, feature).", shown
        )
    if query._array.dtype != key._array.dtype or query._array.dtype != value._array.dtype:
        raise DtypeError(
            "scaled_dot_product_attention: Expected query, key, and value to have the same dtype, but got "
            f"{query._array.dtype}, {key._array.dtype} and {value._array.dtype}."
        )
    if is_causal and attn_mask is not None:
        raise ShapeError("scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if q[-1] != k[-1] or k[-2] != v[-2]:
        raise ShapeError(
            "scaled_dot_product_attention: query and key need the same feature size, key and value the same length.",
            shown,
        )
    if not 0 <= dropout_p <= 1:
        raise ValueRangeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}.")
    if enable_gqa:
        if min(len(q), len(k), len(v)) < 3 or k[-3] != v[-3] or q[-3] % k[-3]:
            raise ShapeError(
                "scaled_dot_product_attention: the query heads must be a multiple of the key heads.", shown
            )
        key, value = _repeat_heads(key, q[-3] // k[-3]), _repeat_heads(value, q[-3] // k[-3])
        k, v = (*k[:-3], q[-3], *k[-2:]), (*v[:-3], q[-3], *v[-2:])
    scale = 1 / math.sqrt(q[-1]) if scale is None else scale
    same = k[:-2] == q[:-2] == v[:-2] and k[-2] and query._array.dtype.kind != "c"
    if attn_mask is None and not dropout_p and same:
        return ops.attention(query, key, value, scale=scale, is_causal=is_causal)[0]
    scores = ops.matmul(ops.mul(query, scale), ops.mT(key))
    if is_causal:
        attn_mask = causal_mask(q[-2], k[-2], query)
    if attn_mask is not None:
        if attn_mask._array.dtype.kind == "b":
            lowest = ops.add(ops.mul(scores.detach(), 0.0), NEGATIVE)
            scores = ops.where(attn_mask, scores, lowest)
        elif attn_mask._array.dtype != query._array.dtype:
            raise DtypeError(
                f"Expected attn_mask dtype to be bool or to match query dtype, but got attn_mask.dtype: "
                f"{attn_mask._array.dtype} and query.dtype: {query._array.dtype} instead."
            )
        else:
            scores = ops.add(scores, attn_mask)
        weights = _softmax_or_zero(scores)
    else:
        weights = ops.softmax(scores, dim=-1)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return ops.matmul(weights, value)


def _softmax_or_zero(scores):
    """softmax along the last dim; zeros in rows where every score is -inf."""
    if not scores._array.shape[-1]:
        return ops.softmax(scores, dim=-1)
    dead = ops.eq(ops.amax(scores.detach(), dim=-1, keepdim=True), NEGATIVE)
    safe = ops.where(dead, ops.zeros_like(scores), scores)
    weights = ops.softmax(safe, dim=-1)
    return ops.where(dead, ops.zeros_like(weights), weights)


def _repeat_heads(x, times: int):
    """(*, heads, S, E) with each head ``times`` in a row."""
    if times == 1:
        return x
    shape = tuple(x._array.shape)
    wide = ops.expand(ops.unsqueeze(x, len(shape) - 2), shape=(*shape[:-2], times, *shape[-2:]))
    return ops.reshape(wide, shape=(*shape[:-3], shape[-3] * times, *shape[-2:]))


# --- many heads -----------------------------------------------------------------------------------------------------------


def added_mask(mask, name: str, like):
    """A mask as numbers to add: bool masks (true is left out) become 0 and -inf."""
    if mask is None:
        return None
    kind = mask._array.dtype.kind
    if kind not in "bf":
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if kind == "f":
        return mask
    zero = ops.zeros(tuple(mask._array.shape), like=like)
    return ops.where(mask, ops.add(zero, NEGATIVE), zero)


def _check_heads(query, key, value, embed_dim, num_heads, key_padding_mask, attn_mask) -> bool:
    """Whether there is a batch axis; AssertionError (PyTorch's class here) for shapes that do not fit."""
    ranks = [t._array.ndim for t in (query, key, value)]
    shown = ", ".join(str(tuple(t._array.shape)) for t in (query, key, value))
    if ranks[0] not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {ranks[0]}-D query tensor"
        )
    if ranks != [ranks[0]] * 3:
        raise AssertionError(f"query, key and value must have the same number of dims, got shapes {shown}")
    batched = ranks[0] == 3
    if key_padding_mask is not None and key_padding_mask._array.ndim != (2 if batched else 1):
        raise AssertionError(
            f"key_padding_mask needs {'(batch, source)' if batched else '(source)'}, got {tuple(key_padding_mask.shape)}"
        )
    if attn_mask is not None and attn_mask._array.ndim not in (2, 3):
        raise AssertionError(f"attn_mask needs 2 or 3 dims, got {tuple(attn_mask._array.shape)}")
    if query._array.shape[-1] != embed_dim:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim}, but got {query._array.shape[-1]}")
    if embed_dim % num_heads:
        raise AssertionError(f"embed_dim {embed_dim} not divisible by num_heads {num_heads}")
    return batched


def _projections(query, key, value, weights, bias):
    """query, key and value through their own weights, with thirds of one bias."""
    out = []
    for number, (x, w) in enumerate(zip((query, key, value), weights, strict=True)):
        size = w._array.shape[0]
        b = None if bias is None else ops.narrow(bias, dim=0, start=number * size, length=size)
        out.append(ops.linear(x, w, b))
    return out


def _heads(x, num_heads: int):
    """(length, batch, heads * size) -> (batch, heads, length, size)."""
    length, batch, features = x._array.shape
    x = ops.reshape(x, shape=(length, batch, num_heads, features // num_heads))
    return ops.permute(x, dims=(1, 2, 0, 3))


def _longer(x, dim: int, row):
    """x with one more entry at the end of ``dim``."""
    return ops.cat([x, row], dim=dim)


@composite
def multi_head_attention_forward(
    query,
    key,
    value,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight,
    in_proj_bias,
    bias_k,
    bias_v,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight,
    out_proj_bias,
    training: bool = True,
    key_padding_mask=None,
    need_weights: bool = True,
    attn_mask=None,
    use_separate_proj_weight: bool = False,
    q_proj_weight=None,
    k_proj_weight=None,
    v_proj_weight=None,
    static_k=None,
    static_v=None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
):
    """Attention in several heads, each over its own share of the features: the function behind MultiheadAttention.

    query (L, N, E), key (S, N, Ek), value (S, N, Ev) -> output (L, N, E) and weights (N, L, S) (None unless
    need_weights); without the batch axis N all the same. Masks: bool (true is left out) or numbers to add.
    """
    batched = _check_heads(query, key, value, embed_dim_to_check, num_heads, key_padding_mask, attn_mask)
    if not batched:
        query, key, value = (ops.unsqueeze(t, 1) for t in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else ops.unsqueeze(key_padding_mask, 0)
    length, batch, features = query._array.shape
    source = key._array.shape[0]
    if is_causal and attn_mask is None:
        raise ShapeError(
            "Need attn_mask if specifying the is_causal hint.",
            hint="Transformer.generate_square_subsequent_mask(length) makes it.",
        )
    key_padding_mask = added_mask(key_padding_mask, "key_padding_mask", query)
    attn_mask = added_mask(attn_mask, "attn_mask", query)
    if use_separate_proj_weight:
        if key._array.shape[:2] != value._array.shape[:2]:
            raise AssertionError("key's sequence and batch dims do not match value's")
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        if tuple(key._array.shape) != tuple(value._array.shape):
            raise AssertionError(
                f"key shape {tuple(key._array.shape)} does not match value shape {tuple(value._array.shape)}"
            )
        weights = tuple(ops.narrow(in_proj_weight, dim=0, start=i * features, length=features) for i in range(3))
    q, k, v = _projections(query, key, value, weights, in_proj_bias)
    if attn_mask is not None:
        given = tuple(attn_mask._array.shape)
        if given not in ((length, source), (batch * num_heads, length, source)):
            raise ShapeError(
                f"The shape of the {len(given)}D attn_mask is {given}, but should be {(length, source)} or "
                f"{(batch * num_heads, length, source)}."
            )
        attn_mask = ops.reshape(
            attn_mask, shape=(batch, num_heads, length, source) if len(given) == 3 else (1, 1, *given)
        )
    if key_padding_mask is not None and tuple(key_padding_mask._array.shape) != (batch, source):
        raise AssertionError(
            f"expecting key_padding_mask shape of {(batch, source)}, but got {tuple(key_padding_mask._array.shape)}"
        )
    more = 0
    if bias_k is not None and bias_v is not None:
        k = _longer(k, 0, ops.expand(bias_k, shape=(1, batch, features)))
        v = _longer(v, 0, ops.expand(bias_v, shape=(1, batch, features)))
        more += 1
    q, k, v = (_heads(t, num_heads) for t in (q, k, v))
    size = features // num_heads
    if static_k is not None:
        k = ops.reshape(static_k, shape=(batch, num_heads, -1, size))
    if static_v is not None:
        v = ops.reshape(static_v, shape=(batch, num_heads, -1, size))
    if add_zero_attn:
        row = ops.zeros((batch, num_heads, 1, size), like=k)
        k, v = _longer(k, 2, row), _longer(v, 2, row)
        more += 1
    mask = attn_mask
    if mask is not None and more:
        mask = ops.constant_pad(mask, widths=((0, 0), (0, 0), (0, 0), (0, more)))
    if key_padding_mask is not None:
        if more:
            key_padding_mask = ops.constant_pad(key_padding_mask, widths=((0, 0), (0, more)))
        padded = ops.reshape(key_padding_mask, shape=(batch, 1, 1, source + more))
        mask = padded if mask is None else ops.add(mask, padded)
    if mask is not None and mask._array.dtype != q._array.dtype:
        mask = ops.cast_like(mask, q)  # under autocast the projections are in the low precision
    p = dropout_p if training else 0.0
    seen = None
    if need_weights:
        scores = ops.matmul(ops.mul(q, math.sqrt(1.0 / size)), ops.mT(k))
        seen = ops.softmax(scores if mask is None else ops.add(scores, mask), dim=-1)
        if p:
            seen = dropout(seen, p)
        out = ops.matmul(seen, v)
        if average_attn_weights:
            seen = ops.mean(seen, dim=1)
    else:
        out = scaled_dot_product_attention(q, k, v, mask, p)
    out = ops.reshape(ops.permute(out, dims=(2, 0, 1, 3)), shape=(length, batch, features))
    out = ops.linear(out, out_proj_weight, out_proj_bias)
    if batched:
        return out, seen
    one = lambda t, d: ops.reshape(t, shape=tuple(n for i, n in enumerate(t._array.shape) if i != d))  # noqa: E731
    return one(out, 1), None if seen is None else one(seen, 0)


# --- positions --------------------------------------------------------------------------------------------------------------


def sinusoidal_positions(length: int, features: int, *, base: float = 10000.0, dtype=None, device=None):
    """Sines and cosines that tell places apart (Vaswani et al. 2017): (length, features).

    Feature 2i is sin(place / base ** (2i / features)), feature 2i + 1 the cosine.

    >>> from mlkit.nn import functional as F
    >>> F.sinusoidal_positions(3, 4).shape
    mlkit.Size([3, 4])
    """
    import numpy as np

    from mlkit.functional.conversion import tensor

    if features % 2:
        raise ValueRangeError(f"sinusoidal_positions: features must be even, got {features}.")
    angle = np.arange(length)[:, None] / base ** (np.arange(0, features, 2) / features)
    out = np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(length, features)
    return tensor(out, dtype=dtypes.get_default_dtype() if dtype is None else dtype, device=device)


def rotary_angles(length: int, features: int, *, base: float = 10000.0, start: int = 0, like=None):
    """cos and sin of the rotary angles for places start .. start + length - 1: two tensors (length, features / 2)."""
    import numpy as np

    from mlkit.functional.conversion import tensor

    if features % 2:
        raise ValueRangeError(f"rotary positions: the features of a head must be even, got {features}.")
    angle = np.arange(start, start + length)[:, None] / base ** (np.arange(0, features, 2) / features)
    how = {} if like is None else {"dtype": like.dtype, "device": like.device}
    how.setdefault("dtype", dtypes.get_default_dtype())
    return tensor(np.cos(angle), **how), tensor(np.sin(angle), **how)


@composite
def apply_rotary(x, cos, sin, interleaved: bool = False):
    """Each pair of features turned by its place's angle (Su et al. 2021, arXiv:2104.09864): x (*, L, E) -> (*, L, E).

    cos, sin (L, E / 2) from rotary_angles. Pairs are (i, i + E/2), as in Llama's published code; ``interleaved`` pairs
    (2i, 2i + 1), as in the paper.

    >>> import mlkit
    >>> from mlkit.nn import functional as F
    >>> x = mlkit.randn(2, 5, 8)
    >>> bool(mlkit.allclose(F.apply_rotary(x, *F.rotary_angles(5, 8)).norm(dim=-1), x.norm(dim=-1), atol=1e-5))
    True
    """
    *lead, size = x._array.shape
    half = size // 2
    if tuple(cos._array.shape) != (lead[-1], half) or size % 2:
        raise ShapeError(
            "apply_rotary: expected x (*, length, features) and angles (length, features / 2).",
            f"x: {tuple(x._array.shape)}\ncos: {tuple(cos._array.shape)}",
        )
    axis = x._array.ndim - 1
    if interleaved:
        pairs = ops.reshape(x, shape=(*lead, half, 2))
        a, b = (ops.slice(pairs, index=(*([slice(None)] * (axis + 1)), i)) for i in (0, 1))
    else:
        a, b = (ops.narrow(x, dim=axis, start=i * half, length=half) for i in (0, 1))
    first = ops.sub(ops.mul(a, cos), ops.mul(b, sin))
    second = ops.add(ops.mul(b, cos), ops.mul(a, sin))
    if interleaved:
        both = ops.cat([ops.unsqueeze(first, -1), ops.unsqueeze(second, -1)], dim=-1)
        return ops.reshape(both, shape=(*lead, size))
    return ops.cat([first, second], dim=axis)
