"""Linear maps: the functions behind Linear and Bilinear."""

from __future__ import annotations

from mlkit.core.dispatch import composite, ops
from mlkit.core.errors import ShapeError
from mlkit.functional.arguments import check_same_dtype


def linear(input, weight, bias=None):
    """input @ weight.T + bias: input (*, in), weight (out, in), bias (out) -> (*, out).

    >>> import mlkit
    >>> mlkit.nn.functional.linear(mlkit.ones(2, 3), mlkit.ones(4, 3)).shape
    mlkit.Size([2, 4])
    """
    if weight._array.ndim > 2:
        raise ShapeError(
            f"linear: expected weight (out, in), got {weight._array.ndim} dims.",
            f"weight: {tuple(weight._array.shape)}",
        )
    return ops.linear(input, weight, bias)


@composite
def bilinear(input1, input2, weight, bias=None):
    """input1 @ weight[o] @ input2 for each output o: (*, in1), (*, in2), weight (out, in1, in2) -> (*, out).

    >>> import mlkit
    >>> mlkit.nn.functional.bilinear(mlkit.ones(5, 2), mlkit.ones(5, 3), mlkit.ones(4, 2, 3)).shape
    mlkit.Size([5, 4])
    """
    a, b, w = tuple(input1._array.shape), tuple(input2._array.shape), tuple(weight._array.shape)
    if len(w) != 3 or a[:-1] != b[:-1] or a[-1:] != w[1:2] or b[-1:] != w[2:]:
        raise ShapeError(
            "bilinear: expected input1 (*, in1), input2 (*, in2) and weight (out, in1, in2).",
            f"input1: {a}\ninput2: {b}\nweight: {w}",
        )
    if bias is not None:
        check_same_dtype("bilinear", input1, False, bias=bias)
    if bias is not None and tuple(bias._array.shape) != w[:1]:
        raise ShapeError("bilinear: bias must have one value per output.", f"weight: {w}\nbias: {bias.shape}")
    rows = ops.reshape(input1, shape=(-1, 1, 1, w[1]))
    columns = ops.reshape(input2, shape=(-1, 1, w[2], 1))
    out = ops.matmul(ops.matmul(rows, ops.reshape(weight, shape=(1, *w))), columns)  # (rows, out, 1, 1)
    out = ops.reshape(out, shape=(*a[:-1], w[0]))
    return out if bias is None else ops.add(out, bias)
