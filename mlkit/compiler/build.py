"""From a call to an ``Entry``: running it once while it is recorded, its backward, and the programs."""

from __future__ import annotations

from mlkit.compiler import memory, passes
from mlkit.compiler.entry import Entry, ones
from mlkit.compiler.program import Program
from mlkit.compiler.recorder import Reason, Recorder, gradients
from mlkit.compiler.settings import Settings
from mlkit.compiler.watch import Watch
from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core import value
from mlkit.core.dispatch import ops, state
from mlkit.core.value import Leaf, Value, wrap
from mlkit.func import pytree
from mlkit.functional.placement import get_default_device


class Eager(Exception):
    """This call's recording cannot be used; the reason says why."""

    def __init__(self, reason: Reason):
        self.reason = reason


# --- recording one call -----------------------------------------------------------------------------------------------


def record_call(fn, name: str, unique: list[Value], tensors: list[Value], args, kwargs, settings: Settings):
    """Run ``fn`` once, recording; (the Entry, what the call gives). Raises Eager, with the result, when it cannot be."""
    recorder = Recorder(name, unique)
    given, form = pytree.flatten((args, kwargs))
    watch = Watch(fn, recorder.stop, given)
    entry: Entry | None = None
    modes = _modes()
    try:
        with recorder:
            with watch:
                result = fn(*args, **kwargs)
            if not recorder.done:
                recorder.check_state()
            changed = watch.changed() if not recorder.done else None
            if changed is None and not recorder.done:
                now, form_now = pytree.flatten((args, kwargs))
                if form_now != form or any(a is not b for a, b in zip(now, given, strict=True)):
                    changed = "the function changes a list or dict among its arguments"
                elif _modes() != modes:
                    changed = "the function changes the grad mode, the default dtype or the default device"
                elif (read := watch.own_attributes(given)) is not None:
                    changed = f"an attribute that a tensor was given by hand is read ({read!r})"
            if changed is not None:
                recorder.broken = Reason(changed)
                recorder.release()
            if not recorder.done:
                entry = finish(recorder, watch, result, tensors, (args, kwargs))
    finally:
        recorder.release()
    if recorder.broken is not None or entry is None:
        stop = Eager(recorder.broken or Reason("it could not be recorded"))
        stop.result = result  # type: ignore[attr-defined]
        raise stop
    made = build(entry, recorder, tensors, settings)
    return entry, result if made is None else made


def _modes() -> tuple:
    return state.grad, state.inference, dtypes.get_default_dtype(), get_default_device()


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


def containers(tree) -> list:
    """The lists and dicts in it."""
    if not isinstance(tree, (tuple, list, dict)):
        return []
    inside = tree.values() if isinstance(tree, dict) else tree
    return ([] if isinstance(tree, tuple) else [tree]) + [c for x in inside for c in containers(x)]


def finish(recorder: Recorder, watch: Watch, result, tensors: list[Value], arguments: tuple) -> Entry | None:
    """Make sense of what the function returned and left behind; records the backward of what can be differentiated."""
    entry = Entry(recorder.graph.name)
    entry.guards = watch.guards()
    reachable = watch.tensors()
    entry.same = [(i, t) for i, t in enumerate(tensors) if id(t) in reachable]
    entry.stepped = recorder.stepped
    recorder.modules = watch.modules
    leaves, entry.structure = pytree.flatten(result)
    outside_ones = {id(c) for c in containers(arguments)} | watch.held.keys()
    if any(id(c) in outside_ones for c in containers(result)):
        recorder.stop("it returns a list or dict that was there before")
        return None
    place_of = {id(t): i for i, t in reversed(list(enumerate(tensors)))}
    first_place: dict[int, int] = {}
    results: list[str] = []
    smooth: list[Value] = []

    def place(key: str) -> int:
        results.append(key)
        return len(results) - 1

    for number, x in enumerate(leaves):
        if not isinstance(x, Value):
            plain = (int, float, bool, str, bytes, complex, type(None), dtypes.dtype, type)
            if not isinstance(x, plain) and not watch.knows(x):
                recorder.stop(f"it returns a {type(x).__name__}, which a replay cannot make anew")
                return None
            entry.outputs.append(("constant", x))
        elif id(x) in place_of:
            entry.outputs.append(("input", place_of[id(x)]))
        elif id(x) in recorder.known_tensors:
            entry.outputs.append(("constant", x))
        elif id(x) in first_place:
            entry.outputs.append(("again", first_place[id(x)]))
        else:
            first_place[id(x)] = number
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
            elif how == "freed":
                entry.outputs.append(("freed", place(key)))
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
    began = len(recorder.graph.nodes)
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
    for key in entry.weights:
        led = _led_to(key, recorder.graph.nodes[began:])
        entry.reached.append({i for i, k in enumerate(entry.grad_names) if k in led})


def _led_to(key: str, nodes: list) -> set[str]:
    """The values that depend on one."""
    led = {key}
    for n in nodes:
        if not led.isdisjoint(n.inputs):
            led.update(n.outputs)
    return led


# --- from the recording to programs -----------------------------------------------------------------------------------


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


def line_of(source: dict) -> str:
    """A graph node's place in the user's program as errors name places."""
    return f"{source['file']}:{source['line']} in {source['function']}" + (
        f": {source['code']}" if source["code"] else ""
    )


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
