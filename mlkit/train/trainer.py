"""The trainer: a training loop short enough to read, and what can be done with it while it runs."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import signal
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlkit
from mlkit.core.errors import DataError, GradientError
from mlkit.observe import Control, GradientFlow, Recorder, RecorderSource, Source
from mlkit.observe.control import POLL_SECONDS
from mlkit.train.callbacks import Callback, ProgressBar
from mlkit.train.checks import (
    check_epochs,
    check_first,
    check_loader,
    check_mode,
    check_optimizer,
    describe_batch,
    length_of,
    warn,
)
from mlkit.train.failing import report_of
from mlkit.train.history import History
from mlkit.train.hyperparameters import Hyperparameters
from mlkit.train.keeping import Keeping
from mlkit.train.lr_finder import LearningRateCurve, find_lr
from mlkit.train.means import Means
from mlkit.train.measuring import Step, numbers_of
from mlkit.train.metrics import Metric, metrics_of
from mlkit.train.named import check_schedule, loss_of, optimizer_of, scheduler_of
from mlkit.train.occupying import leave, occupy
from mlkit.train.parts import labels_of, size_of, split_batch
from mlkit.train.precision import Precision
from mlkit.train.run import Run
from mlkit.train.state import restore_random, snapshot_random
from mlkit.train.steering import _here
from mlkit.train.turns import Turns, enter_training, leave_training

__all__ = ["NotFiniteLoss", "Step", "Trainer"]


class NotFiniteLoss(GradientError):
    """The loss became infinite or no number."""


class Trainer(Keeping):
    """Train a model on batches of data; watch it, steer it, save it.

    Args:
        model: An `nn.Module`.
        loss: A function of (output, target) that gives a scalar, or a name: "cross_entropy" (the default), "mse",
            "bce_with_logits", "l1", "huber", ...
        optimizer: Made from ``model.parameters()``, or a name: "adamw" (the default), "sgd", "adam", ...; or a class.
        scheduler: Moves the learning rate: one of `optim.lr_scheduler`, a function of the optimizer, or a name:
            "cosine", "linear" and "onecycle" span the whole training, "plateau" lowers it when nothing improves.
        metrics: Names, `Metric` objects or functions of (output, target). By default "auto": the accuracy, where the
            targets are class labels.
        callbacks: `Callback` objects.
        checkpoint_dir: Folder for checkpoints: ``last.safetensors`` is kept up to date, and ``best.safetensors``
            where there is a validation (or a `monitor`).
        checkpoint_every: Save after so many steps; by default after each epoch.
        progress: Show a progress bar in `fit`.
        device: Where to train; by default where the model is.
        run_dir: Folder that holds run directories (``$MLKIT_RUNS`` or ``./runs`` by default); False: none.
        name: Of the run; by default the model's class.
        grad_clip: Largest norm of all gradients together; longer ones are shortened to it.
        grad_clip_value: Largest size of each entry of a gradient.
        lr: The learning rate, for an optimizer given by name.
        accumulate: Batches per step: their gradients are averaged, as if they were one batch.
        precision: "float32", "bf16" or "fp16" (mixed precision; "fp16" with a scaler for the gradients).
        amp: True: mixed precision in what the device does best ("bf16" on the CPU, "fp16" on a GPU).
        ema: Keep a moving average of the weights with this decay (True: 0.999), or an `optim.swa_utils.AveragedModel`.
            `evaluate`, `predict` and the validation use it; ``trainer.ema.module`` is the averaged model.
        scheduler_every: "epoch" or "step"; by default what is usual for the scheduler.
        monitor: The curve that decides which checkpoint is the best, and that a plateau scheduler watches; by default
            the validation's accuracy, else loss (for the scheduler: loss).
        mode: "min" or "max": what is good in it; by default "min" where the name speaks of a loss or an error.
        keep: How many of the last checkpoints to keep (``recent-<step>.safetensors``) beside "last" and "best".
        on_nan: What to do when the loss is infinite or no number: "stop" with an explanation, before the weights are
            spoiled; "skip" the step; or "warn" once and go on.
        stateful: More objects with ``state_dict`` and ``load_state_dict`` that checkpoints keep, by name.
        gradient_flow: True: record gradients, weights and activations of each layer while it trains
            (``trainer.gradient_flow.findings()`` says what is wrong with them); or a `GradientFlow` of the model.

    A batch is ``(inputs..., target)``, ``((inputs...), target)``, or a dictionary, whose entry "target", "label",
    "labels" or "y" is the target and whose others go to the parameters of ``forward`` of those names (entries that it
    does not name, such as a file name, are left out). NumPy arrays become tensors. Where a cross entropy is given
    shares of the classes (MixUp, CutMix, one-hot labels), metrics take the class with the largest share. Override
    `compute` for other batches or losses, or `train_step` to do a whole step yourself.

    ``history = trainer.fit(loader, epochs=3)`` trains and comes back when it is done (the notebook's interrupt or
    Ctrl-C ends it early and keeps the model). ``run = trainer.start(loader, epochs=3)`` trains in the background.

    >>> import numpy as np
    >>> from mlkit import nn
    >>> from mlkit.data import DataLoader, TensorDataset
    >>> x = np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32)
    >>> loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).astype(np.int64)), batch_size=16)
    >>> trainer = Trainer(nn.Linear(2, 2), optimizer="sgd", lr=0.1, progress=False, run_dir=False)
    >>> history = trainer.fit(loader, epochs=2)
    >>> len(history["train/loss"]), history.epochs
    (8, 2)
    """

    def __init__(
        self,
        model: Any,
        loss: Any = None,
        optimizer: Any = None,
        scheduler: Any = None,
        metrics: Any = "auto",
        callbacks: Sequence[Callback] = (),
        checkpoint_dir: Any = None,
        checkpoint_every: int | None = None,
        progress: bool = True,
        device: Any = None,
        run_dir: Any = None,
        name: str | None = None,
        grad_clip: float | None = None,
        *,
        lr: float | None = None,
        accumulate: int = 1,
        precision: Any = None,
        amp: bool = False,
        ema: Any = None,
        grad_clip_value: float | None = None,
        scheduler_every: str | None = None,
        monitor: str | None = None,
        mode: str | None = None,
        keep: int = 1,
        on_nan: str = "stop",
        stateful: Mapping[str, Any] | None = None,
        gradient_flow: Any = None,
    ) -> None:
        if not isinstance(model, mlkit.nn.Module):
            raise DataError(f"Trainer: the model must be an nn.Module, got a {type(model).__qualname__}.")
        _check_choice("scheduler_every", scheduler_every, (None, "epoch", "step"))
        _check_choice("mode", mode, (None, "min", "max"))
        _check_choice("on_nan", on_nan, ("stop", "skip", "warn"))
        _check_count("accumulate", accumulate, "batches")
        _check_count("keep", keep, "checkpoints")
        if checkpoint_every is not None:
            _check_count("checkpoint_every", checkpoint_every, "steps")
        if not any(True for _ in model.parameters()):
            raise DataError(f"{type(model).__name__} has no parameters to train.")
        self.loss = loss_of(loss)
        if device is not None:
            model.to(device)
            if isinstance(self.loss, mlkit.nn.Module):
                self.loss.to(device)
        self.model = model
        self.optimizer = optimizer_of(optimizer, model, lr)
        check_optimizer(model, self.optimizer, self.loss)
        self.scheduler: Any = None
        self.scheduler_every = scheduler_every or "epoch"
        self._named_schedule = check_schedule(scheduler) if isinstance(scheduler, str) else None
        self._wanted_rhythm = scheduler_every
        self._unscheduled: list[float] = []
        if scheduler is not None and self._named_schedule is None:
            self.scheduler, usual = scheduler_of(scheduler, self.optimizer, None)
            self.scheduler_every = scheduler_every or usual
        self._only_where_it_applies = isinstance(metrics, str) and metrics == "auto"
        self.metrics: list[Metric] = metrics_of("accuracy" if self._only_where_it_applies else metrics)
        self.step_metrics, self.epoch_metrics = copy.deepcopy(self.metrics), copy.deepcopy(self.metrics)
        self.callbacks: list[Callback] = list(callbacks)
        self.checkpoint_dir = None if checkpoint_dir is None else Path(checkpoint_dir)
        self.checkpoint_every = checkpoint_every
        self.keep = keep
        self.progress = progress
        self.grad_clip = grad_clip
        self.grad_clip_value = grad_clip_value
        self.accumulate = accumulate
        self.precision = Precision(precision if precision is not None else amp, self.device.type)
        self.ema = _averaged(ema, model)
        self.monitor, self.mode = monitor, mode
        self.on_nan = on_nan
        self.stateful = dict(stateful or {})
        self.name = name or type(model).__name__
        self.run: Run | None = None
        self.clones: list[Run] = []
        self.gradient_flow: GradientFlow | None = _watching(gradient_flow, model)

        # Where the training is; a checkpoint keeps all of it.
        self.place = {"step": 0, "epoch": 0, "batch": 0, "fit_began_at_epoch": 0}
        self.best: float | None = None
        self.epoch_random: dict[str, Any] | None = None
        self.random_before_validation: dict[str, Any] | None = None
        self.epoch_sums = Means()
        self.loaders: tuple[Any, Any] = (None, None)
        self.resumed_from: Path | None = None

        self._registered = Hyperparameters()
        self._lineage: tuple[weakref.ref[Any], ...] = ()  # the trainers that this one was cloned from
        self._goes_on = False  # a clone begins in the middle
        self._taken_up: dict[str, Any] | None = None
        self._saved_at: tuple[int, ...] | None = None
        self._run_dir = run_dir
        self._turns = Turns()
        self._driving = threading.Lock()
        self._occupied: int | None = None  # the lock on checkpoint_dir while training
        self._told_not_finite = False
        self._checked_first = False
        self.recorder = self._new_recorder()
        self.control = self._new_control()

    # -- the loop ---------------------------------------------------------------------------------------------------

    def steps(self, train_loader: Iterable[Any], valid_loader: Any = None, epochs: int = 1) -> Iterator[Step]:
        """The training loop. Each ``next()`` does one step; `fit` and `start` differ only in who calls it.

        Args:
            train_loader: Gives batches, anew in each epoch.
            valid_loader: Gives batches to measure on after each epoch.
            epochs: How many epochs to go.

        Yields:
            A `Step` after every training step, every validation batch and every epoch.
        """
        place = self.place
        for epoch in range(place["epoch"] + 1, place["fit_began_at_epoch"] + epochs + 1):
            self._tell("on_epoch_start", epoch)
            self._settle(in_epoch=True)
            for batches in self._groups(train_loader):
                self._training_mode()
                batches = [self._to_device(batch) for batch in batches]
                self._tell("on_step_start", place["step"] + 1, batches)
                values = self.train_step(batches)
                yield self._record_step(values, batches)

            measured = {f"train/{name}": value for name, value in self._epoch_means().items()}
            if valid_loader is not None:
                self.random_before_validation = snapshot_random(*self.loaders)
                self._tell("on_validation_start", epoch)
                sums: dict[str, Any] = yield from self._measure(valid_loader)
                valid = {f"valid/{name}": value for name, value in sums.items()}
                self._tell("on_validation_end", epoch, valid)
                self.random_before_validation = None
                measured |= valid
            self._record_epoch(epoch, measured)
            yield Step(False, {})  # a callback may have asked to stop: not one step more

    def train_step(self, batches: list[Any]) -> dict[str, float]:
        """One step of the optimizer, on one batch or on several whose gradients are averaged.

        Override it to do everything yourself, for example with several optimizers (name the others in `stateful`).

        Args:
            batches: As the loader gave them, on the model's device; one unless `accumulate` is larger.

        Returns:
            Numbers to record, by name; they appear as "train/<name>".
        """
        if isinstance(self.optimizer, mlkit.optim.LBFGS):
            return self._closure_step(batches)
        self.optimizer.zero_grad()
        values = self._gradients(batches)
        if self.on_nan == "skip" and not math.isfinite(values["loss"]):
            self.optimizer.zero_grad()
            return values
        self.precision.unscale(self.optimizer)
        self._tell("on_after_backward")
        values |= self._clip()
        self._tell("on_before_optimizer_step")
        moved = self.precision.step(self.optimizer)
        if self.precision.scaler is not None:
            values["grad_scale"] = self.precision.scaler.get_scale()
        if moved:
            self._after_optimizer_step()
        return values

    def compute(self, batch: Any) -> tuple[Any, Any, Any]:
        """(output, target, loss) of one batch. Override it for a model with other inputs or another loss.

        Args:
            batch: As the loader gave it, on the model's device.
        """
        inputs, named, target = split_batch(batch, self.model)
        output = self.model(*inputs, **named)
        return output, target, self.loss(output, target)

    def _gradients(self, batches: list[Any]) -> dict[str, float]:
        """Forward and backward over the batches; each counts by its size."""
        sizes = [size_of(batch) for batch in batches]
        means = Means()
        for batch, size in zip(batches, sizes, strict=True):
            output, target, loss = self._compute(batch, self.model)
            if not self._checked_first:
                self._checked_first = True
                check_first(output, self.loss)
            value = self._checked_loss(loss)
            means.add({"loss": value}, size)
            if math.isfinite(value) or self.on_nan != "skip":
                self._tell("on_before_backward", loss)
                self.precision.backward(loss if len(batches) == 1 else loss * (size / sum(sizes)))
            means.add(self._measure_step(output, target, size), size)
        return means.means()

    def _closure_step(self, batches: list[Any]) -> dict[str, float]:
        """For L-BFGS, which evaluates the loss several times in a step; recorded is the first."""
        if self.precision.scaler is not None:
            raise DataError("Trainer: L-BFGS cannot be used with fp16, whose gradients are scaled.")
        first: dict[str, float] = {}

        def closure() -> Any:
            self.optimizer.zero_grad()
            total: Any = 0.0
            sizes = [size_of(batch) for batch in batches]
            means = Means()
            for batch, size in zip(batches, sizes, strict=True):
                output, target, loss = self._compute(batch, self.model)
                loss = loss if len(batches) == 1 else loss * (size / sum(sizes))
                value = self._checked_loss(loss)
                self._tell("on_before_backward", loss)
                loss.backward()
                if not first:
                    means.add(self._measure_step(output, target, size), size)
                total = total + value
            if not first:
                first.update({"loss": total, **means.means()})
            self._tell("on_after_backward")
            self._clip()
            return mlkit.tensor(total)

        self._tell("on_before_optimizer_step")
        self.optimizer.step(closure)
        self._after_optimizer_step()
        return first

    def _after_optimizer_step(self) -> None:
        if self.ema is not None:
            self.ema.update_parameters(self.model)
        if self.scheduler is not None and self.scheduler_every == "step":
            self._move_schedule(None)

    def _clip(self) -> dict[str, float]:
        values = {}
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        if self.grad_clip is not None:
            norm = mlkit.nn.utils.clip_grad_norm_(parameters, self.grad_clip)
            values["grad_norm"] = float(norm.item())
        if self.grad_clip_value is not None:
            mlkit.nn.utils.clip_grad_value_(parameters, self.grad_clip_value)
        return values

    def _compute(self, batch: Any, model: Any) -> tuple[Any, Any, Any]:
        own = self.model
        try:
            self.model = model  # the averaged one, for a validation: `compute` need not know
            with self.precision.region():
                return self.compute(batch)
        except Exception as error:
            step, epoch = self.place["step"] + 1, self.place["epoch"] + 1
            error.add_note(f"(in step {step} of the training, epoch {epoch}; the batch: {describe_batch(batch)})")
            raise
        finally:
            self.model = own

    def _checked_loss(self, loss: Any) -> float:
        """The loss as a number; one that is infinite or no number is dealt with as `on_nan` says."""
        if not mlkit.is_tensor(loss) or loss.numel() != 1:
            what = f"shape {list(loss.shape)}" if mlkit.is_tensor(loss) else f"type {type(loss).__qualname__}"
            raise DataError(
                f"Trainer: the loss must be one number (a Tensor), got {what}.",
                hint="Use reduction='mean', or return loss.mean().",
            )
        value = float(loss.item())
        if math.isfinite(value):
            return value
        step = self.place["step"] + 1
        advice = "A lower learning rate or grad_clip=1.0 often helps; look for NaN in the inputs, too."
        if self.on_nan == "stop":
            raise NotFiniteLoss(
                f"The loss is {value} in step {step}, and training on would spoil the weights.",
                details=f"learning rate {self.optimizer.param_groups[0]['lr']:g}, epoch {self.place['epoch'] + 1}; "
                "the weights are those before this step",
                hint=advice + ' on_nan="skip" leaves such steps out, on_nan="warn" goes on.',
            )
        if not self._told_not_finite:
            self._told_not_finite = True
            text = f"The loss is {value} since step {step}. {advice}"
            self.recorder.event("message", level="warning", text=text)
            warn(text)
        return value

    # -- the loop's smaller parts -------------------------------------------------------------------------------------

    def _groups(self, loader: Any) -> Iterator[list[Any]]:
        batches = self._batches(loader)
        while group := list(itertools.islice(batches, self.accumulate)):
            yield group

    def _batches(self, loader: Any) -> Iterator[Any]:
        """This epoch's batches; those of an epoch taken up again come after the ones already seen."""
        seen = self.place["batch"]
        if seen and self.epoch_random is not None:
            now = snapshot_random(*self.loaders)
            restore_random(self.epoch_random, *self.loaders)  # so that the same order is drawn
            batches = _iterate(loader, seen)
            restore_random(now, *self.loaders, samplers=False)
        else:
            self.epoch_random = snapshot_random(*self.loaders)
            if not seen:  # a clone begins in the middle, and has the sums of what came before
                self.epoch_sums.reset()
                for metric in self.epoch_metrics:
                    metric.reset()
            batches = _iterate(loader, seen)
        yield from batches
        if self.place["batch"] == 0:
            raise DataError("The training loader gave no batch.", hint="Check where its samples come from.")

    def _measure_step(self, output: Any, target: Any, size: int) -> dict[str, float]:
        """The metrics of this batch that are worth a point each step; all are gathered over the epoch."""
        values: dict[str, float] = {}
        target = labels_of(self.loss, output, target)
        for metric in self._metrics_for(output, target):
            at = self.metrics.index(metric)
            of_step, of_epoch = self.step_metrics[at], self.epoch_metrics[at]
            if metric.per_step:
                values[metric.name] = of_step.of_batch(output, target)
                if of_epoch.mergeable:
                    of_epoch.merge(of_step)
                else:
                    self.epoch_sums.add({metric.name: values[metric.name]}, size)
            else:
                of_epoch.update(output, target)
        return values

    def _epoch_means(self) -> dict[str, Any]:
        means: dict[str, Any] = dict(self.epoch_sums.means())
        for metric in self.epoch_metrics:
            if (metric.mergeable or not metric.per_step) and not metric.is_empty():
                means[metric.name] = metric.compute()
        return means

    def _record_step(self, values: dict[str, float], batches: list[Any]) -> Step:
        place, size = self.place, sum(size_of(batch) for batch in batches)
        place["step"] += 1
        place["batch"] += len(batches)
        gathered = {metric.name for metric in self.epoch_metrics}
        self.epoch_sums.add({name: value for name, value in values.items() if name not in gathered}, size)
        step = place["step"]
        values = {f"train/{name}": value for name, value in values.items()}
        values["lr"] = self.optimizer.param_groups[0]["lr"]
        self.recorder.record(step, values, examples=size)
        self._tell("on_step_end", step, values)
        if self.checkpoint_every is not None and step % self.checkpoint_every == 0:
            self._save_last()
        return Step(True, values)

    def _record_epoch(self, epoch: int, measured: dict[str, Any]) -> None:
        self.place.update(epoch=epoch, batch=0)
        numbers = numbers_of(measured)
        by_epoch = {f"train/{metric.name}" for metric in self.metrics if not metric.per_step}
        late = {name: value for name, value in numbers.items()
                if name.startswith("valid/") or name.partition("[")[0] in by_epoch}  # fmt: skip
        if late:
            self.recorder.record(self.place["step"], late)
        if self.scheduler is not None and self.scheduler_every == "epoch":
            self._move_schedule(numbers)
        self.recorder.update(epoch=epoch)
        self.recorder.event("epoch", epoch=epoch, values=measured)
        self._tell("on_epoch_end", epoch, numbers)
        self._save_best(numbers)  # before "last": whoever resumes from that finds the best up to there
        if self.checkpoint_every is None:
            self._save_last()

    def _make_scheduler(self, steps: int | None) -> None:
        """A schedule given by name spans one training: it is made when that begins."""
        if self._named_schedule is None:
            return
        if self.scheduler is not None:  # of an earlier training
            for group, lr in zip(self.optimizer.param_groups, self._unscheduled, strict=True):
                group["lr"] = lr
        self._unscheduled = [group["lr"] for group in self.optimizer.param_groups]
        self.scheduler, usual = scheduler_of(self._named_schedule, self.optimizer, steps)
        self.scheduler_every = self._wanted_rhythm or usual

    def _move_schedule(self, measured: dict[str, float] | None) -> None:
        if not isinstance(self.scheduler, mlkit.optim.lr_scheduler.ReduceLROnPlateau):
            self.scheduler.step()
            return
        if measured is None:
            raise DataError("Trainer: ReduceLROnPlateau looks at an epoch's numbers: scheduler_every must be 'epoch'.")
        wanted = self.monitor or ("valid/loss" if "valid/loss" in measured else "train/loss")
        if self.monitor is None and self.scheduler.mode == "max":
            wanted = next((name for name in ("valid/accuracy", "train/accuracy") if name in measured), "valid/accuracy")
        if wanted not in measured:
            raise DataError(
                f"Trainer: ReduceLROnPlateau is to watch {wanted!r}, which is not measured.",
                details=f"measured: {', '.join(measured)}",
                hint="Name one of these with monitor=...; those of the validation need a valid_loader.",
            )
        self.scheduler.step(measured[wanted])

    def _settle(self, in_epoch: bool = False) -> None:
        """After what the callbacks did at the start, put the checkpoint that was taken up in place once more."""
        if self._taken_up is not None:
            self._apply(self._taken_up)
            if in_epoch or not self.place["batch"]:
                self._taken_up = None

    # -- running it -------------------------------------------------------------------------------------------------

    def fit(self, train_loader: Any, valid_loader: Any = None, epochs: int = 1, resume: Any = None) -> History:
        """Train, and come back when it is done.

        A keyboard interrupt ends it after the step it is in (a second one at once); the model stays as it is.

        Args:
            train_loader: A `DataLoader`, or anything that gives batches anew each time it is iterated.
            valid_loader: Measured on after each epoch.
            epochs: How many; a further `fit` goes on from where this one ended.
            resume: Path of a checkpoint (or of a folder with some) to take up exactly where it was (`epochs` then counts those it had done), or
                "auto": the newest whole one in `checkpoint_dir`, if there is one. On the same machine and with as many
                threads the weights are then those of a training that was never interrupted, bit by bit.

        Returns:
            The history.

        Raises:
            DataError: Nothing to train on.
            NotFiniteLoss: The loss is infinite or no number (see `on_nan`).
            RuntimeError: This trainer, or this model, is being trained already.
        """
        bar: list[Callback] = [ProgressBar()] if self.progress else []
        loop = self._begin(train_loader, valid_loader, epochs, resume, "blocking", bar)
        with self._interrupt_means_stop():
            try:
                for pause in loop:
                    if pause:
                        self.control.wait(pause)
            except KeyboardInterrupt:
                pass  # the loop has ended as "stopped"
        return self.history

    def start(
        self, train_loader: Any, valid_loader: Any = None, epochs: int = 1, resume: Any = None, *, paused: bool = False
    ) -> Run:
        """Train in the background and come back at once; the other arguments are those of `fit`.

        Args:
            paused: Stand still before the first step; ``run.step()`` and ``run.resume()`` go on from there.

        Returns:
            The `Run`: ``await run`` waits for it, ``run.stop()`` ends it, `Watch(run)` shows it.
        """
        loop = self._begin(train_loader, valid_loader, epochs, resume, "background", [])
        if paused:
            self.control.send("pause")
        self.run = Run(self, loop)
        self.run._start()
        return self.run

    def _start_here(self, train_loader: Any, valid_loader: Any, epochs: int, keeps: bool) -> Run:
        """Start a clone: it goes on in the middle of the epoch it is in. `keeps`: it is to write checkpoints."""
        self._goes_on = True
        loop = self._begin(train_loader, valid_loader, epochs, None, "background", [])
        if keeps and self.recorder.path is not None:
            self.checkpoint_dir = self.recorder.path / "checkpoints"  # never among those of the first training
        self.run = Run(self, loop)
        self.run._start()
        return self.run

    def find_lr(
        self, train_loader: Any, lowest: float = 1e-7, highest: float = 10.0, steps: int = 100, smooth: float = 0.9
    ) -> LearningRateCurve:
        """Look for a good learning rate: train with one that grows at each step until the loss explodes.

        Afterwards everything is as it was: weights, optimizer, random numbers (Smith 2017, arXiv:1506.01186).

        Args:
            train_loader: Its batches; gone through again where they do not suffice.
            lowest, highest: The range, gone through in equal factors.
            steps: How many rates to try.
            smooth: Of the curve: the weight of the steps before.

        Returns:
            The curve, with `suggestion`; the last expression of a cell shows it.
        """
        check_loader(train_loader, "find_lr")
        self._claim()
        try:
            return find_lr(self, train_loader, lowest, highest, steps, smooth)
        finally:
            self._release()

    def _begin(
        self, train_loader: Any, valid_loader: Any, epochs: int, resume: Any, mode: str, extra: list[Callback]
    ) -> Iterator[float]:
        """Check everything, so that what is wrong is told here and not in a thread; then the loop, not yet begun."""
        epochs = check_epochs(epochs)
        check_loader(train_loader, "train_loader")
        if valid_loader is not None:
            check_loader(valid_loader, "valid_loader")
        self._claim()
        try:
            if self.checkpoint_dir is not None:
                self._occupied = occupy(self.checkpoint_dir)
            check_mode(self.model)
            self.loaders = (train_loader, valid_loader)
            length = length_of(train_loader)
            per_epoch = None if length is None else -(-length // self.accumulate)
            if not self._goes_on:
                self._make_scheduler(None if per_epoch is None else per_epoch * epochs)
            if not self._resume(resume) and not self._goes_on:
                self.place.update(fit_began_at_epoch=self.place["epoch"], batch=0)
            self.random_before_validation = None
            self._goes_on = False
            self.control.reset()
            dtype = mlkit.get_default_dtype()
            last = self.place["fit_began_at_epoch"] + epochs
            left = None
            if length is not None and per_epoch is not None:
                left = (last - self.place["epoch"]) * per_epoch - -(-self.place["batch"] // self.accumulate)
            self.recorder.meta.update(
                mlkit=mlkit.__version__,
                model=type(self.model).__name__,
                parameters=sum(parameter.numel() for parameter in self.model.parameters()),
                epochs=last,
                steps_per_epoch=per_epoch,
                batch_size=getattr(train_loader, "batch_size", None),
                optimizer=type(self.optimizer).__name__,
                scheduler=None if self.scheduler is None else type(self.scheduler).__name__,
                loss=type(self.loss).__name__,
                device=str(self.device),
                precision=self.precision.name,
                accumulate=self.accumulate,
                hyperparameters=self._numbers(),
            )
            self.recorder.update(
                step=self.place["step"],
                steps=None if left is None else self.place["step"] + max(0, left),
                epoch=self.place["epoch"],
                epochs=last,
                clonable=True,
            )
            self.recorder.details = self._details
            self.recorder.begin(mode)
            self.control.mailbox = None if self.recorder.directory is None else self.recorder.directory.mailbox
        except BaseException:
            self._release()
            raise
        return self._loop(self.steps(train_loader, valid_loader, epochs), extra, dtype)

    def _loop(self, steps: Iterator[Step], extra: list[Callback], dtype: Any) -> Iterator[float]:
        """Drive `steps`, obeying `control` in between; yields the seconds to wait before going on."""
        state, error, report = "stopped", None, None
        self.callbacks += extra
        try:
            mlkit.set_default_dtype(dtype)  # it belongs to a thread, and this may be a new one
            self._tell("on_fit_start")
            self._settle()
            trained = False
            while True:
                decision = self.control.poll(trained)
                trained = False
                if decision == "stop":
                    break
                if decision == "wait":
                    yield POLL_SECONDS
                    continue
                with self._turns, self._on_this_thread():
                    step = next(steps, None)
                if step is None:
                    state = "finished"
                    break
                trained = step.trained
                yield 0.0
            self._save_last()
        except GeneratorExit:
            raise
        except BaseException as problem:
            if not isinstance(problem, KeyboardInterrupt):
                state, error, report = "failed", f"{type(problem).__name__}: {problem}", report_of(problem)
            self._tell("on_exception", problem)
            raise
        finally:
            try:
                steps.close()  # type: ignore[attr-defined]
                self._tell("on_fit_end", state)
            finally:
                self.random_before_validation = self._taken_up = None
                self.callbacks = [callback for callback in self.callbacks if callback not in extra]
                self.recorder.end(state, error, report)
                self._release()

    def _claim(self) -> None:
        if not self._driving.acquire(blocking=False):
            raise RuntimeError(
                f"This trainer is training already ({self.recorder.state}). Wait for it with `await trainer.run`, or "
                "end it with trainer.stop()."
            )
        with _models_lock:
            other = _models.get(self.model)
            if other is not None:
                self._driving.release()
                raise RuntimeError(
                    f"Another trainer ({other}) is training this very model. Wait until it ends, or stop it; to train "
                    "both at once, give each its own model."
                )
            _models[self.model] = self.name
        enter_training(self.model, self._turns, lambda: self.recorder)

    def _release(self) -> None:
        leave(self._occupied)
        self._occupied = None
        leave_training(self._turns)
        with _models_lock:
            _models.pop(self.model, None)
        self._driving.release()

    @contextlib.contextmanager
    def _on_this_thread(self) -> Iterator[None]:
        outer, _here.trainer = _here.trainer, self
        try:
            yield
        finally:
            _here.trainer = outer

    def _made_from(self, parent: Any) -> None:
        super()._made_from(parent)
        self.loaders = parent.loaders
        self.checkpoint_dir = self.resumed_from = self._taken_up = self._saved_at = self._occupied = None
        self._turns, self._driving = Turns(), threading.Lock()
        self.control = self._new_control()

    def _new_control(self) -> Control:
        return Control(
            self._set, self._save_from_control, self._enter_state, self._problem, self._clone_from_wish
        )  # fmt: skip

    @contextlib.contextmanager
    def _interrupt_means_stop(self) -> Iterator[None]:
        """While `fit` runs, the first interrupt is the command "stop", obeyed between two steps: no half-made step."""
        usual = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
        if usual is not signal.default_int_handler:
            yield
            return

        def on_interrupt(number: int, frame: Any) -> None:
            signal.signal(signal.SIGINT, usual)
            self.control.send("stop")

        signal.signal(signal.SIGINT, on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)

    # -- showing ------------------------------------------------------------------------------------------------------

    def _new_recorder(self) -> Recorder:
        return Recorder(self.name, root=self._run_dir)

    def _tell(self, event: str, *arguments: Any) -> None:
        for callback in list(self.callbacks):
            getattr(callback, event)(self, *arguments)

    def __mlkit_source__(self) -> Source:
        return RecorderSource(
            lambda: self.recorder,
            self._send_from_source,
            self._clone_from_wish,
            clones=lambda: [run.trainer.__mlkit_source__() for run in self.clones],
        )

    def __repr__(self) -> str:
        return (
            f"<Trainer of {type(self.model).__name__}: {type(self.optimizer).__name__}, lr {self.lr:g}, "
            f"{self.recorder.state} at step {self.place['step']:,}>"
        )


def _averaged(wanted: Any, model: Any) -> Any:
    """An `AveragedModel` for ``ema=``: of a decay, True, or one that was made already."""
    averages = mlkit.optim.swa_utils
    if wanted is None or wanted is False:
        return None
    if isinstance(wanted, averages.AveragedModel):
        return wanted
    decay = 0.999 if wanted is True else wanted
    if not isinstance(decay, (int, float)) or not 0 < decay < 1:
        raise DataError(
            f"Trainer: ema is a decay between 0 and 1, got {wanted!r}.", hint="Usual are 0.99 to 0.9999, or True."
        )
    return averages.AveragedModel(model, multi_avg_fn=averages.get_ema_multi_avg_fn(decay))


def _watching(wanted: Any, model: Any) -> GradientFlow | None:
    """The watcher for ``gradient_flow=``: made here for True."""
    if wanted is None or wanted is False:
        return None
    if wanted is True:
        return GradientFlow(model)
    if not isinstance(wanted, GradientFlow):
        raise DataError(
            f"Trainer: gradient_flow must be True or a GradientFlow, got a {type(wanted).__qualname__}.",
            hint="GradientFlow(model, every=10) looks at each tenth step.",
        )
    return wanted


def _check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        words = " or ".join(repr(choice) for choice in choices if choice is not None)
        raise DataError(f"Trainer: {name} must be {words}, got {value!r}.")


def _check_count(name: str, value: Any, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DataError(f"Trainer: {name} must be a number of {what} of at least 1, got {value!r}.")


def _iterate(loader: Any, skip: int) -> Iterator[Any]:
    """The loader's batches without the first ones; a `DataLoader` does not even load those."""
    if hasattr(loader, "iterate"):
        return loader.iterate(skip)
    batches = iter(loader)
    for _ in range(skip):
        next(batches, None)
    return batches


#: Models being trained now: two trainers at once on one model would undo each other's steps.
_models: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
_models_lock = threading.Lock()
