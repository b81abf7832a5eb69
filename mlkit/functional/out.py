"""PyTorch's ``out=``: a result written into tensors that are already there."""

from __future__ import annotations

import functools
from collections.abc import Callable

from mlkit.core import dtype as dtypes
from mlkit.core import inplace
from mlkit.core.dispatch import ops, state
from mlkit.core.errors import ArgumentError, DtypeError, GradientError
from mlkit.core.value import MetaArray, Value, mark_mutated


def write_out(out, result, name: str):
    """Put ``result`` (a tensor or a named tuple of them) into ``out``, which takes its shape, and return ``out``."""
    if isinstance(result, tuple):
        if not isinstance(out, (tuple, list)) or len(out) != len(result):
            raise ArgumentError(f"{name}(): argument 'out' must be a tuple of {len(result)} tensors.")
        parts = [write_out(o, r, name) for o, r in zip(out, result, strict=True)]
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    if not isinstance(out, Value):
        raise ArgumentError(f"{name}(): argument 'out' must be a Tensor, not {type(out).__name__}.")
    if state.grad and (out._node is not None or result._node is not None):
        raise GradientError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad.",
            hint="Leave out= away, or work inside `with mlkit.no_grad():`.",
        )
    have, want = (dtypes.from_numpy_dtype(x._array.dtype) for x in (result, out))
    if have.category > want.category:
        raise DtypeError(f"{name}(): result type {have.name} can't be cast to the desired output type {want.name}.")
    if tuple(out._array.shape) != tuple(result._array.shape):
        # as PyTorch resizes an out tensor of another shape
        fresh = ops.clone(result if have is want else ops.cast(result, dtype=want))
        out._array = fresh._array
        mark_mutated(out)
        return out
    if out._array.__class__ is MetaArray:
        return out
    return inplace.assign(out, result, name)


def takes_out(fn: Callable) -> Callable:
    """Give a function the keyword ``out``."""

    @functools.wraps(fn)
    def call(*args, out=None, **kwargs):
        result = fn(*args, **kwargs)
        return result if out is None else write_out(out, result, fn.__name__)

    return call
