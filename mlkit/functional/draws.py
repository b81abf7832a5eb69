"""Random numbers whose distribution is set by a tensor: gamma, Poisson, binomial, von Mises."""

from __future__ import annotations

from mlkit.core.dispatch import ops
from mlkit.core.errors import ShapeError
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import MetaArray
from mlkit.functional.creation import _key


def _check(name: str, bad, what: str) -> None:
    if bad._array.__class__ is not MetaArray and bool(bad._array.any()):
        raise ShapeError(f"{name}: {what}.")


def _shared_key(input, other, generator):
    return _key(broadcast_shapes(input._array.shape, other._array.shape), generator)


def poisson(input, generator=None):
    """Counts from the Poisson distribution with the rates in ``input``, in its dtype.

    >>> import mlkit
    >>> mlkit.poisson(mlkit.zeros(3))
    tensor([0., 0., 0.])
    """
    _check("poisson", ops.lt(input, 0), "invalid Poisson rate, expected rate to be non-negative")
    return ops.poisson_draw(input, key=_key(input._array.shape, generator))


def binomial(count, prob, generator=None):
    """How many of ``count`` trials succeed with probability ``prob`` each, in their dtype."""
    out = ops.logical_or(ops.lt(prob, 0), ops.gt(prob, 1))
    _check("binomial", out, "invalid probability, expected 0 <= prob <= 1")
    return ops.binomial_draw(count, prob, key=_shared_key(count, prob, generator))


def standard_gamma(concentration, generator=None):
    """Draws from the gamma distribution with scale 1, differentiable in ``concentration``."""
    return ops.standard_gamma(concentration, key=_key(concentration._array.shape, generator))


def von_mises(loc, concentration, generator=None):
    """Angles in [-pi, pi) around ``loc``."""
    return ops.vonmises_draw(loc, concentration, key=_shared_key(loc, concentration, generator))
