"""What a recording took for granted in Python: global names, closures, attributes, modules' flags.

While a function is recorded, a ``Watch`` sees each Python function that runs. What those functions can read (their
globals, the recorded function's closure, the attributes of ``self``) is written down before they do; what of it differs
afterwards was changed by the function, which a replay would not repeat. Before each replay ``holds`` compares again.
"""

from __future__ import annotations

import array
import builtins
import collections
import collections.abc
import datetime
import dis
import functools
import operator
import os
import random
import sys
import time
import types
import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mlkit.core.frames import is_ours, is_users
from mlkit.core.value import Value
from mlkit.nn import module as modules
from mlkit.nn.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from mlkit.nn.module import Module
from mlkit.optim.lr_scheduler.base import LRScheduler
from mlkit.optim.optimizer import Optimizer

_PLAIN = (int, float, bool, str, bytes, complex, type(None))
_QUICK = frozenset(_PLAIN)
#: functions of C whose effect or answer a replay would miss
_OUTSIDE = {
    builtins.print: "print()",
    builtins.input: "input()",
    builtins.open: "open()",
    time.time: "the clock",
    time.perf_counter: "the clock",
    time.monotonic: "the clock",
    time.sleep: "time.sleep()",
    **{getattr(time, name): "the clock" for name in dir(time) if name.endswith("_ns")},
    time.process_time: "the clock",
    time.thread_time: "the clock",
    warnings.warn: "warnings.warn()",
    datetime.datetime.now: "the clock",
    datetime.datetime.utcnow: "the clock",
    datetime.date.today: "the clock",
}
#: and where a package that the user calls does so
_FROM_OUTSIDE = {os.urandom: "os.urandom()", np.random.default_rng: "numpy.random.default_rng()"}
_DEPTH, _MOST = 12, 2000  # how deep is looked into an object, and at how many things in all
_BYTES = 1 << 20  # of an array of numbers that are compared
#: where a function reads attributes by names that its code does not show, all of them are compared
_BY_NAME = {
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


_STREAMS = (np.random.Generator, np.random.RandomState, random.Random)
_CONTAINERS = (ModuleList, ModuleDict, ParameterList, ParameterDict, Sequential)
_NOT_INSIDE = (*_PLAIN, *_LOOKED_AT_ELSEWHERE)


def seen(x) -> Any:
    """A number or text as itself (with its type); anything else by identity."""
    return (x.__class__, x) if isinstance(x, _PLAIN) else (x.__class__, id(x))


class _Beyond:
    """In place of what is too much to be compared before each call."""


def inside(x) -> list | None:
    """What an object holds: (whether it is an attribute, its name or place, the value). None for what is looked at elsewhere."""
    if isinstance(x, _NOT_INSIDE):
        return None
    if isinstance(x, (list, tuple, set, frozenset, dict, collections.deque)):
        if len(x) > _MOST:
            return [(False, _Beyond, f"a {type(x).__name__} of {len(x):,} entries")]
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
    if isinstance(x, _STREAMS):
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
        return [(False, _Beyond, f"a {kind} of {size / 1e6:.1f} MB (make it a tensor outside)")]
    if isinstance(x, np.ndarray) and x.dtype.hasobject:
        return [(False, k, i) for k, i in enumerate(x.ravel().tolist())]
    return [(False, "numbers", x.tobytes() if hasattr(x, "tobytes") else bytes(x))]


def _inside_function(f: types.FunctionType) -> list:
    """What a function of the user's brings along: its closure, its defaults and its attributes."""
    found = [(True, k, i) for k, i in f.__dict__.items() if not k.startswith("__")]
    found += [(False, name, _in_cell(cell)) for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ())]
    return [*found, (False, "defaults", f.__defaults__), (False, "keywords", f.__kwdefaults__)]


def _of_class(kind: type) -> list:
    """Attributes that a class of the user's gives to its objects."""
    found: list = []
    for c in kind.__mro__[:-1]:
        if _is_users_class(c):
            found += [(k, i) for k, i in list(c.__dict__.items()) if not k.startswith("__")]
    return found


#: whether a class was written by the user
_classes: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()


def _is_users_class(c: type) -> bool:
    users = _classes.get(c)
    if users is None:
        file = getattr(sys.modules.get(c.__module__), "__file__", None)
        users = _classes[c] = c.__module__ not in sys.builtin_module_names and (file is None or is_users(file))
    return users


def _is_users_module(x: types.ModuleType) -> bool:
    file = getattr(x, "__file__", None)
    return x.__name__ not in sys.builtin_module_names and (file is None or is_users(file))


@functools.lru_cache(maxsize=1000)
def _global_names(code: types.CodeType) -> tuple[str, ...]:
    """The global names that code reads or sets, which ``co_names`` mixes with attributes."""
    asked = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL")
    return tuple({i.argval: None for i in dis.get_instructions(code) if i.opname in asked})


@functools.lru_cache(maxsize=1000)
def _imported_names(code: types.CodeType) -> tuple[str, ...]:
    return tuple({i.argval: None for i in dis.get_instructions(code) if i.opname == "IMPORT_NAME"})


def _random_state(x) -> Any:
    if isinstance(x, np.random.Generator):
        return x.bit_generator.state
    return x.getstate() if isinstance(x, random.Random) else x.get_state()


def _listed(slots) -> tuple:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def contents(x, names: set | None = None, within: Callable = inside, beyond: list | None = None) -> Any:
    """What of an object a function may depend on: itself, and what is inside, to a few levels; of attributes those called
    ``names``, all where that is None. What is too much for that is named in ``beyond``."""
    if isinstance(x, _PLAIN):
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
                if k is _Beyond:
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
    return any(isinstance(y, collections.abc.Iterator) and not isinstance(y, _NOT_INSIDE) for y in found)


_TABLES = frozenset(vars(Module()))
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def module_state(m: Module) -> Any:
    """A module's own flags, numbers, parameters and hooks (not its children's)."""
    parts = m.__dict__
    own = [(k, seen(v)) for k, v in parts.items() if k not in _TABLES or isinstance(v, _PLAIN)]
    own += [(k, id(v)) for table in ("_parameters", "_buffers", "_modules") for k, v in parts[table].items()]
    return own, [len(parts[h]) for h in _HOOKS]


class Watch:
    """Sees the Python functions that run while a function is recorded."""

    def __init__(self, fn: Callable, stop: Callable[[str], None], arguments: Iterable = ()):
        self.stop = stop
        self.codes: dict[types.CodeType, bool] = {}  # what ran besides mlkit, and whether it is the user's
        self.checks: dict[tuple, tuple[Callable, Any]] = {}  # what is looked at -> (how to look, what it was)
        self.held: dict[int, list | None] = {}  # by id: what each object held, which also keeps that alive
        self.modules: dict[int, Module] = {}
        self.module_states: dict[int, Any] = {}
        self.looked: set = set()  # pairs of a class and a code that ran as its method
        target = fn.forward if isinstance(fn, Module) else fn
        while isinstance(target, functools.partial):
            self._add(("arguments", id(target), "arguments of partial"), functools.partial(_itself, target))
            target = target.func
        while isinstance(target, types.MethodType):
            if not isinstance(target.__self__, Module):
                self._add(("self", id(target.__self__)), functools.partial(_itself, target.__self__))
            target = target.__func__
        for x in arguments:
            if not isinstance(x, _PLAIN):
                self._add(("argument", id(x)), functools.partial(_itself, x))
        if isinstance(target, types.FunctionType):
            self._function(target)
        elif not isinstance(target, types.BuiltinFunctionType):
            self._add(("self", id(target)), functools.partial(_itself, target))

    def _add(self, key: tuple, look: Callable) -> None:
        if key not in self.checks:
            x = look()
            self.checks[key] = (look, x)
            contents(x, within=self._remembered)
            if isinstance(x, Module):
                self._module(x)

    def _function(self, f: types.FunctionType) -> None:
        """A function that runs: its closure, and its defaults, which may be replaced or hold what changes."""
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            if name != "__class__":
                self._add(("cell", id(cell), name), functools.partial(_in_cell, cell))
        for name in ("__defaults__", "__kwdefaults__"):
            if getattr(f, name):
                self._add(("defaults", id(f), name), functools.partial(getattr, f, name))

    def _method(self, owner, code: types.CodeType) -> None:
        """A method that runs: its function, and what its class gives to all objects."""
        if (type(owner), code) in self.looked:
            return
        self.looked.add((type(owner), code))
        for c in type(owner).__mro__:
            if not _is_users_class(c):
                continue
            for name, x in list(c.__dict__.items()):
                f = x.fget if isinstance(x, property) else getattr(x, "__func__", getattr(x, "func", x))
                if isinstance(f, types.FunctionType):
                    if f.__code__ is code:
                        self._function(f)
                elif not name.startswith("__"):
                    self._add(("class", id(c), name), functools.partial(c.__dict__.get, name))

    def _remembered(self, x) -> list | None:
        """What it held when it was first seen."""
        if id(x) not in self.held:
            self.held[id(x)] = inside(x)
        return self.held[id(x)]

    def knows(self, x) -> bool:
        """Whether an object that is no tensor was there before the function ran."""
        return (
            isinstance(x, types.BuiltinFunctionType)
            or id(x) in self.held
            or any(y is x for _, y in self.checks.values())
            or any(
                c is x
                for _, m in self.checks.values()
                if isinstance(m, Module) and isinstance(x, Module)
                for c in m.modules()
            )
        )

    def _names(self) -> set | None:
        """What the attributes are called that the functions read; None where their code does not tell."""
        if any(users and not _BY_NAME.isdisjoint(code.co_names) for code, users in self.codes.items()):
            return None
        return {name for code in self.codes for name in code.co_names}

    def _read(self, names: set | None) -> list:
        """What is looked at: attributes of classes only where a function asks for one of that name."""
        return [
            (key, look, x)
            for key, (look, x) in self.checks.items()
            if key[0] != "class" or names is None or key[-1] in names
        ]

    def own_attributes(self, arguments: Iterable) -> str | None:
        """An attribute that an argument was given by hand, if the function may read it."""
        names = self._names()
        for t in arguments:
            if isinstance(t, Value):
                found = (k for k in t.__dict__ if not k.startswith("_") and (names is None or k in names))
                if (name := next(found, None)) is not None:
                    return name
        return None

    def tensors(self) -> set[int]:
        """Ids of the tensors that the function can reach without being given them."""
        names, found = self._names(), set()

        def met(y) -> list | None:
            pairs = self._remembered(y)
            for attribute, k, v in pairs or ():
                if isinstance(v, Value) and (not attribute or names is None or k in names):
                    found.add(id(v))
            return pairs

        for key, _, x in self._read(names):
            if key[0] != "argument":
                found.update([id(x)] if isinstance(x, Value) else [])
                contents(x, names, met)
        for m in self.modules.values():
            found |= {id(t) for t in (*m._parameters.values(), *m._buffers.values())}
        return found

    def _module(self, m: Module) -> None:
        if id(m) not in self.modules:
            self.modules[id(m)] = m
            self.module_states[id(m)] = module_state(m)
            users = _is_users_class(type(m))
            for name, x in m.__dict__.items():  # settings that several modules share, for instance
                if name in _TABLES or (name.startswith("_") and not users):
                    continue
                if inside(x) and not _fixed(x):
                    self._add(("attribute", id(x), name), functools.partial(_itself, x))
            for child in m._modules.values():  # whose forward is never called
                if isinstance(child, _CONTAINERS):
                    self._module(child)

    def __enter__(self):
        self.random = random.getstate(), _numpy_state()
        self.profile = sys.getprofile()
        sys.setprofile(self._see)
        return self

    def __exit__(self, *exc):
        sys.setprofile(self.profile)

    def _see(self, frame, event, argument):
        if event == "c_call":
            if not getattr(argument, "__hash__", None):
                return
            what, file = _OUTSIDE.get(argument), frame.f_code.co_filename
            if what is not None and is_users(file):
                self.stop(f"{what} is used")
            what = _FROM_OUTSIDE.get(argument)
            if what is not None and _asked_by_user(frame):
                self.stop(f"{what} is used")
            return
        if event != "call":
            return
        code = frame.f_code
        users = is_users(code.co_filename)
        if code.co_argcount and (users or code.co_name == "forward"):
            owner = frame.f_locals.get(code.co_varnames[0])
            if users and not isinstance(owner, (Value, type)):
                self._method(owner, code)
            if isinstance(owner, Module):
                self._module(owner)
            elif users and code.co_varnames[0] == "self" and not isinstance(owner, (Value, Optimizer)):
                self._add(("self", id(owner)), functools.partial(_itself, owner))
        if code in self.codes or is_ours(code.co_filename):
            return
        self.codes[code] = users
        if not users:  # a package's: a property, for instance
            return
        if "param_groups" in code.co_names or "get_last_lr" in code.co_names:
            self.stop("an optimizer's settings are read or set in the function: do that outside, where they stay live")
        space = frame.f_globals
        for name in _global_names(code):
            x = space.get(name)
            if isinstance(x, types.ModuleType):
                self._package(x, code)
            elif name in space or not hasattr(builtins, name):
                self._add(("global", id(space), name), functools.partial(space.get, name))
        for name in _imported_names(code):
            if name in sys.modules:
                self._package(sys.modules[name], code)

    def _package(self, package: types.ModuleType, code: types.CodeType) -> None:
        """What code reads of a module of the user's (a file of settings, say)."""
        if not _is_users_module(package):
            return
        for name in code.co_names:
            x = package.__dict__.get(name)
            if isinstance(x, types.ModuleType):
                if x is not package and ("package", id(x), id(code)) not in self.looked:
                    self.looked.add(("package", id(x), id(code)))
                    self._package(x, code)
            elif name in package.__dict__:
                self._add(("global", id(package.__dict__), name), functools.partial(package.__dict__.get, name))

    # --- afterwards -----------------------------------------------------------------------------------------------------------

    def changed(self) -> str | None:
        """What the function itself changed, in words."""
        names = self._names()
        beyond: list[str] = []
        for key, look, x in self._read(names):
            if iterates(x, names, self._remembered):
                return "an iterator from outside takes part, whose next item a replay would not ask for"
            if contents(look(), names) != contents(x, names, self._remembered, beyond):
                return f"the function changes {_WORDS.get(key[0]) or repr(key[-1])}"
            if beyond:
                return f"it may read {beyond[0]} ({key[-1]!r}), which is too much to be compared before each call"
        for m in self.modules.values():
            if module_state(m) != self.module_states[id(m)]:
                return f"an attribute of {type(m).__name__} is set in the function"
        if self.random != (random.getstate(), _numpy_state()):
            return "random numbers of Python or NumPy are drawn, which a replay would repeat"
        if any(any(module_state(m)[1]) for m in self.modules.values()):
            return "a module has hooks"
        return None

    def guards(self) -> Guards:
        names = self._names()
        checks = [(look, contents(look(), names)) for _, look, _ in self._read(names)]
        alive = [[x for _, x in self.checks.values()], self.held]
        return Guards(checks, names, list(self.modules.values()), list(self.module_states.values()), alive)


_WORDS = {"self": "attributes of self", "argument": "an argument"}


def _asked_by_user(frame) -> bool:
    """Whether the way from the user's code to here goes through packages alone, and not through mlkit."""
    while frame is not None and not is_users(frame.f_code.co_filename):
        if is_ours(frame.f_code.co_filename):
            return False
        frame = frame.f_back
    return frame is not None


def _itself(x):
    return x


def _fixed(x) -> bool:
    """Whether nothing in it can change."""
    return isinstance(x, tuple) and all(isinstance(i, _PLAIN) for i in x)


def _in_cell(cell):
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _numpy_state():
    state = np.random.get_state(legacy=False)
    return str(state["state"]) if not isinstance(state, tuple) else str(state)


class Guards:
    """The same looked at again, before each replay."""

    def __init__(self, checks: list, names: set | None, watched: list[Module], states: list, alive: list):
        self.checks, self.names, self.modules, self.states, self.alive = checks, names, watched, states, alive
        self.count = modules.changes[0]
        self.written = 0  # how often ``unchanged`` was
        self.unchanged = self._unchanged()

    def _unchanged(self) -> Callable[[], bool]:
        self.written += 1
        return _Same(self.names).function([look for look, _ in self.checks])

    def holds(self) -> bool:
        if self.checks and not self._same():
            return False
        if self.count != modules.changes[0]:
            for m, was in zip(self.modules, self.states, strict=True):
                if module_state(m) != was:
                    return False
            self.count = modules.changes[0]
        return True

    def _same(self) -> bool:
        """Whether each thing is the same object, as nearly always; or, where one is not, equal to what was there."""
        try:
            if self.unchanged():
                return True
        except (KeyError, AttributeError, ValueError):  # something is not there any more
            pass
        for look, was in self.checks:
            if contents(look(), self.names) != was:
                return False
        if self.written < _REWRITES:
            self.unchanged = self._unchanged()
        return True


#: so often a function that compares objects is written anew for others that are equal
_REWRITES = 4


class _Same:
    """Writes a function that says whether everything that can be reached is still the same objects: what ``contents`` looks at,
    in a fraction of its time, since what is held by what is known when it is written."""

    def __init__(self, names: set | None):
        self.names = names
        self.scope: dict[str, Any] = {"same": operator.is_}
        self.conditions: list[str] = []

    def function(self, looks: list[Callable]) -> Callable[[], bool]:
        met, level = set(), []
        for look in looks:
            x = look()
            if not _stays(look):
                self.conditions.append(f"{self._look(look)} is {self._call(x)}")
            level.append(x)
        while level:
            deeper: list = []
            for x in level:
                if id(x) not in met and not isinstance(x, _NOT_INSIDE):
                    met.add(id(x))
                    deeper += self._held(x)
            level = deeper
        lines = [f"    if not ({c}): return False" for c in dict.fromkeys(self.conditions)]
        source = "\n".join(["def unchanged():", *lines, "    return True"])
        exec(compile(source, "<mlkit guards>", "exec"), self.scope)  # noqa: S102 - our own text
        return self.scope["unchanged"]

    def _call(self, x) -> str:
        """The name of an object in the function's text."""
        name = f"x{len(self.scope)}"
        self.scope[name] = x
        return name

    def _look(self, look: Callable) -> str:
        if isinstance(look, functools.partial) and look.func is _in_cell:
            return f"{self._call(look.args[0])}.cell_contents"
        return f"{self._call(look)}()"

    def _entries(self, table, names: Iterable) -> list:
        """Compare a dict's (or a class's) values of these names, and how many it has."""
        called = self._call(table)
        self.conditions.append(f"len({called}) == {len(table)}")
        found = []
        for name in names:
            self.conditions.append(f"{called}[{name!r}] is {self._call(table[name])}")
            found.append(table[name])
        return found

    def _attributes(self, table) -> list:
        names = self.names
        read = [k for k in table if isinstance(k, str) and (names is None or k in names) and not k.startswith("__")]
        return self._entries(table, read)

    def _class(self, kind: type) -> list:
        return [x for c in kind.__mro__[:-1] if _is_users_class(c) for x in self._attributes(c.__dict__)]

    def _each(self, x, entries: str = "") -> None:
        called = self._call(x)
        then = self._call(tuple(getattr(x, entries)() if entries else x))
        given = f"{called}.{entries}()" if entries else called
        self.conditions.append(f"len({called}) == {len(x)} and all(map(same, {given}, {then}))")

    def _held(self, x) -> list:
        """Notes the conditions under which an object is what it was; gives what it holds."""
        if isinstance(x, (tuple, frozenset)):
            return list(x)
        if isinstance(x, (list, collections.deque)):
            self._each(x)
            return list(x)
        if isinstance(x, dict):
            self._each(x)
            self._each(x, "values")
            return list(x.values())
        if isinstance(x, type):
            return self._class(x)
        if isinstance(x, types.FunctionType):
            if not is_users(x.__code__.co_filename):
                return []
            called = self._call(x)
            held = [x.__defaults__, x.__kwdefaults__]
            for name, value in zip(("__defaults__", "__kwdefaults__"), held):
                self.conditions.append(f"{called}.{name} is {self._call(value)}")
            for cell in x.__closure__ or ():
                value = _in_cell(cell)
                held.append(value)
                self.conditions.append(f"{self._call(cell)}.cell_contents is {self._call(value)}")
            return [*held, *self._attributes(x.__dict__)]
        if isinstance(x, (types.MethodType, functools.partial, property, staticmethod, classmethod)):
            return [v for _, _, v in inside(x) or ()]
        if type(getattr(x, "__dict__", None)) is dict and not isinstance(x, (set, np.ndarray, *_STREAMS)):
            self.conditions.append(f"{self._call(x)}.__class__ is {self._call(type(x))}")
            return [*self._class(type(x)), *self._attributes(x.__dict__)]
        # by their values: sets, arrays, random streams, objects with slots
        self.conditions.append(f"{self._call(contents)}({self._call(x)}, {self._call(self.names)}) == "
                               f"{self._call(contents(x, self.names))}")  # fmt: skip
        return []


def _stays(look: Callable) -> bool:
    """Whether it gives the same object each time."""
    return isinstance(look, functools.partial) and look.func is _itself
