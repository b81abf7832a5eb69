"""How many threads NumPy's BLAS uses.

Many small products in a row, as in a convolution, lose by a second BLAS thread: between two products it spins, and on a
machine that is busy with anything else (a browser that draws the curves) the first one waits for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np


@functools.cache
def _openblas() -> tuple | None:
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


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """NumPy's products inside use one thread, where that can be set."""
    found = _openblas()
    if found is None:
        yield
        return
    get, put = found
    before = get()
    put(1)
    try:
        yield
    finally:
        put(before)
