"""Compiled loops over single elements. All arrays are flat, contiguous float32; each works on the range start .. stop."""

from __future__ import annotations

import numpy as np

from mlkit.backends.numba import elementary as e
from mlkit.backends.numba.compiling import kernel

F = np.float32
ZERO, HALF, ONE = F(0), F(0.5), F(1)
GELU_A, GELU_B, GELU_C = F(0.7978845608028654), F(0.044715), F(3 * 0.044715)  # sqrt(2/pi) and the cubic's factor
# of z, the power of two in 1 / (1 + 2**z): -2 log2(e) times the above
POWER_A, POWER_B = F(-2.302208198144325), F(-2.302208198144325 * 0.044715)
PDF = F(0.3989422804014327)  # 1 / sqrt(2 pi)

ONE_IN = "void(float32[::1], float32[::1], int64, int64)"
TWO_IN = "void(float32[::1], float32[::1], float32[::1], int64, int64)"

contract = {"fastmath": {"contract"}}


@kernel(ONE_IN, **contract)
def exp(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = e.exp(x[i])


@kernel(ONE_IN, **contract)
def log(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = e.log(x[i])


@kernel(TWO_IN, **contract)
def tanh_gradient(g, out, y, start, stop):
    g, out, y = g[start:stop], out[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = g[i] * (ONE - out[i] * out[i])


@kernel(ONE_IN, **contract)
def sigmoid(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = e.sigmoid(x[i])


@kernel(TWO_IN, **contract)
def sigmoid_gradient(g, out, y, start, stop):
    g, out, y = g[start:stop], out[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = g[i] * ((ONE - out[i]) * out[i])


@kernel(ONE_IN, **contract)
def erf(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = e.erf(x[i])


@kernel(ONE_IN, **contract)
def erfc(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = e.erfc(x[i])


@kernel(ONE_IN, **contract)
def relu(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = ZERO if x[i] <= ZERO else x[i]  # a NaN stays


@kernel(TWO_IN, **contract)
def relu_gradient(g, out, y, start, stop):
    g, out, y = g[start:stop], out[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = ZERO if out[i] <= ZERO else g[i]  # of a NaN too


@kernel(ONE_IN, **contract)
def silu(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = x[i] * e.sigmoid(x[i])


@kernel(TWO_IN, **contract)
def silu_gradient(g, x, y, start, stop):
    g, x, y = g[start:stop], x[start:stop], y[start:stop]
    for i in range(y.size):
        s = e.sigmoid(x[i])
        y[i] = g[i] * (s * (ONE + x[i] * (ONE - s)))


@kernel(ONE_IN, **contract)
def softplus(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = e.softplus(x[i])


@kernel(TWO_IN, **contract)
def softplus_gradient(g, x, y, start, stop):
    g, x, y = g[start:stop], x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = g[i] * e.sigmoid(x[i])


@kernel(ONE_IN, **contract)
def gelu(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = x[i] * e.normal_cdf(x[i], e.exp(-HALF * x[i] * x[i]))


@kernel(TWO_IN, **contract)
def gelu_gradient(g, x, y, start, stop):
    g, x, y = g[start:stop], x[start:stop], y[start:stop]
    for i in range(y.size):
        bell = e.exp(-HALF * x[i] * x[i])
        y[i] = g[i] * (e.normal_cdf(x[i], bell) + x[i] * (PDF * bell))


# 0.5 (1 + tanh(u)) is 1 / (1 + 2**z) with z = -2 u log2(e): one power of two and no branch


@kernel(ONE_IN, **contract)
def gelu_tanh(x, y, start, stop):
    x, y = x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = x[i] * e.logistic(x[i] * (POWER_A + POWER_B * (x[i] * x[i])))


@kernel(TWO_IN, **contract)
def gelu_tanh_gradient(g, x, y, start, stop):
    g, x, y = g[start:stop], x[start:stop], y[start:stop]
    for i in range(y.size):
        square = x[i] * x[i]
        s = e.logistic(x[i] * (POWER_A + POWER_B * square))
        slope = GELU_A * (ONE + GELU_C * square)
        y[i] = g[i] * (s + x[i] * ((ONE - s) * (s + s)) * slope)


@kernel("void(float32[::1], float32[::1], float32, int64, int64)", **contract)
def leaky_relu(x, y, slope, start, stop):
    x, y = x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = x[i] if x[i] > ZERO else x[i] * slope


@kernel("void(float32[::1], float32[::1], float32[::1], float32, int64, int64)", **contract)
def leaky_relu_gradient(g, x, y, slope, start, stop):
    g, x, y = g[start:stop], x[start:stop], y[start:stop]
    for i in range(y.size):
        y[i] = g[i] if x[i] > ZERO else g[i] * slope
