"""What the NumPy backend does in place of NumPy's own Python functions: the same numbers, types, strides and refusals."""

from __future__ import annotations

import warnings

import ml_dtypes
import numpy as np
import pytest

import mlkit
from mlkit.backends.numba import scratch
from mlkit.core import backend


def reader():
    return backend.load("numpy").m


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.int32, np.int64, bool])
@pytest.mark.parametrize(
    "shape, dims",
    [((3, 4, 5), [(0,), (1, 2), (0, 1, 2), (), (2,)]), ((), [()]), ((0, 3), [(0,), (1,), (0, 1)])],
)
def test_sums_and_means(dtype, shape, dims):
    x = np.asarray(np.random.default_rng(0).standard_normal(shape) * 5).astype(dtype)
    for dim in dims:
        for keepdim in (False, True):
            wide = np.int64 if x.dtype.kind in "biu" else x.dtype
            pairs = [(reader().sum_(x, dim, keepdim), np.sum(x, axis=dim, keepdims=keepdim, dtype=wide))]
            if x.dtype.kind in "fc":
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the mean of nothing
                    pairs.append((reader().mean_(x, dim, keepdim), np.mean(x, axis=dim, keepdims=keepdim)))
            for ours, theirs in pairs:
                np.testing.assert_allclose(ours, theirs, rtol=2e-7)
                assert ours.dtype == theirs.dtype and type(ours) is type(theirs)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.complex64, bool, ml_dtypes.bfloat16])
@pytest.mark.parametrize(
    "shape, wanted",
    [
        ((), ()),
        ((), (64,)),
        ((3, 1), (2, 3, 4)),
        ((1,), (5,)),
        ((3, 4), (3, 4)),
        ((1, 0), (5, 0)),
        ((2, 1, 3), (2, 0, 3)),
    ],
)
def test_expand_is_broadcast_to(dtype, shape, wanted):
    x = np.ones(shape, dtype)
    for y in (x, x[::-1], np.asfortranarray(x)) if shape else (x,):
        ours, theirs = reader().expand(y, shape=wanted), np.broadcast_to(y, wanted)
        np.testing.assert_array_equal(ours, theirs)
        assert (ours.shape, ours.strides, ours.dtype) == (theirs.shape, theirs.strides, theirs.dtype)
        assert not ours.flags.writeable or not wanted == shape
        assert not ours.size or np.may_share_memory(ours, y)


@pytest.mark.parametrize("shape, wanted", [((3,), (4,)), ((2, 3), (3,)), ((3, 1), (2, 1))])
def test_expand_refuses_what_does_not_broadcast(shape, wanted):
    with pytest.raises(ValueError):  # NumPy's own words
        reader().expand(np.ones(shape), shape=wanted)


def test_addresses_are_where_numpy_says():
    x = np.arange(24.0).reshape(4, 6)
    for y in (x, x[1:], x[::-1, 2:], x.T, np.broadcast_to(x, (2, 4, 6)), np.zeros(0), np.array(1.0), x.view(np.uint8)):
        assert scratch.address(y) == y.__array_interface__["data"][0]
    for count in (1, 15, 1000):
        assert scratch.address(scratch.floats(count)) % scratch.LINE == 0
        assert scratch.zeros(count).size == count and not scratch.zeros(count).any()


def test_views_of_views_know_their_memory_and_their_line():
    """Reshape, permute and narrow go a shorter way than other operations: with the same links, gradients and errors."""
    x = mlkit.arange(24.0).reshape(4, 6).requires_grad_()
    y = (x * 1).view(2, 12).transpose(0, 1)
    z = y.narrow(0, 3, 4)
    assert z._base is not None and z._base is y._base and "narrow" in z.made_at.code
    (z * z).sum().backward()
    expected = np.zeros(24)
    expected.reshape(2, 12)[:, 3:7] = 2 * np.arange(24).reshape(2, 12)[:, 3:7]
    np.testing.assert_array_equal(x.grad.numpy().reshape(-1), expected)
    w = (x * 1).reshape(-1)
    kept = (w * w).sum()
    w.view(4, 6)[0] = 0.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        kept.backward()
    for wrong in (lambda: x.view(5, 5), lambda: x.permute(0, 0), lambda: x.narrow(1, 3, 9), lambda: x.transpose(0, 2)):
        with pytest.raises((RuntimeError, IndexError)):
            wrong()
