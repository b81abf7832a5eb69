"""Norms of vectors and matrices; rank and condition."""

from __future__ import annotations

import math

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, DtypeError, ShapeError
from mlkit.core.value import Value
from mlkit.functional.matrices import check_tensor, detached, shape_of
from mlkit.functional.results import takes_out
from mlkit.functional.shaping import movedim
from mlkit.functional.solving import cutoff, tolerances
from mlkit.ops.linalg import check_floating, check_matrix
from mlkit.ops.reduce import canonical_dim, canonical_dims


def _as_dtype(name: str, x, dtype):
    own = dtypes.from_numpy_dtype(x._array.dtype)
    if own.category < 2:
        raise DtypeError(
            f"linalg.{name}: Expected a floating point or complex tensor as input. Got {own}.",
            hint="Convert first: x.float().",
        )
    if dtype is None:
        return x
    d = dtypes.as_dtype(dtype)
    if d.category < 2:
        raise DtypeError(f"linalg.{name}: dtype should be floating point or complex. Got {d}.")
    if d.category < own.category:
        raise DtypeError(f"linalg.{name}: dtype should be {'complex' if own.is_complex else 'real'} for {own} inputs.")
    if dtypes.promote_types(own, d) is not d:
        raise DtypeError(
            f"linalg.{name}: the dtype of the input ({own}) should be convertible without narrowing to {d}."
        )
    return x if own is d else ops.cast(x, dtype=d)


@takes_out
def vector_norm(x, ord=2, dim=None, keepdim: bool = False, *, dtype=None):
    """(sum |x|^ord)^(1/ord) over ``dim`` (int, tuple, None for all); ord may be 0, inf or -inf.

    >>> import mlkit
    >>> mlkit.linalg.vector_norm(mlkit.tensor([3.0, 4.0]))
    tensor(5.)
    """
    check_tensor("vector_norm", self=x)
    x = _as_dtype("vector_norm", x, dtype)
    if isinstance(ord, bool) or not isinstance(ord, (int, float, np.number)):
        raise ArgumentError(f"linalg_vector_norm(): argument 'ord' must be Number, not {type(ord).__name__}.")
    shape = shape_of(x)
    dims = canonical_dims("linalg.vector_norm", dim, len(shape))
    if (ord < 0 or ord == float("inf")) and any(shape[d] == 0 for d in dims):
        raise ShapeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty dimension: the operation does not have an "
            "identity.",
            f"x: {shape}",
        )
    single = (shape or dim is None) and math.prod(shape[d] for d in dims) == 1
    if ord != 0 and single:  # of one number: no power that could overflow or round
        return ops.sum(ops.abs(x), dim=dims, keepdim=keepdim)
    return ops.vector_norm(x, ord=float(ord), dim=dims, keepdim=keepdim)


@takes_out
def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim: bool = False, *, dtype=None):
    """The norm of matrices: "fro", "nuc", 2 and -2 (singular values), 1 and -1 (columns), inf and -inf (rows)."""
    check_tensor("matrix_norm", self=A)
    A = _as_dtype("matrix_norm", A, dtype)
    if not isinstance(dim, (tuple, list)):
        raise ArgumentError(f"linalg_matrix_norm(): argument 'dim' must be tuple of ints, not {type(dim).__name__}.")
    if A._array.ndim < 2:
        raise ShapeError(
            f"linalg.matrix_norm: The input tensor A must have at least 2 dimensions. Got {A._array.ndim}."
        )
    if len(dim) != 2:
        raise ShapeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {tuple(dim)}.")
    row, column = (canonical_dim("linalg.matrix_norm", d, A._array.ndim) for d in dim)
    if row == column:
        raise ShapeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]}).")
    if isinstance(ord, str) and ord not in ("fro", "nuc"):
        raise ShapeError(f"linalg.matrix_norm: Order {ord} not supported.")
    if ord == "fro":
        return ops.vector_norm(A, ord=2.0, dim=tuple(sorted((row, column))), keepdim=keepdim)
    # Nothing is as large as 0: the largest of no singular values, row or column sums.
    among = {2: min(shape_of(A)[row], shape_of(A)[column]), 1: shape_of(A)[column], float("inf"): shape_of(A)[row]}
    if not isinstance(ord, str) and ord > 0 and among.get(ord) == 0:
        check_floating("matrix_norm", A._array)
        pair = (row, column)
        left = tuple(1 if d in pair else n for d, n in enumerate(shape_of(A)) if keepdim or d not in pair)
        return ops.zeros(left, like=ops.abs(A))
    if ord == "nuc" or abs(ord) == 2:
        check_floating("matrix_norm", A._array)
        S = ops.svd(movedim(A, (row, column), (-2, -1)), full_matrices=False)[1]
        if ord == "nuc":
            out = ops.sum(S, dim=-1)
        else:
            out = ops.amax(S, dim=-1) if ord > 0 else ops.amin(S, dim=-1)
        if keepdim:
            for d in sorted((row, column)):
                shape = list(shape_of(out))
                shape.insert(d, 1)
                out = ops.reshape(out, shape=tuple(shape))
        return out
    if abs(ord) not in (1, float("inf")):
        raise ShapeError(f"linalg.matrix_norm: Order {ord} not supported.")
    first, second = (row, column) if abs(ord) == 1 else (column, row)
    sums = ops.vector_norm(A, ord=1.0, dim=(first,), keepdim=True)
    out = (ops.amax if ord > 0 else ops.amin)(sums, dim=second, keepdim=True)
    if keepdim:
        return out
    return ops.reshape(out, shape=tuple(n for d, n in enumerate(shape_of(out)) if d not in (row, column)))


@takes_out
def norm(A, ord=None, dim=None, keepdim: bool = False, *, dtype=None):
    """A vector or matrix norm: a matrix norm when two dims are meant and ``ord`` is given, else a vector norm.

    >>> import mlkit
    >>> mlkit.linalg.norm(mlkit.tensor([[3.0, 0.0], [0.0, 4.0]]), 2)
    tensor(4.)
    """
    check_tensor("norm", input=A)
    dims = None if dim is None else ((dim,) if not isinstance(dim, (tuple, list)) else tuple(dim))
    if dims is not None and len(dims) not in (1, 2):
        raise ShapeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}.")
    if ord is None:
        return vector_norm(A, 2, dims, keepdim, dtype=dtype)
    if dims is None and A._array.ndim not in (1, 2):
        raise ShapeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A._array.ndim}D."
        )
    if (dims is not None and len(dims) == 2) or (dims is None and A._array.ndim == 2):
        return matrix_norm(A, ord, dims or (0, 1), keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise ShapeError(f"linalg.norm: Order {ord} is for matrices: it needs two dims.")
    return vector_norm(A, ord, dims, keepdim, dtype=dtype)


@takes_out
def matrix_rank(A, tol=None, hermitian: bool = False, *, atol=None, rtol=None):
    """How many singular values are above max(atol, rtol * largest): int64 (*)."""
    check_tensor("matrix_rank", A=A)
    check_matrix("matrix_rank", A._array)
    A = detached(A)
    if min(A._array.shape[-2:]) == 0:
        return ops.cast(ops.zeros(shape_of(A)[:-2], like=A), dtype=dtypes.int64)
    absolute, relative = (tol, 0.0) if tol is not None else tolerances(A, atol, rtol)
    absolute = absolute._array if isinstance(absolute, Value) else absolute
    values = ops.abs(ops.eigh(A)[0]) if hermitian else ops.svd(A, full_matrices=False)[1]
    limit = cutoff(absolute, relative, ops.amax(values, dim=-1, keepdim=True))
    return ops.sum(ops.gt(values, limit), dim=-1)


@takes_out
def cond(A, p=None):
    """The condition number in the norm p: None or 2 (singular values), -2, "fro", "nuc", 1, -1, inf, -inf."""
    check_tensor("cond", A=A)
    check_matrix("cond", A._array)
    if p is None or p in (2, -2):
        S = ops.svd(A, full_matrices=False)[1]
        k = S._array.shape[-1]
        if k == 0:
            return ops.zeros(shape_of(A)[:-2], like=S)
        largest, smallest = (ops.squeeze(ops.narrow(S, dim=-1, start=i, length=1), -1) for i in (0, k - 1))
        return smallest / largest if p == -2 else largest / smallest
    if p not in ("fro", "nuc", 1, -1, float("inf"), -float("inf")):
        raise ShapeError(f"linalg.cond got an invalid norm type: {p}.")
    check_matrix("cond", A._array, square=True)
    inverted, info = ops.inverse(A, check=False)
    bad = ops.ne(info, 0)
    out = matrix_norm(A, p) * matrix_norm(inverted, p)
    return ops.where(bad, ops.ones_like(out) * float("inf"), out)
