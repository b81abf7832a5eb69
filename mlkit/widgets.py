"""`mlkit.widgets` is the package `mlkit_widgets`, loaded on first use.

It is a separate package because it is the one part with a front end; the alias is what people write:
`from mlkit.widgets import Watch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlkit_widgets import (
        DigitPad,
        GradientFlow,
        GraphInspector,
        ModelBuilder,
        Playground,
        TrainingCurves,
        TrainingMonitor,
        Watch,
    )

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


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import mlkit_widgets
    except ModuleNotFoundError as error:
        if error.name != "mlkit_widgets":
            raise
        raise ModuleNotFoundError(
            "mlkit.widgets needs the package mlkit_widgets, which comes with mlkit but cannot be found.\n"
            '  Install mlkit with its notebook parts: pip install "mlkit[lab]"\n'
            "  In a checkout without an install, put its `widgets` folder on PYTHONPATH.",
            name="mlkit_widgets",
        ) from error
    return getattr(mlkit_widgets, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
