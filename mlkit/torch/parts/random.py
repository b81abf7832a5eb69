"""``torch.random``."""

from __future__ import annotations

import contextlib
from typing import Any

from mlkit.functional.random import get_rng_state, initial_seed, manual_seed, seed, set_rng_state

__all__ = ["fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, *args: Any, **options: Any):
    """What is drawn inside does not move the stream outside."""
    state = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(state)
