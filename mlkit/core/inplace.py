"""Changing tensors in place, differentiably: memory, version counters, and the graph of every view of that memory."""

from __future__ import annotations

import sys

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core import events, value
from mlkit.core.dispatch import make_node, ops, state
from mlkit.core.errors import DtypeError, GradientError, NoData, RefusedError, ShapeError
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import Leaf, LevelArray, MetaArray, Storage, Value, mark_mutated, tick, wrap
from mlkit.ops import REGISTRY
from mlkit.ops.shape import follow

#: arrays whose numbers an in-place op always copies, since whoever has one may look at it (NumPy shares everything)
COPIED: tuple[type, ...] = (np.ndarray,)


def check_leaf(target: Value) -> None:
    """In-place changes of what backward accumulates into are refused, as in PyTorch."""
    if target._inference and not state.inference:
        raise GradientError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.",
            f"made inside inference_mode: a tensor of shape {tuple(target._array.shape)}",
            "Make a normal tensor of it with .clone() before the change, or change it inside inference_mode().",
        )
    if not state.grad:
        return
    base = target._view_of[0] if target._view_of else target
    if target._seen_without_grad and base._node is not None:
        raise GradientError(
            "A view was created in no_grad mode and is being modified inplace with grad mode enabled.",
            hint="Make the view outside no_grad(), if the change shall have a gradient; else change it inside no_grad().",
        )
    if isinstance(target._node, Leaf):
        raise GradientError(
            "a leaf Variable that requires grad is being used in an in-place operation.",
            hint="Wrap it in `with mlkit.no_grad():`, or use the out-of-place form.",
        )
    if isinstance(base._node, Leaf):
        raise GradientError(
            "a view of a leaf Variable that requires grad is being used in an in-place operation.",
            hint="Wrap it in `with mlkit.no_grad():`, or change a clone().",
        )
    if target._one_of_several and base._node is not None:
        raise GradientError(
            "This view is the output of a function that returns multiple views (split, chunk, unbind) and is being modified "
            "inplace. Such functions do not allow the output views to be modified inplace.",
            hint="Change a clone(), or write through the tensor itself: x[:2].mul_(2).",
        )


def refuse_overlap(name: str, target: Value, others) -> None:
    """Refuse to write into memory that is still read from elsewhere: x.add_(x.t()), x[1:] = x[:-1]; the same tensor is fine.

    As PyTorch, only where both lie densely in memory: for others it does not look, and neither does this.
    """
    into = target._array
    if into.__class__ is not np.ndarray:
        return
    for t in others:
        if t.__class__ not in value.tensor_types or t._array is into:
            continue
        x = t._array
        if x.__class__ is not np.ndarray or (x.base is None and into.base is None):
            continue
        if not (into.flags.forc and x.flags.forc and np.may_share_memory(into, x)):
            continue
        if x.ctypes.data == into.ctypes.data and (x.shape, x.strides) == (into.shape, into.strides):
            continue
        raise RefusedError(
            f"{name}: unsupported operation: some elements of the input tensor and the written-to tensor refer to a single "
            "memory location.",
            f"written to: {tuple(into.shape)}\nread from:  {tuple(x.shape)}, a view of the same memory",
            "Please clone() the tensor before performing the operation.",
        )


def assign(target: Value, source: Value, name: str = "copy_") -> Value:
    """Write ``source`` into ``target``'s memory (broadcasting, converting) and bring the graph of all its views along."""
    into, array = target._array, source._array
    try:
        fits = into.shape == array.shape or broadcast_shapes(into.shape, array.shape) == tuple(into.shape)
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{name}: output with shape {list(into.shape)} doesn't match the broadcast shape.",
            f"target: {tuple(into.shape)}\nvalue:  {tuple(array.shape)}",
        )
    check_leaf(target)
    if "write" in events.listeners:
        events.emit("write", target, source)
    if into.__class__ is not MetaArray:
        if array.__class__ is MetaArray:
            raise NoData(
                f"{name}: Cannot copy out of meta tensor; no data!",
                f"target: {tuple(into.shape)}\nvalue:  {tuple(array.shape)} on meta",
                "Make the value on the target's device.",
            )
        if isinstance(into, np.ndarray) and not into.flags.writeable:
            raise GradientError(
                f"{name}: unsupported operation: more than one element of the written-to tensor refers to a single "
                "memory location, or the memory is read-only.",
                hint="Please clone() the tensor before performing the operation.",
            )
        if isinstance(into, LevelArray) or isinstance(array, LevelArray):
            write_level(target, source, name)
        elif state.recorder is not None:
            state.recorder.write(target, source, name)
        elif into.__class__ not in COPIED and take_over(target, source):
            mark_mutated(target)
            source._node.seq = tick()  # made after the change: what it keeps is the new value
            rewrite_history(target, source)
            return target
        else:
            write_array(into, array)
    mark_mutated(target)
    if state.grad and (source._node is not None or root_of(target)._node is not None):
        rewrite_history(target, source)
    return target


def write_level(target: Value, source: Value, name: str) -> None:
    """The write as the innermost running level that one of them belongs to does it."""
    own = [t._array.level for t in (target, source) if isinstance(t._array, LevelArray)]
    for level in reversed(state.interpreters):
        if level in own:
            level.write(target, source, name)
            return
    settled = [t._array.settle() if isinstance(t._array, LevelArray) else t for t in (target, source)]
    assign(settled[0], settled[1], name)  # the level has ended


def take_over(target: Value, source: Value) -> bool:
    """Let target have source's array instead of a copy of its numbers: for results of ops whose memory nobody shares.

    Only where nothing can tell: target is a whole tensor of the graph, and neither array has another owner than its
    tensor (a view, a detached tensor, something kept for backward) except the nodes that made them, which keep theirs.
    """
    into, array, node = target._array, source._array, source._node
    storage = target._storage
    if node is None or not state.grad or target._node is None or target._view_of or source._view_of:
        return False
    if storage is not None and (storage.views or storage.given) or into.base is not None or array.base is not None:
        return False
    if array.__class__ is not into.__class__ or (array.dtype, array.shape, array.strides) != (
        into.dtype,
        into.shape,
        into.strides,
    ):
        return False
    kept = sum(isinstance(k, tuple) and len(k) > 0 and k[0] is array for k in node.saved or ())
    if node.inputs is None or kept > 1 or node.op.outputs != 1:
        return False
    # each is held by its tensor, by two functions that run, and by the question
    before = sum(
        isinstance(k, tuple) and len(k) > 0 and k[0] is into for k in getattr(target._node, "saved", None) or ()
    )
    if sys.getrefcount(into) > 4 + before or sys.getrefcount(array) > 4 + kept:
        return False
    target._array = array
    fresh = source._storage or Storage()
    fresh.version = 0 if storage is None else storage.version
    target._storage = fresh
    return True


def write_array(into, array) -> None:
    """Copy numbers between arrays of any backends and dtypes."""
    if array.dtype.kind == "c" and into.dtype.kind != "c":
        array = array.real
    target, source = backends.for_array(into), backends.for_array(array)
    if target is not source:
        array = target.asarray(source.to_numpy(array), target.device_of(into).index)
    into[...] = array


def root_of(target: Value) -> Value:
    return target._view_of[0] if target._view_of else target


def _in_graph(base: Value) -> bool:
    return base._node is not None and not isinstance(base._node, Leaf)


def rewrite_history(target: Value, source: Value) -> None:
    """Make the graph say what the memory now holds: the base first, then every live view of it."""
    source = _fitted(target, source)
    base = root_of(target)
    before = base._node
    path = target._view_of[1] if target._view_of else ()
    if not path and (source._node is not None or not _in_graph(base)):
        base._node = source._node
    else:  # a part, or the whole by constants: what flowed in before gets a gradient of zeros there
        operands = [wrap(base._array, base._node), source]
        arrays = [base._array, source._array]
        view_write = REGISTRY["view_write"]
        node = make_node(view_write, (base._node, source._node), operands, arrays, {"path": path})
        node.saved = tuple(source._array.shape if kind == "shape" else path for kind, _ in view_write.rules.slots)
        base._node = node
    storage = base._storage
    if storage is not None:
        for reference in storage.views:
            view = reference()
            if view is not None:
                seen = wrap(base._array, base._node)
                before_view = view._node
                view._node = follow(ops, seen, view._view_of[1])._node
                if view._retain_hook is not None:
                    _move_retain_hook(view, before_view)
    if base._retain_hook is not None:
        _move_retain_hook(base, before)


def _move_retain_hook(tensor: Value, before) -> None:
    """retain_grad means the tensor as it is now: its hook follows the tensor to the node of the new values."""
    hook = tensor._retain_hook
    keep = value.tensor_hooks.get(before, {}).pop(hook.id, None)  # type: ignore[union-attr]
    if keep is not None and tensor._node is not None:
        tensor._retain_hook = value.add_hook(value.tensor_hooks, tensor._node, keep)


def _fitted(target: Value, source: Value) -> Value:
    """``source`` with the target's dtype and, for a whole write, its shape."""
    d = dtypes.from_numpy_dtype(target._array.dtype)
    if source._array.dtype != target._array.dtype:
        source = ops.cast(source, dtype=d)
    if target._view_of is None and tuple(source._array.shape) != tuple(target._array.shape):
        source = ops.expand(source, shape=tuple(target._array.shape))
    return source


def _is(kept, target: Value) -> bool:
    """Whether what a node kept is that tensor, or its like without names."""
    return kept is target or isinstance(kept, Value) and kept._array is target._array


def update(target: Value, result: Value, name: str) -> Value:
    """The end of an in-place op: ``result`` was computed out of place and goes into ``target``."""
    if result._array.dtype != target._array.dtype:
        a, b = dtypes.from_numpy_dtype(result._array.dtype), dtypes.from_numpy_dtype(target._array.dtype)
        if name == "float_power_":
            raise DtypeError(
                f"the base given to float_power_ has dtype {b.name} but the operation's result requires dtype {a.name}.",
                hint="Use x.float_power(...), which makes a new tensor.",
            )
        if a.category > b.category:
            raise DtypeError(
                f"{name}: result type {a.name} can't be cast to the desired output type {b.name}.",
                hint="Use the out-of-place form, or convert the tensor first.",
            )
    if tuple(result._array.shape) != tuple(target._array.shape):
        raise ShapeError(
            f"{name}: output with shape {list(target._array.shape)} doesn't match the broadcast shape "
            f"{list(result._array.shape)}.",
            hint="A change in place keeps the shape: use the form that makes a new tensor (x = x + y).",
        )
    node = result._node
    if node is not None and node.saved and any(_is(kept, target) for kept in node.saved):
        before = wrap(target._array.copy(), target._node)  # backward needs the values from before the change
        node.saved = tuple(before if _is(kept, target) else kept for kept in node.saved)
    return assign(target, result, name)
