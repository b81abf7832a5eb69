"""Errors that teach: one sentence, the facts below it, and what to do next."""

from __future__ import annotations

import re
import sys

from mlkit.core.frames import Place, place_of, users_frame


class MlkitError(Exception):
    """Base of every error mlkit raises on purpose.

    ``sentence`` says what was expected and what came, ``details`` are the facts (shapes with axis names, the file,
    the op), ``hint`` is the next step. All three are in ``str(error)``, with the line of the user's program
    (``your_line``) between them; a display may lay them out differently.
    """

    #: whether the user's line belongs to it: not where a file or a setting is what is wrong
    names_line = True

    def __init__(self, sentence: str, details: str | None = None, hint: str | None = None):
        self.sentence = sentence
        self.details = details
        self.hint = hint
        self._line: tuple | str | None = None
        if self.names_line:
            frame = users_frame(sys._getframe(1), None)
            self._line = None if frame is None else (frame.f_code, frame.f_lasti)
        super().__init__(self._text())

    @property
    def your_line(self) -> Place | str | None:
        """The line of the user's program that led to it; None where there is none. (As text, from another process.)"""
        return place_of(*self._line) if isinstance(self._line, tuple) else self._line

    def _text(self, line: object = None) -> str:
        lines = [self.sentence]
        for part in (self.details, f"your line: {line}" if line else None, self.hint):
            if part:
                lines += ["  " + line for line in part.splitlines()]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self._text(self.your_line)

    def tell(self, fact: str, value: str) -> None:
        """Add the line ``fact: value`` to the details; a line that says this fact already is replaced."""
        lines = [line for line in (self.details or "").splitlines() if not line.startswith(f"{fact}: ")]
        self.details = "\n".join([*lines, f"{fact}: {value}"])
        self.args = (self._text(),)

    def renamed(self, words: dict[str, str]) -> MlkitError:
        """The same error in the words of the function that was called: {"matmul": "mm", "other": "mat2"}."""
        for part in ("sentence", "details", "hint"):
            text = getattr(self, part)
            if text:
                text = re.sub(r"\b[a-z_]+\b", lambda word: words.get(word[0], word[0]), text)
                setattr(self, part, text)
        self.args = (self._text(),)
        return self

    def __reduce__(self):
        # data-loader workers send errors between processes
        line = self.your_line
        return type(self), (self.sentence, self.details, self.hint), {"_line": None if line is None else str(line)}


class ShapeError(MlkitError, RuntimeError):
    """Shapes that do not fit each other or the operation."""


class DtypeError(MlkitError, RuntimeError):
    """An element type the operation cannot take."""


class DeviceError(MlkitError, RuntimeError):
    """Tensors on different devices, or a device that is not there."""


class NoData(DeviceError, NotImplementedError):
    """The numbers of a tensor on meta, which has none; PyTorch raises NotImplementedError."""


class NotOnHost(DeviceError, TypeError):
    """NumPy's view of a tensor that is not in the computer's own memory; PyTorch raises TypeError."""


class ArgumentError(MlkitError, TypeError):
    """An argument of the wrong kind."""


class NotATensor(ArgumentError, AttributeError):
    """Something else in a tensor's place: PyTorch's own functions raise TypeError, its Python layers AttributeError."""


class NotANumber(ArgumentError, RuntimeError):
    """A tensor or a complex number in a number's place: PyTorch's own functions raise TypeError, its Python ones fail later."""


class WrongWord(ArgumentError, ValueError):
    """No text where one of some words is expected: PyTorch refuses some with TypeError, some with ValueError."""


class WrongMode(WrongWord, NotImplementedError):
    """The same where PyTorch finds no implementation for it."""


class RefusedError(MlkitError, RuntimeError):
    """An argument that the operation refuses, where PyTorch raises RuntimeError."""


class UnsupportedDtype(DtypeError, NotImplementedError):
    """An element type for which there is no such operation, where PyTorch raises NotImplementedError."""


class ValueRangeError(MlkitError, ValueError):
    """An argument of the right kind with a value that cannot work."""


class RankError(ShapeError, IndexError):
    """A tensor without dims where some are needed: PyTorch refuses some with RuntimeError, some with IndexError."""


class UnpoolError(ShapeError, ValueError, IndexError):
    """Input, indices and sizes of unpooling that do not belong together: PyTorch refuses them with one of the three."""


class BatchError(ShapeError, ValueError):
    """Predictions and targets that do not belong together: PyTorch refuses some with RuntimeError, some with ValueError."""


class StrideError(RefusedError, ValueError):
    """A window, stride or padding that cannot be: PyTorch refuses some with RuntimeError, some with ValueError."""


class DimensionError(MlkitError, IndexError):
    """A dimension or an index that the tensor does not have."""


class LabelError(MlkitError, IndexError):
    """A class label outside the classes the model knows."""


class GradientError(MlkitError, RuntimeError):
    """Something backward cannot do: freed graph, changed tensor, no graph at all."""


class DataError(MlkitError, ValueError):
    """Data that is missing, damaged or empty."""

    names_line = False


class CheckpointError(MlkitError, RuntimeError):
    """A checkpoint that cannot be written, read, or does not fit the model."""

    names_line = False


class LinAlgError(MlkitError, RuntimeError):
    """A matrix for which the result does not exist: singular, not positive-definite, or one that did not converge."""


class MissingFeature(MlkitError, NotImplementedError):
    """A part of PyTorch that mlkit does not have, said by name."""

    names_line = False


class InputRankError(MissingFeature, ValueError):
    """Dims that go not with the mode: PyTorch refuses some with NotImplementedError, some with ValueError."""
