"""Attention: the arguments in the kernels' form. float32 heads with features in sixteens."""

from __future__ import annotations

import functools
import math

import numpy as np

from mlkit.backends.numba import gradient, override, pool
from mlkit.backends.numba.conv import LANES, single
from mlkit.backends.numba.scratch import address

QUERIES, WIDEST = 48, 32  # as in attention_kernels; no panel is wider
GRAIN = 1 << 18  # products that make a thread worth waking


def heads(x: np.ndarray) -> np.ndarray:
    """(*, heads, rows, features) as four dims, each row's features neighbours in memory."""
    if x.ndim != 4:
        x = x.reshape((math.prod(x.shape[:-3]), *x.shape[-3:]) if x.ndim > 2 else (1, 1, *x.shape))
    return x if x.strides[-1] == 4 and min(x.strides) > 0 else np.ascontiguousarray(x)


def place(x: np.ndarray) -> tuple[int, ...]:
    """Where it is, and the bytes to the next example, head and row."""
    return address(x), *x.strides[:3]


def like(x: np.ndarray, size: int) -> np.ndarray:
    """An empty array (batch, heads, rows, size) whose heads lie in memory as those of ``x``: before or after the rows."""
    batch, count, rows, _ = x.shape
    if x.strides[1] < x.strides[2]:
        return np.empty((batch, rows, count, size), np.float32).transpose(0, 2, 1, 3)
    return np.empty((batch, count, rows, size), np.float32)


def suits(query, key, value) -> bool:
    lead = query.shape[:-2]
    return (
        single(query, key, value)
        and query.ndim >= 2
        and key.shape[:-2] == lead == value.shape[:-2]
        and query.shape[-1] == key.shape[-1]
        and key.shape[-2] == value.shape[-2]
        and query.shape[-1] % LANES == 0
        and value.shape[-1] % LANES == 0
    )


@override("attention", minimum=4096)
def attention(k, query, key, value, *, scale, is_causal):
    if not suits(query, key, value) or not scale > 0:
        return NotImplemented
    q, k_, v = heads(query), heads(key), heads(value)
    out, sums = like(q, v.shape[3]), np.empty(q.shape[:3], np.float32)
    pool.share(*weighted(k, q, k_, v, factor_of(scale), is_causal, out, sums))
    return (out, sums) if query.ndim == 4 else (out.reshape((*query.shape[:-1], -1)), sums.reshape(query.shape[:-1]))


@functools.lru_cache(64)
def factor_of(scale: float) -> np.ndarray:
    """The scale where a kernel reads it."""
    return np.array([scale], np.float32)


def weighted(k, q, k_, v, factor: np.ndarray, is_causal: bool, out, sums) -> tuple:
    """The attention of four-dimensional heads into ``out``, and the logarithms of its sums into ``sums``: as what
    ``pool.share`` takes, which may be called again while the arrays are alive."""
    batch, count, queries, features = q.shape
    keys, wide = v.shape[2:]
    room, kernel = (QUERIES + features) * (-(-keys // WIDEST) * WIDEST) + 1024, k.forward
    common = (
        *place(q), *place(k_), *place(v), *place(out), address(sums), count, queries, keys, features, wide,
        address(factor), int(is_causal), 0,
    )  # fmt: skip
    return kernel, common, batch * count, max(1, GRAIN // (queries * keys * features)), 1, len(common) - 1, room


@gradient("attention", minimum=4096)
def attention_gradient(k, g, query, key, value, out, needs, scale, is_causal):
    if g[0] is None or g[1] is not None or not suits(query, key, value) or not single(g[0]) or not scale > 0:
        return NotImplemented
    q, k_, v, o, go = heads(query), heads(key), heads(value), heads(out[0]), heads(g[0])
    batch, count, queries, features = q.shape
    keys, wide = v.shape[2:]
    gq, gk, gv = like(q, features), like(k_, features), like(v, wide)
    sums = np.ascontiguousarray(out[1])
    factor = np.array([scale], np.float32)
    padded = -(-keys // WIDEST) * WIDEST
    common = (
        *place(q),
        *place(k_),
        *place(v),
        *place(o),
        *place(go),
        address(sums),
        *place(gq),
        *place(gk),
        *place(gv),
    )
    common += (count, queries, keys, features, wide, address(factor), int(is_causal), 0)
    grain, room = max(1, GRAIN // (queries * keys * features)), (2 * QUERIES + features + wide) * padded + 1024
    pool.share(k.backward, common, batch * count, grain, 1, len(common) - 1, room)
    return gq.reshape(query.shape), gk.reshape(key.shape), gv.reshape(value.shape)
