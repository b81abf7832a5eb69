"""``mlkit.linalg``: linear algebra over batches of matrices, with gradients, in ``torch.linalg``'s names."""

from mlkit.functional.linear_algebra import *  # noqa: F403
from mlkit.functional.linear_algebra import __all__ as __all__
