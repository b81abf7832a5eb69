"""Dropout with the reference's random stream, Philox4x64-10, drawn inside the loop so that no mask is stored."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from mlkit.backends.numba.compiling import kernel

F, U = np.float32, np.uint64
ZERO, ONE = F(0), F(1)
M0, M1 = U(0xD2E7470EE14C6C93), U(0xCA5A826395121157)
W0, W1 = U(0x9E3779B97F4A7C15), U(0xBB67AE8584CAA73B)
LOW, U8, U32 = U(0xFFFFFFFF), U(8), U(32)


@intrinsic
def high_part(typingctx, a, b):
    """The upper 64 bits of the product of two 64-bit words."""

    def generate(context, builder, signature, arguments):
        wide = ir.IntType(128)
        x, y = (builder.zext(v, wide) for v in arguments)
        return builder.trunc(builder.lshr(builder.mul(x, y), ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@njit(nogil=True, error_model="numpy", forceinline=True)
def philox(counter, seed):
    """The four words at a counter (Salmon et al. 2011), for keys and counters below 2**64."""
    a, b, c, d = counter, U(0), U(0), U(0)
    k0, k1 = seed, U(0)
    for _ in range(10):
        h0, l0 = high_part(M0, a), M0 * a
        h1, l1 = high_part(M1, c), M1 * c
        a, b, c, d = h1 ^ b ^ k0, l1, h0 ^ d ^ k1, l0
        k0 += W0
        k1 += W1
    return a, b, c, d


@njit(nogil=True, error_model="numpy", forceinline=True, fastmath={"contract"})
def pair(x, y, i, word, threshold, scale):
    y[i] = x[i] * (scale if (word & LOW) >> U8 >= threshold else ZERO)
    y[i + 1] = x[i + 1] * (scale if word >> (U32 + U8) >= threshold else ZERO)


@kernel("void(float32[::1], float32[::1], uint64, uint64, uint64, float32, int64, int64)", fastmath={"contract"})
def dropout(x, y, seed, offset, threshold, scale, start, stop):
    """Blocks of eight elements start .. stop: x * (scale where the element's 24 random bits reach threshold, else 0)."""
    for block in range(start, min(stop, x.size // 8)):
        a, b, c, d = philox(offset + U(block) + U(1), seed)
        source, out = x[block * 8 : block * 8 + 8], y[block * 8 : block * 8 + 8]
        pair(source, out, 0, a, threshold, scale)
        pair(source, out, 2, b, threshold, scale)
        pair(source, out, 4, c, threshold, scale)
        pair(source, out, 6, d, threshold, scale)
    rest = x.size % 8
    if stop * 8 > x.size and rest:
        words = philox(offset + U(x.size // 8) + U(1), seed)
        base = x.size - rest
        for i in range(rest):
            word = words[i // 2]
            bits = (word >> U32 if i % 2 else word & LOW) >> U8
            y[base + i] = x[base + i] * (scale if bits >= threshold else ZERO)
