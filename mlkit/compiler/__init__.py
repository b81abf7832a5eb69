"""Programs as graphs: recording one, looking at it, replaying it quicker than it was written.

``mlkit.compile`` is the way in. ``recorder.py`` runs a function once and writes a ``Graph`` with what it changes;
``passes.py``, ``fusion.py`` and ``memory.py`` make it smaller; ``program.py`` turns it into a flat function.
"""

from mlkit.compiler.graph import Graph
from mlkit.compiler.trace import trace

__all__ = ["Graph", "compile", "disable", "is_compiling", "reset", "trace"]

_LAZY = ("compile", "disable", "is_compiling", "reset", "OptimizedModule", "CompileError")


def __getattr__(name: str):
    if name in _LAZY:
        from mlkit.compiler import compiled

        return getattr(compiled, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
