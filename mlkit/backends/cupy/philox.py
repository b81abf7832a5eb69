"""Philox4x64-10 on the GPU (Salmon et al., SC 2011): the same words as numpy.random.Philox(key=seed, counter=offset)."""

from __future__ import annotations

import functools

import numpy as np

_SOURCE = r"""
extern "C" __global__
void philox4x64(
    unsigned long long seed, unsigned long long offset, const unsigned long long* key, unsigned long long* out, long long n
) {
    if (key) { seed = key[0]; offset = key[1]; }  // a captured graph draws other numbers each time
    const unsigned long long M0 = 0xD2E7470EE14C6C93ULL, M1 = 0xCA5A826395121157ULL;
    const unsigned long long W0 = 0x9E3779B97F4A7C15ULL, W1 = 0xBB67AE8584CAA73BULL;
    long long block = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (block * 4 >= n) return;
    // NumPy moves the counter on before it draws: block 0 uses offset + 1
    unsigned long long c0 = offset + (unsigned long long)block + 1ULL;
    unsigned long long c1 = c0 <= offset ? 1ULL : 0ULL, c2 = 0ULL, c3 = 0ULL;
    unsigned long long k0 = seed, k1 = 0ULL;
    for (int round = 0; round < 10; ++round) {
        unsigned long long h0 = __umul64hi(M0, c0), l0 = M0 * c0, h1 = __umul64hi(M1, c2), l1 = M1 * c2;
        c0 = h1 ^ c1 ^ k0; c1 = l1; c2 = h0 ^ c3 ^ k1; c3 = l0;
        k0 += W0; k1 += W1;
    }
    unsigned long long words[4] = {c0, c1, c2, c3};
    for (int i = 0; i < 4 && block * 4 + i < n; ++i) out[block * 4 + i] = words[i];
}
"""


@functools.cache
def _kernel(xp):
    return xp.RawKernel(_SOURCE, "philox4x64")


def numbers(key: tuple[int, int]) -> tuple:
    """A key as the kernels' three arguments: its numbers, and where they are on the GPU (0: nowhere)."""
    return np.uint64(key[0]), np.uint64(key[1]), np.uint64(getattr(key, "address", 0))


def words(xp, n: int, key: tuple[int, int]):
    """``n`` 64-bit words of the stream at ``key``."""
    out = xp.empty(n, np.uint64)
    if n:
        blocks = (n + 3) // 4
        arguments = (*numbers(key), out, np.int64(n))
        _kernel(xp)(((blocks + 255) // 256,), (256,), arguments)
    return out
