"""detect_anomaly: find the first NaN or Inf, forward or backward, and give places their module's path."""

from __future__ import annotations

import math
import threading
import weakref
from typing import Any

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import events, value
from mlkit.core.dispatch import Output
from mlkit.core.errors import MlkitError
from mlkit.core.frames import place_text, user_place
from mlkit.core.value import Leaf, LevelArray, MetaArray, Value


class AnomalyError(MlkitError, RuntimeError):
    """The first NaN or Inf. ``operands`` are the (name, tensor) that went in, for a display."""

    operands: list = []
    names_line = False  # its details say it


def _lazy(tensor: Value) -> bool:
    """Whether it has no numbers of its own to show (inside vmap and other transforms)."""
    return isinstance(tensor._array, (LevelArray, MetaArray))


class _Mode:
    """What listens while anomaly detection is on (in the whole program, as in PyTorch)."""

    def __init__(self):
        self.depth = 0
        self.check_nan = True
        self.check_inf = True
        self.stops: list = []
        self.local = threading.local()
        self.roots: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # root module -> {id(module): path}

    @property
    def modules(self) -> list[tuple[Any, str]]:
        """The module calls this thread is in, with their paths."""
        if not hasattr(self.local, "modules"):
            self.local.modules = []
        return self.local.modules

    def switch(self, on: bool) -> None:
        if on and not self.stops:
            self.stops = [
                events.subscribe("op", self.op),
                events.subscribe("backward_node", self.backward_node),
                events.subscribe("module_enter", self.enter),
                events.subscribe("module_exit", self.leave),
            ]
        elif not on and self.stops:
            for stop in self.stops:
                stop()
            self.stops = []
            self.modules.clear()

    # --- where we are ----------------------------------------------------------------------------------------------------

    def enter(self, module, args, kwargs) -> None:
        if not self.modules:
            paths = self.roots.get(module)
            if paths is None:
                paths = self.roots[module] = {id(m): path for path, m in module.named_modules()}
            self.modules.append((paths, type(module).__name__))
            return
        (paths, root), (_, outer) = self.modules[0], self.modules[-1]
        path, kind = paths.get(id(module)), type(module).__name__
        self.modules.append((paths, f"{path} ({kind}) of {root}" if path else f"{kind}, called in {outer}"))

    def leave(self, module, output) -> None:
        if self.modules:
            self.modules.pop()

    def place(self) -> tuple | None:
        found = user_place()
        return None if found is None else (*found, self.modules[-1][1] if self.modules else "")

    # --- what happens -------------------------------------------------------------------------------------------------------

    def op(self, op, operands, attributes, outputs) -> None:
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        node = next((o._node for o in outputs if o._node is not None and o._node.__class__ is not Leaf), None)
        if node is not None:
            node = node.inputs[0] if node.__class__ is Output else node
            if self.modules:
                value.node_modules[node] = self.modules[-1][1]
        if not self.check_nan:
            return
        for number, out in enumerate(outputs):
            kind = _trouble(out._array, self.check_inf)
            if kind and _born_here(kind, operands, attributes):
                raise self._found(kind, op, operands, attributes, out, number)

    def _found(self, kind, op, operands, attributes, out, number) -> AnomalyError:
        names = [f"tensors[{i}]" for i in range(len(operands))] if op.variadic else op.inputs
        facts = [f"op: {op.name}" + (f", output {number}" if number else "")]
        place = self.place()
        if place is not None:
            facts.append(f"line: {place_text(place[:3])}")
        if self.modules:
            facts.append(f"module: {self.modules[-1][1]}")
        facts += [
            f"{name}: {statistics(t._array) if isinstance(t, Value) else repr(t)}"
            for name, t in zip(names, operands, strict=False)
            if t is not None
        ]
        facts += [f"{key}: {v!r}" for key, v in attributes.items() if isinstance(v, (int, float))]
        facts.append(f"result: {statistics(out._array)}")
        hint = None
        if kind == "inf":
            hint = "If infinities are meant here, use detect_anomaly(check_inf=False)."
        error = AnomalyError(
            f"{op.name} returned the first {'NaN' if kind == 'nan' else 'Inf'}.", "\n".join(facts), hint
        )
        error.operands = [
            (name, t.detach())
            for name, t in zip(names, operands, strict=False)
            if isinstance(t, Value) and not _lazy(t)
        ]
        return error

    def backward_node(self, node, results) -> None:
        if not self.check_nan:
            return
        for i, r in enumerate(results):
            if r is None:
                continue
            kind = _trouble(r._array if isinstance(r, Value) else r, self.check_inf)
            if kind:
                facts = []
                if node.where:
                    facts.append(f"made at: {place_text(node.where)}")
                facts += [f"kept: {statistics(k._array)}" for k in node.saved or () if isinstance(k, Value)]
                facts.append(f"result: {statistics(r._array if isinstance(r, Value) else r)}")
                raise AnomalyError(
                    f"Function '{node.name()}' returned {kind} values in its {i}th output.",
                    "\n".join(facts),
                    "If infinities are meant here, use detect_anomaly(check_inf=False)." if kind == "inf" else None,
                )


def _plain(array):
    while isinstance(array, LevelArray):
        array = array.inner._array
    return array


def _trouble(array, check_inf: bool) -> str | None:
    """ "nan", "inf" or None: what is in the array."""
    array = _plain(array)
    if array.__class__ is MetaArray or array.dtype.kind not in "fcV":
        return None
    xp = backends.for_array(array).m.xp
    if not array.size or bool(xp.isfinite(array).all()):
        return None
    if bool(xp.isnan(array).any()):
        return "nan"
    return "inf" if check_inf else None


def _born_here(kind: str, operands, attributes: dict) -> bool:
    """Whether an op made the trouble itself: its inputs had none of this kind, and no attribute asked for it."""
    for a in attributes.values():
        if isinstance(a, float) and not math.isfinite(a):
            return False
    for t in operands:
        if isinstance(t, Value):
            had = _trouble(t._array, True)
            if had == "nan" or (had and kind == "inf"):
                return False
        elif isinstance(t, float) and (math.isnan(t) or (kind == "inf" and math.isinf(t))):
            return False
    return True


def statistics(array) -> str:
    """Shape, dtype, range and how many values are not finite, in one line."""
    array = _plain(array)
    text = f"{tuple(array.shape)} {array.dtype}"
    if array.__class__ is MetaArray or not array.size:
        return text
    numbers = backends.for_array(array).to_numpy(array)
    if numbers.dtype.kind not in "fV":
        numbers = np.abs(numbers) if numbers.dtype.kind == "c" else numbers
        text += ", magnitudes" if array.dtype.kind == "c" else ""
    numbers = numbers.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if finite.size:
        text += f", min {finite.min():.4g}, mean {finite.mean():.4g}, max {finite.max():.4g}"
    for name, test in (("NaN", np.isnan), ("Inf", np.isinf)):
        count = int(test(numbers).sum())
        if count:
            text += f", {count} {name}"
    return text


_mode = _Mode()


class set_detect_anomaly:  # noqa: N801 - PyTorch's name
    """Switch anomaly detection on or off, at once; in a ``with`` block it is put back at the end.

    Args:
        mode: on or off.
        check_nan: raise at the first NaN or Inf; with False only the paths of modules are remembered, for later errors.
        check_inf: with False infinities are let through.
    """

    def __init__(self, mode: bool, check_nan: bool = True, *, check_inf: bool = True):
        self.before = (bool(_mode.stops), _mode.check_nan, _mode.check_inf)
        _mode.check_nan, _mode.check_inf = check_nan, check_inf
        _mode.switch(mode)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc) -> None:
        on, _mode.check_nan, _mode.check_inf = self.before
        _mode.switch(on)


class detect_anomaly:  # noqa: N801 - PyTorch's name
    """Inside, the first NaN or Inf raises where it is made, in forward or backward, and lines come with their module.

    The error says the op, the line of your program, the path of the module, and the statistics of what went in.
    Everything is slower: use it to find a fault, not to train.

    Args:
        check_nan: raise at the first NaN or Inf; with False only the paths of modules are remembered, for later errors.
        check_inf: with False infinities (of a mask, of log(0)) are let through.

    >>> import mlkit
    >>> x = mlkit.tensor([1.0, 0.0])
    >>> with mlkit.autograd.detect_anomaly():
    ...     y = x.log() * x
    Traceback (most recent call last):
    mlkit.autograd.anomaly_mode.AnomalyError: log returned the first Inf.
      op: log
      line: ...
    """

    def __init__(self, check_nan: bool = True, *, check_inf: bool = True):
        self.check_nan, self.check_inf = check_nan, check_inf

    def __enter__(self) -> None:
        self.inner = set_detect_anomaly(True, self.check_nan, check_inf=self.check_inf)

    def __exit__(self, *exc) -> None:
        self.inner.__exit__(*exc)


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return bool(_mode.stops)


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection raises at the first NaN or Inf."""
    return _mode.check_nan


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Switch the anomaly mode on or off until further notice."""
    set_detect_anomaly(enabled, check_nan)
