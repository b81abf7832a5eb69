"""matplotlib figures of what a training leaves behind. Each function draws on an ``Axes`` and returns it, so the rest
of matplotlib works as usual: ``plot.curves(history).figure.savefig("curves.pdf")``.

Colours can be told apart with any colour vision, and line styles tell series apart without colour. In a notebook a
figure follows the page's theme, light or dark; what is saved to a file is on white.

``history_interactive`` alone gives a plotly figure, for a finished training where hovering helps.
"""

from mlkit.plot import attribution
from mlkit.plot.explained import grad_cam, integrated_gradients, saliency
from mlkit.plot.figures import attention, confusion, curves, decision_boundary, filters, histogram, images
from mlkit.plot.flow import gradient_flow
from mlkit.plot.interactive import history_interactive

__all__ = [
    "attention",
    "attribution",
    "confusion",
    "curves",
    "decision_boundary",
    "filters",
    "grad_cam",
    "gradient_flow",
    "histogram",
    "history_interactive",
    "images",
    "integrated_gradients",
    "saliency",
]
