"""What PyTorch's functions accept besides their own arguments: ``out=`` and NumPy's argument names.

``mlkit.sum`` is ``public(reductions.sum)``. Operators and methods are the functions themselves.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

from mlkit.core import dtype as dtypes
from mlkit.core import inplace
from mlkit.core.errors import ArgumentError, DtypeError, GradientError
from mlkit.core.value import Value, tensor_types
from mlkit.functional.creation import resize

#: NumPy's name -> PyTorch's name
NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other"}


#: functions whose first two arguments must be tensors
TWO_TENSORS = frozenset(
    "atan2 fmax fmin hypot gcd lcm logaddexp logaddexp2 logical_and logical_or logical_xor maximum minimum nextafter "
    "isclose allclose equal heaviside polar complex inner outer kron cross matmul mm mv bmm dot vdot masked_select".split()
)
#: functions that take a number in place of the first tensor
NUMBER_FIRST = frozenset(
    "float_power pow remainder xlogy where isin bitwise_and bitwise_or bitwise_xor searchsorted "
    "bitwise_left_shift bitwise_right_shift bucketize add mul sub div".split()
)
#: functions of a list of tensors
LISTS = frozenset("cat stack hstack vstack dstack column_stack chain_matmul result_type".split())


def numpy_names(fn: Callable) -> Callable:
    """``fn`` that takes ``axis`` and ``keepdims`` too, as PyTorch's reductions do."""

    @functools.wraps(fn)
    def call(*args, **kwargs):
        if kwargs:
            for given, name in (("axis", "dim"), ("keepdims", "keepdim")):
                if given in kwargs and name not in kwargs:
                    kwargs[name] = kwargs.pop(given)
        return fn(*args, **kwargs)

    return call


def write_out(name: str, out, fresh):
    """The results written into the tensors given as ``out``, which take their shape."""
    if isinstance(fresh, (tuple, list)):
        if not isinstance(out, (tuple, list)) or len(out) != len(fresh):
            raise ArgumentError(f"{name}(): out must be {len(fresh)} tensors.")
        written = [write_out(name, o, f) for o, f in zip(out, fresh, strict=True)]
        return type(fresh)(*written) if hasattr(fresh, "_fields") else type(fresh)(written)
    if not isinstance(out, Value):
        raise ArgumentError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}.")
    a, b = dtypes.from_numpy_dtype(fresh._array.dtype), dtypes.from_numpy_dtype(out._array.dtype)
    if a.category > b.category:
        raise DtypeError(f"{name}: result type {a.name} can't be cast to the desired output type {b.name}.")
    if fresh._node is not None or out._node is not None:
        raise GradientError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad.",
            hint="Leave out= away, or wrap the call in `with mlkit.no_grad():`.",
        )
    if tuple(out._array.shape) != tuple(fresh._array.shape):
        resize(out, tuple(fresh._array.shape))
    return inplace.assign(out, fresh, name)


def public(fn: Callable, out: bool = True) -> Callable:
    """``fn`` as PyTorch's namespace has it: with ``out=`` and NumPy's argument names."""
    name = fn.__name__
    parameters = inspect.signature(fn).parameters
    known = {n: p for n, p in NUMPY_NAMES.items() if p in parameters and n not in parameters}

    tensors = 0 if name in LISTS or name in NUMBER_FIRST else 2 if name in TWO_TENSORS else 1

    @functools.wraps(fn)
    def call(*args, **kwargs):
        for i, x in enumerate(args[:tensors]):
            if x.__class__ not in tensor_types and not isinstance(x, Value):
                if not hasattr(x, "__mlkit_tensor__"):
                    raise ArgumentError(
                        f"{name}(): argument {i + 1} must be Tensor, not {type(x).__name__}.",
                        hint="Make one with mlkit.tensor(...).",
                    )
        if name in NUMBER_FIRST and len(args) == 2 and not (isinstance(args[0], Value) or isinstance(args[1], Value)):
            raise ArgumentError(f"{name}(): one of the arguments must be Tensor, not {type(args[0]).__name__}.")
        if not kwargs:
            return fn(*args)
        target = kwargs.pop("out", None) if out else None
        for given in list(kwargs):
            if given in known and known[given] not in kwargs:
                kwargs[known[given]] = kwargs.pop(given)
        fresh = fn(*args, **kwargs)
        return fresh if target is None else write_out(name, target, fresh)

    if out and parameters and "out" not in parameters:
        extra = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None)
        signature = inspect.signature(fn)
        listed = list(parameters.values())
        if listed and listed[-1].kind is inspect.Parameter.VAR_KEYWORD:
            return call
        call.__signature__ = signature.replace(parameters=[*listed, extra])
    return call
