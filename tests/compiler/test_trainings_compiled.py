"""Ten whole trainings: compiled steps leave the same losses, weights, statistics, gradients and random stream."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mlkit
from mlkit.compiler.compiled import compile as compiled_of
from tests.compiler.trainings import TRAININGS


def train(name: str, how) -> tuple[list, list]:
    mlkit.manual_seed(5)
    step, batches, modules = TRAININGS[name]()
    step = how(step)
    losses = []
    for batch in batches:
        out = step(*batch)
        out = out.values() if isinstance(out, dict) else out if isinstance(out, tuple) else (out,)
        losses += [t.detach().numpy().copy() for t in out]
    state = [t.numpy() for m in modules for t in m.state_dict().values()]
    state += [p.grad.numpy() for m in modules for p in m.parameters() if p.grad is not None]
    return losses, [*state, mlkit.get_rng_state().numpy()]


@pytest.mark.parametrize("name", TRAININGS)
def test_bit_equal_without_fusion(name):
    steps = []

    def how(step):
        steps.append(compiled_of(step, options={"fusion": False}))
        return steps[0]

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="mlkit.compile")
        found = train(name, how)
    wanted = train(name, lambda step: step)
    for a, b in zip(found[0] + found[1], wanted[0] + wanted[1], strict=True):
        np.testing.assert_array_equal(a, b)
    # schedule: gradients of a layer that no optimizer clears add up, so its second step differs from the first
    assert steps[0]._compiled.recordings == (2 if name == "schedule" else 1)


@pytest.mark.parametrize("name", TRAININGS)
def test_fused_and_planned_to_rounding(name, monkeypatch):
    """Loops round like NumPy but for functions such as exp; sums may take another order: a few units of the last place."""
    monkeypatch.setattr("mlkit.compiler.fusion.SMALLEST", 32)  # so that these small nets have loops
    found, wanted = train(name, compiled_of), train(name, lambda step: step)
    for a, b in zip(found[0] + found[1], wanted[0] + wanted[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
