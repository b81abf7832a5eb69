"""How a training is steered while it runs: pause, step, stop, and new hyperparameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlkit.observe import Control, Recorder
from mlkit.train.history import History

if TYPE_CHECKING:
    from mlkit.train.run import Run

__all__ = ["Steering"]


class Steering:
    """The part of `Trainer` that takes commands. Any thread may call it; the loop obeys between two steps."""

    control: Control
    recorder: Recorder
    optimizer: Any
    scheduler: Any
    grad_clip: float | None
    run: Run | None
    _driving: Any
    _unscheduled: list[float]

    def pause(self) -> None:
        """Stand still before the next step."""
        self._send("pause")

    def resume(self) -> None:
        """Go on."""
        self._send("resume")

    def step(self) -> None:
        """Do one training step, then pause."""
        self._send("step")

    def stop(self) -> History:
        """End the training after the step it is in; the model stays as it is. Waits for that, except on its thread."""
        if self.run is not None and not self.run.done:
            return self.run.stop()
        if self.training:
            self.control.send("stop")
        return self.history

    @property
    def history(self) -> History:
        """The curves so far."""
        return History(self.recorder)

    def _send(self, command: str) -> None:
        if not self.training:
            raise RuntimeError(f"Cannot {command}: no training is running. Begin one with fit or start.")
        self.control.send(command)

    @property
    def training(self) -> bool:
        """Whether a training is going on (it may be paused)."""
        return self._driving.locked()

    @property
    def lr(self) -> float:
        """The learning rate of the first parameter group. Setting it takes effect at the next step; the other groups
        keep their ratio to it, and a scheduler goes on from there."""
        waiting = self.control.pending("lr") if self.training else None
        return self.optimizer.param_groups[0]["lr"] if waiting is None else waiting

    @lr.setter
    def lr(self, value: float) -> None:
        self.set("lr", value)

    @property
    def hyperparameters(self) -> dict[str, float]:
        """The numbers that can be changed while it runs, by name."""
        numbers = {
            name: value
            for name, value in self.optimizer.param_groups[0].items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        if self.grad_clip is not None:
            numbers["grad_clip"] = self.grad_clip
        return numbers

    def set(self, name: str, value: float) -> None:
        """Change one of `hyperparameters`; while it trains, at the next step.

        Raises:
            ValueError: No such name, or a value that cannot be.
        """
        self._check_setting(name, value)
        if self.training:
            self.control.send("set", name, float(value))
        else:
            self._set(name, float(value))

    def _check_setting(self, name: str, value: float) -> None:
        if name not in self.hyperparameters:
            raise ValueError(f"There is no {name!r} to set. There are: {', '.join(self.hyperparameters)}.")
        if isinstance(value, bool) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}.")

    def _set(self, name: str, value: float) -> None:
        self._check_setting(name, value)
        old = self.hyperparameters[name]
        if name == "grad_clip":
            self.grad_clip = value
        else:
            set_in_groups(self.optimizer, name, value)
        if name == "lr" and old:
            scale_schedule(self.scheduler, value / old)
            self._unscheduled = [lr * value / old for lr in self._unscheduled]
        if value != old:
            self.recorder.event("hyper", name=name, value=value, old=old)
        self._report_hyperparameters()

    def _enter_state(self, state: str) -> None:
        self.recorder.set_state(state)

    def _problem(self, text: str) -> None:
        self.recorder.event("message", level="warning", text=text)

    def _report_hyperparameters(self) -> None:
        numbers = self.hyperparameters
        self.recorder.update(lr=numbers.get("lr"), hyperparameters=numbers)

    def _send_from_source(self, command: str, name: str | None, value: Any) -> None:
        if command == "set":
            self._check_setting(str(name), value)
        self.control.send(command, name, value)


def set_in_groups(optimizer: Any, name: str, value: float) -> None:
    """Set a number in the first parameter group; the other groups keep their ratio to it."""
    old = optimizer.param_groups[0][name]
    for group in optimizer.param_groups:
        share = group[name] / old if old else 1.0
        group[name] = value * share


def scale_schedule(scheduler: Any, factor: float) -> None:
    """Let a scheduler, and those it is made of, go on from a learning rate changed by this factor."""
    if scheduler is None:
        return
    if hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs = [base * factor for base in scheduler.base_lrs]
    for part in getattr(scheduler, "_schedulers", ()):
        scale_schedule(part, factor)
