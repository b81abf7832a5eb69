"""What vmap and forward mode share: tensors of a level, the level below, and whether anything is tracked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mlkit.core import dispatch
from mlkit.core.dispatch import Interpreter, complete, operand, promote, state
from mlkit.core.value import LevelArray, Value, node_type, tick, wrap
from mlkit.ops.registry import Op


class _Alias:
    """The op of a node that only hands its gradient on."""

    name = "alias"
    rules = None
    holds = True
    outputs = 1

    def backward_runner(self, tensors: bool):
        return lambda m, g, node: (g,)


_ALIAS = _Alias()


def alias(t: Value, connected: bool = True) -> Value:
    """The same tensor with a node of its own, by which a gradient can be asked for; ``connected`` to t's history."""
    out = wrap(t._array)
    out._storage = t._storage
    node = node_type(_ALIAS)()
    node.op, node.attributes, node.saved, node.shapes, node.code = _ALIAS, {}, (), None, None
    node.inputs = (t._node,) if connected and t._node is not None else ()
    node.seq = tick()
    out._node = node
    return out


def tracked(t) -> bool:
    """Whether a gradient may be wanted through this tensor, at its own level or at one below."""
    if not isinstance(t, Value):
        return False
    if t._node is not None:
        return True
    array = t._array
    return isinstance(array, LevelArray) and any(tracked(part) for part in array.parts())


class Level(Interpreter):
    """An interpreter whose tensors hold a LevelArray of its own."""

    under: tuple = ()  # the interpreters that were running when it began

    def __enter__(self):
        self.under = tuple(state.interpreters)
        return super().__enter__()

    def owns(self, t) -> bool:
        return isinstance(t, Value) and isinstance(t._array, LevelArray) and t._array.level is self

    def lower(self, t):
        """The tensor of the level below; anything else stays."""
        return t._array.inner if self.owns(t) else t

    def canonical(self, op: Op, operands: list, attributes: dict) -> tuple[list, dict]:
        """Operands promoted as this level sees them, and attributes in canonical form."""
        operands = [t if t is None or isinstance(t, Value) else operand(op, i, t) for i, t in enumerate(operands)]
        if op.promotion is not None:
            with self.active():
                promote(op, operands)
        arrays = [t._array if isinstance(t, Value) else t for t in operands]
        return operands, complete(op, arrays, attributes)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Ops inside come to this level first, then to those under it: for when it is off the stack or has ended."""
        stack = state.interpreters
        before = list(stack)
        stack.extend([*(i for i in self.under if i not in before), self])
        dispatch._count_busy(+1)
        try:
            yield
        finally:
            stack[:] = before
            dispatch._count_busy(-1)

    @contextlib.contextmanager
    def below(self) -> Iterator[None]:
        """Ops inside go to the levels below this one."""
        stack = state.interpreters
        above = stack[stack.index(self) :] if self in stack else []
        del stack[len(stack) - len(above) :]
        try:
            yield
        finally:
            stack.extend(above)


def highest(*tensors) -> Level | None:
    """The innermost running level that one of the tensors belongs to."""
    found = [t._array.level for t in tensors if isinstance(t._array, LevelArray)]
    for level in reversed(state.interpreters):
        if level in found:
            return level
    return None
