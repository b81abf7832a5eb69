"""Switches that change how mlkit computes, in one place. Each is read where it is used.

>>> import mlkit
>>> mlkit.config.strict_broadcast
True
"""

from __future__ import annotations

import importlib
import os

#: A loss between (N, 1) and (N,) broadcasts to (N, N), which is nearly always a mistake: refuse it.
strict_broadcast: bool = True

#: How many bytes of unfolded patches a NumPy convolution holds at once.
convolution_buffer_bytes: int = 32 << 20

#: Use the compiled kernels where Numba is installed; False leaves everything to NumPy.
numba: bool = True

#: Convolutions 3x3 with stride 1 and many channels by Winograd's method (Lavin & Gray 2015, arXiv:1509.09308), which is
#: about twice as quick. Largest error against float64, relative to the largest result: 2e-5, instead of 2e-6 for the
#: direct way. A NaN or infinity in the input reaches up to five places around it, instead of those its 3x3 window covers.
winograd: bool = True

#: On a GPU: products of float32 matrices with factors rounded to TF32 (``mlkit.backends.cuda.matmul.allow_tf32``).
cuda_matmul_tf32: bool = False

#: On a GPU: convolution, normalisation and attention through cuDNN where it is installed (``mlkit.backends.cudnn``).
cudnn: bool = True
cudnn_tf32: bool = True
cudnn_deterministic: bool = False
cudnn_attention: bool = True
#: How much freed memory is kept for new arrays instead of going back to the system (with glibc; 0 leaves its allocator as
#: it is). Read when mlkit is imported: set MLKIT_MEMORY_CACHE_BYTES before, or call ``set_memory_cache`` later.
memory_cache_bytes: int = int(os.environ.get("MLKIT_MEMORY_CACHE_BYTES") or 1 << 30)


def set_memory_cache(limit: int) -> bool:
    """Keep up to ``limit`` bytes of freed memory from now on; returns whether this system can."""
    global memory_cache_bytes
    memory_cache_bytes = limit
    return importlib.import_module("mlkit.backends.numpy.allocator").keep(limit)


def empty_memory_cache() -> bool:
    """Give the freed memory that is kept for new arrays back to the system; returns whether there was any.

    >>> import mlkit
    >>> mlkit.config.empty_memory_cache() in (True, False)
    True
    """
    return importlib.import_module("mlkit.backends.numpy.allocator").empty()


#: The library's name where dtypes, sizes and layouts print: "mlkit.float32". ``mlkit.torch`` makes it "torch".
shown_name: str = "mlkit"
