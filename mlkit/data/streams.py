"""Random numbers of a sample: they depend on the loader's seed and on the sample's place, and on nothing else.

Which process loads a sample, how many there are, and what was drawn before, do not matter. So random transforms are
equal at any number of workers, and an epoch that is taken up in the middle goes on with the same ones.

While a sample is loaded, mlkit's default generator is at the beginning of the sample's own stream (a Philox stream
named by seed and place), and `of_sample` gives the same to transforms, whatever other threads do. NumPy's and Python's
global generators are expensive to seed, so they start anew with each batch: the batch is what one process loads.
Afterwards all of them are where they were.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator

import numpy as np

from mlkit.core.rng import Generator, default_generator

__all__ = ["EpochStreams", "numpy_generator", "of_sample"]

_WORD = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15  # odd, so that different places have different names
_COLLATE = 0xD1B54A32D192ED03  # batches are named apart from samples
_OTHER = 0x5851F42D4C957F2D  # NumPy's and Python's generators are the same one: with one seed they would say the same


class _Here(threading.local):
    generator: Generator | None = None


_here = _Here()


def of_sample() -> Generator:
    """The generator of the sample that is being loaded in this thread; outside a loader, mlkit's default one."""
    return _here.generator or default_generator


def numpy_generator(count: int = 4, generator: Generator | None = None) -> np.random.Generator:
    """NumPy's way of drawing, on the next part of the sample's stream (or of the generator given).

    Args:
        count: About how many numbers will be drawn; the stream moves on by that.
        generator: An `mlkit.Generator`; `of_sample` by default.
    """
    key = (generator or of_sample()).take(count)
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))


class EpochStreams:
    """The streams of one iteration over a loader.

    Args:
        seed: Of the iteration.
        worker: Streams of an `IterableDataset` differ from worker to worker; 0 where samples have an index.
    """

    def __init__(self, seed: int, worker: int = 0) -> None:
        self.seed = (seed + worker * 0xA0761D6478BD642F) & _WORD
        self._generator = Generator()
        self._numpy = np.random.MT19937(0)

    @contextlib.contextmanager
    def batch(self, number: int) -> Iterator[None]:
        """Inside, all global generators belong to batch `number`; afterwards they are as they were."""
        name = ((self.seed ^ _COLLATE) + number * _STEP) & _WORD
        before, outer = default_generator.get_pair(), _here.generator
        numpy_before, python_before = np.random.get_bit_generator(), random.getstate()  # type: ignore[attr-defined]
        np.random.set_bit_generator(self._numpy)  # type: ignore[attr-defined]
        np.random.seed([name & 0xFFFFFFFF, name >> 32])
        random.seed(name ^ _OTHER)
        self._generator.set_pair(name, 0)
        default_generator.set_pair(name, 0)
        _here.generator = self._generator
        try:
            yield
        finally:
            _here.generator = outer
            default_generator.set_pair(*before)
            np.random.set_bit_generator(numpy_before)  # type: ignore[attr-defined]
            random.setstate(python_before)

    def sample(self, place: int) -> None:
        """Go to the stream of the sample at this place of the epoch (inside `batch`)."""
        # As set_pair does, without its lock: this is done for every sample, and a lock here would guard nothing.
        for generator in (self._generator, default_generator):
            generator._seed = (self.seed + place * _STEP) & _WORD
            generator._offset = 0

    def collating(self, number: int) -> None:
        """Go to the stream of the batch itself, for what is drawn while it is put together."""
        name = ((self.seed ^ _COLLATE) + number * _STEP) & _WORD
        self._generator.set_pair(name, 0)
        default_generator.set_pair(name, 0)
