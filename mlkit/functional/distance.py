"""Distances, similarities, and vectors of length one."""

from __future__ import annotations

from mlkit.core.dispatch import composite, ops
from mlkit.core.errors import DtypeError, RefusedError, ShapeError
from mlkit.functional.arithmetic import result_type


def length(x, p: float, dim, keepdim: bool = False):
    """The p-norm along ``dim``; where it is 0 its slope is 0 too, not NaN."""
    size = ops.abs(x)
    if p == float("inf"):
        return ops.amax(size, dim=dim, keepdim=keepdim)
    if p == -float("inf"):
        return ops.amin(size, dim=dim, keepdim=keepdim)
    if p == 0:
        # the count of values that are not zero: its slope is 0 everywhere, and it stays in the graph
        return ops.sum(ops.where(ops.ne(size, 0), ops.ones_like(size), size), dim=dim, keepdim=keepdim)
    if p == 1:
        return ops.sum(size, dim=dim, keepdim=keepdim)
    total = ops.sum(ops.square(size) if p == 2 else ops.pow_scalar(size, exponent=p), dim=dim, keepdim=keepdim)
    zero = ops.eq(total, 0)
    safe = ops.where(zero, ops.ones_like(total), total)
    root = ops.sqrt(safe) if p == 2 else ops.pow_scalar(safe, exponent=1.0 / p)
    return ops.where(zero, ops.zeros_like(total), root)


@composite
def normalize(input, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out=None):
    """input divided by its p-norm along ``dim`` (by eps where the norm is smaller)."""
    if input._array.dtype.kind not in "fVc":
        raise DtypeError(f"normalize: expected a floating point or complex tensor as input, got {input.dtype}.")
    if isinstance(p, complex):
        raise RefusedError("linalg.vector_norm: Expected a non-complex scalar as the order of norm.")
    dim = tuple(range(input._array.ndim)) if dim is None else dim
    result = ops.div(input, ops.clamp(length(input, 2.0 if p is None else p, dim, keepdim=True), min=eps))
    return result if out is None else out.copy_(result)


@composite
def cosine_similarity(x1, x2, dim: int = 1, eps: float = 1e-8):
    """The cosine of the angle between x1 and x2 along ``dim``; shapes broadcast, ``dim`` falls away.

    >>> import mlkit
    >>> mlkit.nn.functional.cosine_similarity(mlkit.tensor([[1.0, 0.0]]), mlkit.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """
    if all(x._array.dtype.kind in "biu" for x in (x1, x2)):
        raise DtypeError(
            f"cosine_similarity: expected common dtype to be floating point, yet common dtype is {x1.dtype}.",
            hint="Convert first: x.float().",
        )
    if tuple(x1._array.shape) != tuple(x2._array.shape):
        shape = ops.add(x1, x2)._array.shape
        x1, x2 = ops.expand(x1, shape=tuple(shape)), ops.expand(x2, shape=tuple(shape))
    if x1._array.dtype != x2._array.dtype:
        shared = result_type(x1, x2)
        x1, x2 = ops.cast(x1, dtype=shared), ops.cast(x2, dtype=shared)
    product = ops.sum(ops.mul(x1, x2), dim=dim)
    lengths = [
        ops.sqrt(ops.clamp(ops.sum(ops.square(x), dim=dim), min=eps * eps)) for x in (x1, x2)
    ]  # squares are bounded below, so that a zero vector has a slope
    return ops.div(product, ops.mul(*lengths))


@composite
def pairwise_distance(x1, x2, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
    """The p-norm of x1 - x2 + eps along the last dim: (N, D), (N, D) -> (N)."""
    return length(ops.add(ops.sub(x1, x2), eps), p, -1, keepdim=keepdim)


def pdist(input, p: float = 2.0):
    """The p-norm distance of every pair of rows: (N, M) -> (N * (N - 1) / 2)."""
    if input._array.ndim != 2:
        raise ShapeError(f"pdist only supports 2D tensors, got: {input._array.ndim}D")
    n = input._array.shape[0]
    first = ops.index_array([i for i in range(n) for _ in range(i + 1, n)], like=input)
    second = ops.index_array([j for i in range(n) for j in range(i + 1, n)], like=input)
    difference = ops.sub(ops.index_select(input, first, dim=0), ops.index_select(input, second, dim=0))
    return length(difference, p, -1)
