"""How a training is steered while it runs: pause, step, stop, new hyperparameters, a second run from it."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from mlkit.observe import Control, Recorder
from mlkit.train.cloning import start_clone
from mlkit.train.history import History
from mlkit.train.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from mlkit.train.run import Run
    from mlkit.train.trainer import Trainer

__all__ = ["Steering"]


class Steering:
    """The part of `Trainer` that takes commands. Any thread may call it; the loop obeys between two steps."""

    model: Any
    control: Control
    recorder: Recorder
    optimizer: Any
    scheduler: Any
    grad_clip: float | None
    run: Run | None
    clones: list[Run]
    _driving: Any
    _registered: Hyperparameters
    _lineage: tuple[weakref.ref[Any], ...]
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
        return self.hyperparameters.get("lr", self.optimizer.param_groups[0]["lr"])  # a tensor is no number to turn

    @lr.setter
    def lr(self, value: float) -> None:
        self.set("lr", value)

    @property
    def hyperparameters(self) -> dict[str, float]:
        """The numbers that can be changed while it runs, by name; those just set, which count from the next step on, with
        their new value."""
        return self.control.foreseen(self._numbers()) if self.training else self._numbers()

    def _numbers(self) -> dict[str, float]:
        """What the step that is going on has."""
        numbers = {
            name: value
            for name, value in list(self.optimizer.param_groups[0].items())
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        if self.grad_clip is not None:
            numbers["grad_clip"] = self.grad_clip
        return numbers | self._registered.values()

    def hyperparameter(
        self,
        name: str,
        value: float | None = None,
        *,
        low: float | None = None,
        high: float | None = None,
        apply: Callable[[Any, float], Any] | None = None,
    ) -> float:
        """A number of your own that can be turned while it trains; gives its present value.

        The first call registers it: the panel then has a field of that name, `set` changes it from the next step on,
        and the curves mark where. Call it again, with or without the value, wherever the number is needed::

            def loss(output, target):
                return cross_entropy(output / trainer.hyperparameter("temperature", 0.7), target)

        Args:
            name: What to call it.
            value: What it is at first; a whole number stays one. Needed in the first call only.
            low, high: Limits, both allowed themselves; none by default.
            apply: Called with the model and the value, at once and at each change, between two steps:
                ``apply=lambda model, p: setattr(model.dropout, "p", p)``.

        Raises:
            ValueError: No such name yet and no value, a name of the optimizer's, or a value that cannot be.
        """
        owner = self._at_hand()
        if name in owner._registered:
            return owner._registered[name].value
        if value is None:
            raise ValueError(f"There is no hyperparameter {name!r} yet. Register it: "
                             f"hyperparameter({name!r}, 0.7).")  # fmt: skip
        number = owner._registered.register(name, value, low, high, apply, model=owner.model, taken=owner._numbers())
        owner.recorder.update(**owner._details())
        return number

    def _at_hand(self) -> Steering:
        """This trainer, or the clone of it that this thread is training: a loss function that speaks of the first
        gets the numbers of the second."""
        current = getattr(_here, "trainer", None)
        if current is not None and any(one() is self for one in current._lineage):
            return current
        return self

    def _made_from(self, parent: Steering) -> None:
        """What each training has for itself."""
        self.clones = []
        self.run = None
        self._lineage = (*parent._lineage, weakref.ref(parent))

    def clone(
        self,
        checkpoint: Any = None,
        settings: Mapping[str, float] | None = None,
        *,
        name: str | None = None,
        epochs: int | None = None,
        **more: float,
    ) -> Run:
        """Start a second training from this one, with other settings: ``second = run.clone(lr=1e-4)``.

        Model, optimizer, schedule and the place in the data are copied between two steps; the first training goes on.
        The second trains in the background, in a run directory of its own, and draws random numbers of its own.
        `Watch` on the first shows both. Callbacks and `stateful` are copied as well; data loaders are shared.

        Args:
            checkpoint: Path, or file name in the run directory, of a checkpoint to begin from; by default from here.
            settings: New values of `hyperparameters` by name; the same as ``**more``.
            name: Of the second run; by default the first one's with "-clone".
            epochs: How many more; by default those that are left, or as many again where none is.

        Returns:
            The second `Run`.

        Raises:
            RuntimeError: Nothing has been trained yet.
            ValueError: There is no such setting, or it cannot have that value.
            CheckpointError: The checkpoint does not fit.
            DataError: A part of the trainer cannot be copied.
        """
        return start_clone(cast("Trainer", self), {**(settings or {}), **more}, checkpoint, name, epochs)

    def _clone_from_wish(self, wish: dict[str, Any]) -> None:
        self.clone(wish.get("checkpoint"), wish.get("settings"), name=wish.get("name"))

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
        if name in self._registered:
            self._registered[name].checked(value)
            return
        if isinstance(value, bool) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}.")

    def _set(self, name: str, value: float) -> None:
        self._check_setting(name, value)
        old = self._numbers()[name]
        if name in self._registered:
            value = self._registered.set(name, value, self.model)
        elif name == "grad_clip":
            self.grad_clip = value
        else:
            set_in_groups(self.optimizer, name, value)
        if name == "lr" and old:
            scale_schedule(self.scheduler, value / old)
            self._unscheduled = [lr * value / old for lr in self._unscheduled]
        if value != old:
            self.recorder.event("hyper", name=name, value=value, old=old)
        self.recorder.update(**self._details())

    def _enter_state(self, state: str) -> None:
        self.recorder.set_state(state)

    def _problem(self, text: str) -> None:
        self.recorder.event("message", level="warning", text=text)

    def _details(self) -> dict[str, Any]:
        """What the run's status says of the hyperparameters."""
        numbers = self._numbers()
        return {"lr": numbers.get("lr"), "hyperparameters": numbers, "registered": self._registered.describe()}

    def _send_from_source(self, command: str, name: str | None, value: Any) -> None:
        if command == "set":
            self._check_setting(str(name), value)
        self.control.send(command, name, value)


class _Here(threading.local):
    """Which trainer this thread is training."""

    trainer: Steering | None = None


_here = _Here()


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
