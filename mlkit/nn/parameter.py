"""Parameter: a tensor that a Module lists as its own and an optimizer changes."""

from __future__ import annotations

from mlkit.core import value
from mlkit.core.errors import GradientError, ShapeError
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
        if requires_grad and self._array.dtype.kind not in "fcV":
            raise GradientError(
                f"Only Tensors of floating point and complex dtype can require gradients, got {self.dtype}.",
                hint="Parameter(x.float()), Parameter(x, requires_grad=False), or register_buffer for what is not learned.",
            )
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


class _Uninitialized:
    """No shape yet: everything but ``materialize`` and moving between devices and dtypes has to wait."""

    __slots__ = ()

    def materialize(self, shape, device=None, dtype=None) -> None:
        """Become an ordinary parameter or buffer of that shape, with values still to be set."""
        how = {"dtype": self.dtype if dtype is None else dtype, "device": self.device if device is None else device}
        object.__setattr__(self, "_array", empty(*shape, **how)._array)
        self.__class__ = self.cls_to_become

    @property
    def shape(self):
        raise ShapeError(
            "Can't access the shape of an uninitialized parameter or buffer.",
            hint="This error usually happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. Call `forward` once to initialize the module.",
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(device=self.device, dtype=self.dtype)
        return memo[id(self)]


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter that waits for its shape (lazy layers)."""

    __slots__ = ()
    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device=None, dtype=None):
        return super().__new__(cls, empty(0, device=device, dtype=dtype), requires_grad)

    def __init__(self, requires_grad: bool = True, device=None, dtype=None):
        pass


class UninitializedBuffer(_Uninitialized, Buffer):
    """A buffer that waits for its shape (lazy layers)."""

    __slots__ = ()
    cls_to_become = Buffer

    def __new__(cls, requires_grad: bool = False, device=None, dtype=None, persistent: bool = True):
        return super().__new__(cls, empty(0, device=device, dtype=dtype), persistent=persistent)

    def __init__(self, requires_grad: bool = False, device=None, dtype=None, persistent: bool = True):
        pass


def is_lazy(param) -> bool:
    """Whether ``param`` still waits for its shape."""
    return isinstance(param, _Uninitialized)


value.tensor_types.update((Parameter, Buffer, UninitializedParameter, UninitializedBuffer))
