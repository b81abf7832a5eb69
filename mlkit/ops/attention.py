"""Attention in one op: nothing as large as all queries by all keys is kept for backward."""

import numpy as np

from mlkit.core.errors import ShapeError
from mlkit.core.value import MetaArray
from mlkit.ops.registry import Op, op


def causal(m, rows: int, columns: int, like):
    """(rows, columns), true where a query looks at its own place or an earlier one."""
    i = m.reshape(m.index_array(range(rows), like=like), shape=(rows, 1))
    return m.le(m.reshape(m.index_array(range(columns), like=like), shape=(1, columns)), i)


@op(
    samples=[
        ((2, 3, 4), (2, 5, 4), (2, 5, 3), {"scale": 0.5, "is_causal": False}),
        ((3, 4), (3, 4), (3, 2), {"scale": 0.7, "is_causal": True}),
    ]
)
class attention(Op):
    """softmax(query @ key.T * scale) @ value (Vaswani et al. 2017, arXiv:1706.03762).

    query (*, L, E), key (*, S, E), value (*, S, Ev), * the same in all -> output (*, L, Ev) and, for backward, the
    logarithm of each row's sum (*, L) (Dao et al. 2022, arXiv:2205.14135). With ``is_causal`` a query sees the keys up
    to its own place.
    """

    outputs = 2
    promotion = "equal"

    def infer(query, key, value, *, scale, is_causal):
        lead = query.shape[:-2]
        if query.ndim < 2 or key.shape[:-2] != lead or value.shape[:-2] != lead:
            raise ShapeError(
                "attention: query, key and value need the same leading dims, and two more.",
                f"query: {tuple(query.shape)}\nkey:   {tuple(key.shape)}\nvalue: {tuple(value.shape)}",
            )
        shape = query.shape[:-1]
        return MetaArray((*shape, value.shape[-1]), query.dtype), MetaArray(shape, query.dtype)

    def forward(m, query, key, value, *, scale=None, is_causal=False):
        xp = m.xp
        scores = m.matmul_(query * np.asarray(scale, query.dtype)[()], m.mT(key))
        if is_causal:
            scores = xp.where(
                causal(m, query.shape[-2], key.shape[-2], query), scores, xp.asarray(-np.inf, dtype=scores.dtype)
            )
        top = xp.max(scores, axis=-1, keepdims=True)
        weights = xp.exp(scores - top)
        total = xp.sum(weights, axis=-1, keepdims=True)
        out = m.matmul_(weights, value) / total
        return out, (top + xp.log(total))[..., 0]

    def vjp(m, g, query, key, value, out, needs, scale, is_causal):
        scores = m.matmul(query * scale, m.mT(key))
        weights = m.exp(scores - m.unsqueeze(out[1], len(out[1].shape)))
        if is_causal:
            seen = causal(m, query.shape[-2], key.shape[-2], query)
            weights = m.where(seen, weights, m.zeros_like(weights))
        g_value = None
        inner = 0.0
        if g[0] is not None:
            g_value = m.matmul(m.mT(weights), g[0])
            own = m.sum(g[0] * out[0], dim=(len(g[0].shape) - 1,), keepdim=True)
            inner = m.matmul(g[0], m.mT(value)) - own
        if g[1] is not None:
            inner = inner + m.unsqueeze(g[1], len(g[1].shape))
        g_scores = weights * inner * scale
        return m.matmul(g_scores, key), m.matmul(m.mT(g_scores), query), g_value

    def batch(m, axes, size, query, key, value, *, scale, is_causal):
        tensors = [query, key, value]
        wide = [
            t if axis == 0 else m.expand(m.unsqueeze(t, 0), shape=(size, *t.shape))
            for t, axis in zip(tensors, axes, strict=True)
        ]
        return m.attention(*wide, scale=scale, is_causal=is_causal)
