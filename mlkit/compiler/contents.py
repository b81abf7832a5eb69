"""What an object holds, as far as a compiled function may depend on it."""

from __future__ import annotations

import array
import collections
import collections.abc
import functools
import random
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.core.frames import is_users
from mlkit.core.value import Value
from mlkit.nn.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from mlkit.nn.module import Module
from mlkit.optim.lr_scheduler.base import LRScheduler
from mlkit.optim.optimizer import Optimizer

PLAIN = (int, float, bool, str, bytes, complex, type(None))
_QUICK = frozenset(PLAIN)
_DEPTH, _MOST = 12, 2000  # how deep is looked into an object, and at how many things in all
_BYTES = 1 << 20  # of an array of numbers that are compared
#: where a function reads attributes by names that its code does not show, all of them are compared
BY_NAME = {
    "getattr",
    "hasattr",
    "vars",
    "__dict__",
    "attrgetter",
    "asdict",
    "astuple",
    "fields",
    "replace",
    "copy",
    "deepcopy",
}


#: what changes by itself and stays live (tensors, optimizers), is watched in its own way (modules), or is code
_LOOKED_AT_ELSEWHERE = (
    Value,
    Module,
    Optimizer,
    LRScheduler,
    types.ModuleType,
    types.BuiltinFunctionType,
)


#: random streams, whose state is compared
STREAMS = (np.random.Generator, np.random.RandomState, random.Random)
#: modules whose forward nobody calls
CONTAINERS = (ModuleList, ModuleDict, ParameterList, ParameterDict, Sequential)
NOT_INSIDE = (*PLAIN, *_LOOKED_AT_ELSEWHERE)


def seen(x) -> Any:
    """A number or text as itself (with its type); anything else by identity."""
    return (x.__class__, x) if isinstance(x, PLAIN) else (x.__class__, id(x))


class Beyond:
    """In place of what is too much to be compared before each call."""


def inside(x) -> list | None:
    """What an object holds: (whether it is an attribute, its name or place, the value). None for what is looked at elsewhere."""
    if isinstance(x, NOT_INSIDE):
        return None
    if isinstance(x, (list, tuple, set, frozenset, dict, collections.deque)):
        if len(x) > _MOST:
            return [(False, Beyond, f"a {type(x).__name__} of {len(x):,} entries")]
        return [(False, k, i) for k, i in (list(x.items()) if isinstance(x, dict) else enumerate(list(x)))]
    if isinstance(x, type):
        return [(True, k, i) for k, i in _of_class(x)]
    if isinstance(x, types.FunctionType):
        return _inside_function(x) if is_users(x.__code__.co_filename) else None
    if isinstance(x, types.MethodType):
        return [(False, "self", x.__self__), (False, "function", x.__func__)]
    if isinstance(x, functools.partial):
        return [(False, "function", x.func), (False, "arguments", x.args), (False, "keywords", x.keywords)]
    if isinstance(x, property):
        return [(False, "fget", x.fget)]
    if isinstance(x, (staticmethod, classmethod)):
        return [(False, "function", x.__func__)]
    if isinstance(x, (np.ndarray, array.array, bytearray, memoryview)):
        return _numbers(x)
    if isinstance(x, STREAMS):
        return [(False, "state", str(_random_state(x)))]
    found = getattr(x, "__dict__", None)
    if not isinstance(found, dict):
        slots = [n for c in type(x).__mro__ for n in _listed(c.__dict__.get("__slots__", ()))]
        found = {n: getattr(x, n) for n in slots if hasattr(x, n)}
    return [(True, k, i) for k, i in (*_of_class(type(x)), *list(found.items()))]


def _numbers(x) -> list:
    """The numbers in an array that is no tensor."""
    size = x.nbytes if isinstance(x, (np.ndarray, memoryview)) else len(bytes(x))
    if size > _BYTES:
        kind = f"{type(x).__module__}.{type(x).__name__}".removeprefix("builtins.")
        return [(False, Beyond, f"a {kind} of {size / 1e6:.1f} MB (make it a tensor outside)")]
    if isinstance(x, np.ndarray) and x.dtype.hasobject:
        return [(False, k, i) for k, i in enumerate(x.ravel().tolist())]
    return [(False, "numbers", x.tobytes() if hasattr(x, "tobytes") else bytes(x))]


def _inside_function(f: types.FunctionType) -> list:
    """What a function of the user's brings along: its closure, its defaults and its attributes."""
    found = [(True, k, i) for k, i in f.__dict__.items() if not k.startswith("__")]
    found += [(False, name, in_cell(cell)) for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ())]
    return [*found, (False, "defaults", f.__defaults__), (False, "keywords", f.__kwdefaults__)]


def _of_class(kind: type) -> list:
    """Attributes that a class of the user's gives to its objects."""
    found: list = []
    for c in kind.__mro__[:-1]:
        if is_users_class(c):
            found += [(k, i) for k, i in list(c.__dict__.items()) if not k.startswith("__")]
    return found


#: whether a class was written by the user
_classes: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()


def is_users_class(c: type) -> bool:
    """Whether a class was written by the user: not by mlkit, Python or an installed package."""
    users = _classes.get(c)
    if users is None:
        file = getattr(sys.modules.get(c.__module__), "__file__", None)
        users = _classes[c] = c.__module__ not in sys.builtin_module_names and (file is None or is_users(file))
    return users


def is_users_module(x: types.ModuleType) -> bool:
    """The same of a module of Python code."""
    file = getattr(x, "__file__", None)
    return x.__name__ not in sys.builtin_module_names and (file is None or is_users(file))


def _random_state(x) -> Any:
    if isinstance(x, np.random.Generator):
        return x.bit_generator.state
    return x.getstate() if isinstance(x, random.Random) else x.get_state()


def _listed(slots) -> tuple:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def contents(x, names: set | None = None, within: Callable = inside, beyond: list | None = None) -> Any:
    """What of an object a function may depend on: itself, and what is inside, to a few levels; of attributes those called
    ``names``, all where that is None. What is too much for that is named in ``beyond``."""
    if isinstance(x, PLAIN):
        return seen(x)
    if isinstance(x, _LOOKED_AT_ELSEWHERE):
        return id(x)
    found: list = [x.__class__, id(x)]
    level, left, met = [x], _MOST, set()
    for _ in range(_DEPTH):
        deeper: list = []
        for y in level:
            if id(y) in met:
                continue
            met.add(id(y))
            pairs = within(y)
            if pairs is None:
                continue
            for attribute, k, v in pairs:
                if attribute and names is not None and k not in names:
                    continue
                left -= 1
                kind = v.__class__
                if k is Beyond:
                    if beyond is not None:
                        beyond.append(v)
                    continue
                if kind in _QUICK:
                    found += k if k.__class__ in _QUICK else seen(k), kind, v
                else:
                    found += k if k.__class__ in _QUICK else seen(k), seen(v)
                    deeper.append(v)
        level = deeper
        if not level or left < 0:
            break
    if beyond is not None and any(id(y) not in met and within(y) for y in level):
        beyond.append(f"a {type(x).__name__} with more in it than {_MOST:,} things")
    return found


def iterates(x, names: set | None, within: Callable) -> bool:
    """Whether an iterator is in it."""
    found: list = [x]

    def met(y) -> list | None:
        pairs = within(y)
        found.extend(v for attribute, k, v in pairs or () if not attribute or names is None or k in names)
        return pairs

    contents(x, names, met)
    return any(isinstance(y, collections.abc.Iterator) and not isinstance(y, NOT_INSIDE) for y in found)


#: attributes that every module has: they are compared in their own way
TABLES = frozenset(vars(Module()))
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def module_state(m: Module) -> Any:
    """A module's own flags, numbers, parameters and hooks (not its children's)."""
    parts = m.__dict__
    own = [(k, seen(v)) for k, v in parts.items() if k not in TABLES or isinstance(v, PLAIN)]
    own += [(k, id(v)) for table in ("_parameters", "_buffers", "_modules") for k, v in parts[table].items()]
    return own, [len(parts[h]) for h in _HOOKS]


def itself(x):
    """How to look at what stays the same object."""
    return x


def in_cell(cell):
    """How to look into a closure's cell."""
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
