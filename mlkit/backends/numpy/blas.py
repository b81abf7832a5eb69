"""How NumPy's BLAS is told its number of threads. Who tells it, and why, is in backends/numba/pool.py."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import numpy as np


@functools.cache
def openblas() -> tuple | None:
    """(get, set) of the OpenBLAS inside NumPy's wheel; None where NumPy uses another BLAS."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("libscipy_openblas*")) if folder.is_dir() else ():
            try:
                library = ctypes.CDLL(str(path))
                suffix = "64_" if "openblas64" in path.name else ""
                get = getattr(library, f"scipy_openblas_get_num_threads{suffix}")
                put = getattr(library, f"scipy_openblas_set_num_threads{suffix}")
            except (OSError, AttributeError):
                continue
            return get, put
    return None
