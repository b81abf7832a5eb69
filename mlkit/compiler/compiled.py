"""``compile``: a function, module or whole training step that is recorded once and replayed from then on."""

from __future__ import annotations

import copy
import functools
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.autograd import engine
from mlkit.compiler import memory, passes
from mlkit.compiler.graph import Graph
from mlkit.compiler.guards import Guards, Watch
from mlkit.compiler.program import Program
from mlkit.compiler.recorder import Reason, Recorder, gradients
from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core import events, value
from mlkit.core.dispatch import Output, ops, state
from mlkit.core.errors import ArgumentError, GradientError, MlkitError, ValueRangeError
from mlkit.core.frames import called, users_line
from mlkit.core.value import (
    Leaf,
    LevelArray,
    MetaArray,
    Node,
    Value,
    mark_mutated,
    node_type,
    remember_line,
    tick,
    wrap,
)
from mlkit.func import pytree
from mlkit.nn import module as nn_module
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter

#: how many recordings one function may have before it runs eagerly for what is new (PyTorch's number)
RECOMPILE_LIMIT = 8

#: while someone listens to these, functions run eagerly, so that every op and module is seen
_WATCHED = frozenset(("op", "module_enter", "module_exit"))
#: and these, in functions that may call backward: a module's forward does not
_BACKWARD = frozenset(("backward_start", "backward_node", "backward_end"))


#: how often Python counts a gradient that only ``Entry.lent`` holds while it is looked at, and what ``Entry.kept`` holds
_ALONE = next(sys.getrefcount(g) for _, g in [(None, object())])
_KEPT_ALONE = 2


class CompileError(MlkitError, RuntimeError):
    """``fullgraph=True``, and something cannot be recorded."""


class Eager(Exception):
    """This call's recording cannot be used; the reason says why."""

    def __init__(self, reason: Reason):
        self.reason = reason


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
        self.recorded_nodes = 0
        self.lent: list[tuple[Value, Value]] = []  # gradients whose memory the next replay on a GPU overwrites
        self.kept: list | None = None  # what backward of the last replay reads
        self.eager_peak = 0  # bytes alive at once when each recorded op makes a new array
        self.passes: list[tuple[str, int, int]] = []
        self.guards: Guards
        self.graph: Graph

    # --- before a call ------------------------------------------------------------------------------------------------

    def holds(self) -> bool:
        """Whether the recording still says what the function would do."""
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
            p._grad = None if place is None else wrap(found[place])
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
        mine = {what for kind, what in self.outputs if kind == "array"} | set(self.smooth)
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
        assert self.backward is not None
        for x, (shape, dtype) in zip(given, node.attributes["shapes"], strict=True):
            arrays.append(ones(self.backward.library, shape, dtype) * 0 if x is None else x)
        with self.lock:
            self.refresh()
            found = iter(self.backward.run(*arrays))
            if self.backward.replay is not None and self.backward.replay.own:
                found = (x.copy() for x in list(found))
        return tuple(next(found) if has else None for has in self.has_gradient)


class Compiled:
    """A compiled function; see ``compile``."""

    def __init__(self, fn: Callable, settings: Settings):
        self.fn = fn
        self.watched = _WATCHED if isinstance(fn, Module) else _WATCHED | _BACKWARD
        self.settings = settings
        self.entries: dict[Any, list[Entry]] = {}
        self.eager: dict[Any, Reason] = {}  # keys that run eagerly, and why
        self.lock = threading.RLock()
        self.name = getattr(fn, "__name__", None) or type(fn).__name__
        self.recordings = 0
        self.alive: list = []  # arguments that keys name by identity
        self.warned: set[str] = set()
        self.last: tuple | None = None  # the form of the one tensor of the last call, and its recording
        _all.add(self)

    # --- calling ------------------------------------------------------------------------------------------------------

    def __call__(self, args: tuple, kwargs: dict):
        if (
            state.interpreters
            or _disabled.depth
            or nn_module._before_all
            or nn_module._after_all
            or nn_module._before_all_backward
            or nn_module._after_all_backward
            or (events.listeners and not self.watched.isdisjoint(events.listeners))
            or state.saving
        ):
            return self.fn(*args, **kwargs)
        alone = args[0] if len(args) == 1 and not kwargs and args[0].__class__ is value.tensor_class else None
        if (
            alone is not None and self.last is not None
        ):  # what is called with one tensor is mostly called with such again
            grad, inference, standard, shape, dtype, strides, needs, entry = self.last
            array = alone._array
            if (
                array.__class__ is np.ndarray
                and array.shape == shape
                and array.dtype is dtype
                and array.strides == strides
                and (alone._node is not None) is needs
                and state.grad is grad
                and state.inference is inference
                and dtypes.get_default_dtype() is standard
                and entry.holds()
            ):
                return entry([alone])
        tensors: list[Value] = []
        key: tuple = (
            state.grad,
            state.inference,
            dtypes.get_default_dtype(),
            key_of(args, tensors),
            key_of(kwargs, tensors) if kwargs else None,
        )
        if len(tensors) > 1 and len({id(t._array) for t in tensors}) < len(tensors):
            key = (*key, sharing(tensors))
        try:
            known = self.entries.get(key)
        except TypeError:
            return self._eagerly(None, Reason("an argument cannot be compared: it has no hash"), args, kwargs)
        if known is not None:
            for entry in known:
                if entry.holds():
                    if alone is not None and (array := alone._array).__class__ is np.ndarray:
                        form = array.shape, array.dtype, array.strides, alone._node is not None
                        self.last = (*key[:3], *form, entry)
                    return entry(tensors)
            if any(entry.differentiates and entry.hooked() for entry in known):
                return self.fn(*args, **kwargs)  # as long as the hook is there
        elif key in self.eager:
            return self.fn(*args, **kwargs)
        return self._record(key, tensors, args, kwargs)

    def _record(self, key, tensors: list[Value], args: tuple, kwargs: dict):
        with self.lock:
            for t in tensors:
                if isinstance(t._array, (LevelArray, MetaArray)):
                    return self._eagerly(key, Reason(f"an argument is on the {t.device} device"), args, kwargs)
            if len({t._array.__class__ for t in tensors}) > 1:
                return self._eagerly(key, Reason("the arguments are on two devices"), args, kwargs)
            if len({id(t) for t in tensors}) < len({id(t._array) for t in tensors}) or len(
                {id(t._array) for t in tensors}
            ) < len({id(t) for t in tensors}):
                return self._eagerly(key, Reason("two arguments share their memory"), args, kwargs)
            if self.recordings >= self.settings.limit:
                self._warn(
                    f"{self.name} was recorded {self.recordings} times, the limit: what is new runs eagerly. "
                    f"Last reason: {self._why_again(key)}. Fewer shapes help (pad, or drop the last batch), or "
                    "options={'recompile_limit': n}."
                )
                self.eager.setdefault(key, Reason("the limit of recordings is reached"))
                return self.fn(*args, **kwargs)
            self.recordings += 1
            unique = list({id(t): t for t in tensors}.values())
            try:
                entry, found = record_call(self.fn, self.name, unique, tensors, args, kwargs, self.settings)
            except Eager as stop:
                out = stop.result  # type: ignore[attr-defined]
                self.recordings -= 1
                self._note(key, stop.reason, pytree.flatten((args, kwargs))[0])
                return out
            self.alive += [
                x for x in pytree.flatten((args, kwargs))[0] if not isinstance(x, Value) or isinstance(x, Parameter)
            ]
            self.entries.setdefault(key, []).append(entry)
            return found

    def _why_again(self, key) -> str:
        return "another Python value or gradient state" if key in self.entries else "another shape, dtype or argument"

    def _note(self, key, reason: Reason, arguments: list) -> None:
        if self.settings.fullgraph:
            raise CompileError(
                f"{self.name} cannot be compiled whole: {reason.text}.",
                f"at: {reason.place}" if reason.place else None,
                "Move that outside the compiled function, or leave fullgraph=True out: it then runs eagerly.",
            )
        self.eager[key] = reason
        self.alive += [x for x in arguments if not isinstance(x, Value) or isinstance(x, Parameter)]
        where = f"\n  {reason.place}" if reason.place else ""
        self._warn(f"mlkit.compile: {self.name} runs eagerly: {reason.text}.{where}", str(reason))

    def _eagerly(self, key, reason: Reason, args: tuple, kwargs: dict):
        if key is not None:
            self._note(key, reason, pytree.flatten((args, kwargs))[0])
        else:
            self._warn(f"mlkit.compile: {self.name} runs eagerly: {reason.text}.", reason.text)
        return self.fn(*args, **kwargs)

    def _warn(self, text: str, once: str | None = None) -> None:
        once = text if once is None else once
        if once not in self.warned:
            self.warned.add(once)
            warnings.warn(text, UserWarning, stacklevel=5)

    def reset(self) -> None:
        with self.lock:
            self.entries.clear()
            self.eager.clear()
            self.alive.clear()
            self.warned.clear()
            self.last = None
            self.recordings = 0


def key_of(x, tensors: list[Value]):
    """What of an argument a recording depends on; its tensors go to the list."""
    if isinstance(x, Value):
        if isinstance(x, Parameter):
            return id(x)  # stays what it is, as a captured tensor
        tensors.append(x)
        array = x._array
        return (
            array.shape,
            array.dtype,
            getattr(array, "strides", None),
            x._node is not None,
            x.__class__,
            array.__class__,
        )
    if x.__class__ is tuple or x.__class__ is list:
        return (x.__class__, *[key_of(i, tensors) for i in x])
    if isinstance(x, dict):
        return (x.__class__, *[(k, key_of(i, tensors)) for k, i in x.items()])
    if isinstance(x, tuple):
        return (x.__class__, *[key_of(i, tensors) for i in x])
    if isinstance(x, float):
        return (float, x.hex() if x == x else "nan")  # -0.0 is not 0.0, NaN is NaN
    if isinstance(x, (int, bool, str, complex, bytes, type(None), dtypes.dtype, slice)):
        return (x.__class__, x if not isinstance(x, slice) else (x.start, x.stop, x.step))
    return (x.__class__, id(x))


def sharing(tensors: list[Value]) -> tuple:
    first: dict[int, int] = {}
    return tuple(first.setdefault(id(t._array), i) for i, t in enumerate(tensors))


# --- recording one call ---------------------------------------------------------------------------------------------------


def record_call(fn, name: str, unique: list[Value], tensors: list[Value], args, kwargs, settings: Settings):
    """Run ``fn`` once, recording; (the Entry, what the call gives). Raises Eager, with the result, when it cannot be."""
    recorder = Recorder(name, unique)
    watch = Watch(fn, recorder.stop)
    entry: Entry | None = None
    try:
        with recorder:
            with watch:
                result = fn(*args, **kwargs)
            if not recorder.done:
                recorder.check_state()
            changed = watch.changed() if not recorder.done else None
            if changed is not None:
                recorder.broken = Reason(changed)
                recorder.release()
            if not recorder.done:
                entry = finish(recorder, watch, result, tensors)
    finally:
        recorder.release()
    if recorder.broken is not None or entry is None:
        stop = Eager(recorder.broken or Reason("it could not be recorded"))
        stop.result = result  # type: ignore[attr-defined]
        raise stop
    made = build(entry, recorder, tensors, settings)
    return entry, result if made is None else made


def reachable_state(t: Value, began: int) -> str:
    """Of the tape below a tensor: 'none', 'freed' (backward ran), or 'live'."""
    if t._node is None:
        return "none"
    seen, stack = {t._node}, [t._node]
    while stack:
        node = stack.pop()
        if node.saved is None:
            return "freed"
        for parent in node.inputs:
            if parent is not None and parent.seq >= began and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return "live"


def finish(recorder: Recorder, watch: Watch, result, tensors: list[Value]) -> Entry | None:
    """Make sense of what the function returned and left behind; records the backward of what can be differentiated."""
    entry = Entry(recorder.graph.name)
    entry.guards = watch.guards()
    recorder.modules = watch.modules
    leaves, entry.structure = pytree.flatten(result)
    place_of = {id(t): i for i, t in reversed(list(enumerate(tensors)))}
    results: list[str] = []
    smooth: list[Value] = []

    def place(key: str) -> int:
        results.append(key)
        return len(results) - 1

    for x in leaves:
        if not isinstance(x, Value):
            if not isinstance(x, (int, float, bool, str, bytes, complex, type(None), dtypes.dtype)) and not callable(x):
                recorder.stop(f"it returns a {type(x).__name__}, which a replay cannot make anew")
                return None
            entry.outputs.append(("constant", x))
        elif id(x) in place_of:
            entry.outputs.append(("input", place_of[id(x)]))
        elif id(x) in recorder.known_tensors:
            entry.outputs.append(("constant", x))
        else:
            if x.__class__ is not value.tensor_class:
                recorder.stop(f"it returns a {type(x).__name__}")
                return None
            if isinstance(x._node, Leaf):
                recorder.stop("it returns a new tensor that requires a gradient")
                return None
            key = recorder.value_of(x)
            if recorder.done:
                return None
            root = recorder.root(key)
            outside = recorder.graph.values[root].kind not in ("activation",)
            how = reachable_state(x, recorder.began)
            if outside and how == "live":
                recorder.stop("it returns a view of a tensor from outside")
                return None
            if root in recorder.constants:
                with_grad, state.grad = state.grad, False
                key = recorder.value_of(ops.clone(x))
                state.grad = with_grad
            if how == "live":
                entry.outputs.append(("smooth", (place(key), len(smooth))))
                smooth.append(x)
            else:
                entry.outputs.append(("array", place(key)))
    # gradients left behind
    for p in [p for p, _ in recorder.started_with.values()] + list(recorder.cleared.values()):
        if id(p) not in recorder.known_tensors:
            continue
        if id(p) in place_of:
            recorder.stop("the gradient of an argument is left in its .grad")
            return None
        g = p._grad
        if g is None:
            entry.final_grads.append((p, None))
        elif recorder.grad_owner.get(id(g)) is p and id(p) not in recorder.cleared:
            continue
        else:
            if g._node is not None:
                recorder.stop("a gradient with a history (create_graph=True) is left behind")
                return None
            key = recorder.value_of(g)
            if recorder.done:
                return None
            if recorder.graph.values[recorder.root(key)].kind != "activation":
                with_grad, state.grad = state.grad, False
                key = recorder.value_of(ops.clone(g))
                state.grad = with_grad
            entry.final_grads.append((p, place(key)))
    entry.cleared = [p for p in recorder.cleared.values() if id(p) in recorder.known_tensors]
    entry.grad_rules = list(recorder.started_with.values())
    entry.grad_rules = [(p, had) for p, had in entry.grad_rules if id(p) in recorder.known_tensors]
    entry.results = results
    entry.smooth = [what[0] for kind, what in entry.outputs if kind == "smooth"]
    entry.split = len(recorder.graph.nodes)
    entry.differentiates = recorder.differentiates
    if smooth:
        record_backward(entry, recorder, smooth, tensors, place_of)
        if recorder.done:
            return None
    return entry


def record_backward(entry: Entry, recorder: Recorder, smooth: list[Value], tensors: list[Value], place_of) -> None:
    """Record the gradients of the outputs with respect to arguments and captured tensors."""
    stops: dict = {}
    for i, t in enumerate(tensors):
        if t._node is not None:
            stops.setdefault(t._node, ("input", i))
    for t in list(recorder.captured.values()):
        if t._node is not None:
            stops.setdefault(t._node, ("captured", t))
    weights = []
    for t in smooth:
        array = ones(recorder.library, t._array.shape, t._array.dtype)
        key = recorder.add(array, "input", "gradient")
        weights.append(wrap(array))
        entry.weights.append(key)
    found = gradients(recorder, smooth, weights, set(stops))
    if recorder.done:
        return
    entry.wants, entry.has_gradient = [], []
    before, state.grad = state.grad, False
    try:
        for node, what in stops.items():
            entry.wants.append(what)
            entry.has_gradient.append(node in found)
            if node in found:
                g = found[node]
                key = recorder.value_of(g)
                root = recorder.root(key)
                if recorder.graph.values[root].kind != "activation" or root in recorder.given or key in entry.weights:
                    key = recorder.value_of(ops.clone(g))
                    root = recorder.root(key)
                recorder.given.add(root)
                entry.grad_names.append(key)
    finally:
        state.grad = before


def ones(library, shape: tuple, dtype):
    """An array of ones of that library."""
    return (np if library is None else library.m.xp).ones(shape, dtype)


def line_of(source: dict) -> str:
    """A graph node's place in the user's program as errors name places."""
    return f"{source['file']}:{source['line']} in {source['function']}" + (
        f": {source['code']}" if source["code"] else ""
    )


def build(entry: Entry, recorder: Recorder, tensors: list[Value], settings: Settings):
    """Turn the recording into programs, which run from the next call on.

    Gives what the recorded call itself returns where that is differentiated later, so that it is as in further calls;
    None where that is what the function returned, or where an array that backward reads is gone already.
    """
    graph = recorder.graph
    entry.graph = graph
    split, results = entry.split, entry.results
    forward, backward = graph.nodes[:split], graph.nodes[split:]
    inputs = list(graph.inputs)
    order = {id(t): k for t, k in zip(recorder.inputs, inputs, strict=True)}
    names = [order[id(t)] for t in tensors]
    library = recorder.library or backends.load("numpy")
    on_cpu = library.name == "numpy"
    entry.recorded_nodes = len(graph.nodes)
    for n in forward:
        if n.source:
            for k in n.inputs:
                entry.read_by.setdefault(k, line_of(n.source))
    if entry.smooth:
        made_by = next((n.source for n in forward if results[entry.smooth[0]] in n.outputs), None)
        entry.made_by = line_of(made_by) if made_by else ""
    captured, constants, fresh = recorder.captured, recorder.constants, recorder.fresh
    facts = passes.Facts(
        graph,
        recorder.arrays,
        {k: a for k, a in constants.items() if k not in fresh},
        {*results, *entry.grad_names},
        {recorder.root(k) for k in recorder.written},
        recorder.foreign,
    )
    marks = {n.id for n in forward}
    entry.eager_peak = memory.peak(memory.lifetimes(graph.nodes, facts), facts, len(graph.nodes))
    nodes, entry.passes = passes.run_all([*forward, *backward], facts)
    if on_cpu and settings.fusion:
        from mlkit.compiler import pairs

        before, nodes = len(nodes), pairs.pieces(nodes, facts)
        entry.passes.append(("gradients of pieces", before, len(nodes)))
        before, nodes = len(nodes), pairs.products(nodes, facts)
        entry.passes.append(("sums of products", before, len(nodes)))
        if settings.numba:
            before, nodes = len(nodes), joined(nodes, facts)
            entry.passes.append(("norms and linear layers with what follows", before, len(nodes)))
        before, nodes = len(nodes), passes.dead_code(nodes, facts)
    forward, backward = [n for n in nodes if n.id in marks], [n for n in nodes if n.id not in marks]
    constants = {**constants, **facts.constants}
    made = {k for n in forward for k in n.outputs}
    saved: list[str] = []
    if entry.smooth:
        own = {k for n in backward for k in n.outputs} | set(entry.weights)
        saved = [k for k in dict.fromkeys(a for n in backward for a in n.inputs) if k not in own]
        saved += [k for k in entry.grad_names if k not in own and k not in saved]
        entry.kept_tensors = [captured[k] for k in saved if k in captured]
        kept_keys = [k for k in saved if k in captured]
        saved = [k for k in saved if k not in captured and k not in constants]
        entry.saved_keys = [*saved, *kept_keys]
    extra = [k for k in saved if k in made or k in fresh]
    entry.count = len(results)
    all_results = [*results, *[k for k in extra if k not in results]]
    position = {k: i for i, k in reversed(list(enumerate(all_results)))}
    entry.saved = [(position.get(k, -1), names.index(k) if k in names else None) for k in saved]
    old = list(recorder.old_grads)
    entry.old_grads = [recorder.old_grads[k] for k in old]
    handed = {k for n in forward if n.op == "call" for k in n.inputs}
    plan = None
    if on_cpu:
        forward = fused(forward, facts, {*all_results, *handed}, settings, entry)
        plan = memory.plan(forward, facts, {*all_results, *handed}) if settings.memory_plan else None
    entry.forward = Program(
        graph, forward, [*_unique_inputs(names), *old], all_results, captured, constants, fresh, plan, library
    )
    if entry.smooth:
        # what backward reads besides what forward saved: constants, parameters, copies of fresh ones are forward's
        if on_cpu:
            backward = fused(backward, facts, set(entry.grad_names), settings, entry)
            plan = memory.plan(backward, facts, set(entry.grad_names)) if settings.memory_plan else None
        entry.backward = Program(
            graph, backward, [*saved, *entry.weights], entry.grad_names, captured, constants, {}, plan, library
        )
        if entry.backward.replay is not None:
            entry.backward.replay.lender = entry.forward.replay
    entry.captured = {**entry.forward.captured, **(entry.backward.captured if entry.backward else {})}
    for what in entry.wants:
        if what[0] == "captured":
            key = next(k for k, t in captured.items() if t is what[1])
            entry.captured[key] = what[1]
    for key, t in captured.items():  # what needs no gradient and is not read any more was folded: it still matters
        entry.captured.setdefault(key, t)
    entry.arrays = {k: t._array for k, t in entry.captured.items()}
    entry.needs = {k: t._node is not None for k, t in entry.captured.items()}
    entry._note_bound()
    for root in recorder.written:
        kind = graph.values[root].kind
        if kind == "input":
            entry.changed.append(("input", names.index(root)))
        elif root in captured and not _stepped(graph, root):
            entry.changed.append(("captured", captured[root]))
    entry.stale = False
    entry.alone = entry.structure is pytree.LEAF and entry.backward is None and entry.outputs[0][0] == "array"
    found = tuple(recorder.arrays.real(k) for k in all_results) if entry.smooth and on_cpu else (None,)
    return entry.result(tensors, found) if all(x is not None for x in found) else None


def joined(nodes: list, facts: passes.Facts) -> list:
    """The nodes with each pair that has a kernel of its own as one node."""
    from mlkit.compiler import fusion, pairs

    return pairs.linear_relu(pairs.join(nodes, facts), facts) if fusion.usable() else nodes


def fused(nodes: list, facts: passes.Facts, kept: set[str], settings: Settings, entry: Entry) -> list:
    """The nodes with chains of elementwise ops as one node each, unless that is switched off."""
    if not settings.fusion:
        return nodes
    from mlkit.compiler import fusion, reductions

    before = len(nodes)
    nodes = reductions.fuse(nodes, facts, kept, settings.numba)
    entry.passes.append(("sums with what they add up", before, len(nodes)))
    before = len(nodes)
    nodes = fusion.fuse(nodes, facts, kept, settings.numba)
    entry.passes.append(("fusion", before, len(nodes)))
    return nodes


def _unique_inputs(names: list[str]) -> list[str]:
    """Parameter names of the program: an argument that comes twice gets a second, unused name."""
    out: list[str] = []
    for i, k in enumerate(names):
        out.append(k if k not in out else f"again_{i}")
    return out


def _stepped(graph, root: str) -> bool:
    """Whether only calls (an optimizer's step, which says so itself) change it."""
    return all(
        n.op != "write" or graph.values[n.arguments[0]].base not in (root,) and n.arguments[0] != root
        for n in graph.nodes
    )


# --- settings and the public function ----------------------------------------------------------------------------------------


class Settings:
    """The arguments of compile, checked."""

    MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
    OPTIONS = {"recompile_limit": RECOMPILE_LIMIT, "fusion": True, "memory_plan": True}

    def __init__(self, fullgraph=False, dynamic=None, backend="mlkit", mode=None, options=None, disable=False):
        if backend not in ("mlkit", "inductor", "numpy", "numba", "eager", "aot_eager") and not callable(backend):
            raise ValueRangeError(
                f"compile: no backend named {backend!r}.",
                hint="'mlkit' (the default; PyTorch's 'inductor' means the same), 'numpy' (no Numba kernels), or 'eager'.",
            )
        if callable(backend):
            raise ArgumentError(
                "compile: a backend of your own is not possible.",
                hint="mlkit.compiler.trace(fn, *inputs) gives you the graph to work on.",
            )
        if mode is not None and mode not in self.MODES:
            raise ValueRangeError(f"compile: mode must be one of {', '.join(self.MODES)}, got {mode!r}.")
        if mode is not None and options is not None:
            raise ArgumentError("compile: mode and options cannot be given together.")
        if dynamic:
            raise ArgumentError(
                "compile: dynamic=True is not possible: each shape gets its own program.",
                hint="Leave it out; pad to few shapes when there are many (at most options['recompile_limit'] are recorded).",
            )
        unknown = set(options or {}) - set(self.OPTIONS)
        if unknown:
            raise ArgumentError(
                f"compile: unknown option {sorted(unknown)[0]!r}.", hint=f"There are {', '.join(self.OPTIONS)}."
            )
        given = {**self.OPTIONS, **(options or {})}
        self.fullgraph = bool(fullgraph)
        self.limit = int(given["recompile_limit"])
        self.numba = backend in ("mlkit", "inductor", "numba")
        self.fusion = bool(given["fusion"])
        self.memory_plan = bool(given["memory_plan"])
        self.mode = mode or "default"
        self.disable = bool(disable) or backend in ("eager", "aot_eager")


class _Disabled(threading.local):
    depth = 0


_disabled = _Disabled()

_all: weakref.WeakSet = weakref.WeakSet()


def compile(  # noqa: A001 - PyTorch's name
    model: Callable | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str = "mlkit",
    mode: str | None = None,
    options: dict | None = None,
    disable: bool = False,
):
    """Record ``model`` on its first call and replay it from then on: the same numbers with less work around them.

    Args:
        model: a function of tensors, a Module, or a whole training step (forward, ``backward()``, clipping,
            ``optimizer.step()``, ``scheduler.step()``). Left out: gives a decorator.
        fullgraph: raise, instead of running eagerly with a warning, when something cannot be recorded.
        dynamic: only False or None: each shape gets its own program.
        backend: "mlkit", "numpy" (no Numba kernels) or "eager" (compile nothing).
        mode: PyTorch's names are accepted; all mean the same here.
        options: "recompile_limit" (8), "fusion" (True), "memory_plan" (True).
        disable: give ``model`` back as it is.

    A recording belongs to the shapes, dtypes and strides of the tensors among the arguments, to all other arguments,
    to the grad mode, and to the Python values the function reads: global names, its closure, attributes of modules
    (such as ``training``) and of ``self``. When one is another, the function is recorded again, up to the limit.
    Learning rates, schedules and random numbers stay live. A branch on numbers, ``.item()``, ``print`` or hooks cannot
    be recorded: then the call runs eagerly, and one warning says why and where.

    On a GPU the program is captured as CUDA graphs on its second replay and sent as a whole from then on, new data copied
    into its inputs; optimizer steps run between graphs. What cannot be captured (a solver, say) runs step by step, and one
    warning says so. A gradient in ``.grad`` lies in the graph's memory until the next call; tensors that somebody still
    holds keep their numbers.

    >>> import mlkit
    >>> f = mlkit.compile(lambda x: (x * 2 + 1).relu())
    >>> f(mlkit.tensor([-1.0, 2.0])), f(mlkit.tensor([1.0, -2.0]))
    (tensor([0., 5.]), tensor([3., 0.]))
    """
    settings = Settings(fullgraph, dynamic, backend, mode, options, disable)
    if model is None:
        return lambda fn: compile(
            fn, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, disable=disable
        )
    if not callable(model):
        raise ArgumentError(f"compile: expected a function or a Module, got {type(model).__name__}.")
    if settings.disable:
        return model
    if isinstance(model, type):
        raise ArgumentError("compile: got a class.", hint="Make the module first: mlkit.compile(Net()).")
    if isinstance(model, Module):
        return model if isinstance(model, OptimizedModule) else OptimizedModule(model, settings)
    if getattr(model, "_compiled", None) is not None:
        return model
    compiled = Compiled(model, settings)

    @functools.wraps(model)
    def call(*args, **kwargs):
        return compiled(args, kwargs)

    call._compiled = compiled  # type: ignore[attr-defined]
    call.explain = lambda: explain(compiled)  # type: ignore[attr-defined]
    call._repr_html_ = lambda: explain(compiled)._repr_html_()  # type: ignore[attr-defined]
    call.reset = compiled.reset  # type: ignore[attr-defined]
    return call


def explain(compiled: Compiled):
    from mlkit.compiler.explain import Explanation

    return Explanation(compiled)


class OptimizedModule(Module):
    """A compiled module: looks like the one inside (``_orig_mod``), whose parameters, attributes and state these are."""

    def __init__(self, module: Module, settings: Settings):
        super().__init__()
        self._modules["_orig_mod"] = module
        object.__setattr__(self, "_settings", settings)
        object.__setattr__(self, "_compiled", Compiled(module, settings))
        object.__setattr__(self, "training", module.training)

    @property
    def _inner(self) -> Module:
        return self._modules["_orig_mod"]

    def __call__(self, *args, **kwargs):
        return self._compiled(args, kwargs)

    def forward(self, *args, **kwargs):
        return self._compiled(args, kwargs)

    def __getattr__(self, name: str):
        if name == "_orig_mod":
            return self.__dict__["_modules"]["_orig_mod"]
        return getattr(self.__dict__["_modules"]["_orig_mod"], name)

    def __setattr__(self, name: str, new) -> None:
        if name in ("training",):
            object.__setattr__(self, name, new)
            self._modules["_orig_mod"].train(new) if isinstance(new, bool) and self._inner.training != new else None
        else:
            setattr(self._modules["_orig_mod"], name, new)

    def __delattr__(self, name: str) -> None:
        delattr(self._inner, name)

    def __getitem__(self, key):
        return self._inner[key]  # type: ignore[index]

    def __len__(self) -> int:
        return len(self._inner)  # type: ignore[arg-type]

    def __iter__(self):
        return iter(self._inner)  # type: ignore[call-overload]

    def __bool__(self) -> bool:
        return True

    def __deepcopy__(self, memo):
        return OptimizedModule(copy.deepcopy(self._inner, memo), self._settings)

    def __reduce__(self):
        return OptimizedModule, (self._inner, self._settings)

    def train(self, mode: bool = True):
        self._inner.train(mode)
        object.__setattr__(self, "training", mode)
        return self

    def explain(self):
        """What was recorded and what became of it: ``print`` it, or let a notebook show it."""
        return explain(self._compiled)

    def reset(self) -> None:
        """Forget the recordings of this module."""
        self._compiled.reset()


def reset() -> None:
    """Forget every recording in this process.

    >>> import mlkit
    >>> mlkit.compiler.reset()
    """
    for compiled in list(_all):
        compiled.reset()


def is_compiling() -> bool:
    """Whether the running code is being recorded."""
    return state.recorder is not None


class _DisableContext:
    def __enter__(self):
        _disabled.depth += 1
        return self

    def __exit__(self, *exc):
        _disabled.depth -= 1

    def __call__(self, fn):
        return disable(fn)


def disable(fn: Callable | None = None, recursive: bool = True):
    """A function that always runs eagerly: compiled code that calls it runs eagerly too, and says so. Without a function,
    a context in which compiled functions run eagerly.

    >>> import mlkit
    >>> f = mlkit.compile(lambda x: x + 1)
    >>> with mlkit.compiler.disable():
    ...     f(mlkit.ones(1))
    tensor([2.])
    """
    if fn is None:
        return _DisableContext()

    @functools.wraps(fn)
    def call(*args, **kwargs):
        if state.recorder is not None:
            state.recorder.stop(f"{getattr(fn, '__name__', 'a function')} is marked with compiler.disable")
        with _DisableContext():
            return fn(*args, **kwargs)

    return call
