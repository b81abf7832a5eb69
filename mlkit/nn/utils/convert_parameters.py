"""All parameters as one vector, and back."""

from __future__ import annotations

from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError
from mlkit.core.value import Value
from mlkit.functional.shaping import cat


def parameters_to_vector(parameters):
    """The values of all parameters in one vector (part of the graph)."""
    return cat([ops.reshape(p, shape=(-1,)) for p in parameters], 0)


def vector_to_parameters(vec, parameters) -> None:
    """Set the parameters from such a vector: each then is a piece of it."""
    if not isinstance(vec, Value):
        raise ArgumentError(f"expected Tensor, but got: {type(vec).__name__}")
    start = 0
    for parameter in parameters:
        count = parameter.numel()
        parameter.data = ops.reshape(vec.detach()[start : start + count], shape=tuple(parameter.shape))
        start += count
