"""autograd.Function: an operation of your own, with a forward and a backward written by hand."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from mlkit.autograd import engine
from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core import inplace
from mlkit.core.dispatch import Output, keep_output, ops, refuse_inference, state
from mlkit.core.errors import ArgumentError, GradientError, MissingFeature
from mlkit.core.value import Leaf, LevelArray, MetaArray, Node, Value, node_type, remember_line, storage_of, tick, wrap


class FunctionOp:
    """What the engine asks of an op, for one Function class."""

    rules = None
    holds = True

    def __init__(self, function: type[Function], outputs: int):
        self.name = function.__name__
        self.function = function
        self.outputs = outputs

    def backward_runner(self, tensors: bool) -> Callable:
        def run(m, g, node):
            return node.run_backward(g, tensors)

        return run


class FunctionCtx(Node):
    """``ctx``: what forward hands to backward. It is the graph node too: ``y.grad_fn``."""

    made: tuple[Any, ...]  # of each output: shape, dtype, device
    taken: tuple[Any, ...]  # of each argument: shape, dtype
    smooth: set[int]  # the outputs that have a gradient

    def __init__(self, function: type[Function], arguments: tuple, recorded: bool):
        self.function = function
        self.attributes = {}
        self.shapes = None
        self.code = None
        self.saved = ()
        self.inputs = tuple(a._node if recorded and isinstance(a, Value) else None for a in arguments)
        self.needs_input_grad = tuple(parent is not None for parent in self.inputs)
        self.materialize_grads = True
        self.to_save: tuple = ()
        self.saved_for_forward: tuple = ()
        self.dirty: tuple = ()
        self.non_differentiable: tuple = ()
        self.tied = False  # whether what was saved is tied to the graph yet

    # --- what forward and setup_context call ---------------------------------------------------------------------------

    def save_for_backward(self, *tensors) -> None:
        """Keep tensors (or None) for backward: inputs and outputs are kept without a cycle and checked for changes."""
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Value):
                raise ArgumentError(
                    f"save_for_backward can only save variables, but argument {i} is of type {type(t).__name__}.",
                    hint="Set anything else as an attribute: ctx.p = p.",
                )
        self.to_save = tensors

    def save_for_forward(self, *tensors) -> None:
        """Keep tensors for the jvp staticmethod."""
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Value):
                raise ArgumentError(
                    f"save_for_forward can only save variables, but argument {i} is of type {type(t).__name__}."
                )
        self.saved_for_forward = tensors

    def mark_dirty(self, *args) -> None:
        """Say which inputs forward changed in place; they must be among the outputs."""
        self.dirty = args

    def mark_non_differentiable(self, *args) -> None:
        """Say which outputs have no gradient."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """With False, backward gets None (instead of zeros) for outputs that were not used."""
        self.materialize_grads = value

    # --- what backward reads ----------------------------------------------------------------------------------------------

    @property
    def saved_tensors(self) -> tuple:
        """What save_for_backward kept, as tensors of the graph."""
        if not self.tied:
            return self.to_save or self.saved_for_forward
        if self.saved is None:
            raise engine.freed(self)
        out = []
        for kind, kept in self.saved:
            if kind == "none":
                out.append(None)
            elif kind == "input":
                out.append(engine.kept_tensor(kept, self))
            else:  # an output: its node is this one again
                node = self if self.op.outputs == 1 else Output(self, kind)
                t = wrap(engine.kept_output_array(kept, self), node if kind in self.smooth else None)
                out.append(t)
        return tuple(out)

    saved_variables = saved_tensors

    def name(self) -> str:
        return f"{self.function.__name__}Backward"

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    # --- between forward and the graph ---------------------------------------------------------------------------------

    def finish(self, arguments: tuple, outputs: tuple) -> tuple:
        """Tie the outputs to this node, and keep what was saved."""
        for t in self.dirty:
            if not any(t is o for o in outputs):
                raise GradientError(
                    "Some elements marked as dirty during the forward method were not returned as output."
                )
        recorded = any(parent is not None for parent in self.inputs)
        self.op = FunctionOp(self.function, len(outputs))
        given = list(outputs)
        result: list[Any] = []
        for out in outputs:
            if not isinstance(out, Value):
                result.append(out)
                continue
            dirty = any(out is t for t in self.dirty)
            if not dirty and any(out is a for a in arguments):
                out = wrap(out._array)  # an input handed on is a tensor of its own
            elif not dirty and out._node is not None:
                out = out.detach()
            result.append(out)
        if not recorded:
            return tuple(result)
        self.seq = tick()
        remember_line(self)
        self.made = tuple(
            (tuple(o._array.shape), o._array.dtype, _device(o)) if isinstance(o, Value) else None for o in result
        )
        self.smooth = {
            i
            for i, o in enumerate(result)
            if isinstance(o, Value)
            and o._array.dtype.kind in "fcV"
            and not any(given[i] is t for t in self.non_differentiable)
        }
        for i in self.smooth:
            node: Any = self if len(result) == 1 else Output(self, i)
            if any(result[i] is t for t in self.dirty):
                inplace.check_leaf(result[i])
                storage_of(result[i]).version += 1
                inplace.rewrite_history(result[i], wrap(result[i]._array, node))
            else:
                result[i]._node = node
        kept: list[tuple] = []
        pack = state.saving[-1] if state.saving else lambda k: k
        refuse_inference(self.to_save)
        for t in self.to_save:
            if t is None:
                kept.append(("none", None))
                continue
            place = next((i for i, o in enumerate(given) if o is t and not any(t is a for a in arguments)), None)
            if place is None and any(t is d for d in self.dirty):
                place = next(i for i, o in enumerate(given) if o is t)
            kept.append(("input", pack(t)) if place is None else (place, pack(keep_output(result[place]))))
        self.saved, self.to_save, self.tied = tuple(kept), (), True
        return tuple(result)

    def run_backward(self, g, tensors: bool) -> tuple:
        """Call the user's backward with tensors, and check what it gives back."""
        parts: list[Any] = list(g) if g.__class__ is list else [g]
        parts = [p if p is None or tensors else wrap(p) for p in parts]
        if self.materialize_grads:
            parts = [
                _zeros(*self.made[i]) if p is None and self.made[i] is not None else p  # type: ignore[misc]
                for i, p in enumerate(parts)  # type: ignore[misc]
            ]
        function = self.function
        backward = function.backward
        if backward is Function.backward:
            backward = function.vjp
        given = backward(self, *parts)
        given = given if isinstance(given, tuple) else (given,)
        return self._checked(given, tensors)

    def _checked(self, given: tuple, tensors: bool) -> tuple:
        expected = len(self.inputs)
        if len(given) > expected and all(x is None for x in given[expected:]):
            given = given[:expected]
        if len(given) != expected:
            raise GradientError(
                f"function {self.name()} returned an incorrect number of gradients (expected {expected}, got "
                f"{len(given)}).",
                hint="backward returns one gradient per argument of forward (without ctx); None where there is none.",
            )
        out: list = []
        for i, (parent, x) in enumerate(zip(self.inputs, given, strict=True)):
            if x is not None and not isinstance(x, Value):
                raise GradientError(f"function {self.name()}: expected Variable or None (got {type(x).__name__}).")
            if x is not None and self.taken[i] is None:
                raise GradientError(
                    f"function {self.name()} returned a gradient different than None at position {i + 1}, but the "
                    "corresponding forward input was not a Variable.",
                    hint="Return None for arguments of forward that are no tensors.",
                )
            if parent is None or x is None:
                out.append(None)
                continue
            shape, dtype = self.taken[i]
            if tuple(x._array.shape) != shape:
                given_shape = tuple(x._array.shape)
                end = given_shape[len(given_shape) - len(shape) :]
                if len(given_shape) < len(shape) or any(n not in (1, g) for n, g in zip(shape, end, strict=True)):
                    raise GradientError(
                        f"Function {self.name()} returned an invalid gradient at index {i} - got "
                        f"{list(given_shape)} but expected shape compatible with {list(shape)}."
                    )
                x = engine.unbroadcast(ops, x, shape)  # of an input that was broadcast
            if x._array.dtype != dtype:
                x = ops.cast_real(x, dtypes.from_numpy_dtype(dtype))
            out.append(x if tensors else x._array)
        return tuple(out)


def _device(t: Value):
    array = t._array
    while isinstance(array, LevelArray):
        array = array.inner._array
    return None if array.__class__ is MetaArray else backends.for_array(array).device_of(array)


def _zeros(shape, dtype, place) -> Value:
    if place is None:
        return wrap(MetaArray(shape, dtype))
    return wrap(backends.for_device(place).m.xp.zeros(shape, dtype))


class Function:
    """An operation with its own gradient.

    Subclass it with static methods ``forward(ctx, *args)`` and ``backward(ctx, *grad_outputs)``, and call
    ``apply``. Or write ``forward(*args)`` without ctx, and ``setup_context(ctx, inputs, output)`` beside it. ``jvp(ctx,
    *tangents)`` serves forward mode, ``vmap(info, in_dims, *args)`` replaces what vmap would do by itself.

    >>> import mlkit
    >>> class Square(mlkit.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * g
    >>> x = mlkit.tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward(); x.grad
    tensor(6.)
    """

    generate_vmap_rule = False
    _backward_cls: type[FunctionCtx]

    def __init__(self, *args, **kwargs):
        raise GradientError(
            f"{type(self).__name__} should not be instantiated: methods on autograd functions are all static.",
            hint=f"Call {type(self).__name__}.apply(...).",
        )

    @staticmethod
    def forward(*args, **kwargs):
        raise MissingFeature("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        raise MissingFeature("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise MissingFeature(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    @staticmethod
    def vjp(ctx, *grad_outputs):
        return Function.backward(ctx, *grad_outputs)

    @staticmethod
    def jvp(ctx, *grad_inputs):
        raise MissingFeature(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @staticmethod
    def vmap(info, in_dims, *args):
        raise MissingFeature("To use autograd.Function with a vmap of its own, override the vmap staticmethod.")

    @classmethod
    def apply(cls, *args, **kwargs):
        """Run forward, and record a node whose gradient is backward."""
        args = bound(cls, args, kwargs)
        stack = state.interpreters
        for place in range(len(stack) - 1, -1, -1):
            level = stack[place]
            if level.custom is not None and any(level.owns(a) for a in args):
                above = stack[place:]
                del stack[place:]
                try:
                    return level.custom(cls, args)
                finally:
                    stack.extend(above)
        ctx, output = forward(cls, args)
        return finish(ctx, args, output)


def ctx_class(function: type[Function]) -> type[FunctionCtx]:
    """The class of a Function's nodes, named after it: ``SquareBackward``."""
    found = function.__dict__.get("_backward_cls")
    if found is None:
        found = type(f"{function.__name__}Backward", (FunctionCtx,), {})
        function._backward_cls = found
    return found


def has_context(function: type[Function]) -> bool:
    """Whether ctx is set up by ``setup_context`` rather than in forward."""
    return function.setup_context is not Function.setup_context


def bound(function: type[Function], args: tuple, kwargs: dict) -> tuple:
    """The arguments in order, with forward's defaults filled in."""
    if not has_context(function) and not kwargs:
        return args
    signature = inspect.signature(function.forward)
    if not has_context(function):
        rest = list(signature.parameters.values())[1:]
        signature = signature.replace(parameters=rest)
    filled = signature.bind(*args, **kwargs)
    filled.apply_defaults()
    return filled.args


def forward(function: type[Function], args: tuple, recorded: bool | None = None) -> tuple[FunctionCtx, Any]:
    """Run the user's forward without recording; gives its ctx and output."""
    before = state.grad
    ctx = ctx_class(function)(function, args, before if recorded is None else recorded)
    state.grad = False
    try:
        if has_context(function):
            output = function.forward(*args)
            function.setup_context(ctx, args, output)
        else:
            output = function.forward(ctx, *args)
    finally:
        state.grad = before
    return ctx, output


def context(function: type[Function], args: tuple, output) -> FunctionCtx:
    """A ctx for an output that was computed otherwise (by the Function's vmap)."""
    if not has_context(function):
        return forward(function, args)[0]
    before = state.grad
    ctx = ctx_class(function)(function, args, before)
    state.grad = False
    try:
        function.setup_context(ctx, args, output)
    finally:
        state.grad = before
    return ctx


def finish(ctx: FunctionCtx, args: tuple, output):
    """The output with its node, in the form forward gave it: one value, or a tuple."""
    ctx.taken = tuple((tuple(a._array.shape), a._array.dtype) if isinstance(a, Value) else None for a in args)
    single = not isinstance(output, (tuple, list))
    outputs = ctx.finish(args, (output,) if single else tuple(output))
    return outputs[0] if single else outputs


class InplaceFunction(Function):
    """PyTorch's name for a Function that may work in place; ``mark_dirty`` is what matters."""


def once_differentiable(backward: Callable) -> Callable:
    """Decorate a backward whose result has no gradient of its own: differentiating twice through it raises."""

    @functools.wraps(backward)
    def wrapper(ctx, *args):
        before = state.grad
        state.grad = False
        try:
            outputs = backward(ctx, *args)
        finally:
            state.grad = before
        if not before or not any(isinstance(a, Value) and a._node is not None for a in args):
            return outputs
        single = not isinstance(outputs, tuple)
        marked = [_refusing(o) for o in ((outputs,) if single else outputs)]
        return marked[0] if single else tuple(marked)

    return wrapper


class _Refusal:
    name = "once_differentiable"
    rules = None
    holds = True
    outputs = 1

    def backward_runner(self, tensors: bool):
        def run(m, g, node):
            raise GradientError("trying to differentiate twice a function that was marked with @once_differentiable.")

        return run


_REFUSAL = _Refusal()


def _refusing(t):
    if not isinstance(t, Value):
        return t
    out = wrap(t._array)
    node = node_type(_REFUSAL)()
    node.op, node.attributes, node.saved, node.shapes, node.code = _REFUSAL, {}, (None,), None, None
    node.seq = tick()
    node.inputs = (Leaf(out),)
    out._node = node
    return out
