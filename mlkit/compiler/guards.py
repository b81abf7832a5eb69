"""Whether what a recording took for granted in Python (see ``watch.py``) is still so: looked at before each replay."""

from __future__ import annotations

import collections
import functools
import operator
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mlkit.compiler.contents import NOT_INSIDE, STREAMS, contents, in_cell, inside, is_users_class, itself, module_state
from mlkit.core.frames import is_users
from mlkit.nn import module as modules
from mlkit.nn.module import Module


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
                if id(x) not in met and not isinstance(x, NOT_INSIDE):
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
        if isinstance(look, functools.partial) and look.func is in_cell:
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
        return [x for c in kind.__mro__[:-1] if is_users_class(c) for x in self._attributes(c.__dict__)]

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
                value = in_cell(cell)
                held.append(value)
                self.conditions.append(f"{self._call(cell)}.cell_contents is {self._call(value)}")
            return [*held, *self._attributes(x.__dict__)]
        if isinstance(x, (types.MethodType, functools.partial, property, staticmethod, classmethod)):
            return [v for _, _, v in inside(x) or ()]
        if type(getattr(x, "__dict__", None)) is dict and not isinstance(x, (set, np.ndarray, *STREAMS)):
            self.conditions.append(f"{self._call(x)}.__class__ is {self._call(type(x))}")
            return [*self._class(type(x)), *self._attributes(x.__dict__)]
        # by their values: sets, arrays, random streams, objects with slots
        self.conditions.append(f"{self._call(contents)}({self._call(x)}, {self._call(self.names)}) == "
                               f"{self._call(contents(x, self.names))}")  # fmt: skip
        return []


def _stays(look: Callable) -> bool:
    """Whether it gives the same object each time."""
    return isinstance(look, functools.partial) and look.func is itself
