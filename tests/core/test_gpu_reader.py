"""What the GPU backend does itself where CuPy has no function for it, run on NumPy arrays, which take the same calls."""

from __future__ import annotations

import numpy as np
import pytest

from mlkit.backends.cupy import CupyReader

READER = CupyReader(np, {})
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "int16"])
@pytest.mark.parametrize("ufunc", ["multiply", "maximum", "minimum", "add"])
@pytest.mark.parametrize("dim", [0, 1])
def test_combining_at_repeated_places(ufunc, dtype, dim):
    out = RNG.integers(1, 4, (4, 5)).astype(dtype)
    shape = (9, 5) if dim == 0 else (4, 9)
    index = RNG.integers(0, out.shape[dim], shape)
    values = RNG.integers(1, 3, shape).astype(dtype)
    place = READER.places(index, dim)
    want = out.copy()
    getattr(np, ufunc).at(want, place, values)
    READER.ufunc_at_(ufunc, out, place, values)
    np.testing.assert_array_equal(out, want)


def test_combining_nothing_and_by_negative_places():
    out = np.arange(4.0)
    READER.ufunc_at_("multiply", out, (np.array([], np.int64),), np.array([]))
    np.testing.assert_array_equal(out, np.arange(4.0))
    READER.ufunc_at_("maximum", out, (np.array([-1, 0, -1]),), np.array([9.0, 5.0, 7.0]))
    np.testing.assert_array_equal(out, [5, 1, 2, 9])


@pytest.mark.parametrize("dtype", ["float32", "int64", "int8", "bool", "complex64"])
def test_adding_in_types_without_atomics(dtype):
    out = RNG.integers(0, 2, (4, 3)).astype(dtype)
    index = np.array([1, 1, 0, 3, 1])
    values = RNG.integers(0, 2, (5, 3)).astype(dtype)
    want = out.astype(np.complex64)
    np.add.at(want, index, values)
    rows = READER.index_add_(out, index, values, 0)
    columns = READER.index_add_(np.ascontiguousarray(out.T), index, np.ascontiguousarray(values.T), 1)
    assert rows.dtype == out.dtype
    np.testing.assert_array_equal(rows, want.astype(bool) if dtype == "bool" else want.real.astype(rows.dtype))
    np.testing.assert_array_equal(columns, rows.T)


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce_is_the_other_backends(reduce, include_self):
    from mlkit.core.backend import load

    x, src = RNG.normal(size=(3, 4)), RNG.normal(size=(6, 4))
    index = RNG.integers(0, 3, (6, 4))
    got = READER.scatter_reduce_(x, index, src, 0, reduce, include_self)
    want = load("numpy").m.scatter_reduce_(x, index, src, 0, reduce, include_self)
    np.testing.assert_allclose(got, want, rtol=1e-13)


@pytest.mark.parametrize("shapes", [((3, 3), (4, 3, 2)), ((2, 1, 3, 3), (4, 3, 1)), ((2, 3, 3), (2, 3, 1))])
def test_solve_brings_both_sides_to_one_batch(shapes, monkeypatch):
    a = RNG.normal(size=shapes[0]) + 4 * np.eye(3)
    b = RNG.normal(size=shapes[1])
    seen = []

    def with_info(function, left, right):
        seen.append((left.shape, right.shape))
        return function(left, right), np.zeros(left.shape[:-2], np.int32)

    monkeypatch.setattr(READER, "_with_info", with_info, raising=False)
    out, info = READER.solve_(a, b)
    np.testing.assert_allclose(a @ out, np.broadcast_to(b, out.shape), atol=1e-12)
    assert info.shape == a.shape[:-2]
    ((left, right),) = seen
    assert left[:-2] == right[:-2]
