"""Optimizer steps, and the clipping of gradients, in one pass over all tensors.

What an optimizer remembers stays where it is, in ``state``; a table of addresses lets one call go over everything. The
table is made again when an array in it is replaced by another, and is private to the optimizer. Tensors that a kernel
does not fit (other dtypes, gaps in memory, one tensor twice) are left to the optimizer's own rule.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlkit.backends import numba
from mlkit.backends.numba import pool
from mlkit.backends.numba.flat import FLOAT32
from mlkit.core.value import Value, mark_mutated

FAMILY = __name__
#: elements below which Numba is not loaded for the sake of an optimizer alone
MINIMUM = 1 << 13
GRAIN = 1 << 15


def _address(x: np.ndarray) -> int:
    return x.__array_interface__["data"][0]


def _fits(x, model: np.ndarray) -> bool:
    """Whether x is float32 memory in the same order as ``model``, which has no gaps."""
    if x.__class__ is not np.ndarray or x.dtype is not FLOAT32 or x.shape != model.shape:
        return False
    return x.strides == model.strides or x.flags.c_contiguous and model.flags.c_contiguous


def _dense(x: np.ndarray) -> bool:
    flags = x.flags
    return flags.writeable and (flags.forc or not x.ravel("K").flags.owndata)


class Table:
    """The addresses of some tensors: row 0 the parameters, row 1 their gradients, then what is remembered."""

    def __init__(self, members: list[Value], arrays: list[tuple[np.ndarray, ...]]):
        self.members = members
        self.arrays = arrays
        self.addresses = np.empty((len(arrays[0]) + 1, len(members)), np.int64)
        for column, kept in enumerate(arrays):
            self.addresses[0, column] = _address(kept[0])
            for row, x in enumerate(kept[1:], 2):
                self.addresses[row, column] = _address(x)
        self.starts = np.zeros(len(members) + 1, np.int64)
        np.cumsum([kept[0].size for kept in arrays], out=self.starts[1:])
        self.sound = len({kept[0].ctypes.data for kept in arrays}) == len(arrays)  # no tensor twice

    def fits(self, members: list[Value], arrays: list[tuple[np.ndarray, ...]]) -> bool:
        if len(members) != len(self.arrays):
            return False
        for kept, now in zip(self.arrays, arrays, strict=True):
            for a, b in zip(kept, now, strict=True):
                if a is not b:
                    return False
        return True


def _table(optimizer, group: dict, params: list[Value], names: tuple[str, ...], sparse: bool = False):
    """(table, gradients kept alive, the parameters left over): for those whose state has ``names``."""
    members, arrays, gradients, left = [], [], [], []
    state_of = optimizer.state
    for p in params:
        x, g = p._array, p._grad._array
        kept = state_of.get(p) if names else ()
        if (
            x.__class__ is not np.ndarray
            or x.dtype is not FLOAT32
            or not x.size
            or g.__class__ is not np.ndarray
            or g.dtype is not FLOAT32
            or kept is None
            or not all(name in kept for name in names)
            or any(kept[name]._array.__class__ is not np.ndarray for name in names)
        ):
            left.append(p)
            continue
        remembered = []
        for name in names:
            holder = kept[name]
            if not _fits(holder._array, x):
                if holder._array.dtype is not FLOAT32 or holder._array.shape != x.shape:
                    break
                own = np.empty_like(x)
                own[...] = holder._array
                holder._array = own
            remembered.append(holder._array)
        if len(remembered) < len(names) or not _dense(x):
            left.append(p)
            continue
        if not _fits(g, x):
            own = np.empty_like(x)
            own[...] = g
            g = own
        members.append(p)
        arrays.append((x, *remembered))
        gradients.append(g)
    if not members:
        return None, gradients, left
    tables = optimizer.__dict__.setdefault("_tables", {})
    table = tables.get(id(group["params"]))
    if table is None or not table.fits(members, arrays):
        table = tables[id(group["params"])] = Table(members, arrays)
    if not table.sound:
        return None, gradients, params
    row = table.addresses[1]
    for column, g in enumerate(gradients):
        row[column] = _address(g)
    return table, gradients, left


def _run(kernel, table: Table, *rest) -> None:
    total = int(table.starts[-1])
    if total < 2 * GRAIN:
        kernel(table.addresses, table.starts, *rest, 0, total)
    else:
        pool.split(lambda start, stop: kernel(table.addresses, table.starts, *rest, start, stop), total, GRAIN)


def _kernels(params: list[Value]):
    """The compiled functions, or None where they are not wanted."""
    if FAMILY not in numba._loaded and sum(p._array.size for p in params) < MINIMUM:
        return None
    return numba.kernels(FAMILY) if numba.usable() else None


def _step_adam(optimizer, group: dict, params: list[Value]) -> list[Value]:
    if group["amsgrad"] or (kernels := _kernels(params)) is None:
        return params
    begun = []
    for p in params:
        state = optimizer.state.get(p)
        if not state:
            if p._array.__class__ is not np.ndarray or p._array.dtype is not FLOAT32:
                continue
            state = optimizer.start(group, p)
            optimizer.state[p] = state
        begun.append(state)
    table, _gradients, left = _table(optimizer, group, params, ("exp_avg", "exp_avg_sq"))
    if table is None:
        return left
    lr, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
    decoupled = bool(group["decoupled_weight_decay"])
    numbers = np.empty((len(table.members), 8), np.float32)
    numbers[:] = (
        -1.0 if group["maximize"] else 1.0,
        1 - lr * decay if decoupled else decay,
        *(1 - beta1, beta2, 1 - beta2),
        *(0.0, group["eps"], 0.0),
    )
    known: dict[float, tuple[float, float]] = {}
    for column, p in enumerate(table.members):
        step = optimizer.state[p]["step"]
        step._array += 1
        count = float(step._array)
        if count not in known:
            known[count] = (1 - beta2**count) ** -0.5, lr / (1 - beta1**count)
        numbers[column, 5], numbers[column, 7] = known[count]
    _run(kernels.adam, table, numbers, decoupled)
    for p in table.members:
        mark_mutated(p)
    return left


def _step_sgd(optimizer, group: dict, params: list[Value]) -> list[Value]:
    if (kernels := _kernels(params)) is None:
        return params
    momentum = group["momentum"]
    names = ("momentum_buffer",) if momentum != 0 else ()
    first = [p for p in params if names and optimizer.state.get(p, {}).get("momentum_buffer") is None]
    if first:
        if len(first) == len(params):
            return params  # the first step makes the buffers
        params = [p for p in params if optimizer.state.get(p, {}).get("momentum_buffer") is not None]
    table, _gradients, left = _table(optimizer, group, params, names)
    if table is None:
        return first + left
    numbers = np.array(
        [
            -1.0 if group["maximize"] else 1.0,
            *(group["weight_decay"], momentum, 1 - group["dampening"], group["lr"]),
        ],
        np.float32,
    )
    _run(kernels.sgd, table, numbers, bool(group["nesterov"]))
    for p in table.members:
        mark_mutated(p)
    return first + left


def _step_rmsprop(optimizer, group: dict, params: list[Value]) -> list[Value]:
    if group["centered"] or group["momentum"] > 0 or (kernels := _kernels(params)) is None:
        return params
    for p in params:
        if not optimizer.state.get(p) and p._array.__class__ is np.ndarray and p._array.dtype is FLOAT32:
            optimizer.state[p] = optimizer.start(group, p)
    table, _gradients, left = _table(optimizer, group, params, ("square_avg",))
    if table is None:
        return left
    numbers = np.array(
        [
            -1.0 if group["maximize"] else 1.0,
            *(group["weight_decay"], group["alpha"], 1 - group["alpha"], group["eps"], group["lr"]),
        ],
        np.float32,
    )
    _run(kernels.rmsprop, table, numbers)
    for p in table.members:
        if "step" in optimizer.state[p]:
            optimizer.state[p]["step"]._array += 1
        mark_mutated(p)
    return left


def _gradient_table(tensors: list[Value]) -> Any:
    """The addresses of gradients, None where a kernel does not fit one of them."""
    arrays = [t._array for t in tensors]
    for x in arrays:
        if x.__class__ is not np.ndarray or x.dtype is not FLOAT32 or not _dense(x):
            return None
    addresses = np.array([[_address(x) for x in arrays]], np.int64)
    starts = np.zeros(len(arrays) + 1, np.int64)
    np.cumsum([x.size for x in arrays], out=starts[1:])
    return (addresses, starts) if len(set(addresses[0].tolist())) == len(arrays) else None


def total_norm(tensors: list[Value]) -> float | None:
    """The Euclidean norm of all together; None where NumPy has to do it."""
    if (kernels := _worth(tensors)) is None or (table := _gradient_table(tensors)) is None:
        return None
    sums: list[float] = []
    total = int(table[1][-1])
    pool.split(lambda start, stop: sums.append(kernels.sum_of_squares(*table, start, stop)), total, GRAIN)
    return float(np.sqrt(sum(sorted(sums))))


def scale_all(tensors: list[Value], factor: float) -> bool:
    """Multiply all by ``factor`` in place; False where NumPy has to do it."""
    if (kernels := _worth(tensors)) is None or (table := _gradient_table(tensors)) is None:
        return False
    if factor != 1.0:
        number = np.float32(factor)
        pool.split(lambda start, stop: kernels.scale(*table, number, start, stop), int(table[1][-1]), GRAIN)
    for t in tensors:
        mark_mutated(t)
    return True


def _worth(tensors: list[Value]):
    return _kernels(tensors) if tensors else None


#: the rule (module and name of ``update``) -> the step of many tensors: (optimizer, group, params) -> those left over
FUNCTIONS: dict[str, Any] = {
    "mlkit.optim.adam.Adam.update": _step_adam,
    "mlkit.optim.sgd.SGD.update": _step_sgd,
    "mlkit.optim.rmsprop.RMSprop.update": _step_rmsprop,
    "total_norm": total_norm,
    "scale_all": scale_all,
}
