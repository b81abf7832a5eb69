"""Linear layers: products with transposed weights and a bias, a tenth to a third quicker than through BLAS for the sizes
here (a BLAS pays for the transposed operand, and the bias is another walk over the results). float32 only."""

from __future__ import annotations

import math

import numpy as np

from mlkit.backends.numba import gradient, override, pool
from mlkit.backends.numba.conv import LANES, panel, single
from mlkit.backends.numba.flat import FLOAT32
from mlkit.backends.numba.scratch import address, floats, nothing

ROWS = 16  # fewer do not pay for turning the weights
FEW = 256  # rows up to here: weights are turned a panel at a time
MANY = 256  # rows that pay for bringing them together
FAR = 512  # columns from which rows lie too far apart to be read side by side
LONG = 1024  # sums from which rows of the left matrix are copied, in parts
WEIGHTS = 1 << 23
ROW_GRAIN = 1 << 18  # weights of a single row's product that make a thread worth waking
GRAIN = 1 << 19  # products that make a thread worth its while


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


def begin(bias, count: int) -> np.ndarray:
    """What the sums begin with."""
    if bias is None:
        return nothing(count)
    return bias if bias.flags.c_contiguous else np.ascontiguousarray(bias)


def rows_product(k, a: np.ndarray, b: tuple[int, int, int], start: np.ndarray, out: np.ndarray, relu: int = 0) -> None:
    """out = start + a @ b, where b is where it is, and the bytes to the next row (0 in panels) and panel; with ``relu``, zero
    where that is below."""
    (rows, count), columns = a.shape, out.shape[1]
    common = (address(a), count, *b, address(start), columns, address(out), relu, 0)
    room = (9, k.CHUNK * k.ROOM) if count > LONG or count % LONG == 0 else ()
    pool.share(k.rows_by_panels, common, rows, max(ROWS, GRAIN // (count * columns)), k.ROWS, *room)


@override("linear", minimum=1024, row=128)
def linear(k, input, weight, bias=None):
    shape, size = input.shape, input.size
    if size == shape[-1]:
        if not fits_row(input, weight, bias):
            return NotImplemented
        out = np.empty((*shape[:-1], weight.shape[0]), np.float32)
        row_product(k, input, weight, bias, out)
        return out
    if not single(input, weight, bias):
        return NotImplemented
    if not fits(input.size, shape, weight) or bias is not None and bias.shape != weight.shape[:1]:
        return NotImplemented
    out = np.empty((*shape[:-1], weight.shape[0]), np.float32)
    product(k, input if input.flags.c_contiguous else np.ascontiguousarray(input), weight, bias, out)
    return out


def fits_row(x: np.ndarray, weight: np.ndarray, bias) -> bool:
    """Whether ``row_product`` does it: a single row (*, n) without gaps, in whole vectors, and weights as a layer has them."""
    form = weight.shape
    if len(form) != 2 or x.dtype is not FLOAT32 or weight.dtype is not FLOAT32 or not weight.flags.c_contiguous:
        return False
    outs, count = form
    if x.shape[-1] != count or count % LANES or not count or not outs or x.strides[-1] != 4:
        return False
    return bias is None or bias.dtype is FLOAT32 and bias.shape == (outs,)


def row_product(k, x: np.ndarray, weight: np.ndarray, bias, out: np.ndarray, relu: int = 0) -> None:
    """out = x @ weight.T + bias of a single row; with ``relu``, zero where that is below."""
    outs, count = weight.shape
    start = begin(bias, outs)
    if weight.size < 2 * ROW_GRAIN:  # no thread is woken: without the function that ranges are given to
        k.row_by_rows(address(x), count, address(weight), address(start), address(out), relu, 0, outs)
    else:
        pool.share(*one_row(k, x, weight, start, out, relu))


def one_row(k, x: np.ndarray, weight: np.ndarray, start: np.ndarray, out: np.ndarray, relu: int = 0) -> tuple:
    """``row_product`` as what ``pool.share`` takes: it may be called again while the arrays are alive."""
    outs, count = weight.shape
    given = (address(x), count, address(weight), address(start), address(out), relu)
    return k.row_by_rows, given, outs, row_grain(k, count), k.DOTS


def row_grain(k, count: int) -> int:
    """How many sums of so many numbers make a thread worth waking."""
    return max(k.DOTS, ROW_GRAIN // count)


def fits(size: int, shape: tuple, weight: np.ndarray) -> bool:
    """Whether ``product`` does it: enough rows, whole vectors, weights as a layer has them."""
    if weight.ndim != 2 or len(shape) < 2 or not weight.flags.c_contiguous:
        return False
    outs, count = weight.shape
    return (
        count == shape[-1]
        and size >= ROWS * count
        and not outs % LANES
        and not count % LANES
        and outs * count <= WEIGHTS
    )


def product(k, x: np.ndarray, weight: np.ndarray, bias, out: np.ndarray, relu: int = 0) -> None:
    """out = x @ weight.T + bias: ``x`` and ``out`` of any number of dims, without gaps in memory; with ``relu``, zero where
    that is below."""
    outs, count = weight.shape
    rows, start, wide = x.size // count, begin(bias, outs), k.PANEL
    if rows <= FEW:
        pool.share(*few_rows(k, x, weight, start, out, relu))
    else:
        turned = floats(outs * count)
        k.turn(address(weight), outs, count, address(turned))
        where = address(turned), 0, count * wide * 4
        rows_product(k, x.reshape(rows, count), where, start, out.reshape(rows, outs), relu)


def few_rows(k, x: np.ndarray, weight: np.ndarray, start: np.ndarray, out: np.ndarray, relu: int = 0) -> tuple:
    """``product`` of up to FEW rows as what ``pool.share`` takes: it may be called again while the arrays are alive."""
    outs, count = weight.shape
    rows, wide = x.size // count, k.PANEL
    given = (address(x), rows, count, address(weight), address(start), outs, address(out), relu, 0)
    grain = max(1, GRAIN // (rows * count * wide))
    return k.panels_by_rows, given, -(-outs // wide), grain, 1, 8, min(count, k.DEPTH) * wide


@gradient("linear", "input", minimum=1024)
def linear_input_gradient(k, g, weight):
    if not single(g, weight) or not suits(g, weight.shape) or not weight.flags.c_contiguous:
        return NotImplemented
    outs, count = weight.shape
    if count % LANES:
        return NotImplemented
    rows = matrix(g)
    out = np.empty((rows.shape[0], count), np.float32)
    input_product(k, rows, weight, out)
    return out if g.ndim == 2 else out.reshape((*g.shape[:-1], count))


def input_product(k, rows: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """out = rows @ weight, of matrices without gaps."""
    outs, count = weight.shape
    if count >= FAR and rows.shape[0] >= MANY:
        laid = floats(outs * count)
        k.lay(address(weight), outs, count, address(laid))
        where = (address(laid), 0, outs * panel() * 4)
    else:
        where = (address(weight), count * 4, panel() * 4)
    rows_product(k, rows, where, nothing(count), out)


@gradient("linear", "weight", minimum=1024)
def linear_weight_gradient(k, g, input, weight_shape):
    if not single(g, input) or not suits(g, weight_shape) or input.ndim < 2:
        return NotImplemented
    if weight_shape[1] % LANES:
        return NotImplemented
    return columns_product(k, matrix(g), matrix(input))


def columns_product(k, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a.T @ b of matrices with as many rows, both as they lie in memory; b's columns in sixteens."""
    (rows, high), wide = a.shape, b.shape[1]
    zero = nothing(panel())
    apart = rows >= MANY and high % FAR == 0, rows >= MANY and wide >= FAR
    out = np.empty((high, wide), np.float32)
    given = (address(a), rows, high, address(b), wide, address(zero), *map(int, apart), 0, address(out))
    room = (8, (k.BAND + k.GROUP) * k.STEPS) if any(apart) else ()
    grain = max(
        2 * k.ROWS, GRAIN // (rows * wide), high // pool.threads() if apart[1] else 0
    )  # b is brought together in each
    pool.share(k.columns_by_rows, given, high, grain, k.ROWS, *room)
    return out
