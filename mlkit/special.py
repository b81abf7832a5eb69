"""``mlkit.special``: special functions with gradients, in ``torch.special``'s names."""

from mlkit.functional.special import *  # noqa: F403
from mlkit.functional.special import __all__ as __all__
