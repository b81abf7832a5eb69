"""What all schedules share: the rates they start from, the count of steps, and setting the optimizer's rates."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from mlkit.core.dispatch import state
from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.core.value import Value
from mlkit.optim.optimizer import Optimizer


def recordable(step: Callable) -> Callable:
    """``step`` as a compiled training step knows it: called anew each time, so that the rates stay live."""

    @functools.wraps(step)
    def call(self, *args, **kwargs):
        if state.recorder is not None:
            return state.recorder.calls(call, (self, *args), kwargs)
        return step(self, *args, **kwargs)

    return call


class LRScheduler:
    """Base of all schedules: ``get_lr()`` gives the rate of each group for ``last_epoch``.

    Call ``step()`` after the optimizer's, once per epoch or per batch, whichever the schedule counts.

    Args:
        optimizer: whose rates are set; each group's rate now is its "initial_lr".
        last_epoch: where to go on: -1 begins; with another number the groups must know their "initial_lr".

    Raises:
        TypeError: ``optimizer`` is none.
        KeyError: resuming, and a group does not know its "initial_lr".

    >>> import mlkit
    >>> class Halving(mlkit.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [lr * 0.5**self.last_epoch for lr in self.base_lrs]
    >>> opt = mlkit.optim.SGD([mlkit.zeros(1).requires_grad_()], lr=0.8)
    >>> schedule = Halving(opt); opt.step(); schedule.step(); schedule.get_last_lr()
    [0.4]
    """

    #: whether get_lr() is being called by step(), and whether that is the first step, made on construction
    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault("initial_lr", lr.clone() if isinstance(lr, Value) else lr)
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with "
                    "last_epoch >= 0. Load the optimizer's state first, or leave last_epoch at -1."
                )
        self.base_lrs = of_groups(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        if not hasattr(optimizer, "_opt_called"):
            optimizer._opt_called = False
            optimizer._step_seen = vars(optimizer).get("step")
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        with flag(self, "_is_initial"):
            self.step()

    def get_lr(self) -> list:
        """The rates for ``last_epoch``; called by step()."""
        raise NotImplementedError

    def get_last_lr(self) -> list:
        """The rates set last."""
        return self._last_lr

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls.step = recordable(cls.step)

    def step(self, epoch: int | None = None) -> None:
        """Move on by one and set the optimizer's rates. ``epoch`` jumps there instead (going out of use in PyTorch)."""
        if self._step_count == 1:
            warn_of_order(self.optimizer)
        self._step_count += 1
        if epoch is not None:
            warn_of_epoch()
        self._update_lr(epoch)

    step = recordable(step)

    def _update_lr(self, epoch: int | None = None) -> None:
        with flag(self, "_get_lr_called_within_step"):
            if epoch is None:
                self.last_epoch += 1
                rates = self.get_lr()
            else:
                self.last_epoch = epoch
                closed = getattr(self, "_get_closed_form_lr", self.get_lr)
                rates = closed()
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            set_in_group(group, "lr", lr)
        self._last_lr = of_groups(self.optimizer, "lr")

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich  # drawn only where something displays it

        return rich.repr_html(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
        from mlkit.core import rich

        return rich.repr_mimebundle(self, include, exclude)

    def state_dict(self) -> dict:
        """All but the optimizer."""
        return {key: given for key, given in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over what ``state_dict`` saved."""
        self.__dict__.update(state_dict)


class _LRScheduler(LRScheduler):
    """PyTorch's old name of the base."""


# --- small things the schedules use ----------------------------------------------------------------------------------------


@contextmanager
def flag(schedule: LRScheduler, name: str):
    """The attribute is True inside; it stays in the object as False, as it does in PyTorch's state_dict."""
    setattr(schedule, name, True)
    try:
        yield
    finally:
        setattr(schedule, name, False)


def check_optimizer(optimizer) -> None:
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"{type(optimizer).__name__} is not an Optimizer.")


def of_groups(optimizer: Optimizer, key: str) -> list:
    """One setting of all groups; tensors as copies."""
    return [group[key].clone() if isinstance(group[key], Value) else group[key] for group in optimizer.param_groups]


def set_in_group(group: dict, key: str, given) -> None:
    """Change a setting; a tensor keeps its identity and is filled."""
    old = group[key]
    if isinstance(old, Value):
        old.detach().fill_(given.item() if isinstance(given, Value) else given)
    else:
        group[key] = given


def per_group(name: str, optimizer: Optimizer, given) -> list:
    """``given`` for each group: a list as it is, one value repeated."""
    groups = len(optimizer.param_groups)
    if isinstance(given, (list, tuple)):
        if len(given) != groups:
            raise ValueRangeError(
                f"{name} must have the same length as optimizer.param_groups. {name} has {len(given)} values, "
                f"param_groups has {groups}."
            )
    else:
        given = [given] * groups
    return [g.clone() if isinstance(g, Value) else g for g in given]


def functions_per_group(optimizer: Optimizer, given) -> list[Callable]:
    """``lr_lambda`` for each group."""
    groups = len(optimizer.param_groups)
    if not isinstance(given, (list, tuple)):
        return [given] * groups
    if len(given) != groups:
        raise ValueRangeError(f"Expected {groups} lr_lambdas, but got {len(given)}.")
    return list(given)


def state_of_function(fn):
    """What a state_dict keeps of a function: nothing of a plain one (it is code), the attributes of a callable object."""
    return None if fn is None or isinstance(fn, types.FunctionType) else dict(fn.__dict__)


def warn_of_order(optimizer: Optimizer) -> None:
    """Once, at the second step: the first rate of the schedule must have been used by then."""
    if vars(optimizer).get("step") is not getattr(optimizer, "_step_seen", None):
        warnings.warn(
            "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
            "Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`.",
            UserWarning,
            stacklevel=3,
        )
    elif not getattr(optimizer, "_opt_called", True):  # a copy does not know
        warnings.warn(
            "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in the opposite order: "
            "`optimizer.step()` before `lr_scheduler.step()`. Otherwise the first value of the learning rate schedule "
            "is skipped.",
            UserWarning,
            stacklevel=3,
        )


def warn_of_epoch() -> None:
    warnings.warn(
        "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. "
        "Please use `scheduler.step()` to step the scheduler. With an epoch the closed form is used where there is one.",
        UserWarning,
        stacklevel=3,
    )
