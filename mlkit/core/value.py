"""The bare tensor: an array, the node that made it, and the memory it shares. Methods come later, in tensor.py."""

from __future__ import annotations

import itertools
import math
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.core.frames import Place, place_of, user_files, users_line

#: One counter orders everything that happens to tensors: nodes being made and arrays being changed in place.
tick = itertools.count(1).__next__


class MetaArray:
    """Shape and dtype without data: what an op's ``infer`` takes and gives, and the array of a ``meta`` tensor."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.shape = tuple(shape)
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        total = 1
        for n in self.shape:
            total = total * n
        return total

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"MetaArray({self.shape}, {self.dtype})"


class LevelArray:
    """What a tensor holds in place of an array inside vmap and forward mode.

    It has the shape and dtype that the function being transformed sees. ``level`` is the interpreter it belongs to,
    ``inner`` the tensor of the level below that carries the numbers.
    """

    __slots__ = ("dtype", "inner", "level", "shape")
    #: it stands for just the array that is there, and ops of any kind may run on it: not a batch, not a tangent
    plain = False
    level: Any
    inner: Value
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def parts(self) -> tuple[Value, ...]:
        """The tensors of the level below that it is made of."""
        return (self.inner,)

    def memory(self):
        """The array below, as the function sees it: what says how it lies in memory."""
        array = self.inner._array
        return array.memory() if isinstance(array, LevelArray) else array

    def settle(self) -> Value:
        """The tensor of the level below that may stand for this one where numbers are needed; raises if there is none."""
        raise NotImplementedError

    def like(self, plain: Value) -> Value:
        """A new tensor as its level has them: what ``zeros_like`` gives inside."""
        raise NotImplementedError

    def copy(self) -> LevelArray:
        """The same values in memory of their own."""
        raise NotImplementedError

    def text(self, write: Callable[[Value], str]) -> str:
        """As a tensor prints; ``write`` prints the tensors inside."""
        raise NotImplementedError


def is_plain(array) -> bool:
    """Whether a tensor's array is one with numbers, of no transform: what an op with a rule for arrays alone can take."""
    return array.plain if isinstance(array, LevelArray) else array.__class__ is not MetaArray


class Storage:
    """What tensors that share memory have in common: when it was last changed, and who looks at it.

    Made on first need (a view, an in-place change, an output kept for backward), so most tensors have none.
    """

    __slots__ = ("base", "code", "given", "instruction", "mutated", "version", "views")

    def __init__(self):
        self.mutated = 0  # tick of the last in-place change
        self.code: Any = None  # the user's code that made it, with the instruction
        self.version = 0  # how many there were
        self.base: weakref.ref | None = None  # the tensor whose views these are
        self.views: list[weakref.ref] = []
        self.given = False  # the memory came from outside, a NumPy array say: its layout is not ours to change

    @property
    def where(self) -> Place | None:
        """The user's line of the last in-place change."""
        return None if self.code is None else place_of(self.code, self.instruction)


class Node:
    """One step of the computation, as backward needs it. Keeps what the op's gradient rule names, nothing else.

    The user's line that made it is kept as a code object and an instruction in it (what a frame knows, without the
    frame, which would keep the function's variables alive): ``where`` finds the file, the line and its text.
    """

    __slots__ = (
        "__weakref__",
        "attributes",
        "code",
        "freed_by",
        "inputs",
        "instruction",
        "op",
        "saved",
        "seq",
        "shapes",
    )

    op: Any  # the Op (or anything with the same backward())
    inputs: tuple  # parent nodes; None where no gradient is wanted
    saved: tuple | None  # what backward reads; None once freed
    attributes: dict
    seq: int
    shapes: tuple | None  # input shapes where broadcasting has to be undone
    code: Any  # the user's code that made it; None for steps that belong to no line
    instruction: int
    freed_by: tuple  # the (code, instruction) of the backward() that freed it; set when that happens

    def name(self) -> str:
        """PyTorch's way to name a node: ``AddBackward0``."""
        shown = type(self).__name__
        rule = _BY_USE.get(shown)
        return shown if rule is None else rule(self) or shown

    @property
    def where(self) -> Place | None:
        """The line of the user's program that made it; inside detect_anomaly with the module's path."""
        if self.code is None:
            return None
        return place_of(self.code, self.instruction, node_modules.get(self, "") if node_modules.data else "")

    @property
    def next_functions(self) -> tuple:
        """The nodes this one passes gradients to, each with its output number."""
        return tuple((p, 0) if not hasattr(p, "number") else (p.inputs[0], p.number) for p in self.inputs)

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    def _kept(self, name: str):
        """What the node keeps under an input's name, an attribute's, or ``out``."""
        rules = getattr(self.op, "rules", None)
        for (kind, key), kept in zip(rules.slots if rules else (), self.saved or (), strict=False):
            if kind == "out" and name == "out":
                if kept[0] is None or isinstance(kept[0], tuple):
                    return tuple(k and wrap(k[0]) for k in kept)
                return wrap(kept[0], self)
            if (kind == "input" and self.op.inputs[key] == name) or (kind == "attribute" and key == name):
                return kept
        raise AttributeError(f"{self!r} keeps no {name!r}")

    # PyTorch's names for them. (Properties, since a __getattr__ would make every attribute of every node slower.)
    _saved_self = property(lambda self: self._kept("input"))
    _saved_other = property(lambda self: self._kept("other"))
    _saved_result = property(lambda self: self._kept("out"))

    @property
    def metadata(self) -> dict:
        """A dictionary for your own notes about this node."""
        return node_notes.setdefault(self, {})

    def register_hook(self, hook: Callable) -> Hook:
        """Call ``hook(grad_inputs, grad_outputs)`` when backward has run this node; it may return new grad_inputs."""
        return add_hook(node_hooks, self, hook)

    def register_prehook(self, hook: Callable) -> Hook:
        """Call ``hook(grad_outputs)`` before backward runs this node; it may return new grad_outputs."""
        return add_hook(node_prehooks, self, hook)


#: the attributes of simple steps that keep no tensor, only a number: backward may pass them again and again
LASTING: dict = {}

_node_types: dict[str, type[Node]] = {}


def _of_a_dim(node: Node) -> str | None:
    """sum(dim) is another function of PyTorch's than sum()."""
    dims, kept = node.attributes.get("dim"), node.saved[0] if node.saved else None
    ndim = len(kept) if isinstance(kept, tuple) else kept.ndim if isinstance(kept, Value) else None
    if dims is None or (ndim in (None, len(dims)) and not node.attributes.get("keepdim")):
        return None
    return f"{type(node).__name__[:-1]}1"


def _of_a_number(name: str) -> Callable[[Node], str | None]:
    """2 - x and 2 / x: the number is the first operand."""
    return lambda node: name if node.shapes is not None and node.shapes[0] is None else None


def _of_ranks(node: Node) -> str | None:
    if node.op.name != "matmul" or not node.shapes:
        return None
    first, second = map(len, node.shapes)
    if max(first, second) > 2:
        return "UnsafeViewBackward0"
    return {(2, 1): "MvBackward0", (1, 1): "DotBackward0"}.get((first, second))


def _of_a_layer(node: Node) -> str | None:
    if node.op.name != "linear" or not node.shapes:
        return None
    flat, bias = len(node.shapes[0]) == 2, node.shapes[2] is not None
    return None if flat and bias else "MmBackward0" if flat else "ViewBackward0" if bias else "UnsafeViewBackward0"


def _of_an_index(node: Node) -> str | None:
    index = node.attributes.get("index")
    return "SelectBackward0" if index and isinstance(index[-1], int) else None


#: nodes that PyTorch names by how the op was called
_BY_USE: dict[str, Callable[[Node], str | None]] = {
    **dict.fromkeys(("SumBackward0", "MeanBackward0", "ProdBackward0"), _of_a_dim),
    "SubBackward0": _of_a_number("RsubBackward1"),
    "DivBackward0": _of_a_number("MulBackward0"),
    "MmBackward0": _of_ranks,
    "AddmmBackward0": _of_a_layer,
    "SliceBackward0": _of_an_index,
}


#: ops whose nodes PyTorch names by another word than the op's own
_NAMES = {
    "CopySlices": "view_write",
    "AddmmBackward0": "linear",
    "MmBackward0": "matmul",
    "PowBackward0": "pow_scalar square",
    "PowBackward1": "pow",
    "ToCopyBackward0": "cast",
    "ViewBackward0": "reshape",
    "SliceBackward0": "narrow",
    "ConvolutionBackward0": "conv1d conv2d conv3d",
    "MaxPool2DWithIndicesBackward0": "max_pool2d",
    "MaxPool3DWithIndicesBackward0": "max_pool3d",
    "AvgPool2DBackward0": "avg_pool2d",
    "AvgPool3DBackward0": "avg_pool3d",
    "NativeBatchNormBackward0": "batch_norm_train batch_norm_eval",
    "NativeLayerNormBackward0": "layer_norm",
    "ConstantPadNdBackward0": "constant_pad",
    "Log1PBackward0": "log1p",
    "EluBackward0": "selu celu",
    "LogSoftmaxBackward0": "softmax_cross_entropy",
    "LinalgVectorNormBackward0": "vector_norm",
    "LinalgQrBackward0": "qr",
    "LinalgSvdBackward0": "svd",
    "LinalgPinvBackward0": "pinv",
    "LinalgMatrixExpBackward0": "matrix_exp",
    "LinalgCholeskyExBackward0": "cholesky",
    "LinalgDetBackward0": "det",
    "LinalgEighBackward0": "eigh",
    "LinalgInvExBackward0": "inverse",
    "AdaptiveMaxPool2DBackward0": "adaptive_max_pool2d",
    "Im2ColBackward0": "im2col",
    "FftC2CBackward0": "fft_complex",
    "FftR2CBackward0": "fft_real",
    "FftC2RBackward0": "fft_real_inverse",
    "RemainderBackward1": "remainder",
    "FmodBackward1": "fmod",
}
_SHOWN = {op: name for name, ops in _NAMES.items() for op in ops.split()}


def node_type(op) -> type[Node]:
    """The class of an op's nodes: programs that draw the graph read its name, as PyTorch's ``AddBackward0``."""
    found = _node_types.get(op.name)
    if found is None:
        name = _SHOWN.get(op.name) or f"{''.join(part.capitalize() for part in op.name.split('_'))}Backward0"
        found = _node_types[op.name] = _node_class(name)
    return found


def _node_class(name: str) -> type[Node]:
    return type(name, (Node,), {"__slots__": (), "__doc__": Node.__doc__})


def shown_as(out: Value, name: str) -> Value:
    """``out`` with its node under the name of the whole function that made it, as PyTorch's ``MseLossBackward0``."""
    node = out._node
    if node is None:
        return out
    plain = node.__class__
    if plain.__base__ is Node and not plain.__slots__:
        node.__class__ = _node_types.get(name) or _node_types.setdefault(name, _node_class(name))
    return out


class Leaf:
    """The end of the graph for a tensor that wants its gradient: backward adds into ``tensor.grad``."""

    __slots__ = ("__weakref__", "ref", "seq")

    inputs = ()
    saved = ()
    shapes = None
    where = None
    next_functions = ()

    def __init__(self, tensor: Value):
        self.ref = weakref.ref(tensor)
        self.seq = tick()

    @property
    def variable(self):
        return self.ref()

    def name(self) -> str:
        """PyTorch's name for it, with its namespace; the class is ``AccumulateGrad`` there too."""
        return "torch::autograd::AccumulateGrad"

    def __repr__(self) -> str:
        return "<AccumulateGrad>"

    def register_hook(self, hook: Callable) -> Hook:
        """Call ``hook((), grad_outputs)`` when the gradient has been added."""
        return add_hook(node_hooks, self, hook)

    def register_prehook(self, hook: Callable) -> Hook:
        """Call ``hook(grad_outputs)`` before the gradient is added; it may return a new one."""
        return add_hook(node_prehooks, self, hook)

    @property
    def metadata(self) -> dict:
        """A dictionary for your own notes about this node."""
        return node_notes.setdefault(self, {})


def nowhere() -> Leaf:
    """The end of the graph for a view made in no_grad mode of a tensor that requires grad: what flows in is dropped."""
    end = Leaf.__new__(Leaf)
    end.ref, end.seq = _none, tick()  # type: ignore[assignment]
    return end


def _none() -> None:
    return None


def ends_nowhere(tensor: Value) -> bool:
    """Whether that is the tensor's end of the graph."""
    return getattr(tensor._node, "ref", None) is _none


Leaf.__name__ = Leaf.__qualname__ = "AccumulateGrad"  # what programs that draw the graph look for

#: Hooks are rare: kept beside the nodes rather than in each.
node_hooks: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
node_prehooks: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
node_notes: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
node_modules: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # the module's path, known in anomaly mode
tensor_hooks: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # node or leaf -> hooks on the tensor's gradient


class Hook:
    """What registering a hook returns: ``remove()`` takes it away; also usable in a ``with`` block."""

    _ids = itertools.count()

    def __init__(self, hooks: dict):
        self.id = next(Hook._ids)
        self._hooks = weakref.ref(hooks) if not isinstance(hooks, dict) else (lambda: hooks)

    def remove(self) -> None:
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def add_hook(table, key, fn: Callable) -> Hook:
    if on_hook is not None:
        on_hook()
    hooks = table.setdefault(key, {})
    handle = Hook(hooks)
    hooks[handle.id] = fn
    return handle


class Value:
    """What every tensor is: ``_array`` (numpy, cupy or meta) and ``_node`` (None when no gradient flows)."""

    __slots__ = ("__dict__", "__weakref__", "_array", "_node")
    _array: Any
    _node: Any

    # Rare attributes live in __dict__ once set; these are their values until then.
    _grad: Value | None = None
    _storage: Storage | None = None
    _view_of: tuple | None = None  # (base tensor, ((op, attributes), ...)): how to look at base and see this
    _seen_without_grad = False  # a view made in no_grad mode
    _conjugated = False  # what conj() gave, or a view of that: PyTorch would conjugate it later
    _negated = False  # the imaginary part of such a tensor
    _one_of_several = False  # a view that split, chunk or unbind made together with others
    _names: tuple[str | None, ...] | None = None
    _inference = False  # made inside inference_mode: outside it may be read, but not be changed or kept for backward
    _retains_grad = False
    _retain_hook: Hook | None = None


#: The class of new tensors and its subclasses (Parameter, ...). tensor.py fills them when it defines the class.
tensor_class: type = Value
tensor_types: set[type] = set()
#: Classes of tensors outside ``tensor_types`` (named tensors) whose operations a function (op, operands, attributes) does.
own_ways: dict[type, Callable] = {}
_new = object.__new__
_getframe = sys._getframe


def remember_line(node: Node) -> None:
    """Let the node know the line of the user's program that runs now. (Written out where a call would cost.)"""
    frame = _getframe(1)
    if frame.f_code.co_filename in user_files:
        node.code, node.instruction = frame.f_code, frame.f_lasti
    else:
        node.code, node.instruction = users_line(frame)


def register_tensor_class(cls: type) -> None:
    """Make ``cls`` the class of new tensors."""
    global tensor_class
    tensor_class = cls
    tensor_types.add(cls)


#: the threads that are inside inference_mode (empty as a rule: asking costs ops next to nothing), and one entry as soon as
#: a tensor was ever made in one
inferring: set[int] = set()
inference_made: list[bool] = []


def mark_inference(tensor: Value) -> None:
    """Say that a tensor was made inside inference_mode, if this thread is in one."""
    if threading.get_ident() in inferring:
        tensor._inference = True
        if not inference_made:
            inference_made.append(True)


def wrap(array, node=None) -> Value:
    """A tensor around ``array``; 0-d results that NumPy returned as scalars become arrays again."""
    out = _new(tensor_class)
    out._array = array if not isinstance(array, (np.generic, int, float, complex)) else np.asarray(array)
    out._node = node
    if inferring:
        mark_inference(out)
    return out


def wrap_like(array, source: Value) -> Value:
    """A tensor without history around memory of ``source``: one of inference_mode only if ``source`` is."""
    out = wrap(array)
    if inference_made:
        out._inference = source._inference
    return out


def is_tensor(x) -> bool:
    return x.__class__ in tensor_types or isinstance(x, Value)


def storage_of(tensor: Value) -> Storage:
    """The tensor's storage record, made now if it had none."""
    storage = tensor._storage
    if storage is None:
        storage = tensor._storage = Storage()
    return storage


#: set while a function is being recorded for compiling: told of every in-place change, and of every new hook
on_mutation: Callable[[Value], None] | None = None
on_hook: Callable[[], None] | None = None


def mark_mutated(tensor: Value) -> None:
    """Say that the tensor's memory was changed in place."""
    if on_mutation is not None:
        on_mutation(tensor)
    storage = tensor._storage
    if storage is None:
        storage = tensor._storage = Storage()
    storage.mutated = tick()
    storage.version += 1
    frame = _getframe(1)
    if frame.f_code.co_filename in user_files:
        storage.code, storage.instruction = frame.f_code, frame.f_lasti
    else:
        storage.code, storage.instruction = users_line(frame)


def mark_all_mutated(tensors: list[Value]) -> None:
    """The same of many tensors, changed together by one line of the user's program."""
    if on_mutation is not None:
        for tensor in tensors:
            on_mutation(tensor)
    code, instruction = users_line(_getframe(1))
    now = tick()
    for tensor in tensors:
        storage = tensor._storage
        if storage is None:
            storage = tensor._storage = Storage()
        storage.mutated = now
        storage.version += 1
        storage.code, storage.instruction = code, instruction


def link_view(base: Value, view: Value, op, attributes: dict) -> None:
    """Record that ``view`` shows memory of ``base`` through ``op``."""
    if base._view_of is None:
        root, path = base, ()
    else:
        root, path = base._view_of
    storage = storage_of(root)
    if storage.base is None:
        storage.base = weakref.ref(root)
    view._storage = storage
    if inference_made:
        view._inference = base._inference
    if base._seen_without_grad:
        view._seen_without_grad = True
    if base._one_of_several:
        view._one_of_several = True
    if base._conjugated:
        view._conjugated = True
    view._view_of = (root, (*path, (op, attributes)))
    views = storage.views
    views.append(weakref.ref(view))
    if len(views) > 64 and len(views) & (len(views) - 1) == 0:  # at 128, 256, ...: drop the dead
        storage.views = [r for r in views if r() is not None]
