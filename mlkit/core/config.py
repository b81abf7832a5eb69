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
