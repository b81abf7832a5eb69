"""CuPy as the op rules see it: its functions, with those replaced that a graph cannot capture.

While a graph is captured nothing may go between host and GPU. Numbers of the host (the places that a resize reads, say)
are then sent beside the capture, once, and stay where the graph finds them; functions that ask the GPU for a number in
between do without. Outside a capture everything is CuPy's own.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import types

import numpy as np


class _Capture(threading.local):
    #: what was sent while this thread captures a graph; None when it does not
    sent: list | None = None


_capture = _Capture()


@contextlib.contextmanager
def capturing(sent: list):
    """Inside, what comes from the host is put into ``sent``, which must live as long as the graph."""
    _capture.sent = sent
    try:
        yield
    finally:
        _capture.sent = None


def is_capturing() -> bool:
    """Whether this thread captures a graph now."""
    return _capture.sent is not None


def make(cupy) -> types.ModuleType:
    """A module with CuPy's names."""
    made = types.ModuleType("cupy")
    made.__dict__.update({k: v for k, v in vars(cupy).items() if not k.startswith("__")})
    made.__getattr__ = lambda name: getattr(cupy, name)  # type: ignore[method-assign]

    def asarray(x, dtype=None, **how):
        if _capture.sent is None or isinstance(x, cupy.ndarray):
            return cupy.asarray(x, dtype, **how)
        with cupy.cuda.Stream.null, cupy.cuda.using_allocator(cupy.get_default_memory_pool().malloc):
            found = cupy.asarray(x, dtype, **how)
        _capture.sent.append(found)
        return found

    def array(x, dtype=None, **how):
        if _capture.sent is None or isinstance(x, cupy.ndarray):
            return cupy.array(x, dtype, **how)
        return asarray(x, dtype)

    def concatenate(arrays, axis=0, **how):
        arrays = list(arrays)
        if _capture.sent is None or how or axis is None or len({x.dtype for x in arrays}) > 1:
            return cupy.concatenate(arrays, axis, **how)
        axis %= arrays[0].ndim
        shape = list(arrays[0].shape)
        shape[axis] = sum(x.shape[axis] for x in arrays)
        out, start = cupy.empty(shape, arrays[0].dtype), 0
        for x in arrays:
            out[(slice(None),) * axis + (slice(start, start + x.shape[axis]),)] = x
            start += x.shape[axis]
        return out

    def stack(arrays, axis=0, **how):
        if _capture.sent is None or how:
            return cupy.stack(arrays, axis, **how)
        return concatenate([cupy.expand_dims(x, axis) for x in arrays], axis)

    def bincount(x, weights=None, minlength=None):
        if _capture.sent is None or weights is None or not minlength:
            return cupy.bincount(x, weights, minlength)
        out = cupy.zeros(minlength, np.float64)
        cupy.add.at(out, x, weights.astype(np.float64))
        return out

    def wide(name: str, same: bool):
        """The function on bfloat16 by way of float32, which holds each of its numbers."""
        own = getattr(cupy, name)

        @functools.wraps(own)
        def call(x, *args, **how):
            if x.dtype.name != "bfloat16":
                return own(x, *args, **how)
            how.pop("dtype", None)
            found = own(x.astype(np.float32), *args, **how)
            return found.astype(x.dtype) if same else found

        return call

    for name in ("cumsum", "cumprod", "sort", "round"):
        setattr(made, name, wide(name, True))
    made.argsort = wide("argsort", False)  # type: ignore[attr-defined]
    for function in (asarray, array, concatenate, stack, bincount):
        setattr(made, function.__name__, function)
    return made
