"""Compiled optimizer steps over many tensors at once, and the norm of many gradients.

The tensors are a table of addresses (one row per role: parameter, gradient, ...; one column per tensor) of contiguous
float32 memory, and ``starts`` says at which element of the whole each begins. A call works on the elements
``start .. stop`` of the whole, so that large and small tensors share the threads evenly.
"""

from __future__ import annotations

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from mlkit.backends.numba.compiling import kernel

F = np.float32
ZERO, ONE = F(0), F(1)
BLOCK = 2048


@intrinsic
def at(typingctx, address):
    """The memory at an address, as a pointer to float32."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), generate


contract = {"fastmath": {"contract"}}


@kernel("void(int64[:, ::1], int64[::1], float32[:, ::1], boolean, int64, int64)", **contract)
def adam(table, starts, numbers, decoupled, start, stop):
    """numbers, per tensor: sign of g, weight decay (or its factor), 1 - beta1, beta2, 1 - beta2, root's scale, eps, step."""
    for t in range(table.shape[1]):
        low, high = max(start, starts[t]) - starts[t], min(stop, starts[t + 1]) - starts[t]
        if low >= high:
            continue
        n = high - low
        p = carray(at(table[0, t] + 4 * low), n)
        g = carray(at(table[1, t] + 4 * low), n)
        mean = carray(at(table[2, t] + 4 * low), n)
        square = carray(at(table[3, t] + 4 * low), n)
        sign, decay, rate1, beta2, rate2, scale, eps, size = numbers[t]
        for i in range(n):
            x = g[i] * sign
            w = p[i]
            if decoupled:
                w *= decay
            else:
                x += decay * w
            m = mean[i] + (x - mean[i]) * rate1
            v = square[i] * beta2 + rate2 * x * x
            mean[i] = m
            square[i] = v
            p[i] = w - size * m / (np.sqrt(v) * scale + eps)


@kernel("void(int64[:, ::1], int64[::1], float32[::1], boolean, int64, int64)", **contract)
def sgd(table, starts, numbers, nesterov, start, stop):
    """numbers: sign of g, weight decay, momentum, 1 - dampening, learning rate."""
    sign, decay, momentum, keep, rate = numbers
    for t in range(table.shape[1]):
        low, high = max(start, starts[t]) - starts[t], min(stop, starts[t + 1]) - starts[t]
        if low >= high:
            continue
        n = high - low
        p = carray(at(table[0, t] + 4 * low), n)
        g = carray(at(table[1, t] + 4 * low), n)
        if momentum == ZERO:
            for i in range(n):
                p[i] -= rate * (g[i] * sign + decay * p[i])
            continue
        buffer = carray(at(table[2, t] + 4 * low), n)
        for i in range(n):
            x = g[i] * sign + decay * p[i]
            b = buffer[i] * momentum + keep * x
            buffer[i] = b
            p[i] -= rate * (x + momentum * b if nesterov else b)


@kernel("void(int64[:, ::1], int64[::1], float32[::1], int64, int64)", **contract)
def rmsprop(table, starts, numbers, start, stop):
    """numbers: sign of g, weight decay, alpha, 1 - alpha, eps, learning rate."""
    sign, decay, alpha, rest, eps, rate = numbers
    for t in range(table.shape[1]):
        low, high = max(start, starts[t]) - starts[t], min(stop, starts[t + 1]) - starts[t]
        if low >= high:
            continue
        n = high - low
        p = carray(at(table[0, t] + 4 * low), n)
        g = carray(at(table[1, t] + 4 * low), n)
        square = carray(at(table[2, t] + 4 * low), n)
        for i in range(n):
            x = g[i] * sign + decay * p[i]
            v = square[i] * alpha + rest * x * x
            square[i] = v
            p[i] -= rate * x / (np.sqrt(v) + eps)


@kernel("float64(int64[:, ::1], int64[::1], int64, int64)", fastmath={"contract", "reassoc"})
def sum_of_squares(table, starts, start, stop):
    """Blocks are summed in float32 vectors, their sums in float64."""
    total = 0.0
    for t in range(table.shape[1]):
        low, high = max(start, starts[t]) - starts[t], min(stop, starts[t + 1]) - starts[t]
        while low < high:
            n = min(BLOCK, high - low)
            g = carray(at(table[0, t] + 4 * low), n)
            part = ZERO
            for i in range(n):
                part += g[i] * g[i]
            total += np.float64(part)
            low += n
    return total


@kernel("void(int64[:, ::1], int64[::1], float32, int64, int64)", **contract)
def scale(table, starts, factor, start, stop):
    for t in range(table.shape[1]):
        low, high = max(start, starts[t]) - starts[t], min(stop, starts[t + 1]) - starts[t]
        if low >= high:
            continue
        g = carray(at(table[0, t] + 4 * low), high - low)
        for i in range(high - low):
            g[i] *= factor
