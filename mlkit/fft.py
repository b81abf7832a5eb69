"""``mlkit.fft``: discrete Fourier transforms with gradients, in ``torch.fft``'s names."""

from mlkit.functional.checked import check_all as _check_all
from mlkit.functional.fourier import *  # noqa: F403
from mlkit.functional.fourier import __all__ as __all__

_check_all(globals(), __all__, "mlkit.fft")
