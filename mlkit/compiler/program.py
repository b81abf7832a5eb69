"""A graph as a flat Python function: one call a line, nothing else to do when it runs.

Parameters, constants and planned buffers are globals of the function (and can be exchanged), arguments and results its
locals; each local is dropped after its last use, so that memory goes back as early as it can.
"""

from __future__ import annotations

import functools
import itertools
import linecache
from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.compiler.graph import Graph, GraphNode, Ref
from mlkit.compiler.into import backend_lines
from mlkit.compiler.memory import Plan
from mlkit.compiler.recorder import shares
from mlkit.core import backend as backends
from mlkit.core.errors import MlkitError
from mlkit.core.value import Value, wrap
from mlkit.ops import REGISTRY

_numbers = itertools.count(1)


class Program:
    """The function made of ``nodes``: ``run(*inputs)`` gives the arrays of ``results`` as a tuple.

    ``captured`` (id -> tensor) and ``constants`` (id -> array) are bound; ``fresh`` (id -> array) are copied in each run.
    """

    def __init__(
        self,
        graph: Graph,
        nodes: list[GraphNode],
        inputs: list[str],
        results: list[str],
        captured: dict[str, Value],
        constants: dict[str, np.ndarray],
        fresh: dict[str, np.ndarray],
        plan: Plan | None = None,
        library: backends.Backend | None = None,
    ):
        self.library = library if library is not None else backends.load("numpy")
        self.graph, self.nodes, self.inputs, self.results = graph, nodes, inputs, results
        self.plan = plan if plan is not None else Plan()
        self.filename = f"<mlkit compiled {graph.name} {next(_numbers)}>"
        used = {a for n in nodes for a in n.inputs} | set(results)
        self.captured = {k: t for k, t in captured.items() if k in used}
        self.constants = {k: a for k, a in constants.items() if k in used and k not in fresh}
        self.fresh = {k: a for k, a in fresh.items() if k in used}
        self.scope: dict[str, Any] = {"asarray": np.asarray}
        #: what runs it with less work per call, where the library has such a thing
        self.replay: Any = None
        #: what is bound to arrays that stay, and bound anew when one of them got other memory: name -> what makes it
        self.bound: dict[str, Callable[[], Callable]] = {}
        self.static: set[str] = set()
        self.lines: list[str] = []
        self.line_nodes: dict[int, GraphNode] = {}
        self._write()

    # --- writing it -------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        scope = self.scope
        static = self._bind()
        last: dict[str, int] = {}
        dynamic = [n for n in self.nodes if n.id not in static]
        for i, n in enumerate(dynamic):
            for key in n.inputs:
                last[key] = i
        bound = self.static = set(scope)
        kept = set(self.results) | bound
        lines = [f"def run({', '.join(self.inputs)}):"]
        #: (node, its line, the names that nobody needs after it), for who runs it line by line
        self.steps: list[tuple[GraphNode | None, Any, list[str]]] = []
        for key, array in self.fresh.items():
            scope[f"begin_{key}"] = array
            lines.append(f"    {key} = begin_{key}.copy()")
            self._step(None, lines[-1], [])
        for key in self.inputs:
            if key not in last and key not in kept:
                lines.append(f"    del {key}")
        i = 0
        while i < len(dynamic):
            n, some = dynamic[i], self._without_python(dynamic, i)
            self.line_nodes[len(lines) + 1] = n
            if len(some) > 1:
                lines += ["    " + line for line in self._table(some)]
                i += len(some)
            else:
                lines.append("    " + self._call(n, last))
                i += 1
            here = dynamic[i - max(1, len(some)) : i]
            gone = [k for k in dict.fromkeys(k for m in here for k in m.inputs) if last[k] < i and k not in kept]
            self._step(n, lines[-1], gone)
            if gone:
                lines.append(f"    del {', '.join(gone)}")
        trailing = "," if len(self.results) == 1 else ""
        lines.append(f"    return ({', '.join(self.results)}{trailing})")
        self.lines = lines
        source = "\n".join(lines) + "\n"
        linecache.cache[self.filename] = (len(source), None, source.splitlines(True), self.filename)
        exec(compile(source, self.filename, "exec"), scope)  # noqa: S102 - our own text, from the graph
        self._run = scope["run"]
        if self.library.compile is not None:
            self.replay = self.library.compile(self)

    def _step(self, node: GraphNode | None, line: str, gone: list[str]) -> None:
        if self.library.compile is not None:
            self.steps.append((node, compile(line.strip(), self.filename, "exec"), gone))

    def _keep(self, name: str, make: Callable[[], Callable]) -> None:
        """Put into the scope what ``make`` gives, now and whenever arrays got other memory."""
        self.bound[name] = make
        self.scope[name] = make()

    def _bound(self, bind: Callable, given: list[str], others: dict[str, np.ndarray]) -> Callable:
        """The call of a node, bound to its arrays: those of the scope, and ``others`` for what is given anew in each run."""
        scope = self.scope
        return bind(*[None if a == "None" else others[a] if a in others else scope[a] for a in given])

    def _writer(self, n: GraphNode) -> tuple[Callable | None, list[str]]:
        """What can be bound to a node's arrays, and their names."""
        if (
            self.library.name != "numpy"
            or not n.outputs
            or any(not (isinstance(a, Ref) or a is None) for a in n.arguments)
        ):
            return None, []
        key = n.outputs[0]
        writes = self.plan.into.get(key) or self.plan.fresh.get(key, (None,))[0]
        return getattr(writes, "bind", None), [*map(str, n.arguments), *n.outputs]

    def _without_python(self, nodes: list[GraphNode], first: int) -> list[GraphNode]:
        """The nodes from ``first`` on that machine code can run one after another."""
        found = []
        for n in nodes[first:]:
            bind, given = self._writer(n)
            if bind is None:
                break
            others = {a: self.plan.makers[a]() for a in given if a not in self.static and a in self.plan.makers}
            if any(a != "None" and a not in others and a not in self.static for a in given):
                break
            call = self._bound(bind, given, others)
            if not getattr(call, "calls", None) or not backend_lines().replaceable(call, list(others.values())):
                break
            found.append(n)
        return found

    def _table(self, nodes: list[GraphNode]) -> list[str]:
        """The line that runs these nodes, and as comments what it does."""
        name = f"lines_{nodes[0].id}"
        written = [self._writer(n) for n in nodes]
        others = [
            a for a in dict.fromkeys(a for _, given in written for a in given) if a != "None" and a not in self.static
        ]

        def make():
            standing = {a: self.plan.makers[a]() for a in others}
            calls = [self._bound(bind, given, standing) for bind, given in written]
            return backend_lines().Table(calls, list(standing.values())).run

        self._keep(name, make)
        made = []
        for n in nodes:
            if n.outputs[0] in self.plan.fresh:
                self.scope.update(
                    {f"new_{k}": m for k, m in zip(n.outputs, self.plan.fresh[n.outputs[0]][1], strict=True)}
                )
                made += [f"{k} = new_{k}(); " for k in n.outputs]
        line = f"{''.join(made)}{name}({', '.join(others)})"
        return [line, *[f"# {n.op}_{n.id}({', '.join(given)})" for n, (_, given) in zip(nodes, written, strict=True)]]

    def _bind(self) -> set[str]:
        """Put what does not change into the scope: parameters, constants, buffers, and views of them."""
        scope = self.scope
        for key, t in self.captured.items():
            scope[key] = t._array
        scope.update(self.constants)
        scope.update(self.plan.buffers())
        static: set[str] = set()
        values = self.graph.values
        for n in self.nodes:
            op = REGISTRY.get(n.op)
            if op is None or not op.view or op.variadic or len(n.outputs) != 1 or len(n.inputs) != 1:
                continue
            source, out = n.inputs[0], n.outputs[0]
            if (
                source in scope
                and values[out].base is not None
                and not any(isinstance(a, Ref) for a in n.attributes.values())
            ):
                seen = self.kernel(n)(scope[source])
                if seen.__class__ is scope[source].__class__ and shares(seen, scope[source]):
                    scope[out] = seen
                    static.add(n.id)
        return static

    def kernel(self, n: GraphNode) -> Callable:
        """What computes a node: a function of its operands."""
        if n.kernel is not None:
            return n.kernel
        op = REGISTRY[n.op]
        found = self.library.kernel(op)
        attributes = {k: a for k, a in n.attributes.items() if not isinstance(a, Ref)}
        return functools.partial(found, **attributes) if attributes else found

    def _call(self, n: GraphNode, last: dict[str, int]) -> str:
        scope = self.scope
        if n.op == "write":
            return f"{n.arguments[0]}[...] = {n.arguments[1]}"
        name = f"{n.op}_{n.id}"
        arguments = []
        for i, a in enumerate(n.arguments):
            if isinstance(a, Ref):
                arguments.append(str(a))
            elif a is None or isinstance(a, (bool, int)):
                arguments.append(repr(a))
            else:
                scope[f"{name}_{i}"] = a
                arguments.append(f"{name}_{i}")
        if n.op == "take_key":
            scope[name] = n.attributes["generator"].take
            return f"{n.outputs[0]} = {name}({n.attributes['count']})"
        if n.op == "call":
            scope[name] = effect(**n.attributes)
            return f"{name}({', '.join(arguments)})"
        if n.op == "check":
            scope[name] = n.kernel
            return f"{name}({arguments[0]})"
        buffer = self.plan.into.get(n.outputs[0]) if n.outputs else None
        if buffer is not None:
            bind = getattr(buffer, "bind", None)
            given = [*arguments, *n.outputs]
            if bind is not None and all(a in self.static for a in given if a != "None"):
                self._keep(name, lambda: self._bound(bind, given, {}))
                return f"{name}()"
            scope[name] = buffer
            return f"{name}({', '.join([*arguments, *n.outputs])})"
        if n.outputs and n.outputs[0] in self.plan.fresh:
            scope[name], makers = self.plan.fresh[n.outputs[0]]
            scope.update({f"new_{k}": make for k, make in zip(n.outputs, makers, strict=True)})
            made = [f"{k} = new_{k}(); " for k in n.outputs]
            return f"{''.join(made)}{name}({', '.join([*arguments, *n.outputs])})"
        scope[name] = self.kernel(n)
        op = REGISTRY.get(n.op)
        text = ", ".join(arguments)
        if op is not None and op.variadic:
            text = f"[{text}]"
        live = [f"{k}={a}" for k, a in n.attributes.items() if isinstance(a, Ref)] if n.kernel is None else []
        text = ", ".join(filter(None, [text, *live]))
        wanted = iter(n.outputs)
        if n.picks is not None:
            names = [next(wanted) if picked else "_" for picked in n.picks]
        else:
            names = list(n.outputs)
        names = [k if k == "_" or k in last or k in self.results else "_" for k in names]
        many = n.picks is not None or (op is not None and op.outputs > 1) or len(n.outputs) > 1
        if many:
            return f"{', '.join(names)}{',' if len(names) == 1 else ''} = {name}({text})"
        flat = self.graph.values[n.outputs[0]].shape == () and self.library.name == "numpy"
        return f"{names[0]} = {'asarray(' if flat else ''}{name}({text}){')' if flat else ''}"

    @property
    def source(self) -> str:
        return "\n".join(self.lines)

    # --- running it -------------------------------------------------------------------------------------------------

    def run(self, *arrays):
        try:
            return self._run(*arrays) if self.replay is None else self.replay.run(*arrays)
        except Exception as error:
            self._tell(error)
            raise

    def flat(self, *arrays):
        """Run it line by line, as Python does."""
        return self._run(*arrays)

    def _tell(self, error: Exception) -> None:
        """Add the user's line to an error."""
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.filename:
                node = self.line_nodes.get(trace.tb_lineno)
                place = node.source if node is not None else None
                if place:
                    text = f"{place['file']}:{place['line']} in {place['function']}: {place['code']}"
                    if isinstance(error, MlkitError):
                        error.tell("in the compiled function at", text)
                    else:
                        error.add_note(f"in the compiled function at {text}")
                return
            trace = trace.tb_next

    def rebind(self) -> None:
        """Bind the captured tensors' arrays anew, after one got other memory of the same shape."""
        for key in list(self.scope):
            if key in self.graph.values:
                del self.scope[key]
        self.scope.update({f"begin_{k}": a for k, a in self.fresh.items()})
        self._bind()
        for name, make in self.bound.items():
            self.scope[name] = make()
        if self.replay is not None:
            self.replay.forget()


def effect(function: Callable, args: tuple, kwargs: dict, tensors: list) -> Callable:
    """A call of Python code: gradients are put where it looks for them first."""

    def run(*arrays):
        for p, a in zip(tensors, arrays, strict=True):
            p._grad = wrap(a)
        function(*args, **kwargs)

    return run
