"""Chains of elementwise ops as one loop each: written by reading the op rules with symbols in place of arrays.

A rule such as ``m.maximum(x, 0.0) + m.log1p(...)`` gives, read with ``Symbol`` and ``Printer``, lines like
``t3 = t1 + t2`` of a loop over all elements. The loop is a Numba function in a file of its own (so that Numba's cache
on disk works); the same text always has the same file, so layers of one kind share one kernel.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import math
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mlkit.compiler.graph import GraphNode, Ref
from mlkit.compiler.into import backend_lines
from mlkit.compiler.memory import dense, order_of
from mlkit.compiler.passes import Facts
from mlkit.core import config
from mlkit.ops import REGISTRY
from mlkit.ops.registry import Elementwise

#: below so many elements a call of a compiled function costs more than it saves
SMALLEST = 1024
#: the longest chain in one kernel, and the most arrays it may read and write
LONGEST, WIDEST = 40, 16
#: elements that are worth a thread of their own
GRAIN = 1 << 15


class NotPrintable(Exception):
    """The rule does something that has no form as one line for one element."""


# --- symbols ----------------------------------------------------------------------------------------------------------

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_BOOL = np.dtype(bool)


class Symbol:
    """One element of an array while a rule is read: a name in the loop, and its dtype."""

    __slots__ = ("dtype", "name", "printer")
    __array_ufunc__ = None

    def __init__(self, printer: Printer, name: str, dtype: np.dtype):
        self.printer, self.name, self.dtype = printer, name, dtype

    def astype(self, dtype, copy=True):
        return self.printer.cast(self, np.dtype(dtype))

    @property
    def shape(self):
        raise NotPrintable("shape")

    def __bool__(self):
        raise NotPrintable("truth")

    def __neg__(self):
        return self.printer.make(f"-{self.name}", self.dtype, float_only=self)


def _operator(sign: str, result: str, swap: bool = False):
    def method(self, other):
        a, b = (other, self) if swap else (self, other)
        return self.printer.binary(sign, a, b, result)

    return method


for _name, _sign in {"add": "+", "sub": "-", "mul": "*", "truediv": "/"}.items():
    setattr(Symbol, f"__{_name}__", _operator(_sign, "float"))
    setattr(Symbol, f"__r{_name}__", _operator(_sign, "float", swap=True))
for _name, _sign in {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}.items():
    setattr(Symbol, f"__{_name}__", _operator(_sign, "bool"))
Symbol.__hash__ = object.__hash__  # type: ignore[method-assign]


class Printer:
    """The reader ``m`` whose arrays are symbols; ``m.xp`` is itself."""

    def __init__(self):
        self.lines: list[str] = []
        self.count = 0
        self.exact = True  # whether every line rounds as NumPy does

    @property
    def xp(self):
        return self

    def make(self, text: str, dtype: np.dtype, float_only: Symbol | None = None) -> Symbol:
        if float_only is not None and float_only.dtype not in _FLOATS:
            raise NotPrintable("not a float")
        name = f"t{self.count}"
        self.count += 1
        self.lines.append(f"{name} = {text}")
        return Symbol(self, name, dtype)

    def literal(self, x, dtype: np.dtype) -> str:
        x = float(x)
        if dtype == _BOOL:
            raise NotPrintable("number as bool")
        kind = dtype.name
        if math.isnan(x):
            return f"{kind}(nan)"
        return f"{kind}({'inf' if x > 0 else '-inf'})" if math.isinf(x) else f"{kind}({x!r})"

    def text(self, x, dtype: np.dtype) -> str:
        if isinstance(x, Symbol):
            return self.cast(x, dtype).name
        if isinstance(x, np.generic):
            if x.dtype != dtype:
                raise NotPrintable("a typed scalar")
            x = x.item()
        if isinstance(x, (bool, int, float)):
            return self.literal(x, dtype)
        raise NotPrintable(type(x).__name__)

    def cast(self, x: Symbol, dtype: np.dtype) -> Symbol:
        if x.dtype == dtype:
            return x
        if dtype in _FLOATS and (x.dtype in _FLOATS or x.dtype == _BOOL):
            return self.make(f"{dtype.name}({x.name})", dtype)
        raise NotPrintable("cast")

    def common(self, *xs) -> np.dtype:
        """The dtype NumPy computes in: numbers of Python follow the arrays."""
        kinds = [x.dtype for x in xs if isinstance(x, (Symbol, np.generic))]
        plain = [x for x in xs if not isinstance(x, (Symbol, np.generic))]
        if not kinds or any(not isinstance(x, (bool, int, float)) for x in plain):
            raise NotPrintable("operands")
        return np.dtype(np.result_type(*kinds, *(float(x) if isinstance(x, float) else x for x in plain)))

    def binary(self, sign: str, a, b, result: str) -> Symbol:
        dtype = self.common(a, b)
        if dtype not in _FLOATS:
            raise NotPrintable("not a float")
        return self.make(f"{self.text(a, dtype)} {sign} {self.text(b, dtype)}", _BOOL if result == "bool" else dtype)

    # --- what rules call ---------------------------------------------------------------------------------------------

    def add(self, a, b):
        return self.binary("+", a, b, "float")

    def subtract(self, a, b):
        return self.binary("-", a, b, "float")

    def multiply(self, a, b):
        return self.binary("*", a, b, "float")

    def divide(self, a, b):
        return self.binary("/", a, b, "float")

    def negative(self, x):
        return -x

    def maximum(self, a, b):
        return self._extreme(">", a, b)

    def minimum(self, a, b):
        return self._extreme("<", a, b)

    def _extreme(self, sign, a, b):
        dtype = self.common(a, b)
        if dtype not in _FLOATS:
            raise NotPrintable("not a float")
        x, y = self.text(a, dtype), self.text(b, dtype)
        return self.make(f"{x} if ({x} {sign} {y}) or ({x} != {x}) else {y}", dtype)

    def clip(self, x, low, high):
        return self.minimum(self.maximum(x, low), high)

    def where(self, condition, a, b):
        if not isinstance(condition, Symbol) or condition.dtype != _BOOL:
            raise NotPrintable("where")
        dtype = self.common(a, b)
        if dtype not in _FLOATS:
            raise NotPrintable("not a float")
        return self.make(f"{self.text(a, dtype)} if {condition.name} else {self.text(b, dtype)}", dtype)

    where_ = where

    def absolute(self, x):
        return self.make(f"abs({x.name})", x.dtype, float_only=x)

    abs = absolute

    def sqrt(self, x):
        return self.make(f"sqrt({x.name})", x.dtype, float_only=x)

    def square(self, x):
        return x * x

    def zeros_like(self, x):
        return self.make(self.literal(0, x.dtype), x.dtype)

    def ones_like(self, x):
        return self.make(self.literal(1, x.dtype), x.dtype)

    def full_like(self, x, fill):
        return self.make(self.literal(fill, x.dtype), x.dtype)

    def astype(self, x, dtype):
        return self.cast(x, np.dtype(dtype))

    def conj(self, x):
        return x

    def copy(self, x):
        return x

    def logical_not(self, x):
        return self._logical("not {}", x)

    def logical_and(self, a, b):
        return self._logical("{} and {}", a, b)

    def logical_or(self, a, b):
        return self._logical("{} or {}", a, b)

    def _logical(self, form, *xs):
        if any(not isinstance(x, Symbol) or x.dtype != _BOOL for x in xs):
            raise NotPrintable("logic")
        return self.make(form.format(*(x.name for x in xs)), _BOOL)

    def _vector(self, name, x):
        """A function that mlkit's Numba backend has in a form that becomes vector instructions."""
        if not isinstance(x, Symbol) or x.dtype != np.float32 or not elementary():
            raise NotPrintable(name)
        self.exact = False
        return self.make(f"elementary_{name}({x.name})", x.dtype)

    def exp(self, x):
        return self._vector("exp", x)

    def log(self, x):
        return self._vector("log", x)

    def tanh(self, x):
        return self._vector("tanh", x)

    def sigmoid(self, x):
        return self._vector("sigmoid", x)

    sigmoid_ = sigmoid

    def erf(self, x):
        return self._vector("erf", x)

    erf_ = erf

    def __getattr__(self, name: str):
        op = REGISTRY.get(name)
        if op is None or not (isinstance(op, Elementwise) or name == "cast"):
            raise NotPrintable(name)
        return lambda *xs, **attributes: self.op(op, xs, attributes)

    def op(self, op, xs, attributes):
        """The lines of a whole op."""
        if op.ufunc:
            own = type(self).__dict__.get(op.ufunc)
            if own is None:
                raise NotPrintable(op.ufunc)
            return own(self, *xs)
        own = type(self).__dict__.get(op.name)
        if own is not None and op.name in ("sigmoid", "where", "square"):
            return own(self, *xs)
        return op.forward(self, *xs, **attributes)


def elementary() -> bool:
    """Whether the Numba backend's vectorisable functions are there."""
    return importlib.util.find_spec("mlkit.backends.numba") is not None and (
        importlib.util.find_spec("mlkit.backends.numba.elementary") is not None
    )


# --- which nodes go together ---------------------------------------------------------------------------------------------


class Group:
    """Nodes that become one loop over ``shape``."""

    def __init__(self, shape: tuple):
        self.shape = shape
        self.nodes: list[GraphNode] = []
        self.inputs: dict[str, None] = {}
        self.outputs: set[str] = set()


def printable(n: GraphNode, facts: Facts, smallest: int | None = None) -> bool:
    """Whether the node is elementwise, of kinds the loop knows, not too small for one, and can be printed."""
    op = REGISTRY.get(n.op)
    if op is None or n.kernel is not None or n.effect or op.variadic or len(n.outputs) != 1:
        return False
    if not (isinstance(op, Elementwise) or n.op == "cast") or op.random or op.view:
        return False
    out = facts.arrays[n.outputs[0]]
    if (
        out.dtype not in (*_FLOATS, _BOOL)
        or out.size < (SMALLEST if smallest is None else smallest)
        or not facts.safe(n.outputs[0])
    ):
        return False
    for a in n.arguments:
        if isinstance(a, Ref):
            array = facts.arrays[a]
            if array.dtype not in (*_FLOATS, _BOOL) or not facts.safe(a) or array.ndim > out.ndim:
                return False
    try:
        printer = Printer()
        xs = [
            Symbol(printer, f"x{i}", facts.arrays[a].dtype) if isinstance(a, Ref) else a
            for i, a in enumerate(n.arguments)
        ]
        made = printer.op(op, xs, n.attributes)
    except Exception:
        return False  # a rule that needs more than one element, or does something symbols do not
    return isinstance(made, Symbol) and made.dtype == out.dtype


def groups(nodes: list[GraphNode], facts: Facts, kept: set[str]) -> list[list[GraphNode]]:
    """The nodes in order, those that can share a loop together: each group stands where its last member stood."""
    uses: dict[str, list[int]] = {}
    for i, n in enumerate(nodes):
        for k in n.inputs:
            uses.setdefault(k, []).append(i)
    position = {n.id: i for i, n in enumerate(nodes)}
    member: dict[int, Group] = {}
    maker: dict[str, Group] = {}
    for i, n in enumerate(nodes):
        if not printable(n, facts):
            continue
        shape = facts.arrays[n.outputs[0]].shape
        for k in dict.fromkeys(n.inputs):
            group = maker.get(k)
            if group is None or group.shape != shape or len(group.nodes) >= LONGEST:
                continue
            # moving the group down to here must not pass anyone who reads it
            if any(u < i and member.get(u) is not group for o in group.outputs for u in uses.get(o, ())):
                continue
            if len({*group.inputs, *(x for x in n.inputs if x not in group.outputs)}) + len(group.outputs) > WIDEST + 8:
                continue
            break
        else:
            group = Group(shape)
        for k in n.inputs:
            other = maker.get(k)
            if other is not None and other is not group and can_join(other, group, member, uses, i):
                for j, g in list(member.items()):
                    if g is other:
                        member[j] = group
                for o in other.outputs:
                    maker[o] = group
                group.nodes = sorted([*other.nodes, *group.nodes], key=lambda m: position[m.id])
                group.outputs |= other.outputs
                group.inputs = {k: None for k in (*other.inputs, *group.inputs) if k not in group.outputs}
        group.nodes.append(n)
        for k in n.inputs:
            if k not in group.outputs:
                group.inputs[k] = None
        group.outputs.add(n.outputs[0])
        member[i] = group
        maker[n.outputs[0]] = group
    last: dict[int, int] = {id(g): i for i, g in member.items()}
    out = []
    for i, n in enumerate(nodes):
        found = member.get(i)
        if found is None or len(found.nodes) == 1:
            out.append([n])
        elif last[id(found)] == i:
            out.append(found.nodes)
    return out


def can_join(other: Group, group: Group, member: dict[int, Group], uses: dict[str, list[int]], here: int) -> bool:
    """Whether ``other`` may run together with ``group`` at ``here``: nobody else reads either of them before that."""
    if other.shape != group.shape or len(other.nodes) + len(group.nodes) >= LONGEST:
        return False
    if len({*other.inputs, *group.inputs}) + len(other.outputs) + len(group.outputs) > WIDEST + 8:
        return False
    both = (other, group)
    return not any(
        u < here and not any(member.get(u) is g for g in both) for g in both for o in g.outputs for u in uses.get(o, ())
    )


def fuse(nodes: list[GraphNode], facts: Facts, kept: set[str], numba: bool) -> list[GraphNode]:
    """The nodes with each group as one node that has a compiled loop; unchanged where Numba cannot be used."""
    if not numba or not usable():
        return nodes
    readers: dict[str, set[int]] = {}
    for n in nodes:
        for k in n.inputs:
            readers.setdefault(k, set()).add(id(n))
    out: list[GraphNode] = []
    alone: list[GraphNode] = []
    for group in groups(nodes, facts, kept):
        if len(group) == 1:
            out.append(group[0])
            alone.append(group[0])
            continue
        own = {id(n) for n in group}
        made = {n.outputs[0] for n in group}
        leaving = [k for n in group for k in n.outputs if k in kept or readers.get(k, set()) - own]
        inputs = list(dict.fromkeys(k for n in group for k in n.inputs if k not in made))
        if not leaving or len(inputs) + len(leaving) > WIDEST:
            out.extend(group)
            continue
        out.append(fused_node(group, inputs, leaving, facts))
    instead = {n.id: n for n in repeated(alone, facts)}
    return [instead.get(n.id, n) for n in out]


#: ops whose loop gives NumPy's numbers to the bit
_EXACT = {"add", "sub", "mul", "div", "neg"}
#: so many single ops of the same kind make a loop of their own worth its compilation: machine code goes from one to the next
OFTEN = 8


def repeated(nodes: list[GraphNode], facts: Facts) -> list[GraphNode]:
    """As loops those single nodes that come often in the same form, and are small: Python's way to each costs more than it does."""
    found: dict[str, list[GraphNode]] = {}
    for n in nodes:
        if n.op not in _EXACT or not printable(n, facts, 1):
            continue
        array, inputs = facts.arrays[n.outputs[0]], list(dict.fromkeys(n.inputs))
        operands = [facts.arrays[k] for k in inputs]
        order = memory_order([array], operands)
        if array.size < 2 * GRAIN and runs_flat(array, operands, order):
            found.setdefault(loop([n], inputs, n.outputs, facts, order), []).append(n)
    often = [n for same in found.values() if len(same) >= OFTEN for n in same]
    return [fused_node([n], list(dict.fromkeys(n.inputs)), n.outputs, facts) for n in often]


def fused_node(group: list[GraphNode], inputs: list[str], leaving: list[str], facts: Facts) -> GraphNode:
    arrays = [facts.arrays[k] for k in leaving]
    operands = [facts.arrays[k] for k in inputs]
    shape, kinds = arrays[0].shape, [a.dtype for a in arrays]
    order = memory_order(arrays, operands)
    source = loop(group, inputs, leaving, facts, order)
    flat = runs_flat(arrays[0], operands, order)
    compiled, addressed = functions_of(source, by_address(operands, arrays) if flat else "")
    back = tuple(int(d) for d in np.argsort(order))
    block = [shape[d] for d in order]
    total = arrays[0].size if flat else block[0]
    grain = max(1, GRAIN * total // arrays[0].size)
    straight = functools.partial(split, compiled, total, grain)
    if total < 2 * grain:
        straight = functools.partial(whole, compiled, total)
    run: Callable = straight
    if order != tuple(range(len(shape))):  # the loop follows memory, such as channels last
        turn = tuple(a.size > 1 for a in operands) + (True,) * len(arrays)

        def turned(*given):
            straight(*[a.transpose(order) if t else a for a, t in zip(given, turn, strict=True)])

        run = turned
    lines = backend_lines()
    if flat and total < 2 * grain and lines is not None:

        def bind(*given):
            numbers = (*map(lines.address, given), 0, total)
            return lines.done_by(functools.partial(run, *given), [(addressed, numbers)])

        run.bind = bind  # type: ignore[attr-defined]

    def fresh(*given):
        made = [np.empty(block, d).transpose(back) for d in kinds]
        run(*given, *made)
        return made[0] if len(made) == 1 else tuple(made)

    names = [n.op for n in group]
    node = GraphNode(
        id=group[-1].id,
        op="fused_" + "_".join(dict.fromkeys(names))[:40],
        inputs=list(inputs),
        outputs=list(leaving),
        arguments=[Ref(k) for k in inputs],
        module=group[-1].module,
        source=group[-1].source,
        kernel=fresh,
        picks=None if len(leaving) == 1 else [True] * len(leaving),
        writes=run if len(leaving) == 1 else None,
        over=True,
    )
    node.attributes = {"loop": source, "ops": names}
    return node


def whole(compiled: Callable, total: int, *given) -> None:
    """All turns of the loop at once."""
    compiled(*given, 0, total)


def split(compiled: Callable, total: int, grain: int, *given) -> None:
    """The turns of the loop on the threads of the one pool."""
    pool = importlib.import_module("mlkit.backends.numba.pool")
    pool.split(lambda start, stop: compiled(*given, start, stop), total, grain)


def runs_flat(output: np.ndarray, operands: list[np.ndarray], order: tuple[int, ...]) -> bool:
    """Whether one loop over memory does: every array lies as the output, or is a single number."""
    rank = len(order)
    turned = [a.transpose(order) if a.size > 1 and a.ndim == rank else a for a in operands]
    shape = tuple(output.shape[d] for d in order)
    return all(a.size == 1 or (a.shape == shape and a.flags.c_contiguous) for a in turned)


def memory_order(outputs: list[np.ndarray], operands: list[np.ndarray]) -> tuple[int, ...]:
    """The order of dims that most of the arrays have in memory, where all can follow it."""
    rank = outputs[0].ndim
    usual = tuple(range(rank))
    if any(a.ndim != rank and a.size > 1 for a in operands):
        return usual
    order = order_of(outputs[0])
    return order if dense(outputs[0]) else usual


# --- the text --------------------------------------------------------------------------------------------------------------


def loop(group: list[GraphNode], inputs: list[str], leaving: list[str], facts: Facts, order: tuple[int, ...]) -> str:
    """The source of the loop: arguments a0.. are read, o0.. written, for the turns start .. stop of the outermost loop."""
    printer = Printer()
    rank = len(order)
    arrays = [facts.arrays[k] for k in inputs]
    flat = runs_flat(facts.arrays[leaving[0]], arrays, order)
    arrays = [a.transpose(order) if a.size > 1 and a.ndim == rank else a for a in arrays]
    head, body, symbols = [], [], {}
    for i, (k, a) in enumerate(zip(inputs, arrays, strict=True)):
        if a.size == 1:
            head.append(f"x{i} = a{i}.item()")
        elif flat:
            head.append(f"f{i} = ascontiguousarray(a{i}).reshape(a{i}.size)[start:stop]")
            body.append(f"x{i} = f{i}[i]")
        else:
            lead = rank - a.ndim
            place = ", ".join("0" if n == 1 else f"i{lead + d}" for d, n in enumerate(a.shape))
            body.append(f"x{i} = a{i}[{place}]")
        symbols[k] = Symbol(printer, f"x{i}", a.dtype)
    for n in group:
        xs = [symbols[a] if isinstance(a, Ref) else a for a in n.arguments]
        symbols[n.outputs[0]] = printer.op(REGISTRY[n.op], xs, n.attributes)
    body += printer.lines
    names = [f"a{i}" for i in range(len(inputs))] + [f"o{i}" for i in range(len(leaving))] + ["start", "stop"]
    for i, k in enumerate(leaving):
        if flat:
            head.append(f"r{i} = o{i}.reshape(o{i}.size)[start:stop]")
            body.append(f"r{i}[i] = {symbols[k].name}")
        else:
            body.append(f"o{i}[{', '.join(f'i{d}' for d in range(rank))}] = {symbols[k].name}")
    lines = [f"def run({', '.join(names)}):"]
    lines += [f"    {line}" for line in head]
    if flat:
        lines.append("    for i in range(r0.size):")
        indent = 2
    else:
        lines.append("    for i0 in range(start, stop):")
        for d in range(1, rank):
            lines.append("    " * (d + 1) + f"for i{d} in range(o0.shape[{d}]):")
        indent = rank + 1
    lines += ["    " * indent + line for line in body]
    return "\n".join(lines) + "\n"


def by_address(operands: list[np.ndarray], outputs: list[np.ndarray]) -> str:
    """The source of a function that is told where the arrays are and calls the loop, which goes over memory from end to end."""
    names = [f"a{i}" for i in range(len(operands))] + [f"o{i}" for i in range(len(outputs))]
    given = [
        f"numbers({name}, {1 if x.size == 1 else 'stop'}, {'boolean' if x.dtype == _BOOL else x.dtype.name})"
        for name, x in zip(names, [*operands, *outputs], strict=True)
    ]
    return f"def at({', '.join(names)}, start, stop):\n    run({', '.join(given)}, start, stop)\n"


_HEAD = """# A fused loop, printed by mlkit.compile from the rules of its ops.
from math import inf, nan, sqrt

from numba import njit
from numpy import ascontiguousarray, empty, float32, float64, zeros
"""


_STRETCH = """

@njit(nogil=True, fastmath={"reassoc"})
def stretch(x):
    total = float32(0.0)
    for i in range(x.size):
        total += x[i]
    return total
"""


def file_text(source: str, at: str = "") -> str:
    used = sorted({w for w in ("exp", "log", "tanh", "sigmoid", "erf") if f"elementary_{w}(" in source})
    extra = "".join(f"from mlkit.backends.numba.elementary import {w} as elementary_{w}\n" for w in used)
    if "stretch(" in source:
        extra += _STRETCH
    if at:
        extra += "from numba import boolean\n\nfrom mlkit.backends.numba.lines_kernels import numbers\n"
    head = '@njit(nogil=True, cache={cache}, error_model="numpy")'
    return f"{_HEAD}{extra}\n\n{head}\n{source}" + (f"\n\n{head}\n{at}" if at else "")


_functions: dict[str, tuple[Callable, Callable | None]] = {}
_lock = threading.Lock()


def usable() -> bool:
    """Whether Numba is there and wanted."""
    return getattr(config, "numba", True) and importlib.util.find_spec("numba") is not None


def folder() -> Path:
    """Where the loops' files are."""
    from mlkit.data.network import cache_folder

    return cache_folder() / "fused"


def function_of(source: str) -> Callable:
    """The compiled loop; its file is written when it is not there yet (and does without where nothing can be written)."""
    return functions_of(source)[0]


def functions_of(source: str, at: str = "") -> tuple[Callable, Callable | None]:
    """The compiled loop, and the function of addresses ``at`` that calls it."""
    text = file_text(source, at)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    with _lock:
        found = _functions.get(name)
        if found is None:
            found = _functions[name] = _load(text, f"mlkit_fused_{name}")
    return found


def _load(text: str, name: str) -> tuple[Callable, Callable | None]:
    import linecache

    from mlkit.core.files import atomic_write

    kept = text.replace("{cache}", "True")
    try:
        path = folder() / f"{name}.py"
        if not path.exists() or path.read_text() != kept:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, "wb") as f:
                f.write(kept.encode())
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        if os.access(path.parent, os.W_OK):
            return module.run, getattr(module, "at", None)
    except OSError:
        pass
    except RuntimeError as error:  # Numba found no folder for its cache
        if "cache" not in str(error):
            raise
    scope: dict = {}
    text = text.replace("{cache}", "False")
    filename = f"<mlkit fused {name}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    exec(compile(text, filename, "exec"), scope)  # noqa: S102 - our own text, from the ops' rules
    return scope["run"], scope.get("at")
