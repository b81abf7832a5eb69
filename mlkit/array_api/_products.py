"""The standard's products of matrices and vectors."""

from __future__ import annotations

import math
from typing import Any

from mlkit.array_api._array import Array, ShapeRefused, array, direct, pair, result, through_ops
from mlkit.array_api._elementwise import FUNCTIONS
from mlkit.array_api._manipulation import axis_of, broadcast_arrays, moveaxis, permute_dims, reshape
from mlkit.array_api._statistics import sum as _sum
from mlkit.core.dispatch import ops
from mlkit.core.errors import ValueRangeError
from mlkit.core.value import Value


def matmul(x1, x2, /) -> Array:
    """The product of matrices, or of stacks of them; arrays with one axis are vectors."""
    a, b = pair("matmul", "numeric", array(x1, "matmul"), array(x2, "matmul"))
    if not a.ndim or not b.ndim:
        raise ShapeRefused("matmul: arrays without axes have no matrix product.", hint="Use x1 * x2.")
    if a._array.shape[-1] != b._array.shape[-2 if b.ndim > 1 else 0]:
        raise ShapeRefused(f"matmul: the inner sizes of {tuple(a.shape)} and {tuple(b.shape)} differ.")
    return result(ops.matmul(a, b)) if through_ops(a, b) else direct("matmul", a, b)


def tensordot(x1, x2, /, *, axes: Any = 2) -> Array:
    """Products summed over axes: the last n of x1 with the first n of x2, or the axes named for each."""
    a, b = pair("tensordot", "numeric", array(x1, "tensordot"), array(x2, "tensordot"))
    if isinstance(axes, int):
        if axes < 0 or axes > min(a.ndim, b.ndim):
            raise ValueRangeError(f"tensordot: cannot sum over {axes} axes of {tuple(a.shape)} and {tuple(b.shape)}.")
        left, right = list(range(a.ndim - axes, a.ndim)), list(range(axes))
    else:
        left = [axis_of("tensordot", i, a.ndim) for i in axes[0]]
        right = [axis_of("tensordot", i, b.ndim) for i in axes[1]]
    if [a._array.shape[i] for i in left] != [b._array.shape[i] for i in right]:
        raise ShapeRefused(f"tensordot: the sizes along {axes} of {tuple(a.shape)} and {tuple(b.shape)} differ.")
    keep_a = [i for i in range(a.ndim) if i not in left]
    keep_b = [i for i in range(b.ndim) if i not in right]
    shape = tuple(a._array.shape[i] for i in keep_a) + tuple(b._array.shape[i] for i in keep_b)
    inner = math.prod(a._array.shape[i] for i in left)
    rows = math.prod(a._array.shape[i] for i in keep_a)
    columns = math.prod(b._array.shape[i] for i in keep_b)
    m1 = reshape(permute_dims(a, tuple(keep_a + left)), (rows, inner))
    m2 = reshape(permute_dims(b, tuple(right + keep_b)), (inner, columns))
    return reshape(matmul(m1, m2), shape)


def vecdot(x1, x2, /, *, axis: int = -1) -> Array:
    """The sum of conj(x1) * x2 along an axis, counted from the end; the others broadcast."""
    a, b = pair("vecdot", "numeric", array(x1, "vecdot"), array(x2, "vecdot"))
    if axis >= 0 or axis < -min(a.ndim, b.ndim):
        if a.ndim != b.ndim or not -a.ndim <= axis < a.ndim:
            raise ShapeRefused(f"vecdot: axis {axis} must be in [-{min(a.ndim, b.ndim)}, -1].")
    if a._array.shape[axis] != b._array.shape[axis]:
        raise ShapeRefused(f"vecdot: sizes {a._array.shape[axis]} and {b._array.shape[axis]} along axis {axis} differ.")
    d = a.dtype
    a, b = broadcast_arrays(moveaxis(a, axis, -1), moveaxis(b, axis, -1))
    return _sum(FUNCTIONS["multiply"](FUNCTIONS["conj"](a), b), axis=-1, dtype=d)


def is_array(x: Any) -> bool:
    """Whether it is a tensor at all."""
    return isinstance(x, Value)
