"""Linear layers: products with transposed weights and a bias, a tenth to a third quicker than through BLAS for the sizes
here (a BLAS pays for the transposed operand, and the bias is another walk over the results). float32 only."""

from __future__ import annotations

import math

import numpy as np

from mlkit.backends.numba import gradient, override, pool
from mlkit.backends.numba.conv import LANES, panel, single, spread, summed
from mlkit.backends.numba.scratch import address, floats, zeros

ROWS = 32  # fewer do not pay for turning the weights
DEEP = 1024  # longer sums overflow the cache that a panel lives in
WEIGHTS = 1 << 22
GRAIN = 1 << 21  # products that make a thread worth waking


def matrix(x: np.ndarray) -> np.ndarray:
    """(*, n) as rows in memory."""
    if x.ndim == 2 and x.flags.c_contiguous:
        return x
    return np.ascontiguousarray(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]))


def suits(x, weight_shape) -> bool:
    return (
        x.ndim >= 2
        and len(weight_shape) == 2
        and x.size >= ROWS * x.shape[-1]
        and weight_shape[0] * weight_shape[1] <= WEIGHTS
    )


@override("linear", minimum=2048)
def linear(k, input, weight, bias=None):
    if not single(input, weight, bias) or not suits(input, weight.shape) or not weight.flags.c_contiguous:
        return NotImplemented
    outs, count = weight.shape
    if outs % LANES or count % LANES or count > DEEP or input.shape[-1] != count or bias is not None and bias.ndim != 1:
        return NotImplemented
    x = matrix(input)
    turned, start = floats(outs * count), spread(outs, bias)
    k.turn(address(weight), outs, count, address(turned))
    out = np.empty((x.shape[0], outs), np.float32)
    common = (address(x), count, address(turned), 0, count * panel() * 4, address(start), outs, address(out))
    pool.split(lambda a, b: k.rows_by_panels(*common, a, b), x.shape[0], max(ROWS, GRAIN // (outs * count)))
    return out.reshape((*input.shape[:-1], outs))


@gradient("linear", "input", minimum=2048)
def linear_input_gradient(k, g, weight):
    if not single(g, weight) or not suits(g, weight.shape) or not weight.flags.c_contiguous:
        return NotImplemented
    outs, count = weight.shape
    if count % LANES or outs > DEEP or count > DEEP:
        return NotImplemented
    rows = matrix(g)
    zero = zeros(count)
    out = np.empty((rows.shape[0], count), np.float32)
    common = (address(rows), outs, address(weight), count * 4, panel() * 4, address(zero), count, address(out))
    pool.split(lambda a, b: k.rows_by_panels(*common, a, b), rows.shape[0], max(ROWS, GRAIN // (outs * count)))
    return out.reshape((*g.shape[:-1], count))


@gradient("linear", "weight", minimum=2048)
def linear_weight_gradient(k, g, input, weight_shape):
    if not single(g, input) or not suits(g, weight_shape) or input.ndim < 2:
        return NotImplemented
    outs, count = weight_shape
    if count % LANES or outs * count > WEIGHTS // 16:
        return NotImplemented
    rows, x = matrix(g), matrix(input)
    common = (address(rows), outs, address(x), count)
    grain = max(4 * ROWS, GRAIN // (outs * count))
    if rows.shape[0] < 2 * grain or pool.threads() == 1:
        out = np.zeros((outs, count), np.float32)
        k.columns_by_rows(*common, address(out), 0, rows.shape[0])
        return out
    total = summed(lambda t, a, b: k.columns_by_rows(*common, address(t), a, b), rows.shape[0], outs * count, grain)
    return total.reshape(outs, count)
