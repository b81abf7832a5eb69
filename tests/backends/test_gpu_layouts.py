"""What the GPU's kernels are told of memory: how matrices lie, batch steps, chunks, channels last. Runs anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from mlkit.backends.cupy import blas, optimizers, source
from mlkit.backends.cupy.source import last_strides


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda: np.zeros((3, 4)), (False, 4)),
        (lambda: np.zeros((4, 3)).T, (True, 3)),
        (lambda: np.zeros((3, 8))[:, :4], (False, 8)),
        (lambda: np.zeros((8, 3)).T[:, :4], (True, 3)),
        (lambda: np.zeros((3, 8))[:, ::2], None),
        (lambda: np.zeros((1, 4)), (False, 4)),
        (lambda: np.zeros((4, 1)), (False, 1)),
        (lambda: np.broadcast_to(np.zeros(4), (3, 4)), None),
        (lambda: np.broadcast_to(np.zeros((3, 1)), (3, 4)), None),
    ],
)
def test_a_matrix_is_read_as_it_lies(make, expected):
    x = make()
    found = blas.lies(*x.shape, *(s // x.itemsize for s in x.strides))
    assert found == expected
    if found is not None:  # what cuBLAS would read with that step is the matrix
        turned, line = found
        count = (x.shape[1] if turned else x.shape[0]) - 1
        assert line >= (x.shape[0] if turned else x.shape[1])
        assert count * line <= x.base.size if x.base is not None else x.size


@pytest.mark.parametrize(
    "shape, strides, expected",
    [
        ((2, 3), (12, 4), 4),
        ((2, 3), (4, 8), None),
        ((1, 3), (99, 4), 4),
        ((), (), 0),
        ((1, 1), (5, 7), 0),
        ((4,), (0,), 0),
        ((2, 3), (4, 0), None),
        ((2, 3), (0, 4), None),
        ((2, 3), (0, 0), 0),
        ((2, 3, 4), (12, 4, 1), 1),
    ],
)
def test_batches_that_one_step_leads_through(shape, strides, expected):
    assert blas.batch_step(shape, strides) == expected


def test_chunks_cover_every_element_once():
    sizes = [1, 5, 16, 17, 40]
    seen = [np.zeros(n, int) for n in sizes]
    for tensor, start, stop in optimizers.chunks_of(sizes, 16):
        assert stop - start <= 16
        seen[tensor][start:stop] += 1
    assert all((s == 1).all() for s in seen)
    assert optimizers.chunks_of([]).shape == (0, 3)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 7), (1, 2, 3, 4, 5)])
def test_channels_last_strides_are_those_of_a_moved_axis(shape):
    moved = np.moveaxis(np.zeros((shape[0], *shape[2:], shape[1])), -1, 1)
    assert last_strides(shape, 8) == (moved.strides, moved.nbytes)


def test_threads_are_whole_warps():
    for n in (1, 31, 128, 129, 768, 5000, 10**6):
        assert source.threads(n) % 32 == 0 and 32 <= source.threads(n) <= 1024
