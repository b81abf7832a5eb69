"""Recurrent layers over whole sequences: the arguments in the kernels' form. float32 only."""

from __future__ import annotations

import numpy as np

from mlkit.backends.numba import gradient, kernels, override, pool
from mlkit.backends.numba.conv import LANES, packed, single
from mlkit.backends.numba.scratch import address, zeros

#: examples that one thread takes at least
GRAIN = 12


def panels(weight: np.ndarray) -> np.ndarray:
    """A matrix (columns, steps), any view, in panels of columns."""
    return packed(kernels("mlkit.backends.numba.conv"), weight[:, :, None, None], weight.shape[0])


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
    gates, hidden, cell, turned = row_major(gates), row_major(hidden), row_major(cell), panels(weight)
    states = np.empty((steps, batch, size), np.float32)
    cells, opened = np.empty_like(states), np.empty_like(gates)
    common = (address(gates), address(turned), steps, batch, size, address(hidden), address(cell))
    common += (address(states), address(cells), address(opened))
    pool.split(lambda a, b: k.lstm_forward(*common, a, b), batch, GRAIN)
    return states, cells, opened


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
    turned, zero = panels(weight.T), zeros(32)
    g_hidden, g_cell = np.zeros((batch, size), np.float32), np.zeros((batch, size), np.float32)
    g_gates = np.empty_like(opened)
    cell, cells, opened = row_major(cell), row_major(cells), row_major(opened)
    common = (address(opened), address(turned), steps, batch, size, address(cell), address(cells))
    common += (address(given[0]), each[0], address(given[1]), each[1], address(zero))
    common += (address(g_hidden), address(g_cell), address(g_gates))
    pool.split(lambda a, b: k.lstm_backward(*common, a, b), batch, GRAIN)
    g_weight = None
    if needs[3]:
        g_weight = g_gates[0].T @ hidden
        if steps > 1:
            flat = g_gates[1:].reshape(-1, 4 * size)
            g_weight += flat.T @ states[:-1].reshape(-1, size)
    return g_gates, g_hidden, g_cell, g_weight, None, None
