"""The Python behind a model document in JupyterLab: one builder in a kernel of its own, with the canvas's widget.

The extension calls these functions by name in a kernel that it started for one document, and answers the widget's
messages as a notebook would.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import mlkit
from mlkit.builder import Document, ModelBuilder
from mlkit.core.errors import DataError
from mlkit.io.safetensors import save_model

__all__ = ["Answer", "keep", "open", "replace", "text"]

_builder: ModelBuilder | None = None


class Answer(dict[str, Any]):
    """What a function found. Jupyter sends it as JSON."""

    def _repr_json_(self) -> dict[str, Any]:
        return dict(self)


def open(text: str, name: str) -> Answer:
    """Show a document; an empty one begins a model of that name.

    Raises:
        DataError: The text is no model document; the message names the place in it.
    """
    global _builder
    if _builder is not None:
        _builder.widget.close()
    _builder = ModelBuilder(_read(text, name))
    _builder.widget._home = {"kind": "document"}  # made now: the page waits for it
    return Answer(version=mlkit.__version__)


def replace(text: str) -> Answer:
    """Take a document that was changed elsewhere, as a step that can be undone.

    Raises:
        DataError: The text is no model document; what is shown stays.
    """
    builder = _of_document()
    builder.history.replace(_read(text, builder.document.name), "Change the file")
    builder.changed()
    return Answer()


def text() -> Answer:
    """The document as it is saved."""
    return Answer(text=_of_document().document.to_text())


def keep(name: str) -> Answer:
    """Write the weights of the model as they are now into a safetensors file beside the document.

    Raises:
        DataError: The name is no file's name, or something is not linked yet.
        OSError: The folder cannot be written to.
    """
    path = Path(name)
    if path.name != name or path.suffix != ".safetensors":
        raise DataError(f"{name!r} is not the name of a .safetensors file.")
    save_model(_of_document().model, path)
    return Answer(path=name)


def _of_document() -> ModelBuilder:
    if _builder is None:
        raise RuntimeError("No document has been opened here.")
    return _builder


def _read(text: str, name: str) -> Document:
    if text.strip():
        try:
            return Document.from_text(text, where="the file")
        except DataError as error:
            if "class of yours" not in (error.hint or ""):
                raise
            raise DataError(
                error.sentence, error.details, "A class of yours is known in your notebooks only: load the file there with "
                "ModelBuilder(path), after the cell that defines the class.",
            ) from None  # fmt: skip
    words = [word[0].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", name)]
    known = "".join(words) if words and words[0][0].isalpha() else "Net"  # the name of a class
    return Document.from_text(json.dumps({**Document().to_dict(), "name": known}), where="the file")
