"""Memory of the GPU: CuPy's pool, with the peaks it does not keep, and words for when it is full."""

from __future__ import annotations

import weakref
from typing import Any

from mlkit.core.errors import DeviceError, MlkitError


class OutOfMemoryError(DeviceError, MemoryError):
    """The GPU has no room for another tensor."""


_peak = {"allocated": 0, "reserved": 0}
_pool: Any = None


def install(cupy) -> None:
    """Let the pool's allocations pass by here."""
    global _pool
    _pool = pool = cupy.get_default_memory_pool()
    used, malloc, peak = pool.used_bytes, pool.malloc, _peak

    def allocate(size):
        try:
            memory = malloc(size)
        except cupy.cuda.memory.OutOfMemoryError as error:
            raise full(cupy, size) from error
        now = used()
        if now > peak["allocated"]:
            peak["allocated"] = now
        return memory

    cupy.cuda.set_allocator(allocate)


class Private:
    """A pool of its own for a captured graph, counted with the others while it is alive."""

    alive: weakref.WeakSet = weakref.WeakSet()

    def __init__(self, cupy) -> None:
        self.pool = cupy.cuda.MemoryPool()
        self.malloc, self.total_bytes = self.pool.malloc, self.pool.total_bytes
        self.alive.add(self)


def full(cupy, size: int) -> MlkitError:
    """What is to be said when ``size`` bytes do not fit: who holds what, and what to do."""
    free, total = cupy.cuda.Device().mem_info
    held, used = _pool.total_bytes(), _pool.used_bytes()
    return OutOfMemoryError(
        f"CUDA out of memory: a tensor of {size / 2**20:,.1f} MiB does not fit.",
        f"tensors here:           {used / 2**20:10,.1f} MiB\n"
        f"kept for the next ones: {(held - used) / 2**20:10,.1f} MiB\n"
        f"free on the GPU:        {free / 2**20:10,.1f} MiB\n"
        f"others and overhead:    {(total - free - held) / 2**20:10,.1f} MiB\n"
        f"the GPU's memory:       {total / 2**20:10,.1f} MiB\n{largest()}",
        "Use smaller batches, autocast, `with mlkit.no_grad():` where no gradient is needed, or del what is kept.",
    )


def largest(count: int = 5) -> str:
    """The largest tensors that Python still knows, a line each."""
    import gc

    from mlkit.core.value import Value

    found: dict[int, tuple[int, str]] = {}
    for x in gc.get_objects():
        if isinstance(x, Value) and hasattr(x._array, "data") and hasattr(x._array.data, "ptr"):
            size = x._array.nbytes
            kind = "parameter" if type(x).__name__ == "Parameter" else "tensor"
            found[x._array.data.ptr] = (size, f"{kind} {tuple(x._array.shape)} {x._array.dtype}")
    rows = sorted(found.values(), reverse=True)[:count]
    return "\n".join(f"{size / 2**20:10,.1f} MiB  {what}" for size, what in rows)


def figures(reset: bool = False) -> dict[str, int]:
    """Bytes: in use by tensors, held from the driver, and the most of both; ``reset`` counts these anew from now."""
    graphs = sum(pool.total_bytes() for pool in Private.alive)
    used, held = _pool.used_bytes() + graphs, _pool.total_bytes() + graphs
    if reset:
        _peak["allocated"], _peak["reserved"] = used, held
    _peak["allocated"], _peak["reserved"] = max(_peak["allocated"], used), max(_peak["reserved"], held)
    return {"allocated": used, "reserved": held, "peak": _peak["allocated"], "reserved_peak": _peak["reserved"]}
