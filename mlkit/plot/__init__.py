"""matplotlib figures of what a training leaves behind. Each function draws on an ``Axes`` and returns it, so the rest
of matplotlib works as usual: ``plot.curves(history).figure.savefig("curves.pdf")``.

Colours can be told apart with any colour vision, and line styles tell series apart without colour.
"""

from mlkit.plot.figures import attention, confusion, curves, decision_boundary, filters, histogram, images
from mlkit.plot.flow import gradient_flow

__all__ = ["attention", "confusion", "curves", "decision_boundary", "filters", "gradient_flow", "histogram", "images"]
