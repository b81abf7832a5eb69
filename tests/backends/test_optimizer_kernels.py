"""Optimizer steps and gradient clipping over many tensors at once: the same as each tensor's own rule."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import mlkit
from mlkit import nn, optim
from tests.backends.kernel_checks import needs_numba, numpy_alone

pytestmark = needs_numba

SETTINGS = {
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adam decay": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1, maximize=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, betas=(0.8, 0.9), weight_decay=0.1),
    "amsgrad": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "sgd momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2, weight_decay=0.01),
    "sgd nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, weight_decay=0.01),
    "rmsprop centred": lambda p: optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
}
SHAPES = ((100, 101), (7,), (1, 1), (33, 3, 3), (4096,), (2, 0))


def numbers(shape, seed: int) -> mlkit.Tensor:
    return mlkit.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def parameters() -> list[mlkit.Tensor]:
    found = [numbers(shape, i) for i, shape in enumerate(SHAPES)]
    found.append(numbers((50, 40), 9).t())  # another order in memory
    found.append(numbers((5, 6), 10)[:, ::2])  # gaps: left to the optimizer's own rule
    found.append(numbers((4,), 11).double())
    return [p.detach().requires_grad_() for p in found]


def train(make, steps: int = 4) -> tuple[list[np.ndarray], dict]:
    params = parameters()
    optimizer = make(params)
    for step in range(steps):
        for i, p in enumerate(params):
            g = numbers(tuple(p.shape), 100 * step + i).to(p.dtype)
            p.grad = None if (step + i) % 5 == 4 else g  # some have none, at times
        optimizer.step()
    return [p.detach().numpy() for p in params], optimizer.state_dict()["state"]


@pytest.mark.parametrize("name", SETTINGS)
def test_same_as_each_tensors_rule(name):
    with numpy_alone():
        theirs, their_state = train(SETTINGS[name])
    ours, our_state = train(SETTINGS[name])
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    assert our_state.keys() == their_state.keys()
    for key, entries in their_state.items():
        assert our_state[key].keys() == entries.keys()
        for word, kept in entries.items():
            if kept is not None:
                np.testing.assert_allclose(our_state[key][word].numpy(), kept.numpy(), rtol=2e-5, atol=1e-6)


def test_the_kernel_is_what_ran():
    params = parameters()
    optimizer = optim.AdamW(params)
    for p in params:
        p.grad = mlkit.ones_like(p)
    optimizer.step()
    (table,) = optimizer._tables.values()
    assert len(table.members) == len(params) - 3  # without the empty one, the one with gaps and the float64 one


@pytest.mark.parametrize("name", ["adamw", "sgd momentum"])
def test_replaced_arrays_are_followed(name):
    """Parameters, state and gradients may be replaced or reloaded between steps; nothing old is written to."""

    def run():
        w = numbers((200, 100), 1).requires_grad_()
        tied = w
        optimizer = SETTINGS[name]([w])
        seen = []
        for step in range(8):
            w.grad = numbers((200, 100), 50 + step)
            if step == 3:
                old = w.detach()
                kept = old.numpy().copy()
                w.data = numbers((200, 100), 2)
            if step == 4 and "step" in optimizer.state[w]:
                optimizer.state[w]["step"] += 5
            if step == 5:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            if step == 6:
                for entries in optimizer.state.values():
                    for word in entries:
                        entries[word] = entries[word].clone()
            if step == 7:
                w.grad = numbers((100, 200), 60).t()
            optimizer.step()
            seen.append(w.detach().numpy().copy())
        np.testing.assert_array_equal(old.numpy(), kept)
        assert tied is w
        return seen

    with numpy_alone():
        theirs = run()
    for a, b in zip(run(), theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_a_step_is_a_change_that_backward_sees():
    w = mlkit.randn(100, 100, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_tensors_that_share_memory_are_left_alone():
    def run():
        memory = numbers((10_000,), 3)
        a, b = (memory.view(-1).detach().requires_grad_() for _ in range(2))
        optimizer = optim.Adam([a, b], lr=0.1)
        a.grad, b.grad = numbers((10_000,), 4), numbers((10_000,), 5)
        optimizer.step()
        return memory.numpy()

    with numpy_alone():
        theirs = run()
    np.testing.assert_allclose(run(), theirs, rtol=1e-5, atol=1e-6)


def test_a_subclass_with_its_own_rule_is_not_bypassed():
    class Still(optim.Adam):
        def update(self, m, group, p, g, **state):
            pass

    w = mlkit.ones(10_000, requires_grad=True)
    w.grad = mlkit.ones(10_000)
    Still([w]).step()
    assert (w == 1).all()


def test_several_threads_and_lr_as_a_tensor():
    from mlkit.backends.numba import pool

    found = []
    before = pool.threads()
    try:
        for count in (1, 3):
            pool.set_threads(count)
            w = numbers((400, 333), 1).requires_grad_()
            optimizer = optim.AdamW([w], lr=mlkit.tensor(0.01))
            for step in range(3):
                w.grad = numbers((400, 333), step)
                optimizer.step()
            found.append(w.detach().numpy())
    finally:
        pool.set_threads(before)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("max_norm", [0.5, 1e6])
def test_clipping(max_norm):
    def run():
        model = nn.Sequential(nn.Linear(100, 90), nn.Linear(90, 10))
        for i, p in enumerate(model.parameters()):
            p.grad = numbers(tuple(p.shape), i)
        total = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        return [total.numpy(), *[p.grad.numpy() for p in model.parameters()]]

    with numpy_alone():
        theirs = run()
    for a, b in zip(run(), theirs, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=2e-6)


def test_a_norm_that_is_not_finite():
    w = mlkit.zeros(100, 100, requires_grad=True)
    w.grad = mlkit.full((100, 100), float("nan"))
    assert nn.utils.clip_grad_norm_([w], 1.0).isnan()
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_([w], 1.0, error_if_nonfinite=True)
