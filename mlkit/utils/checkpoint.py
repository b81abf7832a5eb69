"""Activation checkpointing: keep a block's inputs only, and compute its insides again when backward needs them.

Chen et al., "Training Deep Nets with Sublinear Memory Cost" (arXiv:1604.06174).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable

from mlkit.autograd import engine
from mlkit.autograd.function import Function
from mlkit.autograd.grad_mode import enable_grad
from mlkit.autograd.graph import saved_tensors_hooks
from mlkit.core.dispatch import state
from mlkit.core.errors import GradientError, ValueRangeError
from mlkit.core.rng import default_generator
from mlkit.core.value import Leaf, Value, wrap

__all__ = ["CheckpointError", "checkpoint", "checkpoint_sequential", "set_checkpoint_early_stop"]

_early_stop: list[bool] = []


class CheckpointError(GradientError):
    """A recomputation that did not repeat what the first run did."""


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool):
    """Whether recomputation inside stops as soon as all that backward needs is there (the default), for every block."""
    _early_stop.append(enable)
    try:
        yield
    finally:
        _early_stop.pop()


def noop_context_fn():
    return contextlib.nullcontext(), contextlib.nullcontext()


@contextlib.contextmanager
def _random_stream_at(place: tuple[int, int] | None):
    """Random ops inside draw from that place of the stream; afterwards the stream is where it was."""
    if place is None:
        yield
        return
    now = default_generator.get_pair()
    default_generator.set_pair(*place)
    try:
        yield
    finally:
        default_generator.set_pair(*now)


def checkpoint(
    function: Callable,
    *args,
    use_reentrant: bool | None = None,
    context_fn: Callable = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs,
):
    """``function(*args, **kwargs)``, keeping only its inputs; its insides are computed again during backward.

    Args:
        function: a module or a function of tensors.
        args: its arguments.
        use_reentrant: True runs a backward inside backward (every gradient through a tensor argument, no ``grad``);
            False (recommended) replaces what ops keep, and works with ``autograd.grad``, keyword arguments and any
            nesting of arguments. Not given: True, with a warning, as in PyTorch.
        context_fn: gives two context managers, for the first run and for the recomputation (use_reentrant=False).
        determinism_check: "default" compares shapes and dtypes of what is computed again, "none" does not.
        debug: accepted for PyTorch's sake; errors here always name the first difference.
        early_stop: stop the recomputation as soon as everything that is needed is there.
        kwargs: keyword arguments of the function (use_reentrant=False), and ``preserve_rng_state`` (default True):
            random ops such as dropout draw the same numbers again.

    Raises:
        CheckpointError: the recomputation kept other tensors than the first run (use_reentrant=False).

    >>> import mlkit
    >>> x = mlkit.ones(3, requires_grad=True)
    >>> y = mlkit.utils.checkpoint.checkpoint(lambda t: (t * t).relu(), x, use_reentrant=False)
    >>> y.sum().backward(); x.grad
    tensor([2., 2., 2.])
    """
    if use_reentrant is None:
        warnings.warn(
            "checkpoint: the use_reentrant parameter should be passed explicitly; use_reentrant=False is recommended.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve_rng_state = kwargs.pop("preserve_rng_state", True)
    if determinism_check not in ("default", "none"):
        raise ValueRangeError(f"determinism_check should be one of ['default', 'none'], but got {determinism_check}")
    if use_reentrant:
        if context_fn is not noop_context_fn or debug:
            raise ValueRangeError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        if kwargs:
            raise ValueRangeError("Unexpected keyword arguments: " + ",".join(kwargs))
        if not any(isinstance(a, Value) and a._node is not None for a in args):
            warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)
        return CheckpointFunction.apply(function, preserve_rng_state, *args)
    first, again = context_fn()
    if not state.grad:
        with first:
            return function(*args, **kwargs)
    stop = _early_stop[-1] if _early_stop else early_stop
    frame = _Frame(function, args, kwargs, again, determinism_check == "default", stop, preserve_rng_state)
    with saved_tensors_hooks(frame.pack, frame.unpack), first:
        return function(*args, **kwargs)


class _Enough(Exception):
    """Everything that backward asked for has been computed again."""


class _Frame:
    """One checkpointed block: what was kept in the first run by number, and how to compute it again."""

    def __init__(self, function, args, kwargs, context, check: bool, early_stop: bool, preserve: bool):
        self.function, self.args, self.kwargs, self.context = function, args, kwargs, context
        self.check, self.early_stop = check, early_stop
        self.random = default_generator.get_pair() if preserve else None
        self.described: list[tuple] = []  # (shape, dtype) of what the first run kept
        self.again: dict[int, Value] = {}
        self.left: set[int] = set()

    def pack(self, tensor):
        self.described.append((tuple(tensor._array.shape), tensor.dtype))
        return len(self.described) - 1

    def unpack(self, number: int):
        if number not in self.again:
            self.recompute()
        return self.again.pop(number)

    def recompute(self) -> None:
        """Run the function again and collect what its ops keep, in the order of the first run."""
        made: list[Value] = []
        count = len(self.described)

        def collect(tensor):
            made.append(wrap(tensor._array))
            if self.early_stop and len(made) == count:
                raise _Enough
            return None

        def lost(_):
            raise CheckpointError("checkpoint: a tensor of the recomputation was read while it was going on.")

        with _random_stream_at(self.random), enable_grad(), saved_tensors_hooks(collect, lost), self.context:
            with contextlib.suppress(_Enough):
                self.function(*self.args, **self.kwargs)
        if len(made) != count:
            raise CheckpointError(
                "A different number of tensors was saved during the original forward and recomputation.",
                f"forward: {count}\nrecomputation: {len(made)}",
                "The function must do the same each time: no branches on outside state, no random numbers of its own.",
            )
        if self.check:
            for i, (tensor, (shape, dtype)) in enumerate(zip(made, self.described, strict=True)):
                if (tuple(tensor._array.shape), tensor.dtype) != (shape, dtype):  # type: ignore[attr-defined]
                    raise CheckpointError(
                        "Recomputed values for the following tensors have different metadata than during the forward "
                        f"pass: tensor {i}.",
                        f"forward: {dtype} {shape}\nrecomputation: {tensor.dtype} {tuple(tensor._array.shape)}",  # type: ignore[attr-defined]
                    )
        self.again = dict(enumerate(made))


class CheckpointFunction(Function):
    """checkpoint with use_reentrant=True: a backward inside backward."""

    @staticmethod
    def forward(ctx, run_function, preserve_rng_state, *args):
        ctx.run_function = run_function
        ctx.random = default_generator.get_pair() if preserve_rng_state else None
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, Value)]
        ctx.args = [None if isinstance(a, Value) else a for a in args]
        ctx.save_for_backward(*(args[i] for i in ctx.places))
        return run_function(*args)

    @staticmethod
    def backward(ctx, *grads):
        if engine.visiting.now is not None and engine.visiting.now[1] is not None:
            raise GradientError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
                "parameter to .backward().".replace("torch", "mlkit"),
                hint="Pass use_reentrant=False.",
            )
        args = list(ctx.args)
        for i, kept in zip(ctx.places, ctx.saved_tensors, strict=True):
            fresh = wrap(kept._array)
            if kept._node is not None:
                fresh._node = Leaf(fresh)
            args[i] = fresh
        with _random_stream_at(ctx.random), enable_grad():
            outputs = ctx.run_function(*args)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if isinstance(o, Value) and o._node is not None]
        if not pairs:
            raise GradientError("none of output has requires_grad=True, this checkpoint() is not necessary.")
        engine.backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *(a._grad if isinstance(a, Value) else None for a in args))


def checkpoint_sequential(functions, segments: int, input, use_reentrant: bool | None = None, **kwargs):
    """Run a Sequential (or a list of modules) in ``segments`` checkpointed pieces; the last one is not checkpointed.

    Args:
        functions: an ``nn.Sequential`` or a list of modules or functions of one argument.
        segments: into how many pieces to cut.
        input: what goes into the first one.
        use_reentrant: as in ``checkpoint``.

    >>> import mlkit
    >>> model = mlkit.nn.Sequential(mlkit.nn.Linear(4, 4), mlkit.nn.ReLU(), mlkit.nn.Linear(4, 2))
    >>> mlkit.utils.checkpoint.checkpoint_sequential(model, 2, mlkit.ones(1, 4), use_reentrant=False).shape
    mlkit.Size([1, 2])
    """
    if use_reentrant is None:
        warnings.warn(
            "checkpoint_sequential: the use_reentrant parameter should be passed explicitly; use_reentrant=False is "
            "recommended.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueRangeError("Unexpected keyword arguments: " + ",".join(kwargs))
    functions = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= len(functions):
        raise ValueRangeError(f"checkpoint_sequential: segments must be in 1 .. {len(functions)}, got {segments}.")

    def piece(start: int, end: int) -> Callable:
        def forward(x):
            for f in functions[start:end]:
                x = f(x)
            return x

        return forward

    size = len(functions) // segments
    for k in range(segments - 1):
        run = piece(k * size, (k + 1) * size)
        input = checkpoint(run, input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return piece((segments - 1) * size, len(functions))(input)
