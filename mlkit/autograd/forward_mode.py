"""Forward mode: every value carries its tangent, and every op moves both.

An op's tangent comes from the first of these that applies: its own ``jvp`` rule; itself, where it is linear; a sum over
its tensors, where it is linear in each of them; its vjp, where it works on each element alone (a diagonal Jacobian is its
own transpose); and else the derivative of its vjp by the vjp's weights, which is the Jacobian again (Townsend, 2017: "A
new trick for calculating Jacobian vector products").
"""

from __future__ import annotations

import weakref
from typing import Any

from mlkit.autograd import engine
from mlkit.autograd.function import Function, finish, forward
from mlkit.autograd.grad_mode import enable_grad
from mlkit.autograd.levels import Level, alias, tracked
from mlkit.core import dtype as dtypes
from mlkit.core import inplace
from mlkit.core.dispatch import apply, ops, record, state
from mlkit.core.value import Leaf, LevelArray, Value, wrap
from mlkit.ops.registry import Elementwise, Op
from mlkit.ops.shape import follow

#: ops that are linear in each of these tensors while the others stay
MULTILINEAR = {
    "matmul": (0, 1),
    **{f"conv{n}d_input_grad": (0, 1) for n in (1, 2, 3)},
    **{f"conv{n}d_weight_grad": (0, 1) for n in (1, 2, 3)},
    **{f"max_pool{n}d_grad": (0,) for n in (1, 2, 3)},
    "nll_pick": (0,),
    "nll_place": (0,),
    "embedding": (1,),
    "embedding_grad": (0,),
    "index_select": (0,),
    "cast": (0,),
}
#: products with a bias as third tensor
BIASED = ("linear", "conv1d", "conv2d", "conv3d")


class DualArray(LevelArray):
    """A value and its tangent, both tensors of the level below."""

    __slots__ = ("tangent",)

    def __init__(self, level: Forward, inner: Value, tangent: Value):
        self.level, self.inner, self.tangent = level, inner, tangent
        self.shape, self.dtype = inner._array.shape, inner._array.dtype

    def __getattr__(self, name: str):
        return getattr(self.inner._array, name)  # strides, flags, ...: the value's

    def __array__(self, *args, **kwargs):
        return self.inner._array.__array__(*args, **kwargs)

    def parts(self) -> tuple[Value, ...]:
        return self.inner, self.tangent

    def settle(self) -> Value:
        return self.inner

    def like(self, plain: Value) -> Value:
        return plain

    def copy(self) -> DualArray:
        with self.level.below():
            return DualArray(self.level, ops.clone(self.inner), ops.clone(self.tangent))

    def text(self, write) -> str:
        """The value as text, with the tangent beside it."""
        return f"{write(self.inner)[:-1]}, tangent={write(self.tangent)})"


class Forward(Level):
    """The interpreter of one jvp."""

    def __init__(self):
        self.converted: list[weakref.ref] = []

    def dual(self, primal: Value, tangent: Value) -> Value:
        return wrap(DualArray(self, primal, tangent))

    def tangent(self, t) -> Value | None:
        return t._array.tangent if self.owns(t) else None

    def process(self, op: Op, tensors: tuple, attributes: dict):
        operands = list(tensors[0]) if op.variadic else list(tensors)
        if not any(self.owns(t) for t in operands):
            return apply(op, tensors, attributes)
        operands, attributes = self.canonical(op, operands, attributes)
        primals = [self.lower(t) for t in operands]
        out = apply(op, (primals,) if op.variadic else tuple(primals), attributes)
        if not op.differentiable or op.rules is None:
            return out
        tangents = [self.tangent(t) for t in operands]
        many = isinstance(out, tuple)
        outs = out if many else (out,)
        found = push(op, primals, tangents, attributes, outs)
        results: list[Any] = []
        for o, t in zip(outs, found, strict=True):
            if o._array.dtype.kind not in "fcV":
                results.append(o._array)
            else:
                results.append(DualArray(self, o, _fitting(t, o)))
        arrays = [t._array if isinstance(t, Value) else t for t in operands]
        return record(op, operands, arrays, attributes, tuple(results) if many else results[0])

    # --- in-place changes -------------------------------------------------------------------------------------------------

    def write(self, target: Value, source: Value, name: str) -> None:
        """Write value and tangent; a target without a tangent gets one, and so does everything it shares memory with."""
        with self.below():
            if not self.owns(target):
                self._convert(inplace.root_of(target))
            dual = target._array
            tangent = self.tangent(source)
            inplace.assign(dual.inner, self.lower(source), name)
            inplace.assign(dual.tangent, ops.zeros_like(dual.tangent) if tangent is None else tangent, name)

    def _convert(self, base: Value) -> None:
        views = list(base._storage.views) if base._storage is not None else []
        inner = wrap(base._array)
        inner._storage = base._storage
        base._array = DualArray(self, inner, ops.clone(ops.zeros_like(inner)))
        self.converted.append(weakref.ref(base))
        for reference in views:
            view = reference()
            if view is not None:
                path = view._view_of[1]
                seen = follow(ops, inner, path), follow(ops, base._array.tangent, path)
                view._array = DualArray(self, *seen)
                self.converted.append(reference)

    def __exit__(self, *exc):
        super().__exit__(*exc)
        for reference in self.converted:  # what was there before this level is a plain tensor again
            t = reference()
            if t is not None and self.owns(t):
                t._array = t._array.inner._array

    # --- autograd.Function -------------------------------------------------------------------------------------------------

    def custom(self, function: type[Function], args: tuple):
        """A Function with duals among its arguments: its value, its own jvp, and its node at this level."""
        level, recorded = self, state.grad
        made: dict = {}

        class Lowered(Function):
            @staticmethod
            def forward(low, *inner):
                with level.active():
                    made["ctx"], made["out"] = forward(function, args, recorded)
                single = not isinstance(made["out"], (tuple, list))
                outs = [made["out"]] if single else list(made["out"])
                low.ctx = made["ctx"]
                low.mark_non_differentiable(
                    *[level.lower(o) for o in outs if any(o is t for t in made["ctx"].non_differentiable)]
                )
                lowered = tuple(level.lower(o) for o in outs)
                return lowered[0] if single else lowered

            @staticmethod
            def backward(low, *g):
                with level.active():
                    grads = function.backward(low.ctx, *g)
                grads = grads if isinstance(grads, tuple) else (grads,)
                return tuple(level.lower(x) for x in grads)

        Lowered.__name__ = function.__name__
        outputs = Lowered.apply(*(self.lower(a) for a in args))
        ctx, single = made["ctx"], not isinstance(outputs, tuple)
        outs = (outputs,) if single else outputs
        with self.active():
            tangents = function.jvp(ctx, *(self.tangent(a) for a in args))
        tangents = tangents if isinstance(tangents, tuple) else (tangents,)
        results = []
        for o, t in zip(outs, tangents, strict=True):
            smooth = isinstance(o, Value) and o._array.dtype.kind in "fcV"
            results.append(self.dual(o, _fitting(self.lower(t) if t is not None else None, o)) if smooth else o)
        swap = dict(zip(map(id, (made["out"],) if single else made["out"]), results, strict=True))
        ctx.to_save = tuple(swap.get(id(t), t) for t in ctx.to_save)
        return finish(ctx, args, results[0] if single else tuple(results))


def _fitting(tangent: Value | None, out: Value) -> Value:
    """A tangent in the shape and dtype of its value; zeros where there is none."""
    if tangent is None:
        return ops.zeros_like(out)
    if tuple(tangent._array.shape) != tuple(out._array.shape):
        tangent = ops.expand(tangent, shape=tuple(out._array.shape))
    if tangent._array.dtype != out._array.dtype:
        tangent = ops.cast_real(tangent, dtypes.from_numpy_dtype(out._array.dtype))
    return tangent


# --- the tangent of an op ------------------------------------------------------------------------------------------------


def push(op: Op, primals: list, tangents: list, attributes: dict, outs: tuple) -> tuple:
    """The tangents of the outputs, None where there is none."""
    moving = [i for i, t in enumerate(tangents) if t is not None]
    own = getattr(op, "jvp", None)
    if own is not None:
        return _by_rule(op, own, primals, tangents, attributes, outs)
    if op.variadic:
        if op.linear and op.first_kept == 0:
            full = [ops.zeros_like(p) if t is None else t for p, t in zip(primals, tangents, strict=True)]
            return (apply(op, (full,), attributes),)
        if op.linear and moving == [0]:
            return (apply(op, ([tangents[0], *primals[1:]],), attributes),)
        return _through_vjp(op, primals, tangents, attributes)
    if op.linear and moving == [0] and not (isinstance(op, Elementwise) and len(primals) > 1):
        return (apply(op, (tangents[0], *primals[1:]), attributes),)
    if op.name in BIASED:
        return (_biased(op, primals, tangents, attributes, outs[0]),)
    if all(i in MULTILINEAR.get(op.name, ()) for i in moving):
        return (_sum_over(op, primals, tangents, attributes, moving),)
    if isinstance(op, Elementwise) and op.rules.joint is None and _all_real(primals, outs):
        return (_diagonal(op, primals, tangents, attributes, outs[0]),)
    return _through_vjp(op, primals, tangents, attributes)


def _all_real(primals: list, outs: tuple) -> bool:
    return not any(isinstance(t, Value) and t._array.dtype.kind == "c" for t in (*primals, *outs))


def _source(op: Op, slot: tuple, primals: list, attributes: dict, outs: tuple):
    kind, key = slot
    if kind == "input":
        return primals[key] if key < len(primals) else None
    if kind == "out":
        return outs if op.outputs > 1 else outs[0]
    if kind == "shape":
        return tuple(primals[key]._array.shape) if isinstance(primals[key], Value) else ()
    if kind == "dtype":
        return dtypes.from_numpy_dtype(primals[key]._array.dtype)
    return attributes[key]


def _by_rule(op: Op, rule, primals, tangents, attributes, outs) -> tuple:
    names = rule.__code__.co_varnames[2 : rule.__code__.co_argcount]
    slots = []
    for name in names:
        if name in op.inputs:
            slots.append(
                primals if op.variadic else _source(op, ("input", op.inputs.index(name)), primals, attributes, outs)
            )
        elif name == "out":
            slots.append(outs if op.outputs > 1 else outs[0])
        elif name.endswith("_shape") and name[:-6] in op.inputs:
            slots.append(_source(op, ("shape", op.inputs.index(name[:-6])), primals, attributes, outs))
        elif name.endswith("_dtype") and name[:-6] in op.inputs:
            slots.append(_source(op, ("dtype", op.inputs.index(name[:-6])), primals, attributes, outs))
        else:
            slots.append(attributes[name])
    found = rule(ops, tuple(tangents), *slots)
    return found if isinstance(found, tuple) else (found,)


def _sum_over(op, primals, tangents, attributes, moving):
    total = None
    for i in moving:
        replaced = [tangents[i] if j == i else p for j, p in enumerate(primals)]
        term = apply(op, tuple(replaced), attributes)
        total = term if total is None else total + term
    return total


def _biased(op, primals, tangents, attributes, out):
    total = None
    for i in (0, 1):
        if tangents[i] is not None:
            pair = [tangents[i] if j == i else p for j, p in enumerate(primals[:2])]
            term = apply(op, (*pair, None), attributes)
            total = term if total is None else total + term
    bias = tangents[2] if len(tangents) > 2 else None
    if bias is not None:
        if op.name != "linear":
            bias = ops.reshape(bias, shape=(-1, *[1] * (out._array.ndim - 2)))
        total = bias if total is None else total + bias
    return total


def _diagonal(op, primals, tangents, attributes, out):
    total = None
    for rule, tangent in zip(op.rules.each, tangents, strict=False):
        if rule is None or tangent is None:
            continue
        fn, plan = rule
        term = fn(ops, tangent, *[_source(op, slot, primals, attributes, (out,)) for slot in plan])
        if term is None:
            continue
        total = term if total is None else total + term
    return total


def _through_vjp(op: Op, primals: list, tangents: list, attributes: dict) -> tuple:
    """Differentiate the vjp by its weights: linear in them, so its derivative is the Jacobian."""
    recording = state.grad
    with enable_grad():
        inputs = [p if t is None else alias(p, recording) for p, t in zip(primals, tangents, strict=True)]
        outs = apply(op, (inputs,) if op.variadic else tuple(inputs), attributes)
        outs = outs if isinstance(outs, tuple) else (outs,)
        smooth = [o for o in outs if o._node is not None]
        if not smooth:
            return (None,) * len(outs)
        weights = []
        for o in smooth:
            w = wrap(ops.zeros_like(o)._array)
            w._node = Leaf(w)
            weights.append(w)
        moving = [i for i, t in enumerate(tangents) if t is not None]
        nodes = [o._node for o in smooth]
        grads = engine.targeted(nodes, weights, [inputs[i] for i in moving], True, True, True)
        pairs = [(g, tangents[i]) for g, i in zip(grads, moving, strict=True) if g is not None and g._node is not None]
        if not pairs:
            return (None,) * len(outs)
        create = recording and any(tracked(t) for t in (*primals, *tangents))
        found = engine.targeted(
            [g._node for g, _ in pairs],
            [_fitting(t, g) for g, t in pairs],
            weights,
            False,
            create,
            True,
        )
    by_output = iter(found)
    return tuple(next(by_output) if o._node is not None else None for o in outs)
