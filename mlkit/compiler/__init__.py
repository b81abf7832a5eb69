"""Programs as graphs: recording one, looking at it, replaying it quicker than it was written.

``mlkit.compile`` (``compiled.py``) is the way in. ``calls.py`` chooses what a call replays, or has it recorded:
``recorder.py`` runs the function once and writes a ``Graph`` with what it changes, while ``watch.py`` sees what Python code
it took for granted, which ``guards.py`` compares before each replay; ``build.py`` has ``passes.py``,
``fusion.py`` and ``memory.py`` make it smaller and ``program.py`` turn it into a flat function, kept in an ``Entry``.
"""

import importlib

from mlkit.compiler.graph import Graph
from mlkit.compiler.trace import trace

__all__ = ["Graph", "compile", "disable", "is_compiling", "reset", "trace"]

#: loaded on first use: name here -> the file it is in
_LAZY = {
    **dict.fromkeys(("compile", "disable", "is_compiling", "reset", "OptimizedModule"), "compiled"),
    "CompileError": "calls",
}


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(f"mlkit.compiler.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
