"""A model's graph, opened module by module down to single operations and their tensors."""

from mlkit_widgets.graph_inspector.widget import GraphInspector

__all__ = ["GraphInspector"]
