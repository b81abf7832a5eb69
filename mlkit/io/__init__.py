"""Read and write models: PyTorch files, the safetensors format, and checkpoints in it."""

from mlkit.io import safetensors
from mlkit.io.checkpoint import load_checkpoint, save_checkpoint
from mlkit.io.tensor_file import read_arrays, write_arrays
from mlkit.io.torch_file import load, save

__all__ = ["load", "load_checkpoint", "read_arrays", "safetensors", "save", "save_checkpoint", "write_arrays"]
