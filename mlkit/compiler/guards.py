"""What a recording took for granted in Python: global names, closures, attributes, modules' flags.

While a function is recorded, a ``Watch`` sees each Python function that runs. What those functions can read (their
globals, the recorded function's closure, the attributes of ``self``) is written down before they do; what of it differs
afterwards was changed by the function, which a replay would not repeat. Before each replay ``holds`` compares again.
"""

from __future__ import annotations

import builtins
import functools
import random
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.core.frames import is_users
from mlkit.core.value import Value
from mlkit.nn import module as modules
from mlkit.nn.module import Module
from mlkit.optim.lr_scheduler.base import LRScheduler
from mlkit.optim.optimizer import Optimizer

_PLAIN = (int, float, bool, str, bytes, complex, type(None))
#: functions of C whose effect or answer a replay would miss
_OUTSIDE = {
    builtins.print: "print()",
    builtins.input: "input()",
    builtins.open: "open()",
    time.time: "the clock",
    time.perf_counter: "the clock",
    time.monotonic: "the clock",
    time.sleep: "time.sleep()",
}
_LIMIT = 200  # how many entries of a list or attributes of an object are compared


#: what changes by itself and stays live (tensors, optimizers), is watched in its own way (modules), or is code
_LOOKED_AT_ELSEWHERE = (
    Value,
    Module,
    Optimizer,
    LRScheduler,
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
)


def seen(x) -> Any:
    """A number or text as itself (with its type); anything else by identity."""
    return (x.__class__, x) if isinstance(x, _PLAIN) else (x.__class__, id(x))


def contents(x) -> Any:
    """What of an object a function may depend on: itself, and one level of what is inside."""
    if isinstance(x, _PLAIN):
        return seen(x)
    if isinstance(x, _LOOKED_AT_ELSEWHERE):
        return id(x)
    if isinstance(x, (list, tuple, set, frozenset)):
        inside = tuple(seen(i) for i in x) if len(x) <= _LIMIT and not isinstance(x, (set, frozenset)) else ()
        return id(x), len(x), inside
    if isinstance(x, dict):
        return id(x), len(x), tuple((k, seen(i)) for k, i in x.items()) if len(x) <= _LIMIT else ()
    attributes = getattr(x, "__dict__", None)
    if isinstance(attributes, dict) and len(attributes) <= _LIMIT and not isinstance(x, types.MethodType):
        return id(x), tuple(
            (k, seen(i), len(i) if isinstance(i, (list, dict, set)) else 0) for k, i in attributes.items()
        )
    return id(x)


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def module_state(m: Module) -> Any:
    """A module's own flags, numbers, parameters and hooks (not its children's)."""
    parts = m.__dict__
    own = [(k, seen(v)) for k, v in parts.items() if not k.startswith("_") or isinstance(v, _PLAIN)]
    own += [(k, id(v)) for table in ("_parameters", "_buffers", "_modules") for k, v in parts[table].items()]
    return own, [len(parts[h]) for h in _HOOKS]


def held(x) -> list:
    """What ``contents`` tells by identity: kept alive, so that no new object gets the same."""
    if isinstance(x, (list, tuple, set, frozenset)):
        return [x, *x]
    if isinstance(x, dict):
        return [x, *x.values()]
    inside = getattr(x, "__dict__", None)
    return [x, *inside.values()] if isinstance(inside, dict) and not isinstance(x, (type, Value)) else [x]


class Watch:
    """Sees the Python functions that run while a function is recorded."""

    def __init__(self, fn: Callable, stop: Callable[[str], None]):
        self.stop = stop
        self.codes: set = set()
        self.checks: dict[tuple, tuple[Callable, Any]] = {}  # what is looked at -> (how to look, what was seen)
        self.alive: list = []
        self.modules: dict[int, Module] = {}
        self.module_states: dict[int, Any] = {}
        target = fn.forward if isinstance(fn, Module) else fn
        while isinstance(target, types.MethodType):
            if not isinstance(target.__self__, Module):
                self._add(("self", id(target.__self__)), functools.partial(_itself, target.__self__))
            target = target.__func__
        names = getattr(getattr(target, "__code__", None), "co_freevars", ())
        for name, cell in zip(names, getattr(target, "__closure__", None) or (), strict=False):
            self._add(("cell", name), functools.partial(_in_cell, cell))

    def _add(self, key: tuple, look: Callable) -> None:
        if key not in self.checks:
            x = look()
            self.alive += held(x)
            self.checks[key] = (look, contents(x))
            if isinstance(x, Module):
                self._module(x)

    def _module(self, m: Module) -> None:
        if id(m) not in self.modules:
            self.modules[id(m)] = m
            self.module_states[id(m)] = module_state(m)

    def __enter__(self):
        self.random = random.getstate(), _numpy_state()
        self.before = sys.getprofile()
        sys.setprofile(self._see)
        return self

    def __exit__(self, *exc):
        sys.setprofile(self.before)

    def _see(self, frame, event, argument):
        if event == "c_call":
            what = _OUTSIDE.get(argument) if getattr(argument, "__hash__", None) else None
            if what is not None and is_users(frame.f_code.co_filename):
                self.stop(f"{what} is used")
            return
        if event != "call":
            return
        code = frame.f_code
        users = is_users(code.co_filename)
        if code.co_argcount and (users or code.co_name == "forward"):
            owner = frame.f_locals.get(code.co_varnames[0])
            if isinstance(owner, Module):
                self._module(owner)
            elif users and code.co_varnames[0] == "self" and not isinstance(owner, (Value, Optimizer)):
                self._add(("self", id(owner)), functools.partial(_itself, owner))
        if not users or code in self.codes:
            return
        self.codes.add(code)
        if "param_groups" in code.co_names or "get_last_lr" in code.co_names:
            self.stop("an optimizer's settings are read or set in the function: do that outside, where they stay live")
        space = frame.f_globals
        for name in code.co_names:
            if name in space:
                x = space[name]
                if isinstance(x, (types.ModuleType, type)):
                    continue
                self._add(("global", id(space), name), functools.partial(space.get, name))

    # --- afterwards -----------------------------------------------------------------------------------------------------------

    def changed(self) -> str | None:
        """What the function itself changed, in words."""
        for key, (look, was) in self.checks.items():
            if contents(look()) != was:
                return (
                    f"the function changes {key[-1]!r}"
                    if key[0] != "self"
                    else "the function changes attributes of self"
                )
        for m in self.modules.values():
            if module_state(m) != self.module_states[id(m)]:
                return f"an attribute of {type(m).__name__} is set in the function"
        if self.random != (random.getstate(), _numpy_state()):
            return "random numbers of Python or NumPy are drawn, which a replay would repeat"
        if any(any(module_state(m)[1]) for m in self.modules.values()):
            return "a module has hooks"
        return None

    def guards(self) -> Guards:
        return Guards(
            list(self.checks.values()), list(self.modules.values()), list(self.module_states.values()), self.alive
        )


def _itself(x):
    return x


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

    def __init__(self, checks: list, watched: list[Module], states: list, alive: list):
        self.checks, self.modules, self.states, self.alive = checks, watched, states, alive
        self.count = modules.changes[0]

    def holds(self) -> bool:
        for look, was in self.checks:
            if contents(look()) != was:
                return False
        if self.count != modules.changes[0]:
            for m, was in zip(self.modules, self.states, strict=True):
                if module_state(m) != was:
                    return False
            self.count = modules.changes[0]
        return True
