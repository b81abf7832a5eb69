"""Matrices taken apart: inverse, solutions, determinant, Cholesky, LU, QR, eigenvalues, singular values, exponential.

The last two dims are matrices, all before them a batch. Gradients follow Mike Giles, "An extended collection of matrix
derivative results for forward and reverse mode algorithmic differentiation" (2008), and Jinguo Liu et al. for QR of
wide matrices; singular vectors and eigenvectors are defined up to a phase (a gauge), and a loss that depends on it is
refused where that can be seen.
"""

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.errors import DtypeError, GradientError, LinAlgError, ShapeError
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import MetaArray
from mlkit.ops.registry import REQUIRED, Op, Sample, op

SQUARE = [(Sample((3, 3), "dominant"),), (Sample((2, 3, 3), "dominant"),), (Sample((2, 2), "dominant", "complex128"),)]
DEFINITE = [(Sample((3, 3), "definite"),), (Sample((2, 2, 2), "definite"), {"upper": True})]
DEFINITE += [(Sample((3, 3), "definite", "complex128"),)]


# --- checks ----------------------------------------------------------------------------------------------------------


def check_matrix(name: str, a, square: bool = False, label: str = "A") -> None:
    """Raise when ``a`` is no (batch of) matrices of a floating dtype."""
    if a.ndim < 2:
        raise ShapeError(
            f"linalg.{name}: The input tensor {label} must have at least 2 dimensions.", f"{label}: {tuple(a.shape)}"
        )
    if square and a.shape[-1] != a.shape[-2]:
        raise ShapeError(
            f"linalg.{name}: {label} must be batches of square matrices, but they are {a.shape[-2]} by {a.shape[-1]} "
            "matrices.",
            f"{label}: {tuple(a.shape)}",
        )
    check_floating(name, a, label)


def check_floating(name: str, a, label: str = "A") -> None:
    d = dtypes.from_numpy_dtype(a.dtype)
    if d.category < 2:
        raise DtypeError(
            f"linalg.{name}: Expected a floating point or complex tensor as input. Got {d}.",
            f"{label}: {tuple(a.shape)}",
            "Convert first, for example A.float().",
        )
    if d.itemsize < 4:
        raise DtypeError(
            f"linalg.{name}: Low precision dtypes not supported. Got {d}.", hint="Use A.float(), and convert back."
        )


def singular(name: str, info, what: str = "the inversion could not be completed because the input matrix is singular"):
    """The error for the first matrix of a batch with a zero pivot."""
    flat = np.asarray(info).reshape(-1)
    where = int(np.flatnonzero(flat)[0])
    batch = f"(Batch element {where}): " if np.ndim(info) else ""
    return LinAlgError(
        f"linalg.{name}: {batch}The diagonal element {int(flat[where])} is zero, {what}.",
        f"batch shape: {np.shape(info)}" if np.ndim(info) else None,
        "Use linalg.pinv or linalg.lstsq for matrices without full rank, or add a small multiple of the identity.",
    )


def batch_of(name: str, a, b) -> tuple:
    try:
        return broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError(
            f"linalg.{name}: the batch dims do not broadcast.", f"A: {tuple(a.shape)}\nB: {tuple(b.shape)}"
        ) from None


def refuse_phase(m, angles, name: str, vectors: str) -> None:
    """Raise when a loss depends on the phase of complex vectors: ``angles`` must be near zero."""
    values = getattr(angles, "_array", angles)
    if values.__class__ is MetaArray or values.size == 0:
        return
    if float(abs(values).max()) > 1e-2:
        raise GradientError(
            f"{name}_backward: The {vectors} in the complex case are specified up to multiplication by e^{{i phi}}. The "
            "specified loss function depends on this quantity, so it is ill-defined.",
            hint="Use a function of them that the phase does not change, such as abs() or V @ diag(f(L)) @ V.mH.",
        )


# --- words for gradients -------------------------------------------------------------------------------------------------


def mH(m, x):  # noqa: N802 - PyTorch's name
    """The conjugate transpose."""
    return m.conj(m.mT(x))


def diagonal_matrix(m, x):
    """Matrices with x on their diagonals."""
    n = x.shape[-1]
    lead = len(x.shape) - 1
    return m.diagonal_grad(x, shape=(*x.shape, n), offset=0, dim1=lead, dim2=lead + 1)


def diagonal_of(m, x):
    rank = len(x.shape)
    return m.diagonal(x, offset=0, dim1=rank - 2, dim2=rank - 1)


def identity(m, n, like):
    return m.diagonal_grad(m.ones_like(m.zeros((n,), like=like)), shape=(n, n), offset=0, dim1=0, dim2=1)


def columns(m, x, start, length):
    return m.narrow(x, dim=len(x.shape) - 1, start=start, length=length)


def rows(m, x, start, length):
    return m.narrow(x, dim=len(x.shape) - 2, start=start, length=length)


def differences(m, x):
    """E with E[i, j] = x[j] - x[i], and ones on the diagonal."""
    n = x.shape[-1]
    return m.unsqueeze(x, -2) - m.unsqueeze(x, -1) + identity(m, n, x)


# --- inverse, solutions ------------------------------------------------------------------------------------------------------


class Matrix(Op):
    """On (batches of) matrices of a floating dtype; ``label`` is its name in errors."""

    promotion = None
    square = False
    label = ""

    def prepare(self, A, **attributes):
        check_matrix(self.label or self.name, A, self.square)
        return attributes


def _int32(shape) -> MetaArray:
    return MetaArray(shape, np.dtype(np.int32))


@op(onnx="Inverse", samples=SQUARE)
class inverse(Matrix):
    """(A^-1, info): info is 0, or the place of the first zero pivot; with ``check`` a singular matrix raises."""

    label = "inv"
    square = True
    outputs = 2

    def infer(A, *, check):
        return MetaArray(A.shape, A.dtype), _int32(A.shape[:-2])

    def forward(m, A, *, check=True):
        out, info = m.inverse_(A)
        if check and info.any():
            raise singular("inv", m.to_numpy_(info))
        return out, info

    def vjp(m, g, out):
        if g[0] is None:
            return None
        turned = mH(m, out[0])
        return -m.matmul(m.matmul(turned, g[0]), turned)


@op(
    samples=[
        (Sample((3, 3), "dominant"), (3, 2)),
        (Sample((2, 1, 3, 3), "dominant"), (4, 3, 1)),
        (Sample((2, 2), "dominant", "complex128"), Sample((2, 3), "normal", "complex128")),
    ]
)
class solve(Op):
    """(X, info) with A @ X = B for matrices A (*, n, n) and B (*, n, k)."""

    promotion = "equal"
    outputs = 2

    def infer(A, B, *, check):
        batch = batch_of("solve", A, B)
        return MetaArray((*batch, *B.shape[-2:]), B.dtype), _int32(A.shape[:-2])

    def prepare(A, B, *, check):
        check_matrix("solve", A, square=True)
        check_matrix("solve", B, label="B")
        if A.shape[-1] != B.shape[-2]:
            raise ShapeError(
                f"linalg.solve: Incompatible shapes of A and B for the equation AX = B ({A.shape[-2]}x{A.shape[-1]} and "
                f"{B.shape[-2]}x{B.shape[-1]}).",
                f"A: {tuple(A.shape)}\nB: {tuple(B.shape)}",
            )
        return {"check": check}

    def forward(m, A, B, *, check=True):
        out, info = m.solve_(A, B)
        if check and info.any():
            raise singular("solve", m.to_numpy_(info), "the solver failed because the input matrix is singular")
        return out, info

    def vjp(m, g, A, out, A_shape, B_shape, needs):
        if g[0] is None:
            return None, None
        of_b = m.solve(mH(m, A), g[0], check=True)[0]
        of_a = -m.matmul(of_b, mH(m, out[0])) if needs[0] else None
        of_a = m.unbroadcast(of_a, tuple(A_shape)) if needs[0] else None
        return of_a, m.unbroadcast(of_b, tuple(B_shape)) if needs[1] else None


@op(
    samples=[
        (Sample((3, 3), "dominant"), (3, 2), {"upper": True}),
        (Sample((2, 1, 3, 3), "dominant"), (4, 3, 1), {"upper": False}),
        ((3, 3), (3, 2), {"upper": True, "unitriangular": True}),
        (Sample((2, 2), "dominant", "complex128"), Sample((2, 3), "normal", "complex128"), {"upper": False}),
    ]
)
class triangular_solution(Op):
    """X with A @ X = B for triangular A; the other triangle is not read, with ``unitriangular`` nor the diagonal."""

    promotion = "equal"

    def infer(A, B, *, upper, unitriangular):
        return MetaArray((*batch_of("solve_triangular", A, B), *B.shape[-2:]), B.dtype)

    def prepare(A, B, *, upper, unitriangular):
        check_matrix("solve_triangular", A, square=True)
        check_matrix("solve_triangular", B, label="B")
        if A.shape[-1] != B.shape[-2]:
            raise ShapeError(
                f"linalg.solve_triangular: Incompatible shapes of A and B for the equation AX = B ({A.shape[-2]}x"
                f"{A.shape[-1]} and {B.shape[-2]}x{B.shape[-1]}).",
                f"A: {tuple(A.shape)}\nB: {tuple(B.shape)}",
            )
        return {"upper": bool(upper), "unitriangular": bool(unitriangular)}

    def forward(m, A, B, *, upper=REQUIRED, unitriangular=False):
        return m.solve_triangular_(A, B, upper, unitriangular)

    def vjp(m, g, A, out, A_shape, B_shape, upper, unitriangular, needs):
        of_b = m.triangular_solution(mH(m, A), g, upper=not upper, unitriangular=unitriangular)
        of_a = None
        if needs[0]:
            of_a = -m.matmul(of_b, mH(m, out))
            edge = 1 if unitriangular else 0
            of_a = m.triu(of_a, diagonal=edge) if upper else m.tril(of_a, diagonal=-edge)
            of_a = m.unbroadcast(of_a, tuple(A_shape))
        return of_a, m.unbroadcast(of_b, tuple(B_shape)) if needs[1] else None


# --- determinants --------------------------------------------------------------------------------------------------------------


@op(onnx="Det", samples=[*SQUARE, ((3, 3),)])
class det(Matrix):
    """The determinant of square matrices (*, n, n) -> (*)."""

    square = True

    def infer(A):
        return MetaArray(A.shape[:-2], A.dtype)

    def forward(m, A):
        return m.xp.asarray(m.xp.linalg.det(A), dtype=A.dtype)

    def vjp(m, g, A):
        return m.unsqueeze(m.unsqueeze(g, -1), -1) * m.conj(m.cofactors(A))


@op(samples=SQUARE[:2])
class cofactors(Matrix):
    """d det / d A: det(A) A^-T, right for singular matrices too (from singular values)."""

    label = "det"
    square = True

    def infer(A):
        return MetaArray(A.shape, A.dtype)

    def forward(m, A):
        xp = m.xp
        u, s, vh = xp.linalg.svd(A)
        n = s.shape[-1]
        one = xp.ones_like(s[..., :1])
        if n == 0:
            return m.copy(A)
        before = xp.cumprod(xp.concatenate((one, s[..., :-1]), axis=-1), axis=-1)
        after = xp.cumprod(xp.concatenate((one, s[..., :0:-1]), axis=-1), axis=-1)[..., ::-1]
        phase = xp.linalg.det(u) * xp.linalg.det(vh)
        inner = (u.conj() * (before * after)[..., None, :]) @ vh.conj()
        return (inner * xp.asarray(phase)[..., None, None]).astype(A.dtype, copy=False)

    def vjp(m, g, A):
        # det(A) A^-T differentiated as it stands; a singular A is moved off by a rounding error, as PyTorch does
        A = m.off_singular(A)
        turned = m.mT(m.inverse(A, check=False)[0])
        inner = m.sum(m.sum(g * m.conj(turned), dim=(len(g.shape) - 1,)), dim=(len(g.shape) - 2,))
        outer = m.unsqueeze(m.unsqueeze(inner, -1), -1) * m.conj(m.cofactors(A))
        size = m.unsqueeze(m.unsqueeze(m.det(A), -1), -1)
        star = m.conj(turned)
        return outer - m.conj(size) * m.matmul(m.matmul(star, m.mT(g)), star)


@op(samples=[((3, 3),)])
class off_singular(Matrix):
    """A, with a little added to the diagonal of the singular ones."""

    label = "det"
    square = True
    linear = True

    def infer(A):
        return MetaArray(A.shape, A.dtype)

    def forward(m, A):
        xp = m.xp
        flat = xp.asarray(xp.linalg.det(A)) == 0
        if not flat.any():
            return m.copy(A)
        size = xp.max(xp.abs(A), axis=(-2, -1)) + xp.finfo(A.dtype).tiny
        small = xp.where(flat, size * float(xp.finfo(A.dtype).eps), 0)
        return A + small[..., None, None] * xp.eye(A.shape[-1], dtype=A.dtype)

    def vjp(m, g):
        return g


@op(samples=SQUARE)
class slogdet(Matrix):
    """(sign, log |det|) of square matrices, without overflow."""

    square = True
    outputs = 2

    def infer(A):
        real = dtypes.from_numpy_dtype(A.dtype).to_real().numpy
        return MetaArray(A.shape[:-2], A.dtype), MetaArray(A.shape[:-2], real)

    def forward(m, A):
        sign, logabsdet = m.xp.linalg.slogdet(A)
        return m.xp.asarray(sign, dtype=A.dtype), m.xp.asarray(logabsdet)

    def vjp(m, g, A, out):
        weight = g[1]
        if m.is_complex(A) and g[0] is not None:
            turn = m.imag(g[0] * m.conj(out[0]))  # of conj(g) sign, with the sign that its conjugate brings
            own = m.complex(m.zeros_like(turn), turn)
            weight = own if weight is None else own + weight
        if weight is None:
            return m.zeros_like(A)
        return m.unsqueeze(m.unsqueeze(weight, -1), -1) * mH(m, m.inverse(A, check=False)[0])


# --- Cholesky, LU, QR ---------------------------------------------------------------------------------------------------------------


@op(samples=DEFINITE)
class cholesky(Matrix):
    """(L, info) with A = L L^H for Hermitian positive-definite A; ``upper`` gives L^H. Reads the triangle it gives.

    ``info`` is 0, or the order of the first leading minor that is not positive-definite; with ``check`` that raises.
    """

    square = True
    outputs = 2

    def infer(A, *, check, upper):
        return MetaArray(A.shape, A.dtype), _int32(A.shape[:-2])

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


@op(
    samples=[
        ((3, 2), Sample((3, 3), "lower")),
        ((2, 3, 1), Sample((3, 3), "upper"), {"upper": True}),
        (Sample((2, 2), "normal", "complex128"), Sample((2, 2), "lower", "complex128")),
    ]
)
class cholesky_solution(Op):
    """X with L L^H X = B (``upper``: L^H L X = B); of L one triangle is read.

    The gradient is that of a full L, as in PyTorch: what belongs to the other triangle is for the caller to drop.
    """

    promotion = "equal"

    def infer(B, L, *, upper):
        return MetaArray((*batch_of("cholesky_solve", L, B), *B.shape[-2:]), B.dtype)

    def prepare(B, L, *, upper):
        check_matrix("cholesky_solve", B, label="B")
        check_matrix("cholesky_solve", L, square=True, label="L")
        if L.shape[-1] != B.shape[-2]:
            raise ShapeError(
                f"cholesky_solve: Incompatible matrix sizes: each L is {L.shape[-2]} by {L.shape[-1]}, each B has "
                f"{B.shape[-2]} rows.",
                f"B: {tuple(B.shape)}\nL: {tuple(L.shape)}",
            )
        return {"upper": bool(upper)}

    def forward(m, B, L, *, upper=False):
        star = m.conj(m.mT(L))
        first = m.solve_triangular_(star if upper else L, B, False, False)
        return m.solve_triangular_(L if upper else star, first, True, False)

    def vjp(m, g, L, out, B_shape, L_shape, upper, needs):
        of_b = m.cholesky_solution(g, L, upper=upper)
        of_l = None
        if needs[1]:
            product = m.matmul(of_b, mH(m, out))
            both = product + mH(m, product)
            of_l = m.unbroadcast(-m.matmul(L, both) if upper else -m.matmul(both, L), tuple(L_shape))
        return m.unbroadcast(of_b, tuple(B_shape)) if needs[0] else None, of_l


@op(samples=[(Sample((3, 3), "dominant"),), ((4, 2),), ((2, 2, 4),), (Sample((2, 2), "dominant", "complex128"),)])
class lu_factor(Matrix):
    """(LU, pivots, info): L (unit diagonal, not stored) and U of the row-pivoted A (*, m, n) in one matrix."""

    outputs = 3

    def infer(A):
        k = min(A.shape[-2:])
        return MetaArray(A.shape, A.dtype), _int32((*A.shape[:-2], k)), _int32(A.shape[:-2])

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


@op(samples=[(Sample((9, 2)), Sample((3,), "index", "int64", 9))])
class permute_rows(Op):
    """The rows of input exchanged as ``pivots`` (from 1) say, or put back with ``inverse``."""

    promotion = None
    linear = True

    def infer(input, pivots, *, inverse):
        return MetaArray((*broadcast_shapes(input.shape[:-2], pivots.shape[:-1]), *input.shape[-2:]), input.dtype)

    def forward(m, input, pivots, *, inverse=False):
        xp = m.xp
        order = m.permutation_(pivots, input.shape[-2])
        if inverse:
            order = xp.argsort(order, axis=-1)
        batch = broadcast_shapes(input.shape[:-2], order.shape[:-1])
        full = xp.broadcast_to(input, (*batch, *input.shape[-2:]))
        return xp.take_along_axis(full, xp.broadcast_to(order[..., None], (*batch, *order.shape[-1:], 1)), axis=-2)

    def vjp_input(m, g, pivots, inverse, input_shape):
        return m.unbroadcast(m.permute_rows(g, pivots, inverse=not inverse), tuple(input_shape))


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


# --- eigenvalues, singular values ------------------------------------------------------------------------------------------------------------------


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


@op(samples=[((3, 4),), ((4, 3),), ((2, 3, 3),), (Sample((4, 2), "normal", "complex128"),)])
class pinv(Matrix):
    """The Moore-Penrose inverse; singular values up to max(atol, rtol * largest) count as zero (Golub & Pereyra 1973)."""

    def infer(A, *, rtol, atol):
        return MetaArray((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype)

    def forward(m, A, *, rtol=1e-15, atol=0.0):
        xp = m.xp
        if A.size == 0:
            return xp.zeros((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype)
        u, s, vh = m.checked_("pinv", xp.linalg.svd, A, False)
        limit = xp.maximum(xp.asarray(atol, dtype=s.dtype), xp.asarray(rtol, dtype=s.dtype) * s[..., 0])[..., None]
        kept = s > limit
        inverted = xp.where(kept, 1 / xp.where(kept, s, xp.ones_like(s)), xp.zeros_like(s))
        return (vh.conj().swapaxes(-1, -2) * inverted[..., None, :]) @ u.conj().swapaxes(-1, -2)

    def vjp(m, g, A, out):
        return pinv_gradient(m, g, A, out)


def pinv_gradient(m, g, A, out):
    P, star, turned = out, mH(m, out), mH(m, g)
    total = -m.matmul(m.matmul(star, g), star)
    outside = turned - m.matmul(A, m.matmul(P, turned))
    total = total + m.matmul(m.matmul(outside, P), star)
    outside = turned - m.matmul(m.matmul(turned, P), A)
    return total + m.matmul(star, m.matmul(P, outside))


@op(samples=[(Sample((3, 3), "symmetric"),), (Sample((2, 3, 3), "symmetric"),)])
class pinv_hermitian(Matrix):
    """The Moore-Penrose inverse of Hermitian A by its eigenvalues: those of size up to max(atol, rtol * largest) are 0."""

    label = "pinv"
    square = True

    def infer(A, *, rtol, atol):
        return MetaArray(A.shape, A.dtype)

    def forward(m, A, *, rtol=1e-15, atol=0.0):
        xp = m.xp
        if A.size == 0:
            return m.copy(A)
        values, vectors = m.checked_("pinv", xp.linalg.eigh, A)
        size = xp.abs(values)
        largest = size.max(-1)
        limit = xp.maximum(xp.asarray(atol, dtype=size.dtype), xp.asarray(rtol, dtype=size.dtype) * largest)[..., None]
        kept = size > limit
        inverted = xp.where(kept, 1 / xp.where(kept, values, xp.ones_like(values)), xp.zeros_like(values))
        return (vectors * inverted[..., None, :]) @ vectors.conj().swapaxes(-1, -2)

    def vjp(m, g, A, out):
        return pinv_gradient(m, g, A, out)


@op(samples=[((3, 3),), ((2, 2, 2),), (Sample((3, 3), "normal", "complex128"),)])
class matrix_exp(Matrix):
    """The matrix exponential, by scaling and squaring (Higham 2005)."""

    square = True

    def infer(A):
        return MetaArray(A.shape, A.dtype)

    def forward(m, A):
        return m.matrix_exp_(A)

    def vjp(m, g, A):
        # exp [[X, G], [0, X]] holds the derivative of exp at X along G in its corner (Mathias 1996)
        n, rank = A.shape[-1], len(A.shape)
        if n == 0:
            return g
        X = mH(m, A)
        above = m.cat([X, g], dim=rank - 1)
        below = m.cat([m.zeros_like(X), X], dim=rank - 1)
        whole = m.matrix_exp(m.cat([above, below], dim=rank - 2))
        return columns(m, rows(m, whole, 0, n), n, n)


@op(samples=[])
class ldl_factor(Matrix):
    """(LD, pivots, info) of symmetric (or Hermitian) A from its lower triangle (Bunch & Kaufman 1977); no gradient."""

    label = "ldl_factor_ex"
    square = True
    outputs = 3
    differentiable = False

    def infer(A, *, hermitian):
        return MetaArray(A.shape, A.dtype), _int32(A.shape[:-1]), _int32(A.shape[:-2])

    def forward(m, A, *, hermitian=False):
        return m.ldl_factor_(A, hermitian)


# --- norms -----------------------------------------------------------------------------------------------------------------------------------


@op(
    samples=[
        ((3, 4), {"ord": 2.0, "dim": (0, 1)}),
        ((3, 4), {"ord": 1.0, "dim": (1,)}),
        ((3, 4), {"ord": 3.0, "dim": (1,), "keepdim": True}),
        ((3, 4), {"ord": 0.5, "dim": (0,)}),
        ((3, 4), {"ord": float("inf"), "dim": (0,)}),
        ((3, 4), {"ord": -1.5, "dim": (0,)}),
        (Sample((3, 4), "normal", "complex128"), {"ord": 2.0, "dim": (1,)}),
        (Sample((3, 4), "normal", "complex128"), {"ord": 3.0, "dim": (1,)}),
    ]
)
class vector_norm(Op):
    """(sum |input|^ord)^(1/ord) over dims; ord may be 0 (how many are not zero) and plus or minus infinity.

    At zero the gradient is zero, the smallest of the slopes there; there is no gradient of it (NaN, as PyTorch says).
    """

    promotion = None

    def infer(input, *, ord, dim, keepdim):
        from mlkit.ops.reduce import reduced_shape

        real = dtypes.from_numpy_dtype(input.dtype).to_real().numpy
        return MetaArray(reduced_shape(input.shape, dim, keepdim), real)

    def forward(m, input, *, ord=2.0, dim=REQUIRED, keepdim=False):
        xp = m.xp
        size = xp.abs(input)
        how = {"axis": dim, "keepdims": keepdim}
        if ord == 0:
            return xp.sum(size != 0, **how).astype(size.dtype)
        if ord == float("inf"):
            return xp.max(size, **how)
        if ord == -float("inf"):
            return xp.min(size, **how)
        if ord == 1:
            return xp.sum(size, dtype=size.dtype, **how)
        if ord == 2:
            return xp.sqrt(xp.sum(size * size, dtype=size.dtype, **how))
        return xp.sum(size**ord, dtype=size.dtype, **how) ** (1.0 / ord)

    def vjp(m, g, input, out, ord, dim, keepdim):
        from mlkit.ops.reduce import spread

        shape = tuple(input.shape)
        if ord == 0:
            return m.zeros_like(input)
        g = spread(m, g, shape, dim, keepdim)
        if ord == 1:
            return g * m.sgn(input)
        norm = spread(m, out, shape, dim, keepdim)
        flat = m.eq(norm, 0)
        if ord == 2:
            with np.errstate(divide="ignore", invalid="ignore"):
                direction = input / norm
            return g * m.where(flat, m.zeros_like(input), direction)
        size = m.abs(input)
        if ord in (float("inf"), -float("inf")):
            unknown = m.logical_and(m.isnan(size), m.isnan(norm))  # a NaN is the extreme: it has a slope of 0
            hit = m.cast_like(m.logical_or(m.eq(size, norm), unknown), g)
            return m.sgn(input) * (g * hit / m.sum(hit, dim=dim, keepdim=True))
        gone = m.eq(size, 0)
        if ord > 2:  # a slope of 0 has one too
            norm = m.where(flat, m.ones_like(norm), norm)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = m.pow_scalar(m.where(gone, m.ones_like(size), size) / norm, exponent=ord - 1)
        # beside a NaN all slopes are NaN, that of 0 too
        slope = m.where(flat, m.zeros_like(slope), m.where(gone, slope * 0, slope))
        return m.sgn(input) * (g * slope)
