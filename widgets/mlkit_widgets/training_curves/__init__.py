"""Live training curves with buttons that steer the runs."""

from mlkit_widgets.training_curves.monitor import TrainingMonitor
from mlkit_widgets.training_curves.widget import TrainingCurves, Watch

__all__ = ["TrainingCurves", "TrainingMonitor", "Watch"]
