"""Attention of float32 heads, forward and backward, a block of queries at a time. Arrays come as addresses.

A block's scores against all keys it sees stay in the cache between the product that makes them, the softmax and the
product that uses them. Keys are transposed once a head, in squares of sixteen. Feature sizes are multiples of sixteen.
"""

from __future__ import annotations

import math

from mlkit.backends.numba.compiling import helper, kernel
from mlkit.backends.numba.products import columns_times, rows_times
from mlkit.backends.numba.simd import BYTES, LANES, PANEL, copy_bytes, emitted, exp, peek, poke, transpose, zero_bytes

QUERIES = 48  # at once in backward
FEWER = 24  # in forward, where nothing is added up over them: less is computed that nobody sees


@helper
def turned(source, row, count, features, target, panels, patch):
    """Rows (count, features) -> panels of columns: for each panel of rows, (features, PANEL), zero beyond ``count``."""
    for s in range(0, panels * PANEL, LANES):
        p, inside = s // PANEL, s % PANEL
        for f in range(0, features, LANES):
            there = target + ((p * features + f) * PANEL + inside) * 4
            if s + LANES <= count:
                transpose(source + s * row + f * 4, row, there, PANEL * 4)
            else:
                for i in range(LANES):
                    if s + i < count:
                        copy_bytes(source + (s + i) * row + f * 4, patch + i * BYTES, BYTES)
                    else:
                        zero_bytes(patch + i * BYTES, BYTES)
                transpose(patch, BYTES, there, PANEL * 4)


@emitted
def soften(e, scores, vectors, scale, found):
    """scores -> exp((scores - largest) * scale); the largest times scale and the sum go to ``found``."""
    top = e.slot(e.splat(-math.inf))
    with e.loop(vectors) as i:
        top.set(e.load(scores + i * BYTES).larger(top.get()))
    most = e.everywhere(top.get(), lambda a, b: a.larger(b))
    total = e.slot(e.splat(0))
    factor = e.splat(scale)
    with e.loop(vectors) as i:
        y = exp(e, (e.load(scores + i * BYTES) - most) * factor)
        e.store(scores + i * BYTES, y)
        total.set(total.get() + y)
    e.store(found, most * factor)
    e.store(found + BYTES, e.everywhere(total.get(), lambda a, b: a + b))


@emitted
def scaled(e, x, vectors, factor):
    """x * factor, in place."""
    by = e.splat(factor)
    with e.loop(vectors) as i:
        e.store(x + i * BYTES, e.load(x + i * BYTES) * by)


@kernel()
def forward(
    query, q_batch, q_head, q_row, key, k_batch, k_head, k_row, value, v_batch, v_head, v_row,
    out, o_batch, o_head, o_row, sums, heads, queries, keys, features, wide, scale_at, causal, scratch, first, last,
):  # fmt: skip
    """Heads ``first`` .. ``last`` of all examples; steps in bytes. ``wide`` is the size of a value."""
    scale = peek(scale_at)
    panels = (keys + PANEL - 1) // PANEL
    row = panels * PANEL * 4
    scores, found = scratch, scratch + QUERIES * row
    zero = found + 2 * BYTES
    patch = zero + PANEL * 4
    keys_turned = patch + LANES * BYTES
    zero_bytes(zero, PANEL * 4)
    for item in range(first, last):
        batch, head = item // heads, item % heads
        q, k = query + batch * q_batch + head * q_head, key + batch * k_batch + head * k_head
        v, o = value + batch * v_batch + head * v_head, out + batch * o_batch + head * o_head
        turned(k, k_row, keys, features, keys_turned, panels, patch)
        for start in range(0, queries, FEWER):
            rows = min(FEWER, queries - start)
            seen = min(keys, start + rows) if causal else keys
            used = (seen + PANEL - 1) // PANEL
            for p in range(used):
                b = keys_turned + p * features * PANEL * 4
                rows_times(rows, PANEL, q + start * q_row, q_row, features, 1, 0, 1, 0, b, PANEL * 4, zero, 0, scores + p * PANEL * 4, row)  # fmt: skip
            for i in range(rows):
                end = min(start + i + 1, seen) if causal else seen
                vectors = (end + LANES - 1) // LANES
                for j in range(end, vectors * LANES):
                    poke(scores + i * row + j * 4, -math.inf)
                soften(scores + i * row, vectors, scale, found)
                poke(sums + (item * queries + start + i) * 4, peek(found) + math.log(peek(found + BYTES)))
                scaled(scores + i * row, vectors, 1 / peek(found + BYTES))
                if vectors * LANES < seen:
                    zero_bytes(scores + i * row + vectors * BYTES, (seen - vectors * LANES) * 4)
            for p in range(0, wide, PANEL):
                rows_times(rows, min(PANEL, wide - p), scores, row, seen, 1, 0, 1, 0, v + p * 4, v_row, zero, 0, o + start * o_row + p * 4, o_row)  # fmt: skip


@emitted
def weigh(e, scores, vectors, scale, total):
    """exp(scores * scale - total), in place."""
    factor, less = e.splat(scale), e.splat(total)
    with e.loop(vectors) as i:
        e.store(scores + i * BYTES, exp(e, e.load(scores + i * BYTES) * factor - less))


@emitted
def back(e, weights, grads, vectors, own, scale):
    """grads -> weights * (grads - own) * scale."""
    less, factor = e.splat(own), e.splat(scale)
    with e.loop(vectors) as i:
        e.store(grads + i * BYTES, e.load(weights + i * BYTES) * (e.load(grads + i * BYTES) - less) * factor)


@emitted
def inner(e, a, b, vectors, found):
    """The sum of a * b."""
    total = e.slot(e.splat(0))
    with e.loop(vectors) as i:
        total.set(e.load(a + i * BYTES).times_plus(e.load(b + i * BYTES), total.get()))
    e.store(found, e.everywhere(total.get(), lambda x, y: x + y))


@kernel()
def backward(
    query, q_batch, q_head, q_row, key, k_batch, k_head, k_row, value, v_batch, v_head, v_row,
    out, o_batch, o_head, o_row, g, g_batch, g_head, g_row, sums,
    g_query, gq_batch, gq_head, gq_row, g_key, gk_batch, gk_head, gk_row, g_value, gv_batch, gv_head, gv_row,
    heads, queries, keys, features, wide, scale_at, causal, scratch, first, last,
):  # fmt: skip
    """The gradients of queries, keys and values for heads ``first`` .. ``last`` of all examples."""
    scale = peek(scale_at)
    panels = (keys + PANEL - 1) // PANEL
    row = panels * PANEL * 4
    weights, grads = scratch, scratch + QUERIES * row
    found = grads + QUERIES * row
    zero = found + BYTES
    patch = zero + PANEL * 4
    keys_turned = patch + LANES * BYTES
    values_turned = keys_turned + features * row
    zero_bytes(zero, PANEL * 4)
    for item in range(first, last):
        batch, head = item // heads, item % heads
        q, k = query + batch * q_batch + head * q_head, key + batch * k_batch + head * k_head
        v, o = value + batch * v_batch + head * v_head, out + batch * o_batch + head * o_head
        go, gq = g + batch * g_batch + head * g_head, g_query + batch * gq_batch + head * gq_head
        gk, gv = g_key + batch * gk_batch + head * gk_head, g_value + batch * gv_batch + head * gv_head
        turned(k, k_row, keys, features, keys_turned, panels, patch)
        turned(v, v_row, keys, wide, values_turned, panels, patch)
        for j in range(keys):
            zero_bytes(gk + j * gk_row, features * 4)
            zero_bytes(gv + j * gv_row, wide * 4)
        for start in range(0, queries, QUERIES):
            rows = min(QUERIES, queries - start)
            seen = min(keys, start + rows) if causal else keys
            used = (seen + PANEL - 1) // PANEL
            for p in range(used):
                b, there = keys_turned + p * features * PANEL * 4, p * PANEL * 4
                rows_times(rows, PANEL, q + start * q_row, q_row, features, 1, 0, 1, 0, b, PANEL * 4, zero, 0, weights + there, row)  # fmt: skip
                b = values_turned + p * wide * PANEL * 4
                rows_times(rows, PANEL, go + start * g_row, g_row, wide, 1, 0, 1, 0, b, PANEL * 4, zero, 0, grads + there, row)  # fmt: skip
            for i in range(rows):
                end = min(start + i + 1, seen) if causal else seen
                vectors = (end + LANES - 1) // LANES
                for j in range(end, vectors * LANES):
                    poke(weights + i * row + j * 4, -math.inf)
                weigh(weights + i * row, vectors, scale, peek(sums + (item * queries + start + i) * 4))
                inner(go + (start + i) * g_row, o + (start + i) * o_row, wide // LANES, found)
                back(weights + i * row, grads + i * row, vectors, peek(found), scale)
                if vectors * LANES < seen:
                    zero_bytes(weights + i * row + vectors * BYTES, (seen - vectors * LANES) * 4)
                    zero_bytes(grads + i * row + vectors * BYTES, (seen - vectors * LANES) * 4)
            columns_times(seen, wide, weights, row, rows, 1, 0, 1, 0, go + start * g_row, g_row, gv, gv_row, gv, gv_row)  # fmt: skip
            columns_times(seen, features, grads, row, rows, 1, 0, 1, 0, q + start * q_row, q_row, gk, gk_row, gk, gk_row)  # fmt: skip
            for p in range(0, features, PANEL):
                rows_times(rows, min(PANEL, features - p), grads, row, seen, 1, 0, 1, 0, k + p * 4, k_row, zero, 0, gq + start * gq_row + p * 4, gq_row)  # fmt: skip
