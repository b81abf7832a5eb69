"""backward(): walk the nodes from the loss to the leaves and let each op's gradient rule speak.

Nodes are ordered by the time they were made, so one sort of the reachable ones is a valid order. Gradients are bare
arrays, except where ``create_graph`` asks for a gradient of the gradient or a transform (vmap, forward mode) is at work;
then they are tensors, and the same rules are read with the tensor reader, which records nodes and passes interpreters.
"""

from __future__ import annotations

import importlib
import linecache
import re
import sys
import threading
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core import events, value
from mlkit.core.dispatch import Output, ops, state
from mlkit.core.errors import ArgumentError, DeviceError, GradientError, MlkitError, ShapeError, ValueRangeError
from mlkit.core.frames import place_of, users_frame
from mlkit.core.value import LASTING, Leaf, LevelArray, MetaArray, Node, Value, ends_nowhere, wrap
from mlkit.ops.registry import unbroadcast

# --- what was kept, handed to the rules -------------------------------------------------------------------------------


def changed(node: Node, what: str, storage) -> GradientError:
    change = storage.where
    facts = [("op", node.op.name), *_lines(node)]
    if change is not None:
        facts.append(("changed at", str(change)))
    hint = "Use the out-of-place form (x = x + 1 instead of x += 1), or change a clone()."
    if change is not None and re.search(r"\bstep\(", change.code):
        hint = (
            "An optimizer's step changes its parameters in place: call it after every backward() that needs them, or "
            "compute the loss again after it."
        )
    return GradientError(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        f"{what} of {node.op.name} is at version {storage.version}.",
        "\n".join(f"{fact}: {text}" for fact, text in facts),
        hint,
    )


def _lines(node: Node) -> list[tuple[str, str]]:
    """What is known of the user's lines behind a node: (fact, text)."""
    facts = [("made at", str(node.where))] if node.where is not None else []
    return facts + getattr(node.op, "lines", list)()


def freed(node: Node) -> GradientError:
    facts = [("op", node.op.name), *_lines(node)]
    by = getattr(node, "freed_by", None)
    if by is not None:
        facts.append(("freed by backward at", str(place_of(*by))))
    hint = "Call backward(retain_graph=True) the first time, or compute the loss again before each backward()."
    return GradientError(
        "Trying to backward through the graph a second time: what this step kept was freed by the first backward().",
        "\n".join(f"{fact}: {text}" for fact, text in facts),
        hint,
    )


def explain(error: Exception, node: Node, g) -> None:
    """Say at which step of backward an error came: the op, what went in and out of it, the forward line if known."""
    if hasattr(error, "mlkit_node"):
        return  # a step inside this one has said it
    error.mlkit_node = node  # type: ignore[attr-defined]
    parts = g if g.__class__ is list else [g]
    shapes = ", ".join(str(tuple(p.shape)) for p in parts if p is not None)
    facts = [("in backward of", f"{node.op.name}, whose gradient has shape {shapes}")]
    kept = [tuple(k.shape) for k in node.saved or () if isinstance(k, Value)]
    if kept:
        facts.append(("kept for it", ", ".join(map(str, kept))))
    _tell(error, facts + _lines(node))


def _tell(error: Exception, facts: list) -> None:
    """Add facts to an error of any class; what it says already stays as it is."""
    for fact, text in facts:
        if isinstance(error, MlkitError):
            if f"\n{fact}: " not in f"\n{error.details or ''}":
                error.tell(fact, text)
        else:
            error.add_note(f"{fact}: {text}")


def explain_hook(error: Exception, kind: str, node) -> None:
    """Say whose hook an error came from: the hook's own line is in the traceback, the forward line is not."""
    if hasattr(error, "mlkit_node"):
        return
    error.mlkit_node = node  # type: ignore[attr-defined]
    if node.__class__ is Leaf:
        tensor = node.ref()
        of = "a leaf" if tensor is None else f"a leaf of shape {tuple(tensor._array.shape)}"
        _tell(error, [(f"in {kind} of", of)])
    else:
        _tell(error, [(f"in {kind} of", getattr(node.op, "name", node.name())), *_lines(node)])


def call_hook(kind: str, node, hook: Callable, *args):
    """What a user's hook gives; an error in it names the forward line of what it belongs to."""
    if state.recorder is not None:
        state.recorder.stop("a hook on a gradient runs in it, which a replay would not call")
    try:
        return hook(*args)
    except Exception as error:
        explain_hook(error, kind, node)
        raise


class Packed:
    """Something kept that saved_tensors_hooks replaced; ``unpack()`` gives it back."""

    __slots__ = ("unpack",)

    def __init__(self, unpack: Callable):
        self.unpack = unpack


def kept_array(kept, node: Node):
    """The array of a kept input (a number stays one)."""
    if isinstance(kept, Value):
        storage = kept._storage
        if storage is not None and storage.mutated > node.seq:
            raise changed(node, f"an input with shape {tuple(kept._array.shape)}", storage)
        return kept._array
    if kept.__class__ is list:
        return [kept_array(k, node) for k in kept]
    return kept.unpack()._array if kept.__class__ is Packed else kept


def _several(kept: tuple) -> bool:
    """Whether this is a tuple of kept outputs (None for those no rule reads), not one output with its storage."""
    return kept[0] is None or kept[0].__class__ is tuple or kept[0].__class__ is Packed


def kept_output_array(kept, node: Node):
    if kept is None:  # one that the rule does not read
        return None
    if kept.__class__ is Packed:
        return kept.unpack()._array
    if _several(kept):
        return tuple([None if k is None else kept_output_array(k, node) for k in kept])
    array, storage = kept
    if storage.mutated > node.seq:
        raise changed(node, f"the output with shape {tuple(array.shape)}", storage)
    return array


def kept_tensor(kept, node: Node):
    """The kept input as a tensor of the graph, for gradients of gradients."""
    if kept.__class__ is Packed:
        return kept.unpack()
    if kept.__class__ is list:
        return [kept_tensor(k, node) for k in kept]
    kept_array(kept, node)  # the same check
    return kept


def kept_output_tensor(kept, node: Node):
    if kept.__class__ is not Packed and _several(kept):
        return tuple(
            [None if k is None else wrap(kept_output_array(k, node), Output(node, i)) for i, k in enumerate(kept)]
        )
    out = wrap(kept_output_array(kept, node), node)
    if kept.__class__ is not Packed:
        out._storage = kept[1]
    return out


def _runner(op, tensors: bool) -> Callable:
    """A function (m, g, node) -> gradients of the inputs, written out for this op's rules."""
    rules = op.rules
    of_output = "kept_output_tensor" if tensors else "kept_output_array"

    def source(slot) -> str:
        kind = slot[0]
        if kind == "needs":
            return "needs"
        number = rules.slots.index(slot)
        if kind == "input" and tensors:
            return f"kept_tensor(saved[{number}], node)"
        if kind == "input":  # the usual case written out: a plain tensor whose memory was not changed meanwhile
            k = f"k{number}"
            same = "(s := " + k + "._storage) is None or s.mutated <= node.seq"
            return (
                f"({k}._array if ({k} := saved[{number}]).__class__ in plain and ({same}) else kept_array({k}, node))"
            )
        if kind == "out":
            return f"{of_output}(saved[{number}], node)"
        if kind == "attribute":
            return f"node.attributes[{slot[1]!r}]"
        return f"saved[{number}]"

    lines = ["def run(m, g, node):", "    saved = node.saved", "    inputs = node.inputs"]
    scope: dict = {
        "kept_array": kept_array,
        "kept_tensor": kept_tensor,
        "kept_output_array": kept_output_array,
        "kept_output_tensor": kept_output_tensor,
        "plain": value.tensor_types,
    }
    if rules.joint is not None:
        fn, plan = rules.joint
        scope["rule"] = fn if tensors else overridable(op.name, None, fn)
        lines.append("    needs = [n is not None for n in inputs]")
        count = len(op.inputs)
        if not op.variadic:
            lines.append(f"    needs += [False] * ({count} - len(needs))")
        lines.append(f"    return rule({', '.join(['m', 'g', *map(source, plan)])})")
    else:
        parts = []
        for i, each in enumerate(rules.each):
            if each is None:
                parts.append("None")
                continue
            fn, plan = each
            name = op.inputs[i] if len(rules.each) > 1 else None
            scope[f"rule_{i}"] = fn if tensors else overridable(op.name, name, fn)
            call = f"rule_{i}({', '.join(['m', 'g', *map(source, plan)])})"
            parts.append(call if len(rules.each) == 1 else f"{call} if inputs[{i}] is not None else None")
        lines.append(f"    return ({', '.join(parts)},)")
    text = "\n".join(lines) + "\n"
    filename = f"<mlkit backward of {op.name}{' on tensors' if tensors else ''}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    exec(compile(text, filename, "exec"), scope)  # noqa: S102 - our own text, from the op's rules
    return scope["run"]


def overridable(op_name: str, input_name: str | None, rule: Callable) -> Callable:
    """The gradient rule, or what runs in its place where a loaded backend does it quicker."""
    key = (op_name, input_name)
    special = {b.m: b.gradients[key] for b in backends.loaded() if key in b.gradients}
    if not special:
        return rule
    if len(backends.loaded()) == 1:
        ((only),) = special.values()
        return lambda m, g, *kept: only(rule, m, g, *kept)

    def run(m, g, *kept):
        chosen = special.get(m)
        return rule(m, g, *kept) if chosen is None else chosen(rule, m, g, *kept)

    return run


_array_runners: dict = {}
backends.when_loaded.append(_array_runners.clear)
_tensor_runners: dict = {}


def runner_of(op, tensors: bool) -> Callable:
    """The function that runs this op's gradient rules, on arrays or on tensors."""
    custom = getattr(op, "backward_runner", None)
    if custom is not None:
        return custom(tensors)
    runners = _tensor_runners if tensors else _array_runners
    runner = _runner(op, tensors)
    runners[op] = _flat(op, runner) if tensors and op.flat else runner
    return runners[op]


class _Flat:
    """The gradient of an op whose slope changes nowhere: it depends on the op's input all the same, with a slope of 0."""

    holds = False
    outputs = 1
    rules = None

    def __init__(self, op):
        self.name = f"{op.name}_backward"

    def backward_runner(self, tensors: bool):
        return lambda m, g, node: (g, m.zeros_like(g))


def _flat(op, runner: Callable) -> Callable:
    """``runner`` whose gradients, where they are differentiated again, are tied to the input that they belong to."""
    tie = _Flat(op)
    kind = value.node_type(tie)
    modes = op.flat

    def run(m, g, node):
        results = runner(m, g, node)
        if not state.grad or modes is not True and node.attributes.get("mode") not in modes:
            return results
        return tuple(
            r if r is None or parent is None else tied(r, parent)
            for r, parent in zip(results, node.inputs, strict=False)
        )

    def tied(r: Value, parent) -> Value:
        node = kind()
        node.op, node.inputs, node.saved, node.attributes, node.shapes = tie, (r._node, parent), (), LASTING, None
        node.seq = value.tick()
        value.remember_line(node)
        return wrap(r._array, node)

    return run


#: Whether references are counted exactly, as CPython with its lock does.
COUNTED = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()


class Visiting(threading.local):
    """The walk that runs now in this thread, for hooks that wait for several gradients."""

    now: tuple | None = None


visiting = Visiting()

# --- the walk -----------------------------------------------------------------------------------------------------------


def reachable(roots: Sequence) -> list:
    """All nodes below the roots, the newest first."""
    seen = set(roots)
    stack = list(seen)
    while stack:
        for parent in stack.pop().inputs:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=attrgetter("seq"), reverse=True)


def leads_to(order: list, targets: set) -> set:
    """Those nodes from which a target can be reached."""
    useful = set()
    for node in reversed(order):
        if node in targets or any(p in useful for p in node.inputs if p is not None):
            useful.add(node)
    return useful


_PIECES = ("narrow", "slice")


def addable(total, r) -> bool:
    """Whether r can be added to total in place with the result that ``total + r`` has."""
    return (
        total.__class__ is np.ndarray
        and r.__class__ is np.ndarray
        and total.shape == r.shape
        and total.dtype is r.dtype
    )


def add_piece(op, node: Node, g, pending: dict, owned: set) -> bool:
    """Add the gradient of a piece of a tensor into the tensor's pending one, without a copy of its size in between."""
    parent = node.inputs[0]
    total = pending.get(parent)
    if parent not in owned or total.__class__ is not np.ndarray or g.__class__ is not np.ndarray:
        return False
    if value.node_hooks.data and node in value.node_hooks or total.dtype != g.dtype:
        return False
    given = node.attributes
    if op.name == "narrow":
        place = (slice(None),) * given["dim"] + (slice(given["start"], given["start"] + given["length"]),)
    else:
        place = (*given["index"], ...)
    piece = total[place]
    if piece.shape != g.shape:
        return False
    piece += g
    return True


def run(
    roots: list,
    gradients: list,
    retain_graph: bool,
    create_graph: bool,
    targets: dict | None = None,
    tensors: bool = False,
) -> dict:
    """Carry gradients from roots to the leaves.

    Without ``targets`` leaves accumulate into ``.grad``; with targets (node -> position) the gradients of those nodes
    are returned by position and nothing is accumulated. ``tensors`` says that gradients shall be tensors all the way.
    """
    order = reachable(roots)
    useful = leads_to(order, set(targets)) if targets is not None else None
    pending: dict = {}
    for node, g in zip(roots, gradients, strict=True):
        if not tensors:
            g = g._array.copy() if node.__class__ is Leaf else g._array
        old = pending.get(node)
        pending[node] = g if old is None else old + g
    found: dict = {}
    runners = _tensor_runners if tensors else _array_runners
    listening = "backward_node" in events.listeners
    # nodes whose pending gradient was made here, for them alone: more may be added to it in place
    owned: set = set()
    in_place = not tensors and not listening
    recorder = state.recorder if tensors else None
    before, outer = state.grad, visiting.now
    state.grad, visiting.now = create_graph, (order, useful)
    # the tables' own dictionaries: asking a WeakKeyDictionary whether it is empty is a Python call
    tensor_hooks, node_hooks, prehooks = (
        table.data for table in (value.tensor_hooks, value.node_hooks, value.node_prehooks)
    )
    kind: Any = None
    frame = users_frame(sys._getframe(1))
    here = (frame.f_code, frame.f_lasti)
    del frame
    try:
        for node in order:
            g = pending.pop(node, None)
            if g is None:
                continue
            if owned:
                owned.discard(node)
            if useful is not None and node not in useful:
                continue
            if tensor_hooks and node in value.tensor_hooks:
                g = run_tensor_hooks(node, g, tensors)
            if targets is not None and node in targets:
                found[targets[node]] = g
            if node.__class__ is Leaf:
                if prehooks and node in value.node_prehooks:
                    g = run_prehooks(node, g, tensors)
                if targets is None:
                    accumulate(node, g, tensors)
                continue
            if node.__class__ is Output:
                parent = node.inputs[0]
                slots = pending.get(parent)
                if slots is None:
                    slots = pending[parent] = [None] * parent.op.outputs if parent.op.outputs > 1 else [None]
                add_into(slots, node.number, g)
                continue
            if node.saved is None:
                raise freed(node)
            if prehooks and node in value.node_prehooks:
                g = run_prehooks(node, g, tensors)
            op = node.op
            if owned and op.name in _PIECES and in_place and add_piece(op, node, g, pending, owned):
                if node.saved and op.holds and not retain_graph:
                    node.saved, node.freed_by = None, here
                continue
            m: Any
            if tensors:
                m = ops
            else:
                first = g if g.__class__ is not list else next(x for x in g if x is not None)
                if first.__class__ is not kind:
                    kind = first.__class__
                    library = ops if kind is MetaArray else backends.for_array(first).m
                m = library
            if m is ops and not tensors:
                results = on_meta(op, node, g)
            else:
                try:
                    rule = runners.get(op) or runner_of(op, tensors)
                    results = rule(m, g, node) if recorder is None else recorder.gradient(rule, m, g, node)
                except Exception as error:
                    explain(error, node, g)
                    raise
            shapes = node.shapes
            inputs = node.inputs
            if node_hooks and node in value.node_hooks:
                results = run_node_hooks(node, results, g, tensors)
            if listening:
                events.emit("backward_node", node, results)
            if not retain_graph and node.saved and op.holds and node.attributes is not LASTING:
                node.saved, node.freed_by = None, here
            for i, parent in enumerate(inputs):
                if parent is None:
                    continue
                r = results[i]
                if r is None:
                    continue
                if shapes is not None:
                    wanted = shapes[i]
                    own = r.shape if not tensors else r._array.shape
                    if own != wanted:
                        r = unbroadcast(m, r, wanted)
                old = pending.get(parent)
                if old is None:
                    if parent.__class__ is Leaf and not tensors and (r is g or i and shared(r, results, i)):
                        r = r.copy() if r.__class__ is not MetaArray else r  # two leaves must not share one .grad
                    pending[parent] = r
                    if in_place and op.name in _PIECES:
                        owned.add(parent)  # zeros with a piece filled in, made a moment ago
                elif parent in owned and addable(old, r):
                    old += r
                else:
                    pending[parent] = sum_of(m, old, r)
                    if in_place:
                        owned.add(parent)
    finally:
        state.grad, visiting.now = before, outer
    return found


def sum_of(m, old, r):
    """Two gradients of one tensor together: by the backend's own addition, which keeps the order of memory."""
    if old.__class__ is np.ndarray or old.__class__ is not r.__class__ or m is ops or old.__class__ is MetaArray:
        return old + r
    return m.add(old, r) if old.dtype == r.dtype else old + r


def shared(r, results, count: int) -> bool:
    """Whether the gradient is the very array that an input before it gets."""
    return r is results[0] if count == 1 else any(r is x for x in results[:count])


def add_into(slots: list, number: int, g) -> None:
    slots[number] = g if slots[number] is None else slots[number] + g


def on_meta(op, node: Node, g):
    """Gradients on the meta device: shapes of the inputs, no numbers."""
    dtype = g.dtype if g.__class__ is MetaArray else next(x for x in g if x is not None).dtype
    results = []
    for parent, kept in zip(node.inputs, node.shapes or [None] * len(node.inputs), strict=False):
        shape = kept if kept is not None else (g.shape if g.__class__ is MetaArray else ())
        results.append(None if parent is None else MetaArray(shape, dtype))
    return tuple(results)


def as_tensor(g, tensors: bool):
    return g if tensors else wrap(g)


def from_tensor(g, tensors: bool):
    return g if tensors else g._array


def alone(view) -> bool:
    """Whether nothing but this view refers to the NumPy array that it shows all of (as a reshaped result does).

    Every further view would be a reference to that array: a view of a view refers to the array that has the memory."""
    base = view.base
    if base.__class__ is not np.ndarray or base.size != view.size or not base.flags.owndata or 0 in view.strides:
        return False
    return COUNTED and sys.getrefcount(base) <= 3  # the view's, the one here and the call's


def accumulate(leaf: Leaf, g, tensors: bool) -> None:
    """Add into the leaf's ``.grad``; then its post-accumulate hooks run."""
    tensor = leaf.ref()
    if tensor is None:
        return
    old = tensor._grad
    if state.recorder is not None:
        g = state.recorder.accumulates(tensor, g)
    if not tensors and g.dtype != tensor._array.dtype:
        g = g.astype(tensor._array.dtype)  # of low precision: rules may have computed in a wider one
    if tensors:
        tensor._grad = g if old is None else old + g
    elif old is None:
        # a view (of a broadcast, of a larger gradient) must not become .grad: it may share memory with others
        foreign = g.__class__ is not MetaArray and getattr(g, "base", None) is not None and not alone(g)
        tensor._grad = wrap(g.copy() if foreign else g)
    elif old._node is None:
        if old._array.__class__ is MetaArray:
            return
        old._array += g
        value.mark_mutated(old)
    else:
        tensor._grad = wrap(old._array + g)
    if value.node_hooks.data and leaf in value.node_hooks:
        for hook in list(value.node_hooks[leaf].values()):
            call_hook("a node hook", leaf, hook, (), (as_tensor(g, tensors),))
    hooks = tensor.__dict__.get("_post_accumulate_hooks")
    if hooks:
        for hook in list(hooks.values()):
            if call_hook("a post-accumulate hook", leaf, hook, tensor) is not None:
                raise GradientError(
                    "post accumulate grad hooks must return None.",
                    hint="Change tensor.grad in place, or set it, to have another gradient.",
                )


def _unfit(given, g: Value) -> MlkitError | None:
    """What is wrong with what a hook gave in place of a tensor's gradient."""
    if not isinstance(given, Value):
        return ArgumentError(
            f"A gradient hook must return None or a Tensor, not {type(given).__name__}.",
            hint="Return the gradient to use instead, or nothing to leave it as it is.",
        )
    if tuple(given._array.shape) != tuple(g._array.shape):
        return GradientError(
            "A gradient hook returned a gradient of another shape.",
            f"expected: {tuple(g._array.shape)}\ngot:      {tuple(given._array.shape)}",
        )
    if given._array.dtype != g._array.dtype:
        return GradientError(
            "A gradient hook returned a gradient of another dtype.",
            f"expected: {dtypes.from_numpy_dtype(g._array.dtype)}\ngot:      "
            f"{dtypes.from_numpy_dtype(given._array.dtype)}",
            "Convert it back: return new.to(grad.dtype).",
        )
    return None


def _number_of(given, expected: int, kind: str, node) -> tuple:
    """What a node's hook gave, as a tuple of as many gradients as there were."""
    given = given if isinstance(given, (tuple, list)) else (given,)
    if len(given) != expected:
        raise GradientError(
            f"{kind} of {node.name()} has returned an incorrect number of values (got {len(given)}, but expected "
            f"{expected}).",
            "\n".join(f"{fact}: {text}" for fact, text in _lines(node)) if node.__class__ is not Leaf else None,
        )
    return tuple(given)


def _after_others(hook: Callable) -> bool:
    """retain_grad sees what the other hooks made of the gradient, whenever they were registered."""
    return getattr(hook, "retains", False)


def run_tensor_hooks(node, g, tensors: bool):
    hooks = list(value.tensor_hooks[node].values())
    hooks.sort(key=_after_others)  # (keeps the order of the others)
    for hook in hooks:
        if g.__class__ is list:
            return g
        seen = as_tensor(g, tensors)
        changed_to = call_hook("a hook on the gradient", node, hook, seen)
        if changed_to is not None:
            problem = _unfit(changed_to, seen)
            if problem is not None:
                explain_hook(problem, "a hook on the gradient", node)
                raise problem
            g = from_tensor(changed_to, tensors)
    return g


def _tuple_of_tensors(g, tensors: bool) -> tuple:
    parts = g if isinstance(g, (list, tuple)) else (g,)
    return tuple(None if p is None else as_tensor(p, tensors) for p in parts)


def run_prehooks(node, g, tensors: bool):
    for hook in list(value.node_prehooks[node].values()):
        new = call_hook("a prehook", node, hook, _tuple_of_tensors(g, tensors))
        if new is not None:
            new = _number_of(new, len(g) if g.__class__ is list else 1, "a prehook", node)
            parts = [None if p is None else from_tensor(p, tensors) for p in new]
            g = parts if g.__class__ is list else parts[0]
    return g


def run_node_hooks(node, results, g, tensors: bool):
    for hook in list(value.node_hooks[node].values()):
        new = call_hook("a node hook", node, hook, _tuple_of_tensors(results, tensors), _tuple_of_tensors(g, tensors))
        if new is not None:
            new = _number_of(new, len(results), "a node hook", node)
            results = tuple(None if p is None else from_tensor(p, tensors) for p in new)
    return results


# --- the public functions --------------------------------------------------------------------------------------------------


def _sequence(x) -> list:
    return list(x) if isinstance(x, (list, tuple)) and not hasattr(x, "_node") else [x]  # an edge is a tuple too


def wants_tensors(tensors: list, gradients: list) -> bool:
    """Whether gradients must be tensors because a transform (vmap, forward mode) gave these ones their numbers."""
    return any(t is not None and isinstance(t._array, LevelArray) for t in (*tensors, *gradients))


def _initial_gradients(tensors: list, gradients, name: str) -> list:
    given = [None] * len(tensors) if gradients is None else _sequence(gradients)
    if len(given) != len(tensors):
        raise GradientError(f"{name}: got {len(tensors)} tensors and {len(given)} gradients.")
    out = []
    for tensor, g in zip(tensors, given, strict=True):
        array = tensor._array
        if g is None:
            if tensor._node is None:
                out.append(None)
                continue
            if array.size != 1:
                raise GradientError(
                    "grad can be implicitly created only for scalar outputs.",
                    f"the tensor has shape {tuple(array.shape)}",
                    "Reduce it first (loss.mean().backward()), or pass gradient=... of that shape.",
                )
            if array.dtype.kind == "c":
                raise GradientError(
                    "grad can be implicitly created only for real scalar outputs.",
                    hint="Take the real part first, or pass gradient=... yourself.",
                )
            g = ops.ones_like(tensor)
        elif tuple(g._array.shape) != tuple(array.shape):
            raise ShapeError(
                f"Mismatch in shape: grad_output has a shape of {list(g._array.shape)} and output has a shape of "
                f"{list(array.shape)}."
            )
        elif (g._array.__class__ is MetaArray) is not (array.__class__ is MetaArray):
            sides = [("output", array), ("gradient", g._array)]
            raise DeviceError(
                f"{name}: expected the gradient on its output's device.",
                "\n".join(f"{side}: {'on meta' if x.__class__ is MetaArray else 'with data'}" for side, x in sides),
                "Make both on one device.",
            )
        elif g._array.dtype != array.dtype:
            g = ops.cast(g, dtype=dtypes.from_numpy_dtype(array.dtype))
        out.append(g)
    return out


def _roots(tensors: list, gradients: list, name: str) -> tuple[list, list]:
    nodes, grads = [], []
    for tensor, g in zip(tensors, gradients, strict=True):
        if tensor._node is None:
            raise GradientError(
                "element 0 of tensors does not require grad and does not have a grad_fn.",
                hint="No parameter took part in it: check requires_grad, no_grad() blocks and detach() calls.",
            )
        nodes.append(tensor._node)
        grads.append(g)
    return nodes, grads


def backward(
    tensors,
    grad_tensors=None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables=None,
    inputs=None,
) -> None:
    """Add the gradient of ``tensors`` to the ``.grad`` of every leaf that took part (or only of ``inputs``).

    Args:
        tensors: a tensor or several.
        grad_tensors: the gradient to start with for each; may be left out for tensors of one element.
        retain_graph: keep what nodes saved, so that backward can run again; by default what create_graph is.
        create_graph: make the gradients differentiable.
        grad_variables: the old name of grad_tensors.
        inputs: accumulate into these tensors only.

    >>> import mlkit
    >>> x = mlkit.tensor([1.0, 2.0], requires_grad=True)
    >>> mlkit.autograd.backward((x * x).sum()); x.grad
    tensor([2., 4.])
    """
    if state.transforms:
        raise GradientError(
            "backward() called inside a function that is being transformed (vmap, grad, jvp, ...).",
            hint="Use mlkit.func.grad or mlkit.func.vjp in there, or call backward() outside.",
        )
    if grad_variables is not None:
        if grad_tensors is not None:
            raise GradientError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`.",
                hint="Please only use `grad_tensors`.",
            )
        grad_tensors = grad_variables
    tensors = _sequence(tensors)
    gradients = _initial_gradients(tensors, grad_tensors, "backward")
    nodes, gradients = _roots(tensors, gradients, "backward")
    keep = create_graph if retain_graph is None else retain_graph
    if "backward_start" in events.listeners:
        events.emit("backward_start", tensors)
    on_tensors = create_graph or wants_tensors(tensors, gradients)
    if inputs is None:
        run(nodes, gradients, keep, create_graph, tensors=on_tensors)
    else:
        wanted = _sequence(inputs)
        if not wanted:
            raise GradientError("backward: inputs argument to backward() cannot be empty.")
        for tensor, g in zip(wanted, targeted(nodes, gradients, wanted, keep, create_graph, on_tensors), strict=True):
            if g is not None:
                if isinstance(tensor._node, Leaf):
                    accumulate(tensor._node, from_tensor(g, on_tensors), on_tensors)
                else:
                    tensor._grad = g if tensor._grad is None else tensor._grad + g
    if "backward_end" in events.listeners:
        events.emit("backward_end")


def targeted(nodes: list, gradients: list, inputs, keep: bool, create_graph: bool, tensors: bool) -> list:
    """The gradients of ``inputs``, None where there is none."""
    places: dict = {}
    for tensor in inputs:
        if tensor._node is None:
            raise GradientError("One of the differentiated Tensors does not require grad.")
        if ends_nowhere(tensor):
            continue
        places.setdefault(tensor._node, len(places))
    found = run(nodes, gradients, keep, create_graph, places, tensors)
    out = []
    for tensor in inputs:
        g = found.get(places.get(tensor._node))
        if g is not None and not tensors and isinstance(tensor, Value) and g.dtype != tensor._array.dtype:
            g = g.astype(tensor._array.dtype)
        out.append(None if g is None else as_tensor(g, tensors))
    return out


def _places_of(outputs: list, inputs: list) -> tuple:
    """vmap's out_dims for gradients: None for inputs that no output reaches."""
    order = set(reachable([t._node for t in outputs if t._node is not None]))
    return tuple(0 if t._node in order else None for t in inputs)


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple:
    """The gradients of ``outputs`` with respect to ``inputs``, as a tuple; ``.grad`` is left alone.

    Args:
        outputs, inputs: a tensor or several.
        grad_outputs: the weight of each output; may be left out for outputs of one element.
        retain_graph: keep what nodes saved, so that backward can run again; by default what create_graph is.
        create_graph: make the gradients differentiable.
        only_inputs: accepted for PyTorch's sake; nothing else is computed.
        allow_unused: give None for inputs that took no part, instead of raising.
        is_grads_batched: grad_outputs have one more axis in front; so have the results (through vmap).
        materialize_grads: give zeros for inputs that took no part.

    >>> import mlkit
    >>> x = mlkit.tensor(3.0, requires_grad=True)
    >>> (g,) = mlkit.autograd.grad(x ** 3, x, create_graph=True); g
    tensor(27., grad_fn=<MulBackward0>)
    >>> mlkit.autograd.grad(g, x)
    (tensor(18.),)
    """
    outputs, inputs = _sequence(outputs), _sequence(inputs)
    if not inputs:
        raise GradientError("grad requires non-empty inputs.")
    if is_grads_batched:
        vmap = importlib.import_module("mlkit.func").vmap
        weights = tuple(_sequence(grad_outputs))
        keep = create_graph if retain_graph is None else retain_graph

        def each(*w):
            found = grad(outputs, inputs, w, True, create_graph, True, allow_unused, False, materialize_grads)
            return tuple(found)

        out = vmap(each, out_dims=0 if not allow_unused else _places_of(outputs, inputs))(*weights)
        if not keep:
            for node in reachable([t._node for t in outputs]):
                if node.__class__ is not Leaf and node.saved:
                    frame = users_frame(sys._getframe(1))
                    node.saved, node.freed_by = None, (frame.f_code, frame.f_lasti)
        return tuple(out)
    gradients = _initial_gradients(outputs, grad_outputs, "grad")
    nodes, gradients = _roots(outputs, gradients, "grad")
    keep = create_graph if retain_graph is None else retain_graph
    on_tensors = create_graph or wants_tensors(outputs, gradients)
    found = targeted(nodes, gradients, inputs, keep, create_graph, on_tensors)
    if allow_unused is None:
        allow_unused = materialize_grads
    elif materialize_grads and not allow_unused:
        raise ValueRangeError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    for i, g in enumerate(found):
        if g is None:
            if not allow_unused:
                raise GradientError(
                    "One of the differentiated Tensors appears to not have been used in the graph.",
                    f"inputs[{i}]: shape {tuple(inputs[i]._array.shape)}",
                    "Set allow_unused=True if this is the desired behavior.",
                )
            if materialize_grads:
                found[i] = ops.zeros_like(inputs[i])
    return tuple(found)
