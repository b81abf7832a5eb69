"""Record a program by running it once: which ops, on what, in which module, from which line."""

from __future__ import annotations

import contextlib
import linecache
import os
import time
from collections.abc import Callable

import numpy as np

from mlkit.autograd.grad_mode import no_grad
from mlkit.compiler.graph import Graph, GraphModule, GraphNode, GraphValue, Ref
from mlkit.core import dtype as dtypes
from mlkit.core import events
from mlkit.core.dispatch import Interpreter, apply, execute, only_shapes, state
from mlkit.core.frames import user_frame
from mlkit.core.value import MetaArray, Value, wrap
from mlkit.ops import REGISTRY


def source_of(frame) -> dict | None:
    """File, line and text of a frame."""
    if frame is None:
        return None
    filename, line = frame.f_code.co_filename, frame.f_lineno
    code = linecache.getline(filename, line).strip()
    return {"file": os.path.basename(filename), "line": line, "code": code, "function": frame.f_code.co_name}


class Tracer(Interpreter):
    """Writes every op it sees into a Graph, and lets it run."""

    def __init__(self, graph: Graph, root=None, keep: bool = False):
        self.graph = graph
        self.keep = keep
        self.paths = {id(m): path for path, m in root.named_modules()} if hasattr(root, "named_modules") else {}
        self.stack: list[str] = []
        self.known: dict[int, str] = {}  # identity of a tensor -> value id
        self.alive: list[Value] = []  # keeps identities valid
        self.stale: dict[int, Value] = {}  # views of memory that has changed since their value was recorded
        self.shown: dict[int, tuple] = {}  # a view without data -> the tensor it shows, and how
        self.names: dict[int, tuple[str, str]] = {}
        if hasattr(root, "named_parameters"):
            for name, p in root.named_parameters():
                self.names[id(p)] = ("parameter", name)
            for name, b in root.named_buffers():
                self.names[id(b)] = ("buffer", name)

    # --- values ----------------------------------------------------------------------------------------------------------

    def add(self, tensor: Value, kind: str, name: str) -> str:
        key = f"v{len(self.graph.values)}"
        array = tensor._array
        d = dtypes.from_numpy_dtype(array.dtype).name
        self.graph.values[key] = GraphValue(key, kind, name, tuple(array.shape), d)
        self.known[id(tensor)] = key
        self.alive.append(tensor)
        if self.keep:
            self.graph._tensors[key] = wrap(array)
        return key

    def value_id(self, tensor) -> str:
        if not isinstance(tensor, Value):
            tensor = wrap_number(tensor)
        if id(tensor) in self.stale:
            self._look_again(tensor)
        key = self.known.get(id(tensor))
        if key is None:
            kind, name = self.names.get(id(tensor), ("constant", ""))
            key = self.add(tensor, kind, name)
        return key

    def place(self) -> dict | None:
        """The line of the user's program that runs now."""
        return source_of(user_frame())

    # --- ops ---------------------------------------------------------------------------------------------------------------

    def process(self, op, tensors, attributes):
        operands = list(tensors[0]) if op.variadic else list(tensors)
        inputs = [self.value_id(t) for t in operands if t is not None]
        started = time.perf_counter()
        outputs = apply(op, tensors, attributes)
        seconds = time.perf_counter() - started
        made = outputs if isinstance(outputs, tuple) else (outputs,)
        self.follow(op, operands, attributes, made)
        self.graph.nodes.append(
            GraphNode(
                id=f"n{len(self.graph.nodes)}",
                op=op.name,
                inputs=inputs,
                outputs=[self.add(t, "activation", "") for t in made],
                attributes=dict(attributes),
                module=self.stack[-1] if self.stack else "",
                composites=tuple(state.scopes),
                source=self.place(),
                seconds=seconds,
                random=op.random,
            )
        )
        return outputs

    # --- changes in place ------------------------------------------------------------------------------------------------------

    def follow(self, op, operands: list, attributes: dict, made: tuple) -> None:
        """Remember which tensor a view without data would show: only memory knows that of itself."""
        if op.view and not op.variadic and len(made) == 1 and made[0]._array.__class__ is MetaArray:
            base, path = self._origin(operands[0])
            self.shown[id(made[0])] = base, (*path, (op, attributes))

    def _origin(self, tensor: Value) -> tuple:
        """(the tensor whose memory this one shows, the chain of views in between)."""
        return tensor._view_of or self.shown.get(id(tensor)) or (tensor, ())

    def _views(self, base: Value) -> list[Value]:
        known = [t for t in self.alive if id(t) in self.shown and self.shown[id(t)][0] is base]
        storage = base._storage
        return known + [t for t in (r() for r in (storage.views if storage is not None else ())) if t is not None]

    def changes(self, target: Value, source: Value) -> None:
        """Memory is about to change in place: from here on the tensor, and every view of it, is a new value."""
        base, path = self._origin(target)
        before, new = self.value_id(base), self.value_id(source)
        memory = base._array
        if self.keep and memory.__class__ is not MetaArray:  # what was recorded stays what it was
            for key, kept in self.graph._tensors.items():
                if isinstance(kept._array, np.ndarray) and np.may_share_memory(kept._array, memory):
                    self.graph._tensors[key] = wrap(kept._array.copy())
        for view in self._views(base):
            if id(view) in self.known:
                self.alive.append(view)
                self.stale[id(view)] = view
        if not path and source._array.shape == memory.shape and source._array.dtype == memory.dtype:
            self.known[id(base)] = new  # the whole tensor is replaced by the source
            return
        if self.keep:
            made = execute(REGISTRY["view_write"], (base, source), {"path": path})
        else:
            made = wrap(MetaArray(memory.shape, memory.dtype))
        self.known[id(base)] = self._silent("view_write", [before, new], {"path": path}, made)

    def _look_again(self, view: Value) -> None:
        """The view as it is after its base has changed."""
        del self.stale[id(view)]
        base, path = self._origin(view)
        key, current = self.known[id(base)], wrap(base._array)
        for op, attributes in path:
            current = execute(op, (current,), attributes)
            key = self._silent(op.name, [key], dict(attributes), current)
        self.known[id(view)] = key

    def _silent(self, op: str, inputs: list[str], attributes: dict, made: Value) -> str:
        """A node that no call of the program stands for; gives its output."""
        node = GraphNode(
            id=f"n{len(self.graph.nodes)}",
            op=op,
            inputs=inputs,
            outputs=[],
            attributes=attributes,
            module=self.stack[-1] if self.stack else "",
            composites=tuple(state.scopes),
            source=self.place(),
            seconds=0.0,
            arguments=[Ref(k) for k in inputs],
        )
        self.graph.nodes.append(node)
        node.outputs = [self.add(made, "activation", "")]
        return node.outputs[0]

    # --- modules -------------------------------------------------------------------------------------------------------------

    def enter(self, module, args, kwargs) -> None:
        path = self.paths.get(id(module))
        if path is None:
            path = f"{self.stack[-1]}.{type(module).__name__}" if self.stack else type(module).__name__
        self.stack.append(path)
        if all(m.path != path for m in self.graph.modules):
            count = sum(p.numel() for p in module.parameters())
            self.graph.modules.append(GraphModule(path, type(module).__name__, count, module.extra_repr()))

    def leave(self, module, output) -> None:
        if self.stack:
            self.stack.pop()


def wrap_number(x) -> Value:
    return wrap(np.asarray(x))


def _tensors_in(x, found: list) -> list:
    if isinstance(x, Value):
        found.append(x)
    elif isinstance(x, (tuple, list)):
        for item in x:
            _tensors_in(item, found)
    elif isinstance(x, dict):
        for item in x.values():
            _tensors_in(item, found)
    return found


def trace(program: Callable, *inputs, keep: bool = False, name: str | None = None, **named_inputs) -> Graph:
    """Run ``program`` (a Module or a function of tensors) once and record it.

    Args:
        program: what to run; a Module gives its paths and parameter names to the graph.
        inputs, named_inputs: its arguments; tensors in them are the graph's inputs. On the "meta" device nothing is
            computed and the graph has shapes only.
        keep: keep every tensor, so that ``graph.value(id)`` can show it.
        name: the graph's name; by default the program's.

    The program sees no gradients. If it raises, the error carries the graph so far as ``error.mlkit_graph``.

    >>> import mlkit
    >>> from mlkit.compiler import trace
    >>> graph = trace(mlkit.nn.Sequential(mlkit.nn.Linear(3, 2), mlkit.nn.ReLU()), mlkit.ones(4, 3))
    >>> [node.op for node in graph.nodes]
    ['linear', 'relu']
    """
    graph = Graph(name or getattr(program, "__name__", None) or type(program).__name__)
    tracer = Tracer(graph, program, keep)
    for i, t in enumerate(_tensors_in([list(inputs), named_inputs], [])):
        if id(t) not in tracer.known:
            graph.inputs.append(tracer.add(t, "input", "input" if i == 0 else f"input_{i}"))
    stops = [
        events.subscribe("module_enter", tracer.enter),
        events.subscribe("module_exit", tracer.leave),
        events.subscribe("write", tracer.changes),
    ]
    try:
        shapes = any(t.is_meta for t in _tensors_in([list(inputs), named_inputs], []))
        with no_grad(), tracer, only_shapes() if shapes else contextlib.nullcontext():
            outputs = program(*inputs, **named_inputs)
    except Exception as error:
        graph.error = {
            "type": type(error).__name__,
            "message": str(error),
            "module": tracer.stack[-1] if tracer.stack else "",
        }
        error.mlkit_graph = graph
        raise
    finally:
        for stop in stops:
            stop()
    graph.outputs = [tracer.value_id(t) for t in _tensors_in(outputs, [])]
    return graph
