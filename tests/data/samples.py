"""Datasets and functions that worker processes can import."""

import os
import random
import signal
import time

import numpy as np

import mlkit
from mlkit.data import Dataset, IterableDataset, Sampler, get_worker_info


class Squares(Dataset):
    def __init__(self, size=20):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return np.full((2,), index, np.float32), index**2


class Failing(Squares):
    def __getitem__(self, index):
        if index == 7:
            return self.deep_inside(index)
        return super().__getitem__(index)

    def deep_inside(self, index):
        raise KeyError(f"no sample {index}")


class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__("cannot travel")


class FailingOddly(Squares):
    def __getitem__(self, index):
        raise Unpicklable(1, 2)


class Dying(Squares):
    def __getitem__(self, index):
        if index == 11:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


class Slow(Squares):
    def __getitem__(self, index):
        time.sleep(60)


class Random(Squares):
    def __getitem__(self, index):
        return np.random.rand()


class WhoAmI(Squares):
    def __getitem__(self, index):
        info = get_worker_info()
        return (-1, 0, os.getpid()) if info is None else (info.id, info.num_workers, os.getpid())


class Stream(IterableDataset):
    def __init__(self, size):
        self.size = size

    def __iter__(self):
        info = get_worker_info()
        return iter(range(self.size) if info is None else range(info.id, self.size, info.num_workers))


class Unloadable(Squares):
    def __setstate__(self, state):
        raise OSError("the camera is unplugged")


def as_sum(samples):
    return sum(label for _, label in samples)


def fail_to_start(worker):
    raise RuntimeError(f"init of {worker} failed")


class Draws(Squares):
    """A sample is what all global generators give."""

    def __getitem__(self, index):
        return np.random.rand(), random.random(), mlkit.rand(1).item(), index


class Big(Squares):
    def __getitem__(self, index):
        return np.full((1 << 20,), index, np.uint8), {"small": np.arange(3) + index, "name": str(index)}


class WritesIntoItself(Squares):
    def __init__(self, pixels):
        super().__init__(4)
        self.pixels = pixels

    def __getitem__(self, index):
        self.pixels[7] += 1
        own = "/memfd:mlkit-batch" in open("/proc/self/maps").read() or get_worker_info() is None
        return np.array([self.pixels[7], own])


class Crashing(Squares):
    def __getitem__(self, index):
        if index == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().__getitem__(index)


class Unsendable(Squares):
    def __getitem__(self, index):
        return lambda: index


class SlowStart(Squares):
    """Samples 0 and 1 wait until another worker has gone on to its second batch, and a moment more."""

    def __init__(self, size, sign):
        super().__init__(size)
        self.sign = sign

    def __getitem__(self, index):
        if index >= 6:
            self.sign.touch()
        deadline = time.monotonic() + 60
        while index < 2 and not self.sign.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        if index == 0:
            time.sleep(0.5)
        return index


class StreamOfKnownLength(Stream):
    def __len__(self):
        return self.size


class NoisyStream(Stream):
    def __iter__(self):
        return (value + np.random.rand() + random.random() + mlkit.rand(1).item() for value in super().__iter__())


class EveryoneReadsAll(StreamOfKnownLength):
    def __iter__(self):
        return iter(range(self.size))


class NumpySampler(Sampler):
    """As people write them: draws from NumPy's global generator."""

    def __init__(self, size):
        self.size = size

    def __iter__(self):
        return iter(np.random.permutation(self.size).tolist())

    def __len__(self):
        return self.size


def as_they_are(samples):
    return samples
