"""Where this room meets tensors and mlkit's random numbers."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
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
    "numpy_generator",
    "permutation",
    "pinner",
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
        from mlkit.data import transport

        values = to_numpy(tensor)
        if isinstance(indices, slice):
            indices = np.arange(*indices.indices(len(values)))
        out = transport.empty((len(indices), *values.shape[1:]), values.dtype)
        inside = len(indices) and -len(values) <= indices.min() and indices.max() < len(values)
        # "raise" would check by the way, but goes through a buffer of its own
        return from_numpy(np.take(values, indices, axis=0, out=out, mode="wrap" if inside else "raise"))
    return tensor[from_numpy(indices).to(tensor.device)]


def stack(tensors: Sequence[Any]) -> Any:
    """Along a new first axis."""
    if all(tensor.device.type == "cpu" and not tensor.requires_grad for tensor in tensors):
        return from_numpy(stack_arrays([tensor.numpy() for tensor in tensors]))
    return mlkit.stack(list(tensors))


def stack_arrays(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of one shape along a new first axis; in a worker, into memory that the main process sees."""
    from mlkit.data import transport

    first = parts[0]
    dtype = first.dtype
    if not first.ndim or not first.size or any(part.dtype != dtype for part in parts):
        return np.stack(parts)
    out = transport.empty((len(parts), *first.shape), dtype)
    # along the axis that is there: quicker than giving each array a new one
    np.concatenate(parts, out=out.reshape(len(parts) * len(first), *first.shape[1:]))
    return out


def dtype_name(tensor: Any) -> str:
    """ "float32", "int64", ..."""
    return str(tensor.dtype).rpartition(".")[2]


def pinner() -> Callable[[Any], Any] | None:
    """What copies a batch's tensors into page-locked memory; None, with a warning, where there is no GPU to copy to."""
    if not mlkit.cuda.is_available():
        warnings.warn(
            "DataLoader: pin_memory=True has no effect, for there is no GPU here that could copy from page-locked memory.",
            stacklevel=3,
        )
        return None
    import cupyx

    from mlkit.data.collate import map_tensors

    def pin(tensor: Any) -> Any:
        if tensor.device.type != "cpu":
            return tensor
        values = to_numpy(tensor)
        locked = cupyx.empty_pinned(values.shape, values.dtype)
        locked[...] = values
        return from_numpy(locked)

    return lambda batch: map_tensors(batch, pin)


def permutation(size: int, generator: Generator | None = None) -> np.ndarray:
    """0 to size - 1 in random order; int64 [size]."""
    return numpy_generator(size, generator).permutation(size)


def integers(high: int, count: int, generator: Generator | None = None) -> np.ndarray:
    """Random numbers from 0 to high - 1; int64 [count]."""
    return numpy_generator(count, generator).integers(0, high, count)


def draw_seed(generator: Generator | None = None) -> int:
    """A seed for other streams, drawn from this one; it leaves room for adding a worker's number."""
    return int(numpy_generator(1, generator).integers(0, 2**62))


def seed_everything(seed: int) -> None:
    """Start mlkit's, NumPy's and Python's own random numbers at this seed (in a worker process)."""
    default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def numpy_generator(count: int, generator: Generator | None = None) -> np.random.Generator:
    """NumPy's shuffling, on a counter-based stream named by mlkit's seed and offset."""
    seed, offset = (generator if generator is not None else default_generator).take(count)
    return np.random.Generator(np.random.Philox(key=np.array([seed, offset], np.uint64)))
