"""Random numbers whose distribution is set by a tensor: gamma and von Mises (poisson and binomial: creation.py)."""

from __future__ import annotations

from mlkit.core.dispatch import ops
from mlkit.core.size import broadcast_shapes
from mlkit.functional.creation import _key


def standard_gamma(concentration, generator=None):
    """Draws from the gamma distribution with scale 1, differentiable in ``concentration``."""
    return ops.standard_gamma(concentration, key=_key(concentration._array.shape, generator))


def von_mises(loc, concentration, generator=None):
    """Angles in [-pi, pi) around ``loc``."""
    shape = broadcast_shapes(loc._array.shape, concentration._array.shape)
    return ops.von_mises(loc, concentration, key=_key(shape, generator))
