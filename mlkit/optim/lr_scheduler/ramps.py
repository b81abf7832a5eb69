"""Schedules that go from one rate to another and stay there: constant, linear (warm-up), polynomial."""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError
from mlkit.optim.lr_scheduler.base import LRScheduler, of_groups


class ConstantLR(LRScheduler):
    """The initial rate times ``factor`` for the first ``total_iters`` steps, then the initial rate."""

    def __init__(self, optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1):
        if factor > 1.0 or factor < 0:
            raise ValueRangeError("Constant multiplicative factor expected to be between 0 and 1.", f"factor: {factor}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list:
        self._warn_outside_step()
        groups = self.optimizer.param_groups
        if self.last_epoch == 0:
            return [group["lr"] * self.factor for group in groups]
        if self.last_epoch != self.total_iters:
            return of_groups(self.optimizer, "lr")
        return [group["lr"] * (1.0 / self.factor) for group in groups]

    def _get_closed_form_lr(self) -> list:
        now = self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor)
        return [base * now for base in self.base_lrs]


class LinearLR(LRScheduler):
    """From ``start_factor`` to ``end_factor`` of the initial rate, evenly over ``total_iters`` steps: a warm-up.

    >>> import mlkit
    >>> from mlkit.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
    >>> opt = mlkit.optim.SGD([mlkit.zeros(1).requires_grad_()], lr=1.0)
    >>> warm_up, then = LinearLR(opt, 0.25, total_iters=3), CosineAnnealingLR(opt, T_max=10)
    >>> schedule = SequentialLR(opt, [warm_up, then], milestones=[3])
    >>> for _ in range(3):
    ...     print(schedule.get_last_lr()); opt.step(); schedule.step()
    [0.25]
    [0.5]
    [0.75]
    """

    def __init__(
        self,
        optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if start_factor > 1.0 or start_factor <= 0:
            raise ValueRangeError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal to 1.",
                f"start_factor: {start_factor}",
            )
        if end_factor > 1.0 or end_factor < 0:
            raise ValueRangeError(
                "Ending multiplicative factor expected to be between 0 and 1.", f"end_factor: {end_factor}"
            )
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list:
        self._warn_outside_step()
        groups = self.optimizer.param_groups
        if self.last_epoch == 0:
            return [group["lr"] * self.start_factor for group in groups]
        if self._is_initial or self.last_epoch > self.total_iters:
            return of_groups(self.optimizer, "lr")
        rise = self.end_factor - self.start_factor
        ratio = 1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise)
        return [group["lr"] * ratio for group in groups]

    def _get_closed_form_lr(self) -> list:
        share = min(self.total_iters, self.last_epoch) / self.total_iters
        now = self.start_factor + (self.end_factor - self.start_factor) * share
        return [base * now for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """From the initial rate to 0 over ``total_iters`` steps, as (1 - step / total_iters) ** power."""

    def __init__(self, optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list:
        self._warn_outside_step()
        if self._is_initial or self.last_epoch > self.total_iters:
            return of_groups(self.optimizer, "lr")
        now, before = 1.0 - self.last_epoch / self.total_iters, 1.0 - (self.last_epoch - 1) / self.total_iters
        ratio = (now / before) ** self.power
        return [group["lr"] * ratio for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self) -> list:
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]
