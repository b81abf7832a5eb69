"""Whether ops record nodes: no_grad, enable_grad, set_grad_enabled, inference_mode. Per thread."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable

from mlkit.core.dispatch import state
from mlkit.core.value import inferring


class _GradMode:
    """Context manager and decorator (with or without parentheses) that sets grad mode and puts it back."""

    wanted: bool

    def __init__(self, function: Callable | None = None):
        self._before: list = []

    def __new__(cls, function: Callable | None = None):
        if callable(function):  # @no_grad without parentheses
            return cls()(function)
        return super().__new__(cls)

    def __enter__(self):
        self._before.append(state.grad)
        state.grad = self.wanted
        return self

    def __exit__(self, *exc):
        state.grad = self._before.pop()

    def __call__(self, function: Callable) -> Callable:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args, **kwargs):
                # the mode holds while the generator runs, not while its caller does
                running = function(*args, **kwargs)
                try:
                    with self:
                        item = next(running)
                    while True:
                        sent = yield item
                        with self:
                            item = running.send(sent)
                except StopIteration as end:
                    return end.value
                finally:
                    running.close()

            return generator

        @functools.wraps(function)
        def call(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return call


class no_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Ops inside record nothing for backward.

    >>> import mlkit
    >>> x = mlkit.ones(2, requires_grad=True)
    >>> with mlkit.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    wanted = False


class enable_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Ops inside record for backward again, within a no_grad block."""

    wanted = True


class inference_mode(_GradMode):  # noqa: N801 - PyTorch's name
    """no_grad for tensors that never come near a gradient; ``inference_mode(False)`` ends the mode for a while.

    What is made inside may be read and computed with outside, but not changed in place, kept for backward or made to
    want a gradient: make a ``clone()`` for that. (As in PyTorch; ``no_grad`` has no such rules.)

    >>> import mlkit
    >>> with mlkit.inference_mode():
    ...     y = mlkit.ones(2) * 2
    >>> y.is_inference(), (y + 1).is_inference()
    (True, False)
    """

    wanted = False

    def __new__(cls, mode=True):
        return super().__new__(cls, mode if callable(mode) else None)

    def __init__(self, mode=True):
        super().__init__()
        self._mode = bool(mode)

    def __enter__(self):
        self._before.append((state.grad, state.inference))
        if self._mode:
            state.grad = False
        elif state.inference:
            state.grad = True
        self._set(self._mode)
        return self

    def __exit__(self, *exc):
        state.grad, mode = self._before.pop()
        self._set(mode)

    @staticmethod
    def _set(mode: bool) -> None:
        state.inference = mode
        (inferring.add if mode else inferring.discard)(threading.get_ident())


class set_grad_enabled(_GradMode):  # noqa: N801 - PyTorch's name
    """Set grad mode to ``mode``: at once, and until the end of the block when used in ``with``."""

    def __new__(cls, mode: bool):
        return object.__new__(cls)

    def __init__(self, mode: bool):
        self._before = [state.grad]
        self.wanted = bool(mode)
        state.grad = self.wanted

    def __enter__(self):
        if not self._before:
            self._before.append(state.grad)
        state.grad = self.wanted
        return self

    def __call__(self, function: Callable) -> Callable:
        state.grad = self._before.pop() if self._before else state.grad
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether ops record nodes in this thread."""
    return state.grad


def is_inference_mode_enabled() -> bool:
    """Whether an inference_mode block is running in this thread."""
    return state.inference


class set_multithreading_enabled(_GradMode):  # noqa: N801 - PyTorch's name
    """Accepted for PyTorch's sake: backward runs in the thread that calls it."""

    def __new__(cls, mode: bool):
        return object.__new__(cls)

    def __init__(self, mode: bool):
        self._before = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None
