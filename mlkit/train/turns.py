"""Taking turns with a training: whoever wants to use its model does so between two steps."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from mlkit.observe import Recorder
from mlkit.observe.running import note_training, training_ended

__all__ = ["Turns", "between_steps"]


class Turns:
    """A lock that the loop holds during each step and that lets guests in before the next one."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._guests = 0
        self._counting = threading.Lock()

    def __enter__(self) -> None:
        """The loop's turn, a step; guests that wait go first."""
        while self._guests:
            time.sleep(0.0005)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @contextlib.contextmanager
    def guest(self) -> Iterator[None]:
        """A guest's turn: no step is running and none begins. On the loop's own thread this is always so."""
        with self._counting:
            self._guests += 1
        try:
            self._lock.acquire()
        finally:
            with self._counting:
                self._guests -= 1
        try:
            yield
        finally:
            self._lock.release()


#: The models being trained now, and whose turn it is with each.
_training: weakref.WeakKeyDictionary[Turns, weakref.ref[Any]] = weakref.WeakKeyDictionary()
_training_lock = threading.Lock()


def enter_training(model: Any, turns: Turns, recorder: Callable[[], Recorder] | None = None) -> None:
    """Note that a loop trains `model`, takes its steps with `turns` and reports to what `recorder` gives."""
    with _training_lock:
        _training[turns] = weakref.ref(model)
    if recorder is not None:
        note_training(turns, model, recorder)


def leave_training(turns: Turns) -> None:
    """That loop has ended."""
    training_ended(turns)
    with _training_lock:
        _training.pop(turns, None)


@contextlib.contextmanager
def between_steps(model: Any) -> Iterator[None]:
    """``with between_steps(model):`` no training moves the model in this block.

    Trainings of the model in other threads (`Trainer.start`, `Trainer.fit`, `mlkit.live`) finish the step they are in
    and wait until the block ends; so do trainings of a part of it, or of a model that it is a part of. Without a
    training this does nothing, and on the thread that trains it is always so.

    Args:
        model: An `nn.Module`.

    >>> from mlkit import nn
    >>> model = nn.Linear(2, 2)
    >>> with between_steps(model):
    ...     copy = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    """
    with contextlib.ExitStack() as stack:
        with _training_lock:
            running = [(turns, reference()) for turns, reference in _training.items()]
        ours = _parts(model)
        for turns, trained in running:
            if trained is not None and not ours.isdisjoint(_parts(trained)):
                stack.enter_context(turns.guest())
        yield


def _parts(model: Any) -> set[int]:
    modules = {id(module) for module in model.modules()} if hasattr(model, "modules") else {id(model)}
    parameters = {id(parameter) for parameter in model.parameters()} if hasattr(model, "parameters") else set()
    return modules | parameters
