"""Inverses, solutions of systems of equations, determinants."""

from mlkit.core import dtype as dtypes
from mlkit.core.errors import ShapeError
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import MetaArray
from mlkit.ops.linalg import (
    SQUARE,
    Matrix,
    batch_of,
    check_matrix,
    int32,
    mH,
    singular,
)
from mlkit.ops.registry import REQUIRED, Op, Sample, op

# --- inverses ---------------------------------------------------------------------------------------------------------


@op(onnx="Inverse", samples=SQUARE)
class inverse(Matrix):
    """(A^-1, info): info is 0, or the place of the first zero pivot; with ``check`` a singular matrix raises."""

    label = "inv"
    square = True
    outputs = 2

    def infer(A, *, check):
        return MetaArray(A.shape, A.dtype), int32(A.shape[:-2])

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


# --- solutions --------------------------------------------------------------------------------------------------------


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
        return MetaArray((*batch, *B.shape[-2:]), B.dtype), int32(A.shape[:-2])

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


# --- determinants -----------------------------------------------------------------------------------------------------


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
