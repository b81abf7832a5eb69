"""The graph behind a loss: what autograd's nodes tell of the run that made it."""

from __future__ import annotations

import sys
from typing import Any

from mlkit.autograd import engine
from mlkit.autograd.grad_mode import no_grad
from mlkit.compiler.graph import Graph, GraphModule, GraphNode, GraphValue, Ref
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import Output, execute
from mlkit.core.errors import GradientError, MlkitError
from mlkit.core.frames import place_text
from mlkit.core.value import Leaf, MetaArray, Value, wrap
from mlkit.inspection.inspection import Inspection
from mlkit.ops.registry import REGISTRY


def from_loss(loss: Value, model: Any = None, name: str | None = None) -> Inspection:
    """The Inspection of a tensor with a ``grad_fn``.

    Backward keeps only what its rules read. What can be worked out again from that, is; where something stays unknown,
    ``complete`` is False. Every gradient is known, unless backward() has freed the graph.
    """
    if loss._node is None or loss._node.__class__ is Leaf:
        raise GradientError(
            "this tensor has no graph: nothing that requires a gradient went into it.",
            hint="inspect(model, input) records a run. For a loss: do not detach() it, and compute it outside no_grad().",
        )
    graph = Graph(name or "loss")
    names, kinds = _names(model)
    order = [n for n in reversed(engine.reachable([loss._node])) if n.__class__ is not Output]
    shapes, gradients = _gradients(loss, order)
    ids: dict[Any, list[str]] = {}

    def add(kind: str, label: str, shape: Any, dtype: str, tensor: Value | None) -> str:
        key = f"v{len(graph.values)}"
        graph.values[key] = GraphValue(key, kind, label, tuple(shape), dtype)
        if tensor is not None:
            array = tensor._array
            own = kind == "activation" or array.__class__ is MetaArray
            graph._tensors[key] = wrap(array if own else array.copy())  # training may go on in the user's memory
        return key

    given: dict[int, str] = {}

    def known(tensor: Value) -> str:
        """A tensor that took part without a gradient."""
        if id(tensor._array) not in given:
            kind, label = names.get(id(tensor), ("constant", ""))
            if kind == "constant" and tensor._array.ndim:
                kind, label = "input", f"input_{len(graph.inputs)}" if graph.inputs else "input"
            dtype = dtypes.from_numpy_dtype(tensor._array.dtype).name
            key = add(kind, label, tensor._array.shape, dtype, tensor)
            given[id(tensor._array)] = key
            if kind == "input":
                graph.inputs.append(key)
        return given[id(tensor._array)]

    for node in order:
        if node.__class__ is Leaf:
            tensor = node.variable
            kind, label = names.get(id(tensor), ("parameter", ""))
            array = None if tensor is None else tensor._array
            shape = array.shape if array is not None else shapes.get(node, ("?",))
            dtype = dtypes.from_numpy_dtype(array.dtype).name if array is not None else "float32"
            ids[node] = [add(kind, label, shape, dtype, tensor)]
            continue
        arguments: list[Any] = []
        saved = _saved(node)
        for place, parent in enumerate(node.inputs):
            if parent is not None:
                source, number = (parent.inputs[0], parent.number) if parent.__class__ is Output else (parent, 0)
                arguments.append(Ref(ids[source][number]))
            elif isinstance(saved.get(place), Value):
                arguments.append(Ref(known(saved[place])))
            else:
                arguments.append(saved.get(place))
        for argument, place in zip(arguments, range(len(arguments))):  # what a rule keeps is known from here on
            kept = saved.get(place)
            if isinstance(argument, Ref) and isinstance(kept, Value) and argument not in graph._tensors:
                graph._tensors[argument] = wrap(kept._array)
        op_name = getattr(node.op, "name", type(node).__name__)
        outputs = _outputs(node, arguments, graph)
        count = max(1, getattr(node.op, "outputs", 1))
        made = []
        for number in range(count):
            tensor = outputs[number] if number < len(outputs) else None
            shape = tensor._array.shape if tensor is not None else shapes.get((node, number), ("?",))
            dtype = dtypes.from_numpy_dtype(tensor._array.dtype).name if tensor is not None else "float32"
            made.append(add("activation", "", shape, dtype, tensor))
        ids[node] = made
        where = node.where
        graph.nodes.append(
            GraphNode(
                id=f"n{len(graph.nodes)}",
                op=op_name,
                inputs=[a for a in arguments if isinstance(a, Ref)],
                outputs=made,
                attributes=dict(node.attributes or {}),
                module=_module(arguments, graph),
                source={"file": where[0].rpartition("/")[2], "line": where[1], "code": place_text(where[:3])}
                if where
                else None,
                arguments=arguments,
            )
        )
    last = loss._node
    source, number = (last.inputs[0], last.number) if last.__class__ is Output else (last, 0)
    graph.outputs = [ids[source][number]]
    paths = {n.module for n in graph.nodes if n.module}
    for path in sorted(paths):
        kind, count, extra = kinds.get(path, ("", 0, ""))
        graph.modules.append(GraphModule(path, kind, count, extra))
    found = {}
    for (node, number), g in gradients.items():
        if node in ids and number < len(ids[node]):
            found[ids[node][number]] = g
    return Inspection(graph, of="the loss", gradients=found, complete=len(graph._tensors) == len(graph.values))


def _names(model: Any) -> tuple[dict[int, tuple[str, str]], dict[str, tuple[str, int, str]]]:
    """Names of parameters and buffers, and kinds of modules: of the model, or of those in the notebook."""
    models: list[Any] = []
    if model is not None:
        models.append(model)
    elif "IPython" in sys.modules:
        shell = sys.modules["IPython"].get_ipython()
        if shell is not None:
            models += [
                v for k, v in list(shell.user_ns.items()) if not k.startswith("_") and hasattr(v, "named_parameters")
            ]
    names: dict[int, tuple[str, str]] = {}
    kinds: dict[str, tuple[str, int, str]] = {}
    for one in models:
        for path, parameter in one.named_parameters():
            names.setdefault(id(parameter), ("parameter", path))
        for path, buffer in one.named_buffers():
            names.setdefault(id(buffer), ("buffer", path))
        for path, module in one.named_modules():
            count = sum(p.numel() for p in module.parameters())
            kinds.setdefault(path, (type(module).__name__, count, module.extra_repr()))
    return names, kinds


def _module(arguments: list[Any], graph: Graph) -> str:
    """The module that owns the first parameter among the operands; autograd does not know of modules."""
    for argument in arguments:
        if isinstance(argument, Ref):
            value = graph.values[argument]
            if value.kind in ("parameter", "buffer") and "." in value.name:
                return value.name.rpartition(".")[0]
    return ""


def _saved(node: Any) -> dict[int, Any]:
    """Operand -> what the node keeps of it: a tensor or a number."""
    rules = getattr(node.op, "rules", None)
    found: dict[int, Any] = {}
    if rules is None or not node.saved:
        return found
    for (kind, key), kept in zip(rules.slots, node.saved):
        if kind == "input" and not isinstance(kept, list):
            found[key] = kept.unpack() if isinstance(kept, engine.Packed) else kept
    return found


def _given(node: Any, place: int) -> bool:
    """Whether the node had an array there, kept or not: a bias that learns nothing, say."""
    return node.shapes is not None and place < len(node.shapes) and node.shapes[place] is not None


def _outputs(node: Any, arguments: list[Any], graph: Graph) -> tuple:
    """The node's results: kept, or done again where every operand is known."""
    op = REGISTRY.get(getattr(node.op, "name", ""))
    if op is None or op is not node.op:
        return ()
    operands = []
    for place, argument in enumerate(arguments):
        if isinstance(argument, Ref):
            if argument not in graph._tensors:
                return ()
            operands.append(graph._tensors[argument])
        elif argument is None and (op.variadic or place < len(op.inputs) - op.optional or _given(node, place)):
            return ()
        else:
            operands.append(argument)
    if len(operands) < len(op.inputs) - op.optional and not op.variadic:
        return ()
    try:
        with no_grad():
            made = execute(op, (operands,) if op.variadic else tuple(operands), node.attributes or {})
    except MlkitError:  # an operand that the program has given another shape since: the result stays unknown
        return ()
    return made if isinstance(made, tuple) else (made,)


def _gradients(loss: Value, order: list) -> tuple[dict, dict]:
    """Shapes and gradients of every node's results, by (node, number); empty once the graph has been freed."""
    shapes: dict[Any, tuple] = {}
    gradients: dict[tuple, Any] = {}
    targets: dict[Any, int] = {}
    keys: list[tuple] = []
    for node in engine.reachable([loss._node]):
        single = node.__class__ is Leaf or getattr(getattr(node, "op", None), "outputs", 1) == 1
        if node.__class__ is Output:
            targets[node] = len(keys)
            keys.append((node.inputs[0], node.number))
        elif single:
            targets[node] = len(keys)
            keys.append((node, 0))
    array = loss._array
    if array.__class__ is MetaArray:
        return shapes, gradients
    from mlkit.core import backend as backends

    one = wrap(backends.for_array(array).m.xp.ones_like(array))
    try:
        found = engine.run([loss._node], [one], True, False, targets)
    except GradientError:  # backward() has been called: what the nodes kept is gone
        return shapes, gradients
    for place, g in found.items():
        tensor = g if isinstance(g, Value) else wrap(g)
        gradients[keys[place]] = wrap(tensor._array)
        shapes[keys[place]] = tuple(tensor._array.shape)
        if keys[place][1] == 0:
            shapes[keys[place][0]] = tuple(tensor._array.shape)
    return shapes, gradients
