"""Where this room meets tensors and mlkit's random numbers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

import mlkit
from mlkit.core.rng import Generator, default_generator
from mlkit.core.value import is_tensor

__all__ = [
    "as_tensor",
    "draw_seed",
    "dtype_name",
    "from_numpy",
    "integers",
    "is_tensor",
    "permutation",
    "seed_everything",
    "stack",
    "take",
    "to_numpy",
]


def as_tensor(value: Any) -> Any:
    """A Tensor; an array's memory is shared."""
    return mlkit.as_tensor(value)


def from_numpy(array: np.ndarray) -> Any:
    """A Tensor that shares the array's memory."""
    return mlkit.from_numpy(array)


def to_numpy(tensor: Any) -> np.ndarray:
    """The values in main memory; shared where they are there already."""
    return tensor.detach().cpu().numpy()


def take(tensor: Any, indices: np.ndarray) -> Any:
    """A copy of these entries of the first axis: Tensor [len(indices), ...]."""
    if tensor.device.type == "cpu":
        return from_numpy(np.take(to_numpy(tensor), indices, axis=0))
    return tensor[from_numpy(indices).to(tensor.device)]


def stack(tensors: Sequence[Any]) -> Any:
    """Along a new first axis."""
    return mlkit.stack(list(tensors))


def dtype_name(tensor: Any) -> str:
    """ "float32", "int64", ..."""
    return str(tensor.dtype).rpartition(".")[2]


def permutation(size: int, generator: Generator | None = None) -> np.ndarray:
    """0 to size - 1 in random order; int64 [size]."""
    return _numpy_generator(size, generator).permutation(size)


def integers(high: int, count: int, generator: Generator | None = None) -> np.ndarray:
    """Random numbers from 0 to high - 1; int64 [count]."""
    return _numpy_generator(count, generator).integers(0, high, count)


def draw_seed(generator: Generator | None = None) -> int:
    """A seed for other streams, drawn from this one; it leaves room for adding a worker's number."""
    return int(_numpy_generator(1, generator).integers(0, 2**62))


def seed_everything(seed: int) -> None:
    """Start mlkit's, NumPy's and Python's own random numbers at this seed (in a worker process)."""
    default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def _numpy_generator(count: int, generator: Generator | None) -> np.random.Generator:
    """NumPy's shuffling, on a counter-based stream named by mlkit's seed and offset."""
    seed, offset = (generator if generator is not None else default_generator).take(count)
    return np.random.Generator(np.random.Philox(key=np.array([seed, offset], np.uint64)))
