"""What an op is: one block that holds all its rules, and the registry of all blocks.

A block is a class body of plain functions::

    @op(onnx="Softplus", samples=[((3, 4),), ((),)])
    class softplus(Elementwise):
        '''log(1 + exp(x)), stable for large |x|.'''

        def forward(m, input):
            return m.maximum(input, 0.0) + m.log1p(m.exp(-m.abs(input)))

        def vjp(m, g, out):
            return g * -m.expm1(-out)

``forward(m, tensors..., *, attributes...)``
    The arithmetic. ``m`` is the reader: ``m.xp`` is the array library, ``m.NAME`` any op of the registry. Parameters
    before ``*`` are tensors (``None`` as default marks an optional one), those after it attributes.
``infer(tensors..., *, attributes...) -> MetaArray`` or a tuple of them
    Shapes and dtypes without data, and the checks: raises ShapeError and friends with words that teach.
``vjp(m, g, ...)`` for one tensor, ``vjp_NAME(m, g, ...)`` for each of several, or ``vjp(m, g, ..., needs)`` for all
    at once (``needs`` says which). ``g`` is the gradient of the output (a tuple for several outputs). Argument names
    say what is kept for backward: a tensor's name, an attribute's, ``out``, ``NAME_shape`` or ``NAME_dtype``.
    Written with ``m`` and operators only, so that on tensors the gradient has a gradient.
``jvp(m, tangents, ...)``
    Forward mode: ``tangents`` has one per tensor, None where it has none; the rest as in vjp. Without one: elementwise
    and linear ops have an obvious one, the others differentiate their vjp (see autograd/forward_mode).
``batch(m, axes, size, tensors..., *, attributes...)``
    vmap's rule: ``axes`` has 0 for each tensor with the batch in front and None for those without; gives the output (or
    the tuple of them) with the batch in front. Without one: elementwise ops, reductions and many more have theirs in
    func/batching, the others run example by example.
``prepare(tensors..., *, attributes...) -> dict``
    Brings attributes into canonical form (negative dims, pairs) before anything else sees them.

``samples`` are inputs for the tests that walk the registry: each a tuple of shapes (or Sample objects), with an
optional dict of attributes at the end.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.errors import ShapeError
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import MetaArray

REGISTRY: dict[str, Op] = {}
_RULES = ("forward", "infer", "vjp", "jvp", "batch", "prepare")


@dataclass
class Sample:
    """An input for the registry tests: ``values`` picks the numbers ('normal', 'positive', 'unit', 'bool', 'index')."""

    shape: tuple[int, ...]
    values: str = "normal"
    dtype: str = "float64"
    high: int = 0  # for 'index': exclusive upper bound


class Op:
    """Base of all blocks; an instance per op sits in the registry under its name."""

    #: how inputs of different dtype meet: "common" (promote), "float" (promote, integers become floats),
    #: "equal" (refuse, as PyTorch's products do), None (as is)
    promotion: Any = "common"
    #: the output shares memory with the first input
    view = False
    #: outputs do not depend smoothly on the inputs (comparisons, integer results)
    differentiable = True
    #: PyTorch says of its gradient's gradient that it is 0, not that there is none (piecewise linear functions); or the
    #: modes of which it does
    flat: Any = False
    #: linear in its first tensor: the tangent of the output is the op of the tangent
    linear = False
    #: how many outputs: 1, or more (forward returns a tuple)
    outputs = 1
    #: of several outputs, those whose values the gradient reads (None: all); the others may change in place afterwards
    reads_outputs: tuple[int, ...] | None = None
    #: takes a list of tensors as first argument (cat, stack)
    variadic = False
    #: of a variadic op's tensors, those before this place are not kept for backward
    first_kept = 0
    #: reads the random stream; compilers must neither drop nor merge it
    random = False
    #: NumPy kinds ("b", "i", "u", "f", "c", and "V" for bfloat16) of the common dtype that it has no arithmetic for
    refuses = ""
    #: the same, of any one tensor before promotion
    refuses_any = ""
    #: NumPy's ufunc that does it whole
    ufunc: str | None = None

    name: str
    onnx: Any
    samples: list
    inputs: tuple[str, ...]
    attributes: dict[str, Any]
    infer: Callable
    forward: Callable
    prepare: Any = None
    holds: bool

    def __init_subclass__(cls):
        for key, value in list(vars(cls).items()):
            if not (isinstance(value, FunctionType) and (key in _RULES or key.startswith("vjp_"))):
                continue
            if value.__code__.co_varnames[:1] != ("self",):  # a family's rule takes self, a block's does not
                setattr(cls, key, staticmethod(value))

    def __init__(self, name: str, onnx: str | None, samples: list):
        self.name, self.onnx, self.samples = name, onnx, list(samples)
        if self.ufunc and not hasattr(self, "forward"):
            self.forward = _ufunc_forward(self.ufunc)
        code = self.forward.__code__
        names = code.co_varnames[1 : code.co_argcount]
        self.inputs = names
        self.optional = len(self.forward.__defaults__ or ())
        keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        defaults = self.forward.__kwdefaults__ or {}
        self.attributes = {k: defaults.get(k, REQUIRED) for k in keywords}
        # what the door asks at every call, known once
        self.requires = any(v is REQUIRED for v in self.attributes.values())
        self.takes_floats = "f" not in self.refuses and "f" not in self.refuses_any
        self.takes_any = self.promotion is None and not self.refuses and not self.refuses_any

    @functools.cached_property
    def rules(self) -> Rules | None:
        """The gradient rules, read when the first gradient or the first entry needs them."""
        rules = gradient_rules(self)
        # whether backward needs tensors that the node keeps, not just shapes and settings: then it runs once
        self.holds = rules is not None and any(kind in ("input", "out") for kind, _ in rules.slots)
        return rules

    def __repr__(self) -> str:
        return f"<op {self.name}>"


def _ufunc_forward(ufunc: str) -> Callable:
    if getattr(np, ufunc).nin == 1:
        return lambda m, input: getattr(m.xp, ufunc)(input)
    return lambda m, input, other: getattr(m.xp, ufunc)(input, other)


class _Required:
    def __repr__(self):
        return "REQUIRED"


REQUIRED = _Required()


@dataclass
class Rules:
    """The gradient rules of an op, ready to run: which function for which input, and what each wants kept.

    ``slots`` lists everything kept for backward, as (kind, key) with kind 'input' (index), 'out', 'shape' (index),
    'dtype' (index) or 'attribute' (name); ``users`` says for each slot which inputs' gradients read it.
    """

    joint: tuple[Callable, tuple] | None = None
    each: list[tuple[Callable, tuple] | None] = field(default_factory=list)
    slots: list[tuple] = field(default_factory=list)
    users: list[tuple[int, ...]] = field(default_factory=list)
    kept: tuple = ()  # slots and users in pairs


def _arguments(fn: Callable) -> tuple[str, ...]:
    return fn.__code__.co_varnames[2 : fn.__code__.co_argcount]


def gradient_rules(op: Op) -> Rules | None:
    """Read the vjp functions' argument names."""
    joint = getattr(op, "vjp", None)
    single = {n: getattr(op, f"vjp_{n}", None) for n in op.inputs}
    if joint is None and not any(single.values()):
        return None
    rules = Rules()
    users: dict[tuple, set[int]] = {}

    def sources(fn: Callable, index: int | None) -> tuple:
        plan: list[tuple] = []
        for name in _arguments(fn):
            if name == "needs":
                plan.append(("needs", None))
                continue
            if name in op.inputs:
                slot: tuple = ("input", op.inputs.index(name))
            elif name == "out":
                slot = ("out", None)
            elif name in op.attributes:
                slot = ("attribute", name)
            elif name.endswith("_shape") and name[:-6] in op.inputs:
                slot = ("shape", op.inputs.index(name[:-6]))
            elif name.endswith("_dtype") and name[:-6] in op.inputs:
                slot = ("dtype", op.inputs.index(name[:-6]))
            else:
                raise TypeError(f"op {op.name}: its gradient asks for {name!r}, which is no input, attribute or output")
            users.setdefault(slot, set()).update(range(len(op.inputs)) if index is None else (index,))
            plan.append(slot)
        return tuple(plan)

    if joint is not None and len(op.inputs) == 1 and not op.variadic:
        rules.each = [(joint, sources(joint, 0))]
    elif joint is not None:
        rules.joint = (joint, sources(joint, None))
    else:
        rules.each = [(fn, sources(fn, i)) if fn else None for i, fn in enumerate(single.values())]
    rules.slots = list(users)
    rules.users = [tuple(sorted(u)) for u in users.values()]
    rules.kept = tuple(zip(rules.slots, rules.users, strict=True))
    return rules


def op(onnx: str | None = None, samples: Any = (), name: str | None = None) -> Any:
    """Register the decorated block under its class name (or ``name``) and replace it by its instance."""

    def register(cls: type[Op]) -> Op:
        key = name or cls.__name__.rstrip("_")
        if key in REGISTRY:
            raise ValueError(f"two ops named {key}")
        instance = REGISTRY[key] = cls(key, onnx, list(samples))
        return instance

    return register


# --- families -------------------------------------------------------------------------------------------------------


def broadcast_or_explain(name: str, *arrays, labels: tuple[str, ...] = ("input", "other")) -> tuple[int, ...]:
    """The broadcast shape, or a ShapeError that shows the clashing axes."""
    shapes = [a.shape for a in arrays if hasattr(a, "shape")]
    try:
        return broadcast_shapes(*shapes)
    except ValueError:
        shown = [(label, a.shape) for label, a in zip(labels, arrays, strict=False) if hasattr(a, "shape")]
        raise explain_broadcast(name, shown) from None


def explain_broadcast(name: str, shown: list[tuple[str, tuple]]) -> ShapeError:
    """Both shapes right-aligned, the clashing axis named, and the likely repair."""
    for pair in itertools.combinations(shown, 2):  # shapes that fit pair by pair fit all together
        try:
            broadcast_shapes(pair[0][1], pair[1][1])
        except ValueError:
            shown = list(pair)
            break
    (_, a), (_, b) = shown[0], shown[1]
    rank = max(len(a), len(b))
    width = max(len(label) for label, _ in shown[:2])
    rows, clash = [], None
    pa, pb = (1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b)
    for axis in range(rank - 1, -1, -1):
        if pa[axis] != pb[axis] and 1 not in (pa[axis], pb[axis]):
            clash = axis - rank
            break
    for label, shape in shown[:2]:
        text = "(" + ", ".join(str(n) for n in shape) + ("," if len(shape) == 1 else "") + ")"
        rows.append(f"{label.ljust(width)}: {text}")
    assert clash is not None
    hint = None
    if len(a) == 2 and len(b) == 1 and a[0] == b[0]:
        hint = f"To use one value per row, give it a second axis: {shown[1][0]}.unsqueeze(1), shape ({b[0]}, 1)."
    elif len(b) == 2 and len(a) == 1 and a[0] == b[0]:
        hint = f"To use one value per row, give it a second axis: {shown[0][0]}.unsqueeze(1), shape ({a[0]}, 1)."
    elif len(a) in (3, 4) and len(b) == 1 and b[0] == a[-3]:
        hint = f"To use one value per channel, give it the axes behind: {shown[1][0]}.view(-1, 1, 1)."
    elif len(a) > len(b) > 0 and tuple(a[: len(b)]) == tuple(b):
        hint = f"Axes are matched from the last one. To match the first ones: {_behind(shown[1], rank)}."
    elif len(b) > len(a) > 0 and tuple(b[: len(a)]) == tuple(a):
        hint = f"Axes are matched from the last one. To match the first ones: {_behind(shown[0], rank)}."
    elif tuple(a) == tuple(b)[::-1] and rank == 2:
        hint = f"The shapes are each other's transpose: try {shown[1][0]}.T."
    return ShapeError(
        f"{name}: the shapes do not broadcast: at axis {clash} the sizes {pa[clash]} and {pb[clash]} differ "
        "and neither is 1.",
        "\n".join(rows),
        hint,
    )


def _behind(labelled: tuple[str, tuple], rank: int) -> str:
    """A tensor with axes of size 1 behind its own, as a program writes it."""
    label, shape = labelled
    return f"{label}.reshape({', '.join(map(str, (*shape, *[1] * (rank - len(shape)))))})"


def unbroadcast(m, g, shape):
    """The gradient of a broadcast: ``g`` summed back to ``shape``. The one place where broadcasting is undone."""
    own = tuple(g.shape)
    if own == shape:
        return g
    lead = len(own) - len(shape)
    dims = (*range(lead), *(i + lead for i, n in enumerate(shape) if n == 1 and own[i + lead] != 1))
    if not dims:
        return m.expand(g, shape=shape)  # a gradient that came smaller than the input stands for a constant one
    g = m.sum(g, dim=dims, keepdim=False)
    return g if tuple(g.shape) == shape else m.reshape(g, shape=shape)


class Elementwise(Op):
    """Works on each element alone; several inputs broadcast. ``result`` 'same' keeps the dtype, 'bool' makes masks."""

    result = "same"

    def infer(self, *arrays, **attributes):
        present = [a for a in arrays if hasattr(a, "shape")]
        shape = present[0].shape if len(present) == 1 else broadcast_or_explain(self.name, *arrays, labels=self.inputs)
        if self.result == "bool":
            return MetaArray(shape, np.dtype(bool))
        kinds = {a.dtype for a in present}
        if len(kinds) == 1:
            return MetaArray(shape, kinds.pop())
        d = None
        for a in present:
            own = dtypes.from_numpy_dtype(a.dtype)
            d = own if d is None else dtypes.promote_types(d, own)
        return MetaArray(shape, d.numpy)


class Float(Elementwise):
    """Elementwise on floating types: integers and bools become the default float first."""

    promotion = "float"


class Predicate(Elementwise):
    """Elementwise test: the result is bool and has no gradient."""

    result = "bool"
    differentiable = False


# --- samples that several families share ------------------------------------------------------------------------------

PAIR = [((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2, 3)), ((0, 2), (2,))]
ONE = [((3, 4),), ((),), ((2, 0),)]
POSITIVE = [(Sample((3, 4), "positive"),), (Sample((), "positive"),)]
UNIT = [(Sample((3, 4), "unit"),)]
POSITIVE_PAIR = [(Sample((3, 4), "positive"), Sample((4,), "positive"))]
INTEGERS = [(Sample((3, 4), "index", "int64", 9), Sample((4,), "index", "int64", 9))]
