"""Things that happen around training steps: the progress bar, early stopping, and your own."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

from mlkit.core.errors import DataError
from mlkit.train.history import lower_is_better

if TYPE_CHECKING:
    from mlkit.train.trainer import Trainer

__all__ = ["Callback", "EarlyStopping", "ProgressBar"]


class Callback:
    """Override what you need. All are called on the thread that trains, between steps; `trainer.stop()` is allowed."""

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first step."""

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Before an epoch; epochs are counted from 1."""

    def on_step(self, trainer: Trainer, step: int, values: dict[str, float]) -> None:
        """After a training step, with what was recorded: {"train/loss": ..., "lr": ...}."""

    def on_epoch_end(self, trainer: Trainer, epoch: int, values: dict[str, float]) -> None:
        """After an epoch and its validation: the epoch's mean training values and the validation's."""

    def on_checkpoint(self, trainer: Trainer, path: Any) -> None:
        """After a checkpoint was written."""

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
    """

    def __init__(
        self, monitor: str = "valid/loss", patience: int = 3, min_delta: float = 0.0, mode: str | None = None
    ) -> None:
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.sign = -1.0 if (mode == "min" if mode else lower_is_better(monitor)) else 1.0
        self.best = -math.inf
        self.epochs_without = 0

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
            return
        self.epochs_without += 1
        if self.epochs_without >= self.patience:
            trainer.recorder.event(
                "message", text=f"Stopped early: {self.monitor} did not improve in {self.patience} epochs."
            )
            trainer.stop()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "epochs_without": self.epochs_without}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.epochs_without = state["best"], state["epochs_without"]


class ProgressBar(Callback):
    """One line that shows epoch, step, speed, time left and the latest numbers.

    Where the output is a file (a log), it is one line per epoch instead.
    """

    def __init__(self) -> None:
        self.bar: Any = None
        self.begun = 0.0

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.begun = time.perf_counter()
        status = trainer.recorder.status()
        if not (sys.stderr.isatty() or "ipykernel" in sys.modules):
            return
        from tqdm import tqdm

        self.bar = tqdm(total=status["steps"], initial=status["step"], unit="step", dynamic_ncols=True, leave=True)

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        if self.bar is not None:
            self.bar.set_description(f"epoch {epoch}/{trainer.recorder.status()['epochs']}", refresh=False)

    def on_step(self, trainer: Trainer, step: int, values: dict[str, float]) -> None:
        if self.bar is not None:
            shown = {name.removeprefix("train/"): f"{value:.4g}" for name, value in values.items() if name != "lr"}
            self.bar.set_postfix(shown, refresh=False)
            self.bar.update(step - self.bar.n)

    def on_epoch_end(self, trainer: Trainer, epoch: int, values: dict[str, float]) -> None:
        if self.bar is None:
            numbers = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            seconds = time.perf_counter() - self.begun
            epochs = trainer.recorder.status()["epochs"]
            print(f"epoch {epoch}/{epochs}: {numbers} ({seconds:.1f} s)", file=sys.stderr)

    def on_fit_end(self, trainer: Trainer, state: str) -> None:
        if self.bar is not None:
            if state != "finished":
                self.bar.set_description(state, refresh=False)
            self.bar.refresh()
            self.bar.close()
            self.bar = None
