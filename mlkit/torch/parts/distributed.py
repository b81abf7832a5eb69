"""``torch.distributed``: one process here; starting a group says so."""

from __future__ import annotations

from typing import Any

from mlkit.core.absent import MissingName
from mlkit.core.errors import ValueRangeError

__all__ = [
    "all_gather",
    "all_reduce",
    "barrier",
    "broadcast",
    "destroy_process_group",
    "get_rank",
    "get_world_size",
    "init_process_group",
    "is_available",
    "is_initialized",
    "is_torchelastic_launched",
]


def is_available() -> bool:
    """Whether several processes can train together: not in this version."""
    return False


is_initialized = is_torchelastic_launched = is_available


def init_process_group(*args: Any, **options: Any) -> None:
    """Raises: several processes cannot train together in this version."""
    raise MissingName(
        "torch.distributed.init_process_group is not in this version of mlkit.",
        "One process trains.",
        "Start the program without a launcher; most programs ask torch.distributed.is_available() first.",
    )


def _no_group(*args: Any, **options: Any) -> Any:
    """Raises, as PyTorch does before ``init_process_group``."""
    raise ValueRangeError(
        "Default process group has not been initialized, please make sure to call init_process_group."
    )


get_rank = get_world_size = all_reduce = all_gather = broadcast = barrier = destroy_process_group = _no_group
