"""The handle of a training in the background."""

from __future__ import annotations

import asyncio
import atexit
import threading
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlkit.observe import Source
from mlkit.train.history import History, _display

if TYPE_CHECKING:
    from mlkit.train.trainer import Trainer

__all__ = ["Run"]

EXIT_SECONDS = 10.0
"""How long the interpreter waits at its end for a run to finish its step."""


class Run:
    """A training that goes on in the background while you do something else. `Trainer.start` makes it.

    ``await run`` (or ``run.wait()``) waits for the end and gives the history; `pause`, `resume`, `step`, `stop`,
    `save_checkpoint` and ``run.lr = ...`` steer it. If the training fails, `error` holds the exception and waiting
    raises it.
    """

    def __init__(self, trainer: Trainer, loop: Iterator[float]) -> None:
        self.trainer = trainer
        self.error: BaseException | None = None
        self._recorder = trainer.recorder
        self._loop = loop
        self._done = threading.Event()
        self._waiters: list[Callable[[], None]] = []
        self._waiters_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._task: Any = None

    # -- running ----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._work, name=f"mlkit-{self._recorder.name}", daemon=True)
        _active.add(self)
        try:
            self._thread.start()
        except RuntimeError:  # no threads here, as in a browser: take turns with the event loop instead
            self._thread = None
            self._task = asyncio.ensure_future(self._work_async())

    def _work(self) -> None:
        try:
            for pause in self._loop:
                if pause:
                    self.trainer.control.wait(pause)
        except BaseException as error:
            self.error = error
        finally:
            self._finish()

    async def _work_async(self) -> None:
        try:
            for pause in self._loop:
                await asyncio.sleep(pause)
        except BaseException as error:
            self.error = error
        finally:
            self._finish()

    def _finish(self) -> None:
        _active.discard(self)
        with self._waiters_lock:
            self._done.set()
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter()

    # -- asking -----------------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """ "running", "paused", "stopping", "stopped", "finished" or "failed"."""
        return self._recorder.state

    @property
    def done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._done.is_set()

    @property
    def history(self) -> History:
        """The curves so far."""
        return History(self._recorder)

    @property
    def directory(self) -> Path | None:
        """The run directory; None where none could be made."""
        return self._recorder.path

    # -- waiting ----------------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> History:
        """Wait for the end.

        Args:
            timeout: Seconds to wait; as long as it takes by default. The training goes on after a timeout.

        Raises:
            TimeoutError: It has not ended yet.
            Exception: What ended the training, if it failed.
        """
        if not self._done.wait(timeout):
            raise TimeoutError(f"The training is still {self.status} after {timeout} s.")
        return self._result()

    def __await__(self) -> Generator[Any, None, History]:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def tell() -> None:
            def settle() -> None:
                if not ended.done():
                    ended.set_result(None)

            try:
                loop.call_soon_threadsafe(settle)
            except RuntimeError:  # the loop is closed: nobody waits any more
                pass

        with self._waiters_lock:
            if self._done.is_set():
                ended.set_result(None)
            else:
                self._waiters.append(tell)
        yield from ended
        return self._result()

    def _result(self) -> History:
        if self.error is not None:
            raise self.error
        return self.history

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

    def stop(self, wait: bool = True) -> History:
        """End the training after the step it is in. The model stays as it is.

        Args:
            wait: Return only when it has ended.

        Returns:
            The history. Nothing happens if it has ended already.
        """
        if not self.done:
            self.trainer.control.send("stop")
            if wait and self._thread is not None and threading.current_thread() is not self._thread:
                self._done.wait()
        return self.history

    def save_checkpoint(self, path: Any = None) -> Path:
        """Save a checkpoint between two steps; see `Trainer.save_checkpoint`."""
        return self.trainer.save_checkpoint(path)

    @property
    def lr(self) -> float:
        """The learning rate; setting it takes effect at the next step."""
        return self.trainer.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self.trainer.lr = value

    @property
    def hyperparameters(self) -> dict[str, float]:
        """The numbers that can be changed while it runs, by name."""
        return self.trainer.hyperparameters

    def hyperparameter(
        self,
        name: str,
        value: float | None = None,
        *,
        low: float | None = None,
        high: float | None = None,
        apply: Callable[[Any, float], Any] | None = None,
    ) -> float:
        """A number of your own that can be turned while it trains; see `Trainer.hyperparameter`."""
        return self.trainer.hyperparameter(name, value, low=low, high=high, apply=apply)

    def set(self, name: str, value: float) -> None:
        """Change one of `hyperparameters` from the next step on."""
        self.trainer.set(name, value)

    def clone(
        self,
        checkpoint: Any = None,
        settings: Mapping[str, float] | None = None,
        *,
        name: str | None = None,
        epochs: int | None = None,
        **more: float,
    ) -> Run:
        """Start a second training from this one, with other settings: ``run.clone(lr=1e-4)``; see `Trainer.clone`."""
        return self.trainer.clone(checkpoint, settings, name=name, epochs=epochs, **more)

    @property
    def clones(self) -> list[Run]:
        """The trainings that were started from this one."""
        return list(self.trainer.clones)

    def _send(self, command: str) -> None:
        if self.done:
            raise RuntimeError(f"Cannot {command}: the training has ended ({self.status}).")
        self.trainer.control.send(command)

    # -- showing ----------------------------------------------------------------------------------------------------

    def __mlkit_source__(self) -> Source:
        return self.trainer.__mlkit_source__()

    def _repr_html_(self) -> str | None:
        return _display("repr_html", self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
        return _display("repr_mimebundle", self, include, exclude)

    def __repr__(self) -> str:
        status = self._recorder.status()
        steps = "" if status["steps"] is None else f" of {status['steps']:,}"
        error = f": {status['error']}" if status["error"] else ""
        return f"<Run {self._recorder.name}: {status['state']}, step {status['step']:,}{steps}{error}>"


_active: weakref.WeakSet[Run] = weakref.WeakSet()


def _stop_all() -> None:
    """At the interpreter's end: let each run finish its step, and write what it has."""
    runs = list(_active)
    for run in runs:
        run.stop(wait=False)
    for run in runs:
        if run._thread is not None:
            run._thread.join(EXIT_SECONDS)


atexit.register(_stop_all)
