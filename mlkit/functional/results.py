"""What functions give back: tuples with names, such as ``max(...).values``, and PyTorch's ``out=``."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable

from mlkit.core import config, inplace
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops, state
from mlkit.core.errors import ArgumentError, DtypeError, GradientError
from mlkit.core.value import MetaArray, Value, mark_mutated


def named_result(name: str, fields: tuple[str, ...]) -> type:
    """A tuple class with those fields.

    >>> from mlkit.functional.results import named_result
    >>> named_result("max", ("values", "indices"))(3, 0)
    mlkit.return_types.max(
    values=3,
    indices=0)
    """

    def text(self) -> str:
        return (
            f"{config.shown_name}.return_types.{name}(\n"
            + ",\n".join(f"{f}={getattr(self, f)!r}" for f in fields)
            + ")"
        )

    cls = namedtuple(name, fields)  # type: ignore[misc]
    cls.__repr__ = text  # type: ignore[method-assign]
    return cls


# --- into tensors that are there already ------------------------------------------------------------------------------


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
