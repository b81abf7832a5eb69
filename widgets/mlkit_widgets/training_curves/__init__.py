"""Live training curves with the hand on the wheel."""

from mlkit_widgets.training_curves.widget import TrainingCurves, Watch

__all__ = ["TrainingCurves", "Watch"]
