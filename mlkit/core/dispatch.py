"""The one door: every op on tensors passes here.

``apply`` promotes dtypes, checks devices, picks the kernel, records the node for backward and tells listeners. For the
elementwise ops there is a short way to the same result (``_unary``, ``_binary``), taken while no interpreter and no
listener is active and the arrays are plain NumPy of one dtype; it adds about a microsecond to the NumPy call.

``ops`` holds the callable of each op by name: ``ops.softmax(x, dim=1)``. It is also the reader ``m`` that gradient
rules get when the gradient itself shall have a gradient.
"""

from __future__ import annotations

import contextlib
import functools
import linecache
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core import events, value
from mlkit.core.device import device
from mlkit.core.errors import ArgumentError, GradientError, MlkitError
from mlkit.core.frames import user_files, users_line
from mlkit.core.refusals import (
    all_on_meta,
    different_devices,
    different_dtypes,
    explain,
    instead_of_tensor,
    refuse,
)
from mlkit.core.value import (
    LASTING,
    LevelArray,
    MetaArray,
    Node,
    Storage,
    Value,
    inference_made,
    inferring,
    link_view,
    mark_inference,
    node_type,
    nowhere,
    tensor_types,
    tick,
    wrap,
)
from mlkit.ops.registry import REGISTRY, REQUIRED, Elementwise, Op, unbroadcast


class State(threading.local):
    """What belongs to a thread: grad mode, interpreters, and the names of the composites being run."""

    grad = True
    inference = False

    def __init__(self):
        self.interpreters: list = []
        self.scopes: list[str] = []
        self.saving: list[Callable] = []  # what saved_tensors_hooks make of what backward keeps
        self.transforms = 0  # how many of mlkit.func's transforms are running
        self.shapes_only = 0  # >0: only shapes are asked for, and a tensor with data beside one without is no mistake
        self.recorder: Any = None  # what mlkit.compile records the running function with


state = State()

#: how many interpreters and op listeners are active in all threads; 0 allows the short way
_busy = 0
_busy_lock = threading.Lock()


def _count_busy(change: int) -> None:
    global _busy
    with _busy_lock:
        _busy += change


events.on_subscription(lambda kind, change: _count_busy(change) if kind == "op" else None)


@contextlib.contextmanager
def only_shapes() -> Iterator[None]:
    """Inside, ops take tensors with data beside ones on ``meta``: for finding the shapes in a user's model, whose forward
    may make masks or positions of its own on the CPU."""
    state.shapes_only += 1
    try:
        yield
    finally:
        state.shapes_only -= 1


class Interpreter:
    """Something that sees every op instead of the kernels: a tracer, vmap, forward mode, autocast.

    ``process(op, tensors, attributes)`` returns what the op would; calls it makes to ``apply`` go to the interpreter
    below. Use as a context manager.

    One that gives tensors its own kind of array (a LevelArray) also has ``write(target, source, name)`` for in-place
    changes and ``custom(function, arguments)`` for autograd.Function; without them both just happen.
    """

    write: Callable | None = None
    custom: Callable | None = None

    def process(self, op: Op, tensors: tuple, attributes: dict):
        raise NotImplementedError

    def __enter__(self):
        state.interpreters.append(self)
        _count_busy(+1)
        return self

    def __exit__(self, *exc):
        state.interpreters.remove(self)
        _count_busy(-1)


def unobserved(*tensors) -> bool:
    """Whether no gradient is wanted of these and nobody looks at the ops of this thread one by one, so that several may be
    done as one. (What mlkit.compile records counts as nobody: it replays what there was.)"""
    if state.grad and any(t is not None and t._node is not None for t in tensors):
        return False
    if not _busy:
        return True
    recorder = state.recorder
    return recorder is not None and state.interpreters == [recorder] and "op" not in events.listeners


# --- the full way -----------------------------------------------------------------------------------------------------


def apply(op: Op, tensors: tuple, attributes: dict):
    """Run ``op``: through the innermost interpreter when there is one, else for real."""
    if _busy:
        stack = state.interpreters
        if stack:
            top = stack.pop()
            try:
                return top.process(op, tensors, attributes)
            finally:
                stack.append(top)
    elif op.takes_floats and not op.variadic:  # the usual way: what ``plain`` asks, without a call
        arrays: list = []
        first, as_is = None, op.takes_any
        for t in tensors:
            if t is None:
                arrays.append(None)
                continue
            if t.__class__ not in tensor_types:
                break
            x = t._array
            if x.__class__ is not _ndarray:
                break
            d = x.dtype
            if d is not first and not as_is and (first is not None or d is not _F32 and d is not _F64):
                break
            first = d
            arrays.append(x)
        else:
            if tensors and tensors[0] is not None:
                return execute_plain(op, list(tensors), arrays, attributes)
    return execute(op, tensors, attributes)


def execute(op: Op, tensors: tuple, attributes: dict):
    """Promote, compute, record. ``tensors`` is the op's positional arguments (one list for a variadic op)."""
    operands = tensors[0] if op.variadic else tensors
    arrays = plain(op, operands)
    operands = list(operands)
    if arrays is not None:
        return execute_plain(op, operands, arrays, attributes)
    library = alike(op, operands)
    if library is not None:
        arrays = [None if t is None else t._array for t in operands]
        return execute_plain(op, operands, arrays, attributes, library)
    for i, t in enumerate(operands):
        if t is not None and t.__class__ not in tensor_types:
            if t.__class__ in value.own_ways:
                return value.own_ways[t.__class__](op, operands, attributes)
            operands[i] = operand(op, i, t)
    if op.refuses_any:
        refuse(op, operands, op.refuses_any)
    if op.promotion is not None:
        promote(op, operands)
    if op.refuses:
        refuse(op, [t for t in operands if isinstance(t, Value)], op.refuses)
    arrays = [t._array if isinstance(t, Value) else t for t in operands]
    for x in arrays:
        if isinstance(x, LevelArray):  # it outlived the vmap or the dual level that made it
            return apply(op, (settled(operands),) if op.variadic else tuple(settled(operands)), attributes)
    attributes = complete(op, arrays, attributes)
    library = library_of(op, operands, arrays, attributes)
    if library is None:
        results = op.infer(arrays, **attributes) if op.variadic else op.infer(*arrays, **attributes)
    else:
        kernel = library.kernel(op)
        try:
            results = kernel(arrays, **attributes) if op.variadic else kernel(*arrays, **attributes)
        except MlkitError:
            raise
        except Exception as error:
            explain(op, arrays, attributes, error)
            raise
    outputs = record(op, operands, arrays, attributes, results)
    if "op" in events.listeners:
        events.emit("op", op, operands, attributes, outputs)
    return outputs


def plain(op: Op, operands) -> list | None:
    """The arrays of tensors that are all NumPy's and need no promotion: floating ones of one dtype, any where the op takes
    them as they are. None when the full way has to look."""
    if not op.takes_floats:
        return None
    arrays: list = []
    first = None
    as_is = op.takes_any
    for t in operands:
        if t is None:
            arrays.append(None)
            continue
        if t.__class__ not in tensor_types:
            return None
        x = t._array
        if x.__class__ is not _ndarray:
            return None
        d = x.dtype
        if as_is:
            first = d
        elif not (d is _F32 or d is _F64) or first is not None and d is not first:
            return None
        else:
            first = d
        arrays.append(x)
    return arrays if first is not None else None


def alike(op: Op, operands) -> backends.Backend | None:
    """The backend of tensors that are all its own and need no promotion, as ``plain`` asks it of NumPy's: floating ones
    of one dtype, any where the op takes them as they are. None when the full way has to look."""
    if not op.takes_floats:
        return None
    kind: Any = None
    first: Any = None
    for t in operands:
        if t is None:
            continue
        if t.__class__ not in tensor_types:
            return None
        x = t._array
        if kind is None:
            kind, first = x.__class__, x.dtype
            if kind is _ndarray:
                return None
        elif x.__class__ is not kind or x.dtype != first and not op.takes_any:
            return None
    library = backends.by_array_type.get(kind)
    if library is None or op.takes_any or first.kind == "f":
        return library
    return library if first.kind == "V" and "V" not in op.refuses and "V" not in op.refuses_any else None


def execute_plain(op: Op, operands: list, arrays: list, attributes: dict, library: backends.Backend | None = None):
    """``execute`` for the usual arrays: nothing to promote or to refuse, and all are the library's (NumPy's, if none)."""
    full = attributes
    if full.keys() != op.attributes.keys():
        full = {**op.attributes, **attributes}
        if len(full) > len(op.attributes):
            complete(op, arrays, attributes)  # raises
    if op.requires:
        for given in full.values():
            if given is REQUIRED:
                complete(op, arrays, attributes)
    if op.prepare is not None:
        full = op.prepare(arrays, **full) if op.variadic else op.prepare(*arrays, **full)
    if library is None:
        library = backends.load("numpy")
    kernel = library.kernels.get(op.name) or library.kernel(op)
    try:
        results = kernel(arrays, **full) if op.variadic else kernel(*arrays, **full)
    except MlkitError:
        raise
    except Exception as error:
        explain(op, arrays, full, error)
        raise
    outputs = record(op, operands, arrays, full, results)
    if "op" in events.listeners:
        events.emit("op", op, operands, full, outputs)
    return outputs


def settled(operands: list) -> list:
    """Operands that belong to a level that has ended, as tensors of the level below."""
    return [t._array.settle() if isinstance(t, Value) and isinstance(t._array, LevelArray) else t for t in operands]


def operand(op: Op, position: int, x):
    """An argument that is no tensor, made usable: Python and NumPy numbers stay numbers, arrays become tensors."""
    if isinstance(x, np.generic):  # a number like Python's: np.sqrt(2), a float64, makes no float32 tensor wider
        x = x.item()
    if isinstance(x, (bool, int, float, complex)):
        if op.variadic or not isinstance(op, Elementwise) and op.name not in ("matmul",):
            return wrap(np.asarray(x, dtypes.scalar_dtype(dtypes.scalar_category(x)).numpy))
        return x
    if isinstance(x, Value):
        return x
    if isinstance(x, np.ndarray):
        return wrap(x)
    if hasattr(x, "__mlkit_tensor__"):
        return x.__mlkit_tensor__()
    name = f"tensors[{position}]" if op.variadic else op.inputs[position]
    raise ArgumentError(
        f"{op.name}(): argument '{name}' must be a Tensor or a number, not {type(x).__name__}.",
        hint=instead_of_tensor(x),
    )


def complete(op: Op, arrays: list, attributes: dict) -> dict:
    """All attributes in canonical form; raises TypeError for unknown and missing ones, as Python does."""
    full = op.attributes
    if full:
        full = {**full, **attributes}
        if len(full) > len(op.attributes):
            key = next(k for k in attributes if k not in op.attributes)
            raise ArgumentError(f"{op.name}() got an unexpected keyword argument '{key}'.")
        for key, given in full.items():
            if given is REQUIRED:
                raise ArgumentError(f"{op.name}() missing required argument: '{key}'.")
    elif attributes:
        raise ArgumentError(f"{op.name}() got an unexpected keyword argument '{next(iter(attributes))}'.")
    prepare = op.prepare
    if prepare is None:
        return full
    for x in arrays:
        if not hasattr(x, "shape") and x is not None:
            return full
    return prepare(arrays, **full) if op.variadic else prepare(*arrays, **full)


def library_of(op: Op, operands: list, arrays: list, attributes: dict):
    """The backend all arrays belong to; None for meta. Raises DeviceError when they are on different devices."""
    first = None
    for x in arrays:
        if not hasattr(x, "shape"):
            continue
        if x.__class__ is MetaArray:
            if not state.shapes_only:
                all_on_meta(op, operands, arrays)
            return None
        found = backends.for_array(x)
        if first is None:
            first = found
        elif found is not first:
            # a 0-d CPU tensor goes along with any device, as a number would
            cpu = [i for i, a in enumerate(arrays) if isinstance(a, np.ndarray)]
            if all(arrays[i].ndim == 0 for i in cpu):
                for i in cpu:
                    if operands[i]._node is not None and state.grad:
                        operands[i] = apply(REGISTRY["to_device"], (operands[i],), {"device": first_device(arrays)})
                        arrays[i] = operands[i]._array
                    else:  # the gradient rules read the number too
                        arrays[i] = operands[i] = arrays[i].item()
                return first if first.name != "numpy" else found
            raise different_devices(op, operands, arrays)
    if first is None:
        place = attributes.get("device")
        if place is None:
            return backends.load("numpy")
        place = device(place)
        return None if place.type == "meta" else backends.for_device(place)
    return first


def first_device(arrays: list) -> device:
    """The device of the first array that is not the CPU's."""
    x = next(a for a in arrays if hasattr(a, "shape") and not isinstance(a, np.ndarray))
    return backends.for_array(x).device_of(x)


def promote(op: Op, operands: list) -> None:
    """Bring tensors to one dtype by inserting cast ops, so that their gradients come back in the right one."""
    skip = 1 if op.promotion == "after_first" else 0
    first = None
    same = True
    for t in operands[skip:]:
        if isinstance(t, Value):
            d = t._array.dtype
            if first is None:
                first = d
            elif d != first:
                same = False
        elif t is not None:
            same = False
    if first is None:
        return
    if op.promotion == "equal":
        if not same and any(isinstance(t, Value) and t._array.dtype != first for t in operands):
            raise different_dtypes(op, operands)
        return
    if same and (op.promotion != "float" or first.kind in "fcV"):
        return
    dimensioned = zero_dim = scalar = None
    for t in operands[skip:]:
        if t is None:
            continue
        if not isinstance(t, Value):
            category = dtypes.scalar_category(t)
            scalar = category if scalar is None else max(scalar, category)
        else:
            d = dtypes.from_numpy_dtype(t._array.dtype)
            if t._array.ndim:
                dimensioned = d if dimensioned is None else dtypes.promote_types(dimensioned, d)
            else:
                zero_dim = d if zero_dim is None else dtypes.promote_types(zero_dim, d)
    target = dtypes.result_dtype(dimensioned, zero_dim, scalar)
    if op.promotion == "float" and target.category < 2:
        target = dtypes.get_default_dtype()
    for i, t in enumerate(operands[skip:], skip):
        if isinstance(t, Value):
            if t._array.dtype != target.numpy:
                operands[i] = apply(REGISTRY["cast"], (t,), {"dtype": target})
        elif t is not None and target.category == 1:
            operands[i] = _wrapped_integer(int(t), target)
        elif t is not None and target.name == "bfloat16":
            operands[i] = wrap(np.asarray(t, target.numpy))


def _wrapped_integer(number: int, d: dtypes.dtype) -> int:
    """A Python integer as the type's range sees it (PyTorch wraps around, NumPy would raise)."""
    bits = d.itemsize * 8
    low = -(1 << (bits - 1)) if d.is_signed else 0
    return (number - low) % (1 << bits) + low


def record(op: Op, operands: list, arrays: list, attributes: dict, results):
    """Tensors around the results, with a node when a gradient is wanted."""
    node: Any = None
    if not state.grad and results.__class__ is _ndarray and not op.view:
        out = _new(value.tensor_class)
        out._array = results
        out._node = None
        if inferring:
            mark_inference(out)
        return out
    if state.grad and op.differentiable and op.rules is not None:
        inputs = tuple([t._node if isinstance(t, Value) else None for t in operands])
        for parent in inputs:
            if parent is not None:
                node = make_node(op, inputs, operands, arrays, attributes)
                break
    if results.__class__ is tuple:
        outputs: Any = []
        for number, r in enumerate(results):
            smooth = node is not None and r.dtype.kind in "fcV"
            outputs.append(wrap(r, Output(node, number) if smooth else None))
        outputs = tuple(outputs)
    else:
        out = wrap(results, node if node is not None and results.dtype.kind in "fcV" else None)
        outputs = out
        if op.view and not op.variadic:
            source = arrays[0]
            if source.__class__ is not MetaArray and shares_memory(source, results):
                link_view(operands[0], out, op, attributes)
                if not state.grad:
                    out._seen_without_grad = True
                    if operands[0]._node is not None and results.dtype.kind in "fcV":
                        out._node = nowhere()
    if node is not None:
        save(node, op, operands, arrays, attributes, outputs)
    return outputs


def shares_memory(a, b) -> bool:
    if b.__class__ is _ndarray:
        base = b.base
        if base is not None and (base is a or base is getattr(a, "base", None)):
            return True
    if isinstance(a, LevelArray):
        return isinstance(b, LevelArray) and shares_memory(a.inner._array, b.inner._array)
    if isinstance(a, np.ndarray):
        return np.may_share_memory(a, b)
    return backends.for_array(a).m.xp.may_share_memory(a, b)


class Output(Node):
    """One output of a node that has several, so that every other node has just one."""

    __slots__ = ("number",)

    def __init__(self, node: Node, number: int):
        self.op = _OUTPUT
        self.inputs = (node,)
        self.saved = ()
        self.attributes = {}
        self.seq = tick()
        self.shapes = None
        self.number = number

    @property
    def where(self):
        return self.inputs[0].where

    def name(self) -> str:
        return self.inputs[0].name()

    @property
    def next_functions(self):
        return self.inputs[0].next_functions


class _OutputOp:
    name = "output"
    rules = None


_OUTPUT = _OutputOp()


def make_node(op: Op, inputs: tuple, operands: list, arrays: list, attributes: dict) -> Node:
    node = _new(node_type(op))
    node.op = op
    node.inputs = inputs
    node.attributes = attributes
    node.seq = tick()
    node.saved = ()
    node.shapes = None
    frame = _getframe(3)  # that of record's caller's caller: all further in are ours
    if frame.f_code.co_filename in user_files:
        node.code, node.instruction = frame.f_code, frame.f_lasti
    else:
        node.code, node.instruction = users_line(frame)
    if not op.variadic and len(arrays) > 1:
        node.shapes = tuple([getattr(x, "shape", None) for x in arrays])
    return node


def save(node: Node, op: Op, operands: list, arrays: list, attributes: dict, outputs) -> None:
    """Keep what the gradient rules name, where an input that wants its gradient needs it."""
    kept: list = []
    inputs = node.inputs
    count = len(inputs)
    always = op.variadic or count == 1  # otherwise only what the gradient of an input that wants one reads
    for (kind, key), users in op.rules.kept:
        wanted = always
        if not wanted:
            for u in users:
                if u < count and inputs[u] is not None:
                    wanted = True
                    break
        if not wanted:
            kept.append(None)
        elif kind == "input":
            if op.variadic:
                kept.append([None] * op.first_kept + operands[op.first_kept :])
            else:
                kept.append(operands[key] if key < len(operands) else None)
        elif kind == "out":
            if outputs.__class__ is not tuple:
                kept.append(keep_output(outputs))
            elif op.reads_outputs is None:
                kept.append(tuple(map(keep_output, outputs)))
            else:
                kept.append(tuple([keep_output(o) if i in op.reads_outputs else None for i, o in enumerate(outputs)]))
        elif kind == "shape":
            kept.append([x.shape for x in arrays] if op.variadic else getattr(arrays[key], "shape", ()))
        elif kind == "dtype":
            kept.append(dtypes.from_numpy_dtype(arrays[key].dtype))
        else:
            kept.append(attributes[key])
    if inference_made:
        refuse_inference(kept)
    if state.saving:
        for i, (kind, _) in enumerate(op.rules.slots):
            if kind in ("input", "out"):
                kept[i] = state.saving[-1](kept[i])
    node.saved = tuple(kept)


def lasting(out: Value) -> Value:
    """Say that the step that made ``out`` keeps a number and no tensor (an alpha, a weight): backward frees nothing there."""
    node = out._node
    if node is not None and not node.attributes and not any(isinstance(k, (Value, tuple)) for k in node.saved or ()):
        node.attributes = LASTING
    return out


def refuse_inference(kept) -> None:
    """Backward keeps no tensor that was made inside inference_mode: its changes are not counted."""
    if state.inference:
        return
    for k in kept:
        if k.__class__ is list:
            refuse_inference(k)
        elif isinstance(k, Value) and k._inference and k._node is None:
            raise GradientError(
                "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
                "computation tracked by autograd.",
                f"made inside inference_mode: a tensor of shape {tuple(k._array.shape)}",
                "Make a normal tensor of it with .clone(), or make it inside no_grad() instead of inference_mode().",
            )


def keep_output(out: Value) -> tuple:
    """An output as backward keeps it: without its node (that would be a cycle), with its storage record."""
    storage = out._storage
    if storage is None:
        storage = out._storage = Storage()
    return out._array, storage


# --- the short way ------------------------------------------------------------------------------------------------------

_new = object.__new__
_ndarray = np.ndarray
_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)
_EMPTY: dict = {}
_getframe = sys._getframe
_users_code: Any = None  # the function of the user's program that called last: usually it calls again


def _plan(op: Op) -> tuple[str, ...] | None:
    """What a simple op keeps, as words; None when it needs the full way."""
    if op.rules is None:
        return () if not op.differentiable else None
    if op.rules.joint is not None or op.attributes:
        return None
    if any(kind not in ("input", "out") for kind, _ in op.rules.slots):
        return None
    return tuple(kind if kind == "out" else f"input{key}" for kind, key in op.rules.slots)


def _unary(op: Op, kernel: Callable) -> Callable | None:
    """The callable of a simple elementwise op with one tensor."""
    kind = node_type(op)
    plan = _plan(op) or ()
    keeps_input, keeps_output = "input0" in plan, "out" in plan
    both = keeps_input and keeps_output
    bool_result = op.result == "bool"
    differentiable = op.differentiable

    def entry(input):
        global _users_code
        if _busy or input.__class__ not in tensor_types:
            return apply(op, (input,), _EMPTY)
        x = input._array
        if x.__class__ is not _ndarray or not (x.dtype is _F32 or x.dtype is _F64):
            return apply(op, (input,), _EMPTY)
        y = kernel(x)
        out = _new(value.tensor_class)
        out._array = y = y if y.__class__ is _ndarray else np.asarray(y)
        parent = input._node
        if parent is None or not state.grad or not differentiable:
            out._node = None
            if inferring:
                mark_inference(out)
            return out
        node = _new(kind)
        node.op = op
        node.inputs = (parent,)
        node.attributes = _EMPTY
        node.seq = tick()
        node.shapes = None
        frame = _getframe(1)
        code = frame.f_code
        if code is not _users_code:
            if code.co_filename in user_files:
                _users_code = code
                node.code, node.instruction = code, frame.f_lasti
            else:
                node.code, node.instruction = users_line(frame)
        else:
            node.code, node.instruction = code, frame.f_lasti
        if keeps_output:
            kept = out._storage = Storage()
            node.saved = (input, (y, kept)) if both else ((y, kept),)
        else:
            node.saved = (input,) if keeps_input else ()
        out._node = None if bool_result else node
        return out

    if both and plan != ("input0", "out"):
        return None
    return entry


def _binary(op: Op, kernel: Callable, apply: Callable) -> Callable | None:
    """The callable of a simple elementwise op with two tensors, or a tensor and a number."""
    kind = node_type(op)
    plan = _plan(op)
    if plan is None or "out" in plan:
        return None
    # which operand each input's gradient reads, by position in ``saved``
    users = op.rules.users if op.rules else []
    slots = tuple((int(word[-1]), min(u)) for word, u in zip(plan, users, strict=True))
    if any(len(u) > 1 for u in users):
        return None
    swapped = slots == ((1, 0), (0, 1))  # mul: each input's gradient reads the other
    none = slots == ()
    if not (swapped or none):
        return None
    differentiable = op.differentiable
    # then only the types that no op refuses and none converts go this way
    picky = bool(op.refuses or op.refuses_any or op.promotion == "float")

    def entry(input, other):
        global _users_code
        if _busy:
            return apply(op, (input, other), _EMPTY)
        if input.__class__ in tensor_types:
            x = input._array
            if x.__class__ is not _ndarray:
                return apply(op, (input, other), _EMPTY)
            a = input._node
            if other.__class__ in tensor_types:
                y = other._array
                if (
                    y.__class__ is not _ndarray
                    or x.dtype is not y.dtype
                    or picky
                    and not (x.dtype is _F32 or x.dtype is _F64)
                ):
                    return apply(op, (input, other), _EMPTY)
                b = other._node
                dimensioned = True
            elif (other.__class__ is float or other.__class__ is int) and (x.dtype is _F32 or x.dtype is _F64):
                y, b = other, None
                dimensioned = False
            else:
                return apply(op, (input, other), _EMPTY)
        else:
            return apply(op, (input, other), _EMPTY)
        try:
            z = kernel(x, y)
        except (ValueError, TypeError) as error:
            explain(op, [x, y], _EMPTY, error)
            raise
        out = _new(value.tensor_class)
        out._array = z if z.__class__ is _ndarray else np.asarray(z)
        if (a is None and b is None) or not differentiable or not state.grad:
            out._node = None
            if inferring:
                mark_inference(out)
            return out
        node = _new(kind)
        node.op = op
        node.inputs = (a, b)
        node.attributes = _EMPTY
        node.seq = tick()
        frame = _getframe(1)
        code = frame.f_code
        if code is not _users_code:
            if code.co_filename in user_files:
                _users_code = code
                node.code, node.instruction = code, frame.f_lasti
            else:
                node.code, node.instruction = users_line(frame)
        else:
            node.code, node.instruction = code, frame.f_lasti
        node.shapes = None
        if dimensioned and x.shape != y.shape:
            node.shapes = (x.shape, y.shape)
        node.saved = () if none else (other if a is not None else None, input if b is not None else None)
        if inference_made:
            refuse_inference(node.saved)
        out._node = node
        return out

    return entry


def _product(op: Op, kernel: Callable, apply: Callable) -> Callable | None:
    """The callable of matmul: two plain matrices of one floating type go straight to the kernel."""
    kind = node_type(op)
    slots = [("input", 1), ("shape", 0), ("input", 0), ("shape", 1)]
    if op.rules.joint is not None or op.rules.slots != slots:
        return None

    def entry(input, other):
        global _users_code
        if _busy or input.__class__ not in tensor_types or other.__class__ not in tensor_types:
            return apply(op, (input, other), _EMPTY)
        x, y = input._array, other._array
        if x.__class__ is not _ndarray or y.__class__ is not _ndarray or x.dtype is not y.dtype:
            return apply(op, (input, other), _EMPTY)
        rows, columns = x.shape, y.shape
        if len(rows) != 2 or len(columns) != 2 or rows[1] != columns[0] or not (x.dtype is _F32 or x.dtype is _F64):
            return apply(op, (input, other), _EMPTY)
        out = _new(value.tensor_class)
        out._array = kernel(x, y)
        a, b = input._node, other._node
        if (a is None and b is None) or not state.grad:
            out._node = None
            if inferring:
                mark_inference(out)
            return out
        node = _new(kind)
        node.op = op
        node.inputs = (a, b)
        node.attributes = _EMPTY
        node.seq = tick()
        frame = _getframe(1)
        code = frame.f_code
        if code is not _users_code:
            if code.co_filename in user_files:
                _users_code = code
                node.code, node.instruction = code, frame.f_lasti
            else:
                node.code, node.instruction = users_line(frame)
        else:
            node.code, node.instruction = code, frame.f_lasti
        node.shapes = (rows, columns)
        node.saved = (other if a is not None else None, rows, input if b is not None else None, columns)
        if inference_made:
            refuse_inference(node.saved)
        out._node = node
        return out

    return entry


def _look(op: Op, apply: Callable) -> Callable:
    """The callable of an op that only looks at a tensor's memory otherwise: NumPy makes the view, it is linked, and that is
    all."""
    kind = node_type(op)
    names, wanted, prepare, forward = tuple(op.attributes), op.attributes.keys(), op.prepare, op.forward
    m = backends.load("numpy").m

    def entry(input, *given, **attributes):
        if given:
            attributes = {**dict(zip(names, given, strict=False)), **attributes}
        if _busy or input.__class__ not in tensor_types or attributes.keys() != wanted:
            return apply(op, (input,), attributes)
        x = input._array
        if x.__class__ is not _ndarray:
            return apply(op, (input,), attributes)
        full = prepare(x, **attributes)
        try:
            y = forward(m, x, **full)
        except MlkitError:
            raise
        except Exception as error:
            explain(op, [x], full, error)
            raise
        out = _new(value.tensor_class)
        out._array = y
        out._node = None
        if inferring:
            mark_inference(out)
        grad = state.grad
        base = y.base
        if base is not None and (base is x or base is x.base) or shares_memory(x, y):
            link_view(input, out, op, full)
            if not grad:
                out._seen_without_grad = True
                if input._node is not None:
                    out._node = nowhere()
        parent = input._node
        if parent is not None and grad:
            node = out._node = _new(kind)
            node.op = op
            node.inputs = (parent,)
            node.attributes = full
            node.seq = tick()
            node.shapes = None
            frame = _getframe(1)
            code = frame.f_code
            if code.co_filename in user_files:
                node.code, node.instruction = code, frame.f_lasti
            else:
                node.code, node.instruction = users_line(frame)
            save(node, op, [input], [x], full, out)
        return out

    return entry


def _affine(op: Op, kernel: Callable) -> Callable:
    """The callable of linear: plain arrays of one floating type whose shapes fit go straight to the kernel."""

    def entry(input, weight, bias=None):
        if _busy or input.__class__ not in tensor_types or weight.__class__ not in tensor_types:
            return apply(op, (input, weight, bias), _EMPTY)
        x, w = input._array, weight._array
        if x.__class__ is not _ndarray or w.__class__ is not _ndarray or not (x.dtype is _F32 or x.dtype is _F64):
            return apply(op, (input, weight, bias), _EMPTY)
        if w.dtype is not x.dtype or w.ndim != 2 or not x.ndim or x.shape[-1] != w.shape[1]:
            return apply(op, (input, weight, bias), _EMPTY)
        b = None
        if bias is not None:
            if bias.__class__ not in tensor_types:
                return apply(op, (input, weight, bias), _EMPTY)
            b = bias._array
            if b.__class__ is not _ndarray or b.dtype is not x.dtype or b.shape != w.shape[:1]:
                return apply(op, (input, weight, bias), _EMPTY)
        y = kernel(x, w, b)
        if state.grad and (
            input._node is not None or weight._node is not None or b is not None and bias._node is not None
        ):
            return record(op, [input, weight, bias], [x, w, b], _EMPTY, y)
        out = _new(value.tensor_class)
        out._array = y
        out._node = None
        if inferring:
            mark_inference(out)
        return out

    return entry


# --- one callable per op ------------------------------------------------------------------------------------------------------


def _entry_source(name: str, inputs: tuple, optional: int, attributes: tuple) -> str:
    given = ", ".join(n + ("=None" if i >= len(inputs) - optional else "") for i, n in enumerate(inputs))
    settings = ", ".join(f"{k}=None" for k in attributes)
    signature = ", ".join(part for part in (given, settings) if part)
    pairs = ", ".join(f"{k!r}: {k}" for k in attributes)
    tensors = ", ".join(inputs) + ("," if len(inputs) == 1 else "")
    return f"def {name}({signature}):\n    return apply(op, ({tensors}), {{{pairs}}})\n"


@functools.cache
def _entry_form(inputs: int, optional: int, attributes: int) -> CodeType:
    """The code of an entry with so many inputs and attributes: compiled once, whatever their names."""
    names = tuple(f"input{i}" for i in range(inputs)), tuple(f"attribute{i}" for i in range(attributes))
    whole = compile(_entry_source("entry", names[0], optional, names[1]), "<mlkit op>", "exec")
    return next(c for c in whole.co_consts if isinstance(c, CodeType))


def _full_entry(op: Op, apply: Callable) -> Callable:
    """A function with the op's own signature that calls ``apply``.

    Compiling three hundred of them would take a tenth of ``import mlkit``: those with as many arguments share their
    instructions and differ in names alone.
    """
    inputs, attributes = tuple(op.inputs), tuple(op.attributes)
    form = _entry_form(len(inputs), op.optional, len(attributes))
    names = dict(zip(form.co_varnames, (*inputs, *attributes), strict=True))

    def named(constant):
        if constant.__class__ is tuple:
            return tuple(map(named, constant))
        return names.get(constant, constant) if constant.__class__ is str else constant

    filename = f"<mlkit op {op.name}>"
    source = _entry_source(op.name, inputs, op.optional, attributes)
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    code = form.replace(
        co_name=op.name,
        co_qualname=op.name,
        co_filename=filename,
        co_varnames=tuple(names.values()),
        co_consts=tuple(map(named, form.co_consts)),
    )
    defaults = (*[None] * op.optional, *op.attributes.values())
    return FunctionType(code, {"apply": apply, "op": op}, op.name, defaults)


def apply_operator(op: Op, tensors: tuple, attributes: dict):
    """``apply`` for Python's operators: an operand that is none of ours gets its turn (its own ``__radd__``, ...)."""
    for x in tensors:
        if x.__class__ in tensor_types or isinstance(x, (Value, np.ndarray)) or hasattr(x, "__mlkit_tensor__"):
            continue
        if op.name == "matmul" or not isinstance(x, (bool, int, float, complex, np.generic)):
            return NotImplemented
    if op.name == "matmul" and any(isinstance(x, np.ndarray) for x in tensors):
        tensors = _as_wide(tensors)  # of a product with an array; tensors must have one dtype
    return apply(op, tensors, attributes)


def _as_wide(tensors: tuple) -> tuple:
    """A tensor and an array as tensors of the dtype that NumPy's data gives them together."""
    found = [operand(REGISTRY["matmul"], i, x) for i, x in enumerate(tensors)]
    d = dtypes.promote_types(*(dtypes.from_numpy_dtype(t._array.dtype) for t in found))
    return tuple(t if t._array.dtype == d.numpy else apply(REGISTRY["cast"], (t,), {"dtype": d}) for t in found)


def operator(name: str) -> Callable:
    """The op ``name`` as Python's operators call it."""
    return make_entry(REGISTRY[name], apply_operator)


def make_entry(op: Op, apply: Callable = apply) -> Callable:
    """The public callable of ``op``; what is not simple goes through ``apply``."""
    entry = None
    library = backends.load("numpy")
    takes_floats = "f" not in op.refuses
    if isinstance(op, Elementwise) and takes_floats and not op.attributes and not op.view and _plan(op) is not None:
        kernel = library.kernel(op)
        if len(op.inputs) == 1 and op.name not in ("abs", "real", "imag", "angle"):
            entry = _unary(op, kernel)
        elif len(op.inputs) == 2 and op.promotion != "after_first":
            entry = _binary(op, kernel, apply)
    elif op.name == "matmul":
        # two floating matrices need none of what the kernel decides
        entry = _product(op, library.m.matmul_ if op.name not in library.kernels else library.kernel(op), apply)
    elif op.name == "linear":
        entry = _affine(op, library.kernel(op))
    elif op.name in ("reshape", "permute", "narrow"):
        entry = _look(op, apply)
    if entry is None:
        entry = _full_entry(op, apply)
    entry.__name__ = entry.__qualname__ = op.name
    entry.__doc__ = type(op).__doc__
    entry.__module__ = "mlkit"
    entry.op = op
    return entry


class TensorReader:
    """The rules' reader for tensors: each op by name, and the helpers gradients are written with."""

    def __init__(self):
        for name, op in REGISTRY.items():
            setattr(self, name, make_entry(op))
        conj_op = self.conj_op = self.conj

        def conj(input):
            if not isinstance(input, Value):
                return input.conjugate()  # a number
            return conj_op(input) if input._array.dtype.kind == "c" else input

        conj.__doc__, conj.op = conj_op.__doc__, conj_op.op
        self.conj = conj

    def __getattr__(self, name: str):
        raise AttributeError(f"mlkit has no op named {name!r}")

    def zeros(self, shape, *, like):
        array = like._array
        if array.__class__ is MetaArray:
            return wrap(MetaArray(shape, array.dtype))
        return wrap(backends.for_array(array).m.xp.zeros(shape, array.dtype))

    def zeros_like(self, x):
        if not isinstance(x, Value):
            return type(x)(0)
        return self.zeros(x._array.shape, like=x)

    def ones_like(self, x):
        if not isinstance(x, Value):
            return type(x)(1)
        array = x._array
        if array.__class__ is MetaArray:
            return wrap(MetaArray(array.shape, array.dtype))
        return wrap(backends.for_array(array).m.xp.ones(array.shape, array.dtype))

    def index_array(self, values, *, like):
        array = np.asarray(values, np.int64)
        if like._array.__class__ is MetaArray:
            return wrap(MetaArray(array.shape, array.dtype))
        return wrap(backends.for_array(like._array).m.xp.asarray(array))

    def is_complex(self, x) -> bool:
        return x._array.dtype.kind == "c"

    def device_of(self, x):
        if backends.is_meta(x._array):
            return device("meta")
        return backends.for_array(x._array).device_of(x._array)

    def cast_like(self, x, like):
        return self.cast(x, dtype=dtypes.from_numpy_dtype(like._array.dtype))

    def cast_real(self, x, dtype):
        if x._array.dtype.kind == "c" and not dtype.is_complex:
            x = self.real(x)
        return self.cast(x, dtype=dtype)

    def unsqueeze(self, x, dim):
        shape = list(x._array.shape)
        shape.insert(dim if dim >= 0 else len(shape) + 1 + dim, 1)
        return self.reshape(x, shape=shape)

    def squeeze(self, x, dim):
        shape = list(x._array.shape)
        del shape[dim]
        return self.reshape(x, shape=shape)

    def mT(self, x):  # noqa: N802 - PyTorch's name
        n = x._array.ndim
        return self.permute(x, dims=(*range(n - 2), n - 1, n - 2))

    def mH(self, x):  # noqa: N802 - PyTorch's name
        return self.conj(self.mT(x))

    def contiguous(self, x):
        array = x._array
        return x if array.__class__ is MetaArray or array.flags.c_contiguous else self.clone(x)

    def unbroadcast(self, g, shape):
        return unbroadcast(self, g, shape)


ops = TensorReader()


def check_numbers(tensor: Value, check: Callable) -> None:
    """Call ``check(array)``, which may raise, on a tensor's numbers; a compiled function checks in each of its calls."""
    array = tensor._array
    if array.__class__ is MetaArray:
        return
    if state.recorder is not None:
        state.recorder.check(tensor, check)
        return
    while isinstance(array, LevelArray):  # all examples of vmap, the primal of forward mode
        array = array.inner._array
    if array.__class__ is not MetaArray:
        check(array)


def composite(fn: Callable) -> Callable:
    """Mark a composition of ops: it stays one box in a graph, and a backend may override it whole."""
    name = fn.__name__

    @functools.wraps(fn)
    def call(*args, **kwargs):
        if not _busy:
            return fn(*args, **kwargs)
        state.scopes.append(name)
        try:
            return fn(*args, **kwargs)
        finally:
            state.scopes.pop()

    call.composite = name
    return call
