"""What all transforms share: that one is running, and whether tensors outside it are tracked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mlkit.core.dispatch import state


@contextlib.contextmanager
def transform() -> Iterator[None]:
    """Inside, a transform of mlkit.func runs a user's function: backward() is refused."""
    state.transforms += 1
    try:
        yield
    finally:
        state.transforms -= 1
