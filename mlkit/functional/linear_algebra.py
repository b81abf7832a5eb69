"""Linear algebra in PyTorch's signatures: what ``mlkit.linalg`` shows, and the older names (``mlkit.svd``, ``mlkit.lu``).

``A`` is a matrix (m, n) or a batch (*, m, n) of them; results and gradients are per matrix.
"""

from __future__ import annotations

import math

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import (
    ArgumentError,
    DtypeError,
    LinAlgError,
    ShapeError,
)
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import MetaArray, Value, wrap
from mlkit.functional import conversion, placement, random
from mlkit.functional.arguments import check_same_dtype
from mlkit.functional.out import takes_out
from mlkit.functional.results import named_result
from mlkit.functional.shaping import movedim
from mlkit.ops.decompositions import batch_of, check_floating, check_matrix, singular
from mlkit.ops.reduce import canonical_dim, canonical_dims

cholesky_ex_result = named_result("linalg_cholesky_ex", ("L", "info"))
inv_ex_result = named_result("linalg_inv_ex", ("inverse", "info"))
solve_ex_result = named_result("linalg_solve_ex", ("result", "info"))
slogdet_result = named_result("linalg_slogdet", ("sign", "logabsdet"))
eig_result = named_result("linalg_eig", ("eigenvalues", "eigenvectors"))
eigh_result = named_result("linalg_eigh", ("eigenvalues", "eigenvectors"))
qr_result = named_result("linalg_qr", ("Q", "R"))
svd_result = named_result("linalg_svd", ("U", "S", "Vh"))
lu_result = named_result("linalg_lu", ("P", "L", "U"))
lu_factor_result = named_result("linalg_lu_factor", ("LU", "pivots"))
lu_factor_ex_result = named_result("linalg_lu_factor_ex", ("LU", "pivots", "info"))
ldl_factor_result = named_result("linalg_ldl_factor", ("LD", "pivots"))
ldl_factor_ex_result = named_result("linalg_ldl_factor_ex", ("LD", "pivots", "info"))
lstsq_result = named_result("linalg_lstsq", ("solution", "residuals", "rank", "singular_values"))
old_svd_result = named_result("svd", ("U", "S", "V"))
triangular_solve_result = named_result("triangular_solve", ("solution", "cloned_coefficient"))
geqrf_result = named_result("geqrf", ("a", "tau"))


def _shape(x) -> tuple:
    return tuple(x._array.shape)


def _tensor(name: str, **given) -> None:
    for label, x in given.items():
        if not isinstance(x, Value):
            raise ArgumentError(f"linalg_{name}(): argument '{label}' must be Tensor, not {type(x).__name__}.")


def _mT(x):  # noqa: N802
    return ops.mT(x)


def _mH(x):  # noqa: N802
    return ops.conj(ops.mT(x))


def _eye(n: int, k: int, like):
    one = ops.ones_like(ops.zeros((min(n, k),), like=like))
    return ops.diagonal_grad(one, shape=(n, k), offset=0, dim1=0, dim2=1)


def _empty(like, d=None, shape=(0,)):
    out = ops.zeros(shape, like=like)
    return out if d is None else ops.cast(out, dtype=d)


def _real_dtype(x) -> dtypes.dtype:
    return dtypes.from_numpy_dtype(x._array.dtype).to_real()


# --- determinants ------------------------------------------------------------------------------------------------------


@takes_out
def det(A):
    """The determinant of square matrices (*, n, n) -> (*).

    >>> import mlkit
    >>> mlkit.linalg.det(mlkit.tensor([[2.0, 0.0], [0.0, 3.0]]))
    tensor(6.)
    """
    _tensor("det", A=A)
    return ops.det(A)


@takes_out
def slogdet(A):
    """(sign, logabsdet) of square matrices: det = sign * exp(logabsdet), without overflow."""
    _tensor("slogdet", A=A)
    return slogdet_result(*ops.slogdet(A))


def logdet(input):
    """log of the determinant; NaN where it is negative, -inf where it is zero."""
    sign, size = ops.slogdet(input)
    if ops.is_complex(sign):
        return ops.log(sign) + size
    return ops.where(ops.eq(sign, -1), ops.cast_like(ops.ones_like(size) * float("nan"), size), size)


def trace(input):
    """The sum of a matrix's diagonal."""
    if input._array.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, but got tensor with dim {input._array.ndim}.")
    return ops.sum(ops.diagonal(input))


# --- inverses and solutions ----------------------------------------------------------------------------------------------


@takes_out
def inv(A):
    """The inverse of square matrices; raises ``linalg.LinAlgError`` naming the first singular one.

    >>> import mlkit
    >>> mlkit.linalg.inv(mlkit.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    _tensor("inv", A=A)
    return ops.inverse(A, check=True)[0]


inverse = inv


@takes_out
def inv_ex(A, *, check_errors: bool = False):
    """(inverse, info): info is 0 or the place (from 1) of the zero pivot; substitution goes on through a zero pivot, as LAPACK's does."""
    _tensor("inv_ex", A=A)
    return inv_ex_result(*ops.inverse(A, check=check_errors))


def _solve(A, B, left, check, name):
    _tensor(name, A=A, B=B)
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
    out, info = ops.solve(_mT(A), _mT(B), check=check)
    return _mT(out), info


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
    _tensor("solve_triangular", A=A, B=B)
    check_floating("solve_triangular", A._array)
    A, B = _one_dtype(A, B)
    if left:
        return ops.triangular_solution(A, B, upper=upper, unitriangular=unitriangular)
    check_matrix("solve_triangular", A._array, square=True)
    check_matrix("solve_triangular", B._array, label="B")
    return _mT(ops.triangular_solution(_mT(A), _mT(B), upper=not upper, unitriangular=unitriangular))


def _one_dtype(A, B) -> tuple:
    """Both matrices in the type they promote to."""
    d = dtypes.promote_types(*(dtypes.from_numpy_dtype(x._array.dtype) for x in (A, B)))
    return tuple(x if x._array.dtype == d.numpy else ops.cast(x, dtype=d) for x in (A, B))


def triangular_solve(input, A, upper: bool = True, transpose: bool = False, unitriangular: bool = False):
    """(solution of A @ X = input for triangular A, A): the older form of ``linalg.solve_triangular``."""
    coefficient = _mT(A) if transpose else A
    which = upper != transpose
    solution = ops.triangular_solution(coefficient, input, upper=which, unitriangular=unitriangular)
    return triangular_solve_result(solution, ops.clone(A))


def _tolerances(A, atol, rtol):
    """(atol, rtol) as numbers or arrays, by PyTorch's rule: rtol is max(m, n) eps unless atol is above 0."""
    eps = dtypes.finfo(_real_dtype(A)).eps
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
    _tensor("pinv", A=A)
    check_matrix("pinv", A._array)
    absolute, relative = _tolerances(A, atol, rcond if rtol is None else rtol)
    if hermitian:
        check_matrix("pinv", A._array, square=True)
        return ops.pinv_hermitian(A, rtol=relative, atol=absolute)
    return ops.pinv(A, rtol=relative, atol=absolute)


def _limit(atol, rtol, largest):
    def shaped(x):
        array = x._array if isinstance(x, Value) else x
        return wrap(array[..., None]) if getattr(array, "ndim", 0) else x

    scaled = largest * shaped(rtol)
    return ops.maximum(scaled, ops.zeros_like(scaled) + shaped(atol))


def pinverse(input, rcond: float = 1e-15):
    """The Moore-Penrose inverse: ``linalg.pinv`` with ``rtol=rcond``."""
    return pinv(input, rcond)


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
    _tensor("lstsq", A=A, B=B)
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
    vector = B._array.ndim == 1 or (B._array.ndim == A._array.ndim - 1 and _shape(B) == _shape(A)[:-1])
    right = ops.unsqueeze(B, -1) if vector else B
    if B._array.ndim > A._array.ndim or A._array.ndim > B._array.ndim + 1:
        raise ShapeError(
            "linalg.lstsq: input.dim() must be greater or equal to other.dim() and (input.dim() - other.dim()) <= 1.",
            f"A: {_shape(A)}\nB: {_shape(B)}",
        )
    if right._array.shape[-2] != A._array.shape[-2]:
        raise ShapeError("linalg.lstsq: input.size(-2) should match other.size(-2).", f"A: {_shape(A)}\nB: {_shape(B)}")
    batch_of("lstsq", A._array, right._array)
    m, n = A._array.shape[-2:]
    relative = max(m, n) * dtypes.finfo(_real_dtype(A)).eps if rcond is None else rcond
    solution = ops.matmul(ops.pinv(A, rtol=relative, atol=0.0), right)
    values = ops.svd(_detached(A), full_matrices=False)[1]
    limit = _limit(0.0, relative, ops.narrow(values, dim=-1, start=0, length=1)) if min(m, n) else values
    rank = ops.sum(ops.gt(values, limit), dim=-1)
    residuals = _empty(solution, _real_dtype(A))
    meta = rank._array.__class__ is MetaArray
    if m > n and driver != "gelsy" and not meta and bool((rank._array == n).all()):
        error = ops.abs(ops.matmul(A, solution) - right)
        residuals = ops.sum(error * error, dim=-2)
    return lstsq_result(
        ops.squeeze(solution, -1) if vector else solution,
        residuals,
        rank if driver != "gels" else _empty(solution, dtypes.int64),
        values if driver in ("gelsd", "gelss") else _empty(solution, _real_dtype(A)),
    )


def _detached(x):
    return wrap(x._array)


# --- Cholesky -----------------------------------------------------------------------------------------------------------------


@takes_out
def cholesky(A, *, upper: bool = False):
    """L with A = L @ L.mH for Hermitian positive-definite A (``upper=True``: U with A = U.mH @ U).

    Raises ``linalg.LinAlgError`` with the batch element and the failing leading minor.

    >>> import mlkit
    >>> mlkit.linalg.cholesky(mlkit.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    _tensor("cholesky", A=A)
    check_matrix("cholesky", A._array, square=True)
    return ops.cholesky(A, check=True, upper=upper)[0]


@takes_out
def cholesky_ex(A, *, upper: bool = False, check_errors: bool = False):
    """(L, info): ``cholesky`` that gives the failing leading minor (0: none) instead of raising; L ends there."""
    _tensor("cholesky_ex", A=A)
    check_matrix("cholesky", A._array, square=True)
    return cholesky_ex_result(*ops.cholesky(A, check=check_errors, upper=upper))


@takes_out
def old_cholesky(input, upper: bool = False):
    """The Cholesky factor: the older form of ``linalg.cholesky``."""
    return cholesky(input, upper=upper)


old_cholesky.__name__ = "cholesky"


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
    return cholesky_solve(ops.expand(_eye(n, n, L), shape=_shape(L)), L, upper)


# --- LU, LDL -------------------------------------------------------------------------------------------------------------------


def _needs_pivot(name: str, pivot: bool) -> None:
    if not pivot:
        raise LinAlgError(
            f"linalg.{name}: LU without pivoting is not implemented on the CPU.",
            hint="Leave pivot=True: without row exchanges the factors are inaccurate.",
        )


@takes_out
def lu_factor_ex(A, *, pivot: bool = True, check_errors: bool = False):
    """(LU, pivots, info): both factors in one matrix, the row exchanges (from 1), the first zero pivot (0: none)."""
    _tensor("lu_factor_ex", A=A)
    _needs_pivot("lu_factor", pivot)
    LU, pivots, info = ops.lu_factor(A)
    if check_errors and info._array.__class__ is not MetaArray and info._array.any():
        raise singular("lu_factor", conversion.to_numpy_array(info), "the factor U is exactly singular")
    return lu_factor_ex_result(LU, pivots, info)


@takes_out
def lu_factor(A, *, pivot: bool = True):
    """(LU, pivots) for ``lu_solve``; raises ``linalg.LinAlgError`` for a singular matrix."""
    return lu_factor_result(*lu_factor_ex(A, pivot=pivot, check_errors=True)[:2])


def lu_unpack(LU_data, LU_pivots, unpack_data: bool = True, unpack_pivots: bool = True):
    """(P, L, U) from the packed form of ``lu_factor``; A = P @ L @ U."""
    m, n = LU_data._array.shape[-2:]
    k = min(m, n)
    batch = _shape(LU_data)[:-2]
    P, L, U = (_empty(LU_data) for _ in range(3))
    if unpack_pivots:
        if dtypes.from_numpy_dtype(LU_pivots._array.dtype).name != "int32":
            raise DtypeError(
                "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.",
                hint="Use the pivots that lu_factor returned.",
            )
        whole = ops.expand(_eye(m, m, _detached(LU_data)), shape=(*batch, m, m))
        P = ops.permute_rows(whole, LU_pivots, inverse=True)
    if unpack_data:
        L = ops.tril(ops.narrow(LU_data, dim=-1, start=0, length=k), diagonal=-1) + _eye(m, k, LU_data)
        U = ops.triu(ops.narrow(LU_data, dim=-2, start=0, length=k))
    return lu_result(P, L, U)


@takes_out
def lu(A, *, pivot: bool = True):
    """(P, L, U) with A = P @ L @ U: a permutation, unit lower and upper triangular factors."""
    _tensor("lu", A=A)
    _needs_pivot("lu", pivot)
    LU, pivots, _ = ops.lu_factor(A)
    return lu_unpack(LU, pivots)


def old_lu(A, pivot: bool = True, get_infos: bool = False):
    """(LU, pivots) or (LU, pivots, infos): the older form of ``linalg.lu_factor_ex``."""
    found = lu_factor_ex(A, pivot=pivot)
    return tuple(found) if get_infos else tuple(found[:2])


@takes_out
def lu_solve(LU, pivots, B, *, left: bool = True, adjoint: bool = False):
    """X with A @ X = B from ``lu_factor(A)``; ``adjoint`` solves with A.mH, ``left=False`` solves X @ A = B."""
    _tensor("lu_solve", LU=LU, pivots=pivots, B=B)
    check_matrix("lu_solve", LU._array, square=True, label="LU")
    check_matrix("lu_solve", B._array, label="B")
    _check_pivots("lu_solve", LU, pivots, ("int32",))
    if not left:
        return _mH(lu_solve(LU, pivots, _mH(B), adjoint=not adjoint))
    if adjoint:
        first = ops.triangular_solution(_mH(LU), B, upper=False)
        first = ops.triangular_solution(_mH(LU), first, upper=True, unitriangular=True)
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
    if _shape(pivots) != _shape(factors)[:-1]:
        raise ShapeError(
            f"linalg.{name}: Number of pivots per batch should be same as the dimension of the matrix.",
            f"factors: {_shape(factors)}\npivots:  {_shape(pivots)}",
        )


@takes_out
def old_lu_solve(b, LU_data, LU_pivots):
    """X with A @ X = b from the packed LU of A: the older form of ``linalg.lu_solve``."""
    return lu_solve(LU_data, LU_pivots, b)


old_lu_solve.__name__ = "lu_solve"


@takes_out
def ldl_factor_ex(A, *, hermitian: bool = False, check_errors: bool = False):
    """(LD, pivots, info) of a symmetric (or Hermitian) matrix in LAPACK's layout, from its lower triangle."""
    _tensor("ldl_factor_ex", A=A)
    LD, pivots, info = ops.ldl_factor(A, hermitian=hermitian)
    if check_errors and info._array.__class__ is not MetaArray and info._array.any():
        raise singular("ldl_factor", conversion.to_numpy_array(info), "the factor D is exactly singular")
    return ldl_factor_ex_result(LD, pivots, info)


@takes_out
def ldl_factor(A, *, hermitian: bool = False):
    """(LD, pivots) for ``ldl_solve``: A = L D L^T (or L D L^H) for symmetric, possibly indefinite A."""
    return ldl_factor_result(*ldl_factor_ex(A, hermitian=hermitian, check_errors=True)[:2])


@takes_out
def ldl_solve(LD, pivots, B, *, hermitian: bool = False):
    """X with A @ X = B from ``ldl_factor(A)``; differentiable in B."""
    _tensor("ldl_solve", LD=LD, pivots=pivots, B=B)
    check_matrix("ldl_solve", LD._array, square=True, label="LD")
    check_matrix("ldl_solve", B._array, label="B")
    _check_pivots("ldl_solve", LD, pivots, ("int32", "int64", "int16", "int8", "uint8"))
    hermitian = hermitian and ops.is_complex(LD)
    order, L, D = backends.load("numpy").m.ldl_parts_(
        conversion.to_numpy_array(LD), conversion.to_numpy_array(pivots), hermitian
    )
    place = ops.device_of(LD)
    L, D = (wrap(placement.on_device(x, place)) for x in (L, D))
    star = _mH(L) if hermitian else _mT(L)
    batch = broadcast_shapes(_shape(LD)[:-2], _shape(B)[:-2])
    right = ops.expand(B, shape=(*batch, *_shape(B)[-2:]))

    def rows(x, indices):
        where = np.broadcast_to(indices[..., None], _shape(right)).copy()
        return ops.gather(x, wrap(placement.on_device(where, place)), dim=len(batch))

    first = ops.triangular_solution(L, rows(right, order), upper=False, unitriangular=True)
    first = ops.solve(D, first, check=True)[0]
    first = ops.triangular_solution(star, first, upper=True, unitriangular=True)
    return rows(first, np.argsort(order, axis=-1))


# --- QR ----------------------------------------------------------------------------------------------------------------------------


@takes_out
def qr(A, mode: str = "reduced"):
    """(Q, R) with A = Q @ R: Q has orthonormal columns, R is upper triangular.

    ``mode``: "reduced" gives Q (*, m, k) and R (*, k, n) with k = min(m, n); "complete" Q (*, m, m); "r" only R.
    """
    _tensor("qr", A=A)
    if mode not in ("reduced", "complete", "r"):
        raise ShapeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced', 'r', or 'complete'.")
    return qr_result(*ops.qr(A, mode=mode))


@takes_out
def old_qr(input, some: bool = True):
    """(Q, R): the older form of ``linalg.qr``."""
    return qr(input, "reduced" if some else "complete")


old_qr.__name__ = "qr"


def geqrf(input):
    """(a, tau): QR as Householder vectors below the diagonal of ``a``, R on and above it."""
    return geqrf_result(*ops.geqrf(input))


def _reflectors(A, tau):
    m, k = A._array.shape[-2], tau._array.shape[-1]
    V = ops.tril(ops.narrow(A, dim=-1, start=0, length=k), diagonal=-1) + _eye(m, k, A)
    return [(ops.narrow(V, dim=-1, start=i, length=1), ops.narrow(tau, dim=-1, start=i, length=1)) for i in range(k)]


def _reflect(x, pairs, adjoint=False):
    for v, t in pairs:
        t = ops.unsqueeze(ops.conj(t) if adjoint else t, -1)
        x = x - ops.matmul(t * v, ops.matmul(_mH(v), x))
    return x


@takes_out
def householder_product(A, tau):
    """The first n columns of H_1 H_2 ... H_k, H_i = I - tau_i v_i v_i^H, with v_i below the diagonal of A."""
    _tensor("householder_product", input=A, tau=tau)
    check_matrix("householder_product", A._array)
    check_same_dtype("linalg.householder_product", A, False, tau=tau)
    m, n = A._array.shape[-2:]
    k = tau._array.shape[-1] if tau._array.ndim else 0
    if m < n:
        raise ShapeError(
            "linalg.householder_product: input.shape[-2] must be greater than or equal to input.shape[-1]."
        )
    if n < k:
        raise ShapeError("linalg.householder_product: input.shape[-1] must be greater than or equal to tau.shape[-1].")
    if tau._array.ndim != A._array.ndim - 1 or _shape(tau)[:-1] != _shape(A)[:-2]:
        raise ShapeError(
            "linalg.householder_product: Expected tau to have one dimension less than input, and the same batch dims.",
            f"input: {_shape(A)}\ntau: {_shape(tau)}",
        )
    identity = ops.expand(_eye(m, n, A), shape=_shape(A))
    return _reflect(identity, _reflectors(A, tau)[::-1]) if k else _in_graph_of(A, identity)


def orgqr(input, tau):
    """``linalg.householder_product``."""
    return householder_product(input, tau)


@takes_out
def ormqr(input, tau, other, left: bool = True, transpose: bool = False):
    """Q @ other (``left=False``: other @ Q) for the Q that ``geqrf`` stored; ``transpose`` uses Q.mH."""
    for label, x in (("input", input), ("other", other)):
        if x._array.ndim < 2:
            raise ShapeError(f"ormqr: {label} must have at least 2 dimensions.")
    check_same_dtype("ormqr", input, False, tau=tau, other=other)
    rows = _shape(other)[-2 if left else -1]
    if tau._array.ndim != input._array.ndim - 1 or input._array.ndim != other._array.ndim:
        raise ShapeError(
            "ormqr: Expected tau to have one dimension less than input, and other as many dimensions as input.",
            f"input: {_shape(input)}\ntau: {_shape(tau)}\nother: {_shape(other)}",
        )
    if _shape(tau)[-1] > min(rows, _shape(input)[-1]) or _shape(tau)[-1] != min(_shape(input)[-2:]):
        raise ShapeError(
            "ormqr: tau.shape[-1] must be equal to min(other.shape[-2], input.shape[-1]).",
            f"input: {_shape(input)}\ntau: {_shape(tau)}\nother: {_shape(other)}",
        )
    if not left:
        return _mH(ormqr(input, tau, _mH(other), True, not transpose))
    pairs = _reflectors(input, tau)
    return _reflect(other, pairs, adjoint=True) if transpose else _reflect(other, pairs[::-1])


# --- eigenvalues, singular values ---------------------------------------------------------------------------------------------------------


@takes_out
def eig(A):
    """(eigenvalues, eigenvectors as columns) of square matrices, both complex.

    Eigenvectors have norm 1 and any phase: losses must not depend on it.
    """
    _tensor("eig", A=A)
    return eig_result(*ops.eig(A))


@takes_out
def eigvals(A):
    """The complex eigenvalues of square matrices."""
    _tensor("eigvals", A=A)
    return ops.eig(A)[0]


def _upper(UPLO: str) -> bool:
    if not isinstance(UPLO, str):
        raise ArgumentError(f"linalg.eigh: UPLO must be a string, got {UPLO!r}.")
    if UPLO.upper() not in ("L", "U"):
        raise ShapeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}.")
    return UPLO.upper() == "U"


@takes_out
def eigh(A, UPLO: str = "L"):
    """(eigenvalues ascending, eigenvectors as columns) of symmetric or Hermitian matrices; UPLO names the triangle read.

    >>> import mlkit
    >>> mlkit.linalg.eigh(mlkit.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    tensor([1., 2.])
    """
    _tensor("eigh", A=A)
    return eigh_result(*ops.eigh(A, upper=_upper(UPLO)))


@takes_out
def eigvalsh(A, UPLO: str = "L"):
    """The eigenvalues, ascending, of symmetric or Hermitian matrices."""
    _tensor("eigvalsh", A=A)
    return ops.eigh(A, upper=_upper(UPLO))[0]


def _no_driver(driver) -> None:
    if driver is not None:
        raise ShapeError("linalg.svd: keyword argument `driver=` is only supported on CUDA inputs.")


@takes_out
def svd(A, full_matrices: bool = True, *, driver: str | None = None):
    """(U, S, Vh) with A = U @ diag(S) @ Vh, S descending.

    >>> import mlkit
    >>> mlkit.linalg.svd(mlkit.tensor([[0.0, 2.0], [1.0, 0.0]])).S
    tensor([2., 1.])
    """
    _tensor("svd", A=A)
    _no_driver(driver)
    return svd_result(*ops.svd(A, full_matrices=full_matrices))


@takes_out
def svdvals(A, *, driver: str | None = None):
    """The singular values, descending."""
    _tensor("svdvals", A=A)
    _no_driver(driver)
    return ops.svd(A, full_matrices=False)[1]


@takes_out
def old_svd(input, some: bool = True, compute_uv: bool = True):
    """(U, S, V) with input = U @ diag(S) @ V.mH: the older form of ``linalg.svd`` (mind V)."""
    if not compute_uv:
        S = svdvals(input)
        m, n = _shape(input)[-2:]
        batch = _shape(input)[:-2]
        return old_svd_result(ops.zeros((*batch, m, m), like=input), S, ops.zeros((*batch, n, n), like=input))
    U, S, Vh = ops.svd(input, full_matrices=not some)
    return old_svd_result(U, S, _mH(Vh))


old_svd.__name__ = "svd"


def svd_lowrank(A, q: int | None = 6, niter: int | None = 2, M=None):
    """(U, S, V): the q largest singular values by randomized subspace iteration (Halko, Martinsson & Tropp 2011)."""
    if M is not None:
        A = A - M
    m, n = _shape(A)[-2:]
    q = min(6, m, n) if q is None else q
    wide = m < n
    X = _mH(A) if wide else A
    G = random.randn(*_shape(X)[:-2], _shape(X)[-1], q, dtype=dtypes.from_numpy_dtype(X._array.dtype))
    Q = ops.qr(ops.matmul(X, G))[0]
    for _ in range(niter or 0):
        Q = ops.qr(ops.matmul(_mH(X), Q))[0]
        Q = ops.qr(ops.matmul(X, Q))[0]
    U, S, Vh = ops.svd(ops.matmul(_mH(Q), X), full_matrices=False)
    U, V = ops.matmul(Q, U), _mH(Vh)
    return (V, S, U) if wide else (U, S, V)


def pca_lowrank(A, q: int | None = None, center: bool = True, niter: int = 2):
    """(U, S, V): principal components (columns of V) of the rows of A by ``svd_lowrank``, centred unless told."""
    m, n = _shape(A)[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ShapeError(
            f"pca_lowrank: q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}."
        )
    return svd_lowrank(A - ops.mean(A, dim=-2, keepdim=True) if center else A, q, niter)


@takes_out
def matrix_rank(A, tol=None, hermitian: bool = False, *, atol=None, rtol=None):
    """How many singular values are above max(atol, rtol * largest): int64 (*)."""
    _tensor("matrix_rank", A=A)
    check_matrix("matrix_rank", A._array)
    A = _detached(A)
    if min(A._array.shape[-2:]) == 0:
        return ops.cast(ops.zeros(_shape(A)[:-2], like=A), dtype=dtypes.int64)
    absolute, relative = (tol, 0.0) if tol is not None else _tolerances(A, atol, rtol)
    absolute = absolute._array if isinstance(absolute, Value) else absolute
    values = ops.abs(ops.eigh(A)[0]) if hermitian else ops.svd(A, full_matrices=False)[1]
    limit = _limit(absolute, relative, ops.amax(values, dim=-1, keepdim=True))
    return ops.sum(ops.gt(values, limit), dim=-1)


@takes_out
def cond(A, p=None):
    """The condition number in the norm p: None or 2 (singular values), -2, "fro", "nuc", 1, -1, inf, -inf."""
    _tensor("cond", A=A)
    check_matrix("cond", A._array)
    if p is None or p in (2, -2):
        S = ops.svd(A, full_matrices=False)[1]
        k = S._array.shape[-1]
        if k == 0:
            return ops.zeros(_shape(A)[:-2], like=S)
        largest, smallest = (ops.squeeze(ops.narrow(S, dim=-1, start=i, length=1), -1) for i in (0, k - 1))
        return smallest / largest if p == -2 else largest / smallest
    if p not in ("fro", "nuc", 1, -1, float("inf"), -float("inf")):
        raise ShapeError(f"linalg.cond got an invalid norm type: {p}.")
    check_matrix("cond", A._array, square=True)
    inverted, info = ops.inverse(A, check=False)
    bad = ops.ne(info, 0)
    out = matrix_norm(A, p) * matrix_norm(inverted, p)
    return ops.where(bad, ops.ones_like(out) * float("inf"), out)


# --- norms -----------------------------------------------------------------------------------------------------------------------------


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
    _tensor("vector_norm", self=x)
    x = _as_dtype("vector_norm", x, dtype)
    if isinstance(ord, bool) or not isinstance(ord, (int, float, np.number)):
        raise ArgumentError(f"linalg_vector_norm(): argument 'ord' must be Number, not {type(ord).__name__}.")
    shape = _shape(x)
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
    _tensor("matrix_norm", self=A)
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
    if ord == "nuc" or abs(ord) == 2:
        check_floating("matrix_norm", A._array)
        S = ops.svd(movedim(A, (row, column), (-2, -1)), full_matrices=False)[1]
        if ord == "nuc":
            out = ops.sum(S, dim=-1)
        else:
            out = ops.amax(S, dim=-1) if ord > 0 else ops.amin(S, dim=-1)
        if keepdim:
            for d in sorted((row, column)):
                shape = list(_shape(out))
                shape.insert(d, 1)
                out = ops.reshape(out, shape=tuple(shape))
        return out
    if abs(ord) not in (1, float("inf")):
        raise ShapeError(f"linalg.matrix_norm: Order {ord} not supported.")
    first, second = (row, column) if abs(ord) == 1 else (column, row)
    if ord > 0 and not A._array.size and not _shape(A)[second]:  # nothing is as large as 0
        pair = (row, column)
        left = tuple(1 if d in pair else n for d, n in enumerate(_shape(A)) if keepdim or d not in pair)
        return ops.zeros(left, like=ops.abs(A))
    sums = ops.vector_norm(A, ord=1.0, dim=(first,), keepdim=True)
    out = (ops.amax if ord > 0 else ops.amin)(sums, dim=second, keepdim=True)
    if keepdim:
        return out
    return ops.reshape(out, shape=tuple(n for d, n in enumerate(_shape(out)) if d not in (row, column)))


@takes_out
def norm(A, ord=None, dim=None, keepdim: bool = False, *, dtype=None):
    """A vector or matrix norm: a matrix norm when two dims are meant and ``ord`` is given, else a vector norm.

    >>> import mlkit
    >>> mlkit.linalg.norm(mlkit.tensor([[3.0, 0.0], [0.0, 4.0]]), 2)
    tensor(4.)
    """
    _tensor("norm", input=A)
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


# --- products and powers --------------------------------------------------------------------------------------------------------------------


@takes_out
def matmul(input, other):
    """The matrix product: ``mlkit.matmul``."""
    return ops.matmul(input, other)


@takes_out
def vecdot(x, y, *, dim: int = -1):
    """sum of conj(x) * y along ``dim``, broadcasting the others."""
    _tensor("vecdot", x=x, y=y)
    check_vecdot = (dtypes.from_numpy_dtype(t._array.dtype).category for t in (x, y))
    if min(check_vecdot) < 2:
        raise DtypeError("linalg.vecdot: Expected a floating point or complex tensor as input.")
    check_same_dtype("linalg.vecdot", x, False, y=y)
    return ops.sum(ops.conj(x) * y, dim=dim)


def _cross(name: str, input, other, dim: int):
    check_same_dtype(name, input, False, other=other)
    rank = input._array.ndim
    if rank != other._array.ndim:
        raise ShapeError(
            f"{name}: inputs must have the same number of dimensions.", f"{_shape(input)} and {_shape(other)}"
        )
    d = canonical_dim(name, dim, rank)
    if rank == 0 or _shape(input)[d] != 3 or _shape(other)[d] != 3:
        raise ShapeError(
            f"{name}: inputs dimension {dim} must have length 3.", f"input: {_shape(input)}\nother: {_shape(other)}"
        )

    def turned(x, by):
        return ops.roll(x, shifts=(by,), dims=(d,))

    return turned(input, -1) * turned(other, 1) - turned(input, 1) * turned(other, -1)


@takes_out
def cross(input, other, *, dim: int = -1):
    """The cross product of vectors of 3 along ``dim``.

    >>> import mlkit
    >>> mlkit.linalg.cross(mlkit.tensor([1.0, 0.0, 0.0]), mlkit.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    _tensor("cross", input=input, other=other)
    return _cross("linalg.cross", input, other, dim)


@takes_out
def old_cross(input, other, dim: int | None = None):
    """The cross product along ``dim`` (by default the first dim of size 3)."""
    if dim is None:
        shape = _shape(input)
        if 3 not in shape:
            raise ShapeError("cross: no dimension of size 3 in input.", f"input: {shape}")
        dim = shape.index(3)
    return _cross("cross", input, other, dim)


old_cross.__name__ = "cross"


@takes_out
def multi_dot(tensors):
    """The product of a chain of matrices, in the order that costs least; the first and last may be vectors."""
    tensors = list(tensors)
    if len(tensors) < 2:
        raise ShapeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}.")
    first, last = tensors[0]._array.ndim == 1, tensors[-1]._array.ndim == 1
    chain = list(tensors)
    if first:
        chain[0] = ops.reshape(chain[0], shape=(1, -1))
    if last:
        chain[-1] = ops.reshape(chain[-1], shape=(-1, 1))
    for i, x in enumerate(chain):
        if x._array.ndim != 2:
            raise ShapeError(f"multi_dot(): tensor {i} must be 2D but got {x._array.ndim}D.")
    sizes = [_shape(x)[0] for x in chain] + [_shape(chain[-1])[1]]
    for i, (a, b) in enumerate(zip(chain[:-1], chain[1:], strict=True)):
        if _shape(a)[1] != _shape(b)[0]:
            raise ShapeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(_shape(a))} and {list(_shape(b))} cannot be "
                "multiplied."
            )
    n = len(chain)
    cost = [[0] * n for _ in range(n)]
    best = [[0] * n for _ in range(n)]
    for length in range(1, n):  # Cormen et al., "Introduction to Algorithms", 15.2
        for i in range(n - length):
            j = i + length
            cost[i][j], best[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    def product(i, j):
        return chain[i] if i == j else ops.matmul(product(i, best[i][j]), product(best[i][j] + 1, j))

    out = product(0, n - 1)
    if first and last:
        return ops.reshape(out, shape=())
    return ops.reshape(out, shape=(-1,)) if first or last else out


def chain_matmul(*matrices):
    """The product of a chain of matrices: the older form of ``linalg.multi_dot``."""
    return multi_dot(matrices) if len(matrices) > 1 else matrices[0]


def _in_graph_of(A, constant):
    """A constant as a result of A: its gradient there is zero."""
    return ops.where(ops.eq(constant, constant), constant, A) if A._node is not None else constant


@takes_out
def matrix_power(A, n: int):
    """A multiplied with itself n times; negative n uses the inverse, 0 gives the identity."""
    _tensor("matrix_power", A=A)
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise ArgumentError(f"linalg_matrix_power(): argument 'n' must be int, not {type(n).__name__}.")
    n = int(n)
    a = A._array
    if a.ndim < 2:
        raise ShapeError("linalg.matrix_power: The input tensor A must have at least 2 dimensions.")
    if a.shape[-1] != a.shape[-2]:
        raise ShapeError(
            f"linalg.matrix_power: A must be batches of square matrices, but they are {a.shape[-2]} by {a.shape[-1]} "
            "matrices."
        )
    if n == 0:
        return _in_graph_of(A, ops.expand(_eye(a.shape[-1], a.shape[-1], A), shape=_shape(A)))
    base, left = (inv(A), -n) if n < 0 else (A, n)
    out = None
    while left:
        if left & 1:
            out = base if out is None else ops.matmul(out, base)
        left >>= 1
        if left:
            base = ops.matmul(base, base)
    return ops.clone(out) if out is A else out


def matrix_exp(A):
    """The matrix exponential sum A^k / k!.

    >>> import mlkit
    >>> mlkit.linalg.matrix_exp(mlkit.zeros(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    _tensor("matrix_exp", self=A)
    d = dtypes.from_numpy_dtype(A._array.dtype)
    if d.is_floating_point and d.itemsize == 2:  # in float32, as half precision has too few digits for the squarings
        return ops.cast(ops.matrix_exp(ops.cast(A, dtype=dtypes.float32)), dtype=d)
    return ops.matrix_exp(A)


def diagonal(A, *, offset: int = 0, dim1: int = -2, dim2: int = -1):
    """A view of the diagonals of the last two dims."""
    return ops.diagonal(A, offset=offset, dim1=dim1, dim2=dim2)


def vander(x, N: int | None = None):  # noqa: N803
    """Rows 1, x, x^2, ... x^(N-1): (*, n) -> (*, n, N)."""
    _tensor("vander", x=x)
    if x._array.ndim == 0:
        x = ops.reshape(x, shape=(1,))
    if x._array.dtype == bool or x._array.dtype.itemsize == 2 and x._array.dtype.kind in "fV":
        raise DtypeError(f"linalg.vander supports floating point, complex, and integer tensors, but got {x.dtype}.")
    given, N = N, _shape(x)[-1] if N is None else N
    if N < 1 or N == 1 and given is None:
        raise ShapeError(f"linalg.vander: N must be greater than 1, got {N}.")
    column = ops.unsqueeze(x, -1)
    if x._array.dtype.kind in "biu":
        column = ops.cast(column, dtype=dtypes.int64)
    one = ops.ones_like(column)
    if N == 1:
        return one
    powers = ops.cat([one, ops.expand(column, shape=(*_shape(x), N - 1))], dim=-1)
    return ops.cumprod(powers, dim=-1)


@takes_out
def tensorinv(A, ind: int = 2):
    """The inverse of ``tensordot(A, ., dims=ind)``: shape A.shape[ind:] + A.shape[:ind]."""
    _tensor("tensorinv", A=A)
    if not A._array.ndim:
        raise ShapeError(f"tensorinv: expected a tensor of more than {ind} dims, got a 0-d one.")
    if ind <= 0:
        raise ShapeError(f"Expected a strictly positive integer for 'ind', but got {ind}.")
    shape = _shape(A)
    rows, columns = int(np.prod(shape[:ind])), int(np.prod(shape[ind:]))
    if rows != columns:
        raise ShapeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{columns} != {rows}.",
            f"A: {shape}, ind: {ind}",
        )
    return ops.reshape(inv(ops.reshape(A, shape=(rows, columns))), shape=(*shape[ind:], *shape[:ind]))


@takes_out
def tensorsolve(A, B, dims=None):
    """X with ``tensordot(A, X, X.ndim) == B``; ``dims`` of A are moved to its end first."""
    _tensor("tensorsolve", A=A, B=B)
    if dims is not None:
        chosen = [canonical_dim("tensorsolve", d, A._array.ndim) for d in dims]
        A = movedim(A, chosen, list(range(A._array.ndim - len(chosen), A._array.ndim)))
    shape = _shape(A)
    result = shape[B._array.ndim :]
    rows, columns = int(np.prod(_shape(B))), int(np.prod(result))
    if rows != columns or int(np.prod(shape)) != rows * columns:
        raise ShapeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {columns} != {rows}.",
            f"A: {shape}\nB: {_shape(B)}",
        )
    solution = _solve(ops.reshape(A, shape=(rows, columns)), ops.reshape(B, shape=(rows,)), True, True, "solve")[0]
    return ops.reshape(solution, shape=result)


__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh",
    "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu", "lu_factor",
    "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm",
    "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve",
    "vander", "vecdot", "vector_norm",
]  # fmt: skip
