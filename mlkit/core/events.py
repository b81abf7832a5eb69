"""Who wants to know: subscribe to what happens, pay nothing when nobody listens.

Kinds: ``"op"`` (op, tensors, attributes, outputs), ``"module_enter"`` (module, args, kwargs), ``"module_exit"``
(module, output), ``"write"`` (target, source; before memory changes in place), ``"backward_start"`` (roots),
``"backward_node"`` (node, gradients), ``"backward_end"`` ().
"""

from __future__ import annotations

from collections.abc import Callable

#: kind -> subscribers, as an immutable tuple so that emitting needs no lock. A kind without subscribers is absent.
listeners: dict[str, tuple[Callable, ...]] = {}

#: called with +1 or -1 when a subscriber comes or goes (the dispatcher keeps its fast path only while nobody listens)
_watchers: list[Callable[[str, int], None]] = []


def subscribe(kind: str, fn: Callable) -> Callable[[], None]:
    """Call ``fn`` at each event of ``kind``; the returned function ends it (calling it twice does no harm).

    >>> from mlkit.core import events
    >>> seen = []
    >>> stop = events.subscribe("greeting", seen.append)
    >>> events.emit("greeting", "hello"); stop(); events.emit("greeting", "again"); seen
    ['hello']
    """
    entry = lambda *args: fn(*args)  # noqa: E731 - its own identity, so that fn may subscribe twice
    listeners[kind] = (*listeners.get(kind, ()), entry)
    for watcher in _watchers:
        watcher(kind, +1)

    def stop() -> None:
        current = listeners.get(kind, ())
        if entry not in current:
            return
        rest = tuple(e for e in current if e is not entry)
        if rest:
            listeners[kind] = rest
        else:
            del listeners[kind]
        for watcher in _watchers:
            watcher(kind, -1)

    return stop


def emit(kind: str, *args) -> None:
    """Tell every subscriber of ``kind``."""
    for fn in listeners.get(kind, ()):
        fn(*args)


def on_subscription(watcher: Callable[[str, int], None]) -> None:
    """Have ``watcher(kind, +1 | -1)`` called at each subscribe and stop."""
    _watchers.append(watcher)
