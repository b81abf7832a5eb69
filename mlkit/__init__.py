"""mlkit: PyTorch you can see, on NumPy and CuPy."""

__version__ = "0.1.0"
