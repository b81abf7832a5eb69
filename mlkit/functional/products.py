"""Products and powers of vectors and matrices: the fused sums, outer and cross products, tensordot, distances."""

from __future__ import annotations

import functools
import math

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import lasting, ops
from mlkit.core.errors import ArgumentError, DtypeError, RefusedError, ShapeError
from mlkit.core.refusals import different_dtypes
from mlkit.core.value import Value, shown_as
from mlkit.functional.arguments import check_same_dtype
from mlkit.functional.matrices import check_tensor, eye_like, in_graph_of, shape_of
from mlkit.functional.results import takes_out
from mlkit.functional.shaping import broadcast_shapes
from mlkit.functional.solving import inv
from mlkit.ops import REGISTRY
from mlkit.ops.reduce import canonical_dim


def _rank(name: str, rank: int, **tensors) -> None:
    for label, x in tensors.items():
        if x._array.ndim != rank:
            shown = "\n".join(f"{k}: {shape_of(t)}" for k, t in tensors.items())
            raise ShapeError(f"{name}: expected {rank}-D tensors, {label} has {x._array.ndim} dims.", shown)


def _product(name: str, **pair):
    """The matrix product of two tensors; what is wrong with them is said in the words of the function ``name``."""
    (first, a), (second, b) = pair.items()
    try:
        return ops.matmul(a, b)
    except (ShapeError, DtypeError) as error:
        raise error.renamed({"matmul": name, "input": first, "other": second}) from None


def mm(input, mat2):
    """The product of two matrices (n, m) and (m, p).

    >>> import mlkit
    >>> mlkit.mm(mlkit.ones(2, 3), mlkit.ones(3, 1))
    tensor([[3.],
            [3.]])
    """
    _rank("mm", 2, input=input, mat2=mat2)
    return _product("mm", input=input, mat2=mat2)


def bmm(input, mat2):
    """The products of two batches of matrices (b, n, m) and (b, m, p)."""
    _rank("bmm", 3, input=input, mat2=mat2)
    if shape_of(input)[0] != shape_of(mat2)[0]:
        raise ShapeError(
            f"bmm: the batch sizes differ: {shape_of(input)[0]} != {shape_of(mat2)[0]}.",
            f"input: {shape_of(input)}\nmat2: {shape_of(mat2)}",
        )
    return shown_as(_product("bmm", input=input, mat2=mat2), "BmmBackward0")


def mv(input, vec):
    """A matrix (n, m) times a vector (m)."""
    _rank("mv", 2, input=input)
    _rank("mv", 1, vec=vec)
    return _product("mv", input=input, vec=vec)


def dot(input, tensor):
    """The sum of products of two vectors of one length."""
    _rank("dot", 1, input=input, tensor=tensor)
    return _product("dot", input=input, tensor=tensor)


def vdot(input, other):
    """``dot`` with the first vector conjugated."""
    _rank("vdot", 1, input=input, other=other)
    return _product("vdot", input=ops.conj(input), other=other)


def _scaled(name: str, x, factor):
    """``factor * x`` in x's own dtype; integers take integer factors only, as in PyTorch."""
    if factor == 1:
        return x
    d = dtypes.from_numpy_dtype(x._array.dtype)
    if d.category < 2 and isinstance(factor, float):
        if name == "addmm":
            raise DtypeError(f"{name}: beta and alpha must be integers for {d} tensors, got {factor}.")
        factor = int(factor)
    return ops.cast(lasting(ops.mul(x, factor)), dtype=d)


def _sum(name: str, input, product, beta, alpha):
    """beta * input + alpha * product; with beta 0 what is in input does not matter, NaN included."""
    if shape_of(product) != tuple(broadcast_shapes(shape_of(input), shape_of(product))):
        raise ShapeError(
            f"{name}: input must be expandable to the product's shape.",
            f"input: {shape_of(input)}\nproduct: {shape_of(product)}",
        )
    if input._array.dtype != product._array.dtype:
        raise different_dtypes(REGISTRY["matmul"], [input, product]).renamed({"matmul": name, "other": "product"})
    product = _scaled(name, product, alpha)
    if beta == 0:
        return product
    return ops.add(_scaled(name, input, beta), product)


def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    """beta * input + alpha * (mat1 @ mat2), matrices; input broadcasts."""
    _rank("addmm", 2, mat1=mat1, mat2=mat2)
    return _sum("addmm", input, _product("addmm", mat1=mat1, mat2=mat2), beta, alpha)


def addmv(input, mat, vec, *, beta=1, alpha=1):
    """beta * input + alpha * (mat @ vec)."""
    return _sum("addmv", input, mv(mat, vec), beta, alpha)


def addr(input, vec1, vec2, *, beta=1, alpha=1):
    """beta * input + alpha * outer(vec1, vec2)."""
    d = functools.reduce(
        dtypes.promote_types, [dtypes.from_numpy_dtype(x._array.dtype) for x in (input, vec1, vec2)]
    )  # before the product, which would round
    product = outer(ops.cast(vec1, dtype=d), ops.cast(vec2, dtype=d))
    return _sum("addr", ops.cast(input, dtype=d), product, beta, alpha)


def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """beta * input + alpha * (batch1 @ batch2), batches of matrices (b, n, m) and (b, m, p)."""
    return _sum("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def addbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """beta * input + alpha * the sum over the batch of (batch1 @ batch2)."""
    product = bmm(batch1, batch2)
    total = ops.cast_like(ops.sum(product, dim=0), product)
    return _sum("addbmm", input, total, beta, alpha)


def outer(input, vec2):
    """All products of the elements of two vectors: (n) and (m) -> (n, m)."""
    _rank("outer", 1, input=input, vec2=vec2)
    return ops.mul(ops.unsqueeze(input, 1), vec2)


def inner(input, other):
    """Sums of products along the last dims: (*, n) and (+, n) -> (*, +)."""
    if not input._array.ndim or not other._array.ndim:
        return ops.mul(input, other)
    if shape_of(input)[-1] != shape_of(other)[-1]:
        raise ShapeError(
            "inner() the last dimension must match on both input tensors.",
            f"input: {shape_of(input)}\nother: {shape_of(other)}",
        )
    return tensordot(input, other, dims=([-1], [-1]))


def tensordot(a, b, dims=2):
    """Sums of products over several dims: the last ``dims`` of a with the first of b, or two lists of dims.

    >>> import mlkit
    >>> mlkit.tensordot(mlkit.ones(2, 3, 4), mlkit.ones(3, 4, 5)).shape
    mlkit.Size([2, 5])
    """
    if isinstance(dims, Value):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RefusedError(f"tensordot expects dims >= 0, but got dims={dims}.")
        if dims > min(a._array.ndim, b._array.ndim):
            raise RefusedError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}.")
        dims = (list(range(a._array.ndim - dims, a._array.ndim)), list(range(dims)))
    left = [canonical_dim("tensordot", d, a._array.ndim) for d in dims[0]]
    right = [canonical_dim("tensordot", d, b._array.ndim) for d in dims[1]]
    if len(left) != len(right):
        raise ShapeError("both dimension lists should have same length.")
    sizes_a, sizes_b = list(shape_of(a)), list(shape_of(b))
    for i, j in zip(left, right, strict=True):
        if sizes_a[i] != sizes_b[j]:
            if sizes_a[i] == 1:
                b, sizes_b[j] = ops.cast_like(ops.sum(b, dim=j, keepdim=True), b), 1
            elif sizes_b[j] == 1:
                a, sizes_a[i] = ops.cast_like(ops.sum(a, dim=i, keepdim=True), a), 1
            else:
                raise ShapeError(
                    f"contracted dimensions need to match, but first has size {sizes_a[i]} in dim {i} and second has "
                    f"size {sizes_b[j]} in dim {j}."
                )
    free_a = [i for i in range(len(sizes_a)) if i not in left]
    free_b = [j for j in range(len(sizes_b)) if j not in right]
    middle = math.prod(sizes_a[i] for i in left)
    rows, columns = [sizes_a[i] for i in free_a], [sizes_b[j] for j in free_b]
    flat_a = ops.reshape(ops.permute(a, dims=(*free_a, *left)), shape=(math.prod(rows), middle))
    flat_b = ops.reshape(ops.permute(b, dims=(*right, *free_b)), shape=(middle, math.prod(columns)))
    return ops.reshape(ops.matmul(flat_a, flat_b), shape=(*rows, *columns))


def kron(input, other):
    """The Kronecker product: every element of input times the whole of other, block by block."""
    rank = max(input._array.ndim, other._array.ndim)
    a = (1,) * (rank - input._array.ndim) + shape_of(input)
    b = (1,) * (rank - other._array.ndim) + shape_of(other)
    left = ops.reshape(input, shape=tuple(n for size in a for n in (size, 1)))
    right = ops.reshape(other, shape=tuple(n for size in b for n in (1, size)))
    return ops.reshape(ops.mul(left, right), shape=tuple(x * y for x, y in zip(a, b, strict=True)))


def _distance(difference, p: float, dim: int):
    """The p-norm along dim, with gradient 0 where the distance is 0."""
    size = ops.abs(difference)
    if p == 0:
        return ops.sum(ops.where(ops.ne(size, 0), ops.ones_like(size), size), dim=dim)  # its slope is 0 everywhere
    if p == 1:
        return ops.sum(size, dim=dim)
    if p == math.inf:
        return ops.amax(size, dim=dim) if shape_of(size)[dim] else ops.sum(size, dim=dim)
    if p == 2:
        total = ops.sum(ops.mul(size, size), dim=dim)
    else:
        nought = ops.eq(size, 0)
        powers = ops.pow_scalar(ops.where(nought, ops.ones_like(size), size), exponent=p)
        total = ops.sum(ops.where(nought, ops.zeros_like(powers), powers), dim=dim)
    zero = ops.eq(total, 0)
    root = ops.pow_scalar(ops.where(zero, ops.ones_like(total), total), exponent=1 / p)
    return ops.where(zero, ops.zeros_like(root), root)


def cdist(x1, x2, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary"):
    """The p-norm distances between the rows of two matrices (or batches of them): (*, n, m), (*, k, m) -> (*, n, k)."""
    for label, x in (("X1", x1), ("X2", x2)):
        if x._array.ndim < 2:
            raise ShapeError(f"cdist only supports at least 2D tensors, {label} got: {x._array.ndim}D.")
    if shape_of(x1)[-1] != shape_of(x2)[-1]:
        raise ShapeError(
            f"X1 and X2 must have the same number of columns. X1: {shape_of(x1)[-1]} X2: {shape_of(x2)[-1]}.",
            f"x1: {shape_of(x1)}\nx2: {shape_of(x2)}",
        )
    check_same_dtype("cdist", x1, x2=x2)
    if not p >= 0:
        raise RefusedError("cdist only supports non-negative p values.")
    if compute_mode not in (
        "use_mm_for_euclid_dist_if_necessary",
        "use_mm_for_euclid_dist",
        "donot_use_mm_for_euclid_dist",
    ):
        from mlkit.core.errors import ValueRangeError

        raise ValueRangeError(f"{compute_mode} is not a valid value for compute_mode.")
    return _distance(ops.sub(ops.unsqueeze(x1, -2), ops.unsqueeze(x2, -3)), p, -1)


def dist(input, other, p=2):
    """The p-norm of input - other."""
    for label, x in (("input", input), ("other", other)):
        if not isinstance(x, Value):
            raise ArgumentError(f"dist(): argument '{label}' must be Tensor, not {type(x).__name__}.")
    from mlkit.functional.reductions import norm

    return norm(ops.sub(input, other), p=float(p))


# --- in torch.linalg's signatures -------------------------------------------------------------------------------------


@takes_out
def matmul(input, other):
    """The matrix product: ``mlkit.matmul``."""
    return ops.matmul(input, other)


@takes_out
def vecdot(x, y, *, dim: int = -1):
    """sum of conj(x) * y along ``dim``, broadcasting the others."""
    check_tensor("vecdot", x=x, y=y)
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
            f"{name}: inputs must have the same number of dimensions.", f"{shape_of(input)} and {shape_of(other)}"
        )
    d = canonical_dim(name, dim, rank)
    if rank == 0 or shape_of(input)[d] != 3 or shape_of(other)[d] != 3:
        raise ShapeError(
            f"{name}: inputs dimension {dim} must have length 3.", f"input: {shape_of(input)}\nother: {shape_of(other)}"
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
    check_tensor("cross", input=input, other=other)
    return _cross("linalg.cross", input, other, dim)


@takes_out
def old_cross(input, other, dim: int | None = None):
    """The cross product along ``dim`` (by default the first dim of size 3)."""
    if dim is None:
        shape = shape_of(input)
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
    sizes = [shape_of(x)[0] for x in chain] + [shape_of(chain[-1])[1]]
    for i, (a, b) in enumerate(zip(chain[:-1], chain[1:], strict=True)):
        if shape_of(a)[1] != shape_of(b)[0]:
            raise ShapeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(shape_of(a))} and {list(shape_of(b))} cannot be "
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


@takes_out
def matrix_power(A, n: int):
    """A multiplied with itself n times; negative n uses the inverse, 0 gives the identity."""
    check_tensor("matrix_power", A=A)
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
        return in_graph_of(A, ops.expand(eye_like(a.shape[-1], a.shape[-1], A), shape=shape_of(A)))
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
    check_tensor("matrix_exp", self=A)
    d = dtypes.from_numpy_dtype(A._array.dtype)
    if d.is_floating_point and d.itemsize == 2:  # in float32, as half precision has too few digits for the squarings
        return ops.cast(ops.matrix_exp(ops.cast(A, dtype=dtypes.float32)), dtype=d)
    return ops.matrix_exp(A)
