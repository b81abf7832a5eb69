"""``mlkit.linalg``: linear algebra over batches of matrices, with gradients, in ``torch.linalg``'s names."""

from mlkit.functional.checked import check_all as _check_all
from mlkit.functional.linear_algebra import *  # noqa: F403
from mlkit.functional.linear_algebra import __all__ as __all__

_check_all(globals(), __all__, "mlkit.linalg")
