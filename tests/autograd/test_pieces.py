"""The gradients of pieces of one tensor are added in place; nobody else's numbers change by that."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit


def pieces(x):
    a, b, c = x.split(2, dim=1)
    return (a * b).sum() + (c * c).sum() + (x[0] * 3).sum() + (x[:, 1:4] * b[:, :1]).sum() + (x * x).sum()


@pytest.mark.parametrize("leaf", [True, False])
def test_same_as_with_a_graph_of_the_gradient(leaf):
    x = mlkit.randn(4, 6, dtype=mlkit.float64, requires_grad=True)
    y = x if leaf else x * 1
    loss = pieces(y)
    loss.backward(retain_graph=True)
    first = x.grad.numpy().copy()
    (g,) = mlkit.autograd.grad(loss, x, create_graph=True)  # on tensors, nothing is added in place
    np.testing.assert_allclose(first, g.detach().numpy(), rtol=1e-12)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * first, rtol=1e-12)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_gradients_seen_by_hooks_and_asked_for_stay_as_they_were():
    x = mlkit.randn(4, 6, requires_grad=True)
    y = x * 2
    seen = []
    a, b, c = y.split(2, dim=1)
    for t in (a, b, c, y):
        t.register_hook(lambda g: seen.append((g, g.numpy().copy())))
    weight = mlkit.ones(4, 2)
    ((a * weight).sum() + (b * weight).sum() + (c * b).sum()).backward()
    assert len(seen) == 4
    for g, then in seen:
        np.testing.assert_array_equal(g.numpy(), then)
    np.testing.assert_array_equal(weight.numpy(), np.ones((4, 2)))


def test_a_gradient_given_by_the_user_is_not_changed():
    x = mlkit.randn(3, 4, requires_grad=True)
    y = x * 1
    g = mlkit.ones(3, 4)
    total = mlkit.ones(())
    mlkit.autograd.backward([y, y[0].sum(), y[1:].sum()], [g, total, total])
    np.testing.assert_array_equal(g.numpy(), np.ones((3, 4)))
    np.testing.assert_array_equal(x.grad.numpy(), np.full((3, 4), 2.0))
    z = x * 1
    z[0].backward(mlkit.ones(4), inputs=[z])
    np.testing.assert_array_equal(z.grad.numpy()[1:], 0)
