"""Kernels that write into memory that is there: for compiled programs, whose results have their places beforehand.

A writer is made once, when a program is, from the arrays that the recorded call had: it is told shapes and strides that every
replay has again, looks at them then, and gives a function ``run(*operands, *outputs)`` that only computes; None where the
op's override, or NumPy, would do something else. The numbers are those of the override: both call the same kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mlkit.backends import numba
from mlkit.backends.numba import attention, conv, flat, gemm, lines, pool, pooling
from mlkit.backends.numba.flat import FLOAT32
from mlkit.backends.numba.scratch import address, floats

#: op -> maker (kernels, attributes, operands, outputs) -> run, or None
WRITERS: dict[str, Callable] = {}


def writes(op: str) -> Callable[[Callable], Callable]:
    """The decorated function makes the writer of ``op``, where the op's override would take its first operand."""

    def register(function: Callable) -> Callable:
        WRITERS[op] = function
        return function

    return register


def writer(op: str, attributes: dict, operands: list, outputs: list[np.ndarray]) -> Callable | None:
    """The function ``run(*operands, *outputs)`` for a node with these operands (arrays, numbers or None)."""
    make = WRITERS.get(op)
    if make is None or not numba.usable():
        return None
    if any(a is not None and a.__class__ is not np.ndarray for a in operands) or operands[0] is None:
        return None
    name = op.removesuffix("_backward_input").removesuffix("_backward")
    forward = op.removesuffix("_relu")
    chosen: numba.Override = numba.OVERRIDES[forward] if forward in numba.OVERRIDES else _gradient(name)
    if not chosen.takes(operands[0]):
        return None
    return make(numba.kernels(chosen.family), attributes, operands, outputs)


def _gradient(name: str) -> numba.Override:
    return numba.GRADIENTS.get((name, None)) or numba.GRADIENTS[name, "input"]


def bound_by(run: Callable, bind: Callable) -> Callable:
    """``run`` with a ``bind(*operands, *outputs)`` that gives a function without arguments: for arrays that stay where they
    are from call to call, which is nearly all of a program. It asks for no address and makes no view any more. Where it has
    ``calls`` (see lines.py), no Python is needed for it at all."""
    run.bind = bind  # type: ignore[attr-defined]
    return run


def again(work: tuple, *arrays, by: Callable = pool.split) -> Callable[[], None]:
    """What ``pool.split`` (or ``pool.share``) takes as a function of nothing, with the arrays whose addresses are in there."""
    run, given, total, grain, *more = work if by is pool.share else (work[0], (), *work[1:])

    def call(alive=arrays):
        by(*work)

    if not 0 < total < 2 * grain:
        return call
    if len(more) == 3:  # step, and the place and size of a thread's room
        room = floats(more[2])
        arrays = (*arrays, room)
        given = (*given[: more[1]], address(room), *given[more[1] + 1 :])

    def whole(alive=arrays):  # it is never shared among threads
        run(*given, 0, total)

    return lines.done_by(whole, [(run, (*given, 0, total))] if by is pool.share else None)


def plain(*arrays) -> bool:
    """Whether all that are there are float32 without gaps, in the usual order."""
    return all(a is None or a.dtype is FLOAT32 and a.size and a.flags.c_contiguous for a in arrays)


@writes("linear_relu")
def linear_relu(k, attributes, operands, outputs):
    return linear(k, attributes, operands, outputs, relu=1)


@writes("linear")
def linear(k, attributes, operands, outputs, relu: int = 0):
    (x, weight, bias), (out,) = (*operands, None)[:3], outputs
    if not plain(x, weight, bias, out):
        return None
    if x.size == x.shape[-1]:
        return row(k, x, weight, bias, relu)
    if not gemm.fits(x.size, x.shape, weight):
        return None
    if bias is not None and bias.shape != weight.shape[:1]:
        return None
    few = x.size <= gemm.FEW * x.shape[-1]

    def run(x, weight, *rest):
        bias, out = rest if len(rest) == 2 else (None, rest[0])
        gemm.product(k, x, weight, bias, out, relu)

    def bind(x, weight, *rest):
        bias, out = rest if len(rest) == 2 else (None, rest[0])
        start = gemm.begin(bias, weight.shape[0])
        return again(gemm.few_rows(k, x, weight, start, out, relu), x, weight, start, out, by=pool.share)

    return bound_by(run, bind) if few else run


def row(k, x, weight, bias, relu: int) -> Callable | None:
    """The writer of a linear layer of a single row."""
    if not gemm.fits_row(x, weight, bias):
        return None

    outs, count = weight.shape
    kernel, grain = k.row_by_rows, gemm.row_grain(k, count)
    known: list = [None, None, None, 0, 0]  # the weights and bias of the last call, and where they are: mostly the same

    def run(x, weight, *rest):
        bias, out = rest if len(rest) == 2 else (None, rest[0])
        if known[0] is not weight or known[1] is not bias:
            start = gemm.begin(bias, outs)
            known[:] = weight, bias, start, address(weight), address(start)
        given = address(x), count, known[3], known[4], address(out), relu
        if outs < 2 * grain:
            kernel(*given, 0, outs)
        else:
            pool.share(kernel, given, outs, grain, k.DOTS)

    def bind(x, weight, *rest):
        bias, out = rest if len(rest) == 2 else (None, rest[0])
        start = gemm.begin(bias, weight.shape[0])
        return again(gemm.one_row(k, x, weight, start, out, relu), x, weight, start, out, by=pool.share)

    return bound_by(run, bind)


@writes("linear_backward_input")
def linear_backward_input(k, attributes, operands, outputs):
    if len(operands) != 2:
        return None
    (g, weight), (out,) = operands, outputs
    if not plain(g, weight, out) or not gemm.suits(g, weight.shape) or weight.shape[1] % gemm.LANES:
        return None
    outs, count = weight.shape
    if g.shape[-1] != outs or out.shape != (*g.shape[:-1], count):
        return None
    return lambda g, weight, out: gemm.input_product(k, g.reshape(-1, outs), weight, out.reshape(-1, count))


@writes("attention")
def weighted(k, attributes, operands, outputs):
    (query, key, value), (out, sums) = operands, outputs
    if query.ndim != 4 or not attention.suits(query, key, value) or not attributes["scale"] > 0:
        return None
    if any(x.strides[-1] != 4 or min(x.strides) <= 0 for x in (query, key, value, out)) or not plain(sums):
        return None
    factor, causal = np.array([attributes["scale"]], np.float32), bool(attributes["is_causal"])

    def run(q, k_, v, out, sums):
        pool.share(*attention.weighted(k, q, k_, v, factor, causal, out, sums))

    def bind(*arrays):
        return again(attention.weighted(k, *arrays[:3], factor, causal, *arrays[3:]), *arrays, by=pool.share)

    return bound_by(run, bind)


@writes("layer_norm")
def layer_norm(k, attributes, operands, outputs):
    (x, weight, bias), (out,) = (*operands, None, None)[:3], outputs
    count = math.prod(x.shape[x.ndim - attributes["dims"] :])
    if weight is None or bias is None or not plain(x, weight, bias, out):
        return None
    if weight.shape != x.shape[x.ndim - attributes["dims"] :] or bias.shape != weight.shape:
        return None
    rows, small = x.size // count, np.float32(attributes["eps"])
    grain, vector = max(1, (1 << 15) // count), weight.ndim == 1

    def prepared(x, weight, bias, out):
        x, out = x.reshape(rows, count), out.reshape(rows, count)
        if not vector:
            weight, bias = weight.reshape(-1), bias.reshape(-1)
        return lambda a, b: k.layer_norm(x, weight, bias, small, out, a, b), rows, grain

    return bound_by(lambda *arrays: pool.split(*prepared(*arrays)), lambda *arrays: again(prepared(*arrays), *arrays))


@writes("gelu")
def gelu(k, attributes, operands, outputs):
    if not plain(*operands, *outputs):
        return None
    kernel = k.gelu_tanh if attributes["approximate"] == "tanh" else k.gelu

    def prepared(x, out):
        x, out = x.reshape(-1), out.reshape(-1)
        return lambda a, b: kernel(x, out, a, b), x.size, flat.GRAIN

    return bound_by(lambda *arrays: pool.split(*prepared(*arrays)), lambda *arrays: again(prepared(*arrays), *arrays))


def _pixels(x: np.ndarray) -> bool:
    """Whether (N, C, H, W) lies with its channels last, C in sixteens."""
    return (
        x.dtype is FLOAT32
        and x.ndim == 4
        and x.shape[1] % conv.LANES == 0
        and x.transpose(0, 2, 3, 1).flags.c_contiguous
    )


@writes("conv2d")
def conv2d(k, attributes, operands, outputs):
    (x, weight, bias), (out,) = (*operands, None)[:3], outputs
    if not conv.single(x, weight, bias) or attributes["groups"] != 1 or not conv.fits(x, weight, 1) or not _pixels(out):
        return None
    stride, dilation = attributes["stride"], attributes["dilation"]
    kernel, outs, before = weight.shape[2:], weight.shape[0], tuple(p[0] for p in attributes["padding"])
    sizes = conv.output_sizes(x.shape[2:], kernel, stride, attributes["padding"], dilation)
    if min(sizes) < 1 or bias is not None and bias.shape != (outs,) or out.shape != (x.shape[0], outs, *sizes):
        return None
    if conv.few_pixels(weight, stride, sizes, x.shape[0]):
        return None
    strides = (sizes[0] * sizes[1] * outs, sizes[1] * outs, outs)

    def run(x, weight, *rest):
        bias, out = rest if len(rest) == 2 else (None, rest[0])
        x, out = conv.last_channels(k, x), out.transpose(0, 2, 3, 1)
        if conv.for_winograd(weight.shape[1], outs, kernel, stride, dilation, sizes, x.shape[0]):
            conv.winograd_forward(x, weight, bias, before, sizes, out)
        else:
            conv.run_forward(k, x, weight, bias, outs, stride, dilation, before, sizes, out, 0, strides)

    return run


@writes("max_pool2d")
def max_pool2d(k, attributes, operands, outputs):
    (x,), (values, indices) = operands, outputs
    if not _pixels(x) or x.shape[2] * x.shape[3] >= 1 << 31 or not _pixels(values) or indices.dtype != np.int64:
        return None
    if indices.strides != tuple(2 * s for s in values.strides):
        return None
    names = ("kernel_size", "stride", "padding", "dilation")
    how = [tuple(attributes[n]) for n in names]
    (batch, channels, high, wide), sizes = x.shape, values.shape[2:]
    if sizes != pooling.sizes_of("max_pool2d", x.shape, *how, attributes["ceil_mode"]):
        return None
    numbers = (high, wide, channels, *[n for pair in how for n in pair], *sizes)
    lines, grain = batch * sizes[0], max(1, pooling.GRAIN // (sizes[1] * channels))

    def prepared(x, values, indices):
        common = (address(x), *numbers, address(values), address(indices))
        return lambda a, b: k.max_forward(*common, a, b), lines, grain

    return bound_by(lambda *arrays: pool.split(*prepared(*arrays)), lambda *arrays: again(prepared(*arrays), *arrays))
