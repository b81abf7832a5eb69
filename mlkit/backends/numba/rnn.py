"""Recurrent layers over whole sequences: the arguments in the kernels' form. float32 only."""

from __future__ import annotations

import numpy as np

from mlkit.backends.numba import gradient, kernels, override, pool
from mlkit.backends.numba.conv import LANES, panel, single
from mlkit.backends.numba.gemm import begin, columns_product, fits, product, rows_product
from mlkit.backends.numba.scratch import address, floats, zeros

#: examples that one thread takes at least
GRAIN = 12
STEP = 4  # ranges begin at multiples of what the kernels' smaller block has
GEMM = "mlkit.backends.numba.gemm"
FEW = 8  # examples from which weights of the inputs pay for being read again in each step
NEAR = 192 << 10  # weights of both kinds that stay in the second cache from step to step


def turned(weight: np.ndarray) -> np.ndarray:
    """weight (columns, steps) in panels of columns: what steps are multiplied by."""
    weight = row_major(weight)
    out = floats(weight.size)
    kernels(GEMM).turn(address(weight), *weight.shape, address(out))
    return out


def laid(weight: np.ndarray) -> np.ndarray:
    """weight (steps, columns) in panels of columns: what gradients are multiplied by."""
    weight = row_major(weight)
    out = floats(weight.size)
    kernels(GEMM).lay(address(weight), *weight.shape, address(out))
    return out


def row_major(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x)


@override("lstm_sequence", minimum=1024)
def lstm_sequence(k, gates, hidden, cell, weight, projection=None, mask=None):
    if projection is not None or mask is not None or not single(gates, hidden, cell, weight):
        return NotImplemented
    if gates.ndim != 3 or hidden.shape != cell.shape or hidden.shape[1] % LANES:
        return NotImplemented
    steps, batch, wide = gates.shape
    size = wide // 4
    if hidden.shape != (batch, size) or weight.shape != (wide, size):
        return NotImplemented  # the reference says what is wrong
    gates, hidden, cell, packed = row_major(gates), row_major(hidden), row_major(cell), turned(weight)
    states = np.empty((steps, batch, size), np.float32)
    cells, opened = np.empty_like(states), np.empty_like(gates)
    common = (address(gates), address(packed), steps, batch, size, address(hidden), address(cell))
    common += (address(states), address(cells), address(opened))
    pool.share(k.lstm_forward, common, batch, GRAIN, STEP)
    return states, cells, opened


@override("lstm_states", minimum=256)
def lstm_states(k, x, hidden, cell, w_ih, w_hh, b_ih=None, b_hh=None):
    if not single(x, hidden, cell, w_ih, w_hh, b_ih, b_hh) or x.ndim != 3 or hidden.ndim != 2:
        return NotImplemented
    steps, batch, inputs = x.shape
    size = hidden.shape[1]
    wide = 4 * size
    if hidden.shape != (batch, size) or cell.shape != (batch, size) or size % LANES or inputs % LANES:
        return NotImplemented
    if w_ih.shape != (wide, inputs) or w_hh.shape != (wide, size):
        return NotImplemented  # the reference says what is wrong
    bias = b_ih if b_hh is None else b_hh if b_ih is None else b_ih + b_hh
    if bias is not None and bias.shape != (wide,):
        return NotImplemented
    if x.strides[2] != 4:
        x = row_major(x)
    apart = x.strides[1] > x.strides[0] > 0 and steps > 1  # a batch whose examples lie one after another
    if batch >= FEW and wide * (inputs + size) <= NEAR:
        from_inputs, start = turned(w_ih), begin(bias, wide)
    else:  # all steps at once
        w_ih = row_major(w_ih)
        rows = x.transpose(1, 0, 2) if apart else x
        if not fits(x.size, x.shape, w_ih):
            return NotImplemented
        gates = np.empty((*rows.shape[:2], wide), np.float32)
        product(kernels(GEMM), row_major(rows), w_ih, bias, gates)
        x, inputs = gates.transpose(1, 0, 2) if apart else gates, 0
        from_inputs = start = gates  # not read
    states = (
        np.empty((batch, steps, size), np.float32).transpose(1, 0, 2)
        if apart
        else np.empty((steps, batch, size), np.float32)
    )
    hidden, cells, packed = row_major(hidden), cell.copy("C"), turned(w_hh)
    common = (address(x), *x.strides[:2], inputs, address(from_inputs), address(start), address(packed), steps, size)
    common += (address(hidden), address(cells), address(states), *states.strides[:2], 0)
    grain = max(GRAIN, min(k.CHUNK, -(-batch // pool.threads())))
    pool.share(k.lstm_states, common, batch, grain, STEP, 14, k.CHUNK * (inputs + 5 * size))
    return states, cells[None]


@gradient("lstm_sequence", minimum=256)
def lstm_gradient(k, g, hidden, cell, weight, projection, mask, out, needs):
    states, cells, opened = out
    if projection is not None or mask is not None or g[2] is not None or not single(opened, hidden, weight):
        return NotImplemented
    steps, batch, size = states.shape
    if size % LANES:
        return NotImplemented
    none = zeros(batch * size)
    given = [none if x is None else row_major(x) for x in g[:2]]
    each = [0 if x is None else batch * size * 4 for x in g[:2]]
    packed, zero = laid(weight), zeros(size)
    g_hidden, g_cell = np.zeros((batch, size), np.float32), np.zeros((batch, size), np.float32)
    g_gates = np.empty_like(opened)
    cell, cells, opened = row_major(cell), row_major(cells), row_major(opened)
    common = (address(opened), address(packed), steps, batch, size, address(cell), address(cells))
    common += (address(given[0]), each[0], address(given[1]), each[1], address(zero))
    common += (address(g_hidden), address(g_cell), address(g_gates))
    pool.share(k.lstm_backward, common, batch, GRAIN, STEP)
    g_weight = None
    if needs[3]:
        g_weight = g_gates[0].T @ hidden
        if steps > 1:
            earlier = row_major(states)[:-1].reshape(-1, size)
            g_weight += columns_product(kernels(GEMM), g_gates[1:].reshape(-1, 4 * size), earlier)
    return g_gates, g_hidden, g_cell, g_weight, None, None


@override("gru_sequence", minimum=1024)
def gru_sequence(k, gates, hidden, weight, bias=None, mask=None):
    if mask is not None or not single(gates, hidden, weight, bias) or gates.ndim != 3 or hidden.ndim != 2:
        return NotImplemented
    steps, batch, wide = gates.shape
    size = wide // 3
    if size % LANES or hidden.shape != (batch, size) or weight.shape != (wide, size) or wide != 3 * size:
        return NotImplemented
    if bias is not None and bias.shape != (wide,):
        return NotImplemented
    gates, hidden, packed = row_major(gates), row_major(hidden), turned(weight)
    start = zeros(wide) if bias is None else row_major(bias)
    states = np.empty((steps, batch, size), np.float32)
    common = (address(gates), address(packed), address(start), steps, batch, size, address(hidden), address(states), 0)
    pool.share(k.gru_forward, common, batch, GRAIN, STEP, 8, batch * wide)
    return states


@gradient("gru_sequence", minimum=256)
def gru_gradient(k, g, gates, hidden, weight, bias, mask, out, needs):
    if mask is not None or not single(g, gates, hidden, weight, bias, out) or hidden.shape[1] % LANES:
        return NotImplemented
    steps, batch, size = out.shape
    gates, hidden, states, g = row_major(gates), row_major(hidden), row_major(out), row_major(g)
    # the hidden share of all steps again, in one product; the gradients of it will take its place
    earlier = np.concatenate([hidden[None], states[:-1]]).reshape(-1, size)
    start, packed = zeros(3 * size) if bias is None else row_major(bias), turned(weight)
    own = np.empty((steps * batch, 3 * size), np.float32)
    rows_product(kernels(GEMM), earlier, (address(packed), 0, size * panel() * 4), start, own)
    packed = laid(weight)
    g_hidden, stays = np.zeros((batch, size), np.float32), np.empty((batch, size), np.float32)
    g_gates = np.empty_like(gates)
    common = (address(gates), address(own), address(packed), steps, batch, size, address(hidden), address(states))
    common += (address(g), address(g_hidden), address(stays), address(g_gates))
    pool.share(k.gru_backward, common, batch, GRAIN, STEP)
    return (
        g_gates,
        g_hidden,
        columns_product(kernels(GEMM), own, earlier) if needs[2] else None,
        own.sum(0) if needs[3] else None,
        None,
    )
