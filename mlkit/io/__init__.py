"""Read and write models: checkpoints in the safetensors format."""

from mlkit.io.checkpoint import load_checkpoint, save_checkpoint
from mlkit.io.tensor_file import read_arrays, write_arrays

__all__ = ["load_checkpoint", "read_arrays", "save_checkpoint", "write_arrays"]
