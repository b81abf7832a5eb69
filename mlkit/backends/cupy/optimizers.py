"""Optimizer steps, the clipping of gradients and their unscaling in one launch over all tensors.

A table of addresses on the GPU says where parameters, gradients and what is remembered lie; blocks take chunks of it.
The table is made when tensors are replaced; only the gradients' addresses are sent again when they change. Tensors that
do not fit (other types than float32, gaps in memory) are left to the optimizer's own rule.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlkit.backends.cupy import source
from mlkit.core.value import Value, mark_mutated

CHUNK = 1 << 14

_KERNELS = r"""
// where a block works: rows of addresses, one column per tensor; chunks are (tensor, start, stop)
struct Chunk { i64 tensor, start, stop; };
#define EACH(i) for (i64 i = c.start + threadIdx.x; i < c.stop; i += blockDim.x)
__device__ __forceinline__ float* at(const i64* table, i64 tensors, int row, i64 tensor) {
    return (float*)table[row * tensors + tensor];
}
extern "C" __global__ void adam(
    const i64* table, const i64* grads, const Chunk* chunks, i64 tensors, float sign, float decay, int decoupled,
    float new1, float beta2, float new2, float root, float eps, float step
) {
    const Chunk c = chunks[blockIdx.x];
    float* p = at(table, tensors, 0, c.tensor); const float* g = (const float*)grads[c.tensor];
    float* m = at(table, tensors, 1, c.tensor); float* v = at(table, tensors, 2, c.tensor);
    EACH(i) {
        float x = p[i], d = sign * g[i], a = m[i], b = v[i];
        if (decoupled) x *= decay; else d += decay * x;
        a += new1 * (d - a);
        b = beta2 * b + new2 * d * d;
        x -= step * a / (sqrtf(b) * root + eps);
        p[i] = x; m[i] = a; v[i] = b;
    }
}
extern "C" __global__ void sgd(
    const i64* table, const i64* grads, const Chunk* chunks, i64 tensors, float sign, float decay, float momentum,
    float share, float lr, int nesterov
) {
    const Chunk c = chunks[blockIdx.x];
    float* p = at(table, tensors, 0, c.tensor); const float* g = (const float*)grads[c.tensor];
    if (momentum == 0.0f) { EACH(i) { const float x = p[i]; p[i] = x - lr * (sign * g[i] + decay * x); } return; }
    float* b = at(table, tensors, 1, c.tensor);
    EACH(i) {
        const float x = p[i], d = sign * g[i] + decay * x, moved = momentum * b[i] + share * d;
        b[i] = moved;
        p[i] = x - lr * (nesterov ? d + momentum * moved : moved);
    }
}
extern "C" __global__ void squares(const i64* grads, const Chunk* chunks, double* parts) {
    const Chunk c = chunks[blockIdx.x]; const float* g = (const float*)grads[c.tensor];
    float sum = 0;
    EACH(i) sum += g[i] * g[i];
    const double whole = block_sum((double)sum);
    if (!threadIdx.x) parts[blockIdx.x] = whole;
}
extern "C" __global__ void root(const double* parts, float* out, i64 n) {
    double sum = 0;
    for (i64 i = threadIdx.x; i < n; i += blockDim.x) sum += parts[i];
    sum = block_sum(sum);
    if (!threadIdx.x) *out = (float)sqrt(sum);
}
extern "C" __global__ void scale(const i64* grads, const Chunk* chunks, const float* factor) {
    const Chunk c = chunks[blockIdx.x]; float* g = (float*)grads[c.tensor]; const float f = *factor;
    if (f != 1.0f) EACH(i) g[i] *= f;
}
extern "C" __global__ void unscale(const i64* grads, const Chunk* chunks, float factor, int* overflow) {
    const Chunk c = chunks[blockIdx.x]; float* g = (float*)grads[c.tensor];
    bool bad = false;
    EACH(i) { const float x = g[i]; bad |= !isfinite(x); g[i] = x * factor; }
    if (bad) *overflow = 1;
}
"""


def chunks_of(sizes: list[int], chunk: int = CHUNK) -> np.ndarray:
    """(tensor, start, stop) of the pieces that blocks take, int64 (n, 3)."""
    rows = [(t, a, min(a + chunk, n)) for t, n in enumerate(sizes) for a in range(0, n, chunk)]
    return np.array(rows, np.int64).reshape(-1, 3)


class Table:
    """Where the tensors of one call lie, on the GPU."""

    def __init__(self, xp, members: list[Value], kept: list[dict], names: tuple[str, ...]):
        self.xp, self.members, self.names, self.kept = xp, members, names, kept
        self.arrays = [p._array for p in members]
        self.holders = [tuple([k[name] for name in names]) for k in kept]
        self.remembered = [tuple([h._array for h in holders]) for holders in self.holders]
        rows = [[x.data.ptr for x in self.arrays]]
        rows += [[r[i].data.ptr for r in self.remembered] for i in range(len(names))]
        self.table = xp.asarray(np.array(rows, np.int64))
        chunks = chunks_of([x.size for x in self.arrays])
        self.chunks, self.blocks = xp.asarray(chunks), len(chunks)
        self.sound = len(set(rows[0])) == len(members)
        self.grads = xp.empty(len(members), np.int64)
        self.sent: list[int] = []

    def holds(self, params: list[Value], state: dict) -> bool:
        """Whether all lies where it lay."""
        if len(params) != len(self.members):
            return False
        names = self.names
        for p, member, x, kept, holders, arrays in zip(
            params, self.members, self.arrays, self.kept, self.holders, self.remembered, strict=True
        ):
            if p is not member or p._array is not x or names and state.get(p) is not kept:
                return False
            for name, holder, array in zip(names, holders, arrays, strict=True):
                if kept[name] is not holder or holder._array is not array:
                    return False
        return True

    def send(self, addresses: list[int]) -> None:
        """Tell the GPU where the gradients are, if they moved."""
        if addresses != self.sent:
            self.grads = self.xp.asarray(np.array(addresses, np.int64))
            self.sent = addresses


class Together:
    """The functions of one backend."""

    def __init__(self, xp) -> None:
        self.xp = xp
        self.float32 = np.dtype(np.float32)

    def _kernel(self, name: str):
        return source.kernel(self.xp, name, _KERNELS, T="float32")

    def _fits(self, x) -> bool:
        return x.__class__ is self.xp.ndarray and x.dtype == self.float32 and x.size > 0

    def _table(self, optimizer, group: dict, params: list[Value], names: tuple[str, ...], begin: bool):
        """(table, parameters left over); gradients in another order of memory are laid out anew."""
        tables = optimizer.__dict__.setdefault("_tables", {})
        key = id(group["params"]), "cupy"
        table = tables.get(key)
        state = optimizer.state
        if table is None or table.names != names or not table.holds(params, state):
            members, left = [], []
            for p in params:
                x = p._array
                if not self._fits(x) or not source.dense(x):
                    left.append(p)
                    continue
                if begin and not state.get(p):
                    state[p] = optimizer.start(group, p)
                kept: Any = state.get(p) if names else {}
                if kept is None or not all(self._lies_as(x, kept.get(name)) for name in names):
                    left.append(p)
                else:
                    members.append(p)
            if not members:
                return None, left
            table = Table(self.xp, members, [state[p] if names else {} for p in members], names)
            if not table.sound:
                return None, params
            if not left:
                tables[key] = table
        else:
            left = []
        addresses, alive = [], []
        for p, x in zip(table.members, table.arrays, strict=True):
            g = p._grad._array
            if g.dtype != self.float32 or g.shape != x.shape:
                return None, params
            if g.strides != x.strides and not (g.flags.c_contiguous and x.flags.c_contiguous):
                own = self.xp.empty_like(x)
                own[...] = g
                g = own
            alive.append(g)
            addresses.append(g.data.ptr)
        table.send(addresses)
        table.alive = alive
        return table, left

    def _lies_as(self, x, holder) -> bool:
        array = getattr(holder, "_array", None)
        return self._fits(array) and array.shape == x.shape and array.strides == x.strides

    def _run(self, name: str, table: Table, *rest) -> None:
        self._kernel(name)(
            (table.blocks,), (512,), (table.table, table.grads, table.chunks, np.int64(len(table.members)), *rest)
        )
        table.alive = None
        for p in table.members:
            mark_mutated(p)

    def adam(self, optimizer, group: dict, params: list[Value]) -> list[Value]:
        if group["amsgrad"]:
            return params
        steps = [s["step"]._array if (s := optimizer.state.get(p)) else 0.0 for p in params]
        counts = {float(s) for s in steps if not isinstance(s, self.xp.ndarray)}
        if len(counts) != 1 or any(isinstance(s, self.xp.ndarray) for s in steps):
            return params  # some begin later than others, or count on the GPU: each by itself
        table, left = self._table(optimizer, group, params, ("exp_avg", "exp_avg_sq"), begin=True)
        if table is None:
            return left
        for kept in table.kept:
            kept["step"]._array += 1
        count = counts.pop() + 1
        lr, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
        decoupled = bool(group["decoupled_weight_decay"])
        numbers = (-1.0 if group["maximize"] else 1.0, 1 - lr * decay if decoupled else decay)
        after = (1 - beta1, beta2, 1 - beta2, (1 - beta2**count) ** -0.5, group["eps"], lr / (1 - beta1**count))
        self._run("adam", table, *map(np.float32, numbers), np.int32(decoupled), *map(np.float32, after))
        return left

    def sgd(self, optimizer, group: dict, params: list[Value]) -> list[Value]:
        momentum = group["momentum"]
        names = ("momentum_buffer",) if momentum != 0 else ()
        state = optimizer.state
        first = [p for p in params if names and state.get(p, {}).get("momentum_buffer") is None]
        if first:
            return params  # the first step makes the buffers
        table, left = self._table(optimizer, group, params, names, begin=False)
        if table is None:
            return left
        numbers = (-1.0 if group["maximize"] else 1.0, group["weight_decay"], momentum, 1 - group["dampening"])
        self._run("sgd", table, *map(np.float32, (*numbers, group["lr"])), np.int32(bool(group["nesterov"])))
        return left

    # --- gradients alone --------------------------------------------------------------------------------------------------

    def _gradients(self, tensors: list[Value]):
        """(addresses, chunks, their number) on the GPU; None where a kernel does not fit."""
        arrays = [t._array for t in tensors]
        if not arrays or not all(self._fits(x) and source.dense(x) for x in arrays):
            return None
        addresses = [x.data.ptr for x in arrays]
        if len(set(addresses)) != len(addresses):
            return None
        chunks = chunks_of([x.size for x in arrays])
        return self.xp.asarray(np.array(addresses, np.int64)), self.xp.asarray(chunks), len(chunks)

    def total_norm(self, tensors: list[Value]):
        """The Euclidean norm of all together, a 0-d array on the GPU; None where another way is needed."""
        found = self._gradients(tensors)
        if found is None:
            return None
        grads, chunks, blocks = found
        parts, out = self.xp.empty(blocks, np.float64), self.xp.empty((), np.float32)
        self._kernel("squares")((blocks,), (512,), (grads, chunks, parts))
        self._kernel("root")((1,), (1024,), (parts, out, np.int64(blocks)))
        return out

    def scale_all(self, tensors: list[Value], factor) -> bool:
        """Multiply all by a 0-d array in place; False where another way is needed."""
        found = self._gradients(tensors)
        if found is None or not self._fits(factor) or factor.size != 1:
            return False
        grads, chunks, blocks = found
        self._kernel("scale")((blocks,), (512,), (grads, chunks, factor))
        for t in tensors:
            mark_mutated(t)
        return True

    def unscale_all(self, tensors: list[Value], factor: float):
        """Multiply all by ``factor`` in place; a 0-d array that says whether one was not finite; None as above."""
        found = self._gradients(tensors)
        if found is None:
            return None
        grads, chunks, blocks = found
        overflow = self.xp.zeros((), np.int32)
        self._kernel("unscale")((blocks,), (512,), (grads, chunks, np.float32(factor), overflow))
        for t in tensors:
            mark_mutated(t)
        return overflow

    def functions(self) -> dict[str, Any]:
        """By the rule they stand for, as ``Backend.functions`` wants them."""
        return {
            "mlkit.optim.adam.Adam.update": self.adam,
            "mlkit.optim.sgd.SGD.update": self.sgd,
            "total_norm": self.total_norm,
            "scale_all": self.scale_all,
            "unscale_all": self.unscale_all,
        }
