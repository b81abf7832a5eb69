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
TOGETHER = 4  # rows whose softmax is made at once


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
def soften(e, rows, scores, row, vectors, scale, found):
    """Rows of scores -> exp((scores - largest) * scale) / their sum; for each of the rows the largest times scale and the
    sum go to ``found``. Several rows at once, since each alone waits for its own largest and for its own sum."""
    tops = [e.slot(e.splat(-math.inf)) for _ in range(rows)]
    with e.loop(vectors) as i:
        for r in range(rows):
            tops[r].set(e.load(scores + row * r + i * BYTES).larger(tops[r].get()))
    most = [e.everywhere(top.get(), lambda a, b: a.larger(b)) for top in tops]
    totals = [e.slot(e.splat(0)) for _ in range(rows)]
    factor = e.splat(scale)
    with e.loop(vectors) as i:
        for r in range(rows):
            here = scores + row * r + i * BYTES
            y = exp(e, (e.load(here) - most[r]) * factor)
            e.store(here, y)
            totals[r].set(totals[r].get() + y)
    sums = [e.everywhere(total.get(), lambda a, b: a + b) for total in totals]
    for r in range(rows):
        e.store(found + 2 * r * BYTES, most[r] * factor)
        e.store(found + (2 * r + 1) * BYTES, sums[r])
    shares = [1.0 / x for x in sums]
    with e.loop(vectors) as i:
        for r in range(rows):
            here = scores + row * r + i * BYTES
            e.store(here, e.load(here) * shares[r])


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
    zero = found + 2 * TOGETHER * BYTES
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
            i = 0
            while i < rows:  # in fours, which begin at multiples of four: so their last vector is the same
                some = TOGETHER if rows - i >= TOGETHER else 1
                first_end = start + i + 1 if causal else seen
                end = min(first_end + some - 1, seen)
                vectors = (end + LANES - 1) // LANES
                here = scores + i * row
                hidden(here, row, some, first_end, seen, vectors)
                if some == TOGETHER:
                    soften(TOGETHER, here, row, vectors, scale, found)
                else:
                    soften(1, here, row, vectors, scale, found)
                for r in range(some):
                    there = found + 2 * r * BYTES
                    poke(sums + (item * queries + start + i + r) * 4, peek(there) + math.log(peek(there + BYTES)))
                    if vectors * LANES < seen:
                        zero_bytes(here + r * row + vectors * BYTES, (seen - vectors * LANES) * 4)
                i += some
            for p in range(0, wide, PANEL):
                rows_times(rows, min(PANEL, wide - p), scores, row, seen, 1, 0, 1, 0, v + p * 4, v_row, zero, 0, o + start * o_row + p * 4, o_row)  # fmt: skip


@emitted
def weigh(e, rows, weights, grads, row, vectors, scale, totals, g, g_row, out, out_row, wide):
    """Rows of scores -> their weights exp(scores * scale - total), and ``grads``, those by the weights, -> those by the
    scores: weights * (grads - sum of g * out) * scale. ``totals`` are neighbours, ``wide`` the vectors of a row of g."""
    factor = e.splat(scale)
    owns = [e.slot(e.splat(0)) for _ in range(rows)]
    with e.loop(wide) as i:
        for r in range(rows):
            x, y = e.load(g + g_row * r + i * BYTES), e.load(out + out_row * r + i * BYTES)
            owns[r].set(x.times_plus(y, owns[r].get()))
    own = [e.everywhere(x.get(), lambda a, b: a + b) for x in owns]
    less = [e.broadcast(totals + 4 * r) for r in range(rows)]
    with e.loop(vectors) as i:
        for r in range(rows):
            place = row * r + i * BYTES
            y = exp(e, e.load(weights + place) * factor - less[r])
            e.store(weights + place, y)
            e.store(grads + place, y * (e.load(grads + place) - own[r]) * factor)


@helper
def hidden(scores, row, rows, first, seen, vectors):
    """Scores of keys that causal rows (``first`` is the number of keys that the first one sees) do not see: -infinity, up
    to the last whole vector."""
    for r in range(rows):
        for j in range(min(first + r, seen), vectors * LANES):
            poke(scores + r * row + j * 4, -math.inf)


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
    zero = grads + QUERIES * row
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
            i = 0
            while i < rows:
                some = TOGETHER if rows - i >= TOGETHER else 1
                first_end = start + i + 1 if causal else seen
                end = min(first_end + some - 1, seen)
                vectors = (end + LANES - 1) // LANES
                here, beside, own = weights + i * row, grads + i * row, sums + (item * queries + start + i) * 4
                given, made = go + (start + i) * g_row, o + (start + i) * o_row
                hidden(here, row, some, first_end, seen, vectors)
                if some == TOGETHER:
                    weigh(TOGETHER, here, beside, row, vectors, scale, own, given, g_row, made, o_row, wide // LANES)
                else:
                    weigh(1, here, beside, row, vectors, scale, own, given, g_row, made, o_row, wide // LANES)
                if vectors * LANES < seen:
                    for r in range(some):
                        zero_bytes(here + r * row + vectors * BYTES, (seen - vectors * LANES) * 4)
                        zero_bytes(beside + r * row + vectors * BYTES, (seen - vectors * LANES) * 4)
                i += some
            columns_times(seen, wide, weights, row, rows, 1, 0, 1, 0, go + start * g_row, g_row, gv, gv_row, gv, gv_row)  # fmt: skip
            columns_times(seen, features, grads, row, rows, 1, 0, 1, 0, q + start * q_row, q_row, gk, gk_row, gk, gk_row)  # fmt: skip
            for p in range(0, features, PANEL):
                rows_times(rows, min(PANEL, features - p), grads, row, seen, 1, 0, 1, 0, k + p * 4, k_row, zero, 0, gq + start * gq_row + p * 4, gq_row)  # fmt: skip
