"""Files of named tensors in the safetensors format: no code in them, none run by reading them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.core.errors import CheckpointError
from mlkit.core.files import atomic_write

__all__ = ["read_arrays", "write_arrays"]


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write named arrays and texts, whole or not at all.

    Args:
        path: The file; its folder must exist.
        arrays: Of any shape; non-contiguous ones are written in C order.
        metadata: Texts kept in the header.

    Raises:
        OSError: The disk is full or the folder read-only; an older file of that name is as it was.
    """
    from safetensors.numpy import save

    data = save({name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata=metadata)
    with atomic_write(path) as file:
        file.write(data)


def read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The named arrays and the texts of a safetensors file.

    Raises:
        CheckpointError: The file is missing, cut short, or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}.", hint="Check the path for a typing error.") from None
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is damaged, cut short, or no safetensors file.",
            details=f"{error}; the file has {_size(path)}",
            hint="Take an earlier checkpoint, or save it again.",
        ) from error


def _size(path: Path) -> str:
    try:
        return f"{path.stat().st_size:,} bytes"
    except OSError:
        return "an unknown size"


def as_array(tensor: Any) -> np.ndarray:
    """A tensor's values as a NumPy array in main memory."""
    return np.asarray(tensor) if isinstance(tensor, (np.ndarray, np.generic)) else tensor.detach().cpu().numpy()
