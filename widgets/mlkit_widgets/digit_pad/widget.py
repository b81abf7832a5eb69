"""The kernel's half of the digit pad.

    page -> kernel  {"kind": "sync"}
                    {"kind": "ink", "from": page's own number, "ink": uint8 [56, 56]}
                    {"kind": "clear"}, {"kind": "example", "digit": 3}
    kernel -> page  {"kind": "state", "stage": "training" | "ready" | "failed", "share", "loss", "accuracy", "from", "ink",
                     "image", "odds", "layers", "classes", "words"}
                    {"kind": "problem", "text": text}

A message only keeps the drawing; the pump looks at it with the network, at most 20 times a second.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mlkit_widgets._base import Widget, pump
from mlkit_widgets.digit_pad.network import INK, centre, enlarge, find_size, run, train_digits
from mlkit_widgets.digit_pad.picture import draw

__all__ = ["DigitPad"]


class DigitPad(Widget):
    """Draw a digit with the mouse, a finger or the keyboard, and see what a network makes of it while you draw.

    Shown are the ten probabilities, the image as the network gets it (cut out and centred as its data set does), and
    what every layer gives. Keys on the drawing: arrows move the pen, Space puts it down and lifts it, 0 to 9 bring an
    example of the test images, Delete clears.

    Args:
        model: A network from images float32 [1, 1, size, size] in 0..1 to scores [1, classes]. Without one, a small
            convolutional network is trained on the shipped digits when the pad is made, in the background, in seconds.
        size: Side of the images; by default the first of 8, 28, 32 and 16 that the network takes.
        classes: What the classes are called; by default their numbers.
        normalize: (mean, standard deviation) of the images that the network was trained on, if those were normalized.
        epochs: How often the network trained here sees each image.
        seed: Decides that training.

    Raises:
        ValueError: The network takes no such image, or gives no scores.

    >>> pad = DigitPad()                       # doctest: +SKIP
    >>> pad.example(3)                         # doctest: +SKIP
    >>> pad.prediction                         # doctest: +SKIP
    '3'
    """

    _folder: ClassVar[Path] = Path(__file__).parent

    def __init__(
        self,
        model: Any = None,
        *,
        size: int | None = None,
        classes: Sequence[str] | None = None,
        normalize: tuple[float, float] | None = None,
        epochs: int = 12,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if model is not None and not callable(model):
            raise TypeError(f"model must be a network or a function of images, got {type(model).__name__}.")
        if epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {epochs}.")
        self._model = model
        self._size = 8 if model is None else (find_size(model) if size is None else int(size))
        self._normalize = normalize
        self._classes = [str(name) for name in classes] if classes is not None else []
        self._stage, self._words = "ready", ""
        self._share, self._loss, self._accuracy = 1.0, float("nan"), float("nan")
        self._ink = np.zeros((INK, INK), np.uint8)
        self._exact: np.ndarray | None = None
        self._author = 0
        self._image = np.zeros((self._size, self._size), np.float32)
        self._odds = np.zeros(0, np.float32)
        self._layers: list[dict[str, Any]] = []
        self._asked = self._closing = False
        self._version, self._seen_version, self._looked_version = 1, 0, 0
        self._shown_examples: dict[int, int] = {}
        self._ready = threading.Event()
        super().__init__(**kwargs)
        if model is None:
            self._stage, self._share = "training", 0.0
            threading.Thread(target=self._train, args=(epochs, seed), name="mlkit-digit-pad", daemon=True).start()
        else:
            self._ready.set()
            self._look()
        pump.add(self)

    # --- from Python ------------------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """The network; None while it is trained."""
        return self._model

    @property
    def accuracy(self) -> float:
        """Share of the 297 test images that the network trained here tells right; NaN for a given network."""
        return self._accuracy

    @property
    def drawing(self) -> np.ndarray:
        """What is drawn: uint8 [56, 56], a copy; assign such an array to draw."""
        return self._ink.copy()

    @drawing.setter
    def drawing(self, ink: Any) -> None:
        array = np.asarray(ink)
        if array.shape != (INK, INK):
            raise ValueError(f"A drawing has the shape [{INK}, {INK}], got {list(array.shape)}.")
        self._take_ink(array.clip(0, 255).astype(np.uint8), None)

    @property
    def image(self) -> np.ndarray:
        """The drawing as the network gets it: float32 [size, size] in 0..1."""
        self._look()
        return self._image.copy()

    @property
    def probabilities(self) -> np.ndarray:
        """float32 [classes]; empty while nothing is drawn or the network is still trained."""
        self._look()
        return self._odds.copy()

    @property
    def prediction(self) -> str | None:
        """The likeliest class; None while there is none."""
        odds = self.probabilities
        return self._names(len(odds))[int(odds.argmax())] if len(odds) else None

    def wait(self, timeout: float | None = None) -> DigitPad:
        """Wait until the network has been trained. Raises TimeoutError after `timeout` seconds."""
        if not self._ready.wait(timeout):
            raise TimeoutError(f"The network is not trained yet after {timeout:g} s.")
        if self._stage == "failed":
            raise RuntimeError(self._words)
        return self

    def clear(self) -> None:
        """An empty drawing."""
        self._take_ink(np.zeros((INK, INK), np.uint8), None)

    def example(self, digit: int) -> None:
        """Show the next test image of a digit, exactly as the network was tested with it."""
        from mlkit.data import digits

        if digit not in range(10):
            raise ValueError(f"There are examples of the digits 0 to 9, not of {digit!r}.")
        test = digits(train=False)
        found = np.flatnonzero(test.targets.numpy() == digit)
        turn = self._shown_examples.get(digit, 0)
        self._shown_examples[digit] = turn + 1
        image = test.images.numpy()[found[turn % len(found)], 0]
        self._take_ink(enlarge(image), image if self._size == 8 else None)

    def close(self) -> None:
        """Take the pad away; a training that is under way stops."""
        self._closing = True
        pump.discard(self)
        super().close()

    # --- the network ------------------------------------------------------------------------------------------------

    def _train(self, epochs: int, seed: int) -> None:
        def report(share: float, loss: float) -> bool:
            self._share, self._loss = share, loss
            self._version += 1
            return not self._closing

        try:
            self._model, self._accuracy = train_digits(epochs, seed, report)
            self._stage = "ready"
        except Exception as error:
            self._stage, self._words = "failed", f"Training stopped with {type(error).__name__}: {error}"
        self._looked_version = 0
        self._version += 1
        self._ready.set()

    def _take_ink(self, ink: np.ndarray, exact: np.ndarray | None, author: int = 0) -> None:
        self._ink, self._exact, self._author = ink, exact, author
        self._version += 1

    def _look(self) -> None:
        """Let the network look at the drawing, unless it has."""
        with self._guard:
            if self._looked_version == self._version:
                return
            version, ink, exact = self._version, self._ink, self._exact
            self._image = centre(ink, self._size) if exact is None else exact
            self._odds, self._layers = np.zeros(0, np.float32), []
            if self._model is not None and self._stage == "ready":
                odds, self._layers = run(self._model, self._image, self._normalize)
                if ink.any():  # of an empty page the layers are shown, but nobody wants to know which digit it is
                    self._odds = odds
            self._looked_version = version

    def _names(self, many: int) -> list[str]:
        return [*self._classes, *(str(number) for number in range(len(self._classes), many))][:many]

    # --- to and from the page ---------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._version == self._seen_version:
            if not self._rested:
                self._rested = True
                self._renew_picture()  # the pen rests
            return
        self._seen_version = self._version
        self._rested = False
        try:
            self._look()
        except Exception as error:
            self._words = f"The network cannot look at this: {type(error).__name__}: {error}"
        if self._asked:
            self._send_state()

    _rested = True

    def _send_state(self) -> None:
        self._tell(
            {
                "kind": "state",
                "stage": self._stage,
                "share": self._share,
                "loss": self._loss,
                "accuracy": self._accuracy,
                "words": self._words,
                "from": self._author,
                "ink": self._ink,
                "image": np.rint(255 * self._image).astype(np.uint8),
                "odds": self._odds,
                "classes": self._names(max(10, len(self._odds)) if not self._classes else len(self._classes)),
                "layers": self._layers,
            }
        )

    def _answer(self, message: dict[str, Any]) -> None:
        kind = message.get("kind")
        if kind == "sync":
            self._asked = True
            self._look()
            self._send_state()
        elif kind == "ink":
            ink = np.asarray(message.get("ink"))
            if ink.shape != (INK, INK) or ink.dtype != np.uint8:
                raise ValueError(f"A drawing is uint8 [{INK}, {INK}], got {ink.dtype} {list(ink.shape)}.")
            self._take_ink(ink, None, int(message.get("from") or 0))
        elif kind == "clear":
            self.clear()
        elif kind == "example":
            self.example(int(message.get("digit", -1)))
        else:
            raise ValueError(f"The digit pad does not know the message {kind!r}.")

    # --- pictures ---------------------------------------------------------------------------------------------------

    def _draw(self) -> str:
        self._look()
        return draw(
            self._ink, self._image, self._odds, self._names(max(10, len(self._odds))), self._layers, self._told()
        )

    def _told(self) -> str:
        if self._stage == "training":
            return f"training, {100 * self._share:.0f} % done"
        if self._stage == "failed":
            return self._words
        if len(self._odds):
            best = int(self._odds.argmax())
            return f"{self._names(len(self._odds))[best]} with {100 * float(self._odds[best]):.0f} %"
        return "nothing drawn yet"

    def _describe(self) -> str:
        return f"DigitPad: {self._told()}"
