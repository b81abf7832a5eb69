"""How NumPy's BLAS is told its number of threads. Who tells it, and why, is in backends/numba/pool.py."""

from __future__ import annotations

import ctypes
import functools
import glob
import os

import numpy as np


@functools.cache
def openblas() -> tuple | None:
    """(get, set) of the OpenBLAS inside NumPy's wheel; None where NumPy uses another BLAS."""
    package = os.path.dirname(np.__file__)
    for folder in (os.path.join(package, os.pardir, "numpy.libs"), os.path.join(package, ".dylibs")):
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "libscipy_openblas*"))):
            try:
                library = ctypes.CDLL(path)
                suffix = "64_" if "openblas64" in os.path.basename(path) else ""
                get = getattr(library, f"scipy_openblas_get_num_threads{suffix}")
                put = getattr(library, f"scipy_openblas_set_num_threads{suffix}")
            except (OSError, AttributeError):
                continue
            return get, put
    return None
