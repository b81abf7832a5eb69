"""``mlkit.fft``: discrete Fourier transforms with gradients, in ``torch.fft``'s names."""

from mlkit.functional.fourier import *  # noqa: F403
from mlkit.functional.fourier import __all__ as __all__
