"""mlkit's notebook widgets, loaded on first use.

>>> import mlkit_widgets
>>> sorted(mlkit_widgets.__all__)
['DigitPad', 'GradientFlow', 'GraphInspector', 'ModelBuilder', 'Playground', 'TrainingCurves', 'TrainingMonitor', 'Watch']

Each widget lives in a folder of its own: `widget.py` is the kernel's half, `view.tsx` the browser's.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlkit.builder.model_builder import ModelBuilder
    from mlkit_widgets.digit_pad import DigitPad
    from mlkit_widgets.gradient_flow import GradientFlow
    from mlkit_widgets.graph_inspector import GraphInspector
    from mlkit_widgets.playground import Playground
    from mlkit_widgets.training_curves import TrainingCurves, TrainingMonitor, Watch

__all__ = [
    "DigitPad",
    "GradientFlow",
    "GraphInspector",
    "ModelBuilder",
    "Playground",
    "TrainingCurves",
    "TrainingMonitor",
    "Watch",
]

_HOME = {
    "DigitPad": "mlkit_widgets.digit_pad",
    "GradientFlow": "mlkit_widgets.gradient_flow",
    "GraphInspector": "mlkit_widgets.graph_inspector",
    "ModelBuilder": "mlkit.builder.model_builder",  # shows itself as mlkit_widgets.model_builder.ModelCanvas
    "Playground": "mlkit_widgets.playground",
    "TrainingCurves": "mlkit_widgets.training_curves",
    "TrainingMonitor": "mlkit_widgets.training_curves",
    "Watch": "mlkit_widgets.training_curves",
}

_NEEDED = {"anywidget", "ipywidgets", "traitlets", "IPython", "comm"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    try:
        module = importlib.import_module(_HOME[name])
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] in _NEEDED:
            raise ModuleNotFoundError(
                f"{name} needs {error.name}, which is not installed.\n"
                '  Install the notebook parts: pip install "mlkit[lab]"',
                name=error.name,
            ) from error
        raise
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
