"""What the ops on matrices share: checks, and the words that gradients are written in.

The last two dims are matrices, all before them a batch. Gradients follow Mike Giles, "An extended collection of matrix
derivative results for forward and reverse mode algorithmic differentiation" (2008).
"""

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.errors import DtypeError, GradientError, LinAlgError, ShapeError
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import MetaArray
from mlkit.ops.registry import Op, Sample

SQUARE = [(Sample((3, 3), "dominant"),), (Sample((2, 3, 3), "dominant"),), (Sample((2, 2), "dominant", "complex128"),)]


# --- checks -----------------------------------------------------------------------------------------------------------


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


class Matrix(Op):
    """On (batches of) matrices of a floating dtype; ``label`` is its name in errors."""

    promotion = None
    square = False
    label = ""

    def prepare(self, A, **attributes):
        check_matrix(self.label or self.name, A, self.square)
        return attributes


def int32(shape) -> MetaArray:
    return MetaArray(shape, np.dtype(np.int32))


# --- words for gradients ----------------------------------------------------------------------------------------------


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
