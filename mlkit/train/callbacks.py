"""Things that happen around training steps: the progress bar, early stopping, and your own."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

import mlkit
from mlkit.core.errors import DataError
from mlkit.train.history import lower_is_better

if TYPE_CHECKING:
    from mlkit.train.trainer import Trainer

__all__ = ["Callback", "EarlyStopping", "ProgressBar"]


class Callback:
    """Override what you need. All are called on the thread that trains; `trainer.stop()` is allowed in each.

    What a callback remembers goes into checkpoints through `state_dict`. When a training is resumed in the middle of
    an epoch, `on_fit_start` and `on_epoch_start` are called first and the state is loaded after them, so that what
    they set up is there and what they count is not counted twice.
    """

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first step; `trainer.resumed_from` is the checkpoint's path if one was taken up."""

    def on_epoch_start(self, trainer: Trainer, epoch: int) -> None:
        """Before an epoch; epochs are counted from 1."""

    def on_step_start(self, trainer: Trainer, step: int, batches: list[Any]) -> None:
        """Before a training step, with its batches (one, unless gradients are accumulated), on the model's device."""

    def on_before_backward(self, trainer: Trainer, loss: Any) -> None:
        """After the forward pass of a batch, before its backward pass."""

    def on_after_backward(self, trainer: Trainer) -> None:
        """All gradients of the step are there; with mixed precision they have their true size. Not yet clipped."""

    def on_before_optimizer_step(self, trainer: Trainer) -> None:
        """Just before the optimizer moves the parameters."""

    def on_step_end(self, trainer: Trainer, step: int, values: dict[str, float]) -> None:
        """After a training step, with what was recorded: {"train/loss": ..., "lr": ...}."""

    def on_validation_start(self, trainer: Trainer, epoch: int) -> None:
        """Before the validation of an epoch."""

    def on_validation_end(self, trainer: Trainer, epoch: int, values: dict[str, float]) -> None:
        """After it, with {"valid/loss": ...}."""

    def on_epoch_end(self, trainer: Trainer, epoch: int, values: dict[str, float]) -> None:
        """After an epoch and its validation: the epoch's mean training values and the validation's."""

    def on_checkpoint(self, trainer: Trainer, path: Any) -> None:
        """After a checkpoint was written."""

    def on_exception(self, trainer: Trainer, error: BaseException) -> None:
        """The training ends with an error (a second keyboard interrupt included); `on_fit_end` comes after it."""

    def on_fit_end(self, trainer: Trainer, state: str) -> None:
        """At the end, however it came: "finished", "stopped" or "failed"."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must keep of this callback."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""


class EarlyStopping(Callback):
    """Stop when a curve has not become better for some epochs.

    Args:
        monitor: The curve, as in the history.
        patience: Epochs without progress before stopping.
        min_delta: What counts as progress.
        mode: "min" or "max"; by default "min" where the name speaks of a loss or an error.
        restore_best: At the end, give the model the weights it had when the curve was best.
    """

    def __init__(
        self,
        monitor: str = "valid/loss",
        patience: int = 3,
        min_delta: float = 0.0,
        mode: str | None = None,
        restore_best: bool = False,
    ) -> None:
        if mode not in (None, "min", "max"):
            raise DataError(f"EarlyStopping: mode must be 'min' or 'max', got {mode!r}.")
        if patience < 1:
            raise DataError(f"EarlyStopping: patience must be at least 1, got {patience}.")
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.sign = -1.0 if (mode == "min" if mode else lower_is_better(monitor)) else 1.0
        self.restore_best = restore_best
        self.best = -math.inf
        self.epochs_without = 0
        self.stopped = False
        self.best_weights: dict[str, Any] | None = None

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.resumed_from is None:
            if self.stopped:
                self.epochs_without, self.stopped = 0, False
        elif self.stopped:  # the interrupted training would have ended here, too
            trainer.stop()

    def on_epoch_end(self, trainer: Trainer, epoch: int, values: dict[str, float]) -> None:
        if self.monitor not in values:
            raise DataError(
                f"EarlyStopping: {self.monitor!r} is not measured.",
                details=f"measured: {', '.join(values)}",
                hint="Give fit a valid_loader, or monitor one of these.",
            )
        value = self.sign * values[self.monitor]
        if value > self.best + self.min_delta:
            self.best, self.epochs_without = value, 0
            if self.restore_best:
                self.best_weights = {name: one.detach().clone() for name, one in trainer.model.state_dict().items()}
            return
        self.epochs_without += 1
        if self.epochs_without >= self.patience:
            self.stopped = True
            trainer.recorder.event(
                "message", text=f"Stopped early: {self.monitor} did not improve in {self.patience} epochs."
            )
            trainer.stop()

    def on_fit_end(self, trainer: Trainer, state: str) -> None:
        if state != "failed" and self.best_weights is not None and (self.stopped or state == "finished"):
            trainer.model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "epochs_without": self.epochs_without,
            "stopped": self.stopped,
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.epochs_without = state["best"], state["epochs_without"]
        self.stopped = state["stopped"]
        weights = state["best_weights"]
        self.best_weights = None if weights is None else {
            name: one if mlkit.is_tensor(one) else mlkit.from_numpy(one.copy()) for name, one in weights.items()
        }  # fmt: skip


class ProgressBar(Callback):
    """One line that shows epoch, step, time left, the latest numbers, samples per second and memory.

    Where the output is a file (a log), it is one line per epoch instead, and in long epochs one a minute.
    """

    LOG_SECONDS = 60.0
    DETAIL_SECONDS = 0.2

    def __init__(self) -> None:
        self.bar: Any = None
        self.begun = self.said = self.detailed = 0.0

    def on_fit_start(self, trainer: Trainer) -> None:
        self.begun = self.said = time.perf_counter()
        self.detailed = 0.0
        status = trainer.recorder.status()
        if trainer.resumed_from is not None:
            print(f"resumed from {trainer.resumed_from} at step {status['step']:,}", file=sys.stderr)
        kind = bar_class()
        if kind is not None:
            self.bar = kind(total=status["steps"], initial=status["step"], unit="step", dynamic_ncols=True, leave=True)

    def on_epoch_start(self, trainer: Trainer, epoch: int) -> None:
        if self.bar is not None:
            self.bar.set_description(f"epoch {epoch}/{trainer.recorder.epochs}", refresh=False)

    def on_step_end(self, trainer: Trainer, step: int, values: dict[str, float]) -> None:
        now = time.perf_counter()
        if self.bar is None:
            if now - self.said > self.LOG_SECONDS:
                self.said = now
                status = trainer.recorder.status()
                print(f"step {step}/{status['steps'] or '?'}: {_numbers(values)} {_speed(status)}", file=sys.stderr)
            return
        if now - self.detailed > self.DETAIL_SECONDS:
            self.detailed = now
            shown = {name.removeprefix("train/"): f"{value:.4g}" for name, value in values.items() if name != "lr"}
            details = _speed(trainer.recorder.status())
            words = ", ".join(f"{name}={value}" for name, value in shown.items())
            self.bar.set_postfix_str(f"{words}, {details}" if details else words, refresh=False)
        self.bar.update(step - self.bar.n)

    def on_epoch_end(self, trainer: Trainer, epoch: int, values: dict[str, float]) -> None:
        if self.bar is None:
            seconds = time.perf_counter() - self.begun
            self.said = time.perf_counter()
            print(f"epoch {epoch}/{trainer.recorder.epochs}: {_numbers(values)} ({seconds:.1f} s)", file=sys.stderr)
        else:
            shown = [f"{name}={values[name]:.4g}" for name in values if name.startswith("valid/")]
            shown = [f"loss={values['train/loss']:.4g}", *shown] if "train/loss" in values else shown
            self.bar.set_postfix_str(", ".join(shown), refresh=True)
            self.detailed = time.perf_counter()

    def on_fit_end(self, trainer: Trainer, state: str) -> None:
        if self.bar is not None:
            if state != "finished":
                self.bar.set_description(state, refresh=False)
            self.bar.refresh()
            self.bar.close()
            self.bar = None


def bar_class() -> Any:
    """tqdm's bar for where this runs: a notebook's, a terminal's, or None for a log."""
    if "ipykernel" in sys.modules:
        try:
            import ipywidgets  # noqa: F401
            from tqdm.notebook import tqdm as in_notebook

            return in_notebook
        except ImportError:
            from tqdm import tqdm

            return tqdm
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    return tqdm


def _numbers(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _speed(status: dict[str, Any]) -> str:
    parts = []
    if status.get("examples_per_second"):
        parts.append(f"{status['examples_per_second']:.4g} samples/s")
    if status.get("memory_bytes"):
        parts.append(f"{status['memory_bytes'] / 2**20:.0f} MB")
    return ", ".join(parts)
