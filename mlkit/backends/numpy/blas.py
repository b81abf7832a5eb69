"""NumPy's BLAS: how it is told its number of threads (who tells it, and why, is in backends/numba/pool.py), and where its
products are, for those who call them without Python."""

from __future__ import annotations

import ctypes
import functools
import glob
import os

import numpy as np


@functools.cache
def openblas() -> tuple | None:
    """(get, set) of the OpenBLAS inside NumPy's wheel; None where NumPy uses another BLAS."""
    found = _library()
    if found is None:
        return None
    library, suffix = found
    return (
        getattr(library, f"scipy_openblas_get_num_threads{suffix}"),
        getattr(library, f"scipy_openblas_set_num_threads{suffix}"),
    )


@functools.cache
def product(dtype: np.dtype) -> int:
    """The address of its ``sgemm`` or ``dgemm``, whose arguments all are addresses, in Fortran's way; 0 where there is none."""
    found, name = _library(), {"float32": "sgemm", "float64": "dgemm"}.get(dtype.name)
    if found is None or name is None:
        return 0
    library, suffix = found
    function = getattr(library, f"scipy_{name}_{suffix}", None)
    return 0 if function is None else ctypes.cast(function, ctypes.c_void_p).value or 0


@functools.cache
def _library() -> tuple[ctypes.CDLL, str] | None:
    """The OpenBLAS inside NumPy's wheel, and how its functions' names end."""
    package = os.path.dirname(np.__file__)
    for folder in (os.path.join(package, os.pardir, "numpy.libs"), os.path.join(package, ".dylibs")):
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "libscipy_openblas*"))):
            try:
                library = ctypes.CDLL(path)
                suffix = "64_" if "openblas64" in os.path.basename(path) else ""
                getattr(library, f"scipy_openblas_get_num_threads{suffix}")
                getattr(library, f"scipy_openblas_set_num_threads{suffix}")
            except (OSError, AttributeError):
                continue
            return library, suffix
    return None
