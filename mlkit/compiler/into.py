"""Ops that write their result into a given array: what a memory plan can work with."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.compiler.graph import GraphNode, Ref
from mlkit.compiler.passes import Facts
from mlkit.core import backend as backends
from mlkit.ops import REGISTRY

#: ops whose forward is one ufunc under another name
_UFUNCS = {"sub": np.subtract}


def writer(n: GraphNode, facts: Facts) -> Callable | None:
    """A function (operands..., outputs...) that computes the node into its outputs, to the same bits; None where there is
    none."""
    if n.effect:
        return None
    if n.writes is not None:
        return n.writes
    found = of_the_backend(n, facts)
    if found is not None:
        return found
    if n.kernel is not None or len(n.outputs) != 1:
        return None
    op = REGISTRY.get(n.op)
    if op is None:
        return None
    array = facts.arrays[n.outputs[0]]
    if array.dtype.kind not in "fbiu" or array.itemsize == 2 and array.dtype.kind == "f":
        return None
    operands = [facts.arrays[a] for a in n.arguments if isinstance(a, Ref)]
    if any(a.dtype.kind not in "fbiu" or a.itemsize == 2 and a.dtype.kind == "f" for a in operands):
        return None
    # no kernel takes a single row, or outputs that are not in whole vectors, as the few of a last layer
    plain = n.op == "linear" and (operands[0].size == operands[0].shape[-1] or operands[1].shape[0] % 16)
    if (
        n.op in backends.load("numpy").kernels
        and not plain
        and not (operands and operands[0].size < smallest_override(n.op))
    ):
        return None  # the backend has a kernel of its own for it
    found = getattr(np, op.ufunc) if op.ufunc else _UFUNCS.get(n.op)
    if found is not None:
        if len(n.arguments) != found.nin:
            return None
        if found in (np.maximum, np.minimum):  # they want out by name
            return lambda x, y, out: found(x, y, out=out)
        return found
    make = _MAKERS.get(n.op)
    return make(n, operands, array) if make is not None else None


def of_the_backend(n: GraphNode, facts: Facts) -> Callable | None:
    """The writer that the Numba backend has for the node."""
    if importlib.util.find_spec("mlkit.backends.numba") is None or any(
        isinstance(a, Ref) for a in n.attributes.values()
    ):
        return None
    if n.kernel is not None and not n.op.endswith(("_backward", "_backward_input", "linear_relu")):
        return None
    if n.picks is not None and not all(n.picks):
        return None
    if not all(isinstance(a, Ref) or a is None for a in n.arguments):
        return None
    operands = [facts.arrays[a] if isinstance(a, Ref) else None for a in n.arguments]
    outputs = [facts.arrays[k] for k in n.outputs]
    return importlib.import_module("mlkit.backends.numba.into").writer(n.op, n.attributes, operands, outputs)


def smallest_override(name: str) -> int:
    """From how many elements on the Numba backend's kernel is taken for an op; 0 when that is not known."""
    if importlib.util.find_spec("mlkit.backends.numba") is None:
        return 0
    known = getattr(importlib.import_module("mlkit.backends.numba"), "OVERRIDES", {}).get(name)
    return getattr(known, "minimum", 0)


def _matmul(n, operands, array):
    product = _multiplied(*operands, array)
    return _by_blas(product, *operands) if product is np.dot else product


def _multiplied(a, b, array) -> Callable | None:
    if a.dtype != array.dtype or b.dtype != array.dtype or array.dtype.kind != "f":
        return None
    if 1 << 18 < a.size * b.shape[-1] < 1 << 23:  # where the backend chooses how many threads BLAS takes
        return None
    if a.ndim == b.ndim == 2 and array.flags.c_contiguous:
        return np.dot
    return lambda x, y, out: np.matmul(x, y, out=out)


def _by_blas(run: Callable, a, b, bias=None, turned: bool = False) -> Callable:
    """``run``, bound to its arrays, says the calls that machine code makes for it: ``a @ b``, and the bias; where BLAS does it in
    one thread."""
    lines = backend_lines()
    plain = bias is None or bias.dtype == np.float32 == a.dtype and bias.ndim == 1 and bias.flags.c_contiguous
    if lines is None or not plain or not lines.fits(a, b):
        return run

    def bind(a, b, *rest):
        *biases, out = rest
        alive, calls = lines.product(a, b.T if turned else b, out)
        calls += [lines.add_row(x, out) for x in biases if x is not None]
        return lines.done_by(functools.partial(_keeping, alive, run, a, b, *rest), calls)

    found = functools.partial(run)
    found.bind = bind  # type: ignore[attr-defined]
    return found


def _keeping(alive: tuple, run: Callable, *arrays) -> None:
    """A call that keeps more than its arrays alive."""
    run(*arrays)


def backend_lines():
    """The Numba backend's module of calls without Python; None where it is not used."""
    if importlib.util.find_spec("mlkit.backends.numba") is None:
        return None
    if not importlib.import_module("mlkit.backends.numba").usable():
        return None
    return importlib.import_module("mlkit.backends.numba.lines")


def _linear(n, operands, array):
    x, weight = operands[:2]
    m: Any = backends.load("numpy").m
    if array.flags.c_contiguous and all(a.dtype == array.dtype for a in operands) and m.single_row(x, weight):
        if len(operands) == 3 and operands[2].shape != weight.shape[:1]:
            return None
        return functools.partial(_row, m.row_product)
    if weight.ndim != 2 or x.ndim != 2:
        return None
    product = _multiplied(x, weight.T, array)
    if product is None:
        return None
    run: Callable
    if n.arguments[2:3] == []:
        run = lambda x, w, out: product(x, w.T, out)  # noqa: E731
    elif n.arguments[2] is None:
        run = lambda x, w, _, out: product(x, w.T, out)  # noqa: E731
    else:

        def run(x, w, bias, out):
            product(x, w.T, out)
            np.add(out, bias, out)

    bias = operands[2] if len(operands) == 3 else None
    return _by_blas(run, x, weight.T, bias, turned=True) if product is np.dot else run


def _row(product, x, weight, *rest):
    bias, out = rest if len(rest) == 2 else (None, rest[0])
    product(x, weight, out)
    if bias is not None:
        np.add(out, bias, out)


def _sum(n, operands, array):
    (x,) = operands
    dim, keepdim = n.attributes["dim"], n.attributes["keepdim"]
    counts = x.dtype.kind in "bi" and array.dtype == np.int64
    if not counts and (x.dtype != array.dtype or x.dtype.kind != "f"):
        return None
    reduce, dtype = np.add.reduce, array.dtype
    return lambda x, out: reduce(x, dim, dtype, out, keepdim)


def _relu(n, operands, array):
    return lambda x, out: np.maximum(x, 0, out=out)


def _relu_grad(n, operands, array):
    if any(a.dtype != array.dtype for a in operands):
        return None
    whole = {4: np.int32, 8: np.int64}.get(array.dtype.itemsize)
    if whole is None or array.dtype.kind != "f" or not array.ndim or any(a.shape != array.shape for a in operands):
        return None

    def run(g, y, out):  # as the op itself: all bits or none
        ones = np.logical_not(y <= 0).view(np.int8)
        np.bitwise_and(g.view(whole), np.negative(ones, out=ones), out.view(whole))

    return run


def _square(n, operands, array):
    return lambda x, out: np.multiply(x, x, out)


def _clone(n, operands, array):
    return lambda x, out: np.copyto(out, x)


def _cast(n, operands, array):
    if array.dtype.kind != "f" or operands[0].dtype.kind == "f":
        return None
    return lambda x, out: np.copyto(out, x, "unsafe")


def _where(n, operands, array):
    condition = operands[0]
    if condition.dtype != bool or len(operands) != 3 or any(a.dtype != array.dtype for a in operands[1:]):
        return None

    def run(condition, a, b, out):
        np.copyto(out, b)
        np.copyto(out, a, where=condition)

    return run


_MAKERS: dict[str, Callable] = {
    "matmul": _matmul,
    "linear": _linear,
    "sum": _sum,
    "relu": _relu,
    "relu_grad": _relu_grad,
    "square": _square,
    "clone": _clone,
    "cast": _cast,
    "where": _where,
}
