"""LSTM and GRU over a whole sequence, forward and backward, for some examples of the batch. Arrays come as addresses.

What a step multiplies by (the hidden state's weights, packed in panels) stays in the cache from step to step, and the
gates go through their functions while they are there. The hidden size is a multiple of sixteen.
"""

from __future__ import annotations

from mlkit.backends.numba.compiling import helper, kernel
from mlkit.backends.numba.gemm_kernels import summed_rows
from mlkit.backends.numba.products import rows_times
from mlkit.backends.numba.simd import BYTES, PANEL, copy_bytes, emitted, sigmoid, tanh

CHUNK = 64  # examples that go through all steps together, so that what is between two steps stays in the cache


@helper
def through(packed, columns, rows, x, row, count, start, start_row, y, y_row):
    """y = start + x times the weights in panels: ``columns`` numbers in each row, sums of ``count`` products."""
    for p in range(0, columns, PANEL):
        width = min(PANEL, columns - p)
        rows_times(rows, width, x, row, count, 1, 0, 1, 0, packed + p * count * 4, width * 4, start + p * 4, start_row, y + p * 4, y_row)  # fmt: skip


@emitted
def lstm_point(e, gates, size, cell, new_cell, state):
    """Sixteen cells of one example: the gates after their functions (in place), the new cell and the hidden state."""
    i, f = sigmoid(e, e.load(gates)), sigmoid(e, e.load(gates + size))
    c, o = tanh(e, e.load(gates + size * 2)), sigmoid(e, e.load(gates + size * 3))
    new = f.times_plus(e.load(cell), i * c)
    for number, x in enumerate((i, f, c, o)):
        e.store(gates + size * number, x)
    e.store(new_cell, new)
    e.store(state, o * tanh(e, new))


@kernel()
def lstm_forward(gates, packed, steps, batch, size, hidden, cell, states, cells, opened, first, last):
    """Examples ``first`` .. ``last``: gates (T, N, 4H) -> states and cells (T, N, H), opened (T, N, 4H)."""
    row, wide = size * 4, size * 16
    rows = last - first
    for t in range(steps):
        at = (t * batch + first) * row
        if t:
            before, cell_before = states + at - batch * row, cells + at - batch * row
        else:
            before, cell_before = hidden + first * row, cell + first * row
        through(packed, 4 * size, rows, before, row, size, gates + at * 4, wide, opened + at * 4, wide)
        for i in range(rows):
            for c in range(0, row, BYTES):
                here = i * row + c
                lstm_point(
                    opened + at * 4 + i * wide + c, row, cell_before + here, cells + at + here, states + at + here
                )


@emitted
def lstm_point_on(e, gates, size, cell, state, kept):
    """``lstm_point`` where nothing is needed for backward: the new cell takes the old one's place, the hidden state goes to
    where the next step reads it and to where it is kept."""
    i, f = sigmoid(e, e.load(gates)), sigmoid(e, e.load(gates + size))
    c, o = tanh(e, e.load(gates + size * 2)), sigmoid(e, e.load(gates + size * 3))
    new = f.times_plus(e.load(cell), i * c)
    e.store(cell, new)
    new = o * tanh(e, new)
    e.store(state, new)
    e.store(kept, new)


@kernel()
def lstm_states(
    x, x_step, x_row, inputs, from_inputs, bias, packed, steps, size, hidden, cells, states, step, each, space, first, last
):  # fmt: skip
    """Examples ``first`` .. ``last`` through all steps: hidden (N, H) -> states (T, N, H), of which one step is ``step`` bytes
    from the next and one example ``each``; cells (N, H) become the last ones.

    x (T, N, ``inputs``) is multiplied by ``from_inputs`` (in panels) step by step; where ``inputs`` is 0, x are the inputs'
    shares of the gates (T, N, 4H), ready. ``space`` is room for CHUNK * (inputs + 5H) numbers."""
    row, wide = size * 4, size * 16
    state, shares = space + CHUNK * inputs * 4, space + CHUNK * (inputs * 4 + row)
    for start in range(first, last, CHUNK):
        rows = min(CHUNK, last - start)
        copy_bytes(hidden + start * row, state, rows * row)
        for t in range(steps):
            here = x + t * x_step + start * x_row
            if inputs:
                for i in range(rows):
                    copy_bytes(here + i * x_row, space + i * inputs * 4, inputs * 4)
                through(from_inputs, 4 * size, rows, space, inputs * 4, inputs, bias, 0, shares, wide)
                for p in range(0, 4 * size, PANEL):
                    width = min(PANEL, 4 * size - p)
                    there = shares + p * 4
                    summed_rows(rows, width, state, row, size, packed + p * row, width * 4, there, wide, there, wide)
            else:
                through(packed, 4 * size, rows, state, row, size, here, x_row, shares, wide)
            kept = states + t * step + start * each
            for i in range(rows):
                for c in range(0, row, BYTES):
                    mine = cells + start * row + i * row + c
                    lstm_point_on(shares + i * wide + c, row, mine, state + i * row + c, kept + i * each + c)


@emitted
def lstm_point_back(e, gates, size, cell, new_cell, from_state, from_cell, g_hidden, g_cell, g_gates):
    """The gradient of ``lstm_point``: of the gates before their functions, and of the earlier cell (in g_cell)."""
    i, f, c, o = [e.load(gates + size * number) for number in range(4)]
    squashed = tanh(e, e.load(new_cell))
    gh = e.load(g_hidden) + e.load(from_state)
    gc = e.load(g_cell) + e.load(from_cell) + gh * o * (1.0 - squashed * squashed)
    e.store(g_gates, gc * c * i * (1.0 - i))
    e.store(g_gates + size, gc * e.load(cell) * f * (1.0 - f))
    e.store(g_gates + size * 2, gc * i * (1.0 - c * c))
    e.store(g_gates + size * 3, gh * squashed * o * (1.0 - o))
    e.store(g_cell, gc * f)


@kernel()
def lstm_backward(
    opened, packed, steps, batch, size, cell, cells, from_states, states_step, from_cells, cells_step,
    zero, g_hidden, g_cell, g_gates, first, last,
):  # fmt: skip
    """Examples ``first`` .. ``last``: g_gates (T, N, 4H), and in g_hidden and g_cell (N, H) those of the first state.

    ``states_step`` and ``cells_step`` are the bytes from one step's gradient to the next's, 0 where there is none."""
    row, wide = size * 4, size * 16
    rows = last - first
    for t in range(steps - 1, -1, -1):
        at = (t * batch + first) * row
        cell_before = cells + at - batch * row if t else cell + first * row
        for i in range(rows):
            for c in range(0, row, BYTES):
                here = i * row + c
                mine = first * row + here
                lstm_point_back(
                    opened + at * 4 + i * wide + c, row, cell_before + here, cells + at + here,
                    from_states + t * states_step + mine, from_cells + t * cells_step + mine,
                    g_hidden + mine, g_cell + mine, g_gates + at * 4 + i * wide + c,
                )  # fmt: skip
        through(packed, size, rows, g_gates + at * 4, wide, 4 * size, zero, 0, g_hidden + first * row, row)


def gru_gates(e, gates, own, size):
    """Sixteen of each gate of one example, after their functions, from both shares of them."""
    r = sigmoid(e, e.load(gates) + e.load(own))
    z = sigmoid(e, e.load(gates + size) + e.load(own + size))
    return r, z, tanh(e, r.times_plus(e.load(own + size * 2), e.load(gates + size * 2)))


@emitted
def gru_point(e, gates, own, size, before, state):
    """Sixteen cells of one example: the new hidden state from both shares of the gates and the state before."""
    r, z, n = gru_gates(e, gates, own, size)
    e.store(state, z.times_plus(e.load(before) - n, n))


@kernel()
def gru_forward(gates, packed, bias, steps, batch, size, hidden, states, own, first, last):
    """Examples ``first`` .. ``last``: gates (T, N, 3H) -> states (T, N, H); ``own`` is room for (last - first, 3H)."""
    row, wide = size * 4, size * 12
    rows = last - first
    for t in range(steps):
        at = (t * batch + first) * row
        before = states + at - batch * row if t else hidden + first * row
        through(packed, 3 * size, rows, before, row, size, bias, 0, own, wide)
        for i in range(rows):
            for c in range(0, row, BYTES):
                here = i * row + c
                gru_point(gates + at * 3 + i * wide + c, own + i * wide + c, row, before + here, states + at + here)


@emitted
def gru_point_back(e, gates, own, size, before, from_state, g_hidden, stays, g_gates):
    """The gradient of ``gru_point``: of both shares of the gates (of the hidden one in place of ``own``), and what of the
    earlier state's does not pass through the gates."""
    r, z, n = gru_gates(e, gates, own, size)
    gh = e.load(g_hidden) + e.load(from_state)
    g_n = gh * (1.0 - z) * (1.0 - n * n)
    g_r = g_n * e.load(own + size * 2) * r * (1.0 - r)
    g_z = gh * (e.load(before) - n) * z * (1.0 - z)
    for number, (x, y) in enumerate(((g_r, g_r), (g_z, g_z), (g_n, g_n * r))):
        e.store(g_gates + size * number, x)
        e.store(own + size * number, y)
    e.store(stays, gh * z)


@kernel()
def gru_backward(
    gates, own, packed, steps, batch, size, hidden, states, from_states, g_hidden, stays, g_gates, first, last
):
    """Examples ``first`` .. ``last``: g_gates (T, N, 3H), in ``own`` the same of the hidden share, and in g_hidden (N, H)
    that of the first state. ``stays`` is room for (N, H)."""
    row, wide = size * 4, size * 12
    rows = last - first
    for t in range(steps - 1, -1, -1):
        at = (t * batch + first) * row
        before = states + at - batch * row if t else hidden + first * row
        for i in range(rows):
            for c in range(0, row, BYTES):
                here = i * row + c
                mine = first * row + here
                gru_point_back(
                    gates + at * 3 + i * wide + c, own + at * 3 + i * wide + c, row, before + here,
                    from_states + at + here, g_hidden + mine, stays + mine, g_gates + at * 3 + i * wide + c,
                )  # fmt: skip
        there = first * row
        through(packed, size, rows, own + at * 3, wide, 3 * size, stays + there, row, g_hidden + there, row)
