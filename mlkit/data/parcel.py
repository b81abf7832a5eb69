"""A dataset on its way to worker processes.

What is defined in the main module (a notebook's cell, a prompt, the script itself), lambdas and functions inside
functions are sent by value (cloudpickle), so that they work in a worker that has never run the notebook or the script.
"""

from __future__ import annotations

import contextlib
import functools
import io
import marshal
import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

from mlkit.core.errors import DataError

__all__ = ["before_work", "main_stays_out", "pack"]

#: Called (pickled by reference, without arguments) in each worker before anything of the user's is loaded there.
before_work: list[Callable[[], None]] = []

LARGE = 1 << 20
"""Bytes; a dataset's arrays from this size on are in memory that all its workers share."""

_lock = threading.RLock()


def pack(payload: tuple[Any, ...], large: list[pickle.PickleBuffer] | None = None) -> tuple[bytes, bool]:
    """The payload as bytes, and whether they can be read without the main module.

    Args:
        payload: What to send.
        large: Gets the memory of large arrays, which is then not in the bytes.

    Raises:
        DataError: It cannot be sent; the message says what in it, and what to do.
    """
    by_value = _by_value()
    found: list[pickle.PickleBuffer] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        """Whether it stays in the bytes."""
        try:
            if large is None or buffer.raw().nbytes < LARGE:
                return True
        except BufferError:  # it does not lie in one piece
            return True
        found.append(buffer)
        return False

    try:
        if by_value is not None:
            with contextlib.suppress(Exception):  # else in the ordinary way, or to say what does not work
                rest = io.BytesIO()
                by_value(rest, protocol=5, buffer_callback=keep).dump(payload)
                if large is not None:
                    large += found
                return pickle.dumps((list(before_work), rest.getvalue())), True
        found.clear()
        plain = pickle.dumps(payload, protocol=5, buffer_callback=keep)
        if large is not None:
            large += found
        return pickle.dumps((list(before_work), plain)), False
    except Exception as error:
        hint = "Open files, locks and connections in __getitem__ and not in __init__. Or use num_workers=0."
        if by_value is None:
            hint = (
                "Functions must be defined at the top of a module, not as lambda or inside a function, unless the "
                f"package cloudpickle is installed (pip install cloudpickle).\n{hint}"
            )
        raise DataError(
            "DataLoader: the dataset (or collate_fn, or worker_init_fn) cannot be sent to worker processes.",
            details=f"{_culprit(payload)}{type(error).__name__}: {error}",
            hint=hint,
        ) from error


def _by_value() -> Any:
    """The class that pickles functions by value; None where cloudpickle is not installed."""
    try:
        from cloudpickle import Pickler
    except ImportError:
        return None
    return _with_places(Pickler)


@functools.cache
def _with_places(pickler: type) -> type:
    class WithPlaces(pickler):  # type: ignore[misc, valid-type]
        """Code keeps the file it was written in, which cloudpickle 3.1.3 leaves out: errors name their line by it."""

        def reducer_override(self, obj):
            if isinstance(obj, types.CodeType):
                return marshal.loads, (marshal.dumps(obj),)
            return super().reducer_override(obj)

    return WithPlaces


@contextlib.contextmanager
def main_stays_out(wanted: bool) -> Iterator[None]:
    """Processes started inside do not run the main script again (which `multiprocessing` does by its file's name)."""
    main = sys.modules.get("__main__")
    if not wanted or main is None:
        yield
        return
    with _lock:
        kept: dict[str, Any] = {
            name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__
        }
        main.__dict__["__spec__"] = None
        try:
            yield
        finally:
            main.__dict__.update(kept)


def _culprit(payload: tuple[Any, ...]) -> str:
    """Which attribute of the dataset cannot be pickled, where that can be told."""
    names = ("dataset", None, None, None, None) if len(payload) == 5 else ()
    for part, name in zip(payload, names):
        for attribute, value in getattr(part, "__dict__", {}).items() if name else ():
            try:
                pickle.dumps(value)
            except Exception:
                return f"in {type(part).__qualname__}.{attribute} ({type(value).__qualname__}): "
    return ""
