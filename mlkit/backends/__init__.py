"""Who does the arithmetic: one folder per backend, loaded by name on first use; and PyTorch's ``torch.backends`` switches.

>>> import mlkit
>>> mlkit.backends.cuda.matmul.allow_tf32
False
>>> mlkit.backends.cudnn.allow_tf32
True
"""

from __future__ import annotations

from mlkit.backends.settings import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp"]
