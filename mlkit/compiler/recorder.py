"""Record a function while it runs eagerly: every op, every change in place, every key of the random stream.

While recording, tensors hold a ``RecordedArray`` in place of their array. Ops pass through ``Recorder.process``, which
computes them for real and writes a node. Whoever wants the numbers themselves (an ``if``, ``.item()``, NumPy) asks the
RecordedArray, which ends the recording, says why and where, and hands out the numbers: the call goes on eagerly, with
nothing done twice. So what is recorded is known to depend on no number.
"""

from __future__ import annotations

import contextlib
import gc
import linecache
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mlkit.autograd import engine
from mlkit.autograd.levels import Level
from mlkit.compiler.graph import Graph, GraphModule, GraphNode, GraphValue, Ref
from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core import inplace, rng, value
from mlkit.core.dispatch import Output, apply, ops, record, state
from mlkit.core.errors import GradientError
from mlkit.core.frames import is_users, user_frame
from mlkit.core.value import Leaf, LevelArray, MetaArray, Node, Storage, Value, tick, wrap

#: below so many elements a gradient is written in ops, which NumPy does as quickly as a kernel
SMALL = 512


class Reason:
    """Why something runs eagerly, and the user's line where that was found."""

    def __init__(self, text: str, frame=None):
        self.text = text
        self.file, self.line, self.function = "", 0, ""
        if frame is not None:
            self.file, self.line = frame.f_code.co_filename, frame.f_lineno
            self.function = frame.f_code.co_name

    @property
    def code(self) -> str:
        return linecache.getline(self.file, self.line).strip() if self.file else ""

    @property
    def place(self) -> str:
        if not self.file:
            return ""
        return f"{os.path.basename(self.file)}:{self.line} in {self.function}" + (f": {self.code}" if self.code else "")

    def __str__(self) -> str:
        return f"{self.text}\n  at {self.place}" if self.file else self.text


class RecordedArray(LevelArray):
    """What a tensor holds while it is recorded: shape and dtype openly, the numbers only at the price of the recording."""

    __slots__ = ("id",)
    plain = True

    def __init__(self, level: Recorder, array: np.ndarray, id: str):
        self.level, self.inner, self.id = level, wrap(array), id
        self.shape, self.dtype = array.shape, array.dtype

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in ("flags", "strides", "base", "device"):  # where the numbers lie, not what they are
            self.level.read()
        return getattr(self.inner._array, name)

    def numbers(self) -> np.ndarray:
        self.level.read()
        return self.inner._array

    def settle(self) -> Value:
        self.level.read()
        return self.inner

    def like(self, plain: Value) -> Value:
        # a copy is an op, so that each call gets a new one
        return plain if self.level.done else ops.clone(plain)

    def copy(self):
        return self.numbers().copy()

    def text(self, write) -> str:
        return write(self.settle())

    def __array__(self, dtype=None, copy=None):
        return np.array(self.numbers(), dtype=dtype, copy=True if copy is None else copy)

    def __bool__(self):
        return bool(self.numbers())

    def __int__(self):
        return int(self.numbers())

    def __float__(self):
        return float(self.numbers())

    def __index__(self):
        return self.numbers().__index__()

    def __iter__(self):
        return iter(self.numbers())

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, place):
        return self.numbers()[place]

    def __setitem__(self, place, new):
        self.numbers()[place] = new


def _delegate(name: str) -> None:
    def method(self, *others):
        return getattr(self.numbers(), name)(*(o.numbers() if isinstance(o, RecordedArray) else o for o in others))

    setattr(RecordedArray, name, method)


for _name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split():
    for _form in (f"__{_name}__", f"__r{_name}__", f"__i{_name}__"):
        _delegate(_form)
for _name in "lt le gt ge eq ne neg pos abs invert".split():
    _delegate(f"__{_name}__")
RecordedArray.__hash__ = object.__hash__  # type: ignore[method-assign]


def root_of(array):
    """The array that owns the memory; of an array on a GPU, that piece of the GPU's memory."""
    if not isinstance(array, np.ndarray):
        return array.data.mem
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def shares(a, b) -> bool:
    """Whether two arrays show the same memory."""
    return np.may_share_memory(a, b) if isinstance(a, np.ndarray) else a.data.mem is b.data.mem


def writable(array) -> bool:
    """Whether each element has memory of its own that may be changed."""
    flags = array.flags
    return flags.writeable if isinstance(array, np.ndarray) else 0 not in array.strides or array.size <= 1


class Ghost:
    """What is known of an array that is gone."""

    def __init__(self, array):
        self.shape, self.dtype, self.strides, self.size = array.shape, array.dtype, array.strides, array.size


def shadow(array):
    """What is known of an array that may go: of NumPy's one of the same form, with no memory to speak of, never read."""
    if not isinstance(array, np.ndarray):
        return Ghost(array)
    return np.lib.stride_tricks.as_strided(np.empty(1, array.dtype), array.shape, array.strides, writeable=False)


class Arrays(dict):
    """id -> array, where those that nobody else holds go: recording takes no more memory than running."""

    def __init__(self, forget: Callable):
        super().__init__()
        self.forget = forget
        self.ghosts: dict[str, Any] = {}

    def weak(self, key: str, array) -> None:
        number = id(array)
        self.ghosts[key] = shadow(array)
        super().__setitem__(key, weakref.ref(array, lambda _: self.forget(number, key)))

    def real(self, key: str):
        """The array itself, where it is still there; else None."""
        found = super().get(key)
        return found() if found.__class__ is weakref.ref else found

    def __getitem__(self, key: str):
        found = super().__getitem__(key)
        if found.__class__ is weakref.ref:
            array = found()
            return self.ghosts[key] if array is None else array
        return found


# --- hooks that exist while anything is recorded -----------------------------------------------------------------------

_lock = threading.Lock()
_recording = 0


def _mutated(tensor: Value) -> None:
    if state.recorder is not None:
        state.recorder.mutated(tensor)


def _hooked() -> None:
    if state.recorder is not None:
        state.recorder.stop("a hook is registered in it")


def _taken(generator, count, key) -> None:
    if state.recorder is not None:
        state.recorder.took(generator, count, key)


def _count(change: int) -> None:
    global _recording
    with _lock:
        _recording += change
        value.on_mutation = _mutated if _recording else None
        value.on_hook = _hooked if _recording else None
        rng.on_take = _taken if _recording else None


class Recorder(Level):
    """The interpreter that writes the graph of one call.

    After the run: ``graph`` (nodes in order), ``broken`` (a Reason, or None), and what belongs to the graph's values
    outside it: ``captured`` (id -> tensor that existed before), ``constants`` (id -> array made in the function),
    ``fresh`` (id -> what the array was before the function changed it), ``old_grads`` (id -> tensor whose ``.grad`` it
    was at the start), ``grad_rules`` (whether each leaf had a gradient at the start).
    """

    def __init__(self, name: str, inputs: list[Value]):
        self.graph = Graph(name)
        self.broken: Reason | None = None
        self.done = False
        self.thread = threading.get_ident()
        self.inputs = inputs
        self.by_array: dict[int, str] = {}
        self.arrays: dict[str, Any] = Arrays(self._forget)  # id -> its array (of a random key: the key)
        self.base: dict[str, str] = {}  # id -> id of the value whose memory it shows
        self.captured: dict[str, Value] = {}
        self.stands_for: dict[str, Value] = {}  # id of what came from outside -> its tensor
        self.constants: dict[str, np.ndarray] = {}
        self.fresh: dict[str, np.ndarray] = {}
        self.fixed: set[str] = set()  # what follows from constants alone: its numbers may become one
        self.foreign: set[str] = set()  # constants in memory that somebody outside holds too
        self.written: set[str] = set()  # memory (root ids) that is changed
        self.old_grads: dict[str, Value] = {}
        self.started_with: dict[int, tuple[Value, bool]] = {}  # leaf -> whether it had a gradient that mattered
        self.cleared: dict[int, Value] = {}
        self.given: set[str] = set()  # memory that is some leaf's gradient already
        self.keys: dict[tuple, str] = {}
        self.modules: dict[int, Any] = {}
        self.stepped: list[tuple] = []  # (optimizer, the ids of its parameters)
        self.expected: Value | None = None
        self.backward_ran = False
        self.differentiates = False  # gradients are computed in the function itself
        self.boundary = 0
        self.library: backends.Backend | None = None  # whose arrays these are: one library per recording

    def ours(self, array) -> bool:
        """Whether an array is of the library that this recording computes with, which the first array decides."""
        if self.library is None and not isinstance(array, (LevelArray, MetaArray)):
            self.library = backends.for_array(array)
        return self.library is not None and array.__class__ is self.library.array_types[0]

    # --- begin and end ------------------------------------------------------------------------------------------------

    def __enter__(self):
        kinds = value.tensor_types | value.own_ways.keys()
        everything = [t for t in gc.get_objects() if type(t) in kinds]
        self.alive = [(t, t._array, t._node, t._grad) for t in everything]
        self.known = {id(root_of(a)) for _, a, _, _ in self.alive if not isinstance(a, (LevelArray, MetaArray))}
        self.known_tensors = {id(t) for t in everything}
        # array -> the tensor it is the memory of, as far as there is one: of several the one that may get a gradient
        self.owners = {id(a): t for t, a, node, _ in sorted(self.alive, key=lambda x: isinstance(x[2], Leaf))}
        self.grad_owner = {id(g): t for t, _, _, g in self.alive if g is not None}
        _count(+1)
        super().__enter__()
        state.recorder = self
        self.began = tick()
        for i, t in enumerate(self.inputs):
            self.ours(t._array)
            key = self.add(t._array, "input", "input" if i == 0 else f"input_{i}")
            self.graph.inputs.append(key)
            self.stands_for[key] = t
            t._array = RecordedArray(self, t._array, key)
        return self

    def __exit__(self, *exc):
        self.release()
        super().__exit__(*exc)
        _count(-1)

    def release(self) -> None:
        """Give every tensor its array back; from here on all is eager."""
        if self.done:
            return
        self.done = True
        if state.recorder is self:
            state.recorder = None
        tensors, nodes = value.tensor_types | value.own_ways.keys(), {Node, *_subclasses(Node)}
        for t in gc.get_objects():
            kind = type(t)
            if kind in tensors:
                if t._array.__class__ is RecordedArray and t._array.level is self:
                    t._array = t._array.inner._array
            elif kind in nodes and getattr(t, "saved", None):
                t.saved = self._plain(t.saved)

    def _plain(self, kept):
        if kept.__class__ is RecordedArray and kept.level is self:
            return kept.inner._array
        if kept.__class__ is tuple:
            return tuple(map(self._plain, kept))
        return [self._plain(k) for k in kept] if kept.__class__ is list else kept

    def stop(self, text: str) -> None:
        """The recording is over: ``text`` says why."""
        if not self.done:
            frame = user_frame()
            while frame is not None and not is_users(frame.f_code.co_filename):
                frame = frame.f_back  # NumPy and others that mlkit called
            self.broken = Reason(text, frame)
            self.release()

    def read(self) -> None:
        if not self.done and threading.get_ident() == self.thread:  # another thread's reading decides nothing here
            self.stop(
                "the numbers of a tensor are needed (an `if`, .item(), .numpy(), print, a shape that depends on them)"
            )

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Inside, nothing is recorded."""
        state.recorder = None
        try:
            with self.below():
                yield
        finally:
            if not self.done:
                state.recorder = self

    # --- values -------------------------------------------------------------------------------------------------------

    def add(self, array: np.ndarray, kind: str, name: str = "") -> str:
        key = f"v{len(self.graph.values)}"
        d = dtypes.from_numpy_dtype(array.dtype).name
        self.graph.values[key] = GraphValue(key, kind, name, tuple(array.shape), d)
        self.by_array[id(array)] = key
        if kind == "activation":
            self.arrays.weak(key, array)
        else:
            self.arrays[key] = array
        self.base[key] = key
        return key

    def _forget(self, number: int, key: str) -> None:
        if self.by_array.get(number) == key:
            del self.by_array[number]

    def value_of(self, t: Value) -> str:
        """The id of a tensor, which is captured now if it comes from outside."""
        array = t._array
        if array.__class__ is RecordedArray:
            if array.level is self:
                return array.id
            array = array.inner._array
        key = self.by_array.get(id(array))
        if key is not None:
            if id(t) in self.known_tensors and self.stands_for.get(key, t) is not t:
                self.stop("two tensors with the same memory take part (one is the other's detach() or .data)")
                return ""
            return key
        if id(t) not in self.known_tensors:  # the .data or detach() of one from outside, made just now
            t = self.owners.get(id(array), t)
        if not self.ours(array):
            self.stop(f"a tensor on the {t.device} device takes part")
            return ""
        owner = self.grad_owner.get(id(t))
        if owner is not None:
            self.touch(owner)
            key = self.add(array, "gradient", "grad")
            self.old_grads[key] = owner
            self.stands_for[key] = t
        elif id(root_of(array)) in self.known:
            key = self.add(array, "parameter" if isinstance(t._node, Leaf) else "buffer")
            self.captured[key] = self.stands_for[key] = t
        else:
            own = root_of(array)
            # the tensor, the names here, the question; what is on a GPU may be known elsewhere in other ways
            held = sys.getrefcount(own) > (4 if own is array else 3) or not isinstance(array, np.ndarray)
            key = self.add(array, "constant")
            self.constants[key] = array
            if held:
                self.foreign.add(key)
        return key

    def number(self, t):
        """``t``; a number where it is a 0-d tensor on the CPU that the function made and that goes along with a GPU's."""
        if not isinstance(t, Value) or self.library is None or self.library.name == "numpy" or t._node is not None:
            return t
        array = t._array
        if array.__class__ is np.ndarray and array.ndim == 0 and id(root_of(array)) not in self.known:
            return array.item()
        return t

    def root(self, key: str) -> str:
        while self.base[key] != key:
            key = self.base[key]
        return key

    def place(self) -> dict | None:
        frame = user_frame()
        if frame is None:
            return None
        file, line = frame.f_code.co_filename, frame.f_lineno
        code = linecache.getline(file, line).strip()
        name = os.path.basename(file)
        return {"file": name, "line": line, "code": code, "function": frame.f_code.co_name}

    def node(self, op: str, arguments: list, outputs: list[str], attributes: dict | None = None, **more) -> GraphNode:
        flat = [a for a in arguments if isinstance(a, Ref)]
        for a in (attributes or {}).values():
            if isinstance(a, Ref):
                flat.append(a)
        node = GraphNode(
            id=f"n{len(self.graph.nodes)}",
            op=op,
            inputs=[str(a) for a in flat],
            outputs=outputs,
            attributes=attributes or {},
            composites=tuple(state.scopes),
            source=self.place(),
            arguments=arguments,
            **more,
        )
        self.graph.nodes.append(node)
        return node

    def results(self, arrays: tuple, sources: list[np.ndarray], inputs: list[str]) -> list[str]:
        """Ids of new values, each with the input whose memory it shows."""
        out = []
        for r in arrays:
            shown = next((k for a, k in zip(sources, inputs) if a is r or shares(a, r)), None)
            key = self.add(r, "activation")
            if shown is not None:
                self.base[key] = self.graph.values[key].base = self.root(shown)
            out.append(key)
        return out

    # --- what happens -------------------------------------------------------------------------------------------------

    def process(self, op, tensors, attributes):
        if self.done:
            return apply(op, tensors, attributes)
        operands = list(tensors[0]) if op.variadic else list(tensors)
        if any(t.__class__ in value.own_ways for t in operands):
            with self.active():
                return value.own_ways[next(t.__class__ for t in operands if t.__class__ in value.own_ways)](
                    op, operands, attributes
                )
        if any(isinstance(t, np.ndarray) for t in operands):
            self.stop("a NumPy array takes part: make it a tensor outside the function")
            return apply(op, tensors, attributes)
        operands, attributes = self.canonical(op, operands, attributes)
        operands = [self.number(t) for t in operands]
        keys = [self.value_of(t) if isinstance(t, Value) else None for t in operands]
        if self.done:
            return apply(op, (operands,) if op.variadic else tuple(operands), attributes)
        plain = [wrap(self.arrays[k]) if k is not None else t for t, k in zip(operands, keys)]
        out = apply(op, (plain,) if op.variadic else tuple(plain), attributes)
        arrays = tuple(o._array for o in (out if isinstance(out, tuple) else (out,)))
        if not all(map(self.ours, arrays)):
            self.stop(f"{op.name} computes on another device")
            return apply(op, (operands,) if op.variadic else tuple(operands), attributes)
        named = dict(attributes)
        if "key" in named:
            if named["key"] not in self.keys:
                self.stop("random numbers are drawn with a key from before the function")
                return apply(op, (operands,) if op.variadic else tuple(operands), attributes)
            named["key"] = Ref(self.keys[named["key"]])
        sources = [self.arrays[k] for k in keys if k is not None]
        if not all(map(self.ours, sources)):
            self.stop(f"{op.name} mixes two devices")
            return out
        outputs = self.results(arrays, sources, [k for k in keys if k is not None])
        if sources and not op.random and all(k is None or k in self.constants or k in self.fixed for k in keys):
            self.fixed.update(outputs)
            self.arrays.update(zip(outputs, arrays, strict=True))
        arguments = [Ref(k) if k is not None else t for t, k in zip(operands, keys)]
        self.node(op.name, arguments, outputs, named, random=op.random)
        seen = [
            RecordedArray(self, self.arrays[k], k) if k is not None else t for t, k in zip(operands, keys, strict=True)
        ]
        made = tuple(RecordedArray(self, a, k) for a, k in zip(arrays, outputs, strict=True))
        return record(op, operands, seen, attributes, made if isinstance(out, tuple) else made[0])

    def write(self, target: Value, source: Value, name: str) -> None:
        """A change in place: numbers of ``source`` into the memory of ``target``."""
        self.expected = target
        if not self.done:
            into, given = self.value_of(target), self.value_of(source)
        if self.done:
            inplace.write_array(
                *(t._array.inner._array if isinstance(t._array, LevelArray) else t._array for t in (target, source))
            )
            return
        array = self.arrays[into]
        if not writable(array):
            raise GradientError(
                f"{name}: unsupported operation: more than one element of the written-to tensor refers to a single "
                "memory location, or the memory is read-only.",
                hint="Please clone() the tensor before performing the operation.",
            )
        root = self.root(into)
        if root in self.constants and root not in self.fresh:
            self.fresh[root] = self.arrays[root].copy()
        self.written.add(root)
        inplace.write_array(array, self.arrays[given])
        self.node("write", [Ref(into), Ref(given)], [], effect=True)

    def check(self, tensor: Value, fn: Callable) -> None:
        """A check of numbers that may raise, now and in every replay."""
        if self.done:
            fn(tensor._array)
            return
        key = self.value_of(tensor)
        fn(self.arrays[key] if key else tensor._array)
        if not self.done:
            self.node("check", [Ref(key)], [], kernel=fn, effect=True)

    def mutated(self, tensor: Value) -> None:
        """Something was changed in place: by ``write``, or behind our back."""
        if self.done:
            return
        if tensor is self.expected:
            self.expected = None
        elif tensor._array.__class__ is RecordedArray or id(tensor._array) in self.by_array:
            self.stop("a tensor is changed in place in a way that cannot be recorded")
        elif not isinstance(tensor._array, (LevelArray, MetaArray)) and id(root_of(tensor._array)) in self.known:
            self.stop("a tensor from outside is changed in place in a way that cannot be recorded")

    def took(self, generator, count: int | None, key) -> None:
        """A key was taken from a random stream (or, without count, the stream's place was set or asked for)."""
        if self.done:
            return
        if count is None:
            self.stop("the random stream is seeded, or asked where it is, inside the function")
            return
        name = f"v{len(self.graph.values)}"
        self.graph.values[name] = GraphValue(name, "key", "", (2,), "int64")
        self.base[name] = name
        self.keys[key] = name
        self.arrays[name] = key
        self.node("take_key", [], [name], {"generator": generator, "count": count}, effect=True)

    # --- gradients ----------------------------------------------------------------------------------------------------

    def touch(self, p: Value) -> None:
        """What is in ``p.grad`` matters from here on: remember whether the function found one there."""
        if id(p) not in self.started_with and id(p) not in self.cleared:
            self.started_with[id(p)] = (p, p._grad is not None)

    def forgets(self, tensors: list[Value]) -> None:
        """Their gradients are set without looking at what was there."""
        for p in tensors:
            if id(p) not in self.started_with:
                self.cleared[id(p)] = p

    def accumulates(self, p: Value, g):
        """``g`` is about to be added to ``p.grad``: returns it in memory of its own."""
        if self.done or not isinstance(g, Value):
            if not self.done:
                self.stop("backward() runs on a loss from outside the function")
            return g
        self.backward_ran = True
        self.touch(p)
        if p._grad is None:
            key = self.value_of(g)
            if self.done:
                return g
            root = self.root(key)
            made = self.graph.values[root].kind == "activation"
            if root != key or root in self.given or not made:
                g = ops.clone(g)
                root = self.value_of(g)
            self.given.add(root)
        return g

    def gradient(self, rule: Callable, m, g, node):
        """The gradients of one node: by its rule written in ops, or as one step where a backend has a kernel for it."""
        op = node.op
        self.differentiates = True
        if node.seq < self.began and not self.done:
            self.stop("backward() goes on into what was computed before the function")
        library = self.library or backends.load("numpy")
        first = next((x for x in g if x is not None), None) if g.__class__ is list else g
        known = getattr(op, "rules", None) is not None and any(name == op.name for name, _ in library.gradients)
        sizes = [first._array.size, *(k._array.size for k in node.saved or () if isinstance(k, Value))]
        small = max(sizes) < SMALL and library.name == "numpy"
        if self.done or not known or state.grad or small:
            return rule(m, g, node)
        return self._whole_gradient(op, g, node)

    def _whole_gradient(self, op, g, node):
        many = g.__class__ is list
        if op.rules.joint is None and not many:
            return self._gradients_apart(op, g, node)
        given = g if many else [g]
        arguments: list = []
        gs = [None if t is None else self._ref(arguments, t) for t in given]
        slots = zip(op.rules.slots, node.saved, strict=True)
        plan = [self._slot(arguments, kind, kept, node) for (kind, _), kept in slots]
        needs = tuple(n is not None for n in node.inputs)
        assert self.library is not None
        run = whole_gradient(op, gs, many, plan, needs, dict(node.attributes), self.library)
        if self.done:
            return engine.runner_of(op, True)(ops, g, node)
        arrays = [self.arrays[a] for a in arguments]
        found = run(*arrays)
        shown = [(self.arrays[a], str(a)) for a in arguments if not isinstance(self.arrays[a], tuple)]
        real = tuple(r if self.ours(r) else np.asarray(r) for r in found if r is not None)
        outputs = iter(self.results(real, [a for a, _ in shown], [k for _, k in shown]))
        names = [None if r is None else next(outputs) for r in found]
        self.node(
            f"{op.name}_backward", arguments, [n for n in names if n], kernel=run, picks=[n is not None for n in names]
        )
        return tuple(None if n is None else wrap(RecordedArray(self, self.arrays[n], n)) for n in names)

    def _ref(self, arguments: list, t: Value) -> int:
        """The place among a node's arguments that a tensor takes."""
        arguments.append(Ref(self.value_of(t)))
        return len(arguments) - 1

    def _slot(self, arguments: list, kind: str, kept, node) -> tuple[str, Any]:
        """How a gradient rule gets something that was kept: from which arguments, or as it is."""
        if kept is None:
            return "plain", None
        if kind == "input" and isinstance(kept, Value) and self.number(kept) is not kept:
            return "plain", self.number(kept)
        if kind == "input" and isinstance(kept, Value):
            engine.kept_array(kept, node)
            return "input", self._ref(arguments, kept)
        if kind == "input" and kept.__class__ is list:
            return "inputs", [None if k is None else self._ref(arguments, k) for k in kept]
        if kind == "out":
            found = engine.kept_output_array(kept, node)
            if not isinstance(found, tuple):
                return "out", self._ref(arguments, wrap(found))
            return "outs", [None if a is None else self._ref(arguments, wrap(a)) for a in found]
        if kind == "attribute" and isinstance(kept, tuple) and kept in self.keys:
            arguments.append(Ref(self.keys[kept]))
            return "key", len(arguments) - 1
        return "plain", kept

    def _kept(self, op, slot: tuple, node):
        """What a gradient rule on tensors reads."""
        kind, key = slot
        if kind == "needs":
            return [n is not None for n in node.inputs]
        if kind == "attribute":
            return node.attributes[key]
        kept = node.saved[op.rules.slots.index(slot)]
        if kind == "input":
            return engine.kept_tensor(kept, node)
        return engine.kept_output_tensor(kept, node) if kind == "out" else kept

    def _gradients_apart(self, op, g, node) -> tuple:
        """The gradient of each input as a node of its own: what nobody reads goes, the rest can be planned."""
        assert self.library is not None
        results: list = []
        for i, each in enumerate(op.rules.each):
            if each is None or i >= len(node.inputs) or node.inputs[i] is None:
                results.append(None)
                continue
            rule, wanted = each
            name = op.inputs[i] if len(op.rules.each) > 1 else None
            # what has no kernel may go together with others; a bias's is a sum, for which a loop is printed
            if (op.name, name) not in self.library.gradients or name == "bias":
                results.append(rule(ops, g, *[self._kept(op, slot, node) for slot in wanted]))
                continue
            arguments: list = []
            self._ref(arguments, g)
            plan = []
            for slot in wanted:
                if slot[0] == "needs":
                    plan.append(("plain", [n is not None for n in node.inputs]))
                else:
                    kept = (
                        node.attributes[slot[1]] if slot[0] == "attribute" else node.saved[op.rules.slots.index(slot)]
                    )
                    plan.append(self._slot(arguments, slot[0], kept, node))
            if self.done:
                return engine.runner_of(op, True)(ops, g, node)
            run = one_gradient(op.name, engine.overridable(op.name, name, rule), plan, self.library.m)
            found = run(*[self.arrays[a] for a in arguments])
            if found is None:
                results.append(None)
                continue
            found = found if self.ours(found) else np.asarray(found)
            shown = [(self.arrays[a], str(a)) for a in arguments if not isinstance(self.arrays[a], tuple)]
            (key,) = self.results((found,), [a for a, _ in shown], [k for _, k in shown])
            self.node(f"{op.name}_backward" + (f"_{name}" if name else ""), arguments, [key], kernel=run)
            results.append(wrap(RecordedArray(self, self.arrays[key], key)))
        return tuple(results)

    # --- calls of Python code that a replay makes anew ----------------------------------------------------------------------

    def calls(self, fn: Callable, args: tuple, kwargs: dict, grads: tuple = (), changes: tuple = ()):
        """An effect: ``fn`` runs now and in every replay, with the gradients it reads in place."""
        tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, Value) or callable(a)]
        if tensors and not self.done:
            self.stop(f"{getattr(fn, '__qualname__', 'a step')} is called with a tensor or a function")
        with self.suspended():
            before = [changed._array for changed in changes]
            out = fn(*args, **kwargs)
        if not self.done:
            if any(p._array is not a for p, a in zip(changes, before, strict=True)):
                self.stop("an optimizer replaced a parameter's memory")
            self.node(
                "call",
                [Ref(key) for _, key in grads],
                [],
                {"function": fn, "args": args, "kwargs": kwargs, "tensors": [p for p, _ in grads]},
                effect=True,
                changes=[self.by_array[id(p._array)] for p in changes if id(p._array) in self.by_array],
            )
            self.written.update(self.root(k) for k in self.graph.nodes[-1].changes)
        return out

    def optimizer_step(self, step: Callable, args: tuple, kwargs: dict):
        optimizer = args[0]
        if optimizer.defaults.get("differentiable"):
            self.stop("the optimizer's step is differentiable")
        self.stepped.append((optimizer, [id(p) for group in optimizer.param_groups for p in group["params"]]))
        grads, changes = [], []
        for group in optimizer.param_groups:
            for p in group["params"]:
                if self.done:
                    break
                self.touch(p)
                if p._grad is not None:
                    key = self.value_of(p._grad)
                    if not self.done:
                        p._grad._array = self.arrays[key]
                        grads.append((p, key))
                        changes.append(p)
        return self.calls(step, args, kwargs, tuple(grads), tuple(changes))

    # --- what was found out -------------------------------------------------------------------------------------------------

    def check_state(self) -> None:
        """Refuse what a replay would not do again: tensors from before that got other memory or another history."""
        own = {id(t) for t in self.inputs}
        for t, array, node, _ in self.alive:
            now = t._array
            if id(t) in own:
                if now.__class__ is not RecordedArray or now.inner._array is not array or t._node is not node:
                    self.stop(
                        "an argument gets other memory or another history (in-place change of what needs a gradient)"
                    )
                    return
            elif now is not array:
                self.stop("a tensor from outside gets other memory (.data = ...)")
                return
            elif t._node is not node and not (isinstance(node, Leaf) and isinstance(t._node, Leaf)):
                self.stop("a tensor from outside changes whether or how it needs a gradient")
                return

    def describe_modules(self, names: dict[int, str]) -> None:
        for m in self.modules.values():
            path = names.get(id(m), type(m).__name__)
            count = sum(p.numel() for p in m.parameters())
            self.graph.modules.append(GraphModule(path, type(m).__name__, count, m.extra_repr()))


def _subclasses(cls: type) -> set:
    """All classes derived from ``cls``."""
    own = set(cls.__subclasses__())
    return own.union(*map(_subclasses, own)) if own else own


class _Shell:
    """What a gradient rule on arrays asks of a node."""

    __slots__ = ("attributes", "inputs", "op", "saved", "seq")


_UNCHANGED = Storage()


def one_gradient(name: str, rule: Callable, plan: list, m) -> Callable:
    """A function (g, arrays...) that calls a gradient rule with them and with what stays the same in each call."""
    given, scope, count = [], {"rule": rule, "m": m}, 0
    for i, (how, what) in enumerate(plan):
        if how in ("input", "out", "key"):
            given.append(f"a{what}")
            count = max(count, what)
        elif how in ("inputs", "outs"):
            listed = "".join("None, " if k is None else f"a{k}, " for k in what)
            given.append(f"[{listed}]" if how == "inputs" else f"({listed})")
            count = max([count, *[k for k in what if k is not None]])
        else:
            given.append(f"k{i}")
            scope[f"k{i}"] = what
    names = ", ".join(f"a{i}" for i in range(count + 1))
    source = f"def {name}_backward({names}):\n    return rule(m, a0, {', '.join(given)})\n"
    exec(compile(source, f"<mlkit gradient of {name}>", "exec"), scope)  # noqa: S102 - our own text, from the op's rules
    return scope[f"{name}_backward"]


def whole_gradient(op, gs: list, many: bool, plan: list, needs: tuple, attributes: dict, library) -> Callable:
    """A function of arrays that runs the op's gradient rule as eager backward does, with its backend's kernels."""

    def run(*arrays):
        shell = _Shell()
        shell.op, shell.attributes, shell.inputs, shell.seq = op, attributes, [n or None for n in needs], 1
        saved: list = []
        for how, what in plan:
            if how == "plain":
                saved.append(what)
            elif how == "inputs":
                saved.append([None if i is None else arrays[i] for i in what])
            elif how == "outs":
                saved.append(tuple(None if i is None else (arrays[i], _UNCHANGED) for i in what))
            elif how == "out":
                saved.append((arrays[what], _UNCHANGED))
            else:
                saved.append(arrays[what])
        shell.saved = tuple(saved)
        g = [None if i is None else arrays[i] for i in gs]
        m = library.m
        found = (engine._array_runners.get(op) or engine.runner_of(op, False))(m, g if many else g[0], shell)
        return tuple(r if n or len(needs) < len(found) else None for r, n in zip(found, needs, strict=False))

    run.__name__ = f"{op.name}_backward"
    return run


def gradients(recorder: Recorder, outputs: list[Value], weights: list[Value], stops: set) -> dict:
    """Gradients of outputs with respect to the nodes in ``stops``, recorded; nothing is accumulated."""
    seen: set = set()
    stack = [t._node for t in outputs]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            if node not in stops:
                stack.extend(p for p in node.inputs if p is not None)
    order = sorted(seen, key=lambda n: n.seq, reverse=True)
    useful = engine.leads_to(order, stops)
    pending: dict = {}
    for t, g in zip(outputs, weights, strict=True):
        old = pending.get(t._node)
        pending[t._node] = g if old is None else old + g
    found: dict = {}
    before, state.grad = state.grad, False
    try:
        for node in order:
            g = pending.pop(node, None)
            if g is None or node not in useful:
                continue
            if node in stops:
                found[node] = g
                continue
            if node.__class__ is Leaf:
                continue
            if node.__class__ is Output:
                parent = node.inputs[0]
                slots = pending.setdefault(parent, [None] * parent.op.outputs)
                engine.add_into(slots, node.number, g)
                continue
            rule = engine._tensor_runners.get(node.op) or engine.runner_of(node.op, True)
            results = recorder.gradient(rule, ops, g, node)
            for i, parent in enumerate(node.inputs):
                r = results[i] if parent is not None else None
                if r is None:
                    continue
                if node.shapes is not None and r._array.shape != node.shapes[i]:
                    r = ops.unbroadcast(r, node.shapes[i])
                old = pending.get(parent)
                pending[parent] = r if old is None else old + r
    finally:
        state.grad = before
    return found
