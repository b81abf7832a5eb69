"""``mlkit.random``: the default random stream, in ``torch.random``'s names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mlkit.core.rng import default_generator
from mlkit.functional.random import get_rng_state, initial_seed, manual_seed, seed, set_rng_state

__all__ = ["default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]


@contextlib.contextmanager
def fork_rng(devices=None, enabled: bool = True, device_type: str = "cuda") -> Iterator[None]:
    """A block after which the random stream goes on from where it was before it.

    One stream serves all devices, so ``devices`` and ``device_type`` change nothing.

    >>> import mlkit
    >>> _ = mlkit.manual_seed(0)
    >>> with mlkit.random.fork_rng():
    ...     inside = mlkit.rand(2)
    >>> mlkit.equal(mlkit.rand(2), inside)
    True
    """
    state = get_rng_state() if enabled else None
    try:
        yield
    finally:
        if state is not None:
            set_rng_state(state)
