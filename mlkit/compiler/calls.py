"""A compiled function: which recording a call uses, when it is recorded anew, and when it runs eagerly."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from mlkit.compiler.build import Eager, record_call
from mlkit.compiler.entry import Entry
from mlkit.compiler.recorder import Reason
from mlkit.compiler.settings import Settings
from mlkit.core import dtype as dtypes
from mlkit.core import events, value
from mlkit.core.dispatch import state
from mlkit.core.errors import MlkitError
from mlkit.core.value import LevelArray, MetaArray, Value
from mlkit.func import pytree
from mlkit.functional.placement import get_default_device
from mlkit.nn import module as nn_module
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter

#: while someone listens to these, functions run eagerly, so that every op and module is seen
_WATCHED = frozenset(("op", "module_enter", "module_exit"))
#: and these, in functions that may call backward: a module's forward does not
_BACKWARD = frozenset(("backward_start", "backward_node", "backward_end"))


class _Disabled(threading.local):
    depth = 0


disabled = _Disabled()
all_compiled: weakref.WeakSet = weakref.WeakSet()


class CompileError(MlkitError, RuntimeError):
    """``fullgraph=True``, and something cannot be recorded."""


class Compiled:
    """A compiled function; see ``compile``."""

    def __init__(self, fn: Callable, settings: Settings):
        self.fn = fn
        self.watched = _WATCHED if isinstance(fn, Module) else _WATCHED | _BACKWARD
        self.settings = settings
        self.entries: dict[Any, list[Entry]] = {}
        self.eager: dict[Any, Reason] = {}  # keys that run eagerly, and why
        self.lock = threading.RLock()
        self.name = getattr(fn, "__name__", None) or type(fn).__name__
        self.recordings = 0
        self.alive: list = []  # arguments that keys name by identity
        self.warned: set[str] = set()
        self.last: tuple | None = None  # the form of the one tensor of the last call, and its recording
        all_compiled.add(self)

    # --- calling ------------------------------------------------------------------------------------------------------

    def __call__(self, args: tuple, kwargs: dict):
        if (
            state.interpreters
            or disabled.depth
            or nn_module._before_all
            or nn_module._after_all
            or nn_module._before_all_backward
            or nn_module._after_all_backward
            or (events.listeners and not self.watched.isdisjoint(events.listeners))
            or state.saving
        ):
            return self.fn(*args, **kwargs)
        alone = args[0] if len(args) == 1 and not kwargs and args[0].__class__ is value.tensor_class else None
        if (
            alone is not None and self.last is not None
        ):  # what is called with one tensor is mostly called with such again
            grad, inference, standard, place, shape, dtype, strides, needs, entry = self.last
            array = alone._array
            if (
                array.__class__ is np.ndarray
                and array.shape == shape
                and array.dtype is dtype
                and array.strides == strides
                and (alone._node is not None) is needs
                and state.grad is grad
                and state.inference is inference
                and dtypes.get_default_dtype() is standard
                and get_default_device() is place
                and entry.holds([alone])
            ):
                return entry([alone])
        tensors: list[Value] = []
        key: tuple = (
            state.grad,
            state.inference,
            dtypes.get_default_dtype(),
            get_default_device(),
            key_of(args, tensors),
            key_of(kwargs, tensors) if kwargs else None,
        )
        if len(tensors) > 1 and len({id(t._array) for t in tensors}) < len(tensors):
            key = (*key, sharing(tensors))
        try:
            known = self.entries.get(key)
        except TypeError:
            return self._eagerly(None, Reason("an argument cannot be compared: it has no hash"), args, kwargs)
        if known is not None:
            for entry in known:
                if entry.holds(tensors):
                    if alone is not None and (array := alone._array).__class__ is np.ndarray:
                        form = array.shape, array.dtype, array.strides, alone._node is not None
                        self.last = (*key[:4], *form, entry)
                    return entry(tensors)
            if any(entry.differentiates and entry.hooked() for entry in known):
                return self.fn(*args, **kwargs)  # as long as the hook is there
        elif key in self.eager:
            return self.fn(*args, **kwargs)
        return self._record(key, tensors, args, kwargs)

    def _record(self, key, tensors: list[Value], args: tuple, kwargs: dict):
        with self.lock:
            for t in tensors:
                if isinstance(t._array, (LevelArray, MetaArray)):
                    return self._eagerly(key, Reason(f"an argument is on the {t.device} device"), args, kwargs)
            if len({t._array.__class__ for t in tensors}) > 1:
                return self._eagerly(key, Reason("the arguments are on two devices"), args, kwargs)
            if len({id(t) for t in tensors}) < len({id(t._array) for t in tensors}) or len(
                {id(t._array) for t in tensors}
            ) < len({id(t) for t in tensors}):
                return self._eagerly(key, Reason("two arguments share their memory"), args, kwargs)
            if self.recordings >= self.settings.limit:
                self._warn(
                    f"{self.name} was recorded {self.recordings} times, the limit: what is new runs eagerly. "
                    f"Last reason: {self._why_again(key)}. Fewer shapes help (pad, or drop the last batch), or "
                    "options={'recompile_limit': n}."
                )
                self.eager.setdefault(key, Reason("the limit of recordings is reached"))
                return self.fn(*args, **kwargs)
            self.recordings += 1
            unique = list({id(t): t for t in tensors}.values())
            try:
                entry, found = record_call(self.fn, self.name, unique, tensors, args, kwargs, self.settings)
            except Eager as stop:
                out = stop.result  # type: ignore[attr-defined]
                self.recordings -= 1
                self._note(key, stop.reason, pytree.flatten((args, kwargs))[0])
                return out
            self.alive += [
                x for x in pytree.flatten((args, kwargs))[0] if not isinstance(x, Value) or isinstance(x, Parameter)
            ]
            self.entries.setdefault(key, []).append(entry)
            return found

    def _why_again(self, key) -> str:
        return "another Python value or gradient state" if key in self.entries else "another shape, dtype or argument"

    def _note(self, key, reason: Reason, arguments: list) -> None:
        if self.settings.fullgraph:
            raise CompileError(
                f"{self.name} cannot be compiled whole: {reason.text}.",
                f"at: {reason.place}" if reason.place else None,
                "Move that outside the compiled function, or leave fullgraph=True out: it then runs eagerly.",
            )
        self.eager[key] = reason
        self.alive += [x for x in arguments if not isinstance(x, Value) or isinstance(x, Parameter)]
        where = f"\n  {reason.place}" if reason.place else ""
        self._warn(f"mlkit.compile: {self.name} runs eagerly: {reason.text}.{where}", str(reason))

    def _eagerly(self, key, reason: Reason, args: tuple, kwargs: dict):
        if key is not None:
            self._note(key, reason, pytree.flatten((args, kwargs))[0])
        else:
            self._warn(f"mlkit.compile: {self.name} runs eagerly: {reason.text}.", reason.text)
        return self.fn(*args, **kwargs)

    def _warn(self, text: str, once: str | None = None) -> None:
        once = text if once is None else once
        if once not in self.warned:
            self.warned.add(once)
            warnings.warn(text, UserWarning, stacklevel=5)

    def reset(self) -> None:
        with self.lock:
            self.entries.clear()
            self.eager.clear()
            self.alive.clear()
            self.warned.clear()
            self.last = None
            self.recordings = 0


def key_of(x, tensors: list[Value]):
    """What of an argument a recording depends on; its tensors go to the list."""
    if isinstance(x, Value):
        if isinstance(x, Parameter):
            return id(x)  # stays what it is, as a captured tensor
        tensors.append(x)
        array = x._array
        return (
            array.shape,
            array.dtype,
            getattr(array, "strides", None),
            x._node is not None,
            x.__class__,
            array.__class__,
        )
    if x.__class__ is tuple or x.__class__ is list:
        return (x.__class__, *[key_of(i, tensors) for i in x])
    if isinstance(x, dict):
        return (x.__class__, *[(k, key_of(i, tensors)) for k, i in x.items()])
    if isinstance(x, tuple):
        return (x.__class__, *[key_of(i, tensors) for i in x])
    if isinstance(x, float):
        return (float, x.hex() if x == x else "nan")  # -0.0 is not 0.0, NaN is NaN
    if isinstance(x, (int, bool, str, complex, bytes, type(None), dtypes.dtype, slice)):
        return (x.__class__, x if not isinstance(x, slice) else (x.start, x.stop, x.step))
    return (x.__class__, id(x))


def sharing(tensors: list[Value]) -> tuple:
    first: dict[int, int] = {}
    return tuple(first.setdefault(id(t._array), i) for i, t in enumerate(tensors))
