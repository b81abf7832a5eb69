"""vmap's rules for ops that used to run example by example: the same numbers, without one call per example."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from mlkit.func import batching

T = mlkit


@pytest.fixture(autouse=True)
def no_fallback(monkeypatch):
    def refuse(op, *rest):
        raise AssertionError(f"{op.name} ran example by example")

    monkeypatch.setattr(batching, "one_by_one", refuse)


def stacked(fn, *batched):
    return T.stack([fn(*(b[i].clone() for b in batched)) for i in range(len(batched[0]))])


def data(*shape):
    return T.from_numpy(np.random.default_rng(0).normal(size=shape))


CASES = {
    "searchsorted rows": (lambda s, x: T.searchsorted(s.sort()[0], x), (data(3, 5), data(3, 2, 4))),
    "searchsorted one sequence": (lambda x: T.searchsorted(T.arange(-2.0, 2.0, dtype=T.float64), x), (data(3, 4),)),
    "searchsorted one input": (lambda s: T.searchsorted(s.sort()[0], T.zeros(2, 3, dtype=T.float64)), (data(3, 5),)),
    "searchsorted matrix": (lambda s, x: T.searchsorted(s.sort()[0], x, right=True), (data(3, 2, 5), data(3, 2, 4))),
    "histc": (lambda x: T.histc(x, 5, -1.0, 1.0), (data(3, 4, 5),)),
    "histc own range": (lambda x: T.histc(x, 7), (data(3, 40),)),
    "histc one value": (lambda x: T.histc(x * 0, 4), (data(3, 4),)),
    "as_strided": (lambda x: T.as_strided(x, (2, 3), (1, 2), 1), (data(3, 4, 4),)),
    "as_strided of a part": (lambda x: T.as_strided(x, (2,), (2,)), (data(6, 4)[2:5],)),
    "select_scatter": (lambda x, y: T.select_scatter(x, y, 1, 2), (data(3, 4, 5), data(3, 4))),
    "slice_scatter one source": (
        lambda x: T.slice_scatter(x, T.ones(4, 2, dtype=T.float64), 1, 0, 4, 2),
        (data(3, 4, 5),),
    ),
    "diagonal_scatter": (lambda x, y: T.diagonal_scatter(x, y), (data(3, 4, 5), data(3, 4))),
    "unfold": (lambda x: T.nn.functional.unfold(x, 2), (data(3, 2, 2, 4, 4),)),
    "fold": (lambda x: T.nn.functional.fold(x, (4, 4), 2, stride=2), (data(3, 2, 8, 4),)),
    "interpolate": (lambda x: T.nn.functional.interpolate(x, scale_factor=2), (data(3, 2, 2, 3, 3),)),
    "adaptive pooling": (lambda x: T.nn.functional.adaptive_max_pool2d(x, 2), (data(3, 2, 2, 5, 5),)),
    "as_strided_scatter": (lambda x, y: T.as_strided_scatter(x, y, (2, 2), (1, 3), 1), (data(3, 3, 3), data(3, 2, 2))),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rule_is_the_loop(name):
    fn, batched = CASES[name]
    want = stacked(fn, *batched)
    got = T.vmap(fn)(*batched)
    assert got.dtype is want.dtype
    np.testing.assert_array_equal(got.numpy(), want.numpy())


@pytest.mark.parametrize("name", ["as_strided", "select_scatter", "as_strided_scatter"])
def test_gradients_pass(name):
    fn, batched = CASES[name]
    weights = data(*T.vmap(fn)(*batched).shape)

    def gradients(run):
        xs = [b.clone().requires_grad_() for b in batched]
        (run(*xs) * weights).sum().backward()
        return [x.grad.numpy() for x in xs]

    for a, b in zip(gradients(lambda *xs: T.vmap(fn)(*xs)), gradients(lambda *xs: stacked(fn, *xs)), strict=True):
        np.testing.assert_allclose(a, b)
