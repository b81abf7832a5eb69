"""Switches that change how mlkit computes, in one place. Each is read where it is used.

>>> import mlkit
>>> mlkit.config.strict_broadcast
True
"""

from __future__ import annotations

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

#: The library's name where dtypes, sizes and layouts print: "mlkit.float32". ``mlkit.torch`` makes it "torch".
shown_name: str = "mlkit"
