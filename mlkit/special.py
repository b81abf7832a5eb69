"""``mlkit.special``: special functions with gradients, in ``torch.special``'s names."""

from mlkit.functional.checked import check_all as _check_all
from mlkit.functional.special import *  # noqa: F403
from mlkit.functional.special import __all__ as __all__

_check_all(globals(), __all__, "mlkit.special")
