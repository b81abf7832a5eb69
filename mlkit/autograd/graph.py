"""The graph behind tensors: nodes, hooks on what backward keeps, hooks on several gradients at once."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mlkit.autograd.engine import Packed, visiting
from mlkit.core import dispatch, value
from mlkit.core.dispatch import Output, state
from mlkit.core.errors import ArgumentError, GradientError, ValueRangeError
from mlkit.core.value import Hook, Node, Value, add_hook, wrap

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class GradientEdge(NamedTuple):
    """A place in the graph where a gradient arrives: ``autograd.grad(y, edge)`` takes one in place of a tensor."""

    node: Any
    output_nr: int
    ownership_token: Any = None

    @property
    def _node(self):
        return self.ownership_token if self.ownership_token is not None else self.node


def get_gradient_edge(tensor: Value) -> GradientEdge:
    """The edge at which the gradient of ``tensor`` arrives."""
    node = tensor._node
    if node is None:
        raise GradientError("It is not possible to get the gradient edge for a Tensor that does not require gradients.")
    if node.__class__ is Output:
        return GradientEdge(node.inputs[0], node.number, node)
    return GradientEdge(node, 0)


def increment_version(tensor) -> None:
    """Say that the memory of a tensor (or of several) was changed in a way mlkit could not see."""
    for t in [tensor] if isinstance(tensor, Value) else tensor:
        value.mark_mutated(t)


# --- what backward keeps -----------------------------------------------------------------------------------------------

_disabled: list[str] = []


class saved_tensors_hooks:  # noqa: N801 - PyTorch's name
    """Inside, every tensor kept for backward goes through ``pack_hook`` and comes back through ``unpack_hook``.

    Args:
        pack_hook: tensor -> anything; called when an op keeps a tensor.
        unpack_hook: what pack_hook gave -> a tensor with the same values; called when backward reads it.

    >>> import mlkit
    >>> kept = []
    >>> x = mlkit.tensor([2.0], requires_grad=True)
    >>> with mlkit.autograd.graph.saved_tensors_hooks(lambda t: kept.append(tuple(t.shape)) or t, lambda t: t):
    ...     y = (x * x).sum()
    >>> kept
    [(1,), (1,)]
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def _pack(self, kept):
        """What stands in a node for ``kept``: an input, a list of inputs, an output, or a tuple of outputs."""
        if isinstance(kept, Value):
            return self._packed(kept)
        if kept.__class__ is list:
            return [self._pack(k) for k in kept]
        if kept.__class__ is tuple and kept and (kept[0] is None or kept[0].__class__ is tuple):
            return tuple(self._pack(k) for k in kept)
        if kept.__class__ is tuple:
            return self._packed(wrap(kept[0]))
        return kept

    def _packed(self, tensor: Value) -> Packed:
        before = state.grad
        state.grad = False
        try:
            with _off():
                packed = self.pack_hook(tensor)
        finally:
            state.grad = before
        unpack_hook, node = self.unpack_hook, tensor._node

        def unpack():
            with _off():
                got = unpack_hook(packed)
            if not isinstance(got, Value):
                raise ArgumentError(
                    f"Output of saved tensor unpack_hook expected to be a Tensor, got {type(got).__name__}."
                )
            if node is not None and got._node is not node:
                got = wrap(got._array, node)  # as a part of the graph it is still the tensor that was kept
            return got

        return Packed(unpack)

    def __enter__(self):
        if _disabled:
            raise GradientError(_disabled[-1])
        state.saving.append(self._pack)
        dispatch._count_busy(+1)
        return self

    def __exit__(self, *exc):
        state.saving.remove(self._pack)
        dispatch._count_busy(-1)


@contextlib.contextmanager
def _off():
    """No hooks while a hook runs."""
    before, state.saving = state.saving, []
    try:
        yield
    finally:
        state.saving = before


class save_on_cpu(saved_tensors_hooks):  # noqa: N801 - PyTorch's name
    """Inside, what ops keep for backward is kept in host memory and copied back when backward needs it.

    Args:
        pin_memory: accepted for PyTorch's sake.
        device_type: accepted for PyTorch's sake.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        def pack(tensor):
            place = tensor.device
            return place, tensor.detach().to("cpu") if place.type != "cpu" else tensor.detach().clone()

        def unpack(packed):
            place, tensor = packed
            return tensor.to(place)

        super().__init__(pack, unpack)


class allow_mutation_on_saved_tensors(saved_tensors_hooks):  # noqa: N801 - PyTorch's name
    """Inside, what ops keep for backward is copied, so that changing it in place afterwards does no harm."""

    def __init__(self):
        super().__init__(lambda tensor: tensor.detach().clone(), lambda packed: packed)


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str):
    """Inside, ``saved_tensors_hooks`` raises a RuntimeError with this message."""
    if state.saving:
        raise GradientError(error_message)
    _disabled.append(error_message)
    try:
        yield
    finally:
        _disabled.pop()


# --- several gradients at once ----------------------------------------------------------------------------------------------


def register_multi_grad_hook(tensors: Sequence, fn: Callable, *, mode: str = "all") -> Hook:
    """Call ``fn`` when backward has computed the gradients of ``tensors``.

    Args:
        tensors: tensors that require grad.
        fn: with mode "all", called once with the list of all gradients (None for those without one) after the last
            of them that this backward reaches; with "any", called with the first gradient that is there.
        mode: "all" or "any".

    Returns:
        A handle whose ``remove()`` takes the hook away.
    """
    if mode not in ("all", "any"):
        raise ValueRangeError(f"Expects mode to be one of ('all', 'any') but got {mode}.")
    lock = threading.Lock()
    nodes = []
    for t in tensors:
        if t._node is None:
            raise GradientError("cannot register a hook on a tensor that doesn't require gradient.")
        nodes.append(t._node)
    gathered: dict = {"walk": None}  # of the backward that runs now

    def seen(i: int, g) -> None:
        walk = visiting.now
        with lock:
            if gathered["walk"] is not walk:
                gathered.update(
                    walk=walk, grads=[None] * len(nodes), left=1 if mode == "any" else _reached(nodes, walk)
                )
            gathered["grads"][i] = g
            gathered["left"] -= 1
            if gathered["left"] != 0:
                return
            grads = gathered["grads"]
        fn(g if mode == "any" else grads)

    return _Several([add_hook(value.tensor_hooks, n, functools.partial(seen, i)) for i, n in enumerate(nodes)])


def _reached(nodes: list, walk: Any) -> int:
    """How many of the nodes a backward visits."""
    order, useful = walk
    visited = set(order) if useful is None else useful
    return sum(n in visited for n in nodes)


class _Several(Hook):
    def __init__(self, handles: list):
        super().__init__({})
        self.handles = handles

    def remove(self) -> None:
        for h in self.handles:
            h.remove()
