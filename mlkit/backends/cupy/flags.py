"""Bad labels and indices found by kernels: noted in memory that GPU and host share, reported when the two next meet.

Asking the GPU after every op whether all labels were right would hold up the program until the GPU has caught up. So a
kernel that finds a bad one writes it, with the number of its call, into a page of host memory; ``check`` is called
wherever the host waits for the GPU anyway (item(), numpy(), synchronize()) and reads that page, which costs nothing. The
bad place itself gives zero (a loss of NaN), never memory that is not its own.
"""

from __future__ import annotations

import collections
import sys
import weakref
from typing import Any

import numpy as np

from mlkit.core.errors import LabelError, MlkitError
from mlkit.core.frames import place_text, user_place

#: how a kernel reports: the first bad value stays
SOURCE = r"""
__device__ __forceinline__ void report(i64* flag, i64 call, i64 value, i64 size) {
    if (atomicCAS((u64*)flag, 0ULL, (u64)call) == 0ULL) { flag[1] = value; flag[2] = size; __threadfence_system(); }
}
"""

#: calls whose words are kept; an older one is reported without them
KEPT = 4096


class Flags:
    """The page of one process, and what is known of the calls that may write to it."""

    def __init__(self, xp) -> None:
        self._memory = xp.cuda.alloc_pinned_memory(24)
        self.page = np.frombuffer(self._memory, np.int64, 3)
        self.page[:] = 0
        #: the page's address, the same for the GPU
        self.address = np.int64(self._memory.ptr)
        self.number = 0
        self.calls: collections.OrderedDict[int, tuple] = collections.OrderedDict()

    def call(self, op: str, kind: type[MlkitError]) -> np.int64:
        """A number for a call that is about to be sent, with where it is made."""
        self.number += 1
        self.calls[self.number] = (op, kind, user_place(), _modules())
        if len(self.calls) > KEPT:
            self.calls.popitem(last=False)
        return np.int64(self.number)

    def check(self) -> None:
        """Raise what a kernel has reported. For when the GPU has finished."""
        if not self.page[0]:
            return
        number, value, size = (int(n) for n in self.page)
        self.page[:] = 0
        op, kind, place, modules = self.calls.get(number, ("an op", LabelError, None, []))
        details = [f"found by the GPU, reported when its results were asked for: {op}"]
        if place is not None:
            details.append(f"called at {place_text(place)}")
        if modules:
            details.append(f"in {_path(modules)}")
        if kind is LabelError:
            sentence = f"Target {value} is out of bounds: the model's output has {size} classes, so labels are 0 .. {size - 1}."
            hint = "Labels count from 0: subtract 1." if value == size else None
        else:
            sentence = f"{op}: index {value} is out of bounds: it must be in 0 .. {size - 1}."
            hint = None
        raise kind(sentence, "\n".join(details), hint)


def _modules() -> list[weakref.ref]:
    """The modules whose forward is running, the innermost first."""
    called = sys.modules.get("mlkit.nn.module")
    if called is None:
        return []
    code, found = called.Module.__call__.__code__, []
    frame: Any = sys._getframe(2)
    while frame is not None:
        if frame.f_code is code:
            found.append(weakref.ref(frame.f_locals["self"]))
        frame = frame.f_back
    return found


def _path(modules: list[weakref.ref]) -> str:
    inner, outer = modules[0](), modules[-1]()
    if inner is None or outer is None:
        return "a module that is gone"
    path = next((path for path, m in outer.named_modules() if m is inner), "")
    return f"module {path} ({type(inner).__name__}) of {type(outer).__name__}" if path else type(inner).__name__
