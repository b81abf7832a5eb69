"""The kernel's half of the playground.

The settings are traits, so a reloaded page and a second display have them by themselves. Everything that moves travels
in one message, whole each time: a page that missed some is right again with the next.

    page -> kernel  {"kind": "sync"}                          once, and while a training is watched, now and then
                    {"kind": "step"}, {"kind": "reset"}, {"kind": "new points"}
                    {"kind": "code", "id": n, "library": "mlkit" | "torch"}     the reply has "code"
    kernel -> page  {"kind": "state", ...}                    see `_state`
                    {"kind": "problem", "text": text}

What comes from the page only sets plain attributes and traits; training runs in a thread, and the pump looks at it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import traitlets

from mlkit.core.files import atomic_write
from mlkit_widgets._base import Widget, pump
from mlkit_widgets.playground.code import write_script
from mlkit_widgets.playground.engine import (
    ACTIVATIONS,
    FEATURES,
    MOST_LAYERS,
    MOST_NEURONS,
    OPTIMIZERS,
    REGULARIZATIONS,
    Engine,
    Settings,
)
from mlkit_widgets.playground.picture import draw
from mlkit_widgets.playground.points import EXTENT, OWN, REACH, TOYS, read_own

__all__ = ["Playground"]

SPEEDS = {"slow": 10.0, "normal": 100.0, "fast": 0.0}
"""Steps per second; 0 is as many as there can be."""

UNSEEN_SECONDS = 180.0
"""A training that was started in a page pauses when no page has looked for so long: its cell was run again, or closed."""

SHARE = 0.35
"""At most this part of the time goes into pictures; the rest is for training."""


class Playground(Widget):
    """A small network that learns points in a plane while you watch every neuron of it.

    The page has everything: the problem, the network (layers, neurons, activation, input features), the optimizer, and
    Play, Pause, Step and Reset. The same can be done from Python, also while it trains: every setting is an attribute.

    Args:
        dataset: "circles", "xor", "blobs" (three classes), "moons", "spirals"; or the regressions "plane" and "hills".
        data: Your own points instead: `(X, y)` with two columns in X, or a DataFrame of three columns, the last of
            which is the target. Two to eight classes, or a regression.
        kind: "classification" or "regression" for `data`, where it cannot be seen from y.
        layers: Neurons of each hidden layer: up to six layers of up to eight.
        features: Inputs of the network, of "x", "y", "x2", "y2", "xy", "sin_x", "sin_y".
        activation: "tanh", "relu", "sigmoid", "gelu" or "linear".
        optimizer: "adam", "sgd", "momentum" (SGD with momentum 0.9) or "rmsprop".
        lr: Learning rate.
        regularization: "none", "l1" or "l2"; `regularization_rate` is its weight.
        batch_size: Points of a step, 1 to 100.
        samples: Points of a toy problem, 20 to 1000.
        noise: Noise of a toy problem, 0 to 1.
        train_share: Part of the points that is trained on, 0.1 to 0.9; the rest is for testing.
        seed: Decides points, first weights and order. The same seed does the same.
        speed: "slow" (10 steps a second), "normal" (100) or "fast".

    Raises:
        DataError: `data` is not two columns and a target for each point.
        TraitError: A setting is out of its range.

    >>> playground = Playground("circles", layers=[4, 2])     # doctest: +SKIP
    >>> playground.train(500)                                 # doctest: +SKIP
    >>> playground.accuracy                                   # doctest: +SKIP
    {'train': 1.0, 'test': 1.0}
    """

    _folder: ClassVar[Path] = Path(__file__).parent

    dataset = traitlets.Enum([*TOYS, OWN], "circles").tag(sync=True)
    samples = traitlets.Int(200, min=20, max=1000).tag(sync=True)
    noise = traitlets.Float(0.1, min=0.0, max=1.0).tag(sync=True)
    train_share = traitlets.Float(0.5, min=0.1, max=0.9).tag(sync=True)
    features = traitlets.List(traitlets.Enum(list(FEATURES)), ["x", "y"], minlen=1, maxlen=len(FEATURES)).tag(sync=True)
    layers = traitlets.List(traitlets.Int(min=1, max=MOST_NEURONS), [4, 2], maxlen=MOST_LAYERS).tag(sync=True)
    activation = traitlets.Enum(list(ACTIVATIONS), "tanh").tag(sync=True)
    optimizer = traitlets.Enum(list(OPTIMIZERS), "adam").tag(sync=True)
    lr = traitlets.Float(0.03).tag(sync=True)
    regularization = traitlets.Enum(list(REGULARIZATIONS), "none").tag(sync=True)
    regularization_rate = traitlets.Float(0.001, min=0.0).tag(sync=True)
    batch_size = traitlets.Int(10, min=1, max=100).tag(sync=True)
    seed = traitlets.Int(0, min=0, max=2**31 - 1).tag(sync=True)
    speed = traitlets.Enum(list(SPEEDS), "normal").tag(sync=True)
    playing = traitlets.Bool(False).tag(sync=True)
    show_test = traitlets.Bool(False).tag(sync=True)
    discrete = traitlets.Bool(False).tag(sync=True)
    _about = traitlets.Dict().tag(sync=True)
    """What the page needs to draw its controls."""

    _SETTINGS = (
        "dataset samples noise train_share features layers activation optimizer lr regularization "
        "regularization_rate batch_size seed"
    ).split()

    def __init__(
        self,
        dataset: str = "circles",
        *,
        data: Any = None,
        kind: str | None = None,
        layers: Sequence[int] = (4, 2),
        features: Sequence[str] = ("x", "y"),
        **settings: Any,
    ) -> None:
        own = None if data is None else read_own(data, kind)
        if own is not None:
            dataset = OWN
        elif dataset == OWN:
            raise ValueError("dataset='own' needs data: Playground(data=(X, y)).")
        self._engine: Engine | None = None
        self._own = own
        self._seen_version = -1
        self._shown_points: Any = None
        self._asked = self._from_page = False
        self._heard = 0.0
        self._next_tick = 0.0
        self._rested = True
        self._thread: threading.Thread | None = None
        super().__init__(dataset=dataset, layers=list(layers), features=list(features), **settings)
        self._about = {
            "own": own is not None,
            "toys": list(TOYS),
            "features": {name: title for name, (title, _) in FEATURES.items()},
            "most": [MOST_LAYERS, MOST_NEURONS],
            "extent": EXTENT,
        }
        self._engine = Engine(self._settings(), own)
        self.observe(self._take_settings, self._SETTINGS)
        self.observe(self._take_playing, "playing")
        threading.Thread(target=_warm, name="mlkit-playground-warm", daemon=True).start()
        pump.add(self)
        if self.playing:
            self._start()

    @traitlets.validate("lr")
    def _check_rate(self, proposal: Any) -> float:
        if not 0 < proposal["value"] <= 100:
            raise traitlets.TraitError(f"lr must be above 0 and at most 100, got {proposal['value']}.")
        return float(proposal["value"])

    @traitlets.validate("dataset")
    def _check_dataset(self, proposal: Any) -> str:
        if proposal["value"] == OWN and self._own is None:
            raise traitlets.TraitError("There is no data of your own here: Playground(data=(X, y)) brings it.")
        return str(proposal["value"])

    @traitlets.validate("features")
    def _check_features(self, proposal: Any) -> list[str]:
        return [name for name in FEATURES if name in proposal["value"]]  # each once, in the order of the page

    def _settings(self) -> Settings:
        values: dict[str, Any] = {name: getattr(self, name) for name in self._SETTINGS}
        values.update(features=tuple(values["features"]), layers=tuple(values["layers"]))
        return Settings(**values)

    @property
    def engine(self) -> Engine:
        """The network and its training, without the screen."""
        assert self._engine is not None
        return self._engine

    # --- from Python ------------------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """The network as it is now: an `mlkit.nn.Sequential` from features to outputs. Reset makes a new one."""
        return self.engine.model

    @property
    def steps(self) -> int:
        """How many steps it has trained."""
        return self.engine.steps

    @property
    def loss(self) -> dict[str, float]:
        """Mean loss over the training and the test points: {"train": ..., "test": ...}."""
        return self.engine.losses()

    @property
    def accuracy(self) -> dict[str, float]:
        """Share of the points that are told right: {"train": ..., "test": ...}; NaN for a regression."""
        return self.engine.accuracies()

    def play(self) -> None:
        """Start training in the background."""
        self.playing = True

    def pause(self) -> None:
        """Stop after the present step."""
        self.playing = False
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(5)

    def train(self, steps: int = 1) -> None:
        """Train `steps` steps and come back."""
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}.")
        for done in range(1, steps + 1):
            self.engine.step()
            if done % max(1, steps // 100) == 0:
                self.engine.record()
        self.engine.record()

    def reset(self) -> None:
        """Begin again with a fresh network; the points stay."""
        self.engine.reset()

    def code(self, library: str = "mlkit") -> str:
        """The experiment as a script for "mlkit" or for "torch"."""
        return write_script(self.engine, library)

    def export(self, path: str | Path, library: str = "mlkit") -> Path:
        """Write the script of `code` to a file, whole or not at all; returns its path."""
        path = Path(path)
        with atomic_write(path, mode="wb") as file:
            file.write(self.code(library).encode())
        return path

    def close(self) -> None:
        """Stop training and take the widget away."""
        self.playing = False
        pump.discard(self)
        super().close()

    # --- training ---------------------------------------------------------------------------------------------------

    def _take_settings(self, _: Any) -> None:
        if self._engine is not None:
            self._engine.change(self._settings())

    def _take_playing(self, change: dict[str, Any]) -> None:
        if change["new"] and self._engine is not None:
            self._start()

    def _start(self) -> None:
        if self.engine.trouble:
            self.playing = False
            return
        self._heard = time.monotonic()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="mlkit-playground", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        engine, due = self.engine, time.monotonic()
        try:
            while self.playing and not engine.trouble:
                rate = SPEEDS[self.speed]
                if rate:
                    due = max(due + 1 / rate, time.monotonic() - 0.1)  # late by more than a little: let it be late
                    engine.step()
                    time.sleep(max(0.0002, due - time.monotonic()))
                else:
                    until = time.monotonic() + 0.012
                    while time.monotonic() < until and self.playing:
                        engine.step()
                    time.sleep(0.0005)  # whoever waits to look gets a turn
                    due = time.monotonic()
                if self._from_page and time.monotonic() - self._heard > UNSEEN_SECONDS:
                    break
        except Exception as error:
            engine.trouble = f"Training stopped with {type(error).__name__}: {error}"
            engine.version += 1
        finally:
            engine.record()
            engine.version += 1
            self.playing = False

    # --- to the page ------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = time.monotonic()
        engine = self.engine
        resting = not self.playing
        if now < self._next_tick or (engine.version == self._seen_version and resting == self._rested):
            return
        version = engine.version  # a step that comes while this is sent is for the next turn
        engine.record()
        if self._asked:
            self._send_state()
            self._next_tick = time.monotonic() + (time.monotonic() - now) * (1 - SHARE) / SHARE
        self._seen_version = version
        if resting != self._rested or resting:
            self._rested = resting
            if resting:
                self._renew_picture()

    def _send_state(self, whole: bool = False) -> None:
        engine = self.engine
        with engine.guard:
            state = self._state()
            points = engine.points
            key = (id(points), engine.is_train.tobytes())
            if whole or key != self._shown_points:
                self._shown_points = key
                state["points"] = {
                    "xy": points.xy,
                    "target": points.target,
                    "train": engine.is_train.astype(np.uint8),
                    "classes": list(points.classes),
                    "names": list(points.names),
                    "middle": [float(value) for value in points.middle],
                    "half": [float(value) / REACH for value in points.half],
                    "value": [float(value) for value in points.value],
                    "kind": points.kind,
                }
        self._tell(state)

    def _state(self) -> dict[str, Any]:
        engine = self.engine
        pictures, scales, surface = engine.pictures()
        weights = engine.weights()
        return {
            "kind": "state",
            "steps": engine.steps,
            "epoch": float(engine.epoch),
            "loss": engine.losses(),
            "accuracy": engine.accuracies(),
            "history": np.array(engine.history, np.float32),
            "sizes": [len(engine.settings.features), *engine.settings.layers, engine.points.outputs],
            "features": list(engine.settings.features),
            "pictures": pictures,
            "scales": scales,
            "surface": surface,
            "weights": [weight for weight, _ in weights],
            "biases": [bias for _, bias in weights],
            "trouble": engine.trouble,
        }

    def _answer(self, message: dict[str, Any]) -> dict[str, Any] | None:
        kind = message.get("kind")
        self._heard = time.monotonic()
        if kind == "sync":
            self._asked = self._from_page = True
            self._send_state(whole=True)
        elif kind == "seen":
            pass
        elif kind == "step":
            self.playing = False
            self.engine.step()
            self.engine.record()
        elif kind == "reset":
            self.reset()
        elif kind == "new points":
            self.seed = (self.seed + 1) % 2**31
        elif kind == "code":
            return {"code": self.code(str(message.get("library", "mlkit")))}
        else:
            raise ValueError(f"The playground does not know the message {kind!r}.")
        return None

    # --- pictures ---------------------------------------------------------------------------------------------------

    def _draw(self) -> str:
        with self.engine.guard:
            return draw(self.engine)

    def _describe(self) -> str:
        loss = self.loss
        told = "" if self.engine.points.kind == "regression" else f", test accuracy {self.accuracy['test']:.3f}"
        return f"Playground on {self.dataset}: step {self.steps:,}, test loss {loss['test']:.4f}{told}"


def _warm() -> None:
    """Use once what several classes need. The first use on a machine compiles kernels for seconds: not when one clicks."""
    with contextlib.suppress(Exception):  # whatever is wrong shows where it is wanted
        Engine(Settings(dataset="blobs", samples=20)).pictures()
