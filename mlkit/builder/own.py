"""Classes of the notebook: an ``nn.Module`` class that a cell has defined or imported is a block, and nobody need say so."""

from __future__ import annotations

import sys
import weakref
from typing import Any

from mlkit import nn


def classes_of_notebook() -> list[type]:
    """The ``nn.Module`` classes among the notebook's names that are not mlkit's; none outside IPython.

    >>> classes_of_notebook()
    []
    """
    shell = _shell()
    if shell is None:
        return []
    found = {}
    for name, value in list(shell.user_ns.items()):
        if isinstance(value, type) and issubclass(value, nn.Module) and not name.startswith("_"):
            if value.__module__.partition(".")[0] not in ("mlkit", "mlkit_widgets") and value.__name__.isidentifier():
                found[value.__name__] = value
    return list(found.values())


def after_every_cell(builder: Any) -> None:
    """Let a builder look for new classes whenever a cell has run, for as long as it lives."""
    shell = _shell()
    if shell is None:
        return
    held = weakref.ref(builder)

    def look(result: Any) -> None:
        alive = held()
        if alive is None:
            shell.events.unregister("post_run_cell", look)
        else:
            alive.look_for_classes()

    shell.events.register("post_run_cell", look)


def _shell() -> Any:
    ipython = sys.modules.get("IPython")  # where nobody has imported it there is no notebook
    return ipython.get_ipython() if ipython is not None else None
