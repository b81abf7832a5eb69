"""Batch normalisation and 2-d max pooling, in both layouts of images, without reordering them.

float16 and bfloat16 images go with float32 weights and statistics, as autocast gives them: sums are taken in float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlkit.backends.cupy import library, source
from mlkit.backends.cupy.launch import Launch, Pieces

# A block looks at V neighbouring channels per thread (blockDim.x of them) and walks down its share of the rows, for
# channels last; or at the planes of one channel. Either writes two partial sums per channel: parts[part][which][channel];
# the last of those that look at the same channels adds them up.
_KERNELS = r"""
#define THREADS 512
#ifndef H
#define H 0
#define J i64
#endif
template <typename A> __device__ __forceinline__ void fold(A& a, A& b, A* room) {  // over threadIdx.y; result in y = 0
    const int place = threadIdx.y * blockDim.x + threadIdx.x, all = blockDim.x * blockDim.y;
    room[place] = a; room[all + place] = b;
    __syncthreads();
    for (int half = blockDim.y / 2; half; half /= 2) {
        if (threadIdx.y < half) {
            a += room[place + half * blockDim.x]; b += room[all + place + half * blockDim.x];
            room[place] = a; room[all + place] = b;
        }
        __syncthreads();
    }
}
// Whether this block is the last of a column to have written its part: it adds up all of them then. The count is 0 again
// when the launch has ended.
__device__ __forceinline__ bool last(unsigned int* counts) {
    __shared__ bool found;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0) found = atomicInc(counts + blockIdx.x, gridDim.y - 1) == gridDim.y - 1;
    __syncthreads();
    __threadfence();
    return found;
}
// the sums of N neighbouring channels' parts, as far as this thread takes them: several loads are on their way at a time,
// since no other block is there to hide how long they take
template <int N, typename A> __device__ __forceinline__ void add_parts(
    const R* parts, i64 c, i64 channels, int from, int step, A* first, A* second
) {
    #pragma unroll
    for (int k = 0; k < N; k++) first[k] = second[k] = 0;
    if (c < channels) {
        #pragma unroll 8
        for (int n = from; n < gridDim.y; n += step) {
            const Pack<R, N> p = *(const Pack<R, N>*)(parts + 2 * n * channels + c);
            const Pack<R, N> q = *(const Pack<R, N>*)(parts + (2 * n + 1) * channels + c);
            #pragma unroll
            for (int k = 0; k < N; k++) { first[k] += p.v[k]; second[k] += q.v[k]; }
        }
    }
}
// shift is the value that was taken off before summing
__device__ __forceinline__ void statistics(
    double first, double second, R shift, double total, double eps, R* mean, R* var, R* inverse
) {
    first /= total; second /= total;
    double v = second - first * first;
    v = v > 0 || v != v ? v : 0;
    *mean = (R)(first + shift); *var = (R)v; *inverse = (R)(1 / sqrt(v + eps));
}
extern "C" __global__ void moments_last(
    const T* x, R* parts, unsigned int* counts, R* mean, R* var, R* inverse, i64 rows, i64 channels, i64 share,
    double total, double eps
) {
    __shared__ R room[2 * THREADS];
    __shared__ double wide[2 * THREADS];
    const i64 c = (blockIdx.x * (i64)blockDim.x + threadIdx.x) * V;
    const i64 stop = min((blockIdx.y + 1) * share, rows);
    R first[V] = {}, second[V] = {}, shift[V] = {};
    if (c < channels) {
        #pragma unroll
        for (int k = 0; k < V; k++) shift[k] = get(x[c + k]);
        for (i64 r = blockIdx.y * share + threadIdx.y; r < stop; r += blockDim.y) {
            const Pack<T, V> p = *(const Pack<T, V>*)(x + r * channels + c);
            #pragma unroll
            for (int k = 0; k < V; k++) { const R v = get(p.v[k]) - shift[k]; first[k] += v; second[k] += v * v; }
        }
    }
    #pragma unroll
    for (int k = 0; k < V; k++) {
        fold(first[k], second[k], room);
        if (threadIdx.y == 0 && c < channels) {
            parts[2 * blockIdx.y * channels + c + k] = first[k];
            parts[(2 * blockIdx.y + 1) * channels + c + k] = second[k];
        }
    }
    if (!last(counts)) return;
    double a[V], b[V];
    add_parts<V>(parts, c, channels, threadIdx.y, blockDim.y, a, b);
    #pragma unroll
    for (int k = 0; k < V; k++) {
        fold(a[k], b[k], wide);
        if (threadIdx.y == 0 && c < channels)
            statistics(a[k], b[k], shift[k], total, eps, mean + c + k, var + c + k, inverse + c + k);
    }
}
extern "C" __global__ void sums_last(
    const T* g, const T* x, const R* mean, const R* inverse, R* parts, unsigned int* counts, R* sums, W* bias, W* weight,
    i64 rows, i64 channels, i64 share
) {
    __shared__ R room[2 * THREADS];
    const i64 c = (blockIdx.x * (i64)blockDim.x + threadIdx.x) * V;
    const i64 stop = min((blockIdx.y + 1) * share, rows);
    R first[V] = {}, second[V] = {}, near[V] = {};
    if (c < channels) {
        #pragma unroll
        for (int k = 0; k < V; k++) near[k] = mean[c + k];
        for (i64 r = blockIdx.y * share + threadIdx.y; r < stop; r += blockDim.y) {
            const Pack<T, V> p = *(const Pack<T, V>*)(g + r * channels + c), q = *(const Pack<T, V>*)(x + r * channels + c);
            #pragma unroll
            for (int k = 0; k < V; k++) { const R v = get(p.v[k]); first[k] += v; second[k] += v * (get(q.v[k]) - near[k]); }
        }
    }
    #pragma unroll
    for (int k = 0; k < V; k++) {
        fold(first[k], second[k], room);
        if (threadIdx.y == 0 && c < channels) {
            parts[2 * blockIdx.y * channels + c + k] = first[k];
            parts[(2 * blockIdx.y + 1) * channels + c + k] = second[k] * inverse[c + k];
        }
    }
    if (!last(counts)) return;
    add_parts<V>(parts, c, channels, threadIdx.y, blockDim.y, first, second);
    #pragma unroll
    for (int k = 0; k < V; k++) {
        fold(first[k], second[k], room);
        if (threadIdx.y == 0 && c < channels) {
            sums[c + k] = first[k]; sums[channels + c + k] = second[k];
            put(bias[c + k], first[k]); put(weight[c + k], second[k]);
        }
    }
}
extern "C" __global__ void moments_planes(
    const T* x, R* parts, unsigned int* counts, R* mean, R* var, R* inverse, i64 images, i64 channels, i64 size, i64 share,
    double total, double eps
) {
    const i64 c = blockIdx.x, stop = min((blockIdx.y + 1) * share, images);
    const R shift = get(x[c * size]);
    R first = 0, second = 0;
    for (i64 n = blockIdx.y * share; n < stop; n++) {
        const T* plane = x + (n * channels + c) * size;
        for (i64 i = threadIdx.x; i < size; i += blockDim.x) { const R v = get(plane[i]) - shift; first += v; second += v * v; }
    }
    first = block_sum(first); second = block_sum(second);
    if (!threadIdx.x) { parts[2 * blockIdx.y * channels + c] = first; parts[(2 * blockIdx.y + 1) * channels + c] = second; }
    if (!last(counts)) return;
    double a, b;
    add_parts<1>(parts, c, channels, threadIdx.x, blockDim.x, &a, &b);
    a = block_sum(a); b = block_sum(b);
    if (!threadIdx.x) statistics(a, b, shift, total, eps, mean + c, var + c, inverse + c);
}
extern "C" __global__ void sums_planes(
    const T* g, const T* x, const R* mean, const R* inverse, R* parts, unsigned int* counts, R* sums, W* bias, W* weight,
    i64 images, i64 channels, i64 size, i64 share
) {
    const i64 c = blockIdx.x, stop = min((blockIdx.y + 1) * share, images);
    const R near = mean[c];
    R first = 0, second = 0;
    for (i64 n = blockIdx.y * share; n < stop; n++) {
        const i64 at = (n * channels + c) * size;
        for (i64 i = threadIdx.x; i < size; i += blockDim.x) {
            const R v = get(g[at + i]); first += v; second += v * (get(x[at + i]) - near);
        }
    }
    first = block_sum(first); second = block_sum(second) * inverse[c];
    if (!threadIdx.x) { parts[2 * blockIdx.y * channels + c] = first; parts[(2 * blockIdx.y + 1) * channels + c] = second; }
    if (!last(counts)) return;
    add_parts<1>(parts, c, channels, threadIdx.x, blockDim.x, &first, &second);
    first = block_sum(first); second = block_sum(second);
    if (!threadIdx.x) {
        sums[c] = first; sums[channels + c] = second;
        put(bias[c], first); put(weight[c], second);
    }
}
// element i of the memory belongs to channel i % channels, or to (i / size) % channels. H says how a thread knows its
// channels: 1, V neighbours that stay the same on its whole way; 2, one per V elements; 0, anew for each element.
#define CHANNEL(i) (plane ? (i) / plane % wide : (i) % wide)
#define WALK(READ) \
    const J wide = channels, plane = size, count = n, step = (J)gridDim.x * blockDim.x * V; \
    J i = (blockIdx.x * (J)blockDim.x + threadIdx.x) * V; \
    if (H == 1 && i < count) { const J c0 = i % wide; _Pragma("unroll") for (int k = 0; k < V; k++) { const J c = c0 + k; READ } } \
    for (; i < count; i += step)
#define ANEW(READ) \
    if (H == 2) { const int k = 0; const J c = CHANNEL(i); READ } \
    if (H == 0) { _Pragma("unroll") for (int k = 0; k < V; k++) { const J c = CHANNEL(i + k); READ } }
extern "C" __global__ void normalize(
    const T* x, const R* mean, const R* inverse, const W* w, const W* b, T* y, i64 n, i64 channels, i64 size
) {
    R near[V], scale[V], base[V];
    #define READ near[k] = mean[c]; scale[k] = inverse[c] * (w ? get(w[c]) : (R)1); base[k] = b ? get(b[c]) : (R)0;
    WALK(READ) {
        ANEW(READ)
        const Pack<T, V> p = *(const Pack<T, V>*)(x + i);
        Pack<T, V> r;
        #pragma unroll
        for (int k = 0; k < V; k++) { const int j = H == 2 ? 0 : k; put(r.v[k], (get(p.v[k]) - near[j]) * scale[j] + base[j]); }
        *(Pack<T, V>*)(y + i) = r;
    }
    #undef READ
}
extern "C" __global__ void gradient(
    const T* g, const T* x, const R* mean, const R* inverse, const W* w, const R* sums, T* out, i64 n, i64 channels,
    i64 size, R share
) {
    R near[V], scale[V], slope[V], base[V];
    #define READ near[k] = mean[c]; scale[k] = inverse[c] * (w ? get(w[c]) : (R)1); base[k] = sums[c] * share; \
        slope[k] = inverse[c] * sums[channels + c] * share;
    WALK(READ) {
        ANEW(READ)
        const Pack<T, V> p = *(const Pack<T, V>*)(g + i), q = *(const Pack<T, V>*)(x + i);
        Pack<T, V> r;
        #pragma unroll
        for (int k = 0; k < V; k++) {
            const int j = H == 2 ? 0 : k;
            put(r.v[k], scale[j] * (get(p.v[k]) - base[j] - (get(q.v[k]) - near[j]) * slope[j]));
        }
        *(Pack<T, V>*)(out + i) = r;
    }
    #undef READ
}
extern "C" __global__ void move(
    W* mean, W* var, const R* fresh, const R* spread, i64* batches, i64 channels, double momentum, double wider
) {
    const i64 c = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (batches && !c) *batches += 1;
    if (c >= channels) return;
    put(mean[c], get(mean[c]) * (R)(1 - momentum) + (R)momentum * fresh[c]);
    put(var[c], get(var[c]) * (R)(1 - momentum) + (R)(momentum * wider) * spread[c]);
}
"""

_POOL = r"""
struct Pool {
    i64 n, channels, height, width, out_height, out_width;
    int kh, kw, sh, sw, ph, pw, dh, dw, last;
};
// J is the type that places are computed in: int where all fit
__device__ __forceinline__ J place(const Pool& s, J n, J c, J h, J w, J height, J width) {
    const J channels = s.channels;
    return s.last ? ((n * height + h) * width + w) * channels + c : ((n * channels + c) * height + h) * width + w;
}
__device__ __forceinline__ void split(const Pool& s, J i, J height, J width, J& n, J& c, J& h, J& w) {
    const J channels = s.channels;
    if (s.last) { c = i % channels; i /= channels; w = i % width; i /= width; h = i % height; n = i / height; }
    else { w = i % width; i /= width; h = i % height; i /= height; c = i % channels; n = i / channels; }
}
extern "C" __global__ void max_pool(const T* x, T* y, i64* found, const Pool s) {
    const i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i >= s.n * s.channels * s.out_height * s.out_width) return;
    J n, c, oh, ow;
    split(s, i, s.out_height, s.out_width, n, c, oh, ow);
    R best = -INFINITY;
    T kept; J at = -1;
    for (int a = 0; a < s.kh; a++) {
        const J h = oh * s.sh - s.ph + a * s.dh;
        if (h < 0 || h >= s.height) continue;
        for (int b = 0; b < s.kw; b++) {
            const J w = ow * s.sw - s.pw + b * s.dw;
            if (w < 0 || w >= s.width) continue;
            const T stored = x[place(s, n, c, h, w, s.height, s.width)];
            const R v = get(stored);
            if (at < 0 || v > best || v != v) { best = v; kept = stored; at = h * s.width + w; }
        }
    }
    y[i] = kept; found[i] = at;
}
extern "C" __global__ void max_pool_gradient(const T* g, const i64* found, T* out, const Pool s) {
    const i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i >= s.n * s.channels * s.height * s.width) return;
    J n, c, h, w;
    split(s, i, s.height, s.width, n, c, h, w);
    const J own = h * s.width + w;
    R sum = 0;
    // the windows that reach this place: from the first that ends at or behind it to the last that begins at or before
    const J far = h + s.ph - (s.kh - 1) * s.dh, wide = w + s.pw - (s.kw - 1) * s.dw;
    const J top = far <= 0 ? 0 : (far + s.sh - 1) / s.sh, left = wide <= 0 ? 0 : (wide + s.sw - 1) / s.sw;
    const J bottom = min((J)s.out_height - 1, (h + s.ph) / s.sh), right = min((J)s.out_width - 1, (w + s.pw) / s.sw);
    for (J oh = top; oh <= bottom; oh++) for (J ow = left; ow <= right; ow++) {
        const J at = place(s, n, c, oh, ow, s.out_height, s.out_width);
        if (found[at] == own) sum += get(g[at]);
    }
    put(out[i], sum);
}
"""

#: layouts of images that are remembered
KEPT = 1024
#: threads of a block that sums with channels last (a power of two, the kernels' own number), and how many blocks: enough
#: to ask for all that the memory gives, few enough that the last has soon added up what they found
THREADS, BLOCKS = 512, 264

_POOL_TYPE = np.dtype([("sizes", np.int64, 6), ("how", np.int32, 9), ("pad", np.int32)])


class Layout:
    """An image's memory: whether channels are last, the channels, and the elements of a plane; and the launches that
    were worked out for it."""

    def __init__(self, x) -> None:
        self.shape, self.channels = x.shape, x.shape[1]
        seen = x.transpose(0, *range(2, x.ndim), 1)
        self.last = x.ndim == 2 or seen.flags.c_contiguous and not (x.flags.c_contiguous and x.shape[1] == 1)
        self.size = 0 if self.last else math.prod(x.shape[2:])
        self.rows = x.size // self.channels if self.last else x.shape[0]
        self.strides = x.strides if seen.flags.c_contiguous or x.flags.c_contiguous else None
        self.launches: dict[tuple, tuple] = {}

    def of(self, xp, x):
        """x, or a copy, in this layout."""
        if x.strides == self.strides and x.shape == self.shape:
            return x
        seen = x.transpose(0, *range(2, x.ndim), 1) if self.last and x.ndim > 2 else x
        if seen.flags.c_contiguous:
            return x
        out = self.empty(xp, x.dtype)
        out[...] = x
        return out

    def empty(self, xp, dtype):
        if self.last and len(self.shape) > 2:
            strides, size = source.last_strides(self.shape, dtype.itemsize)
            return xp.ndarray(self.shape, dtype, xp.cuda.alloc(size), strides)
        return xp.empty(self.shape, dtype)


def _aligned(images: tuple) -> bool:
    """Whether all begin where packs of 16 bytes do."""
    places = 0
    for x in images:
        places |= x.data.ptr
    return places % 16 == 0


def _computed(x) -> np.dtype:
    """What sums over x are taken in."""
    return np.dtype(np.float64 if x.dtype.itemsize == 8 else np.float32)


class Channels:
    """The kernels of one backend; every method gives None where its kernel does not fit."""

    def __init__(self, xp) -> None:
        self.xp = xp
        self.layouts: dict[tuple, Layout] = {}
        self.fits: dict[tuple, bool] = {}
        self.counts: dict[tuple, Any] = {}  # zeros, by GPU and stream
        self.moves: dict[tuple, Launch | None] = {}  # how statistics that lie so are moved

    def _layout(self, x) -> Layout:
        key = x.shape, x.strides, x.itemsize
        found = self.layouts.get(key)
        if found is None:
            if len(self.layouts) >= KEPT:
                self.layouts.clear()
            found = self.layouts[key] = Layout(x)
        return found

    def _kernel(self, name: str, x, weight, wide: int, more: str = ""):
        return source.kernel(
            self.xp, name, _KERNELS, f"#define V {wide}\n{more}", T=source.name(x.dtype), W=source.name(weight.dtype)
        )

    def _sums(self, name: str, x, layout: Layout, weight, aligned: bool, arrays: str, *rest) -> tuple[Launch, int, int]:
        """(the launch that takes two sums over each channel, in parts that its last blocks add up, the bytes of the
        parts, how many counts of blocks it needs)."""
        channels = layout.channels
        numbers: tuple
        block: tuple
        if layout.last:
            wide = 4 if aligned and channels % 4 == 0 else 1
            across = min(32, 1 << (channels // wide - 1).bit_length()) if channels > wide else 1
            blocks = -(-channels // (wide * across))
            count = max(1, min(-(-layout.rows // 64), BLOCKS // blocks))
            share = -(-layout.rows // count)
            count = -(-layout.rows // share)
            numbers = layout.rows, channels, share
            run, grid, block = (
                self._kernel(f"{name}_last", x, weight, wide),
                (blocks, count),
                (across, THREADS // across),
            )
        else:
            count = max(1, min(layout.rows, 1024 // channels))
            share = -(-layout.rows // count)
            count = -(-layout.rows // share)
            numbers = layout.rows, channels, layout.size, share
            run, grid, block = self._kernel(f"{name}_planes", x, weight, 1), (channels, count), (256,)
        launch = Launch(self.xp, run, grid, block, arrays, *map(np.int64, numbers), *rest)
        return launch, 2 * count * channels * _computed(x).itemsize, grid[0]

    def _counts(self, size: int) -> int:
        """Where ``size`` zeros lie that a launch on the stream in use may count with, if it leaves zeros behind."""
        xp = self.xp
        if library.is_capturing():  # a graph counts by itself: it may run beside what is on any stream
            return xp.asarray(np.zeros(size, np.uint32)).data.ptr
        key = xp.cuda.runtime.getDevice(), xp.cuda.get_current_stream().ptr
        found = self.counts.get(key)
        if found is None or found.size < size:
            with xp.cuda.using_allocator(xp.get_default_memory_pool().malloc):
                found = self.counts[key] = xp.zeros(max(size, 4096), np.uint32)
        return found.data.ptr

    def _each(self, name: str, x, layout: Layout, weight, aligned: bool, arrays: str, *rest) -> Launch:
        """The launch of a kernel over all elements."""
        wide = 16 // x.itemsize if aligned and x.size % (16 // x.itemsize) == 0 else 1
        blocks = min(2048, -(-x.size // (256 * wide)))
        how, step = 0, 256 * wide * blocks
        if layout.size:
            how = 2 if layout.size % wide == 0 else 0
        elif layout.channels % wide == 0 and (step % layout.channels == 0 or step >= x.size):
            how = 1
        place = "int" if x.size + step < 1 << 31 else "i64"
        numbers = map(np.int64, (x.size, layout.channels, layout.size))
        run = self._kernel(name, x, weight, wide, f"#define H {how}\n#define J {place}")
        return Launch(self.xp, run, (blocks,), (256,), arrays, *numbers, *rest)

    def _fits(self, x, *vectors) -> bool:
        key = (x.shape, x.dtype, *[None if v is None else (v.shape, v.dtype) for v in vectors])
        found = self.fits.get(key)
        if found is None:
            found = self.fits[key] = self._fit(x, *vectors)
        return found

    @staticmethod
    def _fit(x, *vectors) -> bool:
        found = [v for v in vectors if v is not None]
        return (
            x.ndim > 1
            and x.size > x.shape[1] > 0
            and source.known(x, *found)
            and all(v.shape == (x.shape[1],) and v.dtype == found[0].dtype for v in found)
            and (not found or (found[0].dtype.itemsize == 8) == (x.dtype.itemsize == 8))
        )

    def batch_norm(self, x, weight, bias, eps: float):
        """(output, mean, biased variance, 1 / std); the statistics in float32 (float64 for float64)."""
        if not self._fits(x, weight, bias):
            return None
        xp, layout = self.xp, self._layout(x)
        x = layout.of(xp, x)
        weight, bias = (v if v is None or v.flags.c_contiguous else v.copy() for v in (weight, bias))
        given = weight if weight is not None else bias if bias is not None else x
        images = x.data.ptr
        key = "forward", x.dtype, given.dtype, eps, images % 16
        plan = layout.launches.get(key)
        if plan is None:
            plan = layout.launches[key] = self._forward_plan(x, layout, given, eps)
        sums, size, counts, pieces, each = plan
        parts = xp.cuda.alloc(size)
        at, found = pieces.arrays(xp)
        mean, var, inverse = [at + k for k in pieces.at]
        out = layout.empty(xp, x.dtype)
        sums(images, parts.ptr, self._counts(counts), mean, var, inverse)
        vectors = [0 if v is None else v.data.ptr for v in (weight, bias)]
        each(images, mean, inverse, *vectors, out.data.ptr)
        return out, *found

    def _forward_plan(self, x, layout: Layout, weight, eps: float) -> tuple:
        """(the launch that takes the statistics, the bytes and counts it needs, the statistics, the output's launch)."""
        channels, aligned = layout.channels, _aligned((x,))
        numbers = np.float64(x.size // channels), np.float64(eps)
        sums = self._sums("moments", x, layout, weight, aligned, "PPPPPP", *numbers)
        each = self._each("normalize", x, layout, weight, aligned, "PPPPPP")
        return *sums, Pieces(*[((channels,), _computed(x))] * 3), each

    def batch_norm_gradient(self, g, x, weight, mean, inverse, needs):
        if not self._fits(x, weight) or g.dtype != x.dtype:
            return None
        computed = _computed(x)
        if mean.dtype != computed or inverse.dtype != computed:
            return None
        xp, layout = self.xp, self._layout(x)
        x, g = layout.of(xp, x), layout.of(xp, g)
        given = x if weight is None else weight if weight.flags.c_contiguous else weight.copy()
        images = g.data.ptr, x.data.ptr, mean.data.ptr, inverse.data.ptr
        key = "backward", x.dtype, given.dtype, (images[0] | images[1]) % 16
        plan = layout.launches.get(key)
        if plan is None:
            plan = layout.launches[key] = self._backward_plan(g, x, layout, given)
        sums, size, counts, pieces, each = plan
        parts = xp.cuda.alloc(size)
        at, (_, *made) = pieces.arrays(xp)
        slopes = [at + k for k in pieces.at]
        sums(*images, parts.ptr, self._counts(counts), *slopes)
        out = None
        if needs[0]:
            out = layout.empty(xp, x.dtype)
            each(*images, 0 if weight is None else given.data.ptr, slopes[0], out.data.ptr)
        return out, made[1] if needs[1] else None, made[0] if needs[2] else None

    def _backward_plan(self, g, x, layout: Layout, weight) -> tuple:
        """(the launch that takes the sums, the bytes and counts it needs, the sums and the slopes of bias and weight, the
        launch of the input's gradient)."""
        computed, channels, aligned = _computed(x), layout.channels, _aligned((g, x))
        sums = self._sums("sums", x, layout, weight, aligned, "PPPPPPPPP")
        each = self._each("gradient", x, layout, weight, aligned, "PPPPPPP", computed.type(channels / x.size))
        return *sums, Pieces(((2, channels), computed), *[((channels,), weight.dtype)] * 2), each

    def move(self, mean, var, fresh, spread, momentum: float, wider: float, batches=None) -> bool:
        """Running statistics moved towards a batch's, and ``batches`` (0-d int64) one further, in one launch; False
        where it does not fit."""
        vectors = mean, var, fresh, spread
        key = tuple([(v.shape, v.strides, v.dtype) for v in vectors])
        try:
            launch = self.moves[key]
        except KeyError:
            launch = self.moves[key] = self._move_launch(*vectors)
        if launch is None:
            return False
        count = 0 if batches is None else batches.data.ptr
        launch(*[v.data.ptr for v in vectors], count, mean.size, momentum, wider)
        return True

    def _move_launch(self, mean, var, fresh, spread) -> Launch | None:
        computed = _computed(mean)
        if not source.known(mean, var) or mean.dtype != var.dtype or not fresh.dtype == spread.dtype == computed:
            return None
        if not mean.size or not all(v.flags.c_contiguous and v.shape == mean.shape for v in (mean, var, fresh, spread)):
            return None
        run = self._kernel("move", mean, mean, 1)
        return Launch(self.xp, run, (-(-mean.size // 128),), (128,), "PPPPPqdd")

    # --- pooling ------------------------------------------------------------------------------------------------------------

    def _pool(self, shape, sizes, kernel, stride, padding, dilation, last: bool):
        row = np.zeros(1, _POOL_TYPE)
        row["sizes"][0] = (*shape, *sizes)
        row["how"][0] = (*kernel, *stride, *padding, *dilation, int(last))
        return row[0]

    def _pool_kernel(self, name: str, x, largest: int):
        place = "int" if largest + 256 < 1 << 31 else "long long"
        return source.kernel(self.xp, name, _POOL, f"typedef {place} J;", T=source.name(x.dtype))

    def max_pool(self, x, kernel, stride, padding, dilation, sizes):
        """(largest values, their flat places) of 2-d windows."""
        if x.ndim != 4 or not source.known(x) or not x.size or min(sizes) < 1:
            return None
        xp, layout = self.xp, self._layout(x)
        x, shape = layout.of(xp, x), (*x.shape[:2], *sizes)
        if layout.last:
            out, places = (source.channels_last(xp, shape, d) for d in (x.dtype, np.int64))
        else:
            out, places = xp.empty(shape, x.dtype), xp.empty(shape, np.int64)
        how = self._pool(x.shape, sizes, kernel, stride, padding, dilation, layout.last)
        run = self._pool_kernel("max_pool", x, max(x.size, out.size))
        run((-(-out.size // 256),), (256,), (x, out, places, how))
        return out, places

    def max_pool_gradient(self, g, places, shape, kernel, stride, padding, dilation):
        if len(shape) != 4 or not source.known(g) or not g.size or not math.prod(shape):
            return None
        xp, layout = self.xp, self._layout(places)
        places, g = layout.of(xp, places), layout.of(xp, g)
        out = source.channels_last(xp, tuple(shape), g.dtype) if layout.last else xp.empty(shape, g.dtype)
        how = self._pool(shape, g.shape[2:], kernel, stride, padding, dilation, layout.last)
        run = self._pool_kernel("max_pool_gradient", g, max(g.size, out.size))
        run((-(-out.size // 256),), (256,), (g, places, out, how))
        return out


def install(reader, kernels: dict, gradients: dict, functions: dict) -> None:
    """Put the kernels in front of the reader's own functions."""
    channels = Channels(reader.xp)
    plain, plain_pool = reader.batch_norm_train_, reader.max_pool_

    def batch_norm_train_(x, weight, bias, eps):
        out = channels.batch_norm(x, weight, bias, eps)
        return plain(x, weight, bias, eps) if out is None else out

    def gradient(rule, m, g, x, weight, out, needs, eps):
        if g[0] is not None and all(part is None for part in g[1:]):
            found = channels.batch_norm_gradient(g[0], x, weight, out[1], out[3], needs)
            if found is not None:
                return found
        return rule(m, g, x, weight, out, needs, eps)

    def max_pool_(x, kernel, stride, padding, dilation, sizes):
        out = channels.max_pool(x, kernel, stride, padding, dilation, sizes)
        return plain_pool(x, kernel, stride, padding, dilation, sizes) if out is None else out

    def pool_gradient(rule, m, g, out, shape, kernel_size, stride, padding, dilation):
        found = None
        if g[0] is not None:
            found = channels.max_pool_gradient(g[0], out[1], shape, kernel_size, stride, padding, dilation)
        return rule(m, g, out, shape, kernel_size, stride, padding, dilation) if found is None else found

    reader.batch_norm_train_, reader.max_pool_ = batch_norm_train_, max_pool_
    gradients["batch_norm_train", None] = gradient
    gradients["max_pool2d", None] = pool_gradient
    functions["move_statistics"] = channels.move
