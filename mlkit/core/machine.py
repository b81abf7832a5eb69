"""What the process uses of the machine."""

from __future__ import annotations

import os
import sys

__all__ = ["memory_bytes"]


def memory_bytes() -> int | None:
    """Memory this process occupies now, in bytes (its peak where the system tells no more); None if unknown."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
