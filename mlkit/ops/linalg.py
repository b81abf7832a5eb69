"""Matrices: checks, the words that gradients are written in, products, the exponential.

The last two dims are matrices, all before them a batch. Gradients follow Mike Giles, "An extended collection of matrix
derivative results for forward and reverse mode algorithmic differentiation" (2008).
"""

import math

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.errors import DtypeError, GradientError, LinAlgError, ShapeError
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import MetaArray
from mlkit.ops.registry import Op, Sample, op

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


# --- products ---------------------------------------------------------------------------------------------------------


def explain_matmul(a, b) -> None:
    """Raise the ShapeError that says why ``a @ b`` cannot be."""
    inner_b = b[-2] if len(b) > 1 else b[0]
    axis = "second-to-last" if len(b) > 1 else "only"
    hint = None
    if len(a) > 2 and len(b) == 2:
        total = 1
        for n in a[1:]:
            total = total * n
        if total == inner_b:
            hint = "If input is still an image, flatten it first: input.flatten(1)."
    if hint is None and len(b) == 2 and a[-1] == b[-1]:
        hint = "other looks transposed: try input @ other.T."
    elif hint is None and len(a) > 1 and a[-2] == inner_b:
        hint = "input looks transposed: try input.mT @ other."
    elif hint is None and len(a) > 1 and len(b) > 1 and b[-1] == a[-2]:
        hint = "The reverse order fits: other @ input."
    raise ShapeError(
        f"matmul: the last axis of input and the {axis} axis of other must agree: {a[-1]} != {inner_b}.",
        f"input: {tuple(a)}\nother: {tuple(b)}",
        hint,
    )


def _holds(size, part) -> bool:
    """Whether a flattened batch of several samples of that many features has this size."""
    return isinstance(size, int) and isinstance(part, int) and part > 1 and size > part and size % part == 0


@op(
    onnx="MatMul",
    samples=[
        ((3, 4), (4, 2)),
        ((2, 3, 4), (4, 2)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((4,), (4,)),
        ((4,), (2, 4, 3)),
        ((2, 3, 4), (4,)),
    ],
)
class matmul(Op):
    """The matrix product over the last two dims; leading dims broadcast, 1-d tensors are rows or columns."""

    promotion = "equal"
    refuses = "b"

    def infer(input, other):
        a, b = input.shape, other.shape
        if not a or not b:
            raise ShapeError(
                "matmul: both arguments need at least 1 dimension.", f"input: {tuple(a)}\nother: {tuple(b)}"
            )
        if a[-1] != (b[-2] if len(b) > 1 else b[0]):
            explain_matmul(a, b)
        try:
            batch = broadcast_shapes(a[:-2], b[:-2])
        except ValueError:
            clash = next(
                f": {x} != {y}" for x, y in zip(a[-3::-1], b[-3::-1], strict=False) if x != y and 1 not in (x, y)
            )
            raise ShapeError(
                f"matmul: the leading (batch) dims do not broadcast{clash}.", f"input: {tuple(a)}\nother: {tuple(b)}"
            ) from None
        tail = ((a[-2],) if len(a) > 1 else ()) + ((b[-1],) if len(b) > 1 else ())
        return MetaArray((*batch, *tail), input.dtype)

    def forward(m, input, other):
        return m.matmul_(input, other)

    def vjp_input(m, g, other, input_shape):
        if len(input_shape) == 2 == len(other.shape):
            return m.matmul(g, m.mH(other))
        if len(input_shape) == 1 and len(other.shape) == 1:
            return g * m.conj(other)
        if len(other.shape) == 1:
            return m.unbroadcast(m.unsqueeze(g, -1) * m.conj(other), tuple(input_shape))
        turned = m.conj(m.mT(other))
        if len(input_shape) == 1:
            return m.unbroadcast(m.squeeze(m.matmul(m.unsqueeze(g, -2), turned), -2), tuple(input_shape))
        return m.unbroadcast(m.matmul(g, turned), tuple(input_shape))

    def vjp_other(m, g, input, other_shape):
        if len(other_shape) == 2 == len(input.shape):
            return m.matmul(m.mH(input), g)
        if len(input.shape) == 1 and len(other_shape) == 1:
            return g * m.conj(input)
        if len(input.shape) == 1:
            return m.unbroadcast(m.unsqueeze(m.conj(input), -1) * m.unsqueeze(g, -2), tuple(other_shape))
        if len(other_shape) == 1:
            product = m.matmul(m.conj(m.mT(input)), m.unsqueeze(g, -1))
            return m.unbroadcast(m.squeeze(product, -1), tuple(other_shape))
        if len(other_shape) == 2 and len(input.shape) > 2:  # one GEMM over all batches instead of many and a sum
            n = math.prod(input.shape[:-1])
            rows = m.reshape(input, shape=(n, input.shape[-1]))
            return m.matmul(m.conj(m.mT(rows)), m.reshape(g, shape=(n, g.shape[-1])))
        return m.unbroadcast(m.matmul(m.conj(m.mT(input)), g), tuple(other_shape))


@op(onnx="Gemm", samples=[((3, 4), (2, 4), (2,)), ((2, 3, 4), (5, 4)), ((4,), (2, 4), (2,))])
class linear(Op):
    """input @ weight.T + bias: input (*, in), weight (out, in), bias (out) -> (*, out)."""

    promotion = "equal"

    def infer(input, weight, bias=None):
        if not input.shape or weight.ndim not in (1, 2):
            raise ShapeError(
                "linear: expected input (*, in) and weight (out, in).",
                f"input: {tuple(input.shape)}\nweight: {tuple(weight.shape)}",
            )
        if input.shape[-1] != weight.shape[-1]:
            flat = 1
            for n in input.shape[1:]:
                flat = flat * n
            hint = None
            if input.ndim > 2 and flat == weight.shape[-1]:
                hint = "If input is still an image, flatten it first: input.flatten(1)."
            elif (
                input.ndim == 1
                and weight.ndim == 2
                and isinstance(flat, int)
                and _holds(input.shape[0], weight.shape[1])
            ):
                hint = "flatten() joins the samples of the batch too: flatten(1) keeps them apart."
            elif weight.ndim == 2:
                hint = (
                    f"The layer before gives {input.shape[-1]} features: Linear({input.shape[-1]}, {weight.shape[0]})."
                )
            raise ShapeError(
                f"linear: the last axis of input and of weight must agree: {input.shape[-1]} != {weight.shape[-1]}.",
                f"input:  (*, in): {tuple(input.shape)}\nweight: (out, in): {tuple(weight.shape)}",
                hint,
            )
        if bias is not None and tuple(bias.shape) not in (tuple(weight.shape[:-1]), ()):
            raise ShapeError(
                "linear: bias must have one value per output.",
                f"weight: (out, in): {tuple(weight.shape)}\nbias: (out): {tuple(bias.shape)}",
            )
        return MetaArray((*input.shape[:-1], *weight.shape[:-1]), input.dtype)

    def forward(m, input, weight, bias=None):
        return m.linear_(input, weight, bias)

    def vjp_input(m, g, weight):
        if len(weight.shape) == 1:
            return m.unsqueeze(g, -1) * m.conj(weight)
        return m.matmul(g, m.conj(weight))

    def vjp_weight(m, g, input, weight_shape):
        if len(weight_shape) == 1:
            return m.unbroadcast(m.unsqueeze(g, -1) * m.conj(input), tuple(weight_shape))
        if len(input.shape) == 1:
            return m.unsqueeze(g, -1) * m.conj(input)
        rows = input if len(input.shape) == 2 else m.reshape(input, shape=(-1, input.shape[-1]))
        grads = g if len(g.shape) == 2 else m.reshape(g, shape=(-1, g.shape[-1]))
        return m.matmul(m.mT(grads), m.conj(rows))

    def vjp_bias(m, g, bias_shape):
        return m.unbroadcast(g, tuple(bias_shape))


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
