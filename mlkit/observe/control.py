"""Steering a loop: commands come from any thread or process and are obeyed between two steps."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from mlkit.observe.mailbox import Mailbox, Message

__all__ = ["Control"]

POLL_SECONDS = 0.05
"""How often a paused loop looks into its mailbox; commands from this process wake it at once."""
LOOK_SECONDS = 0.02
"""How often a loop that runs does: a look takes up to 15 us, which quick steps would feel."""


class Control:
    """What a loop asks between two steps: go on, wait, or stop?

    The loop calls `poll` before each step::

        while (decision := control.poll()) == "wait":
            control.wait()
        if decision == "stop":
            break

    Args:
        on_set: Called as ``on_set(name, value)`` for the command "set", at a step boundary.
        on_checkpoint: Called as ``on_checkpoint(path)``, at a step boundary; `path` is None unless given by `send`.
        on_state: Called with "paused", "running" or "stopping" when that changes.
        on_problem: Called with a sentence when a command could not be obeyed.
        on_clone: Called as ``on_clone(wish)`` for the command "clone", at a step boundary.

    >>> control = Control()
    >>> control.send("pause")
    >>> control.poll()
    'wait'
    >>> control.send("step")
    >>> control.poll(), control.poll(trained=True)
    ('go', 'wait')
    >>> control.send("stop")
    >>> control.poll()
    'stop'
    """

    def __init__(
        self,
        on_set: Callable[[str, float], None] | None = None,
        on_checkpoint: Callable[[str | None], None] | None = None,
        on_state: Callable[[str], None] | None = None,
        on_problem: Callable[[str], None] | None = None,
        on_clone: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.mailbox: Mailbox | None = None
        self._next_look = 0.0
        self._on_set = on_set
        self._on_checkpoint = on_checkpoint
        self._on_state = on_state
        self._on_problem = on_problem
        self._on_clone = on_clone
        self._commands: deque[Message] = deque()
        self._arrived = threading.Condition()
        self._state = "running"
        self._steps_allowed = 0

    def reset(self) -> None:
        """Ready for another run; commands that were sent before it are forgotten."""
        with self._arrived:
            self._commands.clear()
        self._state = "running"
        self._steps_allowed = 0

    def send(self, command: str, name: str | None = None, value: Any = None) -> None:
        """Queue a command; any thread."""
        with self._arrived:
            self._commands.append(Message(command, name, value))
            self._arrived.notify_all()

    def foreseen(self, numbers: dict[str, float]) -> dict[str, float]:
        """`numbers` by name, with the values that were sent for them and are not yet applied."""
        with self._arrived:
            sent = {one.name: one.value for one in self._commands if one.command == "set"}
        return {name: sent.get(name, value) for name, value in numbers.items()}

    def wait(self, timeout: float = POLL_SECONDS) -> None:
        """Sleep until a command arrives from this process, or the time is up."""
        with self._arrived:
            if not self._commands:
                self._arrived.wait(timeout)

    def poll(self, trained: bool = False) -> str:
        """Obey what has arrived; then "go", "wait" (paused) or "stop".

        Args:
            trained: A training step has just ended; it uses up a step that "step" allowed.
        """
        if trained and self._steps_allowed:
            self._steps_allowed -= 1
            if not self._steps_allowed:
                self._enter("paused")
        now = time.monotonic()
        if self.mailbox is not None and now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._take_letters(self.mailbox)
        if self._commands:
            self._obey()
        if self._state == "stopping":
            return "stop"
        return "wait" if self._state == "paused" and not self._steps_allowed else "go"

    def _take_letters(self, mailbox: Mailbox) -> None:
        letters, rejected = mailbox.collect()
        for problem in rejected:
            self._report(f"A letter in the mailbox was not understood and moved to rejected/: {problem}")
        with self._arrived:
            self._commands.extend(letters)

    def _obey(self) -> None:
        while self._commands:
            with self._arrived:
                message = self._commands[0]
            try:
                self._apply(message)
            except Exception as error:
                self._report(f"{message.command}: {error}")
            finally:
                with self._arrived:
                    self._commands.popleft()

    def _apply(self, message: Message) -> None:
        command, name, value = message
        if command == "pause":
            self._steps_allowed = 0
            self._enter("paused")
        elif command == "resume":
            self._steps_allowed = 0
            self._enter("running")
        elif command == "step":
            self._steps_allowed += 1
            self._enter("running")
        elif command == "stop":
            self._enter("stopping")
        elif command == "set" and self._on_set is not None:
            self._on_set(str(name), value)
        elif command == "checkpoint" and self._on_checkpoint is not None:
            self._on_checkpoint(value)
        elif command == "clone":
            if self._on_clone is None:
                raise ValueError("this run cannot start a second one.")
            self._on_clone(value)

    def _enter(self, state: str) -> None:
        if self._state != state and self._state != "stopping":
            self._state = state
            if self._on_state is not None:
                self._on_state(state)

    def _report(self, problem: str) -> None:
        if self._on_problem is not None:
            self._on_problem(problem)
