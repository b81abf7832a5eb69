"""Arguments of the wrong kind at the public names: they raise TypeError and say which argument, as PyTorch's parser does.

The functions themselves trust what they are given. ``checked(fn)`` is ``fn`` with what its signature says about each
argument looked at: cheaply before the call (words for numbers, fractions for counts), and in full when it failed, so
that a call that works pays next to nothing.
"""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from mlkit.core.errors import ArgumentError, MlkitError, RefusedError
from mlkit.core.value import Value, tensor_types

#: parameters that are tensors wherever they appear without an annotation or default that says otherwise
TENSORS = frozenset(
    "input other weight bias target mask index indices src source tensor x y self A B LU pivots LD tau mat1 mat2 mat vec "
    "vec1 vec2 batch1 batch2 tensor1 tensor2 input1 input2 input3 x1 x2 anchor positive negative log_probs targets theta "
    "grid query key value running_mean running_var end sorted_sequence boundaries elements condition logits var "
    "per_sample_weights attn_mask pos_weight window L mat2 batch_sizes test_elements tensor".split()
)
#: of them, those that may be numbers in some functions
NUMBERS_TOO = frozenset("other end value input condition x y elements self".split())
#: with one of these beside it, the first tensor may be a number
PARTNERS = frozenset("other boundaries test_elements n exponent x y end".split())
#: sizes and dims: numbers or tuples of whole numbers, never words
SIZES = frozenset(
    "dim dims size shape kernel_size stride dilation output_size normalized_shape repeats sizes shifts pad".split()
)


class Arguments:
    """What a function's signature says: the kind of each parameter by position and by name."""

    def __init__(self, fn: Callable):
        self.kinds: dict[str, str] = {}
        self.names: list[str] = []
        self.optional: set[str] = set()
        self.rest = False  # whether any number of tensors may follow
        parameters = inspect.signature(fn).parameters
        for name, p in parameters.items():
            if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                self.rest = self.rest or name == "tensors"
                continue
            self.kinds[name] = kind = _kind(name, p)
            if p.kind is not p.KEYWORD_ONLY:
                self.names.append(name)
            if p.default is None or "None" in str(p.annotation) or kind == "":
                self.optional.add(name)
        self.quick = {name: kind for name, kind in self.kinds.items() if kind in ("int", "bool")}
        self.places = [(i, name) for i, name in enumerate(self.names) if name in self.quick]
        first = self.names[0] if self.names else ""
        self.first = first if self.kinds.get(first) == "tensor" and first not in self.optional else ""
        self.number_first = bool(PARTNERS & set(parameters))
        if "destination" in parameters:  # movedim's are dims
            self.kinds["source"], self.first = "", first

    def given(self, args: tuple, kwargs: dict):
        yield from zip(self.names, args, strict=False)
        yield from ((k, v) for k, v in kwargs.items() if k in self.kinds)


def _kind(name: str, p: inspect.Parameter) -> str:
    words = str(p.annotation).replace("| None", "").replace(" ", "")
    if words in ("int", "bool", "float", "str"):
        return words
    if words == "float|None":
        return "float"
    if p.annotation is p.empty and isinstance(p.default, bool):
        return "bool"
    if p.annotation is p.empty and name in TENSORS and (p.default is p.empty or p.default is None):
        return "tensor"
    return ""


def _wrong(name: str, parameter: str, kind: str, x) -> ArgumentError:
    word = {"tensor": "Tensor"}.get(kind, kind)
    return ArgumentError(
        f"{name}(): argument '{parameter}' must be {word}, not {type(x).__name__}.",
        hint="Make one with mlkit.tensor(...)." if kind == "tensor" else None,
    )


def misfit(kind: str, x) -> bool:
    """Whether ``x`` cannot be an argument of that kind at all."""
    if kind == "int":
        if isinstance(x, Value):
            return x._array.size != 1 or x._array.dtype.kind not in "iub"
        return isinstance(x, (str, float, complex, list, tuple)) or not hasattr(x, "__index__")
    if kind == "bool":
        return isinstance(x, (str, float, complex, list, tuple)) or isinstance(x, Value) and x._array.size != 1
    if kind == "float":
        return isinstance(x, (str, list, tuple, complex)) or isinstance(x, Value) and x._array.size != 1
    if kind == "str":
        return not isinstance(x, str)
    return False


def is_tensor(x) -> bool:
    return isinstance(x, (Value, np.ndarray)) or hasattr(x, "__mlkit_tensor__")


def named(args: tuple) -> bool:
    """Whether a tensor among the arguments has axis names."""
    flat = [y for x in args for y in (x if isinstance(x, (list, tuple)) else (x,))]
    return any(isinstance(x, Value) and x._names is not None for x in flat)


def find_misfit(name: str, arguments: Arguments, args: tuple, kwargs: dict) -> ArgumentError | None:
    """The first argument of the wrong kind; None when all could be right."""
    if arguments.rest:
        for x in args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args:
            if not is_tensor(x):
                return ArgumentError(f"{name}(): expected Tensors, but got {type(x).__name__}.")
    for parameter, x in arguments.given(args, kwargs):
        kind = arguments.kinds[parameter]
        if x is None:
            if parameter not in arguments.optional and kind:
                return _wrong(name, parameter, kind, x)
            continue
        if kind == "tensor":
            if parameter == "indices" and isinstance(x, (list, tuple)):
                continue
            number = isinstance(x, (int, float, complex, np.generic)) and not isinstance(x, np.ndarray)
            fits = parameter in NUMBERS_TOO or name == "lerp" and parameter == "weight"
            if not is_tensor(x) and not (number and fits and parameter != arguments.first):
                return _wrong(name, parameter, kind, x)
        elif kind == "int" and isinstance(x, str) and parameter.startswith("dim") and named(args):
            continue  # an axis by its name
        elif kind and misfit(kind, x):
            return _wrong(name, parameter, kind, x)
        elif parameter in SIZES and (
            isinstance(x, str) or isinstance(x, (list, tuple)) and any(isinstance(v, (float, str)) for v in x)
        ):
            return ArgumentError(f"{name}(): argument '{parameter}' must be of whole numbers, got {x!r}.")
        elif isinstance(x, (list, tuple)) and any(isinstance(v, Value) for v in x):
            for v in x:
                if v is not None and not is_tensor(v):
                    return ArgumentError(
                        f"{name}(): expected Tensors in argument '{parameter}', but got {type(v).__name__}."
                    )
    return None


@functools.cache
def _both(kind: type) -> type:
    """The class of an error that is PyTorch's RuntimeError and also what the array library raised."""
    if issubclass(kind, RuntimeError):
        return RefusedError
    try:
        return type("RefusedError", (RefusedError, kind), {"__doc__": RefusedError.__doc__})
    except TypeError:  # a layout of its own
        return RefusedError


def _ours(error: BaseException) -> bool:
    """Whether the error came out of mlkit or the array library, not out of a function that the user handed in."""
    last = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        last = frame
    module = last.f_globals.get("__name__", "") if last is not None else ""
    return module.split(".")[0] in ("mlkit", "numpy", "cupy")


def better_error(name: str, arguments: Arguments, args: tuple, kwargs: dict, error: Exception) -> Exception:
    """``error`` itself, or what says more: the argument of the wrong kind, or mlkit's class for the library's error."""
    if isinstance(error, MlkitError) and isinstance(error, (TypeError, NotImplementedError)) or not _ours(error):
        return error
    found = find_misfit(name, arguments, args, kwargs)
    if found is not None:
        return found
    if isinstance(error, MlkitError) or not isinstance(
        error, (ValueError, IndexError, TypeError, AttributeError, ArithmeticError)
    ):
        return error
    if isinstance(error, TypeError) and not isinstance(error, np.exceptions.DTypePromotionError):
        plain = type(error) is TypeError
        if plain and "argument" in str(error):  # Python's own: missing, unexpected or too many arguments
            return error
    if isinstance(error, AttributeError) and "_array" in str(error):
        what = str(error).partition("'")[2].partition("'")[0]
        return ArgumentError(f"{name}(): expected a Tensor, got {what}.")
    kind = next(k for k in (IndexError, ValueError, TypeError, AttributeError, ArithmeticError) if isinstance(error, k))
    return _both(kind)(f"{name}: {error}")


def check_all(namespace: dict, names, module: str) -> None:
    """Put the checked form of every function of mlkit.functional among ``names`` into a namespace."""
    for name in names:
        fn = namespace[name]
        if name == "manual_seed":  # takes whatever int() takes
            continue
        if isinstance(fn, FunctionType) and fn.__module__.startswith("mlkit.functional."):
            namespace[name] = checked(fn, module)


def checked(fn: Callable, module: str | None = None) -> Callable:
    """``fn`` with arguments of the wrong kind refused by name; ``module`` is where pickle finds it."""
    name = fn.__name__
    arguments: Any = None  # read at the first call: most functions of a namespace are never called
    quick: Any = None
    places: Any = None
    first: Any = None
    number_first = False

    @functools.wraps(fn)
    def call(*args, **kwargs):
        nonlocal arguments, quick, places, first, number_first
        if arguments is None:
            found = Arguments(fn)
            quick, places, first, number_first = found.quick, found.places, found.first, found.number_first
            arguments = found
        if first and args:
            x = args[0]
            if x.__class__ not in tensor_types and not is_tensor(x) and not number_first:
                raise _wrong(name, first, "tensor", x)
        count = len(args)
        for i, parameter in places:
            if i < count and args[i].__class__ in (float, str) and not (parameter[:3] == "dim" and named(args)):
                raise _wrong(name, parameter, quick[parameter], args[i])
        for parameter in kwargs:
            if (
                parameter in quick
                and kwargs[parameter].__class__ in (float, str)
                and not (parameter[:3] == "dim" and named(args))
            ):
                raise _wrong(name, parameter, quick[parameter], kwargs[parameter])
        try:
            return fn(*args, **kwargs)
        except Exception as error:
            better = better_error(name, arguments, args, kwargs, error)
            if better is error:
                raise
            cause = None if isinstance(better, ArgumentError) else error
        raise better from cause

    if module is not None:
        call.__module__ = module
    return call
