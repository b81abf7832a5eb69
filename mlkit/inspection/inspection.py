"""``inspect``: run a model once, or take a loss, and have everything that happened at hand."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.autograd import engine
from mlkit.autograd.grad_mode import enable_grad, no_grad
from mlkit.compiler.graph import Graph, GraphNode, Ref, _plain
from mlkit.core import backend as backends
from mlkit.core.dispatch import apply
from mlkit.core.errors import ArgumentError, DataError, DimensionError
from mlkit.core.value import MetaArray, Value, wrap
from mlkit.inspection import folding, trouble
from mlkit.inspection.document import save
from mlkit.inspection.explanation import Explanation
from mlkit.inspection.formulas import formula as formula_of
from mlkit.inspection.recording import record
from mlkit.inspection.what_if import Change, WhatIf, imagine
from mlkit.ops.registry import REGISTRY

SLOW = 0.02
"""Seconds above which an operation is timed again."""

__all__ = ["Inspection", "from_graph", "inspect"]


def inspect(program: Any, *inputs: Any, loss: Callable | None = None, model: Any = None, name: str | None = None,
            **named_inputs: Any) -> Inspection:  # fmt: skip
    """Run a model once and keep every tensor; or read the graph behind a loss.

    Args:
        program: A module or a function of tensors; or a tensor with a ``grad_fn`` (a loss), with no inputs.
        *inputs, **named_inputs: What it is called with. A module runs in evaluation mode, without gradients, and is left
            as it was; a training in the background waits meanwhile.
        loss: A function of the output that gives one number; it becomes part of the graph, and gradients are its own.
            Without one they are those of the sum of all outputs.
        model: For a loss: the module that made it, so that its parameters have names.
        name: The graph's name, by default the program's.

    Raises:
        ArgumentError: No inputs where some are needed, or a tensor without a graph.

    An exception in the program is not raised: it is kept as ``error``, with the graph up to where it happened.

    >>> import mlkit
    >>> seen = inspect(mlkit.nn.Linear(3, 2), mlkit.ones(4, 3))
    >>> seen
    <Inspection of Linear: 1 operation>
    >>> seen.value("output").shape
    mlkit.Size([4, 2])
    """
    if isinstance(program, Value):
        from mlkit.inspection.tape import from_loss

        if inputs or named_inputs:
            raise ArgumentError("inspect: a loss has its graph already and takes no inputs.")
        return from_loss(program, model, name)
    if not callable(program):
        raise ArgumentError(
            f"inspect: expected a module, a function or a loss, got {type(program).__name__}.",
            hint="inspect(model, images), or inspect(loss) with a loss that has a grad_fn.",
        )
    if not inputs and not named_inputs:
        raise ArgumentError(
            f"inspect: {type(program).__name__} must be run once to see its graph: pass its inputs too.",
            hint="inspect(model, images)",
        )
    title = name or getattr(program, "__name__", None) or type(program).__name__
    with at_rest(program):
        graph, failed, error = record(program, inputs, named_inputs, title, loss)
    found = Inspection(graph, failed=failed, error=error, of="the loss" if loss is not None else None)
    _time_again(found)
    return found


def _time_again(inspection: Inspection) -> None:
    """The first call of a kernel may include its compilation: the first of its kind is timed again where it took long."""
    known: set[tuple] = set()
    for node in inspection.graph.nodes:
        kind = (
            node.op,
            *((value.shape, value.dtype) for value in map(inspection.graph.values.get, node.inputs) if value),
        )
        if kind in known:
            continue
        known.add(kind)
        if node.outputs and (node.seconds or 0.0) > SLOW:
            with no_grad():
                started = time.perf_counter()
                inspection.run(node, inspection.operands(node))
                node.seconds = min(node.seconds or 0.0, time.perf_counter() - started)


def from_graph(graph: Graph) -> Inspection:
    """The Inspection of a graph that ``mlkit.compiler.trace.trace(..., keep=True)`` has recorded.

    >>> import mlkit
    >>> from mlkit.compiler import trace
    >>> from_graph(trace(mlkit.nn.ReLU(), mlkit.tensor([-1.0, 2.0]), keep=True)).explain("output", 1).number
    2.0
    """
    for node in graph.nodes:
        node.arguments = node.arguments or [Ref(key) for key in node.inputs]
    return Inspection(graph, complete=len(graph._tensors) == len(graph.values))


@contextlib.contextmanager
def at_rest(program: Any) -> Iterator[None]:
    """The model as it is used, not trained: looking must not move its running statistics."""
    from mlkit.train import between_steps

    modules = list(program.modules()) if hasattr(program, "modules") else []
    with between_steps(program) if modules else contextlib.nullcontext():
        training = [module for module in modules if module.training]
        try:
            for module in training:
                module.training = False
            yield
        finally:
            for module in training:
                module.training = True


class Inspection:
    """One recorded run.

    ``graph`` is its Graph; ``value(name)`` and ``gradient(name)`` give tensors; ``explain(name, index)`` says how one
    number came about; ``what_if(...)`` runs it again with something changed. A name is a value's id ("v3"), a node's
    ("n2"), a module's path (its output), a parameter's name, an input's, or "output".
    """

    def __init__(self, graph: Graph, *, failed: GraphNode | None = None, error: Exception | None = None,
                 of: str | None = None, gradients: dict[str, Any] | None = None, complete: bool = True):  # fmt: skip
        self.graph = graph
        self.error = error
        self.failed = failed
        self.complete = complete  # whether every tensor is known, so that it can be run again
        self._of = of
        self._gradients = gradients
        self._trouble: dict | None | bool = False
        self.nodes = {node.id: node for node in graph.nodes}
        self.producer = {output: node for node in graph.nodes for output in node.outputs}
        self.consumers: dict[str, list[GraphNode]] = {}
        for node in graph.nodes:
            for key in dict.fromkeys(node.inputs):
                self.consumers.setdefault(key, []).append(node)

    # --- finding --------------------------------------------------------------------------------------------------

    def find(self, name: str | Value) -> str:
        """The id of the value that ``name`` means. Raises DataError with what there is."""
        if isinstance(name, Value):
            for key, kept in self.graph._tensors.items():
                if kept._array is name._array:
                    return key
            raise DataError("this tensor is none of the recorded ones.")
        values = self.graph.values
        if name in values:
            return name
        if name in self.nodes:
            return self._output_of(self.nodes[name])
        if name == "output" and self.graph.outputs:
            return self.graph.outputs[0]
        if name == "input" and self.graph.inputs:
            return self.graph.inputs[0]
        for key, value in values.items():
            if value.name == name:
                return key
        inside = [n for n in self.graph.nodes if n.module == name or n.module.startswith(f"{name}.")]
        if inside:
            leaving = [n for n in inside if self._leaves(n, name)]
            return self._output_of((leaving or inside)[-1])
        named = [n for n in self.graph.nodes if n.op == name]
        if len(named) == 1:
            return self._output_of(named[0])
        known = [m.path for m in self.graph.modules if m.path] + [v.name for v in values.values() if v.name]
        many = (
            f" There are {len(named)} operations of that name: " + ", ".join(n.id for n in named[:8]) if named else ""
        )
        raise DataError(
            f"no value, node, module or parameter {name!r} in this graph.{many}",
            hint="Some that there are: " + ", ".join(known[:12]) if known else None,
        )

    def _leaves(self, node: GraphNode, path: str) -> bool:
        outputs = set(self.graph.outputs)
        return any(
            key in outputs or any(not (n.module == path or n.module.startswith(f"{path}.")) for n in self.consumers.get(key, ()))
            for key in node.outputs
        )  # fmt: skip

    def _output_of(self, node: GraphNode) -> str:
        if not node.outputs:
            raise DataError(f"{node.op} ({node.id}) made nothing: it raised {type(self.error).__name__}.")
        return node.outputs[0]

    # --- numbers --------------------------------------------------------------------------------------------------

    def value(self, name: str) -> Any:
        """The recorded tensor, detached. Raises DataError where autograd did not keep it (graphs of a loss)."""
        key = self.find(name)
        if key not in self.graph._tensors:
            raise DataError(
                f"the numbers of {self.label(key)} were not kept: backward does not need them.",
                hint="inspect(model, input) runs the model and keeps every tensor.",
            )
        return self.graph._tensors[key]

    def array(self, key: str) -> np.ndarray | None:
        """The numbers of a value on the host; None for the meta device and for what was not kept."""
        kept = self.graph._tensors.get(key)
        if kept is None or kept._array.__class__ is MetaArray:
            return None
        array = kept._array
        return backends.for_array(array).to_numpy(array)

    def label(self, key: str) -> str:
        """What people call a value: its own name, or the operation that made it."""
        value = self.graph.values[key]
        if value.name:
            return value.name
        node = self.producer.get(key)
        if node is None:
            return value.kind
        number = f" output {node.outputs.index(key)}" if len(node.outputs) > 1 and key != node.outputs[0] else ""
        return f"{node.op}{number}" + (f" in {node.module}" if node.module else "")

    # --- one number -----------------------------------------------------------------------------------------------

    def explain(self, name: str, index: int | Sequence[int] = ()) -> Explanation:
        """How one number came about: the terms, the arithmetic, and where each of them came from.

        Args:
            name: A value, node, module path (its output) or parameter name.
            index: The place in that tensor, one integer per axis (negative ones count from the end).

        Raises:
            DataError: An unknown name, or numbers that were not kept.
            DimensionError: An index with another number of axes, or outside the tensor.

        >>> import mlkit
        >>> seen = inspect(mlkit.nn.ReLU(), mlkit.tensor([-1.0, 2.0]))
        >>> seen.explain("output", 1).total
        2.0
        """
        from mlkit.inspection.arithmetic import explain

        key = self.find(name)
        return explain(self, key, self.index(key, index))

    def index(self, key: str, index: int | Sequence[int]) -> tuple[int, ...]:
        """``index`` checked against a value's shape, without negative numbers."""
        shape = self.graph.values[key].shape
        places = (index,) if isinstance(index, (int, np.integer)) else tuple(index)
        if len(places) != len(shape):
            raise DimensionError(
                f"{self.label(key)} has {len(shape)} axes, the index has {len(places)}.",
                f"shape: {list(shape)}\nindex: {list(places)}",
            )
        out = []
        for axis, (place, size) in enumerate(zip(places, shape)):
            if not isinstance(place, (int, np.integer)) or isinstance(place, bool):
                raise DimensionError(f"an index is made of integers, got {place!r} at axis {axis}.")
            if not -size <= place < size:
                raise DimensionError(
                    f"index {place} is outside axis {axis}, which has {size} places.", f"shape: {list(shape)}"
                )
            out.append(int(place) % size)
        return tuple(out)

    def formula(self, name: str) -> str:
        """The formula of the operation that made a value, or "none" in words."""
        node = self.nodes.get(name) or self.producer.get(self.find(name))
        if node is None:
            return f"{self.label(self.find(name))} is given, not computed."
        return formula_of(node.op) or f"{node.op} has no formula of one line."

    # --- running again --------------------------------------------------------------------------------------------

    def operands(self, node: GraphNode, values: dict[str, Any] | None = None) -> list[Any]:
        """The tensors and numbers a node is called with, some replaced by ``values``."""
        out: list[Any] = []
        for argument in node.arguments:
            if isinstance(argument, Ref):
                replaced = values.get(argument) if values else None
                out.append(replaced if replaced is not None else self.graph._tensors[argument])
            else:
                out.append(argument)
        return out

    def run(self, node: GraphNode, operands: list[Any]) -> tuple:
        """Do one operation again."""
        op = REGISTRY[node.op]
        outputs = apply(op, (operands,) if op.variadic else tuple(operands), node.attributes)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def what_if(self, *changes: Change, **one: Any) -> WhatIf:
        """Run it again with something changed, on copies: the model stays as it is.

        Args:
            *changes: ``Change`` objects; or one change written out:
            target, index, channel, dim, set, scale, add: see `Change`.

        >>> import mlkit
        >>> seen = inspect(mlkit.nn.ReLU(), mlkit.tensor([-1.0, 2.0]))
        >>> seen.what_if(target="input", index=0, set=5.0).value("output").tolist()
        [5.0, 2.0]
        """
        if one:
            changes = (*changes, Change(**one))
        if not changes:
            raise ArgumentError("what_if: say what to change.", hint='what_if(target="input", index=(0, 0), set=1.0)')
        if not self.complete:
            raise DataError(
                "the graph of a loss cannot be run again: autograd keeps only what backward needs.",
                hint="inspect(model, input, loss=criterion) keeps everything.",
            )
        return imagine(self, changes)

    # --- backward -------------------------------------------------------------------------------------------------

    @property
    def of(self) -> str:
        """What the gradients are the gradients of, in words."""
        if self._of:
            return self._of
        outputs = [key for key in self.graph.outputs if self._floating(key)]
        single = len(outputs) == 1 and int(np.prod(self.graph.values[outputs[0]].shape, dtype=np.int64)) == 1
        return "the output" if single else "the sum of the output" if len(outputs) < 2 else "the sum of all outputs"

    def _floating(self, key: str, kinds: str = "fV") -> bool:
        kept = self.graph._tensors.get(key)
        return kept is not None and kept._array.dtype.kind in kinds and kept._array.__class__ is not MetaArray

    @property
    def gradients(self) -> dict[str, Any]:
        """Value id -> its gradient. Computed when first asked for, operation by operation, by each one's own rule."""
        if self._gradients is None:
            self._gradients = self._backward()
        return self._gradients

    def gradient(self, name: str) -> Any:
        """The gradient of ``self.of`` with respect to a value; None where none flows."""
        return self.gradients.get(self.find(name))

    @property
    def backward_order(self) -> list[str]:
        """The nodes that backward passes, in its order."""
        found = self.gradients
        return [n.id for n in reversed(self.graph.nodes) if any(o in found for o in n.outputs)]

    def _backward(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.error is not None:
            return found
        with no_grad():
            for key in self.graph.outputs:
                if self._floating(key):
                    array = self.graph._tensors[key]._array
                    ones = backends.for_array(array).m.xp.ones_like(array)
                    found[key] = wrap(ones) if key not in found else found[key] + wrap(ones)
        for node in reversed(self.graph.nodes):
            incoming = [found.get(output) for output in node.outputs]
            op = REGISTRY.get(node.op)
            if op is None or op.rules is None or not op.differentiable or all(g is None for g in incoming):
                continue
            leaves: list[Any] = []
            operands = self.operands(node)
            for place, argument in enumerate(node.arguments):
                if isinstance(argument, Ref) and self._floating(argument, "fcV"):
                    leaf = wrap(operands[place]._array)
                    leaf.requires_grad_()
                    operands[place] = leaf
                    leaves.append((argument, leaf))
            if not leaves:
                continue
            with enable_grad():
                made = self.run(node, operands)
                pairs = [(o, g) for o, g in zip(made, incoming) if g is not None and o._node is not None]
                if not pairs:
                    continue
                results = engine.grad(
                    [o for o, _ in pairs], [leaf for _, leaf in leaves], [g for _, g in pairs], allow_unused=True
                )
            with no_grad():
                for (key, _), result in zip(leaves, results):
                    if result is not None:
                        result = result.detach()
                        found[key] = result if key not in found else found[key] + result
        return found

    # --- trouble --------------------------------------------------------------------------------------------------

    @property
    def trouble(self) -> dict[str, Any] | None:
        """The first operation whose result has a NaN (or else an infinity) that its inputs had not; None if all is well.

        ``{"node": "n3", "value": "v7", "kind": "NaN", "count": 2, "index": [0, 1], "words": ...}``
        """
        if self._trouble is False:
            self._trouble = trouble.first(self)
        return self._trouble  # type: ignore[return-value]

    # --- the document ---------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The document (``application/vnd.mlkit.graph+json``): shapes, no numbers."""
        document = self.graph.to_dict()
        for entry, node in zip(document["nodes"], self.graph.nodes):
            entry["arguments"] = [str(a) if isinstance(a, Ref) else {"number": _plain(a)} for a in node.arguments]
        document["formulas"] = {op: formula_of(op) for op in sorted({n.op for n in self.graph.nodes})}
        document["failed"] = self.failed.id if self.failed is not None else None
        document["trouble"] = self.trouble
        document["gradients_of"] = self.of
        document["folds"] = folding.folds(document)
        return document

    def save(self, path: str | Path) -> None:
        """Write the document as JSON; ``mlkit.inspection.load`` reads and checks it."""
        save(self.to_dict(), path)

    def __repr__(self) -> str:
        count = len(self.graph.nodes)
        words = f"{count:,} operation{'' if count == 1 else 's'}"
        if self.error is not None:
            words += f", then {type(self.error).__name__}"
        elif self.trouble is not None:
            words += f", {self.trouble['words']}"
        return f"<Inspection of {self.graph.name}: {words}>"
