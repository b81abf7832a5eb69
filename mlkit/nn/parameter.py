"""Parameter: a tensor that a Module lists as its own and an optimizer changes."""

from __future__ import annotations

from mlkit.core import value
from mlkit.core.tensor import Tensor
from mlkit.core.value import Leaf
from mlkit.functional.creation import empty


class Parameter(Tensor):
    """A tensor that becomes part of ``parameters()`` when it is set on a Module. Shares memory with ``data``.

    >>> import mlkit
    >>> mlkit.nn.Parameter(mlkit.zeros(2)).requires_grad
    True
    """

    __slots__ = ()

    def __new__(cls, data=None, requires_grad: bool = True):
        self = object.__new__(cls)
        self._array = (empty(0) if data is None else data)._array
        self._node = Leaf(self) if requires_grad else None
        return self

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that becomes part of a Module's state, without gradient."""

    __slots__ = ()
    persistent: bool

    def __new__(cls, data=None, *, persistent: bool = True):
        self = object.__new__(cls)
        self._array = (empty(0) if data is None else data)._array
        self._node = None
        self.persistent = persistent
        return self


value.tensor_types.update((Parameter, Buffer))
