"""The trainer: a training loop short enough to read, and what can be done with it while it runs."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import warnings
import weakref
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlkit
from mlkit.core.errors import CheckpointError, DataError
from mlkit.core.files import explain_os_error
from mlkit.data.collate import map_tensors
from mlkit.io import load_checkpoint, save_checkpoint
from mlkit.observe import Control, Recorder, RecorderSource, Source
from mlkit.observe.control import POLL_SECONDS
from mlkit.observe.directory import RunDirectory
from mlkit.train.callbacks import Callback, ProgressBar
from mlkit.train.checks import check_epochs, check_loader, check_optimizer, describe_batch, length_of
from mlkit.train.history import History, lower_is_better
from mlkit.train.metrics import Metric, metrics_of
from mlkit.train.run import Run
from mlkit.train.state import apply_state, check_state, gather_state, restore_random, snapshot_random
from mlkit.train.turns import Turns

__all__ = ["Step", "Trainer"]


class Step(NamedTuple):
    """What `Trainer.steps` yields: what was done, and whether the model was changed."""

    trained: bool
    values: dict[str, float]


class Trainer:
    """Train a model on batches of data; watch it, steer it, save it.

    Args:
        model: An `nn.Module`.
        loss: A function of (output, target) that gives a scalar; `nn.CrossEntropyLoss()` by default.
        optimizer: Made from ``model.parameters()``; `optim.AdamW` with a learning rate of 0.001 by default.
        scheduler: Moves the learning rate; its `step` is called after every epoch (see `scheduler_every`).
        metrics: Names, `Metric` objects or functions of (output, target). By default "auto": the accuracy, where the
            targets are class labels.
        callbacks: `Callback` objects.
        checkpoint_dir: Folder for checkpoints: ``last.safetensors`` is kept up to date, and ``best.safetensors``
            where there is a validation.
        checkpoint_every: Save after so many steps; by default after each epoch.
        progress: Show a progress bar in `fit`.
        device: Where to train; by default where the model is.
        run_dir: Folder that holds run directories (``$MLKIT_RUNS`` or ``./runs`` by default); False: none.
        name: Of the run; by default the model's class.
        grad_clip: Largest norm of all gradients together; longer ones are shortened to it.
        scheduler_every: "epoch" or "step".
        monitor: The curve that decides which checkpoint is the best; by default the validation's accuracy, else loss.

    A batch is (inputs..., target) or a dictionary; override `compute` for other ones.

    ``history = trainer.fit(loader, epochs=3)`` trains and comes back when it is done (the notebook's interrupt or
    Ctrl-C ends it early and keeps the model). ``run = trainer.start(loader, epochs=3)`` trains in the background.

    >>> import numpy as np
    >>> from mlkit import nn
    >>> from mlkit.data import DataLoader, TensorDataset
    >>> x = np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32)
    >>> loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).astype(np.int64)), batch_size=16)
    >>> trainer = Trainer(nn.Linear(2, 2), progress=False, run_dir=False)
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
        scheduler_every: str = "epoch",
        monitor: str | None = None,
    ) -> None:
        if not isinstance(model, mlkit.nn.Module):
            raise DataError(f"Trainer: the model must be an nn.Module, got a {type(model).__qualname__}.")
        if scheduler_every not in ("epoch", "step"):
            raise DataError(f"Trainer: scheduler_every must be 'epoch' or 'step', got {scheduler_every!r}.")
        if checkpoint_every is not None and (not isinstance(checkpoint_every, int) or checkpoint_every < 1):
            raise DataError(f"Trainer: checkpoint_every must be a number of steps, got {checkpoint_every!r}.")
        if device is not None:
            model.to(device)
        self.model = model
        self.loss = loss if loss is not None else mlkit.nn.CrossEntropyLoss()
        self.optimizer = optimizer if optimizer is not None else mlkit.optim.AdamW(model.parameters(), lr=1e-3)
        check_optimizer(model, self.optimizer)
        self.scheduler = scheduler
        self.scheduler_every = scheduler_every
        self.metrics: list[Metric] = metrics_of(("accuracy",) if isinstance(metrics, str) and metrics == "auto"
                                                else metrics)  # fmt: skip
        self._only_where_it_applies = isinstance(metrics, str) and metrics == "auto"
        self.callbacks: list[Callback] = list(callbacks)
        self.checkpoint_dir = None if checkpoint_dir is None else Path(checkpoint_dir)
        self.checkpoint_every = checkpoint_every
        self.progress = progress
        self.grad_clip = grad_clip
        self.monitor = monitor
        self.name = name or type(model).__name__
        self.run: Run | None = None

        # Where the training is; a checkpoint keeps all of it.
        self.place = {"step": 0, "epoch": 0, "batch": 0, "fit_began_at_epoch": 0}
        self.best: float | None = None
        self.epoch_random: dict[str, Any] | None = None
        self.epoch_sums = _Means()
        self.train_loader: Any = None

        self._run_dir = run_dir
        self._turns = Turns()
        self._driving = threading.Lock()
        self._told_not_finite = False
        self.recorder = self._new_recorder()
        self.control = Control(self._set, self._save_from_control, self._enter_state, self._problem)

    # -- the loop ---------------------------------------------------------------------------------------------------

    def steps(self, train_loader: Iterable[Any], valid_loader: Any = None, epochs: int = 1) -> Iterator[Step]:
        """The training loop. Each ``next()`` does one step; `fit` and `start` differ only in who calls it.

        Args:
            train_loader: Gives batches, anew in each epoch.
            valid_loader: Gives batches to measure on after each epoch.
            epochs: How many epochs to go.

        Yields:
            A `Step` after every training step and every validation batch.
        """
        place = self.place
        for epoch in range(place["epoch"] + 1, place["fit_began_at_epoch"] + epochs + 1):
            self._tell("on_epoch_begin", epoch)
            for batch in self._batches(train_loader):
                self._training_mode()
                output, target, loss = self._compute(batch)
                self.optimizer.zero_grad()
                loss.backward()
                if self.grad_clip is not None:
                    clip_gradients(self.model.parameters(), self.grad_clip)
                self.optimizer.step()
                if self.scheduler is not None and self.scheduler_every == "step":
                    self.scheduler.step()
                yield self._record_step(output, target, loss)

            measured = {f"train/{name}": value for name, value in self.epoch_sums.means().items()}
            if valid_loader is not None:
                sums: dict[str, float] = yield from self._measure(valid_loader)
                measured |= {f"valid/{name}": value for name, value in sums.items()}
            if self.scheduler is not None and self.scheduler_every == "epoch":
                self.scheduler.step()
            self._record_epoch(epoch, measured)

    def compute(self, batch: Any) -> tuple[Any, Any, Any]:
        """(output, target, loss) of one batch. Override it for a model with other inputs or another loss.

        Args:
            batch: As the loader gave it, on the model's device.
        """
        *inputs, target = self._parts(batch)
        output = self.model(*inputs)
        return output, target, self.loss(output, target)

    def _compute(self, batch: Any) -> tuple[Any, Any, Any]:
        batch = self._to_device(batch)
        try:
            return self.compute(batch)
        except Exception as error:
            step, epoch = self.place["step"] + 1, self.place["epoch"] + 1
            error.add_note(f"(in step {step} of the training, epoch {epoch}; the batch: {describe_batch(batch)})")
            raise

    def _parts(self, batch: Any) -> list[Any]:
        if isinstance(batch, (list, tuple)) and len(batch) >= 2:
            return list(batch)
        if isinstance(batch, dict) and len(batch) >= 2:
            return list(batch.values())
        raise DataError(
            f"Trainer: a batch must be (inputs..., target), got {describe_batch(batch)}.",
            hint="Let the dataset return (input, target), or override Trainer.compute.",
        )

    def _batches(self, loader: Any) -> Iterator[Any]:
        """This epoch's batches; those of an epoch taken up again come after the ones already seen."""
        seen = self.place["batch"]
        if seen and self.epoch_random is not None:
            now = snapshot_random(loader)
            restore_random(self.epoch_random, loader)  # so that the same order is drawn
            batches = _iterate(loader, seen)
            restore_random(now, loader)
        else:
            self.epoch_random = snapshot_random(loader)
            self.epoch_sums.reset()
            batches = _iterate(loader, 0)
        yield from batches
        if self.place["batch"] == 0:
            raise DataError("The training loader gave no batch.", hint="Check where its samples come from.")

    def _record_step(self, output: Any, target: Any, loss: Any) -> Step:
        place, size = self.place, _size(target)
        place["step"] += 1
        place["batch"] += 1
        values = {"loss": float(loss.item())}
        for metric in self._metrics_for(output, target):
            values[metric.name] = metric.of_batch(output, target)
        self.epoch_sums.add(values, size)
        step = place["step"]
        if not math.isfinite(values["loss"]) and not self._told_not_finite:
            self._told_not_finite = True
            self.recorder.event("message", level="warning", text=f"The loss is {values['loss']} since step {step}. "
                                "A lower learning rate or grad_clip=1.0 often helps.")  # fmt: skip
        values = {f"train/{name}": value for name, value in values.items()}
        values["lr"] = self.optimizer.param_groups[0]["lr"]
        self.recorder.advance(step, size)
        self.recorder.record(step, values)
        self._report_hyperparameters()
        self._tell("on_step", step, values)
        if self.checkpoint_every is not None and self.checkpoint_dir and step % self.checkpoint_every == 0:
            self._save_or_warn(self.checkpoint_dir / "last.safetensors")
        return Step(True, values)

    def _record_epoch(self, epoch: int, measured: dict[str, float]) -> None:
        self.place.update(epoch=epoch, batch=0)
        valid = {name: value for name, value in measured.items() if name.startswith("valid/")}
        if valid:
            self.recorder.record(self.place["step"], valid)
        self.recorder.update(epoch=epoch)
        self._report_hyperparameters()
        self.recorder.event("epoch", epoch=epoch, values=measured)
        self._tell("on_epoch_end", epoch, measured)
        if self.checkpoint_dir is not None:
            better = self._is_best(valid)
            if self.checkpoint_every is None:
                self._save_or_warn(self.checkpoint_dir / "last.safetensors")
            if better:
                self._save_or_warn(self.checkpoint_dir / "best.safetensors")

    def _is_best(self, valid: dict[str, float]) -> bool:
        name = self.monitor or ("valid/accuracy" if "valid/accuracy" in valid else "valid/loss")
        value = valid.get(name, math.nan)
        if math.isnan(value):
            return False
        better = self.best is None or (value < self.best if lower_is_better(name) else value > self.best)
        if better:
            self.best = value
        return better

    # -- running it -------------------------------------------------------------------------------------------------

    def fit(self, train_loader: Any, valid_loader: Any = None, epochs: int = 1, resume: Any = None) -> History:
        """Train, and come back when it is done.

        A keyboard interrupt ends it after the step it is in (a second one at once); the model stays as it is.

        Args:
            train_loader: A `DataLoader`, or anything that gives batches anew each time it is iterated.
            valid_loader: Measured on after each epoch.
            epochs: How many; a further `fit` goes on from where this one ended.
            resume: Path of a checkpoint to take up exactly where it was (`epochs` then counts those it had done), or
                "auto": ``last.safetensors`` in `checkpoint_dir`, if it is there.

        Returns:
            The history.

        Raises:
            DataError: Nothing to train on.
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

    def start(self, train_loader: Any, valid_loader: Any = None, epochs: int = 1, resume: Any = None) -> Run:
        """Train in the background and come back at once; the arguments are those of `fit`.

        Returns:
            The `Run`: ``await run`` waits for it, ``run.stop()`` ends it, `Watch(run)` shows it.
        """
        loop = self._begin(train_loader, valid_loader, epochs, resume, "background", [])
        self.run = Run(self, loop)
        self.run._start()
        return self.run

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
            self.train_loader = train_loader
            path = self._resume_path(resume)
            if path is not None:
                self._load(path)
            else:
                self.place.update(fit_began_at_epoch=self.place["epoch"], batch=0)
            self.control.reset()
            dtype = mlkit.get_default_dtype()
            last = self.place["fit_began_at_epoch"] + epochs
            length = length_of(train_loader)
            left = None if length is None else (last - self.place["epoch"]) * length - self.place["batch"]
            self.recorder.meta.update(
                mlkit=mlkit.__version__,
                model=type(self.model).__name__,
                parameters=sum(parameter.numel() for parameter in self.model.parameters()),
                epochs=last,
                steps_per_epoch=length,
                batch_size=getattr(train_loader, "batch_size", None),
                optimizer=type(self.optimizer).__name__,
                loss=type(self.loss).__name__,
                device=str(self.device),
                hyperparameters=self.hyperparameters,
            )
            self.recorder.update(
                step=self.place["step"],
                steps=None if left is None else self.place["step"] + max(0, left),
                epoch=self.place["epoch"],
                epochs=last,
            )
            self._report_hyperparameters()
            self.recorder.begin(mode)
            self.control.mailbox = None if self.recorder.directory is None else self.recorder.directory.mailbox
        except BaseException:
            self._release()
            raise
        return self._loop(self.steps(train_loader, valid_loader, epochs), extra, dtype)

    def _loop(self, steps: Iterator[Step], extra: list[Callback], dtype: Any) -> Iterator[float]:
        """Drive `steps`, obeying `control` in between; yields the seconds to wait before going on."""
        state, error = "stopped", None
        self.callbacks += extra
        try:
            mlkit.set_default_dtype(dtype)  # it belongs to a thread, and this may be a new one
            self._tell("on_fit_begin")
            trained = False
            while True:
                decision = self.control.poll(trained)
                trained = False
                if decision == "stop":
                    break
                if decision == "wait":
                    yield POLL_SECONDS
                    continue
                with self._turns.step():
                    step = next(steps, None)
                if step is None:
                    state = "finished"
                    break
                trained = step.trained
                yield 0.0
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as problem:
            state, error = "failed", f"{type(problem).__name__}: {problem}"
            raise
        finally:
            try:
                steps.close()  # type: ignore[attr-defined]
                self._tell("on_fit_end", state)
            finally:
                self.callbacks = [callback for callback in self.callbacks if callback not in extra]
                self.recorder.end(state, error)
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

    def _release(self) -> None:
        with _models_lock:
            _models.pop(self.model, None)
        self._driving.release()

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

    # -- steering ---------------------------------------------------------------------------------------------------

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
            for group in self.optimizer.param_groups:
                share = group[name] / old if old else 1.0
                group[name] = value * share
        if name == "lr" and old and self.scheduler is not None and hasattr(self.scheduler, "base_lrs"):
            self.scheduler.base_lrs = [base * value / old for base in self.scheduler.base_lrs]
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

    # -- measuring and predicting -------------------------------------------------------------------------------------

    def evaluate(self, loader: Any) -> dict[str, float]:
        """Loss and metrics over all batches, each weighted by its size; the model is not changed.

        While a training runs in the background, this takes its turn between two steps.

        Returns:
            {"loss": ..., "accuracy": ...}
        """
        check_loader(loader, "evaluate")
        with self.between_steps(), self._evaluation_mode():
            measuring = self._measure(loader)
            while True:
                try:
                    next(measuring)
                except StopIteration as end:
                    return end.value

    validate = evaluate
    test = evaluate

    def predict(self, data: Any) -> Any:
        """The model's outputs for all inputs, in order.

        Args:
            data: A loader of (inputs..., target) or of inputs alone; or one Tensor, a batch of inputs.

        Returns:
            Tensor [samples, ...].
        """
        with self.between_steps(), self._evaluation_mode(), mlkit.no_grad():
            if mlkit.is_tensor(data):
                return self.model(self._to_device(data))
            check_loader(data, "predict")
            outputs = []
            for batch in data:
                batch = self._to_device(batch)
                if isinstance(batch, dict):
                    batch = list(batch.values())
                parts = list(batch) if isinstance(batch, (list, tuple)) else [batch]
                outputs.append(self.model(*(parts[:-1] if len(parts) > 1 else parts)))
            return mlkit.cat(outputs)

    def _measure(self, loader: Any) -> Generator[Step, None, dict[str, float]]:
        """Measure batch by batch; gives the means. The mode is set for each batch, as others may use the model."""
        means, metrics = _Means(), list(self.metrics)
        for metric in metrics:
            metric.reset()
        counted = False
        for batch in loader:
            with self._evaluation_mode(), mlkit.no_grad():
                output, target, loss = self._compute(batch)
                if not counted:
                    metrics, counted = self._metrics_for(output, target), True
                means.add({"loss": float(loss.item())}, _size(target))
                for metric in metrics:
                    metric.update(output, target)
            yield Step(False, {})
        if not counted:
            raise DataError("The loader gave no batch to measure on.", hint="Check where its samples come from.")
        return means.means() | {metric.name: metric.compute() for metric in metrics}

    def _metrics_for(self, output: Any, target: Any) -> list[Metric]:
        if not self._only_where_it_applies:
            return self.metrics
        return [metric for metric in self.metrics if metric.applies(output, target)]

    def between_steps(self) -> contextlib.AbstractContextManager[None]:
        """``with trainer.between_steps():`` the model is yours; a training in the background waits meanwhile."""
        return self._turns.guest()

    def _training_mode(self) -> None:
        if not self.model.training:  # also when someone has switched it while the training was paused
            self.model.train()

    @contextlib.contextmanager
    def _evaluation_mode(self) -> Iterator[None]:
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    @property
    def device(self) -> Any:
        """Where the model's parameters are."""
        return next(iter(self.model.parameters())).device

    def _to_device(self, batch: Any) -> Any:
        device = self.device
        return map_tensors(batch, lambda tensor: tensor if tensor.device == device else tensor.to(device))

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def save_checkpoint(self, path: Any = None) -> Path:
        """Save everything needed to go on exactly from here: model, optimizer, scheduler, random numbers, curves.

        While a training runs, this happens between two steps.

        Args:
            path: The file; by default ``step-<number>.safetensors`` in `checkpoint_dir`, or in the run directory.

        Returns:
            The path.

        Raises:
            CheckpointError: There is no place to save to by default.
            OSError: The disk is full or the folder read-only; an older file is as it was.
        """
        with self.between_steps():
            target = self._default_checkpoint() if path is None else Path(path)
            save_checkpoint(gather_state(self), target)
            self.recorder.event("checkpoint", path=str(target))
            self._tell("on_checkpoint", target)
            return target

    def load_checkpoint(self, path: Any) -> None:
        """Take up a checkpoint: model, optimizer, scheduler, random numbers, curves. Its curves begin a new recording.

        Raises:
            CheckpointError: It is damaged or of another model; nothing was changed.
            RuntimeError: A training is running.
        """
        self._claim()
        try:
            self._load(path)
        finally:
            self._release()

    def _load(self, path: Any) -> None:
        state = load_checkpoint(path)
        try:
            check_state(self, state, path)
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path} lacks a part of a training: {error!r}.") from error
        if self.recorder.names():
            self.recorder = self._new_recorder()
        apply_state(self, state)
        restore_random(state["random"], self.train_loader)
        history = state["history"]
        self.recorder.restore(history["series"], history["elapsed"], history["epochs"])
        self.recorder.update(step=self.place["step"], epoch=self.place["epoch"])
        self.recorder.event("message", text=f"Taken up from {path} at step {self.place['step']}.")

    def _resume_path(self, resume: Any) -> Path | None:
        if resume is None:
            return None
        if resume != "auto":
            return Path(resume)
        if self.checkpoint_dir is None:
            raise CheckpointError("resume='auto' looks into checkpoint_dir, and this trainer has none.",
                                  hint="Give the Trainer a checkpoint_dir.")  # fmt: skip
        last = self.checkpoint_dir / "last.safetensors"
        return last if last.exists() else None

    def _default_checkpoint(self) -> Path:
        folder = self.checkpoint_dir
        if folder is None and self.recorder.path is None and not self.training and self._run_dir is not False:
            self.recorder.directory = RunDirectory.create(self.name, self._run_dir)
        if folder is None and self.recorder.path is not None:
            folder = self.recorder.path / "checkpoints"
        if folder is None:
            raise CheckpointError("There is no folder to save a checkpoint to.",
                                  hint="Give a path, or give the Trainer a checkpoint_dir.")  # fmt: skip
        return folder / f"step-{self.place['step']:08d}.safetensors"

    def _save_from_control(self, path: str | None) -> None:
        self._save_or_warn(path)

    def _save_or_warn(self, path: Any) -> None:
        """A checkpoint that cannot be saved must not cost the training: it is told, and the training goes on."""
        try:
            self.save_checkpoint(path)
        except (OSError, CheckpointError) as error:
            if isinstance(error, OSError):
                error = explain_os_error(error, path, "save the checkpoint") if not error.strerror else error
            text = f"{getattr(error, 'strerror', None) or error} The training goes on."
            self.recorder.event("checkpoint", path=None if path is None else str(path), error=text)
            warnings.warn(text, UserWarning, stacklevel=2)

    # -- showing ------------------------------------------------------------------------------------------------------

    @property
    def history(self) -> History:
        """The curves so far."""
        return History(self.recorder)

    def _new_recorder(self) -> Recorder:
        return Recorder(self.name, root=self._run_dir)

    def _tell(self, event: str, *arguments: Any) -> None:
        for callback in list(self.callbacks):
            getattr(callback, event)(self, *arguments)

    def __mlkit_source__(self) -> Source:
        return RecorderSource(lambda: self.recorder, self._send_from_source)

    def _send_from_source(self, command: str, name: str | None, value: Any) -> None:
        if command == "set":
            self._check_setting(str(name), value)
        self.control.send(command, name, value)

    def __repr__(self) -> str:
        return (
            f"<Trainer of {type(self.model).__name__}: {type(self.optimizer).__name__}, lr {self.lr:g}, "
            f"{self.recorder.state} at step {self.place['step']:,}>"
        )


class _Means:
    """Means of named numbers over batches, each weighted by its size."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._sums: dict[str, float] = {}
        self._weights: dict[str, int] = {}

    def add(self, values: dict[str, float], size: int) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value * size
            self._weights[name] = self._weights.get(name, 0) + size

    def means(self) -> dict[str, float]:
        return {name: total / max(1, self._weights[name]) for name, total in self._sums.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "weights": dict(self._weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sums, self._weights = dict(state["sums"]), dict(state["weights"])


def clip_gradients(parameters: Iterable[Any], largest: float) -> float:
    """Shorten all gradients together to at most this length (Euclidean norm); returns the length before."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    with mlkit.no_grad():
        length = math.sqrt(sum(float((gradient * gradient).sum().item()) for gradient in gradients))
        if length > largest:
            for gradient in gradients:
                gradient.mul_(largest / (length + 1e-6))
    return length


def _iterate(loader: Any, skip: int) -> Iterator[Any]:
    """The loader's batches without the first ones; a `DataLoader` does not even load those."""
    if hasattr(loader, "iterate"):
        return loader.iterate(skip)
    batches = iter(loader)
    for _ in range(skip):
        next(batches, None)
    return batches


def _size(target: Any) -> int:
    shape = getattr(target, "shape", None)
    return int(shape[0]) if shape else 1


#: Models being trained now: two trainers at once on one model would undo each other's steps.
_models: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
_models_lock = threading.Lock()
