"""Programs as graphs: recording one, looking at it."""

from mlkit.compiler.graph import Graph
from mlkit.compiler.trace import trace

__all__ = ["Graph", "trace"]
