"""Determinants, inverses and solutions of systems of equations, also from a matrix that is factored already."""

from __future__ import annotations

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import DtypeError, ShapeError
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import MetaArray, Value, wrap
from mlkit.functional import conversion, placement
from mlkit.functional.matrices import check_tensor, detached, empty_of, eye_like, mH, mT, real_dtype, shape_of
from mlkit.functional.results import named_result, takes_out
from mlkit.functional.shaping import movedim
from mlkit.ops.linalg import batch_of, check_floating, check_matrix
from mlkit.ops.reduce import canonical_dim

inv_ex_result = named_result("linalg_inv_ex", ("inverse", "info"))
solve_ex_result = named_result("linalg_solve_ex", ("result", "info"))
slogdet_result = named_result("linalg_slogdet", ("sign", "logabsdet"))
lstsq_result = named_result("linalg_lstsq", ("solution", "residuals", "rank", "singular_values"))
triangular_solve_result = named_result("triangular_solve", ("solution", "cloned_coefficient"))


# --- determinants -----------------------------------------------------------------------------------------------------


@takes_out
def det(A):
    """The determinant of square matrices (*, n, n) -> (*).

    >>> import mlkit
    >>> mlkit.linalg.det(mlkit.tensor([[2.0, 0.0], [0.0, 3.0]]))
    tensor(6.)
    """
    check_tensor("det", A=A)
    return ops.det(A)


@takes_out
def slogdet(A):
    """(sign, logabsdet) of square matrices: det = sign * exp(logabsdet), without overflow."""
    check_tensor("slogdet", A=A)
    return slogdet_result(*ops.slogdet(A))


def logdet(input):
    """log of the determinant; NaN where it is negative, -inf where it is zero."""
    sign, size = ops.slogdet(input)
    if ops.is_complex(sign):
        return ops.log(sign) + size
    return ops.where(ops.eq(sign, -1), ops.cast_like(ops.ones_like(size) * float("nan"), size), size)


# --- inverses ---------------------------------------------------------------------------------------------------------


@takes_out
def inv(A):
    """The inverse of square matrices; raises ``linalg.LinAlgError`` naming the first singular one.

    >>> import mlkit
    >>> mlkit.linalg.inv(mlkit.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    check_tensor("inv", A=A)
    return ops.inverse(A, check=True)[0]


inverse = inv


@takes_out
def inv_ex(A, *, check_errors: bool = False):
    """(inverse, info): info is 0 or the place (from 1) of the zero pivot; substitution goes on through a zero pivot, as LAPACK's does."""
    check_tensor("inv_ex", A=A)
    return inv_ex_result(*ops.inverse(A, check=check_errors))


def tolerances(A, atol, rtol):
    """(atol, rtol) as numbers or arrays, by PyTorch's rule: rtol is max(m, n) eps unless atol is above 0."""
    eps = dtypes.finfo(real_dtype(A)).eps
    default = max(A._array.shape[-2:]) * eps

    def plain(x):
        return x._array if isinstance(x, Value) else x

    atol_, rtol_ = plain(atol), plain(rtol)
    if rtol_ is None:
        if atol_ is None:
            rtol_ = default
        elif hasattr(atol_, "shape"):
            rtol_ = backends.for_array(atol_).m.xp.where(atol_ > 0, 0.0, default)
        else:
            rtol_ = 0.0 if atol_ > 0 else default
    return (0.0 if atol_ is None else atol_), rtol_


@takes_out
def pinv(A, rcond=None, hermitian: bool = False, *, atol=None, rtol=None):
    """The Moore-Penrose inverse (*, n, m) of matrices (*, m, n) of any rank.

    Singular values up to max(atol, rtol * largest) count as zero; ``rtol`` (also called rcond) is max(m, n) * eps
    unless ``atol`` is given. ``hermitian=True`` uses eigenvalues of a Hermitian A instead.
    """
    check_tensor("pinv", A=A)
    check_matrix("pinv", A._array)
    absolute, relative = tolerances(A, atol, rcond if rtol is None else rtol)
    if hermitian:
        check_matrix("pinv", A._array, square=True)
        return ops.pinv_hermitian(A, rtol=relative, atol=absolute)
    return ops.pinv(A, rtol=relative, atol=absolute)


def cutoff(atol, rtol, largest):
    def shaped(x):
        array = x._array if isinstance(x, Value) else x
        return wrap(array[..., None]) if getattr(array, "ndim", 0) else x

    scaled = largest * shaped(rtol)
    return ops.maximum(scaled, ops.zeros_like(scaled) + shaped(atol))


def pinverse(input, rcond: float = 1e-15):
    """The Moore-Penrose inverse: ``linalg.pinv`` with ``rtol=rcond``."""
    return pinv(input, rcond)


@takes_out
def tensorinv(A, ind: int = 2):
    """The inverse of ``tensordot(A, ., dims=ind)``: shape A.shape[ind:] + A.shape[:ind]."""
    check_tensor("tensorinv", A=A)
    if not A._array.ndim:
        raise ShapeError(f"tensorinv: expected a tensor of more than {ind} dims, got a 0-d one.")
    if ind <= 0:
        raise ShapeError(f"Expected a strictly positive integer for 'ind', but got {ind}.")
    shape = shape_of(A)
    rows, columns = int(np.prod(shape[:ind])), int(np.prod(shape[ind:]))
    if rows != columns:
        raise ShapeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{columns} != {rows}.",
            f"A: {shape}, ind: {ind}",
        )
    return ops.reshape(inv(ops.reshape(A, shape=(rows, columns))), shape=(*shape[ind:], *shape[:ind]))


# --- solutions --------------------------------------------------------------------------------------------------------


def _solve(A, B, left, check, name):
    check_tensor(name, A=A, B=B)
    a, b = A._array, B._array
    check_matrix("solve", a, square=True)
    vector = b.ndim == 1 or (a.ndim - 1 == b.ndim and tuple(b.shape) == tuple(a.shape[:-1]))
    if vector and not left:
        raise ShapeError(
            "linalg.solve: Vector broadcasting of the left hand side is not supported for left=False.",
            f"A: {tuple(a.shape)}\nB: {tuple(b.shape)}",
        )
    if vector:
        out, info = ops.solve(A, ops.unsqueeze(B, -1), check=check)
        return ops.squeeze(out, -1), info
    if left:
        return ops.solve(A, B, check=check)
    out, info = ops.solve(mT(A), mT(B), check=check)
    return mT(out), info


@takes_out
def solve(A, B, *, left: bool = True):
    """X with A @ X = B (``left=False``: X @ A = B) for square A; B is (*, n, k), or vectors (*, n).

    >>> import mlkit
    >>> mlkit.linalg.solve(mlkit.tensor([[2.0, 0.0], [0.0, 4.0]]), mlkit.tensor([2.0, 2.0]))
    tensor([1.0000, 0.5000])
    """
    return _solve(A, B, left, True, "solve")[0]


@takes_out
def solve_ex(A, B, *, left: bool = True, check_errors: bool = False):
    """(result, info): ``solve`` that says which matrices are singular instead of raising."""
    return solve_ex_result(*_solve(A, B, left, check_errors, "solve_ex"))


@takes_out
def solve_triangular(A, B, *, upper: bool, left: bool = True, unitriangular: bool = False):
    """X with A @ X = B for triangular A by substitution; only that triangle is read."""
    check_tensor("solve_triangular", A=A, B=B)
    check_floating("solve_triangular", A._array)
    A, B = _one_dtype(A, B)
    if left:
        return ops.triangular_solution(A, B, upper=upper, unitriangular=unitriangular)
    check_matrix("solve_triangular", A._array, square=True)
    check_matrix("solve_triangular", B._array, label="B")
    return mT(ops.triangular_solution(mT(A), mT(B), upper=not upper, unitriangular=unitriangular))


def _one_dtype(A, B) -> tuple:
    """Both matrices in the type they promote to."""
    d = dtypes.promote_types(*(dtypes.from_numpy_dtype(x._array.dtype) for x in (A, B)))
    return tuple(x if x._array.dtype == d.numpy else ops.cast(x, dtype=d) for x in (A, B))


def triangular_solve(input, A, upper: bool = True, transpose: bool = False, unitriangular: bool = False):
    """(solution of A @ X = input for triangular A, A): the older form of ``linalg.solve_triangular``."""
    coefficient = mT(A) if transpose else A
    which = upper != transpose
    solution = ops.triangular_solution(coefficient, input, upper=which, unitriangular=unitriangular)
    return triangular_solve_result(solution, ops.clone(A))


def lstsq(A, B, rcond=None, *, driver: str | None = None):
    """(solution, residuals, rank, singular_values) of least squares: X that minimizes |A @ X - B|.

    ``residuals`` are the squared errors of each column where m > n and A has full rank, else empty; ``rank`` and
    ``singular_values`` are filled for the drivers that compute them ("gelsy" and "gelsd", "gelss"), as in PyTorch.
    All drivers give the solution by singular values here, so A may have any rank.

    >>> import mlkit
    >>> x = mlkit.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    >>> mlkit.linalg.lstsq(x, mlkit.tensor([[1.0], [3.0], [5.0]])).solution.round(decimals=4).ravel()
    tensor([1., 2.])
    """
    check_tensor("lstsq", A=A, B=B)
    check_matrix("lstsq", A._array)
    check_floating("lstsq", B._array, "B")
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise ShapeError(
            f"linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), got {driver!r}."
        )
    driver = driver or "gelsy"
    if A._array.dtype != B._array.dtype:
        raise DtypeError(
            f"linalg.lstsq: Expected input and other to have the same dtype, but got input's dtype "
            f"{dtypes.from_numpy_dtype(A._array.dtype)} and other's dtype {dtypes.from_numpy_dtype(B._array.dtype)}."
        )
    vector = B._array.ndim == 1 or (B._array.ndim == A._array.ndim - 1 and shape_of(B) == shape_of(A)[:-1])
    right = ops.unsqueeze(B, -1) if vector else B
    if B._array.ndim > A._array.ndim or A._array.ndim > B._array.ndim + 1:
        raise ShapeError(
            "linalg.lstsq: input.dim() must be greater or equal to other.dim() and (input.dim() - other.dim()) <= 1.",
            f"A: {shape_of(A)}\nB: {shape_of(B)}",
        )
    if right._array.shape[-2] != A._array.shape[-2]:
        raise ShapeError(
            "linalg.lstsq: input.size(-2) should match other.size(-2).", f"A: {shape_of(A)}\nB: {shape_of(B)}"
        )
    batch_of("lstsq", A._array, right._array)
    m, n = A._array.shape[-2:]
    relative = max(m, n) * dtypes.finfo(real_dtype(A)).eps if rcond is None else rcond
    solution = ops.matmul(ops.pinv(A, rtol=relative, atol=0.0), right)
    values = ops.svd(detached(A), full_matrices=False)[1]
    limit = cutoff(0.0, relative, ops.narrow(values, dim=-1, start=0, length=1)) if min(m, n) else values
    rank = ops.sum(ops.gt(values, limit), dim=-1)
    residuals = empty_of(solution, real_dtype(A))
    meta = rank._array.__class__ is MetaArray
    if m > n and driver != "gelsy" and not meta and bool((rank._array == n).all()):
        error = ops.abs(ops.matmul(A, solution) - right)
        residuals = ops.sum(error * error, dim=-2)
    return lstsq_result(
        ops.squeeze(solution, -1) if vector else solution,
        residuals,
        rank if driver != "gels" else empty_of(solution, dtypes.int64),
        values if driver in ("gelsd", "gelss") else empty_of(solution, real_dtype(A)),
    )


@takes_out
def tensorsolve(A, B, dims=None):
    """X with ``tensordot(A, X, X.ndim) == B``; ``dims`` of A are moved to its end first."""
    check_tensor("tensorsolve", A=A, B=B)
    if dims is not None:
        chosen = [canonical_dim("tensorsolve", d, A._array.ndim) for d in dims]
        A = movedim(A, chosen, list(range(A._array.ndim - len(chosen), A._array.ndim)))
    shape = shape_of(A)
    result = shape[B._array.ndim :]
    rows, columns = int(np.prod(shape_of(B))), int(np.prod(result))
    if rows != columns or int(np.prod(shape)) != rows * columns:
        raise ShapeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {columns} != {rows}.",
            f"A: {shape}\nB: {shape_of(B)}",
        )
    solution = _solve(ops.reshape(A, shape=(rows, columns)), ops.reshape(B, shape=(rows,)), True, True, "solve")[0]
    return ops.reshape(solution, shape=result)


# --- solutions from factors -------------------------------------------------------------------------------------------


@takes_out
def cholesky_solve(B, L, upper: bool = False):
    """X with A @ X = B for A given by its Cholesky factor L.

    >>> import mlkit
    >>> mlkit.cholesky_solve(mlkit.tensor([[8.0]]), mlkit.tensor([[2.0]]))
    tensor([[2.]])
    """
    for label, x in (("b", B), ("u", L)):
        if x._array.ndim < 2:
            raise ShapeError(f"{label} should have at least 2 dimensions, but has {x._array.ndim} dimensions instead.")
    return ops.cholesky_solution(B, L, upper=upper)


@takes_out
def cholesky_inverse(L, upper: bool = False):
    """The inverse of A given by its Cholesky factor L."""
    check_matrix("cholesky_inverse", L._array, square=True, label="L")
    n = L._array.shape[-1]
    return cholesky_solve(ops.expand(eye_like(n, n, L), shape=shape_of(L)), L, upper)


@takes_out
def lu_solve(LU, pivots, B, *, left: bool = True, adjoint: bool = False):
    """X with A @ X = B from ``lu_factor(A)``; ``adjoint`` solves with A.mH, ``left=False`` solves X @ A = B."""
    check_tensor("lu_solve", LU=LU, pivots=pivots, B=B)
    check_matrix("lu_solve", LU._array, square=True, label="LU")
    check_matrix("lu_solve", B._array, label="B")
    _check_pivots("lu_solve", LU, pivots, ("int32",))
    if not left:
        return mH(lu_solve(LU, pivots, mH(B), adjoint=not adjoint))
    if adjoint:
        first = ops.triangular_solution(mH(LU), B, upper=False)
        first = ops.triangular_solution(mH(LU), first, upper=True, unitriangular=True)
        return ops.permute_rows(first, pivots, inverse=True)
    first = ops.triangular_solution(LU, ops.permute_rows(B, pivots), upper=False, unitriangular=True)
    return ops.triangular_solution(LU, first, upper=True)


def _check_pivots(name: str, factors, pivots, kinds: tuple) -> None:
    """Refuse pivots of another type, or not one per row of each matrix."""
    d = dtypes.from_numpy_dtype(pivots._array.dtype).name
    if d not in kinds:
        raise DtypeError(
            f"linalg.{name}: pivots should be a Tensor of scalar type torch.{kinds[0]}, got {d}.",
            hint="Use the pivots that the factorization returned.",
        )
    if shape_of(pivots) != shape_of(factors)[:-1]:
        raise ShapeError(
            f"linalg.{name}: Number of pivots per batch should be same as the dimension of the matrix.",
            f"factors: {shape_of(factors)}\npivots:  {shape_of(pivots)}",
        )


@takes_out
def old_lu_solve(b, LU_data, LU_pivots):
    """X with A @ X = b from the packed LU of A: the older form of ``linalg.lu_solve``."""
    return lu_solve(LU_data, LU_pivots, b)


old_lu_solve.__name__ = "lu_solve"


@takes_out
def ldl_solve(LD, pivots, B, *, hermitian: bool = False):
    """X with A @ X = B from ``ldl_factor(A)``; differentiable in B."""
    check_tensor("ldl_solve", LD=LD, pivots=pivots, B=B)
    check_matrix("ldl_solve", LD._array, square=True, label="LD")
    check_matrix("ldl_solve", B._array, label="B")
    _check_pivots("ldl_solve", LD, pivots, ("int32", "int64", "int16", "int8", "uint8"))
    hermitian = hermitian and ops.is_complex(LD)
    order, L, D = backends.load("numpy").m.ldl_parts_(
        conversion.to_numpy_array(LD), conversion.to_numpy_array(pivots), hermitian
    )
    place = ops.device_of(LD)
    L, D = (wrap(placement.on_device(x, place)) for x in (L, D))
    star = mH(L) if hermitian else mT(L)
    batch = broadcast_shapes(shape_of(LD)[:-2], shape_of(B)[:-2])
    right = ops.expand(B, shape=(*batch, *shape_of(B)[-2:]))

    def rows(x, indices):
        where = np.broadcast_to(indices[..., None], shape_of(right)).copy()
        return ops.gather(x, wrap(placement.on_device(where, place)), dim=len(batch))

    first = ops.triangular_solution(L, rows(right, order), upper=False, unitriangular=True)
    first = ops.solve(D, first, check=True)[0]
    first = ops.triangular_solution(star, first, upper=True, unitriangular=True)
    return rows(first, np.argsort(order, axis=-1))
