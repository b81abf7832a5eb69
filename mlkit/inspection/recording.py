"""Recording one run so that it can be done again: every operand, every in-place change, and where it broke."""

from __future__ import annotations

import os
import re
import sys
import time
from typing import Any

import numpy as np

from mlkit.autograd.grad_mode import no_grad
from mlkit.compiler.graph import Graph, GraphModule, GraphNode, Ref
from mlkit.compiler.trace import Tracer, _tensors_in
from mlkit.compiler.trace import source_of as source_in_file
from mlkit.core import events
from mlkit.core.dispatch import apply, complete, state
from mlkit.core.frames import user_frame
from mlkit.core.value import MetaArray, Value, wrap


def source_of(frame: Any) -> dict | None:
    """File, line and text of a frame; a notebook's cell is called by its number."""
    while frame is not None and f"{os.sep}mlkit_widgets{os.sep}" in frame.f_code.co_filename:
        frame = frame.f_back  # the widgets are a package of their own, and no user's line
    found = source_in_file(frame)
    if found is not None:
        filename = frame.f_code.co_filename
        if re.match(r".*ipykernel_\d+[/\\]\d+\.py$|<ipython-input-", filename):
            shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
            cells = getattr(getattr(shell, "compile", None), "_filename_map", {})
            found["file"] = f"cell [{cells[filename]}]" if filename in cells else "this notebook"
    return found


class Recorder(Tracer):
    """The tracer, which also keeps the operands in their places and what the user's own memory held."""

    def __init__(self, graph: Graph, root: Any = None):
        super().__init__(graph, root, keep=True)
        self.failed: GraphNode | None = None
        self.seen_modules: set[str] = set()

    # --- values ---------------------------------------------------------------------------------------------------

    def add(self, tensor: Value, kind: str, name: str) -> str:
        key = super().add(tensor, kind, name)
        if kind != "activation":  # the user's own memory: training may go on in it
            array = tensor._array
            self.graph._tensors[key] = wrap(array if array.__class__ is MetaArray else array.copy())
        return key

    def place(self) -> dict | None:
        return source_of(user_frame())

    # --- operations -----------------------------------------------------------------------------------------------

    def process(self, op: Any, tensors: tuple, attributes: dict) -> Any:
        operands = list(tensors[0]) if op.variadic else list(tensors)
        arguments: list[Any] = []
        for operand in operands:
            if isinstance(operand, (Value, np.ndarray)):
                arguments.append(Ref(self.value_id(operand)))
            else:
                arguments.append(operand.item() if isinstance(operand, np.generic) else operand)
        node = GraphNode(
            id=f"n{len(self.graph.nodes)}",
            op=op.name,
            inputs=[a for a in arguments if isinstance(a, Ref)],
            outputs=[],
            attributes=dict(attributes),
            module=self.stack[-1] if self.stack else "",
            composites=tuple(state.scopes),
            source=self.place(),
            random=op.random,
            arguments=arguments,
        )
        self.graph.nodes.append(node)
        started = time.perf_counter()
        try:
            arrays = [t._array if isinstance(t, Value) else t for t in operands]
            node.attributes = dict(complete(op, arrays, attributes))
            outputs = apply(op, tensors, attributes)
        except Exception:
            self.failed = node
            raise
        node.seconds = time.perf_counter() - started
        self.failed = None  # the program caught the error and went on
        made = outputs if isinstance(outputs, tuple) else (outputs,)
        self.follow(op, operands, attributes, made)
        node.outputs = [self.add(t, "activation", "") for t in made]
        return outputs

    # --- modules --------------------------------------------------------------------------------------------------

    def enter(self, module: Any, args: tuple, kwargs: dict) -> None:
        path = self.paths.get(id(module))
        if path is None:
            path = f"{self.stack[-1]}.{type(module).__name__}" if self.stack else type(module).__name__
        self.stack.append(path)
        if path not in self.seen_modules:
            self.seen_modules.add(path)
            count = sum(p.numel() for p in module.parameters())
            self.graph.modules.append(GraphModule(path, type(module).__name__, count, module.extra_repr()))


def record(program: Any, inputs: tuple, named: dict[str, Any], name: str, finish: Any = None) -> tuple[Any, ...]:
    """Run ``program`` and record it: (graph, the node that failed or None, the error or None)."""
    graph = Graph(name)
    recorder = Recorder(graph, program)
    tensors = [(str(i), t) for i, t in enumerate(inputs)] + list(named.items())
    for place, argument in tensors:
        found = _tensors_in(argument, [])
        for number, tensor in enumerate(found):
            if id(tensor) in recorder.known:
                continue
            label = "input" if place == "0" else f"input_{place}" if place.isdigit() else place
            graph.inputs.append(recorder.add(tensor, "input", label + (f"_{number}" if len(found) > 1 else "")))
    stops = [
        events.subscribe("module_enter", recorder.enter),
        events.subscribe("module_exit", recorder.leave),
        events.subscribe("write", recorder.changes),
    ]
    # Which module a failure happened in is read before the modules are left.
    inner: list[str] = []
    try:
        with no_grad(), recorder:
            try:
                outputs = program(*inputs, **named)
                if finish is not None:
                    outputs = finish(outputs)
            except Exception as error:
                path = recorder.failed.module if recorder.failed else _module_of(error, recorder)
                inner.append(path)
                raise
    except Exception as error:
        graph.error = {"type": type(error).__name__, "message": str(error), "module": inner[0] if inner else ""}
        return graph, recorder.failed, error
    finally:
        for stop in stops:
            stop()
    graph.outputs = [recorder.value_id(t) for t in _tensors_in(outputs, [])]
    graph.nodes = [node for node in graph.nodes if node.outputs]
    return graph, None, None


def _module_of(error: Exception, recorder: Recorder) -> str:
    """The module whose forward raised in plain Python, by the innermost frame with a module as ``self``."""
    found = ""
    trace = error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        if id(owner) in recorder.paths:
            found = recorder.paths[id(owner)]
        trace = trace.tb_next
    return found
