"""What the hand-written CUDA kernels share: stored types, sums over a block, and how one is compiled."""

from __future__ import annotations

import functools

import numpy as np

#: dtype -> (the stored type in C, the type it is computed in)
TYPES = {
    "float32": ("float", "float"),
    "float64": ("double", "double"),
    "float16": ("f16", "float"),
    "bfloat16": ("bf16", "float"),
}

_HEAD = r"""
typedef long long i64;
typedef unsigned long long u64;
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
struct f16 { unsigned short bits; };
struct bf16 { unsigned short bits; };
__device__ __forceinline__ float get(float x) { return x; }
__device__ __forceinline__ double get(double x) { return x; }
__device__ __forceinline__ float get(f16 x) {
    float f; asm("{ cvt.f32.f16 %0, %1; }" : "=f"(f) : "h"(x.bits)); return f;
}
__device__ __forceinline__ float get(bf16 x) { return __uint_as_float((unsigned int)x.bits << 16); }
__device__ __forceinline__ void put(float& p, float x) { p = x; }
__device__ __forceinline__ void put(double& p, double x) { p = x; }
__device__ __forceinline__ void put(f16& p, float x) {
    asm("{ cvt.rn.f16.f32 %0, %1; }" : "=h"(p.bits) : "f"(x));
}
__device__ __forceinline__ void put(bf16& p, float x) {
    unsigned int u = __float_as_uint(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) p.bits = (unsigned short)((u >> 16) | 64);
    else p.bits = (unsigned short)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
template <typename T, int N> struct __align__(sizeof(T) * N) Pack { T v[N]; };

// sums over a warp and over a block of whole warps; every thread gets the result
template <typename R> __device__ __forceinline__ R warp_sum(R x) {
    #pragma unroll
    for (int s = 16; s; s >>= 1) x += __shfl_xor_sync(0xffffffffu, x, s);
    return x;
}
template <typename R> __device__ __forceinline__ R warp_max(R x) {
    #pragma unroll
    for (int s = 16; s; s >>= 1) { R y = __shfl_xor_sync(0xffffffffu, x, s); x = y > x || y != y ? y : x; }
    return x;
}
template <typename R> __device__ R block_sum(R x) {
    __shared__ R part[32];
    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    return warp_sum(threadIdx.x % 32 < blockDim.x / 32 ? part[threadIdx.x % 32] : (R)0);
}
template <typename R> __device__ R block_max(R x) {
    __shared__ R part[32];
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    return warp_max(part[threadIdx.x % 32 < blockDim.x / 32 ? threadIdx.x % 32 : 0]);
}
"""


@functools.cache
def kernel(xp, name: str, text: str, define: str = "", **types: str):
    """The kernel ``name`` of a text, compiled once per choice of types: ``T="bfloat16"`` makes T that stored type.

    R is the type that the first of them is computed in; ``define`` is a line that comes before the text.
    """
    lines = [_HEAD]
    for i, (letter, dtype) in enumerate(types.items()):
        stored, computed = TYPES[dtype]
        if i == 0:
            lines.append(f"typedef {computed} R;")
        lines.append(f"typedef {stored} {letter};")
    return xp.RawKernel("\n".join([*lines, define, text]), name, options=("--std=c++17",))


_NAMES: dict[np.dtype, str] = {}


def name(dtype: np.dtype) -> str:
    """``dtype.name``, which NumPy puts together anew each time."""
    found = _NAMES.get(dtype)
    if found is None:
        found = _NAMES[dtype] = dtype.name
    return found


def known(*arrays) -> bool:
    """Whether all are of floating types that the kernels read."""
    return all(x is None or name(x.dtype) in TYPES for x in arrays)


def threads(count: int) -> int:
    """How many threads look at a row of ``count`` elements: whole warps, at least one, at most 1024."""
    return min(1024, max(32, 1 << max(0, (count + 3) // 4 - 1).bit_length()))


@functools.lru_cache(4096)
def last_strides(shape: tuple, itemsize: int) -> tuple[tuple, int]:
    """(the strides in bytes of an (N, C, *spatial) array with channels last, its size in bytes)."""
    strides, step = [0] * len(shape), itemsize
    for axis in (1, *range(len(shape) - 1, 1, -1), 0):
        strides[axis] = step
        step *= shape[axis]
    return tuple(strides), step


@functools.lru_cache(4096)
def lies_last(shape: tuple, strides: tuple, itemsize: int) -> bool:
    """Whether an (N, C, *spatial) array lies without gaps with channels last in memory."""
    if 0 in shape:
        return True
    wanted, _ = last_strides(shape, itemsize)
    return all(n == 1 or a == b for n, a, b in zip(shape, strides, wanted, strict=True))


def channels_last(xp, shape: tuple, dtype):
    """An empty (N, C, *spatial) array whose channels are neighbours in memory."""
    dtype = np.dtype(dtype)
    strides, size = last_strides(tuple(shape), dtype.itemsize)
    return xp.ndarray(shape, dtype, xp.cuda.alloc(size), strides)


def dense(x) -> bool:
    """Whether the elements lie in memory without gaps, in whatever order of axes."""
    return _dense(x.shape, x.strides, x.itemsize)


@functools.lru_cache(4096)
def _dense(shape: tuple, strides: tuple, itemsize: int) -> bool:
    if 0 in shape:
        return True
    expected = itemsize
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True
