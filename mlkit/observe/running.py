"""Which trainings are going on, so that whoever looks at a model finds the run that its numbers belong to."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from mlkit.observe.recorder import Recorder

__all__ = ["note_training", "recorder_of", "training_ended"]

_running: weakref.WeakKeyDictionary[Any, tuple[weakref.ref[Any], Callable[[], Recorder]]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def note_training(token: Any, model: Any, recorder: Callable[[], Recorder]) -> None:
    """A loop trains `model` (anything with ``parameters()``) and reports to what `recorder` gives, until
    `training_ended` is called with the same token."""
    with _lock:
        _running[token] = (weakref.ref(model), recorder)


def training_ended(token: Any) -> None:
    """That loop is over."""
    with _lock:
        _running.pop(token, None)


def recorder_of(parameters: Iterable[int]) -> Recorder | None:
    """The recorder of the training that moves any of these parameters (given by their ids); None where there is none."""
    if not _running:
        return None
    with _lock:
        running = list(_running.values())
    wanted = parameters if isinstance(parameters, (set, frozenset, dict)) else set(parameters)
    for reference, recorder in running:
        model = reference()
        if model is not None and any(id(one) in wanted for one in model.parameters()):
            return recorder()
    return None
