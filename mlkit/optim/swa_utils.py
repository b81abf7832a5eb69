"""Averages of a model's weights: over its last epochs (SWA, Izmailov et al. 2018, arXiv:1803.05407) or decaying (EMA)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from mlkit.autograd.grad_mode import no_grad
from mlkit.core import dtype as dtypes
from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.core.value import Value
from mlkit.functional.conversion import tensor
from mlkit.nn.module import Module
from mlkit.nn.normalization import _BatchNorm
from mlkit.optim.lr_scheduler.base import LRScheduler, per_group

__all__ = [
    "AveragedModel",
    "SWALR",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


class BothFunctionsError(ArgumentError, AssertionError):
    """avg_fn and multi_avg_fn were both given (an AssertionError in PyTorch)."""


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueRangeError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """decay * average + (1 - decay) * current: for ``avg_fn`` of AveragedModel."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param, current_param, num_averaged):
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Callable:
    """The mean of all seen: for ``avg_fn`` of AveragedModel."""

    @no_grad()
    def swa_update(averaged_param, current_param, num_averaged):
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """The same for lists of tensors, changed in place: for ``multi_avg_fn`` of AveragedModel."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param_list, current_param_list, _):
        for average, current in zip(ema_param_list, current_param_list, strict=True):
            if average.is_floating_point() or average.is_complex():
                average += (current - average) * (1 - decay)
            else:
                average.copy_(average * decay + current * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> Callable:
    """The same for lists of tensors, changed in place: for ``multi_avg_fn`` of AveragedModel."""

    @no_grad()
    def swa_update(averaged_param_list, current_param_list, num_averaged):
        for average, current in zip(averaged_param_list, current_param_list, strict=True):
            average.copy_(average + (current - average) / (num_averaged + 1))

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose weights are the average of the model's at every ``update_parameters(model)``.

    Args:
        model: the model; it is copied.
        device: where the averages live.
        avg_fn: (average, current, how many so far) -> new average, for one tensor; the mean of all when None.
        multi_avg_fn: the same in place for lists of tensors. Give one of the two.
        use_buffers: average the buffers too; otherwise they are copied from the model.

    >>> import mlkit
    >>> model = mlkit.nn.Linear(1, 1, bias=False)
    >>> average = mlkit.optim.swa_utils.AveragedModel(model)
    >>> for value in (1.0, 3.0):
    ...     with mlkit.no_grad():
    ...         _ = model.weight.fill_(value)
    ...     average.update_parameters(model)
    >>> average.module.weight.item()
    2.0
    """

    def __init__(
        self,
        model: Module,
        device=None,
        avg_fn: Callable | None = None,
        multi_avg_fn: Callable | None = None,
        use_buffers: bool = False,
    ):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise BothFunctionsError("Only one of avg_fn and multi_avg_fn should be provided.")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=dtypes.int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the model's weights as they are now into the average."""
        own: list[Value] = list(self.module.parameters())
        others: list[Value] = list(model.parameters())
        if self.use_buffers:
            own += self.module.buffers()
            others += model.buffers()
        averages = [p.detach() for p in own]
        currents = [p.detach().to(a.device) for p, a in zip(others, averages, strict=True)]
        if int(self.n_averaged) == 0:
            for average, current in zip(averages, currents, strict=True):
                average.copy_(current)
        elif self.multi_avg_fn is not None:
            for group in _of_one_kind(averages):
                places = [i for i, a in enumerate(averages) if (a.device, a.dtype) == group]
                count = self.n_averaged.to(group[0])
                self.multi_avg_fn([averages[i] for i in places], [currents[i] for i in places], count)
        else:
            average_of = self.avg_fn or get_swa_avg_fn()
            for average, current in zip(averages, currents, strict=True):
                average.copy_(average_of(average, current, self.n_averaged.to(average.device)))
        if not self.use_buffers:
            for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                mine.detach().copy_(theirs.detach().to(mine.device))
        self.n_averaged += 1


def _of_one_kind(tensors: list) -> list[tuple]:
    """The (device, dtype) pairs that occur, each once."""
    pairs: list[tuple] = []
    for t in tensors:
        if (t.device, t.dtype) not in pairs:
            pairs.append((t.device, t.dtype))
    return pairs


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device=None) -> None:
    """Compute the running statistics of all batch-norm layers anew, in one pass over ``loader``.

    Averaged weights need statistics of their own. Each item is a batch, or a tuple whose first entry is one.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not layers:
        return
    was_training = model.training
    momenta = [layer.momentum for layer in layers]
    try:
        model.train()
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over all batches
        for batch in loader:
            if isinstance(batch, (list, tuple)):
                batch = batch[0]
            if device is not None:
                batch = batch.to(device)
            model(batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """From the rate now to ``swa_lr`` over ``anneal_epochs`` steps ("cos" or "linear"), then constant.

    Args:
        swa_lr: a number or one per group.
    """

    def __init__(self, optimizer, swa_lr: float, anneal_epochs=10, anneal_strategy: str = "cos", last_epoch=-1):
        for rate, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueRangeError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}.")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueRangeError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}.")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list:
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            target = group["swa_lr"]
            start = target if before == 1 else (group["lr"] - before * target) / (1 - before)
            rates.append(target * now + start * (1 - now))
        return rates
