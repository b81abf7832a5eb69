"""Softmax, cross-entropy, layer and root-mean-square norm, sums and embeddings: one block of threads to a row.

float16 and bfloat16 rows are read and written as they are and computed in float32. What a kernel does not fit (another
dim, integers, complex numbers) runs on CuPy's functions.
"""

from __future__ import annotations

import math

import numpy as np

from mlkit.backends.cupy import flags, philox, source
from mlkit.backends.cupy.launch import Launch
from mlkit.backends.portable.reader import PlaceError
from mlkit.core.errors import LabelError
from mlkit.functional.settings import are_deterministic_algorithms_enabled

_SOFTMAX = r"""
template <bool LOG> __device__ void forward(const T* x, T* y, i64 n) {
    x += blockIdx.x * n; y += blockIdx.x * n;
    R top = -INFINITY;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) { R v = get(x[i]); top = v > top || v != v ? v : top; }
    top = block_max(top);
    R sum = 0;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) sum += exp(get(x[i]) - top);
    sum = block_sum(sum);
    if (LOG) { const R off = log(sum); for (i64 i = threadIdx.x; i < n; i += blockDim.x) put(y[i], get(x[i]) - top - off); }
    else { const R scale = 1 / sum; for (i64 i = threadIdx.x; i < n; i += blockDim.x) put(y[i], exp(get(x[i]) - top) * scale); }
}
extern "C" __global__ void softmax(const T* x, T* y, i64 n) { forward<false>(x, y, n); }
extern "C" __global__ void log_softmax(const T* x, T* y, i64 n) { forward<true>(x, y, n); }
extern "C" __global__ void softmax_gradient(const T* g, const T* y, T* out, i64 n) {
    g += blockIdx.x * n; y += blockIdx.x * n; out += blockIdx.x * n;
    R sum = 0;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) sum += get(g[i]) * get(y[i]);
    sum = block_sum(sum);
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) put(out[i], (get(g[i]) - sum) * get(y[i]));
}
extern "C" __global__ void log_softmax_gradient(const T* g, const T* y, T* out, i64 n) {
    g += blockIdx.x * n; y += blockIdx.x * n; out += blockIdx.x * n;
    R sum = 0;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) sum += get(g[i]);
    sum = block_sum(sum);
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) put(out[i], get(g[i]) - exp(get(y[i])) * sum);
}
"""

_ENTROPY = (
    flags.SOURCE
    + r"""
// the largest value of a row and the sum of exp(value - largest), in one pass
#define V (16 / (int)sizeof(T))
// how many elements come before the first that lies at a multiple of 16 bytes
__device__ __forceinline__ i64 before(const T* x, i64 n) { return min(n, (i64)((16 - (u64)x % 16) % 16 / sizeof(T))); }
__device__ __forceinline__ void look(const T* x, i64 n, R& top, R& sum) {
    R own = -INFINITY, part = 0;
    auto one = [&](R v) {
        if (v > own || v != v) { part = part * exp(own - v) + 1; own = v; }
        else if (v > -INFINITY) part += exp(v - own);
    };
    const i64 head = before(x, n), packs = (n - head) / V;
    for (i64 i = threadIdx.x; i < head; i += blockDim.x) one(get(x[i]));
    const Pack<T, V>* p = (const Pack<T, V>*)(x + head);
    for (i64 i = threadIdx.x; i < packs; i += blockDim.x) {
        const Pack<T, V> q = p[i];
        R v[V], high = own;
        #pragma unroll
        for (int k = 0; k < V; k++) { v[k] = get(q.v[k]); high = v[k] > high || v[k] != v[k] ? v[k] : high; }
        if (high > own || high != high) { part *= exp(own - high); own = high; }
        if (own > -INFINITY || own != own) {
            #pragma unroll
            for (int k = 0; k < V; k++) part += exp(v[k] - own);
        }
    }
    for (i64 i = head + packs * V + threadIdx.x; i < n; i += blockDim.x) one(get(x[i]));
    top = block_max(own);
    sum = block_sum(own == -INFINITY ? (R)0 : part * exp(own - top));
}
extern "C" __global__ void entropy(const T* x, const I* labels, W* out, i64 n, i64 ignored, i64* flag, i64 call) {
    const i64 label = labels[blockIdx.x];
    if (label == ignored) { if (!threadIdx.x) put(out[blockIdx.x], (R)0); return; }
    if (label < 0 || label >= n) {
        if (!threadIdx.x) { put(out[blockIdx.x], (R)NAN); report(flag, call, label, n); }
        return;
    }
    x += blockIdx.x * n;
    R top, sum;
    look(x, n, top, sum);
    if (!threadIdx.x) put(out[blockIdx.x], log(sum) - (get(x[label]) - top));
}
extern "C" __global__ void entropy_gradient(
    const W* g, const T* x, const I* labels, T* out, i64 n, i64 ignored, i64 step
) {
    const i64 label = labels[blockIdx.x];
    x += blockIdx.x * n; out += blockIdx.x * n;
    if (label == ignored || label < 0 || label >= n) {
        for (i64 i = threadIdx.x; i < n; i += blockDim.x) put(out[i], (R)0);
        return;
    }
    R top, sum;
    look(x, n, top, sum);
    const R own = get(g[blockIdx.x * step]), scale = own / sum;
    auto one = [&](i64 i, R v) { return exp(v - top) * scale - (i == label ? own : (R)0); };
    const i64 head = before(x, n), packs = before(out, n) == head ? (n - head) / V : 0;
    for (i64 i = threadIdx.x; i < head; i += blockDim.x) put(out[i], one(i, get(x[i])));
    const Pack<T, V>* p = (const Pack<T, V>*)(x + head);
    for (i64 i = threadIdx.x; i < packs; i += blockDim.x) {
        const Pack<T, V> q = p[i];
        Pack<T, V> r;
        #pragma unroll
        for (int k = 0; k < V; k++) put(r.v[k], one(head + i * V + k, get(q.v[k])));
        ((Pack<T, V>*)(out + head))[i] = r;
    }
    for (i64 i = head + packs * V + threadIdx.x; i < n; i += blockDim.x) put(out[i], one(i, get(x[i])));
}
"""
)

_NORMS = r"""
template <bool CENTRED> __device__ __forceinline__ void moments(const T* x, i64 n, R eps, R& mean, R& inverse) {
    mean = 0;
    if (CENTRED) {
        R sum = 0;
        for (i64 i = threadIdx.x; i < n; i += blockDim.x) sum += get(x[i]);
        mean = block_sum(sum) / n;
    }
    R squares = 0;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) { const R v = get(x[i]) - mean; squares += v * v; }
    inverse = 1 / sqrt(block_sum(squares) / n + eps);
}
template <bool CENTRED> __device__ void forward(const T* x, const W* w, const W* b, T* y, i64 n, R eps) {
    x += blockIdx.x * n; y += blockIdx.x * n;
    R mean, inverse;
    moments<CENTRED>(x, n, eps, mean, inverse);
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) {
        R v = (get(x[i]) - mean) * inverse;
        if (w) v *= get(w[i]);
        if (b) v += get(b[i]);
        put(y[i], v);
    }
}
template <bool CENTRED> __device__ void backward(
    const T* g, const T* x, const W* w, T* out, R* means, R* inverses, i64 n, R eps
) {
    g += blockIdx.x * n; x += blockIdx.x * n;
    R mean, inverse;
    moments<CENTRED>(x, n, eps, mean, inverse);
    if (!threadIdx.x) { means[blockIdx.x] = mean; inverses[blockIdx.x] = inverse; }
    if (!out) return;
    out += blockIdx.x * n;
    R plain = 0, along = 0;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) {
        const R v = get(g[i]) * (w ? get(w[i]) : (R)1);
        plain += v; along += v * (get(x[i]) - mean) * inverse;
    }
    plain = CENTRED ? block_sum(plain) / n : (R)0;
    along = block_sum(along) / n;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) {
        const R v = get(g[i]) * (w ? get(w[i]) : (R)1);
        put(out[i], inverse * (v - plain - (get(x[i]) - mean) * inverse * along));
    }
}
extern "C" __global__ void layer(const T* x, const W* w, const W* b, T* y, i64 n, double eps) {
    forward<true>(x, w, b, y, n, (R)eps);
}
extern "C" __global__ void rms(const T* x, const W* w, const W* b, T* y, i64 n, double eps) {
    forward<false>(x, w, b, y, n, (R)eps);
}
extern "C" __global__ void layer_gradient(
    const T* g, const T* x, const W* w, T* out, R* means, R* inverses, i64 n, double eps
) { backward<true>(g, x, w, out, means, inverses, n, (R)eps); }
extern "C" __global__ void rms_gradient(
    const T* g, const T* x, const W* w, T* out, R* means, R* inverses, i64 n, double eps
) { backward<false>(g, x, w, out, means, inverses, n, (R)eps); }
"""

# Rows of N elements that fit into the registers of WIDE threads, V neighbours at a time: each is read once. Backward walks
# down the rows with a fixed number of blocks; each adds up its share of the gradients of weight and bias.
_SHORT_NORMS = r"""
#define K ((N + WIDE * V - 1) / (WIDE * V))
#define EACH _Pragma("unroll") for (int k = 0; k < K; k++) { const int i = (k * WIDE + lane) * V; if (i < N) {
#define VALUE _Pragma("unroll") for (int j = 0; j < V; j++)
__device__ __forceinline__ R across(R x) { return WIDE == 32 ? warp_sum(x) : block_sum(x); }
template <typename S> __device__ __forceinline__ void read(const S* from, int lane, R (&to)[K][V], R otherwise) {
    EACH const Pack<S, V> p = *(const Pack<S, V>*)(from + i); VALUE to[k][j] = get(p.v[j]); }
        else { VALUE to[k][j] = otherwise; } }
}
template <bool CENTRED> __device__ __forceinline__ void moments(const R (&x)[K][V], int lane, R eps, R& mean, R& inverse) {
    mean = 0;
    if (CENTRED) { R sum = 0; EACH VALUE sum += x[k][j]; } } mean = across(sum) / N; }
    R squares = 0;
    EACH VALUE { const R v = x[k][j] - mean; squares += v * v; } } }
    inverse = 1 / sqrt(across(squares) / N + eps);
}
template <bool CENTRED> __device__ void forward(const T* x, const W* w, const W* b, T* y, i64 rows, R eps) {
    const int lane = threadIdx.x % WIDE;
    const i64 row = blockIdx.x * (i64)(blockDim.x / WIDE) + threadIdx.x / WIDE;
    if (row >= rows) return;  // whole warps, or none
    R v[K][V], scale[K][V], base[K][V], mean, inverse;
    read(x + row * N, lane, v, (R)0);
    moments<CENTRED>(v, lane, eps, mean, inverse);
    if (w) read(w, lane, scale, (R)1);
    if (b) read(b, lane, base, (R)0);
    EACH
        Pack<T, V> r;
        VALUE { R z = (v[k][j] - mean) * inverse; if (w) z *= scale[k][j]; if (b) z += base[k][j]; put(r.v[j], z); }
        *(Pack<T, V>*)(y + row * N + i) = r;
    } }
}
template <bool CENTRED> __device__ void backward(
    const T* g, const T* x, const W* w, T* out, R* parts, i64 rows, R eps
) {
    const int lane = threadIdx.x % WIDE, own = threadIdx.x / WIDE, per = blockDim.x / WIDE;
    R scale[K][V], of_weight[K][V] = {}, of_bias[K][V] = {};
    if (w) read(w, lane, scale, (R)1);
    for (i64 row = blockIdx.x * (i64)per + own; row < rows; row += gridDim.x * (i64)per) {
        R v[K][V], d[K][V], mean, inverse, plain = 0, along = 0;
        read(x + row * N, lane, v, (R)0);
        read(g + row * N, lane, d, (R)0);
        moments<CENTRED>(v, lane, eps, mean, inverse);
        EACH VALUE {
            v[k][j] = (v[k][j] - mean) * inverse;
            of_weight[k][j] += d[k][j] * v[k][j]; of_bias[k][j] += d[k][j];
            if (w) d[k][j] *= scale[k][j];
            plain += d[k][j]; along += d[k][j] * v[k][j];
        } } }
        plain = CENTRED ? across(plain) / N : (R)0;
        along = across(along) / N;
        if (out) { EACH
            Pack<T, V> r;
            VALUE put(r.v[j], inverse * (d[k][j] - plain - v[k][j] * along));
            *(Pack<T, V>*)(out + row * N + i) = r;
        } } }
    }
    if (!parts) return;
    __shared__ R total[2 * N];
    for (int t = 0; t < per; t++) {
        if (own == t) { EACH VALUE {
            total[i + j] = (t ? total[i + j] : (R)0) + of_weight[k][j];
            total[N + i + j] = (t ? total[N + i + j] : (R)0) + of_bias[k][j];
        } } } }
        __syncthreads();
    }
    for (int i = threadIdx.x; i < 2 * N; i += blockDim.x) parts[blockIdx.x * 2LL * N + i] = total[i];
}
extern "C" __global__ void layer(const T* x, const W* w, const W* b, T* y, i64 rows, double eps) {
    forward<true>(x, w, b, y, rows, (R)eps);
}
extern "C" __global__ void rms(const T* x, const W* w, const W* b, T* y, i64 rows, double eps) {
    forward<false>(x, w, b, y, rows, (R)eps);
}
extern "C" __global__ void layer_gradient(const T* g, const T* x, const W* w, T* out, R* parts, i64 rows, double eps) {
    backward<true>(g, x, w, out, parts, rows, (R)eps);
}
extern "C" __global__ void rms_gradient(const T* g, const T* x, const W* w, T* out, R* parts, i64 rows, double eps) {
    backward<false>(g, x, w, out, parts, rows, (R)eps);
}
"""

# blocks of 32 columns by 8 rows walk down their share of the rows; a second kernel adds the shares, always in one order
_COLUMNS = r"""
extern "C" __global__ void columns(const T* g, R* parts, i64 rows, i64 n, i64 share) {
    __shared__ R sums[8][33];
    const i64 c = blockIdx.x * 32LL + threadIdx.x;
    const i64 stop = min((blockIdx.y + 1) * share, rows);
    R sum = 0;
    if (c < n) for (i64 r = blockIdx.y * share + threadIdx.y; r < stop; r += 8) sum += get(g[r * n + c]);
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < n) {
        #pragma unroll
        for (int k = 1; k < 8; k++) sum += sums[k][threadIdx.x];
        parts[blockIdx.y * n + c] = sum;
    }
}
extern "C" __global__ void norm_columns(
    const T* g, const T* x, const R* means, const R* inverses, R* parts, i64 rows, i64 n, i64 share
) {
    __shared__ R sums[2][8][33];
    const i64 c = blockIdx.x * 32LL + threadIdx.x;
    const i64 stop = min((blockIdx.y + 1) * share, rows);
    R plain = 0, along = 0;
    if (c < n) for (i64 r = blockIdx.y * share + threadIdx.y; r < stop; r += 8) {
        const R v = get(g[r * n + c]);
        plain += v; along += v * (get(x[r * n + c]) - means[r]) * inverses[r];
    }
    sums[0][threadIdx.y][threadIdx.x] = along;
    sums[1][threadIdx.y][threadIdx.x] = plain;
    __syncthreads();
    if (threadIdx.y == 0 && c < n) {
        #pragma unroll
        for (int k = 1; k < 8; k++) { along += sums[0][k][threadIdx.x]; plain += sums[1][k][threadIdx.x]; }
        parts[(2 * blockIdx.y) * n + c] = along;
        parts[(2 * blockIdx.y + 1) * n + c] = plain;
    }
}
// the first half of the columns goes to one array, the rest to another
extern "C" __global__ void add_parts(const R* parts, T* out, T* second, i64 count, i64 n, i64 half) {
    const i64 c = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (c >= n) return;
    R sum = 0;
    for (i64 k = 0; k < count; k++) sum += parts[k * n + c];
    if (c < half) put(out[c], sum); else put(second[c - half], sum);
}
extern "C" __global__ void row_sums(const T* x, T* out, i64 n) {
    x += blockIdx.x * n;
    R sum = 0;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) sum += get(x[i]);
    sum = block_sum(sum);
    if (!threadIdx.x) put(out[blockIdx.x], sum);
}
"""

_EMBEDDING = (
    flags.SOURCE
    + r"""
extern "C" __global__ void take_rows(const T* table, const I* rows, T* out, i64 n, i64 count, i64* flag, i64 call) {
    const i64 row = rows[blockIdx.x];
    out += blockIdx.x * n;
    if (row < 0 || row >= count) {
        if (!threadIdx.x) report(flag, call, row, count);
        for (i64 i = threadIdx.x; i < n; i += blockDim.x) put(out[i], (R)0);
        return;
    }
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) out[i] = table[row * n + i];
}
extern "C" __global__ void add_rows_at(const T* g, const I* rows, R* out, i64 n, i64 count, i64 left_out) {
    const i64 row = rows[blockIdx.x];
    if (row < 0 || row >= count || row == left_out) return;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) atomicAdd(out + row * n + i, get(g[blockIdx.x * n + i]));
}
// one block to each row that is named: ``order`` lists the places that name it, in order
extern "C" __global__ void add_rows_sorted(
    const T* g, const i64* order, const I* sorted, R* out, i64 n, i64 total, i64 count, i64 left_out
) {
    const i64 first = blockIdx.x, row = sorted[first];
    if ((first && sorted[first - 1] == row) || row < 0 || row >= count || row == left_out) return;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) {
        R sum = 0;
        for (i64 k = first; k < total && sorted[k] == row; k++) sum += get(g[order[k] * n + i]);
        out[row * n + i] = sum;
    }
}
"""
)

_CHECKS = (
    flags.SOURCE
    + r"""
extern "C" __global__ void check(const I* index, i64 n, i64 low, i64 size, i64* flag, i64 call) {
    const i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i < n && (index[i] < low || index[i] >= size)) report(flag, call, index[i], size);
}
extern "C" __global__ void labels(const I* from, i64* to, i64 n, i64 size, i64 ignored, i64* flag, i64 call) {
    const i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i >= n) return;
    const i64 label = from[i];
    const bool wrong = label != ignored && (label < 0 || label >= size);
    if (wrong) report(flag, call, label, size);
    to[i] = wrong || label == ignored ? 0 : label;
}
extern "C" __global__ void counted(const I* labels, T* out, i64 n, i64 ignored) {
    R sum = 0;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) sum += labels[i] != ignored;
    sum = block_sum(sum);
    if (!threadIdx.x) put(*out, sum);
}
"""
)

_DROPOUT = r"""
// Philox4x64-10: each thread draws one block of four words, eight numbers of 24 bits
extern "C" __global__ void dropout(
    const T* x, T* y, i64 n, u64 seed, u64 offset, const u64* key, unsigned int threshold, double scale
) {
    if (key) { seed = key[0]; offset = key[1]; }
    const i64 block = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (block * 8 >= n) return;
    const u64 M0 = 0xD2E7470EE14C6C93ULL, M1 = 0xCA5A826395121157ULL;
    u64 c0 = offset + (u64)block + 1ULL, c1 = c0 <= offset ? 1ULL : 0ULL, c2 = 0, c3 = 0, k0 = seed, k1 = 0;
    #pragma unroll
    for (int round = 0; round < 10; ++round) {
        const u64 h0 = __umul64hi(M0, c0), l0 = M0 * c0, h1 = __umul64hi(M1, c2), l1 = M1 * c2;
        c0 = h1 ^ c1 ^ k0; c1 = l1; c2 = h0 ^ c3 ^ k1; c3 = l0;
        k0 += 0x9E3779B97F4A7C15ULL; k1 += 0xBB67AE8584CAA73BULL;
    }
    const u64 words[4] = {c0, c1, c2, c3};
    #pragma unroll
    for (int k = 0; k < 8; k++) {
        const i64 i = block * 8 + k;
        const unsigned int half = (unsigned int)(words[k / 2] >> (32 * (k % 2)));
        if (i < n) put(y[i], (half >> 8) >= threshold ? get(x[i]) * (R)scale : (R)0 * get(x[i]));
    }
}
"""

_CAST = r"""
extern "C" __global__ void cast(const Pack<T, V>* x, Pack<W, V>* y, i64 n) {
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < n; i += (i64)gridDim.x * blockDim.x) {
        const Pack<T, V> p = x[i];
        Pack<W, V> r;
        #pragma unroll
        for (int k = 0; k < V; k++) put(r.v[k], get(p.v[k]));
        y[i] = r;
    }
}
"""

_INDEX = {"int64": "long long", "int32": "int", "int16": "short", "int8": "signed char", "uint8": "unsigned char"}


def _rows(x, count: int):
    """x as contiguous rows of ``count``."""
    return x if x.flags.c_contiguous else x.copy(order="C")


def _labels(index):
    return index if index.flags.c_contiguous else index.copy(order="C")


class Rows:
    """The kernels of one backend; every method gives None where its kernel does not fit."""

    def __init__(self, xp, found: flags.Flags) -> None:
        self.xp, self.flags = xp, found
        self.casts: dict[tuple, tuple | None] = {}  # how a layout is cast to a dtype
        self.sums: dict[tuple, tuple | None] = {}  # how it is summed over dims

    # --- softmax ------------------------------------------------------------------------------------------------------

    def softmax(self, name: str, x, dim: int):
        if not x.ndim or dim not in (-1, x.ndim - 1) or not x.size or not source.known(x):
            return None
        n, x = x.shape[-1], _rows(x, x.shape[-1])
        out = self.xp.empty(x.shape, x.dtype)
        run = source.kernel(self.xp, name, _SOFTMAX, T=source.name(x.dtype))
        run((x.size // n,), (source.threads(n),), (x, out, np.int64(n)))
        return out

    def softmax_gradient(self, name: str, g, out, dim: int):
        if not out.ndim or dim not in (-1, out.ndim - 1) or not out.size or not source.known(out):
            return None
        if g.dtype != out.dtype or g.shape != out.shape:
            return None
        n, g, out = out.shape[-1], _rows(g, out.shape[-1]), _rows(out, out.shape[-1])
        result = self.xp.empty(out.shape, out.dtype)
        run = source.kernel(self.xp, f"{name}_gradient", _SOFTMAX, T=source.name(out.dtype))
        run((out.size // n,), (source.threads(n),), (g, out, result, np.int64(n)))
        return result

    def entropy(self, x, target, ignore_index: int, full: bool):
        if x.ndim != 2 or target.shape != x.shape[:1] or not x.size or not source.known(x):
            return None
        if source.name(target.dtype) not in _INDEX:
            return None
        x, target, n = _rows(x, x.shape[1]), _labels(target), x.shape[1]
        out = self.xp.empty(target.shape, np.dtype(np.float32) if full else x.dtype)
        run = self._indexed(
            "entropy", _ENTROPY, source.name(x.dtype), source.name(target.dtype), W=source.name(out.dtype)
        )
        call = self.flags.call("cross_entropy", LabelError)
        arguments = (x, target, out, np.int64(n), np.int64(ignore_index), self.flags.address, call)
        run((x.shape[0],), (source.threads(n),), arguments)
        return out

    def entropy_gradient(self, g, x, target, ignore_index: int):
        if (
            x.ndim != 2
            or not x.size
            or not source.known(x)
            or source.name(target.dtype) not in _INDEX
            or not source.known(g)
        ):
            return None
        if (g.dtype.itemsize == 8) != (x.dtype.itemsize == 8):
            return None
        x, target, n = _rows(x, x.shape[1]), _labels(target), x.shape[1]
        step = g.strides[0] // g.itemsize
        out = self.xp.empty(x.shape, x.dtype)
        run = self._indexed(
            "entropy_gradient", _ENTROPY, source.name(x.dtype), source.name(target.dtype), W=source.name(g.dtype)
        )
        arguments = (g, x, target, out, np.int64(n), np.int64(ignore_index), np.int64(step))
        run((x.shape[0],), (source.threads(n),), arguments)
        return out

    def _indexed(self, name: str, text: str, dtype: str, index: str, **more: str):
        return source.kernel(self.xp, name, text, f"typedef {_INDEX[index]} I;", T=dtype, **more)

    # --- norms ----------------------------------------------------------------------------------------------------------

    def _norm_fits(self, x, dims: int, *vectors) -> bool:
        tail = x.shape[x.ndim - dims :]
        found = [v for v in vectors if v is not None]
        return (
            0 < dims <= x.ndim
            and x.size > 0
            and source.known(x, *found)
            and all(v.shape == tail and v.dtype == found[0].dtype for v in found)
            and (not found or (found[0].dtype.itemsize == 8) == (x.dtype.itemsize == 8))
        )

    def _short(self, name: str, n: int, stored, *arrays):
        """(the kernel for rows that fit into registers, threads to a row); None for others."""
        x = arrays[0]
        wide = 32 if n <= 1024 else 128
        vector = 16 // x.itemsize
        if n % vector or n > 4096 or x.itemsize == 8:
            return None
        if any(a is not None and a.data.ptr % 32 for a in arrays):
            return None
        define = f"#define N {n}\n#define V {vector}\n#define WIDE {wide}"
        return source.kernel(self.xp, name, _SHORT_NORMS, define, T=source.name(x.dtype), W=source.name(stored)), wide

    def norm(self, name: str, x, weight, bias, dims: int, eps: float):
        if not self._norm_fits(x, dims, weight, bias):
            return None
        n = math.prod(x.shape[x.ndim - dims :])
        x = _rows(x, n)
        weight, bias = (v if v is None else _rows(v, n) for v in (weight, bias))
        given = weight if weight is not None else bias
        out = self.xp.empty(x.shape, x.dtype)
        stored = (x if given is None else given).dtype
        short = self._short(name, n, stored, x, weight, bias)
        if short is not None:
            run, wide = short
            rows, block = x.size // n, max(128, wide)
            taken = (x, _pointer(weight), _pointer(bias), out, np.int64(rows), np.float64(eps))
            run((-(-rows * wide // block),), (block,), taken)
            return out
        run = source.kernel(self.xp, name, _NORMS, T=source.name(x.dtype), W=source.name(stored))
        arguments = (x, _pointer(weight), _pointer(bias), out, np.int64(n), np.float64(eps))
        run((x.size // n,), (source.threads(n),), arguments)
        return out

    def norm_gradient(self, name: str, g, x, weight, needs, dims: int, eps: float):
        if not self._norm_fits(x, dims, weight) or g.dtype != x.dtype:
            return None
        xp, n = self.xp, math.prod(x.shape[x.ndim - dims :])
        x, g = _rows(x, n), _rows(g, n)
        weight = weight if weight is None else _rows(weight, n)
        rows, stored = x.size // n, (x if weight is None else weight).dtype
        computed = np.dtype(np.float64 if x.dtype.itemsize == 8 else np.float32)
        out = xp.empty(x.shape, x.dtype) if needs[0] else None
        short = self._short(f"{name}_gradient", n, stored, x, g, weight)
        if short is not None:
            run, wide = short
            block = 256 if wide == 32 else wide
            blocks = min(264, -(-rows * wide // block))
            sums = xp.empty((blocks, 2, n), computed) if any(needs[1:]) else None
            given = (g, x, _pointer(weight), _pointer(out), _pointer(sums), np.int64(rows), np.float64(eps))
            run((blocks,), (block,), given)
            return (out, *self._vectors(sums, blocks, x.shape[x.ndim - dims :], stored, needs))
        means = xp.empty((2, rows), computed)
        run = source.kernel(xp, f"{name}_gradient", _NORMS, T=source.name(x.dtype), W=source.name(stored))
        arguments = (g, x, _pointer(weight), _pointer(out), means[0], means[1], np.int64(n), np.float64(eps))
        run((rows,), (source.threads(n),), arguments)
        found = [out]
        if any(needs[1:]):
            parts, share = self._shares(rows, n)
            sums = xp.empty((parts, 2, n), computed)
            run = source.kernel(xp, "norm_columns", _COLUMNS, T=source.name(x.dtype))
            taken = (g, x, means[0], means[1], sums, np.int64(rows), np.int64(n), np.int64(share))
            run(((n + 31) // 32, parts), (32, 8), taken)
            found += self._vectors(sums, parts, x.shape[x.ndim - dims :], stored, needs)
        else:
            found += [None] * (len(needs) - 1)
        return tuple(found)

    def _vectors(self, sums, parts: int, shape: tuple, stored, needs) -> list:
        """The gradients of weight and bias from their parts, where they are needed."""
        if sums is None:
            return [None] * (len(needs) - 1)
        both = [self.xp.empty(shape, stored) for _ in range(2)]
        self._add_parts(sums, both[0], parts, 2 * math.prod(shape), both[1])
        return [made if needed else None for made, needed in zip(both, needs[1:], strict=False)]

    # --- sums -------------------------------------------------------------------------------------------------------------

    @staticmethod
    def _shares(rows: int, n: int) -> tuple[int, int]:
        """(into how many parts the rows are cut, the rows of one): enough blocks for the whole GPU."""
        parts = max(1, min((rows + 31) // 32, 1024 // max(1, (n + 31) // 32), 256))
        share = -(-rows // parts)
        return -(-rows // share), share

    def _add_parts(self, sums, out, parts: int, n: int, second=None) -> None:
        """Sums down the ``n`` columns into ``out``, or half of them into ``second``."""
        run = source.kernel(self.xp, "add_parts", _COLUMNS, T=source.name(out.dtype))
        half = np.int64(n if second is None else n // 2)
        run(((n + 127) // 128,), (128,), (sums, out, _pointer(second), np.int64(parts), np.int64(n), half))

    def sum(self, x, dim, keepdim: bool):
        """Sums over dims that are the outermost or the innermost in memory."""
        key = x.shape, x.strides, x.dtype, tuple(dim) if isinstance(dim, list) else dim, keepdim
        try:
            plan = self.sums[key]
        except KeyError:
            if len(self.sums) >= 4096:
                self.sums.clear()
            plan = self.sums[key] = self._sum_plan(x, dim, keepdim)
        if plan is None:
            return None
        shape, run, grid, block, numbers, parts = plan
        xp = self.xp
        out = xp.empty(shape, x.dtype)
        if parts is None:
            run(grid, block, (x, out, *numbers))
            return out
        sums = xp.empty(*parts)
        run(grid, block, (x, sums, *numbers))
        self._add_parts(sums, out, *parts[0])
        return out

    def _sum_plan(self, x, dim, keepdim: bool) -> tuple | None:
        """(the result's shape, kernel, grid, block, its numbers, shape and dtype of the parts or None); None: not here."""
        if not source.known(x) or not x.size or not x.ndim:
            return None
        dims = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
        over = {d % x.ndim for d in dims}
        if not over:
            return None
        order = sorted(range(x.ndim), key=lambda d: (-x.strides[d], d))
        laid = x.transpose(order)
        if not laid.flags.c_contiguous:
            return None
        flat = [d in over for d in order if x.shape[d] > 1]
        kept = [d for d in range(x.ndim) if d not in over]
        if [d for d in order if d not in over and x.shape[d] > 1] != [d for d in kept if x.shape[d] > 1]:
            return None  # the result's own order would differ
        count = math.prod(x.shape[d] for d in over)
        n = x.size // count
        shape = tuple(1 if d in over else s for d, s in enumerate(x.shape) if keepdim or d not in over)
        xp = self.xp
        computed = np.dtype(np.float64 if x.dtype.itemsize == 8 else np.float32)
        if n == 1:  # all: as rows, then their sums
            if x.size >= 1 << 14:
                return None
            run = source.kernel(xp, "row_sums", _COLUMNS, T=source.name(x.dtype))
            return shape, run, (1,), (source.threads(x.size),), (np.int64(x.size),), None
        if flat == sorted(flat, reverse=True):  # the outermost: sums down the columns
            parts, share = (1, count) if x.size <= 1 << 20 and count <= 2048 else self._shares(count, n)
            run = source.kernel(xp, "columns", _COLUMNS, T=source.name(x.dtype))
            if parts == 1 and computed == x.dtype:  # one block to 32 columns: its sums are the result
                return shape, run, ((n + 31) // 32, 1), (32, 8), (np.int64(count), np.int64(n), np.int64(count)), None
            numbers = (np.int64(count), np.int64(n), np.int64(share))
            return shape, run, ((n + 31) // 32, parts), (32, 8), numbers, ((parts, n), computed)
        if flat == sorted(flat) and (n >= 64 or count <= 1 << 14):  # the innermost: a block to a row
            run = source.kernel(xp, "row_sums", _COLUMNS, T=source.name(x.dtype))
            return shape, run, (n,), (source.threads(count),), (np.int64(count),), None
        return None

    # --- embeddings ---------------------------------------------------------------------------------------------------------

    def embedding(self, index, weight):
        if weight.ndim != 2 or source.name(index.dtype) not in _INDEX or not source.known(weight) or not index.size:
            return None
        if not weight.size:
            return None
        index, n = _labels(index), weight.shape[1]
        weight = _rows(weight, n)
        out = self.xp.empty((*index.shape, n), weight.dtype)
        call = self.flags.call("embedding", PlaceError)
        run = self._indexed("take_rows", _EMBEDDING, source.name(weight.dtype), source.name(index.dtype))
        arguments = (weight, index, out, np.int64(n), np.int64(weight.shape[0]), self.flags.address, call)
        run((index.size,), (source.threads(n),), arguments)
        return out

    def embedding_gradient(self, g, index, shape, padding_idx, deterministic: bool):
        if source.name(index.dtype) not in _INDEX or not source.known(g) or not index.size or not g.size:
            return None
        xp, n = self.xp, shape[1]
        index, g = _labels(index).reshape(-1), _rows(g, n)
        computed = np.dtype(np.float64 if g.dtype.itemsize == 8 else np.float32)
        out = xp.zeros(shape, computed)
        left_out = np.int64(-1 if padding_idx is None else padding_idx % shape[0])
        if deterministic:
            order = xp.argsort(index, kind="stable").astype(np.int64, copy=False)
            run = self._indexed("add_rows_sorted", _EMBEDDING, source.name(g.dtype), source.name(index.dtype))
            taken: tuple = (
                g,
                order,
                index[order],
                out,
                np.int64(n),
                np.int64(index.size),
                np.int64(shape[0]),
                left_out,
            )
        else:
            run = self._indexed("add_rows_at", _EMBEDDING, source.name(g.dtype), source.name(index.dtype))
            taken = (g, index, out, np.int64(n), np.int64(shape[0]), left_out)
        run((index.size,), (source.threads(n),), taken)
        return out.astype(g.dtype, copy=False)

    # --- labels and indices -----------------------------------------------------------------------------------------------

    def check(self, name: str, index, low: int, size: int, kind) -> bool:
        """Report an index outside low .. size - 1; False where the kernel does not read the index's type."""
        if source.name(index.dtype) not in _INDEX:
            return False
        if index.size:
            index = _labels(index)
            run = self._indexed("check", _CHECKS, "float32", source.name(index.dtype))
            arguments = (index, np.int64(index.size), np.int64(low), np.int64(size), self.flags.address)
            run(((index.size + 255) // 256,), (256,), (*arguments, self.flags.call(name, kind)))
        return True

    def labels(self, target, classes: int, ignore_index: int):
        """Labels as int64 with ignored and wrong ones at 0; wrong ones are reported."""
        if source.name(target.dtype) not in _INDEX:
            return None
        out = self.xp.empty(target.shape, np.int64)
        if target.size:
            target = _labels(target)
            run = self._indexed("labels", _CHECKS, "float32", source.name(target.dtype))
            arguments = (target, out, np.int64(target.size), np.int64(classes), np.int64(ignore_index))
            call = self.flags.call("nll_loss", LabelError)
            run(((target.size + 255) // 256,), (256,), (*arguments, self.flags.address, call))
        return out

    def counted(self, target, ignore_index: int, dtype):
        """How many labels count, as a 0-d array of ``dtype``."""
        if source.name(target.dtype) not in _INDEX or dtype.name not in source.TYPES:
            return None
        target, out = _labels(target), self.xp.empty((), dtype)
        run = self._indexed("counted", _CHECKS, dtype.name, source.name(target.dtype))
        run((1,), (source.threads(max(1, target.size)),), (target, out, np.int64(target.size), np.int64(ignore_index)))
        return out

    # --- other types ----------------------------------------------------------------------------------------------------

    def cast(self, x, dtype):
        """x in another of the kernels' types (not float64), in the same order of memory."""
        shape, strides, given = x.shape, x.strides, x.dtype
        key = shape, strides, given, dtype
        try:
            plan = self.casts[key]
        except KeyError:
            if len(self.casts) >= 4096:
                self.casts.clear()
            plan = self.casts[key] = self._cast_plan(x, np.dtype(dtype))
        if plan is None:
            return None
        stored, steps, size, by_packs, one_by_one = plan
        xp = self.xp
        out = xp.ndarray(shape, stored, xp.cuda.alloc(size), steps)
        at = x.data.ptr
        run = one_by_one if by_packs is None or at % 32 else by_packs
        run(at, out.data.ptr)
        return out

    def _cast_plan(self, x, dtype: np.dtype) -> tuple | None:
        """(dtype, strides, bytes) of the result and how it is made, in packs of 8 and one by one; None: not here."""
        if not source.known(x) or source.name(dtype) not in source.TYPES or not x.size:
            return None
        if max(x.itemsize, dtype.itemsize) > 4 or x.dtype == dtype or not source.dense(x):
            return None

        def by(wide: int) -> Launch:
            n = x.size // wide
            types = {"T": source.name(x.dtype), "W": source.name(dtype)}
            run = source.kernel(self.xp, "cast", _CAST, f"#define V {wide}", **types)
            return Launch(self.xp, run, (min(16384, (n + 255) // 256),), (256,), "PP", np.int64(n))

        steps = tuple(s // x.itemsize * dtype.itemsize for s in x.strides)
        return dtype, steps, x.size * dtype.itemsize, None if x.size % 8 else by(8), by(1)

    # --- dropout ----------------------------------------------------------------------------------------------------------------

    def dropout(self, x, p: float, key: tuple[int, int]):
        if not source.known(x) or not x.size or not 0 <= p < 1:
            return None
        x = _rows(x, 1)
        out = self.xp.empty(x.shape, x.dtype)
        threshold = math.ceil(float(np.float32(p)) * (1 << 24))
        scale = float(np.asarray(1 / (1 - p), x.dtype))
        run = source.kernel(self.xp, "dropout", _DROPOUT, T=source.name(x.dtype))
        arguments = (x, out, np.int64(x.size), *philox.numbers(key), np.uint32(threshold))
        run((((x.size + 7) // 8 + 255) // 256,), (256,), (*arguments, np.float64(scale)))
        return out


def _pointer(x):
    """An argument that may be missing: a null pointer then."""
    return np.uint64(0) if x is None else x


def install(reader, kernels: dict, gradients: dict, rows: Rows) -> None:
    """Put the kernels in front of the reader's own functions."""

    def softmax(name, plain):
        def run(x, *, dim):
            out = rows.softmax(name, x, dim)
            return plain(x, dim=dim) if out is None else out

        return run

    def softmax_gradient(name):
        def run(rule, m, g, out, dim):
            found = rows.softmax_gradient(name, g, out, dim)
            return rule(m, g, out, dim) if found is None else found

        return run

    for name in ("softmax", "log_softmax"):
        kernels[name] = softmax(name, getattr(reader, name))
        gradients[name, None] = softmax_gradient(name)

    plain_entropy = reader.softmax_cross_entropy

    def entropy(x, target, *, ignore_index=-100, full=False):
        out = rows.entropy(x, target, ignore_index, full)
        return plain_entropy(x, target, ignore_index=ignore_index, full=full) if out is None else out

    def entropy_gradient(rule, m, g, x, target, ignore_index, full):
        out = rows.entropy_gradient(g, x, target, ignore_index)
        return rule(m, g, x, target, ignore_index, full) if out is None else out

    kernels["softmax_cross_entropy"] = entropy
    gradients["softmax_cross_entropy", "input"] = entropy_gradient

    plain_layer, plain_rms = reader.layer_norm, reader.rms_norm

    def layer_norm(x, weight=None, bias=None, *, dims=1, eps=1e-5):
        out = rows.norm("layer", x, weight, bias, dims, eps)
        return plain_layer(x, weight, bias, dims=dims, eps=eps) if out is None else out

    def rms_norm(x, weight=None, *, dims=1, eps=1e-5):
        out = rows.norm("rms", x, weight, None, dims, eps)
        return plain_rms(x, weight, dims=dims, eps=eps) if out is None else out

    def norm_gradient(name):
        def run(rule, m, g, x, weight, needs, dims, eps):
            found = rows.norm_gradient(name, g, x, weight, needs, dims, eps)
            return rule(m, g, x, weight, needs, dims, eps) if found is None else found

        return run

    kernels["layer_norm"], kernels["rms_norm"] = layer_norm, rms_norm
    gradients["layer_norm", None], gradients["rms_norm", None] = norm_gradient("layer"), norm_gradient("rms")

    plain_sum = reader.sum_

    def sum_(x, dim, keepdim):
        out = rows.sum(x, dim, keepdim)
        return plain_sum(x, dim, keepdim) if out is None else out

    plain_mean = reader.mean_

    def mean_(x, dim, keepdim):
        out = rows.sum(x, dim, keepdim) if x.dtype.kind == "f" and x.dtype.itemsize > 2 else None
        if out is None:
            return plain_mean(x, dim, keepdim)
        out *= out.size / x.size
        return out

    reader.sum_, reader.mean_ = sum_, mean_

    plain_astype, plain_real = reader.astype, reader.cast_real

    def astype(x, dtype):
        out = rows.cast(x, dtype)
        return plain_astype(x, dtype) if out is None else out

    def cast_like(x, like):
        out = rows.cast(x, like.dtype)
        return x.astype(like.dtype) if out is None else out

    def cast_real(x, dtype):
        out = rows.cast(x, dtype.numpy)
        return plain_real(x, dtype) if out is None else out

    reader.astype, reader.cast_like, reader.cast_real = astype, cast_like, cast_real

    plain_embedding, plain_gradient, plain_dropout = reader.embedding, reader.embedding_grad, reader.dropout

    def embedding(index, weight, *, padding_idx=None):
        out = rows.embedding(index, weight)
        return plain_embedding(index, weight, padding_idx=padding_idx) if out is None else out

    def embedding_grad(g, index, *, shape=None, padding_idx=None):
        found = rows.embedding_gradient(g, index, shape, padding_idx, are_deterministic_algorithms_enabled())
        return plain_gradient(g, index, shape=shape, padding_idx=padding_idx) if found is None else found

    def dropout(x, *, p=0.5, key, mask_shape=None):
        plain = mask_shape is not None and tuple(mask_shape) != tuple(x.shape)
        out = None if plain else rows.dropout(x, p, key)
        return plain_dropout(x, p=p, key=key, mask_shape=mask_shape) if out is None else out

    kernels["embedding"], kernels["embedding_grad"], kernels["dropout"] = embedding, embedding_grad, dropout
    for name in ("softmax", "log_softmax", "softmax_cross_entropy", "layer_norm", "rms_norm", "embedding",
                 "embedding_grad", "dropout"):  # fmt: skip
        setattr(reader, name, kernels[name])
