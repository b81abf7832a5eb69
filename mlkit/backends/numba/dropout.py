"""Dropout: the reference's stream of random numbers, drawn while the data passes; backward draws it again."""

from __future__ import annotations

import math

import numpy as np

from mlkit.backends.numba import override, pool
from mlkit.backends.numba.flat import FLOAT32

MINIMUM = 1 << 10
GRAIN = 1 << 12  # blocks of eight


@override("dropout", minimum=MINIMUM)
def dropout(kernels, input, *, p, key, mask_shape):
    seed, offset = key
    blocks = (input.size + 7) // 8
    if (
        input.dtype is not FLOAT32
        or not input.size
        or p >= 1
        or mask_shape is not None
        and tuple(mask_shape) != tuple(input.shape)
        or not 0 <= seed < 1 << 64
        or not 0 <= offset < (1 << 64) - blocks - 1
    ):
        return NotImplemented
    x = input if input.flags.c_contiguous and input.flags.writeable else input.copy(order="C")
    out = np.empty(x.shape, np.float32)
    threshold = np.uint64(math.ceil(float(np.float32(p)) * (1 << 24)))
    arguments = (x.reshape(-1), out.reshape(-1), np.uint64(seed), np.uint64(offset), threshold, np.float32(1 / (1 - p)))
    pool.split(lambda start, stop: kernels.dropout(*arguments, start, stop), blocks, GRAIN)
    return out
