"""Decompositions of matrices: Cholesky, LU, LDL, QR, eigenvalues, singular values."""

from __future__ import annotations

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, DtypeError, LinAlgError, ShapeError
from mlkit.core.value import MetaArray
from mlkit.functional import conversion, random
from mlkit.functional.arguments import check_same_dtype
from mlkit.functional.matrices import check_tensor, detached, empty_of, eye_like, in_graph_of, mH, shape_of
from mlkit.functional.results import named_result, takes_out
from mlkit.ops.linalg import check_matrix, singular

cholesky_ex_result = named_result("linalg_cholesky_ex", ("L", "info"))
eig_result = named_result("linalg_eig", ("eigenvalues", "eigenvectors"))
eigh_result = named_result("linalg_eigh", ("eigenvalues", "eigenvectors"))
qr_result = named_result("linalg_qr", ("Q", "R"))
svd_result = named_result("linalg_svd", ("U", "S", "Vh"))
lu_result = named_result("linalg_lu", ("P", "L", "U"))
lu_factor_result = named_result("linalg_lu_factor", ("LU", "pivots"))
lu_factor_ex_result = named_result("linalg_lu_factor_ex", ("LU", "pivots", "info"))
ldl_factor_result = named_result("linalg_ldl_factor", ("LD", "pivots"))
ldl_factor_ex_result = named_result("linalg_ldl_factor_ex", ("LD", "pivots", "info"))
old_svd_result = named_result("svd", ("U", "S", "V"))
geqrf_result = named_result("geqrf", ("a", "tau"))


# --- Cholesky ---------------------------------------------------------------------------------------------------------


@takes_out
def cholesky(A, *, upper: bool = False):
    """L with A = L @ L.mH for Hermitian positive-definite A (``upper=True``: U with A = U.mH @ U).

    Raises ``linalg.LinAlgError`` with the batch element and the failing leading minor.

    >>> import mlkit
    >>> mlkit.linalg.cholesky(mlkit.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    check_tensor("cholesky", A=A)
    check_matrix("cholesky", A._array, square=True)
    return ops.cholesky(A, check=True, upper=upper)[0]


@takes_out
def cholesky_ex(A, *, upper: bool = False, check_errors: bool = False):
    """(L, info): ``cholesky`` that gives the failing leading minor (0: none) instead of raising; L ends there."""
    check_tensor("cholesky_ex", A=A)
    check_matrix("cholesky", A._array, square=True)
    return cholesky_ex_result(*ops.cholesky(A, check=check_errors, upper=upper))


@takes_out
def old_cholesky(input, upper: bool = False):
    """The Cholesky factor: the older form of ``linalg.cholesky``."""
    return cholesky(input, upper=upper)


old_cholesky.__name__ = "cholesky"


# --- LU, LDL ----------------------------------------------------------------------------------------------------------


def _needs_pivot(name: str, pivot: bool) -> None:
    if not pivot:
        raise LinAlgError(
            f"linalg.{name}: LU without pivoting is not implemented on the CPU.",
            hint="Leave pivot=True: without row exchanges the factors are inaccurate.",
        )


@takes_out
def lu_factor_ex(A, *, pivot: bool = True, check_errors: bool = False):
    """(LU, pivots, info): both factors in one matrix, the row exchanges (from 1), the first zero pivot (0: none)."""
    check_tensor("lu_factor_ex", A=A)
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
    batch = shape_of(LU_data)[:-2]
    P, L, U = (empty_of(LU_data) for _ in range(3))
    if unpack_pivots:
        if dtypes.from_numpy_dtype(LU_pivots._array.dtype).name != "int32":
            raise DtypeError(
                "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.",
                hint="Use the pivots that lu_factor returned.",
            )
        whole = ops.expand(eye_like(m, m, detached(LU_data)), shape=(*batch, m, m))
        P = ops.permute_rows(whole, LU_pivots, inverse=True)
    if unpack_data:
        L = ops.tril(ops.narrow(LU_data, dim=-1, start=0, length=k), diagonal=-1) + eye_like(m, k, LU_data)
        U = ops.triu(ops.narrow(LU_data, dim=-2, start=0, length=k))
    return lu_result(P, L, U)


@takes_out
def lu(A, *, pivot: bool = True):
    """(P, L, U) with A = P @ L @ U: a permutation, unit lower and upper triangular factors."""
    check_tensor("lu", A=A)
    _needs_pivot("lu", pivot)
    LU, pivots, _ = ops.lu_factor(A)
    return lu_unpack(LU, pivots)


def old_lu(A, pivot: bool = True, get_infos: bool = False):
    """(LU, pivots) or (LU, pivots, infos): the older form of ``linalg.lu_factor_ex``."""
    found = lu_factor_ex(A, pivot=pivot)
    return tuple(found) if get_infos else tuple(found[:2])


@takes_out
def ldl_factor_ex(A, *, hermitian: bool = False, check_errors: bool = False):
    """(LD, pivots, info) of a symmetric (or Hermitian) matrix in LAPACK's layout, from its lower triangle."""
    check_tensor("ldl_factor_ex", A=A)
    LD, pivots, info = ops.ldl_factor(A, hermitian=hermitian)
    if check_errors and info._array.__class__ is not MetaArray and info._array.any():
        raise singular("ldl_factor", conversion.to_numpy_array(info), "the factor D is exactly singular")
    return ldl_factor_ex_result(LD, pivots, info)


@takes_out
def ldl_factor(A, *, hermitian: bool = False):
    """(LD, pivots) for ``ldl_solve``: A = L D L^T (or L D L^H) for symmetric, possibly indefinite A."""
    return ldl_factor_result(*ldl_factor_ex(A, hermitian=hermitian, check_errors=True)[:2])


# --- QR ---------------------------------------------------------------------------------------------------------------


@takes_out
def qr(A, mode: str = "reduced"):
    """(Q, R) with A = Q @ R: Q has orthonormal columns, R is upper triangular.

    ``mode``: "reduced" gives Q (*, m, k) and R (*, k, n) with k = min(m, n); "complete" Q (*, m, m); "r" only R.
    """
    check_tensor("qr", A=A)
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
    V = ops.tril(ops.narrow(A, dim=-1, start=0, length=k), diagonal=-1) + eye_like(m, k, A)
    return [(ops.narrow(V, dim=-1, start=i, length=1), ops.narrow(tau, dim=-1, start=i, length=1)) for i in range(k)]


def _reflect(x, pairs, adjoint=False):
    for v, t in pairs:
        t = ops.unsqueeze(ops.conj(t) if adjoint else t, -1)
        x = x - ops.matmul(t * v, ops.matmul(mH(v), x))
    return x


@takes_out
def householder_product(A, tau):
    """The first n columns of H_1 H_2 ... H_k, H_i = I - tau_i v_i v_i^H, with v_i below the diagonal of A."""
    check_tensor("householder_product", input=A, tau=tau)
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
    if tau._array.ndim != A._array.ndim - 1 or shape_of(tau)[:-1] != shape_of(A)[:-2]:
        raise ShapeError(
            "linalg.householder_product: Expected tau to have one dimension less than input, and the same batch dims.",
            f"input: {shape_of(A)}\ntau: {shape_of(tau)}",
        )
    identity = ops.expand(eye_like(m, n, A), shape=shape_of(A))
    return _reflect(identity, _reflectors(A, tau)[::-1]) if k else in_graph_of(A, identity)


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
    rows = shape_of(other)[-2 if left else -1]
    if tau._array.ndim != input._array.ndim - 1 or input._array.ndim != other._array.ndim:
        raise ShapeError(
            "ormqr: Expected tau to have one dimension less than input, and other as many dimensions as input.",
            f"input: {shape_of(input)}\ntau: {shape_of(tau)}\nother: {shape_of(other)}",
        )
    if shape_of(tau)[-1] > min(rows, shape_of(input)[-1]) or shape_of(tau)[-1] != min(shape_of(input)[-2:]):
        raise ShapeError(
            "ormqr: tau.shape[-1] must be equal to min(other.shape[-2], input.shape[-1]).",
            f"input: {shape_of(input)}\ntau: {shape_of(tau)}\nother: {shape_of(other)}",
        )
    if not left:
        return mH(ormqr(input, tau, mH(other), True, not transpose))
    pairs = _reflectors(input, tau)
    return _reflect(other, pairs, adjoint=True) if transpose else _reflect(other, pairs[::-1])


# --- eigenvalues, singular values -------------------------------------------------------------------------------------


@takes_out
def eig(A):
    """(eigenvalues, eigenvectors as columns) of square matrices, both complex.

    Eigenvectors have norm 1 and any phase: losses must not depend on it.
    """
    check_tensor("eig", A=A)
    return eig_result(*ops.eig(A))


@takes_out
def eigvals(A):
    """The complex eigenvalues of square matrices."""
    check_tensor("eigvals", A=A)
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
    check_tensor("eigh", A=A)
    return eigh_result(*ops.eigh(A, upper=_upper(UPLO)))


@takes_out
def eigvalsh(A, UPLO: str = "L"):
    """The eigenvalues, ascending, of symmetric or Hermitian matrices."""
    check_tensor("eigvalsh", A=A)
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
    check_tensor("svd", A=A)
    _no_driver(driver)
    return svd_result(*ops.svd(A, full_matrices=full_matrices))


@takes_out
def svdvals(A, *, driver: str | None = None):
    """The singular values, descending."""
    check_tensor("svdvals", A=A)
    _no_driver(driver)
    return ops.svd(A, full_matrices=False)[1]


@takes_out
def old_svd(input, some: bool = True, compute_uv: bool = True):
    """(U, S, V) with input = U @ diag(S) @ V.mH: the older form of ``linalg.svd`` (mind V)."""
    if not compute_uv:
        S = svdvals(input)
        m, n = shape_of(input)[-2:]
        batch = shape_of(input)[:-2]
        return old_svd_result(ops.zeros((*batch, m, m), like=input), S, ops.zeros((*batch, n, n), like=input))
    U, S, Vh = ops.svd(input, full_matrices=not some)
    return old_svd_result(U, S, mH(Vh))


old_svd.__name__ = "svd"


def svd_lowrank(A, q: int | None = 6, niter: int | None = 2, M=None):
    """(U, S, V): the q largest singular values by randomized subspace iteration (Halko, Martinsson & Tropp 2011)."""
    if M is not None:
        A = A - M
    m, n = shape_of(A)[-2:]
    q = min(6, m, n) if q is None else q
    wide = m < n
    X = mH(A) if wide else A
    G = random.randn(*shape_of(X)[:-2], shape_of(X)[-1], q, dtype=dtypes.from_numpy_dtype(X._array.dtype))
    Q = ops.qr(ops.matmul(X, G))[0]
    for _ in range(niter or 0):
        Q = ops.qr(ops.matmul(mH(X), Q))[0]
        Q = ops.qr(ops.matmul(X, Q))[0]
    U, S, Vh = ops.svd(ops.matmul(mH(Q), X), full_matrices=False)
    U, V = ops.matmul(Q, U), mH(Vh)
    return (V, S, U) if wide else (U, S, V)


def pca_lowrank(A, q: int | None = None, center: bool = True, niter: int = 2):
    """(U, S, V): principal components (columns of V) of the rows of A by ``svd_lowrank``, centred unless told."""
    m, n = shape_of(A)[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ShapeError(
            f"pca_lowrank: q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}."
        )
    return svd_lowrank(A - ops.mean(A, dim=-2, keepdim=True) if center else A, q, niter)
