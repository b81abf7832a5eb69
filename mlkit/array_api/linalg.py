"""The standard's ``linalg`` extension. Factorisations of arrays that want a gradient go through ``mlkit.linalg``."""

from __future__ import annotations

import importlib
import math
from collections import namedtuple
from typing import Any

import numpy as np

from mlkit.array_api._array import Array, ShapeRefused, array, cast, check_kind, library, new, pair, result, through_ops
from mlkit.array_api._elementwise import FUNCTIONS
from mlkit.array_api._manipulation import axes_of, broadcast_arrays, matrix_transpose, moveaxis, reshape, stack
from mlkit.array_api._products import matmul, tensordot, vecdot
from mlkit.array_api._statistics import sum as _sum
from mlkit.core.dispatch import ops
from mlkit.core.errors import MissingFeature, ValueRangeError
from mlkit.core.value import Value

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]

EighResult = namedtuple("EighResult", ("eigenvalues", "eigenvectors"))
QRResult = namedtuple("QRResult", ("Q", "R"))
SlogdetResult = namedtuple("SlogdetResult", ("sign", "logabsdet"))
SVDResult = namedtuple("SVDResult", ("U", "S", "Vh"))


def _matrices(name: str, x, square: bool = False, kind: str = "floating-point") -> Array:
    x = array(x, name)
    check_kind(name, kind, x)
    if x.ndim < 2 or square and x._array.shape[-1] != x._array.shape[-2]:
        raise ShapeRefused(f"{name}: expected {'square ' if square else ''}matrices, got shape {tuple(x.shape)}.")
    return x


def _factor(name: str, *arrays: Array, theirs: dict | None = None, **how):
    """By the array library; with a gradient by mlkit.linalg, whose factorisations have one."""
    if through_ops(*arrays):
        try:
            module = importlib.import_module("mlkit.linalg")
            function = getattr(module, name)
        except (ImportError, AttributeError):
            raise MissingFeature(
                f"linalg.{name} has no gradient here.", hint="Take it of x.detach(), or under mlkit.no_grad()."
            ) from None
        out = function(*arrays, **(how if theirs is None else theirs))
        return tuple(result(t) for t in out) if isinstance(out, tuple) else result(out)
    raw = getattr(library(*arrays).linalg, name)(*[x._array for x in arrays], **how)
    return tuple(new(t) for t in raw) if isinstance(raw, tuple) else new(raw)


def cholesky(x, /, *, upper: Any = False) -> Array:
    """The triangular factor L with x = L L^H (upper: U with x = U^H U) of positive definite matrices."""
    x = _matrices("cholesky", x, square=True)
    out = _factor("cholesky", x)
    return FUNCTIONS["conj"](matrix_transpose(out)) if upper else out


def cross(x1, x2, /, *, axis: int = -1) -> Array:
    """The cross product of vectors of three along an axis."""
    a, b = pair("cross", "numeric", array(x1, "cross"), array(x2, "cross"))
    if not -min(a.ndim, b.ndim) <= axis < min(a.ndim, b.ndim):
        raise ShapeRefused(f"cross: axis {axis} is out of bounds.")
    if a._array.shape[axis] != 3 or b._array.shape[axis] != 3:
        raise ShapeRefused(f"cross: axis {axis} must have size 3 in both, got {tuple(a.shape)} and {tuple(b.shape)}.")
    place = axis if axis < 0 else axis - a.ndim
    if axis >= 0 and a.ndim != b.ndim:
        raise ShapeRefused("cross: arrays of different rank need an axis counted from the end.")
    a, b = broadcast_arrays(a, b)
    a, b = moveaxis(a, place, 0), moveaxis(b, place, 0)
    parts = [a[i] * b[j] - a[j] * b[i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return moveaxis(stack(parts), 0, place)


def det(x, /) -> Array:
    """The determinants of square matrices."""
    return _factor("det", _matrices("det", x, square=True))


def diagonal(x, /, *, offset: int = 0) -> Array:
    """The diagonals of matrices, or those offset above."""
    x = _matrices("diagonal", x, kind="any")
    return result(ops.diagonal(x, offset=offset, dim1=x.ndim - 2, dim2=x.ndim - 1))


def eigh(x, /) -> EighResult:
    """(eigenvalues, eigenvectors) of symmetric or Hermitian matrices, in ascending order."""
    return EighResult(*_factor("eigh", _matrices("eigh", x, square=True)))


def eigvalsh(x, /) -> Array:
    """The eigenvalues of symmetric or Hermitian matrices, in ascending order."""
    return _factor("eigvalsh", _matrices("eigvalsh", x, square=True))


def inv(x, /) -> Array:
    """The inverses of square matrices."""
    return _factor("inv", _matrices("inv", x, square=True))


def outer(x1, x2, /) -> Array:
    """All products of the elements of two vectors."""
    a, b = pair("outer", "numeric", array(x1, "outer"), array(x2, "outer"))
    if a.ndim != 1 or b.ndim != 1:
        raise ShapeRefused(f"outer: expected two vectors, got {tuple(a.shape)} and {tuple(b.shape)}.")
    return reshape(a, (-1, 1)) * b


def matrix_norm(x, /, *, keepdims: Any = False, ord: Any = "fro") -> Array:  # noqa: A002
    """The norm of matrices: 'fro', 'nuc', 1, 2, inf or their negatives."""
    x = _matrices("matrix_norm", x)
    if ord == "fro":
        out = vector_norm(x, axis=(-2, -1), keepdims=keepdims)
        return out
    if ord in ("nuc", 2, -2):
        s = svdvals(x)
        kind = {"nuc": "sum", 2: "max", -2: "min"}[ord]
        from mlkit.array_api import _statistics

        out = getattr(_statistics, kind)(s, axis=-1)
    elif ord in (1, -1, math.inf, -math.inf):
        from mlkit.array_api import _statistics

        sums = _sum(FUNCTIONS["abs"](x), axis=-2 if abs(ord) == 1 else -1)
        out = (_statistics.max if ord > 0 else _statistics.min)(sums, axis=-1)
    else:
        raise ValueRangeError(f"matrix_norm: unknown order {ord!r}.")
    return reshape(out, (*out.shape, 1, 1)) if keepdims else out


def matrix_power(x, n: int, /) -> Array:
    """Square matrices times themselves, n times in all; negative n inverts first."""
    x = _matrices("matrix_power", x, square=True)
    if n < 0:
        x, n = inv(x), -n
    size = x._array.shape[-1]
    out = new(library(x).broadcast_to(library(x).eye(size, dtype=x._array.dtype), x._array.shape).copy())
    while n:
        if n & 1:
            out = matmul(out, x)
        x, n = matmul(x, x), n >> 1
    return out


def matrix_rank(x, /, *, rtol=None) -> Array:
    """How many singular values are above rtol times the largest."""
    x = _matrices("matrix_rank", x)
    s = svdvals(_free(x))._array
    if rtol is None:
        rtol = max(x._array.shape[-2:]) * np.finfo(s.dtype).eps
    elif isinstance(rtol, Value):
        rtol = rtol._array[..., None]
    xp = library(x)
    largest = xp.max(s, axis=-1, keepdims=True, initial=0)
    return new(xp.sum(s > largest * rtol, axis=-1, dtype=np.int64))


def _free(x: Array) -> Array:
    return result(x.detach()) if x._node is not None else x


def pinv(x, /, *, rtol=None) -> Array:
    """The pseudo-inverses; singular values up to rtol times the largest count as zero."""
    x = _matrices("pinv", x)
    if rtol is None:
        rtol = max(x._array.shape[-2:]) * float(np.finfo(x._array.dtype).eps)
    if through_ops(x):
        return _factor("pinv", x, theirs={"rtol": rtol})
    bound = rtol._array if isinstance(rtol, Value) else rtol
    xp = library(x)
    if xp is np:
        return new(np.linalg.pinv(x._array, rtol=bound))
    return new(xp.linalg.pinv(x._array, rcond=bound))


def qr(x, /, *, mode: str = "reduced") -> QRResult:
    """(Q, R): orthonormal columns times an upper triangle; mode 'reduced' or 'complete'."""
    if mode not in ("reduced", "complete"):
        raise ValueRangeError(f"qr: mode must be 'reduced' or 'complete', not {mode!r}.")
    return QRResult(*_factor("qr", _matrices("qr", x), mode=mode))


def slogdet(x, /) -> SlogdetResult:
    """(sign, logarithm of the absolute value) of the determinants."""
    return SlogdetResult(*_factor("slogdet", _matrices("slogdet", x, square=True)))


def solve(x1, x2, /) -> Array:
    """The x with x1 @ x = x2; x2 with one axis is one vector, else matrices."""
    a = _matrices("solve", x1, square=True)
    a, b = pair("solve", "floating-point", a, array(x2, "solve"))
    if b.ndim == 1:
        return reshape(out := _factor("solve", a, reshape(b, (-1, 1))), tuple(out.shape)[:-1])
    if b._array.shape[-2] != a._array.shape[-1]:
        raise ShapeRefused(f"solve: {tuple(a.shape)} and {tuple(b.shape)} do not fit.")
    return _factor("solve", a, b)


def svd(x, /, *, full_matrices: Any = True) -> SVDResult:
    """(U, S, Vh) with x = U diag(S) Vh, singular values in descending order."""
    return SVDResult(*_factor("svd", _matrices("svd", x), full_matrices=full_matrices))


def svdvals(x, /) -> Array:
    """The singular values, in descending order."""
    x = _matrices("svdvals", x)
    if through_ops(x):
        return _factor("svdvals", x)
    return new(library(x).linalg.svd(x._array, compute_uv=False))


def trace(x, /, *, offset: int = 0, dtype=None) -> Array:
    """The sums of the diagonals, or of those offset above."""
    x = _matrices("trace", x, kind="numeric")
    return _sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def vector_norm(x, /, *, axis=None, keepdims: Any = False, ord: Any = 2) -> Array:  # noqa: A002
    """The p-norm of vectors along axes (of all elements for None)."""
    from mlkit.array_api import _statistics

    x = array(x, "vector_norm")
    check_kind("vector_norm", "floating-point", x)
    places = axes_of("vector_norm", axis, x.ndim)
    size = FUNCTIONS["abs"](x)
    if ord == math.inf or ord == -math.inf:
        return (_statistics.max if ord > 0 else _statistics.min)(size, axis=places, keepdims=keepdims)
    if ord == 0:
        return _sum(cast(FUNCTIONS["not_equal"](size, 0.0), size.dtype), axis=places, keepdims=keepdims)
    if ord == 1:
        return _sum(size, axis=places, keepdims=keepdims)
    if ord == 2:
        return FUNCTIONS["sqrt"](_sum(size * size, axis=places, keepdims=keepdims))
    power = _sum(FUNCTIONS["pow"](size, float(ord)), axis=places, keepdims=keepdims)
    return FUNCTIONS["pow"](power, 1.0 / ord)
