"""Products of vectors and matrices beyond matmul: the fused sums, outer and cross products, tensordot, distances."""

from __future__ import annotations

import functools
import math

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import lasting, ops
from mlkit.core.errors import ArgumentError, DtypeError, RefusedError, ShapeError
from mlkit.core.refusals import different_dtypes
from mlkit.core.value import Value
from mlkit.functional.arguments import check_same_dtype
from mlkit.functional.shaping import broadcast_shapes
from mlkit.ops import REGISTRY
from mlkit.ops.reduce import canonical_dim


def _shape(x) -> tuple:
    return tuple(x._array.shape)


def _rank(name: str, rank: int, **tensors) -> None:
    for label, x in tensors.items():
        if x._array.ndim != rank:
            shown = "\n".join(f"{k}: {_shape(t)}" for k, t in tensors.items())
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
    if _shape(input)[0] != _shape(mat2)[0]:
        raise ShapeError(
            f"bmm: the batch sizes differ: {_shape(input)[0]} != {_shape(mat2)[0]}.",
            f"input: {_shape(input)}\nmat2: {_shape(mat2)}",
        )
    return _product("bmm", input=input, mat2=mat2)


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
    if _shape(product) != tuple(broadcast_shapes(_shape(input), _shape(product))):
        raise ShapeError(
            f"{name}: input must be expandable to the product's shape.",
            f"input: {_shape(input)}\nproduct: {_shape(product)}",
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
    if _shape(input)[-1] != _shape(other)[-1]:
        raise ShapeError(
            "inner() the last dimension must match on both input tensors.",
            f"input: {_shape(input)}\nother: {_shape(other)}",
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
    sizes_a, sizes_b = list(_shape(a)), list(_shape(b))
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
    a = (1,) * (rank - input._array.ndim) + _shape(input)
    b = (1,) * (rank - other._array.ndim) + _shape(other)
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
        return ops.amax(size, dim=dim) if _shape(size)[dim] else ops.sum(size, dim=dim)
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
    if _shape(x1)[-1] != _shape(x2)[-1]:
        raise ShapeError(
            f"X1 and X2 must have the same number of columns. X1: {_shape(x1)[-1]} X2: {_shape(x2)[-1]}.",
            f"x1: {_shape(x1)}\nx2: {_shape(x2)}",
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
