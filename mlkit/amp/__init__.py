"""Mixed precision: autocast chooses the precision of each op, GradScaler keeps small gradients from vanishing."""

from mlkit.amp.autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from mlkit.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
