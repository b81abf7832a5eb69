"""The canvas of `mlkit.ModelBuilder`."""

from mlkit_widgets.model_builder.widget import ModelCanvas

__all__ = ["ModelCanvas"]
