"""Gradients, weights and activations of a model while it trains: see `widget.py` and `view.tsx`."""

from mlkit_widgets.gradient_flow.widget import GradientFlow

__all__ = ["GradientFlow"]
