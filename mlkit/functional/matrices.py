"""What the functions of linear algebra share; the diagonal, the trace, Vandermonde's matrix.

``mlkit.linalg`` shows them in PyTorch's signatures: decompositions, solving, norms, products and these. ``A`` is a matrix
(m, n) or a batch (*, m, n) of them; results and gradients are per matrix. What is named ``old_`` is PyTorch's older form.
"""

from __future__ import annotations

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, DtypeError, ShapeError
from mlkit.core.value import Value, shown_as, wrap

# --- shared -----------------------------------------------------------------------------------------------------------


def shape_of(x) -> tuple:
    return tuple(x._array.shape)


def check_tensor(name: str, **given) -> None:
    for label, x in given.items():
        if not isinstance(x, Value):
            raise ArgumentError(f"linalg_{name}(): argument '{label}' must be Tensor, not {type(x).__name__}.")


def mT(x):  # noqa: N802
    return ops.mT(x)


def mH(x):  # noqa: N802
    return ops.conj(ops.mT(x))


def eye_like(n: int, k: int, like):
    one = ops.ones_like(ops.zeros((min(n, k),), like=like))
    return ops.diagonal_grad(one, shape=(n, k), offset=0, dim1=0, dim2=1)


def empty_of(like, d=None, shape=(0,)):
    out = ops.zeros(shape, like=like)
    return out if d is None else ops.cast(out, dtype=d)


def real_dtype(x) -> dtypes.dtype:
    return dtypes.from_numpy_dtype(x._array.dtype).to_real()


def detached(x):
    return wrap(x._array)


def in_graph_of(A, constant):
    """A constant as a result of A: its gradient there is zero."""
    return ops.where(ops.eq(constant, constant), constant, A) if A._node is not None else constant


# --- functions --------------------------------------------------------------------------------------------------------


def trace(input):
    """The sum of a matrix's diagonal."""
    if input._array.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, but got tensor with dim {input._array.ndim}.")
    return shown_as(ops.sum(ops.diagonal(input)), "TraceBackward0")


def diagonal(A, *, offset: int = 0, dim1: int = -2, dim2: int = -1):
    """A view of the diagonals of the last two dims."""
    return ops.diagonal(A, offset=offset, dim1=dim1, dim2=dim2)


def vander(x, N: int | None = None):  # noqa: N803
    """Rows 1, x, x^2, ... x^(N-1): (*, n) -> (*, n, N)."""
    check_tensor("vander", x=x)
    if x._array.ndim == 0:
        x = ops.reshape(x, shape=(1,))
    if x._array.dtype == bool or x._array.dtype.itemsize == 2 and x._array.dtype.kind in "fV":
        raise DtypeError(f"linalg.vander supports floating point, complex, and integer tensors, but got {x.dtype}.")
    given, N = N, shape_of(x)[-1] if N is None else N
    if N < 1 or N == 1 and given is None:
        raise ShapeError(f"linalg.vander: N must be greater than 1, got {N}.")
    column = ops.unsqueeze(x, -1)
    if x._array.dtype.kind in "biu":
        column = ops.cast(column, dtype=dtypes.int64)
    one = ops.ones_like(column)
    if N == 1:
        return one
    powers = ops.cat([one, ops.expand(column, shape=(*shape_of(x), N - 1))], dim=-1)
    return ops.cumprod(powers, dim=-1)
