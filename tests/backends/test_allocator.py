"""Freed memory is used again, within its limit, and comes back when asked; nothing that is still referred to is reused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import mlkit
from mlkit.backends.numpy import allocator

needs_glibc = pytest.mark.skipif(allocator._glibc() is None, reason="another C library: nothing is changed")

COUNT = """
import resource, threading, numpy as np, mlkit
def work():
    global faults
    x = np.ones(1 << 20, np.float32)
    for _ in range(3): y = x + x
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        y = x + x
        z = y * y
        del y, z
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""
SIZE = """
import gc, os, numpy as np, mlkit
# What lies above freed arrays keeps the heap's end where it is: so nothing is put on the heap from here on but arrays.
statm = os.open("/proc/self/statm", os.O_RDONLY)
def resident():
    return int(os.pread(statm, 200, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
kept = [None] * 100
gc.collect()
start = resident()
for i in range(100):
    kept[i] = np.ones(1 << 20, np.float32)
assert resident() - start > 300
del kept; gc.collect()
print(resident() - start)
mlkit.config.empty_memory_cache()
print(resident() - start)
"""


def run(text: str, **env) -> list[int]:
    import os

    command = [sys.executable, "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, timeout=120)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


@needs_glibc
@pytest.mark.parametrize("where", ["work()", "t = threading.Thread(target=work); t.start(); t.join()"])
def test_freed_memory_is_used_again(where):
    (with_cache,) = run(COUNT + where + "\nprint(faults)")
    (without,) = run(COUNT + where + "\nprint(faults)", MLKIT_MEMORY_CACHE_BYTES="-1", MALLOC_MMAP_THRESHOLD_="131072")
    assert with_cache * 5 < without


@needs_glibc
def test_what_is_kept_has_a_limit_and_can_be_emptied():
    for _ in range(3):  # a small object that happens to lie above a freed array keeps the heap from shrinking
        freed, emptied = run(SIZE, MLKIT_MEMORY_CACHE_BYTES=str(64 << 20))
        assert emptied <= freed
        if freed < 100:
            break
    assert freed < 100
    freed, emptied = run(SIZE, MLKIT_MEMORY_CACHE_BYTES=str(800 << 20))
    assert freed > 300 and emptied < 50


def test_what_is_referred_to_is_not_reused():
    x = mlkit.ones(1 << 18)
    view = (x * 3)[::2]
    others = [x * i for i in range(20)]
    assert (view.numpy() == 3).all()
    assert all((y.numpy() == i).all() for i, y in enumerate(others))
    assert isinstance(mlkit.config.set_memory_cache(mlkit.config.memory_cache_bytes), bool)
    assert np.shares_memory(view.numpy(), view.numpy())
