"""Schedules that go up and down, with the momentum going the other way (Smith 2015 and 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable

from mlkit.core.errors import ValueRangeError
from mlkit.optim.lr_scheduler.base import (
    LRScheduler,
    check_optimizer,
    per_group,
    set_in_group,
    state_of_function,
)


class _WithMomentum(LRScheduler):
    """Cycles the momentum too: "momentum", or the first of "betas"."""

    cycle_momentum: bool

    def _begin_momentum(self, optimizer, largest, smallest, last_epoch: int) -> tuple[list, list]:
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueRangeError(
                "optimizer must support momentum or beta1 with `cycle_momentum` option enabled.",
                hint="Pass cycle_momentum=False.",
            )
        self.use_beta1 = "betas" in optimizer.defaults
        largest, smallest = (
            per_group("max_momentum", optimizer, largest),
            per_group("base_momentum", optimizer, smallest),
        )
        if last_epoch == -1:
            for group, high, low in zip(optimizer.param_groups, largest, smallest, strict=True):
                self._set_momentum(group, high)
                group["max_momentum"], group["base_momentum"] = high, low
        return largest, smallest

    def _set_momentum(self, group: dict, momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CyclicLR(_WithMomentum):
    """Up from ``base_lr`` to ``max_lr`` and down again, for ever (Smith 2015, arXiv:1506.01186). Step it per batch.

    Args:
        base_lr, max_lr: the ends, a number or one per group.
        step_size_up, step_size_down: steps of each way; down as up when None.
        mode: "triangular", "triangular2" (half the height each cycle) or "exp_range" (height times gamma ** step).
        scale_fn, scale_mode: a height of your own, a function of the "cycle" or of the "iterations".
        cycle_momentum: move the momentum between ``max_momentum`` and ``base_momentum`` the other way.
    """

    def __init__(
        self,
        optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for lr, group in zip(base_lrs, optimizer.param_groups, strict=True):
                set_in_group(group, "lr", lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        down = up if step_size_down is None else float(step_size_down)
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueRangeError(
                f"mode is invalid and scale_fn is None: {mode!r}.", hint="triangular, triangular2 or exp_range."
            )
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            high, low = self._begin_momentum(optimizer, max_momentum, base_momentum, last_epoch)
            self.base_momentums, self.max_momentums = low, high
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The height of a cycle, as a share of max_lr - base_lr."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular2":
            return 1 / 2.0 ** (x - 1)
        return self.gamma**x if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list:
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        share = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            momenta = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in momenta:
                self._set_momentum(group, high - (high - low) * share * height)
        return [low + (high - low) * share * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict:
        """All but the optimizer; of ``scale_fn`` only the attributes of a callable object."""
        return {**super().state_dict(), "_scale_fn_custom": state_of_function(self._scale_fn_custom)}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over what ``state_dict`` saved; ``scale_fn`` itself stays."""
        saved = state_dict.get("_scale_fn_custom")
        super().load_state_dict({k: v for k, v in state_dict.items() if k not in ("_scale_fn_custom", "_scale_fn_ref")})
        if saved is not None:
            self._scale_fn_custom.__dict__.update(saved)


class OneCycleLR(_WithMomentum):
    """Once up to ``max_lr`` and down to nearly nothing (Smith & Topin 2017, arXiv:1708.07120). Step it per batch.

    Args:
        max_lr: the top, a number or one per group.
        total_steps: length of the cycle; or ``epochs`` and ``steps_per_epoch``.
        pct_start: share of it spent going up.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: move the momentum between ``max_momentum`` and ``base_momentum`` the other way.
        div_factor: it starts at max_lr / div_factor,
        final_div_factor: and ends at that / final_div_factor.
        three_phase: come down as one went up, then end.

    Raises:
        ValueError: arguments that do not fit; or at a step beyond the last.
    """

    def __init__(
        self,
        optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        if total_steps is not None:
            self.total_steps = positive("total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            self.total_steps = positive("epochs", epochs) * positive("steps_per_epoch", steps_per_epoch)
        else:
            raise ValueRangeError("You must define either total_steps OR (epochs AND steps_per_epoch).")
        top = float(pct_start * self.total_steps) - 1
        if three_phase:
            self._schedule_phases = [
                phase(top, "initial_lr", "max_lr", "max_momentum", "base_momentum"),
                phase(
                    float(2 * pct_start * self.total_steps) - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"
                ),
                phase(self.total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        else:
            self._schedule_phases = [
                phase(top, "initial_lr", "max_lr", "max_momentum", "base_momentum"),
                phase(self.total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"),
            ]
        if pct_start < 0 or pct_start > 1 or not isinstance(pct_start, float):
            raise ValueRangeError(f"Expected float between 0 and 1 pct_start, but got {pct_start}.")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueRangeError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}.")
        self._anneal_func_type = anneal_strategy
        max_lrs = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, highest in zip(optimizer.param_groups, max_lrs, strict=True):
                group["initial_lr"] = highest / div_factor
                group["max_lr"] = highest
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._begin_momentum(optimizer, max_momentum, base_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start

    def get_lr(self) -> list:
        self._warn_outside_step()
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueRangeError(
                f"Tried to step {step} times. The specified number of total steps is {self.total_steps}.",
                hint="Make total_steps epochs * batches per epoch, and call step() once per batch.",
            )
        start = 0.0
        for now in self._schedule_phases:
            if step <= now["end_step"] or now is self._schedule_phases[-1]:
                break
            start = now["end_step"]
        share = (step - start) / (now["end_step"] - start)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[now["start_lr"]], group[now["end_lr"]], share))
            if self.cycle_momentum:
                ends = group[now["start_momentum"]], group[now["end_momentum"]]
                self._set_momentum(group, self._between(*ends, share))
        return rates


def phase(end_step: float, start_lr: str, end_lr: str, start_momentum: str, end_momentum: str) -> dict:
    """A part of the cycle: until which step, and between which settings of a group."""
    return {
        "end_step": end_step,
        "start_lr": start_lr,
        "end_lr": end_lr,
        "start_momentum": start_momentum,
        "end_momentum": end_momentum,
    }


def positive(name: str, given) -> int:
    if not isinstance(given, int) or given <= 0:
        raise ValueRangeError(f"Expected positive integer {name}, but got {given}.")
    return given
