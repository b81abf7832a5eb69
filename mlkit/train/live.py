"""A loop of one's own, live: ``for batch in mlkit.live(loader): ...``.

The loop stays a plain PyTorch-style loop. Around each batch `live` records what ``backward()`` was called on and the
learning rate of the optimizer that stepped, in a run directory as the `Trainer` does; so curves, dashboards, pause, stop
and a new learning rate work as they do there.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlkit
from mlkit.core import events
from mlkit.core.errors import CheckpointError, DataError
from mlkit.core.files import explain_os_error
from mlkit.io import save_checkpoint
from mlkit.observe import Control, Recorder, RecorderSource, Source
from mlkit.observe.source import NO_CLONE
from mlkit.optim.optimizer import register_optimizer_step_post_hook
from mlkit.train.callbacks import ProgressBar, bar_class
from mlkit.train.checks import check_loader, length_of, warn
from mlkit.train.failing import report_of
from mlkit.train.history import History
from mlkit.train.hyperparameters import Hyperparameters
from mlkit.train.means import Means
from mlkit.train.parts import size_of
from mlkit.train.steering import scale_schedule, set_in_groups
from mlkit.train.turns import Turns, enter_training, leave_training

__all__ = ["Live", "live"]


class Live:
    """What `mlkit.live` gives: iterate over it, once per epoch. It records, and it can be steered from anywhere.

    Use it in a ``with`` statement where an error in the loop shall be told in the run ("failed" and the error's words);
    a plain loop that is left by an error or by ``break`` is recorded as "stopped".
    """

    def __init__(self, loader: Any, run: _LoopRun, *, epochs: int | None, progress: bool) -> None:
        self.loader = loader
        self._run = run
        self._epochs = epochs
        self._progress = progress
        self._losses: list[float] = []
        self._logged: dict[str, float] = {}
        self._moved = self._inner = False

    def __len__(self) -> int:
        length = length_of(self.loader)
        if length is None:
            raise TypeError(f"A {type(self.loader).__qualname__} has no length.")
        return length

    # -- the loop -------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        # A generator's `finally` runs where the loop is left, however: at its end, by break, by an exception.
        return self._go()

    def _go(self) -> Iterator[Any]:
        stack = _here.stack
        outer = stack[-1] if stack else None
        if outer is not None and outer is not self:
            outer._inner = True
            self._run = outer._run
        run = self._run
        if run.control.poll() == "stop":
            run.broken_off()
            run.say_stopped()
            return
        means = Means()
        run.enter_pass(length_of(self.loader))

        def on_backward(tensors: Any) -> None:
            inner = _here.stack  # another thread has another one
            if inner and inner[-1] is self:
                self._saw_backward(tensors)

        def on_step(optimizer: Any, args: Any, kwargs: Any) -> None:
            inner = _here.stack
            if inner and inner[-1] is self:
                self._moved = True
                self._run = self._run.saw_step(optimizer, self)

        stack.append(self)
        unsubscribe = events.subscribe("backward_start", on_backward)
        hook = register_optimizer_step_post_hook(on_step)
        whole = done = False
        try:
            for item in self.loader:
                if not self._run.may_go_on(self, done):
                    break
                done = True
                self._losses, self._logged = [], {}
                self._moved = self._inner = False
                size = size_of(item)
                with self._run.turns:
                    try:
                        yield item
                    finally:
                        self._finish(size, means)
            else:
                whole = True
        except GeneratorExit:  # left by the program: break, or an error of its own
            raise
        except BaseException:  # an interrupt while a batch is waited for, or an error of the loader
            run.broken_off()
            raise
        finally:
            unsubscribe()
            hook.remove()
            if self in stack:
                stack.remove(self)
            self._run.leave_pass(self, whole, done, outer, means.means())

    def _finish(self, size: int, means: Means) -> None:
        """One batch is done, or left in its middle: record what it said."""
        trained = bool(self._losses) or self._moved
        values = {f"train/loss_{at + 1}" if at else "train/loss": value for at, value in enumerate(self._losses)}
        if self._logged:
            values |= _curves(self._logged)
        if trained or values:
            self._run.settle(self)
            self._run.record(values, size if trained else None)
            means.add(values, size)
        self._losses, self._logged = [], {}

    def _saw_backward(self, tensors: Any) -> None:
        for tensor in tensors:
            if tensor.numel() == 1:
                self._losses.append(float(tensor.item()))
        model = self._run.model
        if model is not None and not model.training and not self._run.told_mode:
            self._run.told_mode = True
            warn(
                f"{type(model).__name__} is being trained in evaluation mode, where dropout and batch norm do not train. "
                "Call model.train() before the loop."
            )

    def log(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Record numbers at this step: ``live.log(loss=loss, accuracy=right / total)``.

        Args:
            values: Names and numbers (or tensors of one element). "accuracy" becomes the curve "train/accuracy"; a
                name with a slash, such as "valid/loss", stays as it is. A "loss" takes the place of the one that was
                seen at ``backward()``.
        """
        numbers = {name: _number(name, value) for name, value in {**(values or {}), **more}.items()}
        if self in _here.stack:
            self._logged |= numbers
        else:  # after the loop, as for a validation
            self._run.record(_curves(numbers))

    # -- steering, as with a Run ------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stand still before the next batch."""
        self._run.control.send("pause")

    def resume(self) -> None:
        """Go on."""
        self._run.control.send("resume")

    def step(self) -> None:
        """Go on for one batch."""
        self._run.control.send("step")

    def stop(self) -> None:
        """End the loop before the next batch, and the passes that would follow it."""
        self._run.control.send("stop")

    @property
    def lr(self) -> float | None:
        """The learning rate of the optimizer, once it is known; setting it takes effect before the next batch."""
        optimizer = self._run.optimizer
        return None if optimizer is None else self.hyperparameters.get("lr", optimizer.param_groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        self._run.check_setting("lr", value)
        self._run.control.send("set", "lr", float(value))

    @property
    def hyperparameters(self) -> dict[str, float]:
        """The numbers that can be changed while it runs, by name; those just set, which count from the next batch on,
        with their new value."""
        numbers = self._run.hyperparameters()
        return self._run.control.foreseen(numbers) if self._run.open else numbers

    def set(self, name: str, value: float) -> None:
        """Change one of `hyperparameters`; takes effect before the next batch.

        Raises:
            ValueError: No such name, or a value that cannot be.
        """
        self._run.check_setting(name, value)
        if self._run.open:
            self._run.control.send("set", name, float(value))
        else:
            self._run._set(name, float(value))

    def hyperparameter(
        self,
        name: str,
        value: float | None = None,
        *,
        low: float | None = None,
        high: float | None = None,
        apply: Callable[[Any, float], Any] | None = None,
    ) -> float:
        """A number of your own that can be turned while the loop runs; gives its present value.

        The first call registers it, further ones ask for it::

            for inputs, targets in (loop := mlkit.live(loader)):
                loss = cross_entropy(model(inputs) / loop.hyperparameter("temperature", 0.7), targets)

        Args:
            name: What to call it.
            value: What it is at first; a whole number stays one. Needed in the first call only.
            low, high: Limits, both allowed themselves; none by default.
            apply: Called with the model (as given to `mlkit.live`, else None) and the value, at once and at each change.

        Raises:
            ValueError: No such name yet and no value, a name of the optimizer's, or a value that cannot be.
        """
        return self._run.hyperparameter(name, value, low, high, apply)

    def save_checkpoint(self, path: Any = None) -> Path:
        """Save model, optimizer and scheduler, as far as `mlkit.live` was given them or has seen them.

        Args:
            path: The file; by default ``step-<number>.safetensors`` in the run directory.
        """
        return self._run.save(path)

    @property
    def status(self) -> str:
        """ "running", "paused", "finished", "stopped" or "failed"."""
        return self._run.recorder.state

    @property
    def history(self) -> History:
        """The curves so far."""
        return History(self._run.recorder)

    @property
    def directory(self) -> Path | None:
        """The run directory; None where there is none."""
        return self._run.recorder.path

    def __mlkit_source__(self) -> Source:
        return self._run.source()

    def __enter__(self) -> Live:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is None or isinstance(error, KeyboardInterrupt):
            self._run.close("finished" if error is None and not self._run.left else "stopped")
        else:
            self._run.close("failed", f"{type(error).__name__}: {error}", report_of(error))

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich

        return rich.repr_html(self._run.source())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
        from mlkit.core import rich

        return rich.repr_mimebundle(self._run.source(), include, exclude)

    def __repr__(self) -> str:
        status = self._run.recorder.status()
        return f"<Live {self._run.recorder.name}: {status['state']}, step {status['step']:,}>"


class _LoopRun:
    """The run behind one or several `Live`: its recorder, its commands, where it is."""

    def __init__(self, key: Any, name: str, run_dir: Any, model: Any, optimizer: Any, scheduler: Any) -> None:
        self.key, self.name, self.run_dir = key, name, run_dir
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.seen: list[Any] = []
        self.recorder = Recorder(name, root=run_dir)
        self.control = Control(self._set, self._save_or_tell, self.recorder.set_state, self._problem)
        self.turns = Turns()
        self.registered = Hyperparameters()
        self.step = self.epoch = 0
        self.open = self.left = False
        self.told_mode = self._told_nan = self._told_stopped = False
        self._confirmed = False
        self._bar: Any = None
        self._numbers: dict[str, float] = {}
        self._next_words = 0.0
        self._steps_per_pass: int | None = None

    # -- passes -----------------------------------------------------------------------------------------------------------

    def enter_pass(self, length: int | None) -> None:
        """A pass begins. The run is opened at the first sign of training: a validation leaves no run behind."""
        self._steps_per_pass = length
        self._confirmed = False

    def _begin(self, live: Live) -> None:
        self._confirmed, self.left = True, False
        _here.last = self
        outer = next((one for one in _here.stack if one is not live), None)  # a loop over epochs around it
        epochs = live._epochs if outer is None else length_of(outer.loader)
        length = self._steps_per_pass
        steps = None
        if length is not None:
            steps = length * epochs if epochs is not None else self.step + length
        self.recorder.update(epochs=epochs, steps=steps, step=self.step)
        if self.open:
            return
        self.open = True
        self.recorder.meta.update(
            mlkit=mlkit.__version__,
            kind="loop",
            model=None if self.model is None else type(self.model).__name__,
            parameters=None if self.model is None else sum(one.numel() for one in self.model.parameters()),
            epochs=epochs,
            steps_per_epoch=length,
            batch_size=getattr(live.loader, "batch_size", None),
            optimizer=None if self.optimizer is None else type(self.optimizer).__name__,
            hyperparameters=self.hyperparameters(),
        )
        self.recorder.details = self._details
        self.recorder.begin("blocking" if threading.current_thread() is threading.main_thread() else "background")
        self.control.mailbox = None if self.recorder.directory is None else self.recorder.directory.mailbox
        self._enter_training()
        _open_runs.add(self)
        kind = bar_class() if live._progress else None
        if kind is not None:
            self._bar = kind(total=steps, initial=self.step, unit="step", dynamic_ncols=True, leave=True)

    def _enter_training(self) -> None:
        trained = self.model
        if trained is None and self.optimizer is not None:
            self._moved_by = trained = _MovedBy(self.optimizer)
        if trained is not None:
            enter_training(trained, self.turns, lambda: self.recorder)

    def leave_pass(self, live: Live, whole: bool, done: bool, outer: Live | None, means: dict[str, float]) -> None:
        if not self._confirmed:
            return  # nothing was trained in it
        stopped = self.control.poll(trained=done and not live._inner) == "stop"
        self.left = not whole
        if whole and means:
            self.epoch += 1
            self.recorder.update(epoch=self.epoch)
            self.recorder.event("epoch", epoch=self.epoch, values=means)
        if outer is not None:
            return  # that one closes it
        more = live._epochs is not None and self.epoch < live._epochs
        if whole and more and not stopped:
            return
        self.close("finished" if whole and not stopped else "stopped")

    def broken_off(self) -> None:
        """A further pass ends before its first batch: the run, which the pass before had closed, is not finished. It
        may say "stopping" by now, if Stop was pressed between the two."""
        if not self.open and self.step and self.recorder.status()["state"] in ("finished", "stopping"):
            self.recorder.end("stopped")

    def close(self, state: str, error: str | None = None, report: dict[str, Any] | None = None) -> None:
        """The loop has ended, for now: another pass opens the run again."""
        if not self.open:
            if error is not None:  # left by an exception, which the with statement tells of
                self.recorder.end(state, error, report)
            return
        self.open = False
        leave_training(self.turns)
        _open_runs.discard(self)
        if self._bar is not None:
            self._say_numbers()
            self._bar.close()
            self._bar = None
        self.recorder.end(state, error, report)

    def may_go_on(self, live: Live, done: bool) -> bool:
        """Obey commands; False for stop. Stands still while the run is paused.

        Args:
            live: The loop that asks.
            done: Whether it has gone through a batch since it asked last.
        """
        trained = done and not live._inner
        while (decision := self.control.poll(trained)) == "wait":
            trained = False
            if not self.open and self.step:
                self._begin(live)
            self.recorder.set_state("paused")
            self.control.wait()
        return decision == "go"

    def say_stopped(self) -> None:
        if not self._told_stopped:
            self._told_stopped = True
            warn("This run was told to stop, so mlkit.live gives no more batches in it.")

    # -- what the loop does -------------------------------------------------------------------------------------------------

    def saw_step(self, optimizer: Any, live: Live) -> _LoopRun:
        """An optimizer has stepped. If it is another one than in the passes before, this is another run."""
        if self._confirmed and self.seen and self.seen[0] is optimizer:
            return self
        known = any(optimizer is one for one in self.seen)
        if self.seen and not known and not self._confirmed:
            self.close("finished")
            run = _here.runs[self.key] = _LoopRun(self.key, self.name, self.run_dir, None, optimizer, None)
            run._steps_per_pass = self._steps_per_pass
            run.seen.append(optimizer)
            run._begin(live)
            return run
        if not known:
            self.seen.append(optimizer)
        if self.optimizer is None:
            self.optimizer = optimizer
            if self.open:  # begun by the backward pass of a batch without a step
                self.recorder.meta.update(optimizer=type(optimizer).__name__, hyperparameters=self.hyperparameters())
                self.recorder.rewrite_meta()
                if self.model is None:
                    self._enter_training()
        self.settle(live)
        return self

    def settle(self, live: Live) -> None:
        """Nothing has said that this is another run: it is the one of the passes before."""
        if not self._confirmed:
            self._begin(live)

    def record(self, values: dict[str, float], examples: int | None = None) -> None:
        """What was measured; with `examples`, a training step on as many is done."""
        if examples is not None:
            self.step += 1
        if values and self.optimizer is not None:
            values = {**values, "lr": float(self.optimizer.param_groups[0]["lr"])}
        self.recorder.record(self.step, values, examples)
        if not self.open:  # between two passes nothing else writes it
            self.recorder.flush()
        if self._bar is not None:
            self._numbers = values or self._numbers
            now = time.monotonic()
            if now >= self._next_words:
                self._next_words = now + ProgressBar.DETAIL_SECONDS
                self._say_numbers()
            if examples is not None:
                self._bar.update(1)
        if not self._told_nan and not math.isfinite(values.get("train/loss", 0.0)):
            self._told_nan = True
            text = (f"The loss is {values['train/loss']} since step {self.step}. "
                    "A lower learning rate or clipped gradients often help; look for NaN in the inputs, too.")  # fmt: skip
            self.recorder.event("message", level="warning", text=text)
            warn(text)

    def _say_numbers(self) -> None:
        shown = (f"{name.removeprefix('train/')}={one:.4g}" for name, one in self._numbers.items() if name != "lr")
        self._bar.set_postfix_str(", ".join(shown), refresh=False)

    # -- commands -------------------------------------------------------------------------------------------------------------

    def hyperparameters(self) -> dict[str, float]:
        numbers = {}
        if self.optimizer is not None:
            numbers = {name: value for name, value in list(self.optimizer.param_groups[0].items())
                       if isinstance(value, (int, float)) and not isinstance(value, bool)}  # fmt: skip
        return numbers | self.registered.values()

    def hyperparameter(
        self, name: str, value: float | None, low: float | None, high: float | None, apply: Any
    ) -> float:
        if name in self.registered:
            return self.registered[name].value
        if value is None:
            raise ValueError(f"There is no hyperparameter {name!r} yet. Register it: "
                             f"hyperparameter({name!r}, 0.7).")  # fmt: skip
        number = self.registered.register(name, value, low, high, apply, model=self.model, taken=self.hyperparameters())
        self.recorder.update(**self._details())
        return number

    def _details(self) -> dict[str, Any]:
        """What the run's status says of the hyperparameters."""
        numbers = self.hyperparameters()
        return {"lr": numbers.get("lr"), "hyperparameters": numbers, "registered": self.registered.describe()}

    def check_setting(self, name: str, value: Any) -> None:
        known = self.hyperparameters()
        if name in self.registered:
            self.registered[name].checked(value)
            return
        if self.optimizer is None:
            raise ValueError("The optimizer is not known before its first step. Give it: mlkit.live(loader, "
                             "optimizer=optimizer).")  # fmt: skip
        if name not in known:
            raise ValueError(f"There is no {name!r} to set. There are: {', '.join(known)}.")
        if isinstance(value, bool) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}.")

    def _set(self, name: str, value: float) -> None:
        self.check_setting(name, value)
        old = self.hyperparameters()[name]
        if name in self.registered:
            value = self.registered.set(name, value, self.model)
        else:
            set_in_groups(self.optimizer, name, value)
        if name == "lr" and old:
            scale_schedule(self.scheduler, value / old)
        if value != old:
            self.recorder.event("hyper", name=name, value=value, old=old)
        self.recorder.update(**self._details())

    def _problem(self, text: str) -> None:
        self.recorder.event("message", level="warning", text=text)

    def save(self, path: Any = None) -> Path:
        parts = {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}
        states = {name: dict(one.state_dict()) for name, one in parts.items() if one is not None}
        if not states:
            raise CheckpointError("There is nothing to save: mlkit.live knows neither model nor optimizer.",
                                  hint="Write mlkit.live(loader, model=model, optimizer=optimizer).")  # fmt: skip
        if path is None:
            if self.recorder.path is None:
                raise CheckpointError("There is no run directory to save to.", hint="Give a path.")
            path = self.recorder.path / "checkpoints" / f"step-{self.step:08d}.safetensors"
        with self.turns.guest():
            saved = save_checkpoint({"kind": "loop", "step": self.step, "epoch": self.epoch, **states}, path)
        self.recorder.event("checkpoint", path=str(saved))
        return saved

    def _save_or_tell(self, path: Any) -> None:
        try:
            self.save(path)
        except (OSError, CheckpointError) as error:
            if isinstance(error, OSError) and not error.strerror:
                error = explain_os_error(error, path or "a checkpoint", "save the checkpoint")
            self.recorder.event("checkpoint", path=None, error=f"{error} The loop goes on.")

    def source(self) -> Source:
        return RecorderSource(self.recorder, self._send, cannot_clone=NO_CLONE)

    def _send(self, command: str, name: str | None, value: Any) -> None:
        if command == "set":
            self.check_setting(str(name), value)
        self.control.send(command, name, value)


class _MovedBy:
    """Stands for a model of which only the optimizer is known: the parameters that it moves."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def parameters(self) -> Iterator[Any]:
        for group in self._optimizer.param_groups:
            yield from group["params"]


class _Here(threading.local):
    """What is going on in this thread."""

    def __init__(self) -> None:
        self.stack: list[Live] = []
        self.runs: dict[Any, _LoopRun] = {}
        self.last: _LoopRun | None = None


_here = _Here()
REMEMBERED = 16
"""Runs of a thread that may go on when their place in the program is reached again."""


_open_runs: set[_LoopRun] = set()


class _LiveFunction:
    """`mlkit.live`: call it on a loader; ``mlkit.live.log`` and ``mlkit.live.current`` speak of the loop at hand."""

    __name__ = "live"

    def __call__(
        self,
        loader: Any,
        model: Any = None,
        optimizer: Any = None,
        *,
        scheduler: Any = None,
        epochs: int | None = None,
        name: str | None = None,
        run_dir: Any = None,
        progress: bool = True,
    ) -> Live:
        """Go through a loader as before, recorded and steered: ``for batch in mlkit.live(loader): ...``.

        Each batch is a step. Recorded are what ``backward()`` was called on ("train/loss"), the learning rate of the
        optimizer that stepped, and what ``mlkit.live.log(accuracy=...)`` says. `mlkit.widgets.Watch` on the result, a
        dashboard or another kernel show it and can pause, step, stop it and change the learning rate.

        Reached again at the same place of the program, as in a loop over epochs, it goes on with the same run; with
        another optimizer, or in a cell that is run again, it is a new one. A loop in which nothing is trained, such as
        a validation, leaves no run. Or loop over the epochs live, too::

            for epoch in mlkit.live(range(10)):
                for inputs, targets in mlkit.live(loader):
                    ...

        Args:
            loader: Anything that can be looped over.
            model: For checkpoints, and to look at it between two steps (`between_steps`).
            optimizer: To change its learning rate before its first step; else it is known when it steps.
            scheduler: Goes on from a learning rate that was changed.
            epochs: How many passes there will be: for the time left, and to know when the run is over.
            name: Of the run; by default the model's class, or "loop".
            run_dir: Folder that holds run directories (``$MLKIT_RUNS`` or ``./runs`` by default); False: none.
            progress: Show a progress bar, where the output is a terminal or a notebook.

        Raises:
            DataError: `loader` cannot be looped over.

        >>> import mlkit
        >>> weight = mlkit.zeros(1, requires_grad=True)
        >>> optimizer = mlkit.optim.SGD([weight], lr=0.25)
        >>> for epoch in range(2):
        ...     for x in (loop := mlkit.live([1.0, 2.0], run_dir=False, progress=False)):
        ...         optimizer.zero_grad()
        ...         loss = ((weight - x) ** 2).sum()
        ...         loss.backward()
        ...         optimizer.step()
        >>> loop.history["train/loss"], loop.history["lr"]
        ([1.0, 2.25, 0.0625, 0.765625], [0.25, 0.25, 0.25, 0.25])
        """
        if isinstance(loader, Live):
            return loader
        if not isinstance(loader, (list, tuple, range)):
            if not hasattr(loader, "__iter__") and not hasattr(loader, "__getitem__"):
                raise DataError(f"mlkit.live: a {type(loader).__qualname__} cannot be looped over.",
                                hint="Give it a DataLoader, a list of batches, or range(epochs).")  # fmt: skip
            if hasattr(loader, "dataset"):
                check_loader(loader, "mlkit.live")
        shell = sys.modules.get("IPython")
        shell = shell.get_ipython() if shell is not None else None
        cell = None if shell is None else shell.execution_count
        folder = run_dir if run_dir is None or isinstance(run_dir, bool) else str(run_dir)
        key = (_place(sys._getframe(1)), cell, _Identity(model), _Identity(optimizer), name, folder)
        if _here.stack:
            run = _here.stack[-1]._run
        else:
            known = _here.runs
            if key not in known:
                usual = "loop" if model is None else type(model).__name__
                known[key] = _LoopRun(key, name or usual, run_dir, model, optimizer, scheduler)
                while len(known) > REMEMBERED:
                    known.pop(next(iter(known)))
                if shell is not None:
                    _close_after_cell(shell)
            run = known[key]
        if model is not None and run.model is None:
            run.model = model
        if optimizer is not None and run.optimizer is None:
            run.optimizer = optimizer
        if scheduler is not None:
            run.scheduler = scheduler
        return Live(loader, run, epochs=epochs, progress=progress)

    def log(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Record numbers in the loop this thread is in, or was in last: ``mlkit.live.log(accuracy=0.9)``.

        See `Live.log` for the names.

        Raises:
            RuntimeError: There was no ``mlkit.live`` loop in this thread.
        """
        current = self.current
        if current is not None:
            current.log(values, **more)
            return
        if _here.last is None:
            raise RuntimeError(
                "mlkit.live.log: there is no loop to log to. Begin one: for batch in mlkit.live(loader):"
            )
        Live((), _here.last, epochs=None, progress=False).log(values, **more)

    def hyperparameter(self, name: str, value: float | None = None, **limits: Any) -> float:
        """A number of your own of the loop this thread is in; see `Live.hyperparameter`.

        Raises:
            RuntimeError: There is no ``mlkit.live`` loop around this.
        """
        current = self.current
        if current is None:
            raise RuntimeError("mlkit.live.hyperparameter: call it inside of a loop: for batch in mlkit.live(loader):")
        return current.hyperparameter(name, value, **limits)

    @property
    def current(self) -> Live | None:
        """The innermost loop this thread is in; None outside of loops."""
        return _here.stack[-1] if _here.stack else None

    def __repr__(self) -> str:
        return "<function mlkit.live>"


live = _LiveFunction()
live.__doc__ = _LiveFunction.__call__.__doc__


class _Identity:
    """Equal only for the same object, which it keeps alive so that its identity is not given away."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _place(frame: Any) -> tuple[Any, ...]:
    """Where in the program this is: the lines of all calls that led here."""
    path: list[tuple[_Identity, int]] = []
    while frame is not None and len(path) < 100:
        path.append((_Identity(frame.f_code), frame.f_lineno))
        frame = frame.f_back
    return tuple(path)


def _curves(numbers: dict[str, float]) -> dict[str, float]:
    """The same by the names of their curves."""
    return {name if "/" in name else f"train/{name}": value for name, value in numbers.items()}


def _number(name: str, value: Any) -> float:
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"live.log: {name} must be a number or a tensor of one element, got {value!r}.") from error


def _close_all(*_: Any) -> None:
    """At the end of a cell, or of the interpreter: what is still open was left before its last pass."""
    for run in list(_open_runs):
        with contextlib.suppress(Exception):
            if not any(one._run is run for one in _here.stack):
                run.close("stopped")


def _close_after_cell(shell: Any) -> None:
    if not getattr(shell, "_mlkit_live", False):
        shell._mlkit_live = True
        shell.events.register("post_run_cell", _close_all)


atexit.register(_close_all)
