"""The jump from an object to its picture: ``mlkit.display`` is loaded when something is displayed, not before.

A class that wants to be drawn calls these from ``_repr_html_``, ``_repr_mimebundle_`` and ``__repr__``. They never
raise: a display that fails must not cost the user the result of a cell, so it becomes text that says why in one line.
"""

from __future__ import annotations

import importlib
import sys
from collections import OrderedDict
from typing import Any

_DISPLAY = "mlkit.display"


def _registry() -> Any:
    # By name: the display room is above the core in the import order, and costs nothing until it is used.
    return importlib.import_module(_DISPLAY + ".registry")


def _plain(obj: object) -> str:
    return object.__repr__(obj)  # not repr(obj): its __repr__ may be what called us


def _why(error: BaseException) -> str:
    message = " ".join(str(error).split())[:300] or "no message"
    message = "".join(c if c.isprintable() else "\ufffd" for c in message)  # it is sent to a notebook as JSON
    return f"(display failed: {type(error).__name__}: {message})"


def repr_html(obj: object) -> str | None:
    """HTML for ``obj``, or None when nothing is registered for its type.

    >>> repr_html(object()) is None
    True
    """
    try:
        return _registry().html(obj)
    except Exception as error:
        import html as _html  # (seldom needed, and importing mlkit is to be quick)

        return f"<pre>{_html.escape(_plain(obj))}\n{_html.escape(_why(error))}</pre>"


def repr_text(obj: object) -> str | None:
    """Plain text for ``obj``, or None when nothing is registered for its type.

    >>> repr_text(object()) is None
    True
    """
    try:
        return _registry().text(obj)
    except Exception as error:
        return f"{_plain(obj)} {_why(error)}"


def repr_mimebundle(obj: object, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
    """The MIME bundle of ``obj`` (always with ``text/plain``), or None when nothing is registered for its type.

    ``include`` and ``exclude`` are IPython's: names of MIME types to keep or to leave out.

    >>> repr_mimebundle(object()) is None
    True
    """
    try:
        bundle = _registry().mimebundle(obj)
    except Exception as error:
        bundle = {"text/plain": f"{_plain(obj)} {_why(error)}"}
    if bundle is None:
        return None
    if include:
        bundle = {name: data for name, data in bundle.items() if name in include}
    if exclude:
        bundle = {name: data for name, data in bundle.items() if name not in exclude}
    return bundle


class Rendered:
    """An error's ``_render_traceback_``: under IPython an error of any class gets a card, as mlkit's own have."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self) -> list[str]:
        return importlib.import_module(_DISPLAY + ".error").lines(self._error)

    def __reduce__(self) -> Any:
        return type(self), (self._error,)


def install_error_cards(shell: Any = None) -> bool:
    """Have IPython show mlkit's errors as cards, other errors as ever; True where an IPython shell runs.

    ``shell``: an ``InteractiveShell``; by default the one that runs. IPython is never imported from here, and the
    display room only when an error is shown.

    >>> install_error_cards()               # outside IPython
    False
    """
    if shell is None:
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    if shell is None:
        return False
    from mlkit.core.errors import MlkitError

    def show(shell: Any, kind: type, error: BaseException, tb: Any, tb_offset: int | None = None) -> None:
        importlib.import_module(_DISPLAY + ".error").show(shell, kind, error, tb, tb_offset)

    shell.set_custom_exc((MlkitError,), show)
    formatter = getattr(shell, "display_formatter", None)
    if (
        formatter is not None
    ):  # a state_dict is an ordinary ordered dictionary, as PyTorch's is, and has no hook of its own
        formatter.formatters["text/html"].for_type(OrderedDict, repr_html)
    return True
