"""Large arrays reuse memory instead of asking the system for it again.

Without this, each array of more than 128 kB (at times 32 MB) comes as fresh pages, which the system has to clear and map one by
one when they are first touched, and goes back when it is freed: a quarter of the time of a training step whose every
operation makes such arrays. The C library's allocator (glibc's) can keep what is freed instead: up to
``mlkit.config.memory_cache_bytes`` at the end of its heap. It is the one that frees, so an array that anything still
refers to is never reused, and it works with threads and forks as any allocation does. With other C libraries (macOS,
Windows, musl) nothing is changed.
"""

from __future__ import annotations

import ctypes
import functools

from mlkit.core import config

# numbers of mallopt's parameters, from malloc.h
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -3, -4, -8
#: the largest that glibc takes as a threshold; without mappings of their own larger arrays are kept too
LARGEST_KEPT = 32 << 20


@functools.cache
def _glibc():
    """The C library where it is glibc, else None."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - only glibc has it
        return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
    except (OSError, AttributeError, TypeError):  # TypeError: Windows wants a name
        return None


def keep(limit: int) -> bool:
    """Keep up to ``limit`` bytes of freed memory for new arrays; returns whether this C library can."""
    library = _glibc()
    if library is None or limit <= 0:
        return False
    return bool(
        library.mallopt(MMAP_THRESHOLD, LARGEST_KEPT)
        and library.mallopt(MMAP_MAX, 0)
        and library.mallopt(TRIM_THRESHOLD, min(limit, (1 << 31) - 1))
        # Threads of their own heaps (64 MB each at most) would give memory back all the time. NumPy holds the GIL when it
        # allocates, so one heap for all makes nobody wait.
        and library.mallopt(ARENA_MAX, 1)
    )


def begin() -> None:
    """What the NumPy backend does when it is loaded."""
    keep(config.memory_cache_bytes)


def empty() -> bool:
    """Give kept memory back to the system now; returns whether any was."""
    library = _glibc()
    return bool(library is not None and library.malloc_trim(0))
