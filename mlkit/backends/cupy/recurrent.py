"""LSTM and GRU over whole sequences: per step one product and one kernel that does all gates.

The addresses of every step are known before the first, so the loop does nothing in Python but launch.
"""

from __future__ import annotations

import numpy as np

from mlkit.backends.cupy import blas, source

_KERNELS = r"""
__device__ __forceinline__ R sigmoid(R x) { return (R)1 / ((R)1 + exp(-x)); }
// gates (N, 4H) hold what goes into them and become what comes out: input, forget, cell, output
extern "C" __global__ void lstm_step(T* gates, const T* before, T* cells, T* states, int batch, int size) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= batch * size) return;
    T* row = gates + (i64)(i / size) * 4 * size + i % size;
    const R a = sigmoid(get(row[0])), f = sigmoid(get(row[size])), c = tanh(get(row[2 * size]));
    const R o = sigmoid(get(row[3 * size])), now = f * get(before[i]) + a * c;
    put(row[0], a); put(row[size], f); put(row[2 * size], c); put(row[3 * size], o);
    put(cells[i], now);
    put(states[i], o * tanh(now));
}
extern "C" __global__ void lstm_step_gradient(
    const T* gates, const T* before, const T* cells, const T* g_state, const T* g_cell, const T* g_hidden, R* carried,
    T* g_gates, int batch, int size
) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= batch * size) return;
    const i64 at = (i64)(i / size) * 4 * size + i % size;
    const R a = get(gates[at]), f = get(gates[at + size]), c = get(gates[at + 2 * size]), o = get(gates[at + 3 * size]);
    const R now = tanh(get(cells[i]));
    const R gh = (g_state ? get(g_state[i]) : (R)0) + (g_hidden ? get(g_hidden[i]) : (R)0);
    const R gc = (g_cell ? get(g_cell[i]) : (R)0) + carried[i] + gh * o * (1 - now * now);
    put(g_gates[at], gc * c * a * (1 - a));
    put(g_gates[at + size], gc * get(before[i]) * f * (1 - f));
    put(g_gates[at + 2 * size], gc * a * (1 - c * c));
    put(g_gates[at + 3 * size], gh * now * o * (1 - o));
    carried[i] = gc * f;
}
// gates (N, 3H) from the input: reset, update, new; own (N, 3H) from the state, without its bias
extern "C" __global__ void gru_step(
    const T* gates, const T* own, const T* bias, const T* before, T* states, int batch, int size
) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= batch * size) return;
    const int h = i % size;
    const i64 at = (i64)(i / size) * 3 * size + h;
    const R b0 = bias ? get(bias[h]) : (R)0, b1 = bias ? get(bias[size + h]) : (R)0;
    const R b2 = bias ? get(bias[2 * size + h]) : (R)0;
    const R r = sigmoid(get(gates[at]) + get(own[at]) + b0), z = sigmoid(get(gates[at + size]) + get(own[at + size]) + b1);
    const R n = tanh(get(gates[at + 2 * size]) + r * (get(own[at + 2 * size]) + b2));
    put(states[i], n + z * (get(before[i]) - n));
}
// carry (N, H) holds the gradient that comes from later steps, and gets what passes by the gates
extern "C" __global__ void gru_step_gradient(
    const T* gates, const T* own, const T* bias, const T* before, const T* g_state, T* carry, T* g_gates, T* g_own,
    int batch, int size
) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= batch * size) return;
    const int h = i % size;
    const i64 at = (i64)(i / size) * 3 * size + h;
    const R b0 = bias ? get(bias[h]) : (R)0, b1 = bias ? get(bias[size + h]) : (R)0;
    const R b2 = bias ? get(bias[2 * size + h]) : (R)0;
    const R r = sigmoid(get(gates[at]) + get(own[at]) + b0), z = sigmoid(get(gates[at + size]) + get(own[at + size]) + b1);
    const R nh = get(own[at + 2 * size]) + b2, n = tanh(get(gates[at + 2 * size]) + r * nh);
    const R g = get(g_state[i]) + get(carry[i]), through = g * (1 - z) * (1 - n * n);
    const R g_reset = through * nh * r * (1 - r), g_update = g * (get(before[i]) - n) * z * (1 - z);
    put(g_gates[at], g_reset); put(g_gates[at + size], g_update); put(g_gates[at + 2 * size], through);
    put(g_own[at], g_reset); put(g_own[at + size], g_update); put(g_own[at + 2 * size], through * r);
    put(carry[i], g * z);
}
"""


def _fits(*arrays) -> bool:
    given = [x for x in arrays if x is not None]
    return source.known(*given) and all(x.dtype == given[0].dtype for x in given) and blas.bindings() is not None


def _plain(x):
    return x if x.flags.c_contiguous else x.copy(order="C")


class Steps:
    """The launches of one sequence: ``times_weight`` and ``step`` by address."""

    def __init__(self, xp, weight, batch: int, size: int, wide: int) -> None:
        self.xp, self.weight, self.batch, self.size, self.wide = xp, _plain(weight), batch, size, wide
        self.name = source.name(weight.dtype)
        self.handle, self.gemm = blas.handle(xp), blas.bindings().gemm_ex
        self.kind, self.compute = blas._TYPE[self.name], blas._compute(self.name)
        self.one, self.zero = blas._ONE_AT[self.name], blas._ZERO_AT[self.name]
        self.grid = ((batch * size + 127) // 128,)
        self.shape = np.int32(batch), np.int32(size)

    def kernel(self, name: str):
        return source.kernel(self.xp, name, _KERNELS, T=self.name)

    def up(self, hidden: int, out: int, add: bool) -> None:
        """out (N, wide) = hidden (N, H) @ weight.T, added to what is there or not."""
        kind, size, wide = self.kind, self.size, self.wide
        self.gemm(self.handle, 1, 0, wide, self.batch, size, self.one, self.weight.data.ptr, kind, size, hidden, kind,
                  size, self.one if add else self.zero, out, kind, wide, self.compute, -1)  # fmt: skip

    def down(self, gates: int, out: int, add: bool) -> None:
        """out (N, H) = gates (N, wide) @ weight, added to what is there or not."""
        kind, size, wide = self.kind, self.size, self.wide
        self.gemm(self.handle, 0, 0, size, self.batch, wide, self.one, self.weight.data.ptr, kind, size, gates, kind,
                  wide, self.one if add else self.zero, out, kind, size, self.compute, -1)  # fmt: skip


def _at(x, t: int, each: int) -> np.uint64:
    """The address of step t; 0 for no array."""
    return np.uint64(0) if x is None else np.uint64(x.data.ptr + t * each)


def _weight_gradient(xp, g_gates, hidden, states):
    """The sum over steps of g_gates[t].T @ state before t."""
    count, _, wide = g_gates.shape
    out = xp.empty((wide, hidden.shape[1]), g_gates.dtype)
    blas._gemm(xp, g_gates[0].T, hidden, out)
    if count > 1:
        blas._gemm(xp, g_gates[1:].reshape(-1, wide).T, states[:-1].reshape(-1, hidden.shape[1]), out, beta=1)
    return out


def lstm(xp, gates, hidden, cell, weight):
    """(states, cells, gates after sigmoid and tanh); None where the kernels do not fit."""
    if not _fits(gates, hidden, cell, weight) or not gates.size or hidden.shape != cell.shape:
        return None
    count, batch, wide = gates.shape
    size = wide // 4
    if hidden.shape != (batch, size) or weight.shape != (wide, size):
        return None
    opened = gates.copy(order="C")
    hidden, cell = _plain(hidden), _plain(cell)
    states = xp.empty((count, batch, size), gates.dtype)
    cells = xp.empty_like(states)
    steps = Steps(xp, weight, batch, size, wide)
    run, grid, shape = steps.kernel("lstm_step"), steps.grid, steps.shape
    each, gate = batch * size * gates.itemsize, batch * wide * gates.itemsize
    before_h, before_c = hidden.data.ptr, np.uint64(cell.data.ptr)
    for t in range(count):
        there = opened.data.ptr + t * gate
        steps.up(before_h, there, True)
        now_c, now_h = _at(cells, t, each), _at(states, t, each)
        run(grid, (128,), (np.uint64(there), before_c, now_c, now_h, *shape))
        before_h, before_c = int(now_h), now_c
    return states, cells, opened


def lstm_gradient(xp, g, hidden, cell, weight, out, needs):
    states, cells, opened = out
    given = [x for x in (g[0], g[1]) if x is not None]
    if g[2] is not None or not _fits(opened, hidden, cell, weight, *given):
        return None
    count, batch, size = states.shape
    wide, each = 4 * size, batch * size * states.itemsize
    g_states, g_cells = (x if x is None else _plain(x) for x in g[:2])
    hidden, cell = _plain(hidden), _plain(cell)
    carried = xp.zeros((batch, size), np.float64 if states.itemsize == 8 else np.float32)
    g_gates, g_hidden = xp.empty(opened.shape, opened.dtype), xp.empty((batch, size), opened.dtype)
    steps = Steps(xp, weight, batch, size, wide)
    run, grid, shape = steps.kernel("lstm_step_gradient"), steps.grid, steps.shape
    gate, later = batch * wide * states.itemsize, np.uint64(0)
    for t in reversed(range(count)):
        before = _at(cells, t - 1, each) if t else np.uint64(cell.data.ptr)
        there = _at(g_gates, t, gate)
        arguments = (_at(opened, t, gate), before, _at(cells, t, each), _at(g_states, t, each), _at(g_cells, t, each))
        run(grid, (128,), (*arguments, later, carried, there, *shape))
        steps.down(int(there), g_hidden.data.ptr, False)
        later = np.uint64(g_hidden.data.ptr)
    g_weight = _weight_gradient(xp, g_gates, hidden, states) if needs[3] else None
    return g_gates, g_hidden, carried.astype(states.dtype, copy=False), g_weight, None, None


def gru(xp, gates, hidden, weight, bias):
    """All states; None where the kernels do not fit."""
    if not _fits(gates, hidden, weight, bias) or not gates.size:
        return None
    count, batch, wide = gates.shape
    size = wide // 3
    if hidden.shape != (batch, size) or weight.shape != (wide, size) or bias is not None and bias.shape != (wide,):
        return None
    gates, hidden, bias = _plain(gates), _plain(hidden), bias if bias is None else _plain(bias)
    states, own = xp.empty((count, batch, size), gates.dtype), xp.empty((batch, wide), gates.dtype)
    steps = Steps(xp, weight, batch, size, wide)
    run, grid, shape = steps.kernel("gru_step"), steps.grid, steps.shape
    each, gate, before = batch * size * gates.itemsize, batch * wide * gates.itemsize, np.uint64(hidden.data.ptr)
    for t in range(count):
        steps.up(int(before), own.data.ptr, False)
        now = _at(states, t, each)
        run(grid, (128,), (_at(gates, t, gate), own, _at(bias, 0, 0), before, now, *shape))
        before = now
    return states


def gru_gradient(xp, g, gates, hidden, weight, bias, out, needs, sum_rows):
    if not _fits(gates, hidden, weight, bias, out, g) or not gates.size:
        return None
    count, batch, size = out.shape
    wide, each = 3 * size, batch * size * out.itemsize
    gates, hidden, g, bias = _plain(gates), _plain(hidden), _plain(g), bias if bias is None else _plain(bias)
    earlier = xp.concatenate((hidden[None], out[:-1]))
    steps = Steps(xp, weight, batch, size, wide)
    own = xp.empty((count * batch, wide), out.dtype)
    blas._gemm(xp, earlier.reshape(-1, size), steps.weight.T, own)
    g_gates, g_own = xp.empty(gates.shape, out.dtype), xp.empty(gates.shape, out.dtype)
    carry = xp.zeros((batch, size), out.dtype)
    run, grid, shape = steps.kernel("gru_step_gradient"), steps.grid, steps.shape
    gate, no_bias = batch * wide * out.itemsize, _at(bias, 0, 0)
    for t in reversed(range(count)):
        there = _at(g_own, t, gate)
        arguments = (_at(gates, t, gate), _at(own, t, gate), no_bias, _at(earlier, t, each), _at(g, t, each), carry)
        run(grid, (128,), (*arguments, _at(g_gates, t, gate), there, *shape))
        steps.down(int(there), carry.data.ptr, True)
    flat, g_weight = g_own.reshape(-1, wide), None
    if needs[2]:
        g_weight = xp.empty((wide, size), out.dtype)
        blas._gemm(xp, flat.T, earlier.reshape(-1, size), g_weight)
    return g_gates, carry, g_weight, sum_rows(flat, (0,), False) if needs[3] else None, None


def install(reader, kernels: dict, gradients: dict) -> None:
    """Put the kernels in front of the reader's own functions."""
    xp, plain_lstm, plain_gru = reader.xp, reader.lstm_sequence, reader.gru_sequence

    def lstm_sequence(gates, hidden, cell, weight, projection=None, mask=None):
        out = lstm(xp, gates, hidden, cell, weight) if projection is None and mask is None and gates.ndim == 3 else None
        return plain_lstm(gates, hidden, cell, weight, projection, mask) if out is None else out

    def lstm_backward(rule, m, g, hidden, cell, weight, projection, mask, out, needs):
        found = None
        if projection is None and mask is None:
            found = lstm_gradient(xp, g, hidden, cell, weight, out, needs)
        return rule(m, g, hidden, cell, weight, projection, mask, out, needs) if found is None else found

    def gru_sequence(gates, hidden, weight, bias=None, mask=None):
        out = gru(xp, gates, hidden, weight, bias) if mask is None and gates.ndim == 3 else None
        return plain_gru(gates, hidden, weight, bias, mask) if out is None else out

    def gru_backward(rule, m, g, gates, hidden, weight, bias, mask, out, needs):
        found = None
        if mask is None:
            found = gru_gradient(xp, g, gates, hidden, weight, bias, out, needs, reader.sum_)
        return rule(m, g, gates, hidden, weight, bias, mask, out, needs) if found is None else found

    kernels["lstm_sequence"], kernels["gru_sequence"] = lstm_sequence, gru_sequence
    reader.lstm_sequence, reader.gru_sequence = lstm_sequence, gru_sequence
    gradients["lstm_sequence", None], gradients["gru_sequence", None] = lstm_backward, gru_backward
