"""Schedules made of others: one after another, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.optim.lr_scheduler.base import LRScheduler, of_groups, set_in_group
from mlkit.optim.lr_scheduler.plateau import ReduceLROnPlateau


class _Composed(LRScheduler):
    """Keeps others in ``_schedulers``; their states are in its own."""

    _schedulers: list

    def _check(self, schedulers: Sequence, optimizer) -> None:
        name = type(self).__name__
        for i, schedule in enumerate(schedulers):
            if not hasattr(schedule, "optimizer"):
                raise ArgumentError(f"{name} at index {i} should have `optimizer` as its attribute.")
            if isinstance(schedule, ReduceLROnPlateau):
                raise ValueRangeError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as its step() needs a number, but got one "
                    f"at index {i}."
                )
            if optimizer is not schedule.optimizer:
                raise ValueRangeError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got scheduler "
                    f"{type(schedule).__name__} at index {i} with another."
                )

    def state_dict(self) -> dict:
        """All but the optimizer, with the state of each schedule."""
        kept = {key: given for key, given in self.__dict__.items() if key not in ("optimizer", "_schedulers")}
        return {**kept, "_schedulers": [schedule.state_dict() for schedule in self._schedulers]}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over what ``state_dict`` saved."""
        self.__dict__.update({key: given for key, given in state_dict.items() if key != "_schedulers"})
        for schedule, saved in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            schedule.load_state_dict(saved)


class SequentialLR(_Composed):
    """One schedule after another: ``milestones`` says at which step the next begins. See LinearLR for a warm-up."""

    def __init__(self, optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1):
        if len(schedulers) < 1:
            raise ValueRangeError("SequentialLR expects at least one scheduler, but got no scheduler.")
        self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueRangeError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number of "
                f"milestone points, but got {len(schedulers)} schedulers and {len(milestones)} milestones."
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # Each schedule made its first step when it was made: take all those back, then make the first one's again.
        for group in optimizer.param_groups:
            set_in_group(group, "lr", group["initial_lr"])
        self.recursive_undo()
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def recursive_undo(self, sched=None) -> None:
        """Take back the first step of every schedule within."""
        schedule = self if sched is None else sched
        if hasattr(schedule, "_schedulers"):
            for inner in schedule._schedulers:
                self.recursive_undo(inner)
        elif hasattr(schedule, "last_epoch"):
            schedule.last_epoch -= 1

    def step(self) -> None:  # type: ignore[override]
        """Step the schedule whose turn it is."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        schedule = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            schedule._update_lr(0)
        else:
            schedule.step()
        self._last_lr = schedule.get_last_lr()


class ChainedScheduler(_Composed):
    """All schedules step together, each on the rates the one before it set."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer=None):
        if len(schedulers) < 1:
            raise ValueRangeError(
                "ChainedScheduler expects at least one scheduler to be chained, but got no scheduler."
            )
        optimizer = optimizer or schedulers[0].optimizer
        self._check(schedulers, optimizer)
        self._schedulers = schedulers  # type: ignore[assignment]
        self.optimizer = optimizer
        self._last_lr = of_groups(optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """Step each schedule."""
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = of_groups(self.optimizer, "lr")
