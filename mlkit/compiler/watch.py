"""What a recording took for granted in Python: global names, closures, attributes, modules' flags.

While a function is recorded, a ``Watch`` sees each Python function that runs. What those functions can read (their
globals, the recorded function's closure, the attributes of ``self``) is written down before they do; what of it differs
afterwards was changed by the function, which a replay would not repeat. Before each replay ``Guards`` compare again.
"""

from __future__ import annotations

import builtins
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
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mlkit.compiler.contents import (
    BY_NAME,
    CONTAINERS,
    PLAIN,
    TABLES,
    contents,
    in_cell,
    inside,
    is_users_class,
    is_users_module,
    iterates,
    itself,
    module_state,
)
from mlkit.compiler.guards import Guards
from mlkit.core.frames import is_ours, is_users
from mlkit.core.value import Value
from mlkit.nn.module import Module
from mlkit.optim.optimizer import Optimizer

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


@functools.lru_cache(maxsize=1000)
def _global_names(code: types.CodeType) -> tuple[str, ...]:
    """The global names that code reads or sets, which ``co_names`` mixes with attributes."""
    asked = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL")
    return tuple({i.argval: None for i in dis.get_instructions(code) if i.opname in asked})


@functools.lru_cache(maxsize=1000)
def _imported_names(code: types.CodeType) -> tuple[str, ...]:
    return tuple({i.argval: None for i in dis.get_instructions(code) if i.opname == "IMPORT_NAME"})


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
            self._add(("arguments", id(target), "arguments of partial"), functools.partial(itself, target))
            target = target.func
        while isinstance(target, types.MethodType):
            if not isinstance(target.__self__, Module):
                self._add(("self", id(target.__self__)), functools.partial(itself, target.__self__))
            target = target.__func__
        for x in arguments:
            if not isinstance(x, PLAIN):
                self._add(("argument", id(x)), functools.partial(itself, x))
        if isinstance(target, types.FunctionType):
            self._function(target)
        elif not isinstance(target, types.BuiltinFunctionType):
            self._add(("self", id(target)), functools.partial(itself, target))

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
                self._add(("cell", id(cell), name), functools.partial(in_cell, cell))
        for name in ("__defaults__", "__kwdefaults__"):
            if getattr(f, name):
                self._add(("defaults", id(f), name), functools.partial(getattr, f, name))

    def _method(self, owner, code: types.CodeType) -> None:
        """A method that runs: its function, and what its class gives to all objects."""
        if (type(owner), code) in self.looked:
            return
        self.looked.add((type(owner), code))
        for c in type(owner).__mro__:
            if not is_users_class(c):
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
        if any(users and not BY_NAME.isdisjoint(code.co_names) for code, users in self.codes.items()):
            return None
        if any(isinstance(x, operator.attrgetter) for _, x in self.checks.values()):
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
            users = is_users_class(type(m))
            for name, x in m.__dict__.items():  # settings that several modules share, for instance
                if name in TABLES or (name.startswith("_") and not users):
                    continue
                if inside(x) and not _fixed(x):
                    self._add(("attribute", id(x), name), functools.partial(itself, x))
            for child in m._modules.values():  # whose forward is never called
                if isinstance(child, CONTAINERS):
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
                self._add(("self", id(owner)), functools.partial(itself, owner))
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
        if not {"environ", "getenv"}.isdisjoint(code.co_names):
            self._add(("global", id(os.environ), "os.environ"), functools.partial(getattr, os.environ, "_data"))
        for name in _imported_names(code):
            if name in sys.modules:
                self._package(sys.modules[name], code)

    def _package(self, package: types.ModuleType, code: types.CodeType) -> None:
        """What code reads of a module of the user's (a file of settings, say)."""
        if not is_users_module(package):
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


def _fixed(x) -> bool:
    """Whether nothing in it can change."""
    return isinstance(x, tuple) and all(isinstance(i, PLAIN) for i in x)


def _numpy_state():
    state = np.random.get_state(legacy=False)
    return str(state["state"]) if not isinstance(state, tuple) else str(state)
