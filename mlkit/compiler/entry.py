"""One recording: its programs, what must still be true for them to be used, and a call of it."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.autograd import engine
from mlkit.compiler.graph import Graph
from mlkit.compiler.guards import Guards
from mlkit.compiler.program import Program
from mlkit.core import value
from mlkit.core.dispatch import Output
from mlkit.core.errors import GradientError
from mlkit.core.frames import called, users_line
from mlkit.core.value import Node, Value, mark_mutated, node_type, remember_line, tick, wrap
from mlkit.func import pytree
from mlkit.nn import module as nn_module

#: how often Python counts a gradient that only ``Entry.lent`` holds while it is looked at, and what ``Entry.kept`` holds
_ALONE = next(sys.getrefcount(g) for _, g in [(None, object())])
_KEPT_ALONE = 2


class CompiledOp:
    """The op of the node that a compiled function leaves for backward."""

    name = "compiled"
    rules = None
    holds = True

    def __init__(self, entry: Entry, outputs: int):
        self.entry, self.outputs = entry, outputs

    def backward_runner(self, tensors: bool) -> Callable:
        return functools.partial(self.entry.run_backward, tensors)

    def lines(self) -> list[tuple[str, str]]:
        """What an error in backward says beside the line of the call: the line inside that made the result."""
        made = self.entry.made_by
        return [("compiled", self.entry.name + (f", whose result is made at {made}" if made else ""))]


class Entry:
    """One recording: its programs, and what must still be true for them to be used."""

    def __init__(self, name: str):
        self.name = name
        self.lock = threading.RLock()
        self.forward: Program
        self.backward: Program | None = None
        self.captured: dict[str, Value] = {}
        self.arrays: dict[str, np.ndarray] = {}  # the captured tensors' arrays as they were bound
        self.bound: list[tuple] = []  # (captured tensor, its array, whether it needs a gradient)
        self.needs: dict[str, bool] = {}  # whether each captured tensor needs a gradient
        self.structure: Any = None
        self.outputs: list[tuple] = []  # how each leaf of the result is made
        self.smooth: list[int] = []  # positions among outputs that have a gradient
        self.saved: list[tuple[int, int | None]] = []  # place among the forward's results, or number of the argument
        self.kept_tensors: list[Value] = []  # captured tensors that backward reads: their memory must stay as it is
        self.wants: list[tuple] = []  # ("input", i) or ("captured", tensor) whose gradients backward gives
        self.old_grads: list[Value] = []
        self.grad_rules: list[tuple[Value, bool]] = []
        self.final_grads: list[tuple[Value, int | None]] = []
        self.cleared: list[Value] = []  # those whose gradient the function sets without looking at what was there
        self.changed: list[tuple] = []
        self.differentiates = False  # backward() or grad() is called in the function
        self.made_by = ""  # the line inside the function that made the first result backward starts from
        self.read_by: dict[str, str] = {}  # the line inside that first read each value
        self.saved_keys: list[str] = []  # the values' ids: of ``saved``, then of ``kept_tensors``
        self.count = 0  # how many results of the forward program are the function's
        self.replays = 0
        # while it is built
        self.results: list[str] = []
        self.split = 0
        self.grad_names: list[str] = []
        self.weights: list[str] = []
        self.has_gradient: list[bool] = []
        self.reached: list[set[int]] = []  # for each output: which of the gradients it has part in
        self.same: list[tuple[int, Value]] = []  # arguments that the function also reaches by itself
        self.stepped: list[tuple] = []  # (optimizer, its parameters)
        self.recorded_nodes = 0
        self.lent: list[tuple[Value, Value]] = []  # gradients whose memory the next replay on a GPU overwrites
        self.kept: list | None = None  # what backward of the last replay reads
        self.eager_peak = 0  # bytes alive at once when each recorded op makes a new array
        self.passes: list[tuple[str, int, int]] = []
        self.guards: Guards
        self.graph: Graph

    # --- before a call ------------------------------------------------------------------------------------------------

    def holds(self, tensors: list[Value]) -> bool:
        """Whether the recording still says what the function would do with these arguments."""
        for i, t in self.same:
            if tensors[i] is not t:
                return False
        for optimizer, parameters in self.stepped:
            if [id(p) for group in optimizer.param_groups for p in group["params"]] != parameters:
                return False
        if self.differentiates and self.hooked():
            return False
        for p, had in self.grad_rules:
            if (p._grad is not None) is not had:
                return False
        for t, array, needs in self.bound:
            if t._array is not array or (t._node is not None) is not needs:
                if not self._bound_again():
                    return False
                break
        guards = self.guards
        return (not guards.checks and guards.count == nn_module.changes[0]) or guards.holds()

    def _bound_again(self) -> bool:
        """Whether the captured tensors need what they needed, and the memory that some have now is of the same form."""
        for key, t in self.captured.items():
            array = t._array
            if array is not self.arrays[key]:
                was = self.arrays[key]
                if array.__class__ is not was.__class__ or (array.shape, array.dtype, array.strides) != (
                    was.shape,
                    was.dtype,
                    was.strides,
                ):
                    return False
                self.arrays[key] = array
                self.stale = True
            if (t._node is not None) is not self.needs[key]:
                return False
        self._note_bound()
        return True

    def _note_bound(self) -> None:
        """Write down what ``holds`` compares in each call: the captured tensors, their arrays, whether they need a gradient."""
        self.bound = [(t, self.arrays[key], self.needs[key]) for key, t in self.captured.items()]

    def hooked(self) -> bool:
        """Whether a hook waits for a gradient that is computed inside the function."""
        for t in (*self.captured.values(), *[p for p, _ in self.grad_rules]):
            if t.__dict__.get("_post_accumulate_hooks"):
                return True
            for table in (value.tensor_hooks, value.node_hooks, value.node_prehooks):
                if table.data and t._node is not None and table.get(t._node):
                    return True
        return False

    stale = False
    alone = False  # whether the result is one tensor without a gradient

    def refresh(self) -> None:
        if self.stale:
            self.forward.rebind()
            if self.backward is not None:
                self.backward.rebind()
            self.stale = False

    # --- a call -------------------------------------------------------------------------------------------------------

    def __call__(self, tensors: list[Value]):
        with self.lock:
            self.refresh()
            self.replays += 1
            arrays = [t._array for t in tensors]
            if self.old_grads:
                arrays += [p._grad._array for p in self.old_grads]
            replay = self.forward.replay
            if replay is None:
                for p in self.cleared:  # their memory is free from here on, as it is after zero_grad
                    p._grad = None
                found = self.forward.run(*arrays)
            else:
                found = self.run_captured(arrays)
        for p, place in self.final_grads:
            if place is None:
                p._grad = None
            elif p._grad is None or p._grad._array is not found[place]:  # an optimizer's step has got it already
                p._grad = wrap(found[place])
        if self.forward.replay is not None and self.forward.replay.own:
            self.lent = [(p, p._grad) for p, _ in self.final_grads if p._grad is not None]
        if self.changed:
            before = called.code, called.instruction
            called.code, called.instruction = users_line(sys._getframe(1))  # looked for once, not for each tensor
            for kind, t in self.changed:
                mark_mutated(tensors[t] if kind == "input" else t)
            called.code, called.instruction = before
        return self.result(tensors, found)

    def run_captured(self, arrays: list) -> tuple:
        """Run as a captured graph, whose results lie where the next run puts its own: so what the caller gets is copied,
        and so is what somebody still holds of the last run's."""
        replay = self.forward.replay
        for p, g in self.lent:
            if sys.getrefcount(g) > _ALONE + (p._grad is g):
                g._array = g._array.copy()
        self.lent = []
        if (
            self.kept is not None and sys.getrefcount(self.kept) > _KEPT_ALONE
        ):  # backward of the last run is still to come
            return self.forward.flat(*arrays)
        found = self.forward.run(*arrays)
        if not replay.own:
            return found
        mine = {what for kind, what in self.outputs if kind in ("array", "freed")} | set(self.smooth)
        return tuple(x.copy() if i in mine else x for i, x in enumerate(found))

    def result(self, tensors: list[Value], found: tuple):
        """The function's return value, with a node for backward where one is wanted."""
        if self.alone:
            return wrap(found[self.outputs[0][1]])
        node: Any = self.node(tensors, found) if self.backward is not None else None
        leaves: list = []
        for kind, what in self.outputs:
            if kind == "array":
                leaves.append(wrap(found[what]))
            elif kind == "smooth":
                place, number = what
                leaves.append(wrap(found[place], node if len(self.smooth) == 1 else Output(node, number)))
            elif kind == "input":
                leaves.append(tensors[what])
            elif kind == "again":
                leaves.append(leaves[what])
            elif kind == "freed":
                leaves.append(wrap(found[what], self.freed()))
            else:
                leaves.append(what)
        return leaves[0] if self.structure is pytree.LEAF else pytree.unflatten(leaves, self.structure)

    def node(self, tensors: list[Value], found: tuple) -> Node:
        op = CompiledOp(self, len(self.smooth))
        node = node_type(op)()
        node.op = op
        node.inputs = tuple((tensors[what] if kind == "input" else what)._node for kind, what in self.wants)
        node.attributes = {"shapes": [(found[i].shape, found[i].dtype) for i in self.smooth]}
        node.shapes = None
        remember_line(node)
        node.seq = tick()
        kept = [found[place] if number is None else tensors[number] for place, number in self.saved]
        node.saved = (kept, self.kept_tensors)
        self.kept = kept if self.forward.replay is not None and self.forward.replay.own else None
        return node

    def freed(self) -> Node:
        """The node of a result whose backward() ran inside: it says so when it is asked for another."""
        op = CompiledOp(self, 1)
        node = node_type(op)()
        node.op, node.inputs, node.attributes = op, (), {}
        node.saved = node.shapes = None
        node.seq = tick()
        remember_line(node)
        node.freed_by = node.code, node.instruction
        return node

    def run_backward(self, tensors: bool, m, g, node: Node) -> tuple:
        if tensors:
            raise GradientError(
                "A gradient of the gradient (create_graph=True) does not go through a compiled function.",
                f"compiled: {self.name}",
                "Compile the whole step, with its backward calls inside, or call the function itself: compiled._orig_mod "
                "for a module, compiled.__wrapped__ for a function.",
            )
        kept, watched = node.saved  # type: ignore[misc]
        arrays: list = []
        for key, k in zip(self.saved_keys, [*kept, *watched], strict=True):
            try:
                arrays.append(engine.kept_array(k, node) if isinstance(k, Value) else k)
            except GradientError as error:
                if key in self.read_by:
                    error.tell("used at", self.read_by[key])
                raise
        del arrays[len(kept) :]  # what was captured is in the program
        given = g if len(self.smooth) > 1 else [g]
        wanted = set().union(*(reached for x, reached in zip(given, self.reached, strict=True) if x is not None))
        lost = set().union(*self.reached) - wanted  # what only outputs lead to that nobody goes back from
        assert self.backward is not None
        for x, (shape, dtype) in zip(given, node.attributes["shapes"], strict=True):
            arrays.append(ones(self.backward.library, shape, dtype) * 0 if x is None else x)
        with self.lock:
            self.refresh()
            found = iter(self.backward.run(*arrays))
            if self.backward.replay is not None and self.backward.replay.own:
                found = (x.copy() for x in list(found))
        grads = (None if i in lost else x for i, x in enumerate(found))
        return tuple(next(grads) if has else None for has in self.has_gradient)


def ones(library, shape: tuple, dtype):
    """An array of ones of that library."""
    return (np if library is None else library.m.xp).ones(shape, dtype)
