"""Checkpointing: memory, random numbers, and recomputations that differ."""

from __future__ import annotations

import weakref

import pytest

import mlkit
from mlkit import nn
from mlkit.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential, set_checkpoint_early_stop


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_dropout_draws_the_same_numbers_again(use_reentrant):
    mlkit.manual_seed(3)
    x = mlkit.ones(200, requires_grad=True)
    out = []
    y = checkpoint(lambda t: out.append(nn.functional.dropout(t, 0.5)) or out[-1] * 1, x, use_reentrant=use_reentrant)
    before = mlkit.get_rng_state()
    y.sum().backward()
    assert (mlkit.get_rng_state() == before).all()
    assert (x.grad == y.detach()).all()


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_insides_are_not_kept(use_reentrant):
    seen = []

    def block(t):
        middle = t.exp()
        seen.append(weakref.ref(middle))
        return (middle * middle).sin()

    x = mlkit.ones(3, requires_grad=True)
    y = checkpoint(block, x, use_reentrant=use_reentrant)
    assert seen[0]() is None
    y.sum().backward()
    assert len(seen) == 2


def test_early_stop_can_be_switched_off():
    ran = []

    def block(t):
        y = t.sin()
        z = y * y
        ran.append("end")
        return z + 1

    def run(stop):
        ran.clear()
        x = mlkit.ones(3, requires_grad=True)
        with set_checkpoint_early_stop(stop):
            y = checkpoint(block, x, use_reentrant=False)
        y.sum().backward()
        return len(ran)

    assert run(True) == 1  # everything is there before the end is reached again
    assert run(False) == 2


def test_a_recomputation_that_differs_is_refused():
    runs = []

    def block(t):
        runs.append(1)
        return (t[: len(runs)] * t[: len(runs)]).exp().sum()

    x = mlkit.ones(3, requires_grad=True)
    y = checkpoint(block, x, use_reentrant=False)
    with pytest.raises(CheckpointError, match="different metadata"):
        y.backward()

    def shrinking(t):
        runs.append(1)
        return t.exp() if len(runs) > 3 else t.exp().exp()

    runs.clear()
    runs.extend([1, 1])
    y = checkpoint(shrinking, x, use_reentrant=False)
    with pytest.raises(CheckpointError, match="different number"):
        y.sum().backward()


def test_nested_and_repeated():
    x = mlkit.tensor([0.1, 0.2], requires_grad=True, dtype=mlkit.float64)

    def inner(t):
        return t.sin() * t

    def outer(t):
        return checkpoint(inner, t.exp(), use_reentrant=False) * t

    y = checkpoint(outer, x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    first = x.grad.clone()
    y.backward()
    plain = x.detach().requires_grad_()
    (inner(plain.exp()) * plain).sum().backward()
    assert mlkit.allclose(first, plain.grad) and mlkit.allclose(x.grad, 2 * plain.grad)
    assert mlkit.autograd.gradgradcheck(
        lambda t: checkpoint(outer, t, use_reentrant=False), x.detach().requires_grad_()
    )


def test_the_default_warns_and_nothing_is_kept_without_grad():
    x = mlkit.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="use_reentrant"):
        checkpoint(lambda t: t * t, x).sum().backward()
    with mlkit.no_grad():
        assert not checkpoint(lambda t: t * t, x, use_reentrant=False).requires_grad
    with pytest.warns(UserWarning, match="None of the inputs"):
        checkpoint(lambda t: t * t, mlkit.ones(2), use_reentrant=True)


def test_grad_through_a_reentrant_checkpoint_says_what_to_do():
    x = mlkit.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="use_reentrant=False"):
        mlkit.autograd.grad(checkpoint(lambda t: t * t, x, use_reentrant=True).sum(), x)


def test_sequential_pieces():
    with pytest.raises(ValueError, match="segments"):
        checkpoint_sequential([nn.ReLU()], 2, mlkit.ones(1), use_reentrant=False)
