"""Hooks and compiled functions: each hook runs as often as it would eagerly, and one elsewhere costs nothing."""

from __future__ import annotations

import warnings

import pytest

import mlkit
from mlkit import nn


def replays(f) -> int:
    return sum(entry.replays for entries in f._compiled.entries.values() for entry in entries)


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def leaf(*shape):
    return mlkit.ones(*shape, requires_grad=True)


def test_a_hook_elsewhere_leaves_replays_alone():
    other = leaf(2)
    other.register_hook(lambda g: None)
    (middle := other * 2).grad_fn.register_hook(lambda a, b: None)
    middle.grad_fn.register_prehook(lambda g: None)
    middle.retain_grad()
    f = mlkit.compile(lambda x: (x * 2).sin())
    for _ in range(4):
        f(leaf(3)).sum().backward()
    assert replays(f) == 3


def test_a_hook_on_what_goes_in_runs_while_the_function_replays():
    w, seen = leaf(3), []
    w.register_hook(lambda g: seen.append(g.tolist()))
    f = mlkit.compile(lambda x: (x * w).sum())
    for _ in range(3):
        x = leaf(3)
        x.register_hook(lambda g: g * 10)
        y = x * 1
        y.retain_grad()
        f(y).backward()
        assert y.grad.tolist() == [1, 1, 1] and x.grad.tolist() == [10, 10, 10]
    assert replays(f) == 2 and seen == [[1, 1, 1]] * 3


def step_of(model, x):
    def step():
        for p in model.parameters():
            p.grad = None
        loss = model(x).sum()
        loss.backward()
        return loss

    return mlkit.compile(step)


@pytest.mark.parametrize("kind", ["tensor", "accumulated", "node"])
def test_a_whole_step_runs_eagerly_while_a_parameter_has_a_hook(kind):
    model, called = nn.Linear(3, 2), []
    step = step_of(model, mlkit.ones(4, 3))
    for _ in range(3):
        step()
    before = replays(step)
    assert before == 2
    if kind == "tensor":
        handle = model.weight.register_hook(lambda g: called.append(1) or g * 2)
    elif kind == "accumulated":
        handle = model.weight.register_post_accumulate_grad_hook(
            lambda p: called.append(1) or setattr(p, "grad", p.grad * 2)
        )
    else:
        handle = (
            (model.weight * 1).grad_fn.next_functions[0][0].register_prehook(lambda g: called.append(1) or (g[0] * 2,))
        )
    step()
    step()
    assert len(called) == 2 and replays(step) == before and (model.weight.grad == 8).all()
    handle.remove()
    step()
    step()
    assert len(called) == 2 and replays(step) == before + 2 and (model.weight.grad == 4).all()


@pytest.mark.parametrize("accumulated", [False, True])
def test_a_hook_that_is_there_at_the_first_call(accumulated, quiet):
    model, called = nn.Linear(3, 2), []
    register = model.weight.register_post_accumulate_grad_hook if accumulated else model.weight.register_hook
    register(lambda _: called.append(1))
    step = step_of(model, mlkit.ones(4, 3))
    for _ in range(3):
        step()
        assert (model.weight.grad == 4).all()
    assert len(called) == 3
    assert "a hook on a gradient runs in it" in str(step.explain())


@pytest.mark.parametrize("how", ["hook", "retain", "node"])
def test_a_hook_registered_inside_runs_each_time(how, quiet):
    called = []

    def f(x):
        y = x * 2
        if how == "hook":
            y.register_hook(lambda g: called.append(1))
        elif how == "retain":
            y.retain_grad()
            called.append(y)
        else:
            y.grad_fn.register_hook(lambda a, b: called.append(1))
        return y.sin().sum()

    g = mlkit.compile(f)
    for i in range(3):
        g(leaf(3)).backward()
        assert len(called) == i + 1
        if how == "retain":
            assert called[-1].grad is not None
    assert "a hook is registered in it" in str(g.explain())
