"""Optimizer steps, and the clipping of gradients, in one pass over all tensors.

What an optimizer remembers stays where it is, in ``state``; a table of addresses lets one call go over everything. The
table is made again when an array in it is replaced by another, and is private to the optimizer. Tensors that a kernel
does not fit (other dtypes, gaps in memory, one tensor twice) are left to the optimizer's own rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from operator import attrgetter, is_
from typing import Any

import numpy as np

from mlkit.backends import numba
from mlkit.backends.numba import pool
from mlkit.backends.numba.flat import FLOAT32
from mlkit.backends.numba.scratch import address
from mlkit.core.value import Value, mark_all_mutated

FAMILY = __name__
#: elements below which Numba is not loaded for the sake of an optimizer alone
MINIMUM = 1 << 13
GRAIN = 1 << 15


def _fits(x, model: np.ndarray) -> bool:
    """Whether x is float32 memory in the same order as ``model``, which has no gaps."""
    if x.__class__ is not np.ndarray or x.dtype is not FLOAT32 or x.shape != model.shape:
        return False
    return x.strides == model.strides or x.flags.c_contiguous and model.flags.c_contiguous


def _dense(x: np.ndarray) -> bool:
    flags = x.flags
    return flags.writeable and (flags.forc or not x.ravel("K").flags.owndata)


_array_of, _grad_of = attrgetter("_array"), attrgetter("_grad")


def _same(found: Iterable, wanted: Iterable) -> bool:
    """Whether these are the very objects; without a step of Python's for each."""
    return all(map(is_, found, wanted))


class Table:
    """The addresses of some tensors: row 0 the parameters, row 1 their gradients, then what is remembered."""

    def __init__(self, state: dict, members: list[Value], names: tuple[str, ...]):
        self.state = state
        self.names = names
        self.members = members
        self.arrays = [p._array for p in members]
        self.forms = [(x.dtype, x.shape, x.strides) for x in self.arrays]
        self.kept: list[dict] = [state[p] for p in members] if names else []
        self.steps = self._count_together([kept.get("step") for kept in self.kept])
        keys = names if self.steps is None else (*names, "step")
        #: what must still be what it was: the dictionaries with the key of each remembered tensor, the tensor, its array
        self.places = [kept for kept in self.kept for _ in keys], list(keys) * len(self.kept)
        self.holders: list[Value] = [kept[key] for kept in self.kept for key in keys]
        self.remembered = [holder._array for holder in self.holders]
        self.numbers: tuple = ()  # what the last step's settings were, and the table of numbers made of them
        self.addresses = np.empty((len(names) + 2, len(members)), np.int64)
        self.addresses[0] = [address(x) for x in self.arrays]
        for row, name in enumerate(names, 2):
            self.addresses[row] = [address(kept[name]._array) for kept in self.kept]
        self.starts = np.zeros(len(members) + 1, np.int64)
        np.cumsum([x.size for x in self.arrays], out=self.starts[1:])
        self.sound = len(set(self.addresses[0].tolist())) == len(members)  # no tensor twice

    def _count_together(self, counters: list) -> np.ndarray | None:
        """All counts of steps in one array, of which each tensor in ``state`` shows its own; None where one is different."""
        arrays = [getattr(c, "_array", None) for c in counters]
        if not arrays or not all(a.__class__ is np.ndarray and a.dtype is FLOAT32 and not a.ndim for a in arrays):
            return None
        steps = np.array(arrays, np.float32)
        for i, counter in enumerate(counters):
            counter._array = steps[i : i + 1].reshape(())
        return steps

    def count(self) -> list[float]:
        """One step more for all; how many each has made."""
        if self.steps is not None:
            self.steps += 1
            return self.steps.tolist()
        counts = []
        for kept in self.kept:
            step = kept["step"]
            step._array += 1
            counts.append(float(step._array))
        return counts

    def gradients(self, state: dict, params: list[Value]) -> list[np.ndarray] | None:
        """The gradients, their addresses put into row 1; None where anything is not as it was."""
        if state is not self.state or len(params) != len(self.members) or not self.sound:
            return None
        found = [*map(_array_of, map(_grad_of, params))]
        if (
            _same(params, self.members)
            and _same(map(_array_of, params), self.arrays)
            and _same(map(state.get, params), self.kept)
            and _same(map(dict.get, *self.places), self.holders)
            and _same(map(_array_of, self.holders), self.remembered)
            and _same(map(type, found), repeat(np.ndarray))
            and [(g.dtype, g.shape, g.strides) for g in found] == self.forms
        ):
            self.addresses[1] = [*map(address, found)]
            return found
        return None


def _table(optimizer, group: dict, params: list[Value], names: tuple[str, ...], begin: bool = False):
    """(table, gradients to keep alive, the parameters left over): for those whose state has ``names``.

    With ``begin`` a parameter that has no state yet gets one.
    """
    tables = optimizer.__dict__.setdefault("_tables", {})
    table = tables.get(id(group["params"]))
    if table is not None and table.names == names:
        gradients = table.gradients(optimizer.state, params)
        if gradients is not None:
            return table, gradients, []
    members, gradients, left = [], [], []
    state_of = optimizer.state
    for p in params:
        x, g = p._array, p._grad._array
        if begin and x.__class__ is np.ndarray and x.dtype is FLOAT32 and not state_of.get(p):
            state_of[p] = optimizer.start(group, p)
        kept: Any = state_of.get(p) if names else ()
        if (
            x.__class__ is not np.ndarray
            or x.dtype is not FLOAT32
            or not x.size
            or not _dense(x)
            or g.__class__ is not np.ndarray
            or g.dtype is not FLOAT32
            or g.shape != x.shape
            or kept is None
            or not all(_lies_as(x, kept.get(name)) for name in names)
        ):
            left.append(p)
            continue
        if not _fits(g, x):
            own = np.empty_like(x)
            own[...] = g
            g = own
        members.append(p)
        gradients.append(g)
    if not members:
        return None, gradients, left
    table = Table(state_of, members, names)
    if not table.sound:
        return None, gradients, params
    table.addresses[1] = [address(g) for g in gradients]
    tables[id(group["params"])] = table
    return table, gradients, left


def _lies_as(x: np.ndarray, holder) -> bool:
    """Whether what is remembered of x is float32 of its shape; brought into its order of memory if need be."""
    array = getattr(holder, "_array", None)
    if array.__class__ is not np.ndarray or array.dtype is not FLOAT32 or array.shape != x.shape:
        return False
    if not _fits(array, x) or not array.flags.writeable:
        own = np.empty_like(x)
        own[...] = array
        holder._array = own
    return True


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
    table, _gradients, left = _table(optimizer, group, params, ("exp_avg", "exp_avg_sq"), begin=True)
    if table is None:
        return left
    lr, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
    decoupled = bool(group["decoupled_weight_decay"])
    settings = group["maximize"], lr, beta1, beta2, group["eps"], decay, decoupled
    if not table.numbers or table.numbers[0] != settings:
        numbers = np.empty((len(table.members), 8), np.float32)
        numbers[:] = (
            -1.0 if group["maximize"] else 1.0,
            1 - lr * decay if decoupled else decay,
            *(1 - beta1, beta2, 1 - beta2),
            *(0.0, group["eps"], 0.0),
        )
        table.numbers = settings, numbers
    numbers = table.numbers[1]
    counts = table.count()
    for count in set(counts):  # nearly always all are the same
        own = slice(None) if counts.count(count) == len(counts) else [i for i, c in enumerate(counts) if c == count]
        numbers[own, 5], numbers[own, 7] = (1 - beta2**count) ** -0.5, lr / (1 - beta1**count)
    _run(kernels.adam, table, numbers, decoupled)
    mark_all_mutated(table.members)
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
    mark_all_mutated(table.members)
    return first + left


def _step_rmsprop(optimizer, group: dict, params: list[Value]) -> list[Value]:
    if group["centered"] or group["momentum"] > 0 or (kernels := _kernels(params)) is None:
        return params
    table, _gradients, left = _table(optimizer, group, params, ("square_avg",), begin=True)
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
    if all("step" in optimizer.state[p] for p in table.members):
        table.count()
    mark_all_mutated(table.members)
    return left


def _gradient_table(tensors: list[Value]) -> Any:
    """The addresses of gradients, None where a kernel does not fit one of them."""
    arrays = [t._array for t in tensors]
    for x in arrays:
        if x.__class__ is not np.ndarray or x.dtype is not FLOAT32 or not _dense(x):
            return None
    addresses = np.array([[address(x) for x in arrays]], np.int64)
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
    mark_all_mutated(tensors)
    return True


def _worth(tensors: list[Value]):
    """The kernels where there is enough to do: by size alone, so that the last digits of a norm do not depend on whether
    something else has loaded them."""
    if not tensors or sum(t._array.size for t in tensors) < MINIMUM:
        return None
    return _kernels(tensors)


#: the rule (module and name of ``update``) -> the step of many tensors: (optimizer, group, params) -> those left over
FUNCTIONS: dict[str, Any] = {
    "mlkit.optim.adam.Adam.update": _step_adam,
    "mlkit.optim.sgd.SGD.update": _step_sgd,
    "mlkit.optim.rmsprop.RMSprop.update": _step_rmsprop,
    "total_norm": total_norm,
    "scale_all": scale_all,
}
