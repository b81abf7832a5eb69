"""Schedules that multiply the rate: by functions, at milestones, or by a constant."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable

from mlkit.core.errors import ArgumentError
from mlkit.optim.lr_scheduler.base import LRScheduler, functions_per_group, of_groups, state_of_function


class _ByFunction(LRScheduler):
    """Keeps one function per group; a state_dict holds the attributes of callable objects, never code."""

    def __init__(self, optimizer, lr_lambda: Callable[[int], float] | list, last_epoch: int = -1):
        self.optimizer = optimizer
        self.lr_lambdas = functions_per_group(optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict:
        """All but the optimizer; of functions only the attributes of callable objects."""
        kept = {key: given for key, given in self.__dict__.items() if key not in ("optimizer", "lr_lambdas")}
        return {**kept, "lr_lambdas": [state_of_function(fn) for fn in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over what ``state_dict`` saved; the functions themselves stay."""
        self.__dict__.update({key: given for key, given in state_dict.items() if key != "lr_lambdas"})
        for fn, saved in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if saved is not None:
                fn.__dict__.update(saved)


class LambdaLR(_ByFunction):
    """The initial rate times what a function of the step says.

    >>> import mlkit
    >>> opt = mlkit.optim.SGD([mlkit.zeros(1).requires_grad_()], lr=1.0)
    >>> schedule = mlkit.optim.lr_scheduler.LambdaLR(opt, lambda step: 1 / (1 + step))
    >>> opt.step(); schedule.step(); schedule.get_last_lr()
    [0.5]
    """

    def get_lr(self) -> list:
        self._warn_outside_step()
        return [base * fn(self.last_epoch) for fn, base in zip(self.lr_lambdas, self.base_lrs, strict=True)]


class MultiplicativeLR(_ByFunction):
    """The rate before times what a function of the step says."""

    def __init__(self, optimizer, lr_lambda: Callable[[int], float] | list, last_epoch: int = -1):
        for fn in functions_per_group(optimizer, lr_lambda):
            if not callable(fn):
                raise ArgumentError(f"lr_lambda should be a function, but got {type(fn).__name__}.")
        super().__init__(optimizer, lr_lambda, last_epoch)

    def get_lr(self) -> list:
        self._warn_outside_step()
        if self._is_initial:
            return of_groups(self.optimizer, "lr")
        pairs = zip(self.lr_lambdas, self.optimizer.param_groups, strict=True)
        return [group["lr"] * fn(self.last_epoch) for fn, group in pairs]


class StepLR(LRScheduler):
    """The rate times gamma every ``step_size`` steps.

    >>> import mlkit
    >>> opt = mlkit.optim.SGD([mlkit.zeros(1).requires_grad_()], lr=1.0)
    >>> schedule = mlkit.optim.lr_scheduler.StepLR(opt, step_size=2, gamma=0.5)
    >>> for _ in range(3):
    ...     opt.step(); schedule.step(); print(schedule.get_last_lr())
    [1.0]
    [0.5]
    [0.5]
    """

    def __init__(self, optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list:
        self._warn_outside_step()
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return of_groups(self.optimizer, "lr")
        return [group["lr"] * self.gamma for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self) -> list:
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """The rate times gamma at each milestone."""

    def __init__(self, optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1):
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list:
        self._warn_outside_step()
        if self.last_epoch not in self.milestones:
            return of_groups(self.optimizer, "lr")
        return [group["lr"] * self.gamma ** self.milestones[self.last_epoch] for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self) -> list:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    """The rate times gamma at every step."""

    def __init__(self, optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list:
        self._warn_outside_step()
        if self._is_initial:
            return of_groups(self.optimizer, "lr")
        return [group["lr"] * self.gamma for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self) -> list:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]
