"""Matrices taken apart: Cholesky, LU, LDL, QR, eigenvalues, singular values.

Gradients follow Mike Giles (see linalg.py), and Jinguo Liu et al. for QR of wide matrices; singular vectors and
eigenvectors are defined up to a phase (a gauge), and a loss that depends on it is refused where that can be seen.
"""

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.errors import GradientError, LinAlgError
from mlkit.core.value import MetaArray
from mlkit.ops.linalg import (
    Matrix,
    columns,
    diagonal_matrix,
    diagonal_of,
    differences,
    identity,
    int32,
    mH,
    refuse_phase,
    rows,
)
from mlkit.ops.registry import Sample, op

DEFINITE = [(Sample((3, 3), "definite"),), (Sample((2, 2, 2), "definite"), {"upper": True})]
DEFINITE += [(Sample((3, 3), "definite", "complex128"),)]

# --- Cholesky, LU, LDL, QR --------------------------------------------------------------------------------------------


@op(samples=DEFINITE)
class cholesky(Matrix):
    """(L, info) with A = L L^H for Hermitian positive-definite A; ``upper`` gives L^H. Reads the triangle it gives.

    ``info`` is 0, or the order of the first leading minor that is not positive-definite; with ``check`` that raises.
    """

    square = True
    outputs = 2

    def infer(A, *, check, upper):
        return MetaArray(A.shape, A.dtype), int32(A.shape[:-2])

    def forward(m, A, *, check=True, upper=False):
        out, info = m.cholesky_(A.conj().swapaxes(-1, -2) if upper else A)
        if check and info.any():
            flat = m.to_numpy_(info).reshape(-1)
            where = int(np.flatnonzero(flat)[0])
            batch = f"(Batch element {where}): " if info.ndim else ""
            raise LinAlgError(
                f"linalg.cholesky: {batch}The factorization could not be completed because the input is not "
                f"positive-definite (the leading minor of order {int(flat[where])} is not positive-definite).",
                f"A: {tuple(A.shape)}",
                "A covariance matrix estimated from few samples becomes one by adding a small multiple of the identity.",
            )
        return (out.conj().swapaxes(-1, -2) if upper else out), info

    def vjp(m, g, out, upper):
        if g[0] is None:
            return None
        turned = out[0] if upper else mH(m, out[0])
        inner = m.tril(m.matmul(turned, mH(m, g[0]) if upper else g[0]), diagonal=0)
        inner = (inner + mH(m, m.tril(inner, diagonal=-1))) * 0.5
        inner = m.triangular_solution(turned, inner, upper=True)
        return mH(m, m.triangular_solution(turned, mH(m, inner), upper=True))


@op(samples=[(Sample((3, 3), "dominant"),), ((4, 2),), ((2, 2, 4),), (Sample((2, 2), "dominant", "complex128"),)])
class lu_factor(Matrix):
    """(LU, pivots, info): L (unit diagonal, not stored) and U of the row-pivoted A (*, m, n) in one matrix."""

    outputs = 3

    def infer(A):
        k = min(A.shape[-2:])
        return MetaArray(A.shape, A.dtype), int32((*A.shape[:-2], k)), int32(A.shape[:-2])

    def forward(m, A):
        return m.lu_factor_(A)

    def vjp(m, g, out):
        if g[0] is None:
            return None
        both, pivots = out[0], out[1]
        height, width = both.shape[-2:]
        k = min(height, width)
        square, gs = columns(m, rows(m, both, 0, k), 0, k), columns(m, rows(m, g[0], 0, k), 0, k)
        L = m.tril(square, diagonal=-1) + identity(m, k, both)
        U = m.triu(square, diagonal=0)
        star_l, star_u = mH(m, L), mH(m, U)
        gl, gu = m.tril(gs, diagonal=-1), m.triu(gs, diagonal=0)
        extra = None
        if height > k:  # L2 = X2 U^-1
            below = rows(m, both, k, height - k)
            extra = mH(m, m.triangular_solution(U, mH(m, rows(m, g[0], k, height - k)), upper=True))
            gu = gu - m.triu(m.matmul(mH(m, below), extra), diagonal=0)
        elif width > k:  # U2 = L^-1 X2
            right = columns(m, both, k, width - k)
            extra = m.triangular_solution(star_l, columns(m, g[0], k, width - k), upper=True, unitriangular=True)
            gl = gl - m.tril(m.matmul(extra, mH(m, right)), diagonal=-1)
        inner = m.tril(m.matmul(star_l, gl), diagonal=-1) + m.triu(m.matmul(gu, star_u), diagonal=0)
        inner = m.triangular_solution(star_l, inner, upper=True, unitriangular=True)
        inner = mH(m, m.triangular_solution(U, mH(m, inner), upper=True))
        if extra is not None:
            inner = m.cat([inner, extra], dim=len(inner.shape) - (2 if height > k else 1))
        return m.permute_rows(inner, pivots, inverse=True)


@op(samples=[])
class ldl_factor(Matrix):
    """(LD, pivots, info) of symmetric (or Hermitian) A from its lower triangle (Bunch & Kaufman 1977); no gradient."""

    label = "ldl_factor_ex"
    square = True
    outputs = 3
    differentiable = False

    def infer(A, *, hermitian):
        return MetaArray(A.shape, A.dtype), int32(A.shape[:-1]), int32(A.shape[:-2])

    def forward(m, A, *, hermitian=False):
        return m.ldl_factor_(A, hermitian)


@op(
    samples=[
        (Sample((3, 3), "dominant"),),
        ((4, 3),),
        ((2, 2, 4),),
        (Sample((2, 2), "dominant", "complex128"),),
        (Sample((4, 2), "normal", "complex128"),),
        (Sample((2, 3), "normal", "complex128"),),
    ]
)
class qr(Matrix):
    """(Q, R) with A = Q R: ``mode`` "reduced" (Q (*, m, k)), "complete" (Q (*, m, m)), "r" (R alone, Q empty)."""

    outputs = 2

    def infer(A, *, mode):
        batch, (height, width) = A.shape[:-2], A.shape[-2:]
        k = height if mode == "complete" else min(height, width)
        q = MetaArray((0,) if mode == "r" else (*batch, height, k), A.dtype)
        return q, MetaArray((*batch, k, width), A.dtype)

    def forward(m, A, *, mode="reduced"):
        if mode == "r":
            return m.xp.zeros((0,), A.dtype), m.xp.linalg.qr(A, mode="r")
        return tuple(m.xp.linalg.qr(A, mode=mode))

    def vjp(m, g, out, A_shape, mode):
        height, width = A_shape[-2:]
        if mode == "r":
            raise GradientError(
                "The derivative of linalg.qr depends on Q, which is not computed when mode='r'.",
                hint="Use linalg.qr(A, mode='reduced') if you are going to require gradients.",
            )
        if mode == "complete" and height > width:
            raise GradientError(
                "The QR decomposition is not differentiable when mode='complete' and nrows > ncols.",
                f"A: {tuple(A_shape)}",
                "Use mode='reduced'.",
            )
        Q, R = out
        gq, gr = g
        if gq is None:
            gq = m.zeros_like(Q)
        if gr is None:
            gr = m.zeros_like(R)
        if height >= width:
            return _qr_grad(m, gq, gr, Q, R)
        left = columns(m, R, 0, height)
        right, gright = columns(m, R, height, width - height), columns(m, gr, height, width - height)
        # A = Q [left | right], so right = Q^H Y: its gradient reaches Y, and Q with Y = Q right
        gq = gq + m.matmul(m.matmul(Q, right), mH(m, gright))
        first = _qr_grad(m, gq, columns(m, gr, 0, height), Q, left)
        return m.cat([first, m.matmul(Q, gright)], dim=len(first.shape) - 1)


def _qr_grad(m, gq, gr, Q, R):
    """For Q (*, m, n), m >= n, and square R."""
    inner = m.triu(m.matmul(gr, mH(m, R)) - m.matmul(mH(m, Q), gq), diagonal=0)
    middle = diagonal_of(m, inner)
    middle = m.cast_like(m.real(middle), middle) if m.is_complex(middle) else middle
    whole = inner + mH(m, inner) - diagonal_matrix(m, middle)
    total = gq + m.matmul(Q, whole)
    return mH(m, m.triangular_solution(R, mH(m, total), upper=True))


@op(samples=[((4, 3),), ((2, 2, 3),)])
class geqrf(Matrix):
    """(a, tau): QR as Householder vectors below the diagonal of ``a`` and R on and above it; no gradient."""

    outputs = 2
    differentiable = False

    def infer(A):
        return MetaArray(A.shape, A.dtype), MetaArray((*A.shape[:-2], min(A.shape[-2:])), A.dtype)

    def forward(m, A):
        h, tau = m.xp.linalg.qr(A, mode="raw")
        return h.swapaxes(-1, -2), tau


# --- eigenvalues, singular values -------------------------------------------------------------------------------------


@op(samples=[(Sample((3, 3), "symmetric"),), (Sample((2, 3, 3), "symmetric"), {"upper": True})])
class eigh(Matrix):
    """(eigenvalues ascending, eigenvectors as columns) of Hermitian A; one triangle is read, ``upper`` says which."""

    square = True
    outputs = 2

    def infer(A, *, upper):
        real = dtypes.from_numpy_dtype(A.dtype).to_real().numpy
        return MetaArray(A.shape[:-1], real), MetaArray(A.shape, A.dtype)

    def forward(m, A, *, upper=False):
        return tuple(m.checked_("eigh", m.xp.linalg.eigh, A, "U" if upper else "L"))

    def vjp(m, g, out):
        L, V = out
        gl, gv = g
        if gv is None:
            return m.matmul(V * m.unsqueeze(gl, -2), mH(m, V))
        inner = m.matmul(mH(m, V), gv)
        if m.is_complex(V):
            refuse_phase(m, m.imag(diagonal_of(m, inner)), "linalg_eigh", "eigenvectors")
        inner = (inner - mH(m, inner)) * 0.5 / differences(m, L)
        if m.is_complex(V):
            inner = inner - diagonal_matrix(m, diagonal_of(m, inner))
        if gl is not None:
            inner = inner + diagonal_matrix(m, m.cast_like(gl, inner))
        return m.matmul(m.matmul(V, inner), mH(m, V))


@op(samples=[])
class eig(Matrix):
    """(eigenvalues, eigenvectors as columns of norm 1) of square A, both complex."""

    square = True
    outputs = 2

    def infer(A):
        d = dtypes.from_numpy_dtype(A.dtype).to_complex().numpy
        return MetaArray(A.shape[:-1], d), MetaArray(A.shape, d)

    def forward(m, A):
        d = dtypes.from_numpy_dtype(A.dtype).to_complex().numpy
        return tuple(x.astype(d, copy=False) for x in m.checked_("eig", m.xp.linalg.eig, A))

    def vjp(m, g, out, A_dtype):
        L, V = out
        gl, gv = g
        star = mH(m, V)
        if gv is None:
            inner = m.unsqueeze(gl, -1) * star
            return m.cast_real(m.solve(star, inner, check=True)[0], A_dtype)
        inner = m.matmul(star, gv)
        middle = diagonal_of(m, inner)
        refuse_phase(m, m.imag(middle), "linalg_eig", "eigenvectors")
        # columns of norm 1: what points along the column itself does not count
        along = m.cast_like(m.real(middle), middle)
        inner = (inner - m.matmul(star, V * m.unsqueeze(along, -2))) / differences(m, m.conj(L))
        inner = inner - diagonal_matrix(m, diagonal_of(m, inner))
        if gl is not None:
            inner = inner + diagonal_matrix(m, gl)
        return m.cast_real(m.solve(star, m.matmul(inner, star), check=True)[0], A_dtype)


@op(samples=[(Sample((3, 3), "dominant"),), ((4, 3),), ((2, 2, 3),)])
class svd(Matrix):
    """(U, S, Vh) with A = U diag(S) Vh, S descending; ``full_matrices`` makes U and Vh square."""

    outputs = 3

    def infer(A, *, full_matrices):
        batch, (height, width) = A.shape[:-2], A.shape[-2:]
        k = min(height, width)
        real = dtypes.from_numpy_dtype(A.dtype).to_real().numpy
        u = (*batch, height, height if full_matrices else k)
        vh = (*batch, width if full_matrices else k, width)
        return MetaArray(u, A.dtype), MetaArray((*batch, k), real), MetaArray(vh, A.dtype)

    def forward(m, A, *, full_matrices=False):
        return tuple(m.checked_("svd", m.xp.linalg.svd, A, full_matrices))

    def vjp(m, g, out, A_shape, full_matrices):
        U, S, Vh = out
        gu, gs, gvh = g
        height, width = A_shape[-2:]
        k = min(height, width)
        if full_matrices:  # of the vectors that complete the bases nothing can be said
            U, Vh = columns(m, U, 0, k), rows(m, Vh, 0, k)
            gu = None if gu is None else columns(m, gu, 0, k)
            gvh = None if gvh is None else rows(m, gvh, 0, k)
        if gu is None and gvh is None:
            return m.matmul(U * m.unsqueeze(gs, -2), Vh)
        of_u = None if gu is None else m.matmul(mH(m, U), gu)
        of_v = None if gvh is None else m.matmul(Vh, mH(m, gvh))
        if m.is_complex(U):
            phase = 0
            for part in (of_u, of_v):
                phase = phase if part is None else m.imag(diagonal_of(m, part)) + phase
            refuse_phase(m, phase, "svd", "singular vectors")
        E = differences(m, m.square(S))
        inner = None
        if of_u is not None:
            skew = of_u - mH(m, of_u)
            inner = skew / E * m.unsqueeze(S, -2)
            if m.is_complex(U):  # the diagonal of a skew matrix is imaginary: i Im / S from U's side
                middle = diagonal_of(m, skew)
                inner = inner - diagonal_matrix(m, middle * S) + diagonal_matrix(m, middle * 0.5 / S)
        if of_v is not None:
            skew = of_v - mH(m, of_v)
            term = m.unsqueeze(S, -1) * (skew / E)
            if m.is_complex(U):
                term = term - diagonal_matrix(m, diagonal_of(m, term))
                if of_u is None:
                    term = term - diagonal_matrix(m, diagonal_of(m, skew) * 0.5 / S)
            inner = term if inner is None else inner + term
        if gs is not None:
            inner = inner + diagonal_matrix(m, m.cast_like(gs, inner))
        total = m.matmul(m.matmul(U, inner), Vh)
        if height > k and gu is not None:
            outside = gu - m.matmul(U, of_u)
            total = total + m.matmul(outside / m.unsqueeze(S, -2), Vh)
        if width > k and gvh is not None:
            outside = gvh - m.matmul(mH(m, of_v), Vh)
            total = total + m.matmul(U / m.unsqueeze(S, -2), outside)
        return total
