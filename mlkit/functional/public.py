"""What PyTorch's functions accept besides their own arguments: ``out=`` and NumPy's argument names.

``mlkit.sum`` is ``public(reductions.sum)``. Operators and methods are the functions themselves.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core import inplace
from mlkit.core.errors import ArgumentError, DtypeError, GradientError, NotATensor, RefusedError
from mlkit.core.value import Value, own_ways, tensor_types
from mlkit.functional.placement import resize
from mlkit.ops.registry import REGISTRY, Elementwise

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
    "bitwise_left_shift bitwise_right_shift bucketize add mul sub div floor_divide".split()
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


#: functions that write where they still read: an ``out`` that shares memory with an input is refused
READS_LATE = frozenset("stack gather take masked_select index_select cat kthvalue cumsum cumprod".split())
#: functions that convert nothing on the way into ``out``
SAME_DTYPE = frozenset(
    "gather take masked_select index_select aminmax complex polar multinomial abs addmm mm bmm baddbmm sort floor ceil round "
    "trunc sign sgn neg frac nan_to_num tril triu amax amin argmax argmin isposinf isneginf logcumsumexp median nanmedian mode "
    "cummax cummin topk kthvalue scatter scatter_add scatter_reduce index_add index_copy index_reduce where matmul dot mv diag "
    "cross renorm clamp inverse norm addmv addbmm vdot frexp ormqr float_power heaviside bitwise_not conj_physical isin quantile nanquantile signbit histogram histc "
    "bucketize searchsorted tensordot nonzero all any qr softmax log_softmax cholesky_ex alias_copy as_strided_copy "
    "detach_copy diagonal_copy expand_copy narrow_copy permute_copy select_copy slice_copy split_copy split_with_sizes_copy "
    "squeeze_copy t_copy transpose_copy unbind_copy unfold_copy unsqueeze_copy view_copy view_as_real_copy "
    "view_as_complex_copy".split()
)
#: of those that give one tensor or two, the ones that convert nothing where they give two
SAME_DTYPE_OF_TWO = frozenset("max min".split())
#: functions that compute in the element type of ``out``
IN_TYPE_OF_OUT = frozenset("sum prod cumsum cumprod".split())


def check_out(name: str, out, fresh, inputs, one_of_two: bool = False) -> None:
    """Refuse what PyTorch refuses as ``out``: memory that holds one element twice, an input's memory, another dtype."""
    if isinstance(out, (tuple, list)):
        for o, f in zip(out, fresh, strict=False):
            check_out(name, o, f, inputs, True)
        return
    array = getattr(out, "_array", None)
    if not isinstance(array, np.ndarray) or not isinstance(fresh, Value):
        return
    if (name in SAME_DTYPE or one_of_two and name in SAME_DTYPE_OF_TWO) and array.dtype != fresh._array.dtype:
        raise DtypeError(
            f"{name}(): Expected out tensor to have dtype {fresh.dtype}, but got {out.dtype} instead.",
            hint="Give out= that dtype, or convert the result.",
        )
    if array.size and any(step == 0 and n > 1 for step, n in zip(array.strides, array.shape, strict=True)):
        raise RefusedError(
            f"{name}(): unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location.",
            f"out: shape {tuple(array.shape)}, stride {out.stride()}",
            "Clone the tensor before writing into it: out.clone().",
        )
    if name in READS_LATE:
        for x in inputs:
            if isinstance(x, (tuple, list)):
                check_out(name, out, fresh, x)
            elif isinstance(x, Value) and isinstance(x._array, np.ndarray) and np.may_share_memory(x._array, array):
                raise RefusedError(
                    f"{name}(): unsupported operation: some elements of the input tensor and the written-to tensor refer to "
                    "a single memory location.",
                    hint="Clone the tensor before performing the operation.",
                )


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
        kind = ArgumentError if name in LISTS else DtypeError  # cat and stack: PyTorch's TypeError
        raise kind(f"{name}: result type {a.name} can't be cast to the desired output type {b.name}.")
    if fresh._node is not None or out._node is not None:
        raise GradientError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad.",
            hint="Leave out= away, or wrap the call in `with mlkit.no_grad():`.",
        )
    if tuple(out._array.shape) != tuple(fresh._array.shape):
        resize(out, tuple(fresh._array.shape))
    return inplace.assign(out, fresh, name)


def named_parameters(fn: Callable) -> tuple[tuple[str, ...], bool]:
    """The names of a function's parameters, and whether it takes any others by name."""
    code = inspect.unwrap(fn).__code__
    named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return named, bool(code.co_flags & inspect.CO_VARKEYWORDS)


class LaterSignature(inspect.Signature):
    """The signature of a function with ``out=`` added, worked out when someone asks: two hundred of them would take a
    tenth of ``import mlkit``, and help() asks for one."""

    __slots__ = ("_fn",)

    def __init__(self, fn: Callable):
        self._fn = fn

    def __getattr__(self, name: str):
        if name not in ("_parameters", "_return_annotation"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        own = inspect.signature(self._fn)
        extra = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None)
        super().__init__([*own.parameters.values(), extra], return_annotation=own.return_annotation)
        return getattr(self, name)

    def now(self) -> inspect.Signature:
        return inspect.Signature(list(self.parameters.values()), return_annotation=self.return_annotation)

    def replace(self, **changes) -> inspect.Signature:  # type: ignore[override]
        return self.now().replace(**changes)

    __replace__ = replace  # type: ignore[assignment]

    def __reduce__(self):
        return self.now().__reduce__()

    def __repr__(self) -> str:
        return repr(self.now())


def public(fn: Callable, out: bool = True) -> Callable:
    """``fn`` as PyTorch's namespace has it: with ``out=`` and NumPy's argument names."""
    name = fn.__name__
    parameters, open_ended = named_parameters(fn)
    known = {n: p for n, p in NUMPY_NAMES.items() if p in parameters and n not in parameters}

    by_element = isinstance(REGISTRY.get(name), Elementwise) or name in ("where", "lerp", "clamp")
    tensors = 0 if name in LISTS or name in NUMBER_FIRST else 2 if name in TWO_TENSORS else 1

    @functools.wraps(fn)
    def call(*args, **kwargs):
        for i, x in enumerate(args[:tensors]):
            if x.__class__ not in tensor_types and not isinstance(x, Value):
                if not hasattr(x, "__mlkit_tensor__"):
                    raise NotATensor(
                        f"{name}(): argument {i + 1} must be Tensor, not {type(x).__name__}.",
                        hint="Make one with mlkit.tensor(...).",
                    )
            if x.__class__ in own_ways and i == 0 and "out" not in kwargs and hasattr(x, name):
                return getattr(x, name)(*args[1:], **kwargs)  # a named tensor: its methods take names of axes
        if name in NUMBER_FIRST and len(args) == 2 and not (isinstance(args[0], Value) or isinstance(args[1], Value)):
            raise ArgumentError(f"{name}(): one of the arguments must be Tensor, not {type(args[0]).__name__}.")
        if not kwargs:
            return fn(*args)
        target = kwargs.pop("out", None) if out else None
        for given in list(kwargs):
            if given in known and known[given] not in kwargs:
                kwargs[known[given]] = kwargs.pop(given)
        if isinstance(target, Value) and name in IN_TYPE_OF_OUT and "dtype" not in kwargs:
            if target._array.dtype.kind != "b":
                kwargs["dtype"] = target.dtype
        fresh = fn(*args, **kwargs)
        if target is None:
            return fresh
        check_out(name, target, fresh, (*args, *kwargs.values()))
        if by_element and isinstance(target, Value) and tuple(target._array.shape) == tuple(fresh._array.shape):
            inplace.refuse_overlap(name, target, (*args, *kwargs.values()))
        return write_out(name, target, fresh)

    if out and parameters and not open_ended and "out" not in parameters:
        call.__signature__ = LaterSignature(fn)  # type: ignore[attr-defined]
    return call
